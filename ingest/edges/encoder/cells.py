"""Cells to values by kind: the text that will stand in the JSON, and which cells do not fit.

Nothing is trimmed, rounded or guessed: a cell fits its kind exactly or is a misfit.
"""

from dataclasses import dataclass

import orjson
import polars as pl

from ingest.core.mapping import Field, Kind
from ingest.edges.encoder.text import member, quoted
from ingest.edges.encoder.times import instants, is_instant, written

# The grammar of RFC 8259, section 6.
_NUMBER = r"^-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?$"
_INTEGER = r"^-?(?:0|[1-9][0-9]*)$"
# Spelled out: with (?i) the long s of Unicode would be a letter of "false".
_BOOLEAN = r"^(?:[tT][rR][uU][eE]|[fF][aA][lL][sS][eE])$"

MISFITS = {
    Kind.NUMBER: "value_not_number",
    Kind.INTEGER: "value_not_number",
    Kind.BOOLEAN: "value_not_boolean",
    Kind.JSON: "value_not_json",
    Kind.DATE: "value_not_date",
    Kind.SUBSCRIPTION: "value_not_boolean",
}
"""The reason code of a cell that does not fit its kind; texts and lists always fit."""


@dataclass(frozen=True, slots=True)
class Column:
    """The values of one field.

    Args:
        values: Texts; JSON texts for every kind but `text` and `date`. A misfit keeps its cell.
        misfit: True where the cell does not fit; None where all fit.
        times: The instants, for kind `date`.
    """

    values: pl.Series
    misfit: pl.Series | None = None
    times: pl.Series | None = None


def convert(
    cells: pl.Series, field: Field, *, form: str | None = None, timezone: str = "UTC"
) -> Column:
    """Convert the cells of a field that is not made of parts.

    Args:
        cells: Texts; null is absent and stays null.
        field: Its kind and separator count.
        form: How a date is written: strftime, `epoch_s`, `epoch_ms`, or None for ISO 8601.
        timezone: Of dates without an offset.
    """
    match field.kind:
        case Kind.NUMBER | Kind.INTEGER:
            return _numbers(cells, _NUMBER if field.kind is Kind.NUMBER else _INTEGER)
        case Kind.BOOLEAN:
            return _booleans(cells)
        case Kind.JSON:
            return Column(cells, _broken_json(cells))
        case Kind.DATE:
            return _dates(cells, form, timezone)
        case Kind.LIST:
            return Column(_lists(cells, field.separator or ""))
        case _:
            return Column(cells)


def subscription(columns: dict[str, Column]) -> Column:
    """Put the parts of a flat subscription into a list of one object; blank parts are absent.

    Args:
        columns: `id`, a text, and `subscribed`, a boolean whose misfits are those of the whole.
    """
    frame = pl.DataFrame([column.values.alias(key) for key, column in columns.items()])
    members = pl.concat_str(
        member("id") + quoted(pl.col("id")),
        member("subscribed") + pl.col("subscribed"),
        separator=",",
        ignore_nulls=True,
    )
    present = pl.any_horizontal(pl.all().is_not_null())
    text = frame.select(pl.when(present).then("[{" + members + "}]")).to_series()
    return Column(text, columns["subscribed"].misfit)


def _numbers(cells: pl.Series, pattern: str) -> Column:
    # Beyond the range of a double, parsers give infinity or refuse the whole body.
    infinite = cells.cast(pl.Float64, strict=False).is_infinite()
    return Column(cells, _some(~cells.str.contains(pattern) | infinite.fill_null(value=False)))


def _booleans(cells: pl.Series) -> Column:
    misfit = _some(~cells.str.contains(_BOOLEAN))
    lower = cells.str.to_lowercase()
    return Column(lower if misfit is None else cells.zip_with(misfit, lower), misfit)


def _some(misfit: pl.Series) -> pl.Series | None:
    """The mask if it holds anything; null counts as fitting."""
    return misfit.fill_null(value=False) if misfit.any() else None


def _broken_json(cells: pl.Series) -> pl.Series | None:
    present = cells.is_not_null()
    broken = [not _is_json(text) for text in cells.drop_nulls().to_list()]
    return present.scatter(present.arg_true(), broken) if any(broken) else None


def _is_json(text: str) -> bool:
    try:
        orjson.loads(text)
    except orjson.JSONDecodeError:
        return False
    return True


def _dates(cells: pl.Series, form: str | None, timezone: str) -> Column:
    times = instants(cells, form=form, timezone=timezone)
    misfit = _some(times.is_null() & cells.is_not_null())
    as_is = pl.Series([False]) if form is not None else is_instant(cells)
    if as_is.all() and form is None:
        return Column(cells, misfit, times)
    texts = written(times)
    kept = times.is_null() if form is not None else as_is.fill_null(value=True) | times.is_null()
    return Column(cells.zip_with(kept, texts), misfit, times)


def _lists(cells: pl.Series, separator: str) -> pl.Series:
    items = cells.str.split(separator).list.eval(quoted(pl.element()))
    return "[" + items.list.join(",") + "]"
