"""Laws of framing, for any bytes: it agrees with a second reader, however it is cut up."""

import csv
import io

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ingest.core.model import Position
from ingest.edges.framing import Limits, frames
from tests.support.fuzz_framing import (
    Case,
    as_reading,
    dialect,
    difference,
    frames_of,
    make_case,
    names,
    reader,
)
from tests.support.rfc4180 import Rules, read

MARKS = st.lists(
    st.sampled_from([b",", b'"', b"\n", b"\r", b"\r\n", b"a", b'""', b"\xff", b"\xef\xbb\xbf"]),
    max_size=40,
).map(b"".join)
SIZES = st.sampled_from([1, 2, 3, 5, 9, 17, 1000])


@settings(max_examples=200, deadline=None)
@given(MARKS, st.integers(1, 3), SIZES, SIZES, SIZES, st.sampled_from("\n\r"))
def test_agrees_with_a_second_reader(data, columns, chunk, window, cap, newline):
    """Values, places, codes and marks are those of a reader that shares no code."""
    rules = Rules(columns=columns, newline=newline, cap=cap)
    limits = Limits(chunk_bytes=chunk, window_bytes=window, max_record_bytes=cap)

    assert difference(Case(data, rules, limits)) == ""


@pytest.mark.parametrize("seed", range(0, 120, 10))
def test_agrees_on_hostile_files(seed):
    """Seeded files of every kind of damage read alike, in any pieces."""
    for number in range(seed, seed + 10):
        told = difference(make_case(number))

        assert told == "", f"seed {number}: {told}"


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(*[st.text(st.characters(exclude_categories=["Cs"]), max_size=6)] * 3), max_size=12
    ),
    st.sampled_from(
        # Where lines end with LF, the module (to Python 3.12) leaves a CR bare: it may be half of
        # a CRLF then.
        [(csv.QUOTE_ALL, "\n"), (csv.QUOTE_ALL, "\r\n"), (csv.QUOTE_MINIMAL, "\r\n")]
    ),
    SIZES,
)
@example([("", "", "\r")], (csv.QUOTE_MINIMAL, "\r\n"), 1)
def test_what_was_written_is_read(rows, written, chunk):
    """A file by the csv module of Python comes back cell for cell."""
    quoting, end = written
    out = io.StringIO(newline="")
    csv.writer(out, quoting=quoting, lineterminator=end).writerows(rows)
    case = Case(out.getvalue().encode(), Rules(columns=3), Limits(chunk_bytes=chunk))

    records = as_reading(frames_of(case)).records

    assert [record.cells for record in records] == [
        tuple(cell or None for cell in row) for row in rows
    ]


@settings(max_examples=60, deadline=None)
@given(MARKS, SIZES, SIZES, st.integers(1, 6))
def test_records_can_be_read_in_portions(data, chunk, cap, portion):
    """So many at a time, from where the last portion stopped, they are the same records."""
    rules = Rules(columns=2, cap=cap)
    case = Case(data, rules, Limits(chunk_bytes=chunk, max_record_bytes=cap))
    found, at = [], Position(0, 0, 1)

    while at.offset < len(data):
        part = frames_of(case, start=at, max_records=portion)
        assert 0 < sum(frame.records for frame in part) <= portion or part[-1].stop.offset == len(
            data
        )
        found += part
        at = part[-1].stop

    assert as_reading(found) == read(data, rules)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.sampled_from([b'"', b",", b"\n", b"a", b'"\n', b'",', b'\n"', b'""']), min_size=1),
    st.integers(50, 400),
)
def test_reading_is_linear(pattern, repeats):
    """However the quotes stand, no byte is asked for more than a few times."""
    data = b"".join(pattern) * repeats
    asked = 0

    def read_at(offset, size):
        nonlocal asked
        asked += size
        return reader(data)(offset, size)

    limits = Limits(chunk_bytes=64, max_record_bytes=16)
    for _ in frames(
        read_at,
        size=len(data),
        start=Position(0, 0, 1),
        columns=names(2),
        dialect=dialect(Rules(columns=2)),
        limits=limits,
    ):
        pass

    assert asked <= 6 * len(data) + 1000
