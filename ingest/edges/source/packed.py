"""Compressed sources, read as if they were not: a stream that begins anew where it must go back.

Nothing is unpacked to disk. Reading on is cheap; going back costs a decompression from the start,
which a resume pays once. A stream that grows beyond `RATIO` times its compressed size is a bomb.
"""

import gzip
import io
import zlib
from collections.abc import Callable
from typing import BinaryIO, Protocol, cast

import zstandard

from ingest.errors import UsageError

RATIO = 200
"""Bytes out per byte in, beyond which a stream is not data: text reaches about 30."""

_FREE_BYTES = 64 << 20
_WINDOW_LOG_MAX = 27
"""A zstd stream may ask for 128 MiB of window, as the zstd command allows by default."""

MAGIC = {b"\x1f\x8b": "gzip", b"\x28\xb5\x2f\xfd": "zstd"}


class Stream(Protocol):
    """A decompressor."""

    def read(self, size: int, /) -> bytes:
        """Read up to `size` bytes; none at the end."""
        ...

    def close(self) -> None:
        """Close it."""
        ...


def kind_of(first: bytes) -> str | None:
    """Give the kind of compression by the first bytes, whatever the file is called."""
    return next((kind for magic, kind in MAGIC.items() if first.startswith(magic)), None)


class Unpacked:
    """Random reads of what a compressed file holds.

    Args:
        open_raw: Opens the compressed bytes from their start.
        kind: `gzip` or `zstd`.
        packed_bytes: Size of the compressed file.
        path: For messages.
    """

    def __init__(
        self, open_raw: Callable[[], BinaryIO], *, kind: str, packed_bytes: int, path: str
    ) -> None:
        self._open_raw = open_raw
        self._kind = kind
        self._most = max(packed_bytes * RATIO, _FREE_BYTES)
        self._path = path
        self._stream: Stream | None = None
        self._raw: BinaryIO | None = None
        self._at = 0

    def read(self, offset: int, size: int) -> bytes:
        """Read bytes of the decompressed content; short only at its end.

        Raises:
            UsageError: It is damaged, cut short, or a bomb.
        """
        if self._stream is None or offset < self._at:
            self._begin()
        while self._at < offset:
            if not self._next(min(offset - self._at, 1 << 20)):
                return b""
        parts = []
        while size > 0 and (part := self._next(size)):
            parts.append(part)
            size -= len(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def close(self) -> None:
        """Close the stream."""
        if self._stream is not None:
            self._stream.close()
            self._stream = None
        if self._raw is not None:
            self._raw.close()
            self._raw = None

    def _begin(self) -> None:
        self.close()
        raw = self._raw = self._open_raw()
        if self._kind == "gzip":
            self._stream = cast("Stream", io.BufferedReader(gzip.GzipFile(fileobj=raw), 1 << 20))
        else:
            limit = zstandard.ZstdDecompressor(max_window_size=1 << _WINDOW_LOG_MAX)
            self._stream = cast("Stream", limit.stream_reader(raw, read_across_frames=True))
        self._at = 0

    def _next(self, size: int) -> bytes:
        if self._stream is None:
            return b""
        try:
            part = self._stream.read(size)
        except (OSError, EOFError, zlib.error, zstandard.ZstdError) as error:
            raise UsageError(
                f"{self._path} is damaged or cut short ({self._kind}, at byte {self._at:,} of its content): {error}",
                hint="make the file anew; nothing of it was sent",
                code="source_damaged",
            ) from error
        self._at += len(part)
        if self._at > self._most:
            raise UsageError(
                f"{self._path} unpacks to more than {RATIO} times its size",
                hint="unpack it yourself if that is right, and give the plain file",
                code="source_bomb",
            )
        return part
