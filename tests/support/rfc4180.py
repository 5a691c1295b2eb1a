"""A second reader of CSV, one character at a time, to compare with.

Written from the text of RFC 4180 and the rules in the project's documentation. It takes the whole
file, is as slow as it likes, and shares no code with the package: what both readers agree on was
thought out twice.
"""

from dataclasses import dataclass


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
