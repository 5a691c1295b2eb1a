r"""The grammar of CSV, byte by byte: where one record ends and what its cells are.

The rules (RFC 4180, made exact):

- Outside quotes a separator ends a cell and a line end ends the record. With `newline="\n"` a line
  end is LF or CRLF, and any other CR is text; with `newline="\r"` it is CR, LF or CRLF.
- A CR that is the last byte of the source is half a CRLF: a line end that is not complete.
- A quote opens only at the start of a cell. Inside, a doubled quote is one quote. After the closing
  quote comes a separator, a line end or the end of the source.
- Anything else is illegal: the FIRST PHYSICAL LINE of the record is what is wrong, and reading
  starts again at the next. The same holds for a quote that is open at the end of the source.

Physical lines are counted with the same line ends, inside quotes and outside.
"""

import re
from dataclasses import dataclass
from enum import Enum, auto

from ingest.core.model import Dialect

LF, CR = 10, 13


class Ending(Enum):
    """How a record ended."""

    CLOSED = auto()
    QUOTE_IN_CELL = auto()
    TEXT_AFTER_QUOTE = auto()
    UNCLOSED = auto()


@dataclass(frozen=True, slots=True)
class RecordEnd:
    """Where a record ended; all offsets count from its first byte.

    Args:
        ending: `CLOSED`, or what is wrong with it.
        stop: End of its text; of its first physical line unless it is closed.
        following: Where the next record may begin, behind the line end.
        lines: Line ends within `[0, following)`.
        terminated: A whole line end stands before `following`.
        quote: The quote that is illegal; -1 where there is none.
    """

    ending: Ending
    stop: int
    following: int
    lines: int
    terminated: bool
    quote: int = -1


class _State(Enum):
    OUTSIDE = auto()
    QUOTED = auto()
    AFTER_QUOTE = auto()
    LOST = auto()  # illegal, and the first line has not ended yet


class RecordScanner:
    """Finds the end of one record in blocks of any size, in memory of one block.

    Feed it the bytes from the start of the record on, until it gives an answer.
    """

    def __init__(self, dialect: Dialect) -> None:
        universal = dialect.newline == "\r"
        self._separator = ord(dialect.separator)
        self._quote = dialect.quote.encode("ascii")
        self._universal = universal
        self._stops = re.compile(b"[" + re.escape(self._quote) + rb"\r\n]")
        self._quotes = re.compile(b"(?:" + re.escape(self._quote) + b")+")
        # The held CR makes sure that a block never ends between CR and LF.
        self._line_end = re.compile(rb"\r\n?|\n" if universal else rb"\r?\n")
        self._state = _State.OUTSIDE
        self._wrong = Ending.CLOSED
        self._wrong_at = -1
        self._held = b""
        self._final = False
        self._base = 0
        self._lines = 0
        self._first_line: tuple[int, int] | None = None
        self._before = self._separator  # the start of a record is the start of a cell

    def feed(self, block: bytes, *, final: bool) -> RecordEnd | None:
        """Read on.

        Args:
            block: The bytes that follow those given before.
            final: Nothing follows this block.

        Returns:
            The end of the record, or None where it lies in a later block; never None when final.
        """
        data = self._held + block
        self._held, self._final = b"", final
        if not final and data.endswith(b"\r"):
            data, self._held = data[:-1], b"\r"
        end = self._run(data)
        if end is None:
            self._lines += self._count_lines(data)
            self._base += len(data)
            if data:
                self._before = data[-1]
        return end

    def _run(self, data: bytes) -> RecordEnd | None:
        if self._first_line is None:
            self._find_first_line(data)
        at = 0
        while at < len(data) and self._state is not _State.LOST:
            match self._state:
                case _State.QUOTED:
                    at = self._quoted(data, at)
                case _State.AFTER_QUOTE:
                    at, end = self._after_quote(data, at)
                    if end is not None:
                        return end
                case _:
                    at, end = self._outside(data, at)
                    if end is not None:
                        return end
        if self._state is _State.LOST:
            return self._wrong_line(data)
        return self._finish(data) if self._final else None

    def _quoted(self, data: bytes, at: int) -> int:
        found = data.find(self._quote, at)
        if found < 0:
            return len(data)
        # Of a run of quotes each two are one; an odd one over closes, or is half of a pair that
        # the next block completes.
        match = self._quotes.match(data, found)
        end = match.end() if match else found + 1
        if (end - found) % 2:
            self._state = _State.AFTER_QUOTE
        return end

    def _after_quote(self, data: bytes, at: int) -> tuple[int, RecordEnd | None]:
        byte = data[at]
        if byte == self._quote[0]:
            self._state = _State.QUOTED
            return at + 1, None
        if byte == self._separator:
            self._state = _State.OUTSIDE
            return at + 1, None
        length = self._line_end_length(data, at)
        if length:
            return at, self._closed(data, at, length)
        self._lose(Ending.TEXT_AFTER_QUOTE, self._base + at - 1)
        return at, None

    def _outside(self, data: bytes, at: int) -> tuple[int, RecordEnd | None]:
        found = self._stops.search(data, at)
        if found is None:
            return len(data), None
        at = found.start()
        if data[at] in self._quote:
            before = data[at - 1] if at else self._before
            if before == self._separator:
                self._state = _State.QUOTED
            else:
                self._lose(Ending.QUOTE_IN_CELL, self._base + at)
            return at + 1, None
        length = self._line_end_length(data, at)
        if length:
            return at, self._closed(data, at, length)
        return at + 1, None

    def _line_end_length(self, data: bytes, at: int) -> int:
        """Bytes of the line end at `at`, 0 where there is none; total."""
        if data[at] == LF:
            return 1
        if data[at] != CR:
            return 0
        if data[at + 1 : at + 2] == b"\n":
            return 2
        at_end_of_source = self._final and at + 1 == len(data)
        return 1 if self._universal or at_end_of_source else 0

    def _closed(self, data: bytes, at: int, length: int) -> RecordEnd:
        return RecordEnd(
            Ending.CLOSED,
            stop=self._base + at,
            following=self._base + at + length,
            lines=self._lines + self._count_lines(data, at + length),
            terminated=self._universal or data[at + length - 1] == LF,
        )

    def _finish(self, data: bytes) -> RecordEnd | None:
        if self._state is _State.QUOTED:
            self._lose(Ending.UNCLOSED, -1)
            return self._wrong_line(data)
        stop = self._base + len(data)
        lines = self._lines + self._count_lines(data)
        return RecordEnd(Ending.CLOSED, stop=stop, following=stop, lines=lines, terminated=False)

    def _lose(self, wrong: Ending, at: int) -> None:
        self._state, self._wrong, self._wrong_at = _State.LOST, wrong, at

    def _find_first_line(self, data: bytes) -> None:
        found = self._line_end.search(data)
        if found is not None:
            self._first_line = (self._base + found.start(), self._base + found.end())
        elif self._final and data.endswith(b"\r"):
            self._first_line = (self._base + len(data) - 1, -1)

    def _wrong_line(self, data: bytes) -> RecordEnd | None:
        whole = self._base + len(data)
        if self._first_line is None:
            if not self._final:
                return None
            self._first_line = (whole, -1)
        stop, following = self._first_line
        terminated = following >= 0
        return RecordEnd(
            self._wrong,
            stop=stop,
            following=following if terminated else whole,
            lines=int(terminated),
            terminated=terminated,
            quote=self._wrong_at,
        )

    def _count_lines(self, data: bytes, stop: int | None = None) -> int:
        feeds = data.count(b"\n", 0, stop)
        if not self._universal:
            return feeds
        return feeds + data.count(b"\r", 0, stop) - data.count(b"\r\n", 0, stop)


def split_cells(record: bytes, *, dialect: Dialect) -> list[bytes]:
    """The cells of one legal record, unquoted.

    Args:
        record: Its bytes, without the line end; `RecordScanner` found it closed.
        dialect: How it is written.

    Returns:
        At least one cell.
    """
    separator, quote = dialect.separator.encode("ascii"), dialect.quote.encode("ascii")
    if not quote or quote not in record:
        return record.split(separator)
    cells: list[bytes] = []
    at = 0
    while True:
        cell, at = _cell(record, at, separator=separator, quote=quote)
        cells.append(cell)
        if at >= len(record):
            return cells
        at += 1
        if at == len(record):
            return [*cells, b""]


def _cell(record: bytes, at: int, *, separator: bytes, quote: bytes) -> tuple[bytes, int]:
    """The cell that begins at `at`, and where it ends (at a separator or the end)."""
    if record[at : at + 1] != quote:
        stop = record.find(separator, at)
        stop = len(record) if stop < 0 else stop
        return record[at:stop], stop
    stop = record.index(quote, at + 1)
    while record[stop + 1 : stop + 2] == quote:
        stop = record.index(quote, stop + 2)
    return record[at + 1 : stop].replace(quote * 2, quote), stop + 1
