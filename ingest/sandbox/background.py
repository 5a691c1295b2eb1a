"""A sandbox in a process of its own, for as long as this one needs it."""

import contextlib
import json
import os
import selectors
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from ingest.sandbox.errors import SandboxError
from ingest.sandbox.options import SandboxOptions

START_S = 30.0
STOP_S = 5.0


class BackgroundSandbox:
    """A context manager that runs a sandbox in a separate process.

    The process takes nothing of this one's time, ignores the terminal's Ctrl-C (this process may
    still be draining), and ends with this one, however it ends. The options, the key among them, go
    through a pipe and are in no process list.

    Args:
        options: As it is to be started; `SandboxOptions.for_one_run(store)` is the usual choice.

    Raises:
        SandboxError: On entering: it did not start, and why.
    """

    def __init__(self, options: SandboxOptions) -> None:
        self._options = options
        self._process: subprocess.Popen[bytes] | None = None
        self._url: str | None = None

    @property
    def url(self) -> str:
        """Where it listens, such as http://127.0.0.1:40123."""
        if self._url is None:
            raise SandboxError("the sandbox is not running")
        return self._url

    @property
    def pid(self) -> int:
        """Its process id."""
        if self._process is None:
            raise SandboxError("the sandbox is not running")
        return self._process.pid

    def __enter__(self) -> Self:
        self._process = _start()
        try:
            self._url = _shake_hands(self._process, self._options)
        except BaseException:
            self._stop(patience_s=0.0)
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stop(patience_s=STOP_S)

    def _stop(self, *, patience_s: float) -> None:
        process, self._process, self._url = self._process, None, None
        if process is None:
            return
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                with contextlib.suppress(BrokenPipeError):
                    pipe.close()
        try:
            process.wait(patience_s)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _start() -> subprocess.Popen[bytes]:
    # -P: a module in the working directory must not stand in for one of Python's.
    root = str(Path(__file__).resolve().parents[2])
    path = os.pathsep.join(filter(None, (root, os.environ.get("PYTHONPATH"))))
    return subprocess.Popen(
        [sys.executable, "-P", "-m", "ingest.sandbox"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": path},
        start_new_session=True,
    )


def _shake_hands(process: subprocess.Popen[bytes], options: SandboxOptions) -> str:
    """Tell the options, and hear the URL.

    Raises:
        SandboxError: It said why it cannot start, ended, or said nothing.
    """
    if process.stdin is None or process.stdout is None:
        raise SandboxError("the sandbox has no pipes")
    hello = {"parent": os.getpid(), "options": options.to_json()}
    with contextlib.suppress(BrokenPipeError):  # then it has ended, and its answer says so
        process.stdin.write(json.dumps(hello).encode() + b"\n")
        process.stdin.flush()
    line = _line(process.stdout, deadline_s=time.monotonic() + START_S)
    if not line:
        raise SandboxError("the sandbox did not start")
    said = json.loads(line)
    if "url" not in said:
        raise SandboxError(said["error"], hint=said["hint"])
    return str(said["url"])


def _line(pipe: IO[bytes], *, deadline_s: float) -> bytes:
    """Read one line; empty: the pipe ended, or the deadline passed before the line did."""
    line = b""
    with selectors.DefaultSelector() as selector:
        selector.register(pipe, selectors.EVENT_READ)
        while not line.endswith(b"\n"):
            wait_s = deadline_s - time.monotonic()
            if wait_s <= 0 or not selector.select(wait_s):
                return b""
            part = os.read(pipe.fileno(), 4096)
            if not part:
                return b""
            line += part
    return line
