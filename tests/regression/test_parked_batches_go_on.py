"""Batches that were put aside are settled in the end, whatever else is left to send."""

from ingest.core.outcome import Failure, Reply
from tests.support.model_api import Fate, Nature
from tests.support.simulation import Plan, run_history

AFTER_KILL = ("kill", 5.0)
DOWN = (1000.0, 1400.0, 503)


def test_a_parked_batch_that_is_all_that_is_left_is_narrowed_and_held() -> None:
    """Nothing else is there to pass beside it: its own answers tell in the second and third run."""
    world = run_history(Plan(chunks=((20, 0),), nature=Nature(poison=frozenset({9}))), seed=1)

    last = world.books[-1]
    assert (len(world.books), len(last.delivered), last.held) == (3, 19, {9})
    assert world.errors == [None, None, None]


def test_an_event_alone_in_its_request_is_held_in_the_third_run() -> None:
    """With one event to a request there are no neighbours that could pass."""
    nature = Nature(poison=frozenset({9}))

    world = run_history(Plan(chunks=((20, 0),), nature=nature, max_events=1), seed=1)

    assert (len(world.books), world.books[-1].held) == (3, {9})


def test_as_many_parked_batches_as_workers_do_not_keep_the_others_back() -> None:
    """They come first in the next run; what has never been tried has its turn nevertheless."""
    poison = frozenset({0, 4, 8, 12, 16, 20})
    nature = Nature(poison=poison)
    plan = Plan(chunks=((24, 0), (40, 0)), nature=nature, concurrency=2, budget_s=20.0)

    world = run_history(plan, seed=1)

    assert len(world.books[-1].delivered) == 58
    assert world.books[-1].held == poison


def test_an_outage_is_not_taken_for_a_bad_batch() -> None:
    """A server that takes nothing at all, run after run, leads to no narrowing and no hold."""
    plan = Plan(
        chunks=((8, 0),),
        nature=Nature(storms=(DOWN,)),
        ends=(("none", 0.0),) * 5,
        budget_s=10.0,
    )

    world = run_history(plan, seed=1)

    assert [error and error.code for error in world.errors] == ["retries_exhausted"] * 5 + [None]
    assert {books.parked | books.held for books in world.books} == {frozenset()}


def test_a_parked_batch_is_not_blamed_for_an_outage_that_it_meets_alone() -> None:
    """It is all that is left, and the server takes nothing: the run stops, and nothing is counted."""
    nature = Nature(poison=frozenset({9}), storms=((1003.0, 1100.0, 503),))
    plan = Plan(chunks=((20, 0),), nature=nature, ends=(("none", 0.0),) * 2, budget_s=20.0)

    world = run_history(plan, seed=1)

    first, second = world.books[:2]
    assert (len(first.delivered), len(first.parked)) == (16, 4)
    assert [error and error.code for error in world.errors[:2]] == [None, "retries_exhausted"]
    assert (second.parked, second.parked_again) == (first.parked, frozenset())
    assert world.books[-1].held == {9}


def test_what_failed_while_nothing_passed_is_tried_again_when_something_does() -> None:
    """An outage at the front of a run ends: what was parked before and met it arrives in that run."""
    told: list[str] = []
    plan = Plan(
        chunks=((4, 0), (60, 0)),
        nature=Nature(storms=((1000.0, 1015.0, 500),)),
        concurrency=2,
        budget_s=12.0,
        first_budget_s=12.0,
        ends=(("none", 0.0),) * 2,
    )

    world = run_history(plan, seed=11, tell=told.append)

    assert any("wait until others pass" in line for line in told), "another seed meets the outage"
    assert len(world.books[1].delivered) == 64


def test_a_409_for_what_an_earlier_run_left_in_doubt_is_a_delivery() -> None:
    """The ledger remembers the doubt: the server has the event, and the run need not ask for ever."""
    lost = Fate(failure=Failure.READ_TIMEOUT, arrivals=(0.01,), answers_s=30.0)
    for conflicts, concurrency in (("single", 3), ("batch", 3), ("single", 1), ("batch", 1)):
        plan = Plan(
            chunks=((1 if conflicts == "single" else 4, 0),),
            nature=Nature(conflicts=conflicts),
            concurrency=concurrency,
            script=(lost,),
            ends=(AFTER_KILL,),
        )

        world = run_history(plan, seed=1)

        assert (len(world.books), world.books[-1].pending) == (2, frozenset())


def test_a_wait_that_the_server_asked_for_is_not_the_batchs_own() -> None:
    """Three holds of five minutes use up no retry budget: the 503 after them is tried again."""
    hold = Fate(reply=Reply(429, body=b"{}", retry_after="300"))
    busy = Fate(reply=Reply(503, body=b"{}"))
    plan = Plan(
        chunks=((4, 0),), nature=Nature(), script=(hold, hold, hold, busy), rate=5.0, budget_s=60.0
    )

    world = run_history(plan, seed=1)

    assert (world.errors, len(world.books)) == ([None], 1)
