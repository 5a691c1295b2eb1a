"""Whole histories of a load in virtual time: whatever happens, nothing is lost and nothing made up.

`INGEST_SIM_COUNT` is how many seeds are tried (40 by default); `INGEST_SIM_SEED` the first of them.
A seed that fails is printed and told line by line by `python -m tests.support.simulation --seed N`.
"""

import os
from random import Random

import pytest

from ingest.core.outcome import Reply
from tests.support.model_api import Fate, Nature, every_fate
from tests.support.simulation import BrokenLawError, Plan, drawn, run_history
from tests.support.virtual_time import StuckError, VirtualLoop

COUNT = int(os.environ.get("INGEST_SIM_COUNT", "40"))
FIRST = int(os.environ.get("INGEST_SIM_SEED", "1"))


def test_histories_keep_the_laws() -> None:
    """N23, C4: runs, kills, signals and full disks in a world of faults end with all accounted for."""
    for seed in range(FIRST, FIRST + COUNT):
        try:
            run_history(drawn(seed), seed=seed)
        except Exception as error:
            again = f"python -m tests.support.simulation --seed {seed}"
            raise AssertionError(f"{again}\n{error}") from error


def test_a_seed_replays() -> None:
    """The same seed is the same history, down to the moment of each request."""
    seed = FIRST + 1_000_000

    first, again = (run_history(drawn(seed), seed=seed) for _ in range(2))

    assert (first.stamps, first.api.requests) == (again.stamps, again.api.requests)


def _kind_of(fate: Fate) -> str:
    if fate.unseen is not None:
        return f"unseen-{fate.unseen}"
    if fate.failure is not None:
        return f"lost-{fate.failure}"
    return "answered" if fate.reply is None else f"status-{fate.reply.status}"


KINDS = sorted({_kind_of(fate) for fate in every_fate()})


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: f"C7-{kind}")
def test_three_workers_meet_every_outcome(kind: str) -> None:
    """C7: each way in which an attempt can end, on one of three workers while two others meet any."""
    every = every_fate()

    for number, fate in enumerate(fate for fate in every if _kind_of(fate) == kind):
        chance = Random(f"{kind} {number}")
        fates = [fate, chance.choice(every), chance.choice(every)]
        chance.shuffle(fates)
        plan = Plan(
            chunks=((20, 0),),
            nature=Nature(conflicts=chance.choice(["never", "single", "batch"])),
            concurrency=3,
            script=(Fate(), *fates),
            ends=(("none", 0.0), (chance.choice(["kill", "twice"]), chance.random())),
        )

        run_history(plan, seed=number)


def test_a_server_that_lies_breaks_a_law() -> None:
    """The laws are no formality: an answer of 200 for events that were not taken is found out."""
    liar = Fate(reply=Reply(200, body=b'{"status":"ok"}'))

    with pytest.raises(BrokenLawError, match="the server never took them"):
        run_history(Plan(chunks=((8, 0),), nature=Nature(), script=(liar,)), seed=1)


def test_what_waits_for_ever_is_found_out() -> None:
    """Virtual time does not stand still in silence where tasks wait for one another."""
    loop = VirtualLoop()

    with pytest.raises(StuckError, match="waits for another"):
        loop.run_until_complete(loop.create_future())
    loop.close()
