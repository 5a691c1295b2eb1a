"""The log of attempts: one line of JSON each, appended; evidence, never truth.

It is written in the same step as the commit that follows the attempt, without fsync: a power cut
may cost lines, and no count is ever made from it.
"""

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Self

import orjson

from ingest.errors import StoppedError

NAME = "attempts.jsonl"


class AttemptLog:
    """The open log of one load; use as a context manager.

    Raises:
        StoppedError: The disk refuses.
    """

    def __init__(self, directory: Path) -> None:
        self._path = directory / NAME
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
        try:
            self._handle = os.open(self._path, flags, 0o600)
        except OSError as error:
            raise _refused("write", self._path, error) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._handle)

    def append(self, attempts: Iterable[dict[str, Any]]) -> None:
        """Append attempts.

        Raises:
            StoppedError: The disk refuses.
        """
        lines = b"".join(orjson.dumps(one, option=orjson.OPT_APPEND_NEWLINE) for one in attempts)
        view = memoryview(lines)
        try:
            while view:
                view = view[os.write(self._handle, view) :]
        except OSError as error:
            raise _refused("write", self._path, error) from error


def read_attempts(directory: Path) -> Iterator[dict[str, Any]]:
    """Yield the attempts on record; a line that a crash cut is left out.

    Raises:
        StoppedError: The disk refuses.
    """
    path = directory / NAME
    try:
        with path.open("rb") as file:
            for line in file:
                try:
                    yield orjson.loads(line)
                except orjson.JSONDecodeError:
                    continue
    except FileNotFoundError:
        return
    except OSError as error:
        raise _refused("read", path, error) from error


def _refused(operation: str, path: Path, error: OSError) -> StoppedError:
    return StoppedError(
        f"cannot {operation} {path}: {error.strerror}",
        hint="free the disk or mend the permissions, then run the same command again",
        code="ledger_unwritable",
    )
