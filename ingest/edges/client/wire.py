"""httpx's transport interface over one aiohttp connection.

httpx's own transport is correct and slow; aiohttp's wire is some five times as fast, and says less of
what went wrong. This transport keeps both: its errors are httpx's, one class for each step, with
aiohttp's as their cause. What aiohttp would do by itself and must not is off: redirects, cookies,
decompression, ~/.netrc, the environment's proxy, sending again.

Four things are watched here, for aiohttp does not:

- A connection on which something arrived while it idled is not used: the bytes would be taken for
  the answer to the next request.
- A connection that ended while the request waited for its permit is replaced; nothing had left.
- Whether a connection was closed or reset: aiohttp takes a reset for the end of an answer that has
  no length.
- An answer that breaks the rules after its head: aiohttp closes the connection, and whoever reads
  would wait for ever.
"""

import asyncio
import base64
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from ssl import SSLContext
from typing import Any

import aiohttp
import httpx
from aiohttp.abc import AbstractStreamWriter

_HEAD_BYTES = 16_384  # of one line; no answer of the API has more than some hundred
_PIECE = 65_536  # bytes handed over at once, each with its own write timeout
_SHOWN = 200  # characters of what a server said
_FRAMING = {"content-length", "transfer-encoding"}  # aiohttp's own: it knows the whole body
_INTERIM = 200  # a status below it is no answer

_Headers = list[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Departure:
    """Told of the moment at which a request leaves; under "departure" in a request's extensions.

    Args:
        ready: Awaited once, on an open connection, before the first byte. What it raises is raised.
        leaving: Called right before the first byte: from here on the request may be seen.
    """

    ready: Callable[[], Awaitable[None]]
    leaving: Callable[[], None]


class Wire(httpx.AsyncBaseTransport):
    """One connection, opened when it is needed; for one request at a time, in one event loop.

    Requests must carry the extension "departure", and need no Content-Length.

    Args:
        context: TLS settings.
        proxy: Where connections go through; None: directly.
        timeouts: Seconds: "connect" for one address and TLS, "pool" until a connection stands,
            "read" without a byte arriving, "write" without a piece of the body leaving.
        idle_s: An idle connection is not used again after so many seconds.
    """

    def __init__(
        self,
        *,
        context: SSLContext,
        proxy: httpx.Proxy | None = None,
        timeouts: httpx.Timeout,
        idle_s: float,
    ) -> None:
        self._context = context
        self._proxy = None if proxy is None else str(proxy.url)
        self._proxy_headers = None if proxy is None else _proxy_headers(proxy)
        self._stall_s = timeouts.write
        self._timeouts = aiohttp.ClientTimeout(
            total=None,
            connect=timeouts.pool,
            sock_connect=timeouts.connect,
            sock_read=timeouts.read,
        )
        self._idle_s = idle_s
        self._raw: list[tuple[bytes, bytes]] = []
        self._headers: _Headers = []
        self._line: _Line | None = None
        self._session: aiohttp.ClientSession | None = None

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send one request and read the head of its answer.

        Raises:
            httpx.TransportError: ConnectTimeout, ConnectError and ProxyError before anything left;
                any other afterwards. The cause is aiohttp's or the system's.
        """
        session, line = self._opened()
        line.depart(request.extensions["departure"])
        try:
            answer = await session.request(
                request.method,
                str(request.url),
                data=_Body(await _bytes_of(request), stall_s=self._stall_s),
                headers=self._headers_of(request),
                allow_redirects=False,
                proxy=self._proxy,
                proxy_headers=self._proxy_headers,
                timeout=self._timeouts,
            )
        except _WithheldError as withheld:
            reason = withheld.reason
        except (aiohttp.ClientError, OSError) as error:
            line.abort()
            raise _told(error, line) from error
        except BaseException:
            line.abort()  # or what is left of the body might still go out
            raise
        else:
            return _response(answer, line)
        raise reason  # here, to leave its own cause alone

    async def aclose(self) -> None:
        """Close the connection."""
        if self._session is not None:
            await self._session.close()
            assert self._line is not None  # noqa: S101 - made together
            await self._line.gone()

    def _headers_of(self, request: httpx.Request) -> _Headers:
        raw = request.headers.raw
        if raw != self._raw:  # most requests have the same
            self._raw, self._headers = raw, _headers(raw)
        return self._headers

    def _opened(self) -> tuple[aiohttp.ClientSession, "_Line"]:
        if self._session is None or self._line is None:
            self._line = _Line(
                ssl=self._context,
                limit=1,
                keepalive_timeout=self._idle_s,
                use_dns_cache=False,
                resolver=aiohttp.ThreadedResolver(),
            )
            self._session = aiohttp.ClientSession(
                connector=self._line,
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
                trust_env=False,
                max_line_size=_HEAD_BYTES,
                max_field_size=_HEAD_BYTES,
            )
        return self._session, self._line


class _WithheldError(Exception):
    """The request does not leave, for a reason of whoever wanted it sent.

    Carried through aiohttp as it is: it would take a TimeoutError for its own.
    """

    def __init__(self, reason: Exception) -> None:
        super().__init__()
        self.reason = reason


class _Line(aiohttp.TCPConnector):
    """The connector of one connection: knows when a request leaves, and how the connection ended."""

    _departure: Departure | None = None
    _ended: "asyncio.Future[None] | None" = None
    _transport: asyncio.Transport | None = None
    _reading: aiohttp.StreamReader | None = None
    begun = False

    def depart(self, departure: Departure) -> None:
        """Expect one request."""
        self._departure, self._reading, self.begun = departure, None, False

    def read(self, answer: aiohttp.StreamReader) -> None:
        """An answer is being read."""
        self._reading = answer

    async def connect(self, *args: Any, **kwargs: Any) -> aiohttp.connector.Connection:
        """A connection on which the request leaves at once."""
        connection = await self._opened(*args, **kwargs)
        departure, self._departure = self._departure, None
        if departure is None:
            raise RuntimeError("a second connection for one request")
        try:
            await departure.ready()
        except Exception as error:
            connection.close()
            raise _WithheldError(error) from error
        except BaseException:
            connection.close()
            raise
        if not _usable(connection):
            connection.close()
            connection = await self._opened(*args, **kwargs)
        self.begun = True
        departure.leaving()
        return connection

    async def _opened(self, *args: Any, **kwargs: Any) -> aiohttp.connector.Connection:
        connection = await super().connect(*args, **kwargs)
        protocol = connection.protocol
        if connection.transport is not self._transport and protocol is not None:
            self._transport = connection.transport
            self._ended = protocol.closed
            if self._ended is not None:
                self._ended.add_done_callback(self._at_end)
        return connection

    def _at_end(self, ended: "asyncio.Future[None]") -> None:
        if not ended.cancelled():
            ended.exception()  # asyncio complains of errors that nobody asked for
        answer = self._reading
        if ended is self._ended and answer and not answer.is_eof() and not answer.exception():
            answer.set_exception(_GarbledError())

    def abort(self) -> None:
        """Drop the connection with all that waits to be sent on it."""
        if self._transport is not None:
            self._transport.abort()

    @property
    def closed_by_peer(self) -> bool:
        """Whether the connection ended in order."""
        return self._ended is not None and self._ended.done() and self._ended.exception() is None

    @property
    def broken(self) -> BaseException | None:
        """What broke the connection off; None where it stands, or was closed in order."""
        if self._ended is None or not self._ended.done():
            return None
        error = self._ended.exception()
        return None if error is None else error.__cause__ or error

    async def gone(self) -> None:
        """Wait until the connection is closed."""
        if self._ended is not None:
            await asyncio.wait([self._ended], timeout=1)


class _GarbledError(aiohttp.ClientPayloadError):
    """The rest of an answer breaks the rules."""


def _usable(connection: aiohttp.connector.Connection) -> bool:
    """Whether it stands and nothing has arrived on it: an answer comes after its request."""
    protocol = connection.protocol
    return protocol is not None and protocol.is_connected() and not protocol.should_close


class _Body(aiohttp.Payload):
    """The body of a request; leaves in pieces, so that a peer that does not read is noticed."""

    def __init__(self, body: bytes, *, stall_s: float | None) -> None:
        super().__init__(body, content_type="application/json")
        self._body, self._stall_s = body, stall_s

    @property
    def size(self) -> int:
        """Bytes."""
        return len(self._body)

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        """As text."""
        return self._body.decode(encoding, errors)

    async def write(self, writer: AbstractStreamWriter) -> None:
        """Hand it to the connection."""
        if len(self._body) <= _PIECE:  # fits into the connection's buffer: never waits
            await writer.write(self._body)
            return
        try:
            for at in range(0, len(self._body), _PIECE):
                async with asyncio.timeout(self._stall_s):
                    await writer.write(self._body[at : at + _PIECE])
                    await writer.drain()
        except TimeoutError as error:
            raise _StalledError from error


class _StalledError(TimeoutError):
    """No byte of the body left for too long."""


class _Answer(httpx.AsyncByteStream):
    """The body of an answer, as it arrives."""

    def __init__(self, answer: aiohttp.ClientResponse, line: _Line) -> None:
        self._answer, self._line = answer, line
        self._whole = False

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            async for part in self._answer.content.iter_any():
                yield part
        except (aiohttp.ClientError, OSError) as error:
            raise _told(error, self._line) from error
        if not _framed(self._answer) and (broken := self._line.broken):
            raise httpx.ReadError(str(broken)) from broken
        self._whole = True

    async def aclose(self) -> None:
        """Leave the connection to the next request if all was read, else drop it."""
        if not self._whole:
            self._line.abort()
        self._answer.close()


def _response(answer: aiohttp.ClientResponse, line: _Line) -> httpx.Response:
    if answer.status < _INTERIM:
        answer.close()
        raise httpx.RemoteProtocolError(f"the connection was switched by a {answer.status}")
    return httpx.Response(
        answer.status, headers=answer.raw_headers, stream=_stream_of(answer, line)
    )


def _stream_of(answer: aiohttp.ClientResponse, line: _Line) -> httpx.AsyncByteStream:
    if _framed(answer) and answer.content.is_eof() and answer.content.exception() is None:
        return httpx.ByteStream(answer.content.read_nowait())  # it came at once with its head
    line.read(answer.content)
    return _Answer(answer, line)


def _framed(answer: aiohttp.ClientResponse) -> bool:
    """Whether the answer itself says where it ends; else the connection's end does."""
    coding = answer.headers.get("Transfer-Encoding", "")
    return "Content-Length" in answer.headers or "chunked" in coding.lower()


def _headers(raw: list[tuple[bytes, bytes]]) -> _Headers:
    decoded = ((name.decode("ascii"), value.decode("latin-1")) for name, value in raw)
    return [(name, value) for name, value in decoded if name.lower() not in _FRAMING]


def _proxy_headers(proxy: httpx.Proxy) -> _Headers:
    headers = _headers(proxy.headers.raw)
    if proxy.raw_auth is None:
        return headers
    credentials = base64.b64encode(b":".join(proxy.raw_auth)).decode("ascii")
    return [*headers, ("Proxy-Authorization", f"Basic {credentials}")]


async def _bytes_of(request: httpx.Request) -> bytes:
    if isinstance(request.stream, httpx.ByteStream):
        return b"".join(request.stream)  # one part, which is not copied
    return await request.aread()


def _told(  # noqa: PLR0911 - one line for each kind: read it as a table
    error: Exception, line: _Line
) -> httpx.TransportError:
    """The same in httpx's words: which step failed. The caller chains the error itself."""
    if not line.begun:
        return _told_beforehand(error)
    match error:
        case _StalledError():
            return httpx.WriteTimeout("")
        case TimeoutError():
            return httpx.ReadTimeout("")
        case aiohttp.ServerDisconnectedError():
            return httpx.RemoteProtocolError("Server disconnected without sending a response.")
        case aiohttp.ClientResponseError():
            return httpx.RemoteProtocolError(_line_of(error.message))
        case aiohttp.ClientPayloadError():
            return _told_in_body(error, line)
        case _:
            return httpx.ReadError(_line_of(str(error)))


def _told_beforehand(error: Exception) -> httpx.TransportError:
    match error:
        case aiohttp.ClientHttpProxyError():
            return httpx.ProxyError(f"{error.status} {_line_of(error.message)}")
        case TimeoutError():
            return httpx.ConnectTimeout("")
        case aiohttp.ClientResponseError():
            return httpx.ConnectError(_line_of(error.message))
        case _:
            return httpx.ConnectError("")


def _told_in_body(error: aiohttp.ClientPayloadError, line: _Line) -> httpx.TransportError:
    if isinstance(error, _GarbledError):
        return httpx.RemoteProtocolError("the answer breaks the rules of HTTP")
    if broken := line.broken:
        return httpx.ReadError(str(broken))
    if line.closed_by_peer:
        return httpx.RemoteProtocolError("peer closed connection in the middle of the answer")
    return httpx.RemoteProtocolError(_line_of(str(error.__cause__ or error)))


def _line_of(text: str) -> str:
    """Without the line breaks that aiohttp draws its arrows with."""
    return " ".join(text.split())[:_SHOWN]
