"""A server closes connections on which nothing comes: none is opened long before its turn."""

from ingest.core.outcome import Reply
from tests.support.model_api import Fate, Nature
from tests.support.simulation import Plan, run_history


def test_no_connection_is_opened_while_all_wait() -> None:
    """After a 429 that holds for 100 seconds, connections are asked for when it is over."""
    hold = Fate(reply=Reply(429, body=b"{}", retry_after="100"))
    plan = Plan(chunks=((40, 0),), nature=Nature(), script=(Fate(), hold), concurrency=1, rate=20.0)

    world = run_history(plan, seed=1)

    first, held, after, *_ = world.opened
    assert held - first < 1
    assert 98 < after - held < 101


def test_a_slow_rate_opens_no_connection_early() -> None:
    """At a call in ten seconds each connection is opened within half a second of its turn."""
    plan = Plan(chunks=((40, 0),), nature=Nature(), concurrency=3, rate=0.1)

    world = run_history(plan, seed=1)

    waits = [stamp - opened for opened, stamp in zip(world.opened, world.stamps, strict=True)]
    assert len(waits) == 10
    assert max(waits) < 0.6
