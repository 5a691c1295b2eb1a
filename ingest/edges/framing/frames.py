"""The bytes of a source to frames of records: sound ones in a table, the others as faults.

Whatever the sizes of chunks and windows, the same bytes give the same records, values, faults and
marks: a frame begins at a record boundary, everything that a verdict needs of the past is in its
`Position`, and a record that does not end in the block is read again whole, or looked up.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import polars as pl

from ingest.core.csv_machine import RecordEnd, RecordScanner
from ingest.core.model import Dialect, Position
from ingest.edges.framing.outline import Block, Marks, Outline, Shape, outline
from ingest.edges.framing.table import Records, to_table
from ingest.edges.framing.values import Fault, Flags, Frame, Ints, Limits, ReadAt
from ingest.errors import BugError, MismatchError

RESYNC_LINES = 64
"""Physical lines after an illegal quote whose records are marked."""

_CAREFUL_STEP = 1024


@dataclass(frozen=True, slots=True)
class _Job:
    read_at: ReadAt
    size: int
    stop: int | None
    columns: tuple[str, ...]
    dialect: Dialect
    limits: Limits


def frames(
    read_at: ReadAt,
    *,
    size: int,
    start: Position,
    stop_offset: int | None = None,
    columns: Sequence[str],
    dialect: Dialect,
    limits: Limits,
    max_records: int | None = None,
) -> Iterator[Frame]:
    """Read records from a record boundary on.

    Args:
        read_at: Gives bytes of the source.
        size: Bytes of the source that are read; with `stop_offset`, what it was the first time,
            for an open quote is judged by the end of the source.
        start: A record boundary: `Header.start`, or the `stop` of a frame.
        stop_offset: The `stop` of an earlier frame; one frame is made, equal to those that
            covered the span.
        columns: `Header.columns`.
        dialect: `Header.dialect`, for it knows the line ends.
        limits: Bounds of memory.
        max_records: Stop behind that many records, if there are as many.

    Yields:
        Frames that tile `[start, size)`, each of about `limits.chunk_bytes`.

    Raises:
        MismatchError: The source ends before `size`.
        BugError: `stop_offset` is no record boundary.
    """
    job = _Job(read_at, size, stop_offset, tuple(columns), dialect, limits)
    parts = _parts(job, start, max_records)
    if stop_offset is None:
        yield from parts
    elif stop_offset > start.offset:
        yield _merge(list(parts))


def _parts(job: _Job, position: Position, max_records: int | None) -> Iterator[Frame]:
    left = max_records
    target = job.size if job.stop is None else job.stop
    want = job.limits.chunk_bytes
    while position.offset < target and (left is None or left > 0):
        part = _part(job, position, left, want)
        yield part
        # Where lines are so short that the number of records cut the chunk, read less at a time.
        full = part.records + part.blank_lines >= job.limits.chunk_records
        length = part.stop.offset - part.start.offset
        want = min(length if full else 2 * want, job.limits.chunk_bytes)
        position = part.stop
        left = None if left is None else left - part.records
    if job.stop is not None and position.offset > job.stop:
        raise BugError(f"offset {job.stop} is inside a record", code="chunk_bounds")


def _part(job: _Job, position: Position, most: int | None, want: int) -> Frame:
    """One frame of a chunk, or of as many bytes more as its first record needs."""
    while True:
        block = _block(job, position.offset, want)
        marks = Marks(block)
        found = outline(
            marks,
            max_record_bytes=job.limits.max_record_bytes,
            look_ahead=lambda at: _look_ahead(job, position.offset + at),
        )
        if len(found):
            found = _up_to(found, job, position.offset, most)
            return _frame(job, position, marks, found)
        want *= 2


def _block(job: _Job, offset: int, want: int) -> Block:
    size = min(want, job.size - offset)
    data = _read(job, offset, size)
    final = offset + size == job.size
    if not final and job.dialect.newline == "\r" and data.endswith(b"\r"):
        data = data[:-1]  # the next byte decides what line end this is
    return Block(data, final=final, dialect=job.dialect)


def _read(job: _Job, offset: int, size: int) -> bytes:
    data = job.read_at(offset, size)
    if len(data) != size:
        raise MismatchError(
            f"the source ends at byte {offset + len(data)}; it had {job.size} bytes",
            hint="let nothing change the file while it is read",
            code="source_truncated",
        )
    return data


def _look_ahead(job: _Job, offset: int) -> RecordEnd:
    """The end of a record that may be longer than memory."""
    scanner = RecordScanner(job.dialect)
    while True:
        size = min(job.limits.chunk_bytes, job.size - offset)
        block = _read(job, offset, size)
        offset += size
        end = scanner.feed(block, final=offset == job.size)
        if end is not None:
            return end
        if offset == job.size:
            raise BugError("a record has no end at the end of its source", code="no_end")


def _up_to(found: Outline, job: _Job, base: int, most: int | None) -> Outline:
    """Without what lies behind the stop, or behind the last record wanted."""
    found = found.first(job.limits.chunk_records)
    if job.stop is not None:
        found = found.first(int(found.starts.searchsorted(job.stop - base)))
    if most is not None and most <= len(found):
        records = np.flatnonzero(found.stops > found.starts)
        if most <= len(records):
            found = found.first(int(records[most - 1]) + 1)
    return found


def _frame(job: _Job, start: Position, marks: Marks, found: Outline) -> Frame:
    record = found.stops > found.starts
    widths, quotes = _widths(marks, found)
    legal = record & (found.shapes == Shape.LEGAL)
    undecodable = _undecodable(job, marks.block.data, found)
    sound = legal & (widths == len(job.columns))
    sound[list(undecodable)] = False
    records = Records(
        marks.block.data,
        found,
        quotes=quotes,
        dialect=job.dialect,
        window_bytes=job.limits.window_bytes,
    )
    numbers = np.cumsum(record) - 1
    lines = (found.skipped + start.line)[record]
    resynced, resync_until = _resync(start, lines, found.shapes[record])
    stop = Position(
        offset=start.offset + int(found.followings[-1]),
        record=start.record + int(np.count_nonzero(record)),
        line=start.line + found.lines,
        resync_until=resync_until if resync_until > start.line + found.lines else 0,
    )
    return Frame(
        start=start,
        stop=stop,
        table=to_table(records, job.columns, sound),
        rows=numbers[sound],
        offsets=(found.starts + start.offset)[record],
        ends=(found.stops + start.offset)[record],
        lines=lines,
        faults=tuple(
            _faults(job, start.offset, marks, found, widths, undecodable, record & ~sound, numbers)
        ),
        resynced=resynced,
        blank_lines=len(found) - int(np.count_nonzero(record)),
        unterminated=found.open_ended and bool(record[-1]),
    )


def _widths(marks: Marks, found: Outline) -> tuple[Ints, Ints]:
    """Cells of each record (of legal ones), and the quotes of the legal records."""
    size = min(int(found.followings[-1]), len(marks.bytes))
    separators = np.flatnonzero(marks.bytes[:size] == ord(marks.block.dialect.separator))
    widths = np.diff(separators.searchsorted(found.stops), prepend=0) + 1
    quotes = marks.quotes[: marks.quotes.searchsorted(size)]
    wrong = found.shapes != Shape.LEGAL
    if wrong.any() and len(quotes):
        quotes = quotes[~wrong[found.followings.searchsorted(quotes, side="right")]]
    opening, closing = _outer(quotes)
    inside = separators.searchsorted(closing) - separators.searchsorted(opening)
    if inside.any():
        quoted = np.flatnonzero(inside)
        owners = found.followings.searchsorted(opening[quoted], side="right")
        np.subtract.at(widths, owners, inside[quoted])
    return widths, quotes


def _outer(quotes: Ints) -> tuple[Ints, Ints]:
    """The quotes around cells, opening and closing ones: all but the doubled."""
    opening, closing = quotes[0::2], quotes[1::2]
    if not len(quotes):
        return opening, closing
    apart = opening[1:] - closing[:-1] > 1
    return opening[np.insert(apart, 0, True)], closing[np.append(apart, True)]


def _undecodable(job: _Job, data: bytes, found: Outline) -> dict[int, int]:
    """Of each record that is not in the encoding, the first wrong byte."""
    size = min(int(found.followings[-1]), len(data))
    wrong: dict[int, int] = {}
    if data.isascii():
        return wrong
    view = memoryview(data)
    followings = found.followings
    at, step = 0, job.limits.window_bytes
    while at < size:
        last = int(followings.searchsorted(at + step))
        stop = min(int(followings[min(last, len(followings) - 1)]), size)
        try:
            str(view[at:stop], job.dialect.encoding)
            at, step = stop, min(2 * step, job.limits.window_bytes)
        except UnicodeDecodeError as error:
            byte = at + error.start
            number = int(followings.searchsorted(byte, side="right"))
            wrong[number] = byte
            # The error keeps a copy of what was given: small steps while it goes wrong.
            at, step = int(followings[number]), min(_CAREFUL_STEP, job.limits.window_bytes)
    return wrong


def _resync(start: Position, lines: Ints, shapes: Ints) -> tuple[Ints, int]:
    """Numbers of the records to mark, and the line up to which marks go on."""
    lost = (shapes != Shape.LEGAL) & (shapes != Shape.TOO_LARGE)
    until = np.maximum.accumulate(
        np.concatenate(
            (
                np.array([start.resync_until], dtype=np.int64),
                np.where(lost, lines + RESYNC_LINES + 1, 0),
            )
        )
    )
    return np.flatnonzero(lines < until[:-1]), int(until[-1])


def _faults(
    job: _Job,
    base: int,
    marks: Marks,
    found: Outline,
    widths: Ints,
    undecodable: dict[int, int],
    faulty: Flags,
    numbers: Ints,
) -> Iterator[Fault]:
    data, columns = marks.block.data, len(job.columns)
    rows = np.flatnonzero(faulty)
    facts = (rows, numbers[rows], found.starts[rows], found.stops[rows], widths[rows])
    marked = (found.shapes[rows], found.quotes[rows] + base)
    for row, number, first, stop, width, shape, quote in zip(
        *(fact.tolist() for fact in (*facts, *marked)), strict=True
    ):
        raw = data[first:stop] if stop - first <= job.limits.max_record_bytes else None
        if shape:
            code, detail = _shape_fault(shape, stop - first, quote, job)
            yield Fault(number, code, detail, None, raw)
            continue
        if width != columns:
            truncated = found.open_ended and row == len(found) - 1
            code, detail = _width_fault(width, columns, truncated=truncated)
            yield Fault(number, code, detail, None, raw)
        if row in undecodable:
            byte = undecodable[row]
            column = _column_at(job, data[first:byte]) if width == columns else None
            detail = _encoding_fault(base + byte, data[byte], job.dialect.encoding)
            yield Fault(number, "utf8_invalid", detail, column, raw)


def _shape_fault(shape: int, length: int, quote: int, job: _Job) -> tuple[str, str]:
    again = "reading starts again at the next line"
    match shape:
        case Shape.QUOTE_IN_CELL:
            return "quote_illegal", f"a quote inside a bare cell, at byte {quote}; {again}"
        case Shape.TEXT_AFTER_QUOTE:
            return "quote_illegal", f"text after the closing quote at byte {quote}; {again}"
        case Shape.UNCLOSED:
            return "quote_unclosed", f"a quote opens here that nothing closes; {again}"
        case _:
            cap = job.limits.max_record_bytes
            return "record_too_large", f"{length:,} bytes; a record has at most {cap:,}"


def _width_fault(width: int, wanted: int, *, truncated: bool) -> tuple[str, str]:
    detail = f"{width:,} cell{'s' if width > 1 else ''}, the header has {wanted:,}"
    if width > wanted:
        return "row_too_many_fields", detail
    if truncated:
        return "row_truncated", f"{detail}; the source ends here, without a line end"
    return "row_too_few_fields", detail


def _encoding_fault(offset: int, byte: int, encoding: str) -> str:
    return f"byte {offset} (0x{byte:02X}) is not {encoding.upper()}"


def _column_at(job: _Job, before: bytes) -> str:
    """The column in which a legal record goes on after these bytes of it."""
    separator, quote = job.dialect.separator.encode(), job.dialect.quote.encode()
    # Every other piece between quotes is outside them.
    bare = before.split(quote)[::2] if quote else [before]
    return job.columns[sum(piece.count(separator) for piece in bare)]


def _merge(parts: Sequence[Frame]) -> Frame:
    """One frame of frames that tile its span."""
    first = parts[0]
    if len(parts) == 1:
        return first
    befores = [part.start.record - first.start.record for part in parts]
    pairs = list(zip(parts, befores, strict=True))
    return Frame(
        start=first.start,
        stop=parts[-1].stop,
        table=pl.concat([part.table for part in parts]),
        rows=np.concatenate([part.rows + before for part, before in pairs]),
        offsets=np.concatenate([part.offsets for part in parts]),
        ends=np.concatenate([part.ends for part in parts]),
        lines=np.concatenate([part.lines for part in parts]),
        faults=tuple(
            replace(fault, record=fault.record + before)
            for part, before in pairs
            for fault in part.faults
        ),
        resynced=np.concatenate([part.resynced + before for part, before in pairs]),
        blank_lines=sum(part.blank_lines for part in parts),
        unterminated=parts[-1].unterminated,
    )
