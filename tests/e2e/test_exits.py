"""How a run ends early: exit codes, what is said, and that the same command goes on."""

import base64
import json
import os
import signal
import socket
import time
from dataclasses import replace
from email.utils import formatdate

import pytest

from tests.support.workdir import (
    ExternalSandbox,
    Row,
    Server,
    Workdir,
    assert_accounted,
    assert_codes_recounted,
    bad,
    good,
    interrupt,
    read_reports,
    refused_by_server,
    some,
    wait_for_events,
    wait_for_requests,
)

STORM = (
    "503:8%",
    "503:4%:stored",
    "429:4%",
    "reset:4%",
    "reset-after:4%",
    "html:2%",
    "truncate:4%",
)


def slow(server: Server) -> tuple[str, ...]:
    """The flags of a run that takes its time."""
    return ("--url", server.url, "--rate", "10", "--batch-size", "5")


def _hint(done):
    """What an error tells to do."""
    return done.summary["error"]["hint"]


# -- signals ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("number", "code"),
    [
        pytest.param(signal.SIGTERM, 143, id="P2-TERM"),
        pytest.param(signal.SIGINT, 130, id="P3-INT"),
        pytest.param(signal.SIGHUP, 129, id="P4-HUP"),
    ],
)
def test_a_signal_ends_a_run_in_order(
    work: Workdir, server: Server, number: signal.Signals, code: int
) -> None:
    """After one signal what is under way is finished, nobody is in doubt, and the rest can go on."""
    source = work.source(some(400, bad_every=10))

    with work.start("run", source.path, *slow(server), "--json") as process:
        wait_for_events(server, 25)
        done = interrupt(process, number)

    assert done.code == code
    summary = done.summary
    assert summary["status"] == "interrupted"
    assert summary["of_which"]["in_doubt"] == 0
    assert summary["records"]["delivered"] >= 25
    assert summary["records"]["unsent"] > 0
    assert_accounted(work, source, summary, server)
    rest = work.json("run", source.path, *work.to(server))
    assert rest.code == 3
    reports = assert_accounted(work, source, rest.summary, server)
    assert_codes_recounted(rest.summary, [reports])
    assert set(server.times().values()) == {1}


def test_a_second_signal_ends_a_run_at_once(work: Workdir, server: Server) -> None:
    """P3: Ctrl-C twice does not wait for answers; what was under way is in doubt and goes again."""
    source = work.source(some(200))
    server.set_faults("timeout:3-")

    with work.start("run", source.path, *work.to(server), "--json") as process:
        wait_for_requests(server, 3)
        process.send_signal(signal.SIGINT)
        time.sleep(0.3)
        done = interrupt(process, signal.SIGINT, patience_s=10)

    assert done.code == 130
    assert done.summary["of_which"]["in_doubt"] > 0
    assert_accounted(work, source, done.summary, server)
    server.set_faults()
    rest = work.json("run", source.path, *work.to(server))
    assert rest.code == 0
    assert_accounted(work, source, rest.summary, server)


def test_the_shell_shows_what_a_signal_left(work: Workdir, server: Server) -> None:
    """The person who pressed Ctrl-C reads that nothing is lost, without a traceback."""
    source = work.source(some(400))

    with work.start("run", source.path, *slow(server)) as process:
        wait_for_events(server, 10)
        done = interrupt(process, signal.SIGINT)

    assert done.code == 130
    assert "Traceback" not in done.err
    assert "run the same command again" in done.err


def test_nohup_is_heeded(work: Workdir, server: Server) -> None:
    """P4: where SIGHUP is ignored, as under nohup, the run goes on."""
    source = work.source(some(60))
    ignore = lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN)  # noqa: E731

    with work.start("run", source.path, *slow(server), "--json", preexec_fn=ignore) as process:
        wait_for_events(server, 10)
        done = interrupt(process, signal.SIGHUP)

    assert done.code == 0
    assert_accounted(work, source, done.summary, server)


def test_an_early_interrupt_leaves_no_litter(work: Workdir, server: Server) -> None:
    """P11: Ctrl-C at any moment of the start shows no traceback and leaves a usable state."""
    source = work.source(some(30))

    for delay_s in (0.05, 0.15, 0.3, 0.45, 0.6):
        with work.start("run", source.path, *work.to(server)) as process:
            time.sleep(delay_s)
            done = interrupt(process, signal.SIGINT)
        if "in _run\n" not in done.err and "Traceback" in done.err:
            continue  # Python itself was still starting
        assert done.code in {130, 0, -signal.SIGINT}, done.err
        assert "Traceback" not in done.err
    last = work.json("run", source.path, *work.to(server))

    assert last.code == 0
    assert_accounted(work, source, last.summary, server)


# -- answers of the API ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fault", "code", "status"),
    [
        pytest.param("404", 2, "refused", id="N15-404"),
        pytest.param("405", 2, "refused", id="N15-405"),
        pytest.param("302:Location=https://elsewhere.example/", 2, "refused", id="N26-302"),
        pytest.param("401", 6, "stopped", id="N14-401"),
        pytest.param("403", 6, "stopped", id="N14-403"),
    ],
)
def test_answers_that_stop_a_run(
    work: Workdir, server: Server, fault: str, code: int, status: str
) -> None:
    """An answer that speaks of address or key stops the run; nothing is settled, and it resumes."""
    source = work.source(some(100, bad_every=10))
    server.set_faults(
        f"{fault.partition(':')[0]}:1-{':' * (':' in fault)}{fault.partition(':')[2]}"
    )

    done = work.json("run", source.path, *work.to(server))

    summary = done.summary
    assert (done.code, summary["status"]) == (code, status)
    assert summary["records"]["delivered"] == summary["records"]["refused"] == 0
    assert summary["of_which"]["in_doubt"] == 0
    assert_accounted(work, source, summary, server)
    server.set_faults()
    rest = work.json("run", source.path, *work.to(server))
    assert rest.code == 3
    assert_accounted(work, source, rest.summary, server)
    assert set(server.times().values()) == {1}


def test_a_wrong_key_stops_with_6(work: Workdir) -> None:
    """N14: a key that the API refuses exits 6 and settles nothing; the right one goes on."""
    source = work.source(some(50))
    right = work.env(INGEST_API_KEY="the-right-key")
    with ExternalSandbox(work.root / "own.sqlite3", "--rate", "0", "--key", "the-right-key") as own:
        refused = work.json("run", source.path, *work.to(own))
        unsettled = len(own.times())
        done = work.json("run", source.path, *work.to(own), "--rekey", env=right)

        assert (refused.code, unsettled, done.code) == (6, 0, 0)
        assert refused.summary["error"]["code"] == "credentials_refused"
        assert refused.summary["records"]["unsent"] == 50
        assert_accounted(work, source, done.summary, own)


def test_another_key_under_the_same_account_is_refused(work: Workdir, server: Server) -> None:
    """One account has one key: another one exits 6 before anything is sent, unless `--rekey`."""
    first = work.source(some(10), name="first.csv")
    second = work.source(some(10, note="more"), name="second.csv")
    other = work.env(INGEST_API_KEY="another-key-0123")
    assert work.json("run", first.path, *work.to(server)).code == 0
    requests = server.requests()

    refused = work.json("run", second.path, *work.to(server), env=other)
    named = work.json("run", second.path, *work.to(server), "--account", "second", env=other)
    renewed = work.json("run", second.path, *work.to(server), "--rekey", env=other)

    assert (refused.code, named.code, renewed.code) == (6, 0, 0)
    assert refused.summary["error"]["code"] == "key_changed"
    assert "--rekey" in _hint(refused)
    assert "--account" in _hint(refused)
    assert refused.summary["requests"]["sent"] == 0
    assert server.requests() == requests + 2


def test_no_secret_is_shown_or_kept(work: Workdir, server: Server) -> None:
    """X3: the key is in no output, report or state, as it is or as the header carries it."""
    key = "canary-key-9f8e7d6c5b4a"
    source = work.source(some(30, bad_every=10))
    server.set_faults("503:1-1", "401:3-")
    env = work.env(INGEST_API_KEY=key)

    runs = [
        work.ingest("run", source.path, *work.to(server), "--batch-size", "5", env=env),
        work.ingest("run", source.path, *work.to(server), "--json", env=env),
        work.ingest("status", "--json", env=env),
    ]

    assert runs[0].code == 6
    seen = [text.encode() for run in runs for text in (run.out, run.err)]
    seen += [p.read_bytes() for p in work.root.rglob("*") if p.is_file() and p != source.path]
    for secret in (key.encode(), base64.b64encode(f"{key}:".encode())):
        assert not [text for text in seen if secret in text]


def test_endless_503_ends_with_4(work: Workdir, server: Server) -> None:
    """N22: an API that stays away ends the run with 4; the records are unsent, and it resumes."""
    source = work.source(some(90))
    server.set_faults("503:2-")

    done = work.json("run", source.path, *work.to(server), "--retry-budget", "2")

    assert done.code == 4
    assert done.summary["records"]["refused"] == 0
    assert done.summary["records"]["unsent"] > 0
    assert_accounted(work, source, done.summary, server)
    server.set_faults()
    rest = work.json("run", source.path, *work.to(server))
    assert rest.code == 0
    assert_accounted(work, source, rest.summary, server)


def test_nobody_there_ends_with_4(work: Workdir) -> None:
    """N1: a port where nobody listens ends the run with 4; nobody is in doubt."""
    source = work.source(some(20))
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]

    done = work.json(
        "run",
        source.path,
        "--url",
        f"http://127.0.0.1:{port}",
        "--rate",
        "0",
        "--retry-budget",
        "1",
    )

    assert done.code == 4
    assert done.summary["of_which"]["in_doubt"] == 0
    assert done.summary["records"]["unsent"] == 20


def test_a_batch_that_fails_while_others_pass_is_put_aside(work: Workdir, server: Server) -> None:
    """One request that never passes does not hold up the others; the run ends with 4, then heals."""
    source = work.source(some(300))
    server.set_faults("503:every=3")

    done = work.json("run", source.path, *work.to(server), "--retry-budget", "0")

    assert done.code == 4
    assert_accounted(work, source, done.summary, server)
    server.set_faults()
    rest = work.json("run", source.path, *work.to(server))
    assert rest.code == 0
    assert_accounted(work, source, rest.summary, server)


def test_a_429_storm_is_weathered(work: Workdir) -> None:
    """N19: an account with a lower limit than ours slows all workers down; everything arrives."""
    source = work.source(some(120))
    with ExternalSandbox(work.root / "own.sqlite3", "--rate", "4") as own:
        done = work.json("run", source.path, *work.to(own), "--batch-size", "15")

        assert done.code == 0
        assert done.summary["of_which"]["in_doubt"] == 0
        assert own.statuses()[429] >= 1
        assert_accounted(work, source, done.summary, own)
        assert set(own.times().values()) == {1}


@pytest.mark.parametrize("wanted", ["2", "date"], ids=["N20-seconds", "N20-date"])
def test_retry_after_is_honoured(work: Workdir, server: Server, wanted: str) -> None:
    """N20: after a 429 with Retry-After nobody sends before its end."""
    source = work.source(some(60))
    after = formatdate(time.time() + 4, usegmt=True) if wanted == "date" else wanted
    server.set_faults(f"429:1-1:Retry-After={after}")

    done = work.json("run", source.path, *work.to(server))

    assert done.code == 0
    assert_accounted(work, source, done.summary, server)
    first, second = (at for (at,) in server._ask(
        "SELECT arrived_unix_s FROM requests WHERE method = 'POST' AND path LIKE '/api/%'"
        " ORDER BY number LIMIT 2"
    ))  # fmt: skip
    assert second - first >= 1  # a date has whole seconds, and counts from when it was made


@pytest.mark.parametrize("endpoint", ["bulk", "event"])
@pytest.mark.parametrize("seed", [1, 2])
def test_random_faults_lose_nothing(
    work: Workdir, server: Server, endpoint: str, seed: int
) -> None:
    """N23: with three in ten requests meeting some fault, every record is accounted for."""
    source = work.source(some(400 if endpoint == "bulk" else 60, bad_every=10))
    server.set_faults(*STORM, seed=seed)
    flags = ("--endpoint", endpoint, "--batch-size", "8", "--concurrency", "16")

    done = work.json("run", source.path, *work.to(server), *flags)

    assert done.code == 3
    reports = assert_accounted(work, source, done.summary, server)
    assert_codes_recounted(done.summary, [reports])
    assert done.summary["requests"]["retried"] > 0
    assert done.summary["requests"]["sent"] == server.requests()


def test_random_faults_and_signals(work: Workdir, server: Server) -> None:
    """Faults of the network, a kill and an interrupt in one load, and nothing is lost."""
    rows = list(some(300, bad_every=10, anyone=True))
    rows[150] = refused_by_server(150)
    source = work.source(rows)
    server.set_faults(*STORM, "delay:20", seed=3)
    flags = (*work.to(server), "--batch-size", "5", "--identity", "page", "--json")

    for number in (signal.SIGKILL, signal.SIGINT):
        before = len(server.order())
        with work.start("run", source.path, *flags) as process:
            wait_for_events(server, before + 40)
            done = interrupt(process, number)
        assert done.code in {-number, 128 + number}
    rest = work.json("run", source.path, *flags[:-1])

    assert rest.code == 3
    assert_accounted(work, source, rest.summary, server)


# -- gates -----------------------------------------------------------------------------------


def test_a_first_batch_that_is_wholly_refused_settles_nothing(
    work: Workdir, server: Server
) -> None:
    """A wrong mapping is noticed after the first batch: exit 7, all unsent, `check` the mapping."""
    source = work.source([refused_by_server(n) for n in range(100)])

    done = work.json("run", source.path, *work.to(server), "--identity", "page")

    assert done.code == 7
    assert done.summary["error"]["code"] == "first_batch_refused"
    assert done.summary["records"]["unsent"] == 100
    assert done.summary["records"]["refused"] == 0
    assert "--max-rejects 100%" in _hint(done)
    assert_accounted(work, source, done.summary, server)
    lifted = work.json(
        "run", source.path, *work.to(server), "--identity", "page", "--max-rejects", "100%"
    )
    assert lifted.code == 3
    assert lifted.summary["records"]["refused"] == 100
    assert_accounted(work, source, lifted.summary, server)


def test_half_refused_stops_with_7(work: Workdir, server: Server) -> None:
    """When half of the last 300 events are refused the run stops and does not settle them."""
    rows = [good(n) if n < 60 or n % 3 == 0 else refused_by_server(n) for n in range(900)]
    source = work.source(rows)

    done = work.json("run", source.path, *work.to(server), "--identity", "page")

    assert done.code == 7
    assert done.summary["error"]["code"] == "too_many_refused"
    assert_accounted(work, source, done.summary, server)
    lifted = work.json(
        "run", source.path, *work.to(server), "--identity", "page", "--max-rejects", "100%"
    )
    assert lifted.code == 3
    assert_accounted(work, source, lifted.summary, server)


def test_max_rejects_stops_with_7(work: Workdir, server: Server) -> None:
    """I28: `--max-rejects N` stops a run when more were rejected; raised, it goes on."""
    source = work.source(some(200, bad_every=10))

    done = work.json("run", source.path, *work.to(server), "--max-rejects", "5")

    assert done.code == 7
    assert done.summary["error"]["code"] == "too_many_rejects"
    assert_accounted(work, source, done.summary, server)
    raised = work.json("run", source.path, *work.to(server), "--max-rejects", "20")
    assert raised.code == 3
    assert_accounted(work, source, raised.summary, server)


@pytest.mark.parametrize(
    ("allowed", "code"), [("11%", 3), ("9.5%", 7), ("1%", 7)], ids=["11", "9.5", "1"]
)
def test_max_rejects_in_per_cent(work: Workdir, server: Server, allowed: str, code: int) -> None:
    """`--max-rejects P%` counts the share from 1,000 records on."""
    source = work.source(some(1500, bad_every=10))

    done = work.json("run", source.path, *work.to(server), "--max-rejects", allowed)

    assert done.code == code
    assert_accounted(work, source, done.summary, server)


# -- locks -----------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["same", "copy", "link", "hardlink"])
def test_a_second_run_at_the_same_time_is_refused(work: Workdir, server: Server, how: str) -> None:
    """C1: the same source at the same time, by any path: exit 8 with the holder's pid."""
    source = work.source(some(400))
    other = work.root / "other.csv"
    match how:
        case "copy":
            other.write_bytes(source.content)
        case "link":
            other.symlink_to(source.path)
        case "hardlink":
            other.hardlink_to(source.path)
    path = source.path if how == "same" else other

    with work.start("run", source.path, *slow(server), "--json") as process:
        wait_for_events(server, 5)
        second = work.json("run", path, *slow(server))
        done = interrupt(process, signal.SIGINT)

    assert second.code == 8
    assert str(process.pid) in second.summary["error"]["message"]
    assert done.code == 130
    rest = work.json("run", source.path, *work.to(server))
    assert rest.code == 0
    assert_accounted(work, source, rest.summary, server)


def test_a_dead_run_holds_nothing(work: Workdir, server: Server) -> None:
    """C2: after SIGKILL the next run takes over at once."""
    source = work.source(some(300))
    with work.start("run", source.path, *slow(server)) as process:
        wait_for_events(server, 20)
        interrupt(process, signal.SIGKILL)

    rest = work.json("run", source.path, *work.to(server))

    assert rest.code == 0
    assert_accounted(work, source, rest.summary, server)


def test_two_sources_at_the_same_time(work: Workdir, server: Server) -> None:
    """C3: two runs of two sources to one destination share the ledger and do not disturb."""
    one = work.source(some(200, bad_every=10), name="one.csv")
    two = work.source(some(200, bad_every=8, note="other"), name="two.csv")
    flags = (*work.to(server), "--batch-size", "5", "--json")

    with (
        work.start("run", one.path, *flags) as first,
        work.start("run", two.path, *flags) as second,
    ):
        outs = [process.communicate(timeout=60)[0] for process in (first, second)]

    assert (first.returncode, second.returncode) == (3, 3), outs

    for source, out in zip((one, two), outs, strict=True):
        assert_accounted(work, source, json.loads(out), server, alone=False)
    assert set(server.times()) == {*one.expected(), *two.expected()}


def test_a_stopped_process_goes_on(work: Workdir, server: Server) -> None:
    """P6: SIGSTOP for a while and SIGCONT: no error, nothing twice without doubt."""
    source = work.source(some(100))

    with work.start("run", source.path, *slow(server), "--json") as process:
        wait_for_events(server, 10)
        process.send_signal(signal.SIGSTOP)
        time.sleep(3)
        done = interrupt(process, signal.SIGCONT)

    assert done.code == 0
    assert_accounted(work, source, done.summary, server)


# -- changed sources and settings --------------------------------------------------------------


def _begun(work: Workdir, server: Server, *, bad_every: int = 10, finish: bool = False):
    source = work.source(some(100, bad_every=bad_every))
    limit = () if finish else ("--limit", "40")
    assert work.json("run", source.path, *work.to(server), *limit).code in {0, 3}
    return source


@pytest.mark.parametrize("finished", [False, True], ids=["begun", "finished"])
def test_another_mapping_is_refused(work: Workdir, server: Server, *, finished: bool) -> None:
    """P15: another mapping for a begun load: exit 5, and the ways out are named."""
    source = _begun(work, server, finish=finished)
    requests = server.requests()

    done = work.json("run", source.path, *work.to(server), "--map", "colour=note")

    assert done.code == 5
    assert done.summary["error"]["code"] == "config_changed"
    assert "--rejudge" in _hint(done)
    assert "--as NAME" in _hint(done)
    assert server.requests() == requests


def test_rejudge_judges_what_was_not_delivered(work: Workdir, server: Server) -> None:
    """`--rejudge` under another mapping sends what that makes good, and nothing else again."""
    rows = [good(n) for n in range(30)]
    rows[7] = Row(b"shop_visit,,2024-03-01T00:00:00Z,person-7", ("identity_missing",))
    rows[9] = bad(0)
    source = work.source(rows)
    first = work.json("run", source.path, *work.to(server))
    delivered = server.times()

    done = work.json("run", source.path, *work.to(server), "--map", "email=note", "--rejudge")

    assert (first.code, done.code) == (3, 3)
    assert done.summary["records"]["rejected"] == 1
    assert done.summary["this_run"]["delivered"] == 1
    new = {uuid for uuid in server.times() if uuid not in delivered}
    assert new == {source.uuids()[7]}
    assert set(server.times().values()) == {1}
    again = work.json("run", source.path, *work.to(server), "--map", "email=note")
    assert again.code == 3
    assert again.summary["requests"]["sent"] == 0
    assert [r["_reject_record"] for r in _rejects(work, again)] == ["10"]


def _rejects(work: Workdir, done):
    return read_reports(work, done.summary["sources"][0]["reports"]).csv


def test_rejudge_of_refused_records(work: Workdir, server: Server) -> None:
    """`--rejudge` judges what the API refused again, too: with the rule in force, it is rejected."""
    rows = list(some(40))
    rows[11] = refused_by_server(11)
    source = work.source(rows)
    first = work.json("run", source.path, *work.to(server), "--identity", "page")

    done = work.json("run", source.path, *work.to(server), "--rejudge")

    assert first.summary["records"]["refused"] == 1
    assert done.code == 3
    assert done.summary["records"] == {
        "read": 40, "delivered": 39, "rejected": 1, "refused": 0, "unsent": 0,
    }  # fmt: skip
    assert set(server.times().values()) == {1}


@pytest.mark.parametrize(
    ("change", "word"),
    [
        pytest.param(lambda c: c[:50] + b"X" + c[51:], "changed", id="S8-edited"),
        pytest.param(lambda c: c[: len(c) // 2], "shorter", id="S8-truncated"),
        pytest.param(lambda c: c[:60] + c[61:], "shorter", id="S8-byte-lost"),
    ],
)
@pytest.mark.parametrize("finished", [False, True], ids=["begun", "finished"])
def test_a_changed_source_is_refused(
    work: Workdir, server: Server, change, word: str, *, finished: bool
) -> None:
    """A source that was edited or cut since it was read: exit 5, nothing sent."""
    source = _begun(work, server, finish=finished)
    requests = server.requests()
    source.path.write_bytes(change(source.content))

    done = work.json("run", source.path, *work.to(server))

    assert done.code == 5
    assert word in done.summary["error"]["message"]
    assert "--as NAME" in _hint(done)
    assert server.requests() == requests


def test_a_change_that_hides_its_time_is_found(work: Workdir, server: Server) -> None:
    """S8: same size and same modification time: the content tells."""
    source = _begun(work, server)
    facts = source.path.stat()
    changed = source.content.replace(b"note 50", b"note 99")
    assert len(changed) == len(source.content)
    source.path.write_bytes(changed)
    os.utime(source.path, ns=(facts.st_atime_ns, facts.st_mtime_ns))

    done = work.json("run", source.path, *work.to(server))

    assert done.code == 5


def test_a_renamed_source_goes_on(work: Workdir, server: Server) -> None:
    """S10: a source that was renamed is the same load, and goes on where it ended."""
    source = _begun(work, server)
    renamed = source.path.rename(work.root / "renamed.csv")

    done = work.json("run", renamed, *work.to(server))

    assert done.code == 3
    assert_accounted(work, source, done.summary, server)
    assert set(server.times().values()) == {1}


def test_a_copy_of_a_finished_source_sends_nothing(work: Workdir, server: Server) -> None:
    """The same bytes under another path: "same as PATH", nothing sent, the same code."""
    source = _begun(work, server, finish=True)
    requests = server.requests()
    copy = work.root / "copy.csv"
    copy.write_bytes(source.content)

    done = work.json("run", copy, *work.to(server))

    assert done.code == 3
    assert f"same as {source.path}" in done.summary["sources"][0]["skipped"]
    assert server.requests() == requests


def test_a_copy_of_a_begun_source_goes_on(work: Workdir, server: Server) -> None:
    """S10: a copy of a source that is not finished finishes its load."""
    source = _begun(work, server)
    copy = work.root / "copy.csv"
    copy.write_bytes(source.content)

    done = work.json("run", copy, *work.to(server))

    assert done.code == 3
    assert_accounted(work, source, done.summary, server)
    assert set(server.times().values()) == {1}


@pytest.mark.parametrize("finished", [False, True], ids=["begun", "finished"])
def test_a_grown_source_goes_on(work: Workdir, server: Server, *, finished: bool) -> None:
    """A source that has grown after a complete last record goes on under the same ids."""
    source = _begun(work, server, finish=finished)
    more = tuple(good(n) for n in range(500, 540))
    grown = replace(source, rows=(*source.rows, *more), first_size=len(source.content)).write()

    done = work.json("run", grown.path, *work.to(server))

    assert done.code == 3
    (told,) = done.summary["sources"]
    assert told["first_size"] == len(source.content)
    assert told["bytes"] == len(grown.content)
    assert_accounted(work, grown, done.summary, server)
    assert set(server.times().values()) == {1}


def test_growth_within_a_record_that_was_sent_is_refused(work: Workdir, server: Server) -> None:
    """A last line without its newline was sent; when it goes on growing, that is refused by name."""
    path = work.root / "cut.csv"
    path.write_bytes(b"event,customer_id,note\nvisit,c1,a\nvisit,c2,b")
    first = work.json("run", path, *work.to(server), "--no-timestamp")
    path.write_bytes(b"event,customer_id,note\nvisit,c1,a\nvisit,c2,bcd\nvisit,c3,e\n")

    done = work.json("run", path, *work.to(server), "--no-timestamp")

    assert first.code == 0
    assert first.summary["warnings"]["last_line_unterminated"] == 1
    assert done.code == 5
    assert str(path) in done.summary["error"]["message"]


def test_a_source_that_changes_under_the_run(work: Workdir, server: Server) -> None:
    """S9: a source that is replaced while it is sent ends the run with 5, not with success."""
    source = work.source(some(200))
    other = work.root / "new.csv"
    other.write_bytes(b"event,customer_id\n")

    with work.start("run", source.path, *slow(server), "--json") as process:
        wait_for_events(server, 10)
        other.rename(source.path)
        out, err = process.communicate(timeout=60)

    assert process.returncode == 5, out + err


def test_a_lost_ledger_is_not_begun_anew(work: Workdir, server: Server) -> None:
    """S7: a ledger that is gone while its witness remembers it: exit 5, nothing sent."""
    source = _begun(work, server)
    requests = server.requests()
    for path in work.state.glob("ledger.sqlite3*"):
        path.unlink()

    done = work.json("run", source.path, *work.to(server))

    assert done.code == 5
    assert server.requests() == requests


@pytest.mark.parametrize("cut", ["half", "empty", "flipped"])
def test_a_damaged_ledger_is_refused(work: Workdir, server: Server, cut: str) -> None:
    """S6: a ledger that was cut, emptied or altered: exit 5, nothing sent."""
    source = _begun(work, server)
    requests = server.requests()
    ledger = work.state / "ledger.sqlite3"
    content = bytearray(ledger.read_bytes())
    match cut:
        case "half":
            del content[len(content) // 2 :]
        case "empty":
            content.clear()
        case "flipped":
            at = content.find(b"shop_visit")
            content[at if at > 0 else content.find(b"sha256:") + 10] ^= 1
    ledger.write_bytes(content)

    done = work.json("run", source.path, *work.to(server))

    assert done.code == 5
    assert server.requests() == requests


def test_an_unwritable_report_directory_is_found_first(work: Workdir, server: Server) -> None:
    """S11: a place for reports that is none is refused before anything is sent."""
    source = work.source(some(10))
    (work.root / "taken").write_text("a file")

    done = work.json("run", source.path, *work.to(server), "--report-dir", "taken")

    assert done.code in {2, 4}
    assert server.requests() == 0
    assert "taken" in done.summary["error"]["message"]


def test_a_foreign_file_in_the_reports_is_left_alone(work: Workdir, server: Server) -> None:
    """S12: a report that a person has mended is not overwritten by the next run."""
    source = work.source(some(50, bad_every=10))
    first = work.json("run", source.path, *work.to(server), "--limit", "20").summary
    mended = work.root / first["sources"][0]["reports"]["rejects_csv"]
    mended.write_text("mended by hand")

    done = work.json("run", source.path, *work.to(server))

    assert done.code == 3
    assert mended.read_text() == "mended by hand"
    assert_accounted(work, source, done.summary, server)
