"""`ingest status --audit`: everything recounted, from the ledger and from files.

Each place that says something of a load's records is read by itself and compared with the others:
bitmaps, segments of rejects, notes, receipts, reports, and the source, which is framed again
without the recorded bounds. Nothing is changed.
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Any, Final

from ingest.core.figures import counted
from ingest.core.identity import source_id
from ingest.core.ledger import Counts, bitmap
from ingest.core.load import ChunkState, Load, content_of, end_of, total
from ingest.core.model import Position
from ingest.edges.repeats import Repeats
from ingest.edges.source import LocalFile, ProvenReader
from ingest.edges.store import Store
from ingest.errors import IngestError, UsageError
from ingest.pipeline.audit_reports import report_findings
from ingest.pipeline.mended import codes_of
from ingest.pipeline.places import Places
from ingest.pipeline.receipts import digest_in
from ingest.pipeline.reporting import rejects_in
from ingest.pipeline.sources import hold_load

_LISTED: Final = 1000


@dataclass(slots=True)
class _Findings:
    """What the audit of one load has found so far.

    Args:
        disagreements: A line each.
        notes: What could not be compared, and why.
    """

    disagreements: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def compare(self, what: str, one: object, other: object) -> None:
        """Note a disagreement unless both are equal."""
        if one != other:
            self.disagreements.append(f"{what}: {_shown(one)}, not {_shown(other)}")


def _shown(value: object) -> str:
    return f"{value:,}" if isinstance(value, int) else str(value)


def audit_command(store: Store, loads: Sequence[Load], *, shared: Path) -> dict[str, Any]:
    """Recount loads; give what was found, with `agrees`.

    Args:
        store: The ledger.
        loads: What is to be recounted.
        shared: Where locks are.

    Raises:
        LockedError: A run works on one of the loads.
    """
    holder = f"pid {os.getpid()}, an audit"
    bodies = []
    for load in loads:
        with hold_load(shared, load, holder=holder):
            bodies.append(_audit(store, load))
    disagreements = [f"{body['path']}: {line}" for body in bodies for line in body["disagreements"]]
    return {
        "format": 1,
        "agrees": not disagreements,
        "loads": bodies,
        "disagreements": disagreements,
    }


def _audit(store: Store, load: Load) -> dict[str, Any]:
    found = _Findings()
    body: dict[str, Any] = {
        "path": load.path,
        "name": load.name,
        "origin": load.destination.origin,
        "account": load.destination.account,
        "source_id": str(load.source_id),
        "records": None,
        "of_which": None,
        "ledger_digest": None,
        "source": "not compared",
        "recounted": None,
        "repeated": None,
    }
    try:
        _recount(store, load, body, found)
    except IngestError as error:  # what is damaged disagrees; the other loads are still audited
        found.disagreements.append(error.message)
    return body | {"disagreements": found.disagreements, "notes": found.notes}


def _recount(store: Store, load: Load, body: dict[str, Any], found: _Findings) -> None:
    states = store.chunks(load)
    counts = total(states)
    ends = ("read", "delivered", "rejected", "refused", "unsent")
    body["records"] = {name: getattr(counts, name) for name in ends}
    body["of_which"] = {name: getattr(counts, name) for name in ("in_doubt", "held", "warned")}
    _check_bounds(load, states, found)
    _check_segments(store, load, states, found)
    _check_notes(store, load, states, found)
    digest = body["ledger_digest"] = digest_in(store, load, states)
    receipt = _check_receipt(store, load, counts, digest, found)
    lines, notes = report_findings(load, states, receipt=receipt, ledger_digest=digest)
    found.disagreements += lines
    found.notes += notes
    _check_source(store, load, states, body, found)


# -- the ledger ------------------------------------------------------------------------------


def _start(load: Load) -> Position:
    start: Any = load.form["start"]
    return Position(*start)


def _check_bounds(load: Load, states: Sequence[ChunkState], found: _Findings) -> None:
    try:
        end = end_of(states, _start(load))
    except ValueError as error:
        found.disagreements.append(f"the chunks do not tile the source: {error}")
        return
    if end.offset > load.identity.size:
        found.compare("bytes of the source that are records", end.offset, load.identity.size)
    identity = load.identity
    if identity.size == identity.first_size:
        found.compare("fingerprint", identity.fingerprint, content_of(identity.blocks))
    named = source_id(identity.fingerprint, load.name or None)
    found.compare("source_id", str(load.source_id), str(named))


def _check_segments(
    store: Store, load: Load, states: Sequence[ChunkState], found: _Findings
) -> None:
    segments = store.segments(load)
    for state in states:
        name, first = f"chunk {state.chunk.chunk_id}", state.chunk.start.record
        try:
            rejects = list(rejects_in(state, segments=segments))
        except IngestError as error:
            found.disagreements.append(f"{name}: {error.message}")
            continue
        held = bitmap(reject.record - 1 - first for reject in rejects)
        if held != state.progress.rejected:
            what = f"{name}: records in its file of rejects"
            found.compare(what, held.bit_count(), state.progress.rejected.bit_count())
            if held.bit_count() == state.progress.rejected.bit_count():
                found.disagreements.append(f"{what}: others than are counted as rejected")
        codes = {code: n for code, n in state.findings.codes.items() if n}
        found.compare(f"{name}: codes of its rejects", dict(codes_of(rejects)), codes)


def _check_notes(store: Store, load: Load, states: Sequence[ChunkState], found: _Findings) -> None:
    for kind in ("refused", "doubt"):
        noted: dict[int, int] = {}
        for chunk_id, notes in groupby(store.notes(load, kind), key=lambda note: note.chunk_id):
            noted[chunk_id] = bitmap(note.record for note in notes)
        for state in states:
            counted_bits: int = getattr(state.progress, kind)
            said = noted.pop(state.chunk.chunk_id, 0)
            if said != counted_bits:
                more, less = said & ~counted_bits, counted_bits & ~said
                found.disagreements.append(
                    f"chunk {state.chunk.chunk_id}: {counted(less.bit_count(), 'record')} counted as"
                    f" {kind} without a note, {counted(more.bit_count(), 'note')} without a record"
                )
        if noted:
            found.disagreements.append(f"notes of {kind} records of chunks that are not there")


def _check_receipt(
    store: Store, load: Load, counts: Counts, digest: str, found: _Findings
) -> Mapping[str, Any] | None:
    """Compare with what the newest run has recorded of the load; give that."""
    runs = store.runs(load)
    if load.run_id not in {run.run_id for run in runs}:
        found.notes.append(f"run {load.run_id} was cut off and left no receipt")
        return None
    for source in runs[0].summary["sources"]:
        if source["source_id"] == str(load.source_id):
            break
    else:
        found.disagreements.append(f"run {runs[0].run_id} has no receipt of it")
        return None
    what = f"receipt of run {runs[0].run_id}"
    for name, value in (source["records"] | source["of_which"]).items():
        found.compare(f"{what}: {name}", value, getattr(counts, name))
    for name in ("fingerprint", "first_size"):
        found.compare(f"{what}: {name}", source[name], getattr(load.identity, name))
    if source.get("ledger_digest"):
        found.compare(f"{what}: ledger_digest", source["ledger_digest"], digest)
    return dict(source)


# -- the source ------------------------------------------------------------------------------


def _check_source(
    store: Store,
    load: Load,
    states: Sequence[ChunkState],
    body: dict[str, Any],
    found: _Findings,
) -> None:
    try:
        file = LocalFile(load.path)
    except UsageError as error:
        body["source"] = "missing"
        found.notes.append(f"the source was not compared: {error.message}")
        return
    with file:
        now, then = file.identity(), load.identity
        if now.blocks == then.blocks:
            body["source"] = "same"
        elif then.size < now.size and file.prefix_matches(then.size, then.blocks, now=now.blocks):
            body["source"] = "grown"
            found.notes.append(f"the source has grown by {now.size - then.size:,} bytes since")
        else:
            body["source"] = "changed"
            found.disagreements.append("the source is not what was read: its content is another")
            return
        places = Places(load, ProvenReader(file, then))
        with Repeats(store.directory) as repeats:
            records = sum(_framed(places, load, states, repeats, found))
            body["repeated"] = _repeated(repeats)
    read = states[-1].chunk.stop if states else _start(load)
    body["recounted"] = {"records": records, "bytes": read.offset}
    found.compare("records in the source, framed again", records, read.record)


def _framed(
    places: Places,
    load: Load,
    states: Sequence[ChunkState],
    repeats: Repeats,
    found: _Findings,
) -> Iterator[int]:
    """Yield how many records there are, without regard to the bounds of chunks.

    Only where the source has grown between two chunks a new count begins: an open quote is judged
    by the end that the source had.
    """
    for size, group in groupby(states, key=lambda each: each.findings.source_size):
        chunks = [state.chunk for state in group]
        stop = chunks[-1].stop
        for frame in places.frames(chunks[0].start, size=size or load.identity.size):
            records = int(frame.offsets.searchsorted(stop.offset))
            if places.has_own_ids:
                ids = places.ids(frame)[:records]
                first = frame.start.record + 1
                repeats.add(ids, range(first, first + records))
            yield records
            if frame.stop.offset == stop.offset:
                found.compare(
                    f"records before byte {stop.offset:,}", frame.stop.record, stop.record
                )
                found.compare(f"lines before byte {stop.offset:,}", frame.stop.line, stop.line)
            if frame.stop.offset >= stop.offset:
                break


def _repeated(repeats: Repeats) -> dict[str, Any]:
    ids, times, listed = repeats.found(most=_LISTED)
    return {
        "event_uuids": ids,
        "records": times,
        "listed": [
            {"event_uuid": each.text, "times": each.times, "records": list(each.numbers)}
            for each in listed
        ],
    }
