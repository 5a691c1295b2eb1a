"""The bytes of a source to lines: sound JSON objects, and faults.

A line ends with LF or CRLF; nothing inside it can hide its end, for JSON has no bare line end in
a text. So a bad line costs itself alone. orjson judges each line: it is strict about UTF-8, lone
surrogates, NaN, depth (1,024), control characters and what follows the object.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import orjson

from ingest.core.model import Position
from ingest.edges.jsonl.values import Fault, Flags, Frame, Ints, Limits, ReadAt
from ingest.errors import BugError, MismatchError

_KINDS = {list: "an array", str: "a text", bool: "true or false", type(None): "null"}
_GROUP = 512

Take = Callable[[Sequence[bytes], Sequence[dict[str, object]]], None]
"""Called with sound objects and their values."""


@dataclass(frozen=True, slots=True)
class _Job:
    read_at: ReadAt
    size: int
    stop: int | None
    limits: Limits
    take: Take | None

    @property
    def target(self) -> int:
        return self.size if self.stop is None else self.stop


@dataclass(slots=True)
class _Lines:
    """Lines of a block.

    Args:
        base: Offset of the block in the source.
        data: The block; empty where it is one line over the cap.
        starts: Of each line, its first byte in the source.
        stops: Of each line, the end of its bytes, its line end left out.
        following: Where the next line begins.
        closed: The last line has its line end.
    """

    base: int
    data: bytes
    starts: Ints
    stops: Ints
    following: int
    closed: bool


def frames(
    read_at: ReadAt,
    *,
    size: int,
    start: Position,
    stop_offset: int | None = None,
    limits: Limits,
    max_records: int | None = None,
    take: Take | None = None,
) -> Iterator[Frame]:
    """Read records from a line boundary on.

    Args:
        read_at: Gives bytes of the source.
        size: Bytes of the source that are read.
        start: A line boundary: `Look.start`, or the `stop` of a frame.
        stop_offset: The `stop` of an earlier frame; one frame is made, equal to those that
            covered the span.
        limits: Bounds of memory.
        max_records: Stop behind that many records, if there are as many.
        take: Is given the sound objects and their values, in order, before their frame is: they
            are not kept here.

    Yields:
        Frames that tile `[start, size)`, each of about `limits.chunk_bytes`.

    Raises:
        MismatchError: The source ends before `size`.
        BugError: `stop_offset` is no line boundary.
    """
    job = _Job(read_at, size, stop_offset, limits, take)
    parts = _parts(job, start, max_records)
    if stop_offset is None:
        yield from parts
    elif stop_offset > start.offset:
        yield _merge(list(parts))


def _parts(job: _Job, position: Position, left: int | None) -> Iterator[Frame]:
    while position.offset < job.target and (left is None or left > 0):
        part = _frame(job, position, _lines(job, position.offset), left)
        yield part
        position = part.stop
        left = None if left is None else left - part.records


def _lines(job: _Job, offset: int) -> _Lines:
    """The whole lines at an offset, of as many bytes as a chunk has; at least one line."""
    want = job.limits.chunk_bytes
    while True:
        length = min(want, job.target - offset)
        data = _read(job, offset, length)
        last = data.rfind(b"\n")
        if offset + length == job.size and last != length - 1:
            return _cut(offset, data, closed=False)
        if last >= 0:
            return _cut(offset, data[: last + 1], closed=True)
        if offset + length == job.target:
            raise BugError(f"offset {job.target} is inside a line", code="chunk_bounds")
        # The line feed may have a CR before it.
        if length > job.limits.max_record_bytes + 1:
            return _too_large(job, offset, offset + length, data[-1:])
        want *= 2


def _read(job: _Job, offset: int, length: int) -> bytes:
    data = job.read_at(offset, length)
    if len(data) != length:
        raise MismatchError(
            f"the source ends at byte {offset + len(data)}; it had {job.size} bytes",
            hint="let nothing change the file while it is read",
            code="source_truncated",
        )
    return data


def _cut(base: int, data: bytes, *, closed: bool) -> _Lines:
    octets = np.frombuffer(data, dtype=np.uint8)
    feeds = np.flatnonzero(octets == ord("\n"))
    stops = feeds if closed else np.append(feeds, len(data))
    starts = np.concatenate((np.zeros(1, dtype=np.int64), feeds + 1))[: len(stops)]
    # Only a CR with its LF is a line end; at the end of the source it is a blank.
    ended = stops[: len(feeds)]
    returns = np.zeros(len(stops), dtype=np.int64)
    returns[: len(feeds)] = (ended > starts[: len(feeds)]) & (octets[ended - 1] == ord("\r"))
    return _Lines(base, data, starts + base, stops - returns + base, base + len(data), closed)


def _too_large(job: _Job, offset: int, at: int, before: bytes) -> _Lines:
    """A line that may be longer than memory: its end is behind `at` and the byte before that."""
    while at < job.size:
        data = _read(job, at, min(job.limits.chunk_bytes, job.size - at))
        found = data.find(b"\n")
        if found >= 0:
            ahead = data[found - 1 : found] if found else before
            stop = at + found - (ahead == b"\r")
            return _giant(offset, stop, at + found + 1, closed=True)
        before, at = data[-1:], at + len(data)
    return _giant(offset, at, at, closed=False)


def _giant(offset: int, stop: int, following: int, *, closed: bool) -> _Lines:
    begin, end = (np.array([at], dtype=np.int64) for at in (offset, stop))
    return _Lines(offset, b"", begin, end, following, closed)


def _frame(job: _Job, start: Position, lines: _Lines, most: int | None) -> Frame:
    if lines.following > job.target:
        raise BugError(f"offset {job.target} is inside a line", code="chunk_bounds")
    cap = job.limits.max_record_bytes
    texts = _texts(lines)
    large = lines.stops - lines.starts > cap
    taken = len(texts) if most is None else _up_to(texts, large, most)
    whole = taken == len(texts)
    starts, stops = lines.starts[:taken], lines.stops[:taken]
    judged = _judged(texts[:taken] if not whole else texts, large, job)
    record = np.ones(taken, dtype=np.bool_)
    record[judged.blank] = False
    numbers = np.cumsum(record) - 1
    return Frame(
        start=start,
        stop=Position(
            offset=lines.following if whole else int(lines.starts[taken]),
            record=start.record + taken - len(judged.blank),
            line=start.line + taken - (whole and not lines.closed),
        ),
        objects=judged.objects,
        rows=numbers[judged.sound],
        offsets=starts[record],
        ends=stops[record],
        lines=np.flatnonzero(record) + start.line,
        faults=tuple(
            Fault(
                int(numbers[at]),
                code,
                detail or f"{int(stops[at] - starts[at]):,} bytes; a record has at most {cap:,}",
                None,
                None if large[at] else texts[at],
            )
            for at, code, detail in judged.broken
        ),
        resynced=np.zeros(0, dtype=np.int64),
        blank_lines=len(judged.blank),
        unterminated=whole and not lines.closed and bool(record[-1]),
        blocks=((lines.base, lines.data),),
    )


def _up_to(texts: Sequence[bytes], large: Flags, most: int) -> int:
    """Lines up to and with the last record wanted."""
    left = most
    for at, text in enumerate(texts):
        left -= bool(text.strip()) or bool(large[at])
        if not left:
            return at + 1
    return len(texts)


def _texts(lines: _Lines) -> list[bytes]:
    if not lines.data:
        return [b""] * len(lines.starts)
    texts = lines.data.split(b"\n")
    if lines.closed:
        texts.pop()
    if b"\r" in lines.data:
        texts = [text.removesuffix(b"\r") for text in texts[:-1]] + [
            texts[-1].removesuffix(b"\r") if lines.closed else texts[-1]
        ]
    return texts


@dataclass(slots=True)
class _Judged:
    """Lines by their verdict: numbers of lines, and the sound ones without blanks around them."""

    sound: list[int]
    objects: list[bytes]
    blank: list[int]
    broken: list[tuple[int, str, str]]


def _judged(texts: Sequence[bytes], large: Flags, job: _Job) -> _Judged:
    judged = _Judged([], [], [], [])
    begin = 0
    while begin < len(texts):
        # Few values are held at a time, however long the lines are.
        step = max(1, job.limits.window_bytes // max(1, len(texts[begin])))
        group = texts[begin : begin + min(step, _GROUP)]
        values = _values(group) if not large[begin : begin + len(group)].any() else None
        if values is None:
            values = _one_by_one(group, large, begin, judged)
        else:
            judged.sound += range(begin, begin + len(group))
            judged.objects += map(bytes.strip, group)
        if job.take is not None and values:
            job.take(judged.objects[-len(values) :], values)
        begin += len(group)
    return judged


def _values(group: Sequence[bytes]) -> list[dict[str, object]] | None:
    """The objects, if each line is one."""
    try:
        values = list(map(orjson.loads, group))
    except orjson.JSONDecodeError:
        return None
    return values if [*map(type, values)].count(dict) == len(values) else None


def _one_by_one(
    group: Sequence[bytes], large: Flags, begin: int, judged: _Judged
) -> list[dict[str, object]]:
    values = []
    for at, text in enumerate(group, begin):
        if large[at]:
            judged.broken.append((at, "record_too_large", ""))
            continue
        try:
            value = orjson.loads(text)
        except orjson.JSONDecodeError as error:
            if text.strip():
                judged.broken.append((at, "json_invalid", _reason(text, error)))
            else:
                judged.blank.append(at)
            continue
        if isinstance(value, dict):
            judged.sound.append(at)
            judged.objects.append(text.strip())
            values.append(value)
        else:
            kind = _KINDS.get(type(value), "a number")
            judged.broken.append((at, "json_not_object", f"it is {kind}"))
    return values


def _reason(text: bytes, error: orjson.JSONDecodeError) -> str:
    try:
        text.decode()
    except UnicodeDecodeError as wrong:
        return f"byte {wrong.start + 1} of the line (0x{text[wrong.start]:02X}) is not UTF-8"
    return f"{error.msg.partition(': line ')[0]}, at character {error.colno} of the line"


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
        objects=[each for part in parts for each in part.objects],
        rows=np.concatenate([part.rows + before for part, before in pairs]),
        offsets=np.concatenate([part.offsets for part in parts]),
        ends=np.concatenate([part.ends for part in parts]),
        lines=np.concatenate([part.lines for part in parts]),
        faults=tuple(
            replace(fault, record=fault.record + before)
            for part, before in pairs
            for fault in part.faults
        ),
        resynced=first.resynced,
        blank_lines=sum(part.blank_lines for part in parts),
        unterminated=parts[-1].unterminated,
        blocks=tuple(block for part in parts for block in part.blocks),
    )
