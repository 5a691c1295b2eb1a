"""A sample of what the API says that it processed: GET /api/v1/event/history.

Its limits (contract: P14): the 50 newest successful events of one name, whoever sent them. So an
event that is there was processed; one that is not there may be older than those, not processed
yet, or lost. Nothing follows from its absence.
"""

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, Final

import orjson

from ingest.config import DEFAULT_RATE, SANDBOX_ORIGIN, SANDBOX_RATE, RunConfig
from ingest.core.address import Address, Endpoint, address_of
from ingest.core.exported import key_of
from ingest.core.load import Destination
from ingest.core.outcome import Reply
from ingest.edges.client import Client, route_to
from ingest.edges.limit import SharedLimit, limit_file
from ingest.errors import CredentialsError, StoppedError, UsageError

PATH: Final = "/api/v1/event/history"
MOST: Final = 50
"""Events of a name that the API gives (contract: P14)."""
NAMES: Final = 20
"""Names that are asked for: those with the most records."""
_MOST_BYTES: Final = 64 << 20
_TRIES: Final = 3
_OK, _UNAUTHORIZED, _FORBIDDEN = 200, 401, 403
_TOO_MANY, _SERVER = 429, 500


@dataclass(frozen=True, slots=True)
class Shown:
    """What history shows of one event name.

    Args:
        name: Of the event.
        keys: Of its newest events, by `key_of`.
    """

    name: str
    keys: frozenset[str]


def history_of(
    config: RunConfig, destination: Destination, names: Sequence[str], *, limit: int, key: str
) -> list[Shown]:
    """Ask for the newest events of some names, at the account's rate.

    Args:
        config: For state and rate.
        destination: Whom to ask.
        names: Of events; the first `NAMES` are asked for.
        limit: Events of each, 1 to 50.
        key: The API key; any for the sandbox.

    Raises:
        CredentialsError: The key was refused.
        UsageError: The address has no history.
        StoppedError: The API does not answer, or not in its own form.
    """
    with _address(config, destination) as address:
        return asyncio.run(_ask_all(config, destination, address, names[:NAMES], limit, key))


@contextmanager
def _address(config: RunConfig, destination: Destination) -> Iterator[Address]:
    if destination.origin != SANDBOX_ORIGIN:
        yield address_of(destination.origin)
        return
    # Only where it is asked for.
    from ingest.sandbox import BackgroundSandbox, SandboxError, SandboxOptions  # noqa: PLC0415

    options = SandboxOptions.for_one_run(
        config.state / "sandbox.sqlite3", identity="strict", identity_keys=()
    )
    try:
        with BackgroundSandbox(replace(options, rate=0.0)) as background:
            yield address_of(background.url)
    except SandboxError as error:
        raise UsageError(error.message, hint=error.hint, code="sandbox_failed") from error


async def _ask_all(
    config: RunConfig,
    destination: Destination,
    address: Address,
    names: Sequence[str],
    limit: int,
    key: str,
) -> list[Shown]:
    sandbox = destination.origin == SANDBOX_ORIGIN
    path = limit_file(
        config.shared / "limits", origin=destination.origin, account=destination.account
    )
    route = route_to(address, Endpoint.EVENT, key=key, max_body_bytes=_MOST_BYTES)
    rate = SANDBOX_RATE if sandbox else config.rate or DEFAULT_RATE
    with SharedLimit(path, rate=rate) as pace:
        async with Client(route) as client:
            return [await _ask(client, pace, name, limit) for name in names]


async def _ask(client: Client, pace: SharedLimit, name: str, limit: int) -> Shown:
    attempt = 0
    while True:
        attempt += 1
        await _turn(pace)
        reply = await client.ask(PATH, {"event_name": name, "limit": str(limit)})
        if reply.complete and reply.status == _OK:
            return Shown(name, frozenset(_keys(reply, name)))
        passing = reply.status is None or reply.status == _TOO_MANY or reply.status >= _SERVER
        if not passing or attempt == _TRIES:
            raise _refused(reply)
        await asyncio.sleep(2.0 ** (attempt - 1))


async def _turn(pace: SharedLimit) -> None:
    """Wait until the account's limit lets a request go."""
    while wait_s := pace.reserve():  # noqa: ASYNC110 - the limit is a file that says how long
        await asyncio.sleep(wait_s)


def _keys(reply: Reply, name: str) -> Iterator[str]:
    try:
        answer: Any = orjson.loads(reply.body)
        rows = answer[name] if name in answer else next(iter(answer.values()), [])
        for row in rows:
            uuid = row.get("event_uuid")
            if isinstance(uuid, str):
                yield key_of(uuid)
    except (orjson.JSONDecodeError, TypeError, AttributeError, KeyError) as error:
        raise StoppedError(
            f"the answer to GET {PATH} has another form than the API's",
            hint="check the address; --errors PATH needs no request",
            code="history_unreadable",
        ) from error


def _refused(reply: Reply) -> UsageError | CredentialsError | StoppedError:
    what = f"GET {PATH} was answered {reply.status or reply.failure}"
    if reply.status in {_UNAUTHORIZED, _FORBIDDEN}:
        return CredentialsError(
            what,
            hint="set INGEST_API_KEY to the Event API key of the account of this run",
            code="history_denied",
        )
    if reply.status is not None and reply.status < _SERVER and reply.status != _TOO_MANY:
        return UsageError(what, hint="--errors PATH needs no request", code="history_refused")
    return StoppedError(what, hint="run the same command again later", code="history_unreachable")
