"""From the names in the first records and flags to a mapping of JSON lines, or a refusal.

The names that were seen stand in for a header, but other records may have others. So a flag may
name what was not seen, but for the time: events that are filed under today cannot be put right.
Where two origins of one name meet in a record, that record is rejected; only what would meet in
every record is refused at once.
"""

from collections.abc import Collection, Sequence
from collections.abc import Mapping as ReadMapping
from dataclasses import dataclass

from ingest.core.json_mapping import Change, JsonMapping
from ingest.core.lookalike import close_to
from ingest.core.mapping import EVENT, EVENT_UUID, TIMESTAMP, Field, Kind, Mapping, TimePlan
from ingest.core.planning import MappingFlags, check_flags, conflict, key_of, pairs, type_flag
from ingest.core.readiness import check_ready, pasted
from ingest.errors import UsageError

_SHOWN_NAMES = 40


@dataclass(frozen=True, slots=True)
class Sample:
    """What the first records show.

    Args:
        names: Of the objects themselves, in the order of first sight.
        paths: Of members inside objects, with dots between.
        records: How many records were looked at.
    """

    names: tuple[str, ...]
    paths: tuple[str, ...]
    records: int

    def lifted(self, flatten: Collection[str]) -> "Sample":
        """The same after `--flatten`."""
        names: dict[str, None] = {}
        paths: dict[str, None] = {}
        inside = {f"{name}." for name in flatten}
        for name in self.names:
            if name not in flatten:
                names[name] = None
                continue
            below = (path[len(name) + 1 :] for path in self.paths if path.startswith(f"{name}."))
            for path in below:
                (paths if "." in path else names)[path] = None
        for path in self.paths:
            if not any(path.startswith(start) for start in inside):
                paths[path] = None
        return Sample(tuple(names), tuple(paths), self.records)


def plan_json(
    sample: Sample,
    flags: MappingFlags,
    *,
    known_fields: Collection[str],
    json_fields: Collection[str],
    identity_fields: Collection[str],
) -> JsonMapping:
    """Decide what is changed.

    Args:
        sample: What the first records show.
        flags: As typed.
        known_fields: Names that the API documents; never taken for another one misspelt.
        json_fields: Those of type array or object: a constant for one is read as JSON.
        identity_fields: One of these must be among the names; empty: none need be.

    Raises:
        UsageError: Flags contradict one another; or the first records have no event, no identity,
            or a time that nobody decided on. The hint has what to type.
    """
    seen = sample.lifted(flags.flatten)
    check_flags(list(dict.fromkeys((*seen.names, *seen.paths))), flags)
    moves = _moves(flags, seen)
    sets = pairs(flags.sets, "--set", "NAME=VALUE")
    drop, only = _listed(flags.drop, seen), _listed(flags.only, seen)
    _check_drops(drop, moves, flags)
    _check_sets(sets, moves, seen, drop=drop, only=only if flags.only else None)
    kinds = _kinds(flags, moves, sets, drop, identity_fields)
    changes = _changes(moves, sets, kinds, json_fields)
    mapping = JsonMapping(
        changes=tuple(changes),
        only=tuple(path for path in only if path not in moves) if flags.only else None,
        drop=tuple(drop),
        flatten=tuple(dict.fromkeys(flags.flatten)),
        nulls=flags.nulls,
        time=TimePlan(flags.timestamp, flags.timestamp_format) if flags.timestamp else None,
        timezone=flags.timezone or "UTC",
        key=key_of(flags),
        seen=seen.names,
        unseen=_unseen(flags, moves, kinds, only, seen, sample),
    )
    _check_zone(mapping, flags)
    if sample.records:
        _check_ready(mapping, flags, seen, known_fields, identity_fields)
    return mapping


def _moves(flags: MappingFlags, seen: Sample) -> dict[str, str]:
    """New name to path, `timestamp` among them."""
    moves = pairs(flags.maps, "--map", "NEW=OLD")
    if flags.timestamp:
        if TIMESTAMP in moves:
            raise conflict(
                f"--map timestamp={moves[TIMESTAMP]} and --timestamp {flags.timestamp} "
                "both give the event's time",
                "keep --timestamp alone: it moves the value and reads it as a time",
            )
        if seen.records and flags.timestamp not in {*seen.names, *seen.paths}:
            raise _unknown_time(flags.timestamp, seen)
        moves[TIMESTAMP] = flags.timestamp
    for path in moves.values():
        names = [new for new, old in moves.items() if old == path]
        if not path or len(names) > 1:
            raise conflict(
                f"{path!r} is moved to {' and '.join(names)}",
                "a value is sent once; keep one --map or --timestamp for it",
            )
    return moves


def _unknown_time(path: str, seen: Sample) -> UsageError:
    names = (*seen.names, *seen.paths)
    near = close_to(path, names)
    maybe = f"did you mean {' or '.join(map(repr, near))}? " if near else ""
    return UsageError(
        f"--timestamp: there is no {path!r} in the first {seen.records:,} records",
        hint=f"{maybe}{_seen_words(seen)}",
        code="unknown_column",
    )


def _seen_words(seen: Sample) -> str:
    names = (*seen.names, *seen.paths)
    more = ", ..." if len(names) > _SHOWN_NAMES else ""
    shown = ", ".join(names[:_SHOWN_NAMES]) or "none"
    return f"names seen in the first {seen.records:,} records: {shown}{more}"


def _listed(texts: Sequence[str], seen: Sample) -> list[str]:
    """Paths of `--only` or `--drop`; a text that is a name whole is not cut at its commas."""
    known = {*seen.names, *seen.paths}
    parts = (
        [text] if text in known else [part.strip() for part in text.split(",")] for text in texts
    )
    return list(dict.fromkeys(each for part in parts for each in part if each))


def _check_drops(drop: Sequence[str], moves: ReadMapping[str, str], flags: MappingFlags) -> None:
    for new, path in moves.items():
        if path in drop:
            flag = "--timestamp" if flags.timestamp and new == TIMESTAMP else f"--map {new}"
            raise conflict(f"--drop {path} leaves out what {flag} sends", "keep one of them")


def _check_sets(
    sets: ReadMapping[str, str],
    moves: ReadMapping[str, str],
    seen: Sample,
    *,
    drop: Collection[str],
    only: Collection[str] | None,
) -> None:
    for name, value in sets.items():
        if not value:
            raise UsageError(
                f"--set {name}= gives no value",
                hint=f"give a value; an empty one would be absent ({pasted('--drop', name)} "
                "leaves the member out)",
                code="flag_invalid",
            )
        if name in moves:
            raise conflict(
                f"--set {name} meets {moves[name]!r}, which is moved there",
                f"take away --set {name} or the flag that moves {moves[name]!r}",
            )
        stays = name in seen.names and name not in drop and name not in moves.values()
        if stays and (only is None or name in only):
            raise conflict(
                f"--set {name} meets {name!r} in the records", f"add {pasted('--drop', name)}"
            )


def _kinds(
    flags: MappingFlags,
    moves: ReadMapping[str, str],
    sets: ReadMapping[str, str],
    drop: Collection[str],
    identity_fields: Collection[str],
) -> dict[str, tuple[Kind, str | None]]:
    """Kind and separator by the name under which the value is sent."""
    names = {path: new for new, path in moves.items()}
    kinds: dict[str, tuple[Kind, str | None]] = {}
    for text in flags.types:
        path, kind, separator = type_flag(text)
        name = names.get(path, path)
        if name in {EVENT, EVENT_UUID, *identity_fields} and kind is not Kind.TEXT:
            raise UsageError(
                f"--type {name}={kind}: {name!r} is text to the API",
                hint=f"take away --type {name}={kind}",
                code="flag_invalid",
            )
        if name in kinds:
            raise conflict(f"two --type for {path!r}", "keep one of them")
        if name == TIMESTAMP and flags.timestamp:
            raise conflict(
                f"--timestamp {flags.timestamp} and --type {name}={kind} both say how to read it",
                "take away the --type; --timestamp-format says how the time is written",
            )
        if path in drop and name not in sets:
            raise conflict(f"--type {text}: {path!r} is not sent", "take it away")
        kinds[name] = kind, separator
    if flags.timestamp:
        kinds[TIMESTAMP] = Kind.DATE, None
    return kinds


def _changes(
    moves: ReadMapping[str, str],
    sets: ReadMapping[str, str],
    kinds: ReadMapping[str, tuple[Kind, str | None]],
    json_fields: Collection[str],
) -> list[Change]:
    nothing: tuple[Kind | None, str | None] = (None, None)
    changes = []
    for new, path in moves.items():
        kind, separator = kinds.get(new, nothing)
        if kind is not None or new != path:
            changes.append(Change(new, path, kind, separator))
    for name, value in sets.items():
        kind, separator = kinds.get(name, (Kind.JSON if name in json_fields else None, None))
        changes.append(Change(name, None, kind, separator, constant=value))
    for name, (kind, separator) in kinds.items():
        if name not in moves and name not in sets:
            changes.append(Change(name, name, kind, separator))
    return changes


def _unseen(
    flags: MappingFlags,
    moves: ReadMapping[str, str],
    kinds: ReadMapping[str, object],
    only: Sequence[str],
    seen: Sample,
    sample: Sample,
) -> tuple[str, ...]:
    known = {*seen.names, *seen.paths, *moves, *pairs(flags.sets, "--set", "NAME=VALUE")}
    lifted = [name for name in flags.flatten if name not in sample.names]
    named = [*moves.values(), *kinds, *only]
    before = {*sample.names, *sample.paths}  # a key is looked up in the line as it is
    key = [path for path in key_of(flags) if path not in before]
    return tuple(dict.fromkeys([*lifted, *(name for name in named if name not in known), *key]))


def _check_zone(mapping: JsonMapping, flags: MappingFlags) -> None:
    dates = any(change.kind is Kind.DATE for change in mapping.changes)
    if flags.timezone and not dates and TIMESTAMP not in mapping.seen:
        raise conflict("--timezone has no time to work on", "add --timestamp PATH")


def _check_ready(
    mapping: JsonMapping,
    flags: MappingFlags,
    seen: Sample,
    known_fields: Collection[str],
    identity_fields: Collection[str],
) -> None:
    fields, left_out = _as_fields(mapping, seen)
    if flags.no_timestamp and any(field.name == TIMESTAMP for field in fields):
        raise conflict(
            "--no-timestamp, but 'timestamp' is sent, and it is the event's time",
            "take away --no-timestamp, or add --drop timestamp",
        )
    try:
        check_ready(
            Mapping(fields=tuple(fields), left_out=tuple(left_out)),
            known_fields=known_fields,
            identity_fields=identity_fields,
            ask_time=not flags.no_timestamp,
            unmentioned=left_out if flags.only else (),
        )
    except UsageError as error:
        raise UsageError(
            f"{error.message}; {_seen_words(seen)}", hint=error.hint, code=error.code
        ) from error


def _as_fields(mapping: JsonMapping, seen: Sample) -> tuple[list[Field], list[str]]:
    """What was seen and is sent, as fields; and the names that are left out."""
    known = {*seen.names, *seen.paths}
    moved = {change.source for change in mapping.changes if change.moved}
    fields: dict[str, Field] = {}
    for change in mapping.changes:
        if change.constant is not None:
            fields[change.name] = Field(change.name, constant=change.constant)
        elif change.moved and change.source in known:
            fields[change.name] = Field(change.name, change.source)
    left_out = []
    for name in (*seen.names, *seen.paths):
        if name in moved:
            continue
        if _stays(name, mapping):
            fields.setdefault(name, Field(name, name))
        else:
            left_out.append(name)
    return list(fields.values()), left_out


def _stays(path: str, mapping: JsonMapping) -> bool:
    above = [path[:at] for at, sign in enumerate(path) if sign == "."]
    if any(each in mapping.drop for each in (path, *above)):
        return False
    only = mapping.only
    if only is None:
        return True
    inside = any(each.startswith(f"{path}.") for each in only)
    return inside or any(each in only for each in (path, *above))
