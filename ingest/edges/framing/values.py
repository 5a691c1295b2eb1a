"""What framing takes and gives."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from ingest.core.model import Dialect, Position

ReadAt = Callable[[int, int], bytes]
"""Bytes of a source by (offset, size); short only at its end."""

Ints = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]


_MOST_BYTES = 1 << 30  # polars adds lengths up in 32 bits


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of memory; only `max_record_bytes` can change a verdict.

    Args:
        chunk_bytes: Bytes read at a time; a frame is about as long.
        chunk_records: Records (and blank lines) in a frame at most: a chunk of two-byte lines would
            make millions of faults.
        window_bytes: Bytes decoded at a time, and the span tried again where a proof fails.
        max_record_bytes: A record longer than this, its line end left out, is not read.
    """

    chunk_bytes: int = 4 << 20
    chunk_records: int = 100_000
    window_bytes: int = 256 << 10
    max_record_bytes: int = 1 << 20

    def __post_init__(self) -> None:
        if min(self.chunk_bytes, self.chunk_records, self.window_bytes, self.max_record_bytes) < 1:
            raise ValueError("limits of framing must be 1 or more")
        if max(self.chunk_bytes, self.max_record_bytes) > _MOST_BYTES:
            raise ValueError("chunks and records are at most 1 GiB")


@dataclass(frozen=True, slots=True)
class Header:
    """The first record of a source.

    Args:
        columns: Its cells; a dropped position is named `#n`.
        start: Where the records begin.
        dialect: The dialect given, with the line ends that the header shows.
    """

    columns: tuple[str, ...]
    start: Position
    dialect: Dialect


@dataclass(frozen=True, slots=True)
class Fault:
    """One reason why one record cannot be read.

    Args:
        record: Its number within the frame, from 0.
        code: A reading code, such as `row_too_few_fields`.
        detail: What is wrong, for a person; no byte of the record is quoted in it.
        column: The column concerned, where it is known.
        raw: Its bytes without the line end; None over the cap.
    """

    record: int
    code: str
    detail: str
    column: str | None
    raw: bytes | None


@dataclass(frozen=True, slots=True)
class Frame:
    """The records of one span of a source.

    A frame may hold no record (blank lines only), and its table no row.

    Args:
        start: Where the span begins.
        stop: Where it ends: a record boundary.
        table: The sound records: String columns named by the header, empty cells null.
        rows: Of each row of the table, the record number within the frame.
        offsets: Of each record, its first byte in the source.
        ends: Of each record, the end of its bytes, its line end left out.
        lines: Of each record, the physical line on which it begins, from 1.
        faults: By record, then in the order of checks.
        resynced: Numbers of the records, sound or not, that begin in the 64 physical lines after
            an illegal or unclosed quote.
        blank_lines: Lines with nothing on them, which are no records.
        unterminated: The last record of the source is here, without a (whole) line end.
    """

    start: Position
    stop: Position
    table: pl.DataFrame
    rows: Ints
    offsets: Ints
    ends: Ints
    lines: Ints
    faults: tuple[Fault, ...]
    resynced: Ints
    blank_lines: int
    unterminated: bool

    @property
    def records(self) -> int:
        """Records in the frame, sound or not."""
        return len(self.offsets)
