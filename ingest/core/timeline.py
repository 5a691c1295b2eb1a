"""Requests over time: counts in equal parts of a span that is not known beforehand.

Bounded memory: where the span outgrows the bins, each two become one.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

BINS: Final = 120
"""Parts of time at most; at least half as many are in use once the span is long enough."""

KINDS: Final = ("accepted", "slowed", "refused", "failed")
"""Answers: 2xx; 429; other 4xx; everything else, lost connections too."""

_PAUSE_S: Final = 5.0
_MOST_PAUSES: Final = 5
_MOST_NOTES: Final = 64
_TOO_FAST: Final = 429


@dataclass(frozen=True, slots=True)
class Pause:
    """A time in which no request went out.

    Args:
        at: When it began, in seconds since 1970.
        seconds: How long it was.
        note: What was said right before.
    """

    at: float
    seconds: float
    note: str


class Timeline:
    """Takes in attempts in about the order of their time."""

    def __init__(self) -> None:
        self.attempts = 0
        self.again = 0
        self.first: float | None = None
        self.last = 0.0
        self.width_s = 1.0
        self._bins: list[dict[str, int]] = []
        self._pauses: list[Pause] = []
        self._notes: dict[str, int] = {}
        self._note = ""

    def add(self, attempt: Mapping[str, Any]) -> None:
        """Take in one attempt: `at`, `status`, `attempt`, `note` of the log."""
        at, note = float(attempt["at"]), str(attempt.get("note") or "")
        if self.first is None:
            self.first = self.last = at
        if at - self.last > _PAUSE_S:
            self._pause(at)
        self.attempts += 1
        self.again += int(attempt.get("attempt") or 1) > 1
        self.last, self._note = max(self.last, at), note
        kind = kind_of(attempt.get("status"))
        if kind != "accepted" and (note in self._notes or len(self._notes) < _MOST_NOTES):
            self._notes[note] = self._notes.get(note, 0) + 1
        self._count(max(at - self.first, 0.0), kind)

    @property
    def bins(self) -> list[dict[str, int]]:
        """Answers by kind, in parts of `width_s` seconds from `first` on."""
        return [dict(each) for each in self._bins]

    @property
    def pauses(self) -> list[Pause]:
        """The longest, in the order of time."""
        return sorted(self._pauses, key=lambda pause: pause.at)

    @property
    def notes(self) -> list[tuple[str, int]]:
        """What was said where an attempt was not accepted, the most frequent first."""
        return sorted(self._notes.items(), key=lambda item: -item[1])

    def _pause(self, at: float) -> None:
        self._pauses.append(Pause(self.last, at - self.last, self._note))
        self._pauses.sort(key=lambda pause: -pause.seconds)
        del self._pauses[_MOST_PAUSES:]

    def _count(self, since_s: float, kind: str) -> None:
        while since_s >= self.width_s * BINS:
            self._halve()
        place = int(since_s / self.width_s)
        while len(self._bins) <= place:
            self._bins.append(dict.fromkeys(KINDS, 0))
        self._bins[place][kind] += 1

    def _halve(self) -> None:
        pairs = [self._bins[place : place + 2] for place in range(0, len(self._bins), 2)]
        self._bins = [{k: sum(each[k] for each in pair) for k in KINDS} for pair in pairs]
        self.width_s *= 2


def kind_of(status: object) -> str:
    """What an answer counts as. Total."""
    if not isinstance(status, int):
        return "failed"
    if 200 <= status < 300:  # noqa: PLR2004 - the hundred that means it worked
        return "accepted"
    if status == _TOO_FAST:
        return "slowed"
    return "refused" if 400 <= status < 500 else "failed"  # noqa: PLR2004 - likewise
