"""What an httpx transport's error says of an attempt; the only place that reads them."""

import errno
import socket
import ssl
from collections.abc import Iterator

import httpx

from ingest.core.outcome import Failure

# What is said of a server that closed the connection too early.
_ENDED_EARLY = ("Server disconnected", "peer closed connection")

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


def failure_of(error: Exception, *, begun: bool, proxied: bool) -> tuple[Failure, str]:
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
    opened = any(isinstance(cause, ConnectionResetError) for cause in chain)
    return Failure.TLS if opened else Failure.UNREACHABLE


def _detail(chain: list[BaseException]) -> str:
    """The system's own words where there are any; the transport's are often empty or vague."""
    # aiohttp's own certificate error has no such message; the one that it was made from has.
    said = [getattr(cause, "verify_message", "") for cause in chain]
    said += [cause.strerror or "" for cause in chain if isinstance(cause, OSError)]
    said += [str(cause) for cause in chain]
    return next(filter(None, said), type(chain[0]).__name__)


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
