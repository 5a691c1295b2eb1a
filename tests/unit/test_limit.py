"""The limit that all runs of a destination share."""

import bisect
import fcntl
import math
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from ingest.edges.limit import SharedLimit, limit_file
from ingest.errors import StoppedError, UsageError


@dataclass
class Clock:
    """A clock that moves when told."""

    now_s: float = 1000.0

    def __call__(self) -> float:
        """Monotonic seconds."""
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    """A clock that two runs share, as processes share the system's."""
    return Clock()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the limit is kept."""
    return tmp_path / "limits" / "limit-x"


Opener = Callable[[float | None], SharedLimit]


@pytest.fixture
def opened(path: Path, clock: Clock) -> "Opener":
    """Open a run's part; all are closed at the end."""

    def open_(rate: float | None) -> SharedLimit:
        return SharedLimit(path, rate=rate, clock=clock, guard_s=0.0)

    return open_


def grants(limit: SharedLimit, clock: Clock, *, seconds: float) -> list[float]:
    """When requests are granted to a run that always has one."""
    stamps, end_s = [], clock.now_s + seconds
    while clock.now_s < end_s:
        wait_s = limit.reserve()
        if wait_s:
            clock.now_s += wait_s
        else:
            stamps.append(clock.now_s)
    return stamps


def most_in_a_second(stamps: list[float]) -> int:
    """The most stamps in any sliding second, a hair left out for rounding."""
    return max(bisect.bisect_left(stamps, at + 1 - 1e-9) - n for n, at in enumerate(stamps))


def test_a_run_gets_its_whole_rate_and_no_more(opened: Opener, clock: Clock) -> None:
    """Five a second: fifty in ten seconds, five in any one."""
    with opened(5) as limit:
        stamps = grants(limit, clock, seconds=10 - 1e-6)

    assert (len(stamps), most_in_a_second(stamps)) == (50, 5)


def test_peeking_reserves_nothing(opened: Opener) -> None:
    """A look at the wait takes no one's turn."""
    with opened(5) as limit:
        looks = [limit.peek(), limit.peek()]
        taken = limit.reserve()

        assert (looks, taken, limit.peek()) == ([0.0, 0.0], 0.0, pytest.approx(0.2))


def test_two_runs_share_one_rate(opened: Opener, clock: Clock) -> None:
    """Two runs that ask in turns get five a second together."""
    with opened(5) as one, opened(5) as two:
        stamps: list[float] = []
        for _ in range(300):
            stamps += [clock.now_s for limit in (one, two) if limit.reserve() == 0]
            clock.now_s += 0.01

    assert most_in_a_second(stamps) == 5
    assert len(stamps) == 15


def test_the_lowest_rate_of_the_living_runs_holds_until_it_ends(
    opened: Opener, clock: Clock
) -> None:
    """A slow run slows the other one down for as long as it lives."""
    with opened(100) as fast:
        with opened(2) as slow:
            fast.reserve()
            clock.now_s += 10
            together = len(grants(fast, clock, seconds=9.99))
            assert slow.rate == 2
        clock.now_s += 1
        alone = len(grants(fast, clock, seconds=10))

    assert together in {20, 21}  # the slack lets one more through after a pause
    assert alone > 950


def test_a_run_without_a_limit_keeps_the_others(opened: Opener, clock: Clock) -> None:
    """No limit of its own does not lift that of another run."""
    with opened(None) as free, opened(2):
        clock.now_s += 1
        stamps = grants(free, clock, seconds=5)

    assert most_in_a_second(stamps) == 2


def test_without_any_limit_all_is_granted(opened: Opener) -> None:
    """Only runs without a limit: nobody waits."""
    with opened(None) as limit:
        assert [limit.reserve() for _ in range(100)] == [0.0] * 100
        assert limit.rate == math.inf


def test_stamps_taken_without_a_limit_count_for_a_run_that_joins(
    opened: Opener, clock: Clock
) -> None:
    """A limited run that joins a free one does not begin with a second of its own."""
    with opened(None) as free:
        for _ in range(5):
            free.reserve()
        with opened(5) as limited:
            assert limited.reserve() == 1.0


def test_a_run_that_was_killed_has_no_say(path: Path) -> None:
    """C2: the rate of a killed run goes with it."""
    script = f"""
        import time
        from pathlib import Path
        from ingest.edges.limit import SharedLimit
        limit = SharedLimit(Path({str(path)!r}), rate=0.5)
        print("ready", flush=True)
        time.sleep(60)
    """
    child = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(script)], stdout=subprocess.PIPE, text=True
    )
    with child, SharedLimit(path, rate=1000) as limit:
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
        _settle(limit)
        during = limit.rate
        child.send_signal(signal.SIGKILL)
        child.wait()
        _settle(limit)

    assert (during, limit.rate) == (0.5, 1000)
    assert [found.name for found in path.parent.iterdir()] == [path.name]


def _settle(limit: SharedLimit) -> None:
    """Ask until the living have been counted anew; the answers do not matter."""
    end_s = time.monotonic() + 0.6
    while time.monotonic() < end_s:
        limit.reserve()
        time.sleep(0.02)
    limit.reserve()


def test_processes_together_keep_the_limit_to_the_stamp(path: Path) -> None:
    """Four processes, some of them killed in the middle: no second has more than 50."""
    script = f"""
        import sys, time
        from pathlib import Path
        from ingest.edges.limit import SharedLimit
        asked = []
        def clock():
            asked[:] = [time.monotonic()]
            return asked[0]
        with SharedLimit(Path({str(path)!r}), rate=50, clock=clock) as limit:
            end_s = time.monotonic() + 2.5
            while time.monotonic() < end_s:
                wait_s = limit.reserve()
                if wait_s:
                    time.sleep(wait_s)
                else:
                    print(asked[0], flush=True)
    """
    children = [
        subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(script)], stdout=subprocess.PIPE, text=True
        )
        for _ in range(4)
    ]
    time.sleep(1.2)
    for child in children[:2]:
        child.kill()
    outputs = [child.communicate()[0] for child in children]

    stamps = sorted(float(line) for output in outputs for line in output.split())
    assert len(stamps) > 60
    assert most_in_a_second(stamps) <= 50


def test_a_429_to_one_run_holds_the_other(opened: Opener, clock: Clock) -> None:
    """N19: the hold and the cut are everyone's."""
    with opened(10) as one, opened(10) as two:
        clock.now_s += 1
        one.refused(sent_s=clock.now_s - 0.1, wait_s=2.0)
        held = two.reserve()
        clock.now_s += 1.5
        still = two.reserve()
        clock.now_s += 0.5
        stamps = grants(two, clock, seconds=5)

    assert (held, still) == (1.0, 0.5)  # never more than a second at a time
    assert two.rate == pytest.approx(7)
    assert most_in_a_second(stamps) == 7


def test_successes_give_the_rate_back(opened: Opener, clock: Clock) -> None:
    """After a cut to 70 %, successes bring the whole rate back, and then cost nothing."""
    with opened(10) as limit:
        limit.refused(sent_s=clock.now_s, wait_s=0.0)
        limit.reserve()
        cut = limit.rate
        for _ in range(200):
            limit.succeeded()
        limit.reserve()

    assert (cut, limit.rate) == (pytest.approx(7), 10)


def test_an_absurd_hold_is_cut(opened: Opener, clock: Clock) -> None:
    """Nobody is held longer than an hour."""
    with opened(5) as limit:
        limit.refused(sent_s=clock.now_s, wait_s=1e12)
        clock.now_s += 3600
        assert limit.reserve() == 0


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(lambda data: b"", id="emptied"),
        pytest.param(lambda data: data[:40], id="cut-in-the-record"),
        pytest.param(lambda data: b"\0" * len(data), id="zeroed"),
        pytest.param(lambda data: b"something else" * 9000, id="another-file"),
        pytest.param(lambda data: data[:30] + b"\xff" + data[31:], id="flipped"),
    ],
)
def test_a_damaged_file_is_made_anew_after_a_second_of_silence(
    opened: Opener, clock: Clock, path: Path, damage: Callable[[bytes], bytes]
) -> None:
    """What the stamps were is unknown: a whole second passes before the first request."""
    with opened(5) as limit:
        stamps = grants(limit, clock, seconds=3)
        path.write_bytes(damage(path.read_bytes()))
        silence_s = limit.reserve()
        clock.now_s += silence_s
        stamps += grants(limit, clock, seconds=3)

    assert silence_s == 1.0
    assert (len(stamps), most_in_a_second(stamps)) == (30, 5)


def test_a_file_that_lost_its_stamps_counts_them_as_recent(
    opened: Opener, clock: Clock, path: Path
) -> None:
    """A stamp that cannot be read is taken for the latest possible."""
    with opened(5) as limit:
        grants(limit, clock, seconds=3)
        os.truncate(path, 512)
        assert limit.reserve() == 1.0
        os.truncate(path, 512 + 80_000)
        assert limit.reserve() == 1.0


def test_every_flipped_bit_of_the_record_is_noticed(
    opened: Opener, clock: Clock, path: Path
) -> None:
    """S6: no damage to the record lets a sixth request through."""
    with opened(5) as limit:
        grants(limit, clock, seconds=2)
        whole = path.read_bytes()
        for bit in range(84 * 8):
            path.write_bytes(_flipped(whole, bit))
            assert limit.reserve() > 0, f"bit {bit}"


def _flipped(data: bytes, bit: int) -> bytes:
    changed = bytearray(data)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


def test_a_restart_of_the_machine_starts_over(opened: Opener, clock: Clock) -> None:
    """Stamps and holds that lie in the future are from before the restart."""
    with opened(5) as limit:
        limit.reserve()
        limit.refused(sent_s=clock.now_s, wait_s=3000.0)
    clock.now_s = 20.0

    with opened(5) as limit:
        assert limit.reserve() == 1.0
        clock.now_s = 21.0
        assert limit.reserve() == 0.0
        assert limit.rate == 5


def test_a_file_that_was_removed_is_made_anew_for_all(
    opened: Opener, clock: Clock, path: Path
) -> None:
    """Two runs never end up with a file, and a whole rate, each."""
    with opened(5) as one, opened(5) as two:
        grants(one, clock, seconds=2)
        for found in path.parent.iterdir():
            found.unlink()
        clock.now_s += 0.6
        first = one.reserve()
        second = two.reserve()
        clock.now_s += 1.0
        both = [one.reserve(), two.reserve()]

    assert (first, second) == (1.0, 1.0)
    assert both[0] == 0
    assert both[1] > 0


def test_a_stopped_holder_delays_and_never_blocks(path: Path) -> None:
    """P6: while another process has the file, the answer is to ask again soon."""
    with SharedLimit(path, rate=1000) as limit, path.open("rb") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        assert 0 < limit.reserve() < 0.01
        limit.succeeded()
        fcntl.flock(other, fcntl.LOCK_UN)
        assert limit.reserve() == 0


def test_files_are_this_users_alone(path: Path) -> None:
    """X10: whatever the umask."""
    old = os.umask(0)
    try:
        with SharedLimit(path, rate=5):
            modes = {found.stat().st_mode & 0o777 for found in path.parent.iterdir()}
            directory = path.parent.stat().st_mode & 0o777
    finally:
        os.umask(old)

    assert (modes, directory) == ({0o600}, 0o700)


def test_links_and_other_kinds_of_file_are_refused(path: Path, tmp_path: Path) -> None:
    """X11: neither a symbolic link, nor a hard link, nor a directory is used."""
    victim = tmp_path / "victim"
    victim.write_text("precious")
    path.parent.mkdir()
    for plant in (path.symlink_to, path.hardlink_to):
        plant(victim)
        with pytest.raises(UsageError, match="cannot be used"):
            SharedLimit(path, rate=5)
        path.unlink()
    path.mkdir()
    with pytest.raises(UsageError, match="cannot be used"):
        SharedLimit(path, rate=5)

    assert victim.read_text() == "precious"


@pytest.mark.parametrize("rate", [0, -1, math.nan, math.inf, 10_001])
def test_a_rate_that_cannot_be_shared_is_refused(path: Path, rate: float) -> None:
    """A rate is above 0 and at most 10,000 calls a second."""
    with pytest.raises(UsageError, match="rate"):
        SharedLimit(path, rate=rate)


def test_a_file_that_can_no_longer_be_used_stops_the_run(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """S3: an error of the disk stops the run, and says so."""
    with SharedLimit(path, rate=5) as limit:

        def full(*args: object) -> int:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(os, "pwrite", full)
        with pytest.raises(StoppedError, match="No space left"):
            limit.reserve()
        with pytest.raises(StoppedError, match="No space left"):
            limit.refused(sent_s=0.0, wait_s=1.0)
        monkeypatch.undo()
        assert limit.reserve() == 0


def test_a_run_file_without_a_rate_limits_nobody(opened: Opener, clock: Clock, path: Path) -> None:
    """A run that was stopped while it registered has no say yet."""
    with opened(5) as limit:
        with path.with_name(path.name + ".run-1-0").open("wb") as other:
            fcntl.flock(other, fcntl.LOCK_EX)
            clock.now_s += 1
            limit.reserve()
        assert limit.rate == 5


def test_closing_twice_is_fine(opened: Opener) -> None:
    """A run's part ends once."""
    limit = opened(5)
    limit.close()
    limit.close()


def test_each_destination_has_its_file_and_no_value_is_in_its_name(tmp_path: Path) -> None:
    """X12: origin and account choose the file by a digest."""
    paths = {
        limit_file(tmp_path, origin=origin, account=account)
        for origin in ("https://a.example", "https://b.example")
        for account in ("default", "../../etc/passwd")
    }

    assert len(paths) == 4
    assert all(path.parent == tmp_path and path.name.startswith("limit-") for path in paths)
