"""A mapping applied to tables, and rows as JSON."""

import datetime as dt
from typing import Any

import orjson
import polars as pl
import pytest
from hypothesis import given as drawn
from hypothesis import strategies as st

from ingest.core.identity import event_uuids, keyed_uuid, source_id
from ingest.core.mapping import Field, Kind, Mapping, TimePlan
from ingest.edges.encoder import Encoded, Encoder, keyed_series, uuid_series
from ingest.errors import UsageError

SOURCE = source_id("sha256:0")


def column(
    kind: Kind, cells: list[str | None], **extra: Any
) -> tuple[list[Any], set[int], set[tuple[str, str]]]:
    """Map one column `x` of a kind; give its values and the rows that do not fit."""
    mapping = Mapping((Field("x", "x", kind, separator=extra.pop("separator", None)),), **extra)
    mapped = Encoder(mapping).map(table(x=cells))
    rows = {row for _, _, misfit in mapped.misfits for row in misfit.arg_true()}
    codes = {(code, field) for code, field, _ in mapped.misfits}
    return mapped.table["x"].to_list(), rows, codes


def table(**columns: Any) -> pl.DataFrame:
    return pl.DataFrame(columns, schema=dict.fromkeys(columns, pl.String))


def encoded(mapping: Mapping, rows: Any, *, uuids: Any = None) -> Encoded:
    encoder = Encoder(mapping)
    mapped = encoder.map(rows)
    assert not mapped.misfits
    return encoder.encode(mapped.table, uuids=uuids or event_uuids(SOURCE, range(rows.height)))


def events(mapping: Mapping, rows: Any, **kwargs: Any) -> Any:
    return orjson.loads(b"[" + encoded(mapping, rows, **kwargs).body + b"]")


def fields(*names: str, **kinds: Kind) -> Mapping:
    return Mapping((*(Field(n, n) for n in names), *(Field(n, n, k) for n, k in kinds.items())))


def test_numbers_match_the_grammar_of_json() -> None:
    """A number is sent as it is written; whatever JSON could not hold is a misfit."""
    good = ["0", "-0", "7", "31.24", "1e5", "1E+5", "-1.5e-3", "123456789012345678901234567890"]
    bad = [
        "007",
        "+1",
        ".5",
        "5.",
        "1,5",
        " 1",
        "1 ",
        "1\n",
        "NaN",
        "Infinity",
        "0x1A",
        "１",
        "-",
        "$4",
    ]

    values, misfits, codes = column(Kind.NUMBER, [*good, None, *bad])

    assert values == [*good, None, *bad]
    assert misfits == set(range(len(good) + 1, len(good) + 1 + len(bad)))
    assert codes == {("value_not_number", "x")}


def test_integers_have_no_fraction() -> None:
    """An integer is digits; an exponent or a fraction is a misfit."""
    values, misfits, codes = column(Kind.INTEGER, ["12", "-3", "1.0", "1e3", "012", ""])

    assert (values[:2], values[5], misfits) == (["12", "-3"], None, {2, 3, 4})
    assert codes == {("value_not_number", "x")}


def test_booleans_become_lower_case() -> None:
    """True and false are taken in any letter case, nothing else is."""
    values, misfits, codes = column(
        Kind.BOOLEAN, ["true", "FALSE", "True", "YES", "1", "falſe", "true ", None]
    )

    assert values == ["true", "false", "true", "YES", "1", "falſe", "true ", None]
    assert (misfits, codes) == ({3, 4, 5, 6}, {("value_not_boolean", "x")})


def test_json_cells_pass_unchanged() -> None:
    """Any JSON text is spliced as it is written, big numbers and line ends too."""
    good = ['{"a": [1,\n 2]}', "9007199254740993", '"x"', "null", " [1.10] ", '{"b":1e2}']
    bad = ["{'a': 1}", "NaN", "[1,]", "{", "1 2", "[1],[2]", "nope", "[1e999]", '"\x01"', "   "]

    values, misfits, codes = column(Kind.JSON, [*good, None, *bad])

    assert values == [*good, None, *bad]
    assert misfits == set(range(len(good) + 1, len(good) + 1 + len(bad)))
    assert codes == {("value_not_json", "x")}


def test_lists_are_cut_at_the_separator() -> None:
    """Items are kept as they stand, blanks, quotes and empty items too."""
    values, misfits, _ = column(
        Kind.LIST, ['a|"b"| c', "|", "x", None, "", "a\\|\n"], separator="|"
    )

    assert [None if v is None else orjson.loads(v) for v in values] == [
        ["a", '"b"', " c"],
        ["", ""],
        ["x"],
        None,
        None,
        ["a\\", "\n"],
    ]
    assert not misfits


@pytest.mark.parametrize("separator", ['"', "\\", "\n", "n", "u", ", "])
def test_any_text_separates(separator: Any) -> None:
    """A separator that JSON would escape, or that occurs in an escape, cuts the cell all the same."""
    cell = separator.join(['a"\\', "b\x01", "c\n" if separator != "\n" else "c"])

    values, _, _ = column(Kind.LIST, [cell], separator=separator)

    assert orjson.loads(values[0]) == cell.split(separator)


def test_null_tokens_are_whole_cells() -> None:
    """Only a cell that is exactly a token is absent."""
    values, _, _ = column(Kind.TEXT, ["NA", "na", " NA", "NAN", "-", "", None], nulls=("NA", "-"))

    assert values == [None, "na", " NA", "NAN", None, None, None]


def test_null_tokens_are_no_misfits() -> None:
    """A token in a number column is absent, not wrong."""
    assert column(Kind.NUMBER, ["NA", "1"], nulls=("NA",)) == ([None, "1"], set(), set())


def test_constants_are_of_their_kind() -> None:
    """A constant is on every row, as its kind has it."""
    mapping = Mapping(
        (
            Field("event", constant='"v"'),
            Field("n", constant="1.50", kind=Kind.NUMBER),
            Field("ok", constant="TRUE", kind=Kind.BOOLEAN),
            Field("tags", constant="a,b", kind=Kind.LIST, separator=","),
            Field("timestamp", constant="2026-01-05", kind=Kind.DATE),
            Field("x", "x"),
        ),
        nulls=("1.50",),
    )

    rows = table(x=["1", None])

    first, second = events(mapping, rows, uuids=["u0", "u1"])
    assert first == {
        "event": '"v"',
        "n": 1.5,
        "ok": True,
        "tags": ["a", "b"],
        "timestamp": "2026-01-05T00:00:00Z",
        "x": "1",
        "event_uuid": "u0",
    }
    assert second == {k: v for k, v in first.items() if k != "x"} | {"event_uuid": "u1"}
    assert (
        Encoder(mapping).map(rows).times.to_list() == [dt.datetime(2026, 1, 5, tzinfo=dt.UTC)] * 2
    )


def test_a_constant_that_does_not_fit_is_a_usage_error() -> None:
    """A constant is tried before any row is read, also inside a subscription."""
    number = Mapping((Field("n", constant="x", kind=Kind.NUMBER),))
    parts = (Field("id", "x"), Field("subscribed", constant="maybe", kind=Kind.BOOLEAN))
    pair = Mapping((Field("subscription_groups", kind=Kind.SUBSCRIPTION, parts=parts),))

    with pytest.raises(UsageError, match="--set n=x is not of kind number"):
        Encoder(number)
    with pytest.raises(UsageError, match="subscribed=maybe"):
        Encoder(pair)


def test_a_flat_subscription_is_one_object_in_a_list() -> None:
    """Blank parts are absent keys, a wrong boolean is a misfit, and nothing at all is absent."""
    parts = (Field("id", "g"), Field("subscribed", "s", Kind.BOOLEAN))
    mapping = Mapping((Field("subscription_groups", kind=Kind.SUBSCRIPTION, parts=parts),))
    rows = table(g=['a"b', "c", None, "d", None], s=["TRUE", None, "false", "yes", None])

    mapped = Encoder(mapping).map(rows)

    texts = mapped.table["subscription_groups"].to_list()
    assert [None if text is None else text for text in texts[:3]] == [
        '[{"id":"a\\"b","subscribed":true}]',
        '[{"id":"c"}]',
        '[{"subscribed":false}]',
    ]
    assert texts[4] is None
    assert [(c, f, m.to_list()) for c, f, m in mapped.misfits] == [
        ("value_not_boolean", "subscription_groups", [False, False, False, True, False])
    ]


def test_a_subscription_may_have_a_constant_part() -> None:
    """One column of the pair can be given by `--set`."""
    parts = (Field("id", constant="news"), Field("subscribed", "s", Kind.BOOLEAN))
    mapping = Mapping((Field("subscription_groups", kind=Kind.SUBSCRIPTION, parts=parts),))

    rows = events(mapping, table(s=["True", None]), uuids=["u", "v"])

    assert [row["subscription_groups"] for row in rows] == [
        [{"id": "news", "subscribed": True}],
        [{"id": "news"}],
    ]


ISO = [
    ("2024-01-05", "2024-01-05T00:00:00Z"),
    ("20240105T172720Z", "2024-01-05T17:27:20Z"),
    ("2024-01-05 10:20", "2024-01-05T10:20:00Z"),
    ("2024-01-05 10:20:30.5", "2024-01-05T10:20:30.500Z"),
    ("2024-01-05 10:20:30,123456", "2024-01-05T10:20:30.123456Z"),
    ("2024-01-05 10:20:30.1234567", "2024-01-05T10:20:30.123456Z"),
    ("2024-01-05 10:20:30.000", "2024-01-05T10:20:30Z"),
    ("2024-01-05 10:20:30 +02:00", None),
    ("2024-01-05 10:20:30+0200", "2024-01-05T08:20:30Z"),
    ("2024-01-05 10:20:30-03", "2024-01-05T13:20:30Z"),
    ("2024-01-05T10:20:30Z", "2024-01-05T10:20:30Z"),
    ("2024-01-05T10:20:30.120Z", "2024-01-05T10:20:30.120Z"),
    ("2024-01-05T10:20:30.123456789+02:00", "2024-01-05T10:20:30.123456789+02:00"),
    ("2024-02-29T00:00:00Z", "2024-02-29T00:00:00Z"),
    ("2023-02-29T00:00:00Z", None),
    ("2024-02-30", None),
    ("2024-1-5", None),
    ("2024-01-05x", None),
    (" 2024-01-05", None),
    ("2024-01-05\n", None),
    ("2024-01-05T10:20:30Z\n", None),
    ("2024-01-05T10:20:60Z", None),
    ("2024-01-05T24:00:00Z", None),
    ("2024-01-05T10:20:30+24:00", None),
    ("1704448800", None),
    ("05/01/2024", None),
    ("0000-01-01", None),
    ("0001-01-01T00:00:00+01:00", None),
    ("9999-12-31T23:59:59-01:00", None),
    ("now", None),
]


@pytest.mark.parametrize("rows", [ISO, *([pair] for pair in ISO)], ids=lambda rows: rows[-1][0])
def test_dates_are_read_exactly(rows: Any) -> None:
    """ISO 8601 becomes UTC text, a whole instant stays as it is, and nothing else passes."""
    cells, wanted = zip(*rows, strict=True)

    values, misfits, codes = column(Kind.DATE, [*cells, None])

    assert values == [want or cell for cell, want in rows] + [None]
    assert misfits == {row for row, want in enumerate(wanted) if want is None}
    assert codes <= {("value_not_date", "x")}


@pytest.mark.parametrize(
    ("form", "cell", "wanted"),
    [
        ("epoch_s", "1704448800", "2024-01-05T10:00:00Z"),
        ("epoch_s", "1704448800.5", "2024-01-05T10:00:00.500Z"),
        ("epoch_s", "-1.5", "1969-12-31T23:59:58.500Z"),
        ("epoch_s", "253402300799", "9999-12-31T23:59:59Z"),
        ("epoch_s", "253402300800", None),
        ("epoch_s", "-62135596801", None),
        ("epoch_s", "1704448800123", None),
        ("epoch_s", "18446744073710", None),
        ("epoch_s", "1.7e9", None),
        ("epoch_s", " 1704448800", None),
        ("epoch_s", "17 04", None),
        ("epoch_s", "1704448800\n", None),
        ("epoch_ms", "1704448800123", "2024-01-05T10:00:00.123Z"),
        ("epoch_ms", "1704448800123.4567", "2024-01-05T10:00:00.123456Z"),
        ("epoch_ms", "-1", "1969-12-31T23:59:59.999Z"),
        ("epoch_ms", "999999999999999", None),
        ("%d/%m/%Y %I:%M %p", "5/1/2024 1:05 pm", "2024-01-05T13:05:00Z"),
        ("%d/%m/%Y %I:%M %p", "05/01/2024 12:00 AM", "2024-01-05T00:00:00Z"),
        ("%d/%m/%Y %I:%M %p", "05/01/2024 12:00 PM", "2024-01-05T12:00:00Z"),
        ("%d/%m/%Y %I:%M %p", "31/02/2024 1:00 PM", None),
        ("%d/%m/%Y %I:%M %p", "5/1/2024  1:05 PM", None),
        ("%a, %d %b %Y %T %Z", "Fri, 05 Jan 2024 10:00:00 GMT", "2024-01-05T10:00:00Z"),
        ("%a, %d %b %Y %T %Z", "Mon, 05 Jan 2024 10:00:00 GMT", None),
        ("%A %e. %B %Y", "friday  5. JANUARY 2024", "2024-01-05T00:00:00Z"),
        ("%Y%m%d%H%M%S", "20240105100000", "2024-01-05T10:00:00Z"),
        ("%Y%m%d%H%M%S", "2024010510000", None),
        ("%F %T.%f", "2024-01-05 10:00:00.12", "2024-01-05T10:00:00.120Z"),
        ("%F %T %z", "2024-01-05 10:00:00 -0330", "2024-01-05T13:30:00Z"),
        ("%m/%d/%y", "01/05/69", "1969-01-05T00:00:00Z"),
        ("%m/%d/%y", "01/05/68", "2068-01-05T00:00:00Z"),
        ("%Y-%m-%d", "2024-01-05T10:00:00Z", None),
    ],
)
def test_a_format_is_read_exactly(form: Any, cell: str, wanted: Any) -> None:
    """A time that the format does not describe whole is a misfit, never bent to fit."""
    mapping = Mapping((Field("timestamp", "t", Kind.DATE),), time=TimePlan("t", form))

    mapped = Encoder(mapping).map(table(t=[cell, None]))

    assert mapped.table["timestamp"].to_list() == [wanted or cell, None]
    assert [(c, f, m.to_list()) for c, f, m in mapped.misfits] == (
        [] if wanted else [("value_not_date", "timestamp", [True, False])]
    )


@pytest.mark.parametrize("form", [None, "%Y-%m-%d %H:%M:%S"])
def test_local_times_are_read_by_the_zone(form: Any) -> None:
    """A skipped local time is a misfit, one that comes twice is the earlier."""
    mapping = Mapping(
        (Field("timestamp", "t", Kind.DATE),), time=TimePlan("t", form), timezone="America/New_York"
    )
    cells = ["2024-03-10 02:30:00", "2024-11-03 01:30:00", "2024-07-01 00:00:00"]

    mapped = Encoder(mapping).map(table(t=cells))

    assert mapped.table["timestamp"].to_list() == [
        "2024-03-10 02:30:00",
        "2024-11-03T05:30:00Z",
        "2024-07-01T04:00:00Z",
    ]
    assert mapped.misfits[0][2].to_list() == [True, False, False]


def test_the_zone_leaves_times_with_an_offset_alone() -> None:
    """An offset or Z in the text says the instant, whatever `--timezone` says."""
    cells = [
        "2024-03-10T02:30:00Z",
        "2024-03-10 02:30:00Z",
        "2024-03-10 02:30:00-05:00",
        "2024-07-01",
    ]

    values, misfits, _ = column(Kind.DATE, cells, timezone="America/New_York")

    assert values == [
        "2024-03-10T02:30:00Z",
        "2024-03-10T02:30:00Z",
        "2024-03-10T07:30:00Z",
        "2024-07-01T04:00:00Z",
    ]
    assert not misfits


def test_the_times_of_the_events_are_given() -> None:
    """The instants are there for the plan, whether the timestamp is converted or sent as it is."""
    rows = table(timestamp=["2024-01-05T10:00:00+02:00", "nonsense", None])
    wanted = [dt.datetime(2024, 1, 5, 8, tzinfo=dt.UTC), None, None]

    as_is = Encoder(fields("timestamp")).map(rows)
    read = Encoder(
        Mapping((Field("timestamp", "timestamp", Kind.DATE),), time=TimePlan("timestamp"))
    ).map(rows)

    assert (as_is.times.to_list(), as_is.misfits) == (wanted, [])
    assert read.times.to_list() == wanted
    assert as_is.table.equals(rows)
    assert Encoder(fields("x")).map(table(x=["2024-01-05"])).times is None


def test_an_unknown_zone_is_a_usage_error() -> None:
    """A misspelt zone gets did-you-mean before anything is read."""
    with pytest.raises(UsageError, match="Europe/Berln") as caught:
        Encoder(Mapping((), timezone="Europe/Berln"))

    assert "did you mean 'Europe/Berlin'?" in caught.value.hint


def test_columns_that_are_not_sent_are_not_looked_at() -> None:
    """Mapped tables hold the fields in their order, whatever else the source has."""
    mapped = Encoder(Mapping((Field("b", "y"), Field("a", "x")))).map(
        table(x=["1"], y=["2"], z=["3"])
    )

    assert mapped.table.rows(named=True) == [{"b": "2", "a": "1"}]
    assert mapped.table.columns == ["b", "a"]


def test_events_are_written_in_one_buffer() -> None:
    """Objects are joined by one comma; their ends cut the buffer into events."""
    rows = table(event=["view", "é", "buy"], n=["1", None, "2"], j=["[1]", "{}", None])

    found = encoded(fields("event", n=Kind.NUMBER, j=Kind.JSON), rows, uuids=["u0", "u1", "u2"])

    parts = [
        '{"event":"view","n":1,"j":[1],"event_uuid":"u0"}',
        '{"event":"é","j":{},"event_uuid":"u1"}',
        '{"event":"buy","n":2,"event_uuid":"u2"}',
    ]
    assert found.body.decode() == ",".join(parts)
    starts = [0, *(end + 1 for end in found.ends)]
    assert [found.body[a:b].decode() for a, b in zip(starts, found.ends, strict=False)] == parts


def test_no_rows_are_no_bytes() -> None:
    """An empty table is an empty body."""
    assert encoded(fields("event"), table(event=[]), uuids=["x"][:0]) == Encoded(b"", [])


def test_an_event_uuid_of_the_row_is_kept() -> None:
    """Only a missing or blank one is filled in, in its place."""
    rows = table(event_uuid=["own", None, "  ", "", "\t"], event=["a", "b", "c", "d", "e"])

    found = encoded(fields("event_uuid", "event"), rows, uuids=["u0", "u1", "u2", "u3", "u4"])

    assert found.body.startswith(b'{"event_uuid":"own","event":"a"},{"event_uuid":"u1",')
    assert [event["event_uuid"] for event in orjson.loads(b"[" + found.body + b"]")] == [
        "own",
        "u1",
        "u2",
        "u3",
        "u4",
    ]


def test_texts_are_escaped_as_json_has_it() -> None:
    """Every character comes back, in keys and values."""
    text = "".join(map(chr, range(0x20))) + '"\\/\x7f\u2028\u2029é😀\ufeff'
    rows = pl.DataFrame({text: ["plain", text], "b": [text, None], "clean": ["1", "2"]})

    found = events(fields(text, "b", "clean"), rows, uuids=["u", "v"])

    assert found == [
        {text: "plain", "b": text, "clean": "1", "event_uuid": "u"},
        {text: text, "clean": "2", "event_uuid": "v"},
    ]


def test_rows_may_be_left_out_before_encoding() -> None:
    """Rejected rows are taken out of the mapped table; a misfit among them does no harm."""
    encoder = Encoder(fields(n=Kind.NUMBER))
    mapped = encoder.map(table(n=["007", "8"]))

    kept = mapped.table.filter(~mapped.misfits[0][2])

    assert encoder.encode(kept, uuids=["u"]).body == b'{"n":8,"event_uuid":"u"}'


def test_too_few_uuids_are_a_bug_here() -> None:
    """Rows and ids are never paired by chance."""
    encoder = Encoder(fields("event"))

    with pytest.raises(ValueError, match="3 rows, but 2 ids"):
        encoder.encode(table(event=["a", "b", "c"]), uuids=["u", "v"])


def test_the_fast_uuids_are_the_law() -> None:
    """The ids of `uuid_series` are those of `event_uuids`."""
    offsets = [*range(300), 2**31, 2**53 + 1]
    series = pl.Series(offsets)

    for given in (offsets, iter(offsets), series.to_numpy()):
        assert uuid_series(SOURCE, given).to_list() == event_uuids(SOURCE, offsets)
    assert uuid_series(SOURCE, []).dtype == pl.String


@drawn(
    st.lists(st.text(min_size=1), min_size=1, max_size=3, unique=True),
    st.integers(0, 5),
    st.data(),
)
def test_the_fast_keyed_uuids_are_the_law(
    names: list[str], height: int, data: st.DataObject
) -> None:
    """The ids of `keyed_series` are those of `keyed_uuid`, whatever the names and texts."""
    cells = [data.draw(st.lists(st.text(), min_size=height, max_size=height)) for _ in names]
    columns = [pl.Series(n, v, dtype=pl.String) for n, v in zip(names, cells, strict=True)]

    expected = [keyed_uuid(list(zip(names, row, strict=True))) for row in zip(*cells, strict=True)]
    assert keyed_series(columns).to_list() == expected
