"""The door of this package: a table to fields, fields to one buffer of JSON objects."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import polars as pl

from ingest.core.mapping import EVENT_UUID, TIMESTAMP, Field, Kind, Mapping
from ingest.edges.encoder.cells import MISFITS, Column, convert, subscription
from ingest.edges.encoder.text import escape, member
from ingest.edges.encoder.times import check_timezone, instants
from ingest.errors import UsageError

_BLANK = r"^[\p{White_Space}\x1c-\x1f]*$"
_TEXTS = {Kind.TEXT, Kind.DATE}
_NO_UUID = "00000000-0000-0000-0000-000000000000"


@dataclass(frozen=True, slots=True)
class _Text:
    """A column on its way into the JSON.

    Expressions call it by its place: polars takes the names `*` and `^...$` for patterns of names.
    """

    name: str
    values: pl.Series
    raw: bool

    @property
    def quote(self) -> str:
        """What stands behind a value."""
        return "" if self.raw else '"'

    @property
    def opening(self) -> str:
        """What stands before a value."""
        return member(self.name) + self.quote


@dataclass(frozen=True, slots=True)
class Mapped:
    """The fields of a table's rows, before they are judged.

    Args:
        table: One String column per field, named and ordered as the mapping has them. A cell
            that does not fit its kind stands as it was.
        misfits: Reason code, field, and which rows; only where there are any.
        times: The event's time in UTC by row, to the microsecond; null where there is none or
            it is no ISO 8601 time; None without a field `timestamp`.
    """

    table: pl.DataFrame
    misfits: list[tuple[str, str, pl.Series]]
    times: pl.Series | None


@dataclass(frozen=True, slots=True)
class Encoded:
    """Events as JSON objects in one buffer, with one comma between.

    Args:
        body: UTF-8.
        ends: Where object i ends; its comma is at `ends[i]`, the next object after that.
    """

    body: bytes
    ends: list[int]


class Encoder:
    """Applies one mapping.

    Raises:
        UsageError: The time zone is not known, or a constant does not fit its kind.
    """

    def __init__(self, mapping: Mapping) -> None:
        check_timezone(mapping.timezone)
        self._mapping = mapping
        self._raw = {field.name for field in mapping.fields if field.kind not in _TEXTS}
        self._constants = dict(self._constant_values(mapping.fields))

    def map(self, table: pl.DataFrame) -> Mapped:
        """Give the fields of sound rows.

        Args:
            table: All String columns, named as the header; columns that are not sent are
                not looked at.
        """
        columns = {field.name: self._column(field, table) for field in self._mapping.fields}
        return Mapped(
            table=pl.DataFrame({name: column.values for name, column in columns.items()}),
            misfits=[
                (MISFITS[field.kind], field.name, misfit)
                for field in self._mapping.fields
                if (misfit := columns[field.name].misfit) is not None
            ],
            times=self._times(columns.get(TIMESTAMP)),
        )

    def encode(self, table: pl.DataFrame, *, uuids: pl.Series | Sequence[str]) -> Encoded:
        """Write rows as JSON objects; keys in the order of the fields, absent where null.

        Args:
            table: From `map`, rows left out at will, but none that has a misfit: its cell would
                be spliced into the JSON as it is.
            uuids: The `event_uuid` of each row that has none of its own (null or blank).

        Raises:
            ValueError: Rows and ids are not as many.
        """
        if table.height == 0:
            return Encoded(b"", [])
        texts, frame = self._escaped(table, uuids)
        members = pl.concat_str(_pieces(texts), separator=",", ignore_nulls=True)
        rows = frame.select(members).to_series()
        sizes = rows.str.len_bytes().cast(pl.Int64) + len("{},")
        return Encoded(_joined(rows), (sizes.cum_sum() - 1).to_list())

    def sizes(self, table: pl.DataFrame) -> pl.Series:
        """Bytes of each row as `encode` would write it, the comma behind it included.

        Args:
            table: From `map`. A misfit counts as the text that it is.
        """
        if table.height == 0:
            return pl.Series([], dtype=pl.Int64)
        nobodys = pl.Series([_NO_UUID]).new_from_index(0, table.height)
        texts, frame = self._escaped(table, nobodys)
        sizes = [
            pl.col(f"{at}").str.len_bytes().cast(pl.Int64)
            + len(f"{text.opening}{text.quote},".encode())
            for at, text in enumerate(texts)
        ]
        # A row without any member has no comma to spare, but an `event_uuid` is always there.
        return frame.select(pl.sum_horizontal(sizes) + len("{}")).to_series()

    def _escaped(
        self, table: pl.DataFrame, uuids: pl.Series | Sequence[str]
    ) -> tuple[list[_Text], pl.DataFrame]:
        """The columns that hold anything, and their values as JSON has them, by place."""
        texts = _present(_with_uuids(table, uuids), raw=self._raw)
        plain = [f"{at}" for at, text in enumerate(texts) if not text.raw]
        columns = {f"{at}": text.values for at, text in enumerate(texts)}
        return texts, escape(pl.DataFrame(columns), plain)

    def _constant_values(self, fields: Sequence[Field]) -> Iterator[tuple[Field, Column]]:
        for field in fields:
            yield from self._constant_values(field.parts)
            if field.constant is None:
                continue
            column = self._convert(pl.Series([field.constant], dtype=pl.String), field)
            if column.misfit is not None:
                raise UsageError(
                    f"--set {field.name}={field.constant} is not of kind {field.kind}",
                    hint=f"give a value that is, or change --type {field.name}",
                    code=MISFITS[field.kind],
                )
            yield field, column

    def _convert(self, cells: pl.Series, field: Field) -> Column:
        return convert(cells, field, timezone=self._mapping.timezone)

    def _column(self, field: Field, table: pl.DataFrame) -> Column:
        if field.parts:
            return subscription({part.name: self._column(part, table) for part in field.parts})
        if field.source is None:
            return _repeated(self._constants[field], table.height)
        cells = self._cells(table[field.source])
        time = self._mapping.time
        if time is not None and field.name == TIMESTAMP:
            return convert(cells, field, form=time.format, timezone=self._mapping.timezone)
        return self._convert(cells, field)

    def _cells(self, cells: pl.Series) -> pl.Series:
        """Null where a cell is empty or one of the null tokens."""
        nulls = ["", *self._mapping.nulls]
        absent = cells.is_in(nulls) if len(nulls) > 1 else cells == ""
        return cells.set(absent, None) if absent.any() else cells

    def _times(self, column: Column | None) -> pl.Series | None:
        if column is None or column.times is not None:
            return None if column is None else column.times
        return instants(column.values, form=None, timezone=self._mapping.timezone)


def _with_uuids(table: pl.DataFrame, uuids: pl.Series | Sequence[str]) -> dict[str, pl.Series]:
    given = pl.Series(uuids, dtype=pl.String)
    if len(given) != table.height:
        raise ValueError(f"{table.height} rows, but {len(given)} ids")
    columns = {values.name: values for values in table.iter_columns()}
    own = columns.get(EVENT_UUID)
    if own is not None:
        blank = own.str.contains(_BLANK).fill_null(value=True)
        given = given.zip_with(blank, own)
    return columns | {EVENT_UUID: given}


def _repeated(column: Column, count: int) -> Column:
    times = column.times
    return Column(
        column.values.new_from_index(0, count),
        times=None if times is None else times.new_from_index(0, count),
    )


def _joined(rows: pl.Series) -> bytes:
    """Objects with a comma between; they gain their braces in the join, which saves a copy."""
    members: list[bytes] = rows.cast(pl.Binary).to_list()
    members[0] = b"{" + members[0]
    members[-1] += b"}"
    return b"},{".join(members)


def _present(columns: dict[str, pl.Series], *, raw: set[str]) -> list[_Text]:
    """The columns that hold anything."""
    return [
        _Text(name, values, name in raw)
        for name, values in columns.items()
        if values.null_count() < len(values)
    ]


def _pieces(texts: Sequence[_Text]) -> list[pl.Expr]:
    """Members as expressions; neighbours that are never absent share one."""
    pieces: list[pl.Expr] = []
    run: list[pl.Expr] = []
    for at, text in enumerate(texts):
        each = [pl.lit(text.opening), pl.col(f"{at}"), pl.lit(text.quote)]
        if text.values.null_count() == 0:
            run += [pl.lit(","), *each] if run else each
            continue
        pieces += [pl.concat_str(run)] if run else []
        pieces.append(pl.concat_str(each))
        run = []
    return pieces + ([pl.concat_str(run)] if run else [])
