"""Judges tables: all compiled rules in one pass over the columns, the rest row by row."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from functools import reduce
from typing import Final, cast

import numpy as np
import polars as pl

from ingest.core.rules import Code, Rule
from ingest.edges.validator.compiler import Event, Field, Kind, Valid, all_of, any_of
from ingest.edges.validator.parts import AnyPart, NativePart, Part, TimePart, parts_of
from ingest.edges.validator.times import beyond, limits
from ingest.edges.validator.values import decoded, value_of
from ingest.edges.validator.verdict import BITS, Found, Verdict
from ingest.errors import BugError

_FEW_NAMES: Final = 1_000  # names in a table; more would cost more than they save


class Validator:
    """Rules, bound to the columns of one source.

    Args:
        rules: As `rules_of` gives them.
        columns: The fields of the tables to come, by name, in order.
        codes: As `catalogue` gives them.
        kinds: The JSON type of a field's values where it is not text: `number`, `integer`,
            `boolean`, `json` (the column holds JSON text), or `tagged` (it differs from row to
            row and comes with each table).

    Raises:
        UsageError: A rule cannot be used.
    """

    def __init__(
        self,
        rules: Sequence[Rule],
        columns: Sequence[str],
        *,
        codes: Mapping[str, Code],
        kinds: Mapping[str, Kind] | None = None,
    ) -> None:
        self._columns = tuple(columns)
        self._codes = dict(codes)
        self._kinds: dict[str, Kind] = {name: (kinds or {}).get(name, "text") for name in columns}
        self._event = Event(
            {
                name: Field(
                    text=pl.col(f"t{i}"),
                    kind="tagged" if self._kinds[name] == "json" else self._kinds[name],
                    tag=pl.col(f"k{i}"),
                )
                for i, name in enumerate(self._columns)
            }
        )
        self._event_column = f"t{self._columns.index('event')}" if "event" in columns else ""
        self._shared: dict[str, pl.Expr] = {}
        parts = [part for rule in rules for part in parts_of(rule, self._event, self._shared)]
        self._parts = tuple(part for part in parts if self._can_apply(part))

    @property
    def natively_judged(self) -> tuple[str, ...]:
        """The codes of rules that jsonschema-rs judges, at about a hundredth of the speed."""
        return tuple(dict.fromkeys(p.code for p in self._parts if isinstance(p, NativePart)))

    def judge(
        self,
        table: pl.DataFrame,
        misfits: Sequence[tuple[str, str, pl.Series]] = (),
        *,
        now: datetime,
        kinds: Mapping[str, pl.Series] | None = None,
    ) -> Verdict:
        """Judge every row by every rule.

        Args:
            table: The events: String columns named as `columns`; null: absent.
            misfits: (code, field, rows) found while converting. In those rows the other rules
                about that field say nothing: its value is not known.
            now: The present, with its zone; one for a whole run, or verdicts depend on speed.
            kinds: For each `tagged` column the JSON type of each value, null where absent.

        Raises:
            BugError: The table has other columns than the validator.
        """
        if tuple(table.columns) != self._columns:
            raise BugError("the table's columns are not those that the rules were bound to")
        frame = self._frame(table, kinds or {}, misfits)
        known = [Found(code, (name,), rows.fill_null(value=False)) for code, name, rows in misfits]
        unfit = {name for _, name, _ in misfits}
        names = self._names(frame)
        parts = [p for p in self._parts if names is None or p.event is None or p.event in names]
        compiled = [p for p in parts if isinstance(p, Part)]
        if names is not None:
            compiled = self._by_names(compiled, names)
        lazy = [Found(p.code, p.fields, self._limited(p, unfit) & p.violated) for p in compiled]
        natives = (p for p in parts if isinstance(p, NativePart))
        known += [Found(p.code, p.fields, self._ask(p, frame, unfit)) for p in natives]
        flags = self._flags(frame, lazy, known)
        for part in parts:
            if isinstance(part, TimePart):
                rows = self._timed(part, frame, unfit, now=now, flags=flags)
                known.append(Found(part.code, part.fields, rows))
                flags[part.code] = flags[part.code] | rows if part.code in flags else rows
        return self._verdict(frame, flags, found=[*known, *lazy])

    def _can_apply(self, part: AnyPart) -> bool:
        return part.event is None or "event" in self._event.fields

    def _frame(
        self,
        table: pl.DataFrame,
        kinds: Mapping[str, pl.Series],
        misfits: Sequence[tuple[str, str, pl.Series]],
    ) -> pl.DataFrame:
        """The table under safe names: t for text, k for kind, u for unknown, and a number.

        polars reads a column name such as `^x$` as a pattern.
        """
        columns: list[pl.Series] = []
        for i, name in enumerate(self._columns):
            text, tag = table[name], kinds.get(name)
            if self._kinds[name] == "json":
                text, tag = decoded(text)
            columns.append(text.alias(f"t{i}"))
            columns += [] if tag is None else [tag.alias(f"k{i}")]
            unfit = [rows.fill_null(value=False) for _, field_, rows in misfits if field_ == name]
            if unfit:
                columns.append(reduce(lambda a, b: a | b, unfit).alias(f"u{i}"))
        return pl.DataFrame(columns).with_columns(**self._shared)

    def _names(self, frame: pl.DataFrame) -> pl.Series | None:
        """The event names that occur; None where there are too many for that to be of use."""
        if self._kinds.get("event") != "text":
            return None
        names = frame[self._event_column].unique()
        return names if len(names) <= _FEW_NAMES else None

    def _by_names(self, parts: Sequence[Part], names: pl.Series) -> list[Part]:
        """The parts about the event's name alone judged on the names that occur."""
        column = self._event_column
        shared = {k: e for k, e in self._shared.items() if set(e.meta.root_names()) == {column}}
        small = pl.DataFrame({column: names}).with_columns(**shared)
        result: list[Part] = []
        for part in parts:
            if not set(part.violated.meta.root_names()) <= set(small.columns):
                result.append(part)
                continue
            wrong = small.filter(part.violated)[column]
            if len(wrong):
                violated = pl.col(column).is_in(wrong.implode(), nulls_equal=True)
                result.append(replace(part, violated=violated))
        return result

    def _limited(self, part: AnyPart, unfit: set[str]) -> pl.Expr:
        """The rows that a part speaks of: its event's, with every field known."""
        bounds: list[Valid] = []
        if part.event is not None:
            event = self._event.fields["event"]
            bounds.append(all_of([event.is_a(["string"]), event.text == part.event]))
        unknown = [self._columns.index(name) for name in unfit.intersection(part.fields)]
        limit = all_of([*bounds, *(pl.col(f"u{i}").not_() for i in sorted(unknown))])
        return pl.lit(limit) if isinstance(limit, bool) else limit.fill_null(value=False)

    def _ask(self, part: NativePart, frame: pl.DataFrame, unfit: set[str]) -> pl.Series:
        """The rows that jsonschema-rs finds wanting."""
        names = [name for name in part.fields if name in self._event.fields]
        concerned = self._limited(part, unfit)
        if part.judge.is_valid({}):
            concerned &= cast("pl.Expr", any_of(self._event.fields[name].present for name in names))
        looked = frame.select(rows=concerned & pl.repeat(value=True, n=pl.len()))["rows"]
        rows = looked.arg_true()
        cells = [self._values(frame[rows], name) for name in names]
        events = zip(*cells, strict=True) if cells else iter([()] * len(rows))
        wanting = np.zeros(frame.height, dtype=np.bool_)
        for row, values in zip(rows.to_list(), events, strict=True):
            event = {n: v[0] for n, v in zip(names, values, strict=True) if v is not None}
            wanting[row] = not part.judge.is_valid(event)
        return pl.Series(wanting)

    def _values(self, frame: pl.DataFrame, name: str) -> list[tuple[object] | None]:
        """The values of one field, each in a tuple; None: absent."""
        i = self._columns.index(name)
        texts = frame[f"t{i}"].to_list()
        kind = self._kinds[name]
        if kind == "text":
            return [None if text is None else (text,) for text in texts]
        tags = frame[f"k{i}"].to_list() if f"k{i}" in frame.columns else [kind] * len(texts)
        return [value_of(name, text, tag) for text, tag in zip(texts, tags, strict=True)]

    def _flags(
        self, frame: pl.DataFrame, lazy: Sequence[Found], known: Sequence[Found]
    ) -> dict[str, pl.Series]:
        """For each code, the rows that have it: all expressions in one pass."""
        by_code: dict[str, list[pl.Expr]] = {}
        for one in lazy:
            by_code.setdefault(one.code, []).append(cast("pl.Expr", one.rows))
        expressions = {
            f"c_{code}": cast("pl.Expr", any_of(parts)) for code, parts in by_code.items()
        }
        wide = frame.with_columns(**expressions)
        flags = {code: wide[f"c_{code}"] for code in by_code}
        for one in known:
            rows = cast("pl.Series", one.rows)
            flags[one.code] = flags[one.code] | rows if one.code in flags else rows
        return flags

    def _timed(
        self,
        part: TimePart,
        frame: pl.DataFrame,
        unfit: set[str],
        *,
        now: datetime,
        flags: Mapping[str, pl.Series],
    ) -> pl.Series:
        """The rows whose time is too late, or too long ago."""
        one = self._event.fields[part.fields[0]]
        judged = self._limited(part, unfit) & part.said
        spoilt = flags.get(part.unless)
        judged = judged if spoilt is not None else judged & part.sound
        looked = frame.select(judged=judged, text=one.text)
        rows = looked["judged"] if spoilt is None else looked["judged"] & spoilt.not_()
        later = part.check["check"] == "later_than_now"
        events = frame[self._event_column] if "event" in self._columns else None
        found = beyond(looked["text"], events, limits(part.check, now), later=later)
        return found & rows

    def _verdict(
        self, frame: pl.DataFrame, flags: Mapping[str, pl.Series], *, found: Sequence[Found]
    ) -> Verdict:
        unknown = sorted(flags.keys() - self._codes.keys())
        if unknown:
            raise BugError(f"no such reason code: {', '.join(unknown)}")
        mine = {part.code for part in self._parts} | flags.keys()
        codes = tuple(code for name, code in self._codes.items() if name in mine)
        words = [np.zeros(frame.height, dtype=np.uint64) for _ in range(0, len(codes) or 1, BITS)]
        counts = {code: int(rows.sum()) for code, rows in flags.items()}
        for i, code in enumerate(codes):
            if counts.get(code.code):
                bits = flags[code.code].to_numpy().astype(np.uint64)
                words[i // BITS] |= bits << np.uint64(i % BITS)
        return Verdict(tuple(words), codes, counts, found, frame)
