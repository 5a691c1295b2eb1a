"""Runs the installed command and dies by SIGKILL at a named point of it.

    python tests/support/deadly.py run events.csv ...

A point is `CALL KIND ORDINAL WHEN`: the ORDINAL-th CALL on a file of KIND, `before` or `after` it.
Threads make a plain count of calls unrepeatable; a count of one call on one kind of file is far
steadier. `DEADLY_AT` names the point; `DEADLY_LOG` a file that gets a line for each point passed.
The product knows nothing of this: Python's own functions are wrapped before it is imported.
"""

import functools
import io
import os
import re
import signal
import socket
import sqlite3
import sys
import threading
from collections import Counter
from collections.abc import Callable
from typing import Any

KINDS = (
    ("witness", r"/ledger\.witness$"),
    ("ledger", r"/ledger\.sqlite3$"),
    ("segment", r"/segments/.*\.(jsonl|tmp)$"),
    ("segments", r"/segments(/|$)"),
    ("limit", r"/shared/limits"),
    ("lock", r"/shared/locks"),
    ("sandbox", r"/sandbox\.sqlite3"),
    ("manifest", r"\.ingest-report"),
    ("doubt", r"doubt\.csv"),
    ("partial", r"PARTIAL\.txt"),
    ("rejects", r"rejects"),
    ("summary", r"summary\.json"),
    ("reports", r"/ingest-reports"),
    ("state", r"/ingest$"),
)
_EVENT = re.compile(rb'"event_uuid"|^POST ')


def kind_of(path: str) -> str:
    """The kind of a file, by its place."""
    return next((kind for kind, form in KINDS if re.search(form, path)), "other")


class Reaper:
    """Counts what goes by and ends the process where it was told to."""

    def __init__(self, at: str, log: str) -> None:
        call, kind, ordinal, when = at.split() if at else ("", "", "0", "")
        self._at = (call, kind, int(ordinal), when)
        self._log = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600) if log else -1
        self._write = os.write
        self._seen: Counter[tuple[str, str]] = Counter()
        self._lock = threading.Lock()

    def around(self, call: str, kind: str, work: Callable[[], Any]) -> Any:
        """Do it, or die before or after it."""
        with self._lock:
            self._seen[call, kind] += 1
            ordinal = self._seen[call, kind]
        self._pass(call, kind, ordinal, "before")
        done = work()
        self._pass(call, kind, ordinal, "after")
        return done

    def _pass(self, *point: Any) -> None:
        if point == self._at:
            os.kill(os.getpid(), signal.SIGKILL)
        if self._log >= 0:
            self._write(self._log, (" ".join(map(str, point)) + "\n").encode())


def _path_of(handle: Any) -> str:
    if not isinstance(handle, int):
        return os.path.abspath(os.fsdecode(handle))  # noqa: PTH100 - os is what is wrapped here
    try:
        return os.readlink(f"/proc/self/fd/{handle}")  # noqa: PTH115 - likewise
    except OSError:
        return ""


def wrap_files(reaper: Reaper) -> None:
    """Count what changes files through `os` and `io`."""

    def wrapped(name: str, which: int = 0) -> None:
        original = getattr(os, name)

        @functools.wraps(original)
        def call(*given: Any, **named: Any) -> Any:
            kind = kind_of(_path_of(given[which]))
            if kind == "other":
                return original(*given, **named)
            return reaper.around(name, kind, lambda: original(*given, **named))

        setattr(os, name, call)

    for name in ("write", "pwrite", "fsync", "fdatasync", "unlink", "mkdir", "rmdir", "ftruncate"):
        wrapped(name)
    for name in ("rename", "replace"):
        wrapped(name, 1)

    open_file = os.open

    def opened(path: Any, flags: int, *rest: Any, **named: Any) -> int:
        kind = kind_of(os.path.abspath(os.fsdecode(path)))  # noqa: PTH100 - likewise
        if not flags & os.O_CREAT or kind == "other":
            return open_file(path, flags, *rest, **named)
        handle: int = reaper.around(
            "create", kind, lambda: open_file(path, flags, *rest, **named)
        )
        return handle

    os.open = opened  # type: ignore[assignment] # a wrapper

    class FileIO(io.FileIO):
        def write(self, data: Any, /) -> int:
            kind = kind_of(_path_of(self.fileno()))
            if kind == "other":
                return super().write(data)
            written: int = reaper.around("filewrite", kind, lambda: io_write(self, data))
            return written

    io_write = io.FileIO.write
    io.FileIO = FileIO  # type: ignore[misc] # a wrapper


def wrap_database(reaper: Reaper) -> None:
    """Count the statements of the ledger that change something."""

    class Connection(sqlite3.Connection):
        def execute(self, statement: str, *rest: Any) -> sqlite3.Cursor:
            word = (statement.split(None, 1) or [""])[0].upper()
            if word in {"", "SELECT", "PRAGMA"}:
                return super().execute(statement, *rest)
            return reaper.around(word.lower(), "ledger", lambda: execute(self, statement, *rest))

        def executemany(self, statement: str, *rest: Any) -> sqlite3.Cursor:
            word = statement.split(None, 2)[:3]
            call = f"{word[0].lower()}-{word[2].lower()}"
            return reaper.around(call, "ledger", lambda: executemany(self, statement, *rest))

    execute, executemany = sqlite3.Connection.execute, sqlite3.Connection.executemany
    connect = sqlite3.connect
    sqlite3.connect = functools.partial(connect, factory=Connection)  # type: ignore[assignment] # a wrapper


def wrap_sockets(reaper: Reaper) -> None:
    """Count requests that leave and answers that come, over the network."""

    def wrapped(name: str, call: str) -> None:
        original = getattr(socket.socket, name)

        def around(self: socket.socket, *given: Any) -> Any:
            if self.family == socket.AF_UNIX:
                return original(self, *given)
            return reaper.around(call, "server", lambda: original(self, *given))

        setattr(socket.socket, name, around)

    for name in ("send", "sendall", "sendmsg"):
        wrapped(name, "send")
    for name in ("recv", "recv_into"):
        wrapped(name, "receive")


def main() -> None:
    """Wrap, then be the command."""
    reaper = Reaper(os.environ.pop("DEADLY_AT", ""), os.environ.pop("DEADLY_LOG", ""))
    wrap_files(reaper)
    wrap_database(reaper)
    wrap_sockets(reaper)
    from ingest.__main__ import main as command

    command()


if __name__ == "__main__":
    main()
