"""Events as they are sent: the line itself, with what the API must find in it."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate

import orjson

from ingest.edges.jsonl.outline import Outline
from ingest.edges.jsonl.splice import Edits, member, spliced

_WINDOW = 1024
_UUID = b'"event_uuid"'
_EMPTY = b"{}"


@dataclass(frozen=True, slots=True)
class Encoded:
    """Events as JSON objects in one buffer, with one comma between.

    Args:
        body: UTF-8.
        ends: Where object i ends; its comma is at `ends[i]`, the next object after that.
    """

    body: bytes
    ends: list[int]


def mended(
    objects: Sequence[bytes],
    *,
    integers: Mapping[int, Mapping[str, str]],
    blank_uuid: Collection[int],
) -> list[bytes]:
    """Write integers of identities as texts, and take a null or blank `event_uuid` out.

    Args:
        objects: JSON objects.
        integers: By object the digits of each such name.
        blank_uuid: Objects that have such an `event_uuid`.
    """
    made = list(objects)
    rows = sorted({*integers, *blank_uuid})
    for begin in range(0, len(rows), _WINDOW):
        part = rows[begin : begin + _WINDOW]
        outline = Outline([objects[row] for row in part])
        level, edits = outline.level(1), Edits()
        for name in {name for row in part for name in integers.get(row, ())}:
            for at in level.find(name).tolist():
                digits = integers.get(part[level.rows[at]], {}).get(name)
                if digits is not None:
                    text = member(orjson.dumps(name), f'"{digits}"'.encode())
                    edits.exchange(1, at, text)
        for at in level.find("event_uuid").tolist():
            if part[level.rows[at]] in blank_uuid:
                edits.remove(1, [at])
        for row, text in zip(part, spliced(outline, {1: level}, edits), strict=True):
            made[row] = text
    return made


def encoded(objects: Sequence[bytes], uuids: Sequence[bytes | None]) -> Encoded:
    """Join objects, with an `event_uuid` put first where one is given.

    Args:
        objects: JSON objects without blanks around them.
        uuids: Of each object the id that it lacks; None where it has one.
    """
    pieces = [
        each if uuid is None else _with_uuid(each, uuid)
        for each, uuid in zip(objects, uuids, strict=True)
    ]
    ends = [end - 1 for end in accumulate(len(piece) + 1 for piece in pieces)]
    return Encoded(b",".join(pieces), ends)


def _with_uuid(each: bytes, uuid: bytes) -> bytes:
    rest = each[1:] if each[1:-1].strip() else b"}"
    comma = b"" if rest == b"}" else b","
    return b"".join((b"{", _UUID, b':"', uuid, b'"', comma, rest))
