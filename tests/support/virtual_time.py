"""An event loop whose time is a number: waiting costs nothing, and every run is the same.

Where no task can go on and no timer is set, the tasks wait for one another for ever: that is said,
not waited for. What would run in a thread runs in the loop, between two waits that are drawn.
"""

import asyncio
from collections.abc import Callable
from typing import Any

_TURNS = 200_000  # of the loop without a step of time: a task that never waits


class StuckError(AssertionError):
    """Nothing can go on, or something goes on for ever."""


class VirtualLoop(asyncio.BaseEventLoop):
    """An event loop on a clock of its own.

    Args:
        start_s: What the clock shows at first.
        blocking_s: Draws how long work in a thread takes before and after it has its effect.
    """

    def __init__(
        self,
        *,
        start_s: float = 1000.0,
        blocking_s: Callable[[], tuple[float, float]] = lambda: (0.0, 0.0),
    ) -> None:
        super().__init__()
        self._now_s = start_s
        self._turns = 0
        self._blocking_s = blocking_s
        self._selector = self
        self.complaints: list[dict[str, Any]] = []
        self.set_exception_handler(lambda _, context: self.complaints.append(context))

    def time(self) -> float:
        """Virtual seconds."""
        return self._now_s

    def select(self, timeout: float | None) -> list[Any]:
        """Let time pass: what the selector of a real loop waits for."""
        if timeout is None:
            raise StuckError("every task waits for another one")
        self._turns = 0 if timeout else self._turns + 1
        if self._turns > _TURNS:
            raise StuckError("a task goes round without waiting")
        if timeout:
            self._now_s = max(self._now_s, self._scheduled[0].when())
        return []

    def _process_events(self, event_list: list[Any]) -> None:
        pass

    def _write_to_self(self) -> None:
        pass

    def run_in_executor(  # type: ignore[override] # the same for whoever awaits it
        self, executor: Any, function: Callable[..., Any], *args: Any
    ) -> "asyncio.Future[Any]":
        """Call a function in the loop itself, after a wait; tell its result after another."""
        future = self.create_future()
        before_s, after_s = self._blocking_s()

        def work() -> None:
            try:
                value = function(*args)
            except Exception as error:  # noqa: BLE001 - it is the result
                self.call_later(after_s, self._tell, future, None, error)
            else:
                self.call_later(after_s, self._tell, future, value, None)

        self.call_later(before_s, work)
        return future

    @staticmethod
    def _tell(future: "asyncio.Future[Any]", value: Any, error: Exception | None) -> None:
        if future.done():
            return
        if error is None:
            future.set_result(value)
        else:
            future.set_exception(error)
            future.exception()
