r"""Texts made safe to show, and back again exactly.

Three dangers, three ways:

1. A spreadsheet runs a cell that begins like a formula: `guard`, undone by `unguard`.
   A cell is formula-like when, after blanks and invisible characters, it begins with one of
   `= + - @` or a full-width one of these; or when it begins with TAB, CR or LF; or when the same
   stands inside it after a comma, semicolon, TAB, bar, quote or line end, for a program that takes
   another separator or quote than ours begins a cell there. Each such place gets one apostrophe.
   Plain numbers (-12.39, +4479...) too: the rule can be checked by eye, and a spreadsheet that
   takes +447911123456 for a number shows 4.47911E+11 and saves that.
   `unguard(guard(text)) == text` for EVERY text, those with apostrophes of their own included: a
   place's run of apostrophes is made longer by one, and shorter by one.
2. Bytes that are no text: `escape_raw`, undone by `unescape_raw`.
3. Characters that move a terminal's cursor, forge a log line or turn a text round: `printable`,
   one way, for messages.
"""

import re
from typing import Final

_FORMULA: Final = "[=+\\-@＝＋－＠]"
# Blanks and what cannot be seen, without those that begin a cell (TAB, LF, CR).
_UNSEEN: Final = (
    "[\x00-\x08\x0b\x0c\x0e-\x20\x7f-\xa0\xad\u1680\u2000-\u200f\u2028-\u202f"
    "\u205f-\u206f\u3000\ufeff]"
)
_BEGINS: Final = f"'*{_UNSEEN}*{_FORMULA}"
_PLACE: Final = re.compile(f"(?:\\A(?='*[\t\r\n]|{_BEGINS})|(?<=[,;|\"\t\r\n])(?={_BEGINS}))")
_GUARD: Final = re.compile(f"(?:\\A'(?='*[\t\r\n]|{_BEGINS})|(?<=[,;|\"\t\r\n])'(?={_BEGINS}))")
# A quick look at many cells at once: too wide, and one set of characters after another.
_SUSPECT: Final = re.compile(
    f"[,;|\"\t\r\n]['{_UNSEEN[1:-1]}]*[{_FORMULA[1:-1]}\t\r\n]",
)

_UNSAFE: Final = (
    "\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff"
    "\ufff9-\ufffb\ud800-\udfff\U000e0000-\U000e007f"
)
_RAW: Final = re.compile(f"[\\\\{_UNSAFE}]")
_TERMINAL: Final = re.compile(f"[\t\n{_UNSAFE}]")
_ESCAPED: Final = re.compile(r"\\(?:\\|x([0-9a-fA-F]{2}))?")


def guard(text: str) -> str:
    """Put an apostrophe where a spreadsheet would see a formula. Total."""
    return _PLACE.sub("'", text)


def unguard(text: str) -> str:
    """Take one apostrophe from where a spreadsheet would see a formula. Total.

    Text that was not guarded and has none (mended by hand, say) stays as it is.
    """
    return _GUARD.sub("", text)


def is_formula_like(text: str) -> bool:
    """Whether `guard` changes the text."""
    return _PLACE.search(text) is not None


def may_be_formula_like(*, lines: str) -> bool:
    """Whether one of the texts may be formula-like; never wrong when it says no.

    Args:
        lines: The texts, with a newline before each.
    """
    return _SUSPECT.search(lines) is not None


def escape_raw(raw: bytes, *, encoding: str = "utf-8") -> str:
    r"""Show bytes as text that can be taken back.

    Bytes that the encoding does not have, and characters that cannot be seen or that steer a
    terminal (TAB and newline may stay), become `\xNN`, one a byte; a backslash is doubled.

    Args:
        raw: Any bytes.
        encoding: A Python codec name; `utf-8` or a single-byte one.
    """
    text = raw.decode(encoding, "surrogateescape")

    def escaped(found: re.Match[str]) -> str:
        if found[0] == "\\":
            return "\\\\"
        return "".join(f"\\x{byte:02x}" for byte in found[0].encode(encoding, "surrogateescape"))

    return _RAW.sub(escaped, text)


def unescape_raw(text: str, *, encoding: str = "utf-8") -> bytes:
    r"""Take back what `escape_raw` showed.

    Raises:
        ValueError: A backslash begins neither `\\` nor `\xNN`, or a character is not in the
            encoding.
    """
    out = bytearray()
    after = 0
    for found in _ESCAPED.finditer(text):
        out += text[after : found.start()].encode(encoding)
        after = found.end()
        if found[1] is not None:
            out.append(int(found[1], 16))
        elif found[0] == "\\\\":
            out += "\\".encode(encoding)
        else:
            raise ValueError(
                rf"the backslash at character {found.start() + 1} begins neither \\ nor \xNN"
            )
    return bytes(out + text[after:].encode(encoding))


def printable(text: str, *, most: int | None = None) -> str:
    r"""One line that is safe in a terminal, a log and a report. Total.

    Control characters, line ends, marks that turn text round and bytes of a file name that are no
    text become `\n`, `\xNN` or `\uNNNN`; other text stays. Not reversible: a backslash is not
    doubled.

    Args:
        text: Any text, such as a cell, a file name or a server's words.
        most: Characters to keep; the count of what is left out is added.
    """
    left_out = 0 if most is None else len(text) - most
    kept = text if left_out <= 0 else text[:most]
    safe = _TERMINAL.sub(_named, kept)
    return safe if left_out <= 0 else f"{safe}... ({left_out} more characters)"


def _named(found: re.Match[str]) -> str:
    if "\udc80" <= found[0] <= "\udcff":  # a byte that is no text, as Python keeps it in file names
        return f"\\x{ord(found[0]) - 0xDC00:02x}"
    return found[0].encode("unicode_escape").decode("ascii")
