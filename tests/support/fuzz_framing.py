"""Hostile CSV files, framed in random pieces and compared with the independent reader.

Run it for longer: `python -m tests.support.fuzz_framing --seconds 600 --seed 7`. It prints the
seed of the file that differs; `--seed S --files 1` reads that file again.
"""

import argparse
import random
import sys
import time
from dataclasses import dataclass

from ingest.core.model import Dialect, Position
from ingest.edges.framing import Frame, Limits, ReadAt, frames
from tests.support.rfc4180 import Reading, Rec, Rules, read

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
        columns=rng.choice([1, 1, 2, 2, 3, 3, 5, 14, 40]),
        separator=rng.choice(",,,,;\t|: a"),
        quote=rng.choice('""""""\'') if rng.random() < 0.95 else "",
        newline=rng.choice("\n\n\n\r"),
        encoding=rng.choice(["utf-8"] * 5 + ["cp1252", "iso8859-1"]),
        cap=rng.choice([3, 8, 20, 60, 300, 1 << 20, 1 << 20]),
    )
    data = _soup(rng, rules) if rng.random() < 0.4 else _rows(rng, rules)
    if rng.random() < 0.3 and data:
        data = data[: rng.randrange(len(data)) + 1]
    limits = Limits(
        chunk_bytes=rng.choice([1, 2, 3, 5, 8, 13, 30, 64, 200, 1000, 1 << 20]),
        chunk_records=rng.choice([1, 2, 7, 100_000]),
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
    for _ in range(rng.choice([1, 3, 10, 60, 150])):
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


def main() -> int:
    """Compare until the time is up; 1 on the first difference."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--files", type=int, default=None)
    given = parser.parse_args()
    first = random.SystemRandom().randrange(1 << 40) if given.seed is None else given.seed
    print(f"seed {first}", flush=True)  # noqa: T201 - a script that prints what it found
    stop = time.monotonic() + given.seconds
    seed = first
    while time.monotonic() < stop and (given.files is None or seed - first < given.files):
        case = make_case(seed)
        try:
            told = difference(case)
        except Exception as error:  # noqa: BLE001 - any error is a finding
            told = repr(error)
        if told:
            print(f"seed {seed}\n{case}\n{told}")  # noqa: T201 - as above
            return 1
        seed += 1
    print(f"{seed - first} files agree")  # noqa: T201 - as above
    return 0


if __name__ == "__main__":
    sys.exit(main())
