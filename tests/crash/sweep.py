"""Meets a run with each thing that can befall it: `python -m tests.crash.sweep kill --all`.

`kill`: SIGKILL at each point that it passes; each second crash is followed by a kill of the resume.
`fail`: each call that it makes fails, in each way, once and for ever after. `power`: the power is
cut after each change, and what was not synced is lost, torn or reordered. `torn`: files of the
ledger are cut short and bits in them flipped. Without `--all` a sample
of every family. Prints what does not hold, and exits 1 if anything does not.
"""

import argparse
import random
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from tests.support.crashing import Bench, bench, crash, record
from tests.support.cutting import changes_of, cut
from tests.support.deadly import Nursery, Point
from tests.support.failing import calls_of, fail
from tests.support.frail import build, faults_of, frail_nursery, sampled_faults
from tests.support.power import Chance
from tests.support.tearing import Torn, damages


def sampled(points: Sequence[Point]) -> list[Point]:
    """The first, a middle and the last point of each call on each kind of file."""
    families: dict[tuple[str, str, str], list[Point]] = {}
    for point in points:
        families.setdefault((point.call, point.kind, point.when), []).append(point)
    chosen = {family[at] for family in families.values() for at in (0, len(family) // 2, -1)}
    return [point for point in points if point in chosen]


def killing(table: Bench, *, whole: bool, only: str) -> list[str]:
    """Crash at all points; give what did not hold."""
    passed = record(table)
    points = [point for point in (passed if whole else sampled(passed)) if only in str(point)]
    _say(f"{len(passed)} points passed, {len(points)} chosen")
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


def cutting(table: Bench, *, whole: bool) -> list[str]:
    """Cut the power after each change, or some, in each way; give what did not hold."""
    count = changes_of(table)
    places = list(enumerate(range(1, count + 1, 1 if whole else 9)))
    ways = len(Chance.WAYS)
    cuts = [
        (number, after, how)
        for number, after in places
        for how in (Chance.WAYS if whole else Chance.WAYS[number % ways :][:1])
    ]
    random.Random(count).shuffle(cuts)  # a part of a long sweep is a sample of it
    wrong: list[str] = []
    reached = 0
    for done, (number, after, how) in enumerate(cuts, start=1):
        try:
            reached += cut(table, after, how=how, again=number % 2 == 1)
        except (AssertionError, TimeoutError, OSError) as error:
            wrong.append(f"{after} {how}: {str(error)[:1500]}")
            _say(f"WRONG {wrong[-1]}")
        if done % 100 == 0 or done == len(cuts):
            _say(f"{count} changes, {done} power cuts, {reached} reached, {len(wrong)} wrong")
    return wrong


def tearing(table: Bench, *, each: int) -> list[str]:
    """Cut and alter each file of a ledger; give what did not hold."""
    wrong: list[str] = []
    for finished in (False, True):
        torn, found, count = Torn(table, finished=finished), 0, 0
        for damage in damages(torn.files(), each=each, seed=each):
            count += 1
            try:
                found += torn.tear(damage)
            except (AssertionError, TimeoutError) as error:
                wrong.append(f"{damage}, finished: {finished}: {str(error)[:1500]}")
                _say(f"WRONG {wrong[-1]}")
        _say(f"{count} damages, {found} found, the others harmless, {len(wrong)} wrong")
    return wrong


def failing(table: Bench, *, whole: bool, only: str) -> list[str]:
    """Let each call of a run fail in each way; give what did not hold."""
    faults = faults_of(calls_of(table))
    if not whole:
        faults = sampled_faults(faults)
    faults = [fault for fault in faults if only in str(fault)]
    random.Random(len(faults)).shuffle(faults)  # likewise
    _say(f"{len(faults)} failing calls chosen")
    wrong: list[str] = []
    reached = 0
    for number, fault in enumerate(faults):
        try:
            reached += fail(table, fault, name=f"fail-{number}")
        except (AssertionError, TimeoutError, OSError) as error:
            wrong.append(f"{fault}: {str(error)[:1500]}")
            _say(f"WRONG {wrong[-1]}")
        if number % 100 == 99:
            _say(f"{number + 1} done, {reached} reached, {len(wrong)} wrong")
    _say(f"{len(faults)} failing calls, {reached} reached, {len(wrong)} wrong")
    return wrong


def main() -> int:
    """Run it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "what", nargs="?", default="kill", choices=["kill", "fail", "power", "torn"]
    )
    parser.add_argument("--all", action="store_true", help="every point, not a sample")
    parser.add_argument("--wide", action="store_true", help="records that make three chunks")
    parser.add_argument("--only", default="", help="points whose text contains this")
    flags = parser.parse_args()
    began = time.monotonic()
    with ExitStack() as stack:
        root = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        nursery = Nursery() if flags.what in {"kill", "torn"} else frail_nursery(build(root))
        table = stack.enter_context(bench(root, wide=flags.wide, nursery=nursery))
        if flags.what == "kill":
            wrong = killing(table, whole=flags.all, only=flags.only)
        elif flags.what == "fail":
            wrong = failing(table, whole=flags.all, only=flags.only)
        elif flags.what == "power":
            wrong = cutting(table, whole=flags.all)
        else:
            wrong = tearing(table, each=400 if flags.all else 12)
    _say(f"{time.monotonic() - began:.0f} s")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
