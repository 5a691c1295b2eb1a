"""Members cut out of a line, exchanged or added; all other bytes stay as they are."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from ingest.edges.jsonl.outline import Level, Outline
from ingest.edges.jsonl.values import Ints

_NOTHING: Sequence[bytes] = ()


@dataclass(slots=True)
class Edits:
    """What is to be done to the objects of an outline.

    Args:
        members: By depth and member, what stands in its place: a whole member with its name, or
            several with commas between, or nothing (empty).
        added: By object, members that are added at its end.
    """

    members: dict[int, dict[int, bytes]] = field(default_factory=dict)
    added: dict[int, list[bytes]] = field(default_factory=dict)

    def remove(self, depth: int, members: Iterable[int]) -> None:
        """Take members out."""
        self.members.setdefault(depth, {}).update(dict.fromkeys(members, b""))

    def exchange(self, depth: int, member: int, text: bytes) -> None:
        """Put something in a member's place."""
        self.members.setdefault(depth, {})[member] = text

    def gone(self, depth: int, member: int) -> bool:
        """Whether a member was taken out."""
        return self.members.get(depth, {}).get(member) == b""

    def add(self, row: int, member: bytes) -> None:
        """Add a member to an object."""
        self.added.setdefault(row, []).append(member)


def member(name: bytes, value: bytes) -> bytes:
    """A member of a name in its quotes and a value."""
    return name + b":" + value


def children(outer: Level, inner: Level, parents: Ints) -> tuple[Ints, Ints]:
    """Of each parent, its first member one level deeper and the one behind its last."""
    return (
        inner.names.searchsorted(outer.starts[parents]),
        inner.names.searchsorted(outer.stops[parents]),
    )


def spliced(outline: Outline, levels: Mapping[int, Level], edits: Edits) -> list[bytes]:
    """The objects with the edits made; untouched ones are the same objects.

    Args:
        outline: The objects.
        levels: By depth, at least those down to the deepest edit.
        edits: What is to be done.
    """
    for depth in range(max(edits.members, default=1), 1, -1):
        _fold(outline, levels[depth - 1], levels[depth], edits, depth)
    objects = list(outline.objects)
    own, level = edits.members.get(1, {}), levels[1]
    members = np.array(sorted(own), dtype=np.int64)
    touched = np.union1d(level.rows[members], sorted(edits.added)).astype(np.int64)
    firsts = level.firsts[touched].tolist()
    lasts = level.firsts[touched + 1].tolist()
    ends = members.searchsorted(level.firsts[touched + 1]).tolist()
    writer = _Writer(outline, level, members.tolist(), own)
    at = 0
    for row, first, last, end in zip(touched.tolist(), firsts, lasts, ends, strict=True):
        objects[row] = writer.write(first, last, at, end, edits.added.get(row, _NOTHING))
        at = end
    return objects


def _fold(outline: Outline, outer: Level, inner: Level, edits: Edits, depth: int) -> None:
    """Turn edits inside objects into edits of these objects, one level up."""
    own = edits.members.pop(depth, {})
    above = edits.members.setdefault(depth - 1, {})
    members = np.array(sorted(own), dtype=np.int64)
    parents = outer.names.searchsorted(inner.names[members]) - 1
    changed = np.unique(parents)
    firsts, lasts = children(outer, inner, changed)
    begins, ends = members.searchsorted(firsts), members.searchsorted(lasts)
    writer = _Writer(outline, inner, members.tolist(), own)
    for parent, first, last, begin, end in zip(
        *(each.tolist() for each in (changed, firsts, lasts, begins, ends)), strict=True
    ):
        if parent not in above:
            name = outline.data[outer.names[parent] : outer.name_ends[parent] + 1]
            text = writer.write(first, last, begin, end, _NOTHING)
            above[parent] = member(name, text)


class _Writer:
    """Writes objects of one level anew."""

    def __init__(
        self, outline: Outline, level: Level, members: list[int], texts: Mapping[int, bytes]
    ) -> None:
        self._data = outline.data
        self._names = level.names
        self._stops = level.stops
        self._members = members
        self._texts = texts

    def write(self, first: int, last: int, at: int, end: int, added: Sequence[bytes]) -> bytes:
        """Write an object.

        Args:
            first: Its first member.
            last: The one behind its last.
            at: Its first edited member, as a place among them.
            end: The place behind its last edited one.
            added: Members at its end.
        """
        pieces = []
        for edited in self._members[at:end]:
            if edited > first:
                pieces.append(self._run(first, edited))
            if self._texts[edited]:
                pieces.append(self._texts[edited])
            first = edited + 1
        if first < last:
            pieces.append(self._run(first, last))
        return b"{" + b",".join([*pieces, *added]) + b"}"

    def _run(self, first: int, last: int) -> bytes:
        return self._data[self._names[first] : self._stops[last - 1]]
