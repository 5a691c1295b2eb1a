"""Laws of sending: cutting, deciding and pacing, for any input."""

import bisect
import itertools
import json
import math
from collections.abc import Sequence

from hypothesis import example, given, settings
from hypothesis import strategies as st

from ingest.core.batching import BULK, SINGLE, body_of, cut
from ingest.core.outcome import (
    Act,
    Failure,
    Reply,
    RetryPolicy,
    decide,
    retry_after_s,
)
from ingest.core.pacing import Crew, Gate, Pace, Tempo
from ingest.core.words import escaped, words_of

# --- cutting ---

SIZES = st.lists(st.integers(1, 60), max_size=120)


@given(sizes=SIZES, max_events=st.integers(1, 40), max_bytes=st.integers(14, 200))
def test_batches_tile_the_input_and_keep_both_limits(
    sizes: list[int], max_events: int, max_bytes: int
) -> None:
    """Spans tile; each keeps both limits or is one named event; none could take its neighbour."""
    objects = [b"x" * size for size in sizes]
    buffer, ends = b",".join(objects), _ends(sizes)

    result = cut(ends, overhead=BULK.overhead, max_events=max_events, max_bytes=max_bytes)

    bodies = [body_of(buffer, ends, span) for span in result.spans]
    sent = [
        obj for body in bodies for obj in body[len(BULK.prefix) : -len(BULK.suffix)].split(b",")
    ]
    assert sent == objects
    for (first, stop), body in zip(result.spans, bodies, strict=True):
        assert stop - first <= max_events
        assert (len(body) > max_bytes) == (first in result.too_large)
        assert len(body) <= max_bytes or stop - first == 1
        if stop < len(sizes) and stop - first < max_events:
            assert len(body_of(buffer, ends, (first, stop + 1))) > max_bytes


@given(sizes=SIZES)
def test_the_single_endpoint_gets_each_event_alone(sizes: list[int]) -> None:
    """With one event to a batch and no wrapper each body is one event."""
    ends = _ends(sizes)

    result = cut(ends, overhead=0, max_events=1, max_bytes=30)

    bodies = [body_of(b"x" * (ends[-1]), ends, span, wrapper=SINGLE) for span in result.spans]
    assert [len(body) for body in bodies] == sizes
    assert [at for at, size in enumerate(sizes) if size > 30] == list(result.too_large)


def _ends(sizes: Sequence[int]) -> list[int]:
    return [end + at for at, end in enumerate(itertools.accumulate(sizes))]


# --- deciding ---

BODIES = st.one_of(
    st.binary(max_size=40),
    st.sampled_from([b'{"status":"ok"}', b'{"errors":[{"a":"b"}]}', b"<html>", b"[" * 5000]),
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.text(max_size=8),
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner),
        max_leaves=8,
    ).map(lambda value: json.dumps({"errors": value}).encode()),
)
HEADERS = st.none() | st.text(max_size=30) | st.integers(-(10**20), 10**20).map(str)
WHOLE = st.builds(
    Reply,
    st.integers(100, 999),
    body=BODIES,
    retry_after=HEADERS,
    request_id=st.none() | st.text(max_size=200),
    location=st.none() | st.text(max_size=60),
)
BROKEN = st.builds(
    Reply,
    st.none() | st.integers(100, 999),
    st.sampled_from(Failure),
    body=BODIES,
    complete=st.just(False),
    retry_after=HEADERS,
    detail=st.text(max_size=60),
)
POLICY = RetryPolicy()


@settings(max_examples=250, deadline=None)
@given(
    reply=WHOLE | BROKEN,
    events=st.integers(1, 30),
    attempt=st.integers(1, 5000),
    waited_s=st.floats(0, 1e6),
    jitter=st.floats(0, 1, exclude_max=True),
    after_unknown=st.booleans(),
)
def test_every_reply_has_one_honest_decision(
    *,
    reply: Reply,
    events: int,
    attempt: int,
    waited_s: float,
    jitter: float,
    after_unknown: bool,
) -> None:
    """Total; waits are finite, within the budget and not below Retry-After; delivered needs proof."""
    decision = decide(
        reply,
        events=events,
        attempt=attempt,
        waited_s=waited_s,
        policy=POLICY,
        jitter=jitter,
        after_unknown=after_unknown,
        now_wall_s=1.7e9,
    )

    waits = decision.act in {Act.RETRY, Act.HOLD_ALL}
    asked_s = retry_after_s(reply.retry_after, now_wall_s=1.7e9) or 0.0
    assert decision.wait_s == 0 or waits
    if waits:
        assert min(asked_s, POLICY.retry_after_cap_s) <= decision.wait_s <= 300
        assert waited_s + decision.wait_s <= POLICY.hold_budget_s
    if decision.act is Act.DELIVERED:
        proven = reply.status == 200 and b"ok" in reply.body.lower()
        assert reply.complete
        assert proven or (reply.status == 409 and events == 1 and after_unknown)
    if decision.act in {Act.NARROW, Act.HALVE}:
        assert events > 1
    if decision.act in {Act.REFUSED, Act.NARROW, Act.HALVE}:
        assert reply.complete
    if not reply.complete and reply.failure is not None and reply.failure.seen:
        assert decision.doubt
    assert decision.note.isprintable()
    assert decision.message.isprintable()


@given(text=st.text(max_size=2000), cap=st.integers(1, 400))
def test_words_from_elsewhere_are_one_printable_line(text: str, cap: int) -> None:
    """Whatever the server says, it is printable and no longer than the cap."""
    shown = escaped(text, cap=cap)

    assert shown.isprintable()
    assert len(shown) <= cap
    assert len(words_of(text.encode("utf-8", "surrogatepass"))) <= 300


# --- pacing ---

RATES = st.sampled_from([0.5, 1, 2.5, 5, 7, 33, 100]) | st.floats(0.2, 120)
STALLS = st.lists(
    st.sampled_from([0.0, 0.0, 0.0, 0.001, 0.03, 0.3, 1.0, 2.5]) | st.floats(0, 3),
    min_size=1,
    max_size=60,
)


def stamps_of(pace: Pace, *, seconds: float, stalls: Sequence[float]) -> list[float]:
    """When requests really go on a virtual clock; each wake-up is late by the next stall."""
    now_s, stamps, late = 0.0, [], itertools.cycle(stalls)
    while now_s < seconds:
        wait_s = pace.wait_s(now_s)
        if wait_s:
            now_s += wait_s + next(late)
        else:
            pace = pace.sent(now_s)
            stamps.append(now_s)
    return stamps


def most_in(stamps: Sequence[float], window_s: float) -> int:
    """The most stamps in any half-open window."""
    return max(
        (bisect.bisect_left(stamps, at + window_s) - n for n, at in enumerate(stamps)), default=0
    )


@settings(max_examples=150, deadline=None)
@given(rate=RATES, stalls=STALLS, slack_s=st.sampled_from([0.0, 0.1, 5.0]))
@example(rate=5, stalls=[0.0, 0.3], slack_s=0.1)
def test_no_sliding_second_is_above_the_rate_whatever_the_stalls(
    rate: float, stalls: list[float], slack_s: float
) -> None:
    """No window of ceil(R) / R seconds has more than ceil(R) stamps of sending."""
    stamps = stamps_of(Pace(Tempo(rate, slack_s=slack_s)), seconds=20 / rate + 3, stalls=stalls)

    count = math.ceil(rate)
    assert most_in(stamps, count / rate) <= count
    assert most_in(stamps, 1.0) <= count


@settings(max_examples=60, deadline=None)
@given(
    rates=st.lists(st.sampled_from([1.0, 2.5, 5.0, 20.0]), min_size=1, max_size=30),
    stalls=STALLS,
)
def test_changing_the_rate_never_breaks_the_highest(
    rates: list[float], stalls: list[float]
) -> None:
    """Cut and given back in any order, no second has more than the highest rate allows."""
    pace, now_s, stamps = Pace(Tempo(max(rates)), keep=20), 0.0, []
    late = itertools.cycle(stalls)
    for rate in itertools.islice(itertools.cycle(rates), 150):
        pace = pace.at(rate)
        wait_s = pace.wait_s(now_s)
        if wait_s:
            now_s += wait_s + next(late) / 10
        else:
            pace = pace.sent(now_s)
            stamps.append(now_s)

    assert most_in(stamps, 1.0) <= math.ceil(max(rates))


@settings(max_examples=10, deadline=None)
@given(
    # Five stalls, none of which runs into the next: one of 60 ms is another law.
    rate=st.sampled_from([5, 100, 1000]),
    phases=st.lists(st.floats(0, 0.15), min_size=5, max_size=5).map(
        lambda late: [0.2 * number + each for number, each in enumerate(late)]
    ),
)
def test_the_rate_is_used_under_stalls(rate: int, phases: list[float]) -> None:
    """With five stalls of 30 ms in each second, at least 99 % of the rate is used."""
    seconds = 60 if rate < 1000 else 6
    pace, now_s, sent = Pace(Tempo(rate)), 0.0, 0
    while now_s < seconds:
        now_s = _after_stall(now_s, phases)
        wait_s = pace.wait_s(now_s)
        if wait_s:
            now_s += wait_s
        else:
            pace, sent = pace.sent(now_s), sent + 1

    assert sent >= 0.99 * rate * seconds


def _after_stall(now_s: float, phases: Sequence[float]) -> float:
    """The moment at which a process runs again that stands still 30 ms after each phase."""
    for phase in phases:
        into = (now_s - phase) % 1.0
        if into < 0.03:
            return now_s + 0.03 - into
    return now_s


@given(
    answers=st.lists(st.tuples(st.booleans(), st.floats(0, 2), st.floats(0, 300)), max_size=60),
    rate=st.floats(0.1, 1000),
)
def test_the_gate_opens_in_the_end_and_never_lets_more_through_than_configured(
    answers: list[tuple[bool, float, float]], rate: float
) -> None:
    """Whatever the answers: the share stays in bounds and the hold ends when the last one asked."""
    gate, now_s, latest_s = Gate(), 0.0, 0.0
    for good, gap_s, wait_s in answers:
        now_s += gap_s
        if good:
            gate = gate.succeeded(rate=rate)
        else:
            gate = gate.refused(now_s=now_s, sent_s=now_s - 1, wait_s=wait_s)
            latest_s = max(latest_s, now_s + wait_s)

    assert gate.floor <= gate.share <= 1
    assert gate.wait_s(latest_s) == 0


@given(
    answers=st.lists(
        st.tuples(st.booleans(), st.floats(1e-4, 60), st.integers(1, 300)), max_size=200
    )
)
def test_a_crew_keeps_its_bounds_whatever_the_answers(
    answers: list[tuple[bool, float, int]],
) -> None:
    """The allowed number stays between the lowest and the highest."""
    crew = Crew(lowest=2, highest=64)
    for at, (good, took_s, in_flight) in enumerate(answers):
        if good:
            crew = crew.answered(took_s, in_flight=in_flight)
        else:
            crew = crew.overloaded(now_s=float(at), sent_s=at - 0.5)
        assert 2 <= crew.allowed <= 64
