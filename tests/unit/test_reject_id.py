"""Reject ids: short, safe in a spreadsheet, and any small damage is found."""

import re
import uuid

import pytest

from ingest.core.reject_id import RejectKey, parse_reject_id, reject_id, reject_ids

DIGITS = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
SOURCE = uuid.uuid5(uuid.NAMESPACE_URL, "events.csv")
OTHER = uuid.uuid5(uuid.NAMESPACE_URL, "other.csv")
RECORDS = (
    1,
    9,
    31,
    32,
    1023,
    1024,
    47_000,
    (1 << 20) - 1,
    1 << 20,
    336_776,
    1 << 30,
    (1 << 60) - 1,
)
IDS = [reject_id(SOURCE, record) for record in RECORDS]


@pytest.mark.parametrize("record", RECORDS)
def test_an_id_says_its_source_and_record(record: int) -> None:
    """What an id was made of comes back, and names no other source."""
    key = parse_reject_id(reject_id(SOURCE, record))

    assert key == RejectKey(SOURCE.int >> 88, record)
    assert key.belongs_to(SOURCE)
    assert not key.belongs_to(OTHER)


def test_an_id_never_changes() -> None:
    """The form is a contract: reports from before must still come back."""
    source = uuid.UUID("01234567-89ab-5def-8123-456789abcdef")

    assert reject_ids(source, (1, 1024, 1 << 20)) == [
        "REJ04HMASW90001YC",
        "REJ04HMASW90100FZ",
        "REJ04HMASW9010000DY",
    ]


def test_many_at_once_are_the_same() -> None:
    """The fast way for many records gives what the way for one gives."""
    assert reject_ids(SOURCE, RECORDS) == [reject_id(SOURCE, record) for record in RECORDS]


@pytest.mark.parametrize("text", IDS)
def test_no_spreadsheet_takes_it_for_a_number_or_date(text: str) -> None:
    """An id begins with letters and holds letters and digits only."""
    assert re.fullmatch(r"REJ[0-9A-HJKMNP-TV-Z]{14,22}", text)


@pytest.mark.parametrize("text", IDS)
def test_letters_may_be_small_and_blanks_stand_around(text: str) -> None:
    """Small letters, blanks around, and O, I, L for 0, 1, 1 are read."""
    dressed = f" {text[:3]}{text[3:].replace('0', 'o').replace('1', 'l')}\n".lower()

    assert parse_reject_id(dressed) == parse_reject_id(text)


@pytest.mark.parametrize("text", IDS)
def test_any_wrong_character_is_found(text: str) -> None:
    """No id with one character changed, at any place to any other, is read."""
    for place in range(len(text)):
        for digit in DIGITS:
            if digit != text[place]:
                damaged = text[:place] + digit + text[place + 1 :]
                with pytest.raises(ValueError, match="reject id"):
                    parse_reject_id(damaged)


@pytest.mark.parametrize("text", IDS)
def test_any_swap_is_found(text: str) -> None:
    """No id with two characters swapped, next to each other or not, is read."""
    for left in range(len(text)):
        for right in range(left + 1, len(text)):
            if text[left] != text[right]:
                swapped = list(text)
                swapped[left], swapped[right] = text[right], text[left]
                with pytest.raises(ValueError, match="reject id"):
                    parse_reject_id("".join(swapped))


def test_any_two_wrong_characters_are_found() -> None:
    """No id with two characters changed is read (every seventh of the ways, of one id)."""
    text = reject_id(SOURCE, 4711)
    found = 0
    for left in range(3, len(text)):
        for right in range(left + 1, len(text)):
            for one in DIGITS.replace(text[left], ""):
                for two in DIGITS.replace(text[right], "")[::7]:
                    damaged = text[:left] + one + text[left + 1 : right] + two + text[right + 1 :]
                    with pytest.raises(ValueError, match="damaged"):
                        parse_reject_id(damaged)
                    found += 1

    assert found > 10_000


@pytest.mark.parametrize("text", IDS)
def test_a_lost_or_doubled_character_is_found(text: str) -> None:
    """No id with a character left out or put in is read."""
    for place in range(len(text)):
        for damaged in (
            text[:place] + text[place + 1 :],
            text[:place] + text[place] + text[place:],
        ):
            with pytest.raises(ValueError, match="is not a reject id"):
                parse_reject_id(damaged)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="empty"),
        pytest.param("1.2E+19", id="a number"),
        pytest.param("REJ0000000000000" + "0", id="record 0"),
        pytest.param(reject_id(SOURCE, 7).replace("R", "\u211c"), id="letters that fold to R"),
        pytest.param("REI" + reject_id(SOURCE, 7)[3:], id="other letters first"),
        pytest.param(reject_id(SOURCE, 7)[:9], id="cut"),
        pytest.param(reject_id(SOURCE, 7) * 2, id="twice"),
        pytest.param(reject_id(SOURCE, 7) + "\x00", id="a NUL"),
    ],
)
def test_what_is_no_id_is_refused(text: str) -> None:
    """Text that is no id is refused, and named in the message."""
    with pytest.raises(ValueError, match=re.escape(repr(text[:60]))):
        parse_reject_id(text)


def test_letters_that_only_become_ours_are_refused() -> None:
    """A letter whose capital is one of ours is damage all the same."""
    text = next(text for text in (reject_id(SOURCE, n) for n in range(1, 99)) if "S" in text)

    with pytest.raises(ValueError, match="is not a reject id"):
        parse_reject_id(text.replace("S", "\u017f"))


def test_zeros_before_a_record_are_no_other_name_for_it() -> None:
    """Each record has one id: a longer one with zeros is refused though its check fits."""
    from ingest.core.reject_id import _PAIR, _check

    head = reject_id(SOURCE, 7)[3:11]
    longer = head + "000007"

    with pytest.raises(ValueError, match="no record has that number"):
        parse_reject_id("REJ" + longer + _PAIR[_check(longer)])


@pytest.mark.parametrize("record", [0, -1, 1 << 60])
def test_a_record_number_out_of_range_is_refused(record: int) -> None:
    """Records are counted from 1, below 2^60."""
    with pytest.raises(ValueError, match="record numbers"):
        reject_id(SOURCE, record)
