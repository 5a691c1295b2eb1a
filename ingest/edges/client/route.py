"""Where requests go and what they share: URL, headers, TLS, the environment's proxy, timeouts."""

import ssl
import urllib.request
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import httpx

from ingest import __version__
from ingest.core.address import Address, Endpoint, authorization_of, redacted
from ingest.errors import UsageError

Permit = Callable[[], Awaitable[None]]
"""Waits for the right to send; see `Client.send`."""


_SECRET_FROM = 8


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Seconds that parts of an attempt may take.

    Args:
        connect_s: Name, connection and TLS together at most twice this.
        write_s: Without 64 KiB of the body leaving.
        read_s: Without a byte arriving.
        total_s: From the first byte sent to the whole answer. The others cannot end an answer
            that trickles; this does. At least twice `connect_s`.
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
        secrets: What must never be shown; shorter ones guard nothing, and would be cut out of
            words that only look like them.
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
        secrets=tuple(
            secret
            for secret in (key, authorization.removeprefix("Basic "), *_passwords(proxy))
            if len(secret) >= _SECRET_FROM
        ),
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
