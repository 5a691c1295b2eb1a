"""Disks that refuse, lose and alter: a sample of what `python -m tests.crash.sweep` does whole."""

import os
import subprocess
from collections.abc import Iterator
from errno import EIO, ENOLCK, ENOSPC, ENOSYS
from pathlib import Path

import pytest

from tests.support.crashing import KEY, Bench, bench
from tests.support.cutting import changes_of, cut
from tests.support.deadly import Nursery
from tests.support.failing import calls_of, fail
from tests.support.frail import WAYS, Fault, Jump, build, faults_of, frail_nursery, traced
from tests.support.power import Chance
from tests.support.tearing import Torn, damages
from tests.support.workdir import Workdir, assert_accounted

CUTS = 16
MOST_KINDS = 6


@pytest.fixture(scope="module")
def frail(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    """A bench whose runs stand on a disk that can fail."""
    root = tmp_path_factory.mktemp("frail")
    with bench(root, nursery=frail_nursery(build(root))) as made:
        yield made


@pytest.fixture(scope="module")
def calls(frail: Bench) -> list[tuple[str, str, int]]:
    """The calls that a run makes."""
    return calls_of(frail)


@pytest.fixture(scope="module")
def firm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    """A bench whose runs stand on a sound disk, and can be killed."""
    with bench(tmp_path_factory.mktemp("firm"), nursery=Nursery()) as made:
        yield made


@pytest.mark.parametrize("call", [pytest.param(name, id=f"S3-{name}") for name in WAYS])
def test_a_call_that_fails(frail: Bench, calls: list[tuple[str, str, int]], call: str) -> None:
    """S1, S3: whichever call fails, the run stops and says so, and the next one goes on."""
    families: dict[str, list[Fault]] = {}
    for fault in faults_of([each for each in calls if each[0] == call]):
        families.setdefault(fault.kind, []).append(fault)

    for number, (_, faults) in enumerate(sorted(families.items())[-MOST_KINDS:]):
        fault = faults[(number * 37 + len(call)) % len(faults)]
        reached = fail(frail, fault, name=f"fails-{number}")
        # Group commits differ from run to run: a late call may not come up again.
        assert reached or fault.ordinal > 1, fault


def test_a_failed_fsync_is_never_trusted(frail: Bench) -> None:
    """S4: after an fsync of the ledger failed, this process writes nothing to it any more."""
    work = frail.begin("fsync")
    log = work.root / ".trace.txt"

    done = frail.run(work, at=Fault("fsync", "wal", 5, EIO), log=log)

    assert done.code == 4
    failed = next(n for n, line in enumerate(log.read_text().splitlines()) if "failed" in line)
    after = traced(log)[failed + 1 :]
    assert not [each for each in after if each[:2] == ("write", "wal")]
    last = frail.run(work)
    assert last.code == 3
    assert_accounted(work, frail.source, last.summary, frail.server)


@pytest.mark.parametrize("call", ["write", "fsync", "rename", "create"])
def test_no_reject_without_its_line(frail: Bench, call: str) -> None:
    """S2, S5: where the rejects of a chunk cannot be kept, none of it is judged or sent."""
    work = frail.begin("segment")

    done = frail.run(work, at=Fault(call, "segment", 1, ENOSPC, ever=True))

    assert done.code == 4
    assert done.summary["records"]["rejected"] == 0
    assert frail.server.count() == 0
    last = frail.run(work)
    assert last.code == 3
    assert_accounted(work, frail.source, last.summary, frail.server)


@pytest.mark.parametrize("how", [pytest.param(way, id=f"S13-{way}") for way in Chance.WAYS])
def test_a_power_cut(frail: Bench, how: str) -> None:
    """S5, S13: what was not synced is gone, torn or reordered; no record is lost or repeated."""
    count = changes_of(frail)
    places = range(Chance.WAYS.index(how) + 3, count, count // (CUTS // len(Chance.WAYS)))

    came = [cut(frail, after, how=how, again=n % 2 == 1) for n, after in enumerate(places)]

    assert sum(came) >= len(came) - 1


@pytest.mark.parametrize("finished", [False, True])
def test_a_torn_ledger(firm: Bench, *, finished: bool) -> None:
    """S6: a file of the ledger that is cut or altered is found, or it does no harm."""
    torn = Torn(firm, finished=finished)
    files = torn.files()

    found = [torn.tear(damage) for damage in damages(files, each=4 if finished else 2, seed=7)]

    assert {Path(name).suffix for name in files} >= {".sqlite3", ".witness", ".jsonl"}
    assert finished or "ledger.sqlite3-wal" in files
    assert sum(found) >= len(found) // 3


@pytest.mark.parametrize("number", [ENOLCK, ENOSYS])
@pytest.mark.parametrize("kind", ["lock", "limit"])
def test_a_file_system_without_locks(frail: Bench, number: int, kind: str) -> None:
    """S14: where a file cannot be locked nothing is sent, and the place is named."""
    work = frail.begin("lockless")

    done = frail.run(work, at=Fault("lock", kind, 1, number, ever=True))

    assert done.code in {2, 4}, done.err
    assert str(work.state / "shared") in done.summary["error"]["message"]
    assert done.summary["error"]["hint"]
    assert frail.server.requests() == 0
    assert frail.run(work).code == 3


@pytest.mark.parametrize("seconds", [3600, 86_400, 2_000_000_000])
def test_a_clock_that_leaps(frail: Bench, seconds: int) -> None:
    """P12: ids, waits and progress do not hang on the wall clock, be it a day off or in 1970."""
    work = frail.begin("leaps")

    done = frail.run(work, at=Jump(seconds))

    assert done.code == 3, done.err
    assert_accounted(work, frail.source, done.summary, frail.server)
    assert frail.server.bodies() == frail.reference
    assert set(frail.server.times().values()) == {1}
    assert frail.run(work).summary["requests"]["sent"] == 0


def test_a_full_disk(firm: Bench, tmp_path: Path) -> None:
    """S1, S2: on a disk that is really full a run stops; with room again it goes on."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=2m", "none", str(disk)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if mounted.returncode:
        pytest.skip(f"the kernel lets nobody mount here: {mounted.stderr.strip()}")
    try:
        firm.server.clear()
        environ = {
            "XDG_STATE_HOME": str(disk / "state"),
            "INGEST_REPORT_DIR": str(disk / "reports"),
        }
        work = Workdir(tmp_path, {"INGEST_API_KEY": KEY, **environ})
        codes = []
        for room in (0, 8, 40, 120, 240, 400, 600):
            _fill(disk / "ballast", leaving=room * 1024)
            codes.append(firm.run(work).code)
            (disk / "ballast").unlink()
            if codes[-1] == 3:
                break
        last = firm.run(work)

        assert codes[0] == 4
        assert set(codes) <= {3, 4}
        assert last.code == 3
        assert_accounted(work, firm.source, last.summary, firm.server)
        assert firm.server.bodies() == firm.reference
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def _fill(ballast: Path, *, leaving: int) -> None:
    facts = os.statvfs(ballast.parent)
    room = facts.f_bavail * facts.f_frsize - leaving
    with ballast.open("wb") as file:
        file.write(bytes(max(0, room)))
