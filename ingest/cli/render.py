"""Results for people and machines: one object of JSON, or a few lines that read well."""

import json
from collections.abc import Mapping
from typing import Any

from ingest.core.figures import duration
from ingest.errors import IngestError

_CODES_SHOWN = 12


def as_json(summary: Mapping[str, Any]) -> str:
    """Give the one object that `--json` prints."""
    return json.dumps(summary, ensure_ascii=True)


def as_text(summary: Mapping[str, Any], *, sends: bool) -> str:
    """Give the summary for a person."""
    lines = [_headline(summary, sends=sends)]
    if summary["sources"]:
        lines += _ends(summary, sends=sends)
    lines += _codes("rejected or refused for", summary["codes"])
    lines += _codes("sent with a warning of" if sends else "a warning of", summary["warnings"])
    lines += _sources(summary)
    lines += _reports(summary)
    return "\n".join(lines)


def error_text(error: IngestError) -> str:
    """Give an error for a person: what, and what to do next."""
    text = f"error: {error.message}"
    return f"{text}\n  -> {error.hint}" if error.hint else text


def _headline(summary: Mapping[str, Any], *, sends: bool) -> str:
    what = "run" if sends else "check"
    took = duration(summary["duration_s"])
    return f"{what} {summary['run_id']}: {summary['status']} in {took} (exit code {summary['exit_code']})"


def _ends(summary: Mapping[str, Any], *, sends: bool) -> list[str]:
    records, marks = summary["records"], summary["of_which"]
    rows = [
        (records["read"], "records read"),
        (records["delivered"], "accepted by Blueshift"),
        (records["rejected"], "rejected by our check"),
        (records["refused"], "refused by Blueshift"),
        (records["unsent"], "not sent" if sends else "would be sent"),
        (marks["in_doubt"], "in doubt: may have arrived twice, same event_uuid (see doubt.csv)"),
        (marks["held"], "held until you decide"),
        (marks["warned"], "with a warning"),
    ]
    optional = {
        "held until you decide",
        "in doubt: may have arrived twice, same event_uuid (see doubt.csv)",
    }
    if not sends:
        optional |= {"accepted by Blueshift", "refused by Blueshift"}
    width = max(len(f"{count:,}") for count, _ in rows)
    return [f"  {count:>{width},}  {text}" for count, text in rows if count or text not in optional]


def _codes(title: str, codes: Mapping[str, int]) -> list[str]:
    if not codes:
        return []
    shown = list(codes.items())[:_CODES_SHOWN]
    width = max(len(f"{count:,}") for _, count in shown)
    lines = [f"{title}:", *(f"  {count:>{width},}  {code}" for code, count in shown)]
    if len(codes) > _CODES_SHOWN:
        lines.append(f"  ... and {len(codes) - _CODES_SHOWN} more codes")
    return lines


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
