"""`ingest report`: the reports of a run once more, masked for others, or with all that was delivered."""

import secrets
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from ingest.config import RunConfig
from ingest.core.guard import printable
from ingest.core.ledger import Counts
from ingest.core.load import ChunkState, Load
from ingest.core.masking import Mask, without_words
from ingest.edges.attempts import read_attempts
from ingest.edges.report import (
    report_directory,
    safe_stem,
    write_document,
    write_summary,
    write_table,
)
from ingest.edges.store import RunRow, Store
from ingest.errors import UsageError
from ingest.pipeline.page import Told, causes_of, page_of, timeline_of, told
from ingest.pipeline.receipts import digest_in, report_digests
from ingest.pipeline.recorded import opened_store
from ingest.pipeline.reporting import write_source_reports
from ingest.pipeline.sent import sent_records
from ingest.pipeline.summary import SourceResult, refusals_of, summary_of

DELIVERED: Final = "delivered.csv"
_COLUMNS: Final = ("record", "line", "offset", "event_uuid")
_KEY_BYTES: Final = 32


@dataclass(frozen=True, slots=True)
class Order:
    """What is to be rendered of a run, and how.

    Args:
        config: Where, and the ledger.
        run: The run.
        directory: Where its reports go.
        mask: Makes values unreadable; None: they are shown.
        delivered: Whether to list what was delivered, too.
    """

    config: RunConfig
    run: RunRow
    directory: str
    mask: Mask | None = None
    delivered: bool = False

    @property
    def root(self) -> Path:
        """Where the reports of the run are."""
        return self.config.report_dir / self.directory


def report_command(
    config: RunConfig, run_id: str, *, mask: bool, delivered: bool
) -> dict[str, Any]:
    """Render the reports of the loads of a run as they are at this moment; give the summary.

    With `mask` they go to a directory of their own: `RUN-masked`.

    Raises:
        UsageError: There is no such run; or a source is needed, and not there.
        MismatchError: The ledger, a segment or a source is not what was recorded.
    """
    with opened_store(config) as store:
        order, loads = run_of(config, store, run_id)
        if mask:
            order = replace(
                order,
                directory=f"{run_id}-masked",
                mask=Mask(secrets.token_bytes(_KEY_BYTES)),
            )
        return _render(replace(order, delivered=delivered), store, loads)


def run_of(config: RunConfig, store: Store, run_id: str) -> tuple[Order, list[Load]]:
    """Find a run and its loads.

    Raises:
        UsageError: There is no such run, or it had no load.
    """
    run = next((row for row in store.runs() if row.run_id == run_id), None)
    if run is None or not (loads := store.loads_of(run_id)):
        raise UsageError(
            f"there is no run {printable(run_id)} with a load",
            hint="ingest status shows the runs",
            code="unknown_run",
        )
    return Order(config=config, run=run, directory=run_id), loads


def _render(order: Order, store: Store, loads: Sequence[Load]) -> dict[str, Any]:
    results, rejects = [], {}
    for number, load in enumerate(loads, start=1):
        shown = load if order.mask is None else replace(load, path=Path(load.path).name)
        causes = causes_of(shown, mask=order.mask.value if order.mask else None)
        result = _source(order, store, load, shown, number, causes)
        result.audit()
        rejects[load.source_id] = told(causes, read=result.counts.read)
        results.append(result)
    return write_page(order, store, results, rejects)


def write_page(
    order: Order,
    store: Store,
    results: Sequence[SourceResult],
    rejects: Mapping[Any, Told],
    *,
    more: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Write the page and the summary of a run once more; give the summary.

    Args:
        order: The run, and where.
        store: The ledger.
        results: Its loads as they are.
        rejects: What is known of their rejects, by source id.
        more: Further fields of the summary.
    """
    summary = _summary(order, results) | dict(more or {})
    loads = [result.load for result in results]
    attempts = (each for load in loads for each in read_attempts(store.segments(load)))
    page = page_of(
        summary,
        results,
        rejects,
        timeline_of(attempts, order.run.run_id),
        directory=order.root,
        sends=True,
        masked=order.mask is not None,
    )
    summary["reports"]["html"] = str(write_document(order.root / "report.html", page))
    write_summary(order.root / "summary.json", summary)
    return summary


def _source(
    order: Order, store: Store, load: Load, shown: Load, number: int, causes: Any
) -> SourceResult:
    mask = order.mask
    states = store.chunks(load)
    result = SourceResult(
        shown,
        tuple(states),
        refusals=refusals_of(store.notes(load, "refused")),
        ledger_digest=digest_in(store, load, states),
    )
    reports = write_source_reports(
        order.config.report_dir,
        number,
        load=shown,
        states=states,
        segments=store.segments(load),
        refused=store.notes(load, "refused"),
        doubtful=store.notes(load, "doubt"),
        run_id=order.directory,
        partial=not result.complete,
        watch=causes.watch,
        mask=None if mask is None else mask.reject,
    )
    if order.delivered:
        place = Path(str(reports["rejects_csv"])).parent
        rows = _delivered(order, store, load, states)
        reports["delivered_csv"] = str(write_table(place / DELIVERED, _COLUMNS, rows))
    return replace(result, reports=reports, report_digests=report_digests(reports))


def _summary(order: Order, results: Sequence[SourceResult]) -> dict[str, Any]:
    """The run as it was, and its loads as they are."""
    then = order.run.summary
    report_directory(order.config.report_dir, order.directory)
    body = summary_of(
        results,
        run={name: then[name] for name in ("run_id", "started_at", "duration_s")},
        error=None,
        exit_code=then["exit_code"],
        destination=then["destination"],
        plan=then["plan"],
        before=Counts(),
        requests=then["requests"],
        reports={
            "directory": str(order.root),
            "html": None,
            "summary": str(order.root / "summary.json"),
        },
    )
    body |= {name: then[name] for name in ("this_run", "reason", "error", "left_out")}
    body |= {"rendered_at": f"{datetime.now(UTC).isoformat(timespec='seconds')}"}
    return body if order.mask is None else without_words(body)


def place_of(order: Order, number: int, load: Load) -> Path:
    """Give the directory of one source of a run, as its reports have it; made where it is not.

    Args:
        order: The run, and where.
        number: Of the source in its run, from 1.
        load: The load.
    """
    name = f"{number:02d}-{safe_stem(load.path)}"
    return report_directory(order.config.report_dir, order.directory, name)


def _delivered(
    order: Order, store: Store, load: Load, states: Sequence[ChunkState]
) -> Iterator[Sequence[str]]:
    """Yield record, line, offset and event_uuid of each delivered record of a load."""
    found = sent_records(
        order.config,
        store,
        load,
        states,
        run_id=order.run.run_id,
        which=lambda progress: progress.delivered,
    )
    for each in found:
        yield (str(each.record), str(each.line), str(each.offset), each.event_uuid)
