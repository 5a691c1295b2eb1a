"""Laws of the encoder, for any cells."""

import datetime as dt
import string
import zoneinfo
from typing import Any
from uuid import UUID

import orjson
import polars as pl
from hypothesis import example, given
from hypothesis import strategies as st

from ingest.core.identity import event_uuids, source_id
from ingest.core.mapping import Field, Kind, Mapping
from ingest.edges.encoder import Encoder, uuid_series
from ingest.edges.encoder.times import instants, written

SOURCE = source_id("sha256:0")

any_text = st.text(st.characters(exclude_categories=["Cs"]))
hostile = st.text(st.sampled_from('"\\/,:{}[]\x00\x01\n\r\t\x1f\x7f\u2028é😀nu ')) | any_text
cells = st.none() | hostile
json_value = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | hostile,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(hostile, inner, max_size=3),
    max_leaves=6,
)
numbers = st.from_regex(r"-?(0|[1-9][0-9]{0,15})(\.[0-9]{1,6})?", fullmatch=True)


@st.composite
def tables(draw: st.DrawFn) -> Any:
    """Fields of several kinds and rows of cells that fit them, with the events wanted."""
    names = draw(st.lists(hostile, unique=True, min_size=1, max_size=5))
    if draw(st.booleans()):
        names = [*dict.fromkeys([*names, "event_uuid"])]
    kinds = [
        Kind.TEXT if name == "event_uuid" else draw(st.sampled_from(list(makers))) for name in names
    ]
    height = draw(st.integers(0, 6))
    rows = [[draw(makers[kind]) for kind in kinds] for _ in range(height)]
    return names, kinds, rows


makers = {
    Kind.TEXT: cells,
    Kind.NUMBER: st.none() | numbers,
    Kind.JSON: st.none() | json_value.map(lambda value: orjson.dumps(value).decode()),
    Kind.BOOLEAN: st.none() | st.sampled_from(["true", "False", "TRUE"]),
    Kind.LIST: cells,
}


def wanted(kind: Kind, cell: str) -> Any:
    match kind:
        case Kind.TEXT:
            return cell
        case Kind.LIST:
            return cell.split("|")
        case Kind.BOOLEAN:
            return cell.lower() == "true"
        case _:
            return orjson.loads(cell)


@given(tables())
@example((["*", "^.*$", "^1$", "0", ""], [Kind.TEXT] * 5, [["a", "b", None, '"', "d"]]))
def test_an_event_comes_back_as_it_went_in(drawn: Any) -> None:
    """Decoding the buffer gives the cells, key by key in order, with absent cells as absent keys."""
    names, kinds, rows = drawn
    mapping = Mapping(
        tuple(
            Field(name, f"c{at}", kind, separator="|" if kind is Kind.LIST else None)
            for at, (name, kind) in enumerate(zip(names, kinds, strict=True))
        )
    )
    columns = {f"c{at}": [row[at] for row in rows] for at in range(len(names))}
    table = pl.DataFrame(columns, schema=dict.fromkeys(columns, pl.String))
    uuids = event_uuids(SOURCE, range(len(rows)))
    encoder = Encoder(mapping)

    mapped = encoder.map(table)
    encoded = encoder.encode(mapped.table, uuids=uuids)

    starts = [0, *(end + 1 for end in encoded.ends)][: len(rows)]
    spans = zip(starts, encoded.ends, strict=True)
    texts = [encoded.body[start:end] for start, end in spans]
    assert (mapped.misfits, b",".join(texts)) == ([], encoded.body)
    assert encoder.sizes(mapped.table).to_list() == [len(text) + 1 for text in texts]
    for text, row, uuid in zip(texts, rows, uuids, strict=True):
        pairs = {
            name: wanted(kind, cell)
            for name, kind, cell in zip(names, kinds, row, strict=True)
            if cell not in {None, ""}
        }
        if pairs.get("event_uuid", "").strip() == "":
            pairs["event_uuid"] = uuid
        found = orjson.loads(text)
        assert found == pairs
        order = [*names, "event_uuid"]
        assert sorted(found, key=order.index) == list(found)


@given(st.lists(hostile | numbers | st.text("0123456789+-.eE", max_size=6), max_size=20))
@example(["1\n", "-", "1e", "١"])
def test_a_number_fits_exactly_if_json_reads_it(texts: list[str]) -> None:
    """The number check and a strict JSON parser agree on every text without outer blanks."""
    mapped = Encoder(Mapping((Field("n", "n", Kind.NUMBER),))).map(
        pl.DataFrame({"n": texts}, schema={"n": pl.String})
    )

    misfits = mapped.misfits[0][2].to_list() if mapped.misfits else [False] * len(texts)
    for text, misfit in zip(texts, misfits, strict=True):
        assert misfit == (text != "" and not is_number(text))


def is_number(text: str) -> bool:
    if set(text) - set(string.digits + "+-.eE"):
        return False
    try:
        return isinstance(orjson.loads(text), int | float)
    except orjson.JSONDecodeError:
        return False


instant = st.datetimes(dt.datetime(1, 1, 2), dt.datetime(9999, 12, 30))  # noqa: DTZ001 - zones are added
ZONES = ["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kolkata"]


@given(
    st.lists(instant, min_size=1, max_size=10),
    st.sampled_from(["T", " "]),
    st.sampled_from(["", "+02:00"]),
)
def test_iso_texts_are_read_as_python_reads_them(
    moments: list[dt.datetime], between: str, suffix: str
) -> None:
    """What Python writes as ISO 8601 is the same instant here."""
    texts = [moment.isoformat(between) + suffix for moment in moments]

    found = instants(pl.Series(texts), form=None, timezone="UTC").to_list()

    assert found == [
        dt.datetime.fromisoformat(text + ("" if suffix else "+00:00")).astimezone(dt.UTC)
        for text in texts
    ]


@given(st.lists(instant, min_size=1, max_size=10))
def test_what_is_written_is_read_again(moments: list[dt.datetime]) -> None:
    """Times in UTC text lose nothing down to the microsecond."""
    series = pl.Series(moments, dtype=pl.Datetime("us")).dt.replace_time_zone("UTC")

    again = instants(written(series), form=None, timezone="Asia/Kolkata")

    assert again.to_list() == series.to_list()


@given(
    st.datetimes(dt.datetime(1980, 1, 1), dt.datetime(2030, 1, 1)),  # noqa: DTZ001 - local times
    st.sampled_from(ZONES),
)
@example(dt.datetime(2024, 3, 31, 2, 30), "Europe/Berlin")  # noqa: DTZ001
@example(dt.datetime(2024, 10, 27, 2, 30), "Europe/Berlin")  # noqa: DTZ001
@example(dt.datetime(2024, 10, 6, 2, 15), "Australia/Lord_Howe")  # noqa: DTZ001
def test_local_times_are_read_as_python_reads_them(moment: dt.datetime, zone: str) -> None:
    """In every zone: the earlier of two, nothing for a time that the clock skips."""
    aware = moment.replace(tzinfo=zoneinfo.ZoneInfo(zone), fold=0)
    utc = aware.astimezone(dt.UTC)
    skipped = utc.astimezone(aware.tzinfo).replace(tzinfo=None) != moment

    found = instants(pl.Series([moment.isoformat()]), form=None, timezone=zone).item()

    assert found == (None if skipped else utc)


@given(
    st.lists(instant.map(lambda m: m.replace(microsecond=0)), min_size=1, max_size=5),
    st.sampled_from(
        ["%Y-%m-%d %H:%M:%S", "%d.%m.%Y %H.%M.%S", "%b %d, %Y %I:%M:%S %p", "%A %d %B %Y %H%M%S"]
    ),
)
def test_formats_are_read_as_python_reads_them(moments: list[dt.datetime], form: Any) -> None:
    """What strftime writes is the same instant here."""
    texts = [moment.strftime(form.replace("%Y", f"{moment.year:04}")) for moment in moments]

    found = instants(pl.Series(texts), form=form, timezone="UTC").to_list()

    assert found == [moment.replace(tzinfo=dt.UTC) for moment in moments]


@given(st.lists(hostile | st.text("0123456789-:TZ .+"), max_size=20), st.sampled_from(ZONES))
def test_any_text_is_an_instant_or_nothing(texts: list[str], zone: str) -> None:
    """Whatever passes as an ISO time is one to Python too."""
    series = pl.Series("t", texts, dtype=pl.String)

    found = instants(series, form=None, timezone=zone)

    for text, moment in zip(texts, found.to_list(), strict=True):
        assert moment is None or dt.datetime.fromisoformat(text[:26].replace(",", "."))


@given(st.lists(st.integers(0, 2**63 - 1)), st.uuids())
def test_fast_uuids_are_the_law(offsets: list[int], source: UUID) -> None:
    """For any source and any offsets."""
    assert uuid_series(source, offsets).to_list() == event_uuids(source, offsets)
