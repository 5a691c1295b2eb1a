"""Sends the events of one load: workers, retries, the canary, and an orderly end.

One task dispatches, N tasks send, one records. A batch reaches a worker only when its intent is
durable. What a worker learns becomes a receipt. When the run is to stop, workers finish the
attempt under way; everything that was not attempted is given back without doubt.
"""

import asyncio
from collections import Counter, deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from ingest.core.batching import Wrapper
from ingest.core.figures import counted, duration
from ingest.core.gates import Allowance, Refusals
from ingest.core.ledger import Counts, Receipt, ranges
from ingest.core.load import Note
from ingest.core.model import Violation
from ingest.core.outcome import Act, Decision, Failure, Reply, RetryPolicy, decide
from ingest.core.outcome import Stop as StopReason
from ingest.core.pacing import Crew
from ingest.errors import CredentialsError, GateError, IngestError, StoppedError, UsageError
from ingest.pipeline.payload import Batch, Prepared
from ingest.pipeline.recorder import Recorder
from ingest.pipeline.slots import Slots
from ingest.pipeline.stop import Stop

_OVERLOADED = {429, 503}
_SLOW = {Failure.READ_TIMEOUT, Failure.DEADLINE}
_ID_SHOWN = 128
# Below the longest wait that the limit tells (a second): one that waits longer opens no connection.
_NEAR_S = 0.5
_MOST_NEAR = 1000.0
_WINDOW_S = 0.2, 1.0
_WINDOW_MOST = 2048
_SOURCES_TOLD = 3


Permit = Callable[[], Awaitable[None]]
"""Awaited on a ready connection, right before the first byte leaves."""


class Sender(Protocol):
    """One connection to the API: the real client, or a scripted one."""

    async def send(self, body: bytes, *, permit: Permit | None = None) -> Reply:
        """Send one request; raises nothing for what a network does."""
        ...

    async def aclose(self) -> None:
        """Close the connection."""
        ...


class Pacer(Protocol):
    """The account's limit: the shared one, or one on a virtual clock."""

    def peek(self) -> float:
        """Give the seconds until a request may leave; 0.0 when one may at this moment."""
        ...

    def reserve(self) -> float:
        """The same, and take the moment where the answer is 0.0."""
        ...

    def refused(self, *, sent_s: float, wait_s: float) -> None:
        """Take in a 429: nobody sends for a while."""
        ...

    def succeeded(self) -> None:
        """Take in that a request was answered in order."""
        ...


class _WithdrawnError(Exception):
    """Nothing more is to be sent: the attempt ends before its first byte."""


@dataclass(frozen=True, slots=True)
class Clock:
    """Time and chance, handed in.

    Args:
        monotonic: Seconds that never go back.
        wall: Seconds since 1970.
        jitter: A random number in [0, 1).
    """

    monotonic: Callable[[], float]
    wall: Callable[[], float]
    jitter: Callable[[], float]


@dataclass(frozen=True, slots=True)
class Terms:
    """How events are sent.

    Args:
        wrapper: What stands around the events of a body.
        max_events: Events in a batch.
        max_bytes: Bytes of a body.
        concurrency: Requests under way at once; None: as many as turn out to be good.
        policy: Waits and budgets.
        first_budget_s: The budget of a batch while no answer has come yet: to fail fast where
            nobody listens.
        allowance: How much may fail.
        rate: Calls a second; infinite without a limit.
        refused: The code, message and hint of a refusal, the message to be filled in.
        proven: Events of this load, made in the same way, were delivered in an earlier run: a
            first batch that is wholly refused is what is left over, not a wrong schema.
    """

    wrapper: Wrapper
    max_events: int
    max_bytes: int
    concurrency: int | None
    policy: RetryPolicy
    first_budget_s: float
    allowance: Allowance
    rate: float
    refused: Violation
    proven: bool = False


@dataclass(slots=True)
class Traffic:
    """What went over the wire in this run."""

    sent: int = 0
    retried: int = 0
    status: Counter[str] = field(default_factory=Counter)
    delivered: int = 0
    refused: int = 0
    last_note: str = ""

    @property
    def answered(self) -> bool:
        """Whether the API has taken the key: some answer was neither 401 nor 403."""
        return any(status.isdigit() and status not in {"401", "403"} for status in self.status)


class Delivery:
    """The sending side of one load.

    Args:
        terms: How events are sent.
        connect: Makes a sender; one for each worker.
        pacer: The account's limit.
        recorder: The writer of progress.
        stop: Why the run ends early, if it does.
        clock: Time and chance.
        traffic: Counts of this run, kept up here.
        tell: Called with lines for the person who waits.
    """

    def __init__(
        self,
        terms: Terms,
        *,
        connect: Callable[[], Sender],
        pacer: Pacer,
        recorder: Recorder,
        stop: Stop,
        clock: Clock,
        traffic: Traffic,
        tell: Callable[[str], None],
    ) -> None:
        self._terms = terms
        self._connect = connect
        self._pacer = pacer
        self._recorder = recorder
        self._stop = stop
        self._clock = clock
        self.traffic = traffic
        self._tell = tell
        self._refusals = Refusals(lifted=terms.allowance.unlimited)
        self._ready: deque[_Job] = deque()
        self._suspects: list[_Suspect] = []
        self._arrived = asyncio.Semaphore(0)
        self._low = asyncio.Event()
        self._idle = asyncio.Event()
        self._open = 0
        self._ended = False
        self._answered = asyncio.Event()
        self._crew = Crew()
        self._slots = Slots(terms.concurrency or self._crew.allowed)
        self._workers: list[asyncio.Task[None]] = []
        self._out = 0
        self._window = self._slots.size
        self._turn_lock = asyncio.Lock()
        # Those who wait for their turn on an open connection wait a second at most: a server
        # closes connections that idle.
        self._near = asyncio.Semaphore(max(int(min(terms.rate, _MOST_NEAR)), 1))
        self._canary = True
        self._on_trial: Batch | None = None
        self._refused_with = ""
        self._complained = False

    # -- the run of one load ---------------------------------------------------------------

    async def run(self, feed: AsyncIterator[Prepared]) -> None:
        """Send all that the feed gives; returns when every batch has its receipt.

        Raises:
            ExceptionGroup: Of IngestError where the ledger or the source fails.
        """
        try:
            async with asyncio.TaskGroup() as group:
                recording = group.create_task(self._recorder.work())
                self._employ(group)
                ending = group.create_task(self._end_now())
                try:
                    await self._dispatch(feed)
                finally:
                    for task in (*self._workers, ending, recording):
                        task.cancel()
        finally:
            self._give_back()
            await self._recorder.finish()

    def _employ(self, group: asyncio.TaskGroup) -> None:
        """Have a worker for each slot."""
        while len(self._workers) < self._slots.size:
            self._workers.append(group.create_task(self._work(group)))

    async def _end_now(self) -> None:
        await self._stop.wait_now()
        for task in self._workers:
            task.cancel()
        self._ended = True
        self._answered.set()
        self._idle.set()

    async def _dispatch(self, feed: AsyncIterator[Prepared]) -> None:
        try:
            await self._release_all(feed)
        except IngestError as error:  # the source fails: what is under way is finished in order
            self._stop.ask(error)
        await self._until_idle()
        if not self._stop.asked:
            self._settle_refusals(all_of_them=True)
            self._judge_suspects()

    async def _release_all(self, feed: AsyncIterator[Prepared]) -> None:
        async for prepared in feed:
            await self._recorder.begin(prepared.state, notes=prepared.notes)
            await self._release(self._windows(prepared), prepared.payload.chunk_id)
            if self._stop.asked:
                return

    async def _release(self, windows: Iterator[list[Batch]], chunk_id: int) -> None:
        for window in windows:
            if not await self._until_low():
                return
            bits = 0
            for batch in window:
                bits |= batch.payload.bits(batch.span)
            began = self._clock.monotonic()
            await self._recorder.intend(chunk_id, bits)
            if self._canary:
                self._on_trial = window[0]
            self._push([_Job(batch) for batch in window])
            if self._canary:
                await self._answered.wait()
                self._canary = False
            else:
                await self._until_low()
                self._fit_window(self._clock.monotonic() - began)

    def _windows(self, prepared: Prepared) -> Iterator[list[Batch]]:
        terms = self._terms
        payload = replace(prepared.payload, before=prepared.state.progress)
        batches = payload.batches(
            wrapper=terms.wrapper,
            max_events=terms.max_events,
            max_bytes=terms.max_bytes,
            alone=prepared.state.progress.parked_again,
        )
        window: list[Batch] = []
        for batch in batches:
            window.append(batch)
            if self._canary or len(window) >= self._window:
                yield window
                window = []
        if window:
            yield window

    def _fit_window(self, took_s: float) -> None:
        shortest, longest = _WINDOW_S
        if took_s < shortest:
            self._window = min(self._window * 2, _WINDOW_MOST)
        elif took_s > longest:
            self._window = max(self._window // 2, self._slots.size)

    def _push(self, jobs: "list[_Job]") -> None:
        self._open += len(jobs)
        self._ready.extend(jobs)
        for _ in jobs:
            self._arrived.release()

    async def _until_low(self) -> bool:
        while len(self._ready) > self._slots.size and not self._stop.asked:
            self._low.clear()
            await self._low.wait()
        return not self._stop.asked

    async def _until_idle(self) -> None:
        while self._open and not self._ended:
            self._idle.clear()
            await self._idle.wait()

    def _closed(self) -> None:
        self._open -= 1
        self._answered.set()
        if not self._open:
            self._idle.set()

    def _give_back(self) -> None:
        for job in (*self._ready, *(suspect.job for suspect in self._suspects)):
            self._receive(job.batch.unsent(doubt=job.doubt), job.batch, doubt=job.doubt)
        self._ready.clear()
        self._suspects.clear()
        for entry in self._refusals.given_up():
            assert isinstance(entry, _Refusal)  # noqa: S101 - what `_refuse` put in
            receipt = entry.batch.unsent(doubt=entry.doubt)
            self._receive(receipt, entry.batch, doubt=entry.doubt)

    # -- one worker ------------------------------------------------------------------------

    async def _work(self, group: asyncio.TaskGroup) -> None:
        sender = self._connect()
        try:
            while True:
                await self._slots.acquire()
                try:
                    await self._one(sender)
                finally:
                    self._slots.release()
                self._employ(group)
        finally:
            self._low.set()
            await sender.aclose()

    async def _one(self, sender: Sender) -> None:
        await self._arrived.acquire()
        job = self._ready.popleft()
        if len(self._ready) <= self._slots.size:
            self._low.set()
        await self._settle(sender, job)
        if job.batch is self._on_trial:
            self._judge_canary()
        self._closed()

    async def _settle(self, sender: Sender, job: "_Job") -> None:
        batch = job.batch
        passed_before = self.traffic.delivered if job.passed_before is None else job.passed_before
        attempt = _Attempt(doubt=job.doubt, began_s=self._clock.monotonic())
        try:
            while True:
                attempt.number += 1
                decision = await self._decide(sender, batch, attempt)
                attempt.doubt |= decision.doubt
                attempt.out = False
                if decision.act not in {Act.RETRY, Act.HOLD_ALL}:
                    break
                await self._wait(decision, attempt)
        except (asyncio.CancelledError, _WithdrawnError) as ended:
            attempt.give_up(self._near)
            doubt = attempt.doubt or attempt.out
            self._receive(batch.unsent(doubt=doubt), batch, doubt=doubt)
            if isinstance(ended, asyncio.CancelledError):
                raise
            return
        tried = _Job(batch, doubt=attempt.doubt, passed_before=passed_before)
        await self._act(sender, tried, decision)

    async def _decide(self, sender: Sender, batch: Batch, attempt: "_Attempt") -> Decision:
        async def permit() -> None:
            since_s = self._clock.monotonic()
            await self._turn()
            attempt.queued_s += self._clock.monotonic() - since_s
            attempt.leave(self._near, now_s=self._clock.monotonic())
            self._out += 1
            self.traffic.sent += 1
            self.traffic.retried += attempt.number > 1

        since_s = self._clock.monotonic()
        await self._come_near(attempt)
        attempt.queued_s += self._clock.monotonic() - since_s
        try:
            reply = await sender.send(batch.body, permit=permit)
        finally:
            attempt.give_up(self._near)
            self._out -= attempt.out
        self.traffic.status[str(reply.status or reply.failure)] += 1
        decision = decide(
            reply,
            events=batch.events,
            attempt=attempt.number,
            waited_s=self._clock.monotonic() - attempt.began_s,
            queued_s=attempt.queued_s,
            policy=self._policy(),
            jitter=self._clock.jitter(),
            after_unknown=attempt.doubt or batch.doubted,
            now_wall_s=self._clock.wall(),
        )
        self._fit_crew(reply, decision, attempt)
        self.traffic.last_note = decision.note or self.traffic.last_note
        self._recorder.attempted(self._evidence(batch, attempt, reply, decision))
        return decision

    def _evidence(
        self, batch: Batch, attempt: "_Attempt", reply: Reply, decision: Decision
    ) -> dict[str, Any]:
        """What the log keeps of an attempt; records are counted from 0 within the chunk."""
        return {
            "at": self._clock.wall(),
            "took_s": round(self._clock.monotonic() - attempt.sent_s, 6) if attempt.out else None,
            "chunk": batch.payload.chunk_id,
            "records": ranges(batch.records),
            "attempt": attempt.number,
            "status": reply.status,
            "failure": reply.failure,
            "request_id": reply.request_id and reply.request_id[:_ID_SHOWN],
            "act": decision.act,
            "note": decision.note,
        }

    def _policy(self) -> RetryPolicy:
        policy = self._terms.policy
        if any(status.isdigit() and status < "500" for status in self.traffic.status):
            return policy
        return replace(policy, budget_s=min(policy.budget_s, self._terms.first_budget_s))

    def _fit_crew(self, reply: Reply, decision: Decision, attempt: "_Attempt") -> None:
        if self._terms.concurrency is not None or not attempt.out:
            return
        now_s = self._clock.monotonic()
        if reply.status in _OVERLOADED or reply.failure in _SLOW:
            self._crew = self._crew.overloaded(
                now_s=now_s,
                sent_s=attempt.sent_s,
                hold_s=decision.wait_s if decision.act is Act.HOLD_ALL else 0.0,
            )
        elif reply.failure is None:
            took_s = max(now_s - attempt.sent_s, 1e-6)
            self._crew = self._crew.answered(took_s, in_flight=self._out + 1)
        self._slots.resize(self._crew.allowed)

    async def _come_near(self, attempt: "_Attempt") -> None:
        """Wait until the turn is near enough to have a connection opened for it.

        Raises:
            _WithdrawnError: Nothing more is to be sent.
        """
        await self._near.acquire()
        attempt.near = True
        while not self._stop.asked and (wait_s := self._pacer.peek()) > _NEAR_S:
            await self._stop.sleep(wait_s - _NEAR_S)
        if self._stop.asked:
            raise _WithdrawnError

    async def _turn(self) -> None:
        """Wait for the moment to send.

        Raises:
            _WithdrawnError: Nothing more is to be sent.
        """
        async with self._turn_lock:
            while not self._stop.asked:
                wait_s = self._pacer.reserve()
                if wait_s <= 0:
                    return
                await self._stop.sleep(wait_s)
        raise _WithdrawnError

    async def _wait(self, decision: Decision, attempt: "_Attempt") -> None:
        self._answered.set()  # a batch that must wait says nothing of the others
        if decision.act is Act.HOLD_ALL:
            self._pacer.refused(sent_s=attempt.sent_s, wait_s=decision.wait_s)
            self._tell(f"waiting {decision.wait_s:.0f} s: {decision.note}")
            return
        if not self._complained:
            self._complained = True
            budget_s = self._policy().budget_s
            self._tell(f"{decision.note}; trying again for up to {duration(budget_s)}")
        if not await self._stop.sleep(decision.wait_s):
            raise _WithdrawnError

    async def _act(self, sender: Sender, job: "_Job", decision: Decision) -> None:
        batch, doubt = job.batch, job.doubt
        match decision.act:
            case Act.DELIVERED:
                self._pacer.succeeded()
                self.traffic.delivered += batch.events
                self._refusals.delivered(batch.events)
                self._receive(batch.delivered(doubt=doubt), batch, doubt=doubt)
                self._settle_refusals()
                self._try_suspects()
            case Act.REFUSED:
                self._refuse(batch, decision, doubt=doubt)
            case Act.NARROW:
                await self._each(sender, list(batch.singles()), doubt=doubt)
            case Act.HALVE:
                await self._each(sender, list(batch.halves()), doubt=doubt)
            case Act.STOP:
                self._receive(batch.unsent(doubt=doubt), batch, doubt=doubt)
                self._stop.ask(_fatal(decision))
            case _:
                self._park(job, decision)

    async def _each(self, sender: Sender, parts: list[Batch], *, doubt: bool) -> None:
        for number, part in enumerate(parts):
            try:
                await self._settle(sender, _Job(part, doubt=doubt))
            except asyncio.CancelledError:
                for rest in parts[number + 1 :]:
                    self._receive(rest.unsent(doubt=doubt), rest, doubt=doubt)
                raise

    def _refuse(self, batch: Batch, decision: Decision, *, doubt: bool) -> None:
        words = decision.message or decision.note
        self._refused_with = decision.note
        violation = Violation(
            code=self._terms.refused.code,
            columns=(),
            message=f"{self._terms.refused.message} {words}".strip(),
            hint=self._terms.refused.hint,
        )
        notes = [batch.refusal_note(violation), *(batch.doubt_notes() if doubt else [])]
        self._refusals.refused(_Refusal(batch, doubt=doubt, notes=notes))
        if self._refusals.too_many:
            self._stop.ask(_too_many_refused(self._refused_with))
            return
        self._settle_refusals()

    def _settle_refusals(self, *, all_of_them: bool = False) -> None:
        if self._on_trial is not None and not all_of_them:
            return
        for entry in self._refusals.settled(all_of_them=all_of_them):
            assert isinstance(entry, _Refusal)  # noqa: S101 - what `_refuse` put in
            self.traffic.refused += 1
            self._recorder.settle(entry.batch.refused(doubt=entry.doubt), notes=entry.notes)

    def _judge_canary(self) -> None:
        self._on_trial = None
        died = self._refusals.canary_died and not self._terms.proven
        if died and not self._stop.asked:
            self._stop.ask(_canary_died(self._refused_with))
        else:
            self._settle_refusals()

    # -- batches that fail -----------------------------------------------------------------

    def _park(self, job: "_Job", decision: Decision) -> None:
        """Put a batch aside whose budget is used up, or stop: is it the batch, or the server?

        It is the batch where others passed meanwhile. Where none did, a batch that was parked in
        an earlier run is a suspect: it is tried again when something has passed. A batch without
        such a past speaks for a server that takes nothing.
        """
        passed = self.traffic.delivered > (job.passed_before or 0)
        suspect = _Suspect(job, blamed=decision.blames, note=decision.note)
        if self._terms.concurrency == 1:
            self._receive(job.batch.unsent(doubt=job.doubt), job.batch, doubt=job.doubt)
            self._stop.ask(_gave_up(decision.note))
        elif passed:
            self._put_aside(suspect)
        elif job.batch.parked_before:
            self._suspects.append(suspect)
            events = counted(job.batch.events, "event")
            self._tell(f"{events} wait until others pass: {decision.note}")
        else:
            receipt = job.batch.unsent(doubt=job.doubt, parked=decision.blames)
            self._receive(receipt, job.batch, doubt=job.doubt)
            self._stop.ask(_gave_up(decision.note))

    def _put_aside(self, suspect: "_Suspect") -> None:
        batch, doubt = suspect.job.batch, suspect.job.doubt
        receipt = batch.unsent(doubt=doubt, parked=True, held=batch.alone)
        self._receive(receipt, batch, doubt=doubt)
        self._tell(f"{counted(batch.events, 'event')} put aside for a later run: {suspect.note}")

    def _try_suspects(self) -> None:
        """Something passed: what failed before it has its chance, too."""
        suspects, self._suspects = self._suspects, []
        self._push([suspect.job for suspect in suspects])

    def _judge_suspects(self) -> None:
        """All else is done, and nothing passed after them: their own answers must tell."""
        suspects, self._suspects = self._suspects, []
        for suspect in suspects:
            if suspect.blamed:
                self._put_aside(suspect)
            else:
                job = suspect.job
                self._receive(job.batch.unsent(doubt=job.doubt), job.batch, doubt=job.doubt)
                self._stop.ask(_gave_up(suspect.note))

    def _receive(self, receipt: Receipt, batch: Batch, *, doubt: bool) -> None:
        self._recorder.settle(receipt, notes=batch.doubt_notes() if doubt else ())


@dataclass(frozen=True, slots=True)
class _Job:
    """A batch that is to be settled.

    Args:
        batch: The batch.
        doubt: The outcome of an attempt of this run is unknown.
        passed_before: Events that had passed when it was first tried; None: it was not yet.
    """

    batch: Batch
    doubt: bool = False
    passed_before: int | None = None


@dataclass(frozen=True, slots=True)
class _Suspect:
    """A batch that failed while nothing passed: it may be its fault or the server's.

    Args:
        job: The batch, as it stands.
        blamed: The last answer spoke of it, not of the server.
        note: On that answer.
    """

    job: _Job
    blamed: bool
    note: str


@dataclass(slots=True)
class _Attempt:
    """The attempts with a batch, as they go.

    Args:
        doubt: The outcome of an attempt is unknown.
        began_s: Monotonic time at which the first began.
        number: Of the one under way, from 1.
        queued_s: Seconds in which the account's limit kept it waiting.
        out: Bytes may have left, and no answer was judged yet.
        near: It waits for its turn on an open connection, or is about to.
        sent_s: Monotonic time at which it left.
    """

    doubt: bool
    began_s: float
    number: int = 0
    queued_s: float = 0.0
    out: bool = False
    near: bool = False
    sent_s: float = 0.0

    def leave(self, near: asyncio.Semaphore, *, now_s: float) -> None:
        """The request leaves at this moment."""
        self.give_up(near)
        self.out, self.sent_s = True, now_s

    def give_up(self, near: asyncio.Semaphore) -> None:
        """Make room for the next one that waits for its turn."""
        if self.near:
            self.near = False
            near.release()


@dataclass(frozen=True, slots=True)
class _Refusal:
    """A refusal that is not final yet."""

    batch: Batch
    doubt: bool
    notes: list[Note]


def _fatal(decision: Decision) -> CredentialsError | UsageError:
    if decision.stop is StopReason.CREDENTIALS:
        return CredentialsError(
            decision.note,
            hint="check INGEST_API_KEY (the Event API key) and --region, then run the same command again",
            code="credentials_refused",
        )
    return UsageError(
        decision.note,
        hint="check --region or --url, then run the same command again",
        code="address_wrong",
    )


def _gave_up(note: str) -> StoppedError:
    return StoppedError(
        f"the API took nothing for too long: {note}",
        hint="nothing is lost; run the same command again to go on",
        code="retries_exhausted",
    )


def _too_many_refused(note: str) -> GateError:
    return GateError(
        f"half of the last 300 events were refused by the API: {note}",
        hint="mend the mapping; --max-rejects 100% sends on nevertheless",
        code="too_many_refused",
    )


def _canary_died(note: str) -> GateError:
    return GateError(
        f"the API refused every event of the first batch, nothing was settled: {note}",
        hint="mend the mapping; --max-rejects 100% sends on nevertheless",
        code="first_batch_refused",
    )


def over_allowance(allowance: Allowance, counts: Counts) -> GateError | None:
    """Give the error of the gate `--max-rejects`, if it fires."""
    failed = counts.rejected + counts.refused
    if not allowance.exceeded(failed=failed, read=counts.read):
        return None
    return GateError(
        f"{failed:,} of {counts.read:,} records were rejected or refused, --max-rejects allows {allowance}",
        hint="look at the reject report; raise --max-rejects to go on",
        code="too_many_rejects",
    )


def over_allowance_first(allowance: Allowance, judged: Mapping[str, Counts]) -> GateError | None:
    """Give the error of the same gate where all was judged before anything was sent.

    Args:
        allowance: For each source.
        judged: What was counted, by source.
    """
    over = {path: counts for path, counts in judged.items() if over_allowance(allowance, counts)}
    if not over:
        return None
    told = [
        f"{path}: {counts.rejected + counts.refused:,} of {counts.read:,}"
        for path, counts in over.items()
    ]
    more = f" and {len(told) - _SOURCES_TOLD:,} more" if len(told) > _SOURCES_TOLD else ""
    return GateError(
        "all was judged first; more records were rejected or refused than --max-rejects"
        f" {allowance} allows ({'; '.join(told[:_SOURCES_TOLD])}{more})",
        hint="this run sent nothing; look at the reject report; raise --max-rejects to go on",
        code="too_many_rejects",
    )
