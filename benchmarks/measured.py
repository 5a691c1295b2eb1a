"""Programs run in turn, each with its time, its processor time and its memory."""

import json
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
PEERS = HERE / ".peers" / "bin" / "python"
DATA = HERE / ".data"
RESULTS = HERE / "results"


@dataclass(frozen=True, slots=True)
class Run:
    """What one run of a program took.

    Args:
        wall_s: From its start to its end.
        cpu_s: Of its processor time, in all its threads.
        peak_mb: The most memory that it had.
        said: What it printed, as JSON.
    """

    wall_s: float
    cpu_s: float
    peak_mb: float
    said: Any


def run(command: Sequence[str], *, env: Mapping[str, str] | None = None, cwd: Path) -> Run:
    """Run a program that prints one object of JSON.

    Raises:
        SystemExit: It printed none.
    """
    began_s = time.perf_counter()
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, cwd=cwd, env={**os.environ, **(env or {})}
    ) as process:
        assert process.stdout is not None
        printed = process.stdout.read()
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    wall_s = time.perf_counter() - began_s
    try:
        said = json.loads(printed)
    except ValueError:
        raise SystemExit(f"{command} printed {printed[:500]!r}") from None
    return Run(wall_s, used.ru_utime + used.ru_stime, peak_mb(used), said)


def peak_mb(used: resource.struct_rusage) -> float:
    """The most memory that a process had."""
    return used.ru_maxrss / 1024


def ingest(*arguments: str, home: Path) -> Run:
    """Run `ingest` of this checkout, with state and reports of its own."""
    command = [sys.executable, "-P", "-m", "ingest", *arguments, "--json", "-q"]
    env = {
        "PYTHONPATH": str(HERE.parent),
        "XDG_STATE_HOME": str(home / "state"),
        "INGEST_API_KEY": "benchmark-key",
    }
    return run(command, env=env, cwd=home)


def in_turn(sides: Mapping[str, Callable[[], Run]], *, rounds: int) -> dict[str, list[Run]]:
    """Run all sides, one after the other, so many times; each sees the same disturbance."""
    found: dict[str, list[Run]] = {}
    for number in range(rounds):
        for name, side in sides.items():
            found.setdefault(name, []).append(side())
            last = found[name][-1]
            print(f"  {number + 1} {name}: {last.wall_s:.2f} s, {last.cpu_s:.2f} s CPU", flush=True)
    return found


def table(found: Mapping[str, Sequence[Run]], *, records: int, first: str) -> list[str]:
    """Medians as a table of Markdown; ratios are those of records a second to the first side's."""
    rows = [
        "| side | 1,000 records/s | from | to | CPU s per million | MB | ours is |",
        "|---|---|---|---|---|---|---|",
    ]
    ours = statistics.median(run.wall_s for run in found[first])
    for name, runs in found.items():
        walls = [run.wall_s for run in runs]
        wall_s = statistics.median(walls)
        cpu_s = statistics.median(run.cpu_s for run in runs) / records * 1e6
        peak = statistics.median(run.peak_mb for run in runs)
        rates = [f"{records / each / 1000:,.0f}" for each in (wall_s, max(walls), min(walls))]
        ratio = "" if name == first else f"{wall_s / ours:.2f} x"
        rows.append(f"| {' | '.join([name, *rates, f'{cpu_s:.1f}', f'{peak:.0f}', ratio])} |")
    return rows


def versions(names: Sequence[str]) -> str:
    """The versions of the peers."""
    told = subprocess.run(
        [PEERS, HERE / "sides.py", "versions", ",".join(names)], capture_output=True, check=True
    )
    return ", ".join(f"{name} {number}" for name, number in json.loads(told.stdout).items())


def written(name: str, lines: Sequence[str], *, quick: bool) -> None:
    """Print a result, and keep it unless it was a first look."""
    text = "\n".join(lines) + "\n"
    print(text)
    if not quick:
        RESULTS.mkdir(exist_ok=True)
        (RESULTS / f"{name}.md").write_text(text)
