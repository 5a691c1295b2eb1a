"""Sends one request at a time over one connection, and says exactly what came back.

A `Client` is one connection of one worker: httpx's shared pool slows down as workers are added,
connections of their own do not. It calls httpx's transport directly, with URL and headers made once
(`Route`), for cookies, redirects and hooks cost more than the request; so nothing here follows a
redirect, reads ~/.netrc or speaks HTTP/2, and the environment's proxy is looked up here.

A transport called this way raises httpx's errors; `_failure_of` is the one place that reads them.
Nothing above this module knows httpx, and nothing below it can raise into a worker but cancellation.
"""

import asyncio
import errno
import socket
import ssl
import urllib.request
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

import anyio
import httpx

from ingest import __version__
from ingest.core.address import Address, Endpoint, authorization_of, redacted
from ingest.core.outcome import Failure, Reply
from ingest.errors import UsageError

Permit = Callable[[], Awaitable[None]]
"""Waits for the right to send; see `Client.send`."""

# What h11 and httpcore say of a server that closed the connection too early.
_ENDED_EARLY = ("Server disconnected", "peer closed connection")


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Seconds that parts of an attempt may take.

    Args:
        connect_s: Name, connection and TLS together at most twice this.
        write_s: Without a byte leaving.
        read_s: Without a byte arriving.
        total_s: A whole attempt, the wait for a permit left out. The others cannot end an answer
            that trickles; this does. At least twice `connect_s`: httpcore forgets to close a
            connection whose TLS handshake is cancelled, while its own timeout closes it.
        idle_s: An idle connection is not used again after this: shorter than servers wait (Node
            closes after 5 s), or the request would race the server's close.
    """

    connect_s: float = 10.0
    write_s: float = 30.0
    read_s: float = 30.0
    total_s: float = 60.0
    idle_s: float = 4.0

    def __post_init__(self) -> None:
        if not 0 < 2 * self.connect_s <= self.total_s:
            raise ValueError(f"connecting may take {self.connect_s} s twice, of {self.total_s} s")


@dataclass(frozen=True, slots=True)
class Route:
    """All that the connections to one endpoint share; made by `route_to`.

    Args:
        url: The full URL of the endpoint.
        headers: The headers of every request; they hold the key.
        context: TLS settings, shared, for they cost milliseconds and a megabyte to make.
        proxy: Where connections go through; None: directly.
        timeouts: See `Timeouts`.
        max_body_bytes: A longer answer is a failure.
        secrets: What must never be shown.
    """

    url: httpx.URL
    headers: tuple[tuple[bytes, bytes], ...] = field(repr=False)
    context: ssl.SSLContext = field(repr=False)
    proxy: httpx.Proxy | None = field(repr=False)
    timeouts: Timeouts
    max_body_bytes: int
    secrets: tuple[str, ...] = field(repr=False)


def route_to(
    address: Address,
    endpoint: Endpoint,
    *,
    key: str,
    timeouts: Timeouts | None = None,
    context: ssl.SSLContext | None = None,
    max_body_bytes: int = 65_536,
) -> Route:
    """The route to an endpoint, with the proxy of the environment.

    Args:
        address: Where to.
        endpoint: What to send there.
        key: The Event API key.
        timeouts: None: the usual ones.
        context: None: `tls_context()`.
        max_body_bytes: The API's answers have some hundred bytes.

    Raises:
        UsageError: The key or the proxy cannot be used. The message holds no secret.
    """
    url = httpx.URL(address.url(endpoint))
    authorization = authorization_of(key)
    headers = {
        "Host": url.netloc.decode("ascii"),
        "Content-Type": "application/json",
        "Accept": "application/json",
        "Accept-Encoding": "identity",
        "Authorization": authorization,
        "User-Agent": f"ingest/{__version__}",
    }
    proxy = proxy_for(address)
    return Route(
        url=url,
        headers=tuple((name.encode(), value.encode()) for name, value in headers.items()),
        context=context or tls_context(),
        proxy=None if proxy is None else _proxy_of(proxy),
        timeouts=timeouts or Timeouts(),
        max_body_bytes=max_body_bytes,
        secrets=(key, authorization.removeprefix("Basic "), *_passwords(proxy)),
    )


def tls_context() -> ssl.SSLContext:
    """TLS as it must be: certificates and host names verified, TLS 1.2 at least.

    The authorities are certifi's, or those that SSL_CERT_FILE or SSL_CERT_DIR name.
    """
    context = httpx.create_ssl_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


def proxy_for(address: Address) -> str | None:
    """The proxy that the environment names for an address; None: go directly.

    HTTPS_PROXY, HTTP_PROXY, ALL_PROXY and NO_PROXY count, as do the settings of macOS. This machine
    is never reached through a proxy.
    """
    if address.loopback or urllib.request.proxy_bypass(f"{address.host}:{address.port}"):
        return None
    proxies = urllib.request.getproxies()
    proxy = proxies.get(address.scheme) or proxies.get("all")
    if not proxy:
        return None
    return proxy if "://" in proxy else f"http://{proxy}"


def _proxy_of(text: str) -> httpx.Proxy:
    hint = "Set HTTPS_PROXY to http://HOST:PORT, or NO_PROXY to the API's host to go directly."
    try:
        url = httpx.URL(text)
    except httpx.InvalidURL as error:
        raise UsageError("the proxy is no URL", hint=hint, code="proxy_invalid") from error
    if url.scheme not in {"http", "https"} or not url.host:
        what = f"the proxy {redacted(text)} is not http or https"
        raise UsageError(what, hint=hint, code="proxy_invalid")
    return httpx.Proxy(url, ssl_context=tls_context() if url.scheme == "https" else None)


def _passwords(proxy: str | None) -> tuple[str, ...]:
    if proxy is None or "@" not in proxy:
        return ()
    raw = httpx.URL(proxy).userinfo.decode("ascii")
    password = httpx.URL(proxy).password
    return tuple(text for text in (raw, urlsplit(proxy).password or "", password) if text)


class Client:
    """One connection; opened by the first request and again when needed.

    Use it from one task at a time, in one event loop; close it there.

    Args:
        route: Where to.
    """

    def __init__(self, route: Route) -> None:
        self._route = route
        timeouts = route.timeouts
        self._timeouts = {
            "connect": timeouts.connect_s,
            "read": timeouts.read_s,
            "write": timeouts.write_s,
            "pool": timeouts.connect_s,
        }
        self._proxied = route.proxy is not None
        self._transport = httpx.AsyncHTTPTransport(
            verify=route.context,
            trust_env=False,
            http2=False,
            retries=0,
            proxy=route.proxy,
            limits=httpx.Limits(
                max_connections=1, max_keepalive_connections=1, keepalive_expiry=timeouts.idle_s
            ),
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the connection."""
        await self._transport.aclose()

    async def send(self, body: bytes, *, permit: Permit | None = None) -> Reply:
        """Post one body and read the answer to its end.

        Args:
            body: JSON.
            permit: Awaited once, on an open connection, right before the first byte leaves, so that
                a request that was paced in time does not go late because it had to connect. Wait
                for the turn itself before calling: an open connection that waits may be closed by
                the server. The deadline begins anew after it.

        Returns:
            What came back. Failures are values: nothing is raised but cancellation and what
            `permit` raises.
        """
        attempt = _Attempt(self._route, permit)
        try:
            async with attempt.deadline:
                return await attempt.run(self._transport, self._request(body, attempt))
        except TimeoutError:
            if not attempt.deadline.expired():
                raise  # not ours: the permit's
            return attempt.out_of_time(proxied=self._proxied)
        except (httpx.TransportError, OSError) as error:
            return attempt.failed(*_failure_of(error, begun=attempt.begun, proxied=self._proxied))

    def _request(self, body: bytes, attempt: "_Attempt") -> httpx.Request:
        length = (b"Content-Length", str(len(body)).encode("ascii"))
        return httpx.Request(
            "POST",
            self._route.url,
            headers=[*self._route.headers, length],
            stream=httpx.ByteStream(body),
            extensions={"timeout": self._timeouts, "trace": attempt.trace},
        )


class _Attempt:
    """What is known of one attempt so far, so that a failure can be told in full."""

    def __init__(self, route: Route, permit: Permit | None) -> None:
        self._route = route
        self._permit = permit
        self.deadline = asyncio.timeout(route.timeouts.total_s)
        self.begun = False  # the first byte may have left
        self._response: httpx.Response | None = None
        self._body = bytearray()

    async def trace(self, name: str, info: Mapping[str, Any]) -> None:
        """Told by the transport at each step: here the request is about to leave."""
        if name != "http11.send_request_headers.started" or info["request"].method != b"POST":
            return  # a CONNECT to a proxy goes through here, too
        if self._permit is not None:
            self.deadline.reschedule(None)
            await self._permit()
            now_s = asyncio.get_running_loop().time()
            self.deadline.reschedule(now_s + self._route.timeouts.total_s)
        self.begun = True

    async def run(self, transport: httpx.AsyncBaseTransport, request: httpx.Request) -> Reply:
        self._response = response = await transport.handle_async_request(request)
        stream = response.stream
        if not isinstance(stream, httpx.AsyncByteStream):  # pragma: no cover - never, for this one
            raise httpx.ReadError("the transport gave no stream")
        try:
            async for part in stream:
                self._body += part
                if len(self._body) > self._route.max_body_bytes:
                    return self.failed(
                        Failure.BODY_TOO_LARGE, f"over {self._route.max_body_bytes} bytes"
                    )
        finally:
            await stream.aclose()
        return self._reply(None, "")

    def out_of_time(self, *, proxied: bool) -> Reply:
        connecting = Failure.PROXY if proxied else Failure.CONNECT_TIMEOUT
        detail = f"no end after {self._route.timeouts.total_s:g} s"
        return self.failed(Failure.DEADLINE if self.begun else connecting, detail)

    def failed(self, failure: Failure, detail: str) -> Reply:
        return self._reply(failure, self._clean(detail))

    def _reply(self, failure: Failure | None, detail: str) -> Reply:
        if self._response is None:
            return Reply(None, failure, complete=False, detail=detail)
        headers = self._response.headers
        body = bytes(self._body[: self._route.max_body_bytes])
        for secret in self._route.secrets:
            body = body.replace(secret.encode(), b"***")
        return Reply(
            self._response.status_code,
            failure,
            body=body,
            complete=failure is None,
            retry_after=headers.get("retry-after"),
            request_id=self._shown(headers.get("x-request-id")),
            location=self._shown(headers.get("location")),
            detail=detail,
        )

    def _shown(self, text: str | None) -> str | None:
        return None if text is None else self._clean(text)

    def _clean(self, text: str) -> str:
        """Without our secrets, should a server or a proxy repeat them."""
        for secret in self._route.secrets:
            text = text.replace(secret, "***")
        return text


# The first that fits says what failed. Once the request may have left, the step tells (the class of
# the transport's error); before that, its cause does, for the transport has one class for them all.
_AFTERWARDS: tuple[tuple[type[Exception], Failure], ...] = (
    (httpx.ReadTimeout, Failure.READ_TIMEOUT),
    (httpx.WriteTimeout, Failure.WRITE_TIMEOUT),
    (httpx.ProtocolError, Failure.PROTOCOL),
    (httpx.WriteError, Failure.WRITE),
    (Exception, Failure.RESET),
)
_BEFOREHAND: tuple[tuple[type[BaseException], Failure], ...] = (
    (ssl.SSLCertVerificationError, Failure.CERTIFICATE),
    (ssl.SSLError, Failure.TLS),
    (socket.gaierror, Failure.DNS),
    (ConnectionRefusedError, Failure.REFUSED),
)


def _failure_of(error: Exception, *, begun: bool, proxied: bool) -> tuple[Failure, str]:
    """What a transport's error says, and one line on it; the only place that reads them.

    Args:
        error: As the transport raised it.
        begun: The request may have left.
        proxied: There is a proxy on the way.
    """
    chain = list(_causes(error))
    detail = "" if isinstance(error, httpx.TimeoutException) else _detail(chain)
    if isinstance(error, httpx.ProxyError):
        return (Failure.PROXY_AUTH if detail.startswith("407") else Failure.PROXY), detail
    if not begun:
        return _unsent(error, chain, proxied=proxied), detail
    if detail.startswith(_ENDED_EARLY):
        return Failure.DISCONNECTED, detail
    return next(failure for kind, failure in _AFTERWARDS if isinstance(error, kind)), detail


def _unsent(error: Exception, chain: list[BaseException], *, proxied: bool) -> Failure:
    """Which step before the request failed."""
    if any(isinstance(e, OSError) and e.errno in {errno.EMFILE, errno.ENFILE} for e in chain):
        return Failure.DESCRIPTORS
    if isinstance(error, httpx.TimeoutException):
        return Failure.PROXY if proxied else Failure.CONNECT_TIMEOUT
    known = [kind for cause in chain for type_, kind in _BEFOREHAND if isinstance(cause, type_)]
    if proxied and not {Failure.CERTIFICATE, Failure.TLS} & set(known):
        return Failure.PROXY
    if known:
        return known[0]
    # A connection that was opened and broke off again did so while TLS was being agreed on.
    opened = any(isinstance(cause, ConnectionResetError | anyio.EndOfStream) for cause in chain)
    return Failure.TLS if opened else Failure.UNREACHABLE


def _detail(chain: list[BaseException]) -> str:
    """The system's own words where there are any; the transport's are often empty or vague."""
    for cause in chain:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return cause.verify_message
        if isinstance(cause, OSError) and cause.strerror:
            return cause.strerror
    return next((str(cause) for cause in chain if str(cause)), type(chain[0]).__name__)


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """An error and all that led to it, the nearest first; groups in their order."""
    seen: set[int] = set()
    waiting = [error]
    while waiting:
        cause = waiting.pop(0)
        if cause is None or id(cause) in seen:
            continue
        seen.add(id(cause))
        yield cause
        inner = cause.exceptions if isinstance(cause, BaseExceptionGroup) else ()
        waiting += [*inner, cause.__cause__, cause.__context__]
