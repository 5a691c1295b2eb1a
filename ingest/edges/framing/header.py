"""The first record of a CSV source, and the refusal of what is no CSV or cannot be named.

Blank lines before the header are skipped. The line end of the first record is that of the file:
where it is a lone CR, each CR, LF and CRLF ends a line; else LF and CRLF do, and a lone CR is text.
Where the file has no header, the names are given and the first record is data like any other.

`FILE` in a hint stands for the path of the source.
"""

import codecs
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import islice

from ingest.core.csv_machine import Ending, RecordEnd, RecordScanner, split_cells
from ingest.core.model import Dialect, Position
from ingest.edges.framing.values import Header, ReadAt
from ingest.errors import UsageError

MAX_COLUMNS = 10_000
MAX_HEADER_BYTES = 1 << 20
SEPARATORS = ",;\t|"
"""What a separator may be where nobody names it."""
_ASKED_ABOUT = SEPARATORS + ":^~"
"""What is asked about where nothing splits the header: too common in text to be taken unasked."""

_SAMPLE_RECORDS = 100
_SAMPLE_BYTES = 256 << 10
_BLOCK_BYTES = 16 << 10
_STEP_BYTES = 1 << 20

_BOM = codecs.BOM_UTF8
# UTF-32 before UTF-16: its little-endian mark begins with that of UTF-16.
_WIDE_BOMS = {
    codecs.BOM_UTF32_LE: "UTF-32",
    codecs.BOM_UTF32_BE: "UTF-32",
    codecs.BOM_UTF16_LE: "UTF-16",
    codecs.BOM_UTF16_BE: "UTF-16",
}
_MAGIC = {
    b"\x1f\x8b": ("gzip data", "gunzip -k FILE.gz"),
    b"BZh": ("bzip2 data", "bunzip2 -k FILE.bz2"),
    b"\xfd7zXZ\x00": ("xz data", "xz -dk FILE.xz"),
    b"\x28\xb5\x2f\xfd": ("zstd data", "zstd -d FILE.zst"),
    b"PK\x03\x04": ("a zip archive", "unzip FILE"),
    b"PAR1": ("a Parquet file", ""),
    b"\xd0\xcf\x11\xe0": ("an old Excel workbook (xls)", "save it as CSV UTF-8"),
    b"SQLite format 3\x00": ("an SQLite database", ""),
    b"%PDF-": ("a PDF document", ""),
}


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
    dialect = _checked(dialect)
    if names:
        return _without_header(read_at, size, dialect, names=list(names), dropped=dropped)
    data = read_at(0, min(size, max_header_bytes + _BLOCK_BYTES))
    _refuse_foreign(data, dialect)
    final = len(data) == size
    begin = _text_start(data)
    try:
        end, dialect = _first_record(data, begin, dialect, final=final, cap=max_header_bytes)
    except UsageError:
        _refuse_wrong_separator(data, begin, dialect, final=final)  # the likelier reason
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
        _refuse_wrong_separator(data, begin, dialect, final=final)
    return Header(
        columns=_usable(found, dropped),
        start=Position(
            offset=following, record=0, line=1 + _count_lines(data[:following], dialect)
        ),
        dialect=dialect,
    )


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
    dialect = _checked(dialect or Dialect())
    data = read_at(0, min(size, MAX_HEADER_BYTES + _BLOCK_BYTES))
    _refuse_foreign(data, dialect)
    final = len(data) == size
    fits = _fitting(data, _text_start(data), dialect, final=final, width=width)
    if len(fits) > 1:
        names = " and ".join(_named(separator) for separator in fits)
        raise UsageError(
            f"the delimiter is not clear: {names} fit the header and the first records alike",
            hint=f"name it: --delimiter {_typed(fits[0])}",
            code="delimiter_ambiguous",
        )
    return replace(dialect, separator=fits[0] if fits else ",")


def _checked(dialect: Dialect) -> Dialect:
    """The dialect with its encoding under its usual name."""
    separator, quote = dialect.separator, dialect.quote
    unusable = {"", "\r", "\n", "\0", quote}
    if len(separator) != 1 or not separator.isascii() or separator in unusable:
        raise UsageError(
            f"a delimiter is one ASCII character other than the quote, not {_shown(separator)}",
            hint="for example --delimiter ';'",
            code="dialect_invalid",
        )
    if len(quote) > 1 or not quote.isascii() or quote in {"\r", "\n", "\0"}:
        raise UsageError(
            f"a quote is one ASCII character, or none, not {_shown(quote)}",
            hint='--quote none, or for example --quote "\'"',
            code="dialect_invalid",
        )
    return replace(dialect, encoding=_usual_encoding(dialect.encoding))


def _usual_encoding(encoding: str) -> str:
    try:
        name = codecs.lookup(encoding).name
    except LookupError as error:
        raise UsageError(
            f"no encoding is known by the name {_shown(encoding)}",
            hint="for example --encoding utf-8, cp1252 or iso8859-1",
            code="encoding_not_supported",
        ) from error
    if name in {"utf-8", "utf-8-sig"}:
        return "utf-8"
    if not _is_single_byte(name):
        raise _unsupported(name.upper())
    return name


def _is_single_byte(encoding: str) -> bool:
    """It extends ASCII, and each byte is one character or none, whatever follows it."""
    try:
        if bytes(range(128)).decode(encoding) != bytes(range(128)).decode("ascii"):
            return False
        return all(_is_alone(byte, encoding) for byte in range(128, 256))
    except (UnicodeError, LookupError, TypeError):
        return False


def _is_alone(byte: int, encoding: str) -> bool:
    for follower in (0x41, 0xA1):
        try:
            if len(bytes([byte, follower]).decode(encoding)) != 2:  # noqa: PLR2004 - two bytes
                return False
        except UnicodeDecodeError:
            continue
    return True


def _unsupported(encoding: str) -> UsageError:
    return UsageError(
        f"the text is {encoding}; UTF-8 and single-byte encodings are read",
        hint=f"convert it: iconv -f {encoding} -t UTF-8 FILE > FILE.utf8",
        code="encoding_not_supported",
    )


def _refuse_foreign(data: bytes, dialect: Dialect) -> None:
    """Raise where these first bytes are no CSV in an encoding that is read."""
    for bom, encoding in _WIDE_BOMS.items():
        if data.startswith(bom):
            raise _unsupported(encoding)
    for magic, (name, way) in _MAGIC.items():
        if data.startswith(magic):
            raise _not_csv(data, name, way)
    if data.startswith(_BOM) and dialect.encoding != "utf-8":
        raise UsageError(
            f"the source begins with the mark of UTF-8, but {dialect.encoding} was asked for",
            hint="leave --encoding out",
            code="encoding_not_supported",
        )
    wide = _wide_by_nulls(data)
    if wide:
        raise _unsupported(wide)
    if not data.removeprefix(_BOM).strip(b"\r\n"):
        raise UsageError(
            "the source is empty: there is no header",
            hint="the first line names the columns; where it does not: --no-header --columns a,b,c",
            code="source_empty",
        )


def _not_csv(data: bytes, name: str, way: str) -> UsageError:
    if b"[Content_Types].xml" in data or b"xl/" in data[:4096]:
        name, way = "an Excel workbook (xlsx)", "save it as CSV UTF-8"
    return UsageError(
        f"the source is {name}, not CSV text",
        hint=f"first: {way}" if way else "export it as CSV",
        code="source_not_csv",
    )


def _wide_by_nulls(data: bytes) -> str | None:
    """The encoding whose ASCII letters would leave such a pattern of NULs."""
    sample = data[: 4096 & -4]
    least = len(sample) // 8  # a quarter of the even or of the odd bytes
    even, odd = sample[0::2].count(0), sample[1::2].count(0)
    if max(even, odd) <= least:
        return None
    if min(even, odd) > least:
        return "UTF-32BE" if sample[:1] == b"\0" else "UTF-32LE"
    return "UTF-16BE" if even > odd else "UTF-16LE"


def _text_start(data: bytes) -> int:
    """Behind the byte order mark and blank lines."""
    begin = len(_BOM) if data.startswith(_BOM) else 0
    return begin + len(data[begin:]) - len(data[begin:].lstrip(b"\r\n"))


def _first_record(
    data: bytes, begin: int, dialect: Dialect, *, final: bool, cap: int
) -> tuple[RecordEnd, Dialect]:
    """The end of the header, and the dialect with the line ends that it shows."""
    end = RecordScanner(replace(dialect, newline="\r")).feed(data[begin:], final=final)
    if end is None or end.stop > cap:
        raise UsageError(
            f"the header is longer than {cap:,} bytes",
            hint="is there a line end, and is each quote closed?",
            code="header_too_long",
        )
    if end.ending is not Ending.CLOSED:
        unclosed = end.ending is Ending.UNCLOSED
        raise UsageError(
            "a quote in the header is never closed"
            if unclosed
            else f"the quoting of the header is broken at byte {begin + end.quote}",
            hint=(
                "a quote is first and last in its cell, and doubled inside it;"
                " where quotes mean nothing: --quote none"
            ),
            code="header_quote_unclosed" if unclosed else "header_quote_illegal",
        )
    lone = end.terminated and end.following - end.stop == 1 and data[begin + end.stop] == ord("\r")
    return end, replace(dialect, newline="\r" if lone else "\n")


def _count_lines(data: bytes, dialect: Dialect) -> int:
    if dialect.newline == "\n":
        return data.count(b"\n")
    return data.count(b"\n") + data.count(b"\r") - data.count(b"\r\n")


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
    data = read_at(0, min(size, MAX_HEADER_BYTES + _BLOCK_BYTES))
    _refuse_foreign(data, dialect)
    begin = _text_start(data)
    dialect = replace(dialect, newline=_line_end(read_at, size, begin, dialect))
    records = _widths(data, begin, dialect, final=len(data) == size)
    widths = [width for width in islice(records, _SAMPLE_RECORDS) if width]
    if widths and len(names) not in widths:
        common = max(widths, key=widths.count)
        raise UsageError(
            f"--columns has {len(names):,} names, and none of the first records has as many cells"
            f" (most have {common:,})",
            hint="name each column in --columns; if the delimiter is another one: --delimiter",
            code="columns_differ",
        )
    line = 1 + _count_lines(data[:begin], dialect)
    return Header(columns, Position(offset=begin, record=0, line=line), dialect)


def _line_end(read_at: ReadAt, size: int, begin: int, dialect: Dialect) -> str:
    """The line end behind the first record, or its first line; read on until it is there."""
    scanner = RecordScanner(replace(dialect, newline="\r"))
    for at in range(begin, size, _STEP_BYTES):
        block = read_at(at, min(_STEP_BYTES, size - at))
        final = len(block) < _STEP_BYTES or at + len(block) == size
        end = scanner.feed(block, final=final)
        if end is not None:
            last = read_at(begin + end.following - 1, 1) if end.terminated else b""
            return "\r" if last == b"\r" else "\n"
    return "\n"


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
            f"columns {before} and {position} are both named {_shown(name)}"
            if other == name
            else f"columns {before} {_shown(other)} and {position} {_shown(name)} differ only in case"
        )
        raise UsageError(
            what,
            hint=f"rename one, or leave one out: --drop '#{position}'",
            code="header_duplicate",
        )


def _refuse_wrong_separator(data: bytes, begin: int, dialect: Dialect, *, final: bool) -> None:
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
        end, dialect = _first_record(data, begin, dialect, final=final, cap=len(data))
    except UsageError:
        return [0]
    header = len(split_cells(data[begin : begin + end.stop], dialect=dialect))
    records = _widths(data, begin + end.following, dialect, final=final)
    return [header, *islice(records, _SAMPLE_RECORDS)]


def _bare_widths(data: bytes, begin: int, dialect: Dialect, *, final: bool) -> list[int]:
    """Cells of the first records of a source without a header."""

    def read_at(offset: int, size: int) -> bytes:
        return data[offset : offset + size]

    newline = _line_end(read_at, len(data), begin, dialect)
    records = _widths(data, begin, replace(dialect, newline=newline), final=final)
    return list(islice(records, _SAMPLE_RECORDS))


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
    for begin in range(at, len(data), _BLOCK_BYTES):
        block = data[begin : begin + _BLOCK_BYTES]
        end = scanner.feed(block, final=final and begin + len(block) == len(data))
        if end is not None:
            return end
    return None


def _named(separator: str) -> str:
    names = {",": "comma", ";": "semicolon", "\t": "tab", "|": "bar", ":": "colon"}
    return names.get(separator, _shown(separator))


def _typed(separator: str) -> str:
    """As typed in a shell."""
    return "tab" if separator == "\t" else f"'{separator}'"


def _shown(name: str) -> str:
    """Quoted, and safe to print: nothing in it can steer a terminal."""
    most = 60
    text = name if len(name) <= most else name[:most] + "..."
    return '"' + "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text) + '"'
