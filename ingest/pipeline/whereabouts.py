"""Where a record is: in the source, or by what was kept of it where the source is gone."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from ingest.core.load import ChunkState, Load
from ingest.core.model import Reject, Stage
from ingest.edges.encoder import uuid_series
from ingest.edges.store import Store
from ingest.errors import UsageError
from ingest.pipeline.mended import MENDED
from ingest.pipeline.places import Places, own_id_in
from ingest.pipeline.reporting import rejects_in

FACTS: Final = ("line", "offset", "length")


@dataclass(frozen=True, slots=True)
class Asked:
    """Which record is meant: one of three.

    Args:
        line: A physical line of it, from 1.
        record: Its number, from 1.
        uuid: Its event_uuid.
    """

    line: int | None = None
    record: int | None = None
    uuid: str | None = None

    def __post_init__(self) -> None:
        if sum(each is not None for each in (self.line, self.record, self.uuid)) != 1:
            raise ValueError("one of line, record and uuid says which record is meant")


@dataclass(frozen=True, slots=True)
class Place:
    """Where a record was found.

    Args:
        state: Its chunk.
        record: Its number within the chunk, from 0.
        facts: `line`, `last_line`, `offset`, `length` and `event_uuid`, as far as they are known.
    """

    state: ChunkState
    record: int
    facts: dict[str, Any]


def nobody(asked: Asked) -> UsageError:
    """Give the error that no record has an id."""
    return UsageError(
        f"no record that was read has the event_uuid {asked.uuid}",
        hint="ingest status shows the loads; where a source is gone, few ids of its records are known",
        code="no_such_record",
    )


def located(places: Places, load: Load, states: Sequence[ChunkState], asked: Asked) -> Place:
    """Find the record in the source.

    Raises:
        UsageError: There is none, or it was not read yet.
        MismatchError: The source is not what was read.
    """
    if asked.uuid is not None:
        return _by_uuid(places, states, asked.uuid)
    if asked.record is not None:
        state = _chunk_of(load, states, asked.record)
        return _at(places, state, asked.record - 1 - state.chunk.start.record)
    return _by_line(places, load, states, asked.line or 0)


def _at(places: Places, state: ChunkState, record: int) -> Place:
    frame = places.frame(state)
    offset, end = int(frame.offsets[record]), int(frame.ends[record])
    facts = {
        "line": int(frame.lines[record]),
        "last_line": places.last_line(frame, record),
        "offset": offset,
        "length": end - offset,
        "event_uuid": places.ids(frame)[record],
    }
    return Place(state, record, facts)


def _by_line(places: Places, load: Load, states: Sequence[ChunkState], line: int) -> Place:
    if line < places.start.line:
        raise UsageError(
            f"line {line:,} of {load.path} stands before the first record: it is the header",
            hint=f"the first record begins on line {places.start.line:,} or later",
            code="line_is_header",
        )
    before = [state for state in states if state.chunk.start.line <= line]
    if before:
        frame = places.frame(before[-1])
        record = int(frame.lines.searchsorted(line, side="right")) - 1
        if record >= 0 and line <= places.last_line(frame, record):
            return _at(places, before[-1], record)
        if line < frame.stop.line:
            raise UsageError(
                f"line {line:,} of {load.path} is blank: no record",
                hint="blank lines are counted, not sent",
                code="line_is_blank",
            )
    raise _beyond(places, load, states, line)


def _beyond(places: Places, load: Load, states: Sequence[ChunkState], line: int) -> UsageError:
    read = states[-1].chunk.stop if states else places.start
    size = load.identity.size
    ended = size == 0 or places.read_at(size - 1, 1) in {b"\n", b"\r"}
    last = read.line + places.line_ends(read.offset, size) - (1 if ended else 0)
    if read.offset >= size or line > last:
        return UsageError(
            f"{load.path} has no line {line:,}", hint=f"its last is {last:,}", code="no_such_record"
        )
    return UsageError(
        f"line {line:,} of {load.path} was not read yet: {read.offset:,} of {size:,} bytes were",
        hint="run the same command again to go on",
        code="not_read_yet",
    )


def _chunk_of(load: Load, states: Sequence[ChunkState], record: int) -> ChunkState:
    for state in states:
        if state.chunk.start.record < record <= state.chunk.stop.record:
            return state
    read = states[-1].chunk.stop.record if states else 0
    whole = bool(states) and states[-1].chunk.stop.offset >= load.identity.size
    if whole or record < 1:
        raise UsageError(
            f"{load.path} has no record {record:,}", hint=f"it has {read:,}", code="no_such_record"
        )
    raise UsageError(
        f"record {record:,} of {load.path} was not read yet: {read:,} records were",
        hint="run the same command again to go on",
        code="not_read_yet",
    )


def _by_uuid(places: Places, states: Sequence[ChunkState], uuid: str) -> Place:
    wanted = {uuid, uuid.lower()}
    for state in states:
        for record, one in enumerate(places.ids(places.frame(state))):
            if one in wanted:
                return _at(places, state, record)
    raise nobody(Asked(uuid=uuid))


def remembered(store: Store, load: Load, states: Sequence[ChunkState], asked: Asked) -> Place:
    """Find the record by what was kept of it.

    Raises:
        UsageError: Nothing was kept, or too little to know it by what was asked.
    """
    if asked.record is not None:
        state = _chunk_of(load, states, asked.record)
        return Place(state, asked.record - 1 - state.chunk.start.record, {})
    for state in states:
        for record, facts in _kept(store, load, state):
            if asked.line is not None and facts["line"] == asked.line:
                return Place(state, record, facts)
            if asked.uuid is not None and facts["event_uuid"] in {asked.uuid, asked.uuid.lower()}:
                return Place(state, record, facts)
    what = f"line {asked.line:,}" if asked.line is not None else f"event_uuid {asked.uuid}"
    raise UsageError(
        f"{load.path} is gone or was changed, and nothing was kept by which {what} could be found",
        hint="put the source back, or ask by --record N",
        code="source_missing",
    )


def _kept(store: Store, load: Load, state: ChunkState) -> Iterator[tuple[int, dict[str, Any]]]:
    names = (*FACTS, "event_uuid")
    for kind in ("doubt", "refused", MENDED):
        for note in store.notes(load, kind, chunk_id=state.chunk.chunk_id):
            made = uuid_series(load.source_id, [int(str(note.body["offset"]))])[0]
            yield (
                note.record,
                {"event_uuid": made}
                | {name: note.body[name] for name in names if name in note.body},
            )
    for reject in rejects_in(state, segments=store.segments(load)):
        facts: dict[str, Any] = {name: getattr(reject, name) for name in FACTS}
        facts["event_uuid"] = id_of(load, reject)
        yield reject.record - 1 - state.chunk.start.record, facts


def id_of(load: Load, reject: Reject) -> str | None:
    """Give the event_uuid of a reject by what was kept of it; None where key columns make it."""
    mapping: Any = load.config["mapping"]
    if reject.stage is not Stage.READING:
        own = own_id_in(load, reject.cells, reject.raw)
        if own or mapping.get("key"):
            return own
    return str(uuid_series(load.source_id, [reject.offset])[0])
