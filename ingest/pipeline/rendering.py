"""`ingest report`: the reports of a run once more, masked for others, or with all that was delivered."""

import secrets
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import numpy as np

from ingest.config import RunConfig
from ingest.core.guard import printable
from ingest.core.ledger import Counts, bitmap, members
from ingest.core.load import ChunkState, Load
from ingest.core.masking import Mask, without_words
from ingest.edges.attempts import read_attempts
from ingest.edges.report import report_directory, write_document, write_summary, write_table
from ingest.edges.source import LocalFile, ProvenReader
from ingest.edges.store import RunRow, Store
from ingest.errors import UsageError
from ingest.pipeline.formats import Look, form_of
from ingest.pipeline.mended import MENDED, Terms, prepare
from ingest.pipeline.page import causes_of, page_of, timeline_of, told
from ingest.pipeline.receipts import digest_in, report_digests
from ingest.pipeline.recorded import opened_store
from ingest.pipeline.reporting import write_source_reports
from ingest.pipeline.retry import terms_of
from ingest.pipeline.summary import SourceResult, refusals_of, summary_of

DELIVERED: Final = "delivered.csv"
_COLUMNS: Final = ("record", "line", "offset", "event_uuid")
_KEY_BYTES: Final = 32


@dataclass(frozen=True, slots=True)
class _Order:
    """What is to be rendered, and how.

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
    mask: Mask | None
    delivered: bool

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
    with ExitStack() as stack:
        store = stack.enter_context(opened_store(config))
        run = next((row for row in store.runs() if row.run_id == run_id), None)
        if run is None or not (loads := store.loads_of(run_id)):
            raise UsageError(
                f"there is no run {printable(run_id)} with a load",
                hint="ingest status shows the runs",
                code="unknown_run",
            )
        order = _Order(
            config=config,
            run=run,
            directory=f"{run_id}-masked" if mask else run_id,
            mask=Mask(secrets.token_bytes(_KEY_BYTES)) if mask else None,
            delivered=delivered,
        )
        return _render(order, store, loads)


def _render(order: _Order, store: Store, loads: Sequence[Load]) -> dict[str, Any]:
    results, rejects = [], {}
    for number, load in enumerate(loads, start=1):
        shown = load if order.mask is None else replace(load, path=Path(load.path).name)
        causes = causes_of(shown, mask=order.mask.value if order.mask else None)
        result = _source(order, store, load, shown, number, causes)
        result.audit()
        rejects[load.source_id] = told(causes, read=result.counts.read)
        results.append(result)
    summary = _summary(order, results)
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
    order: _Order, store: Store, load: Load, shown: Load, number: int, causes: Any
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


def _summary(order: _Order, results: Sequence[SourceResult]) -> dict[str, Any]:
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


# -- what was delivered ----------------------------------------------------------------------


def _delivered(
    order: _Order, store: Store, load: Load, states: Sequence[ChunkState]
) -> Iterator[Sequence[str]]:
    """Yield record, line, offset and event_uuid of each delivered record of a load.

    The source is read again for that, and each of its bytes proven.
    """
    if not any(state.progress.delivered for state in states):
        return
    terms = terms_of(order.config, store, load, now=datetime.now(UTC), run_id=order.run.run_id)
    with LocalFile(load.path) as file:
        file.recall(load.identity.size)
        form = form_of(
            terms,
            read_at=ProvenReader(file, load.identity),
            source_id=load.source_id,
            limits=terms.limits,
        )
        for state in states:
            chunk, bits = state.chunk, state.progress.delivered
            if not bits:
                continue
            mended = _mended(terms, store, state)
            looks = form.looks(
                chunk.start, stop=chunk.stop.offset, limit=None, size=_size(load, state)
            )
            for look in looks:
                yield from _rows(look, bits, mended)


def _size(load: Load, state: ChunkState) -> int:
    return state.findings.source_size or load.identity.size


def _mended(terms: Terms, store: Store, state: ChunkState) -> Mapping[int, str]:
    """The ids of delivered records of a chunk that had come back mended."""
    notes = list(store.notes(terms.load, MENDED, chunk_id=state.chunk.chunk_id))
    bits = bitmap(note.record for note in notes) & state.progress.delivered
    if not bits:
        return {}
    describe = prepare(terms, state, notes, bits).payload.describe
    return {record: str(describe(record)["event_uuid"]) for record in members(bits)}


def _rows(look: Look, delivered: int, mended: Mapping[int, str]) -> Iterator[Sequence[str]]:
    frame = look.frame
    rows = {int(record): row for row, record in enumerate(frame.rows)}
    made = look.made_uuids(np.arange(len(frame.rows))).to_list()
    first = frame.start.record
    for record in members(delivered):
        row = rows.get(record)
        own = None if row is None else look.given_uuid(row) or made[row]
        uuid = mended.get(record) or own or ""
        place = (first + record + 1, int(frame.lines[record]), int(frame.offsets[record]))
        yield (*map(str, place), uuid)
