"""Runs the command in processes that die by SIGKILL at a named point of it.

A point is `CALL KIND ORDINAL WHEN`: the ORDINAL-th CALL on a file of KIND, `before` or `after` it.
Threads make a plain count of calls unrepeatable; a count of one call on one kind of file is far
steadier. The product knows nothing of this: Python's own functions are wrapped before it is
imported. A nursery has imported everything once and forks for each run, since most of a short
run's time goes into imports.

Started as a script this is the nursery: a line of JSON on standard input asks for a run; its pid
and, at its end, its exit code (negative: the signal) come back, a line each.
"""

import contextlib
import functools
import io
import json
import os
import re
import select
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

ROOT = Path(__file__).resolve().parents[2]
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
    ("page", r"report\.html"),
    ("reports", r"/ingest-reports"),
    ("state", r"/ingest$"),
)
WAIT_S = 120


@dataclass(frozen=True, slots=True, order=True)
class Point:
    """A moment of a run."""

    call: str
    kind: str
    ordinal: int
    when: str

    @classmethod
    def of(cls, text: str) -> Self:
        """Read what `str` gives."""
        call, kind, ordinal, when = text.split()
        return cls(call, kind, int(ordinal), when)

    def __str__(self) -> str:
        return f"{self.call} {self.kind} {self.ordinal} {self.when}"


def kind_of(path: str) -> str:
    """The kind of a file, by its place."""
    return next((kind for kind, form in KINDS if re.search(form, path)), "other")


class Reaper:
    """Counts what goes by and ends the process where it was told to; unarmed it does nothing."""

    def __init__(self) -> None:
        self._at: Point | None = None
        self._log = -1
        self._write = os.write
        self._kill = os.kill
        self._open = os.open
        self._seen: Counter[tuple[str, str]] = Counter()
        self._lock = threading.Lock()

    def arm(self, at: str, log: str) -> None:
        """Die at a point; write a line for each point that is passed."""
        self._at = Point.of(at) if at else None
        if log:
            self._log = self._open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def around(self, call: str, kind: str, work: Callable[[], Any]) -> Any:
        """Do it, or die before or after it."""
        with self._lock:
            self._seen[call, kind] += 1
            ordinal = self._seen[call, kind]
        self._pass(Point(call, kind, ordinal, "before"))
        done = work()
        self._pass(Point(call, kind, ordinal, "after"))
        return done

    def _pass(self, point: Point) -> None:
        if point == self._at:
            self._kill(os.getpid(), signal.SIGKILL)
        if self._log >= 0:
            self._write(self._log, f"{point}\n".encode())


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
        handle: int = reaper.around("create", kind, lambda: open_file(path, flags, *rest, **named))
        return handle

    os.open = opened  # type: ignore[assignment] # a wrapper

    write_file = io.FileIO.write

    class FileIO(io.FileIO):
        def write(self, data: Any, /) -> int:
            kind = kind_of(_path_of(self.fileno()))
            if kind == "other":
                return write_file(self, data)
            written: int = reaper.around("filewrite", kind, lambda: write_file(self, data))
            return written

    io.FileIO = FileIO  # type: ignore[misc] # a wrapper


def wrap_database(reaper: Reaper) -> None:
    """Count the statements of a database that change something."""
    execute, executemany = sqlite3.Connection.execute, sqlite3.Connection.executemany

    class Connection(sqlite3.Connection):
        def execute(self, statement: str, *rest: Any) -> sqlite3.Cursor:
            word = (statement.split(None, 1) or [""])[0].lower()
            if word in {"", "select", "pragma"}:
                return execute(self, statement, *rest)
            done: sqlite3.Cursor = reaper.around(
                word, "ledger", lambda: execute(self, statement, *rest)
            )
            return done

        def executemany(self, statement: str, *rest: Any) -> sqlite3.Cursor:
            words = statement.lower().split()
            done: sqlite3.Cursor = reaper.around(
                f"{words[0]}-{words[2]}", "ledger", lambda: executemany(self, statement, *rest)
            )
            return done

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
    """Make ready as told, import the command, and fork for each line of standard input."""
    sys.path.insert(0, str(ROOT))
    reaper = _made_ready(sys.argv[1])
    import ingest.cli
    import ingest.cli.render
    import ingest.config
    import ingest.pipeline.retry
    import ingest.pipeline.run

    for line in sys.stdin:
        order = json.loads(line)
        child = os.fork()
        if not child:
            _be_born(order, reaper, ingest.cli.main)
        _answer(child)
        _, status = os.waitpid(child, 0)
        _answer(os.waitstatus_to_exitcode(status))


def _made_ready(how: str) -> Any:
    """`deadly`: can be told to die; `frail`: to fail; `plain`: neither."""
    if how == "frail":
        from tests.support.frail import Frailty

        return Frailty()
    reaper = Reaper()
    if how == "deadly":
        wrap_files(reaper)
        wrap_database(reaper)
        wrap_sockets(reaper)
    return reaper


def _answer(number: int) -> None:
    os.write(1, f"{number}\n".encode())


def _be_born(order: dict[str, Any], reaper: Any, command: Callable[[list[str]], None]) -> None:
    code = 70
    try:
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        for handle, name in ((1, "out"), (2, "err")):
            os.dup2(os.open(order[name], os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), handle)
        os.environ.clear()
        os.environ.update(order["environ"])
        os.chdir(order["cwd"])
        reaper.arm(order["at"], order["log"])
        command(order["arguments"])
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else 0
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


class Nursery:
    """The process that forks for runs; use as a context manager.

    Args:
        how: `deadly`: its runs can be given a point to die at; see `frail.py` for `frail`.
        environ: The environment of the process itself, not of its runs.
    """

    def __init__(self, how: str = "deadly", *, environ: dict[str, str] | None = None) -> None:
        self._how = how
        self._environ = environ

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            [sys.executable, "-P", str(Path(__file__).resolve()), self._how],
            env=self._environ,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
        )
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(20)
        self._process.stdout.close()

    def run(
        self,
        arguments: Sequence[str],
        *,
        cwd: Path,
        environ: dict[str, str],
        at: object = None,
        log: Path | None = None,
        wait_s: float = WAIT_S,
    ) -> tuple[int, str, str]:
        """Run the command; give its exit code (negative: the signal), output and errors."""
        out, err = cwd / ".out.txt", cwd / ".err.txt"
        order = {
            "arguments": list(arguments),
            "cwd": str(cwd),
            "environ": environ,
            "out": str(out),
            "err": str(err),
            "at": str(at or ""),
            "log": str(log or ""),
        }
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        child = int(self._line(WAIT_S))
        try:
            code = int(self._line(wait_s))
        except TimeoutError:
            with contextlib.suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)
            self._line(WAIT_S)
            raise
        texts = [path.read_text(errors="surrogateescape") for path in (out, err)]
        out.unlink()
        err.unlink()
        return code, texts[0], texts[1]

    def _line(self, wait_s: float) -> str:
        stream = self._process.stdout
        assert stream is not None
        if not select.select([stream], [], [], wait_s)[0]:
            raise TimeoutError(f"nothing came back within {wait_s:g} s")
        # A byte at a time: what a buffer has taken, select does not see.
        line = b""
        while not line.endswith(b"\n"):
            byte = os.read(stream.fileno(), 1)
            assert byte, "the nursery has died"
            line += byte
        return line.decode()


if __name__ == "__main__":
    main()
