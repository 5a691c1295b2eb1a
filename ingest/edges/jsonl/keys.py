"""The texts of key members, for ids that are made from them."""

from collections.abc import Mapping, Sequence
from typing import Any

import orjson
import polars as pl

from ingest.edges.jsonl.outline import Outline

_Object = Mapping[str, Any]


def key_texts(objects: Sequence[bytes], path: str) -> pl.Series:
    """Give the value at a path of each object: a text itself, a number as it is written.

    Null where there is none, or where it is `null`, `true`, `false`, an array or an object.

    Args:
        objects: Proven to be JSON objects.
        path: A name of the object itself; else names with dots between that lead into it.
    """
    texts = [_text(each, path) for each in objects]
    return pl.Series(path, texts, dtype=pl.String)


def _text(line: bytes, path: str) -> str | None:
    value = _value(orjson.loads(line), path)
    if type(value) is str:
        return value
    if type(value) is int:
        return str(value)
    if type(value) is float:  # or an integer beyond 64 bits: as it is written
        return _written(line, path)
    return None


def _value(value: _Object, path: str) -> Any:
    if path in value:
        return value[path]
    found: Any = value
    for name in path.split("."):
        found = found.get(name) if isinstance(found, dict) else None
    return found


def _written(line: bytes, path: str) -> str | None:
    """The value as it stands in the line; of a name that stands twice the last one is meant."""
    for names in ([path], path.split(".")):
        part: bytes | None = line
        for name in names:
            level = Outline([part or b"{}"]).level(1)
            found = level.find(name).tolist()
            part = level.value(found[-1]) if found else None
        if part is not None:
            return part.decode()
    return None
