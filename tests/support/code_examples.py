"""For each reason code a record that has it: out of the sample data, or of a few lines of its own."""

import csv
import json
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from click.testing import CliRunner

from ingest.cli import group
from tests.support.sessions import ROOT

_MOST_SHOWN = 100
_SAMPLES = ("sample_data/events.csv", "sample_data/events.jsonl")
_OWN: Mapping[str, tuple[str, bytes, tuple[str, ...]]] = {
    "value_not_number": (
        "prices.csv",
        b"event,customer_id,price\nview,c1,$42\n",
        ("--type", "price=number"),
    ),
    "value_not_boolean": (
        "flags.csv",
        b"event,customer_id,gift\nview,c1,perhaps\n",
        ("--type", "gift=boolean"),
    ),
    "value_not_date": (
        "days.csv",
        b"event,customer_id,at\nview,c1,2024-02-31\n",
        ("--timestamp", "at", "--timestamp-format", "%Y-%m-%d"),
    ),
    "value_type_wrong": (
        "types.jsonl",
        b'{"event": "view", "customer_id": "c1", "ip": {"v4": "192.0.2.1"}}\n',
        (),
    ),
}


@dataclass(frozen=True, slots=True)
class Example:
    """A record that has a code.

    Args:
        source: Its file, and the flags that make it one.
        line: From 1.
        shown: Its columns that the code names, or its text.
        suggested: What `_reject_suggested` says; empty without.
    """

    source: str
    line: int
    shown: str
    suggested: str


def examples() -> dict[str, Example]:
    """The first example of each code; codes that need a megabyte or a server have none."""
    found: dict[str, Example] = {}
    with tempfile.TemporaryDirectory() as directory:
        for path in _SAMPLES:
            for code, example in _of(ROOT / path, path, (), Path(directory)):
                found.setdefault(code, example)
        for wanted, (name, content, flags) in _OWN.items():
            path = Path(directory) / name
            path.write_bytes(content)
            shown = " ".join((name, *flags))
            found |= {
                code: example
                for code, example in _of(path, shown, flags, Path(directory))
                if code == wanted
            }
    return found


def _of(
    path: Path, shown: str, flags: Sequence[str], directory: Path
) -> Iterator[tuple[str, Example]]:
    arguments = ["check", str(path), *flags, "--json", "--report-dir", str(directory / "reports")]
    told = json.loads(CliRunner().invoke(group, arguments, prog_name="ingest").stdout)
    reports = told["sources"][0]["reports"]
    with Path(reports["rejects_csv"]).open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    lines = Path(reports["rejects_jsonl"]).read_text(encoding="utf-8").splitlines()
    for row, line in zip(rows, map(json.loads, lines), strict=True):
        for violation in line["violations"]:
            only = row["_reject_suggested"] if len(line["violations"]) == 1 else ""
            text = _shown(line, violation["columns"])
            yield violation["code"], Example(shown, line["line"], text, only)


def _shown(line: Mapping[str, object], columns: Sequence[str]) -> str:
    cells = line["cells"]
    if isinstance(cells, dict) and columns:
        parts = [f"{name}: {cells.get(name) or '(empty)'}" for name in columns]
        return _cut(", ".join(parts))
    if isinstance(cells, dict):
        return _cut(",".join(str(value or "") for value in cells.values()))
    return _cut(str(line["raw"] or ""))


def _cut(text: str) -> str:
    plain = "".join(each if each.isprintable() else f"\\u{ord(each):04x}" for each in text)
    return plain if len(plain) <= _MOST_SHOWN else f"{plain[:_MOST_SHOWN]}..."
