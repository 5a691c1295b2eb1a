"""What a crash left over is listed as doubtful, wherever the next run stops."""

import signal

import pytest

from tests.support.workdir import (
    Done,
    Server,
    Source,
    Workdir,
    assert_accounted,
    read_reports,
    some,
    wait_for_requests,
)

ROWS = some(400, bad_every=40, note="other")


def killed(work: Workdir, server: Server) -> Source:
    """A source whose run was killed while requests were under way."""
    source = work.source(ROWS)
    server.set_faults("delay:400")
    with work.start("run", source.path, *work.to(server), "--concurrency", "4") as process:
        wait_for_requests(server, 3)
        process.send_signal(signal.SIGKILL)
        process.wait()
    server.set_faults()
    return source


def run(work: Workdir, server: Server, source: Source, *flags: str) -> Done:
    """The same command again."""
    return work.json("run", source.path, *work.to(server), *flags)


@pytest.mark.parametrize("fault", ["401", "404", "reset"])
def test_a_run_that_stops_at_once_lists_them(work: Workdir, server: Server, fault: str) -> None:
    """Before any chunk is sent again, each doubtful record has its row."""
    source = killed(work, server)
    server.set_faults(fault)

    done = run(work, server, source, "--retry-budget", "0")

    assert done.code in {2, 4, 6}
    assert done.summary["of_which"]["in_doubt"] > 0
    assert_accounted(work, source, done.summary, server)
    server.set_faults()
    assert_accounted(work, source, run(work, server, source).summary, server)


def test_what_is_judged_again_keeps_its_rows(work: Workdir, server: Server) -> None:
    """`--rejudge` after a crash: doubt, and its list, are of the ids of then."""
    source = killed(work, server)

    done = run(work, server, source, "--rejudge", "--set", "source=backfill")

    assert done.summary["of_which"]["in_doubt"] > 0
    assert_accounted(work, source, done.summary, server)


def test_the_rows_have_the_ids_that_were_sent(work: Workdir, server: Server) -> None:
    """Under a mapping that gives other ids, the list still names those that may have arrived."""
    source = killed(work, server)

    done = run(work, server, source, "--rejudge", "--map", "event_uuid=note")

    doubt = read_reports(work, done.summary["sources"][0]["reports"]).doubt
    assert doubt
    assert {row["event_uuid"] for row in doubt} <= set(source.uuids())
