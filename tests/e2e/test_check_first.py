"""`--check-first`: the whole input is judged before the first event leaves."""

from pathlib import Path

from tests.support.workdir import (
    Server,
    Workdir,
    assert_accounted,
    read_reports,
    some,
)

GATE = ("--check-first", "--max-rejects", "5")


def segments(work: Workdir) -> list[str]:
    """The files of rejects, each named by its chunk and the claim under which it was judged."""
    return sorted(path.name for path in work.state.rglob("*-*.jsonl") if path.parent.name.isdigit())


def test_a_gate_that_fires_at_the_last_source_leaves_nothing_sent(
    work: Workdir, server: Server
) -> None:
    """Without `--check-first` the first source would be sent before the second is read."""
    first = work.source(some(100), name="a.csv")
    second = work.source(some(200, bad_every=10), name="b.csv")

    done = work.json("run", first.path, second.path, *work.to(server), *GATE)

    assert done.code == 7
    assert server.requests() == 0
    assert done.summary["error"]["code"] == "too_many_rejects"
    assert f"{second.path}: 20 of 200" in done.summary["error"]["message"]
    assert "a.csv" not in done.summary["error"]["message"]
    assert done.summary["records"] == {
        "read": 300,
        "delivered": 0,
        "rejected": 20,
        "refused": 0,
        "unsent": 280,
    }
    assert done.summary["this_run"]["read"] == 300
    for entry, source in enumerate((first, second)):
        assert_accounted(work, source, done.summary, server, entry=entry)


def test_the_gate_fires_again_until_it_is_raised(work: Workdir, server: Server) -> None:
    """Resumed, it counts what is recorded; raised, it sends, and judges nothing twice."""
    source = work.source(some(200, bad_every=10))
    first = work.json("run", source.path, *work.to(server), *GATE)
    judged = segments(work)

    again = work.json("run", source.path, *work.to(server), *GATE)
    requests = server.requests()
    raised = work.json("run", source.path, *work.to(server), "--check-first", "--max-rejects", "20")

    assert (first.code, again.code, requests, raised.code) == (7, 7, 0, 3)
    assert again.summary["this_run"] == dict.fromkeys(again.summary["this_run"], 0)
    assert again.summary["error"]["message"] == first.summary["error"]["message"]
    assert segments(work) == judged
    assert len(judged) == 1
    assert_accounted(work, source, raised.summary, server)
    finished = work.json("run", source.path, *work.to(server), *GATE)
    assert finished.code == 3
    assert "already complete" in finished.summary["sources"][0]["skipped"]


def test_what_passes_the_gate_is_sent_in_the_same_run(work: Workdir, server: Server) -> None:
    """The counts of the run, its plan and its reports are those of a run without it."""
    source = work.source(some(200, bad_every=10))

    done = work.json("run", source.path, *work.to(server), "--check-first")

    assert done.code == 3
    assert done.summary["this_run"] == {
        "read": 200,
        "delivered": 180,
        "rejected": 20,
        "refused": 0,
    }
    assert done.summary["plan"]["events"] == 180
    assert_accounted(work, source, done.summary, server)
    assert set(server.times().values()) == {1}


def test_standard_input_is_judged_first(installed: Workdir, server: Server) -> None:
    """A stream is kept, judged, and sent only when the gate lets it pass."""
    source = installed.source(some(200, bad_every=10))

    with source.path.open("rb") as stream:
        held = installed.json("run", "-", *installed.to(server), *GATE, stdin=stream)
    requests = server.requests()
    with source.path.open("rb") as stream:
        sent = installed.json("run", "-", *installed.to(server), "--check-first", stdin=stream)

    assert (held.code, requests, sent.code) == (7, 0, 3)
    assert_accounted(installed, source, sent.summary, server)


def test_a_source_that_came_twice_counts_once(work: Workdir, server: Server) -> None:
    """The same bytes under two paths are one load, judged once."""
    source = work.source(some(200, bad_every=10))
    copy = work.root / "copy.csv"
    copy.write_bytes(source.content)

    done = work.json("run", source.path, copy, *work.to(server), "--check-first")

    assert done.code == 3
    assert done.summary["records"]["read"] == 200
    assert server.count() == 180


def test_judged_again_and_first(work: Workdir, server: Server) -> None:
    """With `--rejudge` the new verdicts stand before anything is sent."""
    source = work.source(some(200, bad_every=10))
    held = work.json("run", source.path, *work.to(server), *GATE)

    done = work.json(
        "run",
        source.path,
        *work.to(server),
        *("--check-first", "--max-rejects", "20", "--rejudge", "--drop", "note"),
    )

    assert (held.code, done.code) == (7, 3)
    assert done.summary["records"]["delivered"] == 180
    assert all("note" not in body for body in server.bodies().values())


def test_a_job_says_it_in_its_file(work: Workdir, server: Server) -> None:
    """`check_first = true` in the configuration is the flag."""
    source = work.source(some(200, bad_every=10))
    Path(work.root / "job.toml").write_text(
        f'check_first = true\nmax_rejects = 5\n[jobs.shop]\nsources = ["{source.path}"]\n'
    )

    done = work.json("run", "--config", "job.toml", "--job", "shop", *work.to(server))

    assert done.code == 7
    assert server.requests() == 0


def test_a_changed_source_is_found_before_the_first_send(work: Workdir, server: Server) -> None:
    """The last source was changed since an earlier run: nothing of the others is sent either."""
    first = work.source(some(100), name="a.csv")
    second = work.source(some(50), name="b.csv")
    work.json("run", second.path, *work.to(server))
    sent = server.count()
    second.path.write_bytes(second.content.replace(b"note 3", b"note 4"))

    done = work.json("run", first.path, second.path, *work.to(server), "--check-first")

    assert done.code == 5
    assert server.count() == sent
    assert read_reports(work, done.summary["sources"][0]["reports"]).csv == []
