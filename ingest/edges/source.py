"""Sources on the local disk: their identity, and reads that prove themselves.

A fingerprint is the SHA-256 over the SHA-256 digests of blocks of 8 MiB, over the first `L0`
bytes: a grown file proves its prefix, and each block that is read again proves itself. Every byte
that the reader hands out has been compared with the digests: a file that changes while it is read
stops the run before anything of the changed block is used.
"""

import hashlib
import os
import stat as stat_module
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

from filelock import FileLock, Timeout

from ingest.core.load import BLOCK_BYTES, Identity, Stat
from ingest.errors import LockedError, MismatchError, StoppedError, UsageError

_DIGEST_BYTES = hashlib.sha256().digest_size
_CACHED_BLOCKS = 3

Seen = Callable[[int], None]
"""Called with the bytes hashed so far."""


def fingerprint_of(digests: bytes) -> str:
    """Give the fingerprint that block digests stand for."""
    return f"sha256:{hashlib.sha256(digests).hexdigest()}"


class LocalFile:
    """An open source file; use as a context manager.

    Args:
        path: As typed; kept for messages.

    Raises:
        UsageError: It is missing, unreadable, or no regular file.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        try:
            self._handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        except OSError as error:
            raise _unreadable(path, error) from error
        self.stat = self._look()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        os.close(self._handle)

    @property
    def absolute(self) -> str:
        """Where the file is, links resolved."""
        return os.path.realpath(self.path)

    def _look(self) -> Stat:
        facts = os.fstat(self._handle)
        if not stat_module.S_ISREG(facts.st_mode):
            os.close(self._handle)
            raise UsageError(
                f"{self.path} is {_kind(facts.st_mode)}, not a file",
                hint="name the files in it"
                if stat_module.S_ISDIR(facts.st_mode)
                else "copy it to a file first",
                code="source_not_a_file",
            )
        return _stat_of(facts)

    def look_again(self) -> Stat:
        """Give the facts of the open file and of what its path names, if they are the same file.

        Raises:
            MismatchError: The path names another file by now.
        """
        facts = _stat_of(os.fstat(self._handle))
        try:
            named = _stat_of(os.stat(self.path))  # noqa: PTH116 - bytes of any kind may be in it
        except FileNotFoundError:
            return facts
        if (named.device, named.inode) != (facts.device, facts.inode):
            raise MismatchError(
                f"{self.path} was replaced by another file while it was read",
                hint="run the same command again when nobody writes to it",
                code="source_changed",
            )
        return facts

    def read_raw(self, offset: int, size: int) -> bytes:
        """Read bytes as they are now; short only at the end of the file."""
        pieces = []
        while size > 0:
            try:
                piece = os.pread(self._handle, size, offset)
            except OSError as error:
                raise _read_failed(self.path, error) from error
            if not piece:
                break
            pieces.append(piece)
            offset, size = offset + len(piece), size - len(piece)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def digests(self, size: int, *, seen: Seen | None = None) -> bytes:
        """Hash the first `size` bytes: the digests of their blocks, one after the other.

        Raises:
            MismatchError: The file is shorter by now.
        """
        parts = []
        for offset in range(0, size, BLOCK_BYTES):
            wanted = min(BLOCK_BYTES, size - offset)
            block = self.read_raw(offset, wanted)
            if len(block) != wanted:
                raise MismatchError(
                    f"{self.path} shrank while it was read",
                    hint="run the same command again when nobody writes to it",
                    code="source_changed",
                )
            parts.append(hashlib.sha256(block).digest())
            if seen is not None:
                seen(offset + wanted)
        return b"".join(parts)

    def identity(self, *, seen: Seen | None = None) -> Identity:
        """Hash the whole file as it is now."""
        size = self.stat.size
        blocks = self.digests(size, seen=seen)
        return Identity(
            first_size=size,
            fingerprint=fingerprint_of(blocks),
            size=size,
            blocks=blocks,
            stat=self.stat,
        )

    def prefix_matches(self, size: int, recorded: bytes, *, now: bytes) -> bool:
        """Whether the first `size` bytes are those of the recorded digests.

        Args:
            size: Bytes that the recorded digests cover.
            recorded: The digests on record.
            now: The digests of the whole file as it is now.
        """
        whole = size // BLOCK_BYTES * _DIGEST_BYTES
        if self.stat.size < size or recorded[:whole] != now[:whole]:
            return False
        if size % BLOCK_BYTES == 0:
            return True
        tail = self.read_raw(size // BLOCK_BYTES * BLOCK_BYTES, size % BLOCK_BYTES)
        return hashlib.sha256(tail).digest() == recorded[whole:]


class ProvenReader:
    """Reads of a source of which every byte was compared with the recorded digests.

    Args:
        source: The open file.
        identity: Its content as recorded.
    """

    def __init__(self, source: LocalFile, identity: Identity) -> None:
        self._source = source
        self._identity = identity
        self._blocks: OrderedDict[int, bytes] = OrderedDict()

    def __call__(self, offset: int, size: int) -> bytes:
        """Read; short only at the end of the recorded content.

        Raises:
            MismatchError: A block is not what was recorded.
        """
        stop = min(offset + size, self._identity.size)
        if stop <= offset:
            return b""
        first, last = offset // BLOCK_BYTES, (stop - 1) // BLOCK_BYTES
        begin = offset - first * BLOCK_BYTES
        if first == last:
            return self._block(first)[begin : begin + stop - offset]
        parts = [self._block(number) for number in range(first, last + 1)]
        return b"".join(
            (
                memoryview(parts[0])[begin:],
                *parts[1:-1],
                memoryview(parts[-1])[: stop - last * BLOCK_BYTES],
            )
        )

    def _block(self, number: int) -> bytes:
        if number in self._blocks:
            self._blocks.move_to_end(number)
            return self._blocks[number]
        offset = number * BLOCK_BYTES
        block = self._source.read_raw(offset, min(BLOCK_BYTES, self._identity.size - offset))
        recorded = self._identity.blocks[number * _DIGEST_BYTES : (number + 1) * _DIGEST_BYTES]
        if hashlib.sha256(block).digest() != recorded:
            raise MismatchError(
                f"{self._source.path} changed while it was read, within bytes {offset:,} to {offset + len(block):,}",
                hint="put the original back and run again, or use --as NAME to send the changed file as one of its own",
                code="source_changed",
            )
        self._blocks[number] = block
        if len(self._blocks) > _CACHED_BLOCKS:
            self._blocks.popitem(last=False)
        return block


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
    """
    path = directory / f"{name}.lock"
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = FileLock(path, timeout=0, mode=0o600)
        lock.acquire()
    except Timeout as error:
        raise LockedError(
            f"{what} is held by another run ({_holder(path)})",
            hint="wait for it to end; a run that died frees it by itself",
            code="locked",
        ) from error
    except OSError as error:
        raise StoppedError(f"cannot lock {path}: {error}", code="lock_unwritable") from error
    beside = path.with_suffix(".holder")
    try:
        _write_private(beside, holder)
        yield
    finally:
        beside.unlink(missing_ok=True)
        lock.release()


def _write_private(path: Path, text: str) -> None:
    path.unlink(missing_ok=True)
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(text)


def _holder(path: Path) -> str:
    try:
        return path.with_suffix(".holder").read_text(encoding="utf-8")
    except OSError:
        return "just starting"


def _stat_of(facts: Any) -> Stat:
    return Stat(
        device=facts.st_dev,
        inode=facts.st_ino,
        size=facts.st_size,
        mtime_ns=facts.st_mtime_ns,
        ctime_ns=facts.st_ctime_ns,
        seen_ns=time.time_ns(),
    )


def _kind(mode: int) -> str:
    kinds = {
        stat_module.S_IFDIR: "a directory",
        stat_module.S_IFIFO: "a pipe",
        stat_module.S_IFCHR: "a device",
        stat_module.S_IFBLK: "a device",
        stat_module.S_IFSOCK: "a socket",
    }
    return kinds.get(stat_module.S_IFMT(mode), "something special")


def _unreadable(path: str, error: OSError) -> UsageError:
    if isinstance(error, FileNotFoundError):
        return UsageError(f"there is no file {path}", hint="check the path", code="source_missing")
    return UsageError(
        f"cannot read {path}: {error.strerror}",
        hint="check its permissions",
        code="source_unreadable",
    )


def _read_failed(path: str, error: OSError) -> StoppedError:
    return StoppedError(
        f"reading {path} failed: {error.strerror}",
        hint="check the disk, then run the same command again",
        code="source_unreadable",
    )
