"""Whole histories of a load in virtual time: runs, crashes and a world that does its worst.

    python -m tests.support.simulation --seed 17          one history, told
    python -m tests.support.simulation --count 10000      many; stops at the first that breaks a law

A history is drawn from its seed alone: how many events, which of them are bad, how the server and
the network behave, when the process is killed or told to stop. Then the world becomes kind, and
the load must reach its end. The ledger is real; the laws are checked against the server's own log
after each run.
"""

import argparse
import asyncio
import math
import os
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random
from typing import Any
from uuid import UUID

from ingest.core.batching import BULK
from ingest.core.gates import CANARY_EVENTS, Allowance
from ingest.core.ledger import Progress, bitmap, members
from ingest.core.load import ChunkState, Destination, Findings, Identity, Load, Stat
from ingest.core.model import Chunk, Position, Violation
from ingest.core.outcome import Reply, RetryPolicy
from ingest.edges.limit import SharedLimit
from ingest.edges.store import Store
from ingest.errors import GateError, IngestError, InterruptedRun, StoppedError
from ingest.pipeline.delivery import Clock, Delivery, Terms, Traffic
from ingest.pipeline.payload import Payload, Prepared, doubt_note
from ingest.pipeline.recorder import Recorder
from ingest.pipeline.stop import Stop
from tests.support.model_api import Fate, ModelApi, Nature, events_of
from tests.support.virtual_time import VirtualLoop

WALL_S = 1_700_000_000.0
LONGEST_S = 40 * 86_400.0
KIND_RUNS = 100
HELD_AFTER_RUNS = 3
OK_STATUS = 200
LOAD = Load(
    0, Destination("o"), UUID(int=1), "", "p", Identity(1, "f", 1, b"", Stat(1, 1, 1, 1, 1, 1)),
    {}, "", {}, fence=1,
)  # fmt: skip


class BrokenLawError(AssertionError):
    """A law does not hold."""


class _DeadError(Exception):
    """The process is gone; nothing that it still does has an effect."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What a history is drawn to be.

    Args:
        chunks: (events, bitmap of those that our rules reject) of each chunk.
        nature: What is so at the server, while the world is at its worst.
        max_events: Events in a batch.
        concurrency: None: as many as are good.
        rate: Calls a second.
        budget_s: Of retries.
        first_budget_s: The same before any answer.
        ends: What ends each run before the world becomes kind: (kind, after seconds).
        script: Fates of the first requests.
    """

    chunks: tuple[tuple[int, int], ...]
    nature: Nature
    max_events: int = 4
    concurrency: int | None = None
    rate: float = math.inf
    budget_s: float = 120.0
    first_budget_s: float = 60.0
    ends: tuple[tuple[str, float], ...] = ()
    script: tuple[Fate, ...] = ()

    @property
    def events(self) -> int:
        """How many records there are, rejected ones among them."""
        return sum(count for count, _ in self.chunks)

    @property
    def rejected(self) -> frozenset[int]:
        """The records that our rules reject."""
        found, first = set(), 0
        for count, bits in self.chunks:
            found.update(first + record for record in members(bits))
            first += count
        return frozenset(found)


def drawn(seed: int) -> Plan:
    """The plan of a seed."""
    chance = Random(seed)
    max_events = chance.choice([1, 3, 4, 7, 30])
    chunks = tuple(_chunk(chance) for _ in range(chance.choice([1, 1, 2, 3, 5])))
    total = sum(count for count, _ in chunks)
    concurrency = chance.choice([None, 1, 2, 3, 3, 8, 50])
    budget_s = chance.choice([5.0, 60.0, 600.0])
    ends = tuple(
        (
            chance.choice(["kill", "kill", "kill", "signal", "twice", "ask", "disk", "none"]),
            _span(chance),
        )
        for _ in range(chance.choice([0, 1, 2, 3, 5]))
    )
    return Plan(
        chunks=chunks,
        nature=_nature(chance, total, serial=concurrency == 1),
        max_events=max_events,
        concurrency=concurrency,
        rate=chance.choice([math.inf, math.inf, 100.0, 20.0, 5.0, 2.5]),
        budget_s=budget_s,
        first_budget_s=min(budget_s, 60.0),
        ends=ends,
    )


def _chunk(chance: Random) -> tuple[int, int]:
    count = chance.choice([1, 2, 7, 20, 60, 150])
    share = chance.choice([0.0, 0.0, 0.1, 0.5])
    return count, bitmap(n for n in range(count) if chance.random() < share)


def _span(chance: Random) -> float:
    return float(chance.choice([0.05, 0.5, 2.0, 10.0, 60.0, 400.0]) * chance.random())


def _nature(chance: Random, total: int, *, serial: bool) -> Nature:
    def some(shares: list[float]) -> frozenset[int]:
        share = chance.choice(shares)
        return frozenset(n for n in range(total) if chance.random() < share)

    storms = []
    begin_s = 1000.0
    for _ in range(chance.choice([0, 0, 1, 2])):
        begin_s += chance.choice([0.0, 1.0, 20.0]) * chance.random()
        end_s = begin_s + chance.choice([0.5, 5.0, 40.0, 900.0]) * chance.random()
        storms.append((begin_s, end_s, chance.choice([429, 429, 503, 500, 0])))
        begin_s = end_s
    return Nature(
        invalid=some([0.0, 0.0, 0.01, 0.05, 0.15]),
        poison=frozenset() if serial else some([0.0, 0.0, 0.0, 0.01, 0.03]),
        heavy=some([0.0, 0.0, 0.02]),
        most=chance.choice([1000, 1000, 1000, 10, 2]),
        partial=chance.random() < 0.5,
        conflicts=chance.choice(["never", "single", "batch"]),
        trouble=chance.choice([0.0, 0.02, 0.1, 0.3]),
        storms=tuple(storms),
        refusal=chance.choice([400, 422]),
    )


@dataclass(slots=True)
class World:
    """A history under way: the server, the disk, and what the laws need to know.

    Args:
        plan: What it was drawn to be.
        directory: The disk.
        api: The server.
        loop: Time.
        chance: Where everything is drawn from.
        tell: Called with lines on what happens.
        opened: When connections were asked for, for a request each.
        stamps: When requests left.
        intended: The events with intent in the ledger.
        failed: In how many runs an attempt with each event failed.
        books: What the ledger said after each run.
        errors: Why each run stopped early; None: it did not.
    """

    plan: Plan
    directory: Path
    api: ModelApi
    loop: VirtualLoop
    chance: Random
    tell: Callable[[str], None]
    opened: list[float] = field(default_factory=list)
    stamps: list[float] = field(default_factory=list)
    intended: set[int] = field(default_factory=set)
    failed: Counter[int] = field(default_factory=Counter)
    books: "list[Books]" = field(default_factory=list)
    errors: list[IngestError | None] = field(default_factory=list)

    def left(self, life: "Life", events: list[int]) -> None:
        """A request leaves: what must hold at this moment."""
        self.stamps.append(self.loop.time())
        _hold(life.alive, "a dead process sends")
        _hold(not life.stop.asked, f"{events} leave after the stop was asked for")
        _hold(self.intended.issuperset(events), f"{events} leave without durable intent")
        _hold(not life.out.intersection(events), f"{events} are under way twice")
        life.out.update(events)
        life.under_way += 1
        most = self.plan.concurrency
        _hold(most is None or life.under_way <= most, f"{life.under_way} requests at once")
        if most == 1:
            _hold(life.last <= events[0], f"{events} leave after {life.last}: out of order")
        life.last = events[0]


@dataclass(slots=True)
class Life:
    """One process.

    Args:
        stop: Its own.
        alive: Its deeds have effects.
        out: Events that are under way.
        under_way: Requests that are.
        last: The first event of the last request.
        failed: Events with an attempt that failed.
        traffic: Its counts.
        commits_left: Commits until the disk is full.
    """

    stop: Stop = field(default_factory=Stop)
    alive: bool = True
    out: set[int] = field(default_factory=set)
    under_way: int = 0
    last: int = -1
    failed: set[int] = field(default_factory=set)
    traffic: Traffic = field(default_factory=Traffic)
    commits_left: int = 1_000_000


class _Connection:
    """One connection of a process to the model."""

    def __init__(self, world: World, life: Life) -> None:
        self._world = world
        self._life = life

    async def send(self, body: bytes, *, permit: Any = None) -> Reply:
        world, life, api = self._world, self._life, self._world.api
        events = events_of(body)
        world.opened.append(world.loop.time())
        await asyncio.sleep(world.chance.choice([0.0, 0.001, 0.05]))
        fate = api.fate(now_s=world.loop.time())
        if fate.unseen is not None and not fate.stamped:
            await asyncio.sleep(0.01)
            return api.told(fate, None)
        await permit()
        world.left(life, events)
        try:
            reply = await self._out(events, fate)
            if not (reply.complete and reply.status == OK_STATUS):
                life.failed.update(events)
            return reply
        finally:
            life.out.difference_update(events)
            life.under_way -= 1

    async def _out(self, events: list[int], fate: Fate) -> Reply:
        world, api = self._world, self._world.api
        answers: list[Reply] = []
        arrivals = () if fate.unseen else fate.arrivals
        for after_s in arrivals:
            world.loop.call_later(after_s, lambda: answers.append(api.arrive(events, fate)))
        await asyncio.sleep(fate.answers_s)
        while not answers and fate.unseen is None and fate.failure is None:
            await asyncio.sleep(0.001)
        return api.told(fate, answers[0] if answers else None)

    async def aclose(self) -> None:
        pass


class _Disk:
    """The ledger as one process has it."""

    def __init__(self, world: World, life: Life, store: Store) -> None:
        self._world = world
        self._life = life
        self._store = store

    def commit(
        self, load: Load, *, states: Iterable[ChunkState], notes: Iterable[Any] = ()
    ) -> None:
        if not self._life.alive:
            raise _DeadError
        self._life.commits_left -= 1
        if self._life.commits_left < 0:
            raise StoppedError("the disk is full", code="ledger_unwritable")
        states = list(states)
        self._store.commit(load, states=states, notes=notes)
        for state in states:
            first = state.chunk.start.record
            span = range(first, first + state.progress.total)
            self._world.intended.difference_update(span)
            self._world.intended.update(first + n for n in members(state.progress.intent))


def _prepared(state: ChunkState, notes: tuple[Any, ...]) -> Prepared:
    first = state.chunk.start.record
    records = list(members(state.progress.pending))
    parts = [b'{"n":%d}' % (first + record) for record in records]
    ends, at = [], -1
    for part in parts:
        at += len(part) + 1
        ends.append(at)
    payload = Payload(state.chunk.chunk_id, b",".join(parts), ends, records, _facts(first))
    return Prepared(state, payload, notes)


def _facts(first: int) -> Callable[[int], dict[str, object]]:
    return lambda record: {
        "line": first + record + 2, "offset": first + record, "length": 1,
        "event_uuid": f"uuid-{first + record}", "cells": [],
    }  # fmt: skip


def _fresh(plan: Plan) -> list[ChunkState]:
    states, first = [], 0
    for number, (count, rejected) in enumerate(plan.chunks):
        at, end = (
            Position(first, first, first + 1),
            Position(first + count, first + count, first + 1),
        )
        progress = Progress(count, rejected=rejected)
        states.append(ChunkState(Chunk(number, at, end), progress, Findings()))
        first += count
    return states


def _left(plan: Plan, known: list[ChunkState]) -> list[Prepared]:
    """What a run has to do: what is left of the known chunks, then the new ones."""
    todo = []
    for state in known:
        lost, facts = state.progress.intent, _facts(state.chunk.start.record)
        if state.progress.pending or lost:
            notes = tuple(
                doubt_note(state.chunk.chunk_id, record, facts(record)) for record in members(lost)
            )
            todo.append(_prepared(replace(state, progress=state.progress.recover()), notes))
    return todo + [_prepared(state, ()) for state in _fresh(plan)[len(known) :]]


async def _live(world: World, life: Life, store: Store) -> None:
    """One run, from taking the load up to its end."""
    plan, loop = world.plan, world.loop
    loads = store.loads()
    load = store.claim(loads[0]) if loads else store.add_load(LOAD)
    known = store.chunks(load)
    rate = None if math.isinf(plan.rate) else plan.rate
    disk: Any = _Disk(world, life, store)
    with SharedLimit(world.directory / "limit", rate=rate, clock=loop.time) as limit:
        delivery = Delivery(
            Terms(
                wrapper=BULK,
                max_events=plan.max_events,
                max_bytes=1_000_000,
                concurrency=plan.concurrency,
                policy=RetryPolicy(budget_s=plan.budget_s),
                first_budget_s=plan.first_budget_s,
                allowance=Allowance(),
                rate=plan.rate,
                refused=Violation("api_refused", (), "refused:", ""),
                proven=any(state.progress.delivered for state in known),
            ),
            connect=lambda: _Connection(world, life),
            pacer=limit,
            recorder=Recorder(disk, load, on_commit=lambda _: None),
            stop=life.stop,
            clock=Clock(loop.time, lambda: WALL_S + loop.time(), world.chance.random),
            traffic=life.traffic,
            tell=world.tell,
        )
        await delivery.run(_fed(world, _left(plan, known)))


async def _fed(world: World, todo: list[Prepared]) -> AsyncIterator[Prepared]:
    for prepared in todo:
        await asyncio.sleep(world.chance.choice([0.0, 0.01, 0.5]))
        yield prepared


async def _one_run(world: World, end: tuple[str, float]) -> IngestError | None:
    """One process, until it ends or is killed; gives why it stopped early."""
    kind, after_s = end
    life = Life()
    if kind == "disk":
        life.commits_left = int(after_s * 10) % 40
    with Store(world.directory) as store:
        running = asyncio.ensure_future(_live(world, life, store))
        _arrange(world, life, kind, after_s)
        running.add_done_callback(lambda _: world.failed.update(life.failed))
        limit_s = after_s if kind == "kill" else LONGEST_S
        await asyncio.wait({running}, timeout=limit_s)
        if not running.done():
            _hold(kind == "kill", "a run never ends")
            life.alive = False
            running.cancel()
            await asyncio.wait({running}, timeout=LONGEST_S)
            return None
        return _ended(running, life)


def _ended(running: "asyncio.Future[None]", life: Life) -> IngestError | None:
    error = running.exception()
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    if error is not None and not isinstance(error, IngestError):
        raise error
    return error or life.stop.error


def _arrange(world: World, life: Life, kind: str, after_s: float) -> None:
    interrupted = InterruptedRun("", signal_number=2)
    if kind in {"signal", "twice"}:
        world.loop.call_later(after_s, lambda: life.stop.signal(interrupted, drain_s=15.0))
    if kind == "twice":
        again_s = after_s + world.chance.choice([0.0, 0.02, 3.0])
        world.loop.call_later(again_s, lambda: life.stop.signal(interrupted, drain_s=15.0))
    if kind == "ask":
        world.loop.call_later(after_s, life.stop.ask, StoppedError("time", code="finish_by"))


# -- laws ------------------------------------------------------------------------------------


def _hold(law: object, what: str) -> None:
    if not law:
        raise BrokenLawError(what)


@dataclass(frozen=True, slots=True)
class Books:
    """What the ledger says of each event."""

    delivered: frozenset[int]
    refused: frozenset[int]
    held: frozenset[int]
    pending: frozenset[int]
    doubt: frozenset[int]
    known_doubt: frozenset[int]
    parked: frozenset[int]
    parked_again: frozenset[int]
    noted: dict[str, frozenset[int]]

    @classmethod
    def of(cls, directory: Path) -> "Books":
        """Read it."""
        with Store(directory) as store:
            loads = store.loads()
            states = store.chunks(loads[0]) if loads else []
            notes = {
                kind: frozenset(int(str(n.body["offset"])) for n in store.notes(loads[0], kind))
                for kind in (("doubt", "refused") if loads else ())
            }

        def all_of(bits: Callable[[Progress], int]) -> frozenset[int]:
            return frozenset(
                state.chunk.start.record + record
                for state in states
                for record in members(bits(state.progress))
            )

        return cls(
            delivered=all_of(lambda progress: progress.delivered),
            refused=all_of(lambda progress: progress.refused),
            held=all_of(lambda progress: progress.held),
            pending=all_of(lambda progress: progress.pending),
            doubt=all_of(lambda progress: progress.doubt | progress.intent),
            known_doubt=all_of(lambda progress: progress.doubt),
            parked=all_of(lambda progress: progress.parked),
            parked_again=all_of(lambda progress: progress.parked_again),
            noted={"doubt": frozenset(), "refused": frozenset(), **notes},
        )


def check(world: World) -> Books:
    """The laws that hold after any run, however it ended."""
    nature, taken = world.plan.nature, world.api.taken
    books = Books.of(world.directory)
    arrived = set(taken)
    twice = {event for event, times in taken.items() if times > 1}
    _none(books.delivered - arrived, "are delivered, and the server never took them")
    _none(arrived - books.delivered - books.doubt, "were taken, and nobody knows")
    _none(twice - books.doubt, "were taken twice without doubt")
    _none(arrived & world.plan.rejected, "are rejected, and were sent")
    _none(books.refused - nature.invalid - nature.heavy, "are refused, and nothing is wrong")
    hopeless = {event for event, runs in world.failed.items() if runs >= HELD_AFTER_RUNS}
    _none(books.held - hopeless, "are held too early")
    _none(books.held - nature.poison - _unlucky(world, hopeless), "are held, and nothing is wrong")
    _none(books.known_doubt ^ books.noted["doubt"], "are in doubt or noted as such, not both")
    _none(books.refused ^ books.noted["refused"], "are refused or noted as such, not both")
    _check_rate(world)
    complaints = [
        c for c in world.loop.complaints if not isinstance(c.get("exception"), _DeadError)
    ]
    _hold(not complaints, f"the loop complains: {complaints}")
    return books


def _unlucky(world: World, events: set[int]) -> set[int]:
    """Where there are faults, what fails run after run cannot be told from a poison event."""
    plan = world.plan
    return events if plan.nature.trouble or plan.nature.storms or plan.script else set()


def _none(events: Iterable[int], what: str) -> None:
    _hold(not (found := sorted(events)), f"{found[:20]} {what}")


def _check_rate(world: World) -> None:
    rate = world.plan.rate
    if math.isinf(rate):
        return
    count = math.ceil(rate)
    for first, last in zip(world.stamps, world.stamps[count:], strict=False):
        _hold(
            last - first > count / rate - 1e-9,
            f"{count + 1} requests within {last - first:.6f} s at {rate} a second",
        )


def _check_complete(world: World, books: Books) -> None:
    nature, plan = world.plan.nature, world.plan
    everyone = frozenset(range(plan.events)) - plan.rejected
    wrong = nature.invalid | nature.heavy | nature.poison | _unlucky(world, set(books.held))
    _none(books.pending, "were never settled")
    _none((everyone - wrong) - books.delivered, "are good, and were not delivered")
    _none(books.delivered & (nature.invalid | nature.heavy), "are bad, and were delivered")
    _none((nature.poison & everyone) - books.held - books.refused, "are poison, and not held")
    _none(everyone - books.delivered - books.refused - books.held, "have no end")


# -- histories -------------------------------------------------------------------------------


def run_history(plan: Plan, *, seed: int, tell: Callable[[str], None] = lambda _: None) -> World:
    """Run a history to its end.

    Raises:
        AssertionError: A law does not hold.
    """
    chance = Random(f"{seed} goes on")
    shared = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=shared)))
        loop = VirtualLoop(
            blocking_s=lambda: (chance.choice([0.0, 0.001]), chance.choice([0.0, 0.004, 0.05]))
        )
        stack.callback(loop.close)
        api = ModelApi(plan.nature, chance, list(plan.script))
        world = World(plan, directory, api, loop, chance, tell)
        loop.run_until_complete(_history(world))
        return world


async def _history(world: World) -> None:
    before: object = None
    for end in world.plan.ends:
        await _told_run(world, end)
    await asyncio.sleep(1000)  # whatever was under way has arrived
    kind = replace(world.plan.nature, trouble=0.0, storms=())
    world.api.nature = kind
    if world.plan.ends:
        world.api.script.clear()
    for _ in range(KIND_RUNS):
        error, books = await _told_run(world, ("none", 0.0))
        if isinstance(error, GateError) or not books.pending:
            break
        _hold(kind.poison, f"all is well, and a run does not end it: {error!r}")
        progress = (len(books.pending), len(books.parked), len(books.parked_again))
        _hold(progress != before, f"a run changes nothing: {error!r}")
        before = progress
    if isinstance(error, GateError):
        _hold(_gate_is_right(world, books), f"the gate fired: {error}")
        return
    _check_complete(world, books)


async def _told_run(world: World, end: tuple[str, float]) -> tuple[IngestError | None, Books]:
    error = await _one_run(world, end)
    books = check(world)
    left = books.doubt - books.known_doubt
    if end[0] not in {"kill", "disk"}:
        # A crash may have left some in chunks that this run did not come to.
        before = world.books[-1] if world.books else None
        old = before.doubt - before.known_doubt if before else frozenset[int]()
        _none(left - old, "have intent after a run that ended in order")
    world.books.append(books)
    world.errors.append(error)
    world.tell(f"{world.loop.time():9.3f} {end}: {error!r} {_line(books, world)}")
    return error, books


def _gate_is_right(world: World, books: Books) -> bool:
    """Whether a first batch may have been refused as a whole."""
    wrong = world.plan.nature.invalid | world.plan.nature.heavy
    return len(wrong) >= CANARY_EVENTS and not books.delivered


def _line(books: Books, world: World) -> str:
    names = ("delivered", "refused", "held", "pending", "doubt")
    counts = ", ".join(f"{len(getattr(books, name))} {name}" for name in names)
    return f"{counts}; {len(world.api.requests)} requests, {len(world.api.taken)} taken"


def replay(seed: int) -> int:
    """Tell one history, line by line."""
    plan = drawn(seed)
    print(plan)  # noqa: T201 - a command
    try:
        run_history(plan, seed=seed, tell=print)
    except AssertionError as error:
        print(f"broken: {error}")  # noqa: T201 - a command
        return 1
    return 0


def main() -> int:
    """Run one history, or many."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--seed", type=int, help="one history, told")
    parser.add_argument("--count", type=int, default=1000, help="how many")
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--keep-going", action="store_true", help="list all that break a law")
    options = parser.parse_args()
    if options.seed is not None:
        return replay(options.seed)
    return _many(range(options.first, options.first + options.count), keep_going=options.keep_going)


def _many(seeds: range, *, keep_going: bool) -> int:
    began, broken = time.monotonic(), 0
    for seed in seeds:
        try:
            run_history(drawn(seed), seed=seed)
        except AssertionError as error:
            broken += 1
            print(f"seed {seed}: {error}", flush=True)  # noqa: T201 - a command
        except Exception as error:  # noqa: BLE001 - whatever it is, the seed must be known
            broken += 1
            print(f"seed {seed}: {error!r}", flush=True)  # noqa: T201 - a command
            traceback.print_exc()
        if broken and not keep_going:
            return 1
    took_s = time.monotonic() - began
    print(f"{len(seeds)} histories in {took_s:.0f} s, {broken} broken")  # noqa: T201 - a command
    return int(broken > 0)


if __name__ == "__main__":
    sys.exit(main())
