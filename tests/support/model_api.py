"""A model of the API and the network before it: what came, when, and what the client was told.

It keeps to what a client may rely on: an answer that says "not taken" (a 4xx read whole, a 429) is
true. Everything else lies as networks do: requests are lost, come late or twice, answers are lost,
cut off or come from somebody else.
"""

import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from random import Random

from ingest.core.outcome import MEANINGS, Failure, Meaning, Reply

OK = b'{"status":"ok"}'
ERRORS = b'{"errors":[{"event":"is invalid"}]}'
UNSEEN = [failure for failure in Failure if not failure.seen]
LOST = [failure for failure in Failure if failure.seen]
STOPS = {Failure.CERTIFICATE, Failure.PROXY_AUTH}
SLOW = {
    Failure.READ_TIMEOUT: 30.0, Failure.DEADLINE: 60.0, Failure.WRITE_TIMEOUT: 30.0,
    Failure.CONNECT_TIMEOUT: 10.0,
}  # fmt: skip
ODD_BODIES = [b"", b"<html>sign in</html>", b"not json", b"[]", b'{"status":7}', b"[" * 3000]
RETRY_AFTER = [
    None,
    "0",
    "1",
    "3",
    "20",
    "-5",
    "1000000000",
    "soon",
    "Mon, 01 Jan 1990 00:00:00 GMT",
]


@dataclass(frozen=True, slots=True)
class Fate:
    """What happens to one request.

    Args:
        unseen: It never leaves; `stamped`: although it had its turn.
        stamped: See `unseen`.
        arrivals: Seconds after which it reaches the server, once for each time.
        failure: How the client sees its end; None: it reads an answer to its end.
        begun: The status of the answer that breaks off; None: none began.
        answers_s: Seconds from leaving to the end, as the client sees it.
        reply: What the server says by a fault of its own; None: what it should.
        stored: A fault of the server's own comes after it took the events.
    """

    unseen: Failure | None = None
    stamped: bool = False
    arrivals: tuple[float, ...] = (0.01,)
    failure: Failure | None = None
    begun: int | None = None
    answers_s: float = 0.03
    reply: Reply | None = None
    stored: bool = False


def doubtful(status: int) -> bool:
    """Whether an answer with this status may come from a server that took the events."""
    if status == 200:
        return False
    kind = {2: Meaning.UNKNOWN, 4: Meaning.INVALID, 5: Meaning.UNKNOWN}.get(status // 100)
    return MEANINGS.get(status, kind) is Meaning.UNKNOWN


def every_fate() -> list[Fate]:
    """One fate for each way in which an attempt can end."""
    fates = [Fate()]
    fates += [
        Fate(unseen=failure, stamped=stamped) for failure in UNSEEN for stamped in (False, True)
    ]
    for failure in LOST:
        after_s = SLOW.get(failure, 0.05)
        for arrivals in ((), (0.01,), (after_s + 2.0,), (0.01, after_s + 40.0)):
            for begun in (None, 200, 429, 500):
                if begun != 429 or not arrivals:
                    fates.append(
                        Fate(failure=failure, begun=begun, arrivals=arrivals, answers_s=after_s)
                    )
    for status in (*MEANINGS, 201, 202, 204, 302, 307, 418, 500, 502, 503, 504, 599):
        for stored in (False, True) if doubtful(status) else (False,):
            if status != 200:
                fates.append(Fate(reply=Reply(status, body=b"{}"), stored=stored))
    fates += [
        Fate(reply=Reply(200, body=body), stored=stored)
        for body in ODD_BODIES
        for stored in (False, True)
    ]
    fates += [Fate(reply=Reply(429, retry_after=text)) for text in RETRY_AFTER]
    fates.append(Fate(reply=Reply(200, body=ERRORS)))
    return fates


@dataclass(slots=True)
class Nature:
    """What is so in one world.

    Args:
        invalid: Events that are refused.
        poison: Events on which the server fails.
        heavy: Events that are too large for it.
        most: Events that it takes at once; more are too large.
        partial: A refused batch leaves its good events behind.
        conflicts: What was taken already is answered with 409: `never`, `single` or `batch`.
        trouble: Share of requests that meet some fault.
        storms: (begin, end, status): times at which every answer is this one; 0: nothing answers.
        refusal: The status of a refusal.
    """

    invalid: frozenset[int] = frozenset()
    poison: frozenset[int] = frozenset()
    heavy: frozenset[int] = frozenset()
    most: int = 1000
    partial: bool = False
    conflicts: str = "never"
    trouble: float = 0.0
    storms: tuple[tuple[float, float, int], ...] = ()
    refusal: int = 400


@dataclass(slots=True)
class ModelApi:
    """The server: takes requests, remembers everything.

    Args:
        nature: What is so.
        chance: Where faults are drawn from.
        script: Fates of the next requests, before any is drawn.
        taken: How often each event was taken.
        requests: The events of each request that arrived.
    """

    nature: Nature
    chance: Random
    script: list[Fate] = field(default_factory=list)
    taken: Counter[int] = field(default_factory=Counter)
    requests: list[tuple[int, ...]] = field(default_factory=list)

    def fate(self, *, now_s: float) -> Fate:
        """Draw what happens to the next request."""
        if self.script:
            return self.script.pop(0)
        chance = self.chance
        for begin_s, end_s, status in self.nature.storms:
            if begin_s <= now_s < end_s:
                return self._stormy(status)
        answers_s = chance.choice([0.001, 0.02, 0.05, 0.3]) * (0.5 + chance.random())
        if chance.random() >= self.nature.trouble:
            return Fate(arrivals=(answers_s / 2,), answers_s=answers_s)
        return chance.choice(_DRAWS)(chance)

    def _stormy(self, status: int) -> Fate:
        if not status:
            return Fate(unseen=Failure.REFUSED)
        return Fate(reply=Reply(status, body=b"{}", retry_after=self.chance.choice(RETRY_AFTER)))

    def arrive(self, events: Sequence[int], fate: Fate) -> Reply:
        """Take a request, and answer it."""
        self.requests.append(tuple(events))
        if fate.reply is None or (fate.reply.status == 409 and not self._knows(events)):
            return self._judge(events)
        if fate.stored:
            self._judge(events)
        return fate.reply

    def _knows(self, events: Sequence[int]) -> bool:
        """Whether all of them were taken: else a 409 would be a lie."""
        return all(self.taken[event] for event in events)

    def _judge(self, events: Sequence[int]) -> Reply:
        nature = self.nature
        known = self._knows(events)
        if len(events) > nature.most or nature.heavy.intersection(events):
            return Reply(413)
        if nature.poison.intersection(events):
            return Reply(500, body=b"{}", request_id="poison")
        if known and (
            nature.conflicts == "batch" or (nature.conflicts == "single" and len(events) == 1)
        ):
            return Reply(409, body=b"{}")
        bad = nature.invalid.intersection(events)
        if not bad or (nature.partial and len(events) > 1):
            self.taken.update(event for event in events if event not in bad)
        return Reply(nature.refusal, body=ERRORS) if bad else Reply(200, body=OK)

    def told(self, fate: Fate, answer: Reply | None) -> Reply:
        """What the client reads of it."""
        if fate.unseen is not None:
            return Reply(None, fate.unseen, complete=False)
        if fate.failure is not None:
            return Reply(fate.begun, fate.failure, complete=False)
        assert answer is not None
        return answer


def _unseen(chance: Random) -> Fate:
    failure = chance.choice([one for one in UNSEEN if one not in STOPS])
    return Fate(unseen=failure, stamped=chance.random() < 0.3)


def _lost(chance: Random) -> Fate:
    failure = chance.choice(LOST)
    after_s = SLOW.get(failure, chance.choice([0.01, 0.5, 5.0]))
    begun = chance.choice([None, None, 200, 500, 503])
    late_s = after_s + chance.choice([0.5, 30.0, 300.0]) * chance.random()
    arrivals = chance.choice([(), (0.005,), (late_s,), (0.005, late_s)])
    return Fate(failure=failure, begun=begun, arrivals=arrivals, answers_s=after_s)


def _server_error(chance: Random) -> Fate:
    status = chance.choice([500, 502, 503, 504, 202, 204, 299])
    return Fate(reply=Reply(status, body=b"{}"), stored=chance.random() < 0.5)


def _odd_body(chance: Random) -> Fate:
    return Fate(reply=Reply(200, body=chance.choice(ODD_BODIES)), stored=chance.random() < 0.5)


def _not_yet(chance: Random) -> Fate:
    return Fate(reply=Reply(chance.choice([408, 409, 423, 425]), body=b"{}"))


def _too_fast(chance: Random) -> Fate:
    return Fate(reply=Reply(429, retry_after=chance.choice(RETRY_AFTER)))


def _ending(chance: Random) -> Fate:
    """One in fifty: an answer that ends a run."""
    if chance.random() < 0.9:
        return _server_error(chance)
    status = chance.choice([401, 403, 404, 405, 302, 407])
    return Fate(reply=Reply(status, body=b"{}", location="https://elsewhere.example/"))


_DRAWS: list[Callable[[Random], Fate]] = [
    _unseen, _lost, _lost, _lost, _server_error, _odd_body, _not_yet, _too_fast, _ending,
]  # fmt: skip


def events_of(body: bytes) -> list[int]:
    """The numbers of the events in a request."""
    return [event["n"] for event in json.loads(body)["events"]]
