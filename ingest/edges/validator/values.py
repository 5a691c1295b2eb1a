"""Takes JSON values out of columns of text."""

import orjson
import polars as pl

from ingest.errors import BugError


def decoded(text: pl.Series) -> tuple[pl.Series, pl.Series]:
    """JSON texts as (text of the value, JSON type): strings decoded, all else as it is.

    The type is read off the first character: the texts are known to be JSON, or are misfits.
    """
    first = pl.col("text").str.strip_chars_start(" \t\r\n").str.slice(0, 1)
    fraction = pl.col("text").str.contains("[.eE]")
    by_first = {
        '"': "string",
        "[": "array",
        "{": "object",
        "t": "boolean",
        "f": "boolean",
        "n": "null",
    }
    number = pl.when(fraction).then(pl.lit("number")).otherwise(pl.lit("integer"))
    frame = pl.DataFrame({"text": text}).with_columns(
        kind=pl.when(pl.col("text").is_not_null()).then(
            first.replace_strict(by_first, default=number, return_dtype=pl.String)
        )
    )
    rows = (frame["kind"] == "string").arg_true()
    if not len(rows):
        return text, frame["kind"]
    strings = [_string_value(raw) for raw in text.gather(rows).to_list()]
    return text.clone().scatter(rows, strings), frame["kind"]


def _string_value(raw: str) -> str:
    try:
        return str(orjson.loads(raw))
    except orjson.JSONDecodeError:
        return raw  # a misfit: no rule reads it


def value_of(name: str, text: str | None, tag: str | None) -> tuple[object] | None:
    """The value of a cell that may be more than text.

    Raises:
        BugError: It is no JSON, and no misfit said so.
    """
    if tag == "null":
        return (None,)
    if text is None or tag is None:
        return None
    if tag == "string":
        return (text,)
    try:
        return (orjson.loads(text),)
    except orjson.JSONDecodeError as error:
        raise BugError(f"field {name} holds text that is no JSON, and no misfit says so") from error
