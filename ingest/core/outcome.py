"""What each answer means, and what to do about it.

The rules, in the order in which they are asked:

1. No answer. The request was surely not seen (name, connection, certificate, proxy): try again,
   no doubt. Or it may have been seen: the outcome is unknown. A certificate that does not hold and
   a proxy that wants a password will not mend themselves: stop.
2. An answer that was not read to its end is unknown, whatever its status; after a 429 all wait
   nevertheless.
3. 200 counts as delivered only if the body is a JSON object whose `status`, lower-cased, is `ok`
   and which holds no errors. With errors, or with any other status text, it is an invalid request,
   as 400 is. Any other 200 (HTML, empty, not JSON, no status) did not come from this API as far as
   we know: unknown. So is every other 2xx: the API documents none.
4. All other statuses are in `MEANINGS`; a 4xx that is not listed says that the request is invalid,
   a 5xx leaves the outcome unknown.

An unknown outcome is tried again with the same event_uuids, in a budget of time, then parked: never
delivered, never refused. A 409 after it says that the events are there: a single one is delivered,
a batch goes again singly. Waits use full jitter: `jitter * min(cap_s, base_s * 2 ** (attempt - 1))`
seconds, and are never below a Retry-After (as far as `retry_after_cap_s`).
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from enum import StrEnum
from typing import assert_never

from ingest.core.address import redacted
from ingest.core.words import escaped, object_of, words_of

_OK = 200
_TOO_FAST = 429
_CONFLICT = 409
_BROKEN = 500
_BUSY = frozenset({502, 503, 504})  # whatever was sent


class Failure(StrEnum):
    """How an attempt ended without a whole answer."""

    DNS = "dns"
    REFUSED = "refused"
    UNREACHABLE = "unreachable"
    CONNECT_TIMEOUT = "connect_timeout"
    TLS = "tls"
    CERTIFICATE = "certificate"
    PROXY = "proxy"
    PROXY_AUTH = "proxy_auth"
    DESCRIPTORS = "descriptors"
    WRITE = "write"
    WRITE_TIMEOUT = "write_timeout"
    READ_TIMEOUT = "read_timeout"
    DEADLINE = "deadline"
    RESET = "reset"
    DISCONNECTED = "disconnected"
    PROTOCOL = "protocol"
    BODY_TOO_LARGE = "body_too_large"

    @property
    def seen(self) -> bool:
        """Whether the server may have seen the request."""
        return self not in _UNSEEN


_UNSEEN = frozenset(
    {
        Failure.DNS,
        Failure.REFUSED,
        Failure.UNREACHABLE,
        Failure.CONNECT_TIMEOUT,
        Failure.TLS,
        Failure.CERTIFICATE,
        Failure.PROXY,
        Failure.PROXY_AUTH,
        Failure.DESCRIPTORS,
    }
)


class Meaning(StrEnum):
    """What an answer says about the events of its request."""

    DELIVERED = "delivered"
    INVALID = "invalid"
    TOO_LARGE = "too_large"
    CREDENTIALS = "credentials"
    ADDRESS = "address"
    TOO_FAST = "too_fast"
    CONFLICT = "conflict"
    LATER = "later"  # surely not taken; try again
    UNKNOWN = "unknown"  # taken or not: nobody knows


# Contract: the table of responses; the rest is this project's reading of RFC 9110. Not listed:
# 2xx unknown, 3xx address, other 4xx invalid, 5xx and anything else unknown.
MEANINGS = {
    200: Meaning.DELIVERED,  # if its body says so: `_judge_ok`
    400: Meaning.INVALID,
    401: Meaning.CREDENTIALS,
    402: Meaning.CREDENTIALS,  # the account, not the events
    403: Meaning.CREDENTIALS,
    404: Meaning.ADDRESS,
    405: Meaning.ADDRESS,
    406: Meaning.ADDRESS,  # not this API: it takes and gives JSON
    407: Meaning.ADDRESS,  # a proxy wants credentials
    408: Meaning.LATER,
    409: Meaning.CONFLICT,
    410: Meaning.ADDRESS,
    411: Meaning.ADDRESS,
    413: Meaning.TOO_LARGE,
    414: Meaning.ADDRESS,
    415: Meaning.ADDRESS,
    421: Meaning.ADDRESS,
    422: Meaning.INVALID,
    423: Meaning.LATER,
    425: Meaning.LATER,
    426: Meaning.ADDRESS,
    429: Meaning.TOO_FAST,
    431: Meaning.ADDRESS,
    451: Meaning.ADDRESS,
}

_BY_HUNDRED = {
    1: Meaning.ADDRESS,
    2: Meaning.UNKNOWN,
    3: Meaning.ADDRESS,
    4: Meaning.INVALID,
}

_PERMANENT = {
    Failure.CERTIFICATE: Meaning.ADDRESS,
    Failure.PROXY_AUTH: Meaning.ADDRESS,
}


@dataclass(frozen=True, slots=True)
class Reply:
    """What one attempt brought.

    Args:
        status: The HTTP status; None where no answer began.
        failure: Why the answer is missing or not whole; None for a whole one.
        body: The bytes of the answer that were read.
        complete: The answer was read to its end.
        retry_after: The Retry-After header as it came.
        request_id: The x-request-id header as it came.
        location: The Location header as it came.
        detail: What failed, in the words of the transport, without secrets.
    """

    status: int | None
    failure: Failure | None = None
    body: bytes = b""
    complete: bool = True
    retry_after: str | None = None
    request_id: str | None = None
    location: str | None = None
    detail: str = ""

    def __post_init__(self) -> None:
        if self.complete != (self.failure is None) or (self.complete and self.status is None):
            raise ValueError("an answer is whole exactly when nothing failed and it has a status")


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How long and how often to try again.

    Args:
        base_s: Ceiling of the first wait, in seconds (the contract's backoff: 1, 2, 4, 8 s).
        cap_s: Ceiling of any wait that the server did not ask for.
        budget_s: Seconds from a batch's first attempt, after which it is not tried again. For the
            first batch of a run a shorter one fails fast.
        hold_budget_s: The same while the server answers 429, which is no fault of the batch.
        retry_after_cap_s: A longer Retry-After is cut to this.
    """

    base_s: float = 1.0
    cap_s: float = 30.0
    budget_s: float = 600.0
    hold_budget_s: float = 3600.0
    retry_after_cap_s: float = 300.0


class Act(StrEnum):
    """What becomes of the events of an attempt."""

    DELIVERED = "delivered"
    REFUSED = "refused"
    NARROW = "narrow"  # each event again, singly
    HALVE = "halve"
    RETRY = "retry"
    HOLD_ALL = "hold_all"  # nobody sends for `wait_s`; then try again
    PARK = "park"  # unsent, for a later run
    STOP = "stop"  # unsent, and the run ends


class Stop(StrEnum):
    """Why a run ends on an answer."""

    CREDENTIALS = "credentials"
    ADDRESS = "address"


@dataclass(frozen=True, slots=True)
class Decision:
    """What to do after one attempt.

    Args:
        act: The step.
        doubt: The API may have taken some of the events although the answer does not say so.
        note: One line for a person; empty where there is nothing to say.
        wait_s: Seconds to wait first; 0 unless `act` is RETRY or HOLD_ALL.
        stop: Why the run ends; None unless `act` is STOP.
        message: The server's words on a refusal, escaped and capped; for reports.
        blames: On PARK: the server answered, and its answer speaks of these events rather than of
            its own state.
    """

    act: Act
    doubt: bool = False
    note: str = ""
    wait_s: float = 0.0
    stop: Stop | None = None
    message: str = ""
    blames: bool = False

    def __post_init__(self) -> None:
        if (self.act is Act.STOP) != (self.stop is not None):
            raise ValueError("a run ends for a reason, and only then has one")


def decide(  # noqa: C901, PLR0911 - one line for each meaning: read it as a table
    reply: Reply,
    *,
    events: int,
    attempt: int,
    waited_s: float,
    policy: RetryPolicy,
    jitter: float,
    after_unknown: bool,
    now_wall_s: float,
    queued_s: float = 0.0,
) -> Decision:
    """What to do after an attempt. Total: every reply has a decision.

    Args:
        reply: What came back.
        events: Events in the request, at least 1.
        attempt: Counted from 1 for this batch.
        waited_s: Monotonic seconds since the batch's first attempt began.
        queued_s: Of these, seconds in which the account's limit kept it waiting: no fault of the
            batch, they count against `hold_budget_s` only.
        policy: Waits and budgets.
        jitter: A random number in [0, 1).
        after_unknown: An earlier attempt with these events had `doubt`.
        now_wall_s: Seconds since 1970, to read a Retry-After that is a date.
    """
    meaning = meaning_of(reply)
    note = describe(reply, meaning=meaning, events=events)
    asked_s = retry_after_s(reply.retry_after, now_wall_s=now_wall_s)
    backoff = _Backoff(
        policy,
        attempt=attempt,
        waited_s=waited_s,
        queued_s=queued_s,
        jitter=jitter,
        asked_s=asked_s,
        blames=_blames(reply),
    )
    lost = not reply.complete and _may_be_taken(reply)
    match meaning:
        case Meaning.DELIVERED:
            return Decision(Act.DELIVERED, note=_count_note(reply.body, events=events))
        case Meaning.INVALID if events > 1:
            return Decision(Act.NARROW, doubt=True, note=note)
        case Meaning.TOO_LARGE if events > 1:
            return Decision(Act.HALVE, note=note)
        case Meaning.INVALID | Meaning.TOO_LARGE:
            return Decision(Act.REFUSED, note=note, message=words_of(reply.body))
        case Meaning.CREDENTIALS:
            return Decision(Act.STOP, note=note, stop=Stop.CREDENTIALS)
        case Meaning.ADDRESS:
            return Decision(Act.STOP, note=note, stop=Stop.ADDRESS)
        case Meaning.TOO_FAST:
            return backoff.hold(note=note, doubt=lost)
        case Meaning.CONFLICT if events == 1 and after_unknown:
            return Decision(Act.DELIVERED, doubt=True, note=note)
        case Meaning.CONFLICT if after_unknown:  # some were taken: each one's answer tells which
            return Decision(Act.NARROW, doubt=True, note=note)
        case Meaning.CONFLICT | Meaning.LATER:
            return backoff.again(note=note, doubt=False)
        case Meaning.UNKNOWN:
            return backoff.again(note=note, doubt=True)
    assert_never(meaning)  # pragma: no cover - mypy proves it


def meaning_of(reply: Reply) -> Meaning:
    """What a reply says about the events of its request. Total."""
    if reply.failure is not None:
        return _meaning_of_failure(reply.failure, reply.status)
    status = reply.status or 0
    meaning = MEANINGS.get(status) or _BY_HUNDRED.get(status // 100, Meaning.UNKNOWN)
    return _judge_ok(reply.body) if status == _OK else meaning


def _meaning_of_failure(failure: Failure, status: int | None) -> Meaning:
    if status == _TOO_FAST:
        return Meaning.TOO_FAST
    if failure.seen:
        return Meaning.UNKNOWN
    return _PERMANENT.get(failure, Meaning.LATER)


def _may_be_taken(reply: Reply) -> bool:
    return reply.failure is not None and reply.failure.seen


def _blames(reply: Reply) -> bool:
    status = reply.status or 0
    return reply.complete and (status == _CONFLICT or (status >= _BROKEN and status not in _BUSY))


def _judge_ok(body: bytes) -> Meaning:
    """What the body of a 200 says (rule 3)."""
    answer = object_of(body)
    if answer is None:
        return Meaning.UNKNOWN
    if answer.get("errors") or answer.get("error"):
        return Meaning.INVALID
    status = answer.get("status")
    if not isinstance(status, str):
        return Meaning.UNKNOWN
    return Meaning.DELIVERED if status.strip().lower() == "ok" else Meaning.INVALID


def _count_note(body: bytes, *, events: int) -> str:
    """A warning where the API counted other than we did; its own example does (contract)."""
    count = (object_of(body) or {}).get("count", events)
    if type(count) is not int or count == events:
        return ""
    return f"the API counted {count} of {events} events"


@dataclass(frozen=True, slots=True)
class _Backoff:
    """The wait before another attempt, or the end of the budget."""

    policy: RetryPolicy
    attempt: int
    waited_s: float
    queued_s: float
    jitter: float
    asked_s: float | None
    blames: bool

    def again(self, *, note: str, doubt: bool) -> Decision:
        wait_s = max(self.jitter * self._ceiling_s, self._floor_s)
        if self.waited_s - self.queued_s + wait_s > self.policy.budget_s:
            return Decision(Act.PARK, doubt=doubt, note=note, blames=self.blames)
        return Decision(Act.RETRY, doubt=doubt, note=note, wait_s=wait_s)

    def hold(self, *, note: str, doubt: bool) -> Decision:
        # At least half of the ceiling: one hold speaks for all workers, and one near 0 holds none.
        wait_s = max((0.5 + self.jitter / 2) * self._ceiling_s, self._floor_s)
        if self.waited_s + wait_s > self.policy.hold_budget_s:
            return Decision(Act.PARK, doubt=doubt, note=note)
        return Decision(Act.HOLD_ALL, doubt=doubt, note=note, wait_s=wait_s)

    @property
    def _ceiling_s(self) -> float:
        doublings = min(self.attempt - 1, 62)  # beyond any cap, and far from overflow
        return min(self.policy.cap_s, self.policy.base_s * 2.0**doublings)

    @property
    def _floor_s(self) -> float:
        return min(self.asked_s or 0.0, self.policy.retry_after_cap_s)


def retry_after_s(text: str | None, *, now_wall_s: float) -> float | None:
    """Seconds that a Retry-After asks for; None where it asks for nothing that can be used.

    Whole seconds or an HTTP date. Nothing, garbage, zero, a negative number and a date in the past
    all give None: the usual backoff then holds. Total, and not capped.
    """
    text = (text or "").strip()
    if text.isascii() and text.isdigit():
        seconds = float(text[:18])  # more digits only say "absurd" again
    else:
        seconds = _until(text, now_wall_s=now_wall_s)
    return seconds if seconds > 0 else None


def _until(text: str, *, now_wall_s: float) -> float:
    try:
        when = parsedate_to_datetime(text)
        aware = when if when.tzinfo else when.replace(tzinfo=UTC)  # HTTP dates are in UTC
        return (aware - datetime.fromtimestamp(now_wall_s, tz=UTC)).total_seconds()
    except (ValueError, TypeError, IndexError, OverflowError, OSError):
        return 0.0


def describe(  # noqa: PLR0911 - one line for each meaning
    reply: Reply, *, meaning: Meaning, events: int
) -> str:
    """One line on what came back, for a person: no secrets, no control characters."""
    if reply.failure is not None:
        return _describe_failure(reply)
    said = words_of(reply.body)
    quoted = f": {said}" if said else ""
    match meaning:
        case Meaning.DELIVERED:
            return "accepted"
        case Meaning.ADDRESS if (reply.status or 0) < 400:  # noqa: PLR2004 - 1xx and 3xx
            return (
                f"{reply.status}: the API sends us to {_target(reply)}; redirects are not followed"
            )
        case Meaning.UNKNOWN if (reply.status or 0) // 100 == 5:  # noqa: PLR2004 - a server error
            return f"{reply.status}{_with_id(reply)}{_advice(reply)}{quoted}"
        case Meaning.UNKNOWN:
            return f"{reply.status} without the API's ok ({_kind(reply.body)}){quoted}"
        case Meaning.INVALID if events > 1:
            return f"{reply.status} for a batch of {events}{quoted}"
        case _:
            return f"{reply.status}{quoted}"


def _describe_failure(reply: Reply) -> str:
    begun = f" in the answer {reply.status}" if reply.status is not None else ""
    detail = f": {escaped(reply.detail)}" if reply.detail else ""
    return f"{str(reply.failure).replace('_', ' ')}{begun}{_with_id(reply)}{detail}"


def _with_id(reply: Reply) -> str:
    return f" (request id {escaped(reply.request_id, cap=100)})" if reply.request_id else ""


def _advice(reply: Reply) -> str:
    # The seed page's own advice for a 500.
    return ", contact Blueshift if it goes on" if reply.status == 500 else ""  # noqa: PLR2004


def _target(reply: Reply) -> str:
    return redacted(reply.location) if reply.location else "nowhere"


def _kind(body: bytes) -> str:
    if not body.strip():
        return "an empty body"
    if body.lstrip()[:1] == b"<":
        return "a web page"
    return "not JSON" if object_of(body) is None else "no status"
