"""SIGKILL at the points of a run that change something, and what the same command makes of it."""

from collections.abc import Iterator
from dataclasses import replace

import pytest

from tests.support.crashing import Bench, bench, crash, record
from tests.support.deadly import Point

# Which calls of a run are met, by call and kind of file; both before and after each.
ORDINALS = {
    ("mkdir", "state"): (2,),
    ("create", "witness"): (1,),
    ("pwrite", "witness"): (1, 4),
    ("fsync", "witness"): (1,),
    ("fsync", "state"): (1,),
    ("create", "ledger"): (1,),
    ("insert-meta", "ledger"): (1,),
    ("begin", "ledger"): (1, 5),
    ("update", "ledger"): (2,),
    ("commit", "ledger"): (1, 2, 3, 4, 5, 6),
    ("insert", "ledger"): (1,),
    ("replace", "ledger"): (2,),
    ("replace-chunk", "ledger"): (1, 4),
    ("replace-note", "ledger"): (1,),
    ("replace-run_load", "ledger"): (1,),
    ("create", "lock"): (1,),
    ("unlink", "lock"): (3,),
    ("create", "limit"): (1,),
    ("pwrite", "limit"): (1, 2, 60),
    ("mkdir", "segments"): (3,),
    ("create", "segment"): (1,),
    ("filewrite", "segment"): (1,),
    ("fsync", "segment"): (1,),
    ("replace", "segment"): (1,),
    ("fsync", "segments"): (1,),
    ("write", "segment"): (1, 4),
    ("send", "server"): (1, 2, 12, 24, 40),
    ("receive", "server"): (1, 2, 12, 20, 30),
    ("mkdir", "reports"): (1,),
    ("create", "manifest"): (2,),
    ("replace", "manifest"): (1, 3),
    ("create", "rejects"): (1, 3),
    ("filewrite", "rejects"): (2,),
    ("fsync", "rejects"): (2,),
    ("replace", "rejects"): (1, 3),
    ("create", "doubt"): (1,),
    ("replace", "doubt"): (1,),
    ("fsync", "reports"): (4,),
    ("create", "summary"): (1,),
    ("replace", "summary"): (1,),
    ("create", "page"): (1,),
    ("replace", "page"): (1,),
}
# Repetitions of the calls beside them, which the full sweep meets.
LEFT_TO_THE_SWEEP = {
    ("filewrite", "doubt"),
    ("filewrite", "manifest"),
    ("filewrite", "summary"),
    ("filewrite", "page"),
    ("fsync", "doubt"),
    ("fsync", "manifest"),
    ("fsync", "summary"),
    ("fsync", "page"),
    ("mkdir", "limit"),
    ("mkdir", "lock"),
    ("mkdir", "rejects"),
    ("rmdir", "rejects"),
    ("unlink", "limit"),
    ("unlink", "rejects"),
    ("unlink", "segment"),
    ("create", "partial"),
    ("filewrite", "partial"),
    ("fsync", "partial"),
    ("replace", "partial"),
    ("unlink", "partial"),
    ("unlink", "doubt"),
    ("write", "lock"),
}
POINTS = [
    Point(call, kind, ordinal, when)
    for (call, kind), ordinals in ORDINALS.items()
    for ordinal in ordinals
    for when in ("before", "after")
    # An open call shows nothing new before its file is there, unless it is the first of all.
    if when == "after" or (call, kind) not in {("create", "limit"), ("create", "lock")}
]
AGAIN = [
    [POINTS[at], POINTS[(at * 5 + 31) % len(POINTS)], POINTS[(at * 3 + 17) % len(POINTS)]]
    for at in range(1, len(POINTS), 5)
]
WIDE = [
    Point("replace", "segment", 2, "after"),
    Point("commit", "ledger", 6, "before"),
    Point("send", "server", 14, "after"),
    Point("receive", "server", 16, "before"),
]

JUDGING = [
    Point("create", "segment", 2, "after"),
    Point("replace", "segment", 2, "after"),
    Point("commit", "ledger", 4, "before"),
    Point("commit", "ledger", 5, "after"),
    Point("send", "server", 2, "after"),
]


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    """A long-lived server and the outcome of an uninterrupted run."""
    with bench(tmp_path_factory.mktemp("crash")) as made:
        yield made


@pytest.fixture(scope="module")
def wide_table(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    """The same with records that make three chunks."""
    with bench(tmp_path_factory.mktemp("wide"), wide=True) as made:
        yield made


def _surely(table: Bench, point: Point) -> None:
    """Crash at a point; at an earlier one of its kind where group commits made fewer."""
    while crash(table, [point], name="killed").kills == 0:
        assert point.ordinal > 1, f"no run passes {point}"
        point = replace(point, ordinal=point.ordinal // 2)


@pytest.mark.parametrize("point", [pytest.param(p, id=f"P1-{p}".replace(" ", "-")) for p in POINTS])
def test_a_killed_run_is_resumed(table: Bench, point: Point) -> None:
    """Killed at any moment, the same command delivers what is missing and repeats nothing known."""
    _surely(table, point)


@pytest.mark.parametrize(
    "points", [pytest.param(p, id=f"P10-{p[0]}".replace(" ", "-")) for p in AGAIN]
)
def test_a_resume_that_is_killed_is_resumed(table: Bench, points: list[Point]) -> None:
    """Killed while it resumes, and once more, it still ends as an uninterrupted run does."""
    first, *rest = points
    while crash(table, [first, *rest], name="killed-again").kills == 0:
        assert first.ordinal > 1, f"no run passes {first}"
        first = replace(first, ordinal=first.ordinal // 2)


@pytest.mark.parametrize("point", [pytest.param(p, id=f"P1-{p}".replace(" ", "-")) for p in WIDE])
def test_a_run_of_several_chunks_is_resumed(wide_table: Bench, point: Point) -> None:
    """Killed between chunks, no record of either is lost or judged differently."""
    _surely(wide_table, point)


@pytest.mark.parametrize(
    "point", [pytest.param(p, id=f"P1-{p}".replace(" ", "-")) for p in JUDGING]
)
def test_a_run_that_judges_first_is_resumed(wide_table: Bench, point: Point) -> None:
    """With `--check-first`, killed while it judges or later, it goes on from the verdicts."""
    _surely(replace(wide_table, more=("--check-first",)), point)


def test_every_kind_of_change_is_a_point(table: Bench) -> None:
    """A run changes nothing on disk or wire that the crash tests do not know of."""
    passed = {(point.call, point.kind) for point in record(table)}

    assert passed - LEFT_TO_THE_SWEEP <= set(ORDINALS)
    assert len(POINTS) >= 60
