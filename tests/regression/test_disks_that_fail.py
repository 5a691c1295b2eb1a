"""What the sweeps of failing calls and power cuts found, each with the call that showed it."""

from collections.abc import Iterator
from errno import EACCES, EIO, ENOSPC

import pytest

from tests.support.crashing import Bench, bench
from tests.support.cutting import changes_of, cut
from tests.support.failing import fail
from tests.support.frail import Fault, build, frail_nursery


@pytest.fixture(scope="module")
def frail(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    """A bench whose runs stand on a disk that can fail."""
    root = tmp_path_factory.mktemp("frail")
    with bench(root, nursery=frail_nursery(build(root))) as made:
        yield made


@pytest.mark.parametrize(
    "fault",
    [
        Fault("create", "lock", 2, ENOSPC, ever=True),
        Fault("write", "lock", 2, ENOSPC),
        Fault("unlink", "lock", 1, EACCES, ever=True),
        Fault("unlink", "lock", 4, EIO, ever=True),
        Fault("create", "lock", 1, ENOSPC),
        Fault("open", "attempts", 1, EACCES),
        Fault("read", "attempts", 1, EIO, ever=True),
    ],
    ids=str,
)
def test_a_full_disk_is_no_bug(frail: Bench, fault: Fault) -> None:
    """Notes of locks and the log of attempts: what cannot be written stops a run, with a hint."""
    assert fail(frail, fault, name="fails")


def test_directories_outlast_a_power_cut(frail: Bench) -> None:
    """A ledger, a segment and reports are not gone with the name of their directory."""
    count = changes_of(frail)

    for after in (count // 3, count // 2, 2 * count // 3, count):
        cut(frail, after, how="nothing")
