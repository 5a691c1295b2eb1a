"""A server that does what its script says, byte by byte: for resets, slow and broken answers.

Each connection takes the next step of the script for each request that it reads, and the last step
again when the script is over.
"""

import asyncio
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

OK_BODY = b'{"status":"ok","count":1}'


@dataclass(slots=True)
class Line:
    """One connection as a step sees it.

    Args:
        reader: What the client sends.
        writer: What it gets.
        request: The head of the request that was just read; empty before any.
        body: Its body.
    """

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    request: bytes = b""
    body: bytes = b""

    def reset(self) -> None:
        """Close with RST, as a crashed server or a firewall does."""
        sock = self.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()


Step = Callable[[Line], Awaitable[bool]]
"""Answers one request; True keeps the connection open for the next."""


@dataclass(slots=True)
class Scripted:
    """A running server and what it saw.

    Args:
        port: On 127.0.0.1.
        requests: Head and body of each whole request, in order.
        connections: How many were opened.
    """

    port: int = 0
    requests: list[tuple[bytes, bytes]] = field(default_factory=list)
    connections: int = 0

    @property
    def url(self) -> str:
        """Its origin over plain HTTP."""
        return f"http://127.0.0.1:{self.port}"


def answer(
    status: int = 200,
    body: bytes = OK_BODY,
    *headers: str,
    length: int | None = None,
    version: str = "1.1",
    keep: bool = True,
) -> Step:
    """A plain answer; `length` lies about the body's."""
    fields = [f"Content-Length: {len(body) if length is None else length}", *headers]
    head = "\r\n".join([f"HTTP/{version} {status} Reason", *fields, "", ""]).encode("latin-1")
    return raw(head + body, keep=keep)


def raw(data: bytes, *, keep: bool = False) -> Step:
    """These bytes, whatever they are."""

    async def step(line: Line) -> bool:
        line.writer.write(data)
        await line.writer.drain()
        return keep

    return step


def trickle(data: bytes, *, every_s: float) -> Step:
    """These bytes, one at a time."""

    async def step(line: Line) -> bool:
        for at in range(len(data)):
            line.writer.write(data[at : at + 1])
            await line.writer.drain()
            await asyncio.sleep(every_s)
        return False

    return step


def silence(seconds: float = 60.0) -> Step:
    """No answer at all."""

    async def step(line: Line) -> bool:
        await asyncio.sleep(seconds)
        return False

    return step


def hang_up(data: bytes = b"") -> Step:
    """Close in order, after these bytes."""
    return raw(data)


def reset(data: bytes = b"") -> Step:
    """Close with RST, after these bytes have arrived."""

    async def step(line: Line) -> bool:
        if data:
            line.writer.write(data)
            await line.writer.drain()
            await asyncio.sleep(0.05)  # a reset overtakes what was not read yet
        line.reset()
        return False

    return step


def then_close(step: Step, *, after_s: float = 0.0) -> Step:
    """Answer as if the connection stayed open, then close it."""

    async def closing(line: Line) -> bool:
        await step(line)
        await asyncio.sleep(after_s)
        return False

    return closing


@asynccontextmanager
async def serving(
    *script: Step,
    tls: ssl.SSLContext | None = None,
    before_request: Step | None = None,
    host: str = "127.0.0.1",
    port: int = 0,
) -> AsyncIterator[Scripted]:
    """Run a scripted server.

    Args:
        script: A step for each request, over all connections.
        tls: Serve TLS with it.
        before_request: Done on each connection before anything is read; unless it gives True, the
            connection is closed then.
        host: Where it listens.
        port: Where it listens; 0: the system chooses.
    """
    seen = Scripted()
    steps = list(script)
    tasks: set[asyncio.Task[None]] = set()

    async def connection(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        seen.connections += 1
        line = Line(reader, writer)
        try:
            if before_request is None or await before_request(line):
                await _converse(line, steps, seen)
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            tasks.discard(task)
            writer.transport.abort() if task.cancelling() else writer.close()

    server = await asyncio.start_server(connection, host, port, ssl=tls)
    seen.port = server.sockets[0].getsockname()[1]
    try:
        yield seen
    finally:
        server.close()
        for task in list(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await server.wait_closed()
        await asyncio.sleep(0)


async def _converse(line: Line, steps: list[Step], seen: Scripted) -> None:
    while True:
        line.request = await line.reader.readuntil(b"\r\n\r\n")
        line.body = await line.reader.readexactly(_length(line.request))
        seen.requests.append((line.request, line.body))
        step = steps.pop(0) if len(steps) > 1 else steps[0]
        if not await step(line):
            return


def _length(head: bytes) -> int:
    for row in head.split(b"\r\n"):
        name, _, value = row.partition(b":")
        if name.lower() == b"content-length":
            return int(value)
    return 0


def statuses(codes: Sequence[int]) -> list[Step]:
    """A plain answer for each status, with the API's own body for 200."""
    return [answer(code, OK_BODY if code == 200 else b"{}") for code in codes]
