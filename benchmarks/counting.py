"""A sink that counts events: what a side claims to have sent is what arrived.

`python counting.py` prints its port; when its input ends it prints `requests` and `events` as JSON.
"""

import asyncio
import json
import sys

import orjson

_ANSWER = (
    b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 15\r\n\r\n"
    b'{"status":"ok"}'
)


class Counts:
    """What arrived."""

    requests = 0
    events = 0


async def take(counts: Counts, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Serve one connection."""
    try:
        while True:
            head = (await reader.readuntil(b"\r\n\r\n")).lower()
            length = int(head.split(b"content-length:")[1].split(b"\r\n")[0])
            if b"100-continue" in head:
                writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            body = orjson.loads(await reader.readexactly(length))
            counts.requests += 1
            counts.events += len(body["events"])
            writer.write(_ANSWER)
    except (asyncio.IncompleteReadError, ConnectionError):
        writer.close()


async def serve() -> None:
    """Serve until the input ends, then tell."""
    counts = Counts()
    server = await asyncio.start_server(
        lambda reader, writer: take(counts, reader, writer), "127.0.0.1", 0, limit=1 << 22
    )
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.to_thread(sys.stdin.read)
    print(json.dumps({"requests": counts.requests, "events": counts.events}), flush=True)


if __name__ == "__main__":
    asyncio.run(serve())
