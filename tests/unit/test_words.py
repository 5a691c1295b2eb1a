"""Whatever a server says becomes one line that is safe to show."""

import pytest

from ingest.core.words import escaped, words_of


@pytest.mark.parametrize(
    ("body", "words"),
    [
        pytest.param(
            b'{"errors":[{"customer_id":"can\'t be blank"},{"customer_id":"can\'t be blank"}]}',
            "customer_id: can't be blank",
            id="list-with-repeats",
        ),
        pytest.param(
            b'{"errors":{"event":["is long","is odd"]}}', "event: is long; is odd", id="dict"
        ),
        pytest.param(b'{"error":"bad_request"}', "bad_request", id="text"),
        pytest.param(b'{"errors":[],"message":"Not authorized"}', "Not authorized", id="message"),
        pytest.param(b'{"errors":[5,null,true]}', "5; true", id="scalars"),
        pytest.param(b"Nope\r\n  at all", "Nope at all", id="plain"),
        pytest.param(b"\xff\x1b[31m", r"\xff\x1b[31m", id="bytes-and-escapes"),
        pytest.param('"\u202etxt.exe"'.encode(), r'"\u202etxt.exe"', id="bidi"),
        pytest.param(b'{"message":"\\ud800"}', r"\ud800", id="lone-surrogate"),
        pytest.param(b"", "", id="empty"),
        pytest.param(b'{"a":1}', '{"a":1}', id="unknown-shape"),
        pytest.param(b'{"errors":[[[[[["deep"]]]]]],"error":"flat"}', "flat", id="too-deep"),
    ],
)
def test_the_servers_words_become_one_printable_line(body: bytes, words: str) -> None:
    """N13, X14: any body gives one line that cannot steer a terminal."""
    assert words_of(body) == words


def test_long_words_are_cut() -> None:
    """No more than 300 characters, escapes counted, are shown."""
    assert words_of(b"x" * 400) == "x" * 299 + "…"
    assert len(escaped("\x1b" * 400)) == 300
