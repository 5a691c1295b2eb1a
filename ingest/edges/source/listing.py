"""From what was typed to files: directories, patterns and lists, in an order that never varies."""

import glob
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from ingest.errors import UsageError

SUFFIXES = (".csv", ".tsv", ".jsonl", ".ndjson")
"""What a directory is searched for; each also with one of `PACKED` behind it."""

PACKED = ("", ".gz", ".zst")
_MAGIC = set("*?[")
_MOST_LIST_BYTES = 64 << 20


def expand(typed: Iterable[str]) -> list[str]:
    """Give the files that were named, each once.

    A path that exists is taken as it is, even with `*` in its name. A directory stands for the
    data files below it, hidden ones left out; a pattern for the files that match it (`**` goes
    down directories). Both come in bytewise order of their paths; what was typed keeps its order.

    Raises:
        UsageError: A pattern or a directory gives nothing.
    """
    paths = (path for one in typed for path in _expanded(one))
    return list(dict.fromkeys(paths))


def _expanded(one: str) -> list[str]:
    if one == "-" or not (os.path.isdir(one) or _MAGIC & set(one)):  # noqa: PTH112 - any bytes
        return [one]
    if os.path.lexists(one) and not os.path.isdir(one):  # noqa: PTH112 - any bytes
        return [one]
    found = _below(one) if os.path.isdir(one) else _matching(one)  # noqa: PTH112 - any bytes
    paths = sorted(found, key=os.fsencode)
    if not paths:
        raise UsageError(
            f"{one} gives no file",
            hint="put the pattern in quotes; a directory is searched for "
            + ", ".join(SUFFIXES)
            + ", also .gz and .zst",
            code="source_missing",
        )
    return paths


def _matching(pattern: str) -> Iterator[str]:
    found = glob.iglob(pattern, recursive=True)  # noqa: PTH207 - any bytes, and `**`
    return (path for path in found if not os.path.isdir(path))  # noqa: PTH112 - any bytes


def _below(directory: str) -> Iterator[str]:
    endings = tuple(suffix + packed for suffix in SUFFIXES for packed in PACKED)
    for place, names, files in os.walk(directory):
        names[:] = [name for name in names if not name.startswith(".")]
        for name in files:
            if not name.startswith(".") and name.lower().endswith(endings):
                yield os.path.join(place, name)  # noqa: PTH118 - any bytes


def listed(path: str) -> list[str]:
    """Give the paths of a list: one a line, or separated by NUL bytes; blank lines do not count.

    Raises:
        UsageError: The list cannot be read, is too long to be one, or is empty.
    """
    try:
        with Path(path).open("rb") as file:
            content = file.read(_MOST_LIST_BYTES + 1)
    except OSError as error:
        raise UsageError(
            f"cannot read the list {path}: {error.strerror}",
            hint="--files-from names a file with one path a line",
            code="list_unreadable",
        ) from error
    if len(content) > _MOST_LIST_BYTES:
        raise UsageError(f"{path} is too long for a list of files", code="list_unreadable")
    parts = content.split(b"\0") if b"\0" in content else content.splitlines()
    paths = [os.fsdecode(part) for part in parts if part.strip()]
    if not paths:
        raise UsageError(f"the list {path} names no file", code="list_empty")
    return paths
