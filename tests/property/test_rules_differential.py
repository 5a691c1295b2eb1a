"""Three readings of the rules agree: compiled, jsonschema-rs on the same schemas, plain Python."""

import string
import sys
import unicodedata
from datetime import timedelta

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ingest.core.rules import rules_of
from tests.support.judging import (
    DOCUMENTS,
    NOW,
    NativeJudge,
    codes_of,
    verdict_of,
    verdict_of_json,
)
from tests.support.plain_rules import IDENTITIES, iso_time, violations

NATIVE = NativeJudge(rules_of(DOCUMENTS))
CLOCK = {"timestamp_in_future", "timestamp_old", "device_token_conflict"}

WHITESPACE = [chr(c) for c in range(sys.maxunicode + 1) if chr(c).isspace()]
DIGITS = [chr(c) for c in range(sys.maxunicode + 1) if unicodedata.category(chr(c)) == "Nd"]
INVISIBLE = ["\u200b", "\u200d", "\ufeff", "\u00ad", "\u2060", "\x00", "\x7f", "\x80", "\u3164"]
NAMES = [
    "add_to_cart", "purchase", "identify", "identify1", "12_3", "2fa_enabled", "123", "-5", "+5",
    "1e5", "1E+5", "1.5", ".5", "5.", ".", "e5", "1e", "1_000", "NaN", "inf", "0x1A", "½", "²",
    "١٢٣", "１２", "٫٥", "bsft_x", "_bsft_x", "Bsft_x", "a\n", "\na", "caf\u00e9", "cafe\u0301",
    "a" * 64, "a" * 65, "é" * 64, "e\u0301" * 32, "e\u0301" * 33, "👍" * 64, "👍" * 65, "5\n",
    " " * 65, "", " ", "\x1c", "\u200b", "search", "checkout", "return",
]  # fmt: skip
VALUES = [
    "", " ", "\u3000", "\x1f", "\n", "NULL", "null", "\\N", "NaN", "nan", "None", "undefined",
    "Null", "NULL ", "NONE", "\\n", "00123", " 00123", "00123\n", "TRUE", "True", "true", "FALSE",
    "false", "jane@example.com", "jane@example.com\n", "a@b", "a@@b.c", "a@b..c", "a b@c.de",
    "@b.c", "a@b.c.", "192.0.2.1", "192.0.2.256", "192.0.2.01", "192.0.2", "::", "::1", "1::",
    "2001:db8::1", "1:2:3:4:5:6:7:8", "1:2:3:4:5:6:7::", "::2:3:4:5:6:7:8", "1::3:4:5:6:7:8",
    "1:2:3:4:5:6:7:8:9", "1::2::3", "::ffff:192.0.2.1", "1:2:3:4:5:6:192.0.2.1", "fe80::1%eth0",
    "1:2:3:4:5::192.0.2.1", "12345::", "-12.39", "212.99333", "1e5", ".5", "5.", "$42", "4 2",
    "1,5", "١٢", "+1", "1.2.3", "2016-02-02T04:19:42Z", "2016-02-02T04:19:42.123456Z",
    "20160412T172720Z", "2016-02-02", "20160202", "2016-02-30", "2015-02-29", "2016-02-29",
    "1900-02-29", "2000-02-29", "0000-02-29", "2016-13-01", "2016-02-02T24:00:00Z",
    "2016-02-02T04:19:42+05:30", "2016-02-02T04:19:42+0530", "2016-02-02T04:19:42+05",
    "2016-02-02T04:19+05:", "2016-02-02 04:19:42", "11/11/2011", "2016-02-02T04:19:60Z",
    "2016-02-02T04:19:42,5Z", "2016-02-02T04:19.5Z", "2016-02-02T04Z", "2016-2-2", "2016-02-02T",
    "20160412T17:27:20Z", "2016-04-12T172720Z", "1454386782", "2016-02-02T04:19:42Z\n",
    "1bf4a1b8-7a6d-5f5a-9d7e-0f3e5c1a2b4d", "1BF4A1B8-7A6D-1F5A-9D7E-0F3E5C1A2B4D",
    "1234abcd-efghijkj-1234kfjadslk-34iu123", "1bf4a1b87a6d5f5a9d7e0f3e5c1a2b4d",
    "{1bf4a1b8-7a6d-5f5a-9d7e-0f3e5c1a2b4d}", "x" * 9, "x" * 10, "é" * 36, "é" * 37, "x" * 100,
    "x" * 101, "x" * 128, "x" * 129, "x" * 256, "👍" * 257, " " * 300, "\ufeffid", "id\u00a0",
]  # fmt: skip
FIELDS = [
    *IDENTITIES, "timestamp", "ip", "event_uuid", "latitude", "longitude", "device_token",
    "device_tokens", "device_type", "os_name", "revenue", "discount", "quantity", "product_id",
    "products", "sku", "shipping_cost", "number_of_results", "subscription_groups", "site",
    "_bsft_ts", "_bsft", "browser_name", "browser", "user_uuid", "colour", "a b", "a.b",
    "a\u200bb", "^colour$", "*", "title", "x-y", "a\n",
]  # fmt: skip

# Characters that every side's Unicode tables know, no surrogates.
CHARACTERS = st.characters(exclude_categories=("Cs", "Cn", "Co"))
NOISE = st.text(
    st.one_of(
        st.sampled_from(WHITESPACE + DIGITS[:80] + INVISIBLE + list(".eE+-_@:%\\")),
        st.sampled_from(string.ascii_letters + string.digits),
        CHARACTERS,
    ),
    max_size=70,
)
TEXTS = st.one_of(st.sampled_from(VALUES), NOISE)
EVENT_NAMES = st.one_of(st.sampled_from(NAMES), NOISE)
EVENTS = st.builds(
    lambda name, rest: {"event": name, **rest},
    EVENT_NAMES,
    st.dictionaries(st.sampled_from(FIELDS), TEXTS, max_size=8),
)
JSON_VALUES = st.one_of(
    TEXTS,
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False, allow_infinity=False).filter(lambda x: x != int(x)),
    st.just([]),
    st.just({}),
    st.sampled_from(
        [
            [{"id": "a", "subscribed": True}],
            [{"id": "a", "subscribed": "true"}],
            [{"id": 1, "subscribed": True}],
            [{"id": "", "subscribed": True}],
            [{"subscribed": True}],
            ["a"],
            {"id": "a", "subscribed": True},
        ]
    ),
)
JSON_EVENTS = st.builds(
    lambda name, rest: {**name, **rest},
    st.one_of(st.just({}), st.builds(lambda name: {"event": name}, JSON_VALUES | EVENT_NAMES)),
    st.dictionaries(st.sampled_from(FIELDS), JSON_VALUES, max_size=8),
)


def _without_absent(event: dict[str, str | None]) -> dict[str, object]:
    return {name: value for name, value in event.items() if value is not None}


@settings(max_examples=100, deadline=None)
@given(st.lists(EVENTS, min_size=1, max_size=8))
def test_three_readings_of_text_agree(events: list[dict[str, str | None]]) -> None:
    """For events of texts, as CSV gives them, all three readings find the same codes."""
    verdict = verdict_of(events)

    for row, event in enumerate(events):
        plain = violations(_without_absent(event), now=NOW)
        assert codes_of(verdict, row) == plain, event
        assert NATIVE.codes(_without_absent(event)) == plain - CLOCK, event


@settings(max_examples=100, deadline=None)
@given(st.lists(JSON_EVENTS, min_size=1, max_size=6))
@example([{"event": 5, "customer_id": True}, {"event": None, "customer_id": 5}])
def test_three_readings_of_json_agree(events: list[dict[str, object]]) -> None:
    """For events of JSON values, with their types beside them, all three readings agree."""
    verdict = verdict_of_json(events)

    for row, event in enumerate(events):
        plain = violations(event, now=NOW)
        assert codes_of(verdict, row) == plain, event
        assert NATIVE.codes(event) == plain - CLOCK, event


@pytest.mark.parametrize("place", ["{}a", "a{}", "a{}b", "{}"])
def test_every_whitespace_character(place: str) -> None:
    """Each of Unicode's White_Space and U+001C to U+001F is whitespace, and alone is blank."""
    events = [{"event": place.format(c), "customer_id": place.format(c)} for c in WHITESPACE]

    verdict = verdict_of(events)

    assert len(WHITESPACE) == 29
    for row, event in enumerate(events):
        plain = violations(event, now=NOW)
        assert codes_of(verdict, row) == plain
        assert NATIVE.codes(event) == plain - CLOCK


def test_digits_of_every_script_make_a_number() -> None:
    """A name of decimal digits is a number, in whatever script, and not beside a letter."""
    events = [{"event": name} for d in DIGITS for name in (d + d, f"-{d}e{d}", f"{d}a")]

    verdict = verdict_of(events)

    assert len(DIGITS) > 600
    assert verdict.rows_with("event_numeric").tolist() == [True, True, False] * len(DIGITS)
    assert all(
        ("event_numeric" in NATIVE.codes(event)) == bool(row % 3 != 2)
        for row, event in enumerate(events)
    )


def test_every_character_once_in_a_name() -> None:
    """Each assigned character in a name is judged alike by all three readings."""
    characters = [
        chr(c)
        for c in range(sys.maxunicode + 1)
        if unicodedata.category(chr(c)) not in ("Cs", "Cn", "Co", "Lo", "So")
    ]
    events = [{"event": f"a{c}"} for c in characters]

    verdict = verdict_of(events)

    for row, event in enumerate(events):
        plain = violations(event, now=NOW)
        assert codes_of(verdict, row) == plain, repr(event)
    for event in events[::7]:
        assert NATIVE.codes(event) == violations(event, now=NOW) - CLOCK, repr(event)


def _addresses() -> list[str]:
    """Addresses of both versions at the edges of their forms, right and wrong."""
    octets = [*map(str, range(300)), "00", "01", "-1", "", "1e1", "١"]
    found = [f"{n}.0.2.1" for n in octets] + [f"10.{n}.2.1" for n in octets]
    found += [f"10.0.2.{n}" for n in octets] + [f"::ffff:10.0.2.{n}" for n in octets]
    for before in range(10):
        head = ":".join(["a1"] * before)
        found += [head, f"{head}:", f":{head}", f"{head}:10.0.2.1", f"{head}::10.0.2.1"]
        for after in range(10):
            tail = ":".join(["B2f"] * after)
            found += [f"{head}::{tail}", f"{head}:::{tail}", f"{head}::{tail}:10.0.2.1"]
            found += [f"{head}::{tail}:", f"{head}::{tail}::1"]
    return [*found, "::g", "::00000", "::0000", "[::1]", "::1/64", "::1%1"]


def test_every_form_of_address() -> None:
    """An ip is right where Python's ipaddress says so; an address with a zone is not."""
    addresses = _addresses()
    events = [{"event": "view", "customer_id": "1", "ip": ip} for ip in addresses]

    verdict = verdict_of(events)

    wrong = ["ip_invalid" in violations(event, now=NOW) for event in events]
    assert verdict.rows_with("ip_invalid").tolist() == wrong
    assert 500 < sum(wrong) < len(wrong) - 500


def test_every_date() -> None:
    """A day that the calendar does not have makes no ISO 8601 time, in whole or compact form."""
    days = [(2015 + leap, m, d) for leap in (0, 1) for m in range(14) for d in range(33)]
    days += [(year, 2, 29) for year in range(10_000)]
    texts = [f"{y:04}{dash}{m:02}{dash}{d:02}" for y, m, d in days for dash in ("-", "")]
    events = [{"event": "view", "customer_id": "1", "timestamp": text} for text in texts]

    verdict = verdict_of(events)

    expected = [iso_time(text) is None for text in texts]
    assert verdict.rows_with("timestamp_not_iso").tolist() == expected


@settings(max_examples=80, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["view", "purchase", "x"]),
            st.integers(-3 * 86_400, 3 * 86_400),
            st.sampled_from([0, -31, -180, -3650]),
            st.sampled_from(["Z", "+14:00", "-12:00", "+00", ""]),
            st.booleans(),
        ),
        min_size=1,
        max_size=20,
    )
)
def test_times_near_a_limit(rows: list[tuple[str, int, int, str, bool]]) -> None:
    """A time is late or old by the instant it names, in whole and compact form, in any zone."""
    events = []
    for name, seconds, days, zone, compact in rows:
        shift = {"+14:00": 14, "-12:00": -12}.get(zone, 0)
        at = NOW + timedelta(days=days, seconds=seconds, hours=shift)
        form = "%Y%m%dT%H%M%S" if compact else "%Y-%m-%dT%H:%M:%S"
        events.append({"event": name, "customer_id": "1", "timestamp": at.strftime(form) + zone})

    verdict = verdict_of(events)

    for row, event in enumerate(events):
        assert codes_of(verdict, row) == violations(event, now=NOW), event


@settings(max_examples=30, deadline=None)
@given(st.lists(EVENTS, min_size=2, max_size=12), st.data())
def test_neighbours_and_chunks_change_nothing(
    events: list[dict[str, str | None]], data: st.DataObject
) -> None:
    """A row's verdict is the same whatever stands beside it and wherever a table is cut."""
    cut = data.draw(st.integers(1, len(events) - 1))

    whole = verdict_of(events)
    parts = [verdict_of(events[:cut]), verdict_of(events[cut:])]

    found = [
        codes_of(part, row)
        for part, n in zip(parts, (cut, len(events) - cut), strict=True)
        for row in range(n)
    ]
    assert found == [codes_of(whole, row) for row in range(len(events))]
