"""The event API's description, case by case: sections identity, event name, fields, contradictions.

Each case is one event of texts, as CSV gives them, unless it says JSON, and the errors and warnings
that it has. `timestamp` is set where its absence is not the point, so that no case warns of it.
"""

import pytest

from ingest.core.model import Severity
from tests.support.judging import errors_of, verdict_of_json, warnings_of

TIME = "2025-11-22T04:19:42Z"


def event(**fields: str | None) -> dict[str, str | None]:
    """A sound event, but for these fields; None: absent."""
    return {"event": "add_to_cart", "customer_id": "812123", "timestamp": TIME} | fields


def named(name: str) -> dict[str, str | None]:
    return event(event=name)


def known_by(**identities: str) -> dict[str, str | None]:
    return {"event": "view", "timestamp": TIME, **identities}


@pytest.mark.parametrize(
    ("identities", "errors", "warnings"),
    [
        pytest.param({"customer_id": "1"}, (), (), id="customer_id-alone"),
        pytest.param({"email": "jane@example.com"}, (), (), id="email-alone"),
        pytest.param({"device_id": "8abe3faa-d48d"}, (), (), id="device_id-alone"),
        pytest.param({"cookie": "4f1c2d3e"}, (), (), id="cookie-alone"),
        pytest.param({"group_id": "35838"}, (), ("identity_only_group",), id="group_id-alone"),
        pytest.param({"group_id": "35838", "email": "j@example.com"}, (), (), id="group-and-email"),
        pytest.param({}, ("identity_missing",), (), id="none"),
        pytest.param({"phone_number": "+1555"}, ("identity_missing",), (), id="phone-is-none"),
        pytest.param({"customer_id": ""}, ("identity_missing",), (), id="empty-is-blank"),
        pytest.param(
            {"customer_id": " \t\u3000"}, ("identity_missing",), (), id="spaces-are-blank"
        ),
        pytest.param({"customer_id": " ", "email": "j@example.com"}, (), (), id="blank-and-email"),
        pytest.param({"customer_id": "00123"}, (), (), id="leading-zeros-stay"),
        pytest.param({"customer_id": "Jane"}, (), (), id="case-is-kept"),
        pytest.param(
            {"customer_id": " 1"}, (), ("identity_outer_whitespace",), id="space-is-part-of-it"
        ),
        pytest.param({"customer_id": "x" * 128}, (), (), id="customer_id-128"),
        pytest.param({"customer_id": "x" * 129}, (), ("identity_too_long",), id="customer_id-129"),
        pytest.param({"email": "x" * 250 + "@ab.cd"}, (), (), id="email-256"),
        pytest.param({"email": "x" * 251 + "@ab.cd"}, (), ("identity_too_long",), id="email-257"),
        pytest.param({"device_id": "x" * 100}, (), (), id="device_id-100"),
        pytest.param({"device_id": "x" * 101}, (), ("identity_too_long",), id="device_id-101"),
        pytest.param({"device_id": "x" * 10}, (), (), id="device_id-10"),
        pytest.param({"device_id": "x" * 9}, (), ("identity_too_short",), id="device_id-9"),
        pytest.param({"cookie": "x" * 36}, (), (), id="cookie-36"),
        pytest.param({"cookie": "x" * 37}, (), ("identity_too_long",), id="cookie-37"),
        *[
            pytest.param({name: word}, ("identity_placeholder",), None, id=f"{name}-{word}")
            for name in ("customer_id", "email", "device_id", "cookie", "group_id")
            for word in ("NULL", "null", "\\N", "NaN", "nan", "None", "undefined")
        ],
        *[
            pytest.param({"customer_id": word}, (), (), id=f"no-placeholder-{word}")
            for word in ("Null", "none", "NAN", "N/A", "nil", "undefined1", "\\n")
        ],
        pytest.param(
            {"customer_id": "NULL", "email": "j@example.com"},
            ("identity_placeholder",),
            (),
            id="placeholder-beside-an-identity",
        ),
    ],
)
def test_identity(
    identities: dict[str, str], errors: tuple[str, ...], warnings: tuple[str, ...] | None
) -> None:
    """An event needs one identity that is not blank, and not a word that stands for none."""
    assert errors_of(known_by(**identities)) == errors
    if warnings is not None:
        assert warnings_of(known_by(**identities)) == warnings


def test_the_page_taken_literally() -> None:
    """With `--identity page` the event's name alone suffices; the name's rules hold on."""
    assert errors_of(known_by(), identity="page") == ()
    assert errors_of({"event": " "}, identity="page") == ("event_missing",)


@pytest.mark.parametrize(
    ("fields", "errors"),
    [
        pytest.param({"phone_number": "+1555"}, (), id="counts"),
        pytest.param({"phone_number": " "}, ("identity_missing",), id="blank-does-not"),
        pytest.param({"phone_number": "NULL"}, ("identity_placeholder",), id="placeholder"),
        pytest.param({"customer_id": "1"}, (), id="the-others-still-count"),
    ],
)
def test_another_identity_key(fields: dict[str, str], errors: tuple[str, ...]) -> None:
    """`--identity-key NAME` counts one more field as an identity, with its rules."""
    assert errors_of(known_by(**fields), identity_keys=("phone_number",)) == errors


def test_group_beside_another_identity_key() -> None:
    """A group is not the only identity where an added one stands beside it."""
    both = known_by(group_id="35838", phone_number="+1555")

    assert warnings_of(both, identity_keys=("phone_number",)) == ()
    assert warnings_of(both) == ("identity_only_group",)


NAME_CASES = [
    pytest.param("", ("event_missing",), id="empty"),
    pytest.param(" ", ("event_missing",), id="blank"),
    pytest.param(" " * 70, ("event_missing",), id="long-blank"),
    pytest.param("\u3000\u00a0\n", ("event_missing",), id="blank-in-unicode"),
    pytest.param("\x1c", ("event_missing",), id="blank-by-a-separator"),
    *[pytest.param(name, (), id=f"ok-{name}") for name in ("identify1", "12_3", "2fa_enabled")],
    *[
        pytest.param(name, ("event_numeric",), id=f"number-{name}")
        for name in ("123", "-5", "+5", "1e5", "1E+5", "1e-05", "0", "١٢٣", "１２", "१२e३")
    ],
    *[
        pytest.param(name, ("event_has_period", "event_numeric"), id=f"both-{name}")
        for name in ("1.5", ".5", "5.", "-1.5e3", "١.٢")
    ],
    *[
        pytest.param(name, (), id=f"no-number-{name}")
        for name in ("12_3", "1_000", "NaN", "inf", "0x1A", "½", "²", "1e", "e5", "--5", "5a", "+")
    ],
    pytest.param(".", ("event_has_period",), id="a-period-is-no-number"),
    pytest.param("a.b", ("event_has_period",), id="period"),
    pytest.param("last saved cart", ("event_has_whitespace",), id="spaces"),
    pytest.param(" view", ("event_has_whitespace",), id="leading"),
    pytest.param("view ", ("event_has_whitespace",), id="trailing"),
    pytest.param("view\n", ("event_has_whitespace",), id="trailing-newline"),
    pytest.param("view\r", ("event_has_whitespace",), id="trailing-return"),
    pytest.param("a\u00a0b", ("event_has_whitespace",), id="no-break-space"),
    pytest.param("a\u3000b", ("event_has_whitespace",), id="ideographic-space"),
    pytest.param("a\x1cb", ("event_has_whitespace",), id="file-separator"),
    pytest.param("a\x1fb", ("event_has_whitespace",), id="unit-separator"),
    pytest.param("a\x85b", ("event_has_whitespace",), id="next-line"),
    pytest.param("a" * 64, (), id="64"),
    pytest.param("a" * 65, ("event_too_long",), id="65"),
    pytest.param("é" * 64, (), id="64-of-two-bytes"),
    pytest.param("👍" * 64, (), id="64-beyond-the-bmp"),
    pytest.param("👍" * 65, ("event_too_long",), id="65-beyond-the-bmp"),
    pytest.param("e\u0301" * 32, (), id="64-decomposed"),
    pytest.param("e\u0301" * 33, ("event_too_long",), id="66-decomposed"),
    pytest.param(
        "1." + "0" * 62 + " ",
        ("event_too_long", "event_has_period", "event_has_whitespace"),
        id="three-at-once",
    ),
    pytest.param(
        "Order Completed.", ("event_has_period", "event_has_whitespace"), id="two-at-once"
    ),
    pytest.param("ADD_TO_CART", (), id="upper-case"),
    pytest.param("a" * 2000 + ".", ("event_too_long", "event_has_period"), id="very-long"),
]


@pytest.mark.parametrize(("name", "errors"), NAME_CASES)
def test_event_name(name: str, errors: tuple[str, ...]) -> None:
    """A name has no period, no whitespace, at most 64 characters, and is no number."""
    assert errors_of(named(name)) == errors


def test_event_name_absent() -> None:
    """A record without a name is `event_missing` and nothing else."""
    assert errors_of(event(event=None)) == ("event_missing",)


@pytest.mark.parametrize(
    ("name", "warnings"),
    [
        pytest.param("a\u200bb", ("event_invisible_character",), id="zero-width-space"),
        pytest.param("\ufeffview", ("event_invisible_character",), id="byte-order-mark"),
        pytest.param("a\x00b", ("event_invisible_character",), id="nul"),
        pytest.param("bsft_click", ("name_reserved",), id="bsft_"),
        pytest.param("_bsft_click", ("name_reserved",), id="_bsft_"),
        pytest.param("x_bsft_click", (), id="bsft-inside"),
        pytest.param("ADD_TO_CART", (), id="upper-case"),
    ],
)
def test_event_name_is_taken_with_a_warning(name: str, warnings: tuple[str, ...]) -> None:
    """What no rule forbids in a name is at most warned of."""
    assert errors_of(named(name)) == ()
    assert warnings_of(named(name)) == warnings


@pytest.mark.parametrize(
    ("value", "errors"),
    [
        pytest.param(5, ("event_not_string", "event_numeric"), id="a-number-counts-as-one"),
        pytest.param(1.5, ("event_not_string", "event_numeric"), id="a-fraction"),
        pytest.param(True, ("event_not_string",), id="true"),
        pytest.param(["view"], ("event_not_string",), id="list"),
        pytest.param({"a": 1}, ("event_not_string",), id="object"),
        pytest.param(None, ("event_missing",), id="null"),
        pytest.param("5", ("event_numeric",), id="text-of-a-number"),
        pytest.param("view", (), id="text"),
    ],
)
def test_event_name_in_json(value: object, errors: tuple[str, ...]) -> None:
    """In JSON a name is a text; null is no name."""
    verdict = verdict_of_json([{"event": value, "customer_id": "1"}])

    assert tuple(code for code, _ in verdict.violations(0)) == errors


@pytest.mark.parametrize(
    ("value", "errors"),
    [
        pytest.param("00123", (), id="text"),
        pytest.param(123, (), id="whole-number"),
        pytest.param(12345678901234567890123, (), id="big-whole-number"),
        pytest.param(1.5, ("identity_not_string",), id="fraction"),
        pytest.param(5.0, ("identity_not_string",), id="float-without-fraction"),
        pytest.param(True, ("identity_not_string",), id="boolean"),
        pytest.param({}, ("identity_not_string",), id="object"),
        pytest.param(["1"], ("identity_not_string",), id="list"),
        pytest.param(None, ("identity_missing",), id="null"),
    ],
)
def test_identity_in_json(value: object, errors: tuple[str, ...]) -> None:
    """In JSON an identity is a text, or a whole number that is read as its digits."""
    verdict = verdict_of_json([{"event": "view", "customer_id": value}])

    assert tuple(code for code, _ in verdict.violations(0)) == errors


FIELD_CASES = [
    pytest.param({"timestamp": None}, ("timestamp_missing",), id="no-timestamp"),
    pytest.param({"timestamp": "  "}, ("timestamp_missing",), id="blank-timestamp"),
    pytest.param({"timestamp": "2025-11-22T04:19:42Z"}, (), id="utc"),
    pytest.param({"timestamp": "2025-11-22T04:19:42.123456Z"}, (), id="microseconds"),
    pytest.param({"timestamp": "2025-11-22T04:19:42+05:30"}, (), id="offset"),
    pytest.param({"timestamp": "20251122T172720Z"}, (), id="compact"),
    pytest.param({"timestamp": "2025-11-22"}, (), id="date-only"),
    pytest.param({"timestamp": "11/11/2011"}, ("timestamp_not_iso",), id="slashes"),
    pytest.param({"timestamp": "2025-11-22 04:19:42"}, ("timestamp_not_iso",), id="space-for-T"),
    pytest.param({"timestamp": "1454386782"}, ("timestamp_not_iso",), id="epoch"),
    pytest.param({"timestamp": "2025-02-29"}, ("timestamp_not_iso",), id="no-such-day"),
    pytest.param({"timestamp": "2025-11-22T04:19:42Z\n"}, ("timestamp_not_iso",), id="newline"),
    pytest.param({"timestamp": "2025-11-23T12:05:00Z"}, (), id="clock-five-minutes-off"),
    pytest.param({"timestamp": "2025-11-23T12:05:01Z"}, ("timestamp_in_future",), id="future"),
    pytest.param({"timestamp": "2025-11-23T14:00:00+02:00"}, (), id="present-by-its-zone"),
    pytest.param(
        {"timestamp": "2025-11-23T11:00:00-02:00"}, ("timestamp_in_future",), id="future-by-zone"
    ),
    pytest.param({"event": "x", "timestamp": "2025-10-23T12:00:00Z"}, (), id="31-days"),
    pytest.param(
        {"event": "x", "timestamp": "2025-10-23T11:59:59Z"}, ("timestamp_old",), id="over-31-days"
    ),
    pytest.param({"timestamp": "2025-06-01T00:00:00Z"}, (), id="product-event-within-180-days"),
    pytest.param(
        {"timestamp": "2025-05-01T00:00:00Z"}, ("timestamp_old",), id="product-event-over-180-days"
    ),
    pytest.param(
        {"event": "purchase", "timestamp": "2016-02-02", "revenue": "1", "sku": "a"},
        (),
        id="purchase-within-10-years",
    ),
    pytest.param({"event_uuid": "1bf4a1b8-7a6d-1f5a-9d7e-0f3e5c1a2b4d"}, (), id="uuid-version-1"),
    pytest.param({"event_uuid": "1bf4a1b8-7a6d-5f5a-9d7e-0f3e5c1a2b4d"}, (), id="uuid-version-5"),
    pytest.param({"event_uuid": "1BF4A1B8-7A6D-5F5A-9D7E-0F3E5C1A2B4D"}, (), id="uuid-upper"),
    pytest.param({"event_uuid": ""}, (), id="uuid-blank-is-absent"),
    pytest.param(
        {"event_uuid": "1234abcd-efghijkj-1234kfjadslk-34iu123"},
        ("event_uuid_not_rfc4122",),
        id="uuid-of-the-page",
    ),
    pytest.param({"latitude": "212.99333", "longitude": "-12.39"}, (), id="no-range-of-latitude"),
    pytest.param({"latitude": "12,5"}, ("latitude_not_number",), id="decimal-comma"),
    pytest.param({"longitude": "12° E"}, ("longitude_not_number",), id="degrees"),
    pytest.param({"ip": "192.0.2.1"}, (), id="ipv4"),
    pytest.param({"ip": "2001:db8::1"}, (), id="ipv6"),
    pytest.param({"ip": "192.0.2.256"}, ("ip_invalid",), id="ip-256"),
    pytest.param({"ip": "shop.example"}, ("ip_invalid",), id="ip-is-a-host"),
    pytest.param({"email": "jane@example.com"}, (), id="email"),
    pytest.param({"email": "jane.example.com"}, ("email_unusual",), id="email-without-at"),
    pytest.param({"paid": "true"}, (), id="boolean"),
    pytest.param({"paid": "TRUE"}, ("boolean_not_lowercase",), id="boolean-TRUE"),
    pytest.param({"paid": "False"}, ("boolean_not_lowercase",), id="boolean-False"),
    pytest.param({"customer_id": "True"}, (), id="an-identity-is-no-boolean"),
    pytest.param({"quantity": "42"}, (), id="number"),
    pytest.param({"quantity": "$42"}, ("number_not_plain",), id="number-with-a-sign"),
    pytest.param({"quantity": "4 2"}, ("number_not_plain",), id="number-with-a-blank"),
    pytest.param({"price_note": "$42"}, (), id="a-custom-text-is-no-number"),
    *[
        pytest.param({name: "x"}, ("attribute_reserved",), id=f"server-{name}")
        for name in (
            "_bsft_ts", "account_uuid", "site", "session_uuid", "user_uuid", "timestamp_epoch",
            "browser_name",
        )
    ],
    pytest.param({"_bsft_ts": " "}, (), id="server-name-blank"),
    pytest.param({"First Name": "Jane"}, ("attribute_unusual_name",), id="name-with-a-space"),
    pytest.param({"utm.source": "x"}, ("attribute_unusual_name",), id="name-with-a-period"),
    pytest.param({"first\u200bname": "x"}, ("attribute_unusual_name",), id="invisible-in-a-name"),
    pytest.param({"prénom": "x"}, (), id="name-in-any-letters"),
    pytest.param({"device_token": "a", "device_tokens": "a"}, (), id="both-tokens-equal"),
    pytest.param(
        {"device_token": "a", "device_tokens": "b"}, ("device_token_conflict",), id="both-differ"
    ),
    pytest.param({"device_token": "a", "device_tokens": " "}, (), id="one-token-blank"),
    pytest.param({"device_type": "iPhone"}, (), id="device-type-is-free"),
    pytest.param({"transaction_uuid": "any"}, (), id="transaction_uuid-is-free"),
]  # fmt: skip


@pytest.mark.parametrize(("fields", "warnings"), FIELD_CASES)
def test_field(fields: dict[str, str | None], warnings: tuple[str, ...]) -> None:
    """What the API takes, however odd, is never rejected; what it files as text is warned of."""
    assert errors_of(event(**fields)) == ()
    assert warnings_of(event(**fields)) == warnings


DEVICE = {"device_id": "8abe3faa-d48d", "device_token": "0f74"}


@pytest.mark.parametrize(
    ("fields", "warnings"),
    [
        pytest.param(DEVICE, (), id="both"),
        pytest.param({"device_id": "8abe3faa-d48d", "device_tokens": "0f"}, (), id="bulk-name"),
        pytest.param(
            {"device_id": "8abe3faa-d48d"}, ("identify_device_incomplete",), id="no-token"
        ),
        pytest.param({"device_token": "0f74"}, ("identify_device_incomplete",), id="no-device_id"),
        pytest.param({"os_name": "ios"}, ("identify_device_incomplete",), id="a-fact-alone"),
        pytest.param({"device_token": " ", "device_id": ""}, (), id="blank-facts"),
        pytest.param({}, (), id="not-mobile"),
    ],
)
def test_mobile_identify(fields: dict[str, str], warnings: tuple[str, ...]) -> None:
    """An identify from a mobile device brings both device_id and device_token."""
    mobile = event(event="identify", **fields)

    assert errors_of(mobile) == ()
    assert warnings_of(mobile) == warnings
    assert "identify_device_incomplete" not in warnings_of(mobile | {"event": "view"})


@pytest.mark.parametrize(
    ("fields", "warnings"),
    [
        pytest.param({"revenue": "31.24", "products": '[{"sku":"a"}]'}, (), id="complete"),
        pytest.param({"revenue": "31.24", "product_id": "a"}, (), id="flat-product"),
        pytest.param({"products": '[{"sku":"a"}]'}, ("purchase_without_revenue",), id="no-revenue"),
        pytest.param({"revenue": "31.24"}, ("purchase_without_products",), id="no-products"),
        pytest.param({"revenue": "$5", "sku": "a"}, ("number_not_plain",), id="revenue-with-sign"),
    ],
)
def test_purchase(fields: dict[str, str], warnings: tuple[str, ...]) -> None:
    """A purchase without revenue or products is taken, with a warning."""
    assert errors_of(event(event="purchase", **fields), kinds={"products": "json"}) == ()
    assert warnings_of(event(event="purchase", **fields), kinds={"products": "json"}) == warnings


@pytest.mark.parametrize(
    ("cell", "errors", "warnings"),
    [
        pytest.param('[{"id":"a","subscribed":true}]', (), (), id="documented-form"),
        pytest.param("[]", (), (), id="empty-list"),
        pytest.param("null", (), (), id="null"),
        pytest.param('""', (), (), id="empty-text"),
        *[
            pytest.param(cell, (), ("subscription_groups_invalid",), id=name)
            for name, cell in (
                ("subscribed-as-text", '[{"id":"a","subscribed":"true"}]'),
                ("id-as-number", '[{"id":1,"subscribed":true}]'),
                ("id-empty", '[{"id":"","subscribed":true}]'),
                ("id-missing", '[{"subscribed":true}]'),
                ("subscribed-missing", '[{"id":"a"}]'),
                ("second-one-wrong", '[{"id":"a","subscribed":true},{"id":"b"}]'),
                ("list-of-texts", '["a"]'),
                ("one-object", '{"id":"a","subscribed":true}'),
                ("text", '"a"'),
            )
        ],
        pytest.param("5", ("value_type_wrong",), (), id="number"),
        pytest.param("true", ("value_type_wrong",), (), id="boolean"),
    ],
)
def test_subscription_groups(cell: str, errors: tuple[str, ...], warnings: tuple[str, ...]) -> None:
    """subscription_groups is a list of {id, subscribed}; another shape is warned of."""
    subscribed = event(subscription_groups=cell)

    assert errors_of(subscribed, kinds={"subscription_groups": "json"}) == errors
    assert warnings_of(subscribed, kinds={"subscription_groups": "json"}) == warnings


@pytest.mark.parametrize(
    ("values", "errors", "warnings"),
    [
        pytest.param({"latitude": 12.5, "revenue": 31.24}, (), (), id="numbers-as-given"),
        pytest.param({"revenue": "31.24"}, (), (), id="numeric-text-as-given"),
        pytest.param({"device_type": 5}, (), (), id="number-in-a-text-field"),
        pytest.param({"device_type": {"a": 1}}, ("value_type_wrong",), (), id="object-in-one"),
        pytest.param({"ip": ["192.0.2.1"]}, ("value_type_wrong",), (), id="list-in-one"),
        pytest.param({"timestamp": 1454386782}, (), ("timestamp_not_iso",), id="epoch"),
        pytest.param({"colour": {"a": [1]}}, (), (), id="attributes-may-nest"),
        pytest.param({"paid": True}, (), (), id="boolean"),
        pytest.param({"paid": "True"}, (), ("boolean_not_lowercase",), id="boolean-as-text"),
        pytest.param({"quantity": None}, (), (), id="null"),
    ],
)
def test_field_in_json(
    values: dict[str, object], errors: tuple[str, ...], warnings: tuple[str, ...]
) -> None:
    """JSON values go as given; only a nested value in a plain field is rejected."""
    sound = {"event": "purchase", "customer_id": "1", "timestamp": TIME, "sku": "a", "revenue": 1}

    verdict = verdict_of_json([sound | values])

    assert tuple(code for code, _ in verdict.violations(0)) == errors
    warned = verdict.violations(0, severity=Severity.WARNING)
    assert tuple(code for code, _ in warned) == warnings
