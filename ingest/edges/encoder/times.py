"""Texts to instants and back, exactly; what does not fit is null, never bent.

Polars parses only texts that were put together here from proven digits: given a user's text and
format it takes second 60, skips blanks and zone names, and reads fractions as nanoseconds.
"""

import polars as pl

from ingest.core.timeformat import (
    EPOCH_PATTERN,
    EPOCHS,
    INSTANT_PATTERN,
    ISO_PATTERN,
    MONTHS,
    WEEKDAYS,
    compile_format,
)
from ingest.errors import UsageError

_UTC = pl.Datetime("us", "UTC")
_MICROS = 1_000_000
_FIRST_YEAR, _LAST_YEAR = 1, 9999  # what four digits can write
_LAST_MICROS = 253_402_300_799_999_999  # 9999-12-31T23:59:59.999999Z
_PIVOT = 68  # of two digits, POSIX strptime: 69 to 99 are 1969 to 1999

# The two forms that nearly all exports write; a seventh of the work of the full pattern.
_PLAIN = (
    r"^[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}:[0-5][0-9](?:\.[0-9]{1,6})?(?:Z|\+00:00)?$"
)
_HEAD_CHARS = len("2024-01-05T10:00:00")


def check_timezone(name: str) -> None:
    """Refuse a time zone that does not exist.

    Raises:
        UsageError: Polars does not know the name.
    """
    try:
        pl.Series([None], dtype=pl.Datetime("us")).dt.replace_time_zone(name)
    except pl.exceptions.ComputeError as error:
        _, _, maybe = str(error).partition("did you mean '")
        near = f"did you mean {maybe.partition(chr(39))[0]!r}? " if maybe else ""
        raise UsageError(
            f"--timezone {name} is not known",
            hint=f"{near}use an IANA name such as UTC, Europe/Berlin or America/New_York",
            code="timezone_unknown",
        ) from error


def instants(texts: pl.Series, *, form: str | None, timezone: str) -> pl.Series:
    """Read texts as instants in UTC, to the microsecond (what is finer is cut off).

    Args:
        texts: Strings.
        form: A strftime format, `epoch_s`, `epoch_ms`, or None for ISO 8601.
        timezone: Of times without an offset. A local time that a clock skips is null, one that
            it shows twice is the earlier.

    Returns:
        Instants of the years 1 to 9999; null where a text is null or does not fit.
    """
    if form in EPOCHS:
        found = _from_epoch(texts, EPOCHS[form])
    elif form is not None:
        found = _from_groups(texts, compile_format(form), timezone)
    else:
        found = _from_iso(texts, timezone)
    years = found.dt.year()
    return found.set((years < _FIRST_YEAR) | (years > _LAST_YEAR), None)


def is_instant(texts: pl.Series) -> pl.Series:
    """Whether a text is a whole ISO 8601 instant, with seconds and offset; its date unproven."""
    return texts.str.contains(INSTANT_PATTERN)


def written(found: pl.Series) -> pl.Series:
    """Write instants as `2024-01-05T10:00:00Z`, with 3 or 6 digits of a second if any."""
    text = found.dt.to_string("%Y-%m-%dT%H:%M:%S")
    micros = found.dt.microsecond().fill_null(0)
    if not (micros != 0).any():
        return text + "Z"
    six = micros.cast(pl.String).str.zfill(6)
    frame = pl.DataFrame({"text": text, "micros": micros, "six": six})
    fraction = (
        pl.when(pl.col("micros") == 0)
        .then(pl.lit("Z"))
        .when(pl.col("micros") % 1000 == 0)
        .then("." + pl.col("six").str.head(3) + "Z")
        .otherwise("." + pl.col("six") + "Z")
    )
    return frame.select((pl.col("text") + fraction).alias(found.name)).to_series()


def _from_epoch(texts: pl.Series, micros: int) -> pl.Series:
    groups = texts.str.extract_groups(EPOCH_PATTERN).struct
    whole = groups.field("whole").cast(pl.Int64)
    # Before the product, which would wrap around 64 bits.
    whole = whole.set(whole > _LAST_MICROS // micros, None) * micros
    digits = len(str(micros)) - 1
    fraction = groups.field("fraction").fill_null("").str.pad_end(digits, "0").str.head(digits)
    total = whole + fraction.cast(pl.Int64)
    total = total.zip_with(groups.field("sign") != "-", -total)
    return total.cast(pl.Datetime("us")).dt.replace_time_zone("UTC").rename(texts.name)


def _from_iso(texts: pl.Series, timezone: str) -> pl.Series:
    plain = texts.str.contains(_PLAIN)
    if plain.all():
        return _from_plain(texts, timezone)
    rest = texts.set(plain.fill_null(value=False), None)
    found = _from_groups(rest, ISO_PATTERN, timezone)
    if not plain.any():
        return found
    return _from_plain(texts.set(~plain, None), timezone).zip_with(
        plain.fill_null(value=False), found
    )


def _from_plain(texts: pl.Series, timezone: str) -> pl.Series:
    head = texts.str.head(10) + "T" + texts.str.slice(11, 8)
    naive = head.str.to_datetime("%Y-%m-%dT%H:%M:%S", strict=False, time_unit="us", cache=False)
    zoned = texts.str.ends_with("Z") | texts.str.ends_with("+00:00")
    if texts.str.len_bytes().max() != _HEAD_CHARS:
        digits = texts.str.extract(r"\.([0-9]+)").fill_null("").str.pad_end(6, "0")
        naive = _later(naive, digits.cast(pl.Int64))
    return _placed(naive, zoned, timezone)


def _from_groups(texts: pl.Series, pattern: str, timezone: str) -> pl.Series:
    groups = texts.str.extract_groups(pattern)
    names = [field.name for field in groups.dtype.fields]  # type: ignore[attr-defined] # a struct
    frame = groups.struct.unnest()
    for basic in [name for name in names if name.endswith("_b")]:
        name = basic.removesuffix("_b")
        frame = frame.with_columns(pl.coalesce(name, basic).alias(name)).drop(basic)
    parts = frame.select(
        date=pl.concat_str(
            [_year(frame), _month(frame), _number("day", frame, "01")], separator="-"
        ),
        clock=pl.concat_str(
            [_hour(frame), _number("minute", frame, "00"), _number("second", frame, "00")],
            separator=":",
        ),
        micros=_number("fraction", frame, "0").str.pad_end(6, "0").str.head(6).cast(pl.Int64),
        zone=pl.col("zone") if "zone" in frame.columns else pl.lit(None, dtype=pl.String),
    )
    head = parts["date"] + "T" + parts["clock"]
    naive = head.str.to_datetime("%Y-%m-%dT%H:%M:%S", strict=False, time_unit="us", cache=False)
    naive = _later(naive, parts["micros"])
    if "weekday" in frame.columns:
        naive = naive.set(naive.dt.weekday() != _index(frame["weekday"], WEEKDAYS), None)
    zone = parts["zone"]
    naive = _later(naive, -_offset_s(zone).fill_null(0) * _MICROS)
    return _placed(naive, zone.is_not_null(), timezone).rename(texts.name)


def _number(name: str, frame: pl.DataFrame, absent: str) -> pl.Expr:
    if name not in frame.columns:
        return pl.lit(absent)
    # A fraction is padded at its end, by the caller.
    width = 0 if name == "fraction" else 2
    return pl.col(name).str.strip_chars(" ").str.zfill(width).fill_null(absent)


def _year(frame: pl.DataFrame) -> pl.Expr:
    if "year" in frame.columns:
        return pl.col("year")
    century = (
        pl.when(pl.col("year2").cast(pl.Int16) > _PIVOT).then(pl.lit("19")).otherwise(pl.lit("20"))
    )
    return century + pl.col("year2")


def _month(frame: pl.DataFrame) -> pl.Expr:
    if "month_name" not in frame.columns:
        return _number("month", frame, "01")
    return pl.lit(_index(frame["month_name"], MONTHS)).cast(pl.String).str.zfill(2)


def _hour(frame: pl.DataFrame) -> pl.Expr:
    if "hour12" not in frame.columns:
        return _number("hour", frame, "00")
    half = pl.when(pl.col("half").str.to_lowercase() == "pm").then(12).otherwise(0)
    return (pl.col("hour12").cast(pl.Int16) % 12 + half).cast(pl.String).str.zfill(2)


def _index(names: pl.Series, words: str) -> pl.Series:
    """The place of English names, short or long, from 1."""
    places = {word[:3]: place for place, word in enumerate(words.split(), start=1)}
    short = names.str.to_lowercase().str.head(3)
    return short.replace_strict(places, default=None, return_dtype=pl.Int8)


def _offset_s(zone: pl.Series) -> pl.Series:
    """Seconds east of Greenwich of `+02:00`, `-0330`, `+02`; 0 for Z, UTC and GMT."""
    groups = zone.str.extract_groups(r"^([+-])([0-9]{2}):?([0-9]{2})?$").struct
    hours = groups.field("2").cast(pl.Int64)
    seconds = hours * 3600 + groups.field("3").cast(pl.Int64).fill_null(0) * 60
    return seconds.zip_with(groups.field("1") != "-", -seconds)


def _later(naive: pl.Series, micros: pl.Series) -> pl.Series:
    return naive + micros.cast(pl.Duration("us"))


def _placed(naive: pl.Series, zoned: pl.Series, timezone: str) -> pl.Series:
    """Put zoned times into UTC as they stand, the others by the zone's clock."""
    fixed = naive.dt.replace_time_zone("UTC")
    if timezone == "UTC" or zoned.all():
        return fixed
    local = naive.dt.replace_time_zone(timezone, ambiguous="earliest", non_existent="null")
    local = local.dt.convert_time_zone("UTC")
    return fixed.zip_with(zoned.fill_null(value=False), local)
