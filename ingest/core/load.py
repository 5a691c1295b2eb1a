"""What is recorded of a load: one source going to one destination."""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from uuid import UUID

from ingest.core.ledger import Counts, Progress
from ingest.core.model import Chunk, Position

BLOCK_BYTES = 8 * 1024 * 1024
"""Bytes of a source that one digest stands for; part of the definition of a fingerprint."""


@dataclass(frozen=True, slots=True)
class Destination:
    """Where events go: state belongs to it, not to a path of it.

    Args:
        origin: Scheme, host and port; `sandbox` for the embedded one, whatever its port.
        account: The name under which keys of one Blueshift account are filed.
    """

    origin: str
    account: str = "default"


@dataclass(frozen=True, slots=True)
class Stat:
    """What the file system says of a file: enough to know that it was not touched.

    Args:
        seen_ns: Wall time when it was looked at; changes just before it may not show in times.
    """

    device: int
    inode: int
    size: int
    mtime_ns: int
    ctime_ns: int
    seen_ns: int

    def proves_unchanged(self, now: "Stat", *, margin_ns: int = 2_000_000_000) -> bool:
        """Whether `now` shows the same untouched file as this earlier look.

        Times within the margin of the earlier look prove nothing: a file can change twice
        within the resolution of a file system's clock.
        """
        same = (self.device, self.inode, self.size, self.mtime_ns, self.ctime_ns) == (
            now.device,
            now.inode,
            now.size,
            now.mtime_ns,
            now.ctime_ns,
        )
        return same and self.seen_ns - max(self.mtime_ns, self.ctime_ns) > margin_ns


@dataclass(frozen=True, slots=True)
class Identity:
    """The content of a source as recorded.

    Args:
        first_size: Bytes when first seen; the fingerprint is over these.
        fingerprint: `sha256:` and the hexadecimal SHA-256 over the digests of its blocks.
        size: Bytes when last seen; more than `first_size` where the source has grown.
        blocks: SHA-256 digests of the blocks of `size` bytes, one after the other.
        stat: The last look at the file.
    """

    first_size: int
    fingerprint: str
    size: int
    blocks: bytes
    stat: Stat


def content_of(blocks: bytes) -> str:
    """Give what stands for the content that block digests are of; a fingerprint is one, too."""
    return f"sha256:{hashlib.sha256(blocks).hexdigest()}"


@dataclass(frozen=True, slots=True)
class Load:
    """One source going to one destination.

    Args:
        load_id: Its number in the ledger.
        destination: Where it goes.
        source_id: Named by the content; event_uuids hang on it.
        name: The name given by `--as`; empty without.
        path: Where it was last seen.
        identity: Its content.
        form: How it is read, as JSON-able values (dialect, columns, start).
        config_digest: What decides the content of events: mapping, schema, identity rules.
        config: The same in words, to tell what differs.
        fence: Counts claims; only the newest may commit.
        run_id: The run that last worked on it.
        reports: Directory of the last reports; empty before the first.
    """

    load_id: int
    destination: Destination
    source_id: UUID
    name: str
    path: str
    identity: Identity
    form: Mapping[str, object]
    config_digest: str
    config: Mapping[str, object]
    fence: int = 0
    run_id: str = ""
    reports: str = ""


@dataclass(frozen=True, slots=True)
class Segment:
    """A file of rejects that a chunk's row names.

    Args:
        name: File name within the load's directory.
        bytes: Its size.
        sha256: Hexadecimal digest of its content.
        rejects: How many rejects it holds.
    """

    name: str
    bytes: int
    sha256: str
    rejects: int


@dataclass(frozen=True, slots=True)
class Findings:
    """What the verdict of one chunk found, beside the bitmap.

    Args:
        codes: Violations of severity error by code.
        warnings: Violations of severity warning by code.
        warned: Records with at least one warning that were not rejected.
        blank_lines: Lines with nothing on them; no records.
        first_time: Earliest event time, ISO 8601 in UTC.
        last_time: Latest event time.
        segment: Where the rejects are; None without any.
        judged: False where a new verdict is due.
        unterminated: The last record has no line end.
        events: Records that were not rejected, by the name of their event; under the empty name
            those of names beyond the most frequent.
        source_size: Bytes of the source when the chunk was framed: an open quote is judged by the
            end of the source, which may have grown since.
    """

    codes: Mapping[str, int] = field(default_factory=dict)
    warnings: Mapping[str, int] = field(default_factory=dict)
    warned: int = 0
    blank_lines: int = 0
    first_time: str | None = None
    last_time: str | None = None
    segment: Segment | None = None
    judged: bool = True
    unterminated: bool = False
    source_size: int = 0
    events: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ChunkState:
    """A chunk, its progress and its findings: one row of the ledger."""

    chunk: Chunk
    progress: Progress
    findings: Findings

    def __post_init__(self) -> None:
        if self.progress.total != self.chunk.records:
            raise ValueError(f"chunk {self.chunk.chunk_id} counts its records differently")

    def counts(self) -> Counts:
        """Count the ends of its records."""
        return self.progress.counts(warned=self.findings.warned)


@dataclass(frozen=True, slots=True)
class Note:
    """What is known of one record that was refused or is in doubt.

    Args:
        chunk_id: Its chunk.
        record: Its number within the chunk, from 0.
        kind: `refused` or `doubt`.
        body: JSON-able details.
    """

    chunk_id: int
    record: int
    kind: str
    body: Mapping[str, object]


def total(states: Iterable[ChunkState]) -> Counts:
    """Count the ends of all records of some chunks."""
    counts = Counts()
    for state in states:
        counts += state.counts()
    return counts


def tally(mappings: Iterable[Mapping[str, int]]) -> dict[str, int]:
    """Add up counts by code, the most frequent first."""
    sums: dict[str, int] = {}
    for mapping in mappings:
        for code, count in mapping.items():
            sums[code] = sums.get(code, 0) + count
    return dict(sorted(sums.items(), key=lambda item: (-item[1], item[0])))


def end_of(states: Iterable[ChunkState], start: Position) -> Position:
    """Give where the chunks end that follow `start`.

    Raises:
        ValueError: They do not follow one another.
    """
    at = start
    for state in states:
        if state.chunk.start != at:
            raise ValueError(f"chunk {state.chunk.chunk_id} does not follow the one before it")
        at = state.chunk.stop
    return at
