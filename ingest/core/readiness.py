"""What every event needs, asked of a mapping before anything is read.

A missing event or identity would reject every record; history that is filed under today cannot
be put right. So these are refused at once, all in one message, with the flags to paste.
"""

import shlex
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from ingest.core.lookalike import event_like, identity_like, time_like
from ingest.core.mapping import EVENT, TIMESTAMP, Mapping
from ingest.errors import UsageError


def check_ready(
    mapping: Mapping,
    *,
    known_fields: Collection[str],
    identity_fields: Collection[str],
    ask_time: bool,
    unmentioned: Sequence[str] = (),
) -> None:
    """Refuse what would be wrong for every record, all of it at once.

    Args:
        mapping: What would be sent.
        known_fields: Names that the API documents; never taken for another one misspelt.
        identity_fields: One of these must be among the fields; empty: none need be.
        ask_time: A likely time column without a decision is refused.
        unmentioned: Columns that are left out without having been named; they may be a time too.

    Raises:
        UsageError: With the flags to paste in its hint.
    """
    names = {field.name for field in mapping.fields}
    free = [
        field.name
        for field in mapping.fields
        if field.source == field.name and field.name not in known_fields
    ]
    findings = [
        _no_event(names, free, mapping),
        _no_identity(names, free, mapping, identity_fields),
        _no_time(names, [*free, *unmentioned]) if ask_time else None,
    ]
    found = [finding for finding in findings if finding is not None]
    if found:
        raise UsageError(
            "; ".join(finding.message for finding in found),
            hint="add " + " ".join(finding.paste for finding in found) + _notes(found),
            code=found[0].code,
        )


def pasted(flag: str, value: str) -> str:
    """A flag as a shell takes it."""
    return f"{flag} {shlex.quote(value)}"


@dataclass(frozen=True, slots=True)
class _Finding:
    code: str
    message: str
    paste: str
    note: str = ""


def _notes(found: Sequence[_Finding]) -> str:
    notes = [finding.note for finding in found if finding.note]
    return f" ({'; '.join(notes)})" if notes else ""


def _no_event(names: set[str], free: list[str], mapping: Mapping) -> _Finding | None:
    if EVENT in names:
        return None
    code, message = "event_column_missing", "no column 'event': the API needs the event's name"
    if EVENT in mapping.left_out:
        message = "column 'event' is left out: the API needs the event's name"
        return _Finding(code, message, "--set event=NAME", "or send the column 'event'")
    like = event_like(free)
    if like is None:
        note = f"or --map event=COLUMN, one of: {', '.join(free) or 'none is left'}"
        return _Finding(code, message, "--set event=NAME", note)
    free.remove(like)
    note = "or --set event=NAME where all records are the same event"
    return _Finding(code, message, pasted("--map", f"{EVENT}={like}"), note)


def _no_identity(
    names: set[str], free: list[str], mapping: Mapping, identity_fields: Collection[str]
) -> _Finding | None:
    if not identity_fields or names & set(identity_fields):
        return None
    fields = ", ".join(identity_fields)
    code = "identity_column_missing"
    message = f"no column says who it was: one of {fields} is needed"
    left_out = [column for column in mapping.left_out if column in identity_fields]
    if left_out:
        note = f"column {left_out[0]!r} is there, but left out: send it"
        return _Finding(code, message, "--map customer_id=COLUMN", note)
    like = identity_like(free, identity_fields)
    if not like:
        note = f"COLUMN is one of: {', '.join(free) or 'none is left'}"
        first = next(iter(identity_fields))
        return _Finding(code, message, f"--map {first}=COLUMN", note)
    for column in like.values():
        free.remove(column)
    flags = " ".join(pasted("--map", f"{field}={column}") for field, column in like.items())
    return _Finding(code, message, flags)


def _no_time(names: set[str], free: Sequence[str]) -> _Finding | None:
    likely = [] if TIMESTAMP in names else time_like(free)
    if not likely:
        return None
    message = f"column {likely[0]!r} may be the time of the event, and that was not decided"
    others = f", or --timestamp with {', '.join(likely[1:4])}" if likely[1:] else ""
    note = (
        f"or --no-timestamp: then all events are filed under the moment of receipt, "
        f"which cannot be put right later{others}"
    )
    return _Finding("timestamp_undecided", message, pasted("--timestamp", likely[0]), note)
