"""From bytes to payloads: frames, verdicts, segments and encoded events of one load.

Blocking code, run in a thread by the engine. A chunk that the ledger knows is framed again within
its recorded bounds and not judged again; what lies behind the last one is cut into new chunks.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from ingest.core.ledger import Progress, members
from ingest.core.load import ChunkState, Findings, Load, Note, Segment
from ingest.core.model import Chunk, Position, Reject, Severity, Stage, Violation
from ingest.core.reject_id import reject_ids
from ingest.edges.framing import Limits, ReadAt
from ingest.edges.report import write_segment
from ingest.edges.validator import Verdict
from ingest.pipeline.formats import Look, Reason, form_of
from ingest.pipeline.payload import Payload, Prepared, doubt_note
from ingest.pipeline.sources import Opened

Flags = npt.NDArray[np.bool_]

_NO_LIMITS = Limits()
_MOST_NAMES = 100


@dataclass(frozen=True, slots=True)
class Work:
    """What the chunks of one load have in common.

    Args:
        load: The load.
        opened: Its source: columns, dialect, mapping.
        read_at: Reads of the source that prove themselves.
        segments: Where the rejects of chunks are kept.
        room: Bytes that one event may have in a request.
        now: The moment against which times are judged.
        growing: A last record without its end is left for the next run.
        hold_doubt: What an earlier run left in doubt is held instead of sent.
        limits: Of framing.
        sends: Events are written; without, only their sizes are worked out.
    """

    load: Load
    opened: Opened
    read_at: ReadAt
    segments: Path
    room: int
    now: datetime
    growing: bool = False
    hold_doubt: bool = False
    limits: Limits = _NO_LIMITS
    sends: bool = True


class Preparer:
    """Prepares the chunks of one load, one after the other.

    Args:
        work: What they have in common.
    """

    def __init__(self, work: Work) -> None:
        self._work = work
        self._form = form_of(
            work.opened,
            read_at=work.read_at,
            source_id=work.load.source_id,
            limits=work.limits,
        )

    def all(self, states: Sequence[ChunkState], *, limit: int | None) -> Iterator[Prepared]:
        """Yield what is left of the known chunks, then the new ones.

        Args:
            states: The chunks on record, in order.
            limit: Records of the source beyond this are not read.
        """
        known = self._superseded(states)
        for state in known:
            if not state.findings.judged:
                yield self._judge_again(state)
            elif state.progress.pending:
                yield self._again(state)
        yield from self._fresh(known, limit=limit)

    def recovered(self, state: ChunkState) -> tuple[ChunkState, list[Note]]:
        """Turn intent that a crash left over into doubt; give what `doubt.csv` needs of it."""
        events = _Events(self._work, self._look(state), state.chunk.chunk_id)
        lost = state.progress.intent & ~state.progress.held
        notes = list(events.doubt_notes(members(lost)))
        return replace(state, progress=state.progress.recover(lost)), notes

    def unjudged(self, states: Sequence[ChunkState], *, limit: int | None) -> Iterator[Prepared]:
        """Yield the chunks that have no verdict yet; what is judged and pending is left out.

        Args:
            states: The chunks on record, in order.
            limit: Records of the source beyond this are not read.
        """
        known = self._superseded(states)
        yield from (self._judge_again(state) for state in known if not state.findings.judged)
        yield from self._fresh(known, limit=limit)

    # -- chunks ----------------------------------------------------------------------------

    def _superseded(self, states: Sequence[ChunkState]) -> list[ChunkState]:
        """Take the last record off a source that has grown, if it was rejected as not whole."""
        size = self._work.load.identity.size
        if not states or not states[-1].findings.unterminated:
            return list(states)
        *before, last = states
        if last.findings.source_size >= size:
            return list(states)
        progress = last.progress.without_last()
        stop = last.chunk.start
        if progress.total:
            stop = self._framed(
                last.chunk.start, last.findings.source_size, progress.total
            ).frame.stop
        chunk = replace(last.chunk, stop=stop)
        findings = replace(last.findings, judged=False, unterminated=False)
        return [*before, ChunkState(chunk, progress, findings)]

    def _fresh(self, states: Sequence[ChunkState], *, limit: int | None) -> Iterator[Prepared]:
        at = states[-1].chunk.stop if states else self._work.opened.start
        chunk_id = states[-1].chunk.chunk_id + 1 if states else 0
        left = None if limit is None else limit - at.record
        if left is not None and left <= 0:
            return
        for look in self._looks(at, stop=None, limit=left):
            whole = self._without_open_end(look)
            if whole is None:
                return
            chunk = Chunk(chunk_id, whole.frame.start, whole.frame.stop)
            yield self._judge(chunk, whole, None)
            chunk_id += 1

    def _without_open_end(self, look: Look) -> Look | None:
        """Leave a last record without its end for the next run, where the source is growing."""
        frame = look.frame
        if not (self._work.growing and frame.unterminated):
            return look
        if frame.records == 1:
            return None
        return self._framed(frame.start, self._work.load.identity.size, frame.records - 1)

    def _framed(self, at: Position, size: int, records: int) -> Look:
        return next(iter(self._looks(at, stop=None, limit=records, size=size)))

    def _looks(
        self, at: Position, *, stop: int | None, limit: int | None, size: int | None = None
    ) -> Iterator[Look]:
        size = size or self._work.load.identity.size
        return self._form.looks(at, stop=stop, limit=limit, size=size)

    def _look(self, state: ChunkState) -> Look:
        chunk, size = state.chunk, state.findings.source_size
        parts = self._looks(chunk.start, stop=chunk.stop.offset, limit=None, size=size)
        look = next(iter(parts))
        if look.frame.stop != chunk.stop:
            raise AssertionError(f"chunk {chunk.chunk_id} was framed differently before")
        return look

    def _again(self, state: ChunkState) -> Prepared:
        """Prepare what is pending of a judged chunk."""
        look = self._look(state)
        frame = look.frame
        progress = self._held(state)
        pending = _flags(progress.pending, frame.records)[frame.rows]
        events = _Events(self._work, look, state.chunk.chunk_id)
        return Prepared(replace(state, progress=progress), events.payload(pending))

    def _held(self, state: ChunkState) -> Progress:
        progress = state.progress
        if progress.intent & ~progress.held:
            raise AssertionError(f"chunk {state.chunk.chunk_id} was not recovered")
        return progress.hold_doubtful() if self._work.hold_doubt else progress

    def _judge_again(self, state: ChunkState) -> Prepared:
        look, size = self._look(state), state.findings.source_size
        return self._judge(state.chunk, look, self._held(state), size=size)

    def _judge(
        self, chunk: Chunk, look: Look, before: Progress | None, *, size: int = 0
    ) -> Prepared:
        frame = look.frame
        verdict = look.judge(self._work.now)
        events = _Events(self._work, look, chunk.chunk_id)
        progress = before or Progress(frame.records)
        settled = _flags(progress.delivered | progress.held, frame.records)
        payload = events.payload(~verdict.rejected & ~settled[frame.rows])
        too_large = _oversized(payload, room=self._work.room)
        if too_large:
            rejected = np.isin(frame.rows, too_large)
            payload = events.payload(~verdict.rejected & ~settled[frame.rows] & ~rejected)
        rejects = _Rejects(self._work, look, verdict, too_large)
        flags = rejects.flags & ~settled
        progress = progress.judge_again(_bits(flags))
        segment = self._segment(chunk, list(rejects.values(flags)))
        findings = replace(
            rejects.findings(flags, segment),
            source_size=size or self._work.load.identity.size,
        )
        return Prepared(ChunkState(chunk, progress, findings), payload)

    def _segment(self, chunk: Chunk, rejects: list[Reject]) -> Segment | None:
        if not rejects:
            return None
        name = f"{chunk.chunk_id:08d}-{self._work.load.fence:06d}.jsonl"
        ref = write_segment(self._work.segments, name, rejects)
        return Segment(ref.name, ref.bytes, ref.sha256, ref.rejects)


class _Events:
    """The events of one frame."""

    def __init__(self, work: Work, look: Look, chunk_id: int) -> None:
        self._work = work
        self._look = look
        self._chunk_id = chunk_id

    def doubt_notes(self, records: Iterable[int]) -> Iterator[Note]:
        """Yield what `doubt.csv` needs of records with intent that a crash left over."""
        for record in records:
            yield doubt_note(self._chunk_id, record, self.describe(record))

    def payload(self, wanted: Flags) -> Payload:
        """Encode the rows that are wanted."""
        if self._work.sends:
            encoded = self._look.encode(wanted)
            body, ends = encoded.body, encoded.ends
        else:
            body, ends = b"", self._look.ends(wanted)
        return Payload(
            chunk_id=self._chunk_id,
            body=body,
            ends=ends,
            records=self._look.frame.rows[wanted].tolist(),
            describe=self.describe,
        )

    def describe(self, record: int) -> dict[str, object]:
        """Give what reports need of a record of the frame."""
        frame = self._look.frame
        row = int(np.searchsorted(frame.rows, record))
        offset, end = int(frame.offsets[record]), int(frame.ends[record])
        ((cells, raw),) = self._look.evidence(np.array([row]))
        return {
            "line": int(frame.lines[record]),
            "offset": offset,
            "length": end - offset,
            "event_uuid": self._look.given_uuid(row) or self._look.made_uuids(np.array([row]))[0],
            "cells": None if cells is None else list(cells),
            # A record that was sent is UTF-8.
            "raw": None if raw is None else raw.decode(),
        }


class _Rejects:
    """The rejects of one frame: of reading, of the rules, and of the size."""

    def __init__(
        self,
        work: Work,
        look: Look,
        verdict: Verdict,
        too_large: Sequence[int],
    ) -> None:
        frame = look.frame
        self._work = work
        self._look = look
        self._frame = frame
        self._verdict = verdict
        self._too_large = frozenset(too_large)
        self._known: dict[tuple[tuple[str, Reason], ...], tuple[Violation, ...]] = {}
        self.flags = np.zeros(frame.records, dtype=np.bool_)
        self.flags[[fault.record for fault in frame.faults]] = True
        self.flags[frame.rows[verdict.rejected]] = True
        self.flags[list(too_large)] = True

    def values(self, wanted: Flags) -> Iterator[Reject]:
        """Yield those that are wanted, in the order of their records."""
        frame = self._frame
        records = np.flatnonzero(self.flags & wanted)
        faults: dict[int, list[Any]] = {}
        for fault in frame.faults:
            faults.setdefault(fault.record, []).append(fault)
        sound = records[np.isin(records, frame.rows)]
        rows = frame.rows.searchsorted(sound)
        seen = dict(zip(sound.tolist(), rows.tolist(), strict=True))
        shown = iter(self._look.evidence(rows))
        first = frame.start.record + 1
        names = reject_ids(self._work.load.source_id, (records + first).tolist())
        facts = (records, frame.lines[records], frame.offsets[records], frame.ends[records])
        for name, record, line, offset, end in zip(
            names, *(fact.tolist() for fact in facts), strict=True
        ):
            broken = faults.get(record)
            cells, raw = next(shown) if record in seen else (None, None)
            if broken:
                violations, raw = self._faulty(broken), broken[0].raw
            else:
                violations = self._ruled(record, seen[record])
            yield Reject(
                reject_id=name,
                record=first + record,
                line=line,
                offset=offset,
                length=end - offset,
                stage=Stage.READING if broken else Stage.RULES,
                violations=violations,
                cells=None if broken else cells,
                raw=raw,
            )

    def _faulty(self, faults: Sequence[Any]) -> tuple[Violation, ...]:
        return tuple(
            self._violation(fault.code, (fault.column,) if fault.column else (), fault.detail)
            for fault in faults
        )

    def _ruled(self, record: int, row: int) -> tuple[Violation, ...]:
        found = self._verdict.violations(row, severity=Severity.ERROR)
        said: tuple[tuple[str, Reason], ...] = tuple(
            (code, self._look.explain(row, code, fields)) for code, fields in found
        )
        if record in self._too_large:
            said += (("event_too_large", ((), "")),)
        known = self._known.get(said)  # few sets of violations are met by most rejects
        if known is None:
            known = tuple(
                self._violation(code, columns, detail) for code, (columns, detail) in said
            )
            self._known[said] = known
        return known

    def _violation(self, code: str, columns: tuple[str, ...], detail: str = "") -> Violation:
        known = self._work.opened.book.codes[code]
        message = f"{known.message} {detail}".strip() if detail else known.message
        return Violation(code, tuple(dict.fromkeys(columns)), message, known.hint)

    def findings(self, rejected: Flags, segment: Segment | None) -> Findings:
        """Count what was found."""
        frame, verdict = self._frame, self._verdict
        sent = ~rejected[frame.rows]
        codes = self._counted(verdict.errors(), ~sent)
        for fault in frame.faults:
            codes[fault.code] = codes.get(fault.code, 0) + 1
        if self._too_large:
            codes["event_too_large"] = len(self._too_large)
        warnings = self._counted(verdict.warnings(), sent)
        warned = np.zeros(frame.records, dtype=np.bool_)
        warned[frame.rows[verdict.warned]] = True
        for code, records in self._by_place().items():
            warned[records] = True
            count = int((~rejected[records]).sum())
            warnings |= {code: count} if count else {}
        first, last = _times(self._look.times, sent)
        return Findings(
            codes=codes,
            warnings=warnings,
            warned=int((warned & ~rejected).sum()),
            blank_lines=frame.blank_lines,
            first_time=first,
            last_time=last,
            events=_names(self._look.names, sent),
            segment=segment,
            unterminated=frame.unterminated,
        )

    def _counted(self, codes: Iterable[str], rows: Flags) -> dict[str, int]:
        counts = {code: int((self._verdict.rows_with(code) & rows).sum()) for code in codes}
        return {code: count for code, count in counts.items() if count}

    def _by_place(self) -> dict[str, npt.NDArray[np.int64]]:
        """Warnings that no rule gives: those that hang on where a record stands, and its marks."""
        last = [self._frame.records - 1] if self._frame.unterminated else []
        marks = {code: self._frame.rows[rows] for code, rows in self._look.marks().items()}
        return marks | {
            "resynced": self._frame.resynced,
            "last_line_unterminated": np.asarray(last, dtype=np.int64),
        }


def _times(times: pl.Series | None, wanted: Flags) -> tuple[str | None, str | None]:
    if times is None:
        return None, None
    found = times.filter(pl.Series(wanted)).drop_nulls()
    if found.is_empty():
        return None, None
    ends = found.gather([found.arg_min() or 0, found.arg_max() or 0])
    first, last = ends.dt.strftime("%Y-%m-%dT%H:%M:%S.%6fZ")
    return first, last


def _names(names: pl.Series | None, wanted: Flags) -> dict[str, int]:
    """How many of the wanted rows have which name; rare names together, under the empty one."""
    if names is None:
        return {}
    counts = names.filter(pl.Series(wanted)).drop_nulls().value_counts(sort=True)
    pairs = list(counts.iter_rows())
    rest = sum(count for _, count in pairs[_MOST_NAMES:])
    return {str(name): count for name, count in pairs[:_MOST_NAMES]} | ({"": rest} if rest else {})


def _oversized(payload: Payload, *, room: int) -> list[int]:
    if not payload.ends or payload.ends[-1] <= room:
        return []
    ends = np.asarray(payload.ends)
    sizes = np.diff(ends, prepend=-1) - 1
    return [payload.records[position] for position in np.flatnonzero(sizes > room).tolist()]


def _bits(flags: Flags) -> int:
    return int.from_bytes(np.packbits(flags, bitorder="little").tobytes(), "little")


def _flags(bits: int, count: int) -> Flags:
    packed = np.frombuffer(bits.to_bytes((count + 7) // 8, "little"), dtype=np.uint8)
    return np.unpackbits(packed, count=count, bitorder="little").astype(np.bool_)
