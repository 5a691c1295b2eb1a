"""Mended records: from rows that came back to verdicts, and to what is sent.

What is recorded of a mended record stands in a note of kind `mended` beside its bitmap: its cells
as they will be sent, and the reject that it was. So a retry that was interrupted goes on without
the file, and the same file, given again, is compared with what was rejected at first.
"""

import base64
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import numpy as np
import orjson
import polars as pl

from ingest.core.guard import escape_raw, unescape_raw
from ingest.core.json_mapping import JsonMapping
from ingest.core.ledger import Progress, bitmap, members
from ingest.core.load import ChunkState, Findings, Load, Note, Segment
from ingest.core.mapping import Mapping as FieldMapping
from ingest.core.mending import (
    RAW,
    WHOLE_RECORD,
    Mending,
    Original,
    changed_members,
    mend,
    not_open,
    open_columns,
)
from ingest.core.model import Dialect, Reject, Severity, Stage, Violation
from ingest.edges.framing import Limits
from ingest.edges.report import SegmentRef, read_segment, write_segment
from ingest.edges.returned import ReturnedRow
from ingest.edges.validator import Verdict
from ingest.pipeline.formats import Flags, Look, Record, form_of
from ingest.pipeline.payload import Payload, Prepared, doubt_note
from ingest.pipeline.reporting import refusal
from ingest.pipeline.sources import RuleBook

MENDED: Final = "mended"
"""The kind of note that keeps a mended record."""

_ROUNDS: Final = 4
"""Times that a record's codes may open further columns."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of one row that came back.

    Args:
        row: It.
        outcome: A word for it; see docs/retry.md.
        columns: The columns in which edits were taken, or that it is about.
        not_taken: Columns with an edit that no code allows.
        detail: What to do or what is wrong, for a person; no value of a cell is in it.
        restored: Cells that a spreadsheet changed, and that were restored.
    """

    row: ReturnedRow
    outcome: str
    columns: tuple[str, ...] = ()
    not_taken: tuple[str, ...] = ()
    detail: str = ""
    restored: int = 0


@dataclass(frozen=True, slots=True)
class Terms:
    """What the records of one load are judged and sent by.

    Args:
        load: As claimed.
        columns: The header of its source.
        dialect: How that is written.
        max_record_bytes: The longest record that is read.
        mapping: What of a record is sent.
        book: The rules.
        segments: Where its rejects are.
        room: Bytes that one event may have in a request.
        now: The moment against which times are judged.
        accept: Columns in which any edit is taken.
        run_id: The run that takes them back.
    """

    load: Load
    columns: tuple[str, ...]
    dialect: Dialect
    max_record_bytes: int
    mapping: FieldMapping | JsonMapping
    book: RuleBook
    segments: Path
    room: int
    now: datetime
    accept: frozenset[str]
    run_id: str

    @property
    def limits(self) -> Limits:
        """Of framing."""
        return Limits(max_record_bytes=self.max_record_bytes)


@dataclass(frozen=True, slots=True)
class Taken:
    """What a chunk becomes when rows of it were taken back.

    Args:
        state: With the mended records held, and a segment without them.
        notes: To be recorded with it.
        gone: Notes that do not hold any more.
        answers: What became of each row.
        records: The records of the chunk that are to be sent, as a bitmap.
        changed: Whether there is anything to record.
    """

    state: ChunkState
    notes: tuple[Note, ...]
    gone: tuple[Note, ...]
    answers: tuple[Answer, ...]
    records: int
    changed: bool


@dataclass(slots=True)
class _Case:
    """One row on its way through the verdicts."""

    row: ReturnedRow
    reject: Reject
    before: Note | None
    mending: Mending
    opened: frozenset[str]
    record: Record = None
    violations: tuple[Violation, ...] = ()
    warnings: tuple[str, ...] = ()
    time: str | None = None
    event: str | None = None

    def answer(self, outcome: str, detail: str = "", columns: Iterable[str] = ()) -> Answer:
        mending = self.mending
        return Answer(
            self.row,
            outcome,
            columns=tuple(columns) or mending.edits,
            not_taken=mending.ignored,
            detail=detail,
            restored=mending.restored,
        )


class Judge:
    """Reads and judges records that came back, as their load was judged.

    Args:
        terms: Of the load.
    """

    def __init__(self, terms: Terms) -> None:
        self._terms = terms
        source_id = terms.load.source_id
        self._form = form_of(terms, read_at=_nothing, source_id=source_id, limits=terms.limits)

    def look(self, records: Sequence[Record], offsets: Sequence[int]) -> Look:
        """Look at records in the places that they had."""
        return self._form.back(records, np.asarray(offsets, dtype=np.int64))

    def violation(self, code: str, columns: Iterable[str], detail: str = "") -> Violation:
        """Give a violation with the texts in force."""
        known = self._terms.book.codes[code]
        message = f"{known.message} {detail}".strip()
        return Violation(code, tuple(dict.fromkeys(columns)), message, known.hint)

    def violations(self, look: Look, verdict: Verdict, row: int) -> tuple[Violation, ...]:
        """Give the errors of one row."""
        return tuple(
            self.violation(code, *look.explain(row, code, fields))
            for code, fields in verdict.violations(row, severity=Severity.ERROR)
        )

    def made_uuid(self, reject: Reject) -> str | None:
        """Give the id that a record had before it was mended; None where it could not be read."""
        record: Record | None = reject.cells
        if record is None and reject.raw is not None:
            record, _ = self._form.read(reject.raw)
        if record is None:
            return None
        return str(self.look([record], [reject.offset]).made_uuids(np.array([0]))[0])

    def read(self, text: str) -> tuple[Record, tuple[Violation, ...]]:
        """Read the mended text of a record: what it holds, or why it cannot be read."""
        try:
            raw = unescape_raw(text, encoding=self._terms.dialect.encoding)
        except ValueError as error:
            return None, (Violation("text_unreadable", (RAW,), f"{error}", ""),)
        record, faults = self._form.read(raw)
        if record is None and not faults:
            said = "It does not hold exactly one record."
            return None, (Violation("text_unreadable", (RAW,), said, ""),)
        return record, tuple(self.violation(each.code, (RAW,), each.detail) for each in faults)


def _nothing(offset: int, size: int) -> bytes:
    raise AssertionError(f"a record that came back was looked for at {offset} ({size} bytes)")


class TakeBack:
    """Takes rows back, chunk by chunk.

    Args:
        terms: Of the load.
    """

    def __init__(self, terms: Terms) -> None:
        self._terms = terms
        self._judge = Judge(terms)

    def chunk(
        self,
        state: ChunkState,
        rows: Sequence[ReturnedRow],
        *,
        refused: Sequence[Note],
        mended: Sequence[Note],
    ) -> Taken:
        """Compare, mend and judge the rows of one chunk.

        Args:
            state: The chunk as recorded.
            rows: What came back of it, by record.
            refused: The notes of its refused records.
            mended: The notes of its mended records.
        """
        answers: list[Answer] = []
        cases: list[_Case] = []
        originals = self._originals(state, rows, refused, mended)
        for row in rows:
            found = self._case(state, row, originals)
            (answers if isinstance(found, Answer) else cases).append(found)  # type: ignore[arg-type] # one of the two
        good = self._judged(cases, answers)
        return self._taken(state, good, answers, refused)

    # -- one row ---------------------------------------------------------------------------

    def _originals(
        self,
        state: ChunkState,
        rows: Sequence[ReturnedRow],
        refused: Sequence[Note],
        mended: Sequence[Note],
    ) -> dict[int, tuple[Reject, Note | None]]:
        """The rejects that the rows were, by record from 1, and how they were mended before."""
        wanted = {row.record for row in rows}
        first = state.chunk.start.record
        found: dict[int, tuple[Reject, Note | None]] = {
            reject.record: (reject, None)
            for reject in self._rejects(state.findings.segment)
            if reject.record in wanted
        }
        for note in refused:
            found[first + note.record + 1] = refusal(self._terms.load, note, first=first), None
        held = state.progress.held
        for note in mended:
            if held >> note.record & 1:
                found[first + note.record + 1] = reject_of(note.body["was"]), note
        return found

    def _rejects(self, segment: Segment | None) -> Iterator[Reject]:
        if segment is not None:
            ref = SegmentRef(segment.name, segment.bytes, segment.sha256, segment.rejects)
            yield from read_segment(self._terms.segments, ref)

    def _case(
        self,
        state: ChunkState,
        row: ReturnedRow,
        originals: Mapping[int, tuple[Reject, Note | None]],
    ) -> "_Case | Answer":
        known = originals.get(row.record)
        if row.again:
            others = ", ".join(map(str, row.again))
            return Answer(row, "twice", detail=f"row {others} says something else of it")
        if known is None:
            return _no_reject(state, row)
        reject, before = known
        original = _original(reject, self._terms)
        if original.cells is None and original.raw is None:
            return Answer(row, "not_kept", detail="it was too large to be kept; mend the source")
        opened = open_columns(reject.violations) | self._terms.accept
        return _Case(row, reject, before, mend(original, row.content, opened=opened), opened)

    # -- verdicts --------------------------------------------------------------------------

    def _judged(self, cases: list[_Case], answers: list[Answer]) -> list[_Case]:
        """Judge mended records; a code that they get opens its columns for edits that wait."""
        good: list[_Case] = []
        for number in range(_ROUNDS):
            cases = [case for case in cases if self._mended(case, answers)]
            broken = self._judge_once(cases, good)
            cases = []
            for case in broken:
                if number + 1 < _ROUNDS and self._opened_more(case):
                    cases.append(case)
                else:
                    answers.append(_still_rejected(case))
        return good

    def _mended(self, case: _Case, answers: list[Answer]) -> bool:
        """Whether there is a mended record to judge; else its answer is given."""
        mending = case.mending
        if mending.spoiled:
            why = "; ".join(f"{name}: {what}" for name, what in mending.spoiled.items())
            answers.append(case.answer("spoiled", why, mending.spoiled))
            return False
        if not mending.edits:
            detail = "no column that its codes name was changed" if mending.ignored else ""
            answers.append(case.answer("unchanged", detail))
            return False
        if mending.cells is not None:
            case.record = mending.cells
            return True
        case.record, case.violations = self._judge.read(mending.raw or "")
        if case.violations:
            answers.append(_still_rejected(case))
            return False
        elsewhere = self._edited_elsewhere(case)
        if elsewhere:
            case.mending = replace(mending, ignored=elsewhere)
            answers.append(case.answer("edited_elsewhere", _ELSEWHERE))
        return not elsewhere

    def _edited_elsewhere(self, case: _Case) -> tuple[str, ...]:
        """Members of a JSON object that were changed, and that no code of it names."""
        if case.reject.stage is Stage.READING or not isinstance(case.record, bytes):
            return ()
        was, found = orjson.loads(case.reject.raw or b""), orjson.loads(case.record)
        return not_open(changed_members(was, found), case.opened)

    def _judge_once(self, cases: Sequence[_Case], good: list[_Case]) -> list[_Case]:
        if not cases:
            return []
        look = self._judge.look(
            [case.record for case in cases], [case.reject.offset for case in cases]
        )
        verdict = look.judge(self._terms.now)
        sizes = _sizes(look, ~verdict.rejected)
        broken = []
        for place, case in enumerate(cases):
            case.violations = self._judge.violations(look, verdict, place)
            if sizes.get(place, 0) > self._terms.room:
                case.violations = (self._judge.violation("event_too_large", ()),)
            if case.violations:
                broken.append(case)
                continue
            case.warnings = _warnings(look, verdict, place)
            case.time = _instant(look, place)
            case.event = None if look.names is None else look.names[place]
            good.append(case)
        return broken

    def _opened_more(self, case: _Case) -> bool:
        more = open_columns(case.violations) - case.opened
        if not (
            set(case.mending.ignored) & more or (WHOLE_RECORD in more and case.mending.ignored)
        ):
            return False
        case.opened |= more
        original = _original(case.reject, self._terms)
        case.mending = mend(original, case.row.content, opened=case.opened)
        return case.mending.cells is not None

    # -- the chunk -------------------------------------------------------------------------

    def _taken(
        self,
        state: ChunkState,
        good: Sequence[_Case],
        answers: list[Answer],
        refused: Sequence[Note],
    ) -> Taken:
        first, progress = state.chunk.start.record, state.progress
        fresh: list[_Case] = []
        ready: list[int] = []
        for case in good:
            record = case.row.record - 1 - first
            if case.before is not None and _same(case, case.before):
                ready.append(record)
            elif case.before is not None and _newly_doubtful(progress, case.before):
                answers.append(case.answer("in_doubt", _IN_DOUBT))
                continue
            else:
                fresh.append(case)
            answers.append(case.answer(MENDED))
        notes = [self._note(state, case) for case in fresh]
        bits = bitmap(note.record for note in notes)
        gone = tuple(note for note in refused if bits >> note.record & 1)
        if fresh:
            findings = self._findings(state, fresh, bits)
            state = replace(state, progress=progress.reopen(bits), findings=findings)
        return Taken(
            state=state,
            notes=tuple(notes),
            gone=gone,
            answers=tuple(answers),
            records=bits | bitmap(ready),
            changed=bool(fresh),
        )

    def _note(self, state: ChunkState, case: _Case) -> Note:
        record = case.row.record - 1 - state.chunk.start.record
        reject = case.reject
        body = {
            "line": reject.line,
            "offset": reject.offset,
            "length": reject.length,
            **_record_json(case.record),
            "was": _reject_json(reject),
            "doubt": bool(state.progress.doubt >> record & 1),
            "warnings": list(case.warnings),
            "run_id": self._terms.run_id,
        }
        if self._terms.mapping.key:
            body["made_uuid"] = self._judge.made_uuid(reject)
        return Note(state.chunk.chunk_id, record, MENDED, body)

    def _findings(self, state: ChunkState, fresh: Sequence[_Case], bits: int) -> Findings:
        """What the chunk found, without what is mended, and with what that is warned of."""
        findings = state.findings
        rejected = bits & state.progress.rejected
        codes, segment = Counter(findings.codes), findings.segment
        if rejected:
            codes.subtract(codes_of(case.reject for case in fresh if case.before is None))
            segment = self._segment(state, rejected)
        warnings, warned = Counter(findings.warnings), findings.warned
        for case, before in zip(fresh, self._warned_before(fresh), strict=True):
            warnings.subtract(before)
            warnings.update(case.warnings)
            warned += bool(case.warnings) - bool(before)
        times = [case.time for case in fresh if case.time]
        # A name that was counted when the record was sent, or mended before, stays counted.
        events = Counter(findings.events)
        events.update(case.event for case in fresh if case.event and _is_new(case))
        return replace(
            findings,
            codes=dict(+codes),
            warnings=dict(+warnings),
            warned=max(warned, 0),
            first_time=min([*times, *_some(findings.first_time)], default=None),
            last_time=max([*times, *_some(findings.last_time)], default=None),
            segment=segment,
            events=dict(events),
        )

    def _warned_before(self, fresh: Sequence[_Case]) -> list[tuple[str, ...]]:
        """The warnings that each record was counted with: rejected ones with none."""
        found: list[tuple[str, ...]] = []
        for case in fresh:
            if case.before is not None:
                found.append(tuple(case.before.body["warnings"]))  # type: ignore[arg-type] # ours
            elif case.reject.stage is Stage.API:
                look = self._judge.look([case.reject.cells or case.reject.raw], [0])
                found.append(_warnings(look, look.judge(self._terms.now), 0))
            else:
                found.append(())
        return found

    def _segment(self, state: ChunkState, without: int) -> Segment | None:
        """Write the segment again without records that were reopened."""
        first = state.chunk.start.record
        left = (
            reject
            for reject in self._rejects(state.findings.segment)
            if not without >> (reject.record - 1 - first) & 1
        )
        if state.progress.rejected == without:
            return None
        name = f"{state.chunk.chunk_id:08d}-{self._terms.load.fence:06d}.jsonl"
        ref = write_segment(self._terms.segments, name, left)
        return Segment(ref.name, ref.bytes, ref.sha256, ref.rejects)


_ELSEWHERE: Final = "change only what its codes name, or --accept-edits COL"
_IN_DOUBT: Final = (
    "an earlier mending of it may have arrived; settle that first: ingest retry --doubt drop RUN"
)


def prepare(terms: Terms, state: ChunkState, mended: Sequence[Note], records: int) -> Prepared:
    """Give mended records of a chunk, ready to be sent under the ids of their places.

    Args:
        terms: Of the load.
        state: The chunk as recorded.
        mended: Its notes of mended records.
        records: Which of them, as a bitmap; all of them are held.
    """
    chosen = [note for note in mended if records >> note.record & 1]
    facts: dict[int, dict[str, Any]] = {note.record: dict(note.body) for note in chosen}
    offsets = [fact["offset"] for fact in facts.values()]
    look = Judge(terms).look([_record_of(fact) for fact in facts.values()], offsets)
    # The id of a key is that of the record as it was, whatever was mended in it since.
    first = [fact.get("made_uuid") for fact in facts.values()]
    ours = look.made_uuids(np.arange(len(chosen)))
    made = pl.Series([old or new for old, new in zip(first, ours, strict=True)], dtype=pl.String)
    encoded = look.encode(np.ones(len(chosen), dtype=np.bool_), made=made)
    for place, (fact, uuid) in enumerate(zip(facts.values(), made, strict=True)):
        fact["event_uuid"] = look.given_uuid(place) or uuid

    def describe(record: int) -> dict[str, object]:
        names = ("line", "offset", "length", "event_uuid", "cells", "raw")
        return {name: facts[record][name] for name in names}

    chunk_id = state.chunk.chunk_id
    lost = state.progress.intent & records
    notes = tuple(doubt_note(chunk_id, record, describe(record)) for record in members(lost))
    payload = Payload(
        chunk_id=chunk_id,
        body=encoded.body,
        ends=encoded.ends,
        records=[note.record for note in chosen],
        describe=describe,
    )
    return Prepared(replace(state, progress=state.progress.recover(records)), payload, notes)


def refused_by_hand(note: Note, violation: Violation) -> Note:
    """Give the note of a refusal for a mended record that is given up."""
    names = ("line", "offset", "length", "cells", "raw")
    body = {name: note.body[name] for name in names}
    body |= {"code": violation.code, "message": violation.message, "hint": violation.hint}
    return Note(note.chunk_id, note.record, "refused", body)


# -- values ----------------------------------------------------------------------------------


def _original(reject: Reject, terms: Terms) -> Original:
    raw = reject.raw
    text = None if raw is None else escape_raw(raw, encoding=terms.dialect.encoding)
    return Original(terms.columns, reject.cells, text, reject.violations)


def _no_reject(state: ChunkState, row: ReturnedRow) -> Answer:
    progress = state.progress
    bit = 1 << (row.record - 1 - state.chunk.start.record)
    if progress.delivered & bit:
        return Answer(
            row, "already_delivered", detail="it was delivered before, and is not sent again"
        )
    if progress.held & bit:
        return Answer(row, "held", detail="it is held; settle it: ingest retry --doubt ... RUN")
    return Answer(
        row, "not_rejected", detail="it is not rejected: run the command of its load again"
    )


def _still_rejected(case: _Case) -> Answer:
    codes = ", ".join(dict.fromkeys(each.code for each in case.violations))
    said = " ".join(dict.fromkeys(each.message for each in case.violations))
    columns = dict.fromkeys(c for each in case.violations for c in each.columns)
    return case.answer("still_rejected", f"{codes}: {said}", columns)


def _is_new(case: _Case) -> bool:
    return case.before is None and case.reject.stage is not Stage.API


def _same(case: _Case, before: Note) -> bool:
    return all(before.body[name] == value for name, value in _record_json(case.record).items())


def _newly_doubtful(progress: Progress, before: Note) -> bool:
    """Whether a mended form of it may have arrived."""
    tried = (progress.doubt | progress.intent) >> before.record & 1
    return bool(tried) and not before.body["doubt"]


def codes_of(rejects: Iterable[Reject]) -> Counter[str]:
    """How often codes were counted for rejects: by fault in reading, by record in the rules."""
    counted: Counter[str] = Counter()
    for reject in rejects:
        codes = [each.code for each in reject.violations]
        if reject.stage is Stage.READING:
            counted.update(codes)
        elif reject.stage is Stage.RULES:
            counted.update(set(codes))
    return counted


def _some(value: str | None) -> list[str]:
    return [] if value is None else [value]


def _sizes(look: Look, fine: Flags) -> dict[int, int]:
    """The bytes of the events of some rows."""
    ends = np.asarray(look.encode(fine).ends, dtype=np.int64)
    sizes = np.diff(ends, prepend=-1) - 1
    return dict(zip(np.flatnonzero(fine).tolist(), sizes.tolist(), strict=True))


def _warnings(look: Look, verdict: Verdict, row: int) -> tuple[str, ...]:
    found = [code for code, _ in verdict.violations(row, severity=Severity.WARNING)]
    return (*found, *(code for code, rows in look.marks().items() if row in rows))


def _instant(look: Look, place: int) -> str | None:
    times = look.times
    if times is None or times[place] is None:
        return None
    return str(times[place].strftime("%Y-%m-%dT%H:%M:%S.%fZ"))


def _record_json(record: Record) -> dict[str, Any]:
    if isinstance(record, bytes):
        return {"cells": None, "raw": record.decode()}
    return {"cells": list(record), "raw": None}


def _record_of(body: Mapping[str, Any]) -> Record:
    return body["raw"].encode() if body["cells"] is None else tuple(body["cells"])


def _reject_json(reject: Reject) -> dict[str, Any]:
    raw = reject.raw
    return {
        "reject_id": reject.reject_id,
        "record": reject.record,
        "line": reject.line,
        "offset": reject.offset,
        "length": reject.length,
        "stage": reject.stage.value,
        "violations": [[v.code, list(v.columns), v.message, v.hint] for v in reject.violations],
        "cells": None if reject.cells is None else list(reject.cells),
        "raw": None if raw is None else base64.b64encode(raw).decode("ascii"),
    }


def reject_of(body: Any) -> Reject:
    """Give the reject that a note of a mended record keeps."""
    raw, cells = body["raw"], body["cells"]
    return Reject(
        **{name: body[name] for name in ("reject_id", "record", "line", "offset", "length")},
        stage=Stage(body["stage"]),
        violations=tuple(Violation(c, tuple(cols), m, h) for c, cols, m, h in body["violations"]),
        cells=None if cells is None else tuple(cells),
        raw=None if raw is None else base64.b64decode(raw),
    )
