"""The example of docs/configuration.md, run as it stands."""

import gzip
import json
import re
from pathlib import Path

from tests.support.workdir import Server, Workdir

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "configuration.md"
SCHEMA = {"x-event": "purchase", "required": ["order_id"]}


def example() -> str:
    """The file as the documentation has it."""
    text = DOCUMENT.read_text(encoding="utf-8")
    block = re.search(r"<!-- example -->\n```toml\n(.*?)```", text, flags=re.DOTALL)
    assert block
    return block[1]


def prepare(root: Path) -> None:
    """Write the files that the example speaks of."""
    export = root / "export"
    for name in ("visits", "orders", "app"):
        (export / name).mkdir(parents=True)
    (root / "purchase.json").write_text(json.dumps(SCHEMA))
    (export / "visits" / "a.csv").write_text(
        "event,customer_id,email,timestamp\n"
        "visit,c1,a@example.com,2020-01-01T00:00:00Z\n"
        "visit,c2,nonsense,2020-01-01T00:00:00Z\n"
    )
    (export / "visits" / "b.csv").write_text("no,good\n1,2\n")
    table = b"order_id;CustomerID;created_at\nA1;c1;2026-07-01 12:00:00\n;c2;2026-07-01 12:00:00\n"
    (export / "orders" / "a.csv.gz").write_bytes(gzip.compress(table))
    event = {"event": "open", "user": {"id": "u1"}, "ts": 1767225600000, "properties": {"page": 7}}
    (export / "app" / "a.jsonl").write_text(json.dumps(event) + "\n")


def test_the_example(work: Workdir, server: Server) -> None:
    """Each source with its own map, set and reading; the rules and the schema hold for all."""
    (work.root / "nightly.toml").write_text(example().replace('region = "eu"\n', ""))
    prepare(work.root)

    done = work.json("run", "--config", "nightly.toml", "--job", "shop", *work.to(server))

    summary = done.summary
    assert done.code == 3
    assert summary["codes"] == {"email_unusual": 1, "schema_invalid": 1}
    assert "timestamp_old" not in summary["warnings"]
    assert [entry["path"] for entry in summary["left_out"]] == ["export/visits/b.csv"]
    assert (work.root / "reports").is_dir()
    bodies = {body["event"]: body for body in server.bodies().values()}
    assert set(bodies) == {"visit", "purchase", "open"}
    assert bodies["purchase"]["timestamp"].startswith("2026-07-01T10:00:00")
    assert bodies["open"]["page"] == 7
    assert bodies["open"]["customer_id"] == "u1"
    assert summary["destination"]["account"] == "shop"


def test_every_job_of_the_example_is_valid(work: Workdir) -> None:
    """Also the one that has nothing to do here: it says that there is nothing, not that it is wrong."""
    (work.root / "nightly.toml").write_text(example())
    (work.root / "archive").mkdir()

    done = work.json("check", "--config", "nightly.toml", "--job", "history")

    assert done.code == 2
    assert "archive" in done.summary["error"]["message"]
