"""The digest of a load's rows: one text that stands for all that the ledger says of its records.

It is over what decides the end of each record, and over nothing that may change without one
changing: not over claims, paths, runs or the place of reports. The form of its lines is in
docs/json-summary.md, so that others can calculate it from the ledger.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence

from ingest.core.load import ChunkState, Load, Note


def ledger_digest(load: Load, states: Sequence[ChunkState], notes: Iterable[Note]) -> str:
    """Give `sha256:` and the hexadecimal SHA-256 over the canonical rows of a load.

    Args:
        load: As recorded.
        states: Its chunks, in order.
        notes: Those of refused records in the order of their records, then those in doubt.
    """
    digest = hashlib.sha256()
    for row in _rows(load, states, notes):
        digest.update(json.dumps(row, ensure_ascii=True, separators=(",", ":")).encode())
        digest.update(b"\n")
    return f"sha256:{digest.hexdigest()}"


def _rows(
    load: Load, states: Sequence[ChunkState], notes: Iterable[Note]
) -> Iterator[Sequence[object]]:
    identity, destination = load.identity, load.destination
    yield (
        *("load", destination.origin, destination.account, str(load.source_id), load.name),
        *(identity.first_size, identity.fingerprint, identity.size, load.config_digest),
    )
    for state in states:
        yield _chunk_row(state)
    starts = {state.chunk.chunk_id: state.chunk.start.record for state in states}
    for note in notes:
        said = note.body["event_uuid" if note.kind == "doubt" else "code"]
        yield note.kind, starts[note.chunk_id] + note.record + 1, said


def _chunk_row(state: ChunkState) -> Sequence[object]:
    chunk, progress, segment = state.chunk, state.progress, state.findings.segment
    bitmaps = (
        *(progress.rejected, progress.delivered, progress.refused),
        *(progress.doubt | progress.intent, progress.held),
    )
    return (
        *("chunk", chunk.chunk_id),
        *(chunk.start.offset, chunk.start.record, chunk.start.line),
        *(chunk.stop.offset, chunk.stop.record, chunk.stop.line),
        *(f"{bits:x}" for bits in bitmaps),
        segment.sha256 if segment else None,
    )
