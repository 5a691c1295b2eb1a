"""What differs between tables and JSON lines: how records are read, judged and written.

A `Form` reads the frames of one source and gives a `Look` at each. All that is counted, reported
and sent is the same for both and stands in `prepare`.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from functools import cached_property
from itertools import accumulate
from typing import Any, Protocol, cast
from uuid import UUID

import numpy as np
import numpy.typing as npt
import orjson
import polars as pl

from ingest.core.json_mapping import JsonMapping
from ingest.core.mapping import EVENT, EVENT_UUID, TIMESTAMP, Field
from ingest.core.mapping import Mapping as FieldMapping
from ingest.core.model import Dialect, Position, Severity
from ingest.core.rules import BASE_CODE
from ingest.edges import encoder, framing, jsonl
from ingest.edges.validator import Apart, Explainer, Kind, Validator, Verdict
from ingest.pipeline.sources import IDENTITY_FIELDS, RuleBook

Flags = npt.NDArray[np.bool_]
Ints = npt.NDArray[np.int64]
Frame = framing.Frame | jsonl.Frame
Fault = framing.Fault | jsonl.Fault

Record = Any
"""A sound record by itself: the cells of a row, or the bytes of a line."""

Reason = tuple[tuple[str, ...], str]
"""Columns, and a text that follows the message of the rule; empty without."""

Evidence = tuple[tuple[str | None, ...] | None, bytes | None]
"""What a report shows of a row: its cells, or its bytes."""

_NOWHERE = Position(0, 0, 1)
_NO: Reason = ((), "")

INTEGER_IDENTITY = "identity_integer"
KEY_MISSING = "uuid_key_missing"
_GROUP = 512
_PLAIN_KINDS = {"text", "integer", "boolean"}


class Encoded(Protocol):
    """Events in one buffer: see the encoders."""

    @property
    def body(self) -> bytes:
        """JSON objects with one comma between."""
        ...

    @property
    def ends(self) -> list[int]:
        """Where each ends."""
        ...


class Look(Protocol):
    """The records of one frame, as they are judged and sent; rows are its sound records."""

    @property
    def frame(self) -> Frame:
        """The frame."""
        ...

    @property
    def times(self) -> pl.Series | None:
        """The event's time of each row, if there are any."""
        ...

    @property
    def names(self) -> pl.Series | None:
        """The event's name of each row, if there are any."""
        ...

    def judge(self, now: datetime) -> Verdict:
        """Judge every row by every rule."""
        ...

    def marks(self) -> Mapping[str, Ints]:
        """Warnings that no rule gives: rows by code."""
        ...

    def encode(self, wanted: Flags, *, made: pl.Series | None = None) -> Encoded:
        """Write rows as events; `made` has other ids than `made_uuids` for all of them."""
        ...

    def made_uuids(self, rows: Ints) -> pl.Series:
        """The `event_uuid` of some rows, where they have none of their own."""
        ...

    def ends(self, wanted: Flags) -> list[int]:
        """Where each event would end in the buffer, with nothing written."""
        ...

    def given_uuid(self, row: int) -> str | None:
        """The row's own `event_uuid`; None where it has none, or a blank one."""
        ...

    def evidence(self, rows: Ints) -> Sequence[Evidence]:
        """What a report shows of each of some rows."""
        ...

    def explain(self, row: int, code: str, fields: Sequence[str]) -> Reason:
        """Say where the source has what a rule found wrong, and more of it where more is known."""
        ...


class Form(Protocol):
    """How one source is read."""

    def looks(
        self, at: Position, *, stop: int | None, limit: int | None, size: int
    ) -> Iterator[Look]:
        """Yield the frames from a record boundary on."""
        ...

    def read(self, raw: bytes) -> tuple[Record | None, Sequence[Fault]]:
        """Give the one record that some bytes are, or its faults; neither where it is not one."""
        ...

    def back(self, records: Sequence[Record], offsets: Ints) -> Look:
        """Look at sound records that came back mended, in the places where they were."""
        ...


class Described(Protocol):
    """What is known of a source without reading it."""

    @property
    def book(self) -> RuleBook:
        """Its rules."""
        ...

    @property
    def dialect(self) -> Dialect:
        """How it is written."""
        ...

    @property
    def columns(self) -> tuple[str, ...]:
        """Its header."""
        ...

    @property
    def mapping(self) -> FieldMapping | JsonMapping:
        """What of a record is sent."""
        ...


def form_of(
    opened: Described, *, read_at: framing.ReadAt, source_id: UUID, limits: framing.Limits
) -> Form:
    """Give the form of a source.

    Args:
        opened: Its header and mapping.
        read_at: Reads that prove themselves.
        source_id: What its event_uuids hang on.
        limits: Of framing.

    Raises:
        UsageError: A rule, a constant or the time zone cannot be used.
    """
    if isinstance(opened.mapping, JsonMapping):
        return _Jsonl(opened, opened.mapping, read_at, source_id, limits)
    return _Csv(opened, opened.mapping, read_at, source_id, limits)


def made_ids(source_id: UUID, offsets: Ints, keys: Sequence[pl.Series]) -> pl.Series:
    """Give ids made from key columns; from places where there are none, or one is null."""
    if not keys:
        return encoder.uuid_series(source_id, offsets)
    missing = _missing(keys)
    made = encoder.keyed_series([key.fill_null("") for key in keys])
    if not len(missing):
        return made
    places = encoder.uuid_series(source_id, offsets[missing])
    return made.scatter(missing, places)


def _value(text: str, kind: str) -> object:
    if kind == "text":
        return text
    try:
        return orjson.loads(text)
    except ValueError:  # a cell that does not fit its type
        return text


def key_of(values: pl.Series, nulls: Sequence[str]) -> pl.Series:
    """Give a key column, with null where a cell is empty, blank or a null token."""
    blank = (values.str.strip_chars() == "") | values.is_in(list(nulls))
    return values.set(blank, None)


def _missing(keys: Sequence[pl.Series]) -> Ints:
    """Rows in which a key column has nothing; none where there are no keys."""
    if not keys:
        return np.zeros(0, dtype=np.int64)
    flags = [key.is_null().to_numpy() for key in keys]
    return np.flatnonzero(np.logical_or.reduce(flags))


def rewriter_of(mapping: JsonMapping) -> jsonl.Rewriter:
    """Give what makes the changes of a mapping in lines."""
    converter = encoder.Encoder(mapping.conversions)

    def convert(table: pl.DataFrame) -> tuple[pl.DataFrame, list[tuple[str, str, pl.Series]]]:
        mapped = converter.map(table)
        return mapped.table, mapped.misfits

    return jsonl.Rewriter(mapping, convert)


def placed(offsets: Ints) -> dict[str, Any]:
    """Give what a frame of records that came back says of their places."""
    count, none = len(offsets), np.zeros(0, dtype=np.int64)
    return {
        "start": _NOWHERE,
        "stop": _NOWHERE,
        "rows": np.arange(count),
        "offsets": offsets,
        "ends": offsets,
        "lines": np.zeros(count, dtype=np.int64),
        "faults": (),
        "resynced": none,
        "blank_lines": 0,
        "unterminated": False,
    }


# -- tables ----------------------------------------------------------------------------------


class _Csv:
    def __init__(
        self,
        opened: Described,
        mapping: FieldMapping,
        read_at: framing.ReadAt,
        source_id: UUID,
        limits: framing.Limits,
    ) -> None:
        self._opened = opened
        self._read_at = read_at
        self._limits = limits
        self.mapping = mapping
        self.source_id = source_id
        self.codes = opened.book.codes
        self.explainer = Explainer(opened.book.rules)
        self.encoder = encoder.Encoder(mapping)
        self.validator = Validator(
            opened.book.rules,
            [field.name for field in mapping.fields],
            codes=opened.book.codes,
            kinds={field.name: field.json_type for field in mapping.fields},
        )

    def looks(
        self, at: Position, *, stop: int | None, limit: int | None, size: int
    ) -> Iterator[Look]:
        for frame in framing.frames(
            self._read_at,
            size=size,
            start=at,
            stop_offset=stop,
            columns=self._opened.columns,
            dialect=self._opened.dialect,
            limits=self._limits,
            max_records=limit,
        ):
            yield _CsvLook(self, frame)

    def read(self, raw: bytes) -> tuple[Record | None, Sequence[Fault]]:
        line = raw + b"\n"
        found = list(
            framing.frames(
                lambda offset, size: line[offset : offset + size],
                size=len(line),
                start=_NOWHERE,
                columns=self._opened.columns,
                dialect=self._opened.dialect,
                limits=self._limits,
            )
        )
        faults = [fault for frame in found for fault in frame.faults]
        rows = [row for frame in found for row in frame.table.iter_rows()]
        one = len(rows) == 1 and not faults
        return rows[0] if one else None, faults

    def back(self, records: Sequence[Record], offsets: Ints) -> Look:
        columns = {
            name: pl.Series([record[place] or None for record in records], dtype=pl.String)
            for place, name in enumerate(self._opened.columns)
        }
        return _CsvLook(self, framing.Frame(table=pl.DataFrame(columns), **placed(offsets)))


class _CsvLook:
    def __init__(self, form: _Csv, frame: framing.Frame) -> None:
        self._form = form
        self.frame = frame

    @cached_property
    def _mapped(self) -> encoder.Mapped:
        return self._form.encoder.map(self.frame.table)

    @property
    def times(self) -> pl.Series | None:
        return self._mapped.times

    @property
    def names(self) -> pl.Series | None:
        return self._mapped.table[EVENT] if EVENT in self._mapped.table.columns else None

    def judge(self, now: datetime) -> Verdict:
        misfits = list(self._mapped.misfits)
        if self._keyless and self._severity is Severity.ERROR:
            flags = np.zeros(self._mapped.table.height, dtype=np.bool_)
            flags[self._keyless[KEY_MISSING]] = True
            misfits.append((KEY_MISSING, "", pl.Series(flags)))
        return self._form.validator.judge(self._mapped.table, misfits, now=now)

    def marks(self) -> Mapping[str, Ints]:
        return self._keyless if self._severity is Severity.WARNING else {}

    @property
    def _severity(self) -> Severity:
        return self._form.codes[KEY_MISSING].severity

    @cached_property
    def _keyless(self) -> Mapping[str, Ints]:
        missing = _missing(self._keys)
        return {KEY_MISSING: missing} if len(missing) else {}

    @cached_property
    def _keys(self) -> list[pl.Series]:
        """Key columns, with null where a cell is empty, blank or a null token."""
        mapping = self._form.mapping
        return [key_of(self.frame.table[name], mapping.nulls) for name in mapping.key]

    def encode(self, wanted: Flags, *, made: pl.Series | None = None) -> Encoded:
        uuids = self.made_uuids(np.flatnonzero(wanted)) if made is None else made
        return self._form.encoder.encode(self._mapped.table.filter(pl.Series(wanted)), uuids=uuids)

    def made_uuids(self, rows: Ints) -> pl.Series:
        offsets = self.frame.offsets[self.frame.rows[rows]]
        return made_ids(self._form.source_id, offsets, [key.gather(rows) for key in self._keys])

    def ends(self, wanted: Flags) -> list[int]:
        sizes = self._form.encoder.sizes(self._mapped.table).filter(pl.Series(wanted))
        return (sizes.cum_sum() - 1).to_list()

    def given_uuid(self, row: int) -> str | None:
        table = self._mapped.table
        given = table[EVENT_UUID][row] if EVENT_UUID in table.columns else None
        return given if given and given.strip() else None

    def evidence(self, rows: Ints) -> Sequence[Evidence]:
        return [(cells, None) for cells in self.frame.table[rows].iter_rows()]

    def explain(self, row: int, code: str, fields: Sequence[str]) -> Reason:
        members, detail = (
            self._form.explainer.explain(self._event(row)) if code == BASE_CODE else _NO
        )
        named = self._columns(members) or self._columns(fields)
        return named, detail

    def _event(self, row: int) -> dict[str, object]:
        """A row as it would be sent, for words about it."""
        table = self._mapped.table
        kinds = {field.name: field.json_type for field in self._form.mapping.fields}
        cells = zip(table.columns, table.row(row), strict=True)
        return {name: _value(text, kinds[name]) for name, text in cells if text is not None}

    def _columns(self, fields: Sequence[str]) -> tuple[str, ...]:
        return tuple(column for name in fields for column in self._form.mapping.columns_of(name))


# -- JSON lines ------------------------------------------------------------------------------


class _Jsonl:
    def __init__(
        self,
        opened: Described,
        mapping: JsonMapping,
        read_at: framing.ReadAt,
        source_id: UUID,
        limits: framing.Limits,
    ) -> None:
        book = opened.book
        self._read_at = read_at
        self._limits = jsonl.Limits(
            chunk_bytes=limits.chunk_bytes, max_record_bytes=limits.max_record_bytes
        )
        self.mapping = mapping
        self.source_id = source_id
        self.codes = book.codes
        self.apart = Apart(book.rules)
        self.explainer = Explainer(book.rules)
        self.clock = encoder.Encoder(
            FieldMapping((Field(TIMESTAMP, TIMESTAMP),), timezone=mapping.timezone)
        )
        self.rewriter = None if mapping.plain else rewriter_of(mapping)
        self.wanted = self._wanted(opened, mapping)
        self.collector = jsonl.Collector(self.wanted)
        self._kinds: dict[str, Kind] = {}
        self._validator: Validator | None = None

    def _wanted(self, opened: Described, mapping: JsonMapping) -> jsonl.Wanted:
        book = opened.book
        identities = tuple(dict.fromkeys((*IDENTITY_FIELDS, *book.identity)))
        named = {name for rule in book.rules for name in rule.fields}
        named |= {EVENT_UUID, TIMESTAMP, *identities}
        paths = [*(mapping.only or ()), *(change.source for change in mapping.changes)]
        touched = {part for path in paths if path for part in (path, path.split(".")[0])}
        touched |= {change.name for change in mapping.changes}
        return jsonl.Wanted(
            named=frozenset(named),
            watched=frozenset({*named, *book.known, *touched}),
            identities=identities,
            rest=self.apart.of_members,
            whole=self.apart.of_event if self.apart.asks_whole else None,
        )

    def looks(
        self, at: Position, *, stop: int | None, limit: int | None, size: int
    ) -> Iterator[Look]:
        frames = jsonl.frames(
            self._read_at,
            size=size,
            start=at,
            stop_offset=stop,
            limits=self._limits,
            max_records=limit,
            take=self.collector.take if self.rewriter is None else None,
        )
        for frame in frames:
            yield self._look(frame)

    def read(self, raw: bytes) -> tuple[Record | None, Sequence[Fault]]:
        line = raw + b"\n"
        found = list(
            jsonl.frames(
                lambda offset, size: line[offset : offset + size],
                size=len(line),
                start=_NOWHERE,
                limits=self._limits,
            )
        )
        faults = [fault for frame in found for fault in frame.faults]
        objects = [each for frame in found for each in frame.objects]
        one = len(objects) == 1 and not faults
        return objects[0] if one else None, faults

    def back(self, records: Sequence[Record], offsets: Ints) -> Look:
        frame = jsonl.Frame(objects=list(records), blocks=(), **placed(offsets))
        if self.rewriter is None:
            self._gather(frame.objects)
        return self._look(frame)

    def _gather(self, objects: Sequence[bytes]) -> None:
        for begin in range(0, len(objects), _GROUP):
            group = objects[begin : begin + _GROUP]
            self.collector.take(group, list(map(orjson.loads, group)))

    def _look(self, frame: jsonl.Frame) -> Look:
        if self.rewriter is None:
            return _JsonlLook(self, frame, frame.objects, self.collector.events(), None)
        rewritten = self.rewriter.rewrite(frame.objects)
        self._gather(rewritten.objects)
        events = self.collector.events()
        return _JsonlLook(self, frame, rewritten.objects, events, rewritten)

    def validator(self, columns: Mapping[str, jsonl.Column], others: Sequence[str]) -> Validator:
        """The rules bound to the names seen so far; a kind that once differed stays open."""
        kinds = dict(self._kinds)
        for name, column in columns.items():
            kind = cast("Kind", column.kind if column.kind in _PLAIN_KINDS else "tagged")
            kinds[name] = kind if kinds.get(name, kind) == kind else "tagged"
        kinds |= {name: "text" for name in others if name not in kinds}
        if self._validator is None or kinds != self._kinds:
            self._kinds = kinds
            self._validator = Validator(
                self.apart.for_tables, list(kinds), codes=self.codes, kinds=kinds
            )
        return self._validator

    def table(
        self, columns: Mapping[str, jsonl.Column], height: int
    ) -> tuple[pl.DataFrame, dict[str, pl.Series]]:
        """The columns under all names seen so far, and the types of their values."""
        nothing = pl.Series([None], dtype=pl.String).new_from_index(0, height)
        texts = {name: columns[name].texts if name in columns else nothing for name in self._kinds}
        tags = {
            name: columns[name].all_tags if name in columns else nothing
            for name, kind in self._kinds.items()
            if kind == "tagged"
        }
        return pl.DataFrame(texts), tags


class _JsonlLook:
    def __init__(
        self,
        form: _Jsonl,
        frame: jsonl.Frame,
        objects: list[bytes],
        events: jsonl.Events,
        rewritten: jsonl.Rewritten | None,
    ) -> None:
        self._form = form
        self._objects = objects
        self._events = events
        self._rewritten = rewritten
        self.frame = frame

    @property
    def times(self) -> pl.Series | None:
        """The event's time of each row, if there are any."""
        return self._times

    @property
    def names(self) -> pl.Series | None:
        """The event's name of each row, if there are any."""
        column = self._events.columns.get(EVENT)
        return None if column is None else column.texts

    @cached_property
    def _times(self) -> pl.Series | None:
        column = self._events.columns.get(TIMESTAMP)
        if column is None or column.kind not in {"text", "tagged"}:
            return None
        texts = column.texts
        if column.tags is not None:
            texts = texts.set(column.tags != "string", None)
        return self._form.clock.map(texts.rename(TIMESTAMP).to_frame()).times

    def judge(self, now: datetime) -> Verdict:
        columns = self._events.columns
        misfits = [*(self._rewritten.misfits if self._rewritten else ()), *self._events.misfits]
        misfits += [
            (code, "", self._flags(rows))
            for code, rows in self._found().items()
            if self._form.codes[code].severity is Severity.ERROR
        ]
        others = [name for _, name, _ in misfits if name]
        validator = self._form.validator(columns, others)
        table, tags = self._form.table(columns, len(self._objects))
        return validator.judge(table, misfits, now=now, kinds=tags)

    def _flags(self, rows: Ints) -> pl.Series:
        flags = np.zeros(len(self._objects), dtype=np.bool_)
        flags[rows] = True
        return pl.Series(flags)

    def _found(self) -> dict[str, Ints]:
        """What was found while reading that is no rule's."""
        found = {INTEGER_IDENTITY: np.array(sorted(self._events.integers), dtype=np.int64)}
        if self._rewritten is not None:
            found[jsonl.FLATTEN_CONFLICT] = self._rewritten.conflicts
        found[KEY_MISSING] = _missing(self._keys)
        return {code: rows for code, rows in found.items() if len(rows)}

    def marks(self) -> Mapping[str, Ints]:
        return {
            code: rows
            for code, rows in self._found().items()
            if self._form.codes[code].severity is Severity.WARNING
        }

    @cached_property
    def _keys(self) -> list[pl.Series]:
        """Key members as they stand in the source."""
        mapping, objects = self._form.mapping, self.frame.objects
        return [key_of(jsonl.key_texts(objects, path), mapping.nulls) for path in mapping.key]

    def made_uuids(self, rows: Ints) -> pl.Series:
        offsets = self.frame.offsets[self.frame.rows[rows]]
        return made_ids(self._form.source_id, offsets, [key.gather(rows) for key in self._keys])

    def encode(self, wanted: Flags, *, made: pl.Series | None = None) -> Encoded:
        rows = np.flatnonzero(wanted)
        lacking = self._events.needs_uuid[rows]
        ids = self.made_uuids(rows[lacking]) if made is None else made.filter(pl.Series(lacking))
        texts = ids.cast(pl.Binary).to_list()
        if lacking.all():
            uuids: list[bytes | None] = texts
        else:
            uuids = [None] * len(rows)
            for place, uuid in zip(np.flatnonzero(lacking).tolist(), texts, strict=True):
                uuids[place] = uuid
        return jsonl.encoded(self._objects_at(rows), uuids)

    def ends(self, wanted: Flags) -> list[int]:
        rows = np.flatnonzero(wanted)
        lacking = self._events.needs_uuid[rows].tolist()
        sizes = jsonl.sizes(self._objects_at(rows), lacking)
        return [end - 1 for end in accumulate(sizes)]

    def _objects_at(self, rows: Ints) -> list[bytes]:
        objects = self._mended
        if len(rows) == len(objects):
            return objects
        return [objects[row] for row in rows.tolist()]

    @cached_property
    def _mended(self) -> list[bytes]:
        events = self._events
        return jsonl.mended(self._objects, integers=events.integers, blank_uuid=events.blank_uuid)

    def given_uuid(self, row: int) -> str | None:
        if self._events.needs_uuid[row]:
            return None
        given: Any = self._events.columns[EVENT_UUID].texts[row]
        return str(given)

    def evidence(self, rows: Ints) -> Sequence[Evidence]:
        return [(None, self.frame.raw(record)) for record in self.frame.rows[rows].tolist()]

    def explain(self, row: int, code: str, fields: Sequence[str]) -> Reason:
        event = orjson.loads(self._objects[row]) if code == BASE_CODE else {}
        members, detail = self._form.explainer.explain(event) if event else _NO
        return self._columns(row, code, members or fields), detail

    def _columns(self, row: int, code: str, fields: Sequence[str]) -> tuple[str, ...]:
        names = [name for name in fields if name]
        if len(names) < len(fields):
            names += self._form.apart.culprits(code, orjson.loads(self._objects[row]))
            names += self._events.integers.get(row, {}) if code == INTEGER_IDENTITY else ()
        return tuple(path for name in names for path in self._form.mapping.columns_of(name))
