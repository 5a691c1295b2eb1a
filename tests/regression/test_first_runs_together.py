"""Two first runs at the same moment each made a witness, and one found the other's ledger."""

import multiprocessing
from pathlib import Path
from typing import Any

from ingest.edges.store import Store

TOGETHER, TIMES = 3, 8


def _open(directory: str, barrier: Any, answers: Any) -> None:
    barrier.wait()
    try:
        with Store(Path(directory)) as store:
            answers.put(store.commits)
    except Exception as error:  # noqa: BLE001 - whatever it is, it is the answer
        answers.put(repr(error))


def test_a_ledger_is_made_once(tmp_path: Path) -> None:
    """However many make it at once, they have one ledger and one witness."""
    context = multiprocessing.get_context("spawn")
    for number in range(TIMES):
        barrier, answers = context.Barrier(TOGETHER), context.Queue()
        place = str(tmp_path / f"{number}" / "state")
        processes = [
            context.Process(target=_open, args=(place, barrier, answers)) for _ in range(TOGETHER)
        ]
        for process in processes:
            process.start()
        found = [answers.get(timeout=60) for _ in processes]
        for process in processes:
            process.join()
        assert found == [0] * TOGETHER
