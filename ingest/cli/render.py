"""Results for people and machines: one object of JSON, or a few lines that read well."""

import json
from collections.abc import Mapping
from typing import Any

from ingest.cli.answers import returned_lines
from ingest.core.figures import duration
from ingest.errors import IngestError


def as_json(summary: Mapping[str, Any]) -> str:
    """Give the one object that `--json` prints."""
    return json.dumps(summary, ensure_ascii=True)


def as_text(summary: Mapping[str, Any], *, sends: bool) -> str:
    """Give the summary for a person."""
    lines = [_headline(summary, sends=sends), *returned_lines(summary.get("retry"))]
    if summary["sources"]:
        lines += _ends(summary, sends=sends)
    lines += _codes("why (a record may have several reasons):", summary["codes"])
    lines += _codes("warnings:", summary["warnings"])
    lines += _sources(summary)
    lines += _reports(summary)
    return "\n".join(lines)


def error_text(error: IngestError) -> str:
    """Give an error for a person: what, and what to do next."""
    text = f"error: {error.message}"
    return f"{text}\n  -> {error.hint}" if error.hint else text


def _headline(summary: Mapping[str, Any], *, sends: bool) -> str:
    what = "retry" if "retry" in summary else "run" if sends else "check"
    took = duration(summary["duration_s"])
    status = summary["status"]
    if status == "complete" and not all(source["complete"] for source in summary["sources"]):
        status = "complete so far" if sends else "complete"
    return f"{what} {summary['run_id']}: {status} in {took} (exit code {summary['exit_code']})"


def _ends(summary: Mapping[str, Any], *, sends: bool) -> list[str]:
    records, marks = summary["records"], summary["of_which"]
    api = "the sandbox" if summary["destination"]["origin"] == "sandbox" else "Blueshift"
    rows = [(records["read"], "records read", True)]
    if sends:
        rows += [(records["delivered"], f"accepted by {api}", True)]
    rows += [(records["rejected"], "rejected by our check", True)]
    if sends:
        rows += [
            (records["refused"], f"refused by {api}", True),
            (records["unsent"], "not sent", True),
        ]
    else:
        rows += [(records["unsent"], "would be sent", True)]
    rows += [
        (marks["in_doubt"], "in doubt: may have arrived twice, same event_uuid (doubt.csv)", False),
        (marks["held"], "held until you decide: ingest retry --doubt", False),
        (marks["warned"], "with a warning", False),
    ]
    width = max(len(f"{count:,}") for count, _, _ in rows)
    return [f"  {count:>{width},}  {text}" for count, text, always in rows if count or always]


def _codes(title: str, codes: Mapping[str, int]) -> list[str]:
    if not codes:
        return []
    width = max(len(f"{count:,}") for count in codes.values())
    return [title, *(f"  {count:>{width},}  {code}" for code, count in codes.items())]


def _sources(summary: Mapping[str, Any]) -> list[str]:
    lines = []
    for source in summary["sources"]:
        if source["skipped"]:
            lines.append(f"{source['path']}: {source['skipped']}")
        elif left := source["bytes"] - source["bytes_done"]:
            lines.append(f"{source['path']}: not complete; {left:,} bytes not read yet")
    lines += [f"left out: {source['reason']}" for source in summary["left_out"]]
    return lines


def _reports(summary: Mapping[str, Any]) -> list[str]:
    directory = summary["reports"]["directory"]
    return [f"reports: {directory}"] if directory else []


def rendered(summary: Mapping[str, Any]) -> str:
    """Name the reports of a run that were rendered again."""
    paths = [summary["reports"]["html"]]
    paths += [path for source in summary["sources"] for path in source["reports"].values() if path]
    return "\n".join(paths)
