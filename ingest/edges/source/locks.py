"""Locks on sources and loads, which the death of their holder frees."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from ingest.errors import LockedError, StoppedError


@contextmanager
def hold(directory: Path, name: str, *, what: str, holder: str) -> Iterator[None]:
    """Hold a lock while the block runs; the death of the holder frees it.

    Args:
        directory: Where locks are.
        name: The lock's file name.
        what: What it protects, for the message.
        holder: Who holds it, for the message of others: pid and start.

    Raises:
        LockedError: Another process holds it.
        StoppedError: The disk refuses.
    """
    path = directory / f"{name}.lock"
    try:
        for place in (directory.parent.parent, directory.parent, directory):
            place.mkdir(mode=0o700, parents=True, exist_ok=True)  # each: `parents` obeys the umask
        # Without flock the death of a holder would free nothing: rather no run than a soft lock.
        lock = FileLock(path, timeout=0, mode=0o600, fallback_to_soft=False)
        lock.acquire()
    except Timeout as error:
        raise LockedError(
            f"{what} is held by another run ({_holder(path)})",
            hint="wait for it to end; a run that died frees it by itself",
            code="locked",
        ) from error
    except OSError as error:
        raise _unwritable(path, error) from error
    beside = path.with_suffix(".holder")
    try:
        _write_private(beside, holder)
        yield
    finally:
        with suppress(OSError):  # it says who held the lock, and does not hold it
            beside.unlink(missing_ok=True)
        with suppress(OSError):  # else the end of this process frees it
            lock.release()


def _write_private(path: Path, text: str) -> None:
    try:
        path.unlink(missing_ok=True)
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise _unwritable(path, error) from error


def _unwritable(path: Path, error: OSError) -> StoppedError:
    return StoppedError(
        f"cannot lock {path}: {error.strerror}",
        hint="free the disk or mend the permissions, then run the same command again",
        code="lock_unwritable",
    )


def _holder(path: Path) -> str:
    try:
        return path.with_suffix(".holder").read_text(encoding="utf-8")
    except OSError:
        return "just starting"
