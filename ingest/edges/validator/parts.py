"""Binds rules to the columns of a table: each rule as parts that can be judged."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import cast

import jsonschema_rs
import polars as pl

from ingest.core.model import Json
from ingest.core.rules import NOTES, Rule
from ingest.edges.validator.compiler import (
    BY_NAME,
    DEFS,
    Compiler,
    Event,
    Field,
    NotCompiled,
    Valid,
    all_of,
    negated,
)
from ingest.edges.validator.documents import native
from ingest.errors import UsageError


@dataclass(frozen=True, slots=True)
class Part:
    """What one rule asks of some fields, as an expression.

    Args:
        code: The reason code.
        event: The one event it applies to; None: all.
        fields: The fields it is about.
        violated: True, False, never null.
    """

    code: str
    event: str | None
    fields: tuple[str, ...]
    violated: pl.Expr


@dataclass(frozen=True, slots=True)
class NativePart:
    """What one rule asks of some fields, left to jsonschema-rs."""

    code: str
    event: str | None
    fields: tuple[str, ...]
    judge: jsonschema_rs.Draft202012Validator


@dataclass(frozen=True, slots=True)
class TimePart:
    """A rule that compares a time with the present.

    Args:
        code: The reason code.
        event: The one event it applies to; None: all.
        fields: The field with the time, alone.
        check: Which way, and how far.
        unless: The code of the rule that says whether it is a time at all.
        sound: That rule, for where it is not in force.
        said: Whether there is a text that is not blank.
    """

    code: str
    event: str | None
    fields: tuple[str, ...]
    check: Json
    unless: str
    sound: pl.Expr
    said: pl.Expr


AnyPart = Part | NativePart | TimePart


def parts_of(rule: Rule, event: Event, shared: dict[str, pl.Expr]) -> Iterator[AnyPart]:
    """Yields a rule as parts: one for each field where it speaks of fields one by one."""
    if rule.check:
        yield from _check_parts(rule, event, shared)
        return
    compiler = Compiler(cast("Json", rule.schema.get("$defs", {})), shared)
    asked = {
        k: v
        for k, v in rule.schema.items()
        if k not in NOTES | {"$defs"} and not k.startswith("x-")
    }
    try:
        if asked.keys() - BY_NAME <= {"type"} and asked.get("type", "object") == "object":
            named = list(event.by_name(asked))
            for name in dict.fromkeys(name for name, _ in named):
                inner = [schema for other, schema in named if other == name]
                schema: Json = {"properties": {name: {"allOf": inner}}}
                yield from _part(rule, schema, compiler, event, fields=(name,))
            return
    except NotCompiled:
        pass  # a pattern over names: the rule goes to jsonschema-rs as a whole
    fields = tuple(event.fields) if rule.reads_all else rule.fields
    yield from _part(rule, asked, compiler, event, fields=fields)


def _part(
    rule: Rule, schema: Json, compiler: Compiler, event: Event, *, fields: tuple[str, ...]
) -> Iterator[AnyPart]:
    try:
        violated = negated(compiler.valid(schema, event))
    except NotCompiled:
        judge = native({**schema, "$defs": compiler.defs}, rule.code)
        yield NativePart(rule.code, rule.event, fields, judge)
        return
    if violated is not False:
        expression = pl.lit(True) if violated is True else violated
        yield Part(rule.code, rule.event, fields, expression)


def _check_parts(rule: Rule, event: Event, shared: dict[str, pl.Expr]) -> Iterator[AnyPart]:
    """Yields a built-in check where the table has its fields.

    Raises:
        UsageError: The check is unknown.
    """
    known = all(name in event.fields for name in rule.fields)
    match rule.check.get("check"):
        case "later_than_now" | "older_than":
            if known:
                yield _time(rule, event, shared)
        case "differ":
            if known:
                yield Part(rule.code, rule.event, rule.fields, _differ(rule, event, shared))
        case unknown:
            hint = "Use later_than_now, older_than or differ."
            message = f"schema codes: {rule.code} has an unknown check {unknown!r}"
            raise UsageError(message, hint=hint, code="schema_broken")


def _time(rule: Rule, event: Event, shared: dict[str, pl.Expr]) -> TimePart:
    compiler = Compiler(cast("Json", rule.schema["$defs"]), shared)
    one = event.fields[rule.fields[0]]
    texts = all_of([one.present, one.is_a(["string"]), negated(_blank(one, compiler))])
    return TimePart(
        rule.code,
        rule.event,
        rule.fields,
        rule.check,
        unless=str(rule.check.get("unless")),
        sound=_expression(compiler.valid(rule.schema, event)),
        said=_expression(texts),
    )


def _blank(one: Field, compiler: Compiler) -> Valid:
    return compiler.valid({"$ref": f"{DEFS}blank"}, one)


def _expression(valid: Valid) -> pl.Expr:
    expression = pl.lit(valid) if isinstance(valid, bool) else valid
    return expression.fill_null(value=False)


def _differ(rule: Rule, event: Event, shared: dict[str, pl.Expr]) -> pl.Expr:
    """Whether two fields both have a value, and not the same one."""
    first, second = (event.fields[name] for name in rule.fields)
    compiler = Compiler(cast("Json", rule.schema["$defs"]), shared)
    blank = [_blank(one, compiler) for one in (first, second)]
    return _expression(all_of([*map(negated, blank), first.text != second.text]))
