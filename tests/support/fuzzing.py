"""Runs a comparison over seeds until the time is up."""

import argparse
import random
import time
from collections.abc import Callable
from dataclasses import dataclass

Finding = Callable[[int], str]
"""What is wrong with the case of a seed, or nothing."""


@dataclass(frozen=True, slots=True)
class Fuzzed:
    """How it went.

    Args:
        first: The first seed.
        cases: Cases that agreed.
        told: Seed and finding of the one that did not; empty where all did.
    """

    first: int
    cases: int
    told: str


def run(finding: Finding, *, seconds: float, first: int, most: int | None = None) -> Fuzzed:
    """Compare case after case; stop at the first that differs."""
    stop = time.monotonic() + seconds
    seed = first
    while time.monotonic() < stop and (most is None or seed - first < most):
        told = finding(seed)
        if told:
            return Fuzzed(first, seed - first, f"seed {seed}\n{told}")
        seed += 1
    return Fuzzed(first, seed - first, "")


def fuzz(finding: Finding, *, doc: str | None) -> int:
    """The command line: `--seconds N --seed S --cases N`; 1 on the first difference."""
    parser = argparse.ArgumentParser(description=doc)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--cases", type=int, default=None)
    given = parser.parse_args()
    first = random.SystemRandom().randrange(1 << 40) if given.seed is None else given.seed
    print(f"seed {first}", flush=True)  # noqa: T201 - a script that prints what it found
    found = run(finding, seconds=given.seconds, first=first, most=given.cases)
    print(found.told or f"{found.cases} cases agree")  # noqa: T201 - as above
    return 1 if found.told else 0
