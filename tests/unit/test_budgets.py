"""How long a run tries, by the clock: budgets of time, not of attempts."""

import itertools

import pytest

from ingest.core.outcome import Reply
from tests.support.model_api import Fate, Nature
from tests.support.simulation import Plan, World, run_history

OK = Fate()
BUSY = Fate(reply=Reply(503, body=b"{}"))
ONE_RUN = (("none", 0.0),)


def lasted_s(world: World) -> float:
    """Seconds from the first request of the first run to its last one."""
    runs = [n for n, (a, b) in enumerate(itertools.pairwise(world.stamps), start=1) if b - a > 900]
    return world.stamps[runs[0] - 1] - world.stamps[0]


@pytest.mark.parametrize(
    ("answers", "least_s", "most_s"),
    [
        pytest.param(0, 30.0, 60.0, id="N22-from-the-start"),
        pytest.param(3, 400.0, 601.0, id="N22-later"),
    ],
)
def test_endless_503_ends_with_the_budget(answers: int, least_s: float, most_s: float) -> None:
    """Before any other answer a minute is enough; once something passed, it is ten."""
    plan = Plan(
        chunks=((400, 0),),
        nature=Nature(),
        script=(*(OK,) * answers, *(BUSY,) * 90),
        concurrency=1,
        budget_s=600.0,
        ends=ONE_RUN,
    )

    world = run_history(plan, seed=1)

    assert world.errors[0] is not None
    assert world.errors[0].code == "retries_exhausted"
    assert len(world.books[0].delivered) == 4 * answers
    assert least_s < lasted_s(world) < most_s


def test_a_short_budget_is_short_from_the_start() -> None:
    """--retry-budget 5 means five seconds, before the first answer too."""
    plan = Plan(chunks=((40, 0),), nature=Nature(), script=(BUSY,) * 90, budget_s=5.0, ends=ONE_RUN)

    world = run_history(plan, seed=1)

    assert 1.0 < lasted_s(world) < 5.0


@pytest.mark.parametrize(
    ("retry_after", "least_s", "most_s"),
    [
        pytest.param("20", 20.0, 21.0, id="N20-seconds"),
        pytest.param("Tue, 14 Nov 2023 22:31:00 GMT", 57.0, 61.0, id="N20-date"),
        pytest.param("1000000000", 300.0, 301.0, id="N20-absurd"),
        pytest.param("-5", 0.3, 1.2, id="N20-negative"),
        pytest.param("Mon, 01 Jan 1990 00:00:00 GMT", 0.3, 1.2, id="N20-past"),
        pytest.param("soon", 0.3, 1.2, id="N20-garbage"),
        pytest.param(None, 0.3, 1.2, id="N19-none"),
    ],
)
def test_the_gate_holds_everyone_as_long_as_asked(
    retry_after: str | None, least_s: float, most_s: float
) -> None:
    """N20: a 429 to one worker holds all eight, for what was asked for, or the cap."""
    hold = Fate(reply=Reply(429, body=b"{}", retry_after=retry_after))
    plan = Plan(
        chunks=((400, 0),),
        nature=Nature(),
        script=(*(OK,) * 20, hold),
        concurrency=8,
        rate=20.0,
        ends=ONE_RUN,
    )

    world = run_history(plan, seed=1)

    gaps = [after - before for before, after in itertools.pairwise(world.stamps)]
    assert least_s < max(gaps) < most_s
    assert sorted(gaps)[-2] < 0.3
    assert (world.errors[0], len(world.books[0].delivered)) == (None, 400)


def test_a_429_slows_the_account_and_it_recovers() -> None:
    """N19: the rate is cut after a refusal, and is whole again a minute or two later."""
    hold = Fate(reply=Reply(429, body=b"{}"))
    plan = Plan(
        chunks=((20_000, 0),),
        nature=Nature(),
        script=(*(OK,) * 100, hold),
        concurrency=8,
        rate=20.0,
        ends=ONE_RUN,
    )

    world = run_history(plan, seed=1)

    early = [stamp for stamp in world.stamps if 1010 < stamp < 1020]
    late = [stamp for stamp in world.stamps if 1200 < stamp < 1210]
    assert 0.65 * 200 < len(early) < 0.9 * 200
    assert len(late) > 0.98 * 200
