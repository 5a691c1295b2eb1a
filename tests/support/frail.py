"""Runs the command on a disk that fails: one call of the C library, of SQLite's as well as ours.

`frail.c` is built once per session and loaded before the C library (LD_PRELOAD) into a nursery,
whose children are told through it which call is to fail, or how long the log of their writes is to
grow before they die.
"""

import ctypes
import errno
import os
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from tests.support.deadly import KINDS, Nursery
from tests.support.programs import program

SOURCE = Path(__file__).with_suffix(".c")
FRAIL_KINDS = (
    ("wal", r"/ledger\.sqlite3-wal$"),
    ("shm", r"/ledger\.sqlite3-shm$"),
    ("spool", r"/spool(/|$)"),
    ("attempts", r"/attempts\.jsonl$"),
    *KINDS,
)
SHORT = -1
"""In place of an errno: half of the bytes."""


def build(directory: Path) -> Path:
    """Compile it; skips where there is no compiler, and fails where CI should have one."""
    compiler = program("cc", "gcc", package="gcc libc6-dev")
    made = directory / "frail.so"
    flags = ["-shared", "-fPIC", "-O1", "-Wall", "-Werror"]
    subprocess.run([compiler, *flags, "-o", str(made), str(SOURCE), "-ldl"], check=True)
    return made


def frail_nursery(library: Path) -> Nursery:
    """Give a nursery whose runs stand on a frail disk."""
    environ = {**os.environ, "LD_PRELOAD": str(library), "FRAIL_LIBRARY": str(library)}
    return Nursery("frail", environ=environ)


@dataclass(frozen=True, slots=True)
class Fault:
    """A call that fails.

    Args:
        call: Such as `write`.
        kind: Of its file.
        ordinal: Which one, from 1.
        number: The errno, or `SHORT`.
        ever: It and every later call of that name fails, whatever the file.
    """

    call: str
    kind: str
    ordinal: int
    number: int
    ever: bool = False

    @classmethod
    def of(cls, text: str) -> Self:
        """Read what `str` gives."""
        call, kind, ordinal, name, how = text.split()
        number = SHORT if name == "SHORT" else getattr(errno, name)
        return cls(call, kind, int(ordinal), number, how == "ever")

    def __str__(self) -> str:
        name = "SHORT" if self.number == SHORT else errno.errorcode[self.number]
        return f"{self.call} {self.kind} {self.ordinal} {name} {'ever' if self.ever else 'once'}"


@dataclass(frozen=True, slots=True)
class Cut:
    """The power fails when so many changes were logged."""

    after: int
    journal: Path

    def __str__(self) -> str:
        return f"cut {self.after} {self.journal}"


@dataclass(frozen=True, slots=True)
class Jump:
    """The wall clock leaps from one look to the next.

    Args:
        seconds: How far, forth and back; not before 1970.
    """

    seconds: int

    def __str__(self) -> str:
        return f"jump {self.seconds}"


class Frailty:
    """The library's side in a child of the nursery; stands where a reaper would."""

    def __init__(self) -> None:
        self._library = ctypes.CDLL(os.environ["FRAIL_LIBRARY"])
        for name, form in FRAIL_KINDS:
            self._library.frail_kind(name.encode(), form.replace(r"\.", "[.]").encode())

    def arm(self, at: str, log: str) -> None:
        """Fail or cut as told, below the working directory; log what counts."""
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
        if at.startswith("cut "):
            _, after, path = at.split(" ", 2)
            self._library.frail_journal(os.open(path, flags, 0o600), ctypes.c_long(int(after)))
        elif at.startswith("jump "):
            self._library.frail_jump(ctypes.c_long(int(at.split()[1])))
        elif at:
            fault = Fault.of(at)
            is_short = fault.number == SHORT
            self._library.frail_fail(
                fault.call.encode(),
                fault.kind.encode(),
                ctypes.c_long(fault.ordinal),
                0 if is_short else fault.number,
                int(fault.ever),
                int(is_short),
            )
        if log:
            self._library.frail_trace(os.open(log, flags, 0o600))
        self._library.frail_below(os.fsencode(Path.cwd()))


def traced(log: Path) -> list[tuple[str, str, int]]:
    """The calls that a run made: name, kind of file, ordinal."""
    lines = [line.split() for line in log.read_text().splitlines()]
    return [(call, kind, int(ordinal)) for call, kind, ordinal, *_ in lines]


def faults_of(calls: Sequence[tuple[str, str, int]]) -> list[Fault]:
    """Each call with each way in which it can fail, once and for ever after."""
    found = []
    for call, kind, ordinal in dict.fromkeys(calls):
        for number in WAYS[call]:
            found.append(Fault(call, kind, ordinal, number))
            # An interrupted or short call is done again by whoever made it: for ever is no end.
            if number not in {SHORT, errno.EINTR}:
                found.append(Fault(call, kind, ordinal, number, ever=True))
    return found


WAYS = {
    "write": (errno.ENOSPC, errno.EIO, errno.EDQUOT, errno.EINTR, SHORT),
    "fsync": (errno.EIO, errno.ENOSPC),
    "create": (errno.ENOSPC, errno.EACCES),
    "open": (errno.EACCES, errno.EIO),
    "read": (errno.EIO, errno.EINTR, SHORT),
    "rename": (errno.EIO, errno.ENOSPC),
    "unlink": (errno.EACCES, errno.EIO),
    "truncate": (errno.EIO,),
    "mkdir": (errno.ENOSPC, errno.EACCES),
    "lock": (errno.ENOLCK, errno.ENOSYS),
}
"""How each call can fail."""


def sampled_faults(faults: Sequence[Fault]) -> list[Fault]:
    """Of each call on each kind of file the first, a middle and the last, in ways that differ."""
    families: dict[tuple[str, str], list[Fault]] = {}
    for fault in faults:
        families.setdefault((fault.call, fault.kind), []).append(fault)
    chosen: list[Fault] = []
    for number, family in enumerate(families.values()):
        ways = len(family) // len({fault.ordinal for fault in family})
        last = len(family) - ways
        places = (number, number + 1, number + 2)
        starts = (0, last // 2 // ways * ways, last)
        chosen += [family[b + p % ways] for b, p in zip(starts, places, strict=True)]
    return list(dict.fromkeys(chosen))
