"""The main job: a file in, each record checked, rejects reported, valid records delivered."""

import json
import os
import shlex
import signal
import stat
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from tests.support.workdir import (
    Row,
    Server,
    Workdir,
    assert_accounted,
    assert_codes_recounted,
    bad,
    fingerprint,
    good,
    refused_by_server,
    some,
    source_id,
    wait_for_events,
)

FREE = ("--sandbox", "--rate", "0")


@pytest.mark.parametrize("endpoint", ["bulk", "event"])
def test_each_record_meets_its_end(installed: Workdir, endpoint: str) -> None:
    """Through either endpoint, what is valid arrives, the rest is reported, and all is counted."""
    source = installed.source(some(130, bad_every=10))

    done = installed.json("run", source.path, *FREE, "--endpoint", endpoint)

    assert done.code == 3
    summary = done.summary
    assert_codes_recounted(
        summary, [assert_accounted(installed, source, summary, installed.server)]
    )
    assert summary["records"] == {
        "read": 130, "delivered": 117, "rejected": 13, "refused": 0, "unsent": 0,
    }  # fmt: skip
    assert summary["this_run"] == {"read": 130, "delivered": 117, "rejected": 13, "refused": 0}
    assert summary["destination"]["endpoint"] == endpoint
    assert summary["requests"] == {
        "sent": 4 if endpoint == "bulk" else 117,
        "retried": 0,
        "status": {"200": 4 if endpoint == "bulk" else 117},
    }
    assert installed.server.requests() == summary["requests"]["sent"]
    paths = {"bulk": "/api/v1/bulkevents", "event": "/api/v1/event"}
    assert installed.server.paths() == {paths[endpoint]}


def test_a_source_is_named_by_its_content(work: Workdir) -> None:
    """Fingerprint and source id can be recomputed from the bytes of the file alone."""
    source = work.source(some(5))

    (told,) = work.json("run", source.path, *FREE).summary["sources"]

    assert told["fingerprint"] == fingerprint(source.content)
    assert told["source_id"] == source_id(source.content)
    assert told["first_size"] == told["bytes"] == len(source.content)


def test_the_summary_file_is_what_json_prints(work: Workdir) -> None:
    """`summary.json` holds the object that `--json` prints."""
    source = work.source(some(20, bad_every=10))

    summary = work.json("run", source.path, *FREE).summary

    assert json.loads((work.root / summary["reports"]["summary"]).read_text()) == summary


def test_all_delivered_is_0(work: Workdir) -> None:
    """Exit code 0 means that every record was delivered; there are empty reports nevertheless."""
    source = work.source(some(40))

    done = work.json("run", source.path, *FREE)

    assert done.code == 0
    reports = assert_accounted(work, source, done.summary, work.server)
    assert reports.csv == reports.jsonl == reports.doubt == []


def test_rejects_ok_makes_3_a_0(work: Workdir) -> None:
    """`--rejects-ok` gives exit code 0 although records were rejected; they are reported."""
    source = work.source([good(1), bad(0), good(2)])

    done = work.json("run", source.path, *FREE, "--rejects-ok")

    assert done.code == 0
    assert_accounted(work, source, done.summary, work.server)
    assert done.summary["records"]["rejected"] == 1


@pytest.mark.parametrize("flags", [("--rejects-ok",), ()], ids=["rejects-ok", "plain"])
def test_a_second_run_does_nothing(installed: Workdir, flags: tuple[str, ...]) -> None:
    """A finished load run again sends nothing and gives the code of its counts and today's flags."""
    source = installed.source(some(100, bad_every=10))
    first = installed.json("run", source.path, *FREE)
    requests = installed.server.requests()

    again = installed.json("run", source.path, *FREE, *flags)

    assert (first.code, again.code) == (3, 0 if flags else 3)
    assert installed.server.requests() == requests
    assert again.summary["requests"]["sent"] == 0
    assert again.summary["records"] == first.summary["records"]
    assert again.summary["of_which"] == first.summary["of_which"]
    assert again.summary["codes"] == first.summary["codes"]
    assert again.summary["this_run"] == dict.fromkeys(first.summary["this_run"], 0)
    assert "already complete" in again.summary["sources"][0]["skipped"]
    assert_accounted(installed, source, again.summary, installed.server)


def test_identical_rows_are_two_events(work: Workdir) -> None:
    """I26: true repeats in a file are two events with two ids, the same again after a resume."""
    source = work.source([good(1), good(1), good(2), good(1)])

    first = work.json("run", source.path, *FREE, "--limit", "2")
    second = work.json("run", source.path, *FREE)

    assert (first.code, second.code) == (0, 0)
    assert_accounted(work, source, second.summary, work.server)
    assert len(set(source.uuids())) == 4
    assert set(work.server.times().values()) == {1}


def test_limit_takes_the_first_and_the_next_run_the_rest(work: Workdir) -> None:
    """`--limit N` works on the first N records; without it the load goes on where it ended."""
    source = work.source(some(100, bad_every=10))

    some_of_it = work.json("run", source.path, *FREE, "--limit", "33")
    more_of_it = work.json("run", source.path, *FREE, "--limit", "50")
    rest = work.json("run", source.path, *FREE)

    first, second, last = some_of_it.summary, more_of_it.summary, rest.summary
    assert (some_of_it.code, more_of_it.code, rest.code) == (3, 3, 3)
    assert [first["records"]["read"], second["records"]["read"]] == [33, 50]
    assert [one["sources"][0]["complete"] for one in (first, second, last)] == [False, False, True]
    assert last["this_run"]["read"] == 50
    assert_accounted(work, source, last, work.server)
    assert set(work.server.times().values()) == {1}


def test_as_sends_the_same_bytes_again(work: Workdir) -> None:
    """`--as NAME` makes a load of its own of the same bytes, under other ids."""
    source = work.source(some(10))
    work.json("run", source.path, *FREE)

    done = work.json("run", source.path, *FREE, "--as", "again")

    assert done.code == 0
    assert done.summary["this_run"]["delivered"] == 10
    assert_accounted(work, source, done.summary, work.server, name="again", alone=False)
    both = set(source.uuids()) | set(source.uuids(name="again"))
    assert set(work.server.times()) == both
    assert len(both) == 20


def test_several_sources_are_loads_of_their_own(work: Workdir) -> None:
    """Each source has its own counts, ids and reports; the summary adds them up."""
    one = work.source(some(40, bad_every=10), name="one.csv")
    two = work.source(some(60, bad_every=20, note="other"), name="two.csv")

    done = work.json("run", one.path, two.path, *FREE)

    assert done.code == 3
    summary = done.summary
    reports = [
        assert_accounted(work, source, summary, work.server, entry=n, alone=False)
        for n, source in enumerate((one, two))
    ]
    assert_codes_recounted(summary, reports)
    assert set(work.server.times()) == {*one.expected(), *two.expected()}
    assert summary["records"]["read"] == 100


def test_what_the_api_refuses_is_reported_with_its_words(work: Workdir, server: Server) -> None:
    """One refused event costs its neighbours nothing; the report quotes the API."""
    rows = list(some(60))
    rows[7] = refused_by_server(7)
    rows[44] = refused_by_server(44)
    source = work.source(rows)

    done = work.json("run", source.path, *work.to(server), "--identity", "page")

    assert done.code == 3
    summary = done.summary
    reports = assert_accounted(work, source, summary, server)
    assert summary["records"]["refused"] == 2
    assert summary["codes"] == {"api_refused": 2}
    assert all("can't be blank" in row["_reject_reason"] for row in reports.csv)
    assert [row["note"] for row in reports.csv] == ["nobody 7", "nobody 44"]


def test_many_refused_events_settle_by_the_end(work: Workdir, server: Server) -> None:
    """Refusals wait for the gate's window, and none is left open when the run ends."""
    rows = list(some(200))
    for number in range(30, 200, 6):
        rows[number] = refused_by_server(number)
    source = work.source(rows)

    done = work.json("run", source.path, *work.to(server), "--identity", "page")

    assert done.code == 3
    assert_accounted(work, source, done.summary, server)
    assert done.summary["records"]["refused"] == len(range(30, 200, 6))


def test_order_is_kept_with_concurrency_1(work: Workdir, server: Server) -> None:
    """`--concurrency 1` sends in the order of the file, through faults too."""
    source = work.source(some(120))
    server.set_faults("503:3-4", "reset:6-6")

    done = work.json(
        "run", source.path, *work.to(server), "--concurrency", "1", "--batch-size", "10"
    )

    assert done.code == 0
    first_seen = list(dict.fromkeys(server.order()))
    assert first_seen == source.uuids()
    assert_accounted(work, source, done.summary, server)


def test_reports_are_private(installed: Workdir) -> None:
    """X10: reports and state are 0600, their directories 0700, whatever the umask."""
    source = installed.source(some(20, bad_every=5))

    with installed.start("run", source.path, *FREE, "-q", umask=0) as process:
        process.communicate(timeout=60)

    assert process.returncode == 3
    places = [*(installed.root / "ingest-reports").rglob("*"), *installed.state.rglob("*")]
    files = {str(p): oct(stat.S_IMODE(p.stat().st_mode)) for p in places if p.is_file()}
    assert set(files.values()) == {"0o600"}, Counter(files.values())
    outer = [
        p for p in (installed.state, installed.root / "ingest-reports") for p in (p, *p.rglob("*"))
    ]
    modes = {str(p): stat.S_IMODE(p.stat().st_mode) for p in outer if p.is_dir()}
    assert all(mode & 0o022 == 0 for mode in modes.values()), modes
    assert {modes[str(installed.state)], modes[str(installed.root / "ingest-reports")]} == {0o700}


def test_check_finds_what_run_rejects(work: Workdir) -> None:
    """`check` reports the same rejects as `run`, sends nothing, and leaves no state."""
    source = work.source(some(130, bad_every=10))

    checked = work.json("check", source.path)

    assert checked.code == 3
    assert not work.state.exists()
    summary = checked.summary
    assert summary["records"] == {
        "read": 130, "delivered": 0, "rejected": 13, "refused": 0, "unsent": 117,
    }  # fmt: skip
    assert (summary["plan"]["events"], summary["plan"]["calls"]) == (117, 4)
    assert summary["requests"]["sent"] == 0
    ran = work.json("run", source.path, *FREE)
    rejects = [
        (work.root / each.summary["sources"][0]["reports"]["rejects_jsonl"]).read_text()
        for each in (checked, ran)
    ]
    named = [
        text.replace(each.summary["run_id"], "")
        for text, each in zip(rejects, (checked, ran), strict=True)
    ]
    assert named[0] == named[1]


@pytest.mark.parametrize("command", ["check", "run"])
def test_check_opens_no_socket(installed: Workdir, command: str) -> None:
    """X24: `check` makes no connection; the trap that shows it springs for `run`."""
    trap = installed.root / "trap"
    trap.mkdir()
    (trap / "sitecustomize.py").write_text(
        "import os, socket\n"
        "def refuse(self, *rest):\n"
        "    if self.family != socket.AF_UNIX:\n"
        "        os.write(2, b'a connection is made\\n')\n"
        "        os._exit(99)\n"
        "socket.socket.connect = socket.socket.connect_ex = refuse\n"
        "socket.getaddrinfo = lambda *rest, **named: refuse(socket.socket())\n"
    )
    source = installed.source(some(20))
    path = os.pathsep.join((str(trap), installed.env()["PYTHONPATH"]))

    done = installed.ingest(command, source.path, *(["--url", "http://127.0.0.1:9"] * (command == "run")),
                       env=installed.env(PYTHONPATH=path))  # fmt: skip

    assert done.code == (99 if command == "run" else 0), done.err


@pytest.mark.parametrize(
    ("content", "rows"),
    [
        pytest.param(b"event,customer_id\n", 0, id="I2-header-only"),
        pytest.param(b"event,customer_id", 0, id="I2-header-without-newline"),
        pytest.param(b"event,customer_id\na,b", 1, id="I11-no-final-newline"),
        pytest.param(b"\xef\xbb\xbfevent,customer_id\na,b\n", 1, id="I6-bom"),
        pytest.param(b"event,customer_id\r\na,b\r\n", 1, id="I10-crlf"),
    ],
)
def test_small_files(work: Workdir, content: bytes, rows: int) -> None:
    """Files with little in them are no special case."""
    path = work.root / "small.csv"
    path.write_bytes(content)

    done = work.json("run", path, *FREE)

    assert done.code == 0
    assert done.summary["records"]["delivered"] == rows
    assert done.summary["sources"][0]["complete"]
    assert work.server.requests() == rows
    assert len(work.server.times()) == rows


def test_a_wholly_invalid_file_sends_nothing(work: Workdir) -> None:
    """I28: all records rejected: no request, a complete report, exit code 3."""
    source = work.source([bad(n) for n in range(50)])

    done = work.json("run", source.path, *FREE)

    assert done.code == 3
    assert work.server.requests() == 0
    assert_accounted(work, source, done.summary, work.server)


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(b"with some spaces.csv", id="S16-spaces"),
        pytest.param(b"new\nline.csv", id="S16-newline"),
        pytest.param(b"-leading-dash.csv", id="S16-dash"),
        pytest.param(b"caf\xe9-latin1.csv", id="S16-not-utf8"),
        pytest.param("größe-日本.csv".encode(), id="S16-unicode"),
        pytest.param(b"'quotes\"and$(things).csv", id="S16-quotes"),
        pytest.param(b"n" * 251 + b".csv", id="S16-255-bytes"),
    ],
)
def test_any_file_name_will_do(work: Workdir, name: bytes) -> None:
    """S16: a source may have any name; it is resumed, reported and shown under it."""
    plain = work.source([good(1), bad(0), good(2)], name="plain.csv")
    plain.path.rename(work.root / os.fsdecode(name))

    first = work.json("run", *FREE, "--", name)
    second = work.json("run", *FREE, "--", name)
    shown = work.ingest("status")

    assert (first.code, second.code, shown.code) == (3, 3, 0), first.err + second.err + shown.err
    assert_accounted(work, plain, first.summary, work.server)
    assert second.summary["requests"]["sent"] == 0
    text = work.ingest("run", *FREE, "--", name)
    assert text.code == 3
    assert "Traceback" not in text.err


def test_status_tells_what_is_left(work: Workdir) -> None:
    """`status` shows loads and runs, of all or of one, as text and as JSON."""
    source = work.source(some(30, bad_every=10))
    first = work.json("run", source.path, *FREE, "--limit", "20").summary
    work.json("run", source.path, *FREE)

    everything = json.loads(work.ingest("status", "--json").out)
    one_run = json.loads(work.ingest("status", first["run_id"], "--json").out)
    one_source = work.ingest("status", source.path)
    unknown = work.ingest("status", "nothing-like-it")

    (load,) = everything["loads"]
    assert load["complete"]
    assert load["records"]["delivered"] == 27
    assert [run["exit_code"] for run in everything["runs"]] == [3, 3]
    assert [run["run_id"] for run in one_run["runs"]] == [first["run_id"]]
    assert "27 delivered" in one_source.out
    assert unknown.code == 2


def test_status_before_anything(work: Workdir) -> None:
    """`status` without a ledger says so and makes none."""
    done = work.ingest("status")

    assert done.code == 0
    assert "nothing" in done.out
    assert not work.state.exists()


def test_the_summary_reads_well(work: Workdir) -> None:
    """A person is told who accepted, rejected and refused how many, and where the reports are."""
    source = work.source(some(30, bad_every=10))

    done = work.ingest("run", source.path, *FREE)

    assert done.code == 3
    for words in ("30  records read", "27  accepted by the sandbox", "3  rejected by our check"):
        assert words in done.out
    assert "ingest-reports/" in done.out
    assert "event_has_period" in done.out


def test_quiet_says_nothing_on_stderr(work: Workdir) -> None:
    """`-q` leaves the result on stdout and nothing on stderr."""
    source = work.source(some(30, bad_every=10))

    done = work.ingest("run", source.path, *FREE, "-q")

    assert done.code == 3
    assert done.err == ""
    assert "records read" in done.out


def test_no_progress_where_nobody_looks(installed: Workdir) -> None:
    """P13: on a pipe there is no bar, no carriage return, no colour; the plan line is told."""
    source = installed.source(some(200))

    done = installed.ingest(
        "run", source.path, *FREE, env=installed.env(TERM="dumb", LANG="C", LC_ALL="C")
    )

    assert done.code == 0
    assert "\r" not in done.err + done.out
    assert "\x1b" not in done.err + done.out
    assert "200 events" in done.err
    assert len(done.err.splitlines()) <= 3


@pytest.mark.parametrize("flags", [(), ("--json",)], ids=["text", "json"])
def test_a_reader_that_goes_away_harms_nothing(work: Workdir, flags: tuple[str, ...]) -> None:
    """P5: with stdout closed at its other end there is no traceback, and the load is complete."""
    source = work.source(some(50, bad_every=10))
    read, write = os.pipe()
    os.close(read)

    with work.start("run", source.path, *FREE, *flags, stdout=write) as process:
        os.close(write)
        _, err = process.communicate(timeout=60)

    assert "Traceback" not in err
    assert process.returncode in {3, 141}
    again = work.json("run", source.path, *FREE)
    assert again.summary["requests"]["sent"] == 0
    assert_accounted(work, source, again.summary, work.server)


def test_head_1(work: Workdir) -> None:
    """P5: `ingest run ... | head -1` shows a line and leaves the load complete."""
    source = work.source(some(50, bad_every=10))
    command = [sys.executable, "-m", "ingest", "run", str(source.path), *FREE]

    with work.start(command=["sh", "-c", f"{shlex.join(command)} | head -1"]) as process:
        out, err = process.communicate(timeout=60)

    assert len(out.splitlines()) == 1
    assert "Traceback" not in err
    again = work.json("run", source.path, *FREE)
    assert_accounted(work, source, again.summary, work.server)


def test_closed_standard_streams(work: Workdir) -> None:
    """P13: with stdin, stdout and stderr closed the load is complete all the same."""
    source = work.source(some(50, bad_every=10))
    command = [sys.executable, "-m", "ingest", "run", str(source.path), *FREE]

    with work.start(command=["sh", "-c", f"{shlex.join(command)} <&- >&- 2>&-"]) as process:
        process.communicate(timeout=60)

    assert process.returncode == 3
    again = work.json("run", source.path, *FREE)
    assert again.summary["requests"]["sent"] == 0
    assert_accounted(work, source, again.summary, work.server)


def test_big_records_are_cut_into_bodies_that_fit(work: Workdir, server: Server) -> None:
    """No body is over 1,000,000 bytes, however long the records; one that is alone is rejected."""
    long = "x" * 140_000
    giant = Row(
        b"shop_visit,giant,2024-03-01T00:00:00Z," + b'"' + b'""' * 510_000 + b'"',
        ("event_too_large",),
    )
    source = work.source([*some(25, note=long), giant, good(99)])

    done = work.json("run", source.path, *work.to(server))

    assert done.code == 3
    assert_accounted(work, source, done.summary, server)
    assert server.statuses()[413] == 0


def test_the_sandbox_of_a_run_ends_with_it(work: Workdir) -> None:
    """The background sandbox of `--sandbox` does not outlive its run, however that ends."""
    source = work.source(some(3000))

    with work.start("run", source.path, "--sandbox", "--rate", "5") as process:
        wait_for_events(work.server, 60)
        servers = _children(process.pid)
        process.send_signal(signal.SIGKILL)
        process.communicate(timeout=20)

    assert servers, "no sandbox process was found"
    until = time.monotonic() + 10
    while any(Path(f"/proc/{pid}").exists() for pid in servers):
        assert time.monotonic() < until, "the sandbox outlives its run"
        time.sleep(0.05)


def _children(parent: int) -> list[int]:
    """The children of a process."""
    return [
        int(child)
        for task in Path(f"/proc/{parent}/task").iterdir()
        for child in (task / "children").read_text().split()
    ]
