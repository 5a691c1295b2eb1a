"""Runs the sending side of `ingest` as it is: delivery, ledger, shared limit, client; made-up events."""

import asyncio
import json
import math
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from uuid import UUID

from ingest.core.address import Endpoint, address_of
from ingest.core.batching import BULK
from ingest.core.gates import Allowance
from ingest.core.ledger import Progress
from ingest.core.load import ChunkState, Destination, Findings, Identity, Load, Stat
from ingest.core.model import Chunk, Position, Violation
from ingest.core.outcome import RetryPolicy
from ingest.edges.client import Client, route_to
from ingest.edges.limit import SharedLimit
from ingest.edges.store import Store
from ingest.errors import StoppedError
from ingest.pipeline.delivery import Clock, Delivery, Terms, Traffic
from ingest.pipeline.payload import Payload, Prepared
from ingest.pipeline.recorder import Recorder
from ingest.pipeline.stop import Stop

EVENT = b'{"event":"purchase","customer_id":"' + b"x" * 302 + b'"}'
BATCH, CHUNK = 30, 6_000


@dataclass(slots=True)
class Peer:
    """A running peer.py.

    Args:
        url: Its origin.
        arrivals: When each request arrived; filled in when it has ended. Monotonic seconds.
        answered: When each 200 left.
        refused: How many requests it turned away.
    """

    url: str
    arrivals: list[float] = field(default_factory=list)
    answered: list[float] = field(default_factory=list)
    refused: int = 0


@contextmanager
def peer(*options: str) -> Iterator[Peer]:
    """Run peer.py with these options; it is told what happened when it ends."""
    program = Path(__file__).with_name("peer.py")
    process = subprocess.Popen(
        [sys.executable, program, *options], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    running = Peer(f"http://127.0.0.1:{int(process.stdout.readline())}")
    try:
        yield running
    finally:
        seen, _ = process.communicate()  # ends its input
    told = json.loads(seen)
    running.arrivals, running.answered = told["arrivals"], told["answered"]
    running.refused = told["refused"]


class NotedLimit(SharedLimit):
    """The shared limit, which also remembers the stamp of each grant."""

    def __init__(self, path: Path, *, rate: float | None) -> None:
        self.stamps: list[float] = []
        self._read_s = 0.0
        super().__init__(path, rate=rate, clock=self._now_s)

    def _now_s(self) -> float:
        self._read_s = time.monotonic()
        return self._read_s

    def reserve(self) -> float:
        """Take the right to send, and note when."""
        wait_s = super().reserve()
        if wait_s == 0:
            self.stamps.append(self._read_s)  # what the limit wrote down: it reads no clock later
        return wait_s


@dataclass(frozen=True, slots=True)
class Sent:
    """What a delivery did.

    Args:
        stamps: When each request was let go. Monotonic seconds.
        traffic: The run's own counts.
    """

    stamps: list[float]
    traffic: Traffic


def deliver(url: str, *, rate: float | None, seconds: float, limits: Path | None = None) -> Sent:
    """Send batches of 30 events for so long, with `--concurrency auto`.

    Args:
        url: An origin.
        rate: Calls per second; None: no limit.
        seconds: After which no request is begun.
        limits: Where the shared limit is kept; None: beside the ledger.
    """
    with (
        tempfile.TemporaryDirectory() as home,
        tempfile.TemporaryDirectory(dir=limits) as shared,
    ):
        path = Path(shared, "limit")
        return asyncio.run(_deliver(url, rate, seconds, home=Path(home), limit_path=path))


async def _deliver(
    url: str, rate: float | None, seconds: float, *, home: Path, limit_path: Path
) -> Sent:
    stop, traffic = Stop(), Traffic()
    route = route_to(address_of(url), Endpoint.BULK, key="benchmark-key")
    with Store(home) as store, NotedLimit(limit_path, rate=rate) as limit:
        load = store.add_load(_LOAD)
        delivery = Delivery(
            _terms(rate),
            connect=lambda: Client(route),
            pacer=limit,
            recorder=Recorder(store, load, on_commit=lambda _: None),
            stop=stop,
            clock=Clock(time.monotonic, time.time, random.Random(1).random),
            traffic=traffic,
            tell=lambda _: None,
        )
        ended = StoppedError("the time is over")
        asyncio.get_running_loop().call_later(seconds, stop.ask, ended)
        await delivery.run(_feed())
    if stop.error is not ended:
        raise SystemExit(f"the delivery ended early: {stop.error}")
    return Sent(limit.stamps, traffic)


_LOAD = Load(
    0,
    Destination("benchmark"),
    UUID(int=1),
    "",
    "benchmark",
    Identity(1, "f", 1, b"", Stat(1, 1, 1, 1, 1, 1)),
    {},
    "",
    {},
    fence=1,
)


def _terms(rate: float | None) -> Terms:
    return Terms(
        wrapper=BULK,
        max_events=BATCH,
        max_bytes=1_000_000,
        concurrency=None,
        policy=RetryPolicy(),
        first_budget_s=60.0,
        allowance=Allowance(),
        rate=math.inf if rate is None else rate,
        refused=Violation("api_refused", (), "refused:", ""),
    )


async def _feed() -> AsyncIterator[Prepared]:
    body = b",".join([EVENT] * CHUNK)
    ends = [(len(EVENT) + 1) * (n + 1) - 1 for n in range(CHUNK)]
    facts: dict[str, object] = {"line": 1, "offset": 0, "length": 1, "event_uuid": "u", "cells": []}
    chunk_id = 0
    while True:
        at = chunk_id * CHUNK
        chunk = Chunk(chunk_id, Position(at, at, at + 1), Position(at + CHUNK, at + CHUNK, 1))
        state = ChunkState(chunk, Progress(CHUNK), Findings())
        yield Prepared(state, Payload(chunk_id, body, ends, range(CHUNK), lambda _: dict(facts)))
        chunk_id += 1
