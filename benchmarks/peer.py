"""A server for the benchmarks that stamps arrivals, and works on as many requests as it has slots.

`python peer.py` prints its port on one line. When its input ends (which happens by itself when whoever
started it dies) it prints what it saw as JSON and ends: `arrivals` (CLOCK_MONOTONIC, which all processes of a machine share; the moment at which the first
byte of each request was read), `answered` (when each 200 was written) and `refused` (a count).
"""

import argparse
import asyncio
import json
import os
import random
import sys
import time
from collections import deque
from contextlib import suppress
from typing import cast

import uvloop

OK = b'{"status":"ok","count":30}'
NO = b'{"status":"error"}'
REASONS = {200: "OK", 429: "Too Many Requests", 503: "Service Unavailable"}


def answer(status: int, body: bytes) -> bytes:
    """A whole answer."""
    head = f"HTTP/1.1 {status} {REASONS[status]}\r\nContent-Type: application/json\r\n"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


class Server:
    """What all connections share.

    Args:
        options: See `parsed`.
    """

    def __init__(self, options: argparse.Namespace) -> None:
        self._slots, self._queue = options.slots, options.queue
        self._service_s = options.service_s
        self._refusal = answer(options.refuse, NO)
        self._rng = random.Random(1)
        self._waiting: deque[asyncio.Transport] = deque()
        self._busy = 0
        self.seen: dict[str, list[float]] = {"arrivals": [], "answered": []}
        self.refused = 0

    def take(self, transport: asyncio.Transport) -> None:
        """A whole request has come."""
        if not self._slots:
            self._answer(transport)
        elif self._busy < self._slots:
            self._begin(transport)
        elif len(self._waiting) < self._queue:
            self._waiting.append(transport)
        else:
            self.refused += 1
            transport.write(self._refusal)

    def _begin(self, transport: asyncio.Transport) -> None:
        self._busy += 1
        took_s = self._service_s * self._rng.uniform(0.9, 1.1)
        asyncio.get_running_loop().call_later(took_s, self._end, transport)

    def _end(self, transport: asyncio.Transport) -> None:
        self._busy -= 1
        self._answer(transport)
        if self._waiting:
            self._begin(self._waiting.popleft())

    def _answer(self, transport: asyncio.Transport) -> None:
        if not transport.is_closing():
            self.seen["answered"].append(time.monotonic())
            transport.write(_OK)


_OK = answer(200, OK)


class Connection(asyncio.Protocol):
    """One connection; requests come one after the other."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._data = bytearray()
        self._needed = 0
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Remember where to answer."""
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Stamp the first bytes of a request, and hand it on when it is whole."""
        if not self._data:
            self._server.seen["arrivals"].append(time.monotonic())
        self._data += data
        if not self._needed and (end := self._data.find(b"\r\n\r\n")) >= 0:
            self._needed = end + 4 + _length(bytes(self._data[:end]))
        if self._needed and len(self._data) >= self._needed:
            self._data.clear()
            self._needed = 0
            assert self._transport is not None
            self._server.take(self._transport)


def _length(head: bytes) -> int:
    return int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])


async def serve(options: argparse.Namespace) -> None:
    """Serve until the input ends, then tell."""
    server = Server(options)
    loop = asyncio.get_running_loop()
    listening = await loop.create_server(lambda: Connection(server), "127.0.0.1", 0, backlog=1024)
    print(listening.sockets[0].getsockname()[1], flush=True)
    await asyncio.to_thread(sys.stdin.read)
    json.dump({**server.seen, "refused": server.refused}, sys.stdout)
    sys.stdout.flush()


def parsed() -> argparse.Namespace:
    """The options."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--slots", type=int, default=0, help="0: answer at once, without limit")
    parser.add_argument("--service-s", type=float, default=0.0, help="seconds, give or take 10 %%")
    parser.add_argument("--queue", type=int, default=0, help="requests that may wait")
    parser.add_argument("--refuse", type=int, choices=(503, 429), default=503)
    return parser.parse_args()


if __name__ == "__main__":
    with suppress(PermissionError):
        os.nice(-10)  # the stamps are to tell of the client, not of this process
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve(parsed()))
