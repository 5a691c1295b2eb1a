"""A mapping applied to lines: the members that flags name, and no other byte.

First the objects of `--flatten` are lifted, then all other flags are applied at once. A path is
looked for as a name of its own before it is followed into objects; of a name that stands twice
the last one is meant, as orjson has it, and the record is flagged.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import orjson
import polars as pl

from ingest.core.json_mapping import Change, JsonMapping
from ingest.core.mapping import Kind
from ingest.edges.jsonl.events import Misfit
from ingest.edges.jsonl.outline import Level, Outline
from ingest.edges.jsonl.splice import Edits, children, member, spliced
from ingest.edges.jsonl.values import Flags, Ints

Convert = Callable[[pl.DataFrame], tuple[pl.DataFrame, Sequence[Misfit]]]
"""Turns a table of texts, one column for each change that converts, into JSON values and misfits:
an encoder of tables, bound to `JsonMapping.conversions`. A text that does not fit stays."""

FLATTEN_CONFLICT = "flatten_conflict"

_WINDOW = 1024
_NULL = b"null"
_PLAIN_KINDS = {None, Kind.TEXT, Kind.DATE}
_STANDS = {Kind.JSON: b'"', Kind.LIST: b'"0123456789-tf', Kind.TEXT: b"0123456789-tf{["}
"""First bytes of the values that these kinds convert; all others stand as they are."""


@dataclass(frozen=True, slots=True)
class Rewritten:
    """Objects as they are to be judged and sent.

    Args:
        objects: One for each that was given.
        misfits: (code, name, rows): values that do not fit, and names that would stand twice.
        conflicts: Objects with a member that could not be lifted.
    """

    objects: list[bytes]
    misfits: list[Misfit]
    conflicts: Ints


@dataclass(slots=True)
class _Found:
    """What was found in some objects, by number from 0."""

    misfits: dict[tuple[str, str], list[int]] = field(default_factory=dict)
    conflicts: list[int] = field(default_factory=list)

    def note(self, code: str, name: str, rows: Sequence[int]) -> None:
        if len(rows):
            self.misfits.setdefault((code, name), []).extend(rows)


class Rewriter:
    """Applies one mapping.

    Args:
        mapping: What is to be changed.
        convert: Converts texts.
    """

    def __init__(self, mapping: JsonMapping, convert: Convert) -> None:
        self._mapping = mapping
        self._convert = convert
        self._constants = self._constant_members()
        self._tokens = {token.encode() for token in mapping.nulls}

    def rewrite(self, objects: Sequence[bytes]) -> Rewritten:
        """Give the objects with the changes made.

        Args:
            objects: JSON objects without blanks around them, one each.
        """
        found = _Found()
        made: list[bytes] = []
        for begin in range(0, len(objects), _WINDOW):
            part: Sequence[bytes] = objects[begin : begin + _WINDOW]
            for key in self._mapping.flatten:
                part = self._lifted(part, key, found, begin)
            made += self._changed(part, found, begin)
        misfits = []
        for (code, name), rows in found.misfits.items():
            flags = np.zeros(len(objects), dtype=np.bool_)
            flags[rows] = True
            misfits.append((code, name, pl.Series(flags)))
        return Rewritten(made, misfits, np.unique(np.array(found.conflicts, dtype=np.int64)))

    def _constant_members(self) -> list[tuple[Change, bytes]]:
        changes = [change for change in self._mapping.changes if change.constant is not None]
        if not changes:
            return []
        names = [c.name for c in self._mapping.changes if c.source is not None and c.kind]
        nothing = pl.DataFrame(
            {name: [None] for name in names}, schema=dict.fromkeys(names, pl.String)
        )
        if not names:
            nothing = pl.DataFrame({"": [None]})
        table, _ = self._convert(nothing)
        return [
            (change, _member(change.name, _json(change, table[change.name][0])))
            for change in changes
        ]

    # -- flatten -----------------------------------------------------------------------------

    def _lifted(
        self, objects: Sequence[bytes], key: str, found: _Found, begin: int
    ) -> Sequence[bytes]:
        """Put the members of an object in its place; those whose name is taken stay in it."""
        outline = Outline(objects)
        level = outline.level(1)
        named = level.find(key)
        parents = _last_of_each(level, named)
        twice = level.rows[np.setdiff1d(named, parents)] + begin
        found.note("json_duplicate_key", key, twice.tolist())
        parents = parents[level.kinds[parents] == ord("{")]
        if not len(parents):
            return objects
        inner = outline.level(2)
        edits = Edits()
        firsts, lasts = children(level, inner, parents)
        spans = zip(parents.tolist(), firsts.tolist(), lasts.tolist(), strict=True)
        for parent, first, last in spans:
            row = int(level.rows[parent])
            event = orjson.loads(objects[row])
            taken = event.keys() & event[key].keys()
            text = level.value(parent)[1:-1].strip()
            if taken:
                found.conflicts.append(begin + row)
                if len(taken) == len(event[key]):
                    continue
                text = _parted(level, inner, parent, range(first, last), taken)
            edits.exchange(1, parent, text)
        return spliced(outline, {1: level}, edits)

    # -- all other flags ---------------------------------------------------------------------

    def _changed(self, objects: Sequence[bytes], found: _Found, begin: int) -> Sequence[bytes]:
        work = _Window(self._mapping, objects)
        table, misfits = self._converted(work)
        for code, name, flags in misfits:
            found.note(code, name, (flags.arg_true() + begin).to_list())
        work.drop()
        work.keep_only()
        work.take_nulls(self._tokens)
        for change in self._mapping.changes:
            if change.source is not None:
                unfit = next((flags for _, name, flags in misfits if name == change.name), None)
                cells = table[change.name] if change.name in table.columns else None
                made = None if cells is None else _made(change, cells, unfit)
                work.change(change, made, self._tokens)
        for change, text in self._constants:
            work.set(change.name, text)
        for name, rows in work.doubles.items():
            found.note("json_duplicate_key", name, [begin + row for row in rows])
        return work.result()

    def _converted(self, work: "_Window") -> tuple[pl.DataFrame, Sequence[Misfit]]:
        columns = {
            change.name: work.texts(change)
            for change in self._mapping.changes
            if change.source is not None and change.kind is not None
        }
        if not columns:
            return pl.DataFrame(), []
        return self._convert(pl.DataFrame(columns, schema=dict.fromkeys(columns, pl.String)))


class _Window:
    """Some objects and what is to be done to them."""

    def __init__(self, mapping: JsonMapping, objects: Sequence[bytes]) -> None:
        self._mapping = mapping
        self._objects = objects
        self._outline = Outline(objects)
        self._levels: dict[int, Level] = {1: self._outline.level(1)}
        self._edits = Edits()
        self._places: dict[str, _Places] = {}
        self._members: dict[str, dict[int, list[int]]] = {}
        self.doubles: dict[str, list[int]] = {}

    def _level(self, depth: int) -> Level:
        if depth not in self._levels:
            self._levels[depth] = self._outline.level(depth)
        return self._levels[depth]

    def result(self) -> Sequence[bytes]:
        """The objects with all of it done."""
        edits = self._edits
        if not edits.added and not any(edits.members.values()):
            return self._objects
        for depth in range(1, max(edits.members, default=1) + 1):
            self._level(depth)
        return spliced(self._outline, self._levels, edits)

    # -- paths -------------------------------------------------------------------------------

    def _occurrences(self, path: str) -> Iterator[tuple[int, Ints]]:
        """Yield where a path leads, by depth: all members of its name, doubles too."""
        level = self._levels[1]
        own = level.find(path)
        yield 1, own
        names = path.split(".")
        if len(names) == 1:
            return
        literal = np.unique(level.rows[own])
        members = level.find(names[0])
        members = members[~np.isin(level.rows[members], literal)]
        for depth, name in enumerate(names[1:], 2):
            outer = self._level(depth - 1)
            members = members[outer.kinds[members] == ord("{")]
            if not len(members):
                return
            inner = self._level(depth)
            found = inner.find(name)
            # The last member of the level above that begins before: if it reaches that far.
            parents = outer.names.searchsorted(inner.names[found]) - 1
            inside = inner.names[found] < outer.stops[parents]
            members = found[inside & np.isin(parents, members)]
        yield len(names), members

    def _resolved(self, path: str) -> "_Places":
        """Where a path leads in each object that has it; to the last where it stands twice."""
        if path not in self._places:
            found = list(self._occurrences(path))
            places = _Places.of(self._outline, [(d, self._level(d), m) for d, m in found])
            self._places[path] = places
            if places.doubles:
                self.doubles.setdefault(path, []).extend(places.doubles)
        return self._places[path]

    def texts(self, change: Change) -> list[str | None]:
        """What stands at the source of a change, as text; None where absent or null."""
        texts: list[str | None] = [None] * len(self._objects)
        stands = _STANDS.get(change.kind or Kind.TEXT)
        places = self._resolved(str(change.source))
        for row, value in zip(places.rows, places.values, strict=True):
            if stands is None or value[0] in stands:
                texts[row] = _text(value)
        return texts

    # -- changes -----------------------------------------------------------------------------

    def drop(self) -> None:
        """Take out what `--drop` names, wherever it stands twice, too."""
        for path in self._mapping.drop:
            for depth, members in self._occurrences(path):
                self._edits.remove(depth, members.tolist())

    def keep_only(self) -> None:
        """Take out what `--only` does not name."""
        if self._mapping.only is None:
            return
        kept: dict[int, Flags] = {}
        partly: dict[int, Flags] = {}
        for path in self._mapping.only:
            for depth, members in self._occurrences(path):
                self._mark(kept, depth, members)
                self._mark_parents(partly, depth, members)
        depth, inside = 1, np.arange(len(self._levels[1].rows))
        while True:
            stays = self._marked(kept, depth)[inside]
            opened = self._marked(partly, depth)[inside] & ~stays
            self._edits.remove(depth, inside[~stays & ~opened].tolist())
            if not opened.any():
                return
            firsts, lasts = children(self._level(depth), self._level(depth + 1), inside[opened])
            spans = zip(firsts.tolist(), lasts.tolist(), strict=True)
            inside = np.concatenate([np.arange(first, last) for first, last in spans])
            depth += 1

    def _marked(self, marks: dict[int, Flags], depth: int) -> Flags:
        count = len(self._level(depth).rows)
        return marks.setdefault(depth, np.zeros(count, dtype=np.bool_))

    def _mark(self, marks: dict[int, Flags], depth: int, members: Ints) -> None:
        self._marked(marks, depth)[members] = True

    def _mark_parents(self, marks: dict[int, Flags], depth: int, members: Ints) -> None:
        while depth > 1 and len(members):
            outer = self._level(depth - 1)
            members = np.unique(outer.names.searchsorted(self._level(depth).names[members]) - 1)
            depth -= 1
            self._mark(marks, depth, members)

    def take_nulls(self, tokens: set[bytes]) -> None:
        """Take out the members of an object whose whole value is one of the tokens."""
        if not tokens:
            return
        level = self._levels[1]
        sizes = level.stops - level.starts
        lengths = {len(token) for token in tokens} | {len(token) + 2 for token in tokens}
        short = np.isin(sizes, sorted(lengths))
        escapes = self._outline.escapes
        if len(escapes):
            owners = level.names.searchsorted(escapes) - 1
            short[owners] = True
        gone = [at for at in np.flatnonzero(short).tolist() if _is_token(level.value(at), tokens)]
        self._edits.remove(1, gone)

    def change(
        self, change: Change, made: Sequence[bytes | None] | None, tokens: set[bytes]
    ) -> None:
        """Move a value, convert it, or both; it is gone where there is nothing to send.

        Args:
            change: What to do.
            made: By object what its value becomes, empty for nothing; None where it does not
                fit, or where nothing was to be converted.
            tokens: Texts that are nothing.
        """
        own = orjson.dumps(change.name)
        places = self._resolved(str(change.source))
        news = [
            _new(value, None if made is None or self._stands(change, value) else made[row], tokens)
            for row, value in zip(places.rows, places.values, strict=True)
        ]
        if change.moved:
            for depth, members in places.by_depth():
                self._edits.remove(depth, members)
            pairs = zip(places.rows, news, strict=True)
            self._put(change.name, [(row, member(own, new)) for row, new in pairs if new])
            return
        for (depth, at), value, new in zip(places.places, places.values, news, strict=True):
            if new != value and not self._edits.gone(depth, at):
                level = self._level(depth)
                name = self._outline.data[level.names[at] : level.name_ends[at] + 1]
                self._edits.exchange(depth, at, member(name, new) if new else b"")

    def _stands(self, change: Change, value: bytes) -> bool:
        stands = _STANDS.get(change.kind or Kind.TEXT)
        return stands is not None and value[0] not in stands

    def set(self, name: str, text: bytes) -> None:
        """Add a constant to every object."""
        self._put(name, [(row, text) for row in range(len(self._objects))])

    def _put(self, name: str, pairs: Sequence[tuple[int, bytes]]) -> None:
        """Add a member to objects, but where one of its name stays: it would stand twice."""
        own = self._own(name)
        for row, text in pairs:
            if row in own and not self._makes_room(own[row]):
                self.doubles.setdefault(name, []).append(row)
            else:
                self._edits.add(row, text)

    def _makes_room(self, members: Sequence[int]) -> bool:
        """Take members out that are null; whether none is left."""
        stays = [at for at in members if not self._edits.gone(1, at)]
        if any(self._levels[1].value(at) != _NULL for at in stays):
            return False
        self._edits.remove(1, stays)
        return True

    def _own(self, name: str) -> Mapping[int, list[int]]:
        """The members of a name in each object that has any."""
        if name not in self._members:
            level = self._levels[1]
            own = self._members[name] = {}
            members = level.find(name)
            for row, at in zip(level.rows[members].tolist(), members.tolist(), strict=True):
                own.setdefault(row, []).append(at)
        return self._members[name]


@dataclass(frozen=True, slots=True)
class _Places:
    """Where a path leads, by object.

    Args:
        rows: The objects that have it.
        places: Depth and member in each.
        values: The value in each, as it stands.
        doubles: Objects in which it stands more than once.
    """

    rows: list[int]
    places: list[tuple[int, int]]
    values: list[bytes]
    doubles: list[int]

    @classmethod
    def of(cls, outline: Outline, found: Sequence[tuple[int, Level, Ints]]) -> "_Places":
        """Take the last of the members in each object; no object is in two depths."""
        rows: list[int] = []
        places: list[tuple[int, int]] = []
        values: list[bytes] = []
        doubles: list[int] = []
        for depth, level, members in found:
            last = _last_of_each(level, members)
            doubles += level.rows[np.setdiff1d(members, last)].tolist()
            rows += level.rows[last].tolist()
            places += ((depth, at) for at in last.tolist())
            spans = zip(level.starts[last].tolist(), level.stops[last].tolist(), strict=True)
            values += (outline.data[start:stop] for start, stop in spans)
        return cls(rows, places, values, doubles)

    def by_depth(self) -> Iterator[tuple[int, list[int]]]:
        """Yield the members of each depth."""
        for depth in {depth for depth, _ in self.places}:
            yield depth, [at for other, at in self.places if other == depth]


def _new(value: bytes, made: bytes | None, tokens: set[bytes]) -> bytes:
    """What is sent of a value: what was made of it, or itself; empty for nothing."""
    if made is not None:
        return made
    return b"" if value == _NULL or (tokens and _is_token(value, tokens)) else value


def _last_of_each(level: Level, members: Ints) -> Ints:
    """Of each object the last of these members."""
    rows = level.rows[members]
    return members[np.append(rows[1:] != rows[:-1], True)] if len(members) else members


def _parted(
    level: Level, inner: Level, parent: int, members: Sequence[int], taken: set[str]
) -> bytes:
    """Lifted members, and behind them the object with those that could not be."""
    data = level.outline.data
    texts = {at: data[inner.names[at] : inner.stops[at]] for at in members}
    stay = [at for at in members if inner.name(at) in taken]
    lifted = [text for at, text in texts.items() if at not in stay]
    name = data[level.names[parent] : level.name_ends[parent] + 1]
    rest = b"{" + b",".join(texts[at] for at in stay) + b"}"
    return b",".join([*lifted, member(name, rest)])


def _member(name: str, value: bytes) -> bytes:
    return member(orjson.dumps(name), value)


def _text(value: bytes) -> str | None:
    if value[:1] == b'"':
        return orjson.loads(value) if b"\\" in value else value[1:-1].decode()
    return None if value == _NULL else value.decode()


def _is_token(value: bytes, tokens: set[bytes]) -> bool:
    if value[:1] != b'"':
        return value == _NULL and value in tokens
    return (orjson.loads(value).encode() if b"\\" in value else value[1:-1]) in tokens


def _json(change: Change, text: str) -> bytes:
    return orjson.dumps(text) if change.kind in _PLAIN_KINDS else text.encode()


def _made(change: Change, cells: pl.Series, unfit: pl.Series | None) -> list[bytes | None]:
    """Values by object: empty where there is none, None where one does not fit."""
    made: list[bytes | None]
    if change.kind in _PLAIN_KINDS:
        made = [b"" if cell is None else orjson.dumps(cell) for cell in cells.to_list()]
    else:
        made = cells.fill_null("").cast(pl.Binary).to_list()
    if unfit is not None:
        for row in unfit.arg_true().to_list():
            made[row] = None
    return made
