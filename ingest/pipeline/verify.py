"""`ingest verify`: what became, after its 200, of what a run delivered.

The API answers before it processes. What it cannot process it exports as error records; joined to
the load by event_uuid, each gets its line. What it has processed shows in the history, of which
the API gives a sample only.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Final

from ingest.config import SANDBOX_ORIGIN, RunConfig
from ingest.core.exported import Failures, causes, key_of
from ingest.core.guard import guard, printable
from ingest.core.load import ChunkState, Load, tally
from ingest.core.model import Reject
from ingest.edges.report import write_table
from ingest.edges.source import Objects, exported_files
from ingest.edges.store import Store
from ingest.errors import UsageError
from ingest.pipeline.history import Shown, history_of
from ingest.pipeline.page import Told, causes_of, told
from ingest.pipeline.receipts import digest_in, report_digests
from ingest.pipeline.recorded import opened_store
from ingest.pipeline.rendering import Order, place_of, run_of, write_page
from ingest.pipeline.reporting import rejects_of
from ingest.pipeline.sent import Sent, sent_records
from ingest.pipeline.summary import SourceResult, refusals_of, status_of

FAILED_LATER: Final = "failed_later.csv"
_COLUMNS: Final = (
    "record",
    "line",
    "offset",
    "event_uuid",
    "event",
    "end",
    "error_message",
    "times",
    "error_file",
)
_MOST_CAUSES: Final = 20
_MOST_MESSAGE: Final = 1000
_SAMPLES: Final = 3
_SOME_FAILED: Final = 3
_KINDS: Final = ("rejects_csv", "rejects_xlsx", "rejects_jsonl", "doubt_csv")


@dataclass(frozen=True, slots=True)
class Evidence:
    """What the loads of a run are compared with.

    Args:
        failures: Blueshift's error records; None where none were given.
        files: How many files they came from.
        unreadable: Parts of those that are no error record.
        shown: What history shows, by event name; None where it was not asked.
        limit: Events of a name that history was asked for.
    """

    failures: Failures | None = None
    files: int = 0
    unreadable: int = 0
    shown: Sequence[Shown] | None = None
    limit: int = 0


@dataclass(slots=True)
class _Found:
    """What was joined so far, over all loads of the run."""

    records: int = 0
    failed: int = 0
    error_records: int = 0
    seen: set[str] = field(default_factory=set)
    messages: Counter[str] = field(default_factory=Counter)
    samples: dict[str, list[dict[str, Any]]] = field(default_factory=dict)


def verify_command(
    config: RunConfig,
    run_id: str,
    *,
    errors: Sequence[str],
    history: int | None,
    key: Callable[[], str],
) -> dict[str, Any]:
    """Join what the API says of a run to its records, write it into its reports; give the summary.

    Args:
        config: The ledger, and where reports are.
        run_id: The run.
        errors: Files and directories of error records.
        history: How many of the newest events of each name to ask for; None: nothing is asked.
        key: Gives the API key, where one is needed.

    Raises:
        UsageError: There is no such run, nothing to compare with, or a source is gone.
        MismatchError: The ledger, a segment or a source is not what was recorded.
        IngestError: History was asked for, and not given.
    """
    if not errors and history is None:
        raise UsageError(
            "verify needs something to compare the run with",
            hint="--errors PATH (Blueshift's error records from S3), or --history 50",
            code="usage",
        )
    with opened_store(config) as store:
        order, loads = run_of(config, store, run_id)
        states = {load.load_id: store.chunks(load) for load in loads}
        evidence = _evidence(config, loads, states, errors=errors, history=history, key=key)
        found = _Found()
        results, rejects = [], {}
        for number, load in enumerate(loads, start=1):
            result, turned_away = _one(
                order, store, load, states[load.load_id], number, evidence, found
            )
            results.append(result)
            rejects[load.source_id] = turned_away
        verified = _told(evidence, found)
        summary = write_page(order, store, results, rejects, more={"verified": verified})
    code = verified["exit_code"]
    return summary | {"exit_code": code, "status": status_of(code), "reason": None} | _NO_ERROR


_NO_ERROR: Final = {"error": {"code": "", "message": "", "hint": ""}}


def _evidence(
    config: RunConfig,
    loads: Sequence[Load],
    states: dict[int, list[ChunkState]],
    *,
    errors: Sequence[str],
    history: int | None,
    key: Callable[[], str],
) -> Evidence:
    evidence = Evidence()
    if errors:
        failures, unreadable, files = Failures(), 0, exported_files(errors)
        for path in files:
            objects = Objects(path)
            for value in objects:
                failures.add(value, file=path)
            unreadable += objects.unreadable
        evidence = replace(evidence, failures=failures, files=len(files), unreadable=unreadable)
    if history is not None:
        events = tally(s.findings.events for each in states.values() for s in each)
        names = [name for name in events if name]
        destination = loads[0].destination
        secret = SANDBOX_ORIGIN if destination.origin == SANDBOX_ORIGIN else key()
        shown = history_of(config, destination, names, limit=history, key=secret)
        evidence = replace(evidence, shown=shown, limit=history)
    return evidence


def _one(
    order: Order,
    store: Store,
    load: Load,
    states: Sequence[ChunkState],
    number: int,
    evidence: Evidence,
    found: _Found,
) -> tuple[SourceResult, Told]:
    """Join one load; give it with its reports, and what is known of its rejects."""
    directory = place_of(order, number, load)
    rows = _joined(order, store, load, states, evidence, found)
    if evidence.failures is None:
        for _ in rows:
            pass
        later = None
    else:
        later = str(write_table(directory / FAILED_LATER, _COLUMNS, rows))
    refused = list(store.notes(load, "refused"))
    result = SourceResult(
        load,
        tuple(states),
        refusals=refusals_of(refused),
        ledger_digest=digest_in(store, load, states),
    )
    causes_found = causes_of(load)
    rejects: Iterator[Reject] = rejects_of(
        load, states, segments=store.segments(load), refused=refused
    )
    for _ in causes_found.watch(rejects):
        pass
    paths = {kind: directory / kind.replace("_", ".") for kind in _KINDS}
    reports = {kind: str(path) if path.exists() else None for kind, path in paths.items()}
    reports |= {"failed_later_csv": later}
    result = replace(result, reports=reports, report_digests=report_digests(reports))
    return result, told(causes_found, read=result.counts.read)


def _joined(
    order: Order,
    store: Store,
    load: Load,
    states: Sequence[ChunkState],
    evidence: Evidence,
    found: _Found,
) -> Iterator[Sequence[str]]:
    """Yield a row for each record of a load that an error record names; look at its history."""
    newest = {key for shown in evidence.shown or () for key in shown.keys}
    # What may have arrived counts as well: an answer that was lost is no sign of failure.
    records = sent_records(
        order.config,
        store,
        load,
        states,
        run_id=order.run.run_id,
        which=lambda progress: progress.delivered | progress.doubt | progress.intent,
    )
    for sent in records:
        found.records += 1
        if key_of(sent.event_uuid) in newest:
            found.seen.add(key_of(sent.event_uuid))
        if evidence.failures is not None:
            yield from _failed(load, sent, evidence.failures, found)


def _failed(load: Load, sent: Sent, failures: Failures, found: _Found) -> Iterator[Sequence[str]]:
    failure = failures.of(sent.event_uuid)
    if failure is None:
        return
    message = printable(failure.message, most=_MOST_MESSAGE)
    found.failed += 1
    found.error_records += failure.times
    found.messages[message] += 1
    samples = found.samples.setdefault(message, [])
    if len(samples) < _SAMPLES:
        samples.append({"path": load.path, "line": sent.line, "record": sent.record})
    words = (failure.event, "delivered" if sent.delivered else "in doubt", message)
    place = (str(sent.record), str(sent.line), str(sent.offset), guard(sent.event_uuid))
    yield (*place, *map(guard, words), str(failure.times), guard(printable(failure.file)))


def _told(evidence: Evidence, found: _Found) -> dict[str, Any]:
    """What was found, JSON-able."""
    return {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "exit_code": _SOME_FAILED if found.failed else 0,
        "records": found.records,
        "failed_later": found.failed,
        "errors": _errors(evidence, found),
        "history": _history(evidence, found),
    }


def _errors(evidence: Evidence, found: _Found) -> dict[str, Any] | None:
    failures = evidence.failures
    if failures is None:
        return None
    messages = causes(found.messages, most=_MOST_CAUSES)
    return {
        "files": evidence.files,
        "records": failures.records,
        "of_this_run": found.error_records,
        "of_others": failures.records - failures.nameless - found.error_records,
        "without_event_uuid": failures.nameless,
        "unreadable": evidence.unreadable,
        "causes": [
            {"message": message, "records": count, "samples": found.samples.get(message, [])}
            for message, count in messages.items()
        ],
    }


def _history(evidence: Evidence, found: _Found) -> dict[str, Any] | None:
    if evidence.shown is None:
        return None
    return {
        "limit": evidence.limit,
        "names": [
            {
                "event": shown.name,
                "shown": len(shown.keys),
                "of_this_run": len(shown.keys & found.seen),
            }
            for shown in evidence.shown
        ],
        "seen": len(found.seen),
        "means": (
            "an event that is shown was processed; of one that is not shown nothing follows: the"
            " API shows the newest 50 of a name, whoever sent them"
        ),
    }
