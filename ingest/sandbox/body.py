"""The events in a body, each with its exact text.

orjson says whether a body is JSON and what it means. For the texts, the cheap way first: events
that serialise to the very bytes between the brackets are their own text. Otherwise (blanks, escapes,
numbers such as 1.0e5, keys given twice) the texts are cut out of the body by its brackets.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import orjson

_TOKEN = re.compile(rb'"(?:[^"\\]|\\.)*"|[][{}]', re.DOTALL)
_HEAD, _TAIL = b'{"events":[', b"]}"


@dataclass(frozen=True, slots=True)
class Body:
    """What a body holds.

    Args:
        events: As parsed; an element of a bulk body need not be an object.
        texts: The exact text of each; empty text where an element is no object.
    """

    events: tuple[object, ...]
    texts: tuple[str, ...]


def read_single(raw: bytes) -> Body | None:
    """Read the body of one event; None: it is not JSON, or no object."""
    event = _parse(raw)
    return Body((event,), (raw.decode().strip(),)) if isinstance(event, dict) else None


def read_bulk(raw: bytes) -> Body | None:
    """Read the body of a bulk call; None: it is not JSON, or has no list of events."""
    whole = _parse(raw)
    if not isinstance(whole, dict) or not isinstance(whole.get("events"), list):
        return None
    events = tuple(whole["events"])
    return Body(events, _texts(raw, events))


def _parse(raw: bytes) -> Any:
    try:
        return orjson.loads(raw)
    except orjson.JSONDecodeError:
        return None


def _texts(raw: bytes, events: Sequence[object]) -> tuple[str, ...]:
    own = [_dump(event) for event in events]
    if b"".join((_HEAD, b",".join(own), _TAIL)) == raw:
        cut = [text for text, event in zip(own, events, strict=True) if isinstance(event, dict)]
    else:
        cut = _cut(raw)
    texts = iter(cut)
    return tuple(next(texts).decode() if isinstance(event, dict) else "" for event in events)


def _dump(event: object) -> bytes:
    try:
        return orjson.dumps(event)
    except orjson.JSONEncodeError:  # nested deeper than orjson writes
        return b""


def _cut(raw: bytes) -> list[bytes]:
    """Give the texts of the objects that stand in the last list called events at the top."""
    found: list[bytes] = []
    depth = begin = 0
    key = b""
    for token in _TOKEN.finditer(raw):
        match token[0]:
            case b"{" | b"[":
                depth += 1
                if depth == 2:  # noqa: PLR2004 - a member of the body
                    found = [] if _is_events(key) else found
                elif depth == 3:  # noqa: PLR2004 - an element of that member
                    begin = token.start()
            case b"}" | b"]" as bracket:
                depth -= 1
                if depth == 2 and bracket == b"}" and _is_events(key):  # noqa: PLR2004 - as above
                    found.append(raw[begin : token.end()])
            case text if depth == 1:
                key = text
            case _:
                pass
    return found


def _is_events(key: bytes) -> bool:
    return key == b'"events"' or cast("object", orjson.loads(key or b'""')) == "events"
