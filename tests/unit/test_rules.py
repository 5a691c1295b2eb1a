"""Schema documents become rules and codes; what would be ignored is refused."""

import copy
from collections.abc import Callable

import pytest

from ingest.core.model import Json, Severity
from ingest.core.rules import catalogue, digest, json_fields, known_fields, rules_of
from ingest.errors import UsageError
from tests.support.judging import DOCUMENTS

PAGE = """
    device_type device_id device_token device_idfa device_idfv device_manufacturer os_name
    network_carrier ip email latitude longitude event_uuid subscription_groups customer_id event
""".split()  # noqa: SIM905 - as the page lists them


def coded(code: str = "own_rule", **more: object) -> dict[str, object]:
    """A rule of a document of one's own."""
    words = {"x-severity": "error", "x-message": "It is wrong.", "x-hint": "Mend it."}
    return {"x-code": code, **words, **more}


def own(*rules: object, **base: object) -> dict[str, Json]:
    """The shipped documents and one for the event `visit`."""
    return {**DOCUMENTS, "events/visit": {"x-event": "visit", "allOf": list(rules), **base}}


def test_fields_of_the_page() -> None:
    """Every body parameter of the page is described, with a type, a text and an example."""
    properties = DOCUMENTS["event"]["properties"]

    for name in PAGE:
        assert {"type", "description", "examples"} <= properties[name].keys()
        assert properties[name]["description"].strip()
        assert properties[name]["examples"]


def test_known_fields_begin_with_those_of_every_event() -> None:
    """All described fields are known, each once, those of every event first."""
    fields = known_fields(DOCUMENTS)

    assert len(fields) == len(set(fields))
    assert fields[: len(DOCUMENTS["event"]["properties"])] == tuple(
        DOCUMENTS["event"]["properties"]
    )
    assert {"cookie", "group_id", "device_tokens", "timestamp", "revenue", "sku"} <= set(fields)


def test_json_fields() -> None:
    """The fields documented as arrays or objects are those whose cells are read as JSON."""
    assert json_fields(DOCUMENTS) == {"subscription_groups", "products", "skus", "filters"}


def test_standard_events_have_documents() -> None:
    """Each standard event has its file."""
    assert {name.removeprefix("events/") for name in DOCUMENTS} - {"event", "codes"} == {
        "identify", "pageload", "view", "add_to_cart", "remove_from_cart", "checkout", "purchase",
        "search", "cancel", "return", "subscribe", "unsubscribe", "subscription_upgrade",
        "subscription_downgrade", "subscription_billing", "subscription_cancel", "app_install",
        "app_open", "app_update", "subscribe_interest", "unsubscribe_interest",
    }  # fmt: skip


def test_a_rule_knows_its_fields() -> None:
    """A rule's fields are those it names, through combinators and references."""
    rules = {rule.code: rule for rule in rules_of(DOCUMENTS)}

    assert rules["identity_missing"].fields == (
        "customer_id", "email", "device_id", "cookie", "group_id",
    )  # fmt: skip
    assert rules["event_missing"].fields == ("event",)
    assert not rules["identity_missing"].reads_all
    assert rules["boolean_not_lowercase"].reads_all


def test_page_drops_one_rule() -> None:
    """`--identity page` drops identity_missing and nothing else."""
    strict, page = ({r.code for r in rules_of(DOCUMENTS, identity=i)} for i in ("strict", "page"))

    assert strict - page == {"identity_missing"}


def test_severities_change() -> None:
    """[rules] sets a severity or drops a rule, and holds over --strict."""
    chosen = {"email_unusual": "error", "ip_invalid": "off", "event_too_long": "warning"}

    rules = {rule.code: rule for rule in rules_of(DOCUMENTS, severities=chosen)}
    codes = catalogue(DOCUMENTS, severities={"ip_invalid": "warning"}, strict=True)

    assert rules["email_unusual"].severity is Severity.ERROR
    assert rules["event_too_long"].severity is Severity.WARNING
    assert "ip_invalid" not in rules
    assert codes["ip_invalid"].severity is Severity.WARNING
    assert codes["email_unusual"].severity is Severity.ERROR


@pytest.mark.parametrize(
    ("severities", "message", "hint"),
    [
        pytest.param({"email_unusal": "off"}, "unknown code", "email_unusual", id="near-miss"),
        pytest.param({"zzz": "off"}, "unknown code: zzz", "lists all codes", id="nothing-near"),
        pytest.param({"ip_invalid": "info"}, "no such severity", "warning", id="severity"),
        pytest.param({"quote_illegal": "warning"}, "is fixed", "Remove", id="reading"),
        pytest.param({"api_refused": "off"}, "is fixed", "Remove", id="api"),
    ],
)
def test_severities_refused(severities: dict[str, str], message: str, hint: str) -> None:
    """An unknown code or severity, or one that cannot be changed, stops the run."""
    with pytest.raises(UsageError, match=message) as raised:
        rules_of(DOCUMENTS, severities=severities)

    assert hint in raised.value.hint


def test_own_document() -> None:
    """A document's own constraints are one rule, its coded entries are one each."""
    documents = own(
        coded(required=["url"]), {"required": ["sku"]}, properties={"url": {"minLength": 3}}
    )

    mine = [rule for rule in rules_of(documents) if rule.event == "visit"]

    assert [rule.code for rule in mine] == ["schema_invalid", "own_rule"]
    assert mine[0].schema == {
        "properties": {"url": {"minLength": 3}},
        "allOf": [{"required": ["sku"]}],
    }
    assert mine[1].schema == {"required": ["url"]}
    assert catalogue(documents)["own_rule"].severity is Severity.ERROR


def test_rules_over_all_events() -> None:
    """A document with x-event * is for every event."""
    documents = {**DOCUMENTS, "events/*": {"x-event": "*", "allOf": [coded(required=["url"])]}}

    assert [rule.event for rule in rules_of(documents) if rule.code == "own_rule"] == [None]


@pytest.mark.parametrize(
    ("documents", "message"),
    [
        pytest.param(own(typ="object"), "unknown keyword 'typ'; did you mean 'type'", id="typo"),
        pytest.param(own(qwxyzk=1), "unknown keyword 'qwxyzk'$", id="nothing-near"),
        pytest.param(own(definitions={}), "unknown keyword 'definitions'", id="older-draft"),
        pytest.param(
            own(properties={"a": {"maxLenght": 3}}), "did you mean 'maxLength'", id="in-a-property"
        ),
        pytest.param(
            own(coded(anyOf=[{"items": {"requird": []}}])), "'requird'", id="in-combinators"
        ),
        pytest.param(own(**{"$defs": {"a": {"typ": 1}}}), "'typ'", id="in-defs"),
        pytest.param(own(coded(properties={"a": 5})), "neither an object", id="subschema"),
        pytest.param(own({"$defs": {}}), "below the top", id="defs-below"),
        pytest.param(own({"$ref": "#/properties/a"}), "only #/", id="ref-to-elsewhere"),
        pytest.param(own({"$ref": "http://x.example/y"}), "only #/", id="ref-to-the-web"),
        pytest.param(own(**{"$schema": "http://json-schema.org/draft-07/schema#"}), "schema is not",
                     id="draft-7"),
        pytest.param(own(properties={"a": {"x-covered-by": ["nothing"]}}), "x-covered-by",
                     id="covered-by-nothing"),
        pytest.param(own(properties={"a": {"x-covered-by": "event_missing"}}), "x-covered-by",
                     id="covered-by-no-list"),
        pytest.param(own(5), "allOf is not a list", id="entry-is-no-object"),
        pytest.param(own(coded(code="Own Rule")), "snake_case", id="code"),
        pytest.param(own({"x-code": "own_rule"}), "own_rule has no x-severity", id="no-severity"),
        pytest.param(own(coded(**{"x-severity": "fatal"})), "x-severity error or", id="severity"),
        pytest.param(own(coded(**{"x-stage": "later"})), "known x-stage", id="stage"),
        pytest.param(own(coded(**{"x-hint": " "})), "no x-hint", id="hint"),
        pytest.param(own(coded(code="event_missing")), "another severity or text", id="two-meanings"),
    ],
)  # fmt: skip
def test_broken_documents(documents: dict[str, Json], message: str) -> None:
    """What an engine would ignore or misread in a schema stops the run, naming the schema."""
    with pytest.raises(UsageError, match=message) as raised:
        rules_of(documents)

    assert "events/visit" in raised.value.message
    assert raised.value.hint


@pytest.mark.parametrize(
    ("check", "message"),
    [
        pytest.param(5, "x-check of own_rule is not an object", id="no-object"),
        pytest.param({"check": "differ"}, "names no field", id="no-field"),
        pytest.param({"check": "differ", "fields": "a"}, "names no field", id="no-list"),
    ],
)
def test_broken_checks(check: object, message: str) -> None:
    """A built-in check has its arguments in an object, and names its fields."""
    codes = {"codes": [coded("schema_invalid"), coded(**{"x-check": check})]}

    with pytest.raises(UsageError, match=message):
        rules_of({**DOCUMENTS, "codes": codes, "event": {"allOf": []}})


def test_fields_of_a_document_without_any() -> None:
    """A document that describes no field in the right form adds none."""
    documents: dict[str, Json] = {"event": {"properties": []}, "events/a": {}}

    assert known_fields(documents) == ()
    assert json_fields(documents) == frozenset()


def test_references_in_a_circle_end() -> None:
    """A schema that refers to itself still has fields."""
    defs = {"a": {"required": ["x"], "anyOf": [{"$ref": "#/$defs/a"}, {"required": ["y"]}]}}

    rules = rules_of(own(coded(**{"$ref": "#/$defs/a"}), **{"$defs": defs}))

    assert next(r for r in rules if r.code == "own_rule").fields == ("x", "y")


def test_fields_in_dependencies() -> None:
    """Fields named by dependencies count, names and required ones."""
    entry = coded(
        anyOf=[True, {"required": ["a"]}],
        dependentRequired={"a": ["b"]}, dependentSchemas={"c": {"required": ["d"]}},
        **{"if": {"required": ["e"]}, "then": {"required": ["f"]}},
    )  # fmt: skip

    rules = rules_of(own(entry))

    assert set(next(r for r in rules if r.code == "own_rule").fields) == set("abcdef")


def _text(documents: dict[str, Json]) -> None:
    documents["event"]["allOf"][0]["x-message"] = "Other words."


def _note(documents: dict[str, Json]) -> None:
    documents["event"]["properties"]["ip"]["description"] = "Other words."


def _limit(documents: dict[str, Json]) -> None:
    documents["event"]["allOf"][2]["properties"]["event"]["anyOf"][1]["maxLength"] = 65


def _field_named_title(documents: dict[str, Json]) -> None:
    documents["event"]["properties"]["title"] = {"type": "string"}


def _days(documents: dict[str, Json]) -> None:
    for entry in documents["codes"]["codes"]:
        if entry["x-code"] == "timestamp_old":
            entry["x-check"]["days"] = 32


@pytest.mark.parametrize(
    ("change", "same"),
    [
        pytest.param(_text, True, id="message"),
        pytest.param(_note, True, id="description"),
        pytest.param(_limit, False, id="limit"),
        pytest.param(_field_named_title, False, id="field-named-like-an-annotation"),
        pytest.param(_days, False, id="argument-of-a-check"),
    ],
)
def test_digest(change: Callable[[dict[str, Json]], None], same: bool) -> None:  # noqa: FBT001 - a case
    """The digest changes with what decides a verdict, and not with words."""
    documents = copy.deepcopy(DOCUMENTS)
    change(documents)

    assert (digest(rules_of(documents)) == digest(rules_of(DOCUMENTS))) is same


def test_digest_knows_settings() -> None:
    """Severities, identity and identity keys are part of the digest."""
    digests = {
        digest(rules_of(DOCUMENTS)),
        digest(rules_of(DOCUMENTS, identity="page")),
        digest(rules_of(DOCUMENTS, identity_keys=("phone_number",))),
        digest(rules_of(DOCUMENTS, severities={"ip_invalid": "error"})),
        digest(rules_of(DOCUMENTS, strict=True)),
    }

    assert len(digests) == 5
