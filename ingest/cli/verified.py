"""What `ingest verify` found, as text."""

from collections.abc import Iterator, Mapping
from typing import Any

from ingest.core.figures import counted
from ingest.core.guard import printable


def as_text(summary: Mapping[str, Any]) -> str:
    """Give what was found for a person."""
    told = summary["verified"]
    delivered = summary["records"]["delivered"]
    lines = [
        f"verify {summary['run_id']}: {told['failed_later']:,} of {delivered:,} accepted records"
        f" failed later (exit code {summary['exit_code']})"
        if told["errors"]
        else f"verify {summary['run_id']}: no error records were given"
        f" (exit code {summary['exit_code']})",
        *_errors(told["errors"]),
        *_history(told["history"]),
        *(path for s in summary["sources"] if (path := s["reports"]["failed_later_csv"])),
        f"reports: {summary['reports']['directory']}",
    ]
    return "\n".join(lines)


def _errors(told: Mapping[str, Any] | None) -> Iterator[str]:
    if told is None:
        return
    yield (
        f"{counted(told['records'], 'error record')} in {counted(told['files'], 'file')}:"
        f" {told['of_this_run']:,} of this run, {told['of_others']:,} of others,"
        f" {told['without_event_uuid']:,} without an event_uuid"
    )
    if told["unreadable"]:
        yield f"{counted(told['unreadable'], 'part')} of the files cannot be read as JSON objects"
    for cause in told["causes"]:
        lines = [f"{sample['line']:,}" for sample in cause["samples"]]
        more = ["..."] if cause["records"] > len(lines) else []
        yield f"  {cause['records']:,}  {cause['message']} (line {', '.join(lines + more)})"


def _history(told: Mapping[str, Any] | None) -> Iterator[str]:
    if told is None:
        return
    yield f"history: {counted(told['seen'], 'record')} of this run seen as processed"
    for name in told["names"]:
        yield f"  {name['of_this_run']:,} of the newest {name['shown']:,}  {printable(name['event'])}"
    yield f"  {told['means']}"
