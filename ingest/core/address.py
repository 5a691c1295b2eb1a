"""Where events go: the origin, the endpoint, and the key as a header.

An address comes from settings only, never from a record. It is refused, rather than mended,
wherever two programs could read it differently.
"""

import base64
import ipaddress
import re
from dataclasses import dataclass
from enum import StrEnum
from urllib.parse import urlsplit

from ingest.core.batching import BULK, SINGLE, Wrapper
from ingest.errors import UsageError

# A host name as DNS writes it: labels of letters, digits and inner hyphens. The last label has a
# letter, so that `127.1` and `0x7f.1`, which some resolvers take for addresses, are not names.
_NAME = re.compile(
    r"(?=.{1,253}\Z)(?:[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9])?\.)*"
    r"(?=[a-z0-9-]*[a-z])(?!0x)[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\Z"
)
_PORTS = {"https": 443, "http": 80}
_TOP_PORT = 65535


class Region(StrEnum):
    """Where an account lives (contract: endpoints)."""

    US = "us"
    EU = "eu"

    @property
    def origin(self) -> str:
        """The origin of the region's API."""
        return {
            "us": "https://api.getblueshift.com",
            "eu": "https://api.eu.getblueshift.com",
        }[self.value]


class Endpoint(StrEnum):
    """How events are sent: many to a request, or one."""

    BULK = "bulk"
    EVENT = "event"

    @property
    def path(self) -> str:
        """The path of the endpoint (contract: endpoints)."""
        return {"bulk": "/api/v1/bulkevents", "event": "/api/v1/event"}[self.value]

    @property
    def wrapper(self) -> Wrapper:
        """What stands around the events of a body."""
        return BULK if self is Endpoint.BULK else SINGLE


@dataclass(frozen=True, slots=True)
class Address:
    """A checked place to send to; made by `address_of`.

    Args:
        scheme: `https`, or `http` for this machine.
        host: Lower case; an IPv6 address without its brackets.
        port: From 1 to 65535.
    """

    scheme: str
    host: str
    port: int

    @property
    def origin(self) -> str:
        """Scheme, host and port as one text; the port is left out where it is the usual one."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        port = "" if self.port == _PORTS[self.scheme] else f":{self.port}"
        return f"{self.scheme}://{host}{port}"

    @property
    def loopback(self) -> bool:
        """Whether it is this machine."""
        return _is_loopback(self.host)

    def url(self, endpoint: Endpoint) -> str:
        """The full URL of an endpoint."""
        return self.origin + endpoint.path


def address_of(url: str) -> Address:
    """Check an origin such as `https://api.getblueshift.com` or `http://127.0.0.1:8080`.

    Raises:
        UsageError: Not an origin, a credential in it, or `http` to another machine. The message
            never repeats what might be a password.
    """
    if not url.isascii() or not url.isprintable() or " " in url or "\\" in url:
        raise _refusal("holds a blank, a control character or a letter beyond ASCII")
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError as error:
        raise _refusal("is not a URL") from error
    if "@" in parts.netloc:
        raise _refusal("holds a user name or a password", hint="Give the key in INGEST_API_KEY.")
    if parts.scheme not in _PORTS:
        raise _refusal("does not begin with https://")
    if parts.path not in {"", "/"} or "?" in url or "#" in url:
        raise _refusal("goes on after the host", hint="Leave the path out; --endpoint chooses it.")
    port = _PORTS[parts.scheme] if port is None else port
    if not 1 <= port <= _TOP_PORT:
        raise _refusal(f"has no port {port}")
    if not _is_host(host, bracketed="[" in parts.netloc):
        raise _refusal("has no valid host")
    address = Address(parts.scheme, host, port)
    if address.scheme == "http" and not address.loopback:
        raise _refusal("uses http, which sends the key in the clear", hint=f"Use https://{host}.")
    return address


def authorization_of(key: str) -> str:
    """The Authorization header: HTTP Basic, the key as user name and no password.

    Raises:
        UsageError: If the key is empty or could not stand in a header. The message never holds it.
    """
    hint = "Copy the Event API key from Blueshift: Account settings, API keys."
    if not key:
        raise UsageError("the API key is empty", hint=hint, code="key_invalid")
    if not key.isascii() or not key.isprintable() or " " in key or ":" in key:
        what = "the API key holds a blank, a colon, a line break or a letter beyond ASCII"
        raise UsageError(what, hint=hint, code="key_invalid")
    return "Basic " + base64.b64encode(f"{key}:".encode()).decode()


def redacted(url: str) -> str:
    """Scheme, host and port of a URL from elsewhere, for messages.

    Everything that may hold a secret is left out: user, password, path and query. Total: any text
    gives an answer.
    """
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        return "an unreadable address"
    if not host:
        return "the same host"
    scheme = f"{parts.scheme}://" if parts.scheme else ""
    text = scheme + (f"[{host}]" if ":" in host else host) + (f":{port}" if port else "")
    return text if text.isascii() and text.isprintable() else "an unreadable address"


def _refusal(why: str, *, hint: str = "") -> UsageError:
    hint = hint or "Use --region us, --region eu, or --url https://HOST (http on 127.0.0.1 only)."
    return UsageError(f"the address of the API {why}", hint=hint, code="address_invalid")


def _is_host(host: str, *, bracketed: bool) -> bool:
    if bracketed:
        return _address(host, ipaddress.IPv6Address)
    return _address(host, ipaddress.IPv4Address) or _NAME.match(host) is not None


def _address(host: str, kind: type[ipaddress.IPv4Address] | type[ipaddress.IPv6Address]) -> bool:
    try:
        return kind(host) is not None and "%" not in host
    except ValueError:
        return False


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
