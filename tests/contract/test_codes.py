"""The reason codes that other tools rely on: names, severities, and texts a person can act on."""

import re

import pytest

from ingest.core.model import Severity, Stage
from ingest.core.rules import Code, catalogue, rules_of
from tests.support.judging import DOCUMENTS

ERRORS = [
    "event_missing",
    "event_not_string",
    "event_too_long",
    "event_has_period",
    "event_has_whitespace",
    "event_numeric",
    "identity_missing",
    "identity_not_string",
    "identity_placeholder",
    "row_too_few_fields",
    "row_too_many_fields",
    "row_truncated",
    "quote_illegal",
    "quote_unclosed",
    "utf8_invalid",
    "record_too_large",
    "json_invalid",
    "json_not_object",
    "json_duplicate_key",
    "value_not_number",
    "value_not_boolean",
    "value_not_json",
    "value_not_date",
    "event_too_large",
    "api_refused",
]
WARNINGS = [
    "timestamp_missing",
    "timestamp_not_iso",
    "timestamp_in_future",
    "event_uuid_not_rfc4122",
    "email_unusual",
    "ip_invalid",
    "latitude_not_number",
    "identity_only_group",
    "identity_too_long",
    "identify_device_incomplete",
    "name_reserved",
    "attribute_reserved",
    "attribute_unusual_name",
    "event_invisible_character",
    "boolean_not_lowercase",
    "last_line_unterminated",
    "resynced",
]
READING = ERRORS[9:23] + WARNINGS[-2:]
API = ["event_too_large", "api_refused"]
CODES = catalogue(DOCUMENTS)


@pytest.mark.parametrize("code", ERRORS)
def test_errors(code: str) -> None:
    """Each of these rejects a record."""
    assert CODES[code].severity is Severity.ERROR


@pytest.mark.parametrize("code", WARNINGS)
def test_warnings(code: str) -> None:
    """Each of these is counted, and the record is sent."""
    assert CODES[code].severity is Severity.WARNING


@pytest.mark.parametrize("code", CODES.values(), ids=lambda code: code.code)
def test_stage(code: Code) -> None:
    """Codes of reading and of the API are known as such; all others are rules."""
    expected = Stage.READING if code.code in READING else Stage.API if code.code in API else None

    assert code.stage is (expected or Stage.RULES)


@pytest.mark.parametrize("code", CODES.values(), ids=lambda code: code.code)
def test_texts(code: Code) -> None:
    """Message and hint are whole sentences, and no place for a value of a row."""
    for text in (code.message, code.hint):
        assert re.fullmatch(r"[A-Z].*[.]", text)
        assert "{" not in text.replace('[{"id": "NAME", "subscribed": true}]', "")


@pytest.mark.parametrize(
    ("code", "flag"),
    [
        ("identity_placeholder", "--null NULL"),
        ("event_missing", "--map event="),
        ("identity_missing", "--identity-key"),
        ("timestamp_missing", "--timestamp COLUMN"),
        ("timestamp_not_iso", "--timestamp-format"),
        ("timestamp_in_future", "--timezone"),
        ("attribute_unusual_name", "--map NEW="),
        ("boolean_not_lowercase", "--type COLUMN=boolean"),
        ("last_line_unterminated", "--growing"),
    ],
)
def test_hints_name_the_flag(code: str, flag: str) -> None:
    """Where a flag mends the cause, the hint names it."""
    assert flag in CODES[code].hint


def test_strict_raises_these_alone() -> None:
    """`--strict` rejects wrong values; not what lies in columns, age or absence."""
    strict = catalogue(DOCUMENTS, strict=True)

    kept = {name for name, code in strict.items() if code.severity is Severity.WARNING}
    assert kept == {
        "timestamp_missing", "timestamp_old", "identity_only_group", "name_reserved",
        "attribute_reserved", "attribute_unusual_name", "last_line_unterminated", "resynced",
        "purchase_without_revenue", "purchase_without_products", "identity_integer",
        "flatten_conflict", "uuid_key_missing",
    }  # fmt: skip


def test_every_rule_has_a_code() -> None:
    """Each rule in force has its code in the catalogue, with the same severity."""
    assert all(CODES[rule.code].severity is rule.severity for rule in rules_of(DOCUMENTS))
