"""Builds tables of events and asks the validator, jsonschema-rs or a single rule about them."""

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime

import jsonschema_rs
import polars as pl

from ingest.core.model import Json, Severity
from ingest.core.rules import Rule, catalogue, rules_of
from ingest.edges.validator import Kind, Validator, Verdict, load_documents

NOW = datetime(2025, 11, 23, 12, 0, tzinfo=UTC)
DOCUMENTS = load_documents()
RULES = rules_of(DOCUMENTS)
CODES = catalogue(DOCUMENTS)


def table_of(events: Sequence[Mapping[str, str | None]]) -> pl.DataFrame:
    """Events of texts as a table; keys that an event lacks are null."""
    names = list(dict.fromkeys(name for event in events for name in event)) or ["event"]
    columns = {name: [event.get(name) for event in events] for name in names}
    return pl.DataFrame(columns, schema=dict.fromkeys(names, pl.String))


def verdict_of(
    events: Sequence[Mapping[str, str | None]],
    *,
    documents: Mapping[str, Json] = DOCUMENTS,
    kinds: Mapping[str, Kind] | None = None,
    misfits: Sequence[tuple[str, str, pl.Series]] = (),
    now: datetime = NOW,
    **options: object,
) -> Verdict:
    """Judge events of texts by the rules that `options` of `rules_of` put in force."""
    table = table_of(events)
    known = {k: v for k, v in options.items() if k in ("severities", "strict")}
    plain = documents is DOCUMENTS and not options
    validator = Validator(
        RULES if plain else rules_of(documents, **options),
        table.columns,
        codes=CODES if plain else catalogue(documents, **known),
        kinds=kinds,
    )
    return validator.judge(table, misfits, now=now)


def verdict_of_json(
    events: Sequence[Mapping[str, object]],
    *,
    documents: Mapping[str, Json] = DOCUMENTS,
    now: datetime = NOW,
) -> Verdict:
    """Judge events of JSON values: texts and, beside them, the type of each value."""
    names = list(dict.fromkeys(name for event in events for name in event)) or ["event"]
    pairs = {name: [_tagged(event, name) for event in events] for name in names}
    texts = {name: [text for text, _ in cells] for name, cells in pairs.items()}
    tags = {
        name: pl.Series([tag for _, tag in cells], dtype=pl.String) for name, cells in pairs.items()
    }
    table = pl.DataFrame(texts, schema=dict.fromkeys(names, pl.String))
    rules, codes = RULES, CODES
    if documents is not DOCUMENTS:
        rules, codes = rules_of(documents), catalogue(documents)
    validator = Validator(rules, names, codes=codes, kinds=dict.fromkeys(names, "tagged"))
    return validator.judge(table, now=now, kinds=tags)


def codes_of(verdict: Verdict, row: int = 0) -> set[str]:
    """All codes of one row, errors and warnings, read off the bit mask."""
    return {code.code for code in verdict.codes if verdict.rows_with(code.code)[row]}


def errors_of(event: Mapping[str, str | None], **options: object) -> tuple[str, ...]:
    """The codes of severity error of one event of texts."""
    verdict = verdict_of([event], **options)
    return tuple(code for code, _ in verdict.violations(0, severity=Severity.ERROR))


def warnings_of(event: Mapping[str, str | None], **options: object) -> tuple[str, ...]:
    """The codes of severity warning of one event of texts."""
    verdict = verdict_of([event], **options)
    return tuple(code for code, _ in verdict.violations(0, severity=Severity.WARNING))


class NativeJudge:
    """Every rule that is a schema, asked one by one of jsonschema-rs."""

    def __init__(self, rules: Iterable[Rule]) -> None:
        self._rules = [
            (rule.code, rule.event, jsonschema_rs.Draft202012Validator(dict(rule.schema)))
            for rule in rules
            if not rule.check
        ]

    def codes(self, event: Mapping[str, object]) -> set[str]:
        """The codes of the rules that an event breaks."""
        name = event.get("event")
        return {
            code
            for code, only, judge in self._rules
            if only in (None, name) and not judge.is_valid(dict(event))
        }


def _tagged(event: Mapping[str, object], name: str) -> tuple[str | None, str | None]:
    if name not in event:
        return None, None
    value = event[name]
    if isinstance(value, str):
        return value, "string"
    kinds = {bool: "boolean", int: "integer", float: "number", list: "array", dict: "object"}
    return json.dumps(value), kinds.get(type(value), "null")
