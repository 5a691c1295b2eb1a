"""SIGKILL at the points of a retry that change something, and what the same command makes of it."""

import os
import shutil
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.deadly import Nursery, Point
from tests.support.returning import mend_csv, read_csv
from tests.support.workdir import (
    Done,
    ExternalSandbox,
    Server,
    Source,
    Workdir,
    assert_codes_recounted,
    assert_summary_form,
    read_reports,
    refused_by_server,
    some,
)

KILLED = -9
KEY = "event-key-0123456789"
RECORDS = 160
WHEN = "2024-03-01T00:00:00Z"
FLAGS = ("--batch-size", "5", "--concurrency", "3", "--json")


def mended(row: dict[str, str]) -> None:
    """Mend a reject, whatever it is."""
    who = f"mended-{row['_reject_record']}"
    if row["_reject_raw"]:
        row["_reject_raw"] = f"shop_visit,{who},{WHEN},raw"
    elif row["_reject_stage"] == "api":
        row["customer_id"] = who
    else:
        row["event"] = "shop_visit"


@dataclass(frozen=True, slots=True)
class Bench:
    """What all crashes share: the state of a load with rejects, and the file that mends them."""

    root: Path
    nursery: Nursery
    server: Server
    source: Source
    base: Path
    file: Path
    wanted: frozenset[str]

    def begin(self, name: str) -> Workdir:
        """Give the state as it was before any retry, and a server that knows nothing."""
        directory = self.root / name
        shutil.rmtree(directory, ignore_errors=True)
        shutil.copytree(self.base, directory)
        self.server.clear()
        return Workdir(directory, {"INGEST_API_KEY": KEY})

    def command(
        self,
        work: Workdir,
        what: str,
        path: Path,
        *,
        at: Point | None = None,
        log: Path | None = None,
    ) -> Done:
        """Run a command to its end or its death."""
        identity = ("--identity", "page") if what == "run" else ()
        arguments = [what, str(path), *work.to(self.server), *identity, *FLAGS]
        done = Done(*self.nursery.run(arguments, cwd=work.root, environ=work.env(), at=at, log=log))
        if done.code != KILLED:
            assert_summary_form(done)
        return done


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    """A load with rejects and refusals, and its report, mended."""
    root = tmp_path_factory.mktemp("crash-retry")
    rows = list(some(RECORDS, bad_every=8, anyone=True))
    for number in (50, 99):
        rows[number] = refused_by_server(number)
    with Nursery() as nursery, ExternalSandbox(root / "server.sqlite3", "--rate", "0") as server:
        (root / "base").mkdir()
        work = Workdir(root / "base", {"INGEST_API_KEY": KEY})
        source = Workdir(root).source(rows)
        bench = Bench(root, nursery, server, source, work.root, root / "mended.csv", frozenset())
        first = bench.command(work, "run", source.path)
        assert first.code == 3, first.err
        report = work.root / first.summary["sources"][0]["reports"]["rejects_csv"]
        records = [int(row["_reject_record"]) for row in read_csv(report)]
        mend_csv(report, mended, into=bench.file)
        wanted = frozenset(source.uuids()[record - 1] for record in records)
        yield Bench(root, nursery, server, source, work.root, bench.file, wanted)


def points(table: Bench) -> list[Point]:
    """All points that a retry passes: those of a file without a name cannot be met again."""
    work = table.begin("recorded")
    log = table.root / "points.txt"
    log.unlink(missing_ok=True)
    done = table.command(work, "retry", table.file, log=log)
    assert done.code == 0, done.err
    return [Point.of(line) for line in log.read_text().splitlines()]


# What decides over records; the reports are written as a run writes them.
DECISIVE = {"send", "receive", "commit", "replace-chunk", "replace-note", "delete-note"}
DECISIVE |= {"replace", "unlink"}


def sampled(found: list[Point]) -> list[Point]:
    """The middle of each call on each kind of file, before and after; all where that is asked for."""
    if os.environ.get("INGEST_CRASH_EVERY") == "1":
        return found
    families: dict[tuple[str, str, str], list[Point]] = {}
    for point in found:
        if point.call in DECISIVE and point.kind in {"server", "ledger", "segment"}:
            families.setdefault((point.call, point.kind, point.when), []).append(point)
    return [family[len(family) // 2] for family in families.values()]


def assert_mended(table: Bench, work: Workdir, done: Done) -> None:
    """All is delivered under its id, repeated only where that is told, and reports agree."""
    summary = done.summary
    assert done.code == 0, f"{summary['error']} {done.err}"
    assert summary["records"]["delivered"] == RECORDS
    assert summary["of_which"]["held"] == 0
    times = table.server.times()
    assert set(times) == table.wanted
    reports = read_reports(work, summary["sources"][0]["reports"])
    assert_codes_recounted(summary, [reports])
    doubtful = {row["event_uuid"] for row in reports.doubt}
    assert {uuid for uuid, count in times.items() if count > 1} <= doubtful
    assert len(doubtful) == summary["of_which"]["in_doubt"]
    for uuid, body in table.server.bodies().items():
        if body["customer_id"].startswith("mended-"):
            assert table.source.uuids()[int(body["customer_id"][7:]) - 1] == uuid


def test_p1_a_killed_retry_is_resumed_by_the_same_command(table: Bench) -> None:
    """Killed at any moment, it goes on; a run in between never sends what was rejected."""
    found = sampled(points(table))
    assert len({(point.call, point.kind) for point in found}) >= 6
    kills = 0
    for number, point in enumerate(found):
        work = table.begin("killed")
        killed = table.command(work, "retry", table.file, at=point)
        kills += killed.code == KILLED
        if number % 3 == 0:
            between = table.command(work, "run", table.source.path)
            assert between.code in {0, 3}, f"{point}: {between.err}"
            assert set(table.server.times()) <= table.wanted, point
        try:
            assert_mended(table, work, table.command(work, "retry", table.file))
        except (AssertionError, sqlite3.Error) as error:
            raise AssertionError(f"killed {point}: {error}") from error
    assert kills >= len(found) * 3 // 4
