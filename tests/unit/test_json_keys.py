"""Values that ids are made from, as JSON lines have them."""

import pytest

from ingest.edges.jsonl import key_texts


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (b'{"k":"a b"}', "a b"),
        (b'{"k":""}', ""),
        (b'{"k":7}', "7"),
        (b'{"k":-0}', "0"),
        (b'{"k":1.50}', "1.50"),
        (b'{"k":123456789012345678901234567890}', "123456789012345678901234567890"),
        (b'{"k":1.5,"k":2.50}', "2.50"),
        (b'{"k":null}', None),
        (b'{"k":true}', None),
        (b'{"k":[1]}', None),
        (b'{"k":{"a":1}}', None),
        (b'{"x":1}', None),
        (b'{"\\u006b":2.0}', "2.0"),
    ],
)
def test_a_member(line: bytes, expected: str | None) -> None:
    """Texts and numbers as they are written; nothing else is a key."""
    assert key_texts([line], "k").to_list() == [expected]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (b'{"a":{"b":{"c":2.50}}}', "2.50"),
        (b'{"a":{"b":{"c":"x"}},"a.b.c":"own"}', "own"),
        (b'{"a":{"b":{"c":1.0}},"a.b.c":9.0}', "9.0"),
        (b'{"a":{"b":5}}', None),
        (b'{"a":[{"b":{"c":1}}]}', None),
        (b'{"a":{"b":{"c":1.0}},"a":{"b":{"c":3.0}}}', "3.0"),
    ],
)
def test_a_path(line: bytes, expected: str | None) -> None:
    """A name of the object itself goes before a path into it."""
    assert key_texts([line], "a.b.c").to_list() == [expected]
