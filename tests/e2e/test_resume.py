"""`--resume RUN`: a run whose standard input is gone goes on."""

import signal
import subprocess

import pytest

from tests.support.workdir import (
    Done,
    Server,
    Source,
    Workdir,
    assert_accounted,
    interrupt,
    some,
    wait_for_events,
)

ROWS = some(900, bad_every=30)


def begin(work: Workdir, server: Server, source: Source, number: signal.Signals) -> Done:
    """Pipe a source into a run, and end that with a signal while it sends."""
    server.set_faults("delay:60")
    with subprocess.Popen(["cat", str(source.path)], stdout=subprocess.PIPE) as cat:
        flags = ("--json", *work.to(server), "--concurrency", "1")
        with work.start("run", "-", *flags, stdin=cat.stdout) as process:
            wait_for_events(server, 60)
            done = interrupt(process, number)
    server.set_faults()
    return done


def kept(work: Workdir) -> list[str]:
    """The runs whose standard input is still there."""
    return [path.name.removeprefix("stdin-") for path in (work.state / "spool").iterdir()]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_a_stopped_run_goes_on_without_its_input(
    work: Workdir, server: Server, number: signal.Signals
) -> None:
    """By its name alone: nothing is lost, and what was kept is deleted at the end."""
    source = work.source(ROWS)
    done = begin(work, server, source, number)
    (run,) = kept(work)
    if number == signal.SIGINT:
        assert done.code == 130
        assert f"ingest run --resume {run}" in done.summary["error"]["hint"]

    again = work.json("run", "--resume", run, *work.to(server))

    assert again.code == 3
    assert_accounted(work, source, again.summary, server)
    assert kept(work) == []


def test_a_finished_run_says_so(work: Workdir, server: Server) -> None:
    """Once it is complete, the same command sends nothing and gives the recorded exit code."""
    source = work.source(ROWS)
    begin(work, server, source, signal.SIGINT)
    (run,) = kept(work)
    work.json("run", "--resume", run, *work.to(server))
    before = server.requests()

    done = work.json("run", "--resume", run, *work.to(server))

    assert (done.code, server.requests()) == (3, before)
    assert "already complete" in done.summary["sources"][0]["skipped"]


def test_input_that_is_piped_again_goes_on_too(work: Workdir, server: Server) -> None:
    """The same bytes are the same load, and are not kept twice."""
    source = work.source(ROWS)
    begin(work, server, source, signal.SIGINT)

    with source.path.open("rb") as handle:
        done = work.json("run", "-", *work.to(server), stdin=handle)

    assert_accounted(work, source, done.summary, server)
    assert kept(work) == []


def test_files_go_on_with_the_flags_of_then(work: Workdir, server: Server) -> None:
    """`--resume` is for files, too: mapping and reading need not be typed again."""
    path = work.root / "a.txt"
    path.write_text("what;who\n" + "".join(f"visit;c{n}\n" for n in range(50)))
    flags = ("--map", "event=what", "--map", "customer_id=who", "--no-timestamp", "--strict")
    first = work.json("run", path, *work.to(server), *flags, "--limit", "20")

    done = work.json("run", "--resume", first.summary["run_id"], *work.to(server))

    assert done.code == 0
    assert done.summary["records"]["delivered"] == len(server.times()) == 50


@pytest.mark.parametrize("which", ["unknown", "with-sources", "elsewhere", "../etc"])
def test_what_cannot_be_resumed_is_refused(work: Workdir, server: Server, which: str) -> None:
    """An unknown run, other sources beside it, another destination: 2, with what to type."""
    source = work.source(some(3))
    run = work.json("run", source.path, *work.to(server)).summary["run_id"]
    what = {
        "unknown": ("--resume", "20200101-000000-0000", *work.to(server)),
        "with-sources": (source.path, "--resume", run, *work.to(server)),
        "elsewhere": ("--resume", run, "--sandbox"),
        "../etc": ("--resume", "../../etc", *work.to(server)),
    }[which]

    done = work.json("run", *what)

    assert done.code == 2
    assert done.summary["error"]["hint"]


def test_input_that_cannot_be_read_is_not_kept(work: Workdir, server: Server) -> None:
    """A header that is refused leaves nothing behind."""
    path = work.root / "a.csv"
    path.write_text("a,b\n1,2\n")

    with path.open("rb") as handle:
        done = work.json("run", "-", *work.to(server), stdin=handle)

    assert done.code == 2
    assert kept(work) == []
