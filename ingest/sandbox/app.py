"""The routes of the event API, and what each request is answered.

A post goes through: key (401, 403), rate (429), fault (see `faults`), size (413), JSON (400), rules
(400 or 422), store, 200. Its row is committed before the first byte of its answer goes out.
"""

import base64
import binascii
import sqlite3
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import orjson
from aiohttp import web

from ingest.sandbox import delivery
from ingest.sandbox.body import Body, read_bulk, read_single
from ingest.sandbox.delivery import Answer
from ingest.sandbox.errors import SandboxError
from ingest.sandbox.faults import STORES, Fault, Faults, Kind
from ingest.sandbox.judge import Judge
from ingest.sandbox.limit import Limit
from ingest.sandbox.options import SandboxOptions
from ingest.sandbox.store import Arrival, Received, Store

# API limits: 30 events or 1 MB per payload (bulk endpoint's reference page); 1 MB is read as 10^6.
MAX_EVENTS = 30
MAX_BYTES = 1_000_000
MAX_HISTORY = 50
EVENT, BULK = "/api/v1/event", "/api/v1/bulkevents"
DEBUG, HISTORY = "/api/v1/event/debug", "/api/v1/event/history"
STATS, FAULTS = "/_sandbox/stats", "/_sandbox/faults"
METHODS = {EVENT: "POST", BULK: "POST", DEBUG: "GET", HISTORY: "GET", STATS: "GET", FAULTS: "POST"}
# A page in a browser can name 127.0.0.1 by a name of its own; nobody else has a reason to.
HOSTS = frozenset({"127.0.0.1", "localhost"})


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a post came to: its answer, and what is kept of it."""

    answer: Answer
    events: int = 0
    received: tuple[Received, ...] = ()


def _json(status: int, value: object, **headers: str) -> Answer:
    return Answer(status, orjson.dumps(value), headers)


def _refused(status: int, complaints: Sequence[Mapping[str, str]]) -> Answer:
    return _json(status, {"errors": list(complaints)})


class Api:
    """One sandbox's state: rules, store, limit and faults.

    Args:
        options: As it was started.
        store: Where everything that comes in goes.
    """

    def __init__(self, options: SandboxOptions, store: Store) -> None:
        self._options = options
        self._store = store
        self._judge = Judge(
            options.schemas, identity=options.identity, identity_keys=options.identity_keys
        )
        self._limit = Limit(options.rate, slack_s=options.slack_s)
        self._faults = Faults(options.faults, seed=options.seed)

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request."""
        arrival = Arrival(
            method=request.method,
            path=request.path,
            request_id=str(uuid.uuid4()),
            mono_ns=time.monotonic_ns(),
            unix_s=time.time(),
        )
        try:
            if arrival.path in {EVENT, BULK} and arrival.method == "POST" and _is_local(request):
                return await self._post(request, arrival)
            answer = await self._other(request, arrival)
        except sqlite3.Error as error:
            answer = _json(500, {"message": f"the sandbox's store failed: {error}"})
        return delivery.plain(answer.stamped(arrival.request_id, arrival.mono_ns))

    async def _post(self, request: web.BaseRequest, arrival: Arrival) -> web.StreamResponse:
        denied = self._denied(request) or self._too_fast(arrival)
        if denied:
            raw = await _read(request)
            self._store.record(arrival, status=denied.status, size=len(raw or b""))
            return delivery.plain(denied.stamped(arrival.request_id, arrival.mono_ns))
        fault, delay_ms = self._faults.draw()
        unread = fault is not None and fault.kind is Kind.RESET
        raw = b"" if unread else await _read(request)
        outcome = Outcome(Answer(200)) if unread else self._take(arrival.path, raw)
        if fault:
            outcome = _struck(outcome, fault)
        said = fault.spec if fault else f"delay {delay_ms} ms" if delay_ms else None
        answered = not fault or fault.kind not in delivery.UNANSWERED
        self._store.record(
            arrival,
            status=outcome.answer.status if answered else None,
            size=len(raw) if raw is not None else request.content_length or MAX_BYTES + 1,
            events=outcome.events,
            received=outcome.received,
            fault=said,
        )
        answer = outcome.answer.stamped(arrival.request_id, arrival.mono_ns)
        return await delivery.deliver(request, answer, fault=fault, delay_ms=delay_ms)

    def _denied(self, request: web.BaseRequest) -> Answer | None:
        """Refuse a wrong key; None: it is right."""
        key = _key(request.headers.get("Authorization", ""))
        if key and (self._options.key is None or key == self._options.key):
            return None
        if key and self._options.denial == 403:  # noqa: PLR2004 - HTTP status
            return _json(403, {"message": "Forbidden"})
        return _json(401, {"message": "Not authorized"})

    def _too_fast(self, arrival: Arrival) -> Answer | None:
        if self._limit.take(arrival.mono_ns / 1e9):
            return None
        after = self._options.retry_after
        headers = {} if after is None else {"Retry-After": after}
        return _json(429, {"message": "Rate limit exceeded"}, **headers)

    def _take(self, path: str, raw: bytes | None) -> Outcome:
        """Judge one body as the API would; `raw` is None where it is over the limit."""
        if raw is None:
            return Outcome(Answer(413))
        body = read_single(raw) if path == EVENT else read_bulk(raw)
        if body is None:
            return Outcome(_json(400, {"error": "bad_request"}))
        count = len(body.events)
        if count > MAX_EVENTS:
            return Outcome(Answer(413), count)
        if not count:
            return Outcome(_refused(400, [{"events": "can't be blank"}]))
        if self._judge.are_valid(body.events):
            return Outcome(_accepted(path, count), count, _received(body))
        return self._refuse(path, body)

    def _refuse(self, path: str, body: Body) -> Outcome:
        good = [index for index, one in enumerate(body.events) if self._judge.are_valid([one])]
        complaints = [
            said
            for index, event in enumerate(body.events)
            if index not in good
            for said in self._judge.complaints(event) or ({"event": "is invalid"},)
        ]
        count = len(body.events)
        if not (self._options.partial and path == BULK):
            return Outcome(_refused(self._options.invalid_status, complaints), count)
        taken = Body(
            tuple(body.events[index] for index in good), tuple(body.texts[index] for index in good)
        )
        answer = _json(200, {"status": "ok", "count": len(good), "errors": complaints})
        return Outcome(answer, count, _received(taken))

    async def _other(self, request: web.BaseRequest, arrival: Arrival) -> Answer:
        answer = await self._route(request, arrival)
        if not arrival.path.startswith("/_sandbox/"):
            self._store.record(arrival, status=answer.status)
        return answer

    async def _route(self, request: web.BaseRequest, arrival: Arrival) -> Answer:
        if not _is_local(request):
            return _json(421, {"message": "This sandbox answers to 127.0.0.1 only"})
        method = METHODS.get(arrival.path)
        if method is None:
            return _json(404, {"status": "404", "error": "Not Found"})
        if arrival.method != method:
            return _json(405, {"status": "405", "error": "Method Not Allowed"}, Allow=method)
        match arrival.path:
            case "/_sandbox/stats":
                return _json(200, {"format": 1, **self._store.counts()})
            case "/_sandbox/faults":
                return self._set_faults(await _read(request))
            case _:
                return self._denied(request) or self._look(request, arrival.path)

    def _look(self, request: web.BaseRequest, path: str) -> Answer:
        """Answer what was received: the newest of each name, or the history of one name."""
        if path == DEBUG:
            return _json(200, {row[0]: _row(*row[1:]) for row in self._store.latest()})
        name = request.query.get("event_name", "")
        limit = request.query.get("limit", str(MAX_HISTORY))
        if not name:
            return _refused(400, [{"event_name": "can't be blank"}])
        if not (limit.isascii() and limit.isdigit() and 1 <= int(limit[:9]) <= MAX_HISTORY):
            return _refused(400, [{"limit": f"must be 1 to {MAX_HISTORY}"}])
        rows = self._store.newest(name, limit=int(limit))
        return _json(200, {name: [_row(*row) for row in rows]})

    def _set_faults(self, raw: bytes | None) -> Answer:
        """Replace the faults in force: {"faults": ["503:5%"], "seed": 0}."""
        try:
            asked = orjson.loads(raw or b"")
            specs, seed = asked["faults"], asked.get("seed", self._options.seed)
            if not (isinstance(specs, list) and all(isinstance(one, str) for one in specs)):
                return _json(400, {"error": "faults is a list of texts"})
            self._faults = Faults(specs, seed=int(seed))
        except (ValueError, TypeError, KeyError) as error:
            return _json(400, {"error": f'not like {{"faults": ["503:5%"]}}: {error}'})
        except SandboxError as error:
            return _json(400, {"error": error.message})
        return _json(200, {"faults": list(self._faults.specs)})


def _struck(outcome: Outcome, fault: Fault) -> Outcome:
    """Give what a request comes to under a fault."""
    own = outcome.answer if fault.kind in STORES else delivery.faulty(fault)
    return replace(outcome, answer=own, received=outcome.received if fault.stored else ())


def _is_local(request: web.BaseRequest) -> bool:
    return request.headers.get("Host", "127.0.0.1").partition(":")[0] in HOSTS


def _key(authorization: str) -> str:
    """Give the user name of HTTP Basic whose password is empty; empty: there is none."""
    scheme, _, encoded = authorization.partition(" ")
    try:
        pair = base64.b64decode(encoded, validate=True).decode()
    except (binascii.Error, ValueError):
        return ""
    name, _, password = pair.partition(":")
    return name if scheme.lower() == "basic" and pair.endswith(":") and not password else ""


async def _read(request: web.BaseRequest) -> bytes | None:
    """Read the body; None: it is over the limit, and the rest is left unread."""
    if (request.content_length or 0) > MAX_BYTES:
        return None
    parts: list[bytes] = []
    size = 0
    async for part in request.content.iter_any():
        size += len(part)
        if size > MAX_BYTES:
            return None
        parts.append(part)
    return b"".join(parts)


def _accepted(path: str, count: int) -> Answer:
    return _json(200, {"status": "OK"} if path == EVENT else {"status": "ok", "count": count})


def _received(body: Body) -> tuple[Received, ...]:
    return tuple(
        _one(event, text)
        for event, text in zip(body.events, body.texts, strict=True)
        if isinstance(event, dict)
    )


def _one(event: dict[str, Any], text: str) -> Received:
    given = event.get("event_uuid")
    named = (
        given if isinstance(given, str) else "" if given is None else orjson.dumps(given).decode()
    )
    has_one = bool(named.strip())
    return Received(
        event_uuid=named if has_one else str(uuid.uuid4()),
        uuid_given=has_one,
        event=str(event["event"]),
        body=text,
    )


def _row(event_uuid: str, body: str, arrived_unix_s: float) -> dict[str, Any]:
    """Give an event as history shows it, with what the server adds."""
    arrived = datetime.fromtimestamp(arrived_unix_s, UTC).isoformat(timespec="milliseconds")
    stamp = arrived.replace("+00:00", "Z")
    event = orjson.loads(body)
    return {
        **event,
        "event_uuid": event_uuid,
        "timestamp": event.get("timestamp") or stamp,
        "_bsft_ts": stamp,
    }
