"""A ledger that was lost is begun anew from the receipt of the last run."""

import json
import shutil
import signal
from dataclasses import replace
from pathlib import Path

import pytest

from tests.support.returning import mend_csv
from tests.support.workdir import (
    Done,
    Server,
    Source,
    Workdir,
    assert_accounted,
    good,
    interrupt,
    refused_by_server,
    some,
    wait_for_events,
)

ROWS = some(120, bad_every=10)


def lose(work: Workdir) -> None:
    """The ledger is gone; its witness and segments are not."""
    for path in work.state.glob("ledger.sqlite3*"):
        path.unlink()


def receipt(work: Workdir, done: Done) -> Path:
    """The summary of a run, where nobody replaces it."""
    kept = work.root / "receipt.json"
    return Path(shutil.copy(work.root / done.summary["reports"]["summary"], kept))


def adopt(work: Workdir, server: Server, source: Source, kept: Path, *flags: str) -> Done:
    """Run with a receipt."""
    return work.json("run", source.path, "--adopt", kept, *work.to(server), *flags)


def test_a_complete_receipt_leaves_nothing_to_send(work: Workdir, server: Server) -> None:
    """S7: the ledger lost after all was done: the same counts and ids, and no event goes again."""
    source = work.source(ROWS)
    first = work.json("run", source.path, *work.to(server))
    lose(work)
    refused = work.json("run", source.path, *work.to(server))
    assert refused.code == 5
    assert "--adopt" in refused.summary["error"]["hint"]
    requests = server.requests()

    done = adopt(work, server, source, receipt(work, first))

    assert done.code == 3, done.err
    assert server.requests() == requests
    assert done.summary["records"] == first.summary["records"]
    for name in ("source_id", "first_size", "fingerprint", "of_which", "complete"):
        assert done.summary["sources"][0][name] == first.summary["sources"][0][name]
    assert_accounted(work, source, done.summary, server)
    assert work.ingest("status", "--audit").code == 0
    assert work.json("run", source.path, *work.to(server)).summary["requests"]["sent"] == 0
    assert (work.state / "lost-1" / "ledger.witness").exists()


def test_after_a_stop_all_that_passes_is_in_doubt(work: Workdir, server: Server) -> None:
    """Of a load that was not done no record's end is known: the same ids again, all in doubt."""
    source = work.source(ROWS)
    slow = ("--url", server.url, "--rate", "20", "--batch-size", "5", "--json")
    with work.start("run", source.path, *slow) as process:
        wait_for_events(server, 20)
        stopped = interrupt(process, signal.SIGINT)
    assert stopped.code == 130
    lose(work)

    done = adopt(work, server, source, receipt(work, stopped))

    passing = len(source.expected())
    assert done.code == 3, done.err
    assert done.summary["of_which"]["in_doubt"] == passing
    assert done.summary["records"]["delivered"] == passing
    assert max(server.times().values()) == 2
    assert_accounted(work, source, done.summary, server)
    assert work.ingest("status", "--audit").code == 0


def test_what_is_in_doubt_can_be_held(work: Workdir, server: Server) -> None:
    """With --on-doubt hold nothing that may have arrived goes again."""
    source = work.source(ROWS)
    part = work.json("run", source.path, "--limit", "60", *work.to(server))
    lose(work)
    count = server.count()

    done = adopt(work, server, source, receipt(work, part), "--on-doubt", "hold")

    assert done.code == 3
    assert server.count() == count
    assert done.summary["of_which"]["held"] == len(source.expected())


def test_refusals_make_it_undecidable(work: Workdir, server: Server) -> None:
    """A receipt does not name who was refused: all that passes goes again, and is refused again."""
    source = work.source([good(0), refused_by_server(1), *(good(n) for n in range(2, 30))])
    page = ("--identity", "page")
    first = work.json("run", source.path, *page, *work.to(server))
    lose(work)

    done = adopt(work, server, source, receipt(work, first), *page)

    assert done.summary["records"] == first.summary["records"]
    assert done.summary["of_which"]["in_doubt"] == 30


def test_a_grown_source_keeps_its_ids(work: Workdir, server: Server) -> None:
    """The ids hang on the first bytes that were seen, which only the receipt knows."""
    source = work.source(ROWS)
    first_size = len(source.content)
    work.json("run", source.path, *work.to(server))
    source = replace(source, rows=(*ROWS, *some(30)), first_size=first_size).write()
    grown = work.json("run", source.path, *work.to(server))
    source = replace(source, rows=(*source.rows, *some(20))).write()
    lose(work)
    before = set(server.times())

    done = adopt(work, server, source, receipt(work, grown))

    assert done.summary["sources"][0]["first_size"] == first_size
    assert set(server.times()) == set(source.expected())
    assert {server.times()[uuid] for uuid in before} == {1}, "what is proven went again"
    assert done.summary["of_which"]["in_doubt"] == 20, "a later run may have sent them"
    assert_accounted(work, source, done.summary, server)


def test_a_load_of_its_own_name_keeps_its_ids(work: Workdir, server: Server) -> None:
    """The receipt of --as NAME is adopted under that name only."""
    source = work.source(some(20))
    first = work.json("run", source.path, "--as", "again", *work.to(server))
    lose(work)
    kept = receipt(work, first)

    assert adopt(work, server, source, kept).code == 5
    done = adopt(work, server, source, kept, "--as", "again")

    assert (done.code, done.summary["requests"]["sent"]) == (0, 0)
    assert set(server.times()) == set(source.uuids(name="again"))


def test_a_known_source_needs_no_receipt(work: Workdir, server: Server) -> None:
    """Run again with --adopt, the load goes on from its ledger: the command can be repeated."""
    source = work.source(ROWS)
    first = work.json("run", source.path, "--limit", "50", *work.to(server))
    kept = receipt(work, first)

    done = adopt(work, server, source, kept)

    assert done.code == 3
    assert done.summary["of_which"]["in_doubt"] == 0
    assert_accounted(work, source, done.summary, server)


def test_a_kill_while_adopting_leaves_nothing_half(work: Workdir, server: Server) -> None:
    """The load is recorded at once or not at all, so the same command goes on."""
    source = work.source(some(30_000, note="x" * 300))
    part = work.json("run", source.path, "--limit", "30", *work.to(server))
    lose(work)
    kept = receipt(work, part)
    limited = ("--url", server.url, "--rate", "1")
    with work.start("run", source.path, "--adopt", kept, *limited) as process:
        while not (work.state / "ledger.sqlite3").exists():
            assert process.poll() is None
        interrupt(process, signal.SIGKILL)

    done = adopt(work, server, source, kept, "--on-doubt", "hold")

    assert done.summary["of_which"]["held"] == 30_000


# -- what does not belong together -----------------------------------------------------------


def test_another_file_is_refused(work: Workdir, server: Server) -> None:
    """A file that does not begin with the bytes of the receipt: exit 5, nothing sent."""
    source = work.source(ROWS)
    kept = receipt(work, work.json("run", source.path, *work.to(server)))
    lose(work)
    requests = server.requests()
    whole = source.path.read_bytes()

    for content in (whole.replace(b"note 7", b"nose 7", 1), whole[: len(whole) // 2]):
        source.path.write_bytes(content)
        done = adopt(work, server, source, kept)
        assert done.code == 5
        assert done.summary["error"]["code"] == "receipt_of_another_file"

    source.path.write_bytes(whole)
    done = adopt(work, server, source, kept, "--set", "extra=1")
    assert (done.code, done.summary["error"]["code"]) == (5, "config_changed")
    assert server.requests() == requests


@pytest.mark.parametrize(
    ("change", "code", "words"),
    [
        ({"format": 2}, 2, "format"),
        ({"sources": None}, 2, "not a summary"),
        ({"destination": {"origin": "https://x", "account": "default"}}, 2, "https://x"),
    ],
)  # fmt: skip
def test_what_is_no_receipt_is_refused(
    work: Workdir, server: Server, change: dict[str, object], code: int, words: str
) -> None:
    """Another format, another destination, another file altogether: exit 2, nothing set aside."""
    source = work.source(ROWS)
    kept = receipt(work, work.json("run", source.path, *work.to(server)))
    lose(work)
    kept.write_text(json.dumps(json.loads(kept.read_text()) | change))

    done = adopt(work, server, source, kept)

    assert (done.code, done.summary["error"]["code"]) == (code, "receipt_unusable")
    assert words in done.summary["error"]["message"]
    assert (work.state / "ledger.witness").exists()


def test_a_file_that_is_not_there_or_no_json_is_refused(work: Workdir, server: Server) -> None:
    """Exit 2, with what to give."""
    source = work.source(some(3))
    (work.root / "no.json").write_text("{")

    for name in ("nobody.json", "no.json"):
        assert adopt(work, server, source, Path(name)).code == 2


def test_other_counts_are_refused(work: Workdir, server: Server) -> None:
    """A receipt of after a retry counts fewer rejects than are judged: exit 5, nothing recorded."""
    source = work.source(ROWS)
    first = work.json("run", source.path, *work.to(server))
    kept = receipt(work, first)
    rejects = work.root / first.summary["sources"][0]["reports"]["rejects_csv"]
    mended = mend_csv(
        rejects,
        lambda row: row.update(event=row["event"].replace(".", "_")),
        into=work.root / "mended.csv",
    )
    back = work.json("retry", mended, *work.to(server))
    later = work.root / back.summary["reports"]["summary"]
    lose(work)

    refused = adopt(work, server, source, later)

    assert (refused.code, refused.summary["error"]["code"]) == (5, "receipt_counts_differ")
    assert adopt(work, server, source, kept).code == 3


def test_the_receipt_of_a_check_is_refused(work: Workdir, server: Server) -> None:
    """A check delivers nothing, so nothing of it can be adopted."""
    source = work.source(some(5))
    checked = work.json("check", source.path, "--url", server.url)

    done = adopt(work, server, source, work.root / checked.summary["reports"]["summary"])

    assert done.code == 2
    assert "check" in done.summary["error"]["message"]
