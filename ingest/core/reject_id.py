"""The key by which a rejected record comes back: short text that a spreadsheet cannot spoil.

    REJ 7ZK3M9QA 00B7 XK
     |     |      |    +-- two check characters
     |     |      +------- the record's number, from 1: base 32, an even count of digits, at least 4
     |     +-------------- the first 40 bits of the source's id
     +-------------------- letters first: never a number, a date or 1E5

The spaces are shown here only. The digits are Crockford's base 32 (no I, L, O, U); reading does
not mind small letters, nor O for 0 and I or L for 1.

The check is a Reed-Solomon code over GF(32): any two wrong characters, and so any swap, are
found, wherever they are. A lost or doubled character makes the count of digits odd. What a
spreadsheet does when a cell is dragged down (the last digits count up) meets the check first.
"""

import re
import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

_LETTERS: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_MARK: Final = "REJ"
_PREFIX_BITS: Final = 40
_PREFIX_DIGITS: Final = _PREFIX_BITS // 5
_LEAST_DIGITS: Final = 4
_MOST_RECORD: Final = 1 << 60

_VALUE: Final = {letter: value for value, letter in enumerate(_LETTERS)}
_FOLD: Final = str.maketrans("OIL", "011")
_SHAPE: Final = re.compile(
    rf"{_MARK}([{_LETTERS}]{{{_PREFIX_DIGITS}}})((?:[{_LETTERS}]{{2}}){{2,6}})([{_LETTERS}]{{2}})"
)
# Two digits at once: the text of each number below 1,024.
_PAIR: Final = tuple(high + low for high in _LETTERS for low in _LETTERS)


@dataclass(frozen=True, slots=True)
class RejectKey:
    """What a reject id says.

    Args:
        prefix: The first 40 bits of the source's id.
        record: Counted from 1 in that source.
    """

    prefix: int
    record: int

    def belongs_to(self, source_id: uuid.UUID) -> bool:
        """Whether the id can be of this source (one other in 10^12 looks alike)."""
        return self.prefix == _prefix(source_id)


def reject_id(source_id: uuid.UUID, record: int) -> str:
    """Name one record of a source.

    Args:
        source_id: The id of the source.
        record: Counted from 1; below 2^60.

    Raises:
        ValueError: The record number is out of range.
    """
    return reject_ids(source_id, (record,))[0]


def reject_ids(source_id: uuid.UUID, records: Iterable[int]) -> list[str]:
    """Name many records of one source; the same as `reject_id` for each, and faster.

    Raises:
        ValueError: A record number is out of range.
    """
    head = _spell(_prefix(source_id), _PREFIX_DIGITS)
    start = _check(head)
    mark = _MARK + head
    return [_finish(mark, start, record) for record in records]


def parse_reject_id(text: str) -> RejectKey:
    """Read a reject id; blanks around it and the case of letters do not matter.

    Raises:
        ValueError: The text is no reject id, or was damaged.
    """
    shown = repr(text[:60])
    if not text.isascii():
        raise ValueError(f"{shown} is not a reject id")
    upper = text.strip().upper()
    found = _SHAPE.fullmatch(upper[: len(_MARK)] + upper[len(_MARK) :].translate(_FOLD))
    if found is None:
        raise ValueError(f"{shown} is not a reject id")
    head, digits, check = found.groups()
    key = RejectKey(_read(head), _read(digits))
    if _PAIR[_check(head + digits)] != check:
        raise ValueError(f"{shown} is a damaged reject id: its check characters do not fit")
    if not 1 <= key.record < _MOST_RECORD or digits != _spell(key.record, _width(key.record)):
        raise ValueError(f"{shown} is not a reject id: no record has that number")
    return key


def _prefix(source_id: uuid.UUID) -> int:
    return source_id.int >> (128 - _PREFIX_BITS)


def _finish(mark: str, start: int, record: int) -> str:
    if not 1 <= record < _MOST_RECORD:
        raise ValueError(f"record numbers are from 1 to 2^60 - 1, not {record}")
    if record < 1 << 20:
        high, low = record >> 10, record & 1023
        return mark + _PAIR[high] + _PAIR[low] + _PAIR[_STEP[_STEP[start ^ high] ^ low]]
    digits = _spell(record, _width(record))
    return mark + digits + _PAIR[_check(digits, start)]


def _check(digits: str, start: int = 0) -> int:
    """The remainder of the digits, as one polynomial over GF(32), after those behind `start`."""
    remainder = start
    for index in range(0, len(digits), 2):
        remainder = _STEP[remainder ^ _read(digits[index : index + 2])]
    return remainder


def _times(left: int, right: int) -> int:
    """The product in GF(32), modulo x^5 + x^2 + 1 (a primitive polynomial)."""
    product = 0
    for bit in range(5):
        if right >> bit & 1:
            product ^= left << bit
    for bit in range(8, 4, -1):
        if product >> bit & 1:
            product ^= 0b100101 << (bit - 5)
    return product


def _step(pair: int) -> int:
    """Two digits times x^2, modulo the generator (x - 2)(x - 4) = x^2 + 6x + 8."""
    high, low = pair >> 5, pair & 31
    for _ in range(2):
        high, low = low ^ _times(high, 6), _times(high, 8)
    return high << 5 | low


_STEP: Final = tuple(_step(pair) for pair in range(1024))


def _width(record: int) -> int:
    return max(_LEAST_DIGITS, (record.bit_length() + 9) // 10 * 2)


def _spell(number: int, digits: int) -> str:
    return "".join(_PAIR[number >> shift & 1023] for shift in range(digits * 5 - 10, -1, -10))


def _read(text: str) -> int:
    number = 0
    for letter in text:
        number = number << 5 | _VALUE[letter]
    return number
