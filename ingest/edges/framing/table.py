"""Records to a table of text, by polars where that is proven equal to the grammar.

polars pads short rows, drops cells, eats a CR or a BOM and more, in silence. So it gets nothing but
records that are known to be legal, of the right width, valid in their encoding, not blank, and
without a lone CR; and what it gives is believed only if

- there are as many rows as records, and
- no byte is lost: the bytes of all cells are the bytes given, less the separators and line ends
  outside quotes, the quotes around cells, and one of each doubled quote.

Otherwise the records are tried again in small windows, and those of a window that fails are cut by
`ingest.core.csv_machine`, which is slow and exact.
"""

from collections.abc import Iterator, Sequence
from functools import cached_property

import numpy as np
import polars as pl
from polars.exceptions import PanicException, PolarsError

from ingest.core.csv_machine import CR, LF, split_cells
from ingest.core.model import Dialect
from ingest.edges.framing.outline import Outline
from ingest.edges.framing.values import Flags, Ints


class Records:
    """The records of a block, with their quotes.

    Args:
        data: The bytes of the block.
        outline: Where its records are.
        quotes: Quotes of the legal records, opening and closing in turn.
        dialect: How it is written.
        window_bytes: The span tried again where a proof fails.
    """

    def __init__(
        self, data: bytes, outline: Outline, *, quotes: Ints, dialect: Dialect, window_bytes: int
    ) -> None:
        self.outline = outline
        self.quotes = quotes
        self.dialect = dialect
        self.window_bytes = window_bytes
        self.data = _with_line_feeds(data, outline) if dialect.newline == "\r" else data

    @cached_property
    def row_of_quote(self) -> Ints:
        """The record that each quote is in."""
        return self.outline.followings.searchsorted(self.quotes, side="right")

    def quotes_in(self, numbers: Ints) -> Ints:
        """The quotes of these records."""
        if len(numbers) == len(self.outline) or not len(self.quotes):
            return self.quotes
        wanted = np.zeros(len(self.outline), dtype=np.bool_)
        wanted[numbers] = True
        return self.quotes[wanted[self.row_of_quote]]

    def bytes_of(self, numbers: Ints) -> bytes:
        """These records with their line ends, joined."""
        breaks = np.flatnonzero(np.diff(numbers) != 1)
        firsts = numbers[np.concatenate((np.zeros(1, dtype=np.int64), breaks + 1))]
        lasts = numbers[np.append(breaks, len(numbers) - 1)]
        view = memoryview(self.data)
        starts, stops = (
            self.outline.starts[firsts].tolist(),
            self.outline.followings[lasts].tolist(),
        )
        if len(starts) == 1:
            return self.data[starts[0] : stops[0]]
        return b"".join([view[a:b] for a, b in zip(starts, stops, strict=True)])

    def text_of(self, number: int) -> bytes:
        """One record without its line end."""
        return self.data[self.outline.starts[number] : self.outline.stops[number]]


def _with_line_feeds(data: bytes, outline: Outline) -> bytes:
    """The same with LF for each CR that ends a record."""
    array = np.frombuffer(data, dtype=np.uint8).copy()
    ends = outline.followings[outline.followings <= len(data)] - 1
    array[ends[array[ends] == CR]] = LF
    return array.tobytes()


def to_table(records: Records, columns: Sequence[str], sound: Flags) -> pl.DataFrame:
    """Parse the sound records.

    Args:
        records: The records of a block.
        columns: The names of the columns; each sound record has as many cells.
        sound: The records wanted, by number in the outline.

    Returns:
        One row per sound record, in order: String columns, empty cells null.
    """
    plain = sound & ~_awkward(records)
    order, parts = [], []
    for numbers, table in _parse(records, columns, np.flatnonzero(plain)):
        order.append(numbers)
        parts.append(table)
    rest = np.flatnonzero(sound & ~plain)
    if len(rest):
        order.append(rest)
        parts.append(_cut(records, columns, rest))
    if not parts:
        return pl.DataFrame(schema=dict.fromkeys(columns, pl.String))
    table = parts[0] if len(parts) == 1 else pl.concat(parts)
    return table[np.argsort(np.concatenate(order))] if len(rest) and len(parts) > 1 else table


def _awkward(records: Records) -> Flags:
    """Records with a CR in a bare cell: polars eats it before a separator.

    The proof would find it, and then a whole window would be cut slowly.
    """
    outline = records.outline
    awkward = np.zeros(len(outline), dtype=np.bool_)
    if not len(outline) or records.dialect.newline == "\r":
        return awkward
    # The last byte is left out: a CR there is half a line end.
    size = int(min(outline.followings[-1], len(records.data) - 1))
    if records.data.find(b"\r", 0, size) >= 0:
        data = np.frombuffer(records.data, dtype=np.uint8)
        found = np.flatnonzero(data[:size] == CR)
        lone = found[data[found + 1] != LF]
        bare = lone[records.quotes.searchsorted(lone) % 2 == 0]
        awkward[outline.followings.searchsorted(bare, side="right")] = True
    return awkward


def _parse(
    records: Records, columns: Sequence[str], numbers: Ints
) -> Iterator[tuple[Ints, pl.DataFrame]]:
    """Tables of these records, in order: the fast way first."""
    if not len(numbers):
        return
    table = _by_polars(records, columns, numbers)
    if table is not None:
        yield numbers, table
        return
    for window in _windows(records, numbers):
        table = _by_polars(records, columns, window)
        yield window, _cut(records, columns, window) if table is None else table


def _windows(records: Records, numbers: Ints) -> list[Ints]:
    at = records.outline.starts[numbers] // records.window_bytes
    return np.split(numbers, np.flatnonzero(np.diff(at)) + 1)


def _by_polars(records: Records, columns: Sequence[str], numbers: Ints) -> pl.DataFrame | None:
    """The table, or None where it is not proven."""
    text = records.bytes_of(numbers)
    if records.dialect.encoding != "utf-8":
        text = text.decode(records.dialect.encoding).encode()
    table = _read(text, columns, records.dialect)
    if table is None or table.height != len(numbers):
        return None
    outline, quotes = records.outline, records.quotes_in(numbers)
    opening, closing = quotes[0::2], quotes[1::2]
    line_ends = int((outline.followings - outline.stops)[numbers].sum())
    separators = (len(columns) - 1) * len(numbers)
    quoting = len(quotes) - int(np.count_nonzero(opening[1:] - closing[:-1] == 1))
    if _size(table) != len(text) - line_ends - separators - quoting:
        return None
    if np.any(closing - opening == 1):  # perhaps an empty cell in quotes
        return table.select(pl.when(pl.all() != "").then(pl.all()))
    return table


def _read(text: bytes, columns: Sequence[str], dialect: Dialect) -> pl.DataFrame | None:
    try:
        return pl.read_csv(
            text,
            has_header=False,
            schema=dict.fromkeys(columns, pl.String),
            infer_schema=False,
            separator=dialect.separator,
            quote_char=dialect.quote or None,
        )
    except (PolarsError, PanicException):
        return None


def _size(table: pl.DataFrame) -> int:
    """Bytes in all cells."""
    return sum(table.select(pl.all().str.len_bytes().sum()).row(0))


def _cut(records: Records, columns: Sequence[str], numbers: Ints) -> pl.DataFrame:
    """The table by the exact machine."""
    dialect = records.dialect
    rows = [
        [cell.decode(dialect.encoding) or None for cell in cells]
        for cells in (
            split_cells(records.text_of(number), dialect=dialect) for number in numbers.tolist()
        )
    ]
    return pl.DataFrame(rows, schema=dict.fromkeys(columns, pl.String), orient="row")
