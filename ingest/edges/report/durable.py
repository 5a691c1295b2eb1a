"""Files that are whole or not there: temporary file, fsync, rename, fsync of the directory.

The temporary file stands beside its target (`.NAME.xxxxxxxx.tmp`), made with O_EXCL and
O_NOFOLLOW, with its final mode whatever the umask. A write or fsync that fails ends the attempt:
after a failed fsync the kernel may have dropped the pages and would report success the next time.
"""

import contextlib
import errno
import hashlib
import io
import os
import re
import shutil
import stat
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ingest.core.guard import printable
from ingest.errors import StoppedError, UsageError

PRIVATE: Final = 0o600
_BUFFER: Final = 1 << 20
_TEMPORARY: Final = re.compile(r"\..+\.[a-z0-9_]{8}\.tmp")

_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_FORBIDDEN: Final = frozenset({errno.EACCES, errno.EPERM, errno.EROFS})
_AGAIN: Final = "then run the same command again; nothing that is finished is done twice"


@dataclass(frozen=True, slots=True)
class Written:
    """What a file holds.

    Args:
        bytes: Its size.
        sha256: Of its content, in hex.
    """

    bytes: int
    sha256: str


def stopped(operation: str, path: Path, error: OSError) -> StoppedError:
    """Say which operation on which file failed, why, and what to do."""
    cause = os.strerror(error.errno) if error.errno else str(error)
    if error.errno in _FULL:
        code, hint = "disk_full", f"make room on the disk that holds it, {_AGAIN}"
    elif error.errno in _FORBIDDEN:
        code, hint = "not_writable", f"allow this user to write there, {_AGAIN}"
    else:
        code, hint = "disk_error", f"check the disk, {_AGAIN}"
    return StoppedError(f"cannot {operation} {printable(str(path))}: {cause}", hint=hint, code=code)


@contextlib.contextmanager
def doing(operation: str, path: Path) -> Iterator[None]:
    """Turn an error of the operating system into one of ours."""
    try:
        yield
    except OSError as error:
        raise stopped(operation, path, error) from error


def plain_name(name: str) -> str:
    """The name, if it is one of a file in a directory and leads nowhere else.

    Raises:
        ValueError: It is not.
    """
    if name in {"", ".", ".."} or "/" in name or "\0" in name:
        raise ValueError(f"{name!r} is not a plain file name")
    return name


class _Sink(io.FileIO):
    """A descriptor whose failing writes name the file that was to be."""

    def __init__(self, descriptor: int, target: Path) -> None:
        super().__init__(descriptor, "r+b")
        self._target = target

    def write(self, data: object, /) -> int:
        with doing("write", self._target):
            return super().write(data)  # type: ignore[arg-type] # whatever FileIO takes


class Draft:
    """A file in the making; `settle` it, then `publish` it.

    Args:
        file: Takes the content.
    """

    def __init__(self, directory: Path, name: str, *, mode: int) -> None:
        self._target = directory / name
        with doing("create", self._target):
            descriptor, temporary = tempfile.mkstemp(
                prefix=f".{name}.", suffix=".tmp", dir=directory
            )
            os.fchmod(descriptor, mode)
        self._temporary: Path | None = Path(temporary)
        self._raw = _Sink(descriptor, self._target)
        self.file = io.BufferedRandom(self._raw, _BUFFER)

    def settle(self) -> Written:
        """Write out all, fsync, close.

        Raises:
            StoppedError: The operating system refused.
        """
        self.file.flush()
        with doing("fsync", self._target):
            os.fsync(self._raw.fileno())
        with doing("read back", self._target):
            self.file.seek(0)
            digest = hashlib.file_digest(self.file, "sha256").hexdigest()
            size = os.fstat(self._raw.fileno()).st_size
        with doing("close", self._target):
            self.file.close()
        return Written(size, digest)

    def publish(self, *, name: str | None = None) -> Path:
        """Rename it to its name, replacing what has it; fsync the directory afterwards.

        Args:
            name: Another name than that given at first, in the same directory.

        Raises:
            StoppedError: The operating system refused.
        """
        if self._temporary is None:
            raise ValueError(f"{self._target} was published or discarded before")
        target = self._target if name is None else self._target.with_name(name)
        with doing("rename to", target):
            self._temporary.replace(target)
        self._temporary = None
        return target

    def discard(self) -> None:
        """Remove what was not published. Total: what cannot be removed is left, private."""
        with contextlib.suppress(OSError, StoppedError):
            self.file.close()
        if self._temporary is not None:
            with contextlib.suppress(OSError):
                self._temporary.unlink()
            self._temporary = None


@contextlib.contextmanager
def drafting(directory: Path, name: str, *, mode: int = PRIVATE) -> Iterator[Draft]:
    """Make a file; what is not published by the end is removed.

    Raises:
        StoppedError: The operating system refused.
    """
    draft = Draft(directory, name, mode=mode)
    try:
        yield draft
    finally:
        draft.discard()


@contextlib.contextmanager
def workspace(directory: Path, name: str) -> Iterator[Path]:
    """A private directory beside a file in the making; removed at the end.

    Raises:
        StoppedError: The operating system refused.
    """
    with doing("create a directory in", directory):
        path = Path(tempfile.mkdtemp(prefix=f".{name}.", suffix=".tmp", dir=directory))
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


def sync_directory(directory: Path) -> None:
    """Make renames in a directory outlast a power cut.

    Raises:
        StoppedError: The operating system refused.
    """
    with doing("fsync", directory):
        descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def private_directory(path: Path, *, mode: int = PRIVATE) -> None:
    """Make a directory where there is none; its parent must be there.

    Args:
        path: The directory.
        mode: Of the files to be in it; who may read those may enter.

    Raises:
        UsageError: Something else has that name, a symbolic link to a directory included.
        StoppedError: The operating system refused.
    """
    with doing("create", path):
        try:
            path.mkdir(mode=0o700)
        except FileExistsError:
            if stat.S_ISDIR(path.lstat().st_mode):
                return
            raise UsageError(
                f"{printable(str(path))} is not a directory of its own",
                hint="remove it, or choose another place with --report-dir",
                code="report_directory",
            ) from None
        path.chmod(0o700 | mode | (mode & 0o444) >> 2)
    sync_directory(path.parent)


def sweep(directory: Path) -> int:
    """Remove the temporary files that a killed process left; give their count.

    Only for who holds the lock of that directory's load: another's unfinished file goes too.

    Raises:
        StoppedError: The operating system refused.
    """
    left = [path for path in directory.iterdir() if _TEMPORARY.fullmatch(path.name)]
    for path in left:
        with doing("remove", path):
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)
    return len(left)
