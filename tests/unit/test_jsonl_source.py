"""JSON lines from a file to verdicts, reports and what is sent."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import orjson
import pytest

from ingest.config import Input, Settings, resolve
from ingest.core.batching import MAX_BYTES
from ingest.core.identity import event_uuids
from ingest.core.load import ChunkState
from ingest.core.model import Reject
from ingest.core.planning import MappingFlags
from ingest.edges.framing import Limits
from ingest.edges.report import SegmentRef, read_segment
from ingest.edges.source import ProvenReader
from ingest.pipeline.payload import Prepared
from ingest.pipeline.prepare import Preparer, Work
from ingest.pipeline.sources import Opened, RuleBooks, new_load, opened

NOW = datetime(2026, 2, 1, tzinfo=UTC)
TIME = '"timestamp":"2026-01-20T10:00:00Z"'


@dataclass(frozen=True)
class Outcome:
    """What became of a source."""

    states: tuple[ChunkState, ...]
    events: dict[int, bytes]
    rejects: tuple[Reject, ...]
    source_id: object
    offsets: dict[int, int]

    @property
    def codes(self) -> dict[int, tuple[str, ...]]:
        return {r.record: tuple(v.code for v in r.violations) for r in self.rejects}

    @property
    def warnings(self) -> dict[str, int]:
        counts: dict[str, int] = {}
        for state in self.states:
            for code, count in state.findings.warnings.items():
                counts[code] = counts.get(code, 0) + count
        return counts


@contextmanager
def source(tmp_path: Path, data: bytes, flags: MappingFlags, **settings) -> Iterator[Opened]:
    path = tmp_path / "events.jsonl"
    path.write_bytes(data)
    schemas = settings.pop("schemas", ())
    one = Input(paths=(str(path),), mapping=flags, schemas=schemas)
    config = resolve(Settings(inputs=(one,), sandbox=True, **settings), environ={}, sends=False)
    with opened(config, RuleBooks(config), spool=tmp_path, run_id="r") as (good, _):
        yield replace(good[0]), config


def outcome(
    tmp_path: Path,
    data: str | bytes,
    *,
    limits: Limits | None = None,
    settings: dict | None = None,
    **flags,
) -> Outcome:
    raw = data.encode() if isinstance(data, str) else data
    with source(tmp_path, raw, MappingFlags(**flags), **(settings or {})) as (found, config):
        load = new_load(found, config, found.file.identity())
        work = Work(
            load=load,
            opened=found,
            read_at=ProvenReader(found.file, load.identity),
            segments=tmp_path,
            room=MAX_BYTES - 20,
            now=NOW,
            limits=limits or Limits(),
        )
        done = list(Preparer(work).all([], limit=None))
        again = list(Preparer(work).all([each.state for each in done], limit=None))
    events, offsets = {}, {}
    for each in done:
        first = each.state.chunk.start.record
        for record, text in zip(each.payload.records, objects_of(each), strict=True):
            events[first + record + 1] = text
            offsets[first + record + 1] = each.payload.describe(record)["offset"]
    sent_again = [text for each in again for text in objects_of(each)]
    assert sent_again == list(events.values())
    rejects = [
        reject
        for each in done
        if (s := each.state.findings.segment) is not None
        for reject in read_segment(tmp_path, SegmentRef(s.name, s.bytes, s.sha256, s.rejects))
    ]
    states = tuple(each.state for each in done)
    return Outcome(states, events, tuple(rejects), load.source_id, offsets)


def objects_of(each: Prepared) -> list[bytes]:
    ends = each.payload.ends
    begins = [0, *(end + 1 for end in ends)]
    return [each.payload.body[b:e] for b, e in zip(begins, ends, strict=False)]


def test_the_line_itself_is_sent_with_an_id_in_front(tmp_path: Path) -> None:
    """Numbers, escapes, blanks and doubles of unknown names pass as they stand."""
    inside = (
        '"event":"view", "customer_id" :"007",'
        + TIME
        + ',"n":123456789012345678901234567890,"f":1.50,"e":1E2,"x":"\\u00e9\\/","x":null,'
        '"deep":{"a":[1.0,{"b":-0}]}'
    )

    found = outcome(tmp_path, "{" + inside + "}\n")

    (uuid,) = event_uuids(found.source_id, [0])
    assert found.events == {1: f'{{"event_uuid":"{uuid}",{inside}}}'.encode()}
    assert found.codes == {}


@pytest.mark.parametrize(
    ("members", "codes"),
    [
        pytest.param('"event":5,"email":"a@b.co"', ("event_not_string", "event_numeric"), id="5"),
        pytest.param('"event":true,"email":"a@b.co"', ("event_not_string",), id="true"),
        pytest.param('"event":null,"email":"a@b.co"', ("event_missing",), id="null-event"),
        pytest.param('"event":"a.b","email":"a@b.co"', ("event_has_period",), id="period"),
        pytest.param('"event":"v"', ("identity_missing",), id="nobody"),
        pytest.param('"event":"v","email":null', ("identity_missing",), id="null-identity"),
        pytest.param('"event":"v","customer_id":1.5', ("identity_not_string",), id="float"),
        pytest.param('"event":"v","customer_id":1e3', ("identity_not_string",), id="exponent"),
        pytest.param('"event":"v","email":true', ("identity_not_string",), id="boolean"),
        pytest.param('"event":"v","cookie":["c"]', ("identity_not_string",), id="array"),
        pytest.param('"event":"v","cookie":"NaN"', ("identity_placeholder",), id="placeholder"),
        pytest.param(
            '"event":"v","email":"a@b.co","email":"c@d.co"', ("json_duplicate_key",), id="double"
        ),
        pytest.param(
            '"event":"v","customer_id":null,"customer_id":null,"email":"a@b.co"',
            ("json_duplicate_key",),
            id="double-null",
        ),
        pytest.param(
            '"event":"a.b","ev\\u0065nt":"a.b","email":"a@b.co"',
            ("json_duplicate_key",),
            id="double-by-escape",
        ),
        pytest.param(
            '"event":"v","cookie":"c","email":"x","email":{"s":"\\u0022:"}',
            ("json_duplicate_key",),
            id="double-beside-an-escaped-quote",
        ),
    ],
)
def test_json_values_meet_the_rules_with_their_types(tmp_path: Path, members: str, codes) -> None:
    """The same codes as for tables, and those that only JSON can have."""
    line = "{" + members + "," + TIME + "}"

    good = f'{{"event":"v","email":"a@b.co",{TIME}}}'

    found = outcome(tmp_path, f"{line}\n{good}\n")

    assert found.codes == {1: codes}
    assert (found.rejects[0].raw, found.rejects[0].cells) == (line.encode(), None)


def test_integer_identities_become_text_of_any_size_with_a_warning(tmp_path: Path) -> None:
    """No digit is lost, and a person is warned."""
    ids = ["7", "18446744073709551616", "-12345678901234567890123", "9007199254740993"]
    lines = [f'{{"event":"v","customer_id":{each},{TIME}}}\n' for each in ids]

    found = outcome(tmp_path, "".join(lines))

    assert [orjson.loads(text)["customer_id"] for text in found.events.values()] == ids
    assert found.warnings["identity_integer"] == len(ids)


@pytest.mark.parametrize(("word", "rejected"), [("error", True), ("off", False)])
def test_the_severity_of_an_integer_identity_can_be_set(tmp_path, word: str, rejected) -> None:
    """As an error it names the member; off, it is not counted."""
    line = f'{{"event":"v","customer_id":7,{TIME}}}\n'

    found = outcome(tmp_path, line, settings={"rules": {"identity_integer": word}})

    assert found.codes == ({1: ("identity_integer",)} if rejected else {})
    assert "identity_integer" not in found.warnings
    if rejected:
        assert found.rejects[0].violations[0].columns == ("customer_id",)


def test_own_ids_stay_and_blank_ones_are_replaced(tmp_path: Path) -> None:
    """Null, empty and blank count as absent; any other is the sender's own."""
    ids = ['"mine"', "null", '""', '" \\u00a0"', "5"]
    lines = [f'{{"event":"v","email":"a@b.co","event_uuid":{i},{TIME}}}\n' for i in ids]

    found = outcome(tmp_path, "".join(lines))

    made = dict(
        zip(found.offsets, event_uuids(found.source_id, found.offsets.values()), strict=True)
    )
    sent = {n: orjson.loads(text)["event_uuid"] for n, text in found.events.items()}
    assert sent == {1: "mine", 2: made[2], 3: made[3], 4: made[4], 5: 5}
    assert all(text.count(b"event_uuid") == 1 for text in found.events.values())


def test_flags_with_paths_change_what_is_sent_and_judged(tmp_path: Path) -> None:
    """Rules see the event as it is sent; misfits name the path and keep the line."""
    lines = [
        '{"event":"v","user":{"id":42,"mail":"x"},"at":1768903200,"price":"9.90","p":{"a":1}}',
        '{"event":"v","user":{"id":"b"},"at":"1768903200.5","price":"cheap","p":null}',
        '{"event":"v","user":{"id":null},"at":1768903200}',
        '{"event":"v","user":{"id":"d"},"at":"soon"}',
        '{"event":"v","customer_id":"own","user":{"id":"e"},"at":1768903200}',
    ]
    flags = {
        "maps": ("customer_id=user.id",),
        "timestamp": "at",
        "timestamp_format": "epoch_s",
        "types": ("price=number",),
        "flatten": ("p",),
        "sets": ("app=shop",),
    }

    found = outcome(tmp_path, "\n".join(lines) + "\n", **flags)

    (uuid,) = event_uuids(found.source_id, [0])
    assert found.events == {
        1: (
            f'{{"event_uuid":"{uuid}","event":"v","user":{{"mail":"x"}},"price":9.90,"a":1,'
            '"customer_id":"42","timestamp":"2026-01-20T10:00:00Z","app":"shop"}'
        ).encode()
    }
    assert found.codes == {
        2: ("value_not_number",),
        3: ("identity_missing",),
        4: ("value_not_date",),
        5: ("json_duplicate_key",),
    }
    by_record = {reject.record: reject for reject in found.rejects}
    assert by_record[2].violations[0].columns == ("price",)
    assert by_record[4].violations[0].columns == ("at",)
    assert by_record[5].violations[0].columns == ("user.id",)
    assert by_record[2].raw == lines[1].encode()
    findings = found.states[0].findings
    assert (findings.first_time, findings.last_time) == (
        "2026-01-20T10:00:00.000000Z",
        "2026-01-20T10:00:00.000000Z",
    )


@pytest.mark.parametrize(
    ("members", "flags", "wanted"),
    [
        pytest.param(
            '"user.id":"literal","user":{"id":"nested"}',
            {"maps": ("customer_id=user.id",)},
            {"customer_id": "literal", "user": {"id": "nested"}},
            id="a-name-with-a-dot-goes-before",
        ),
        pytest.param(
            '"cookie":"c","user":{"user":{}},"l":[{"id":"x"}]',
            {"maps": ("customer_id=user.user.id",)},
            {"cookie": "c", "user": {"user": {}}, "l": [{"id": "x"}]},
            id="objects-in-arrays-are-no-way",
        ),
        pytest.param(
            '"user":{"id":"a","mail":"b"}',
            {"maps": ("customer_id=user.id",), "drop": ("user",)},
            {"customer_id": "a"},
            id="moved-out-of-what-is-dropped",
        ),
        pytest.param(
            '"user":{"id":"a","mail":"b"},"cookie":"c"',
            {"drop": ("user.mail",)},
            {"user": {"id": "a"}, "cookie": "c"},
            id="dropped-inside",
        ),
        pytest.param(
            '"user":{"id":"a","deep":{"x":1,"y":2}},"cookie":"c"',
            {"only": ("event,timestamp,cookie,user.deep.y",)},
            {"user": {"deep": {"y": 2}}, "cookie": "c"},
            id="only-inside",
        ),
        pytest.param(
            '"user":{"age":"41"},"cookie":"c","tags":"a|b","n":7',
            {"types": ("user.age=integer", "tags=list:|", "n=text")},
            {"user": {"age": 41}, "cookie": "c", "tags": ["a", "b"], "n": "7"},
            id="converted-in-place",
        ),
    ],
)
def test_paths_lead_into_objects(tmp_path: Path, members: str, flags, wanted) -> None:
    """What a flag names is changed where it stands, and all else is kept."""
    line = f'{{"event":"v",{TIME},{members}}}\n'

    found = outcome(tmp_path, line, **flags)

    sent = orjson.loads(found.events[1])
    assert {
        k: v for k, v in sent.items() if k not in {"event", "event_uuid", "timestamp"}
    } == wanted


def test_what_cannot_be_lifted_stays_where_it_is_with_a_warning(tmp_path: Path) -> None:
    """A name that is taken is never overwritten, and nothing is lost."""
    lines = f'{{"event":"v","email":"a@b.co","p":{{"event":"x","n":1}},{TIME}}}\n'
    lines += f'{{"event":"v","email":"a@b.co","p":{{}},{TIME}}}\n'

    found = outcome(tmp_path, lines, flatten=("p",))

    sent = [orjson.loads(text) for text in found.events.values()]
    assert (sent[0]["event"], sent[0]["n"], sent[0]["p"]) == ("v", 1, {"event": "x"})
    assert "p" not in sent[1]
    assert found.warnings["flatten_conflict"] == 1


def test_explicit_nulls_stay_unless_a_flag_names_them(tmp_path: Path) -> None:
    """For the rules they are absent either way."""
    line = f'{{"event":"v","email":"a@b.co","ip":null,"note":"NULL",{TIME}}}\n'

    plain = outcome(tmp_path, line).events[1]
    told = outcome(tmp_path, line, nulls=("NULL", "null")).events[1]

    assert orjson.loads(plain) | {"event_uuid": ""} == {
        "event_uuid": "", "event": "v", "email": "a@b.co", "ip": None, "note": "NULL",
        "timestamp": "2026-01-20T10:00:00Z",
    }  # fmt: skip
    assert orjson.loads(told).keys() == {"event_uuid", "event", "email", "timestamp"}


def test_names_that_differ_from_line_to_line_are_all_judged(tmp_path: Path) -> None:
    """Thousands of names need no thousands of columns, and no rule forgets one."""
    words = ["TRUE", "x"]
    lines = [
        f'{{"event":"v","email":"a@b.co",{TIME},"k{n}":"{words[n % 2]}"}}\n' for n in range(1500)
    ]

    found = outcome(tmp_path, "".join(lines))

    assert len(found.events) == len(lines)
    assert found.warnings["boolean_not_lowercase"] == len(lines) // 2


def test_a_schema_may_ask_about_any_name_and_about_the_whole_event(tmp_path: Path) -> None:
    """The member that is wrong is named, with a column of its own or without."""
    schema = tmp_path / "own.json"
    schema.write_bytes(
        orjson.dumps(
            {
                "$schema": "https://json-schema.org/draft/2020-12/schema",
                "x-event": "*",
                "maxProperties": 5,
                "patternProperties": {"^num_": {"type": "number"}},
            }
        )
    )
    lines = [f'{{"event":"v","email":"a@b.co",{TIME},"other{n}":1}}\n' for n in range(400)]
    lines.append(f'{{"event":"v","email":"a@b.co",{TIME},"num_x":"text"}}\n')
    lines.append(f'{{"event":"v","email":"a@b.co",{TIME},"a":1,"b":2,"c":3}}\n')

    found = outcome(tmp_path, "".join(lines), settings={"schemas": (schema,)})

    assert found.codes == {401: ("schema_invalid",), 402: ("schema_invalid",)}


@pytest.mark.parametrize("chunk", [300, 2000, 1 << 20])
def test_chunk_sizes_never_change_a_verdict(tmp_path: Path, chunk: int) -> None:
    """Types that differ between chunks, bad lines and blank ones included."""
    sample = (Path(__file__).parents[2] / "sample_data/events.jsonl").read_bytes()

    found = outcome(tmp_path, sample, limits=Limits(chunk_bytes=chunk))
    whole = outcome(tmp_path, sample)

    assert (found.events, found.rejects, found.warnings) == (
        whole.events,
        whole.rejects,
        whole.warnings,
    )


def test_the_last_line_without_an_end_is_sent_with_a_warning_if_it_is_whole(tmp_path) -> None:
    """Cut short it is invalid, like any other line."""
    line = f'{{"event":"v","email":"a@b.co",{TIME}}}'

    whole, cut = outcome(tmp_path, line), outcome(tmp_path, line + "\n" + line[:-4])

    assert (len(whole.events), whole.warnings["last_line_unterminated"]) == (1, 1)
    assert cut.codes == {2: ("json_invalid",)}
    assert cut.states[-1].findings.unterminated


def test_an_event_over_the_room_of_a_request_is_rejected_with_its_line(tmp_path: Path) -> None:
    """A line just under the cap of a record can be over that of a request."""
    line = f'{{"event":"v","email":"a@b.co",{TIME},"x":"{"y" * 1_000_000}"}}\n'

    found = outcome(tmp_path, line)

    assert found.codes == {1: ("event_too_large",)}
