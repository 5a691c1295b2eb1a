"""Where the records of a block of bytes begin and end, by whole-array operations.

Between two record ends the quotes open and close in turn, so a line end with an even number of
quotes before it ends a record. That holds from any record boundary on while every quote is legal: an
opening one follows a separator, a line end or a quote, a closing one precedes one of these. So both
phases of each quote (opening, closing) are judged for the whole block at once, and a walk steps from
one illegal quote to the next: what lies before it is sound, its record loses one physical line, and
the next line starts in whichever phase its number of quotes says. No byte is looked at twice.

Why this stays linear over the file: a record that goes wrong far away has an open quote at every
line end that it spans. Started again behind its first line, reading sees all those line ends from
the other side, where none is inside quotes: each ends a record, until the place of the fault. So a
look-ahead past the cap overlaps only with spans that are read line by line.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from functools import cached_property

import numpy as np

from ingest.core.csv_machine import CR, LF, Ending, RecordEnd
from ingest.core.model import Dialect
from ingest.edges.framing.values import Flags, Ints


class Shape(IntEnum):
    """What the quotes and the length of a record say of it."""

    LEGAL = 0
    QUOTE_IN_CELL = 1
    TEXT_AFTER_QUOTE = 2
    UNCLOSED = 3
    TOO_LARGE = 4


_SHAPES = {
    Ending.CLOSED: Shape.TOO_LARGE,  # only a record over the cap is scanned ahead
    Ending.QUOTE_IN_CELL: Shape.QUOTE_IN_CELL,
    Ending.TEXT_AFTER_QUOTE: Shape.TEXT_AFTER_QUOTE,
    Ending.UNCLOSED: Shape.UNCLOSED,
}


@dataclass(frozen=True, slots=True)
class Block:
    """Bytes from a record boundary on.

    Args:
        data: The bytes.
        final: Nothing follows them in the source.
        dialect: How they are written.
    """

    data: bytes
    final: bool
    dialect: Dialect


@dataclass(frozen=True, slots=True)
class Outline:
    """The lines and records of a block, blank lines among them; offsets count from its start.

    Args:
        starts: First byte of each.
        stops: End of each, line end left out.
        followings: First byte behind its line end.
        skipped: Line ends before each.
        shapes: `Shape` of each.
        quotes: The illegal quote of each; -1 where there is none.
        lines: Line ends in all.
        open_ended: The last one has no whole line end.
    """

    starts: Ints
    stops: Ints
    followings: Ints
    skipped: Ints
    shapes: Ints
    quotes: Ints
    lines: int
    open_ended: bool

    def __len__(self) -> int:
        return len(self.starts)

    def first(self, count: int) -> "Outline":
        """The first `count` of them."""
        if count >= len(self):
            return self
        return Outline(
            starts=self.starts[:count],
            stops=self.stops[:count],
            followings=self.followings[:count],
            skipped=self.skipped[:count],
            shapes=self.shapes[:count],
            quotes=self.quotes[:count],
            lines=int(self.skipped[count]),
            open_ended=False,
        )


class Marks:
    """The quotes and line ends of a block."""

    def __init__(self, block: Block) -> None:
        self.block = block
        self.bytes = np.frombuffer(block.data, dtype=np.uint8)
        self._universal = block.dialect.newline == "\r"
        self._quote = ord(block.dialect.quote) if block.dialect.quote else -1
        self.line_ends = self._find_line_ends()
        self.quotes: Ints = (
            np.flatnonzero(self.bytes == self._quote)
            if block.dialect.quote
            else np.zeros(0, dtype=np.int64)
        )
        edges = [ord(block.dialect.separator), LF, *([CR] if self._universal else [])]
        self._edge = np.zeros(256, dtype=np.bool_)
        self._edge[edges] = True
        if block.dialect.quote:
            self._edge[self._quote] = True

    def _find_line_ends(self) -> Ints:
        """The last byte of each line end."""
        data = self.bytes
        ends = data == LF
        if self._universal:
            lone = data == CR
            lone[:-1] &= ~ends[1:]
            ends |= lone
        return np.flatnonzero(ends)

    @cached_property
    def quotes_before(self) -> Ints:
        """Of each line end, the number of quotes before it."""
        if not len(self.quotes):
            return np.zeros(len(self.line_ends), dtype=np.int64)
        return self.quotes.searchsorted(self.line_ends)

    def illegal(self, phase: int) -> Ints:
        """Indices of the quotes that are illegal where quote number `phase` opens (0 or 1)."""
        opening, closing = self.quotes[phase::2], self.quotes[phase + 1 :: 2]
        if not len(opening):
            return np.zeros(0, dtype=np.int64)
        not_open = np.flatnonzero(~self._follows_edge(opening)) * 2 + phase
        not_close = np.flatnonzero(~self._precedes_edge(closing)) * 2 + phase + 1
        # Two sorted runs: the stable sort merges them in one pass.
        return np.sort(np.concatenate((not_open, not_close)), kind="stable")

    def _follows_edge(self, quotes: Ints) -> Flags:
        fine = self._edge[self.bytes[quotes - 1]]
        if quotes[0] == 0:
            fine[0] = True
        return fine

    def _precedes_edge(self, quotes: Ints) -> Flags:
        size = len(self.bytes)
        after = self.bytes[np.minimum(quotes + 1, size - 1)]
        fine = self._edge[after]
        if not self._universal:
            maybe = np.flatnonzero(after == CR)
            second = quotes[maybe] + 2
            fine[maybe] = (second >= size) | (self.bytes[np.minimum(second, size - 1)] == LF)
        if len(quotes) and quotes[-1] == size - 1:
            fine[-1] = True  # the end of the source, or not known before the next block
        return fine

    def text_stops(self, line_ends: Ints) -> Ints:
        """Where the text before each line end stops: before its CR, if it has one."""
        pair: Flags = self.bytes[np.maximum(line_ends - 1, 0)] == CR
        if self._universal:
            pair &= self.bytes[line_ends] == LF
        stops: Ints = line_ends - pair
        return stops

    def text_stop_at_end(self, start: int) -> int:
        """Where text from `start` that meets the end of the source stops: before half a CRLF."""
        size = len(self.bytes)
        return size - int(size > start and self.bytes[-1] == CR)


class _Walk:
    """Steps through a block from one illegal quote to the next."""

    def __init__(
        self, marks: Marks, *, max_record_bytes: int, look_ahead: Callable[[int], RecordEnd]
    ) -> None:
        self.marks = marks
        self.size = len(marks.bytes)
        self.final = marks.block.final
        self.cap = max_record_bytes
        self.look_ahead = look_ahead
        count = len(marks.line_ends)
        self.is_end = np.zeros(count, dtype=np.bool_)
        self.shapes = np.zeros(count, dtype=np.int64)
        self.illegal_at = np.full(count, -1, dtype=np.int64)
        self.at = 0  # the record boundary reached
        self.quote = 0  # quotes before it
        self.line = 0  # line ends before it
        self.last: tuple[Shape, RecordEnd] | None = None
        self._illegal: list[Ints | None] = [None, None]
        self._illegal_next = [0, 0]
        self._last_end: list[Ints | None] = [None, None]

    def run(self) -> None:
        while self.at < self.size:
            illegal = self._next_illegal()
            self._take_sound(illegal)
            if self.at == self.size:
                return
            shape, quote = self._judge_tail(illegal)
            if shape is Shape.LEGAL or not self._reject_line(shape, quote):
                return

    def _next_illegal(self) -> int | None:
        phase = self.quote & 1
        found = self._illegal[phase]
        if found is None:
            found = self._illegal[phase] = self.marks.illegal(phase)
        at = self._illegal_next[phase]
        if at < len(found) and found[at] < self.quote:
            at += int(found[at:].searchsorted(self.quote))
        self._illegal_next[phase] = at
        return int(found[at]) if at < len(found) else None

    def _take_sound(self, illegal: int | None) -> None:
        """Mark the record ends before the record that holds the illegal quote."""
        marks, phase = self.marks, self.quote & 1
        stop = len(marks.line_ends)
        if illegal is not None:
            stop = int(marks.line_ends.searchsorted(marks.quotes[illegal]))
        if stop <= self.line:
            return
        last = int(self._last_ends(phase)[stop - 1])
        if last < self.line:
            return
        span = slice(self.line, last + 1)
        self.is_end[span] = (marks.quotes_before[span] & 1) == phase
        self._go_behind(last)

    def _last_ends(self, phase: int) -> Ints:
        """Of each line end, the last one up to it that is outside quotes in this phase."""
        known = self._last_end[phase]
        if known is None:
            ends = (self.marks.quotes_before & 1) == phase
            numbers = np.where(ends, np.arange(len(ends)), -1)
            known = self._last_end[phase] = np.maximum.accumulate(numbers)
        return known

    def _go_behind(self, line_end: int) -> None:
        self.at = int(self.marks.line_ends[line_end]) + 1
        self.quote = int(self.marks.quotes_before[line_end])
        self.line = line_end + 1

    def _judge_tail(self, illegal: int | None) -> tuple[Shape, int]:
        """What is wrong with the record at `at`, which does not end soundly in this block.

        `LEGAL`: nothing more can be said or done here.
        """
        if illegal is not None:
            opening = (illegal - self.quote) % 2 == 0
            shape = Shape.QUOTE_IN_CELL if opening else Shape.TEXT_AFTER_QUOTE
            return shape, int(self.marks.quotes[illegal])
        if self.final:
            if (len(self.marks.quotes) - self.quote) % 2:
                return Shape.UNCLOSED, -1
            self._end_with_rest(Shape.LEGAL, -1)
            return Shape.LEGAL, -1
        return self._scan_tail() if self._over_cap() else (Shape.LEGAL, -1)

    def _over_cap(self) -> bool:
        # One byte more than the cap may be the CR of its line end.
        return self.size - self.at > self.cap + 1

    def _scan_tail(self) -> tuple[Shape, int]:
        end = self.look_ahead(self.at)
        shape = _SHAPES[end.ending]
        if shape is Shape.TOO_LARGE or self.line == len(self.marks.line_ends):
            self.last = shape, end
            return Shape.LEGAL, -1
        return shape, -1 if end.quote < 0 else self.at + end.quote

    def _reject_line(self, shape: Shape, quote: int) -> bool:
        """Take the line at `at` as one wrong record; False where its end is not in this block."""
        if self.line < len(self.marks.line_ends):
            self.is_end[self.line] = True
            self.shapes[self.line] = shape
            self.illegal_at[self.line] = quote
            self._go_behind(self.line)
            return True
        if self.final:
            self._end_with_rest(shape, quote)
        elif self._over_cap():
            self._scan_tail()
        return False

    def _end_with_rest(self, shape: Shape, quote: int) -> None:
        end = RecordEnd(
            Ending.CLOSED,
            stop=self.marks.text_stop_at_end(self.at) - self.at,
            following=self.size - self.at,
            lines=len(self.marks.line_ends) - self.line,
            terminated=False,
            quote=quote - self.at if quote >= 0 else -1,
        )
        self.last = shape, end


def outline(
    marks: Marks, *, max_record_bytes: int, look_ahead: Callable[[int], RecordEnd]
) -> Outline:
    """Find the records of a block.

    Args:
        marks: The quotes and line ends of the block, which begins at a record boundary.
        max_record_bytes: Past this, a record that does not end in the block is looked up with
            `look_ahead`; a shorter one is left for the next block.
        look_ahead: The end of the record at an offset of the block, read from the source.

    Returns:
        All records that are known to end; none where more bytes are needed.
    """
    walk = _Walk(marks, max_record_bytes=max_record_bytes, look_ahead=look_ahead)
    walk.run()
    ends = np.flatnonzero(walk.is_end)
    followings = marks.line_ends[ends] + 1
    starts = np.concatenate((np.zeros(1, dtype=np.int64), followings))
    skipped = np.concatenate((np.zeros(1, dtype=np.int64), ends + 1))
    count = len(ends)
    stops = marks.text_stops(followings - 1)
    shapes, quotes = walk.shapes[ends], walk.illegal_at[ends]
    large = (stops - starts[:count] > max_record_bytes) & (shapes == Shape.LEGAL)
    shapes[large] = Shape.TOO_LARGE
    if walk.last is None:
        return Outline(
            starts=starts[:count],
            stops=stops,
            followings=followings,
            skipped=skipped[:count],
            shapes=shapes,
            quotes=quotes,
            lines=int(skipped[count]),
            open_ended=False,
        )
    shape, end = walk.last
    if shape is Shape.LEGAL and end.stop > max_record_bytes:
        shape = Shape.TOO_LARGE
    begin = int(starts[count])
    return Outline(
        starts=starts,
        stops=np.append(stops, begin + end.stop),
        followings=np.append(followings, begin + end.following),
        skipped=skipped,
        shapes=np.append(shapes, shape),
        quotes=np.append(quotes, begin + end.quote if end.quote >= 0 else -1),
        lines=int(skipped[count]) + end.lines,
        open_ended=not end.terminated,
    )
