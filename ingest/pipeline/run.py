"""A run from its first look at the sources to its summary."""

import asyncio
import errno
import math
import os
import random
import secrets
import signal
import sys
import tempfile
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, ExitStack
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path, PurePath
from typing import Any
from uuid import UUID

from ingest.config import SANDBOX_RATE, RunConfig, flags_for
from ingest.core.address import Address, address_of
from ingest.core.adoption import Claim
from ingest.core.batching import MAX_BYTES
from ingest.core.figures import counted
from ingest.core.guard import printable
from ingest.core.ledger import Counts
from ingest.core.load import ChunkState, Load, tally, total
from ingest.core.model import Violation
from ingest.core.outcome import RetryPolicy
from ingest.core.timeline import Timeline
from ingest.edges.attempts import AttemptLog, read_attempts
from ingest.edges.display import Display, Standing
from ingest.edges.framing import Limits
from ingest.edges.limit import SharedLimit, limit_file
from ingest.edges.report import report_directory, sweep, write_document, write_summary
from ingest.edges.source import ProvenReader
from ingest.edges.store import RunRow, Store, set_aside
from ingest.engine.local import ahead
from ingest.errors import (
    IngestError,
    InterruptedRun,
    StoppedError,
    UsageError,
)
from ingest.pipeline.adoption import adopt, claimed, read_claims
from ingest.pipeline.delivery import (
    Clock,
    Delivery,
    Sender,
    Terms,
    Traffic,
    over_allowance,
    over_allowance_first,
)
from ingest.pipeline.known import Found, KnownLoads
from ingest.pipeline.page import Told, causes_of, page_of, timeline_of, told
from ingest.pipeline.payload import Prepared
from ingest.pipeline.planning import Plan
from ingest.pipeline.prepare import Preparer, Work
from ingest.pipeline.receipts import digest_in, report_digests
from ingest.pipeline.recorded import identity_of, loads_of, mapping_of, opened_store, reopened
from ingest.pipeline.recorder import Recorder
from ingest.pipeline.reporting import write_source_reports
from ingest.pipeline.sources import (
    SPOOL,
    SPOOLED,
    Opened,
    Refused,
    RuleBook,
    RuleBooks,
    check_config,
    check_growth,
    is_spooled,
    lock_file,
    lock_load,
    new_load,
    opened,
)
from ingest.pipeline.stop import Stop
from ingest.pipeline.summary import SourceResult, exit_code_of, summary_of

DRAIN_S = 15.0
"""Seconds that requests under way have after the first signal."""

_SANDBOX_SLACK_S = 0.25

FIRST_BUDGET_S = 60.0
"""Seconds for which a batch is tried while the API has not answered anything yet."""


@dataclass(slots=True)
class _Run:
    """What one invocation has in its hands."""

    config: RunConfig
    books: RuleBooks
    run_id: str
    started: datetime
    began_s: float
    display: Display
    traffic: Traffic = field(default_factory=Traffic)
    plan: dict[str, Any] = field(default_factory=dict)
    results: list[SourceResult] = field(default_factory=list)
    before: Counts = field(default_factory=Counts)
    url: str | None = None
    bad: list[dict[str, str]] = field(default_factory=list)
    seen: set[UUID] = field(default_factory=set)
    counted: set[UUID] = field(default_factory=set)
    more: dict[str, Any] = field(default_factory=dict)
    rejects: dict[UUID, Told] = field(default_factory=dict)
    left_s: float | None = None
    claims: Sequence[Claim] = ()

    def skip(self, sources: Sequence[Refused]) -> None:
        """Report sources that `--skip-bad-files` leaves out."""
        for source in sources:
            self.bad.append({"path": source.path, "reason": source.error.message})
            self.display.tell(f"left out: {source.error.message}")

    def took_up(self, load: Load, states: Sequence[ChunkState]) -> bool:
        """Remember how far a load had come before this run; give whether it came up before."""
        again = load.source_id in self.seen
        self.seen.add(load.source_id)
        self.count_before(load, states)
        return again

    def count_before(self, load: Load, states: Sequence[ChunkState]) -> None:
        """Remember how far a load had come before this run, once."""
        if load.source_id not in self.counted:
            self.counted.add(load.source_id)
            self.before += total(states)

    @property
    def holder(self) -> str:
        return f"pid {os.getpid()}, run {self.run_id}, since {self.started:%Y-%m-%d %H:%M:%S} UTC"


def run_command(config: RunConfig, *, as_json: bool) -> dict[str, Any]:
    """Check and send all sources; give the summary.

    Raises:
        IngestError: Nothing was begun: a source, a setting or the ledger cannot be used.
    """
    run = _begin(config, as_json=as_json)
    run.claims = read_claims(config)
    with ExitStack() as stack:
        sources, store = _resumed(run, stack) if config.resume else _found(run, stack)
        if config.key is not None:
            store.vouch(config.destination, config.key, rekey=config.rekey)
        stack.callback(run.display.end)
        error = asyncio.run(_send_all(run, sources, store))
        if config.key is not None and run.traffic.answered:
            store.tie(config.destination, config.key)
        return _conclude(run, store, error)


def _found(run: _Run, stack: ExitStack) -> tuple[list[Opened], Store]:
    config = run.config
    spool = config.state / SPOOL
    sources, bad = stack.enter_context(opened(config, run.books, spool=spool, run_id=run.run_id))
    run.skip(bad)
    _prove(config.report_dir)
    return sources, stack.enter_context(_store(config.state, anew=config.adopt is not None))


def _resumed(run: _Run, stack: ExitStack) -> tuple[list[Opened], Store]:
    """The sources of `--resume`, as they were begun; what is complete is only told."""
    config, name = run.config, str(run.config.resume)
    if any(one.paths or one.listed for one in config.inputs):
        raise UsageError(
            f"--resume {printable(name)} goes on with the sources of that run: name no others",
            hint=f"ingest run --resume {printable(name)}{flags_for(config.destination)}",
            code="resume_with_sources",
        )
    store = stack.enter_context(opened_store(config))
    kept = config.state / SPOOL / f"{SPOOLED}{name}"
    known = store.loads_of(name) or any(load.run_id == name for load in store.loads())
    if not known and PurePath(name).name == name and kept.is_file():
        # It was stopped before its first record was in the ledger.
        begun = replace(config.inputs[0], paths=(str(kept.resolve()),))
        run.config = replace(config, inputs=(begun,))
        return _found(run, stack)
    left = []
    for load in loads_of(store, name, config):
        result = _result(store, load, skipped=f"already complete (run {load.run_id}), nothing sent")
        if result.complete and load.reports:
            run.took_up(load, result.states)
            run.results.append(result)
        else:
            left.append(load)
    run.config = identity_of(config, left)
    _prove(config.report_dir)
    return stack.enter_context(reopened(run.config, left)), store


def check_command(config: RunConfig, *, as_json: bool) -> dict[str, Any]:
    """Do all that `run_command` does, up to the socket; give the summary.

    Raises:
        IngestError: A source or a setting cannot be used.
    """
    run = _begin(config, as_json=as_json)
    with ExitStack() as stack:
        spool = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="ingest-check-")))
        sources, bad = stack.enter_context(
            opened(config, run.books, spool=spool, run_id=run.run_id)
        )
        run.skip(bad)
        _prove(config.report_dir)
        stack.callback(run.display.end)
        plan = Plan(config)
        for number, source in enumerate(sources, start=1):
            run.results.append(_check_one(run, source, number, plan))
        run.plan = plan.facts(sources)
        run.display.tell(plan.line(sources))
    code = exit_code_of(
        run.results, error=None, rejects_ok=config.rejects_ok, sends=False, bad=len(run.bad)
    )
    summary = _summary(run, error=None, exit_code=code)
    _write_summary(run, summary, None)
    return summary


_NOT_A_PLACE = {errno.ENOTDIR, errno.EEXIST, errno.EACCES, errno.EROFS, errno.ENAMETOOLONG}


def _prove(directory: Path) -> None:
    """Find out before anything is sent whether reports can be written."""
    try:
        report_directory(directory)
    except StoppedError as error:
        raise _no_place("--report-dir", directory, error) from error


def _store(directory: Path, *, anew: bool) -> Store:
    try:
        if anew:
            set_aside(directory)
        return Store(directory)
    except StoppedError as error:
        raise _no_place("--state", directory, error) from error


def _no_place(flag: str, directory: Path, error: StoppedError) -> IngestError:
    cause = error.__cause__
    if not isinstance(cause, OSError) or cause.errno not in _NOT_A_PLACE:
        return error
    return UsageError(
        f"{flag} {directory} cannot be used: {cause.strerror}",
        hint=f"{flag} takes a directory that you may write to",
        code="directory_unusable",
    )


def _begin(config: RunConfig, *, as_json: bool) -> _Run:
    started = datetime.now(UTC)
    quiet = config.quiet or (as_json and not sys.stderr.isatty())
    return _Run(
        config=config,
        books=RuleBooks(config),
        run_id=f"{started:%Y%m%d-%H%M%S}-{secrets.token_hex(2)}",
        started=started,
        began_s=time.monotonic(),
        display=Display(sys.stderr, quiet=quiet, clock=time.monotonic, form=config.log_format),
    )


# -- check ---------------------------------------------------------------------------------


def _check_one(run: _Run, source: Opened, number: int, plan: Plan) -> SourceResult:
    load = new_load(source, run.config, source.file.identity())
    load = replace(load, run_id=run.run_id)
    with tempfile.TemporaryDirectory(prefix="ingest-check-") as directory:
        work = replace(_work(run, source, load, Path(directory)), sends=False)
        states = []
        for prepared in Preparer(work).all([], limit=run.config.limit):
            states.append(prepared.state)
            plan.add(prepared)
        result = SourceResult(load, tuple(states), limited=run.config.limit is not None)
        result.audit()
        causes = causes_of(load)
        reports = write_source_reports(
            run.config.report_dir,
            number,
            load=load,
            states=states,
            segments=Path(directory),
            refused=(),
            doubtful=(),
            run_id=run.run_id,
            partial=False,
            watch=causes.watch,
        )
    run.rejects[load.source_id] = told(causes, read=result.counts.read)
    return replace(result, reports=reports, report_digests=report_digests(reports))


def _work(run: _Run, source: Opened, load: Load, segments: Path) -> Work:
    return Work(
        load=load,
        opened=source,
        read_at=ProvenReader(source.file, load.identity),
        segments=segments,
        room=MAX_BYTES - run.config.endpoint.wrapper.overhead,
        now=run.started,
        growing=run.config.growing,
        hold_doubt=run.config.hold_doubt,
        limits=Limits(max_record_bytes=source.input.reading.max_record_bytes),
    )


# -- run -----------------------------------------------------------------------------------


async def _send_all(run: _Run, sources: Sequence[Opened], store: Store) -> IngestError | None:
    stop = Stop(tell=run.display.tell)
    _on_signals(stop)
    plan = Plan(run.config)
    _stop_in_time(run, stop)
    async with AsyncExitStack() as stack:
        wire = _Wire(run, stack)
        known = KnownLoads(store, run.config.destination)
        if run.config.check_first:
            await _judge_first(run, sources, store, known, stop=stop)
        for number in range(1, len(sources) + 1):
            if stop.asked:
                break
            try:
                await _send_one(run, sources, number, store, known, wire=wire, stop=stop, plan=plan)
            except IngestError as error:
                stop.ask(error)
    return stop.error


def _on_signals(stop: Stop) -> None:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is signal.SIG_IGN:
            continue  # nohup: the user wants it ignored
        loop.add_signal_handler(number, _signalled, stop, number)


def _signalled(stop: Stop, number: int) -> None:
    error = InterruptedRun(
        f"interrupted by {signal.Signals(number).name}",
        signal_number=number,
        hint="nothing is lost; run the same command again to go on",
    )
    stop.signal(error, drain_s=DRAIN_S)


def _stop_in_time(run: _Run, stop: Stop) -> None:
    by = run.config.finish_by
    if by is None:
        return
    now = datetime.now().astimezone()
    run.left_s = (by.after(now) - now).total_seconds()
    error = StoppedError(
        f"it is {by}: stopped in order",
        hint="nothing is lost; run the same command again to go on",
        code="finish_by",
    )
    asyncio.get_running_loop().call_later(run.left_s, stop.ask, error)


class _Wire:
    """Where requests go: made when the first one is due."""

    def __init__(self, run: _Run, stack: AsyncExitStack) -> None:
        self._run = run
        self._stack = stack
        self._made: tuple[Callable[[], Sender], SharedLimit] | None = None

    def __call__(self) -> tuple[Callable[[], Sender], SharedLimit]:
        if self._made is None:
            # Only where something is sent: half of the time that a small check takes.
            from ingest.edges.client import Client, route_to  # noqa: PLC0415

            config = self._run.config
            address = config.address or self._sandbox()
            self._run.url = address.url(config.endpoint)
            route = route_to(address, config.endpoint, key=config.key or "")
            destination = config.destination
            path = limit_file(
                config.shared / "limits", origin=destination.origin, account=destination.account
            )
            limit = self._stack.enter_context(SharedLimit(path, rate=config.rate))
            self._made = (lambda: Client(route)), limit
        return self._made

    def _sandbox(self) -> Address:
        # Only where it is asked for.
        from ingest.sandbox import BackgroundSandbox, SandboxError, SandboxOptions  # noqa: PLC0415

        config = self._run.config
        options = SandboxOptions.for_one_run(
            config.state / "sandbox.sqlite3",
            identity=config.identity,
            identity_keys=config.identity_keys,
        )
        rate = 0.0 if config.rate is None else max(config.rate, SANDBOX_RATE)
        # Its limit is there to be seen, not to fight with ours over the jitter of a busy machine.
        options = replace(options, rate=rate, slack_s=_SANDBOX_SLACK_S)
        try:
            background = self._stack.enter_context(BackgroundSandbox(options))
        except SandboxError as error:
            raise UsageError(error.message, hint=error.hint, code="sandbox_failed") from error
        return address_of(background.url)


async def _send_one(
    run: _Run,
    sources: Sequence[Opened],
    number: int,
    store: Store,
    known: KnownLoads,
    *,
    wire: _Wire,
    stop: Stop,
    plan: Plan,
) -> None:
    source = sources[number - 1]
    if _is_finished(run, source, store, known, plan=plan):
        return
    with ExitStack() as locks:
        found = await _held(run, source, store, known, stop=stop, locks=locks)
        load, states, skipped = _take_up(run, source, found, store)
        if skipped is not None:
            _skip(run, source, store, load, states, skipped=skipped, plan=plan)
            if not found.moved_from:
                known.put(load)
            return
        run.took_up(load, states)
        plan.leave(sum(_settled_bytes(state) for state in states))
        # Without a place for its reports until they are there: a run that is killed while it
        # renders them is made up for by the next one.
        due = replace(load, run_id=run.run_id, reports="")
        load = store.claim(due) if load.load_id else store.add_load(replace(due, fence=1))
        try:
            states = await asyncio.to_thread(_recover, run, source, load, states, store)
            if not SourceResult(load, tuple(states)).complete:
                await _deliver(
                    run,
                    source,
                    load,
                    states,
                    store,
                    wire=wire,
                    stop=stop,
                    plan=plan,
                    sources=sources,
                )
        finally:
            run.results.append(_report(run, store, load, number, stop))
            _forget_spool(run, source, run.results[-1])
            known.put(run.results[-1].load)


def _is_finished(run: _Run, source: Opened, store: Store, known: KnownLoads, *, plan: Plan) -> bool:
    """Skip a source that is done with and was not touched: nothing is changed, so nothing is held."""
    found = known.untouched(source)
    if found is None or found.load != found.recorded or run.config.rejudge:
        return False
    load, states, skipped = _take_up(run, source, found, store)
    if skipped is None:
        return False
    _skip(run, source, store, load, states, skipped=skipped, plan=plan)
    return True


def _skip(
    run: _Run,
    source: Opened,
    store: Store,
    load: Load,
    states: Sequence[ChunkState],
    *,
    skipped: str,
    plan: Plan,
) -> None:
    again = run.took_up(load, states)
    plan.leave(sum(_settled_bytes(state) for state in states))
    run.results.append(replace(_result(store, load, skipped=skipped, states=states), again=again))
    _forget_spool(run, source, run.results[-1])


async def _held(
    run: _Run,
    source: Opened,
    store: Store,
    known: KnownLoads,
    *,
    stop: Stop,
    locks: ExitStack,
    once: bool = False,
) -> Found:
    """Find the load of a source and hold both; adopt it where a receipt claims it.

    With `once`, a load that came up before in this run is not held.
    """
    config = run.config
    locks.enter_context(lock_file(config, source, holder=run.holder))
    found, claim = await _found_in(run, source, known, stop)
    if once and found.load.source_id in run.counted:
        return found
    locks.enter_context(lock_load(config, source, found.load, holder=run.holder))
    if known.stale:  # another run may have worked on it before it was ours
        held = found.load.source_id
        found, claim = await _found_in(run, source, known, stop)
        if found.load.source_id != held:
            locks.enter_context(lock_load(config, source, found.load, holder=run.holder))
    if claim is not None:
        found, said = await asyncio.to_thread(
            adopt,
            store,
            source,
            claim,
            replace(found.load, run_id=run.run_id, fence=1),
            work=lambda load, segments: _work(run, source, load, segments),
            obey=lambda: _obey(stop),
        )
        run.display.tell(said)
        known.put(found.load)
    return found


async def _found_in(
    run: _Run, source: Opened, known: KnownLoads, stop: Stop
) -> tuple[Found, Claim | None]:
    found = known.untouched(source)
    if found is None:
        found = await asyncio.to_thread(known.find, source, run.config, seen=lambda _: _obey(stop))
    if not (run.claims and found.new):
        return found, None
    claim, load = claimed(run.claims, source, found.load)
    return replace(found, load=load), claim


async def _judge_first(
    run: _Run, sources: Sequence[Opened], store: Store, known: KnownLoads, *, stop: Stop
) -> None:
    """Judge all of every source before anything is sent.

    The verdicts are committed, and final: sending takes them up as a resumed run does. A gate
    that fires stops the run here, with its reports.
    """
    taken: list[tuple[int, Load, str | None]] = []
    for number, source in enumerate(sources, start=1):
        if stop.asked:
            break
        try:
            await _judge_one(run, source, number, store, known, stop=stop, taken=taken)
        except IngestError as error:
            stop.ask(error)
    if not stop.asked:
        judged = {load.path: total(store.chunks(load)) for _, load, skipped in taken if not skipped}
        gate = over_allowance_first(run.config.allowance, judged)
        if gate is None:
            counts = sum(judged.values(), Counts())
            run.display.tell(
                f"judged first: {counted(counts.read, 'record')}, {counts.rejected:,} rejected"
            )
            return
        stop.ask(gate)
    for number, load, skipped in taken:
        if skipped is None:
            run.results.append(_report(run, store, load, number, stop))
        else:
            run.results.append(_result(store, load, skipped=skipped))


async def _judge_one(
    run: _Run,
    source: Opened,
    number: int,
    store: Store,
    known: KnownLoads,
    *,
    stop: Stop,
    taken: list[tuple[int, Load, str | None]],
) -> None:
    """Judge what of one source has no verdict; `taken` gets its load, and why it was skipped."""
    config = run.config
    with ExitStack() as locks:
        found = await _held(run, source, store, known, stop=stop, locks=locks, once=True)
        if found.load.source_id in run.counted:
            return
        load, states, skipped = _take_up(run, source, found, store)
        run.count_before(load, states)
        if skipped is not None:
            taken.append((number, load, skipped))
            if not found.moved_from:
                known.put(load)
            return
        due = replace(load, run_id=run.run_id, reports="")
        load = store.claim(due) if load.load_id else store.add_load(replace(due, fence=1))
        taken.append((number, load, None))
        segments = store.segments(load)
        sweep(segments)
        preparer = Preparer(replace(_work(run, source, load, segments), sends=False))
        showing = _Counting(run, load, states, Stop(tell=run.display.tell))
        run.display.begin(Path(source.file.path).name, records=None)
        try:
            async with ahead(preparer.unjudged(states, limit=config.limit)) as feed:
                async for prepared in feed:
                    state = prepared.state
                    await asyncio.to_thread(
                        store.commit, load, states=[state], notes=prepared.notes
                    )
                    showing.committed([state])
                    if stop.asked:
                        break
            source.file.look_again()
        finally:
            run.display.end()
            known.put(load)


def _settled_bytes(state: ChunkState) -> int:
    chunk = state.chunk
    return 0 if state.progress.pending else chunk.stop.offset - chunk.start.offset


def _forget_spool(run: _Run, source: Opened, result: SourceResult) -> None:
    """Delete standard input as it was kept, once it is done with or there twice."""
    kept = result.load.path
    done = {source.file.absolute, kept} - (set() if result.complete else {kept})
    for path in done:
        if is_spooled(path, run.config):
            Path(path).unlink(missing_ok=True)


def _obey(stop: Stop) -> None:
    if stop.error is not None:
        raise stop.error


def _recover(
    run: _Run, source: Opened, load: Load, states: Sequence[ChunkState], store: Store
) -> list[ChunkState]:
    """Record what a crash left over as in doubt, before anything else can stop this run."""
    preparer: Preparer | None = None
    found = []
    for state in states:
        if not state.progress.intent & ~state.progress.held:  # held: retry sends its mended form
            found.append(state)
            continue
        preparer = preparer or Preparer(_work(run, source, load, store.segments(load)))
        recovered, notes = preparer.recovered(state)
        store.commit(load, states=[recovered], notes=notes)
        found.append(recovered)
    return found


def _take_up(
    run: _Run, source: Opened, found: Found, store: Store
) -> tuple[Load, list[ChunkState], str | None]:
    """Decide what is to be done with a source that was found or is new."""
    if found.new:
        return found.load, [], None
    states = store.chunks(found.load)
    if found.grown:
        check_growth(source, states)
    load = check_config(found.load, source, run.config)
    if run.config.rejudge and load.source_id not in run.counted:
        # What a crash left over had its ids by the mapping of then.
        then = replace(source, mapping=mapping_of(found.load))
        states = _recover(run, then, found.load, states, store)
        judged = replace(load, fence=load.fence + 1)
        states = [_unjudged(state) for state in states]
        store.rejudge(judged, states)
        return judged, states, None
    result = SourceResult(load, tuple(states))
    reported = bool(load.reports) or load.source_id in run.seen
    if not result.complete or not reported:
        return load, states, None
    if found.moved_from:
        here = replace(load, path=source.file.absolute)
        return here, states, f"same as {found.moved_from}, run {load.run_id}, nothing sent"
    if load != found.recorded:
        store.amend(load)
    return load, states, f"already complete (run {load.run_id}), nothing sent"


def _unjudged(state: ChunkState) -> ChunkState:
    progress = state.progress.judge_again(0)
    findings = replace(state.findings, judged=False, codes={}, warnings={}, warned=0, segment=None)
    return replace(state, progress=progress, findings=findings)


async def _deliver(
    run: _Run,
    source: Opened,
    load: Load,
    states: Sequence[ChunkState],
    store: Store,
    *,
    wire: _Wire,
    stop: Stop,
    plan: Plan,
    sources: Sequence[Opened],
) -> None:
    config = run.config
    ledger = _Counting(run, load, states, stop)
    connect, limit = wire()
    segments = store.segments(load)
    sweep(segments)
    preparer = Preparer(_work(run, source, load, segments))
    run.display.begin(Path(source.file.path).name, records=None)
    try:
        with AttemptLog(segments) as log:
            recorder = Recorder(
                store,
                load,
                on_commit=ledger.committed,
                log=lambda attempts: log.append({"run": run.run_id, **one} for one in attempts),
            )
            delivery = Delivery(
                replace(_terms(run, source.book), proven=_proven(states) and not config.rejudge),
                connect=connect,
                pacer=limit,
                recorder=recorder,
                stop=stop,
                clock=Clock(time.monotonic, time.time, random.random),
                traffic=run.traffic,
                tell=run.display.tell,
            )
            async with ahead(preparer.all(states, limit=config.limit)) as feed:
                await delivery.run(_announced(feed, run, sources, plan))
        source.file.look_again()
    except* IngestError as group:
        raise _first(group) from group
    finally:
        run.display.end()


def _proven(states: Sequence[ChunkState]) -> bool:
    return any(state.progress.delivered and state.findings.judged for state in states)


def _first(group: BaseExceptionGroup[IngestError]) -> IngestError:
    for error in group.exceptions:
        return _first(error) if isinstance(error, BaseExceptionGroup) else error
    raise AssertionError("a group has members")


async def _announced(
    feed: AsyncIterator[Prepared], run: _Run, sources: Sequence[Opened], plan: Plan
) -> AsyncGenerator[Prepared, None]:
    """Say what is going to be sent before the first of it leaves."""
    async for prepared in feed:
        plan.add(prepared)
        if not run.plan:
            run.plan = plan.facts(sources, url=run.url)
            run.display.tell(plan.line(sources, url=run.url))
            if run.left_s is not None:
                run.display.tell(plan.in_time(run.plan, run.left_s))
        yield prepared


def _terms(run: _Run, book: RuleBook) -> Terms:
    config = run.config
    refused = book.codes["api_refused"]
    return Terms(
        wrapper=config.endpoint.wrapper,
        max_events=config.batch_size,
        max_bytes=MAX_BYTES,
        concurrency=config.concurrency,
        policy=RetryPolicy(budget_s=config.retry_budget_s),
        first_budget_s=FIRST_BUDGET_S,
        allowance=config.allowance,
        rate=config.rate or math.inf,
        refused=Violation(refused.code, (), refused.message, refused.hint),
    )


class _Counting:
    """Keeps the counts of a load while it is sent, for the gate and the display."""

    def __init__(self, run: _Run, load: Load, states: Sequence[ChunkState], stop: Stop) -> None:
        self._run = run
        self._load = load
        self._stop = stop
        self._counts = {state.chunk.chunk_id: state.counts() for state in states}
        self._total = total(states)
        self._bytes = states[-1].chunk.stop.offset if states else 0
        self._check()

    def _check(self) -> None:
        error = over_allowance(self._run.config.allowance, self._total)
        if error is not None:
            self._stop.ask(error)

    def committed(self, states: Sequence[ChunkState]) -> None:
        """Take in what a commit recorded."""
        for state in states:
            counts = state.counts()
            self._total = self._total.instead(self._counts.get(state.chunk.chunk_id), counts)
            self._counts[state.chunk.chunk_id] = counts
            self._bytes = max(self._bytes, state.chunk.stop.offset)
        self._check()
        self._run.display.show(
            Standing(
                bytes_done=self._bytes,
                bytes_all=self._load.identity.size,
                read=self._total.read,
                delivered=self._total.delivered,
                rejected=self._total.rejected + self._total.refused,
                rate=self._run.config.rate,
                batch=self._run.config.batch_size,
            )
        )


# -- the end -------------------------------------------------------------------------------


def _result(
    store: Store, load: Load, *, skipped: str | None, states: Sequence[ChunkState] | None = None
) -> SourceResult:
    """Count a load from what is recorded; its chunks are read unless they just were."""
    refusals = tally({str(note.body["code"]): 1} for note in store.notes(load, "refused"))
    states = tuple(store.chunks(load) if states is None else states)
    reports = _last_reports(load)
    return SourceResult(
        load,
        states,
        refusals=refusals,
        skipped=skipped,
        reports=reports,
        ledger_digest=digest_in(store, load, states),
        report_digests=report_digests(reports),
    )


def _last_reports(load: Load) -> dict[str, str | None]:
    names = ("rejects_csv", "rejects_xlsx", "rejects_jsonl", "doubt_csv")
    if not load.reports:
        return dict.fromkeys(names)
    paths = {name: Path(load.reports) / name.replace("_", ".") for name in names}
    return {name: str(path) if path.exists() else None for name, path in paths.items()}


def _report(run: _Run, store: Store, load: Load, number: int, stop: Stop) -> SourceResult:
    result = _result(store, load, skipped=None)
    result.audit()
    causes = causes_of(load)
    reports = write_source_reports(
        run.config.report_dir,
        number,
        load=load,
        states=result.states,
        segments=store.segments(load),
        refused=store.notes(load, "refused"),
        doubtful=store.notes(load, "doubt"),
        run_id=run.run_id,
        partial=stop.asked or not result.complete,
        watch=causes.watch,
    )
    run.rejects[load.source_id] = told(causes, read=result.counts.read)
    directory = os.path.realpath(Path(str(reports["rejects_csv"])).parent)
    return replace(
        result,
        load=replace(load, reports=directory),
        reports=reports,
        report_digests=report_digests(reports),
    )


def _left_over(run: _Run) -> StoppedError:
    left = sum(result.counts.unsent - result.counts.held for result in run.results)
    return StoppedError(
        f"{counted(left, 'record')} put aside: their requests failed while others passed",
        hint="nothing is lost; run the same command again to go on",
        code="left_over",
    )


def _is_left(run: _Run, result: SourceResult) -> bool:
    return not result.complete and is_spooled(result.load.path, run.config)


def _conclude(run: _Run, store: Store, error: IngestError | None) -> dict[str, Any]:
    code = exit_code_of(
        run.results,
        error=error,
        rejects_ok=run.config.rejects_ok,
        sends=True,
        bad=len(run.bad),
    )
    if error is None and code == StoppedError.exit_code:
        error = _left_over(run)
    if error is not None and any(_is_left(run, result) for result in run.results):
        flags = f"--resume {run.run_id}{flags_for(run.config.destination)}"
        error.hint = error.hint.replace(
            "run the same command again to go on", f"to go on: ingest run {flags}"
        )
    summary = _summary(run, error=error, exit_code=code)
    try:
        _record(run, store, summary)
    except StoppedError:
        if error is None:
            raise  # else: what stopped the run is said, and it keeps the run from being recorded
    return summary


def _record(run: _Run, store: Store, summary: dict[str, Any]) -> None:
    worked = [result.load for result in run.results if result.skipped is None]
    if worked:
        attempts = (each for load in worked for each in read_attempts(store.segments(load)))
        _write_summary(run, summary, timeline_of(attempts, run.run_id))
    for load in worked:
        store.amend(load)
    store.record_run(
        RunRow(
            run_id=run.run_id,
            started_at=summary["started_at"],
            finished_at=datetime.now(UTC).isoformat(timespec="milliseconds"),
            status=summary["status"],
            exit_code=summary["exit_code"],
            summary=summary,
        ),
        [result.load for result in run.results],
    )


def _summary(run: _Run, *, error: IngestError | None, exit_code: int) -> dict[str, Any]:
    config = run.config
    directory = run.config.report_dir / run.run_id
    worked = any(result.skipped is None for result in run.results)
    summary = summary_of(
        run.results,
        run={
            "run_id": run.run_id,
            "started_at": run.started.isoformat(timespec="milliseconds"),
            "duration_s": round(time.monotonic() - run.began_s, 3),
        },
        error=error,
        exit_code=exit_code,
        destination={
            "url": run.url or (config.address.url(config.endpoint) if config.address else None),
            "endpoint": config.endpoint.value,
            "account": config.destination.account,
            "origin": config.destination.origin,
        },
        plan=run.plan,
        before=run.before,
        requests={
            "sent": run.traffic.sent,
            "retried": run.traffic.retried,
            "status": dict(run.traffic.status),
        },
        reports={
            "directory": str(directory) if worked else _last_directory(run.results),
            "html": None if worked else _last_report(run.results, "report.html"),
            "summary": str(directory / "summary.json")
            if worked
            else _last_report(run.results, "summary.json"),
        },
        bad=run.bad,
    )
    return summary | run.more


def _last_directory(results: Sequence[SourceResult]) -> str | None:
    places = [result.load.reports for result in results if result.load.reports]
    return str(Path(places[-1]).parent) if places else None


def _last_report(results: Sequence[SourceResult], name: str) -> str | None:
    directory = _last_directory(results)
    path = Path(directory) / name if directory else None
    return str(path) if path and path.exists() else None


def _write_summary(run: _Run, summary: dict[str, Any], timeline: Timeline | None) -> None:
    """Write the page and then the summary that names it; `timeline` is None for a check."""
    directory = report_directory(run.config.report_dir, run.run_id)
    page = page_of(
        summary,
        run.results,
        run.rejects,
        timeline,
        directory=directory,
        sends=timeline is not None,
    )
    summary["reports"]["html"] = str(write_document(directory / "report.html", page))
    write_summary(directory / "summary.json", summary)
