"""What a request costs on the wire: httpx's transport, ours over aiohttp, and aiohttp by itself.

The sink is an nginx on this machine that answers 200 to everything; bodies are 30 events, 10.2 KB;
every worker has one connection and sends as fast as it is answered. The client runs on one core,
nginx on another. Sides alternate, and the median of the rounds counts: on a busy machine the ratios
mean more than the figures.
"""

import argparse
import asyncio
import itertools
import os
import statistics
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import httpx
import uvloop
from machine import described, pinned
from sinks import Sink, nginx

from ingest.core.address import Endpoint, address_of
from ingest.edges.client import Client, route_to

EVENTS, BODY_BYTES = 30, 10_200
BODY = b'{"events":[' + b",".join([b'{"event":"' + b"x" * 325 + b'"}'] * EVENTS) + b"]}"
RESULTS = Path(__file__).parent / "results" / "wire.md"

Send = Callable[[], Awaitable[int]]
"""Sends one request and gives the status of the answer, read to its end."""
Side = Callable[[Sink, AsyncExitStack], Awaitable[Send]]
"""Makes one connection's sender."""


async def httpx_transport(sink: Sink, stack: AsyncExitStack) -> Send:
    """The transport of httpx itself, with one connection, called directly."""
    transport = httpx.AsyncHTTPTransport(
        verify=sink.context or True,
        trust_env=False,
        limits=httpx.Limits(max_connections=1, max_keepalive_connections=1, keepalive_expiry=4.0),
    )
    await stack.enter_async_context(transport)
    url, seconds = httpx.URL(sink.url + Endpoint.BULK.path), dict.fromkeys(_PHASES, 30.0)
    headers = [(b"Host", url.netloc), (b"Content-Length", str(len(BODY)).encode())]

    async def send() -> int:
        request = httpx.Request(
            "POST",
            url,
            headers=headers,
            stream=httpx.ByteStream(BODY),
            extensions={"timeout": seconds},
        )
        response = await transport.handle_async_request(request)
        await response.aread()
        await response.aclose()
        return response.status_code

    return send


_PHASES = ("connect", "read", "write", "pool")


async def ours(sink: Sink, stack: AsyncExitStack) -> Send:
    """The client of `ingest`, whole: deadline, caps, and the answer as a value."""
    route = route_to(address_of(sink.url), Endpoint.BULK, key="benchmark-key", context=sink.context)
    client = await stack.enter_async_context(Client(route))

    async def send() -> int:
        return (await client.send(BODY)).status or 0

    return send


async def aiohttp_direct(sink: Sink, stack: AsyncExitStack) -> Send:
    """A session of aiohttp, used as its manual shows."""
    connector = aiohttp.TCPConnector(limit=1, ssl=sink.context or True)
    session = await stack.enter_async_context(aiohttp.ClientSession(connector=connector))
    url = sink.url + Endpoint.BULK.path

    async def send() -> int:
        async with session.post(url, data=BODY) as response:
            await response.read()
            return response.status

    return send


SIDES: dict[str, Side] = {
    "httpx": httpx_transport,
    "ours": ours,
    "aiohttp": aiohttp_direct,
}
LOOPS: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {
    "asyncio": asyncio.new_event_loop,
    "uvloop": uvloop.new_event_loop,
}


@dataclass(frozen=True, slots=True)
class Measured:
    """One measurement.

    Args:
        rate: Requests per second.
        cpu_us: Processor time of a request, in microseconds.
    """

    rate: float
    cpu_us: float


async def measure(side: Side, sink: Sink, *, connections: int, seconds: float) -> Measured:
    """Send over so many connections for so long, after one request on each."""
    count = 0

    async def work(send: Send, until_s: float) -> None:
        nonlocal count
        while time.perf_counter() < until_s:
            if await send() != httpx.codes.OK:
                raise RuntimeError("the sink did not answer 200")
            count += 1

    async with AsyncExitStack() as stack:
        senders = [await side(sink, stack) for _ in range(connections)]
        for send in senders:
            await send()
        began_s, cpu_s = time.perf_counter(), time.process_time()
        async with asyncio.TaskGroup() as group:
            for send in senders:
                group.create_task(work(send, began_s + seconds))
        took_s, used_s = time.perf_counter() - began_s, time.process_time() - cpu_s
    return Measured(count / took_s, used_s / count * 1e6)


def rounds(
    options: argparse.Namespace, sink: Sink
) -> Iterator[tuple[tuple[str, str, int], Measured]]:
    """All measurements of one sink, alternating."""
    cases = itertools.product(range(options.rounds), options.connections, LOOPS, SIDES)
    for _, connections, loop, side in cases:
        with asyncio.Runner(loop_factory=LOOPS[loop]) as runner:
            yield (
                (side, loop, connections),
                runner.run(
                    measure(SIDES[side], sink, connections=connections, seconds=options.seconds)
                ),
            )


def table(found: dict[tuple[str, str, int], list[Measured]], connections: list[int]) -> list[str]:
    """Medians, as a table of Markdown."""
    head = "".join(f" {count} |" for count in connections)
    rows = [
        f"| client | loop |{head} CPU us | x httpx |",
        "|---|---|" + "---|" * len(connections) + "---|---|",
    ]
    middle = connections[len(connections) // 2]
    for side, loop in itertools.product(SIDES, LOOPS):
        rates = {n: statistics.median(m.rate for m in found[side, loop, n]) for n in connections}
        base = statistics.median(m.rate for m in found["httpx", "asyncio", middle])
        cpu_us = statistics.median(m.cpu_us for m in found[side, loop, middle])
        cells = "".join(f" {rate:,.0f} |" for rate in rates.values())
        rows.append(f"| {side} | {loop} |{cells} {cpu_us:.0f} | {rates[middle] / base:.1f} |")
    return rows


def main() -> None:
    """Measure, print and write down."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--connections", type=int, nargs="+", default=[1, 8, 16, 64])
    parser.add_argument("--seconds", type=float, default=2.0, help="of one measurement")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="0.3 s, one round, nothing written")
    options = parser.parse_args()
    if options.quick:
        options.seconds, options.rounds = 0.3, 1
    lines = ["# Requests per second on the wire", "", described(sys.argv), ""]
    client, server = pinned()
    for tls in (False, True):
        found: dict[tuple[str, str, int], list[Measured]] = {}
        with nginx(tls=tls, cores=server) as sink:
            os.sched_setaffinity(0, client)
            for case, measured in rounds(options, sink):
                found.setdefault(case, []).append(measured)
        name = "TLS" if tls else "Plain HTTP"
        lines += [f"## {name}, by connections", "", *table(found, options.connections), ""]
    text = "\n".join(lines)
    print(text)
    if not options.quick:
        RESULTS.parent.mkdir(exist_ok=True)
        RESULTS.write_text(text)


if __name__ == "__main__":
    main()
