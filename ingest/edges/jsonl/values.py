"""What the reading of JSON lines takes and gives."""

from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ingest.core.model import Position

ReadAt = Callable[[int, int], bytes]
"""Bytes of a source by (offset, size); short only at its end."""

Ints = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of memory; only `max_record_bytes` can change a verdict.

    Args:
        chunk_bytes: Bytes read at a time; a frame is about as long.
        window_bytes: Bytes whose values are held at a time.
        max_record_bytes: A line longer than this, its line end left out, is not read.
    """

    chunk_bytes: int = 4 << 20
    window_bytes: int = 1 << 20
    max_record_bytes: int = 1 << 20

    def __post_init__(self) -> None:
        if min(self.chunk_bytes, self.window_bytes, self.max_record_bytes) < 1:
            raise ValueError("limits of framing must be 1 byte or more")


@dataclass(frozen=True, slots=True)
class Fault:
    """One reason why one record cannot be read.

    Args:
        record: Its number within the frame, from 0.
        code: A reading code, such as `json_invalid`.
        detail: What is wrong, for a person; no byte of the record is quoted in it.
        column: None: the whole line is concerned.
        raw: Its bytes without the line end; None over the cap.
    """

    record: int
    code: str
    detail: str
    column: str | None
    raw: bytes | None


@dataclass(frozen=True, slots=True)
class Frame:
    """The records of one span of a source: a record is a line that is not blank.

    Args:
        start: Where the span begins.
        stop: Where it ends: a line boundary.
        objects: The sound records as JSON objects, without the blanks around them.
        rows: Of each object, the record number within the frame.
        offsets: Of each record, its first byte in the source.
        ends: Of each record, the end of its bytes, its line end left out.
        lines: Of each record, its physical line, from 1.
        faults: By record; one each.
        resynced: Empty: no line can spoil another.
        blank_lines: Lines with nothing but blanks, which are no records.
        unterminated: The last record of the source is here, without a line end.
        blocks: Bytes of the span with their offsets, for `raw`.
    """

    start: Position
    stop: Position
    objects: list[bytes]
    rows: Ints
    offsets: Ints
    ends: Ints
    lines: Ints
    faults: tuple[Fault, ...]
    resynced: Ints
    blank_lines: int
    unterminated: bool
    blocks: tuple[tuple[int, bytes], ...]

    @property
    def records(self) -> int:
        """Records in the frame, sound or not."""
        return len(self.offsets)

    def raw(self, record: int) -> bytes:
        """The bytes of a record that is not over the cap, its line end left out."""
        offset, end = int(self.offsets[record]), int(self.ends[record])
        at = bisect_right(self.blocks, offset, key=lambda block: block[0]) - 1
        base, data = self.blocks[at]
        return data[offset - base : end - base]
