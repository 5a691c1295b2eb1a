"""`ingest why`: the whole history of one record, from ledger, segments, log of attempts and source.

Where the source is gone or was changed, what the ledger and its files know of the record is told,
and what is not known is said.
"""

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ingest.core.load import ChunkState, Load, Note
from ingest.core.model import Reject, Violation
from ingest.edges.attempts import read_attempts
from ingest.edges.source import LocalFile
from ingest.edges.store import LEDGER, Store
from ingest.errors import IngestError, MismatchError, StoppedError, UsageError
from ingest.pipeline.mended import MENDED, reject_of
from ingest.pipeline.places import Places, own_id_in, places_of
from ingest.pipeline.reporting import rejects_in
from ingest.pipeline.whereabouts import FACTS, Asked, Place, id_of, located, nobody, remembered


def why_command(state: Path, source: str | None, asked: Asked) -> list[dict[str, Any]]:
    """Give the histories of a record: one for each load that has it.

    Args:
        state: The state directory.
        source: Path of the source; None: all loads are searched for a uuid.
        asked: The record.

    Raises:
        UsageError: There is no such record, or it was not read yet.
        MismatchError: The ledger or a segment is damaged.
    """
    if not (state / LEDGER).exists():
        raise UsageError(
            f"nothing was sent yet: there is no ledger in {state}",
            hint="--state DIR, as the run had it",
            code="no_ledger",
        )
    with Store(state) as store:
        found: list[dict[str, Any]] = []
        refused: IngestError | None = None
        for load in _loads(store, source):
            try:
                found.append(_history(store, load, asked))
            except UsageError as error:
                refused = refused or error
        if not found:
            raise nobody(asked) if refused is None or source is None else refused
        return found


def _loads(store: Store, source: str | None) -> list[Load]:
    """The loads of a source, newest first: by its path, or else by its content."""
    loads = store.loads()[::-1]
    if source is None:
        return loads
    path = str(Path(source).resolve())
    found = [load for load in loads if load.path == path]
    if not found and Path(source).is_file():
        with LocalFile(source) as file:
            now = file.identity()
        found = [replace(each, path=path) for each in loads if each.identity.blocks == now.blocks]
    if not found:
        raise UsageError(
            f"there is no load of a file {source}",
            hint="ingest status shows the loads; --state DIR, as the run had it",
            code="unknown_load",
        )
    return found


# -- one load --------------------------------------------------------------------------------


def _history(store: Store, load: Load, asked: Asked) -> dict[str, Any]:
    states = store.chunks(load)
    unknown: list[str] = []
    with ExitStack() as stack:
        places: Places | None = None
        try:
            places = stack.enter_context(places_of(load))
            place = located(places, load, states, asked)
        except (MismatchError, StoppedError) as error:
            unknown.append(f"the source is not as it was read: {error.message}")
            place = remembered(store, load, states, asked)
        except UsageError as error:
            if places is not None:
                raise
            unknown.append(f"the source cannot be read: {error.message}")
            place = remembered(store, load, states, asked)
    return _told(store, load, place, unknown)


def _told(store: Store, load: Load, place: Place, unknown: list[str]) -> dict[str, Any]:
    state, record = place.state, place.record
    progress, bit = state.progress, 1 << record
    notes = {kind: _note(store, load, place, kind) for kind in ("refused", "doubt", MENDED)}
    reject = _rejected(store, load, place)
    mended = notes[MENDED]
    was = None if mended is None else reject_of(mended.body["was"])
    attempts = list(_attempts(store, load, place))
    facts = _facts(load, place, notes.values(), reject, was)
    end = progress.end_of(record)
    if any(facts[name] is None for name in (*FACTS, "event_uuid")):
        unknown.append("its place or event_uuid: nothing was kept of it but its end")
    if end == "delivered" and not any(one["act"] == "delivered" for one in attempts):
        unknown.append(
            "the attempt that delivered it: the log may have lost lines, or it was declared so"
            " (retry --doubt delivered, run --adopt)"
        )
    if reject is None:
        unknown.append("its warnings: they are counted, not kept by record")
    violations = reject.violations if reject else was.violations if was else ()
    return {
        "path": load.path,
        "name": load.name,
        "origin": load.destination.origin,
        "account": load.destination.account,
        "source_id": str(load.source_id),
        "run_id": load.run_id,
        "runs": [
            {"run_id": run.run_id, "started_at": run.started_at, "status": run.status}
            for run in store.runs(load)[::-1]
        ],
        "record": state.chunk.start.record + record + 1,
        **facts,
        "chunk": state.chunk.chunk_id,
        "verdict": _verdict(state, reject, was),
        "stage": str(reject.stage) if reject else str(was.stage) if was else None,
        "violations": [_violation(each) for each in violations],
        "refusal": _refusal(notes["refused"]),
        "mended_by": None if mended is None else mended.body["run_id"],
        "attempts": attempts,
        "in_doubt": bool((progress.doubt | progress.intent) & bit),
        "intent": bool(progress.intent & bit),
        "parked": bool(progress.parked & bit) + bool(progress.parked_again & bit),
        "held": bool(progress.held & bit),
        "end": end,
        "not_known": unknown,
    }


def _verdict(state: ChunkState, reject: Reject | None, was: Reject | None) -> str:
    if not state.findings.judged:
        return "to be judged again"
    if was is not None:
        return "mended"
    return "passed" if reject is None else "rejected"


def _violation(each: Violation) -> dict[str, Any]:
    return {
        "code": each.code,
        "columns": list(each.columns),
        "message": each.message,
        "hint": each.hint,
    }


def _refusal(note: Note | None) -> dict[str, Any] | None:
    if note is None:
        return None
    return {name: note.body[name] for name in ("code", "message", "hint")}


def _facts(
    load: Load,
    place: Place,
    notes: Any,
    reject: Reject | None,
    was: Reject | None,
) -> dict[str, Any]:
    """Where it is, from the source, or else from what was kept of the record."""
    facts: dict[str, Any] = dict.fromkeys(("line", "last_line", "offset", "length", "event_uuid"))
    for note in notes:
        if note is not None:
            facts |= {name: note.body[name] for name in facts if note.body.get(name) is not None}
            if note.kind == MENDED:
                raw, cells = note.body["raw"], note.body["cells"]
                own = own_id_in(load, cells, None if raw is None else raw.encode())
                made = note.body.get("made_uuid")  # of key columns, as the record was at first
                facts |= {"event_uuid": own or made} if own or made else {}
    for one in (reject, was):
        facts |= {name: getattr(one, name) for name in FACTS} if one is not None else {}
    facts |= {name: value for name, value in place.facts.items() if facts[name] is None}
    if facts["event_uuid"] is None and reject is not None:
        facts["event_uuid"] = id_of(load, reject)
    return facts


def _attempts(store: Store, load: Load, place: Place) -> Iterator[dict[str, Any]]:
    names = ("attempt", "status", "failure", "request_id", "act", "note", "took_s")
    for one in read_attempts(store.segments(load)):
        spans = one["records"]
        if one["chunk"] != place.state.chunk.chunk_id:
            continue
        if any(first <= place.record < stop for first, stop in spans):
            at = datetime.fromtimestamp(one["at"], UTC).isoformat(timespec="milliseconds")
            events = sum(stop - first for first, stop in spans)
            yield {"at": at, "run_id": one.get("run"), "events": events} | {
                name: one.get(name) for name in names
            }


def _rejected(store: Store, load: Load, place: Place) -> Reject | None:
    if not place.state.progress.rejected >> place.record & 1:
        return None
    number = place.state.chunk.start.record + place.record + 1
    rejects = rejects_in(place.state, segments=store.segments(load))
    return next((one for one in rejects if one.record == number), None)


def _note(store: Store, load: Load, place: Place, kind: str) -> Note | None:
    notes = store.notes(load, kind, chunk_id=place.state.chunk.chunk_id)
    return next((note for note in notes if note.record == place.record), None)
