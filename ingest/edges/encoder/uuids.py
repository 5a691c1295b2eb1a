"""The laws of `core.identity.event_uuids` and `keyed_uuid`, several times faster."""

import hashlib
from collections.abc import Iterable, Sequence
from uuid import UUID

import numpy as np
import polars as pl

from ingest.core.identity import KEY_NAMESPACE

_UUID_BYTES = 16
_TEXT_CHARS = 36

# Where the groups of 8-4-4-4-12 hexadecimal digits stand in the text, and in the plain digits.
_GROUPS = ((0, 0, 8), (9, 8, 4), (14, 12, 4), (19, 16, 4), (24, 20, 12))


def uuid_series(source: UUID, offsets: Iterable[int]) -> pl.Series:
    """Version 5 UUIDs of records, as texts; equal to `core.identity.event_uuids`.

    Args:
        source: From `core.identity.source_id`.
        offsets: Byte offsets at which the records begin; a numpy array will do.
    """
    numbers = offsets.tolist() if isinstance(offsets, np.ndarray) else offsets
    return _version_5(source, (b"%d" % offset for offset in numbers))


def keyed_series(columns: Sequence[pl.Series]) -> pl.Series:
    """Version 5 UUIDs over key columns, as texts; equal to `core.identity.keyed_uuid`.

    Args:
        columns: Of String, at least one, each named as the key has it; without null.
    """
    parts: list[pl.Expr] = []
    for at, column in enumerate(columns):
        name = column.name.encode()
        parts += [
            pl.lit(f"{len(name)}:{column.name},"),
            pl.col(f"{at}").str.len_bytes().cast(pl.String),
            pl.lit(":"),
            pl.col(f"{at}"),
            pl.lit(","),
        ]
    frame = pl.DataFrame({f"{at}": column for at, column in enumerate(columns)})
    names: list[bytes] = frame.select(pl.concat_str(parts)).to_series().cast(pl.Binary).to_list()
    return _version_5(KEY_NAMESPACE, names)


def _version_5(namespace: UUID, names: Iterable[bytes]) -> pl.Series:
    prefix = hashlib.sha1(namespace.bytes, usedforsecurity=False)
    digests = []
    for name in names:
        digest = prefix.copy()
        digest.update(name)
        digests.append(digest.digest())
    return pl.Series("event_uuid", _texts(digests), dtype=pl.String)


def _texts(digests: list[bytes]) -> list[str]:
    """Set version and variant (RFC 4122, sections 4.1.1 and 4.1.3) and write the digits."""
    size = hashlib.sha1(usedforsecurity=False).digest_size
    octets = np.frombuffer(b"".join(digests), dtype=np.uint8).reshape(-1, size)
    octets = octets[:, :_UUID_BYTES].copy()
    octets[:, 6] = octets[:, 6] & 0x0F | 0x50
    octets[:, 8] = octets[:, 8] & 0x3F | 0x80
    digits = np.frombuffer(octets.tobytes().hex().encode(), dtype=np.uint8)
    digits = digits.reshape(-1, 2 * _UUID_BYTES)
    texts = np.full((len(digests), _TEXT_CHARS), ord("-"), dtype=np.uint8)
    for at, start, count in _GROUPS:
        texts[:, at : at + count] = digits[:, start : start + count]
    joined = texts.tobytes().decode("ascii")
    return [joined[at : at + _TEXT_CHARS] for at in range(0, len(joined), _TEXT_CHARS)]
