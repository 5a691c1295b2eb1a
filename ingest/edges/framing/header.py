"""The names of the columns, or why they cannot be used.

Blank lines before the header are skipped. Where the source has no header, the names are given and
the first record is data like any other.
"""

from collections.abc import Sequence
from dataclasses import replace

from ingest.core.csv_machine import split_cells
from ingest.core.model import Dialect, Position
from ingest.edges.framing.opening import (
    BLOCK_BYTES,
    MAX_HEADER_BYTES,
    checked,
    count_lines,
    first_record,
    line_end,
    refuse_foreign,
    shown,
    text_start,
)
from ingest.edges.framing.separators import refuse_wrong_separator, widths_of
from ingest.edges.framing.values import Header, ReadAt
from ingest.errors import UsageError

MAX_COLUMNS = 10_000


def read_header(
    read_at: ReadAt,
    *,
    size: int,
    dialect: Dialect,
    dropped: frozenset[int] = frozenset(),
    names: Sequence[str] = (),
    sure: bool = False,
    max_columns: int = MAX_COLUMNS,
    max_header_bytes: int = MAX_HEADER_BYTES,
) -> Header:
    """Read the names of the columns.

    Args:
        read_at: Gives bytes of the source.
        size: Bytes of the source.
        dialect: How it is written; its `newline` is found here.
        dropped: Positions from 1 that are not used: they may be blank or repeated, and are named
            `#n`.
        names: Of the columns, where the source has no header; its first record is data then.
        sure: The separator was named by who knows: a header that it does not split has one column.
        max_columns: More are refused.
        max_header_bytes: A longer header is refused, in bounded memory and time.

    Returns:
        The header, with the dialect to read the records by.

    Raises:
        UsageError: The source is empty, is no CSV, or its names cannot be used.
    """
    dialect = checked(dialect)
    if names:
        return _without_header(read_at, size, dialect, names=list(names), dropped=dropped)
    data = read_at(0, min(size, max_header_bytes + BLOCK_BYTES))
    refuse_foreign(data, dialect)
    final = len(data) == size
    begin = text_start(data)
    try:
        end, dialect = first_record(data, begin, dialect, final=final, cap=max_header_bytes)
    except UsageError:
        refuse_wrong_separator(data, begin, dialect, final=final)  # the likelier reason
        raise
    raw = data[begin : begin + end.stop]
    following = begin + end.following
    found = _names(raw, begin, dialect)
    if len(found) > max_columns:
        raise UsageError(
            f"the header has {len(found):,} columns; at most {max_columns:,} are read",
            hint="is the line end or the delimiter another one? (--delimiter)",
            code="header_too_wide",
        )
    if len(found) == 1 and not (dropped or sure):
        refuse_wrong_separator(data, begin, dialect, final=final)
    return Header(
        columns=_usable(found, dropped),
        start=Position(offset=following, record=0, line=1 + count_lines(data[:following], dialect)),
        dialect=dialect,
    )


def _names(raw: bytes, begin: int, dialect: Dialect) -> list[str]:
    if 0 in raw:
        raise UsageError(
            f"the header has a NUL byte, at byte {begin + raw.index(0)}",
            hint="a CSV file is text",
            code="header_not_text",
        )
    try:
        raw.decode(dialect.encoding)
    except UnicodeDecodeError as error:
        at = begin + error.start
        raise UsageError(
            f"byte {at} (0x{raw[error.start]:02X}) of the header is not {dialect.encoding.upper()}",
            hint=(
                "name its encoding, for example --encoding cp1252, or convert it:"
                " iconv -f WINDOWS-1252 -t UTF-8 FILE > FILE.utf8"
            ),
            code="header_not_text",
        ) from error
    return [cell.decode(dialect.encoding) for cell in split_cells(raw, dialect=dialect)]


def _without_header(
    read_at: ReadAt, size: int, dialect: Dialect, *, names: list[str], dropped: frozenset[int]
) -> Header:
    """The header that was typed; the first record tells the line end alone."""
    columns = _usable(names, dropped)
    data = read_at(0, min(size, MAX_HEADER_BYTES + BLOCK_BYTES))
    refuse_foreign(data, dialect)
    begin = text_start(data)
    dialect = replace(dialect, newline=line_end(read_at, size, begin, dialect))
    widths = [width for width in widths_of(data, begin, dialect, final=len(data) == size) if width]
    if widths and len(names) not in widths:
        common = max(widths, key=widths.count)
        raise UsageError(
            f"--columns has {len(names):,} names, and none of the first records has as many cells"
            f" (most have {common:,})",
            hint="name each column in --columns; if the delimiter is another one: --delimiter",
            code="columns_differ",
        )
    line = 1 + count_lines(data[:begin], dialect)
    return Header(columns, Position(offset=begin, record=0, line=line), dialect)


def _usable(names: list[str], dropped: frozenset[int]) -> tuple[str, ...]:
    """The names, with those dropped replaced; raises where one cannot be used."""
    beyond = [position for position in sorted(dropped) if not 1 <= position <= len(names)]
    if beyond:
        raise UsageError(
            f"--drop '#{beyond[0]}': the header has {len(names):,} columns",
            hint="columns are counted from 1",
            code="column_unknown",
        )
    columns = [
        f"#{position}" if position in dropped else name for position, name in enumerate(names, 1)
    ]
    blank = [position for position, name in enumerate(columns, 1) if not name.strip()]
    if blank:
        raise UsageError(
            f"the header has no name for column {blank[0]} of {len(columns):,}"
            + (f" (and {len(blank) - 1:,} more)" if blank[1:] else ""),
            hint=f"name it, or leave it out: {_drops(blank)}",
            code="header_blank",
        )
    _refuse_repeated(columns)
    return tuple(columns)


def _drops(positions: list[int]) -> str:
    """The flags to paste; of many, the first."""
    shown = " ".join(f"--drop '#{position}'" for position in positions[:5])
    return f"{shown} ..." if positions[5:] else shown


def _refuse_repeated(columns: list[str]) -> None:
    seen: dict[str, int] = {}
    for position, name in enumerate(columns, 1):
        before = seen.setdefault(name.casefold(), position)
        if before == position:
            continue
        other = columns[before - 1]
        what = (
            f"columns {before} and {position} are both named {shown(name)}"
            if other == name
            else f"columns {before} {shown(other)} and {position} {shown(name)} differ only in case"
        )
        raise UsageError(
            what,
            hint=f"rename one, or leave one out: --drop '#{position}'",
            code="header_duplicate",
        )
