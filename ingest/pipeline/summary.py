"""The result of a run, recounted from the ledger: what `--json` prints and `summary.json` holds."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from ingest import __version__
from ingest.core.ledger import Counts
from ingest.core.load import ChunkState, Load, Note, content_of, tally, total
from ingest.errors import BugError, IngestError

FORMAT = 1
_STATUS = {0: "complete", 3: "complete", 1: "stopped", 4: "stopped", 6: "stopped", 7: "stopped"}
_STATUS |= {129: "interrupted", 130: "interrupted", 143: "interrupted"}
_SOME_FAILED, _STOPPED = 3, 4


@dataclass(frozen=True, slots=True)
class SourceResult:
    """One source of a run.

    Args:
        load: As recorded.
        states: Its chunks as recorded.
        refusals: Refused records by code.
        skipped: Why nothing was done with it; None where something was.
        reports: Paths of its reports by kind.
        limited: `--limit` kept the rest of it back.
        again: Another source of the run is the same load, and counts for it.
        ledger_digest: Stands for all that the ledger says of its records; None without a ledger.
        report_digests: SHA-256 of its reports by kind.
    """

    load: Load
    states: tuple[ChunkState, ...]
    refusals: Mapping[str, int] = field(default_factory=dict)
    skipped: str | None = None
    reports: Mapping[str, str | None] = field(default_factory=dict)
    limited: bool = False
    again: bool = False
    ledger_digest: str | None = None
    report_digests: Mapping[str, str | None] = field(default_factory=dict)

    @property
    def counts(self) -> Counts:
        """The ends of its records; none where another source counts for them."""
        return Counts() if self.again else total(self.states)

    @property
    def bytes_done(self) -> int:
        """Bytes that have become records of committed chunks."""
        start = self.load.form.get("start")
        begin = int(start[0]) if isinstance(start, list | tuple) else 0
        return self.states[-1].chunk.stop.offset if self.states else begin

    @property
    def complete(self) -> bool:
        """Whether everything was read and nothing is left to send."""
        return self.bytes_done >= self.load.identity.size and all(
            state.progress.complete and state.findings.judged for state in self.states
        )

    @property
    def times(self) -> tuple[str | None, str | None]:
        """The earliest and the latest event time."""
        firsts = [s.findings.first_time for s in self.states if s.findings.first_time]
        lasts = [s.findings.last_time for s in self.states if s.findings.last_time]
        return min(firsts, default=None), max(lasts, default=None)

    def codes(self) -> dict[str, int]:
        """Violations of severity error by code."""
        found = [*(state.findings.codes for state in self.states), self.refusals]
        return {} if self.again else tally(found)

    def warnings(self) -> dict[str, int]:
        """Violations of severity warning by code."""
        found = (state.findings.warnings for state in self.states)
        return {} if self.again else tally(found)

    def audit(self) -> None:
        """Recount: what the verdicts, the segments and the bitmaps say must agree.

        Raises:
            BugError: They do not.
        """
        counts = self.counts
        in_segments = sum(s.findings.segment.rejects for s in self.states if s.findings.segment)
        if in_segments != counts.rejected:
            raise BugError(
                f"{self.load.path}: {counts.rejected:,} records are rejected, the segments hold {in_segments:,}",
                hint="please report this; the ledger was not changed",
                code="counts_differ",
            )
        if sum(self.refusals.values()) != counts.refused:
            raise BugError(
                f"{self.load.path}: {counts.refused:,} records are refused, there are notes of {sum(self.refusals.values()):,}",
                hint="please report this; the ledger was not changed",
                code="counts_differ",
            )

    def body(self) -> dict[str, Any]:
        """Give the JSON-able entry of the summary."""
        first, last = self.times
        identity = self.load.identity
        return {
            "path": self.load.path,
            "name": self.load.name,
            "bytes": identity.size,
            "bytes_done": self.bytes_done,
            "complete": self.complete,
            "source_id": str(self.load.source_id),
            "first_size": identity.first_size,
            "fingerprint": identity.fingerprint,
            "content": content_of(identity.blocks),
            "config_digest": self.load.config_digest,
            "skipped": self.skipped,
            "records": _ends(self.counts),
            "of_which": _marks(self.counts),
            "first_time": first,
            "last_time": last,
            "reports": dict(self.reports),
            "ledger_digest": self.ledger_digest,
            "report_digests": dict(self.report_digests),
        }


def refusals_of(notes: Iterable[Note]) -> dict[str, int]:
    """Count notes of refused records by code."""
    return tally({str(note.body["code"]): 1} for note in notes)


def exit_code_of(
    sources: Sequence[SourceResult],
    *,
    error: IngestError | None,
    rejects_ok: float | None,
    sends: bool,
    bad: int = 0,
) -> int:
    """Give the exit code, the first that applies.

    Args:
        sources: What the run worked on.
        error: What stopped it, if anything did.
        rejects_ok: The share of rejected and refused records that makes no 3; None: no share does.
        sends: Whether it was to send.
        bad: Sources that were left out because they cannot be read.
    """
    if error is not None:
        return error.exit_code
    counts = _sum(sources)
    waiting = any(s.progress.pending for source in sources for s in source.states)
    if sends and waiting:
        return _STOPPED
    failed = counts.rejected + counts.refused
    fine = failed == 0 or (rejects_ok is not None and failed <= rejects_ok * counts.read)
    return 0 if fine and not counts.held and not bad else _SOME_FAILED


def status_of(exit_code: int) -> str:
    """Give the word for an exit code."""
    return _STATUS.get(exit_code, "refused")


def summary_of(
    sources: Sequence[SourceResult],
    *,
    run: Mapping[str, Any],
    error: IngestError | None,
    exit_code: int,
    destination: Mapping[str, Any],
    plan: Mapping[str, Any],
    before: Counts,
    requests: Mapping[str, Any],
    reports: Mapping[str, Any],
    bad: Sequence[Mapping[str, str]] = (),
) -> dict[str, Any]:
    """Give the summary of a run; fields may be added, none is ever renamed.

    Args:
        sources: What the run worked on.
        run: `run_id`, `started_at`, `duration_s`.
        error: What stopped it, if anything did.
        exit_code: Of the process.
        destination: `url`, `endpoint`, `account`.
        plan: What was going to be sent.
        before: The counts of the same loads when the run began.
        requests: `sent`, `retried`, `status`.
        reports: `directory`, `html`, `summary`.
        bad: `path` and `reason` of the sources that were left out.
    """
    counts = _sum(sources)
    body: dict[str, Any] = {
        "format": FORMAT,
        "version": __version__,
        **run,
        "status": status_of(exit_code),
        "exit_code": exit_code,
        "reason": error.message if error else None,
        "error": {
            "code": error.code if error else "",
            "message": error.message if error else "",
            "hint": error.hint if error else "",
        },
        "destination": dict(destination),
        "plan": dict(plan),
        "records": _ends(counts),
        "of_which": _marks(counts),
        "this_run": {
            name: getattr(counts, name) - getattr(before, name)
            for name in ("read", "delivered", "rejected", "refused")
        },
        "codes": tally(source.codes() for source in sources),
        "warnings": tally(source.warnings() for source in sources),
        "requests": dict(requests),
        "sources": [source.body() for source in sources],
        "left_out": [dict(source) for source in bad],
        "reports": dict(reports),
    }
    return body


def failure_summary(error: IngestError, *, run: Mapping[str, Any]) -> dict[str, Any]:
    """Give the summary of a run that stopped before it had a source."""
    nothing: dict[str, Any] = {"sent": 0, "retried": 0, "status": {}}
    return summary_of(
        [],
        run=run,
        error=error,
        exit_code=error.exit_code,
        destination={"url": None, "endpoint": None, "account": None, "origin": None},
        plan={},
        before=Counts(),
        requests=nothing,
        reports={"directory": None, "html": None, "summary": None},
    )


def _sum(sources: Sequence[SourceResult]) -> Counts:
    return sum((source.counts for source in sources), Counts())


def _ends(counts: Counts) -> dict[str, int]:
    names = ("read", "delivered", "rejected", "refused", "unsent")
    return {name: value for name, value in asdict(counts).items() if name in names}


def _marks(counts: Counts) -> dict[str, int]:
    return {"in_doubt": counts.in_doubt, "held": counts.held, "warned": counts.warned}
