"""Tables are judged: every keyword, kinds of values, misfits, several violations, many codes."""

import json
from datetime import timedelta
from pathlib import Path

import jsonschema_rs
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.core.model import Json, Severity
from ingest.core.rules import catalogue, rules_of
from ingest.edges.validator import Validator, load_documents
from ingest.edges.validator.compiler import is_portable
from ingest.errors import BugError, UsageError
from tests.support.judging import (
    CODES,
    DOCUMENTS,
    NOW,
    RULES,
    codes_of,
    errors_of,
    verdict_of,
    verdict_of_json,
)

SOUND = {"event": "view", "customer_id": "1", "timestamp": "2025-11-22T00:00:00Z"}
WORDS = {"x-severity": "error", "x-message": "It is wrong.", "x-hint": "Mend it."}


def with_rule(schema: Json, *, event: str = "*", **base: object) -> dict[str, Json]:
    """The shipped documents and one more rule, `own_rule`."""
    document = {"x-event": event, "allOf": [{"x-code": "own_rule", **WORDS, **schema}], **base}
    return {**DOCUMENTS, f"events/{event}": document}


def breaks(schema: Json, event: dict[str, object], **base: object) -> bool:
    """Whether an event of JSON values breaks a rule of one's own, as compiled."""
    verdict = verdict_of_json([event], documents=with_rule(schema, **base))
    return "own_rule" in codes_of(verdict)


VALUES: list[object] = [
    "", "a", "ab", "abc", "é", "5", "true", "null", None, True, False, 0, 1, 5, -5, 1.5,
    [], ["a"], [1, 2], {}, {"a": 1},
]  # fmt: skip
VALUE_SCHEMAS: list[object] = [
    True, False, {}, {"type": "string"}, {"type": ["null", "boolean"]}, {"type": "integer"},
    {"type": "number"}, {"type": ["array", "object"]}, {"enum": ["a", "ab", None, True]},
    {"enum": [5, "a"]}, {"const": "a"}, {"const": None}, {"const": False}, {"const": 1},
    {"const": [1, 2]}, {"minLength": 2}, {"maxLength": 1}, {"pattern": "^a"},
    {"pattern": "^\\S+$"}, {"pattern": "a.c"}, {"minimum": 1}, {"exclusiveMaximum": 5},
    {"multipleOf": 5}, {"minItems": 1}, {"items": {"type": "number"}}, {"contains": {"const": 1}},
    {"required": ["a"]}, {"format": "ipv4"}, {"format": "email"},
    {"not": {"type": "string"}}, {"not": {"pattern": "^a"}},
    {"allOf": [{"type": "string"}, {"minLength": 2}]},
    {"anyOf": [{"type": "null"}, {"minLength": 2}]},
    {"oneOf": [{"pattern": "^a"}, {"minLength": 2}]},
    {"oneOf": [{"type": "string"}, {"maxLength": 1}, {"const": "ab"}]}, {"oneOf": [True, False]},
    {"if": {"type": "string"}, "then": {"minLength": 2}, "else": {"type": "number"}},
    {"if": {"pattern": "^a"}, "then": {"maxLength": 1}}, {"if": {"const": "a"}, "else": False},
    {"$ref": "#/$defs/short"}, {"not": {"$ref": "#/$defs/short"}}, {"$ref": "#/$defs/tree"}, {"$ref": "#/$defs/loop"},
    {"enum": [str(i) for i in range(40)]},
    {"type": ["null", "boolean", "integer", "number", "string", "array", "object"]},
]  # fmt: skip
EVENT_SCHEMAS: list[Json] = [
    {"required": ["x", "y"]}, {"not": {"required": ["x"]}}, {"dependentRequired": {"x": ["y"]}},
    {"dependentSchemas": {"x": {"properties": {"y": {"minLength": 2}}}}},
    {"patternProperties": {"^[xy]$": {"minLength": 2}}},
    {"patternProperties": {"^\\w$": {"minLength": 2}}},
    {"additionalProperties": {"type": "string"}},
    {"properties": {"x": True}, "additionalProperties": {"minLength": 2}},
    {"properties": {"x": True}, "patternProperties": {"^e": True}, "additionalProperties": False},
    {"dependentSchemas": {"x": {"properties": {"absent": {"minLength": 2}}}}},
    {"anyOf": [{"patternProperties": {"^[xy]$": {"minLength": 2}}}, {"required": ["x"]}]},
    {"anyOf": [{"additionalProperties": {"type": "string"}}, {"required": ["y"]}]},
    {"required": ["x"], "properties": {"x": {"minItems": 1}}},
    {"propertyNames": {"maxLength": 1}}, {"propertyNames": {"pattern": "^[a-z]+$"}},
    {"minProperties": 3}, {"maxProperties": 2}, {"type": "object"}, {"type": "array"},
    {"unevaluatedProperties": False, "properties": {"event": True}},
    {"anyOf": [{"required": ["x"]}, {"required": ["y"]}]},
    {"oneOf": [{"required": ["x"]}, {"required": ["y"]}]},
    {"if": {"properties": {"x": {"const": "a"}}, "required": ["x"]}, "then": {"required": ["y"]}},
    {"enum": [{"event": "view"}]}, {"const": {"event": "view"}}, {"minLength": 5},
    {"anyOf": [{"properties": {"x": {"minimum": 3}}}, {"required": ["y"]}]},
    {"allOf": [{"properties": {"x": {"minLength": 2}}}, {"properties": {"y": {"minLength": 2}}}]},
    {"$ref": "#/$defs/both"},
]  # fmt: skip
DEFS: dict[str, object] = {
    "short": {"type": "string", "maxLength": 1},
    "tree": {"anyOf": [{"type": "string"}, {"items": {"$ref": "#/$defs/tree"}}]},
    "both": {"required": ["x", "y"]},
    "loop": {"anyOf": [{"type": "string"}, {"$ref": "#/$defs/loop"}]},
}


@pytest.mark.parametrize("schema", VALUE_SCHEMAS, ids=json.dumps)
def test_every_keyword_about_a_value(schema: object) -> None:
    """A rule about a field says what jsonschema-rs says, of each kind of value and of none."""
    events: list[dict[str, object]] = [{"event": "view", "x": value} for value in VALUES]
    events.append({"event": "view"})
    rule: Json = {"properties": {"x": schema}}
    judge = jsonschema_rs.Draft202012Validator({**rule, "$defs": DEFS}, validate_formats=True)

    verdict = verdict_of_json(events, documents=with_rule(rule, **{"$defs": DEFS}))

    expected = [not judge.is_valid(event) for event in events]
    assert verdict.rows_with("own_rule").tolist() == expected


@pytest.mark.parametrize("schema", EVENT_SCHEMAS, ids=json.dumps)
def test_every_keyword_about_an_event(schema: Json) -> None:
    """A rule about the event as a whole says what jsonschema-rs says."""
    values = ["a", "ab", None, 5]
    events: list[dict[str, object]] = [
        {"event": "view", **x, **y}
        for x in ({}, *({"x": value} for value in values))
        for y in ({}, *({"y": value} for value in values))
    ]
    judge = jsonschema_rs.Draft202012Validator({**schema, "$defs": DEFS})

    verdict = verdict_of_json(events, documents=with_rule(schema, **{"$defs": DEFS}))

    expected = [not judge.is_valid(event) for event in events]
    assert verdict.rows_with("own_rule").tolist() == expected


@settings(max_examples=60, deadline=None)
@given(
    st.recursive(
        st.sampled_from([s for s in VALUE_SCHEMAS if "$ref" not in json.dumps(s)]),
        lambda inner: st.one_of(
            st.builds(lambda s: {"not": s}, inner),
            st.builds(lambda k, s: {k: s}, st.sampled_from(["allOf", "anyOf", "oneOf"]),
                      st.lists(inner, min_size=1, max_size=3)),
            st.builds(lambda a, b, c: {"if": a, "then": b, "else": c}, inner, inner, inner),
        ),
        max_leaves=5,
    )
)  # fmt: skip
def test_keywords_combined(schema: object) -> None:
    """However keywords are nested, the compiled rule agrees with jsonschema-rs."""
    events: list[dict[str, object]] = [{"event": "view", "x": value} for value in VALUES]
    events.append({"event": "view"})
    rule: Json = {"properties": {"x": schema}}
    judge = jsonschema_rs.Draft202012Validator(dict(rule), validate_formats=True)

    verdict = verdict_of_json(events, documents=with_rule(rule))

    expected = [not judge.is_valid(event) for event in events]
    assert verdict.rows_with("own_rule").tolist() == expected


@pytest.mark.parametrize(
    ("schema", "kind", "cells", "broken"),
    [
        pytest.param({"type": "number"}, "number", ["1", "1.5", None], [0, 0, 0], id="number"),
        pytest.param({"type": "string"}, "number", ["1", None], [1, 0], id="number-is-no-text"),
        pytest.param({"type": "integer"}, "number", ["1", "1.5", "1e2"], [0, 1, 0], id="whole"),
        pytest.param({"minimum": 3}, "number", ["1", "3", None], [1, 0, 0], id="minimum"),
        pytest.param({"minimum": 3}, "text", ["1", "3", None], [0, 0, 0], id="text-has-none"),
        pytest.param({"type": "integer"}, "integer", ["1", None], [0, 0], id="integer"),
        pytest.param({"maximum": 3}, "integer", ["1", "4"], [0, 1], id="maximum"),
        pytest.param({"minItems": 3}, "integer", ["1"], [0], id="number-has-no-items"),
        pytest.param({"const": True}, "boolean", ["true", "false", None], [0, 1, 0], id="true"),
        pytest.param({"type": "boolean"}, "text", ["true"], [1], id="text-is-no-boolean"),
        pytest.param({"minItems": 1}, "json", ['["a"]', " []", '"a"'], [0, 1, 0], id="json-list"),
        pytest.param({"type": "string"}, "json", ['"a"', "1", "null"], [0, 1, 1], id="json-kinds"),
        pytest.param({"type": "integer"}, "json", ["1", "1.5", "1e2"], [0, 1, 1], id="json-whole"),
        pytest.param(
            {"maxLength": 2}, "json", ['"ab"', '"\\u00e9\\n"', '"abc"', "123"], [0, 0, 1, 0],
            id="json-text-is-decoded",
        ),
        pytest.param({"pattern": "^a$"}, "json", ['"a"', '"b"', "[]"], [0, 1, 0], id="json-pattern"),
    ],
)  # fmt: skip
def test_kinds(schema: Json, kind: str, cells: list[str | None], broken: list[int]) -> None:
    """A column's declared type is the type of its values in the event."""
    events = [SOUND | {"x": cell} for cell in cells]

    verdict = verdict_of(
        events, documents=with_rule({"properties": {"x": schema}}), kinds={"x": kind}
    )

    assert verdict.rows_with("own_rule").tolist() == [bool(b) for b in broken]


def test_all_violations_of_a_row_at_once() -> None:
    """A row has every code it deserves, each with the fields concerned, in a fixed order."""
    event = {"event": "1.5 ", "customer_id": "NULL", "email": "nan", "device_id": "x" * 12}

    verdict = verdict_of([SOUND, event])

    assert verdict.violations(0) == ()
    assert verdict.violations(1) == (
        ("event_has_period", ("event",)),
        ("event_has_whitespace", ("event",)),
        ("identity_placeholder", ("customer_id", "email")),
    )
    assert verdict.violations(1, severity=Severity.WARNING) == (
        ("timestamp_missing", ("timestamp",)),
        ("email_unusual", ("email",)),
    )
    assert verdict.rejected.tolist() == [False, True]
    assert verdict.warned.tolist() == [False, True]
    assert verdict.errors() == {
        "event_has_period": 1, "event_has_whitespace": 1, "identity_placeholder": 1,
    }  # fmt: skip
    assert verdict.warnings() == {"timestamp_missing": 1, "email_unusual": 1}


def test_counts_are_of_rows() -> None:
    """A row that breaks a rule with two fields counts once under its code."""
    twice = {"event": "view", "customer_id": "NULL", "email": "NULL"}

    assert verdict_of([twice, twice]).errors() == {"identity_placeholder": 2}


def test_violations_agree_with_the_mask() -> None:
    """For each row, the codes worked out one by one are those of the bit mask."""
    events = [
        {"event": name, "customer_id": who, "timestamp": when, "_bsft_x": odd, "a b": "TRUE"}
        for name in ("view", "a.b", " ", "purchase", "identify", "1")
        for who in ("1", "NULL", None)
        for when in ("2025-11-22", "2012-01-01", "x", None, "2999-01-01")
        for odd in ("1", None)
    ]

    verdict = verdict_of(events)

    for row in range(len(events)):
        worked_out = {
            code
            for severity in (Severity.ERROR, Severity.WARNING)
            for code, _ in verdict.violations(row, severity=severity)
        }
        assert worked_out == codes_of(verdict, row)


def test_misfits_are_violations() -> None:
    """What could not be converted is an error, and no other rule speaks of that field there."""
    events = [SOUND | {"timestamp": None, "revenue": "$5", "event": "purchase", "sku": "a"}] * 2
    misfits = [
        ("value_not_date", "timestamp", pl.Series([True, False])),
        ("value_not_number", "revenue", pl.Series([None, True])),
    ]

    verdict = verdict_of(events, misfits=misfits)

    assert verdict.violations(0) == (("value_not_date", ("timestamp",)),)
    assert verdict.violations(0, severity=Severity.WARNING) == (("number_not_plain", ("revenue",)),)
    assert verdict.violations(1) == (("value_not_number", ("revenue",)),)
    assert verdict.violations(1, severity=Severity.WARNING) == (
        ("timestamp_missing", ("timestamp",)),
    )
    assert verdict.errors() == {"value_not_number": 1, "value_not_date": 1}


def test_two_misfits_of_one_code() -> None:
    """Two fields that do not fit are one violation with both fields."""
    misfits = [("value_not_json", name, pl.Series([True])) for name in ("a", "b")]

    verdict = verdict_of([SOUND | {"a": "{", "b": "["}], misfits=misfits)

    assert verdict.violations(0) == (("value_not_json", ("a", "b")),)
    assert verdict.errors() == {"value_not_json": 1}


@pytest.mark.parametrize("cell", ["{", '"x', "tru", "\u3000"])
def test_misfit_of_json_is_not_read(cell: str) -> None:
    """A cell that is no JSON is a misfit; jsonschema-rs is not asked about it."""
    groups = pl.Series([True, False])

    verdict = verdict_of(
        [SOUND | {"subscription_groups": cell}, SOUND | {"subscription_groups": '["a"]'}],
        misfits=[("value_not_json", "subscription_groups", groups)],
        kinds={"subscription_groups": "json"},
    )

    assert codes_of(verdict, 0) == {"value_not_json"}
    assert codes_of(verdict, 1) == {"subscription_groups_invalid"}


def test_text_that_is_no_json_is_a_bug() -> None:
    """A cell that should be JSON, is none, and was not reported is a fault of the caller."""
    with pytest.raises(BugError, match="subscription_groups"):
        verdict_of([SOUND | {"subscription_groups": "[x"}], kinds={"subscription_groups": "json"})


def test_rules_of_an_event_apply_to_it_alone() -> None:
    """A rule of one event's document says nothing about others, nor of an unknown name."""
    documents = with_rule({"required": ["url"]}, event="visit")
    events = [SOUND | {"event": name} for name in ("visit", "view", None, "visit ")]

    verdict = verdict_of(events, documents=documents)

    assert verdict.rows_with("own_rule").tolist() == [True, False, False, False]


def test_rules_of_an_event_beside_many_names() -> None:
    """A table with thousands of different names is judged as one with few."""
    names = [f"n{i}" for i in range(3000)] + ["purchase", "a.b", None]

    verdict = verdict_of([SOUND | {"event": name} for name in names])

    assert verdict.rows_with("purchase_without_revenue").tolist() == [False] * 3000 + [
        True,
        False,
        False,
    ]
    assert verdict.errors() == {"event_missing": 1, "event_has_period": 1}


def test_columns_that_are_missing() -> None:
    """Without an event or identity column every row is rejected for it."""
    verdict = verdict_of([{"colour": "red"}] * 3)

    assert verdict.errors() == {"event_missing": 3, "identity_missing": 3}
    assert verdict.warnings() == {"timestamp_missing": 3}


def test_no_rows() -> None:
    """An empty table has no violations, whatever its columns."""
    table = pl.DataFrame(schema={"event": pl.String, "x": pl.String})

    verdict = Validator(RULES, table.columns, codes=CODES).judge(table, now=NOW)

    assert len(verdict.rejected) == 0
    assert verdict.errors() == {}
    assert verdict.violations(0) == ()


def test_column_names_are_not_patterns() -> None:
    """Columns named like polars' patterns, or like our own, are columns."""
    odd = dict.fromkeys(("^.*$", "*", "^x$", "t0", "k0", "c_event_missing", "v0", ""), "TRUE")

    verdict = verdict_of([SOUND | odd])

    assert verdict.violations(0) == ()
    warned = dict(verdict.violations(0, severity=Severity.WARNING))
    assert warned["boolean_not_lowercase"] == tuple(odd)


def test_more_codes_than_a_word_has_bits() -> None:
    """With more than 64 codes in force each still has its own bit."""
    rules = [
        {"x-code": f"own_{i:03}", **WORDS, "properties": {"x": {"not": {"const": str(i)}}}}
        for i in range(150)
    ]
    documents = {**DOCUMENTS, "events/*": {"x-event": "*", "allOf": rules}}

    verdict = verdict_of([SOUND | {"x": str(i)} for i in range(150)], documents=documents)

    assert len(verdict.words) == 3
    assert [codes_of(verdict, row) for row in range(150)] == [{f"own_{i:03}"} for i in range(150)]
    assert verdict.rejected.all()
    assert verdict.violations(149) == (("own_149", ("x",)),)


def test_severity_decides_the_side() -> None:
    """The same violation rejects, warns, or is not looked for, as [rules] says."""
    odd = SOUND | {"ip": "x"}

    sides = {
        to: verdict_of([odd], severities={"ip_invalid": to}) for to in ("error", "warning", "off")
    }

    assert {to: (v.errors(), v.warnings()) for to, v in sides.items()} == {
        "error": ({"ip_invalid": 1}, {}),
        "warning": ({}, {"ip_invalid": 1}),
        "off": ({}, {}),
    }


def test_strict_rejects() -> None:
    """With --strict an identity beyond its limit is rejected."""
    assert errors_of(SOUND | {"cookie": "x" * 37}, strict=True) == ("identity_too_long",)


def test_a_time_is_judged_where_it_is_one() -> None:
    """With timestamp_not_iso off, what is no time is still neither old nor in the future."""
    events = [
        SOUND | {"timestamp": when} for when in ("11/11/2011", "9", "2012-01-01", " ", "\u3000")
    ]

    verdict = verdict_of(events, severities={"timestamp_not_iso": "off"})

    assert verdict.rows_with("timestamp_old").tolist() == [False, False, True, False, False]
    assert not verdict.rows_with("timestamp_in_future").any()


def test_the_present_is_an_argument() -> None:
    """A time is in the future by the present that is given."""
    late = [SOUND | {"timestamp": "2025-11-24T00:00:00Z"}]

    assert verdict_of(late).warnings() == {"timestamp_in_future": 1}
    assert verdict_of(late, now=NOW + timedelta(days=1)).warnings() == {}


def test_shorthand_classes_have_one_meaning() -> None:
    """A user's shorthand class is jsonschema-rs's, ASCII, in CSV as in the sandbox."""
    documents = with_rule({"properties": {"x": {"pattern": "^\\d+$"}}})
    table = pl.DataFrame({"event": ["view"] * 3, "customer_id": ["1"] * 3, "x": ["12", "١٢", None]})
    validator = Validator(rules_of(documents), table.columns, codes=catalogue(documents))

    verdict = validator.judge(table, now=NOW)

    assert verdict.rows_with("own_rule").tolist() == [False, True, False]
    assert validator.natively_judged == ("own_rule",)


def test_shipped_rules_are_compiled() -> None:
    """Only nested subscription_groups is left to jsonschema-rs."""
    columns = sorted({name for rule in RULES for name in rule.fields})
    kinds = dict.fromkeys(("subscription_groups", "products", "skus", "filters"), "json")

    validator = Validator(RULES, columns, codes=CODES, kinds=kinds)

    assert validator.natively_judged == ("subscription_groups_invalid",)


def patterns(node: object) -> list[str]:
    """All patterns in a schema."""
    if isinstance(node, list):
        return [p for item in node for p in patterns(item)]
    if not isinstance(node, dict):
        return []
    found = [node["pattern"]] if isinstance(node.get("pattern"), str) else []
    found += list(node.get("patternProperties", {}))
    return found + [p for value in node.values() for p in patterns(value)]


def test_shipped_patterns_mean_one_thing() -> None:
    """Our patterns use no shorthand class, no look-around, and no period for any character."""
    found = {p for document in DOCUMENTS.values() for p in patterns(document)}

    assert len(found) > 10
    for pattern in found:
        assert is_portable(pattern), pattern
        assert not any(f"\\{c}" in pattern for c in "dDsSwWbBzZA"), pattern


@pytest.mark.parametrize(
    ("pattern", "portable"),
    [
        ("^[a-z]+$", True), ("a|b", True), ("(a)?(?:b){2,3}", True), ("\\p{Nd}\\u0041[.]\\.", True),
        ("[^\\]a]", True), (".", False), ("\\d", False), ("[\\w]", False), ("(?=a)", False),
        ("(?i)a", False), ("(?P<n>a)", False), ("\\bx", False), ("[a&&b]", False), ("\\1", False),
        ("[[:alpha:]]", False), ("\\x41", False), ("\\z", False), ("[a--b]", False),
    ],
)  # fmt: skip
def test_portable(pattern: str, portable: bool) -> None:  # noqa: FBT001 - a case
    """Only patterns that every engine reads alike are compiled."""
    assert is_portable(pattern) is portable


@pytest.mark.parametrize("text", ["a\n", "a\r\n", "a\u2028", "\na", "a\nb", "b\na", "a"])
@pytest.mark.parametrize("pattern", ["^a$", "a$", "^a", "^[^b]*$", "^(a|b)$", "^a\\u000A$"])
def test_ends_of_text(pattern: str, text: str) -> None:
    """^ and $ are the ends of the text, not of a line, in both engines."""
    schema: Json = {"properties": {"x": {"pattern": pattern}}}
    expected = {
        "^a$": text == "a",
        "a$": text.endswith("a"),
        "^a": text.startswith("a"),
        "^[^b]*$": "b" not in text,
        "^(a|b)$": text == "a",
        "^a\\u000A$": text == "a\n",
    }[pattern]

    native = jsonschema_rs.Draft202012Validator(dict(schema)).is_valid({"x": text})

    assert native is expected
    assert breaks(schema, {"event": "view", "x": text}) is not expected


def write(path: Path, document: object) -> Path:
    """A schema file."""
    path.write_text(document if isinstance(document, str) else json.dumps(document))
    return path


def test_own_schema_replaces_and_adds(tmp_path: Path) -> None:
    """--schema adds a document for an event, or puts it in place of the shipped one."""
    purchase = {"x-event": "purchase", "required": ["order_id"]}
    visit = {"x-event": "visit", "properties": {"url": {"minLength": 3}}}

    documents = load_documents(
        [write(tmp_path / "p.json", purchase), write(tmp_path / "v.json", visit)]
    )

    events = [SOUND | {"event": "purchase"}, SOUND | {"event": "visit", "url": "x"}]
    verdict = verdict_of(events, documents=documents)
    assert verdict.errors() == {"schema_invalid": 2}
    assert verdict.warnings() == {}
    assert verdict.violations(0) == (("schema_invalid", ("order_id",)),)


@pytest.mark.parametrize(
    ("document", "message"),
    [
        pytest.param("{", "Expecting", id="no-json"),
        pytest.param([], "not a JSON object", id="no-object"),
        pytest.param({"type": "object"}, "no x-event", id="no-event"),
        pytest.param({"x-event": "a", "type": "strng"}, "events/a", id="no-such-type"),
        pytest.param({"x-event": "a", "properties": []}, "events/a", id="wrong-form"),
        pytest.param(
            {"x-event": "a", "properties": {"x": {"pattern": "("}}}, "events/a", id="pattern"
        ),
        pytest.param(
            {"x-event": "a", "properties": {"x": {"pattern": "(?=a)b"}}}, "events/a",
            id="look-around",
        ),
        pytest.param(
            {"x-event": "a", "properties": {"x": {"pattern": "(a)\\1"}}}, "events/a",
            id="back-reference",
        ),
        pytest.param(
            {"x-event": "a", "properties": {"x": {"format": "ipv5"}}}, "ipv5", id="no-such-format"
        ),
        pytest.param({"x-event": "a", "$ref": "#/$defs/none"}, "events/a", id="no-such-def"),
        pytest.param({"x-event": "a", "$ref": "http://x.example/"}, "events/a", id="remote"),
    ],
)  # fmt: skip
def test_own_schema_refused(tmp_path: Path, document: object, message: str) -> None:
    """A file that is no usable schema stops the run before anything is read."""
    with pytest.raises(UsageError, match=message) as raised:
        load_documents([write(tmp_path / "own.json", document)])

    assert raised.value.hint


def test_own_schema_missing(tmp_path: Path) -> None:
    """A file that is not there is named."""
    with pytest.raises(UsageError, match=r"none\.json"):
        load_documents([tmp_path / "none.json"])


def test_two_schemas_for_one_event(tmp_path: Path) -> None:
    """Two files for one event are refused, for only one could hold."""
    files = [write(tmp_path / f"{i}.json", {"x-event": "visit"}) for i in range(2)]

    with pytest.raises(UsageError, match="same x-event"):
        load_documents(files)


def test_hostile_pattern_ends(tmp_path: Path) -> None:
    """A pattern that would take another engine for ever is judged in linear time."""
    own = {"x-event": "*", "properties": {"x": {"pattern": "^(a+)+\\d$"}}}
    documents = load_documents([write(tmp_path / "own.json", own)])

    verdict = verdict_of([SOUND | {"x": "a" * 50_000}], documents=documents)

    assert verdict.errors() == {"schema_invalid": 1}


@pytest.mark.parametrize(
    ("argument", "value", "message"),
    [
        pytest.param("check", "guess", "unknown check 'guess'", id="unknown"),
        pytest.param("tolerance_s", "5 s", "no number tolerance_s", id="no-number"),
    ],
)
def test_broken_check_is_refused(argument: str, value: str, message: str) -> None:
    """A check that is not built in, or lacks its number, stops the run."""
    codes = json.loads(json.dumps(DOCUMENTS["codes"]))
    for entry in codes["codes"]:
        if "x-check" in entry:
            entry["x-check"][argument] = value

    with pytest.raises(UsageError, match=message):
        verdict_of([SOUND], documents={**DOCUMENTS, "codes": codes})


def test_other_columns_are_a_bug() -> None:
    """A table with other columns than the rules were bound to is not judged."""
    validator = Validator(RULES, ["event"], codes=CODES)

    with pytest.raises(BugError, match="columns"):
        validator.judge(pl.DataFrame({"x": ["a"]}), now=NOW)


def test_unknown_code_of_a_misfit_is_a_bug() -> None:
    """A misfit under a code that is not in the catalogue is a fault of the caller."""
    with pytest.raises(BugError, match="value_not_moon"):
        verdict_of([SOUND], misfits=[("value_not_moon", "event", pl.Series([True]))])
