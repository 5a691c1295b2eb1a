"""The tables of the ledger, and values to rows and back, each row with its checksum."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any
from uuid import UUID

from ingest.core.ledger import Progress
from ingest.core.load import ChunkState, Destination, Findings, Identity, Load, Note, Segment, Stat
from ingest.core.model import Chunk, Position

FORMAT = 1
"""Version of the tables; a ledger of another version is migrated or refused by name."""

SCHEMA = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;
CREATE TABLE account (
    origin TEXT NOT NULL, account TEXT NOT NULL, salt BLOB NOT NULL, digest BLOB NOT NULL,
    PRIMARY KEY (origin, account)
) STRICT;
CREATE TABLE load (
    load_id INTEGER PRIMARY KEY, origin TEXT NOT NULL, account TEXT NOT NULL,
    source_id TEXT NOT NULL, name TEXT NOT NULL, path BLOB NOT NULL,
    first_size INTEGER NOT NULL, fingerprint TEXT NOT NULL,
    size INTEGER NOT NULL, blocks BLOB NOT NULL, stat TEXT NOT NULL,
    form TEXT NOT NULL, config_digest TEXT NOT NULL, config TEXT NOT NULL,
    fence INTEGER NOT NULL, run_id TEXT NOT NULL, reports BLOB NOT NULL, checksum BLOB NOT NULL,
    UNIQUE (origin, account, source_id)
) STRICT;
CREATE TABLE chunk (
    load_id INTEGER NOT NULL REFERENCES load, chunk_id INTEGER NOT NULL,
    start_offset INTEGER NOT NULL, start_record INTEGER NOT NULL,
    start_line INTEGER NOT NULL, start_resync INTEGER NOT NULL,
    stop_offset INTEGER NOT NULL, stop_record INTEGER NOT NULL,
    stop_line INTEGER NOT NULL, stop_resync INTEGER NOT NULL,
    rejected BLOB NOT NULL, delivered BLOB NOT NULL, refused BLOB NOT NULL, intent BLOB NOT NULL,
    doubt BLOB NOT NULL, parked BLOB NOT NULL, parked_again BLOB NOT NULL, held BLOB NOT NULL,
    findings TEXT NOT NULL, checksum BLOB NOT NULL,
    PRIMARY KEY (load_id, chunk_id)
) STRICT;
CREATE TABLE note (
    load_id INTEGER NOT NULL REFERENCES load, chunk_id INTEGER NOT NULL,
    record INTEGER NOT NULL, kind TEXT NOT NULL, body TEXT NOT NULL, checksum BLOB NOT NULL,
    PRIMARY KEY (load_id, chunk_id, record, kind)
) STRICT, WITHOUT ROWID;
CREATE TABLE run (
    run_id TEXT PRIMARY KEY, started_at TEXT NOT NULL, finished_at TEXT NOT NULL,
    status TEXT NOT NULL, exit_code INTEGER NOT NULL, summary TEXT NOT NULL, checksum BLOB NOT NULL
) STRICT;
CREATE TABLE run_load (
    run_id TEXT NOT NULL, load_id INTEGER NOT NULL, PRIMARY KEY (run_id, load_id)
) STRICT, WITHOUT ROWID;
"""

Row = tuple[Any, ...]


class DamagedRowError(ValueError):
    """A row does not match its checksum."""


def checksum(values: Sequence[Any]) -> bytes:
    """Give 8 bytes over all values of a row and their types."""
    digest = hashlib.blake2b(digest_size=8)
    for value in values:
        content = value if isinstance(value, bytes) else str(value).encode()
        digest.update(f"{type(value).__name__}:{len(content)}:".encode())
        digest.update(content)
    return digest.digest()


def sealed(values: Row) -> Row:
    """Give the row with its checksum behind it."""
    return (*values, checksum(values))


def opened(row: Row, *, table: str) -> Row:
    """Give the row without its checksum.

    Raises:
        DamagedRowError: They do not match.
    """
    if row[-1] != checksum(row[:-1]):
        raise DamagedRowError(f"a row of table {table!r} does not match its checksum")
    return row[:-1]


def _text(value: object) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"))


def _bits(bits: int) -> bytes:
    return bits.to_bytes((bits.bit_length() + 7) // 8, "little")


def path_bytes(path: str) -> bytes:
    """Give a path as the file system has it: any bytes may be in it."""
    return path.encode("utf-8", "surrogateescape")


def load_row(load: Load) -> Row:
    """Give the row of a load."""
    identity = load.identity
    return sealed(
        (
            load.load_id,
            load.destination.origin,
            load.destination.account,
            str(load.source_id),
            load.name,
            path_bytes(load.path),
            identity.first_size,
            identity.fingerprint,
            identity.size,
            identity.blocks,
            _text(asdict(identity.stat)),
            _text(load.form),
            load.config_digest,
            _text(load.config),
            load.fence,
            load.run_id,
            path_bytes(load.reports),
        )
    )


def load_of(row: Row) -> Load:
    """Give the load of a row."""
    values = opened(row, table="load")
    return Load(
        load_id=values[0],
        destination=Destination(origin=values[1], account=values[2]),
        source_id=UUID(values[3]),
        name=values[4],
        path=values[5].decode("utf-8", "surrogateescape"),
        identity=Identity(
            first_size=values[6],
            fingerprint=values[7],
            size=values[8],
            blocks=values[9],
            stat=Stat(**json.loads(values[10])),
        ),
        form=json.loads(values[11]),
        config_digest=values[12],
        config=json.loads(values[13]),
        fence=values[14],
        run_id=values[15],
        reports=values[16].decode("utf-8", "surrogateescape"),
    )


def chunk_row(load_id: int, state: ChunkState) -> Row:
    """Give the row of a chunk."""
    start, stop, progress = state.chunk.start, state.chunk.stop, state.progress
    bitmaps = (
        progress.rejected,
        progress.delivered,
        progress.refused,
        progress.intent,
        progress.doubt,
        progress.parked,
        progress.parked_again,
        progress.held,
    )
    return sealed(
        (
            load_id,
            state.chunk.chunk_id,
            *(start.offset, start.record, start.line, start.resync_until),
            *(stop.offset, stop.record, stop.line, stop.resync_until),
            *map(_bits, bitmaps),
            _text(_findings_json(state.findings)),
        )
    )


def chunk_of(row: Row) -> ChunkState:
    """Give the state of a row."""
    values = opened(row, table="chunk")
    chunk = Chunk(chunk_id=values[1], start=Position(*values[2:6]), stop=Position(*values[6:10]))
    bitmaps = (int.from_bytes(bits, "little") for bits in values[10:18])
    return ChunkState(
        chunk=chunk,
        progress=Progress(chunk.records, *bitmaps),
        findings=_findings_of(json.loads(values[18])),
    )


def note_row(load_id: int, note: Note) -> Row:
    """Give the row of a note."""
    return sealed((load_id, note.chunk_id, note.record, note.kind, _text(note.body)))


def note_of(row: Row) -> Note:
    """Give the note of a row."""
    values = opened(row, table="note")
    return Note(chunk_id=values[1], record=values[2], kind=values[3], body=json.loads(values[4]))


def _findings_json(findings: Findings) -> Mapping[str, object]:
    return asdict(findings)


def _findings_of(body: dict[str, Any]) -> Findings:
    segment = body.pop("segment")
    return Findings(**body, segment=Segment(**segment) if segment else None)
