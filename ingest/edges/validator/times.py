"""Compares columns of ISO 8601 times with the present."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import cast

import polars as pl

from ingest.core.model import Json
from ingest.errors import UsageError


def _number(check: Json, key: str) -> float:
    value = check.get(key)
    if not isinstance(value, int | float):
        raise UsageError(f"schema codes: x-check has no number {key}", code="schema_broken")
    return float(value)


def limits(check: Json, now: datetime) -> list[tuple[list[str], datetime]]:
    """The times that a check compares with, each with its events; the last is for all others."""
    if check["check"] == "later_than_now":
        return [([], now + timedelta(seconds=_number(check, "tolerance_s")))]
    special = cast("Mapping[str, float]", check.get("days_by_event", {}))
    ages = sorted(set(special.values()))
    named = [([n for n, limit in special.items() if limit == days], days) for days in ages]
    named.append(([], _number(check, "days")))
    return [(names, now - timedelta(days=days)) for names, days in named]


def beyond(
    text: pl.Series,
    events: pl.Series | None,
    limits: Sequence[tuple[list[str], datetime]],
    *,
    later: bool,
) -> pl.Series:
    """The rows whose ISO 8601 time is after the limit of their event, or before it.

    Dates are compared as text. Only within two days of the limit, where the zone decides, is the
    time itself read; a time without a zone counts as UTC.
    """
    names = text.clear(len(text)) if events is None else events
    frame = pl.DataFrame({"text": text, "event": names})
    compact = pl.col("text").str.slice(4, 1) != "-"

    def chosen(values: Sequence[str] | Sequence[int]) -> pl.Expr:
        """For each row the value that belongs to its event."""
        result = pl.lit(values[-1])
        for (names, _), value in zip(limits[:-1], values[:-1], strict=True):
            mine = pl.col("event").is_in(names)
            result = pl.when(mine).then(pl.lit(value)).otherwise(result)
        return result

    def at_or_after(days: int) -> pl.Expr:
        """Whether the date as written is not before the one so many days off the limit."""
        dates = [(limit.astimezone(UTC) + timedelta(days=days)).date() for _, limit in limits]
        short = pl.col("text") >= chosen([f"{date:%Y%m%d}" for date in dates])
        long = pl.col("text") >= chosen([f"{date:%Y-%m-%d}" for date in dates])
        return pl.when(compact).then(short).otherwise(long)

    low, high = at_or_after(-2), at_or_after(3)
    looked = frame.lazy().select(sure=high if later else low.not_(), near=low & high.not_())
    sure, near = (column.fill_null(value=False) for column in looked.collect())
    if not near.any():
        return sure
    close = frame.filter(near).select("text", which=chosen(range(len(limits))))
    wrong = [_is_beyond(when, limits[which][1], later=later) for when, which in close.iter_rows()]
    return sure.scatter(near.arg_true(), wrong)


def _is_beyond(text: str, limit: datetime, *, later: bool) -> bool:
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        return False  # a leap second, say: as near to the limit as it is, it is let through
    time = time if time.tzinfo else time.replace(tzinfo=UTC)
    return time > limit if later else time < limit
