"""What sending costs: `ingest run`, unpaced, against others, to an nginx that answers 200.

`ingest run` reads, judges, encodes, keeps its ledger (synced) and writes reports; requests and the
gather judge by rules written by hand; syslog-ng sends ready lines, and judges and records nothing.
Before they are measured all sides send a smaller file to a sink that counts events.
"""

import argparse
import json
import math
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from data import broken, events
from machine import described
from measured import DATA, HERE, PEERS, Run, in_turn, ingest, peak_mb, run, table, versions, written
from sinks import nginx

_OURS, _LINES = "ingest run", "ingest run, JSON lines"
_SYSLOG = "syslog-ng http(), 8 workers, ready lines"
_THREADS, _GATHER = "requests, 8 threads", "polars, httpx gather"
_BATCH, _WORKERS = 30, 8

# All lines in whole batches, and then an end: its own flow control holds the reading back.
_CONF = """@version: 3.38
options {{ stats-freq(0); }};
source lines {{ file("{path}" flags(no-parse) follow-freq(0.05) log-fetch-limit(10000)
    log-iw-size(100000) log-msg-size(1048576)); }};
destination api {{ http(url("{url}/bulk") method("POST") headers("Content-Type: application/json")
    body("${{MSG}}") body-prefix('{{"events":[') delimiter(",") body-suffix("]}}")
    workers({workers}) batch-lines({batch}) batch-timeout(200) persist-name("api")); }};
log {{ source(lines); destination(api); flags(flow-control); }};
"""


@dataclass(frozen=True, slots=True)
class _Sink:
    """Where requests go.

    Args:
        url: Its origin.
    """

    url: str


@contextmanager
def counting(found: dict[str, int]) -> Iterator[_Sink]:
    """Run counting.py; `found` is filled in when it has ended."""
    process = subprocess.Popen(
        [sys.executable, HERE / "counting.py"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    try:
        yield _Sink(f"http://127.0.0.1:{int(process.stdout.readline())}")
    finally:
        told, _ = process.communicate()
    found |= json.loads(told)


def _ours(path: Path, home: Path, rows: int, sink: _Sink) -> Run:
    state = home / "ledger"
    shutil.rmtree(state, ignore_errors=True)
    done = ingest(
        *("run", str(path), "--url", sink.url, "--rate", "0", "--state", str(state)), home=home
    )
    counts = done.said["records"]
    _prove(_OURS, counts["delivered"] == rows - broken(rows) and not counts["unsent"])
    return done


def _peer(name: str, path: Path, home: Path, rows: int, sink: _Sink) -> Run:
    command = [str(PEERS), str(HERE / "sides.py"), name, str(path), f"{sink.url}/bulk"]
    done = run(command, cwd=home)
    _prove(name, done.said["records"] == rows - broken(rows))
    return done


def _ready(path: Path) -> Path:
    """The sound lines of a file of JSON lines, as syslog-ng gets them."""
    ready = path.with_suffix(".ready")
    if not ready.exists():
        # Not by way of our memory: a child's highest begins with that of its parent.
        with ready.open("wb") as file:
            subprocess.run([PEERS, HERE / "sides.py", "sound", path], stdout=file, check=True)
    return ready


def _syslog(path: Path, home: Path, rows: int, sink: _Sink) -> Run:
    """Run syslog-ng until its counter says that all lines were written."""
    wanted = rows - broken(rows)
    place = home / "syslog"
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir()
    conf = place / "conf"
    conf.write_text(_CONF.format(path=path, url=sink.url, workers=_WORKERS, batch=_BATCH))
    names = {"-f": "conf", "-R": "persist", "-c": "control", "-p": "pid"}
    flags = [text for flag, name in names.items() for text in (flag, str(place / name))]
    began_s = time.perf_counter()
    with subprocess.Popen(["syslog-ng", "-F", "--no-caps", *flags]) as process:
        try:
            while _written(place / "control") < wanted:
                time.sleep(0.02)
                if process.poll() is not None:
                    raise SystemExit("syslog-ng ended early")
            wall_s = time.perf_counter() - began_s
        finally:
            process.send_signal(signal.SIGTERM)
            _, _, used = os.wait4(process.pid, 0)
            process.returncode = 0
    return Run(wall_s, used.ru_utime + used.ru_stime, peak_mb(used), {"records": wanted})


def _written(control: Path) -> int:
    """Lines that were answered."""
    told = subprocess.run(
        ["syslog-ng-ctl", "stats", "-c", control], capture_output=True, text=True, check=False
    ).stdout
    rows = [line.split(";") for line in told.splitlines()]
    return sum(int(row[5]) for row in rows if row[0].startswith("dst.http") and row[4] == "written")


def _prove(name: str, whole: bool) -> None:  # noqa: FBT001 - one fact
    if not whole:
        raise SystemExit(f"{name} did not do the whole work")


def _sides(home: Path, rows: int, sink: _Sink) -> dict[str, Callable[[], Run]]:
    table_, lines = events(DATA, rows, "csv"), events(DATA, rows, "jsonl")
    sides: dict[str, Callable[[], Run]] = {
        _OURS: partial(_ours, table_, home, rows, sink),
        _LINES: partial(_ours, lines, home, rows, sink),
        _THREADS: partial(_peer, "requests", table_, home, rows, sink),
        _GATHER: partial(_peer, "polars and httpx", table_, home, rows, sink),
    }
    if shutil.which("syslog-ng"):
        sides[_SYSLOG] = partial(_syslog, _ready(lines), home, rows, sink)
    return sides


def _count(home: Path, rows: int) -> None:
    """Have each side send a file to a sink that counts."""
    for name in _sides(home, rows, _Sink("")):
        found: dict[str, int] = {}
        with counting(found) as sink:
            _sides(home, rows, sink)[name]()
        wanted = rows - broken(rows)
        _prove(name, found["events"] == wanted)
        print(f"  {name}: {found['events']:,} events arrived in {found['requests']:,} requests")
        _prove(name, found["requests"] < 2 * math.ceil(wanted / _BATCH))


def main() -> None:
    """Measure, print and write down."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="100,000 rows, once, nothing written")
    given = parser.parse_args()
    rows, rounds = (100_000, 1) if given.quick else (given.rows, given.rounds)
    names = ["requests", "polars", "httpx"]
    lines = ["# Run", "", described(sys.argv, of=("polars", "aiohttp", "httpx")), ""]
    lines += [f"Peers: {versions(names)}.", ""]
    with tempfile.TemporaryDirectory() as place:
        home = Path(place)
        _count(home, min(rows, 20_000))
        with nginx() as found:
            measured = in_turn(_sides(home, rows, _Sink(found.url)), rounds=rounds)
    lines += [f"{rows:,} records, 30 events a request, one nginx worker on the same cores.", ""]
    lines += table(measured, records=rows, first=_OURS)
    written("run", lines, quick=given.quick)


if __name__ == "__main__":
    main()
