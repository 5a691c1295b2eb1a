"""Ids that anyone can recompute."""

import hashlib
from uuid import UUID, uuid5

import pytest

from ingest.core.identity import (
    KEY_NAMESPACE,
    PROJECT_NAMESPACE,
    event_uuids,
    keyed_uuid,
    source_id,
)

FINGERPRINT = "sha256:" + hashlib.sha256(b"").hexdigest()


def test_ids_never_change() -> None:
    """Ids that were sent once are given again by every version."""
    source = source_id(FINGERPRINT)

    assert (str(PROJECT_NAMESPACE), str(source), event_uuids(source, [0, 173])) == (
        "5f0a1d9e-7c43-4b1f-9a5e-2d6c8e41b370",
        "c318907c-14c3-5bfd-aaf0-df94cc72558f",
        ["6b9fbcdb-654d-5027-baf5-33c466a97e1e", "0b4d3ce6-276f-5691-b41e-d8f490ae59d7"],
    )
    assert (
        keyed_uuid([("order_id", "A-1"), ("line", "2")]) == "27686ca6-fd6f-5d3f-b3d7-65dda9f36753"
    )


def test_a_source_id_is_version_5_over_the_fingerprint() -> None:
    """A source's id can be recomputed by any UUID library."""
    assert source_id(FINGERPRINT) == uuid5(PROJECT_NAMESPACE, FINGERPRINT)


def test_a_name_makes_another_source_of_the_same_bytes() -> None:
    """`--as` gives the same bytes ids of their own."""
    ids = {source_id(FINGERPRINT, name) for name in (None, "a", "b")}

    assert len(ids) == 3
    assert source_id(FINGERPRINT, "") == source_id(FINGERPRINT)


@pytest.mark.parametrize("fingerprint", ["", "sha256:1\n2"])
def test_a_fingerprint_is_one_line(fingerprint: str) -> None:
    """A fingerprint that could be read as another with a name is refused."""
    with pytest.raises(ValueError, match="not a fingerprint"):
        source_id(fingerprint)


def test_an_event_uuid_is_version_5_over_the_decimal_offset() -> None:
    """An event's id can be recomputed by any UUID library."""
    source = source_id(FINGERPRINT)

    uuids = event_uuids(source, [0, 9, 10, 2**40])

    assert uuids == [str(uuid5(source, text)) for text in ("0", "9", "10", "1099511627776")]
    assert {UUID(text).version for text in uuids} == {5}


def test_two_keys_never_share_an_id() -> None:
    """Moving text between the columns of a key changes the id."""
    keys = [
        [("a", "b"), ("c", "d")],
        [("a", "b,c:d")],
        [("a", "b1:c1:d")],
        [("a", "bc"), ("", "d")],
        [("a", "b")],
        [("a", "b"), ("c", "")],
        [("c", "d"), ("a", "b")],
        [("ä", "b")],
    ]

    assert len({keyed_uuid(key) for key in keys}) == len(keys)


def test_a_key_is_measured_in_bytes() -> None:
    """A keyed id is version 5 over lengths in UTF-8 bytes and texts."""
    assert keyed_uuid([("größe", "é")]) == str(uuid5(KEY_NAMESPACE, "7:größe,2:é,"))


def test_a_key_needs_a_column() -> None:
    """An empty key would give all records the same id."""
    with pytest.raises(ValueError, match="needs a column"):
        keyed_uuid([])
