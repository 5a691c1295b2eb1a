"""Events as they are sent: the line itself, with what the API must find in it."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, repeat

import orjson

from ingest.edges.jsonl.outline import Outline
from ingest.edges.jsonl.splice import Edits, member, spliced

_WINDOW = 1024
_UUID_CHARS = 36
_PLAIN = b'{"'
_START, _HEAD, _HEAD_ALONE = b'{"event_uuid":"', b'",', b'"'


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
    pieces: list[bytes] = []
    sizes: list[int] = []
    for each, uuid in zip(objects, uuids, strict=True):
        if uuid is None:
            pieces += (each, b",")
            sizes.append(len(each) + 1)
        else:
            rest = each[1:]
            head = _HEAD_ALONE if _is_empty(each) else _HEAD
            pieces += (_START, uuid, head, rest, b",")
            sizes.append(len(_START) + len(uuid) + len(head) + len(rest) + 1)
    ends = [end - 1 for end in accumulate(sizes)]
    return Encoded(b"".join(pieces[:-1]), ends)


def sizes(objects: Sequence[bytes], lacking: Sequence[bool]) -> list[int]:
    """Bytes of each object as `encoded` would write it, the comma behind it included.

    Args:
        objects: As there.
        lacking: Whether an object is to be given an `event_uuid`.
    """
    more = len(_START) + _UUID_CHARS + len(_HEAD) - 1
    if all(lacking) and all(map(bytes.startswith, objects, repeat(_PLAIN))):
        return [size + more + 1 for size in map(len, objects)]
    return [
        len(each) + 1 + (more - _is_empty(each) if lacks else 0)
        for each, lacks in zip(objects, lacking, strict=True)
    ]


def _is_empty(each: bytes) -> bool:
    # A member begins with a quote, and most objects right behind the brace.
    return each[1:2] != b'"' and not each[1:-1].strip()
