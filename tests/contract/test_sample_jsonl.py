"""The sample of JSON lines is what its generator says, and the check finds what was put in."""

import json
from pathlib import Path

from click.testing import CliRunner

from ingest.cli import group
from tests.support import make_jsonl_sample

SAMPLE = Path(__file__).parents[2] / "sample_data/events.jsonl"
BY_THE_DAY = {"timestamp_old", "timestamp_in_future"}


def test_the_sample_is_what_its_generator_writes() -> None:
    """The file is made anew, byte for byte, and stays small."""
    data = SAMPLE.read_bytes()

    assert data == make_jsonl_sample.sample()
    assert len(data) < 150 * 1024


def test_what_was_put_into_the_sample_is_found(tmp_path: Path) -> None:
    """Every record is rejected or sent, with exactly the codes that the generator put in."""
    arguments = ["check", str(SAMPLE), "--json", "-q", "--report-dir", str(tmp_path)]
    done = CliRunner().invoke(group, arguments, standalone_mode=False)

    summary = json.loads(done.stdout)
    warnings = {c: n for c, n in summary["warnings"].items() if c not in BY_THE_DAY}
    assert dict(sorted(summary["codes"].items())) == make_jsonl_sample.expected()
    assert dict(sorted(warnings.items())) == make_jsonl_sample.expected_warnings()
    assert summary["records"]["read"] == make_jsonl_sample.ROWS
    assert summary["records"]["rejected"] == make_jsonl_sample.rejected()
    lines = Path(summary["sources"][0]["reports"]["rejects_jsonl"]).read_bytes().splitlines()
    source = SAMPLE.read_bytes()
    for reject in map(json.loads, lines):
        span = source[reject["offset"] : reject["offset"] + reject["length"]]
        assert source[: reject["offset"]].count(b"\n") + 1 == reject["line"]
        shown = span.replace(b"\\", b"\\\\").decode("utf-8", "backslashreplace")
        assert reject["raw"] == shown
        assert reject["cells"] is None
