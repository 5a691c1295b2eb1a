"""A semaphore whose size may change while it is in use."""

import asyncio


class Slots:
    """How many may work at once.

    Args:
        size: At least 1.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self._free = asyncio.Semaphore(size)
        self._owed = 0

    async def acquire(self) -> None:
        """Wait for a slot and take it."""
        await self._free.acquire()

    def release(self) -> None:
        """Give a slot back; it is gone where the size has shrunk meanwhile."""
        if self._owed:
            self._owed -= 1
        else:
            self._free.release()

    def resize(self, size: int) -> None:
        """Let more or fewer work from here on; whoever works goes on."""
        for _ in range(size - self.size):
            self.release()
        self._owed += max(self.size - size, 0)
        self.size = size
