"""`ingest why`: the history of a record for a person."""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import platformdirs

from ingest.core.figures import counted
from ingest.core.guard import printable
from ingest.errors import UsageError
from ingest.pipeline.whereabouts import Asked
from ingest.pipeline.why import why_command

_ENDS = {
    "delivered": "delivered: accepted by the API",
    "rejected": "rejected by our check; nothing of it was sent",
    "refused": "refused by the API",
    "held": "held until you decide: ingest retry --doubt send|delivered|drop RUN",
    "unsent": "not sent yet: run the same command again",
}
_MOST_WORDS = 300


def show(
    source: str | None,
    *,
    line: int | None,
    record: int | None,
    uuid: str | None,
    state: str | None,
    as_json: bool,
) -> str:
    """Give the history of one record.

    Raises:
        UsageError: It is not clear which, or there is none.
    """
    if sum(each is not None for each in (line, record, uuid)) != 1:
        raise UsageError(
            "why takes one of --line, --record and --uuid",
            hint="ingest why events.csv --line 17",
            code="usage",
        )
    if source is None and uuid is None:
        raise UsageError(
            "a line or a record is one of a source",
            hint="ingest why events.csv --line 17",
            code="usage",
        )
    directory = Path(state) if state else platformdirs.user_state_path("ingest")
    found = why_command(directory, source, Asked(line=line, record=record, uuid=uuid))
    if as_json:
        return json.dumps({"format": 1, "histories": found}, ensure_ascii=True)
    return "\n\n".join("\n".join(_lines(one)) for one in found)


def _lines(one: Mapping[str, Any]) -> Iterator[str]:
    yield f"record {one['record']:,} of {printable(one['path'])}{_place(one)}"
    yield f"  event_uuid: {printable(one['event_uuid'] or 'not known')}"
    name = f" as {printable(one['name'])}" if one["name"] else ""
    yield f"  load: to {one['origin']} ({one['account']}){name}, source {one['source_id']}"
    runs = [run["run_id"] for run in one["runs"]]
    yield f"  runs: {', '.join(runs) or 'none that ended'}"
    yield f"  judged: {_judged(one)}"
    yield from _violations(one["violations"])
    yield from _attempts(one["attempts"])
    if one["refusal"]:
        yield f"  refused: {_words(one['refusal']['message'])}"
    yield from _marks(one)
    yield f"  end: {_ENDS[one['end']]}"
    yield from (f"  not known: {printable(each)}" for each in one["not_known"])


def _place(one: Mapping[str, Any]) -> str:
    if one["line"] is None:
        return ""
    last = one["last_line"]
    lines = f"line {one['line']:,}" if last in {None, one["line"]} else ""
    lines = lines or f"lines {one['line']:,} to {last:,}"
    return f": {lines}, byte {one['offset']:,}, {counted(one['length'], 'byte')}"


def _judged(one: Mapping[str, Any]) -> str:
    if one["verdict"] == "mended":
        return f"mended: was {one['stage']}, came back in run {one['mended_by']}"
    return str(one["verdict"])


def _violations(violations: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    for each in violations:
        columns = f" ({printable(', '.join(each['columns']))})" if each["columns"] else ""
        yield f"    {each['code']}{columns}: {_words(each['message'])}"
        if each["hint"]:
            yield f"      -> {_words(each['hint'])}"


def _attempts(attempts: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    yield f"  attempts: {len(attempts) or 'none on record'}"
    for each in attempts:
        said = each["status"] or each["failure"]
        request = f", request {printable(each['request_id'])}" if each["request_id"] else ""
        note = f" ({_words(each['note'])})" if each["note"] else ""
        yield (
            f"    {each['at']} run {each['run_id']}: {said} to {counted(each['events'], 'event')},"
            f" attempt {each['attempt']}{request} -> {each['act']}{note}"
        )


def _marks(one: Mapping[str, Any]) -> Iterator[str]:
    if one["intent"]:
        yield "  in doubt: a run that was killed may have sent it"
    elif one["in_doubt"]:
        yield "  in doubt: an attempt of unknown outcome may have arrived"
    if one["parked"]:
        yield f"  parked: by {counted(one['parked'], 'run')}, its requests failed while others passed"


def _words(text: str) -> str:
    return printable(text, most=_MOST_WORDS)
