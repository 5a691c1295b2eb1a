"""`status --audit` recounts everything, and finds what does not agree."""

import hashlib
import json
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ingest.core.ledger import Progress, bitmap
from ingest.core.load import ChunkState, Note
from ingest.edges.store import Store
from tests.support.returning import mend_csv
from tests.support.workdir import (
    Done,
    Row,
    Server,
    Source,
    Workdir,
    good,
    interrupt,
    refused_by_server,
    some,
    wait_for_events,
)

ROWS = (*some(120, bad_every=10, anyone=True), refused_by_server(1), refused_by_server(2))


def audit(work: Workdir, *arguments: str | Path) -> tuple[int, dict[str, Any]]:
    """Recount, and give the exit code and the object."""
    done = work.ingest("status", "--audit", "--json", *arguments)
    return done.code, json.loads(done.out)


def assert_agrees(work: Workdir) -> dict[str, Any]:
    """All agrees; give the first load."""
    code, body = audit(work)
    assert body["disagreements"] == []
    assert (code, body["agrees"]) == (0, True)
    first = body["loads"][0]
    assert isinstance(first, dict)
    return first


def run(work: Workdir, server: Server, source: Source | Path, *flags: str) -> Done:
    """Send a source by the wider rule of who an event is of."""
    path = source if isinstance(source, Path) else source.path
    return work.json("run", path, "--identity", "page", *work.to(server), *flags)


def test_a_finished_load_agrees(work: Workdir, server: Server) -> None:
    """Bitmaps, segments, notes, receipt, reports and source say the same, and the receipt's digest."""
    source = work.source(ROWS)
    done = run(work, server, source)

    told = assert_agrees(work)

    assert told["records"] == done.summary["records"]
    assert told["recounted"] == {"records": len(ROWS), "bytes": len(source.content)}
    assert told["source"] == "same"
    assert told["ledger_digest"] == done.summary["sources"][0]["ledger_digest"]
    assert "all agrees" in work.ingest("status", "--audit", source.path).out
    assert audit(work, done.summary["run_id"])[1]["loads"] == [told]


def test_every_way_to_go_on_agrees(work: Workdir, server: Server) -> None:
    """Limited, killed, resumed, grown, mended, and again without a change: it agrees each time."""
    source = work.source(some(300, bad_every=20))
    work.json("run", source.path, "--limit", "30", *work.to(server))
    assert_agrees(work)
    slow = ("--url", server.url, "--rate", "20", "--batch-size", "5")
    with work.start("run", source.path, *slow) as process:
        wait_for_events(server, 60)
        interrupt(process, signal.SIGKILL)
    killed = assert_agrees(work)
    assert any("cut off" in note for note in killed["notes"])
    assert killed["of_which"]["in_doubt"] > 0
    done = work.json("run", source.path, *work.to(server))
    assert_agrees(work)
    source = replace(source, rows=(*source.rows, *some(40, bad_every=7))).write()
    assert assert_agrees(work)["source"] == "grown"
    done = work.json("run", source.path, *work.to(server))
    assert assert_agrees(work)["source"] == "same"
    rejects = work.root / done.summary["sources"][0]["reports"]["rejects_csv"]
    mended = mend_csv(
        rejects,
        lambda row: row.update(event=row["event"].replace(".", "_")),
        into=work.root / "mended.csv",
    )
    assert work.json("retry", mended, *work.to(server)).code == 3
    assert_agrees(work)
    work.json("run", source.path, *work.to(server))
    assert_agrees(work)


def test_json_lines_agree_and_their_repeats_are_listed(work: Workdir, server: Server) -> None:
    """Lines are framed again, and an event_uuid that comes twice is named with its records."""
    when = "2024-03-01T00:00:00Z"
    events = [
        {"event": "v", "customer_id": f"c{n}", "timestamp": when, "event_uuid": f"u-{n % 9}"}
        for n in range(10)
    ]
    path = work.root / "events.jsonl"
    path.write_text("".join(f"{json.dumps(event)}\n" for event in events))
    run(work, server, path)

    told = assert_agrees(work)

    listed = [{"event_uuid": "u-0", "times": 2, "records": [1, 10]}]
    assert told["repeated"] == {"event_uuids": 1, "records": 2, "listed": listed}


def test_a_source_that_is_gone_is_said(work: Workdir, server: Server) -> None:
    """Without the source the rest is still compared; nothing is claimed of it."""
    source = work.source(ROWS)
    run(work, server, source)
    source.path.unlink()

    told = assert_agrees(work)

    assert (told["source"], told["recounted"]) == ("missing", None)
    assert "no file" in told["notes"][0]


# -- what does not agree ---------------------------------------------------------------------


def alter(work: Workdir, change: Callable[[ChunkState], ChunkState]) -> None:
    """Change a chunk in the ledger, with a checksum that holds."""
    with Store(work.state) as store:
        (load,) = store.loads()
        (state,) = store.chunks(load)
        store.commit(load, states=[change(state)])


def progress(**bits: Callable[[Progress], int]) -> Callable[[Workdir, Path], None]:
    """Change bitmaps of the one chunk."""

    def damage(work: Workdir, reports: Path) -> None:
        del reports
        alter(
            work,
            lambda state: replace(
                state,
                progress=replace(
                    state.progress, **{name: make(state.progress) for name, make in bits.items()}
                ),
            ),
        )

    return damage


def without_note(work: Workdir, reports: Path) -> None:
    """Forget why a record was refused."""
    del reports
    with Store(work.state) as store:
        (load,) = store.loads()
        (note, *_) = store.notes(load, "refused")
        store.commit(load, states=[], gone=[note])


def with_note(work: Workdir, reports: Path) -> None:
    """Doubt of a record that is not in doubt."""
    del reports
    with Store(work.state) as store:
        (load,) = store.loads()
        note = Note(0, 3, "doubt", {"line": 5, "offset": 9, "event_uuid": "x"})
        store.commit(load, states=[], notes=[note])


def cut_segment(work: Workdir, reports: Path) -> None:
    """Take the last reject out of its file."""
    del reports
    (path,) = (work.state / "segments").glob("*/*/0*.jsonl")
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:-1]))


def other_codes(work: Workdir, reports: Path) -> None:
    """Count a code once more."""
    del reports
    alter(
        work,
        lambda s: replace(
            s, findings=replace(s.findings, codes={**s.findings.codes, "utf8_invalid": 99})
        ),
    )


def cut_report(work: Workdir, reports: Path) -> None:
    """Delete the last row of rejects.csv."""
    del work
    path = reports / "rejects.csv"
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:-1]))


def cut_report_listed(work: Workdir, reports: Path) -> None:
    """The same, with its digest in the list of reports put right."""
    before = (reports / "rejects.csv").read_bytes()
    cut_report(work, reports)
    manifest = reports / ".ingest-report"
    body = json.loads(manifest.read_text())
    assert hashlib.sha256(before).hexdigest() in body["files"]["rejects.csv"]
    now = hashlib.sha256((reports / "rejects.csv").read_bytes()).hexdigest()
    body["files"]["rejects.csv"] = [now]
    manifest.write_text(json.dumps(body))


def other_source(work: Workdir, reports: Path) -> None:
    """One letter of the source."""
    del reports
    path = work.root / "events.csv"
    path.write_bytes(path.read_bytes().replace(b"note 7", b"nose 7", 1))


def other_receipt(work: Workdir, reports: Path) -> None:
    """Another digest in summary.json."""
    del work
    path = reports.parent / "summary.json"
    body = json.loads(path.read_text())
    body["sources"][0]["ledger_digest"] = "sha256:" + "0" * 64
    path.write_text(json.dumps(body))


def last_delivered(state: Progress) -> int:
    """One delivered record less."""
    return state.delivered & ~(1 << state.delivered.bit_length() - 1)


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        pytest.param(progress(delivered=last_delivered), "delivered", id="a-lost-delivery"),
        pytest.param(
            progress(rejected=lambda p: p.rejected & p.rejected - 1), "rejects", id="a-lost-reject"
        ),
        pytest.param(progress(doubt=lambda _: bitmap([0])), "doubt", id="doubt-without-a-note"),
        pytest.param(without_note, "without a note", id="refused-without-a-note"),
        pytest.param(with_note, "without a record", id="a-note-without-doubt"),
        pytest.param(cut_segment, "damaged", id="a-cut-segment"),
        pytest.param(other_codes, "codes", id="other-codes"),
        pytest.param(cut_report, "rejects.csv was edited", id="an-edited-report"),
        pytest.param(cut_report_listed, "rows", id="a-report-with-fewer-rows"),
        pytest.param(other_source, "source", id="another-source"),
        pytest.param(other_receipt, "summary.json", id="another-receipt"),
    ],
)
def test_what_was_altered_is_found(
    work: Workdir, server: Server, damage: Callable[[Workdir, Path], None], words: str
) -> None:
    """Each thing that says something of records is compared with the others: exit 5, named."""
    done = run(work, server, work.source(ROWS))
    reports = work.root / str(done.summary["sources"][0]["reports"]["rejects_csv"])
    damage(work, reports.parent)

    code, body = audit(work)

    assert (code, body["agrees"]) == (5, False)
    assert any(words in line for line in body["disagreements"]), body["disagreements"]
    text = work.ingest("status", "--audit")
    assert text.code == 5
    assert text.out.count("DISAGREES: ") == len(body["disagreements"])


def test_a_load_that_is_worked_on_is_not_audited(work: Workdir, server: Server) -> None:
    """What changes cannot be recounted: exit 8, with the holder."""
    source = work.source([good(n) for n in range(300)])
    slow = ("--url", server.url, "--rate", "20", "--batch-size", "5")
    with work.start("run", source.path, *slow) as process:
        wait_for_events(server, 10)
        done = work.ingest("status", "--audit")
        interrupt(process, signal.SIGKILL)

    assert done.code == 8
    assert str(process.pid) in done.err


def test_there_is_nothing_to_audit(work: Workdir) -> None:
    """Without a ledger, or of an unknown run: exit 2."""
    assert work.ingest("status", "--audit").code == 2
    assert work.ingest("status", "--audit", "nobody.csv").code == 2


def test_repeated_ids_of_a_table_are_listed(work: Workdir, server: Server) -> None:
    """Ids that rows bring are compared, those that are made never meet."""
    header = b"event,customer_id,timestamp,event_uuid"
    ids = ("a", "", "b", "a", "", "a", "b")
    rows = [Row(f"v,c{n},2024-03-01T00:00:00Z,{one}".encode()) for n, one in enumerate(ids)]
    source = Source(work.root / "ids.csv", header, tuple(rows)).write()
    run(work, server, source)

    told = assert_agrees(work)["repeated"]

    assert (told["event_uuids"], told["records"]) == (2, 5)
    assert [each["records"] for each in told["listed"]] == [[1, 4, 6], [3, 7]]
    assert "records 1, 4, 6" in work.ingest("status", "--audit").out
