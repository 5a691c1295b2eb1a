"""The limit of one destination, shared by all processes of this user on this machine.

One small file holds the stamps of the last requests, the hold after a 429 and the rate in force.
Its rules:

- A grant is made, and stamped, under an exclusive flock on that very file. The file is the state,
  so a lock file beside it (the way of `filelock`) would only add a second thing that can go missing.
- The lock is asked for without waiting: a holder that was stopped in the middle delays the others,
  and never blocks their event loop.
- The state is one checksummed record, written by one write of less than a page, after the stamp
  that it counts. Whoever is killed in between made no grant.
- What cannot be read (damage, or stamps from before a restart of the machine, which lie in the
  future) is made anew, and nobody sends for one whole window.
- Each run holds a flock on a file of its own that names its rate. The lowest rate of the living
  holds; a dead run's lock is gone, and with it its say.

Stamps are CLOCK_MONOTONIC, which all processes of a machine share.
"""

import errno
import fcntl
import hashlib
import itertools
import math
import os
import stat
import struct
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from ingest.core.pacing import GUARD_S, SLACK_S, Gate, Tempo
from ingest.errors import StoppedError, UsageError

# Magic, then: written, due, requests ever, hold until, share, cut, counted, rate, silent until.
_RECORD = struct.Struct("<8sddQdddddd")
_SUM = struct.Struct("<I")
_STAMP = struct.Struct("<d")
_MAGIC = b"ingest-1"
_RING_AT = 512
_RING = 10_240  # stamps; the highest rate is a little lower
_SIZE = _RING_AT + _RING * _STAMP.size
_ASK_AGAIN_S = 0.0005  # after another process was found at the file
_ASK_TIMES = 10_000
_SAID_AGAIN_S = 0.05
_COUNT_EVERY_S = 0.5  # how soon the end of another run is noticed
_LONGEST_WAIT_S = 1.0  # rates and holds change meanwhile
_LONGEST_HOLD_S = 3600.0
_FLAGS = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
_SKEW_S = 0.001  # clocks of two cores may differ by this; more is another clock

HIGHEST_RATE = 10_000.0
"""Requests per second; above it only "no limit" is possible."""


def limit_file(directory: Path, *, origin: str, account: str) -> Path:
    """The file of a destination's limit; no value ends up in its name."""
    digest = hashlib.sha256(f"{origin}\n{account}".encode()).hexdigest()
    return directory / f"limit-{digest[:32]}"


@dataclass(slots=True)
class _State:
    """The record of the file; mutable, for it lives for one grant."""

    written_s: float
    due_s: float
    requests: int
    until_s: float
    share: float
    cut_s: float
    counted_s: float
    rate: float
    silent_s: float

    def pack(self) -> bytes:
        record = _RECORD.pack(
            _MAGIC,
            self.written_s,
            self.due_s,
            self.requests,
            self.until_s,
            self.share,
            self.cut_s,
            self.counted_s,
            self.rate,
            self.silent_s,
        )
        return record + _SUM.pack(zlib.crc32(record))


def _fresh(now_s: float) -> _State:
    never = -math.inf
    return _State(now_s, never, 0, never, 1.0, never, never, math.inf, never)


class SharedLimit:
    """One run's part in the limit of its destination.

    Use it in the process that opened it; close it, or use it as a context manager.

    Args:
        path: See `limit_file`; its directory is made, for this user alone.
        rate: Requests per second of this run; None: no limit of its own.
        guard_s: See `core.pacing`.
        slack_s: See `core.pacing`.
        clock: Monotonic seconds, shared by all processes.

    Raises:
        UsageError: The rate or the file cannot be used.
        StoppedError: The file cannot be read or written.
    """

    def __init__(
        self,
        path: Path,
        *,
        rate: float | None,
        guard_s: float = GUARD_S,
        slack_s: float = SLACK_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if rate is not None and not 0 < rate <= HIGHEST_RATE:
            raise UsageError(
                f"--rate {rate:g} is not above 0 and at most {HIGHEST_RATE:g} calls a second",
                code="rate_invalid",
            )
        self._path = path
        self._own_rate = math.inf if rate is None else rate
        self._tempo = Tempo(math.inf, guard_s=guard_s, slack_s=slack_s)
        self._clock = clock
        self._share = 1.0
        self._looked_s = clock()
        self._open_s = -math.inf  # when a request was last let go, with no hold since
        self._file = self._run = -1
        self._run_path = path
        self._open()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def rate(self) -> float:
        """Requests per second in force when last asked; infinite: no limit."""
        return self._tempo.rate

    def reserve(self) -> float:
        """Take the right to send one request now.

        Returns:
            0 where it is granted: the stamp is this moment's, so send at once. Otherwise seconds,
            at most 1, after which to ask again; nothing is reserved.

        Raises:
            StoppedError: The file cannot be read or written.
        """
        # Once for each request: without the frames of a context manager.
        try:
            self._reopen_if_removed()
            if not self._lock():
                return _ASK_AGAIN_S
            try:
                return self._granted(self._loaded())
            finally:
                fcntl.flock(self._file, fcntl.LOCK_UN)
        except OSError as error:
            raise self._stopped(error) from error

    def _granted(self, state: _State) -> float:
        wait_s = self._wait_s(state)
        if wait_s > 0:
            self._open_s = -math.inf
            return wait_s
        now_s = state.written_s
        state.due_s = self._tempo.due_after(due_s=state.due_s, now_s=now_s)
        at = _RING_AT + state.requests % _RING * _STAMP.size
        os.pwrite(self._file, _STAMP.pack(now_s), at)
        state.requests += 1
        self._write(state)
        self._open_s = now_s
        return 0.0

    def peek(self) -> float:
        """What `reserve` would say, with nothing reserved: to wait for one's turn before it.

        Without a limit, what a grant said a moment ago is said again: `reserve` asks anew.

        Raises:
            StoppedError: The file cannot be read or written.
        """
        if not self._tempo.limited and self._clock() - self._open_s < _SAID_AGAIN_S:
            return 0.0
        with self._state() as state:
            return _ASK_AGAIN_S if state is None else self._wait_s(state)

    def refused(self, *, sent_s: float, wait_s: float) -> None:
        """Hold everyone: a 429 came to a request that was sent at `sent_s` (monotonic).

        Raises:
            StoppedError: The file cannot be read or written.
        """
        self._open_s = -math.inf
        with self._state_surely() as state:
            gate = _gate(state).refused(
                now_s=state.written_s, sent_s=sent_s, wait_s=min(wait_s, _LONGEST_HOLD_S)
            )
            state.until_s, state.share, state.cut_s = gate.until_s, gate.share, gate.cut_s
            self._share = gate.share
            self._write(state)

    def succeeded(self) -> None:
        """Let the rate grow back after a success; costs nothing while it was never cut.

        Raises:
            StoppedError: The file cannot be read or written.
        """
        if self._share == 1:
            return
        with self._state() as state:
            if state is not None:  # one success more or less is no matter
                state.share = _gate(state).succeeded(rate=state.rate).share
                self._share = state.share
                self._write(state)

    def close(self) -> None:
        """End this run's part; its rate counts no more. May be called again."""
        if self._run >= 0:
            with suppress(OSError):
                self._run_path.unlink()
            os.close(self._run)
        if self._file >= 0:
            os.close(self._file)
        self._file = self._run = -1

    def _open(self, *, lost: bool = False) -> None:
        try:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._file = _open_private(self._path)
            with self._locked_surely():
                self._register()
                if not lost and os.fstat(self._file).st_size == 0:
                    os.pwrite(self._file, bytes(_SIZE), 0)
                    self._write(_fresh(self._clock()))
                state = self._loaded()
                if lost:
                    state.silent_s = state.written_s + self._tempo.window_s
                self._count_runs(state)
                self._write(state)
        except OSError as error:
            self.close()
            what = f"the file of the shared limit, {self._path}, cannot be used: {error.strerror}"
            hint = "Its directory must be yours, writable, and on a local disk."
            raise UsageError(what, hint=hint, code="limit_unusable") from error
        except BaseException:
            self.close()
            raise

    def _register(self) -> None:
        """Write down this run's rate, and hold the lock that says that it lives."""
        for number in itertools.count():
            self._run_path = self._path.with_name(f"{self._path.name}.run-{os.getpid()}-{number}")
            try:
                self._run = os.open(self._run_path, _FLAGS | os.O_EXCL, 0o600)
            except FileExistsError:
                continue
            break
        fcntl.flock(self._run, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.pwrite(self._run, repr(self._own_rate).encode(), 0)

    def _count_runs(self, state: _State) -> None:
        """Put the lowest rate of the living runs in force, and clear the dead away."""
        rates = [self._own_rate]
        runs = f"{self._path.name}.run-"
        others = (path for path in self._path.parent.iterdir() if path.name.startswith(runs))
        rates.extend(_rate_of(path) for path in others if path.name != self._run_path.name)
        state.rate, state.counted_s = min(rates), state.written_s
        self._set_tempo(state)

    def _set_tempo(self, state: _State) -> None:
        self._share = state.share
        rate = state.rate * state.share
        if rate != self._tempo.rate:
            self._tempo = Tempo(rate, guard_s=self._tempo.guard_s, slack_s=self._tempo.slack_s)

    @contextmanager
    def _state(self) -> Iterator[_State | None]:
        """The state at this moment, under the lock; None where another process is at the file."""
        try:
            self._reopen_if_removed()
            if not self._lock():
                yield None
                return
            try:
                yield self._loaded()
            finally:
                fcntl.flock(self._file, fcntl.LOCK_UN)
        except OSError as error:
            raise self._stopped(error) from error

    @contextmanager
    def _state_surely(self) -> Iterator[_State]:
        try:
            with self._locked_surely():
                yield self._loaded()
        except OSError as error:
            raise self._stopped(error) from error

    @contextmanager
    def _locked_surely(self) -> Iterator[None]:
        """Wait for the lock: a grant holds it for some microseconds."""
        for _ in range(_ASK_TIMES):
            if self._lock():
                break
            time.sleep(_ASK_AGAIN_S)
        else:
            raise TimeoutError(errno.ETIMEDOUT, "another process does not let go of it")
        try:
            yield
        finally:
            fcntl.flock(self._file, fcntl.LOCK_UN)

    def _lock(self) -> bool:
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def _reopen_if_removed(self) -> None:
        """Two runs with two files would each use the whole rate."""
        now_s = self._clock()
        if now_s - self._looked_s < _COUNT_EVERY_S:
            return
        self._looked_s = now_s
        if not (os.fstat(self._file).st_nlink and os.fstat(self._run).st_nlink):
            self.close()
            self._open(lost=True)

    def _loaded(self) -> _State:
        """The state at this moment, made anew where it cannot be read."""
        state, now_s = self._load(), self._clock()
        if state is None or state.written_s > now_s + _SKEW_S:
            state = _fresh(now_s)
            self._count_runs(state)
            state.silent_s = now_s + self._tempo.window_s
            self._write(state)
        state.written_s = max(now_s, state.written_s)
        if state.written_s - state.counted_s > _COUNT_EVERY_S:
            self._count_runs(state)
            self._write(state)
        self._set_tempo(state)
        return state

    def _load(self) -> _State | None:
        """The record as it stands; None where it cannot be read."""
        data = os.pread(self._file, _RECORD.size + _SUM.size, 0)
        record = data[: _RECORD.size]
        if len(data) < _RECORD.size + _SUM.size or not record.startswith(_MAGIC):
            return None
        if _SUM.unpack_from(data, _RECORD.size)[0] != zlib.crc32(record):
            return None
        return _State(*_RECORD.unpack(record)[1:])

    def _write(self, state: _State) -> None:
        os.pwrite(self._file, state.pack(), 0)

    def _wait_s(self, state: _State) -> float:
        ready_s = self._tempo.ready_s(
            due_s=state.due_s, oldest_s=self._oldest_s(state), now_s=state.written_s
        )
        open_s = max(ready_s, state.until_s, state.silent_s)
        return min(max(0.0, open_s - state.written_s), _LONGEST_WAIT_S)

    def _oldest_s(self, state: _State) -> float:
        """The stamp that the next one must keep its distance from."""
        if not self._tempo.limited or state.requests < self._tempo.count:
            return -math.inf
        at = (state.requests - self._tempo.count) % _RING
        stamp = os.pread(self._file, _STAMP.size, _RING_AT + at * _STAMP.size)
        stamp_s = _STAMP.unpack(stamp)[0] if len(stamp) == _STAMP.size else 0.0
        # A stamp that is missing, a hole, or in the future: take it for the latest possible.
        return stamp_s if 0 < stamp_s < state.written_s else state.written_s

    def _stopped(self, error: OSError) -> StoppedError:
        what = f"the shared limit of calls cannot be kept in {self._path}: {error.strerror}"
        return StoppedError(what, hint="Run the same command again.", code="limit_unusable")


def _gate(state: _State) -> Gate:
    return Gate(until_s=state.until_s, share=state.share, cut_s=state.cut_s)


def _open_private(path: Path) -> int:
    """Open or create a file that is this user's alone; never through a link."""
    file = os.open(path, _FLAGS, 0o600)
    facts = os.fstat(file)
    if not stat.S_ISREG(facts.st_mode) or facts.st_uid != os.geteuid() or facts.st_nlink != 1:
        os.close(file)
        raise PermissionError(errno.EPERM, "it is not a file of your own")
    os.fchmod(file, 0o600)
    return file


def _rate_of(path: Path) -> float:
    """The rate of another run; infinite where it ended, whose file goes."""
    try:
        run = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return math.inf
    try:
        fcntl.flock(run, fcntl.LOCK_EX | fcntl.LOCK_NB)
        path.unlink()
    except BlockingIOError:
        return float(os.pread(run, 32, 0) or b"inf")
    finally:
        os.close(run)
    return math.inf
