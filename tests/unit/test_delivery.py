"""The sending side of a load, against scripted senders and a real ledger."""

import asyncio
import json
import random
from uuid import UUID

import pytest

from ingest.core.batching import BULK
from ingest.core.gates import Allowance
from ingest.core.ledger import Counts, Progress
from ingest.core.load import ChunkState, Destination, Findings, Identity, Load, Stat, total
from ingest.core.model import Chunk, Position, Violation
from ingest.core.outcome import Failure, Reply, RetryPolicy
from ingest.edges.store import Store
from ingest.errors import CredentialsError, GateError, InterruptedRun, StoppedError, UsageError
from ingest.pipeline.delivery import Clock, Delivery, Terms, Traffic
from ingest.pipeline.payload import Payload, Prepared
from ingest.pipeline.recorder import Recorder
from ingest.pipeline.stop import Stop

OK = Reply(200, body=b'{"status":"ok"}')
INVALID = Reply(400, body=b'{"errors":[{"x":"bad"}]}')
LOAD = Load(
    0, Destination("o"), UUID(int=1), "", "p", Identity(1, "f", 1, b"", Stat(1, 1, 1, 1, 1, 1)),
    {}, "", {}, fence=1,
)  # fmt: skip


class Api:
    """A scripted API: `answer(events, attempts)` decides; what was taken is counted."""

    def __init__(self, answer):
        self.answer = answer
        self.taken = {}
        self.requests = []
        self.attempts = {}

    def connect(self):
        return Connection(self)


class Connection:
    """One connection to a scripted API."""

    def __init__(self, api):
        self.api = api

    async def send(self, body, *, permit=None):
        await permit()
        events = [event["n"] for event in json.loads(body)["events"]]
        self.api.requests.append(events)
        for event in events:
            self.api.attempts[event] = self.api.attempts.get(event, 0) + 1
        await asyncio.sleep(0)
        reply = self.api.answer(events, self.api.attempts[events[0]])
        if asyncio.iscoroutine(reply):
            reply = await reply
        if reply is OK:
            for event in events:
                self.api.taken[event] = self.api.taken.get(event, 0) + 1
        return reply

    async def aclose(self):
        pass


class Free:
    """No limit."""

    def __init__(self):
        self.held = []

    def peek(self):
        return 0.0

    reserve = peek

    def refused(self, *, sent_s, wait_s):
        self.held.append(wait_s)

    def succeeded(self):
        pass


class Ticking:
    """A clock on which each look is a second later, so that budgets end without waiting."""

    def __init__(self):
        self.now = 0.0

    def __call__(self):
        self.now += 1.0
        return self.now


def prepared(chunk_id, count, *, progress=None, first=0):
    """A chunk of events {"n": 0}, {"n": 1}, ..."""
    state = ChunkState(
        Chunk(
            chunk_id, Position(first, first, first + 1), Position(first + count, first + count, 1)
        ),
        progress or Progress(count),
        Findings(),
    )
    records = [n for n in range(count) if state.progress.pending >> n & 1]
    parts = [json.dumps({"n": first + n}).encode() for n in records]
    ends, at = [], -1
    for part in parts:
        at += len(part) + 1
        ends.append(at)
    facts = {"line": 1, "offset": 0, "length": 1, "event_uuid": "u", "cells": []}
    return Prepared(
        state, Payload(chunk_id, b",".join(parts), ends, records, lambda _: dict(facts))
    )


def deliver(store, api, chunks, *, concurrency=3, allowance=None, max_events=4, steps=None):
    """Run a delivery to its end; give the counts, the stop, and the states on record."""
    load = store.add_load(LOAD) if not store.loads() else store.claim(store.loads()[0])
    terms = Terms(
        wrapper=BULK,
        max_events=max_events,
        max_bytes=1_000_000,
        concurrency=concurrency,
        first_budget_s=1e9,
        policy=RetryPolicy(base_s=0.01, cap_s=0.01, budget_s=150.0),
        allowance=allowance or Allowance(),
        rate=float("inf"),
        refused=Violation("api_refused", (), "refused:", ""),
    )

    async def go():
        stop = Stop()
        recorder = Recorder(store, load, on_commit=lambda _: None)
        delivery = Delivery(
            terms,
            connect=api.connect,
            pacer=Free(),
            recorder=recorder,
            stop=stop,
            clock=Clock(Ticking(), lambda: 0.0, random.Random(1).random),
            traffic=Traffic(),
            tell=lambda _: None,
        )

        async def feed():
            for chunk in chunks:
                yield chunk

        if steps is not None:
            helper = asyncio.create_task(steps(stop, api))
        await delivery.run(feed())
        if steps is not None:
            await helper
        return stop

    stop = asyncio.run(go())
    states = store.chunks(load)
    return total(states), stop, states


@pytest.fixture
def store(tmp_path):
    """An empty ledger."""
    with Store(tmp_path) as opened:
        yield opened


def test_everything_is_delivered_once(store):
    """All events arrive, each in one request, and the ledger says so."""
    api = Api(lambda events, attempt: OK)

    counts, stop, _ = deliver(store, api, [prepared(0, 50), prepared(1, 7, first=50)])

    assert counts == Counts(read=57, delivered=57)
    assert api.taken == dict.fromkeys(range(57), 1)
    assert stop.error is None


def test_the_canary_goes_alone(store):
    """Nothing leaves before the first batch has its answer."""
    seen = []

    async def first_is_slow(events):
        await asyncio.sleep(0.02)
        seen.append(len(api.requests))
        return OK

    api = Api(lambda events, attempt: first_is_slow(events) if 0 in events else OK)

    deliver(store, api, [prepared(0, 50)])

    assert seen == [1]


def test_a_refused_batch_is_narrowed_by_singles(store):
    """Only the event that is wrong is refused; its neighbours arrive, marked as in doubt."""
    api = Api(lambda events, attempt: INVALID if 21 in events else OK)

    counts, stop, states = deliver(store, api, [prepared(0, 40)])

    assert counts == Counts(read=40, delivered=39, refused=1, in_doubt=4)
    assert states[0].progress.refused == 1 << 21
    assert stop.error is None
    assert max(api.taken.values()) == 1


def test_413_halves_down_to_the_event_that_is_too_large(store):
    """Halves are sent again; a single one that is too large is refused."""
    api = Api(lambda events, attempt: Reply(413) if 5 in events else OK)

    counts, _, states = deliver(store, api, [prepared(0, 12)])

    assert counts == Counts(read=12, delivered=11, refused=1)
    assert states[0].progress.refused == 1 << 5


def test_a_wholly_refused_first_batch_settles_nothing(store):
    """A wrong schema ends at once, exit 7, and is not taken for thousands of bad records."""
    api = Api(lambda events, attempt: INVALID)

    counts, stop, _ = deliver(store, api, [prepared(0, 40)], max_events=10)

    assert isinstance(stop.error, GateError)
    assert counts == Counts(read=40, unsent=40, in_doubt=10)


def test_a_small_first_batch_proves_nothing(store):
    """Nine refused events may be nine bad records: they are refused, and the run goes on."""
    api = Api(lambda events, attempt: INVALID if events[0] < 9 else OK)

    counts, stop, _ = deliver(store, api, [prepared(0, 18)], max_events=9)

    assert stop.error is None
    assert counts == Counts(read=18, delivered=9, refused=9, in_doubt=9)


def test_half_refused_stops_and_settles_none_of_the_last(store):
    """When half of the last 300 events are refused, those refusals do not count."""
    api = Api(lambda events, attempt: INVALID if any(n >= 400 for n in events) else OK)

    counts, stop, _ = deliver(store, api, [prepared(0, 1000)], concurrency=1)

    assert isinstance(stop.error, GateError)
    assert counts.delivered == 400
    assert counts.refused == 0
    assert counts.read == 1000


def test_all_refusals_settle_when_the_gate_is_lifted(store):
    """--max-rejects 100% sends on whatever is refused."""
    api = Api(lambda events, attempt: INVALID)

    counts, stop, _ = deliver(store, api, [prepared(0, 40)], allowance=Allowance(share=1.0))

    assert (counts.refused, stop.error) == (40, None)


def test_unknown_outcomes_are_sent_again_and_counted_as_doubt(store):
    """A lost answer costs a repeat with the same events, never a record."""
    lost = Reply(None, Failure.RESET, complete=False)
    api = Api(lambda events, attempt: lost if attempt == 1 and 8 in events else OK)

    counts, _, _ = deliver(store, api, [prepared(0, 20)])

    assert counts == Counts(read=20, delivered=20, in_doubt=4)


def test_a_poison_batch_is_parked_then_narrowed_then_held(store):
    """What fails while others pass waits for two more runs, and is held at last."""
    poison = Reply(500, body=b"")
    api = Api(lambda events, attempt: poison if 9 in events else OK)

    first, stop, states = deliver(store, api, [prepared(0, 20)])
    assert (first.delivered, first.unsent, stop.error) == (16, 4, None)
    second, _, states = deliver(
        store, api, [prepared(0, 20, progress=states[0].progress), prepared(1, 8, first=20)]
    )
    assert (second.delivered, second.unsent) == (24, 4)
    third, _, states = deliver(
        store, api, [prepared(0, 20, progress=states[0].progress), prepared(2, 8, first=28)]
    )

    assert states[0].progress.held == 1 << 9
    assert third == Counts(read=36, delivered=35, unsent=1, held=1, in_doubt=4)


def test_with_concurrency_1_nothing_is_parked(store):
    """In file order, a batch that fails for good stops the run (4)."""
    api = Api(lambda events, attempt: Reply(503) if 9 in events else OK)

    counts, stop, _ = deliver(store, api, [prepared(0, 20)], concurrency=1)

    assert isinstance(stop.error, StoppedError)
    assert (counts.delivered, counts.unsent) == (8, 12)
    assert api.taken == dict.fromkeys(range(8), 1)


def test_endless_503_stops_resumable(store):
    """When nothing passes, the run stops, and nothing is rejected or refused."""
    api = Api(lambda events, attempt: Reply(503))

    counts, stop, _ = deliver(store, api, [prepared(0, 20)])

    assert isinstance(stop.error, StoppedError)
    assert counts == Counts(read=20, unsent=20, in_doubt=counts.in_doubt)
    assert counts.in_doubt >= 4


@pytest.mark.parametrize(
    ("reply", "error"),
    [
        pytest.param(Reply(401, body=b'{"message":"Not authorized"}'), CredentialsError, id="401"),
        pytest.param(Reply(403), CredentialsError, id="403"),
        pytest.param(Reply(404), UsageError, id="404"),
        pytest.param(Reply(302, location="https://evil.example/x"), UsageError, id="302"),
    ],
)
def test_a_wrong_key_or_address_stops_at_once(store, reply, error):
    """One answer is enough; nothing is rejected and nothing is in doubt."""
    api = Api(lambda events, attempt: reply)

    counts, stop, _ = deliver(store, api, [prepared(0, 100)])

    assert isinstance(stop.error, error)
    assert counts == Counts(read=100, unsent=100)
    assert len(api.requests) == 1


def test_one_signal_drains(store):
    """Requests under way end in order; the rest was never attempted and is not in doubt."""

    async def slow(events):
        await asyncio.sleep(0.05)
        return OK

    async def interrupt(stop, api):
        while len(api.requests) < 4:
            await asyncio.sleep(0.001)
        stop.signal(InterruptedRun("", signal_number=2), drain_s=5)

    api = Api(lambda events, attempt: slow(events) if events[0] >= 4 else OK)

    counts, stop, states = deliver(store, api, [prepared(0, 400)], steps=interrupt)

    assert stop.error.exit_code == 130
    assert counts.delivered == len(api.taken) >= 8
    assert (counts.in_doubt, states[0].progress.intent) == (0, 0)
    assert counts.read == 400


def test_a_second_signal_stops_now_and_lists_the_doubtful(store):
    """What was under way has an unknown end; nothing else has."""

    async def never(events):
        await asyncio.sleep(60)

    async def interrupt(stop, api):
        while len(api.requests) < 4:
            await asyncio.sleep(0.001)
        stop.signal(InterruptedRun("", signal_number=2), drain_s=60)
        stop.signal(InterruptedRun("", signal_number=2), drain_s=60)

    api = Api(lambda events, attempt: never(events) if events[0] >= 4 else OK)

    counts, _, states = deliver(store, api, [prepared(0, 400)], steps=interrupt)

    assert counts.delivered == 4
    assert counts.in_doubt == 12
    assert states[0].progress.intent == 0


def test_nothing_is_sent_whose_intent_is_not_durable(store):
    """Whatever a request holds was in the ledger before it left."""
    bad = []

    def answer(events, attempt):
        intended = store.chunks(store.loads()[0])[0].progress.intent
        bad.extend(event for event in events if not intended >> event & 1)
        return OK

    deliver(store, Api(answer), [prepared(0, 60)])

    assert bad == []


def test_a_ledger_that_fails_stops_sending(store):
    """S1: when a commit fails, nothing more leaves, and the run ends with that error."""

    class Failing:
        def commit(self, load, *, states, notes=()):
            self.count = getattr(self, "count", 0) + 1
            if self.count > 3:
                raise StoppedError("disk full")
            store.commit(load, states=states, notes=notes)

        loads, add_load, chunks = store.loads, store.add_load, store.chunks

    api = Api(lambda events, attempt: OK)

    with pytest.raises(ExceptionGroup) as caught:
        deliver(Failing(), api, [prepared(0, 400)], concurrency=2)

    assert caught.group_contains(StoppedError)
    assert len(api.taken) < 400
    recorded = store.chunks(store.loads()[0])[0].progress
    unknown = set(api.taken) - {n for n in range(400) if recorded.delivered >> n & 1}
    assert all(recorded.intent >> n & 1 for n in unknown)
