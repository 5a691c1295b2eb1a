"""One run on a disk that fails, and the run after it on one that does not."""

import shutil

from tests.support.crashing import Bench
from tests.support.frail import Fault, traced
from tests.support.workdir import (
    Done,
    assert_accounted,
    assert_codes_recounted,
    assert_summary_form,
)

STOPPED = {2, 4}
"""What a disk that fails may end a run with; 3 where it did not matter."""


def calls_of(bench: Bench, *, name: str = "traced") -> list[tuple[str, str, int]]:
    """All calls of a run that can fail, in their order."""
    work = bench.begin(name)
    log = bench.root / "calls.txt"
    log.unlink(missing_ok=True)
    assert bench.run(work, log=log).code == 3
    return traced(log)


def fail(bench: Bench, fault: Fault, *, name: str) -> bool:
    """Run with a failing call, then without; give whether the call was reached.

    Raises:
        AssertionError: The failure was a bug to the program, or a record was lost, repeated
            without doubt, or counted wrong.
    """
    work = bench.begin(name)
    log = work.root / ".failed.txt"
    done = bench.run(work, at=fault, log=log)
    damaged = {5} if fault.call == "read" else set()  # SQLite takes EIO for a damaged file
    assert done.code in {3} | STOPPED | damaged, f"exit code {done.code}: {done.err[-1500:]}"
    assert "Traceback" not in done.err, done.err[-1500:]
    _assert_told(done)
    if done.code == 3:
        assert_accounted(work, bench.source, done.summary, bench.server)
    reached = "failed" in log.read_text()
    last = bench.run(work)
    assert last.code == 3, f"then {last.code}: {last.summary['error']} {last.err[-1500:]}"
    reports = assert_accounted(work, bench.source, last.summary, bench.server)
    assert_codes_recounted(last.summary, [reports])
    assert last.summary["sources"][0]["complete"]
    assert bench.server.bodies() == bench.reference
    shutil.rmtree(work.root)
    return reached


def _assert_told(done: Done) -> None:
    """A run that stopped says why, and what to do."""
    assert_summary_form(done)
    if done.code != 3:
        error = done.summary["error"]
        assert error["message"], error
        assert error["hint"], error
