"""Gates: when too much goes wrong, a run stops before it settles the wrong thing.

A wrong schema or a wrong mapping makes the API refuse everything, row by row, for days. So a
refusal is provisional until `WINDOW` further answers have come in: when half of the last `WINDOW`
events were refused, the run stops and those refusals are not settled.
"""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

WINDOW = 300
"""Events that the gate of refusals looks back on."""

CANARY_EVENTS = 10
"""A first batch of fewer events that is refused proves nothing."""

SHARE_FROM = 1_000
"""Records from which on a share means something."""


@dataclass(frozen=True, slots=True)
class Allowance:
    """How many records may be rejected or refused before a run stops: `--max-rejects`.

    Args:
        count: At most this many; None: any number.
        share: At most this part of the records read, 0 to 1; None: any.
    """

    count: int | None = None
    share: float | None = None

    @property
    def unlimited(self) -> bool:
        """Whether the gates of the API's refusals are lifted too (`100%`)."""
        return self.share is not None and self.share >= 1

    def exceeded(self, *, failed: int, read: int) -> bool:
        """Whether `failed` of `read` records are too many."""
        if self.count is not None and failed > self.count:
            return True
        return self.share is not None and read >= SHARE_FROM and failed > self.share * read

    def __str__(self) -> str:
        if self.count is not None:
            return f"{self.count:,}"
        return "any" if self.share is None else f"{self.share * 100:g}%"


class Refusals:
    """The API's answers to single events, and the refusals that are not settled yet.

    Args:
        lifted: Refusals settle at once and never stop a run.
    """

    def __init__(self, *, lifted: bool = False) -> None:
        self._lifted = lifted
        self._recent: deque[bool] = deque(maxlen=WINDOW)
        self._answered = 0
        self._waiting: deque[tuple[int, object]] = deque()

    def delivered(self, events: int) -> None:
        """Take in that events were delivered."""
        self._answered += events
        self._recent.extend([False] * min(events, WINDOW))

    def refused(self, what: object) -> None:
        """Take in that one event was refused; `what` comes back from `settled`."""
        self._answered += 1
        self._recent.append(True)
        self._waiting.append((self._answered, what))

    @property
    def too_many(self) -> bool:
        """Whether half of the last `WINDOW` events were refused."""
        if self._lifted or len(self._recent) < WINDOW:
            return False
        return sum(self._recent) * 2 >= WINDOW

    @property
    def canary_died(self) -> bool:
        """Whether all events so far were refused, and they are enough to tell."""
        return not self._lifted and len(self._recent) >= CANARY_EVENTS and all(self._recent)

    def settled(self, *, all_of_them: bool = False) -> Iterator[object]:
        """Yield the refusals that are final; all of them once nothing more is to be asked."""
        while self._waiting:
            position, what = self._waiting[0]
            if not (all_of_them or self._lifted or self._answered - position >= WINDOW):
                return
            self._waiting.popleft()
            yield what

    def given_up(self) -> list[object]:
        """Give and forget the refusals that never became final: the gate has fired."""
        waiting = [what for _, what in self._waiting]
        self._waiting.clear()
        return waiting
