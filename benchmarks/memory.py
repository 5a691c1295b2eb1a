"""How much memory a check and a run have at most, by the size of the source, and with all rejected.

The numbers should not grow with the source.
"""

import argparse
import sys
import tempfile
from pathlib import Path

from data import events
from machine import described
from measured import DATA, ingest, written
from sinks import nginx


def main() -> None:
    """Measure, print and write down."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, nargs="+", default=[250_000, 1_000_000, 4_000_000])
    parser.add_argument("--rejected", type=int, nargs="+", default=[100_000, 400_000])
    parser.add_argument("--quick", action="store_true", help="small files, nothing written")
    given = parser.parse_args()
    sizes, rejected = ([50_000], [20_000]) if given.quick else (given.rows, given.rejected)
    cases = [(form, rows) for form in ("csv", "jsonl") for rows in sizes]
    cases += [("rejects", rows) for rows in rejected]
    lines = ["# Memory", "", described(sys.argv, of=("polars", "numpy")), ""]
    lines += [
        "Resident memory at its highest, in MB; `rejects` is CSV of which all is rejected.",
        "",
    ]
    lines += ["| source | records | check | run |", "|---|---|---|---|"]
    with tempfile.TemporaryDirectory() as place, nginx() as sink:
        home = Path(place)
        for form, rows in cases:
            path = str(events(DATA, rows, form))
            checked = ingest("check", path, home=home)
            state = str(home / f"{form}-{rows}")
            flags = ("--url", sink.url, "--rate", "0", "--state", state, "--max-rejects", "100%")
            sent = ingest("run", path, *flags, home=home)
            lines.append(f"| {form} | {rows:,} | {checked.peak_mb:.0f} | {sent.peak_mb:.0f} |")
            print(lines[-1], flush=True)
    written("memory", lines, quick=given.quick)


if __name__ == "__main__":
    main()
