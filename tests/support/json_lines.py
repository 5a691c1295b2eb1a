"""Hostile but valid JSON objects as text, and a plain reading of them with Python's json module.

Nothing here is shared with the product: names that stand twice, the spelling of numbers and the
order of members are kept by the hooks of the standard library.
"""

import json
import random
from dataclasses import dataclass


@dataclass(frozen=True)
class Number:
    """A number as it is spelled."""

    text: str

    @property
    def tag(self) -> str:
        return "number" if set(self.text) & set(".eE") else "integer"


class Pairs(list):
    """The members of an object in order, doubles too."""


def read(text: bytes) -> object:
    """Read JSON with everything that an ordinary reader loses."""
    return json.loads(
        text.decode(),
        object_pairs_hook=Pairs,
        parse_int=Number,
        parse_float=Number,
        parse_constant=_refuse,
    )


def _refuse(word: str) -> object:
    raise ValueError(word)


NAMES = [
    "event",
    "customer_id",
    "email",
    "event_uuid",
    "timestamp",
    "user",
    "id",
    "user.id",
    "properties",
    "price",
    "é",
    'quo"te',
    "back\\slash",
    "",
    ":",
    "{",
    "customer",
    "tags",
]
TEXTS = [
    "",
    " ",
    "view",
    "NULL",
    "null",
    "TRUE",
    'say ":" here',
    " : ",
    '":',
    "{[,]}",
    "\\",
    '\\"',
    "\n\t",
    "日本語",
    "🙂",
    "12",
    "-1.5e3",
    "a|b",
    "\u2028",
    "\x1f",
    '{"a":1}',
]
NUMBERS = [
    "0",
    "-0",
    "7",
    "-12",
    "1.0",
    "1.50",
    "1e5",
    "1E-7",
    "9007199254740993",
    "9223372036854775807",
    "9223372036854775808",
    "18446744073709551616",
    "-9223372036854775809",
    "123456789012345678901234567890",
    "1e22",
    "12345678901234567890.5",
    "2.5e+30",
]


class Writer:
    """Writes random objects.

    Args:
        rng: Where chance comes from.
        names: What members may be called.
    """

    def __init__(self, rng: random.Random, names: list[str] | None = None) -> None:
        self._rng = rng
        self._names = names or NAMES

    def object(self, depth: int = 0, doubles: float = 0.1) -> str:
        rng = self._rng
        count = rng.randrange(7 if depth == 0 else 4)
        names = rng.sample(self._names, min(count, len(self._names)))
        if names and rng.random() < doubles:
            names.insert(rng.randrange(len(names) + 1), rng.choice(names))
        members = [f"{self.text(n)}{self._gap()}:{self._gap()}{self.value(depth)}" for n in names]
        inside = f"{self._gap()},{self._gap()}".join(members)
        return "{" + self._gap() + inside + self._gap() + "}"

    def value(self, depth: int) -> str:
        rng = self._rng
        match rng.randrange(9 if depth < 3 else 6):
            case 0 | 1:
                return self.text(rng.choice(TEXTS))
            case 2 | 3:
                return rng.choice(NUMBERS)
            case 4:
                return rng.choice(["true", "false"])
            case 5:
                return "null"
            case 6:
                parts = [self.value(depth + 1) for _ in range(rng.randrange(4))]
                return "[" + f"{self._gap()},{self._gap()}".join(parts) + "]"
            case _:
                return self.object(depth + 1)

    def text(self, text: str) -> str:
        match self._rng.randrange(8):
            case 0:
                return json.dumps(text)
            case 1:
                units = text.encode("utf-16-be").hex()
                return (
                    '"' + "".join(f"\\u{units[i : i + 4]}" for i in range(0, len(units), 4)) + '"'
                )
            case _:
                return json.dumps(text, ensure_ascii=False)

    def _gap(self) -> str:
        return self._rng.choice(["", "", "", "", "", "", " ", "\t", "  ", "\r"])


BROKEN = [
    b"not json",
    b"{",
    b'{"a":1',
    b'{"a":NaN}',
    b'{"a":Infinity}',
    b'{"a":1e999}',
    b'{"a":01}',
    b'{"a":1,}',
    b'{"a":1} {"b":2}',
    b'{"a":"\\ud800"}',
    b'{"a":"\xff"}',
    b'{"a":"\xed\xa0\x80"}',
    b'{"a":"\x01"}',
    b"{'a':1}",
    b'{"a":"',
    b"\xef\xbb\xbf{}",
    b'{"a":' + b"[" * 2000 + b"]" * 2000 + b"}",
    b"\x00",
]
OTHER = [b"[1]", b"1", b'"text"', b"null", b"true", b"[]", b'[{"event":"a"}]']
BLANK = [b"", b" ", b"\t", b" \r", b"\r"]
