"""Which separator a source has, by what its first records say."""

from collections.abc import Iterator
from dataclasses import replace
from itertools import islice

from ingest.core.csv_machine import Ending, RecordEnd, RecordScanner, split_cells
from ingest.core.model import Dialect
from ingest.edges.framing.opening import (
    BLOCK_BYTES,
    MAX_HEADER_BYTES,
    checked,
    first_record,
    line_end,
    refuse_foreign,
    shown,
    text_start,
)
from ingest.edges.framing.values import ReadAt
from ingest.errors import UsageError

SEPARATORS = ",;\t|"
"""What a separator may be where nobody names it."""
_ASKED_ABOUT = SEPARATORS + ":^~"
"""What is asked about where nothing splits the header: too common in text to be taken unasked."""

_SAMPLE_RECORDS = 100
_SAMPLE_BYTES = 256 << 10


def sniff(read_at: ReadAt, *, size: int, dialect: Dialect | None = None, width: int = 0) -> Dialect:
    """Find the separator, where nobody named it.

    One of comma, semicolon, tab and bar fits when it splits the header, outside quotes, and the
    first records (up to 100) have as many cells. Where none fits so and one alone fits half of
    these records or more, it is that one: a broken row does not hide the separator. Where none
    fits, the source has one column.

    Args:
        read_at: Gives bytes of the source.
        size: Bytes of the source.
        dialect: What is known of it besides; the default dialect.
        width: Cells of a record, where the source has no header; 0: the header tells.

    Raises:
        UsageError: Two fit; or the source is empty, or no CSV.
    """
    dialect = checked(dialect or Dialect())
    data = read_at(0, min(size, MAX_HEADER_BYTES + BLOCK_BYTES))
    refuse_foreign(data, dialect)
    final = len(data) == size
    fits = _fitting(data, text_start(data), dialect, final=final, width=width)
    if len(fits) > 1:
        names = " and ".join(_named(separator) for separator in fits)
        raise UsageError(
            f"the delimiter is not clear: {names} fit the header and the first records alike",
            hint=f"name it: --delimiter {_typed(fits[0])}",
            code="delimiter_ambiguous",
        )
    return replace(dialect, separator=fits[0] if fits else ",")


def refuse_wrong_separator(data: bytes, begin: int, dialect: Dialect, *, final: bool) -> None:
    """Raise where another separator than that of the dialect fits, and no third one."""
    fits = _fitting(data, begin, dialect, final=final, among=_ASKED_ABOUT)
    if len(fits) == 1 and fits[0] != dialect.separator:
        raise UsageError(
            f"{_named(dialect.separator)} does not split the header, {_named(fits[0])} does",
            hint=f"--delimiter {_typed(fits[0])}",
            code="delimiter_wrong",
        )


def _fitting(
    data: bytes,
    begin: int,
    dialect: Dialect,
    *,
    final: bool,
    width: int = 0,
    among: str = SEPARATORS,
) -> list[str]:
    """The separators that fit; see `sniff`."""
    whole, half = [], []
    for separator in among:
        if separator == dialect.quote:
            continue
        guess = replace(dialect, separator=separator)
        if width:
            wanted, records = width, _bare_widths(data, begin, guess, final=final)
        else:
            wanted, *records = _first_widths(data, begin, guess, final=final)
        if wanted > 1 and (records or not width):
            agreeing = records.count(wanted)
            whole += [separator] if agreeing == len(records) else []
            half += [separator] if 2 * agreeing >= len(records) else []
    return whole or half


def _first_widths(data: bytes, begin: int, dialect: Dialect, *, final: bool) -> list[int]:
    """Cells of the header and of the first records; 0 where the quoting is broken."""
    try:
        end, dialect = first_record(data, begin, dialect, final=final, cap=len(data))
    except UsageError:
        return [0]
    header = len(split_cells(data[begin : begin + end.stop], dialect=dialect))
    return [header, *widths_of(data, begin + end.following, dialect, final=final)]


def _bare_widths(data: bytes, begin: int, dialect: Dialect, *, final: bool) -> list[int]:
    """Cells of the first records of a source without a header."""

    def read_at(offset: int, size: int) -> bytes:
        return data[offset : offset + size]

    newline = line_end(read_at, len(data), begin, dialect)
    return widths_of(data, begin, replace(dialect, newline=newline), final=final)


def widths_of(data: bytes, at: int, dialect: Dialect, *, final: bool) -> list[int]:
    """Cells of the first records from a record boundary on; 0 where the quoting is broken."""
    return list(islice(_widths(data, at, dialect, final=final), _SAMPLE_RECORDS))


def _widths(data: bytes, at: int, dialect: Dialect, *, final: bool) -> Iterator[int]:
    limit = at + _SAMPLE_BYTES
    final = final and len(data) <= limit
    data = data[:limit]
    while at < len(data):
        end = _scan(data, at, dialect, final=final)
        if end is None:
            return
        if end.ending is not Ending.CLOSED:
            yield 0
        elif end.stop:
            yield len(split_cells(data[at : at + end.stop], dialect=dialect))
        at += end.following


def _scan(data: bytes, at: int, dialect: Dialect, *, final: bool) -> RecordEnd | None:
    scanner = RecordScanner(dialect)
    for begin in range(at, len(data), BLOCK_BYTES):
        block = data[begin : begin + BLOCK_BYTES]
        end = scanner.feed(block, final=final and begin + len(block) == len(data))
        if end is not None:
            return end
    return None


def _named(separator: str) -> str:
    names = {",": "comma", ";": "semicolon", "\t": "tab", "|": "bar", ":": "colon"}
    return names.get(separator, shown(separator))


def _typed(separator: str) -> str:
    """As typed in a shell."""
    return "tab" if separator == "\t" else f"'{separator}'"
