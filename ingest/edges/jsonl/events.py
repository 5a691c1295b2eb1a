"""Events as columns: what the rules judge, with the JSON type of each value.

Values come from orjson, which reads them exactly but for three things, and these are looked up in
the line itself: a name that stands twice, an integer beyond 64 bits, and whether a member is null
or absent where that matters.
"""

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import repeat
from operator import add

import numpy as np
import orjson
import polars as pl

from ingest.edges.jsonl.outline import Outline, member_counts

MOST_COLUMNS = 64
"""Names besides those that rules name; members under more are judged apart, row by row, which
costs less than a column does for a name that few rows have."""

_MANY = 2048
_FIRST_WIDE = 2.0**63  # from here on, orjson may have read an integer as a float

Rest = Callable[[Mapping[str, object], Collection[str]], Sequence[str]]
"""Gives the codes that the members of some names break in an event."""

Whole = Callable[[Mapping[str, object]], Sequence[str]]
"""Gives the codes that an event breaks."""

Misfit = tuple[str, str, pl.Series]


@dataclass(frozen=True, slots=True)
class Column:
    """The values of one name.

    Args:
        texts: The value itself for a text, JSON for all else; null where absent or null.
        kind: The JSON type of all, `text` for strings; `tagged`: it differs.
        tags: The type of each value where it differs; None elsewhere.
    """

    texts: pl.Series
    kind: str
    tags: pl.Series | None = None

    @property
    def all_tags(self) -> pl.Series:
        """The type of each value, null where there is none."""
        if self.tags is not None:
            return self.tags
        tag = pl.Series(["string" if self.kind == "text" else self.kind], dtype=pl.String)
        return tag.new_from_index(0, len(self.texts)).set(self.texts.is_null(), None)


@dataclass(frozen=True, slots=True)
class Events:
    """The objects of a frame as columns.

    Args:
        height: How many objects there are.
        columns: By name; a name that never had a value has none.
        misfits: (code, name, rows) that are known before any rule is asked; the name is empty
            where a rule was asked of members that have no column.
        integers: Of objects with an identity that is an integer: its digits by name.
        blank_uuid: Objects whose `event_uuid` is null or blank.
        needs_uuid: Whether an object has no `event_uuid` of its own.
    """

    height: int
    columns: Mapping[str, Column]
    misfits: list[Misfit]
    integers: Mapping[int, Mapping[str, str]]
    blank_uuid: frozenset[int]
    needs_uuid: "np.ndarray[tuple[int], np.dtype[np.bool_]]"


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is to be found out.

    Args:
        named: Names that rules speak of.
        watched: Names that must not stand twice.
        identities: Names whose integers become text.
        rest: Judges members that have no column; None where no rule could mind.
        whole: Judges whole events by rules that columns cannot say; None without any.
        most: Names besides those of rules that have a column.
    """

    named: frozenset[str]
    watched: frozenset[str]
    identities: tuple[str, ...]
    rest: Rest | None = None
    whole: Whole | None = None
    most: int = MOST_COLUMNS


@dataclass(slots=True)
class _Found:
    """What was found in the objects since the last frame."""

    height: int = 0
    pieces: dict[str, list[tuple[int, Column]]] = field(default_factory=dict)
    unsure: list[tuple[int, bytes, int]] = field(default_factory=list)
    twice: dict[str, list[int]] = field(default_factory=dict)
    codes: dict[str, list[int]] = field(default_factory=dict)
    integers: dict[int, dict[str, str]] = field(default_factory=dict)
    blank_uuid: list[int] = field(default_factory=list)
    own_uuid: list[int] = field(default_factory=list)


class Collector:
    """Gathers the values of objects, a few at a time, and gives them as columns.

    Args:
        wanted: What is to be found out.
    """

    def __init__(self, wanted: Wanted) -> None:
        self._wanted = wanted
        self._others: dict[str, None] = {}
        self._mixed: set[str] = set()  # names whose values were not all texts
        self._found = _Found()

    def take(self, objects: Sequence[bytes], values: Sequence[dict[str, object]]) -> None:
        """Take in objects and their values; nothing is kept but what columns need."""
        begin = self._found.height
        self._found.height += len(values)
        names = set().union(*values)
        rare = {name for name in names if not self._has_column(name)}
        nested = [0] * len(values)
        for name in names - rare:
            cells: list[object] = list(map(dict.get, values, repeat(name)))
            if name not in self._mixed and self._took_texts(name, cells, begin):
                continue
            kinds = set(map(type, cells))
            wide = _wide(objects, name, cells) if float in kinds else {}
            if name in self._wanted.identities and kinds & {int, float}:
                self._digits(name, cells, wide, begin)
                kinds = set(map(type, cells))
            piece = _piece(cells, kinds - {_NONE}, wide, nested)
            if piece is not None:
                self._found.pieces.setdefault(name, []).append((begin, piece))
        self._compare(objects, values, nested, begin)
        if "event_uuid" in names:
            self._uuids(values, begin)
        self._judge_apart(values, begin, rare)

    def events(self) -> Events:
        """Give what was gathered, and begin anew."""
        self._doubles()
        found, self._found = self._found, _Found()
        height = found.height
        misfits = [("json_duplicate_key", name, rows) for name, rows in found.twice.items()]
        misfits += [(code, "", rows) for code, rows in found.codes.items()]
        needs_uuid = np.ones(height, dtype=np.bool_)
        needs_uuid[found.own_uuid] = False
        return Events(
            height=height,
            columns={name: _joined(pieces, height) for name, pieces in found.pieces.items()},
            misfits=[(code, name, _mask(rows, height)) for code, name, rows in misfits],
            integers=found.integers,
            blank_uuid=frozenset(found.blank_uuid),
            needs_uuid=needs_uuid,
        )

    def _took_texts(self, name: str, cells: Sequence[object], begin: int) -> bool:
        """Take the values of a name if they are texts, which only polars looks at; most are."""
        try:
            texts = pl.Series(cells, dtype=pl.String)
        except TypeError:
            self._mixed.add(name)
            return False
        if texts.null_count() < len(texts):
            self._found.pieces.setdefault(name, []).append((begin, Column(texts, "text")))
        return True

    def _has_column(self, name: str) -> bool:
        if name in self._wanted.named or name in self._others:
            return True
        if len(self._others) >= self._wanted.most:
            return False
        self._others[name] = None
        return True

    def _compare(
        self,
        objects: Sequence[bytes],
        values: Sequence[dict[str, object]],
        nested: Sequence[int],
        begin: int,
    ) -> None:
        """Put aside the objects that may have more members than values."""
        unsure = self._found.unsure
        for row in _unproven(objects, values, nested):
            unsure.append((begin + row, objects[row], len(values[row])))
        if len(unsure) >= _MANY:
            self._doubles()

    def _doubles(self) -> None:
        """Find names that stand twice: such an object has more members than values."""
        unsure, self._found.unsure = self._found.unsure, []
        if not unsure:
            return
        counts = member_counts([text for _, text, _ in unsure]).tolist()
        pairs = zip(unsure, counts, strict=True)
        crowded = [one for one, count in pairs if count != one[2]]
        if not crowded:
            return
        level = Outline([text for _, text, _ in crowded]).level(1)
        for place, (row, _, _) in enumerate(crowded):
            first, last = int(level.firsts[place]), int(level.firsts[place + 1])
            names = Counter(level.name(member) for member in range(first, last))
            for name, count in names.items():
                if count > 1 and name in self._wanted.watched:
                    self._found.twice.setdefault(name, []).append(row)

    def _uuids(self, values: Sequence[dict[str, object]], begin: int) -> None:
        for row, value in enumerate(values, begin):
            if "event_uuid" in value:
                blank = _is_blank(value["event_uuid"])
                (self._found.blank_uuid if blank else self._found.own_uuid).append(row)

    def _digits(self, name: str, cells: list[object], wide: dict[int, str], begin: int) -> None:
        """Turn integers into their digits, in place."""
        for row, value in enumerate(cells):
            digits = str(value) if type(value) is int else wide.pop(row, None)
            if digits is not None:
                cells[row] = digits
                self._found.integers.setdefault(begin + row, {})[name] = digits

    def _judge_apart(
        self, values: Sequence[dict[str, object]], begin: int, rare: Collection[str]
    ) -> None:
        wanted = self._wanted
        if rare and wanted.rest is not None:
            for row, value in enumerate(values, begin):
                self._note(wanted.rest(value, rare), row)
        if wanted.whole is not None:
            for row, value in enumerate(values, begin):
                self._note(wanted.whole(value), row)

    def _note(self, codes: Sequence[str], row: int) -> None:
        for code in codes:
            self._found.codes.setdefault(code, []).append(row)


def _is_blank(value: object) -> bool:
    # Python's blanks are Unicode White_Space and U+001C to U+001F, as the rules have it.
    return value is None or (isinstance(value, str) and not value.strip())


def _mask(rows: list[int], height: int) -> pl.Series:
    flags = np.zeros(height, dtype=np.bool_)
    flags[rows] = True
    return pl.Series(flags)


def _unproven(
    objects: Sequence[bytes], values: Sequence[dict[str, object]], nested: Sequence[int]
) -> list[int]:
    """Objects that are not proven to have no more members than values.

    Where an object has no escape and no blank before a colon, each of its members shows as `":`
    in it, and those inside its values show there at least as often as in what orjson makes of
    these values. So an object that shows it no more often than it has values, and these have
    inside, has no other member.

    Args:
        objects: The lines.
        values: Their values.
        nested: How often `":` is in the nested values, written anew.
    """
    text = b"\n".join(objects)
    octets = np.frombuffer(text, dtype=np.uint8)
    ends = np.cumsum(np.fromiter(map(len, objects), dtype=np.int64) + 1)
    colons = np.flatnonzero(octets == ord(":"))
    before = octets[colons - 1]
    marks = np.diff(colons[before == ord('"')].searchsorted(ends), prepend=0)
    unproven = marks != np.fromiter(map(add, map(len, values), nested), dtype=np.int64)
    unproven[ends.searchsorted(colons[before <= ord(" ")], side="right")] = True
    if b"\\" in text:
        escapes = np.flatnonzero(octets == ord("\\"))
        unproven[ends.searchsorted(escapes, side="right")] = True
    return np.flatnonzero(unproven).tolist()


def _wide(objects: Sequence[bytes], name: str, cells: Sequence[object]) -> dict[int, str]:
    """The digits of integers that orjson has read as floats, by object."""
    rows = [
        row
        for row, value in enumerate(cells)
        if type(value) is float and not -_FIRST_WIDE < value < _FIRST_WIDE
    ]
    if not rows:
        return {}
    level = Outline([objects[row] for row in rows]).level(1)
    # The last of a name counts, as with orjson.
    texts = {rows[level.rows[at]]: level.value(at).decode() for at in level.find(name).tolist()}
    return {row: text for row, text in texts.items() if text.removeprefix("-").isdecimal()}


_TAGS = {
    str: "string",
    int: "integer",
    float: "number",
    bool: "boolean",
    list: "array",
    dict: "object",
    type(None): None,
}
_NONE = type(None)
_SCALARS = {int, float, bool}
_NESTED = {list, dict}
_UNIFORM = {int: "integer", float: "number", bool: "boolean", list: "array", dict: "object"}


def _piece(
    cells: list[object], kinds: set[type], wide: Mapping[int, str], nested: list[int]
) -> Column | None:
    """Some values of one name as a column; None where there are none.

    Args:
        cells: The values.
        kinds: Their types, but for that of null.
        wide: Integers that are floats among the values.
        nested: Counts, by value, that those inside arrays and objects are added to.
    """
    if not kinds:
        return None
    if kinds == {str}:
        return Column(pl.Series(cells, dtype=pl.String), "text")
    texts: list[str | None]
    if kinds <= _SCALARS:
        # One call for all: numbers and words have no comma.
        texts = [*orjson.dumps(cells)[1:-1].decode().split(",")]
        if None in cells:
            texts = [None if text == "null" else text for text in texts]
    else:
        texts = [
            cell if cell is None or type(cell) is str else orjson.dumps(cell).decode()
            for cell in cells
        ]
        if kinds & _NESTED:
            for row, cell in enumerate(cells):
                if type(cell) in _NESTED:
                    nested[row] += texts[row].count('":')  # type: ignore[union-attr] # a text
    if len(kinds) == 1 and not wide:
        return Column(pl.Series(texts, dtype=pl.String), _UNIFORM[next(iter(kinds))])
    tags = list(map(_TAGS.__getitem__, map(type, cells)))
    for row, text in wide.items():
        texts[row], tags[row] = text, "integer"
    return Column(pl.Series(texts, dtype=pl.String), "tagged", pl.Series(tags, dtype=pl.String))


def _joined(pieces: Sequence[tuple[int, Column]], height: int) -> Column:
    """One column of pieces, with nulls where there is none."""
    kinds = {piece.kind for _, piece in pieces}
    kind = kinds.pop() if len(kinds) == 1 else "tagged"
    texts = _filled([(begin, piece.texts) for begin, piece in pieces], height)
    if kind != "tagged":
        return Column(texts, kind)
    return Column(texts, kind, _filled([(begin, p.all_tags) for begin, p in pieces], height))


def _filled(parts: Sequence[tuple[int, pl.Series]], height: int) -> pl.Series:
    series: list[pl.Series] = []
    at = 0
    for begin, part in parts:
        if begin > at:
            series.append(part.clear(begin - at))
        series.append(part)
        at = begin + len(part)
    if height > at:
        series.append(parts[0][1].clear(height - at))
    return pl.concat(series, rechunk=True) if len(series) > 1 else series[0]
