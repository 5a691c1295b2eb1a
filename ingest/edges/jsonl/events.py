"""Events as columns: what the rules judge, with the JSON type of each value.

Values come from orjson, which reads them exactly but for three things, and these are looked up in
the line itself: a name that stands twice, an integer beyond 64 bits, and whether a member is null
or absent where that matters.
"""

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import orjson
import polars as pl

from ingest.edges.jsonl.outline import Outline, member_counts

MOST_COLUMNS = 256
"""Names besides those that rules name; members under more are judged one by one."""

_FIRST_WIDE = 2.0**63  # from here on, orjson may have read an integer as a float

Rest = Callable[[Mapping[str, object]], Sequence[str]]
"""Gives the codes that members or a whole event break, by rules that are not about names."""

Misfit = tuple[str, str, pl.Series]


@dataclass(frozen=True, slots=True)
class Column:
    """The values of one name.

    Args:
        texts: The value itself for a text, JSON for all else; null where absent or null.
        kind: The JSON type of all; `tagged`: it differs.
        tags: The type of each value where it differs; None elsewhere.
    """

    texts: pl.Series
    kind: str
    tags: pl.Series | None


@dataclass(frozen=True, slots=True)
class Events:
    """The objects of a frame as columns.

    Args:
        height: How many objects there are.
        columns: By name; a name that never had a value has none.
        misfits: (code, name, rows) that are known before any rule is asked.
        integers: Of objects with an identity that is an integer: its digits by name.
        blank_uuid: Objects whose `event_uuid` is null or blank.
        own_uuid: Objects with an `event_uuid` of their own.
    """

    height: int
    columns: Mapping[str, Column]
    misfits: list[Misfit]
    integers: Mapping[int, Mapping[str, str]]
    blank_uuid: frozenset[int]
    own_uuid: frozenset[int]


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is to be found out.

    Args:
        named: Names that rules speak of.
        watched: Names that must not stand twice.
        identities: Names whose integers become text.
        rest: Judges members that have no column; None where no rule could mind.
        whole: Judges whole events by rules that columns cannot say; None without any.
    """

    named: frozenset[str]
    watched: frozenset[str]
    identities: tuple[str, ...]
    rest: Rest | None = None
    whole: Rest | None = None


@dataclass(slots=True)
class _Found:
    """What was found in the objects since the last frame."""

    height: int = 0
    values: dict[str, list[object]] = field(default_factory=dict)
    twice: dict[str, list[int]] = field(default_factory=dict)
    codes: dict[str, list[int]] = field(default_factory=dict)
    integers: dict[int, dict[str, str]] = field(default_factory=dict)
    blank_uuid: list[int] = field(default_factory=list)
    wide: dict[tuple[str, int], str] = field(default_factory=dict)


class Collector:
    """Gathers the values of objects, a few at a time, and gives them as columns.

    Args:
        wanted: What is to be found out.
    """

    def __init__(self, wanted: Wanted) -> None:
        self._wanted = wanted
        self._others: dict[str, None] = {}
        self._found = _Found()

    def take(self, objects: Sequence[bytes], values: Sequence[dict[str, object]]) -> None:
        """Take in objects and their values; nothing is kept but what columns need."""
        found, begin = self._found, self._found.height
        names = set().union(*values)
        known = {name for name in names if self._has_column(name)}
        for name in known:
            column = found.values.setdefault(name, [])
            if len(column) < begin:
                column += [None] * (begin - len(column))
            column += [value.get(name) for value in values]
        found.height += len(values)
        self._doubles(objects, values, begin)
        self._uuids(values, begin, names)
        self._wide(objects, values, begin, known)
        self._judge_apart(values, begin, names - known)

    def events(self) -> Events:
        """Give what was gathered, and begin anew."""
        found, self._found = self._found, _Found()
        self._identities(found)
        columns = {
            name: column
            for name, values in found.values.items()
            if (column := _column(name, values, found)) is not None
        }
        misfits = [("json_duplicate_key", name, rows) for name, rows in found.twice.items()]
        misfits += [(code, "", rows) for code, rows in found.codes.items()]
        uuids = found.values.get("event_uuid", [])
        return Events(
            height=found.height,
            columns=columns,
            misfits=[(code, name, _mask(rows, found.height)) for code, name, rows in misfits],
            integers=found.integers,
            blank_uuid=frozenset(found.blank_uuid),
            own_uuid=frozenset(row for row, value in enumerate(uuids) if not _is_blank(value)),
        )

    def _has_column(self, name: str) -> bool:
        if name in self._wanted.named or name in self._others:
            return True
        if len(self._others) >= MOST_COLUMNS:
            return False
        self._others[name] = None
        return True

    def _doubles(
        self, objects: Sequence[bytes], values: Sequence[dict[str, object]], begin: int
    ) -> None:
        """Find names that stand twice: such an object has more members than values."""
        counts = member_counts(objects)
        sizes = np.fromiter(map(len, values), dtype=np.int64, count=len(values))
        rows = np.flatnonzero(counts != sizes).tolist()
        if not rows:
            return
        level = Outline([objects[row] for row in rows]).level(1)
        for place, row in enumerate(rows):
            first, last = int(level.firsts[place]), int(level.firsts[place + 1])
            names = Counter(level.name(member) for member in range(first, last))
            for name, count in names.items():
                if count > 1 and name in self._wanted.watched:
                    self._found.twice.setdefault(name, []).append(begin + row)

    def _uuids(
        self, values: Sequence[dict[str, object]], begin: int, names: Collection[str]
    ) -> None:
        if "event_uuid" in names:
            self._found.blank_uuid += [
                row
                for row, value in enumerate(values, begin)
                if "event_uuid" in value and _is_blank(value["event_uuid"])
            ]

    def _wide(
        self,
        objects: Sequence[bytes],
        values: Sequence[dict[str, object]],
        begin: int,
        known: Collection[str],
    ) -> None:
        """Look integers up that orjson has read as floats."""
        for name in known:
            column = self._found.values[name][begin:]
            if float not in set(map(type, column)):
                continue
            for row, value in enumerate(column):
                if isinstance(value, float) and abs(value) >= _FIRST_WIDE:
                    level = Outline([objects[row]]).level(1)
                    text = level.value(int(level.find(name)[-1])).decode()
                    if text.lstrip("-").isdecimal():
                        self._found.wide[name, begin + row] = text

    def _judge_apart(
        self, values: Sequence[dict[str, object]], begin: int, rare: Collection[str]
    ) -> None:
        wanted = self._wanted
        if rare and wanted.rest is not None:
            for row, value in enumerate(values, begin):
                apart = {name: value[name] for name in value if name in rare}
                self._note(wanted.rest(apart) if apart else (), row)
        if wanted.whole is not None:
            for row, value in enumerate(values, begin):
                self._note(wanted.whole(value), row)

    def _note(self, codes: Sequence[str], row: int) -> None:
        for code in codes:
            self._found.codes.setdefault(code, []).append(row)

    def _identities(self, found: _Found) -> None:
        """Turn integers into their digits."""
        for name in self._wanted.identities:
            values = found.values.get(name, [])
            if not {int, float} & set(map(type, values)):
                continue
            for row, value in enumerate(values):
                digits = found.wide.pop((name, row), None)
                if type(value) is int:
                    digits = str(value)
                if digits is not None:
                    values[row] = digits
                    found.integers.setdefault(row, {})[name] = digits


def _is_blank(value: object) -> bool:
    # Python's blanks are Unicode White_Space and U+001C to U+001F, as the rules have it.
    return value is None or (isinstance(value, str) and not value.strip())


def _mask(rows: list[int], height: int) -> pl.Series:
    flags = np.zeros(height, dtype=np.bool_)
    flags[rows] = True
    return pl.Series(flags)


_TAGS = {str: "string", int: "integer", float: "number", bool: "boolean", list: "array"}
_TAGS |= {dict: "object"}


def _column(name: str, values: list[object], found: _Found) -> Column | None:
    values += [None] * (found.height - len(values))
    kinds = set(map(type, values)) - {type(None)}
    if not kinds:
        return None
    if kinds == {str}:
        return Column(pl.Series(values, dtype=pl.String), "text", None)
    texts = [_text(value) for value in values]
    tags = [_TAGS.get(type(value)) for value in values]  # type: ignore[arg-type] # null has none
    for (other, row), text in found.wide.items():
        if other == name:
            texts[row], tags[row] = text, "integer"
    series = pl.Series(texts, dtype=pl.String)
    present = {tag for tag in tags if tag is not None}
    if len(present) == 1 and present <= {"integer", "boolean"}:
        return Column(series, present.pop(), None)
    return Column(series, "tagged", pl.Series(tags, dtype=pl.String))


def _text(value: object) -> str | None:
    if value is None or isinstance(value, str):
        return value
    return orjson.dumps(value).decode()
