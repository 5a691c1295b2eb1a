"""Files of JSON objects that another system wrote: one a line, in an array, or over several lines.

An object that cannot be read is counted and does not take the next one with it. Compressed files
are read as if they were not.
"""

import json
import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final

import orjson

from ingest.edges.source.files import LocalFile
from ingest.errors import UsageError

_READ_BYTES: Final = 1 << 20
_MOST_OBJECT: Final = 4 << 20
"""Bytes of one object; a longer one is counted as unreadable."""
_BRACES: Final = re.compile(rb'"(?:[^"\\]|\\.)*"|[{}]', re.DOTALL)
_BETWEEN: Final = b" \t\r\n,[]"
_DECODER: Final = json.JSONDecoder()


def exported_files(typed: Iterable[str]) -> list[str]:
    """Give the files that were named, and those below the directories that were; hidden ones not.

    Raises:
        UsageError: There is none, or no such path.
    """
    found = dict.fromkeys(path for one in typed for path in _below(Path(one)))
    if not found:
        raise UsageError(
            "--errors names no file",
            hint="--errors DIR takes all files below it: fetch them from S3 first",
            code="errors_missing",
        )
    return list(found)


def _below(path: Path) -> Iterator[str]:
    if not path.is_dir():
        yield str(path)
        return
    for place, names, files in os.walk(path):
        names[:] = sorted(name for name in names if not name.startswith("."))
        yield from (str(Path(place, name)) for name in sorted(files) if not name.startswith("."))


class Objects:
    """The JSON objects of one file.

    Args:
        path: The file.

    Raises:
        UsageError: While reading: it is not there, or damaged.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self.unreadable = 0

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """Yield them; `unreadable` counts the parts that are none."""
        pending, depth = b"", 0
        for line in self._lines():
            if not pending:
                text = line.strip(_BETWEEN)
                if not text:
                    continue
                whole = _object(text)
                if whole is not None:
                    yield whole
                    continue
            pending += line
            depth += _deeper(line)
            if depth <= 0 or len(pending) > _MOST_OBJECT:
                yield from self._values(pending)
                pending, depth = b"", 0
        yield from self._values(pending)

    def _values(self, content: bytes) -> Iterator[dict[str, Any]]:
        """Yield the objects of a part that stand side by side, or over several lines."""
        rest = content.strip(_BETWEEN).decode("utf-8", "replace")
        while rest:
            try:
                value, end = _DECODER.raw_decode(rest)
            except (ValueError, RecursionError):
                self.unreadable += 1
                return
            if isinstance(value, dict):
                yield value
            else:
                self.unreadable += 1
            rest = rest[end:].strip(_BETWEEN.decode())

    def _lines(self) -> Iterator[bytes]:
        with LocalFile(self._path) as file:
            offset, left = 0, b""
            while block := file.read_raw(offset, _READ_BYTES):
                offset += len(block)
                *lines, left = (left + block).split(b"\n")
                yield from (line + b"\n" for line in lines)
                if len(left) > _MOST_OBJECT:
                    yield left
                    left = b""
            if left:
                yield left


def _deeper(line: bytes) -> int:
    """How many braces a line leaves open; negative where it closes more."""
    marks = [each for each in _BRACES.findall(line) if len(each) == 1]
    return marks.count(b"{") - marks.count(b"}")


def _object(line: bytes) -> dict[str, Any] | None:
    try:
        value: Any = orjson.loads(line)
    except orjson.JSONDecodeError:
        return None
    return value if isinstance(value, dict) else None
