"""Hostile CSV files, framed in random pieces and compared with the independent reader.

Run it for longer: `python -m tests.support.fuzz_framing --seconds 600 --seed 7`. It prints the
seed of the file that differs; `--seed S --cases 1` reads that file again.
"""

import random
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace

from ingest.core.model import Dialect, Position
from ingest.edges.framing import Frame, Limits, ReadAt, frames, read_header, sniff
from ingest.errors import UsageError
from tests.support.fuzzing import fuzz
from tests.support.rfc4180 import Head, Reading, Rec, RefusedError, Rules, head, read, separator_of

_WORDS = [
    b"a", b"1", b"007", b"1e5", b"NaN", b"x y", b" ", b"  ", b"\t", b"{}", b"caf\xc3\xa9",
    b"\xe2\x82\xac", b"\xf0\x9f\x98\x80", b"\x00", b"\\", b"#", b"'", b"null", b"\xc2\x85",
    b"\xe2\x80\xa8", b"\x1c", b"\x0b", b"=1+1", b"\xef\xbb\xbf",
]  # fmt: skip
_WRONG_BYTES = [
    b"\xff",
    b"\xc3",
    b"\xa9",
    b"\xed\xa0\x80",
    b"\xc0\x80",
    b"\xf4\x90\x80\x80",
    b"\x81",
]


@dataclass(frozen=True)
class Case:
    """A file, how it is to be read, and how it is cut up."""

    data: bytes
    rules: Rules
    limits: Limits
    max_records: int | None = None


def make_case(seed: int) -> Case:
    """The case of a seed."""
    rng = random.Random(seed)
    rules = Rules(
        columns=rng.choice([1, 1, 2, 2, 3, 3, 5, 14, rng.randint(1, 200)]),
        separator=rng.choice(",,,,;\t|: a"),
        quote=rng.choice('""""""\'') if rng.random() < 0.95 else "",
        newline=rng.choice("\n\n\n\r"),
        encoding=rng.choice(["utf-8"] * 5 + ["cp1252", "iso8859-1"]),
        cap=rng.choice([3, 8, 20, 60, 300, 1 << 20, 1 << 20]),
    )
    data = _soup(rng, rules) if rng.random() < 0.4 else _rows(rng, rules)
    if rng.random() < 0.3 and data:
        data = data[: rng.randrange(len(data)) + 1]
    size = len(data)
    limits = Limits(
        # Each frame costs a millisecond: of a long file, the pieces are not the smallest.
        chunk_bytes=max(rng.choice([1, 2, 3, 5, 8, 13, 30, 64, 200, 1000, 1 << 20]), size // 30),
        chunk_records=max(rng.choice([1, 2, 7, 100_000]), size // 1000),
        window_bytes=rng.choice([1, 4, 16, 64, 1 << 18]),
        max_record_bytes=rules.cap,
    )
    return Case(data, rules, limits)


def _soup(rng: random.Random, rules: Rules) -> bytes:
    """Nothing but marks, in any order."""
    marks = [
        rules.separator.encode(),
        rules.quote.encode(),
        b"\n",
        b"\r",
        b"\r\n",
        b"a",
        b'""',
        b"\xff",
    ]
    weights = [rng.random() ** 2 + 0.01 for _ in marks]
    return b"".join(rng.choices(marks, weights, k=rng.choice([3, 10, 40, 200])))


def _rows(rng: random.Random, rules: Rules) -> bytes:
    """Rows that are sound but for some."""
    wrong = rng.choice([0, 0, 0.02, 0.2, 1])
    quoted = rng.choice([0, 0.1, 0.5, 1])
    newline = rng.choice([b"\n", b"\r\n", b"\r", None])
    pieces = []
    for _ in range(min(rng.choice([1, 3, 10, 60, 150]), 1 + 300 // rules.columns)):
        end = newline or rng.choice([b"\n", b"\r\n", b"\r", b"\n"])
        pieces.append(_row(rng, rules, wrong=wrong, quoted=quoted) + end)
    if rng.random() < 0.3:
        pieces[-1] = pieces[-1].rstrip(b"\r\n")
    return b"".join(pieces)


def _row(rng: random.Random, rules: Rules, *, wrong: float, quoted: float) -> bytes:
    width = rules.columns
    if rng.random() < wrong:
        width = max(1, width + rng.choice([-2, -1, 1, 2]))
    cells = [_cell(rng, rules, wrong=wrong / 10, quoted=quoted) for _ in range(width)]
    row = rules.separator.encode().join(cells)
    if rng.random() < wrong / 2:
        at = rng.randrange(len(row) + 1)
        row = row[:at] + rng.choice([rules.quote.encode(), b"\r", b"", *_WRONG_BYTES]) + row[at:]
    return b"" if rng.random() < 0.03 else row


def _cell(rng: random.Random, rules: Rules, *, wrong: float, quoted: float) -> bytes:
    separator, quote = rules.separator.encode(), rules.quote.encode()
    text = b"".join(rng.choices(_WORDS, k=rng.choice([0, 0, 1, 1, 2, 5])))
    if rng.random() < wrong:
        text += rng.choice(_WRONG_BYTES)
    if quote and rng.random() < quoted:
        text += rng.choice([b"", b"", separator, quote, b"\n", b"\r\n", b"\r", quote * 2, b'"'])
        return quote + text.replace(quote, quote * 2) + quote
    return (
        text.replace(separator, b"").replace(quote, b"") if quote else text.replace(separator, b"")
    )


_NAMES = [
    b"event", b"Event", b"customer_id", b"a", b"b", b"c", b"x y", b"", b" ", b"\t", b"na\xc3\xafve",
    b"stra\xc3\x9fe", b"STRASSE", b"stra\xc3\x9fe", b"STRASSE", b"time:start", b"a;b", b"a|b", b"\xe2\x80\x83", b"1", b"\xff",
]  # fmt: skip


@dataclass(frozen=True)
class HeaderCase:
    """A file with a header, and the flags for it."""

    data: bytes
    rules: Rules
    names: tuple[str, ...]
    dropped: frozenset[int]
    sure: bool


def make_header_case(seed: int) -> HeaderCase:
    """The header case of a seed."""
    rng = random.Random(f"header {seed}")
    rules = Rules(
        columns=rng.choice([1, 2, 2, 3, 5, rng.randint(1, 200)]),
        separator=rng.choice(",,;;\t|:^~"),
        quote=rng.choice('""""\'') if rng.random() < 0.95 else "",
        newline=rng.choice("\n\r"),
        encoding=rng.choice(["utf-8", "utf-8", "utf-8", "cp1252"]),
        cap=rng.choice([5, 20, 1 << 20, 1 << 20, 1 << 20]),
    )
    end = rng.choice([b"\n", b"\r\n", b"\r"])
    data = rng.choice([b"", b"", b"\xef\xbb\xbf" * (rules.encoding == "utf-8"), end, b"\r\n\n"])
    data += _header(rng, rules) + rng.choice([end, end, end, b""])
    data += (_soup(rng, rules) if rng.random() < 0.2 else _rows(rng, rules)).replace(b"\0", b"")
    some = frozenset(rng.choices(range(1, rules.columns + 2), k=rng.choice([0, 0, 0, 1, 2])))
    typed = rng.random() < 0.3
    names = tuple(f"c{n}" for n in range(rules.columns)) if typed else ()
    if rng.random() < 0.3:
        rules = replace(rules, separator=rng.choice(",;"))  # not the one that it is written with
    return HeaderCase(data, rules, names, some, rng.random() < 0.3)


def _header(rng: random.Random, rules: Rules) -> bytes:
    separator, quote = rules.separator.encode(), rules.quote.encode()
    usual = [b"n%d" % n for n in range(rules.columns)]
    odd = rng.choice([0, 0, 0.1, 0.8])
    cells = [rng.choice(_NAMES) if rng.random() < odd else name for name in usual]
    quoted = rng.choice([0, 0, 0.5])
    cells = [
        quote + cell + rng.choice([b"", b"", b"\n", separator]) + quote
        if rng.random() < quoted
        else cell
        for cell in cells
    ]
    return separator.join(cells) + (quote if rng.random() < 0.03 else b"")


def header_difference(case: HeaderCase) -> str:
    """What differs between both readers of the header, or nothing."""
    told = {"width": len(case.names)}
    ours = _told(
        lambda: (
            sniff(
                reader(case.data), size=len(case.data), dialect=dialect(case.rules), **told
            ).separator
        )
    )
    theirs = _told(lambda: separator_of(case.data, case.rules, **told))
    if ours != theirs:
        return f"sniffed: {ours!r}\nby hand: {theirs!r}"
    mine, other = _told(lambda: _read_head(case)), _told(lambda: _hand_head(case))
    return "" if mine == other else f"read: {mine}\nby hand: {other}"


def _told(ask: Callable[[], object]) -> object:
    try:
        return ask()
    except UsageError as error:
        return error.code
    except RefusedError as error:
        return str(error)


def _read_head(case: HeaderCase) -> Head:
    found = read_header(
        reader(case.data),
        size=len(case.data),
        dialect=dialect(case.rules),
        dropped=case.dropped,
        names=case.names,
        sure=case.sure,
        max_header_bytes=case.rules.cap,
    )
    start = found.start
    return Head(found.columns, start.offset, start.line, found.dialect.newline)


def _hand_head(case: HeaderCase) -> Head:
    return head(case.data, case.rules, names=case.names, dropped=case.dropped, sure=case.sure)


def reader(data: bytes) -> ReadAt:
    """`ReadAt` of bytes in memory."""
    return lambda offset, size: data[offset : offset + size]


def names(columns: int) -> tuple[str, ...]:
    """Names of so many columns."""
    return tuple(f"c{number}" for number in range(columns))


def dialect(rules: Rules) -> Dialect:
    """The same, as the package says it."""
    return Dialect(rules.separator, rules.quote, rules.encoding, rules.newline)


def frames_of(case: Case, **options: object) -> list[Frame]:
    """The frames of a case."""
    given: dict = {
        "size": len(case.data),
        "start": Position(0, 0, 1),
        "columns": names(case.rules.columns),
        "dialect": dialect(case.rules),
        "limits": case.limits,
        **options,
    }
    return list(frames(reader(case.data), **given))


def as_reading(found: list[Frame]) -> Reading:
    """Frames in the words of the independent reader."""
    records: list[Rec] = []
    for frame in found:
        codes: dict[int, tuple[str, ...]] = {}
        raws: dict[int, bytes | None] = {}
        for fault in frame.faults:
            codes[fault.record] = (*codes.get(fault.record, ()), fault.code)
            raws[fault.record] = fault.raw
        cells = dict(zip(frame.rows.tolist(), frame.table.rows(), strict=True))
        marked = set(frame.resynced.tolist())
        records += [
            Rec(
                offset=int(frame.offsets[number]),
                end=int(frame.ends[number]),
                line=int(frame.lines[number]),
                codes=codes.get(number, ()),
                cells=cells.get(number),
                resynced=number in marked,
                raw=raws.get(number),
            )
            for number in range(frame.records)
        ]
    return Reading(
        records=tuple(records),
        blank_lines=sum(frame.blank_lines for frame in found),
        unterminated=bool(found) and found[-1].unterminated,
    )


def difference(case: Case) -> str:
    """What differs between both readers, or nothing."""
    found = frames_of(case)
    ours, theirs = as_reading(found), read(case.data, case.rules)
    if ours != theirs:
        for mine, other in zip(ours.records, theirs.records, strict=False):
            if mine != other:
                return f"framed: {mine}\nby hand: {other}"
        return f"framed: {ours}\nby hand: {theirs}"
    return _broken_chain(case, found)


def _broken_chain(case: Case, found: list[Frame]) -> str:
    """Frames must tile the file, and one made again must be the same."""
    at = Position(0, 0, 1)
    for frame in found:
        if frame.start != at:
            return f"a frame starts at {frame.start}, the last one stopped at {at}"
        at = frame.stop
        again = frames_of(case, start=frame.start, stop_offset=frame.stop.offset)
        if len(again) != 1 or not same(frame, again[0]):
            return f"made again, the frame at {frame.start} differs"
    if at.offset != len(case.data):
        return f"the last frame stops at {at}"
    if found:
        whole = frames_of(case, stop_offset=at.offset)
        if len(whole) != 1 or as_reading(whole) != as_reading(found) or whole[0].stop != at:
            return "all in one frame, it differs"
    return ""


def same(one: Frame, other: Frame) -> bool:
    """Equal in every field."""
    return (
        (one.start, one.stop, one.faults, one.blank_lines, one.unterminated)
        == (other.start, other.stop, other.faults, other.blank_lines, other.unterminated)
        and one.table.equals(other.table)
        and one.table.schema == other.table.schema
        and all(
            getattr(one, name).tolist() == getattr(other, name).tolist()
            for name in ("rows", "offsets", "ends", "lines", "resynced")
        )
    )


def finding(seed: int) -> str:
    """What is wrong with the files of a seed, or nothing."""
    for make, compare in ((make_case, difference), (make_header_case, header_difference)):
        case = make(seed)
        try:
            told = compare(case)
        except Exception as error:  # noqa: BLE001 - any error is a finding
            told = repr(error)
        if told:
            return f"{case}\n{told}"
    return ""


if __name__ == "__main__":
    sys.exit(fuzz(finding, doc=__doc__))
