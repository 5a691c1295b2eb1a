"""The rate limit: no more than so many calls in any sliding second."""

from collections import deque


class Limit:
    """Calls let through in any sliding second.

    A call at time t is let through if fewer than `rate` were in the half-open second before it,
    (t - 1, t]. A call that is turned away does not count. A rate with a fraction is kept as whole
    calls in a longer window: 2.5 a second is 2 in 0.8 s.

    Args:
        rate: Calls a second; 0: no limit.
        slack_s: Stamps are taken on arrival, and a busy machine lets calls bunch up on the way;
            calls that come this much too early, in seconds, are still let through.
    """

    def __init__(self, rate: float, *, slack_s: float = 0.0) -> None:
        self._calls = max(1, int(rate)) if rate else 0
        self._window_s = self._calls / rate - slack_s if rate else 0.0
        self._taken: deque[float] = deque(maxlen=self._calls or None)

    def take(self, now_s: float) -> bool:
        """Let one call through, or not.

        Args:
            now_s: Monotonic time, in seconds.
        """
        if not self._calls:
            return True
        if len(self._taken) == self._calls and now_s - self._taken[0] < self._window_s:
            return False
        self._taken.append(now_s)
        return True
