"""Kills a run at each point that it passes: `python -m tests.crash.sweep --all`.

Without `--all` one point of every call, kind and moment, and some between. Each second crash is
followed by a kill of the resume, too. Prints what does not hold, and exits 1 if anything does not.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from tests.support.crashing import Bench, bench, crash, record
from tests.support.deadly import Point


def sampled(points: Sequence[Point]) -> list[Point]:
    """The first, a middle and the last point of each call on each kind of file."""
    families: dict[tuple[str, str, str], list[Point]] = {}
    for point in points:
        families.setdefault((point.call, point.kind, point.when), []).append(point)
    chosen = {family[at] for family in families.values() for at in (0, len(family) // 2, -1)}
    return [point for point in points if point in chosen]


def sweep(table: Bench, points: Sequence[Point]) -> list[str]:
    """Crash at all points; give what did not hold."""
    wrong: list[str] = []
    kills = missed = doubtful = repeats = 0
    for number, point in enumerate(points):
        second = points[(number * 7 + 3) % len(points)]
        chosen = [point, second] if number % 2 else [point]
        try:
            story = crash(table, chosen, name=f"crash-{number}")
        except (AssertionError, TimeoutError) as error:
            wrong.append(f"{' | '.join(map(str, chosen))}: {str(error)[:600]}")
            _say(f"WRONG {wrong[-1]}")
            continue
        kills += story.kills
        missed += story.kills < len(chosen)
        doubtful, repeats = max(doubtful, story.in_doubt), repeats + story.repeats
    _say(
        f"{len(points)} points, {kills} kills, {missed} crashes with a point that was not reached,"
        f" {repeats} repeats in all, {doubtful} records in doubt at most, {len(wrong)} wrong"
    )
    return wrong


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def main() -> int:
    """Run it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--all", action="store_true", help="every point, not a sample")
    parser.add_argument("--wide", action="store_true", help="records that make three chunks")
    parser.add_argument("--only", default="", help="points whose text contains this")
    flags = parser.parse_args()
    with (
        tempfile.TemporaryDirectory() as directory,
        bench(Path(directory), wide=flags.wide) as table,
    ):
        points = record(table)
        chosen = points if flags.all else sampled(points)
        chosen = [point for point in chosen if flags.only in str(point)]
        _say(f"{len(points)} points passed, {len(chosen)} chosen")
        began = time.monotonic()
        wrong = sweep(table, chosen)
        _say(f"{time.monotonic() - began:.0f} s")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
