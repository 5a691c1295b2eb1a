"""Scripted servers that take events, and ways to them that are slow, long or through a proxy."""

import asyncio
import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager, contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

from tests.support.proxy import Line, Step, answer

T = TypeVar("T")
Judge = Callable[[list[dict[str, Any]]], Step | None]
"""Gives the answer that refuses some events; None: they are taken."""


@dataclass(slots=True)
class Sink:
    """What servers took, told as the sandbox's own record tells it.

    Args:
        events: (event_uuid, event) of each that was taken, in order.
        arrivals: (monotonic seconds, number of events) of each request that was read.
    """

    events: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    arrivals: list[tuple[float, int]] = field(default_factory=list)

    def take(self, body: bytes) -> None:
        """Take the events of a request."""
        self.events.extend((event["event_uuid"], event) for event in events_of(body))

    def times(self) -> dict[str, int]:
        """How often each event_uuid came."""
        return dict(Counter(uuid for uuid, _ in self.events))

    def bodies(self) -> dict[str, dict[str, Any]]:
        """The newest event of each event_uuid."""
        return dict(self.events)

    def requests(self) -> int:
        """How many requests were read."""
        return len(self.arrivals)


def events_of(body: bytes) -> list[dict[str, Any]]:
    """The events of a request to the bulk endpoint."""
    found: list[dict[str, Any]] = json.loads(body)["events"]
    return found


def into(sink: Sink, then: Step | None = None, *, taken: bool = True) -> Step:
    """Note a request, take its events or not, and answer."""

    async def step(line: Line) -> bool:
        sink.arrivals.append((time.monotonic(), len(events_of(line.body))))
        if taken:
            sink.take(line.body)
        return await (then or answer())(line)

    return step


def judged(sink: Sink, judge: Judge) -> Step:
    """Let the events decide."""

    async def step(line: Line) -> bool:
        refusal = judge(events_of(line.body))
        return await into(sink, refusal, taken=refusal is None)(line)

    return step


def first(count: int, step: Step) -> Step:
    """Do a step on the first connections only, for `before_request`."""
    left = [count]

    async def some(line: Line) -> bool:
        left[0] -= 1
        return left[0] < 0 or await step(line)

    return some


def tunnel(to_port: int) -> Step:
    """An honest proxy: joins the client to a server of this machine, whatever it asks for."""

    async def step(line: Line) -> bool:
        line.writer.write(b"HTTP/1.1 200 Connected\r\n\r\n")
        return await _joined(line, to_port, _copied)

    return step


def slow_way(
    to_port: int, *, latency_s: float, bytes_per_s: float, stall_s: Callable[[], float]
) -> Step:
    """A slow, long way to another server, for `before_request`.

    Args:
        to_port: On 127.0.0.1.
        latency_s: Of each direction.
        bytes_per_s: Of each direction.
        stall_s: Draws what a piece takes besides: a lost packet is sent again.
    """

    async def slowly(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        free_s = 0.0
        while data := await reader.read(1400):
            now_s = time.monotonic()
            free_s = max(free_s, now_s) + len(data) / bytes_per_s + stall_s()
            await asyncio.sleep(free_s - now_s)
            asyncio.get_running_loop().call_later(latency_s, writer.write, data)
        await asyncio.sleep(latency_s)

    async def step(line: Line) -> bool:
        return await _joined(line, to_port, slowly)

    return step


async def _joined(line: Line, to_port: int, copy: Callable[..., Any]) -> bool:
    reader, writer = await asyncio.open_connection("127.0.0.1", to_port)
    ways = [copy(line.reader, writer), copy(reader, line.writer)]
    tasks = [asyncio.ensure_future(way) for way in ways]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        writer.close()
    return False


async def _copied(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65_536):
        writer.write(data)
        await writer.drain()


@contextmanager
def in_background(serving: AbstractAsyncContextManager[T]) -> Iterator[T]:
    """Serve from a thread of its own, for tests that run a command meanwhile."""
    given: list[T] = []
    started = threading.Event()
    loop = asyncio.new_event_loop()
    over = asyncio.Event()

    async def serve() -> None:
        async with serving as server:
            given.append(server)
            started.set()
            await over.wait()

    def work() -> None:
        try:
            loop.run_until_complete(serve())
        finally:
            started.set()
            loop.close()

    thread = threading.Thread(target=work, name="server", daemon=True)
    thread.start()
    started.wait()
    assert given, "the server did not start"
    try:
        yield given[0]
    finally:
        loop.call_soon_threadsafe(over.set)
        thread.join()
