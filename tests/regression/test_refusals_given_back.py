"""Refusals that did not count yet when a run ended: they are asked for again, and nothing sticks."""

from ingest.core.outcome import Reply
from tests.support.model_api import Fate, Nature
from tests.support.simulation import Plan, run_history

EVERY = frozenset(range(40))


def test_refusals_that_go_back_are_listed_as_in_doubt() -> None:
    """A batch was refused as a whole: doubt.csv lists the events that the count speaks of."""
    nature = Nature(invalid=frozenset({5, 6, 21}))
    plan = Plan(chunks=((200, 0),), nature=nature, rate=5.0, ends=(("ask", 10.0),))

    world = run_history(plan, seed=1)

    stopped = world.books[0]
    assert stopped.pending
    assert not stopped.refused
    assert {5, 6} <= stopped.known_doubt == stopped.noted["doubt"]


def test_what_is_left_of_a_load_may_be_refused_as_a_whole() -> None:
    """After a kill only the bad records are left: the first batch is no proof of a wrong schema."""
    invalid = frozenset({*range(0, 60, 3), 59})
    nature = Nature(invalid=invalid)
    plan = Plan(chunks=((60, 0),), nature=nature, max_events=30, rate=1.0, ends=(("kill", 60.9),))

    world = run_history(plan, seed=1)

    assert world.books[0].pending == invalid
    assert (world.errors[-1], world.books[-1].refused) == (None, invalid)


def test_a_first_batch_that_had_to_wait_is_judged_all_the_same() -> None:
    """A 503 before the refusal does not open the gate: nothing is settled, exit 7."""
    busy = Fate(reply=Reply(503, body=b"{}"))
    plan = Plan(chunks=((40, 0),), nature=Nature(invalid=EVERY), max_events=10, script=(busy,))

    world = run_history(plan, seed=1)

    error = world.errors[-1]
    assert error is not None
    assert (error.exit_code, error.code) == (7, "first_batch_refused")
    assert (len(world.books[-1].refused), len(world.books[-1].pending)) == (0, 40)


def test_an_answer_with_errors_is_a_refusal_in_the_first_batch_too() -> None:
    """A 200 that carries errors for everything stops the run as a 400 does."""
    nature = Nature(invalid=EVERY, refusal=200)
    plan = Plan(chunks=((12, 0),), nature=nature, max_events=12)

    world = run_history(plan, seed=1)

    assert (world.errors[-1] and world.errors[-1].exit_code, world.books[-1].refused) == (7, set())
