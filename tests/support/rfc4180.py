"""A second reader of CSV, one character at a time, to compare with.

Written from the text of RFC 4180 and the rules in the project's documentation. It takes the whole
file, is as slow as it likes, and shares no code with the package: what both readers agree on was
thought out twice.
"""

from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Rec:
    """One record as the comparison sees it."""

    offset: int
    end: int
    line: int
    codes: tuple[str, ...]
    cells: tuple[str | None, ...] | None
    resynced: bool
    raw: bytes | None


@dataclass(frozen=True)
class Reading:
    """All of a file."""

    records: tuple[Rec, ...]
    blank_lines: int
    unterminated: bool


@dataclass(frozen=True)
class Rules:
    """How a file is to be read."""

    columns: int
    separator: str = ","
    quote: str = '"'
    newline: str = "\n"
    encoding: str = "utf-8"
    cap: int = 1 << 20


class _IllegalError(Exception):
    pass


class _UnclosedError(Exception):
    pass


def read(data: bytes, rules: Rules, *, start: int = 0, line: int = 1) -> Reading:
    """Read records from `start`, which lies on physical line `line`."""
    records: list[Rec] = []
    blank = 0
    marked_until = 0
    unterminated = False
    at = start
    while at < len(data):
        begin, begin_line = at, line
        try:
            cells, end, at = _record(data, begin, rules)
            broken = None
        except _IllegalError:
            broken = "quote_illegal"
        except _UnclosedError:
            broken = "quote_unclosed"
        if broken is not None:
            cells = []
            end, at = _line(data, begin, rules)
        line += _count_line_ends(data[begin:at], rules)
        ended = at > end and not (rules.newline == "\n" and data[at - 1 : at] == b"\r")
        if begin == end:
            blank += 1
            unterminated = False
            continue
        unterminated = not ended
        codes = _judge(cells, broken, end - begin, rules, last=not ended)
        records.append(
            Rec(
                offset=begin,
                end=end,
                line=begin_line,
                codes=codes,
                cells=None if codes else tuple(_text(cell, rules) or None for cell in cells),
                resynced=begin_line < marked_until,
                raw=data[begin:end] if codes and end - begin <= rules.cap else None,
            )
        )
        if broken is not None:
            marked_until = max(marked_until, begin_line + 1 + 64)
    return Reading(tuple(records), blank, unterminated)


def _judge(
    cells: list[bytes], broken: str | None, length: int, rules: Rules, *, last: bool
) -> tuple[str, ...]:
    if broken is not None:
        return (broken,)
    if length > rules.cap:
        return ("record_too_large",)
    codes = []
    if len(cells) > rules.columns:
        codes.append("row_too_many_fields")
    elif len(cells) < rules.columns:
        codes.append("row_truncated" if last else "row_too_few_fields")
    try:
        for cell in cells:
            _text(cell, rules)
    except UnicodeDecodeError:
        codes.append("utf8_invalid")
    return tuple(codes)


def _text(cell: bytes, rules: Rules) -> str:
    return cell.decode(rules.encoding)


def _line_end(data: bytes, at: int, rules: Rules) -> int:
    """How many bytes of line end are at `at`."""
    here = data[at : at + 1]
    if here == b"\n":
        return 1
    if here != b"\r":
        return 0
    if data[at + 1 : at + 2] == b"\n":
        return 2
    if rules.newline == "\r":
        return 1
    return 1 if at + 1 == len(data) else 0


def _line(data: bytes, at: int, rules: Rules) -> tuple[int, int]:
    """Where the physical line at `at` ends, and where the next begins."""
    while at < len(data):
        length = _line_end(data, at, rules)
        if length:
            return at, at + length
        at += 1
    return at, at


def _count_line_ends(data: bytes, rules: Rules) -> int:
    count = 0
    at = 0
    while at < len(data):
        if data[at : at + 2] == b"\r\n":
            count += 1
            at += 2
            continue
        if data[at : at + 1] == b"\n" or (rules.newline == "\r" and data[at : at + 1] == b"\r"):
            count += 1
        at += 1
    return count


def _record(data: bytes, at: int, rules: Rules) -> tuple[list[bytes], int, int]:
    """The cells of the record at `at`, where it ends, and where the next begins."""
    separator, quote = rules.separator.encode(), rules.quote.encode()
    cells = []
    while True:
        if quote and data[at : at + 1] == quote:
            cell, at = _quoted(data, at + 1, quote)
        else:
            cell, at = _bare(data, at, separator, quote, rules)
        cells.append(cell)
        if at == len(data):
            return cells, at, at
        if data[at : at + 1] == separator:
            at += 1
            continue
        length = _line_end(data, at, rules)
        if not length:
            raise _IllegalError
        return cells, at, at + length


def _quoted(data: bytes, at: int, quote: bytes) -> tuple[bytes, int]:
    cell = bytearray()
    while at < len(data):
        here = data[at : at + 1]
        if here != quote:
            cell += here
            at += 1
        elif data[at + 1 : at + 2] == quote:
            cell += quote
            at += 2
        else:
            return bytes(cell), at + 1
    raise _UnclosedError


def _bare(data: bytes, at: int, separator: bytes, quote: bytes, rules: Rules) -> tuple[bytes, int]:
    cell = bytearray()
    while at < len(data):
        here = data[at : at + 1]
        if here == separator or _line_end(data, at, rules):
            break
        if quote and here == quote:
            raise _IllegalError
        cell += here
        at += 1
    return bytes(cell), at


# -- the header ------------------------------------------------------------------------------


@dataclass(frozen=True)
class Head:
    """What is known before the first record is read."""

    columns: tuple[str, ...]
    offset: int
    line: int
    newline: str


class RefusedError(Exception):
    """A file that has no usable header; its word for machines."""


def head(
    data: bytes,
    rules: Rules,
    *,
    names: tuple[str, ...] = (),
    dropped: frozenset[int] = frozenset(),
    sure: bool = False,
) -> Head:
    """Read the header, or with `names` find where the records begin.

    `rules.cap` is the longest header; `rules.newline` and `rules.columns` say nothing here.
    """
    typed = _usable(names, dropped) if names else ()
    begin = _begin(data)
    newline, cells, end, following = _first(data, begin, rules)
    if names:
        widths = [width for width in _widths(data, begin, rules, newline) if width]
        if widths and len(names) not in widths:
            raise RefusedError("columns_differ")
        return Head(typed, begin, 1 + _lines(data[:begin], newline), newline)
    broken = isinstance(cells, str)
    if end - begin > rules.cap or broken:
        if _fits_alone(data, rules):
            raise RefusedError("delimiter_wrong")
        raise RefusedError("header_too_long" if end - begin > rules.cap else str(cells))
    try:
        found = tuple(cell.decode(rules.encoding) for cell in cells)
    except UnicodeDecodeError:
        raise RefusedError("header_not_text") from None
    if len(found) == 1 and not (dropped or sure) and _fits_alone(data, rules):
        raise RefusedError("delimiter_wrong")
    columns = _usable(found, dropped)
    return Head(columns, following, 1 + _lines(data[:following], newline), newline)


def separator_of(data: bytes, rules: Rules, *, width: int = 0) -> str:
    """The separator that fits, the comma where none does."""
    _begin(data)
    fits = _fitting(data, rules, ",;\t|", width)
    if len(fits) > 1:
        raise RefusedError("delimiter_ambiguous")
    return fits[0] if fits else ","


def _begin(data: bytes) -> int:
    at = 3 if data[:3] == b"\xef\xbb\xbf" else 0
    while data[at : at + 1] in (b"\r", b"\n"):
        at += 1
    if at == len(data):
        raise RefusedError("source_empty")
    return at


def _first(data: bytes, begin: int, rules: Rules) -> tuple[str, list[bytes] | str, int, int]:
    """Line end, cells or what is wrong, end and following of the first record."""
    any_end = replace(rules, newline="\r")
    try:
        cells, end, following = _record(data, begin, any_end)
    except (_IllegalError, _UnclosedError) as error:
        illegal = isinstance(error, _IllegalError)
        cells = "header_quote_illegal" if illegal else "header_quote_unclosed"
        end, following = _line(data, begin, any_end)
    lone = following > end and data[following - 1 : following] == b"\r"
    return "\r" if lone else "\n", cells, end, following


def _lines(data: bytes, newline: str) -> int:
    text = data.replace(b"\r\n", b"\n")
    return (text.replace(b"\r", b"\n") if newline == "\r" else text).count(b"\n")


def _usable(names: tuple[str, ...], dropped: frozenset[int]) -> tuple[str, ...]:
    if any(position > len(names) for position in dropped):
        raise RefusedError("column_unknown")
    columns = [f"#{n}" if n in dropped else name for n, name in enumerate(names, 1)]
    if any(name == "" or name.isspace() for name in columns):
        raise RefusedError("header_blank")
    if len({name.casefold() for name in columns}) < len(columns):
        raise RefusedError("header_duplicate")
    return tuple(columns)


def _widths(data: bytes, at: int, rules: Rules, newline: str) -> list[int]:
    """Cells of the first hundred records; 0 for a line with broken quoting."""
    rules = replace(rules, newline=newline)
    widths: list[int] = []
    while at < len(data) and len(widths) < 100:
        begin = at
        try:
            cells, end, at = _record(data, begin, rules)
            width = len(cells)
        except (_IllegalError, _UnclosedError):
            end, at = _line(data, begin, rules)
            width = 0
        if end > begin or not width:
            widths.append(width)
    return widths


def _fitting(data: bytes, rules: Rules, among: str, width: int = 0) -> list[str]:
    whole, half = [], []
    for separator in among:
        if separator == rules.quote:
            continue
        guess = replace(rules, separator=separator)
        newline, cells, _, following = _first(data, _begin(data), guess)
        if width:
            wanted, records = width, _widths(data, _begin(data), guess, newline)
            if not records:
                continue
        elif isinstance(cells, str):
            continue
        else:
            wanted, records = len(cells), _widths(data, following, guess, newline)
        share = sum(record == wanted for record in records)
        if wanted > 1 and share == len(records):
            whole.append(separator)
        if wanted > 1 and share >= len(records) / 2:
            half.append(separator)
    return whole or half


def _fits_alone(data: bytes, rules: Rules) -> bool:
    fits = _fitting(data, rules, ",;\t|:^~")
    return len(fits) == 1 and fits[0] != rules.separator
