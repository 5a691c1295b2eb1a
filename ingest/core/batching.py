"""Cuts encoded events into batches that keep the API's limits.

The events lie in ONE buffer as JSON objects joined by single commas, so a batch's body is a slice
of that buffer in a wrapper: cutting never looks at the bytes, and costs one step a batch. Spans are
half-open positions of events, from 0.
"""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

# API limits of a bulk request: 30 events or 1 MB, whichever comes first (contract: endpoints).
# 1 MB is read as the smaller of its two meanings, the wrapper included.
MAX_EVENTS = 30
MAX_BYTES = 1_000_000

Span = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Wrapper:
    """What stands around the events in a body.

    Args:
        prefix: Bytes before the first event.
        suffix: Bytes after the last one.
    """

    prefix: bytes
    suffix: bytes

    @property
    def overhead(self) -> int:
        """Bytes that the wrapper adds to a body."""
        return len(self.prefix) + len(self.suffix)


BULK = Wrapper(b'{"events":[', b"]}")
SINGLE = Wrapper(b"", b"")


@dataclass(frozen=True, slots=True)
class Cut:
    """Batches of one buffer.

    Args:
        spans: They tile the input in order.
        too_large: Positions of the events that are over the byte limit even alone; each is a span
            of its own in `spans`, and must not be sent.
    """

    spans: tuple[Span, ...]
    too_large: tuple[int, ...]


def cut(
    ends: Sequence[int],
    *,
    overhead: int,
    max_events: int = MAX_EVENTS,
    max_bytes: int = MAX_BYTES,
) -> Cut:
    """Cut events into the longest batches that keep both limits.

    Args:
        ends: `ends[i]` is the end of event i in the buffer; event 0 starts at 0 and event i at
            `ends[i - 1] + 1`, after the comma.
        overhead: Bytes that the wrapper adds to each body.
        max_events: Events in a batch, at least 1.
        max_bytes: Bytes of a body, wrapper included.

    Raises:
        ValueError: If `max_events` is below 1.
    """
    if max_events < 1:
        raise ValueError(f"a batch holds at least one event, not {max_events}")
    room, total = max_bytes - overhead, len(ends)
    spans: list[Span] = []
    too_large: list[int] = []
    first = begin = 0
    while first < total:
        stop, limit = min(first + max_events, total), begin + room
        if ends[stop - 1] > limit:
            stop = bisect_right(ends, limit, first, stop)
            if stop == first:
                too_large.append(first)
                stop = first + 1
        spans.append((first, stop))
        first, begin = stop, ends[stop - 1] + 1
    return Cut(tuple(spans), tuple(too_large))


def body_of(buffer: bytes, ends: Sequence[int], span: Span, *, wrapper: Wrapper = BULK) -> bytes:
    """The request body of a span; the single endpoint's is one event in no wrapper.

    Raises:
        ValueError: If the span is empty or outside the buffer, or has several events and no
            wrapper to hold them.
    """
    first, stop = span
    if not 0 <= first < stop <= len(ends):
        raise ValueError(f"no events at {first} to {stop} of {len(ends)}")
    if stop - first > 1 and wrapper.overhead == 0:
        raise ValueError(f"{stop - first} events need a wrapper")
    begin = ends[first - 1] + 1 if first else 0
    return b"".join((wrapper.prefix, memoryview(buffer)[begin : ends[stop - 1]], wrapper.suffix))


def halves(span: Span) -> tuple[Span, Span]:
    """The two halves of a span of at least two events, the longer one first."""
    first, stop = span
    if stop - first < 2:  # noqa: PLR2004 - a half holds at least one event
        raise ValueError(f"{stop - first} events cannot be halved")
    middle = (first + stop + 1) // 2
    return (first, middle), (middle, stop)


def singles(span: Span) -> tuple[Span, ...]:
    """Each event of a span as a span of its own, in order."""
    return tuple((at, at + 1) for at in range(*span))
