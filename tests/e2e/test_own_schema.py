"""`--schema`: what a rule of one's own rejects, and what the report says of it."""

import json
import re
from pathlib import Path

import pytest

from tests.support.returning import read_csv, rejects
from tests.support.workdir import Server, Workdir

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "schemas.md"
ROWS = (
    {"order_id": "A-1", "coupon": "SPRING"},
    {"order_id": "secret-7"},
    {"coupon": "MAY"},
    {"order_id": "A-2", "coupon": "MAY"},
    {"order_id": "A-3", "address": {"town": "Berlin"}},
)


@pytest.fixture
def schema(work: Workdir) -> Path:
    """The example of the documentation."""
    text = DOCUMENT.read_text(encoding="utf-8")
    block = re.search(r"<!-- example -->\n```json\n(.*?)```", text, flags=re.DOTALL)
    assert block
    path = work.root / "purchase.json"
    path.write_text(block[1])
    return path


def events() -> list[dict[str, object]]:
    """A purchase of each kind, and another event that the schema says nothing of."""
    common = {"customer_id": "c", "timestamp": "2026-01-01T00:00:00Z"}
    bought = [{"event": "purchase", **common, **row} for row in ROWS]
    return [*bought, {"event": "visit", **common}]


def source(work: Workdir, kind: str) -> Path:
    """The events as JSON lines, or as a table."""
    path = work.root / f"events.{kind}"
    if kind == "jsonl":
        path.write_text("".join(json.dumps(event) + "\n" for event in events()))
        return path
    names = ("event", "customer_id", "timestamp", "order_id", "coupon", "address")
    lines = [",".join(names)]
    for event in events():
        cells = [event.get(name, "") for name in names]
        texts = [json.dumps(cell) if isinstance(cell, dict) else str(cell) for cell in cells]
        lines.append(",".join('"' + text.replace('"', '""') + '"' for text in texts))
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.mark.parametrize("kind", ["csv", "jsonl"])
def test_the_example_of_the_documentation(
    work: Workdir, server: Server, schema: Path, kind: str
) -> None:
    """Each reject names its columns and what is asked of them, and never the value."""
    json_cells = ("--type", "address=json") if kind == "csv" else ()

    done = work.json("run", source(work, kind), "--schema", schema, *json_cells, *work.to(server))

    summary = done.summary
    assert summary["codes"] == {"schema_invalid": 3}
    assert summary["warnings"]["coupon_unknown"] == 1
    assert summary["records"]["delivered"] == 3
    found = {
        int(row["_reject_record"]): (row["_reject_columns"], row["_reject_reason"])
        for row in read_csv(rejects(work, done))
    }
    assert set(found) == {2, 3, 5}
    assert found[2][0] == found[3][0] == "order_id"
    assert "^[A-Z]-[0-9]+$" in found[2][1]
    assert "secret-7" not in found[2][1]
    assert "required" in found[3][1]
    assert found[5][0] == "address"
    assert "zip" in found[5][1]


def test_a_job_may_have_it(work: Workdir, server: Server, schema: Path) -> None:
    """A configuration file names schemas, and severities of their codes."""
    config = work.root / "jobs.toml"
    config.write_text(f'schema = ["{schema.name}"]\n[rules]\ncoupon_unknown = "error"\n')

    done = work.json("run", source(work, "jsonl"), "--config", config, *work.to(server))

    assert done.summary["codes"] == {"schema_invalid": 3, "coupon_unknown": 2}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('{"properties":{}}', "x-event"),
        ('{"x-event":"*","properties":{"a":{"patern":"x"}}}', "patern"),
        ('{"x-event":"*","properties":{"a":{"pattern":"(?=x)"}}}', "look-around"),
        ('{"x-event":"*","properties":{"a":{"type":"strin"}}}', "strin"),
        ("[]", "object"),
        ("{", "line 1"),
    ],
)
def test_a_broken_schema_stops_before_anything_is_sent(
    work: Workdir, server: Server, text: str, says: str
) -> None:
    """2, with what is wrong in it."""
    path = work.root / "own.json"
    path.write_text(text)

    done = work.json("run", source(work, "jsonl"), "--schema", path, *work.to(server))

    assert (done.code, server.requests()) == (2, 0)
    error = done.summary["error"]
    assert says in error["message"] + error["hint"]
