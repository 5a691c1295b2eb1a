"""From a header and flags to a mapping, or a refusal that names the flag.

All columns are sent under their own names. `--map` moves one, `--timestamp` moves one and reads
it as a time, `--set` adds a constant, `--only` and `--drop` leave columns out. Two things never
meet under one name: whatever would, is refused, and the flag that resolves it is named.
"""

import re
from collections.abc import Collection, Sequence
from collections.abc import Mapping as ReadMapping
from dataclasses import dataclass, replace

from ingest.core.lookalike import close_to
from ingest.core.mapping import EVENT, EVENT_UUID, TIMESTAMP, Field, Kind, Mapping, TimePlan
from ingest.core.readiness import check_ready, pasted
from ingest.core.timeformat import EPOCHS, compile_format
from ingest.errors import UsageError

# The flat pair by which CSV files carry a subscription (contract: fields), and what it becomes.
SUBSCRIPTIONS = "subscription_groups"
SUBSCRIPTION_PAIR = {"subscription_group_id": "id", "subscription_group_subscribed": "subscribed"}

_POSITION = re.compile("#([0-9]{1,6})")
_GIVEN_KINDS = tuple(kind for kind in Kind if kind is not Kind.SUBSCRIPTION)


@dataclass(frozen=True, slots=True)
class MappingFlags:
    """The flags that say what is sent, as typed.

    Args:
        maps: `NEW=OLD`.
        sets: `NAME=VALUE`.
        only: Columns by name or `#position` from 1, several with commas between.
        drop: Likewise.
        types: `COL=number|integer|boolean|json|date|text|list:SEP`.
        nulls: Cells that are absent.
        timestamp: The column of the event's time.
        timestamp_format: How it is written.
        timezone: IANA name.
        no_timestamp: Events are to be filed under the moment of receipt.
        flatten: Objects of JSON lines whose members are lifted; tables have none.
        uuid_from: Columns that event_uuids are made from; commas between several.
    """

    maps: tuple[str, ...] = ()
    sets: tuple[str, ...] = ()
    only: tuple[str, ...] = ()
    drop: tuple[str, ...] = ()
    types: tuple[str, ...] = ()
    nulls: tuple[str, ...] = ()
    timestamp: str | None = None
    timestamp_format: str | None = None
    timezone: str | None = None
    no_timestamp: bool = False
    flatten: tuple[str, ...] = ()
    uuid_from: tuple[str, ...] = ()


def plan(
    header: Sequence[str],
    flags: MappingFlags,
    *,
    known_fields: Collection[str],
    json_fields: Collection[str],
    identity_fields: Collection[str],
) -> Mapping:
    """Decide what is sent, from the header alone.

    Args:
        header: The columns of the source; unique.
        flags: As typed.
        known_fields: Names that the API documents; never taken for another one misspelt.
        json_fields: Those of type array or object: their cells are read as JSON.
        identity_fields: One of these must be among the fields; empty: none need be.

    Raises:
        UsageError: A flag names what is not there, or two meet under one name; or there is no
            event, no identity, or no decision on the time. The hint has what to type.
    """
    check_flags(header, flags)
    if flags.flatten:
        raise conflict(
            f"--flatten {flags.flatten[0]} is for JSON lines, and this is a table",
            "take it away, or run the JSON lines by themselves",
        )
    moves = _moves(header, flags)
    sets = pairs(flags.sets, "--set", "NAME=VALUE")
    kept = _kept(header, flags, moves)
    fields = _fields(header, kept, moves, sets)
    fields = _typed(_paired(fields), flags, header, json_fields, identity_fields)
    mapping = Mapping(
        fields=tuple(fields),
        nulls=flags.nulls,
        time=TimePlan(moves[TIMESTAMP], flags.timestamp_format) if flags.timestamp else None,
        timezone=flags.timezone or "UTC",
        left_out=tuple(column for column in header if column not in kept),
        key=tuple(_column(name, header, "--uuid-from") for name in key_of(flags)),
    )
    _check_zone(mapping, flags)
    if flags.no_timestamp and TIMESTAMP in {field.name for field in fields}:
        raise conflict(
            "--no-timestamp, but 'timestamp' is sent, and it is the event's time",
            "take away --no-timestamp, or add --drop timestamp",
        )
    check_ready(
        mapping,
        known_fields=known_fields,
        identity_fields=identity_fields,
        ask_time=not flags.no_timestamp,
        unmentioned=mapping.left_out if flags.only else (),
    )
    return mapping


def check_flags(header: Sequence[str], flags: MappingFlags) -> None:
    """Refuse flags that contradict one another.

    Raises:
        UsageError: They do, or a name stands twice in the header.
    """
    if len(set(header)) != len(header):
        raise UsageError("two columns of the header share a name", code="duplicate_column")
    if flags.only and flags.drop:
        raise conflict("--only and --drop exclude each other", "keep one of them")
    if flags.timestamp and flags.no_timestamp:
        raise conflict("--timestamp and --no-timestamp exclude each other", "keep one of them")
    if flags.timestamp_format and not flags.timestamp:
        way = "--timestamp timestamp" if TIMESTAMP in header else "--timestamp COLUMN"
        raise conflict("--timestamp-format needs --timestamp", f"add {way}")
    if flags.timestamp_format and flags.timestamp_format not in EPOCHS:
        compile_format(flags.timestamp_format)


def key_of(flags: MappingFlags) -> tuple[str, ...]:
    """Give the columns of `--uuid-from`, in their order.

    Raises:
        UsageError: A name is empty, or stands twice.
    """
    names = tuple(name for text in flags.uuid_from for name in text.split(","))
    if len(set(names)) != len(names) or not all(names):
        raise UsageError(
            f"--uuid-from {','.join(names)}: a name is empty or stands twice",
            hint="--uuid-from order_id,line",
            code="flag_invalid",
        )
    return names


def _moves(header: Sequence[str], flags: MappingFlags) -> dict[str, str]:
    """New name to column, `timestamp` among them."""
    given = pairs(flags.maps, "--map", "NEW=OLD")
    moves = {new: _column(old, header, f"--map {new}={old}") for new, old in given.items()}
    if flags.timestamp:
        if TIMESTAMP in moves:
            raise conflict(
                f"--map timestamp={moves[TIMESTAMP]} and --timestamp {flags.timestamp} "
                "both give the event's time",
                "keep --timestamp alone: it moves the column and reads it as a time",
            )
        moves[TIMESTAMP] = _column(flags.timestamp, header, f"--timestamp {flags.timestamp}")
    for column in moves.values():
        names = [new for new, old in moves.items() if old == column]
        if len(names) > 1:
            raise conflict(
                f"column {column!r} is moved to {' and '.join(names)}",
                "a column is sent once; keep one --map or --timestamp for it",
            )
    return moves


def _kept(header: Sequence[str], flags: MappingFlags, moves: ReadMapping[str, str]) -> list[str]:
    """Columns that are sent, in the order of the header."""
    moved = set(moves.values())
    if flags.only:
        named = _listed(flags.only, header, "--only", moves)
        return [column for column in header if column in named | moved]
    dropped = _listed(flags.drop, header, "--drop", {})
    for new, column in moves.items():
        if column in dropped:
            flag = "--timestamp" if flags.timestamp and new == TIMESTAMP else f"--map {new}"
            raise conflict(
                f"--drop {column} leaves out a column that {flag} sends", "keep one of them"
            )
    return [column for column in header if column not in dropped]


def _fields(
    header: Sequence[str],
    kept: Sequence[str],
    moves: ReadMapping[str, str],
    sets: ReadMapping[str, str],
) -> list[Field]:
    names = {column: new for new, column in moves.items()}
    fields = [Field(names.get(column, column), column) for column in kept]
    _check_meeting(fields, names, sets)
    for name, value in sets.items():
        if not value:
            way = f" ({pasted('--drop', name)} leaves the column out)" if name in header else ""
            raise UsageError(
                f"--set {name}= gives no value",
                hint=f"give a value; an empty one would be absent{way}",
                code="flag_invalid",
            )
    return [*fields, *(Field(name, constant=value) for name, value in sets.items())]


def _check_meeting(
    fields: Sequence[Field], names: ReadMapping[str, str], sets: ReadMapping[str, str]
) -> None:
    """Refuse two origins of one name."""
    own = {field.name for field in fields if field.source not in names}
    for column, new in names.items():
        if new in own:
            raise conflict(
                f"{column!r} would be sent as {new!r}, and there is a column {new!r} already",
                f"add {pasted('--drop', new)}, or move that one away: "
                f"{pasted('--map', f'other_{new}={new}')}",
            )
    for field in fields:
        if field.name in sets:
            way = (
                f"add {pasted('--drop', field.name)}"
                if field.source == field.name
                else f"take away --set {field.name} or the flag that moves {field.source!r}"
            )
            raise conflict(f"--set {field.name} meets column {field.source!r}", way)


def _paired(fields: list[Field]) -> list[Field]:
    """Put the flat subscription pair into the array that the API takes."""
    by_name = {field.name: field for field in fields}
    if not SUBSCRIPTION_PAIR.keys() <= by_name.keys():
        return fields
    first = next(index for index, field in enumerate(fields) if field.name in SUBSCRIPTION_PAIR)
    if SUBSCRIPTIONS in by_name:
        raise conflict(
            f"{' and '.join(SUBSCRIPTION_PAIR)} become {SUBSCRIPTIONS!r}, which is there already",
            f"add {pasted('--drop', SUBSCRIPTIONS)}, or "
            f"{pasted('--drop', ','.join(SUBSCRIPTION_PAIR))}",
        )
    kinds = {"id": Kind.TEXT, "subscribed": Kind.BOOLEAN}
    parts = tuple(
        replace(by_name[name], name=key, kind=kinds[key]) for name, key in SUBSCRIPTION_PAIR.items()
    )
    pair = Field(SUBSCRIPTIONS, kind=Kind.SUBSCRIPTION, parts=parts)
    rest = [field for field in fields if field.name not in SUBSCRIPTION_PAIR]
    return [*rest[:first], pair, *rest[first:]]


def _typed(
    fields: list[Field],
    flags: MappingFlags,
    header: Sequence[str],
    json_fields: Collection[str],
    identity_fields: Collection[str],
) -> list[Field]:
    kinds = _kinds(flags, fields, header)
    texts = {EVENT, EVENT_UUID, *identity_fields}
    for name, (kind, _) in kinds.items():
        if name in texts and kind is not Kind.TEXT:
            raise UsageError(
                f"--type {name}={kind}: {name!r} is text to the API",
                hint=f"take away --type {name}={kind}",
                code="flag_invalid",
            )
        if name == TIMESTAMP and flags.timestamp:
            raise conflict(
                f"--timestamp {flags.timestamp} and --type {name}={kind} both say how to read it",
                "take away the --type; --timestamp-format says how the time is written",
            )
    if flags.timestamp:
        kinds[TIMESTAMP] = (Kind.DATE, None)
    return [_with_kind(field, kinds, json_fields) for field in fields]


def _with_kind(
    field: Field, kinds: ReadMapping[str, tuple[Kind, str | None]], json_fields: Collection[str]
) -> Field:
    if field.name in kinds:
        kind, separator = kinds[field.name]
        return replace(field, kind=kind, separator=separator)
    if field.name in json_fields and field.kind is Kind.TEXT:
        return replace(field, kind=Kind.JSON)
    return field


def _kinds(
    flags: MappingFlags, fields: Sequence[Field], header: Sequence[str]
) -> dict[str, tuple[Kind, str | None]]:
    names = {field.source: field.name for field in fields if field.source is not None}
    names |= {field.name: field.name for field in fields if not field.parts}
    kinds: dict[str, tuple[Kind, str | None]] = {}
    for text in flags.types:
        column, kind, separator = type_flag(text)
        if column not in names:
            if column in header:
                raise conflict(f"--type {text}: column {column!r} is not sent", "take it away")
            raise _unknown(column, names, f"--type {text}")
        if names[column] in kinds:
            raise conflict(f"two --type for {column!r}", "keep one of them")
        kinds[names[column]] = (kind, separator)
    return kinds


def type_flag(text: str) -> tuple[str, Kind, str | None]:
    """Split at the first `=` that a kind follows: a column's name may have one itself.

    Raises:
        UsageError: It names no kind.
    """
    words = "|".join(kind for kind in _GIVEN_KINDS if kind is not Kind.LIST)
    match = re.fullmatch(rf"(.+?)=(?:({words})|list:(.+))", text, flags=re.DOTALL)
    if match:
        column, kind, separator = match.groups()
        return column, Kind(kind) if kind else Kind.LIST, separator
    given = text.rpartition("=")[2]
    near = close_to(given, _GIVEN_KINDS)
    maybe = f"did you mean {near[0]}{':SEPARATOR' * (near[0] == Kind.LIST)}? " if near else ""
    raise UsageError(
        f"--type {text} cannot be read",
        hint=f"{maybe}write --type COLUMN=number, integer, boolean, json, date, text or "
        "list:SEPARATOR (such as list:'|')",
        code="flag_invalid",
    )


def _check_zone(mapping: Mapping, flags: MappingFlags) -> None:
    dates = any(field.kind is Kind.DATE for field in mapping.fields)
    if flags.timezone and not dates and mapping.time is None:
        way = "--timestamp timestamp" if mapping.columns_of(TIMESTAMP) else "--timestamp COLUMN"
        raise conflict("--timezone has no time to work on", f"add {way}")


def pairs(texts: Sequence[str], flag: str, form: str) -> dict[str, str]:
    """Read `NEW=OLD`, cut at the first `=`.

    Raises:
        UsageError: There is none, or a name is given twice.
    """
    pairs: dict[str, str] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not name or not equals:
            raise UsageError(
                f"{flag} {text} cannot be read", hint=f"write {flag} {form}", code="flag_invalid"
            )
        if name in pairs:
            raise conflict(f"two {flag} for {name!r}", "keep one of them")
        pairs[name] = value
    return pairs


def _listed(
    texts: Sequence[str], header: Sequence[str], flag: str, moves: ReadMapping[str, str]
) -> set[str]:
    """Columns of `--only` or `--drop`; a text that is a column whole is not cut at its commas."""
    named: set[str] = set()
    for text in texts:
        whole = (text in header and not _POSITION.fullmatch(text)) or text in moves
        for each in [text] if whole else [part.strip() for part in text.split(",")]:
            named.add(moves[each] if each in moves else _column(each, header, f"{flag} {text}"))
    return named


def positions(texts: Sequence[str]) -> frozenset[int]:
    """The positions from 1 among the columns of `--drop` or `--only`, before there is a header."""
    parts = (part.strip() for text in texts for part in text.split(","))
    return frozenset(int(match[1]) for part in parts if (match := _POSITION.fullmatch(part)))


def _column(name: str, header: Sequence[str], flag: str) -> str:
    """A column by `#position` from 1 or by its name."""
    position = _POSITION.fullmatch(name)
    if position is None:
        if name not in header:
            raise _unknown(name, header, flag)
        return name
    index = int(position[1])
    if not 1 <= index <= len(header):
        raise UsageError(
            f"{flag}: there is no column {name}",
            hint=f"the header has #1 to #{len(header)}",
            code="unknown_column",
        )
    return header[index - 1]


def _unknown(name: str, names: Collection[str], flag: str) -> UsageError:
    near = close_to(name, names)
    maybe = f"did you mean {' or '.join(map(repr, near))}? " if near else ""
    return UsageError(
        f"{flag}: there is no column {name!r}",
        hint=f"{maybe}columns: {', '.join(names)}",
        code="unknown_column",
    )


def conflict(message: str, hint: str) -> UsageError:
    """Flags that cannot both hold."""
    return UsageError(message, hint=hint, code="mapping_conflict")
