"""The parts of the JSON lines reader, one by one."""

import codecs
import tracemalloc
from itertools import accumulate

import pytest

from ingest.core.json_mapping import Change, JsonMapping
from ingest.core.json_planning import Sample, plan_json
from ingest.core.mapping import Kind, TimePlan
from ingest.core.model import Position
from ingest.core.planning import MappingFlags
from ingest.edges.jsonl import Limits, encoded, frames, is_jsonl, look, mended, sizes
from ingest.errors import BugError, MismatchError, UsageError

START = Position(0, 0, 1)
EVENT = b'{"event":"view","customer_id":"1"}\n'


def reader(data: bytes):
    return lambda offset, size: data[offset : offset + size]


def all_frames(data: bytes, *, limits: Limits | None = None, **options):
    limits = limits or Limits()
    return list(frames(reader(data), size=len(data), start=START, limits=limits, **options))


# -- lines -----------------------------------------------------------------------------------


def test_lines_have_numbers_offsets_and_ends_as_an_editor_shows_them() -> None:
    """Blank lines are counted and no records; CRLF is a line end; the last line needs none."""
    data = b'{"a":1}\r\n\n \t\n  {"b":2} \nx\n{"c":3}'

    (frame,) = all_frames(data)

    assert frame.objects == [b'{"a":1}', b'{"b":2}', b'{"c":3}']
    assert frame.rows.tolist() == [0, 1, 3]
    assert frame.lines.tolist() == [1, 4, 5, 6]
    assert [data[o:e] for o, e in zip(frame.offsets, frame.ends, strict=True)] == [
        b'{"a":1}',
        b'  {"b":2} ',
        b"x",
        b'{"c":3}',
    ]
    assert [(f.record, f.code, f.raw) for f in frame.faults] == [(2, "json_invalid", b"x")]
    assert (frame.blank_lines, frame.unterminated) == (2, True)
    assert frame.stop == Position(len(data), 4, 6)


@pytest.mark.parametrize(
    ("line", "code", "words"),
    [
        pytest.param(b'{"a":NaN}', "json_invalid", "character 6", id="NaN"),
        pytest.param(b'{"a":-Infinity}', "json_invalid", "character 7", id="Infinity"),
        pytest.param(b'{"a":1e400}', "json_invalid", "infinity", id="beyond-double"),
        pytest.param(b'{"a":"\\udc00"}', "json_invalid", "surrogate", id="lone-surrogate"),
        pytest.param(b'{"a":"\xe9"}', "json_invalid", "byte 7 of the line (0xE9)", id="latin-1"),
        pytest.param(b'{"a":1}{}', "json_invalid", "after document", id="two-objects"),
        pytest.param(b'{"a":' * 100_000, "json_invalid", "", id="100,000-deep"),
        pytest.param(b"[1]", "json_not_object", "it is an array", id="array"),
        pytest.param(b"12", "json_not_object", "it is a number", id="number"),
        pytest.param(b'"a"', "json_not_object", "it is a text", id="text"),
        pytest.param(b"null", "json_not_object", "it is null", id="null"),
        pytest.param(b"false", "json_not_object", "it is true or false", id="boolean"),
    ],
)
def test_a_bad_line_costs_itself_alone(line: bytes, code: str, words: str) -> None:
    """The lines around it are read; the reason says where, and quotes nothing of it."""
    (frame,) = all_frames(EVENT + line + b"\n" + EVENT)

    (fault,) = frame.faults
    assert (fault.record, fault.code, fault.raw) == (1, code, line)
    assert words in fault.detail
    assert frame.rows.tolist() == [0, 2]


@pytest.mark.parametrize("chunk", [1000, 5000, 1 << 20])
@pytest.mark.parametrize("end", [b"\n", b"\r\n", b""])
def test_a_line_over_the_cap_is_one_reject_with_its_true_end(chunk: int, end: bytes) -> None:
    """It is skipped, not kept, and what follows is read; the cap itself still passes."""
    just = b'{"a":"' + b"x" * 1992 + b'"}'
    over = b'{"a":"' + b"x" * 30_000 + b'"}'
    data = EVENT + just + b"\n" + over + end + (EVENT if end else b"")

    parts = all_frames(data, limits=Limits(chunk, 1 << 20, 2000))

    faults = [
        (int(part.offsets[f.record]), int(part.ends[f.record]), f.code, f.raw)
        for part in parts
        for f in part.faults
    ]
    begin = len(EVENT) + len(just) + 1
    assert faults == [(begin, begin + len(over), "record_too_large", None)]
    sound = [text for part in parts for text in part.objects]
    assert sound == [EVENT.strip(), just, *([EVENT.strip()] if end else [])]
    assert parts[-1].unterminated is (not end)


def test_a_line_of_any_length_is_skipped_in_bounded_memory() -> None:
    """Forty megabytes without a line end need a few chunks of memory, not forty."""
    size = 40 << 20

    def read_at(offset: int, count: int) -> bytes:
        return b"x" * max(0, min(count, size - offset))

    tracemalloc.start()
    (frame,) = frames(
        read_at, size=size, start=START, limits=Limits(chunk_bytes=1 << 20, max_record_bytes=1000)
    )
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert [fault.code for fault in frame.faults] == ["record_too_large"]
    assert "41,943,040 bytes" in frame.faults[0].detail
    assert peak < 8 << 20


def test_a_stop_inside_a_line_is_a_bug_and_a_short_source_a_mismatch() -> None:
    """Recorded bounds are line ends, and the source has the bytes that were recorded."""
    data = EVENT * 3

    with pytest.raises(BugError):
        all_frames(data, stop_offset=len(EVENT) + 3)
    with pytest.raises(MismatchError):
        list(frames(reader(data), size=len(data) + 9, start=START, limits=Limits()))


# -- the first look --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "data", "known"),
    [
        pytest.param("a.jsonl", b"x", True, id="jsonl"),
        pytest.param("a.NDJSON", b"x", True, id="ndjson"),
        pytest.param("a.jsonl.gz", b"x", True, id="packed"),
        pytest.param("a.txt", b'\n {"event":"a"}', True, id="by-content"),
        pytest.param("a.txt", codecs.BOM_UTF8 + b"{}", True, id="behind-a-mark"),
        pytest.param("a.json", b'[\n {"event":"a"}]', True, id="array-of-objects"),
        pytest.param("a.csv", b"event,customer_id\n", False, id="csv"),
        pytest.param("a.csv", b"[x],y\n", False, id="csv-with-a-bracket"),
        pytest.param("a.csv", b"", False, id="empty"),
    ],
)
def test_json_lines_are_known_by_name_or_by_content(name: str, data: bytes, known) -> None:
    """The extension decides; without it the first byte that is no blank."""
    assert is_jsonl(name, reader(data)) is known


def test_names_and_paths_of_the_first_records_are_seen() -> None:
    """In the order of first sight, arrays left out, a byte order mark skipped."""
    data = codecs.BOM_UTF8 + b'{"a":{"b":{"c":1},"x.y":2},"l":[{"z":1}]}\nbad\n{"d":null}\n'

    seen = look(reader(data), size=len(data))

    assert (seen.names, seen.paths) == (("a", "l", "d"), ("a.b", "a.b.c", "a.x.y"))
    assert (seen.start, seen.records) == (Position(3, 0, 1), 3)


def test_the_look_ends_with_a_thousand_records_and_takes_a_size_that_is_not_known() -> None:
    """What comes later is not looked at; a packed file tells its size only at its end."""
    data = EVENT * 1000 + b'{"later":1}\n'

    seen = look(reader(data), size=1 << 60)

    assert (seen.records, "later" in seen.names) == (1000, False)


@pytest.mark.parametrize(
    ("data", "code", "way"),
    [
        pytest.param(b'[{"event":"a"}]', "json_is_array", "jq -c '.[]'", id="array-on-a-line"),
        pytest.param(b'[\n{"a":1},\n{"a":2}\n]\n', "json_is_array", "jq -c '.[]'", id="array"),
        pytest.param(
            b"[" + b'{"a":1},' * 200_000 + b"1]", "json_is_array", "jq -c '.[]'", id="long-array"
        ),
        pytest.param(b'{\n"a":1\n}\n', "json_not_lines", "jq -c .", id="pretty"),
        pytest.param(EVENT.replace(b"\n", b"\r") * 3, "json_not_lines", "tr", id="CR"),
        pytest.param(b"a,b\n1,2\n", "json_not_lines", "one JSON object", id="csv"),
        pytest.param(
            EVENT.decode().encode("utf-16"),
            "encoding_not_supported",
            "iconv -f UTF-16",
            id="utf-16",
        ),
        pytest.param(
            EVENT.decode().encode("utf-16-le"), "encoding_not_supported", "UTF-16LE", id="utf-16-le"
        ),
        pytest.param(
            EVENT.decode().encode("utf-32-be"), "encoding_not_supported", "UTF-32BE", id="utf-32-be"
        ),
    ],
)
def test_what_is_no_json_lines_is_refused_with_what_to_do(data: bytes, code: str, way: str) -> None:
    """Before anything is sent, by name."""
    with pytest.raises(UsageError) as caught:
        look(reader(data), size=len(data))

    assert caught.value.code == code
    assert way in caught.value.hint


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"\n\n", id="blank"),
        pytest.param(b"[1,2]\n" + EVENT, id="an-array-among-lines"),
        pytest.param(b"bad\n" + EVENT, id="a-bad-first-line"),
    ],
)
def test_bad_lines_and_empty_files_are_not_refused(data: bytes) -> None:
    """An hour without events gives an empty file; a bad line is a reject."""
    look(reader(data), size=len(data))


# -- what is sent ----------------------------------------------------------------------------


def test_an_id_is_put_first_even_into_an_empty_object() -> None:
    """The buffer is cut by its ends."""
    objects = [b"{}", b'{ "a":1}', b'{"event_uuid":"own"}', b"{ }"]
    sent = encoded(objects, [b"u", b"v", None, b"w"])

    begins = [0, *(end + 1 for end in sent.ends[:-1])]
    assert [sent.body[b:e] for b, e in zip(begins, sent.ends, strict=True)] == [
        b'{"event_uuid":"u"}',
        b'{"event_uuid":"v", "a":1}',
        b'{"event_uuid":"own"}',
        b'{"event_uuid":"w" }',
    ]
    long = encoded(objects, [b"u" * 36, b"v" * 36, None, b"w" * 36])
    made = sizes(objects, [True, True, False, True])
    assert [end - 1 for end in accumulate(made)] == long.ends


def test_identities_and_blank_ids_are_mended_in_place() -> None:
    """All other bytes stay, blanks too."""
    objects = [b'{ "customer_id" : 12 , "x":1.50}', b'{"a":1,"event_uuid":null ,"b":2}', b"{}"]

    made = mended(objects, integers={0: {"customer_id": "12"}}, blank_uuid={1})

    assert made == [b'{"customer_id":"12","x":1.50}', b'{"a":1,"b":2}', b"{}"]


# -- planning --------------------------------------------------------------------------------

SAMPLE = Sample(
    ("event", "user", "ts", "properties", "note"),
    ("user.id", "user.email", "properties.price", "properties.deep.er"),
    1000,
)
IDENTITY = ("customer_id", "email")


def planned(sample: Sample = SAMPLE, **flags) -> JsonMapping:
    return plan_json(
        sample,
        MappingFlags(**flags),
        known_fields=("event", "timestamp", *IDENTITY),
        json_fields=("products",),
        identity_fields=IDENTITY,
    )


def refusal(sample: Sample = SAMPLE, **flags) -> UsageError:
    with pytest.raises(UsageError) as caught:
        planned(sample, **flags)
    return caught.value


def test_all_flags_become_one_plan() -> None:
    """Paths move, convert and go; constants of array fields are JSON."""
    mapping = planned(
        maps=("customer_id=user.id",),
        sets=("source=app", "products=[]"),
        drop=("note, user.email",),
        types=("price=number", "customer_id=text"),
        nulls=("NULL",),
        timestamp="ts",
        timestamp_format="epoch_s",
        flatten=("properties",),
    )

    assert mapping == JsonMapping(
        changes=(
            Change("customer_id", "user.id", Kind.TEXT),
            Change("timestamp", "ts", Kind.DATE),
            Change("source", constant="app"),
            Change("products", kind=Kind.JSON, constant="[]"),
            Change("price", "price", Kind.NUMBER),
        ),
        drop=("note", "user.email"),
        flatten=("properties",),
        nulls=("NULL",),
        time=TimePlan("ts", "epoch_s"),
        seen=("event", "user", "ts", "price", "note"),
    )
    assert mapping.columns_of("customer_id") == ("user.id",)
    assert mapping.columns_of("event") == ("event",)
    assert mapping.columns_of("source") == ()
    assert "customer_id from user.id" in mapping.describe(("event",))
    assert "time: ts" in mapping.describe(("event",))


def test_the_first_names_do_not_decide_what_a_load_is() -> None:
    """A source that has grown shows other names, and stays the same load."""
    grown = Sample((*SAMPLE.names, "new"), SAMPLE.paths, 1000)
    flags = {"maps": ("customer_id=user.id",), "timestamp": "ts"}

    assert planned(**flags).digest() == planned(grown, **flags).digest()
    assert planned(**flags).as_json() == planned(grown, **flags).as_json()
    assert planned(**flags).digest() != planned(drop=("note",), **flags).digest()


def test_no_event_and_no_identity_are_refused_with_the_names_that_were_seen() -> None:
    """The flags to paste lead into objects; a time that nobody decided on is asked for."""
    error = refusal(Sample(("name", "user", "at"), ("user.id",), 7))

    assert error.code == "event_column_missing"
    assert "names seen in the first 7 records: name, user, at, user.id" in error.message
    assert "--map event=name --map customer_id=user.id --timestamp at" in error.hint


def test_an_empty_source_needs_no_names() -> None:
    """Nothing is asked where nothing is."""
    assert planned(Sample((), (), 0)) == JsonMapping()


@pytest.mark.parametrize(
    ("flags", "code", "words"),
    [
        pytest.param(
            {"timestamp": "user.ts", "maps": ("email=user.email",)},
            "unknown_column",
            "did you mean 'user",
            id="time-not-seen",
        ),
        pytest.param(
            {"maps": ("email=user.email", "x=user.email")}, "mapping_conflict", "keep", id="twice"
        ),
        pytest.param(
            {"maps": ("email=user.email",), "drop": ("user.email",)},
            "mapping_conflict",
            "keep one",
            id="dropped-and-moved",
        ),
        pytest.param({"sets": ("event=x",)}, "mapping_conflict", "--drop event", id="set-meets"),
        pytest.param(
            {"sets": ("email=x",), "maps": ("email=user.email",)},
            "mapping_conflict",
            "take away",
            id="set-and-map",
        ),
        pytest.param({"sets": ("a=",)}, "flag_invalid", "give a value", id="empty-set"),
        pytest.param({"types": ("event=number",)}, "flag_invalid", "take away", id="event-typed"),
        pytest.param(
            {"types": ("note=number", "note=text")}, "mapping_conflict", "keep one", id="two-types"
        ),
        pytest.param(
            {"types": ("note=number",), "drop": ("note",)},
            "mapping_conflict",
            "take it away",
            id="typed-and-dropped",
        ),
        pytest.param(
            {"timestamp": "ts", "maps": ("timestamp=note",)},
            "mapping_conflict",
            "--timestamp alone",
            id="two-times",
        ),
        pytest.param(
            {"timezone": "Europe/Berlin", "maps": ("email=user.email",)},
            "mapping_conflict",
            "--timestamp PATH",
            id="zone-without-time",
        ),
        pytest.param({"only": ("event",), "drop": ("ts",)}, "mapping_conflict", "keep", id="both"),
    ],
)
def test_flags_that_contradict_one_another_are_refused(flags, code: str, words: str) -> None:
    """With the flag that resolves it."""
    error = refusal(**flags)

    assert (error.code, words in error.hint) == (code, True)


def test_names_that_were_not_seen_are_told_in_the_plan() -> None:
    """They may come later: attributes are often absent."""
    mapping = planned(
        maps=("email=user.email",), types=("later=number",), no_timestamp=True, flatten=("extra",)
    )

    assert mapping.unseen == ("extra", "later")
    assert "not seen yet: extra, later" in mapping.describe(())


def test_a_seen_timestamp_contradicts_no_timestamp() -> None:
    """As for tables."""
    sample = Sample(("event", "email", "timestamp"), (), 5)

    assert refusal(sample, no_timestamp=True).code == "mapping_conflict"
    assert planned(sample, no_timestamp=True, drop=("timestamp",)).drop == ("timestamp",)


def test_changes_and_mappings_that_cannot_be_are_not_made() -> None:
    """A change has one origin and does something; names are unique."""
    with pytest.raises(ValueError, match="origin"):
        Change("a")
    with pytest.raises(ValueError, match="nothing changes"):
        Change("a", "a")
    with pytest.raises(ValueError, match="share a name"):
        JsonMapping((Change("a", "b"), Change("a", "c")))
