"""The sample is what its generator says, and the real parts find in it what was put in."""

import sys
from collections import Counter
from datetime import UTC, datetime
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

import orjson
import polars as pl

from ingest.core.identity import source_id
from ingest.core.model import Dialect
from ingest.core.planning import MappingFlags, plan
from ingest.core.rules import catalogue, rules_of
from ingest.edges.encoder import Encoder, uuid_series
from ingest.edges.framing import Limits, frames, read_header
from ingest.edges.validator import Validator, load_documents
from tests.support import make_jsonl_sample

ROOT = Path(__file__).parents[2]
IDENTITY = ("customer_id", "email", "device_id", "cookie", "group_id")


def generator() -> ModuleType:
    spec = spec_from_file_location("make_sample", ROOT / "tests/support/make_sample.py")
    assert spec
    assert spec.loader
    module = module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


make_sample = generator()


def test_the_sample_is_what_its_generator_writes() -> None:
    """The files are made anew, byte for byte, and stay small."""
    data = (ROOT / "sample_data/events.csv").read_bytes()

    assert data == make_sample.sample()
    readme = (ROOT / "sample_data/README.md").read_text(encoding="utf-8")
    assert readme == make_sample.readme() + make_jsonl_sample.section()
    assert len(data) < 400 * 1024


def test_the_sample_holds_every_code_that_csv_can_have_without_flags() -> None:
    """Each reason code is in the sample, but for those that need a megabyte, JSONL or flags."""
    codes = catalogue(load_documents())
    errors = {code for code, entry in codes.items() if entry.severity == "error"}
    elsewhere = {code for code in errors if code.startswith("json_")} | {
        "value_not_number",
        "value_not_boolean",
        "value_not_date",
        "event_not_string",
        "identity_not_string",
        "record_too_large",
        "event_too_large",
        "api_refused",
        "schema_invalid",
        "value_type_wrong",
    }

    assert set(make_sample.expected()) == errors - elsewhere


def test_what_was_put_into_the_sample_is_found() -> None:
    """Every record is rejected or sent, with exactly the codes that the generator put in."""
    data = make_sample.sample()

    def read_at(offset: int, size: int) -> bytes:
        return data[offset : offset + size]

    documents = load_documents()
    header = read_header(read_at, size=len(data), dialect=Dialect())
    mapping = plan(
        header.columns,
        MappingFlags(),
        known_fields=(),
        json_fields=("products", "subscription_groups"),
        identity_fields=IDENTITY,
    )
    validator = Validator(
        rules_of(documents),
        [field.name for field in mapping.fields],
        codes=catalogue(documents),
        kinds={field.name: field.json_type for field in mapping.fields},
    )
    encoder = Encoder(mapping)
    (frame,) = frames(
        read_at,
        size=len(data),
        start=header.start,
        columns=header.columns,
        dialect=header.dialect,
        limits=Limits(),
    )

    mapped = encoder.map(frame.table)
    verdict = validator.judge(mapped.table, mapped.misfits, now=datetime(2026, 2, 1, tzinfo=UTC))
    sound = ~verdict.rejected
    uuids = uuid_series(source_id("sha256:0"), frame.offsets[frame.rows[sound]])
    encoded = encoder.encode(mapped.table.filter(pl.Series(sound)), uuids=uuids)

    broken = {fault.record for fault in frame.faults}
    codes = Counter(fault.code for fault in frame.faults) + Counter(verdict.errors())
    assert codes == make_sample.expected()
    assert verdict.warnings() == make_sample.expected_warnings()
    assert len(frame.offsets) == make_sample.records()
    assert len(broken) + int(verdict.rejected.sum()) == make_sample.rejected()
    assert len(encoded.ends) == make_sample.records() - make_sample.rejected()
    assert len(orjson.loads(b"[" + encoded.body + b"]")) == len(encoded.ends)
