"""Batches: both limits, exact at the edge."""

import json

import pytest

from ingest.core.batching import BULK, SINGLE, Cut, body_of, cut, halves, singles


def buffer_of(*sizes: int) -> tuple[bytes, list[int]]:
    """Events of these encoded sizes (at least 2), joined by commas."""
    buffer, ends = b"", []
    for size in sizes:
        buffer += (b"," if ends else b"") + b"[" + b" " * (size - 2) + b"]"
        ends.append(len(buffer))
    return buffer, ends


def test_nothing_gives_no_batches() -> None:
    """No events make no batches."""
    assert cut([], overhead=13) == Cut((), ())


def test_thirty_events_are_one_batch_and_the_next_begins_another() -> None:
    """The 31st event starts a second batch."""
    _, ends = buffer_of(*[10] * 31)

    assert cut(ends, overhead=BULK.overhead).spans == ((0, 30), (30, 31))


@pytest.mark.parametrize(
    ("room", "spans"),
    [
        pytest.param(21, ((0, 2),), id="exactly-fits"),
        pytest.param(20, ((0, 1), (1, 2)), id="one-byte-short"),
    ],
)
def test_the_byte_limit_counts_the_comma_and_the_wrapper(room: int, spans: object) -> None:
    """Two events of 10 bytes and their comma take 21 bytes beside the wrapper, to the byte."""
    _, ends = buffer_of(10, 10)

    assert cut(ends, overhead=13, max_bytes=room + 13).spans == spans


def test_a_batch_that_fits_to_the_byte_takes_no_more() -> None:
    """Where two of three events fill a body exactly, the third begins another."""
    _, ends = buffer_of(10, 10, 10)

    assert cut(ends, overhead=0, max_bytes=21) == Cut(((0, 2), (2, 3)), ())
    assert cut(ends, overhead=0, max_bytes=10) == Cut(((0, 1), (1, 2), (2, 3)), ())


def test_an_event_over_the_limit_is_alone_and_named() -> None:
    """An event that no request can hold is its own span; its neighbours are batched around it."""
    _, ends = buffer_of(10, 10, 101, 10, 10)

    assert cut(ends, overhead=0, max_bytes=100) == Cut(((0, 2), (2, 3), (3, 5)), (2,))


def test_a_batch_of_no_events_is_a_mistake() -> None:
    """A limit below one event cannot be kept."""
    with pytest.raises(ValueError, match="at least one"):
        cut([2], overhead=0, max_events=0)


def test_a_bulk_body_is_the_slice_in_its_wrapper() -> None:
    """A bulk body holds exactly the span's events."""
    buffer, ends = b'{"a":1},{"b":2},{"c":3}', [7, 15, 23]

    assert json.loads(body_of(buffer, ends, (1, 3))) == {"events": [{"b": 2}, {"c": 3}]}
    assert json.loads(body_of(buffer, ends, (0, 1))) == {"events": [{"a": 1}]}


def test_a_single_body_is_the_event_itself() -> None:
    """The single endpoint takes one event without a wrapper."""
    assert body_of(b'{"a":1},{"b":2}', [7, 15], (1, 2), wrapper=SINGLE) == b'{"b":2}'


@pytest.mark.parametrize(
    "span",
    [
        pytest.param((1, 1), id="empty"),
        pytest.param((0, 3), id="beyond-the-end"),
        pytest.param((-1, 1), id="before-the-start"),
    ],
)
def test_a_span_outside_the_buffer_has_no_body(span: tuple[int, int]) -> None:
    """A body is never made of events that are not there."""
    with pytest.raises(ValueError, match="no events"):
        body_of(b"1,2", [1, 3], span)


def test_two_events_cannot_go_to_the_single_endpoint() -> None:
    """Several events without a wrapper are refused, not glued together."""
    with pytest.raises(ValueError, match="need a wrapper"):
        body_of(b"1,2", [1, 3], (0, 2), wrapper=SINGLE)


def test_halves_and_singles_tile_their_span() -> None:
    """Three events halve to two and one; singles are one each."""
    assert halves((4, 7)) == ((4, 6), (6, 7))
    assert singles((4, 7)) == ((4, 5), (5, 6), (6, 7))


def test_one_event_cannot_be_halved() -> None:
    """Halving ends at one event."""
    with pytest.raises(ValueError, match="cannot be halved"):
        halves((4, 5))
