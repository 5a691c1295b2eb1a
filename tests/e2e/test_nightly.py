"""Sixty daily files by a job: killed twice, and again the next day."""

import gzip
import json
import time
from collections import Counter
from pathlib import Path

import pytest
import zstandard

from tests.support.workdir import Server, Workdir, source_id, uuid5, wait_for_events

ROWS = 40
JOB = """
account = "shop"

[jobs.nightly]
rejects_ok = true
skip_bad_files = true
growing = true
rate = 0

[[jobs.nightly.sources]]
paths = ["daily/*.csv", "daily/*.csv.gz"]
timestamp = "created_at"

[[jobs.nightly.sources]]
paths = ["daily/*.jsonl*"]
map = { customer_id = "user.id" }
no_timestamp = true
"""


def csv_day(day: int, rows: int = ROWS) -> bytes:
    """A day of CSV; every tenth record names nobody."""
    lines = ["event,customer_id,created_at,note"]
    for n in range(rows):
        who = "" if n % 10 == 9 else f"c{day}-{n}"
        lines.append(f"visit,{who},2026-10-{1 + day % 28:02}T00:00:{n % 60:02}Z,day {day} n {n}")
    return ("\n".join(lines) + "\n").encode()


def jsonl_day(day: int) -> bytes:
    """A day of JSON lines; every tenth names nobody."""
    rows = (
        {"event": "visit", "user": {} if n % 10 == 9 else {"id": f"j{day}-{n}"}, "day": day, "n": n}
        for n in range(ROWS)
    )
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)


def write_days(directory: Path, days: range) -> dict[str, bytes]:
    """Write files of all kinds; give their content by name, decompressed."""
    directory.mkdir(exist_ok=True)
    contents = {}
    for day in days:
        content = jsonl_day(day) if day % 3 == 0 else csv_day(day)
        name = f"{day:03}." + ("jsonl" if day % 3 == 0 else "csv")
        packed = content
        if day % 5 == 0:
            name, packed = f"{name}.gz", gzip.compress(content)
        elif day % 3 == 0 and day % 2 == 0:
            name, packed = f"{name}.zst", zstandard.compress(content)
        (directory / name).write_bytes(packed)
        contents[name] = content
    return contents


def expected_uuids(content: bytes, *, first_size: int | None = None) -> set[str]:
    """The event_uuids of the records that name somebody, by the documented rule."""
    namespace = bytes.fromhex(source_id(content[:first_size]).replace("-", ""))
    found, offset = set(), 0
    for line in content.splitlines(keepends=True):
        record = line if not line.startswith(b"event,") else b""
        named = b",," not in record and b'"user": {}' not in record
        if record and named:
            found.add(uuid5(namespace, str(offset)))
        offset += len(line)
    return found


def run_job(work: Workdir, server: Server):
    """Run the job to its end."""
    return work.json("run", "--config", "job.toml", "--job", "nightly", *work.to(server))


def kill_job(work: Workdir, server: Server, *, after: int) -> None:
    """Run the job and kill it when so many events have arrived."""
    started = work.start("run", "--config", "job.toml", "--job", "nightly", *work.to(server))
    try:
        wait_for_events(server, after)
    finally:
        started.kill()
        started.communicate()
    time.sleep(0.2)  # the server may still be at the last request that was sent


def test_sixty_daily_files_add_up_over_two_days_and_two_kills(
    installed: Workdir, server: Server, tmp_path: Path
) -> None:
    """Every count adds up per source and in total; nothing went twice that was not in doubt."""
    work, directory = installed, tmp_path / "daily"
    (tmp_path / "job.toml").write_text(JOB)
    contents = write_days(directory, range(1, 59))
    (directory / "copy.csv").write_bytes(contents["001.csv"])
    (directory / "headless.csv").write_bytes(b"kind,who\n" + csv_day(99).split(b"\n", 1)[1])

    kill_job(work, server, after=300)
    kill_job(work, server, after=900)
    first = run_job(work, server)

    told = first.summary
    assert first.code == 3, told["reason"]  # one file was left out
    assert [Path(one["path"]).name for one in told["left_out"]] == ["headless.csv"]
    expected = set().union(*map(expected_uuids, contents.values()))
    assert set(server.times()) == expected
    assert told["records"] == {
        "read": 58 * ROWS,
        "delivered": len(expected),
        "rejected": 58 * ROWS // 10,
        "refused": 0,
        "unsent": 0,
    }
    total = Counter()
    for source in told["sources"]:
        assert source["complete"], source["path"]
        total.update(source["records"])
        if Path(source["path"]).name != "copy.csv":
            assert source["records"]["read"] == ROWS
    assert total == Counter(told["records"])
    copies = [s["skipped"] for s in told["sources"] if Path(s["path"]).name == "copy.csv"]
    assert [copy[:8] for copy in copies] == ["same as "]
    assert_only_doubtful_twice(work, server, told)
    requests = server.requests()

    # The next day: two new files, and one that has grown.
    contents |= write_days(directory, range(59, 61))
    grown = next(name for name in contents if name.endswith(".csv") and name != "001.csv")
    more = b"".join(b"visit,new-%d,2026-11-01T00:00:00Z,grown\n" % n for n in range(25))
    first_size = len(contents[grown])
    (directory / grown).write_bytes(contents[grown] + more)
    second = run_job(work, server)

    new = set().union(*(expected_uuids(contents[n]) for n in contents if n[:3] in {"059", "060"}))
    new |= expected_uuids(contents[grown] + more, first_size=first_size)
    assert set(server.times()) == expected | new
    assert second.summary["this_run"]["read"] == 2 * ROWS + 25
    assert second.summary["records"]["read"] == 60 * ROWS + 25
    assert server.requests() > requests
    third = run_job(work, server)
    assert third.summary["this_run"]["read"] == 0
    assert third.summary["requests"]["sent"] == 0


def assert_only_doubtful_twice(work: Workdir, server: Server, told) -> None:
    """Whatever arrived more than once is listed as in doubt."""
    doubtful = set()
    for source in told["sources"]:
        path = source["reports"]["doubt_csv"]
        if path:
            lines = (work.root / path).read_text().splitlines()[1:]
            doubtful |= {line.split(",")[3] for line in lines}
    repeated = {uuid for uuid, times in server.times().items() if times > 1}
    assert repeated <= doubtful


@pytest.mark.parametrize("count", [200])
def test_finished_partitions_are_skipped_without_being_read(
    work: Workdir, server: Server, tmp_path: Path, count: int
) -> None:
    """A finished file costs a look at its facts: it is neither hashed nor sent again."""
    (tmp_path / "parts").mkdir()
    for day in range(count):
        (tmp_path / "parts" / f"{day}.csv").write_bytes(csv_day(day, 2))
    work.json("run", "parts", "--rate", "0", "--timestamp", "created_at", *work.to(server))
    requests = server.requests()

    again = work.json("run", "parts", "--rate", "0", "--timestamp", "created_at", *work.to(server))

    assert again.summary["records"]["delivered"] == 2 * count
    assert all("already complete" in source["skipped"] for source in again.summary["sources"])
    assert server.requests() == requests
