"""How much broken rows cost: clean, 0.7 % broken in every window, 100 % broken.

    python benchmarks/dirty.py [--megabytes 60] [--rounds 5]

Each side is a process of its own, the sides take turns, and the medians are compared. `read` is
framing alone; `check` is the whole command up to the socket, reports included. A row is broken in
one of four ways, in turn: too few cells, too many, an illegal quote, bytes that are no UTF-8.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from ingest.core.model import Dialect, Position
from ingest.edges.framing import Limits, frames

ROOT = Path(__file__).resolve().parents[1]
COLUMNS = ("event", "customer_id", "timestamp", "email", "revenue", "products", "note")
SHARES = {"clean": 0, "dirty": 143, "broken": 1}
"""Each so-many-th row is broken; 143 gives 0.7 %, a thousand in each window of 256 KiB or so."""


def row(number: int) -> str:
    """A sound row of seven cells, one of JSON, some with a line end in quotes."""
    note = '"two\nlines, and a ""quote"""' if number % 50 == 0 else f"note {number}"
    products = f'"[{{""sku"":""SKU-{number % 997}"",""quantity"":{number % 5}}}]"'
    return (
        f"shop_visit,customer-{number:07d},2024-03-{number % 28 + 1:02d}T10:00:00Z,"
        f"person{number}@example.com,{number % 1000}.50,{products},{note}"
    )


def broken(number: int) -> bytes:
    """The same, broken."""
    text = row(number).encode()
    return (text.rpartition(b",")[0], text + b",more", text + b' "x" y', text + b"\xff")[number % 4]


def write(path: Path, *, size: int, every: int) -> int:
    """Write a file of about so many bytes; give its rows."""
    rows = 0
    with path.open("wb") as file:
        file.write(",".join(COLUMNS).encode() + b"\n")
        while file.tell() < size:
            block = range(rows, rows + 5000)
            file.write(
                b"".join(
                    (broken(n) if every and n % every == every // 2 else row(n).encode()) + b"\n"
                    for n in block
                )
            )
            rows += 5000
    return rows


def read(path: Path) -> tuple[float, int]:
    """Seconds of processor time to frame a file, and its records."""
    data = path.read_bytes()
    begin = time.process_time()
    records = sum(
        frame.records
        for frame in frames(
            lambda offset, size: data[offset : offset + size],
            size=len(data),
            start=Position(data.index(b"\n") + 1, 0, 2),
            columns=COLUMNS,
            dialect=Dialect(),
            limits=Limits(),
        )
    )
    return time.process_time() - begin, records


def check(path: Path, home: Path) -> tuple[float, int]:
    """Seconds of processor time to check a file, and its records."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(
        [sys.executable, "-P", "-m", "ingest", "check", str(path), "--json", "--quiet"],
        cwd=home,
        env={**os.environ, "PYTHONPATH": str(ROOT), "XDG_STATE_HOME": str(home / "state")},
        stdout=subprocess.PIPE,
        check=False,
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return spent, json.loads(done.stdout)["records"]["read"]


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--megabytes", type=int, default=60)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--one", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one:
        print(json.dumps(read(given.one)))
        return
    with tempfile.TemporaryDirectory() as place:
        home = Path(place)
        files = {side: home / f"{side}.csv" for side in SHARES}
        for side, path in files.items():
            rows = write(path, size=given.megabytes * 1_000_000, every=SHARES[side])
            print(f"{side}: {rows:,} rows, {path.stat().st_size / 1e6:.0f} MB")
        measured: dict[tuple[str, str], list[float]] = {}
        for _ in range(given.rounds):
            for side, path in files.items():
                one = [sys.executable, __file__, "--one", str(path)]
                told = subprocess.run(one, capture_output=True, check=True).stdout
                for what, (spent, records) in (
                    ("read", json.loads(told)),
                    ("check", check(path, home)),
                ):
                    measured.setdefault((what, side), []).append(records / spent)
    print(f"\nrecords a second of processor time, median of {given.rounds} (lowest to highest)")
    for (what, side), rates in measured.items():
        clean = statistics.median(measured[what, "clean"])
        median = statistics.median(rates)
        print(
            f"{what:6}{side:8}{median:>12,.0f}  ({min(rates):,.0f} to {max(rates):,.0f})"
            f"  {median / clean:.2f} of clean"
        )


if __name__ == "__main__":
    main()
