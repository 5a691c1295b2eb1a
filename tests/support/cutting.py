"""One power cut: a run that dies, the disk without what was not synced, and the run after it."""

import random
import shutil

from tests.support.crashing import KILLED, Bench
from tests.support.frail import Cut
from tests.support.power import Chance, Disk, changes
from tests.support.workdir import assert_accounted, assert_codes_recounted

_NEVER = 1 << 40
_FLEETING = ("-shm", ".out.txt", ".err.txt")
"""What nobody looks for after a power cut."""


def changes_of(bench: Bench) -> int:
    """How many changes a run makes to the disk."""
    work = bench.begin("counted")
    journal = bench.root / "journal.bin"
    journal.unlink(missing_ok=True)
    assert bench.run(work, at=Cut(_NEVER, journal)).code == 3
    return sum(1 for _ in changes(journal))


def cut(bench: Bench, after: int, *, how: str, again: bool = False) -> bool:
    """Cut the power after some changes, perhaps again while it resumes; hold the law at the end.

    Returns:
        Whether the run came that far.

    Raises:
        AssertionError: A record was lost, repeated without doubt, or counted wrong.
    """
    work = bench.begin(f"cut-{after}")
    journal = bench.root / "journal.bin"
    seed = after
    came = []
    for moment in (after, *([random.Random(after).randrange(2, after + 2)] if again else [])):
        disk = Disk(work.root)
        journal.unlink(missing_ok=True)
        done = bench.run(work, at=Cut(moment, journal))
        assert done.code in {KILLED, 3}, f"{done.code}: {done.err[-1500:]}"
        for change in changes(journal):
            if not change.path.name.endswith(_FLEETING):
                disk.apply(change)
        disk.cut(Chance(how, seed=seed))
        came.append(done.code == KILLED)
        seed += 1
    last = bench.run(work)
    assert last.code == 3, f"then {last.code}: {last.summary['error']} {last.err[-1500:]}"
    reports = assert_accounted(work, bench.source, last.summary, bench.server)
    assert_codes_recounted(last.summary, [reports])
    assert last.summary["sources"][0]["complete"]
    assert bench.server.bodies() == bench.reference
    shutil.rmtree(work.root)
    return came[0]
