"""The records of a load that were sent, each with its place and its event_uuid.

Nothing of the kind is stored: the source is read again for it, and each of its bytes proven.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np

from ingest.config import RunConfig
from ingest.core.ledger import Progress, bitmap, members
from ingest.core.load import ChunkState, Load
from ingest.edges.source import LocalFile, ProvenReader
from ingest.edges.store import Store
from ingest.pipeline.formats import Look, form_of
from ingest.pipeline.mended import MENDED, Terms, prepare
from ingest.pipeline.retry import terms_of


@dataclass(frozen=True, slots=True)
class Sent:
    """A record that was sent.

    Args:
        record: From 1.
        line: The physical line on which it begins, from 1.
        offset: The byte at which it begins.
        event_uuid: As it was sent.
        delivered: Whether the API confirmed it.
    """

    record: int
    line: int
    offset: int
    event_uuid: str
    delivered: bool


def sent_records(
    config: RunConfig,
    store: Store,
    load: Load,
    states: Sequence[ChunkState],
    *,
    run_id: str,
    which: Callable[[Progress], int],
) -> Iterator[Sent]:
    """Yield the records of a load that are wanted, in order.

    Args:
        config: For the rules.
        store: The ledger.
        load: The load.
        states: Its chunks.
        run_id: The run that asks.
        which: Gives the wanted records of a chunk, as a bitmap.

    Raises:
        UsageError: The source is not there.
        MismatchError: The source, or a segment, is not what was recorded.
    """
    if not any(which(state.progress) for state in states):
        return
    terms = terms_of(config, store, load, now=datetime.now(UTC), run_id=run_id)
    with LocalFile(load.path) as file:
        file.recall(load.identity.size)
        form = form_of(
            terms,
            read_at=ProvenReader(file, load.identity),
            source_id=load.source_id,
            limits=terms.limits,
        )
        for state in states:
            chunk, bits = state.chunk, which(state.progress)
            if not bits:
                continue
            mended = _mended(terms, store, state, bits)
            size = state.findings.source_size or load.identity.size
            looks = form.looks(chunk.start, stop=chunk.stop.offset, limit=None, size=size)
            for look in looks:
                yield from _rows(look, bits, state.progress.delivered, mended)


def _mended(terms: Terms, store: Store, state: ChunkState, wanted: int) -> Mapping[int, str]:
    """The ids of wanted records of a chunk that had come back mended."""
    notes = list(store.notes(terms.load, MENDED, chunk_id=state.chunk.chunk_id))
    bits = bitmap(note.record for note in notes) & wanted
    if not bits:
        return {}
    describe = prepare(terms, state, notes, bits).payload.describe
    return {record: str(describe(record)["event_uuid"]) for record in members(bits)}


def _rows(look: Look, wanted: int, delivered: int, mended: Mapping[int, str]) -> Iterator[Sent]:
    frame = look.frame
    rows = {int(record): row for row, record in enumerate(frame.rows)}
    made = look.made_uuids(np.arange(len(frame.rows))).to_list()
    first = frame.start.record
    for record in members(wanted):
        row = rows.get(record)
        own = None if row is None else look.given_uuid(row) or made[row]
        yield Sent(
            record=first + record + 1,
            line=int(frame.lines[record]),
            offset=int(frame.offsets[record]),
            event_uuid=mended.get(record) or own or "",
            delivered=bool(delivered >> record & 1),
        )
