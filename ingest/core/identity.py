"""Who a source and an event are: ids that anyone can recompute.

A source is named by its content, an event by its source and the place where its record begins.
Path, run, chunk and batch sizes take no part, so a repeated attempt carries the same id.
"""

from collections.abc import Iterable, Sequence
from uuid import UUID, uuid5

# Fixed for ever: every event_uuid that was sent hangs on it.
PROJECT_NAMESPACE = UUID("5f0a1d9e-7c43-4b1f-9a5e-2d6c8e41b370")

# Apart from the namespaces of sources, so that a key can never meet an offset.
KEY_NAMESPACE = uuid5(PROJECT_NAMESPACE, "key columns")


def source_id(fingerprint: str, name: str | None = None) -> UUID:
    r"""The id of a source: version 5 over its fingerprint.

    Args:
        fingerprint: One line of text, such as `sha256:...`.
        name: Set where the same bytes are loaded again on purpose (`--as`); it follows the
            fingerprint after a newline. Empty is none.

    Raises:
        ValueError: The fingerprint is empty or has a newline, so the join would be ambiguous.
    """
    if not fingerprint or "\n" in fingerprint:
        raise ValueError(f"not a fingerprint: {fingerprint!r}")
    return uuid5(PROJECT_NAMESPACE, f"{fingerprint}\n{name}" if name else fingerprint)


def event_uuids(source: UUID, offsets: Iterable[int]) -> list[str]:
    """RFC 4122 version 5 of each record: the source as namespace, the decimal offset as name.

    This is the law; `edges.encoder.uuid_series` gives the same texts several times faster.

    Args:
        source: From `source_id`.
        offsets: Byte offsets at which the records begin, in the decompressed source.
    """
    return [str(uuid5(source, str(offset))) for offset in offsets]


def keyed_uuid(key: Sequence[tuple[str, str]]) -> str:
    """RFC 4122 version 5 over key columns, the same in every source that holds the key.

    Each name and each value is written as its length in UTF-8 bytes, a colon, the text and a
    comma, so that no two keys share a text: `(a, "b,c")` is not `(a,b)(c)`.

    Args:
        key: Name of the field and its value, in the order that the user gave; at least one.

    Raises:
        ValueError: There is no column.
    """
    if not key:
        raise ValueError("a key needs a column")
    parts = [f"{len(text.encode())}:{text}," for pair in key for text in pair]
    return str(uuid5(KEY_NAMESPACE, "".join(parts)))
