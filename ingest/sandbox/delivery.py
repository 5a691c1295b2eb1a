"""How an answer reaches the client, or does not: the faults, done to real sockets."""

import asyncio
import socket
import struct
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from typing import assert_never

from aiohttp import web

from ingest.sandbox.faults import Fault, Kind

# Nothing that could be taken for a status line is sent.
UNANSWERED = frozenset({Kind.RESET, Kind.RESET_AFTER, Kind.HANG, Kind.TIMEOUT, Kind.GARBAGE})
GARBAGE = b"\x00\xff\x15 this is not HTTP\r\n\r\n"
HTML = b"<!doctype html><title>Sign in</title><p>Please sign in to use this network."
HUGE_BYTES = 64 * 1024 * 1024
JSON = "application/json; charset=utf-8"
_BLOCK = b" " * 65536
# Bodies by status: the reference pages of the event endpoints; where they give none, the API's
# general form of errors; 413 has none anywhere.
BODIES = {
    200: b'{"status":"ok","count":0}',
    400: b'{"errors":[{"customer_id":"can\'t be blank"}]}',
    401: b'{"message":"Not authorized"}',
    403: b'{"message":"Forbidden"}',
    404: b'{"message":"Not Found"}',
    413: b"",
    422: b'{"success":false,"error":"Validation failed"}',
    429: b'{"message":"Rate limit exceeded"}',
}
_BODILESS = frozenset({204, 304})


@dataclass(frozen=True, slots=True)
class Answer:
    """A status, a body and headers."""

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    kind: str = JSON

    def stamped(self, request_id: str, arrived_mono_ns: int) -> "Answer":
        """Add the headers that every answer of the API has."""
        runtime_s = (time.monotonic_ns() - arrived_mono_ns) / 1e9
        own = {"x-request-id": request_id, "x-runtime": f"{runtime_s:.6f}"}
        return replace(self, headers={**self.headers, **own})


def faulty(fault: Fault) -> Answer:
    """Give the answer of a fault that has one of its own; total."""
    match fault.kind:
        case Kind.STATUS:
            headers = dict([fault.header] if fault.header else [])
            return Answer(fault.status, _body(fault.status), headers)
        case Kind.HTML:
            return Answer(200, HTML, kind="text/html; charset=utf-8")
        case Kind.ERRORS:
            return Answer(200, b'{"status":"ok","count":0,' + BODIES[400][1:])
        case _:
            return Answer(200)


def _body(status: int) -> bytes:
    if status in _BODILESS:
        return b""
    phrase = HTTPStatus(status).phrase if status in {*HTTPStatus} else "Unknown"
    said = BODIES.get(status, f'{{"message":"{phrase}"}}'.encode())
    return BODIES[200] if status < 300 else said  # noqa: PLR2004 - the statuses of success


def plain(answer: Answer) -> web.Response:
    """Give an answer as it should be."""
    headers = {"Content-Type": answer.kind, **answer.headers}
    return web.Response(status=answer.status, body=answer.body, headers=headers)


async def deliver(
    request: web.BaseRequest, answer: Answer, *, fault: Fault | None, delay_ms: int
) -> web.StreamResponse:
    """Send an answer, or do what the fault does to it.

    Where no answer is to be sent this does not return: it is cancelled when the connection goes.
    """
    if delay_ms:
        await asyncio.sleep(delay_ms / 1000)
    match fault.kind if fault else Kind.DELAY:
        case Kind.DELAY | Kind.STATUS | Kind.HTML | Kind.EMPTY | Kind.ERRORS:
            return plain(answer)
        case Kind.SLOW:
            return await _trickle(request, answer)
        case Kind.HUGE:
            return await _flood(request)
        case Kind.HANG | Kind.TIMEOUT:
            pass
        case Kind.RESET | Kind.RESET_AFTER:
            _reset(request)
        case Kind.TRUNCATE:
            _hang_up(request, _raw(answer, missing=20))
        case Kind.CLOSE:
            _hang_up(request, _raw(answer))
        case Kind.GARBAGE:
            _hang_up(request, GARBAGE)
        case never:
            assert_never(never)
    never_done: asyncio.Future[web.StreamResponse] = asyncio.get_running_loop().create_future()
    return await never_done


async def _trickle(request: web.BaseRequest, answer: Answer) -> web.StreamResponse:
    """Send the head at once and the body a byte a second."""
    response = web.StreamResponse(status=answer.status, headers=dict(answer.headers))
    response.content_type = "application/json"
    response.content_length = len(answer.body)
    await response.prepare(request)
    for byte in answer.body:
        await response.write(bytes([byte]))
        await asyncio.sleep(1)
    return response


async def _flood(request: web.BaseRequest) -> web.StreamResponse:
    """Send a body without a length that a client had better not read to its end."""
    response = web.StreamResponse(status=200)
    response.content_type = "application/json"
    await response.prepare(request)
    for _ in range(HUGE_BYTES // len(_BLOCK)):
        await response.write(_BLOCK)
    return response


def _reset(request: web.BaseRequest) -> None:
    """Drop the connection with RST in place of FIN."""
    if request.transport is None:
        return
    # Lingering on, for no time: what is unsent is discarded, and the peer is told at once.
    linger = struct.pack("ii", 1, 0)
    request.transport.get_extra_info("socket").setsockopt(
        socket.SOL_SOCKET, socket.SO_LINGER, linger
    )
    request.transport.abort()


def _hang_up(request: web.BaseRequest, raw: bytes) -> None:
    """Write these bytes and close the connection without having said so."""
    if request.transport is not None:
        request.transport.write(raw)
        request.transport.close()


def _raw(answer: Answer, *, missing: int = 0) -> bytes:
    """Write an answer as bytes, whose Content-Length promises `missing` bytes more."""
    length = len(answer.body) + missing
    headers = {"Content-Type": answer.kind, "Content-Length": str(length), **answer.headers}
    head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    phrase = HTTPStatus(answer.status).phrase
    return f"HTTP/1.1 {answer.status} {phrase}\r\n{head}\r\n".encode() + answer.body
