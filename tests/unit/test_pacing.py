"""The limiter, the gate and the crew, at single steps."""

import heapq
import math
import random

import pytest

from ingest.core.pacing import Crew, Gate, Pace, Tempo


def exact(rate: float, *, slack_s: float = 0.1) -> Pace:
    """A limiter without a guard, so that figures are round."""
    return Pace(Tempo(rate, guard_s=0.0, slack_s=slack_s))


def test_the_first_request_goes_at_once() -> None:
    """A new limiter does not wait."""
    assert exact(5).wait_s(1000.0) == 0


def test_requests_are_spaced_evenly() -> None:
    """At 4 a second the next one is due after a quarter."""
    assert exact(4).sent(10.0).wait_s(10.0) == 0.25


def test_who_is_late_may_catch_up_as_far_as_the_slack() -> None:
    """After a long pause as many go at once as the slack holds, and one more."""
    pace, sent = exact(20).sent(0.0), 0

    while not pace.wait_s(50.0):
        pace, sent = pace.sent(50.0), sent + 1

    assert sent == 3  # 100 ms at 20 a second, and the one that is due


def test_the_exact_window_holds_whatever_the_slack() -> None:
    """However late: the sixth request waits until the first one is a second old."""
    pace = exact(5, slack_s=10.0).sent(0.0)

    for _ in range(5):
        pace = pace.sent(100.0)

    assert pace.wait_s(100.0) == 1.0


def test_the_guard_widens_the_window() -> None:
    """The guard is added to the second."""
    pace = Pace(Tempo(1, guard_s=0.05)).sent(0.0)

    assert pace.wait_s(0.0) == pytest.approx(1.05)


@pytest.mark.parametrize(
    ("rate", "count", "window_s"),
    [
        pytest.param(5, 5, 1.0, id="whole"),
        pytest.param(2.5, 3, 1.2, id="broken"),
        pytest.param(0.5, 1, 2.0, id="below-one"),
    ],
)
def test_a_rate_that_is_no_whole_number_has_a_longer_window(
    rate: float, count: int, window_s: float
) -> None:
    """A window holds ceil(rate) requests in the seconds that they take."""
    tempo = Tempo(rate, guard_s=0.0)

    assert (tempo.count, tempo.window_s) == (count, window_s)


def test_without_a_limit_nothing_waits() -> None:
    """An infinite rate never waits and remembers nothing."""
    pace = exact(math.inf).sent(1.0).sent(1.0)

    assert (pace.wait_s(1.0), pace.stamps) == (0, ())


@pytest.mark.parametrize("rate", [0, -1, math.nan])
def test_no_pace_without_a_rate(rate: float) -> None:
    """A rate is above 0."""
    with pytest.raises(ValueError, match="no pace"):
        Tempo(rate)


def test_take_sends_or_says_how_long_to_wait() -> None:
    """Either the request went, or nothing changed."""
    pace, wait_s = exact(4).take(0.0)

    assert wait_s == 0
    assert pace.take(0.1) == (pace, pytest.approx(0.15))


def test_another_rate_keeps_the_memory() -> None:
    """Raising the rate again counts the requests that went at the lower one."""
    pace = exact(3, slack_s=9)
    for _ in range(3):
        pace = pace.sent(5.0)

    assert pace.at(2).at(3).wait_s(5.0) == 1.0


def test_requests_at_a_lower_rate_in_between_do_not_wipe_the_memory() -> None:
    """What went at the high rate counts again when the rate comes back."""
    pace = exact(3, slack_s=9).sent(0.0).sent(5.0).sent(5.0)

    pace = pace.at(1).sent(5.5).at(3)

    assert pace.wait_s(5.5) == 0.5


def test_a_429_holds_everyone_and_cuts_the_rate() -> None:
    """N19: the gate is shut for as long as was asked, and the rate falls to 70 %."""
    gate = Gate().refused(now_s=10.0, sent_s=9.9, wait_s=5.0)

    assert (gate.wait_s(12.0), gate.wait_s(15.0), gate.share) == (3.0, 0.0, 0.7)


def test_answers_to_requests_on_their_way_cut_once() -> None:
    """N19: the 429s of one burst are one piece of news; the longest hold stands."""
    gate = Gate().refused(now_s=10.0, sent_s=9.9, wait_s=5.0)

    later = gate.refused(now_s=10.1, sent_s=9.95, wait_s=1.0)

    assert later == gate


def test_a_429_after_the_cut_cuts_again_down_to_the_floor() -> None:
    """The share falls with each new 429, and never to nothing."""
    gate = Gate(floor=0.5)
    for at in range(1, 5):
        gate = gate.refused(now_s=float(at), sent_s=at - 0.1, wait_s=0.0)

    assert gate.share == 0.5


def test_successes_give_the_rate_back() -> None:
    """At 5 a second, 90 successes give back the 30 % that a cut took, and no more."""
    gate = Gate().refused(now_s=0.0, sent_s=0.0, wait_s=1.0)
    for _ in range(89):
        gate = gate.succeeded(rate=5)
    nearly = gate.share
    for _ in range(5):
        gate = gate.succeeded(rate=5)

    assert (nearly < 1, gate.share) == (True, 1.0)


def test_without_a_limit_there_is_nothing_to_give_back() -> None:
    """Where no rate is configured, the gate only holds."""
    gate = Gate(share=0.7)

    assert gate.succeeded(rate=math.inf) == gate


@pytest.mark.parametrize("share", [0, 1.1, math.nan])
def test_a_gate_lets_some_of_the_rate_through(share: float) -> None:
    """A share is above 0 and at most 1."""
    with pytest.raises(ValueError, match="gate"):
        Gate(share=share)


def test_a_crew_doubles_each_round_at_first() -> None:
    """While answers stay quick, one round of a busy crew doubles it."""
    crew = Crew(size=4)
    for _ in range(4):
        crew = crew.answered(0.05, in_flight=4)

    assert crew.allowed == 8


def test_an_idle_crew_does_not_grow() -> None:
    """Answers to a few requests say nothing about many."""
    crew = Crew(size=10).answered(0.05, in_flight=4)

    assert crew.size == 10


def test_a_crew_shrinks_when_answers_slow_down() -> None:
    """Answers far above the best average take members away, and end the slow start."""
    crew = Crew(size=100).answered(0.05, in_flight=100)
    for _ in range(200):
        crew = crew.answered(0.5, in_flight=100)

    assert crew.size < 90
    assert not crew.starting


def test_a_server_that_became_slower_for_good_is_the_new_measure() -> None:
    """The best average is forgotten slowly: a crew that shrank grows again."""
    crew = Crew(size=20, highest=20).answered(0.1, in_flight=20)
    for _ in range(5000):
        crew = crew.answered(0.5, in_flight=20)

    assert crew.allowed == 20


def test_too_much_cuts_once_for_all_in_flight() -> None:
    """One cut for the requests that were on their way together."""
    crew = Crew(size=10).overloaded(now_s=5.0, sent_s=4.0)

    assert (crew.size, crew.starting) == (8.0, False)
    assert crew.overloaded(now_s=5.1, sent_s=4.9) == crew
    assert crew.overloaded(now_s=6.0, sent_s=5.5).size == pytest.approx(6.4)


def test_above_the_last_cut_a_crew_only_feels_its_way() -> None:
    """It comes back quickly to one below where it was too much, and tries one more seldom."""
    crew = Crew(size=10).overloaded(now_s=5.0, sent_s=4.0)
    for _ in range(100):
        crew = crew.answered(0.05, in_flight=8)
    back = crew.allowed
    for _ in range(300):
        crew = crew.answered(0.05, in_flight=9)

    assert (back, crew.allowed) == (9, 9)


def test_a_server_that_takes_more_than_before_gets_more() -> None:
    """Where a tenth above the last cut goes well, the cut is forgotten."""
    crew = Crew(size=10).overloaded(now_s=5.0, sent_s=4.0)
    for _ in range(2000):
        crew = crew.answered(0.05, in_flight=crew.allowed)

    assert crew.allowed > 20


def test_a_crew_keeps_its_bounds() -> None:
    """Never fewer than the lowest, never more than the highest."""
    small, large = Crew(size=1, lowest=1), Crew(size=8, highest=8)

    assert small.overloaded(now_s=1.0, sent_s=0.5).allowed == 1
    assert large.answered(0.05, in_flight=8).allowed == 8


@pytest.mark.parametrize("queue", [pytest.param(0, id="no-queue"), pytest.param(4, id="queue")])
@pytest.mark.parametrize(
    ("slots", "service_s"),
    [
        pytest.param(8, 0.05, id="8x50ms"),
        pytest.param(32, 0.1, id="32x100ms"),
        pytest.param(100, 0.2, id="100x200ms"),
    ],
)
@pytest.mark.parametrize("hold_s", [pytest.param(0.0, id="503"), pytest.param(1.0, id="429")])
def test_a_crew_finds_what_a_server_can_do(
    slots: int, service_s: float, queue: int, hold_s: float
) -> None:
    """In a minute on a simulated server: 85 % of its best, and less than 1 % turned away."""
    used, refused = simulated(slots, service_s, queue=queue * slots, hold_s=hold_s)

    assert used >= 0.85
    assert refused < 0.01


def simulated(
    slots: int, service_s: float, *, queue: int, hold_s: float, seconds: float = 60
) -> tuple[float, float]:
    """Part of a server's capacity that a crew uses, and part of its requests turned away.

    The server works on `slots` requests at once, lets `queue` more wait, and turns the rest away;
    then nobody sends for `hold_s`.
    """
    rng, crew, now_s = random.Random(1), Crew(), 0.0
    free = [0.0] * slots  # when each slot is free
    events: list[tuple[float, float, bool]] = []  # end, sent, taken
    done = turned_away = inside = 0
    open_s = 0.0
    while now_s < seconds:
        if not events:
            now_s = max(now_s, open_s)
        while len(events) < crew.allowed and now_s >= open_s:
            taken = inside < slots + queue
            inside += taken
            end_s = now_s + 0.002
            if taken:
                end_s = max(heapq.heappop(free), now_s) + service_s * rng.uniform(0.9, 1.1)
                heapq.heappush(free, end_s)
            heapq.heappush(events, (end_s, now_s, taken))
        in_flight = len(events)
        now_s, sent_s, taken = heapq.heappop(events)
        inside -= taken
        if taken:
            crew, done = crew.answered(now_s - sent_s, in_flight=in_flight), done + 1
        else:
            crew = crew.overloaded(now_s=now_s, sent_s=sent_s, hold_s=hold_s)
            turned_away, open_s = turned_away + 1, max(open_s, now_s + hold_s)
    return done / (slots / service_s * seconds), turned_away / (done + turned_away)
