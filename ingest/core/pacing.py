"""When the next request may go: the limiter, the gate of a 429, and adaptive concurrency.

The limiter keeps two rules at once, by the stamps at which requests really went:

- Exact window: with rate R and N = ceil(R), at most N requests in any N / R seconds (for a whole R:
  at most R in any second), widened by a guard against a network that bunches what left evenly.
- Even spacing: a request is due 1 / R after the one before it was due, so that nothing bursts. Who
  is late (a stalled process) may catch up, as far as `slack_s`: without it every stall is lost
  capacity, with it the exact window alone bounds the burst.

All times are monotonic seconds; rates are requests per second.
"""

import math
from dataclasses import dataclass, replace

# A guard of 5 ms costs 0.5 % of the rate; more on a network whose delay varies more.
GUARD_S = 0.005
# Stalls of 30 ms are usual in a busy process; 100 ms catches up after three at once.
SLACK_S = 0.1


@dataclass(frozen=True, slots=True)
class Tempo:
    """The arithmetic of one rate; it has no memory.

    Args:
        rate: Requests per second, above 0; infinite: no limit.
        guard_s: Seconds added to the window.
        slack_s: Seconds of lateness that may be caught up.
    """

    rate: float
    guard_s: float = GUARD_S
    slack_s: float = SLACK_S

    def __post_init__(self) -> None:
        if not self.rate > 0 or self.guard_s < 0 or self.slack_s < 0:
            raise ValueError(f"no pace at {self.rate} requests per second")

    @property
    def limited(self) -> bool:
        """Whether there is a limit at all."""
        return math.isfinite(self.rate)

    @property
    def count(self) -> int:
        """Requests that one window holds: N."""
        return math.ceil(self.rate)

    @property
    def window_s(self) -> float:
        """Seconds of the window, guard included; a second where there is no limit."""
        if not self.limited:
            return 1.0 + self.guard_s
        return self.count / self.rate + self.guard_s

    def ready_s(self, *, due_s: float, oldest_s: float, now_s: float) -> float:
        """The earliest moment for the next request; in the past or `now_s`: at once.

        Args:
            due_s: What `due_after` gave for the last request; -inf where there was none.
            oldest_s: Stamp of the N-th last request; -inf where there were fewer.
            now_s: The present.
        """
        if not self.limited:
            return now_s
        spaced_s = max(due_s, now_s - self.slack_s)
        return max(spaced_s, oldest_s + self.window_s)

    def due_after(self, *, due_s: float, now_s: float) -> float:
        """When the request after one that went at `now_s` is due."""
        if not self.limited:
            return -math.inf
        # The very first request is not late.
        planned_s = now_s if due_s == -math.inf else max(due_s, now_s - self.slack_s)
        # Spread over the widened window: 1 / R alone would run into the guard once a second.
        return planned_s + self.window_s / self.count


@dataclass(frozen=True, slots=True)
class Pace:
    """A limiter with its memory.

    Ask `wait_s`, wait, ask again until it is 0, then send and record `sent` with the real moment.
    The rate may change at any time; the stamps stay.

    Args:
        tempo: The rate in force.
        stamps: When the last requests went, the oldest first; no more than ever matter.
        due_s: When the next one is due.
        keep: Stamps to remember: N of the highest rate that is to come.
    """

    tempo: Tempo
    stamps: tuple[float, ...] = ()
    due_s: float = -math.inf
    keep: int = 1

    def wait_s(self, now_s: float) -> float:
        """Seconds until the next request may go; 0 where it may go at once."""
        ready_s = self.tempo.ready_s(due_s=self.due_s, oldest_s=self._oldest_s, now_s=now_s)
        return max(0.0, ready_s - now_s)

    def sent(self, now_s: float) -> "Pace":
        """The limiter after a request went at `now_s`, the real moment of sending."""
        due_s = self.tempo.due_after(due_s=self.due_s, now_s=now_s)
        if not self.tempo.limited:
            return replace(self, due_s=due_s)
        keep = max(self.keep, self.tempo.count)
        return replace(self, stamps=(*self.stamps, now_s)[-keep:], due_s=due_s, keep=keep)

    def take(self, now_s: float) -> tuple["Pace", float]:
        """Send at once where that may be: the limiter afterwards, and 0; else itself and the wait."""
        wait_s = self.wait_s(now_s)
        return (self, wait_s) if wait_s else (self.sent(now_s), 0.0)

    def at(self, rate: float) -> "Pace":
        """The same memory at another rate."""
        return replace(self, tempo=replace(self.tempo, rate=rate))

    @property
    def _oldest_s(self) -> float:
        if not self.tempo.limited or len(self.stamps) < self.tempo.count:
            return -math.inf
        return self.stamps[-self.tempo.count]


@dataclass(frozen=True, slots=True)
class Gate:
    """One for the whole account: a 429 to one worker holds all, and slows all down.

    Args:
        until_s: Nobody sends before this moment.
        share: Part of the configured rate that is in force, above 0 and at most 1.
        cut_s: When the share was last cut: a 429 to a request from before it is no news.
        factor: What a cut multiplies the share by. 0.7 gave 1 % of answers 429 against 45 % for
            waits of each request on its own.
        floor: The share never falls below it.
        recovery_s: Seconds in which steady successes give back the whole rate.
    """

    until_s: float = -math.inf
    share: float = 1.0
    cut_s: float = -math.inf
    factor: float = 0.7
    floor: float = 0.02
    recovery_s: float = 60.0

    def __post_init__(self) -> None:
        if not 0 < self.share <= 1:
            raise ValueError(f"a gate cannot let {self.share} of the rate through")

    def wait_s(self, now_s: float) -> float:
        """Seconds that everyone waits; 0: open."""
        return max(0.0, self.until_s - now_s)

    def refused(self, *, now_s: float, sent_s: float, wait_s: float) -> "Gate":
        """The gate after a 429 came to a request that was sent at `sent_s`.

        The hold is the longest that was asked for. The share is cut once for all the answers to
        requests that were on their way together.
        """
        until_s = max(self.until_s, now_s + wait_s)
        if sent_s < self.cut_s:
            return replace(self, until_s=until_s)
        share = max(self.floor, self.share * self.factor)
        return replace(self, until_s=until_s, share=share, cut_s=now_s)

    def succeeded(self, *, rate: float) -> "Gate":
        """The gate after a success at the configured `rate`: the share grows back.

        Each success gives `1 / (rate * recovery_s)`, so growth per second follows what gets
        through, and takes the same time at any rate.
        """
        if self.share == 1 or not math.isfinite(rate):
            return self
        return replace(self, share=min(1.0, self.share + 1 / (rate * self.recovery_s)))


PROBE = 400.0
"""Answers in which a crew tries one more above its ceiling: some 0.3 % are turned away for it."""


@dataclass(frozen=True, slots=True)
class Crew:
    """How many requests may be in flight: found out by the time that answers take.

    - While the short average of answer times stays within `tolerance` of the best one seen, the
      size grows: doubling each round at first, by its square root later. Beyond it the size falls
      in the same ratio. The best is forgotten slowly, for servers become slower for good, too.
    - "Too much" (a 429, a 503, a timeout) multiplies the size by `factor`, once for all that were
      in flight, and sets a ceiling of one below it. Up to the ceiling the crew grows back quickly;
      above it, by one in `probe` answers, so that few are turned away for trying: `PROBE` of them,
      and more where "too much" holds everyone for a while, which is what trying may cost again. A
      tenth above it, the ceiling is forgotten.

    Args:
        size: Requests that may be in flight; `allowed` gives it as a whole number.
        lowest: Never fewer.
        highest: Never more.
        best_s: The best short average, in seconds; infinite before the first answer.
        short_s: Short average of answer times; 0 before the first answer.
        starting: No cut and no slowing yet.
        cut_s: When it was last cut.
        ceiling: One below the size at the last cut.
        tolerance: Answers may take this many times the best before the size falls.
        factor: What a cut multiplies the size by.
        probe: Answers in which it tries one more above its ceiling.
    """

    size: float = 4.0
    lowest: int = 1
    highest: int = 256
    best_s: float = math.inf
    short_s: float = 0.0
    starting: bool = True
    cut_s: float = -math.inf
    ceiling: float = math.inf
    tolerance: float = 2.0
    factor: float = 0.8
    probe: float = PROBE

    @property
    def allowed(self) -> int:
        """Requests that may be in flight."""
        return int(self.size)

    def answered(self, took_s: float, *, in_flight: int) -> "Crew":
        """The crew after a good answer.

        Args:
            took_s: Seconds from sending to the whole answer, above 0.
            in_flight: Requests that were in flight, that one included. While fewer than half of
                those allowed are, the answer says nothing about more of them.
        """
        short_s = took_s if not self.short_s else self.short_s + (took_s - self.short_s) / 10
        best_s = min(self.best_s * _FORGET, short_s)
        heard = replace(self, best_s=best_s, short_s=short_s)
        if in_flight * 2 < self.size:
            return heard
        return _resized(heard, gradient=max(0.5, min(1.0, self.tolerance * best_s / short_s)))

    def overloaded(self, *, now_s: float, sent_s: float, hold_s: float = 0.0) -> "Crew":
        """The crew after an answer that said "too much" to a request sent at `sent_s`.

        Args:
            now_s: The present.
            sent_s: When the request was sent.
            hold_s: Seconds for which nobody sends because of it.
        """
        if sent_s < self.cut_s:
            return self
        lost = self.size * hold_s / self.short_s if self.short_s else 0.0
        size = max(float(self.lowest), self.size * self.factor)
        ceiling = max(float(self.lowest), self.allowed - 1.0)
        return replace(
            self,
            size=size,
            starting=False,
            cut_s=now_s,
            ceiling=ceiling,
            probe=max(PROBE, _DEARER * lost),
        )


_DEARER = 20  # a hold may cost a twentieth of all time
_FORGET = 1.0005  # the best average doubles in 1,400 answers


def _resized(crew: Crew, *, gradient: float) -> Crew:
    starting = crew.starting and gradient == 1
    room = crew.size if starting else math.sqrt(crew.size)
    goal = crew.size * gradient + room
    # Per answer, so that one round of `size` answers makes one step of the law.
    size = crew.size + (goal - crew.size) / crew.size
    size = min(size, max(crew.size, crew.ceiling) + 1 / crew.probe)
    ceiling = crew.ceiling if size < crew.ceiling * 1.1 + 1 else math.inf
    bounded = min(float(crew.highest), max(float(crew.lowest), size))
    return replace(crew, size=bounded, starting=starting, ceiling=ceiling)
