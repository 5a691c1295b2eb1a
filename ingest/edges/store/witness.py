"""A second copy of the ledger's commit counter.

SQLite drops a torn or altered tail of its write-ahead log without a word and goes on from an
older state. The witness is written after every commit, so a ledger that is behind it has lost
commits. It needs no fsync: a witness that is behind its ledger proves nothing and harms nothing.
"""

import os
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

_FORM = struct.Struct("<8s16sQI")
_MAGIC = b"ingwit01"


@dataclass(frozen=True, slots=True)
class Testimony:
    """What the witness says.

    Args:
        ledger_id: The ledger that it speaks of.
        commits: The commits that it has seen.
    """

    ledger_id: UUID
    commits: int


def _pack(testimony: Testimony) -> bytes:
    head = _FORM.pack(_MAGIC, testimony.ledger_id.bytes, testimony.commits, 0)[:-4]
    return head + struct.pack("<I", zlib.crc32(head))


def read(path: Path) -> Testimony | None:
    """Give what the witness says; None where there is none, or an empty one: a crash made no more.

    Raises:
        ValueError: It is damaged.
        OSError: It cannot be read.
    """
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    except FileNotFoundError:
        return None
    try:
        content = os.read(handle, _FORM.size + 1)
    finally:
        os.close(handle)
    if not content:
        return None
    if len(content) != _FORM.size or content != _FORM.pack(
        *_FORM.unpack(content)[:3], zlib.crc32(content[:-4])
    ):
        raise ValueError("its checksum does not match")
    magic, ledger_id, commits, _ = _FORM.unpack(content)
    if magic != _MAGIC:
        raise ValueError("it is of another kind")
    return Testimony(ledger_id=UUID(bytes=ledger_id), commits=commits)


class Witness:
    """The open witness file of one ledger."""

    def __init__(self, path: Path, testimony: Testimony) -> None:
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        self._handle = os.open(path, flags, 0o600)
        self._ledger_id = testimony.ledger_id
        if os.fstat(self._handle).st_size == 0:
            self.saw(testimony.commits)
            os.fsync(self._handle)

    def saw(self, commits: int) -> None:
        """Record that a commit is done: one write within one sector."""
        os.pwrite(self._handle, _pack(Testimony(self._ledger_id, commits)), 0)

    def close(self) -> None:
        """Close the file."""
        os.close(self._handle)
