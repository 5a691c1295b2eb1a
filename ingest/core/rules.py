"""Reads the schema documents into rules and reason codes; decides nothing about any row.

A document is JSON Schema 2020-12 with annotations:

- each entry of a document's top-level `allOf` that has `x-code` is one rule;
- what else the document asks for is one more rule, under the document's own `x-code`
  (`schema_invalid` where it has none), its properties with `x-covered-by` left out;
- `x-event` names the event that a document is for; without it, or with `*`, it is for all;
- `codes.json` lists the codes that no JSON Schema can say, some of them with an `x-check`:
  a rule that needs a clock or compares two fields.

All that is wrong with a document is a `UsageError`, so nothing is read with broken rules.
"""

import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from typing import Final, Literal

from ingest.core.model import Json, Severity, Stage
from ingest.errors import UsageError

Identity = Literal["strict", "page"]

DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
BASE_CODE: Final = "schema_invalid"
CODE_FORM: Final = re.compile(r"[a-z][a-z0-9_]{2,63}")
IDENTITY_RULE: Final = "identity_missing"

# Where each keyword of JSON Schema 2020-12 holds schemas: in itself, in a list, in a map by
# name, or nowhere. A keyword that is not here would be ignored by every engine: an error.
_ONE: Final = frozenset({
    "additionalProperties", "contains", "contentSchema", "else", "if", "items", "not",
    "propertyNames", "then", "unevaluatedItems", "unevaluatedProperties",
})  # fmt: skip
_LIST: Final = frozenset({"allOf", "anyOf", "oneOf", "prefixItems"})
_MAP: Final = frozenset({"$defs", "dependentSchemas", "patternProperties", "properties"})
_PLAIN: Final = frozenset({
    "$ref", "const", "dependentRequired", "enum", "exclusiveMaximum", "exclusiveMinimum",
    "format", "maxContains", "maxItems", "maxLength", "maxProperties", "maximum",
    "minContains", "minItems", "minLength", "minProperties", "minimum", "multipleOf",
    "pattern", "required", "type", "uniqueItems",
})  # fmt: skip
NOTES: Final = frozenset({
    "$comment", "$id", "$schema", "contentEncoding", "contentMediaType", "default",
    "deprecated", "description", "examples", "readOnly", "title", "writeOnly",
})  # fmt: skip
_WHOLE: Final = frozenset({
    "additionalProperties", "const", "enum", "maxProperties", "minProperties",
    "patternProperties", "propertyNames", "unevaluatedProperties",
})  # fmt: skip
_INPLACE_ONE: Final = frozenset({"if", "then", "else", "not"})
_INPLACE_LIST: Final = frozenset({"allOf", "anyOf", "oneOf"})


@dataclass(frozen=True, slots=True)
class Code:
    """A reason code: what it does to a record, and what a person is told.

    Args:
        code: In snake_case, stable.
        severity: After `[rules]` and `--strict`.
        stage: Where it is found.
        message: What is wrong, without any value of a row.
        hint: How to mend it, with the flag where one does.
        strict: A warning that `--strict` makes an error.
    """

    code: str
    severity: Severity
    stage: Stage
    message: str
    hint: str
    strict: bool = False


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule over an event.

    Args:
        code: Its reason code; several rules may share one.
        severity: `error` or `warning`; a rule that is off is not there.
        event: The one event name that it applies to; None: all.
        schema: The subschema that a sound event satisfies, with the `$defs` it refers to; with
            `check` that of the events that the check speaks of.
        check: The arguments of a built-in check; empty: none.
        fields: The fields it names, in the order of the document.
        reads_all: It also looks at fields that it does not name.
    """

    code: str
    severity: Severity
    event: str | None
    schema: Json
    check: Json
    fields: tuple[str, ...]
    reads_all: bool


def catalogue(
    documents: Mapping[str, Json],
    *,
    severities: Mapping[str, str] | None = None,
    strict: bool = False,
) -> dict[str, Code]:
    """Every reason code with its severity in force: those of reading, of the rules, of the API.

    Args:
        documents: As `load_documents` gives them, by name.
        severities: `[rules]` of the configuration: code to `error`, `warning` or `off`. It holds
            over `strict`.
        strict: Warnings marked `x-strict` are errors.

    Raises:
        UsageError: An unknown code or severity, one that cannot be changed, a code with two
            meanings, or a document without what it must have.
    """
    known: dict[str, Code] = {}
    for name, entry in _entries(documents):
        code = _code(name, entry)
        if known.setdefault(code.code, code) != code:
            raise _broken(name, f"{code.code} has another severity or text elsewhere")
    if strict:
        known = {name: _stricter(code) for name, code in known.items()}
    known |= {name: _changed(known, name, to) for name, to in (severities or {}).items()}
    stages = list(Stage)
    return dict(sorted(known.items(), key=lambda item: stages.index(item[1].stage)))


def rules_of(
    documents: Mapping[str, Json],
    *,
    identity: Identity = "strict",
    identity_keys: Sequence[str] = (),
    severities: Mapping[str, str] | None = None,
    strict: bool = False,
) -> tuple[Rule, ...]:
    """Every rule that is in force, in a fixed order.

    Args:
        documents: As `load_documents` gives them, by name.
        identity: `page` drops `identity_missing`: an event name alone suffices.
        identity_keys: Further fields that count as an identity.
        severities: As for `catalogue`.
        strict: As for `catalogue`.

    Raises:
        UsageError: As for `catalogue`; or a document with a keyword that JSON Schema 2020-12
            does not know, or a reference to anywhere but `#/$defs/NAME`.
    """
    codes = catalogue(documents, severities=severities, strict=strict)
    for name, document in documents.items():
        _check_document(name, document, codes)
    rules: list[Rule] = []
    for name in sorted(documents, key=_document_order):
        document = documents[name]
        for entry in _rule_entries(name, document):
            code = codes[str(entry.get("x-code", BASE_CODE))]
            if code.severity is Severity.OFF or (identity, code.code) == ("page", IDENTITY_RULE):
                continue
            rule = _rule(
                name, document, entry, code=code, keys=identity_keys, base=documents["event"]
            )
            rules.append(rule)
    return tuple(rules)


def known_fields(documents: Mapping[str, Json]) -> tuple[str, ...]:
    """The names of all fields that a document describes, those of every event first."""
    names = (name for _, name, _ in _properties(documents))
    return tuple(dict.fromkeys(names))


def json_fields(documents: Mapping[str, Json]) -> frozenset[str]:
    """The fields whose documented type, the first one named, is an array or an object."""
    nested = {"array", "object"}
    return frozenset(name for _, name, schema in _properties(documents) if _type(schema) in nested)


def digest(rules: Sequence[Rule]) -> str:
    """A SHA-256 over all that decides a verdict, in hexadecimal; texts do not count."""
    facts = [
        [rule.code, rule.severity.value, rule.event, _bare(rule.schema), rule.check]
        for rule in rules
    ]
    text = json.dumps(facts, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()


# --- documents -----------------------------------------------------------------------------


def _document_order(name: str) -> tuple[int, str]:
    first = {"event": 0, "codes": 1, "events/*": 2}
    return first.get(name, 3), name


def _entries(documents: Mapping[str, Json]) -> Iterator[tuple[str, Json]]:
    """Yields each annotated entry with its document's name; `schema_invalid` has its own."""
    for name in sorted(documents, key=_document_order):
        if name == "codes":
            yield from ((name, entry) for entry in _objects(name, documents[name], "codes"))
        else:
            entries = _rule_entries(name, documents[name])
            yield from ((name, entry) for entry in entries if "x-code" in entry)


def _rule_entries(name: str, document: Json) -> Iterator[Json]:
    """Yields the document's rules: its own constraints, then its entries."""
    if name == "codes":
        yield from (e for e in _objects(name, document, "codes") if "x-check" in e)
        return
    entries = _objects(name, document, "allOf")
    base = {key: value for key, value in document.items() if key not in ("allOf", "$defs")}
    uncoded = [entry for entry in entries if "x-code" not in entry]
    if uncoded:
        base["allOf"] = uncoded
    if "properties" in base:
        base["properties"] = _uncovered(base["properties"])
    yield base
    yield from (entry for entry in entries if "x-code" in entry)


def _uncovered(properties: object) -> dict[str, object]:
    pairs = properties.items() if isinstance(properties, Mapping) else ()
    return {
        name: schema
        for name, schema in pairs
        if not (isinstance(schema, Mapping) and "x-covered-by" in schema)
    }


def _objects(name: str, document: Json, key: str) -> list[Json]:
    entries = document.get(key, [])
    if not isinstance(entries, list) or not all(isinstance(entry, Mapping) for entry in entries):
        raise _broken(name, f"{key} is not a list of objects")
    return entries


def _properties(documents: Mapping[str, Json]) -> Iterator[tuple[str, str, object]]:
    for name in sorted(documents, key=_document_order):
        properties = documents[name].get("properties", {})
        if isinstance(properties, Mapping):
            yield from ((name, str(field), schema) for field, schema in properties.items())


def _type(schema: object) -> object:
    """The first type that a schema names; None: none."""
    kind = schema.get("type") if isinstance(schema, Mapping) else None
    return kind[0] if isinstance(kind, list) and kind else kind


def _broken(name: str, what: str) -> UsageError:
    return UsageError(
        f"schema {name}: {what}",
        hint="Mend the schema; docs/reject-codes.md shows the form of a rule.",
        code="schema_broken",
    )


# --- codes ---------------------------------------------------------------------------------


def _code(name: str, entry: Json) -> Code:
    code, severity = _text(name, entry, "x-code"), _text(name, entry, "x-severity")
    if not CODE_FORM.fullmatch(code):
        raise _broken(name, f"x-code {code!r} is not snake_case of 3 to 64 characters")
    stage = str(entry.get("x-stage", Stage.RULES.value))
    if severity not in ("error", "warning") or stage not in {s.value for s in Stage}:
        raise _broken(name, f"{code} needs x-severity error or warning, and a known x-stage")
    return Code(
        code=code,
        severity=Severity(severity),
        stage=Stage(stage),
        message=_text(name, entry, "x-message"),
        hint=_text(name, entry, "x-hint"),
        strict=bool(entry.get("x-strict", False)),
    )


def _text(name: str, entry: Json, key: str) -> str:
    value = entry.get(key)
    if not isinstance(value, str) or not value.strip():
        raise _broken(name, f"{entry.get('x-code', 'a rule')} has no {key}")
    return value


def _stricter(code: Code) -> Code:
    return replace(code, severity=Severity.ERROR) if code.strict else code


def _changed(known: Mapping[str, Code], name: str, to: str) -> Code:
    """The code under another severity.

    An error of reading or sending cannot be lowered: there is nothing sound to send.
    """
    if name not in known:
        near = get_close_matches(name, known, n=1)
        hint = f"Did you mean {near[0]}?" if near else "docs/reject-codes.md lists all codes."
        raise UsageError(f"[rules] names an unknown code: {name}", hint=hint, code="unknown_code")
    if to not in {s.value for s in Severity}:
        hint = "Use error, warning or off."
        raise UsageError(f"[rules] {name} = {to!r}: no such severity", hint=hint, code="usage")
    code = known[name]
    if code.stage is not Stage.RULES:
        raise UsageError(
            f"[rules] {name}: the severity of a code of stage {code.stage.value} is fixed",
            hint=f"Remove {name} from [rules].",
            code="usage",
        )
    return replace(code, severity=Severity(to))


# --- rules ---------------------------------------------------------------------------------


def _rule(
    name: str,
    document: Json,
    entry: Json,
    *,
    code: Code,
    keys: Sequence[str],
    base: Json,
) -> Rule:
    check = entry.get("x-check", {})
    if not isinstance(check, Mapping):
        raise _broken(name, f"x-check of {code.code} is not an object")
    fields: Iterable[str]
    if check:
        schema, fields = _check_schema(check, base), _check_fields(name, check)
    else:
        schema = _schema(document, entry, keys=keys)
        fields = _fields(schema, schema.get("$defs"))
    event = document.get("x-event")
    return Rule(
        code=code.code,
        severity=code.severity,
        event=None if event in (None, "*") else str(event),
        schema=schema,
        check=check,
        fields=tuple(dict.fromkeys(fields)),
        reads_all=_reads_all(schema, schema.get("$defs")),
    )


def _check_schema(check: Json, base: Json) -> dict[str, object]:
    """What a value must satisfy to be judged by a check: the rule that it names by `unless`."""
    rules = {entry.get("x-code"): entry for entry in _objects("event", base, "allOf")}
    named = _schema(base, rules.get(check.get("unless"), {}), keys=())
    return {**named, "$defs": base.get("$defs", {})}


def _check_fields(name: str, check: Json) -> list[str]:
    fields = check.get("fields", [check.get("field")])
    if not isinstance(fields, list) or not all(isinstance(field, str) for field in fields):
        raise _broken(name, "an x-check names no field")
    return fields


def _schema(document: Json, entry: Json, *, keys: Sequence[str]) -> dict[str, object]:
    """What an entry asks for, with the document's `$defs` where it refers to them."""
    model = entry.get("x-identity-key")
    schema: Json = {key: value for key, value in entry.items() if not key.startswith("x-")}
    for key in keys if isinstance(model, str) else ():
        schema = _like(schema, model=str(model), key=key)
    defs = document.get("$defs")
    return {**schema, "$defs": defs} if defs and '"$ref"' in json.dumps(schema) else dict(schema)


def _like(schema: Json, *, model: str, key: str) -> Json:
    """The schema with `key` read as `model` is: one more alternative, or one more property."""
    branches = schema.get("anyOf")
    properties = schema.get("properties")
    changed = dict(schema)
    if isinstance(branches, list):
        alike = [_renamed(b, model, key) for b in branches if set(_fields(b, None)) == {model}]
        changed["anyOf"] = [*branches, *alike]
    if isinstance(properties, Mapping) and model in properties:
        changed["properties"] = {**properties, key: properties[model]}
    return changed


def _renamed(schema: object, old: str, new: str) -> object:
    """The schema with one property name put for another, in names and in `required`."""
    if isinstance(schema, Mapping):
        return {(new if k == old else k): _renamed(v, old, new) for k, v in schema.items()}
    if isinstance(schema, list):
        return [_renamed(item, old, new) for item in schema]
    return new if schema == old else schema


def _check_document(name: str, document: Json, codes: Mapping[str, Code]) -> None:
    """Raises UsageError for what would leave a part of the document unjudged."""
    if name == "codes":
        return
    if document.get("$schema", DIALECT) != DIALECT:
        raise _broken(name, f"$schema is not {DIALECT}")
    _check_keywords(name, document, top=True)
    properties = document.get("properties", {})
    for field, schema in properties.items() if isinstance(properties, Mapping) else ():
        cover = schema.get("x-covered-by", []) if isinstance(schema, Mapping) else []
        if not isinstance(cover, list) or not all(code in codes for code in cover):
            raise _broken(name, f"x-covered-by of {field} is not a list of known codes")


def _check_keywords(name: str, schema: object, *, top: bool = False) -> None:
    """Raises UsageError for a keyword that no engine would judge."""
    if isinstance(schema, bool):
        return
    if not isinstance(schema, Mapping):
        raise _broken(name, "a subschema is neither an object nor true or false")
    for key, value in schema.items():
        if key == "$defs" and not top:
            raise _broken(name, "$defs stands below the top of the document")
        if key == "$ref" and not re.fullmatch(r"#/\$defs/[^/~%]+", str(value)):
            raise _broken(name, f"$ref {value!r}: only #/$defs/NAME can be referred to")
        for inner in _inner(name, key, value):
            _check_keywords(name, inner)


def _inner(name: str, key: str, value: object) -> Sequence[object]:
    """The subschemas under a keyword."""
    if key in _ONE:
        return [value]
    if key in _LIST and isinstance(value, list):
        return value
    if key in _MAP and isinstance(value, Mapping):
        return list(value.values())
    if key in _PLAIN or key in NOTES or key.startswith("x-"):
        return []
    known = sorted(_ONE | _LIST | _MAP | _PLAIN | NOTES)
    near = get_close_matches(key, known, n=1)
    raise _broken(
        name, f"unknown keyword {key!r}" + "".join(f"; did you mean {n!r}?" for n in near)
    )


def in_place(schema: object, defs: object) -> Iterator[Json]:
    """Yields the schema and all that it applies to the same value: references and combinators.

    References that form a circle are followed once.
    """
    yield from _in_place(schema, defs, seen=frozenset())


def _in_place(schema: object, defs: object, *, seen: frozenset[str]) -> Iterator[Json]:
    if not isinstance(schema, Mapping):
        return
    yield schema
    for key, value in schema.items():
        if key in _INPLACE_ONE:
            yield from _in_place(value, defs, seen=seen)
        elif key in _INPLACE_LIST and isinstance(value, list):
            for inner in value:
                yield from _in_place(inner, defs, seen=seen)
        elif key == "dependentSchemas" and isinstance(value, Mapping):
            for inner in value.values():
                yield from _in_place(inner, defs, seen=seen)
        elif key == "$ref" and value not in seen and isinstance(defs, Mapping):
            target = defs.get(str(value).removeprefix("#/$defs/"))
            yield from _in_place(target, defs, seen=seen | {str(value)})


def _fields(schema: object, defs: object) -> Iterator[str]:
    """Yields the names of fields that a schema over an event reads, some more than once."""
    for part in in_place(schema, defs):
        for key in ("properties", "dependentSchemas"):
            named = part.get(key)
            yield from named if isinstance(named, Mapping) else ()
        required = part.get("required")
        yield from required if isinstance(required, list) else ()
        dependent = part.get("dependentRequired")
        for name, others in dependent.items() if isinstance(dependent, Mapping) else ():
            yield from (name, *others)


def _reads_all(schema: object, defs: object) -> bool:
    return any(_WHOLE & part.keys() for part in in_place(schema, defs))


def _bare(schema: object) -> object:
    """The schema without annotations, which decide nothing."""
    if not isinstance(schema, Mapping):
        return schema
    kept = {k: v for k, v in schema.items() if k not in NOTES and not k.startswith("x-")}
    return {key: _bare_value(key, value) for key, value in kept.items()}


def _bare_value(key: str, value: object) -> object:
    if key in _MAP and isinstance(value, Mapping):
        return {name: _bare(inner) for name, inner in value.items()}
    if key in _LIST and isinstance(value, list):
        return [_bare(inner) for inner in value]
    return _bare(value) if key in _ONE else value
