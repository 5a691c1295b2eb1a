"""`ingest retry`: mended rejects come back, and what is held gets an end.

1. The file is read and put in order; each of its rows belongs to a load by its reject id.
2. Chunk by chunk, mended rows are judged as the load was judged. What passes is recorded as held,
   with its mended form, in one commit; nothing was sent yet.
3. What was taken back is sent under the same event_uuid, with intent and receipts as any event.

A crash at any point leaves what is recorded; the same command goes on. A `run` does not touch what
is held, so it can never send the form that was rejected.
"""

import asyncio
import random
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AsyncExitStack, ExitStack, contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any, Final, Literal
from uuid import UUID

from ingest.config import Input, RunConfig
from ingest.config.reading import Reading
from ingest.core.batching import MAX_BYTES
from ingest.core.figures import counted, duration
from ingest.core.guard import guard, printable
from ingest.core.ledger import bitmap, members
from ingest.core.load import ChunkState, Load, Note
from ingest.core.model import Dialect, Position, Violation
from ingest.core.reject_id import parse_reject_id, reject_id
from ingest.edges.attempts import AttemptLog
from ingest.edges.report import listed, report_directory, sweep, write_table
from ingest.edges.returned import ReturnedFile
from ingest.edges.source import LocalFile, ProvenReader
from ingest.edges.store import Store
from ingest.engine.local import ahead
from ingest.errors import IngestError, UsageError
from ingest.pipeline.delivery import Clock, Delivery
from ingest.pipeline.mended import (
    MENDED,
    Answer,
    TakeBack,
    Taken,
    Terms,
    prepare,
    refused_by_hand,
)
from ingest.pipeline.payload import Prepared
from ingest.pipeline.prepare import Preparer, Work
from ingest.pipeline.recorded import book_of, flags_of, loads_of, mapping_of, opened_store
from ingest.pipeline.recorder import Recorder
from ingest.pipeline.run import (
    _begin,
    _conclude,
    _first,
    _on_signals,
    _report,
    _result,
    _Run,
    _Wire,
)
from ingest.pipeline.run import (
    _terms as _sending_terms,
)
from ingest.pipeline.sources import Opened, RuleBook, hold_load
from ingest.pipeline.stop import Stop

Wish = Literal["send", "delivered", "drop"]
"""What somebody decided about held records."""

ANSWERS: Final = "returned.csv"
_MENDED: Final = "mended"


@dataclass(slots=True)
class _Return:
    """What a retry has in its hands.

    Args:
        run: The invocation.
        file: What came back.
        accept: Columns in which any edit is taken.
        stop: Why it ends early, if it does.
    """

    run: _Run
    file: ReturnedFile
    accept: frozenset[str]
    stop: Stop


def retry_command(
    config: RunConfig, path: str, *, accept: Iterable[str], as_json: bool
) -> dict[str, Any]:
    """Take a mended reject report back and send what it mends; give the summary.

    Raises:
        IngestError: Nothing was taken: the file, a setting or the ledger cannot be used.
    """
    with ExitStack() as stack:
        file = stack.enter_context(ReturnedFile(path))
        store = stack.enter_context(opened_store(config))
        loads = _loads_of(file, store, config)
        run = _start(config, stack, as_json=as_json)
        _vouch(run, store)
        stop = Stop(tell=run.display.tell)
        returned = _Return(run, file, frozenset(accept), stop)
        error = asyncio.run(_retry_all(returned, store, loads))
        run.more["retry"] = _told(returned)
        return _conclude(run, store, error)


def settle_command(config: RunConfig, run_id: str, wish: Wish, *, as_json: bool) -> dict[str, Any]:
    """Give an end to all that is held of the loads of a run; give the summary.

    Raises:
        IngestError: Nothing was changed: the run is not known, or the ledger cannot be used.
    """
    with ExitStack() as stack:
        store = stack.enter_context(opened_store(config))
        loads = loads_of(store, run_id, config)
        run = _start(config, stack, as_json=as_json)
        if wish == "send":
            _vouch(run, store)
        stop = Stop(tell=run.display.tell)
        error = asyncio.run(_settle_all(run, store, loads, wish, stop))
        return _conclude(run, store, error)


def _start(config: RunConfig, stack: ExitStack, *, as_json: bool) -> _Run:
    report_directory(config.report_dir)
    run = _begin(config, as_json=as_json)
    stack.callback(run.display.end)
    return run


def _vouch(run: _Run, store: Store) -> None:
    config = run.config
    if config.key is not None:
        store.vouch(config.destination, config.key, rekey=config.rekey)


# -- which loads -----------------------------------------------------------------------------


def _loads_of(file: ReturnedFile, store: Store, config: RunConfig) -> list[Load]:
    """The loads that the rows belong to, at the destination of the flags."""
    known = store.loads()
    found = []
    for prefix in file.prefixes:
        alike = [load for load in known if _prefix(load.source_id) == prefix]
        here = [load for load in alike if load.destination == config.destination]
        if not here:
            raise _unknown(file, config, alike, file.count(prefix))
        found.append(here[-1])
    if not found:
        raise UsageError(
            f"{printable(file.path)} has no row that can be taken back"
            + (f": {file.trouble}" if file.trouble else ""),
            hint="keep the column _reject_id as it is",
            code="nothing_to_retry",
        )
    return sorted(found, key=lambda load: load.load_id)


def _prefix(source_id: UUID) -> int:
    return parse_reject_id(reject_id(source_id, 1)).prefix


def _unknown(file: ReturnedFile, config: RunConfig, alike: Sequence[Load], rows: int) -> UsageError:
    what = f"{counted(rows, 'row')} of {printable(file.path)} belong to no load of"
    where = f"{config.destination.origin}, account {config.destination.account}"
    if not alike:
        return UsageError(
            f"{what} this ledger",
            hint="--state DIR, as the run had it",
            code="unknown_load",
        )
    return UsageError(f"{what} {where}", hint=flags_of(alike[-1]), code="unknown_load")


# -- taking back -----------------------------------------------------------------------------


async def _retry_all(returned: _Return, store: Store, loads: Sequence[Load]) -> IngestError | None:
    stop = returned.stop
    _on_signals(stop)
    async with AsyncExitStack() as stack:
        wire = _Wire(returned.run, stack)
        for number, load in enumerate(loads, start=1):
            if stop.asked:
                break
            try:
                await _retry_one(returned, store, load, number, wire)
            except IngestError as error:
                stop.ask(error)
    return stop.error


async def _retry_one(returned: _Return, store: Store, load: Load, number: int, wire: _Wire) -> None:
    run, stop = returned.run, returned.stop
    with hold_load(run.config.shared, load, holder=run.holder):
        load = _fresh(store, load)
        terms = _terms(run, store, load, accept=returned.accept)
        states = store.chunks(load)
        run.took_up(load, states)
        load = store.claim(replace(load, run_id=run.run_id))
        terms = replace(terms, load=load)
        sweep(terms.segments)
        try:
            records = await asyncio.to_thread(_take_back, returned, store, terms, states)
            await _send(run, store, terms, records, wire=wire, stop=stop)
        finally:
            _tell_ends(returned, store, load)
            run.results.append(_report(run, store, load, number, stop))


def _terms(run: _Run, store: Store, load: Load, *, accept: frozenset[str] = frozenset()) -> Terms:
    return terms_of(run.config, store, load, now=run.started, run_id=run.run_id, accept=accept)


def _fresh(store: Store, load: Load) -> Load:
    """The load as recorded now that it is locked."""
    return next(each for each in store.loads() if each.load_id == load.load_id)


def terms_of(
    config: RunConfig,
    store: Store,
    load: Load,
    *,
    now: datetime,
    run_id: str,
    accept: frozenset[str] = frozenset(),
) -> Terms:
    """Give what the records of a load are judged and sent by, from what is recorded of it.

    Raises:
        UsageError: A column of `accept` is not there.
        MismatchError: The flags of today make other rules.
    """
    form: Any = load.form
    columns = tuple(form["columns"])
    foreign = accept - set(columns)
    if foreign and columns:  # JSON lines have none
        raise UsageError(
            f"--accept-edits {printable(min(foreign))}: {load.path} has no such column",
            hint=f"its columns: {printable(', '.join(columns), most=300)}",
            code="unknown_column",
        )
    return Terms(
        load=load,
        columns=columns,
        dialect=Dialect(**form["dialect"]),
        max_record_bytes=form["max_record_bytes"],
        mapping=mapping_of(load),
        book=book_of(config, load),
        segments=store.segments(load),
        room=MAX_BYTES - config.endpoint.wrapper.overhead,
        now=now,
        accept=accept,
        run_id=run_id,
    )


def _take_back(
    returned: _Return, store: Store, terms: Terms, states: Sequence[ChunkState]
) -> dict[int, int]:
    """Record what was mended, chunk by chunk; give the records to send as bitmaps by chunk."""
    load, file = terms.load, returned.file
    prefix = _prefix(load.source_id)
    back = TakeBack(terms)
    found: dict[int, int] = {}
    for state in states:
        if returned.stop.asked:
            return {}
        chunk = state.chunk
        rows = list(file.of(prefix, chunk.start.record + 1, chunk.stop.record + 1))
        if not rows:
            continue
        taken = back.chunk(
            state,
            rows,
            refused=list(store.notes(load, "refused", chunk_id=chunk.chunk_id)),
            mended=list(store.notes(load, MENDED, chunk_id=chunk.chunk_id)),
        )
        if taken.changed:
            store.commit(load, states=[taken.state], notes=taken.notes, gone=taken.gone)
            _forget(terms.segments, state, taken)
        found[chunk.chunk_id] = taken.records
        _keep(file, taken.answers)
    last = states[-1].chunk.stop.record if states else 0
    beyond = (
        Answer(row, "not_rejected", detail="its source has no such record")
        for row in file.of(prefix, last + 1)
    )
    _keep(file, beyond)
    return found


def _forget(segments: Path, before: ChunkState, taken: Taken) -> None:
    """Remove the segment that no row of the ledger names any more."""
    old, new = before.findings.segment, taken.state.findings.segment
    if old is not None and (new is None or new.name != old.name):
        (segments / old.name).unlink(missing_ok=True)


# -- sending ---------------------------------------------------------------------------------


async def _send(
    run: _Run,
    store: Store,
    terms: Terms,
    records: dict[int, int],
    *,
    wire: _Wire,
    stop: Stop,
) -> None:
    """Send mended records of a load; returns when each has its receipt."""
    load = terms.load
    chosen = [
        (state, records[state.chunk.chunk_id])
        for state in store.chunks(load)
        if records.get(state.chunk.chunk_id)
    ]
    if not chosen or stop.asked:
        return
    events = sum(bits.bit_count() for _, bits in chosen)

    def feed(reader: Store) -> Iterator[Prepared]:
        for state, bits in chosen:
            notes = list(reader.notes(load, MENDED, chunk_id=state.chunk.chunk_id))
            yield prepare(terms, state, notes, bits)

    # A connection is used by one thread at a time: what reads ahead has one of its own.
    with Store(run.config.state) as reader:
        ready = feed(reader)
        await _deliver(run, store, load, ready, terms.book, wire=wire, stop=stop, events=events)


async def _deliver(
    run: _Run,
    store: Store,
    load: Load,
    ready: Iterator[Prepared],
    book: RuleBook,
    *,
    wire: _Wire,
    stop: Stop,
    events: int,
) -> None:
    connect, limit = wire()
    run.display.tell(_plan(run, events))
    try:
        with AttemptLog(store.segments(load)) as log:
            recorder = Recorder(
                store,
                load,
                on_commit=lambda _: None,
                log=lambda attempts: log.append({"run": run.run_id, **one} for one in attempts),
            )
            delivery = Delivery(
                _sending_terms(run, book),
                connect=connect,
                pacer=limit,
                recorder=recorder,
                stop=stop,
                clock=Clock(time.monotonic, time.time, random.random),
                traffic=run.traffic,
                tell=run.display.tell,
            )
            async with ahead(ready) as feed:
                await delivery.run(feed)
    except* IngestError as group:
        raise _first(group) from group


def _plan(run: _Run, events: int) -> str:
    """The plan line: an estimate, since batches end with their chunk."""
    config = run.config
    calls = -(-events // config.batch_size)
    rate = f", {duration(calls / config.rate)} at {config.rate:g} calls/s" if config.rate else ""
    return (
        f"sends {counted(events, 'mended or held event')} in about {counted(calls, 'call')}{rate};"
        f" to {run.url} (account {config.destination.account})"
    )


# -- what is held ----------------------------------------------------------------------------


async def _settle_all(
    run: _Run, store: Store, loads: Sequence[Load], wish: Wish, stop: Stop
) -> IngestError | None:
    _on_signals(stop)
    async with AsyncExitStack() as stack:
        wire = _Wire(run, stack)
        for number, load in enumerate(loads, start=1):
            if stop.asked:
                break
            try:
                await _settle_one(run, store, load, number, wish, wire=wire, stop=stop)
            except IngestError as error:
                stop.ask(error)
    return stop.error


async def _settle_one(
    run: _Run, store: Store, load: Load, number: int, wish: Wish, *, wire: _Wire, stop: Stop
) -> None:
    with hold_load(run.config.shared, load, holder=run.holder):
        load = _fresh(store, load)
        states = store.chunks(load)
        run.took_up(load, states)
        if not any(state.progress.held for state in states):
            run.results.append(_result(store, load, skipped="nothing is held"))
            return
        terms = _terms(run, store, load)
        load = store.claim(replace(load, run_id=run.run_id))
        terms = replace(terms, load=load)
        try:
            if wish == "send":
                await _send_held(run, store, terms, states, wire=wire, stop=stop)
            else:
                for state in states:
                    if state.progress.held:
                        _declare(run, store, terms, state, wish)
        finally:
            run.results.append(_report(run, store, load, number, stop))


async def _send_held(
    run: _Run,
    store: Store,
    terms: Terms,
    states: Sequence[ChunkState],
    *,
    wire: _Wire,
    stop: Stop,
) -> None:
    """Send what is held: mended records in that form, the others as the source has them."""
    split = {state.chunk.chunk_id: _split(store, terms.load, state) for state in states}
    mended = {number: bits for number, (bits, _) in split.items() if bits}
    await _send(run, store, terms, mended, wire=wire, stop=stop)
    plain = {number: bits for number, (_, bits) in split.items() if bits}
    if not plain or stop.asked:
        return
    released = [
        _decided(state, plain[state.chunk.chunk_id], "pending")
        for state in store.chunks(terms.load)
        if state.chunk.chunk_id in plain
    ]
    events = sum(bits.bit_count() for bits in plain.values())
    with _source(terms) as opened:
        ready = _prepared(terms, opened, released)
        await _deliver(
            run, store, terms.load, ready, terms.book, wire=wire, stop=stop, events=events
        )


def _split(store: Store, load: Load, state: ChunkState) -> tuple[int, int]:
    """The held records of a chunk that are mended, and the others."""
    notes = store.notes(load, MENDED, chunk_id=state.chunk.chunk_id)
    mended = bitmap(note.record for note in notes) & state.progress.held
    return mended, state.progress.held & ~mended


def _decided(
    state: ChunkState, records: int, end: Literal["pending", "delivered", "refused"]
) -> ChunkState:
    return replace(state, progress=state.progress.recover(records).decide(records, end))


def _declare(run: _Run, store: Store, terms: Terms, state: ChunkState, wish: Wish) -> None:
    """Record that the held records of a chunk are delivered, or given up."""
    chunk_id = state.chunk.chunk_id
    mended, plain = _split(store, terms.load, state)
    kept = [
        note
        for note in store.notes(terms.load, MENDED, chunk_id=chunk_id)
        if mended >> note.record & 1
    ]
    notes = list(prepare(terms, state, kept, mended).notes)
    end: Literal["delivered", "refused"] = "delivered" if wish == "delivered" else "refused"
    if end == "refused":
        violation = _given_up(terms, run)
        notes += [refused_by_hand(note, violation) for note in kept]
        notes += _plain_refusals(terms, state, plain, violation)
    store.commit(terms.load, states=[_decided(state, mended | plain, end)], notes=notes)


def _given_up(terms: Terms, run: _Run) -> Violation:
    refused = terms.book.codes["api_refused"]
    message = (
        f"It was held, and given up by hand (run {run.run_id}); whether it arrived is not known."
    )
    return Violation(refused.code, (), message, "Mend it and retry, if it is to be sent after all.")


def _plain_refusals(
    terms: Terms, state: ChunkState, records: int, violation: Violation
) -> list[Note]:
    """Notes of refusals for records that stand in the source alone."""
    if not records:
        return []
    words = {"code": violation.code, "message": violation.message, "hint": violation.hint}
    with _source(terms) as opened:
        (prepared,) = _prepared(terms, opened, [_decided(state, records, "pending")])
        describe = prepared.payload.describe
        return [
            Note(state.chunk.chunk_id, record, "refused", {**describe(record), **words})
            for record in members(records)
        ]


@contextmanager
def _source(terms: Terms) -> Iterator[Opened]:
    """The source of a load, opened as it was read; each byte read of it proves itself."""
    load = terms.load
    start: Any = load.form["start"]
    with LocalFile(load.path) as file:
        file.recall(load.identity.size)
        yield Opened(
            file=file,
            input=Input(reading=Reading(max_record_bytes=terms.max_record_bytes)),
            book=terms.book,
            dialect=terms.dialect,
            columns=terms.columns,
            start=Position(*start),
            mapping=terms.mapping,
        )


def _prepared(terms: Terms, opened: Opened, states: Sequence[ChunkState]) -> Iterator[Prepared]:
    """What is pending of chunks, and nothing behind them."""
    work = Work(
        load=terms.load,
        opened=opened,
        read_at=ProvenReader(opened.file, terms.load.identity),
        segments=terms.segments,
        room=terms.room,
        now=terms.now,
        limits=terms.limits,
    )
    preparer = Preparer(work)
    for state in states:
        yield from preparer.all([state], limit=state.chunk.stop.record)


# -- what is told ----------------------------------------------------------------------------


def _keep(file: ReturnedFile, answers: Iterable[Answer]) -> None:
    file.answer(
        (
            each.row.place,
            each.row.prefix,
            each.row.record,
            each.row.reject_id,
            each.outcome,
            listed(each.columns),
            listed(each.not_taken),
            each.restored,
            each.detail,
        )
        for each in answers
    )


def _tell_ends(returned: _Return, store: Store, load: Load) -> None:
    """Put the ends that mended records met into their answers."""
    prefix = _prefix(load.source_id)
    for state in store.chunks(load):
        first, progress = state.chunk.start.record + 1, state.progress
        ends = {"delivered": progress.delivered, "refused": progress.refused}
        waiting = returned.file.answered(prefix, first, state.chunk.stop.record + 1, _MENDED)
        for record in waiting:
            end = next((e for e, bits in ends.items() if bits >> (record - first) & 1), "not_sent")
            returned.file.amend(prefix, record, end)


def _told(returned: _Return) -> dict[str, Any]:
    file, run = returned.file, returned.run
    directory = report_directory(run.config.report_dir, run.run_id)
    path = write_table(directory / ANSWERS, _ANSWER_COLUMNS, _answer_rows(file))
    outcomes = file.outcomes()
    return {
        "file": file.path,
        "rows": file.rows,
        "outcomes": {name: count for name, (count, _) in outcomes.items()},
        "row_numbers": {name: places for name, (_, places) in outcomes.items()},
        "restored_cells": file.restored,
        "edits_not_taken": file.not_taken(),
        "answers": str(path),
    }


_ANSWER_COLUMNS: Final = (
    *("row", "_reject_id", "record", "outcome"),
    *("columns", "columns_not_taken", "cells_restored", "detail"),
)


def _answer_rows(file: ReturnedFile) -> Iterator[Sequence[str]]:
    for answer in file.answers():
        yield [guard("" if each is None else printable(f"{each}")) for each in answer]
