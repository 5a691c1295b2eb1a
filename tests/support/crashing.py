"""One crash: a run that is killed at a point, perhaps again while it resumes, and then finished."""

import json
import shutil
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.deadly import Nursery, Point
from tests.support.workdir import (
    Done,
    ExternalSandbox,
    Server,
    Source,
    Workdir,
    assert_accounted,
    assert_codes_recounted,
    assert_summary_form,
    refused_by_server,
    some,
)

KILLED = -9
KEY = "event-key-0123456789"
RECORDS = 300
FLAGS = ("--identity", "page", "--batch-size", "10", "--concurrency", "4", "--json")
WIDE_NOTE = "x" * 60_000
"""With this in each record, 300 records make three chunks."""


@dataclass(frozen=True, slots=True)
class Bench:
    """What all crashes of a session share.

    Args:
        root: Everything is below it.
        nursery: Forks the runs.
        server: Outlives them.
        source: What is sent.
        reference: What an uninterrupted run made its server hold: body by event_uuid.
        more: Further flags of its runs.
    """

    root: Path
    nursery: Nursery
    server: Server
    source: Source
    reference: dict[str, dict[str, Any]]
    more: tuple[str, ...] = ()

    def begin(self, name: str) -> Workdir:
        """Give a fresh state, and a server that knows nothing."""
        directory = self.root / name
        shutil.rmtree(directory, ignore_errors=True)
        directory.mkdir()
        self.server.clear()
        return Workdir(directory, {"INGEST_API_KEY": KEY})

    def run(self, work: Workdir, *, at: object = None, log: Path | None = None) -> Done:
        """Run the command, to its end or its death."""
        arguments = ["run", str(self.source.path), *work.to(self.server), *FLAGS, *self.more]
        done = Done(*self.nursery.run(arguments, cwd=work.root, environ=work.env(), at=at, log=log))
        if done.code != KILLED:
            assert_summary_form(done)
        return done


@contextmanager
def bench(root: Path, *, wide: bool = False, nursery: Nursery | None = None) -> Iterator[Bench]:
    """Set up a server, a source, and the outcome of an uninterrupted run."""
    rows = list(some(RECORDS, bad_every=10, anyone=True, note=WIDE_NOTE if wide else ""))
    for number in (120, 207):
        rows[number] = refused_by_server(number)
    with ExitStack() as stack:
        born = stack.enter_context(nursery or Nursery())
        source = Workdir(root).source(rows)
        server = stack.enter_context(ExternalSandbox(root / "server.sqlite3", "--rate", "0"))
        other = stack.enter_context(ExternalSandbox(root / "reference.sqlite3", "--rate", "0"))
        whole = Bench(root, born, other, source, {})
        work = whole.begin("reference")
        done = whole.run(work)
        assert done.code == 3, done.err
        reports = assert_accounted(work, source, done.summary, other)
        assert_codes_recounted(done.summary, [reports])
        yield Bench(root, born, server, source, other.bodies())


@dataclass(frozen=True, slots=True)
class Story:
    """What happened in one crash."""

    kills: int
    repeats: int
    in_doubt: int


def crash(bench: Bench, points: Sequence[Point], *, name: str) -> Story:
    """Kill a run at the first point, its resume at the second, and so on; finish it; hold the law.

    Raises:
        AssertionError: A record was lost, repeated without doubt, or counted wrong.
    """
    work = bench.begin(name)
    codes = [bench.run(work, at=point).code for point in points]
    assert set(codes) <= {KILLED, 3}, codes
    done = bench.run(work)
    summary = done.summary
    assert done.code == 3, f"{summary['error']} {done.err}"
    reports = assert_accounted(work, bench.source, summary, bench.server)
    assert_codes_recounted(summary, [reports])
    assert summary["sources"][0]["complete"]
    assert (work.root / summary["reports"]["directory"] / "summary.json").exists()
    assert bench.server.bodies() == bench.reference
    again = bench.run(work)
    assert again.code == 3
    assert again.summary["requests"]["sent"] == 0
    assert bench.server.bodies() == bench.reference
    repeats = sum(times - 1 for times in bench.server.times().values())
    shutil.rmtree(work.root)
    return Story(codes.count(KILLED), repeats, summary["of_which"]["in_doubt"])


def record(bench: Bench, *, name: str = "recorded") -> list[Point]:
    """All points that a run passes, in their order."""
    work = bench.begin(name)
    log = bench.root / "points.txt"
    log.unlink(missing_ok=True)
    assert bench.run(work, log=log).code == 3
    return [Point.of(line) for line in log.read_text().splitlines()]


def described(points: Sequence[Point]) -> str:
    """Points in one line."""
    return json.dumps([str(point) for point in points])
