"""Turns JSON Schema into polars expressions.

- A field is a text column and, where it may hold more than text, the JSON type of each value. An
  absent field is null. A column that the table lacks makes its part of the rule a constant.
- Expressions say "this satisfies the schema". For rows without the field they may be null; the
  step that knows about presence (`Event.holds`) settles that, so no null reaches a verdict.
- What is not compiled (nested values, numeric limits, patterns whose meaning might differ between
  engines) raises `NotCompiled`, and jsonschema-rs says.
"""

import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Final, Literal, cast

import polars as pl

from ingest.core.model import Json
from ingest.core.rules import NOTES
from ingest.edges.validator.documents import native

Kind = Literal["text", "number", "integer", "boolean", "json", "tagged"]
Valid = bool | pl.Expr

DEFS: Final = "#/$defs/"
_KINDS: Final = ("null", "boolean", "integer", "number", "string", "array", "object")

# Patterns that mean the same to polars and to jsonschema-rs, by their grammar: no shorthand
# class, no `.`, no group but plain ones, no set operation inside a class.
_PORTABLE: Final = re.compile(
    r"""(?:[^\\.\[\](]|\((?!\?)|\(\?:
      |\\(?:u[0-9A-Fa-f]{4}|[pP]\{\w+\}|[\\/.*+?^$|()\[\]{}-])
      |\[\^?(?:[^\\\[\]]|\\(?:u[0-9A-Fa-f]{4}|[pP]\{\w+\}|[\\/.*+?^$|()\[\]{}-]))+\])*""",
    re.VERBOSE,
)
_SET_OPERATIONS: Final = re.compile(r"&&|--|~~")

_SKIPPED: Final = NOTES | {"$defs", "then", "else"}
_STRING_WORDS: Final = frozenset({"pattern", "minLength", "maxLength", "format"})
_NUMBER_WORDS: Final = frozenset(
    {"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"}
)
BY_NAME: Final = frozenset({"properties", "patternProperties", "additionalProperties"})
_UNCOMPILED: Final = frozenset(
    {"const", "enum", "maxProperties", "minProperties", "unevaluatedProperties"}
)


class NotCompiled(Exception):  # noqa: N818 - a branch of the compiler, not an error
    """The keyword is left to jsonschema-rs."""


def all_of(parts: Iterable[Valid]) -> Valid:
    """The conjunction, constants folded."""
    kept: list[pl.Expr] = []
    for part in parts:
        if part is False:
            return False
        if not isinstance(part, bool):
            kept.append(part)
    return reduce(lambda a, b: a & b, kept) if kept else True


def any_of(parts: Iterable[Valid]) -> Valid:
    """The disjunction, constants folded."""
    kept: list[pl.Expr] = []
    for part in parts:
        if part is True:
            return True
        if not isinstance(part, bool):
            kept.append(part)
    return reduce(lambda a, b: a | b, kept) if kept else False


def negated(part: Valid) -> Valid:
    """The opposite, constants folded."""
    return not part if isinstance(part, bool) else part.not_()


def one_of(parts: Sequence[Valid]) -> Valid:
    """Whether exactly one holds, constants folded."""
    sure = sum(part is True for part in parts)
    open_ = [part.cast(pl.UInt16) for part in parts if not isinstance(part, bool)]
    return reduce(lambda a, b: a + b, open_) == 1 - sure if open_ else sure == 1


@dataclass(frozen=True, slots=True)
class Field:
    """One field of the event.

    Args:
        text: Its text, null where absent: the value itself for a string, JSON for all else.
        kind: The JSON type of all its values; `tagged`: it differs from row to row.
        tag: The JSON type of each value, null where absent; only with `tagged`.
    """

    text: pl.Expr
    kind: Kind
    tag: pl.Expr

    @property
    def present(self) -> pl.Expr:
        """Whether the event has it, if only as null."""
        return (self.tag if self.kind == "tagged" else self.text).is_not_null()

    def is_a(self, types: Iterable[str]) -> Valid:
        """Whether a present value is of one of these JSON types."""
        wanted = set(types) | ({"integer"} if "number" in types else set())
        if self.kind == "number" and "integer" in wanted and "number" not in types:
            raise NotCompiled
        if self.kind != "tagged":
            return ("string" if self.kind == "text" else self.kind) in wanted
        if wanted.issuperset(_KINDS):
            return True
        return any_of(self.tag == name for name in sorted(wanted))

    def keyword(self, key: str, value: object, schema: Json, compiler: "Compiler") -> Valid:
        """Whether a present value satisfies one keyword."""
        del schema, compiler
        if key == "type":
            return self.is_a([value] if isinstance(value, str) else cast("list[str]", value))
        if key in ("enum", "const"):
            return self._equals(cast("list[object]", value) if key == "enum" else [value])
        if key in _STRING_WORDS:
            return any_of([negated(self.is_a(["string"])), _string(key, value, self.text)])
        plain = {"text", "boolean"} if key in _NUMBER_WORDS else {"text", "boolean", "number"}
        if self.kind in plain or (self.kind == "integer" and key not in _NUMBER_WORDS):
            return True  # the keyword is about values of another type
        raise NotCompiled

    def _equals(self, values: Sequence[object]) -> Valid:
        texts = [value for value in values if isinstance(value, str)]
        words = [value for value in values if value is None or isinstance(value, bool)]
        rest = len(values) - len(texts) - len(words)
        if self.kind in ("number", "integer", "tagged") and rest:
            raise NotCompiled  # 1 and 1.0 are equal in JSON Schema; nested values are compared whole
        alike = any_of(self.text == text for text in texts)
        found = [all_of([self.is_a(["string"]), alike])]
        for word in words:
            kind = "null" if word is None else "boolean"
            same = True if word is None else self.text == json.dumps(word)
            found.append(all_of([self.is_a([kind]), same]))
        return any_of(found)


def _string(key: str, value: object, text: pl.Expr) -> Valid:
    """Whether a text satisfies a keyword about strings."""
    if key == "minLength":
        return text.str.len_chars() >= cast("int", value)
    if key == "maxLength":
        return text.str.len_chars() <= cast("int", value)
    if key == "pattern" and is_portable(str(value)):
        return text.str.contains(str(value))
    raise NotCompiled


def is_portable(pattern: str) -> bool:
    """Whether polars and jsonschema-rs are known to read a pattern alike."""
    return bool(_PORTABLE.fullmatch(pattern)) and not _SET_OPERATIONS.search(pattern)


@dataclass(frozen=True, slots=True)
class Event:
    """The event itself: an object whose keys are the columns of the table."""

    fields: Mapping[str, Field]

    def present(self, name: str) -> Valid:
        """Whether the event has a field, if only as null."""
        return self.fields[name].present if name in self.fields else False

    def keyword(self, key: str, value: object, schema: Json, compiler: "Compiler") -> Valid:
        """Whether the event satisfies one keyword."""
        if key == "type":
            return "object" in cast("str | list[str]", value)
        if key == "required":
            return all_of(self.present(name) for name in cast("list[str]", value))
        if key in BY_NAME:
            found = self.by_name({**schema, "": key}, only=key)
            return all_of(self.holds(name, inner, compiler) for name, inner in found)
        if key == "propertyNames":
            judge = native(
                cast("Json", {"allOf": [value], "$defs": compiler.defs}), "propertyNames"
            )
            return all_of(negated(self.present(n)) for n in self.fields if not judge.is_valid(n))
        if key in ("dependentRequired", "dependentSchemas"):
            return self._dependent(cast("Mapping[str, object]", value), compiler)
        if key in _UNCOMPILED:
            raise NotCompiled
        return True  # the keyword is about values that are no objects

    def _dependent(self, value: Mapping[str, object], compiler: "Compiler") -> Valid:
        def then(inner: object) -> Valid:
            return compiler.valid({"required": inner} if isinstance(inner, list) else inner, self)

        return all_of(any_of([negated(self.present(n)), then(inner)]) for n, inner in value.items())

    def holds(self, name: str, schema: object, compiler: "Compiler") -> Valid:
        """Whether a field that the table has is absent or satisfies a subschema."""
        one = self.fields[name]
        return any_of([negated(one.present), compiler.valid(schema, one)])

    def by_name(self, schema: Json, *, only: str | None = None) -> Iterator[tuple[str, object]]:
        """Yields the columns that a schema speaks of by name or pattern, with what it asks.

        Raises:
            NotCompiled: A pattern over names is not portable.
        """
        named = cast("Mapping[str, object]", schema.get("properties", {}))
        patterns = cast("Mapping[str, object]", schema.get("patternProperties", {}))
        matched = {pattern: _matching(self.fields, pattern) for pattern in patterns}
        if only in (None, "properties"):
            yield from ((n, inner) for n, inner in named.items() if n in self.fields)
        if only in (None, "patternProperties"):
            yield from ((n, patterns[p]) for p, names in matched.items() for n in names)
        if only in (None, "additionalProperties") and "additionalProperties" in schema:
            others = set(self.fields).difference(named, *matched.values())
            yield from ((n, schema["additionalProperties"]) for n in self.fields if n in others)


def _matching(names: Iterable[str], pattern: str) -> list[str]:
    if not is_portable(pattern):
        raise NotCompiled
    series = pl.Series(list(names), dtype=pl.String)
    return series.filter(series.str.contains(pattern)).to_list()


@dataclass(frozen=True, slots=True)
class Compiler:
    """Turns schemas into expressions.

    Args:
        defs: What `$ref` refers to.
        shared: What `$ref` asks of a field, by reference and field, under a column's name: it is
            worked out once, however many rules ask.
        following: The references that are being followed: a circle is not compiled.
    """

    defs: Json
    shared: dict[str, pl.Expr]
    following: frozenset[str] = frozenset()

    def valid(self, schema: object, at: Event | Field) -> Valid:
        """Whether what stands there satisfies the schema.

        Raises:
            NotCompiled: jsonschema-rs must say.
        """
        if isinstance(schema, bool):
            return schema
        known = cast("Json", schema)
        keys = (key for key in known if key not in _SKIPPED and not key.startswith("x-"))
        return all_of([self._keyword(key, known, at) for key in keys])

    def _keyword(self, key: str, schema: Json, at: Event | Field) -> Valid:
        value = schema[key]
        if key in ("allOf", "anyOf", "oneOf"):
            parts = [self.valid(inner, at) for inner in cast("list[object]", value)]
            return {"allOf": all_of, "anyOf": any_of, "oneOf": one_of}[key](parts)
        if key == "not":
            return negated(self.valid(value, at))
        if key == "if":
            then, other = schema.get("then", True), schema.get("else", True)
            holds, yes, no = (self.valid(inner, at) for inner in (value, then, other))
            return all_of([any_of([negated(holds), yes]), any_of([holds, no])])
        if key == "$ref":
            return self._referred(str(value), at)
        return at.keyword(key, value, schema, self)

    def _referred(self, ref: str, at: Event | Field) -> Valid:
        name = ref.removeprefix(DEFS)
        if ref in self.following or name not in self.defs:
            raise NotCompiled
        inner = Compiler(self.defs, self.shared, self.following | {ref})
        valid = inner.valid(self.defs[name], at)
        if isinstance(valid, bool) or isinstance(at, Event) or self.following:
            return valid
        meaning = json.dumps([at.text.meta.output_name(), self.defs[name]], sort_keys=True)
        column = f"s{hashlib.sha256(meaning.encode()).hexdigest()}"
        self.shared[column] = valid
        return pl.col(column)
