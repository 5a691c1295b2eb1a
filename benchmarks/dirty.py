"""How much broken rows cost: clean, 0.7 % broken in every window, 100 % broken.

Each side is a process of its own, the sides take turns, and the medians are compared. `read` is
framing alone; `check` is the whole command up to the socket, reports included. A row is broken in
one of four ways, in turn: too few cells, too many, an illegal quote, bytes that are no UTF-8.
"""

import argparse
import itertools
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from machine import described

from ingest.core.model import Dialect, Position
from ingest.edges.framing import Limits, frames

ROOT = Path(__file__).resolve().parents[1]
RESULTS = Path(__file__).parent / "results" / "dirty.md"
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


def measure(
    files: dict[str, Path], home: Path, *, rounds: int
) -> dict[tuple[str, str], list[float]]:
    """Records a second of processor time, by what is done and side, once a round."""
    rates: dict[tuple[str, str], list[float]] = {}
    for _ in range(rounds):
        for side, path in files.items():
            one = [sys.executable, __file__, "--one", str(path)]
            told = subprocess.run(one, capture_output=True, check=True).stdout
            for what, (spent, records) in (
                ("read", json.loads(told)),
                ("check", check(path, home)),
            ):
                rates.setdefault((what, side), []).append(records / spent)
    return rates


def main() -> None:
    """Measure, print and write down."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--megabytes", type=int, default=60, help="of each file")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="one round of 6 MB, nothing written")
    parser.add_argument("--one", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one:
        print(json.dumps(read(given.one)))
        return
    size, rounds = (6, 1) if given.quick else (given.megabytes, given.rounds)
    lines = ["# Broken rows", "", described(sys.argv, of=("polars", "numpy")), ""]
    lines += ["Records a second of processor time, medians, with the lowest and the highest.", ""]
    lines += [
        "| what | file | records | records/s | from | to | of clean |",
        "|---|---|---|---|---|---|---|",
    ]
    with tempfile.TemporaryDirectory() as place:
        home = Path(place)
        files = {side: home / f"{side}.csv" for side in SHARES}
        counts = {
            side: write(path, size=size * 1_000_000, every=SHARES[side])
            for side, path in files.items()
        }
        rates = measure(files, home, rounds=rounds)
    for what, side in itertools.product(("read", "check"), SHARES):
        found = rates[what, side]
        median, clean = statistics.median(found), statistics.median(rates[what, "clean"])
        cells = [what, side, f"{counts[side]:,}", f"{median:,.0f}", f"{min(found):,.0f}"]
        cells += [f"{max(found):,.0f}", f"{median / clean:.2f}"]
        lines.append(f"| {' | '.join(cells)} |")
    text = "\n".join(lines) + "\n"
    print(text)
    if not given.quick:
        RESULTS.parent.mkdir(exist_ok=True)
        RESULTS.write_text(text)


if __name__ == "__main__":
    main()
