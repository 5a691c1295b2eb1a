"""How sources are read, as typed -> as meant; each mistake names its flag."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ingest.errors import UsageError

MAX_RECORD_BYTES = 1 << 20
"""Bytes of a record by default (contract: a request has 1 MB at most, so no event is larger)."""

_CHARACTERS = {"tab": "\t", r"\t": "\t"}
_NO_QUOTE = "none"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """How a source is read.

    Args:
        delimiter: One byte between cells; empty: it is found.
        quote: One byte around cells; empty: quotes mean nothing.
        encoding: As typed.
        columns: Names of the columns, where the source has no header; empty: it has one.
        max_record_bytes: A longer record is not read.
    """

    delimiter: str = ""
    quote: str = '"'
    encoding: str = "utf-8"
    columns: tuple[str, ...] = ()
    max_record_bytes: int = MAX_RECORD_BYTES


def reading_of(typed: Mapping[str, Any]) -> Reading:
    """Read the flags `delimiter`, `quote`, `encoding`, `no_header`, `columns`, `max_record_bytes`.

    Raises:
        UsageError: `--no-header` without `--columns` or the other way round, or a blank name.
    """
    delimiter, quote = typed.get("delimiter"), typed.get("quote")
    return Reading(
        delimiter="" if delimiter is None else _delimiter(delimiter),
        quote='"' if quote is None else _quote(quote),
        encoding=typed.get("encoding") or "utf-8",
        columns=_columns(typed.get("columns") or (), no_header=bool(typed.get("no_header"))),
        max_record_bytes=typed.get("max_record_bytes") or MAX_RECORD_BYTES,
    )


def _delimiter(text: str) -> str:
    if not text:
        raise UsageError(
            "--delimiter is empty",
            hint="leave it out, and the delimiter is found; or for example --delimiter ';'",
            code="dialect_invalid",
        )
    return _CHARACTERS.get(text, text)


def _quote(text: str) -> str:
    if not text:
        raise UsageError("--quote is empty", hint="--quote none", code="dialect_invalid")
    return "" if text == _NO_QUOTE else text


def _columns(typed: tuple[str, ...], *, no_header: bool) -> tuple[str, ...]:
    names = tuple(name.strip() for text in typed for name in text.split(","))
    if no_header and not names:
        raise UsageError(
            "--no-header needs the names of the columns",
            hint="--no-header --columns event,customer_id,timestamp",
            code="columns_missing",
        )
    if names and not no_header:
        raise UsageError(
            "--columns is for sources without a header",
            hint="add --no-header, or rename columns with --map NEW=OLD",
            code="columns_with_header",
        )
    if not all(names):
        raise UsageError(
            f"--columns has no name for column {names.index('') + 1}",
            hint="name each; one that is not wanted is left out with --drop NAME",
            code="columns_blank",
        )
    return names
