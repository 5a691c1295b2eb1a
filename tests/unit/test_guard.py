"""Guards against formulas, and texts that are safe to show."""

import time

import pytest

from ingest.core.guard import (
    escape_raw,
    guard,
    is_formula_like,
    may_be_formula_like,
    printable,
    unescape_raw,
    unguard,
)

FORMULAS = [
    pytest.param("=1+1", "'=1+1", id="X9-equals"),
    pytest.param("+447911123456", "'+447911123456", id="X9-plus"),
    pytest.param("-12.39", "'-12.39", id="X9-a plain negative number"),
    pytest.param("@SUM(A1)", "'@SUM(A1)", id="X9-at"),
    pytest.param("\tx", "'\tx", id="X9-TAB"),
    pytest.param("\rx", "'\rx", id="X9-CR"),
    pytest.param("\nx", "'\nx", id="X9-LF"),
    pytest.param("＝1", "'＝1", id="X9-full-width equals"),
    pytest.param("＋1", "'＋1", id="X9-full-width plus"),
    pytest.param("－1", "'－1", id="X9-full-width minus"),
    pytest.param("＠a", "'＠a", id="X9-full-width at"),
    pytest.param("  =1", "'  =1", id="X9-after blanks"),
    pytest.param("\u200b\ufeff=1", "'\u200b\ufeff=1", id="X9-after what cannot be seen"),
    pytest.param("\x00=1", "'\x00=1", id="X9-after a NUL"),
    pytest.param("a;=cmd|'/c calc'!A0", "a;'=cmd|'/c calc'!A0", id="X9-after a semicolon"),
    pytest.param("a, =b", "a,' =b", id="X9-after a comma and a blank"),
    pytest.param("a\t@b", "a\t'@b", id="X9-after a TAB"),
    pytest.param("a|+b", "a|'+b", id="X9-after a bar"),
    pytest.param('a"=b', "a\"'=b", id="X9-after a quote"),
    pytest.param("a\n=b\r\n-c", "a\n'=b\r\n'-c", id="X9-after line ends"),
    pytest.param("'=1", "''=1", id="X9-its own apostrophe"),
    pytest.param("'''=1;'+2", "''''=1;''+2", id="X9-its own apostrophes"),
]
HARMLESS = [
    "",
    "a",
    "a-b",
    "a=b",
    "me@example.com",
    "'tis",
    "'",
    "2024-05-01",
    "a, b",
    '""',
    "1,2",
    "x\ty",
]


@pytest.mark.parametrize(("text", "safe"), FORMULAS)
def test_what_a_spreadsheet_would_run_is_guarded(text: str, safe: str) -> None:
    """Each place where a formula could begin gets one apostrophe, and gives it back."""
    assert (guard(text), unguard(safe)) == (safe, text)
    assert is_formula_like(text)
    assert may_be_formula_like(lines=f"\nx\n{text}")


@pytest.mark.parametrize("text", HARMLESS)
def test_other_text_stays(text: str) -> None:
    """Text that no spreadsheet would run is left as it is, both ways."""
    assert (guard(text), unguard(text), is_formula_like(text)) == (text, text, False)


def test_what_was_mended_by_hand_stays() -> None:
    """A value that was typed over a guarded one is taken as it was typed."""
    assert unguard("-5") == "-5"


@pytest.mark.parametrize(
    "piece", ["'", " ", "=", ";", "\t", ";'", "; ", "=;", "\u200b", ";=", "' ", "\n'"]
)
def test_x15_hostile_text_is_guarded_in_linear_time(piece: str) -> None:
    """Eight times the text takes far less than 64 times the work (in processor time)."""
    text = piece * (20_000 // len(piece))

    def cost(text: str) -> float:
        start = time.process_time()
        unguard(guard(text))
        may_be_formula_like(lines="\n" + text)
        return time.process_time() - start

    small = min(cost(text) for _ in range(3))
    large = min(cost(text * 8) for _ in range(3))

    # Quadratic work would be 64 times as much.
    assert large < 30 * max(small, 1e-3)


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        pytest.param(b"a,b", "a,b", id="text"),
        pytest.param("naïve 日本".encode(), "naïve 日本", id="text of any script"),
        pytest.param(b"a\xff\xfeb", r"a\xff\xfeb", id="invalid bytes"),
        pytest.param(b"C:\\x41", r"C:\\x41", id="backslash"),
        pytest.param(b"a\tb\nc", "a\tb\nc", id="TAB and newline stay"),
        pytest.param(b"\x1b[31m\r\x00", r"\x1b[31m\x0d\x00", id="X14-controls"),
        pytest.param("\u202e\x85".encode(), r"\xe2\x80\xae\xc2\x85", id="X14-bidi and C1"),
        pytest.param("\ud800".encode("utf-8", "surrogatepass"), r"\xed\xa0\x80", id="surrogate"),
    ],
)
def test_bytes_are_shown_and_taken_back(raw: bytes, shown: str) -> None:
    """Invalid bytes show as xNN, a backslash is doubled, and the way back is exact."""
    assert (escape_raw(raw), unescape_raw(shown)) == (shown, raw)


def test_every_byte_of_another_encoding_comes_back() -> None:
    """Bytes of a single-byte encoding are shown by it, and those that it lacks as xNN."""
    raw = bytes(range(256))

    shown = escape_raw(raw, encoding="cp1252")

    assert unescape_raw(shown, encoding="cp1252") == raw
    assert "é" in shown
    assert r"\x81" in shown


@pytest.mark.parametrize(
    ("text", "why"),
    [
        pytest.param(r"C:\new", "character 3", id="another letter"),
        pytest.param("a\\", "character 2", id="at the end"),
        pytest.param(r"\xg0", "character 1", id="no hex"),
        pytest.param("\ud800", "surrogates not allowed", id="a surrogate"),
    ],
)
def test_text_that_is_not_escaped_bytes_is_refused(text: str, why: str) -> None:
    """What was mended into something that cannot be taken back is refused with its place."""
    with pytest.raises(ValueError, match=why):
        unescape_raw(text)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        pytest.param("plain \\ näive", "plain \\ näive", id="text stays"),
        pytest.param("\x1b[2Ja\x07", r"\x1b[2Ja\x07", id="X14-escape and bell"),
        pytest.param("a\r\nb\tc", r"a\r\nb\tc", id="X14-one line"),
        pytest.param("a\u202eb\u2066", r"a\u202eb\u2066", id="X14-text direction"),
        pytest.param("a\x9bb\u2028", r"a\x9bb\u2028", id="X14-C1 and line separators"),
        pytest.param("\udcff\ud800", r"\xff\ud800", id="S16-bytes of a file name"),
        pytest.param("\U000e0041", r"\U000e0041", id="X14-tags"),
    ],
)
def test_messages_are_one_safe_line(text: str, shown: str) -> None:
    """Nothing in a message moves the cursor, forges a line or hides."""
    assert printable(text) == shown


def test_long_messages_are_cut_and_say_so() -> None:
    """A server's long answer is cut, and the count of what is left out is added."""
    assert printable("x" * 12, most=10) == "xxxxxxxxxx... (2 more characters)"
    assert printable("x" * 10, most=10) == "x" * 10
