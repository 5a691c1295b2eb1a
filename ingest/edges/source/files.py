"""Sources on the local disk: their identity, and reads that prove themselves.

A fingerprint is the SHA-256 over the SHA-256 digests of blocks of 8 MiB, over the first `L0`
bytes: a grown file proves its prefix, and each block that is read again proves itself. Every byte
that the reader hands out has been compared with the digests: a file that changes while it is read
stops the run before anything of the changed block is used.
"""

import hashlib
import os
import shutil
import stat as stat_module
import time
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO, Self

from ingest.core.load import BLOCK_BYTES, Identity, Stat, content_of
from ingest.edges.source.packed import Unpacked, kind_of
from ingest.errors import MismatchError, StoppedError, UsageError

_DIGEST_BYTES = hashlib.sha256().digest_size
_CACHED_BLOCKS = 3
_PROBE_BYTES = 4 << 20
_UNKNOWN_SIZE = 1 << 62
_USUAL_RATIO = 6

Seen = Callable[[int], None]
"""Called with the bytes hashed so far."""


class LocalFile:
    """A source file, compressed or not; use as a context manager.

    The file is open only while it is read: `release` closes it, the next read opens it again.

    Args:
        path: As typed; kept for messages.
        shown: What messages call it; the path without.

    Raises:
        UsageError: It is missing, unreadable, or no regular file.
        MismatchError: When opened again, its path names another file.
    """

    def __init__(self, path: str, *, shown: str | None = None) -> None:
        self.path = shown or path
        self._place = path
        self._handle: int | None = None
        self._size: int | None = None
        self.stat = self._open()
        self.packed = kind_of(os.pread(self._fd(), 4, 0))
        self._unpacked = None if self.packed is None else self._unpack(self.packed)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()

    def release(self) -> None:
        """Close the file until it is read again."""
        if self._unpacked is not None:
            self._unpacked.close()
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None

    @property
    def absolute(self) -> str:
        """Where the file is, links resolved."""
        return os.path.realpath(self._place)

    @property
    def size(self) -> int:
        """Bytes of the content; of a compressed file only known once it was read or recalled."""
        if self._unpacked is None:
            return self.stat.size
        if self._size is None:
            first = len(self.read_raw(0, _PROBE_BYTES))
            return first if first < _PROBE_BYTES else _UNKNOWN_SIZE
        return self._size

    @property
    def expected(self) -> int:
        """Bytes of the content, guessed for a compressed file that was not read yet."""
        known = self._size if self._unpacked else self.stat.size
        return known if known is not None else self.stat.size * _USUAL_RATIO

    def recall(self, size: int) -> None:
        """Take in the size of the content, known from an earlier run on the same file."""
        self._size = size

    def _fd(self) -> int:
        if self._handle is None and self._open() is None:
            raise AssertionError  # not reached: `_open` gives a value or raises
        return self._handle if self._handle is not None else -1

    def _open(self) -> Stat:
        try:
            handle = os.open(self._place, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        except OSError as error:
            raise _unreadable(self.path, error) from error
        facts = os.fstat(handle)
        if not stat_module.S_ISREG(facts.st_mode):
            os.close(handle)
            raise _no_file(self.path, facts.st_mode)
        found = _stat_of(facts)
        known = getattr(self, "stat", None)
        if known is not None and (known.device, known.inode) != (found.device, found.inode):
            os.close(handle)
            raise _replaced(self.path)
        self._handle = handle
        return found

    def _unpack(self, kind: str) -> Unpacked:
        def raw() -> BinaryIO:
            handle = os.dup(self._fd())
            os.lseek(handle, 0, os.SEEK_SET)
            return os.fdopen(handle, "rb")

        return Unpacked(raw, kind=kind, packed_bytes=self.stat.size, path=self.path)

    def look_again(self) -> Stat:
        """Give the facts of the open file and of what its path names, if they are the same file.

        Raises:
            MismatchError: The path names another file by now.
        """
        facts = _stat_of(os.fstat(self._fd()))
        try:
            named = _stat_of(os.stat(self._place))  # noqa: PTH116 - bytes of any kind may be in it
        except FileNotFoundError:
            return facts
        if (named.device, named.inode) != (facts.device, facts.inode):
            raise _replaced(self.path)
        return facts

    def read_raw(self, offset: int, size: int) -> bytes:
        """Read bytes of the content as they are now; short only at its end.

        Raises:
            UsageError: A compressed file is damaged, cut short, or a bomb.
            StoppedError: The disk fails.
        """
        if self._unpacked is not None:
            return self._unpacked.read(offset, size)
        pieces = []
        while size > 0:
            try:
                piece = os.pread(self._fd(), size, offset)
            except OSError as error:
                raise _read_failed(self.path, error) from error
            if not piece:
                break
            pieces.append(piece)
            offset, size = offset + len(piece), size - len(piece)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def identity(self, *, seen: Seen | None = None) -> Identity:
        """Hash the whole content as it is now.

        Args:
            seen: Called with the bytes hashed so far.

        Raises:
            MismatchError: The file is shorter by now.
        """
        blocks, size = [], 0
        most = _UNKNOWN_SIZE if self.packed else self.stat.size
        while block := self.read_raw(size, min(BLOCK_BYTES, most - size)):
            blocks.append(hashlib.sha256(block).digest())
            size += len(block)
            if seen is not None:
                seen(size)
            if len(block) < BLOCK_BYTES:
                break
        if self.packed is None and size < self.stat.size:
            raise MismatchError(
                f"{self.path} shrank while it was read",
                hint="run the same command again when nobody writes to it",
                code="source_changed",
            )
        self._size = size
        digests = b"".join(blocks)
        return Identity(
            first_size=size,
            fingerprint=content_of(digests),
            size=size,
            blocks=digests,
            stat=self.stat,
        )

    def prefix_matches(self, size: int, recorded: bytes, *, now: bytes) -> bool:
        """Whether the first `size` bytes are those of the recorded digests.

        Args:
            size: Bytes that the recorded digests cover.
            recorded: The digests on record.
            now: The digests of the whole content as it is now.
        """
        whole = size // BLOCK_BYTES * _DIGEST_BYTES
        if self.size < size or recorded[:whole] != now[:whole]:
            return False
        return self.prefix_digests(size, now=now) == recorded

    def prefix_digests(self, size: int, *, now: bytes) -> bytes:
        """Give the digests of the blocks of the first bytes, the last one cut.

        Args:
            size: How many bytes; no more than there are.
            now: The digests of the whole content as it is now.
        """
        whole = now[: size // BLOCK_BYTES * _DIGEST_BYTES]
        if size % BLOCK_BYTES == 0:
            return whole
        tail = self.read_raw(size // BLOCK_BYTES * BLOCK_BYTES, size % BLOCK_BYTES)
        return whole + hashlib.sha256(tail).digest()


def spooled(stream: BinaryIO, directory: Path, name: str) -> Path:
    """Copy a stream to a private file, whole and durable, before anything of it is used.

    Raises:
        StoppedError: The disk refuses.
    """
    path = directory / name
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        with os.fdopen(os.open(path, flags, 0o600), "wb") as file:
            shutil.copyfileobj(stream, file, 1 << 20)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        path.unlink(missing_ok=True)
        raise StoppedError(
            f"cannot keep standard input in {path}: {error.strerror}",
            hint="free the disk, or choose another --state; nothing was sent",
            code="spool_unwritable",
        ) from error
    return path


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


def _no_file(path: str, mode: int) -> UsageError:
    hint = "name the files in it" if stat_module.S_ISDIR(mode) else f"ingest run - < {path}"
    return UsageError(f"{path} is {_kind(mode)}, not a file", hint=hint, code="source_not_a_file")


def _replaced(path: str) -> MismatchError:
    return MismatchError(
        f"{path} was replaced by another file while it was read",
        hint="run the same command again when nobody writes to it",
        code="source_changed",
    )


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
