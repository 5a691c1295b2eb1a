"""What a check costs: `ingest check` against what others take for less.

All sides run on all cores. `ingest check` frames, judges by all rules, writes reports and plans;
duckdb, pyarrow and pandas only parse; the loops parse and judge by four rules written by hand.
"""

import argparse
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

from data import broken, events
from machine import described
from measured import DATA, HERE, PEERS, Run, in_turn, ingest, run, table, versions, written

_PEERS = {
    "csv": ("duckdb", "pyarrow", "pandas", "csv", "jsonschema-rs", "pydantic"),
    "jsonl": ("orjson", "orjson, jsonschema-rs", "orjson, pydantic"),
}
_NAMES = {
    "duckdb": "duckdb read_csv(store_rejects), parse alone",
    "pyarrow": "pyarrow, parse alone",
    "pandas": "pandas, parse alone",
    "csv": "csv module, rules by hand",
    "jsonschema-rs": "csv module, jsonschema-rs",
    "pydantic": "csv module, pydantic",
    "orjson": "orjson, rules by hand",
}
_OURS = "ingest check"


def main() -> None:
    """Measure, print and write down."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--alone", action="store_true", help="only ours, and nothing written")
    parser.add_argument("--quick", action="store_true", help="100,000 rows, once, nothing written")
    given = parser.parse_args()
    rows, rounds = (100_000, 1) if given.quick else (given.rows, given.rounds)
    lines = ["# Check", "", described(sys.argv, of=("polars", "numpy", "orjson")), ""]
    if not given.alone:
        lines += [
            "Peers: "
            + versions(["duckdb", "pyarrow", "pandas", "orjson", "jsonschema-rs", "pydantic"])
            + ".",
            "",
        ]
    with tempfile.TemporaryDirectory() as place:
        home = Path(place)
        for form, peers in _PEERS.items():
            path = events(DATA, rows, form)
            sides: dict[str, Callable[[], Run]] = {
                _OURS: partial(_ours, path, home, rows),
            }
            for name in () if given.alone else peers:
                sides[_NAMES.get(name, name)] = partial(_peer, name, path, home, rows)
            found = in_turn(sides, rounds=rounds)
            lines += [f"## {path.suffix[1:].upper()}, {rows:,} records", ""]
            lines += [*table(found, records=rows, first=_OURS), ""]
    written("check", lines, quick=given.quick or given.alone)


def _ours(path: Path, home: Path, rows: int) -> Run:
    done = ingest("check", str(path), home=home)
    counts = done.said["records"]
    _prove(_OURS, counts["read"] == rows and counts["rejected"] == broken(rows))
    return done


def _peer(name: str, path: Path, home: Path, rows: int) -> Run:
    done = run([str(PEERS), str(HERE / "sides.py"), name, str(path)], cwd=home)
    wanted = {"records": rows, "rejected": broken(rows)}
    _prove(name, all(wanted[what] == count for what, count in done.said.items()))
    return done


def _prove(name: str, whole: bool) -> None:  # noqa: FBT001 - one fact
    if not whole:
        raise SystemExit(f"{name} did not do the whole work")


if __name__ == "__main__":
    main()
