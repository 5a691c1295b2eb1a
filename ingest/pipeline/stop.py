"""How a run ends early: once asked it drains, asked again it stops at once."""

import asyncio
from collections.abc import Callable

from ingest.errors import IngestError


class Stop:
    """Why the run ends early, if it does.

    Args:
        tell: Called with a line for the person who waits.
    """

    def __init__(self, *, tell: Callable[[str], None] = lambda _: None) -> None:
        self.error: IngestError | None = None
        self._tell = tell
        self._asked = asyncio.Event()
        self._now = asyncio.Event()

    @property
    def asked(self) -> bool:
        """Whether nothing more is to be begun."""
        return self._asked.is_set()

    def ask(self, error: IngestError) -> None:
        """Finish what is under way and begin nothing more; the first reason stays."""
        if self.error is None:
            self.error = error
        self._asked.set()

    def signal(self, error: IngestError, *, drain_s: float) -> None:
        """A signal came: the first asks, the second stops now."""
        if self.asked:
            self._tell("stopping now; what is under way will be listed as in doubt")
            self._now.set()
            return
        self._tell(
            f"finishing the requests under way, {drain_s:.0f} s at most; once more to stop now"
        )
        self.ask(error)
        asyncio.get_running_loop().call_later(drain_s, self._now.set)

    async def wait_now(self) -> None:
        """Return when even what is under way is to end."""
        await self._now.wait()

    async def sleep(self, seconds: float) -> bool:
        """Sleep, but not longer than until the stop is asked; give whether to go on."""
        if self.asked:
            return False
        if seconds <= 0:
            return True
        try:
            async with asyncio.timeout(seconds):
                await self._asked.wait()
        except TimeoutError:
            return True
        return False
