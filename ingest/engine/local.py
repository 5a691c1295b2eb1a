"""Runs chunks in a thread of this process, some ahead of the one that is being sent."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing, asynccontextmanager
from typing import TypeVar

T = TypeVar("T")

_END = object()


@asynccontextmanager
async def ahead(items: Iterator[T], *, depth: int = 1) -> AsyncIterator[AsyncIterator[T]]:
    """Give the items of a blocking iterator, computed in a thread, at most `depth` ahead.

    Args:
        items: Its `__next__` runs in one thread, never twice at once. What it raises is raised
            at the place that waits for the item.
        depth: Items that may be ready before they are asked for.
    """
    loop = asyncio.get_running_loop()
    ready: asyncio.Queue[object] = asyncio.Queue(maxsize=depth)
    thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="prepare")

    async def work() -> None:
        try:
            while True:
                item = await loop.run_in_executor(thread, next, items, _END)
                await ready.put(item)
                if item is _END:
                    return
        except Exception as error:  # noqa: BLE001 - handed to the one who waits
            await ready.put(_Failure(error))

    async def give() -> AsyncGenerator[T, None]:
        while (item := await ready.get()) is not _END:
            if isinstance(item, _Failure):
                raise item.error
            yield item  # type: ignore[misc] # the queue holds items and two kinds of marks

    worker = asyncio.create_task(work())
    try:
        async with aclosing(give()) as given:
            yield given
    finally:
        worker.cancel()
        await asyncio.gather(worker, return_exceptions=True)
        thread.shutdown(wait=True, cancel_futures=True)


class _Failure:
    """Marks an error among the items."""

    def __init__(self, error: Exception) -> None:
        self.error = error
