"""Where the members of JSON objects stand, found by whole-array operations.

The lines must be objects that orjson has taken: then quotes pair up, brackets match, and every
byte has one meaning.

1. An escape in a text is two bytes that mean nothing here: they are blotted out.
2. A quote opens and closes in turn; what stands behind an odd number of quotes is text.
3. The depth is the brackets opened less those closed, outside texts.
4. The colons at depth k belong to the members of level k: the objects that are the line (k = 1),
   values of its members (k = 2), and so on; and objects in arrays, which nobody asks for.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import orjson

from ingest.edges.jsonl.values import Flags, Ints

Bytes = npt.NDArray[np.uint8]

_ESCAPE = re.compile(rb"\\.", re.DOTALL)
_STEP = np.zeros(256, dtype=np.int8)
_STEP[[ord("{"), ord("[")]] = 1
_STEP[[ord("}"), ord("]")]] = -1


def _table(signs: bytes) -> bytes:
    return bytes(byte in signs for byte in range(256))


_ALL = _table(b'":,{}[]')
_FOR_COUNTING = _table(b'":{}[]')


def _signs(data: bytes, table: bytes) -> tuple[Ints, Bytes]:
    """Places of quotes, and of the other signs outside texts; and what stands there."""
    if b"\\" in data:
        data = _ESCAPE.sub(b"__", data)
    places = np.flatnonzero(np.frombuffer(data.translate(table), dtype=np.bool_))
    signs = np.frombuffer(data, dtype=np.uint8)[places]
    quotes = signs == ord('"')
    # The parity survives that the sum wraps around.
    inside = np.cumsum(quotes, dtype=np.uint8) & 1 != 0
    kept = quotes | ~inside
    return places[kept], signs[kept]


def member_counts(objects: Sequence[bytes]) -> Ints:
    """How many members each object has of its own, repeated names counted each time."""
    _, signs = _signs(b"\n".join(objects), _FOR_COUNTING)
    depths = np.cumsum(_STEP[signs], dtype=np.int32)
    own = (signs == ord(":")) & (depths == 1)
    ends = np.flatnonzero((depths == 0) & (signs == ord("}")))
    return np.diff(np.cumsum(own)[ends], prepend=0)


@dataclass(frozen=True)
class Level:
    """Members of one depth, in the order in which they stand.

    Args:
        outline: Whose members they are.
        rows: Of each, the number of the object in which it stands.
        names: Of each, where its name's opening quote is.
        name_ends: Of each, where its name's closing quote is.
        starts: Of each, the first byte of its value.
        stops: Of each, the end of its value.
    """

    outline: "Outline"
    rows: Ints
    names: Ints
    name_ends: Ints
    starts: Ints
    stops: Ints

    @cached_property
    def firsts(self) -> Ints:
        """Of each object, its first member here; and one more, the count of all."""
        return self.rows.searchsorted(np.arange(len(self.outline.objects) + 1))

    @cached_property
    def kinds(self) -> Bytes:
        """Of each value, its first byte."""
        return self.outline.bytes[self.starts]

    @cached_property
    def spelled(self) -> dict[int, str]:
        """Names that are written with escapes, by member."""
        outline = self.outline
        if not len(self.names) or not len(outline.escapes):
            return {}
        owners = self.names.searchsorted(outline.escapes) - 1
        inside = (owners >= 0) & (outline.escapes < self.name_ends[owners])
        found: dict[int, str] = {}
        for at in np.unique(owners[inside]).tolist():
            found[at] = orjson.loads(outline.data[self.names[at] : self.name_ends[at] + 1])
        return found

    def find(self, name: str) -> Ints:
        """The members of a name, in order."""
        wanted = name.encode()
        found = np.flatnonzero(self.name_ends - self.names == len(wanted) + 1)
        for place, byte in enumerate(wanted, 1):
            found = found[self.outline.bytes[self.names[found] + place] == byte]
        spelled = [at for at, other in self.spelled.items() if other == name]
        # A name with a backslash of its own is always written with an escape.
        return np.union1d(found, spelled).astype(np.int64) if spelled else found

    def name(self, member: int) -> str:
        """The name of a member."""
        if member in self.spelled:
            return self.spelled[member]
        return self.outline.data[self.names[member] + 1 : self.name_ends[member]].decode()

    def value(self, member: int) -> bytes:
        """The value of a member, as it stands."""
        return self.outline.data[self.starts[member] : self.stops[member]]


class Outline:
    """The structure of some objects.

    Args:
        objects: One line each, without blanks around them; proven to be JSON objects.
    """

    def __init__(self, objects: Sequence[bytes]) -> None:
        self.objects = objects
        self.data = b"\n".join(objects)
        self.bytes: Bytes = np.frombuffer(self.data, dtype=np.uint8)
        self._places, self._signs = _signs(self.data, _ALL)
        self._depths = np.cumsum(_STEP[self._signs], dtype=np.int32)

    @cached_property
    def escapes(self) -> Ints:
        """Places of all backslashes."""
        if b"\\" not in self.data:
            return np.zeros(0, dtype=np.int64)
        return np.flatnonzero(self.bytes == ord("\\"))

    def level(self, depth: int) -> Level:
        """The members at a depth, from 1."""
        signs, depths = self._signs, self._depths
        here = depths == depth
        step = _STEP[signs]
        colon = signs == ord(":")
        edges = here & (colon | (signs == ord(","))) | (step < 0) & (depths == depth - 1)
        marks = np.flatnonzero(edges)
        is_colon = colon[marks]
        colons, closers = marks[is_colon], marks[1:][is_colon[:-1]]
        # A colon comes behind the two quotes of its name.
        names, name_ends = self._places[colons - 2], self._places[colons - 1]
        bare = (signs[colons + 1] != ord('"')) & (step[colons + 1] <= 0)
        starts = np.where(bare, self._places[colons] + 1, self._places[colons + 1])
        stops = np.where(bare, self._places[closers], self._places[closers - 1] + 1)
        self._trim(starts, stops, bare)
        rows = np.cumsum((depths == 0) & (step < 0))[colons]
        return Level(self, rows, names, name_ends, starts, stops)

    def _trim(self, starts: Ints, stops: Ints, bare: Flags) -> None:
        """Take the blanks around numbers and words away, in place."""
        blank = bare & ((self.bytes[starts] <= ord(" ")) | (self.bytes[stops - 1] <= ord(" ")))
        for at in np.flatnonzero(blank).tolist():
            text = self.data[starts[at] : stops[at]]
            starts[at] += len(text) - len(text.lstrip())
            stops[at] -= len(text) - len(text.rstrip())
