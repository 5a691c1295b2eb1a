"""One record's whole history, with its source and without."""

import json
import signal
from pathlib import Path
from typing import Any

import pytest

from tests.support.returning import mend_csv
from tests.support.workdir import (
    Done,
    Row,
    Server,
    Workdir,
    bad,
    good,
    interrupt,
    refused_by_server,
    some,
    wait_for_requests,
)

SEVERAL = Row(b'shop_visit,customer-x,2024-03-01T00:00:00Z,"a\nb\nc"', who="customer-x")
ROWS = (good(0), bad(0), SEVERAL, Row(b""), refused_by_server(4), *(good(n) for n in range(5, 40)))
"""Lines 2 and 3; lines 4 to 6; a blank line 7; line 8; and then good ones."""


def why(work: Workdir, *arguments: str | Path) -> dict[str, Any]:
    """Ask, and give the one history."""
    done = work.ingest("why", *arguments, "--json")
    assert done.code == 0, done.err
    (found,) = json.loads(done.out)["histories"]
    assert isinstance(found, dict)
    return found


def loaded(work: Workdir, server: Server) -> tuple[Path, Done]:
    """A load with an end of each kind."""
    source = work.source(ROWS)
    return source.path, work.json("run", source.path, "--identity", "page", *work.to(server))


@pytest.mark.parametrize(
    ("line", "record", "lines", "end"),
    [(2, 1, (2, 2), "delivered"), (3, 2, (3, 3), "rejected"), (4, 3, (4, 6), "delivered"),
     (5, 3, (4, 6), "delivered"), (6, 3, (4, 6), "delivered"), (8, 4, (8, 8), "refused")],
)  # fmt: skip
def test_any_line_of_a_record_finds_it(
    work: Workdir, server: Server, line: int, record: int, lines: tuple[int, int], end: str
) -> None:
    """A record is found by each of its physical lines, and its end told."""
    path, _ = loaded(work, server)

    told = why(work, path, "--line", str(line))

    assert (told["record"], told["line"], told["last_line"], told["end"]) == (record, *lines, end)
    assert why(work, path, "--record", str(record)) == told
    assert why(work, "--uuid", told["event_uuid"]) == told
    assert why(work, path, "--uuid", told["event_uuid"].upper()) == told


def test_the_history_tells_verdict_and_attempts(work: Workdir, server: Server) -> None:
    """Codes with hints of a reject; attempts with status, run and request id of what was sent."""
    path, done = loaded(work, server)
    run_id = done.summary["run_id"]

    rejected, refused = why(work, path, "--record", "2"), why(work, path, "--record", "4")
    delivered = why(work, path, "--record", "1")

    assert rejected["violations"][0]["code"] == bad(0).codes[0]
    assert rejected["violations"][0]["hint"]
    assert (rejected["stage"], rejected["attempts"]) == ("rules", [])
    assert [one["status"] for one in refused["attempts"]] == [400, 400]
    assert refused["attempts"][-1]["events"] == 1
    assert refused["refusal"]["code"] == "api_refused"
    assert refused["in_doubt"], "a batch that was refused may have been taken in part"
    assert [run["run_id"] for run in delivered["runs"]] == [run_id]
    last = delivered["attempts"][-1]
    assert (last["status"], last["act"], last["run_id"]) == (200, "delivered", run_id)
    assert last["request_id"]
    assert delivered["event_uuid"] in server.times()
    text = work.ingest("why", path, "--line", "8").out
    assert "refused by the API" in text
    assert "400 to 1 event" in text


def test_what_is_no_record_is_said(work: Workdir, server: Server) -> None:
    """The header, a blank line, a line or record beyond the end, an unknown id: exit 2."""
    path, _ = loaded(work, server)
    cases = {
        ("--line", "1"): "header",
        ("--line", "7"): "blank",
        ("--line", "999"): "has no line 999",
        ("--record", "999"): "has no record 999",
        ("--uuid", "none"): "event_uuid",
        (): "one of --line",
        ("--line", "2", "--record", "1"): "one of --line",
    }

    for typed, words in cases.items():
        done = work.ingest("why", path, *typed)
        assert done.code == 2, typed
        assert words in done.err, typed
    assert work.ingest("why", "--line", "2").code == 2
    assert "no load of a file" in work.ingest("why", "nobody.csv", "--line", "2").err


def test_what_was_not_read_yet_is_said(work: Workdir, server: Server) -> None:
    """A record behind the last that was read is no unknown one."""
    source = work.source(some(50))
    work.json("run", source.path, "--limit", "10", *work.to(server))

    for typed in (("--line", "40"), ("--record", "40")):
        done = work.ingest("why", source.path, *typed)
        assert done.code == 2
        assert "not read yet" in done.err
    assert "has no line 52" in work.ingest("why", source.path, "--line", "52").err


def test_without_its_source_the_ledger_tells_what_it_knows(work: Workdir, server: Server) -> None:
    """The source gone: the end and the attempts of each record, the place of rejects and refusals."""
    path, _ = loaded(work, server)
    before = {n: why(work, path, "--record", str(n)) for n in (1, 2, 4)}
    path.unlink()

    delivered, rejected, refused = (why(work, path, "--record", str(n)) for n in (1, 2, 4))

    assert delivered["line"] == before[1]["line"], "it is in doubt, so its place was kept"
    assert rejected["violations"] == before[2]["violations"]
    for told, was in ((rejected, before[2]), (refused, before[4])):
        assert {told[n] == was[n] for n in ("line", "offset", "event_uuid", "end")} == {True}
        assert any("cannot be read" in each for each in told["not_known"])
    assert why(work, path, "--line", "3")["record"] == 2
    assert why(work, "--uuid", refused["event_uuid"])["record"] == 4
    assert work.ingest("why", path, "--line", "5").code == 2


def test_a_changed_source_is_not_believed(work: Workdir, server: Server) -> None:
    """Another file at the path: its lines are not taken for those that were read."""
    path, _ = loaded(work, server)
    path.write_bytes(b"x\n" + path.read_bytes())

    told = why(work, path, "--record", "2")

    assert told["line"] == 3
    assert any("not as it was read" in each for each in told["not_known"])


def test_a_moved_source_is_known_by_its_content(work: Workdir, server: Server) -> None:
    """Under another path the same bytes give the same history."""
    path, _ = loaded(work, server)
    moved = path.rename(path.with_name("moved.csv"))

    assert why(work, moved, "--line", "4")["line"] == 4


def test_a_mended_record_remembers_what_it_was(work: Workdir, server: Server) -> None:
    """After retry: why it was rejected, which run took it back, and how it was delivered."""
    path, done = loaded(work, server)
    rejects = work.root / done.summary["sources"][0]["reports"]["rejects_csv"]
    mended = mend_csv(
        rejects,
        lambda row: row.update(event=row["event"].replace(".", "_")),
        into=work.root / "mended.csv",
    )
    back = work.json("retry", mended, *work.to(server))

    told = why(work, path, "--record", "2")

    assert (told["verdict"], told["end"]) == ("mended", "delivered")
    assert told["mended_by"] == back.summary["run_id"]
    assert told["violations"][0]["code"] == bad(0).codes[0]
    assert told["attempts"][-1]["run_id"] == back.summary["run_id"]


def test_a_killed_run_leaves_doubt(work: Workdir, server: Server) -> None:
    """What may be on its way when a run dies is told as such."""
    source = work.source(some(300))
    server.set_faults("delay:3000")
    with work.start("run", source.path, *work.to(server)) as process:
        wait_for_requests(server, 1)
        interrupt(process, signal.SIGKILL)

    told = why(work, source.path, "--record", "1")

    assert (told["in_doubt"], told["end"]) == (True, "unsent")


@pytest.mark.parametrize("form", ["csv", "jsonl"])
def test_an_id_of_key_columns_is_found(work: Workdir, server: Server, form: str) -> None:
    """With --uuid-from the history is found by the id that was sent, and repeats are listed."""
    when = "2024-03-01T00:00:00Z"
    path = work.root / f"keyed.{form}"
    names = ("event", "customer_id", "timestamp", "order")
    rows = [("v", f"c{n}", when, f"o-{n % 4}") for n in range(5)]
    lines = [",".join(row) for row in (names, *rows)]
    if form == "jsonl":
        lines = [json.dumps(dict(zip(names, row, strict=True))) for row in rows]
    path.write_text("".join(f"{line}\n" for line in lines))
    assert work.json("run", path, "--uuid-from", "order", *work.to(server)).code == 0

    found = [why(work, path, "--record", str(n)) for n in range(1, 6)]

    ids = [one["event_uuid"] for one in found]
    assert set(ids) == set(server.times())
    assert ids[0] == ids[4]
    assert why(work, "--uuid", ids[2])["record"] == 3
    audited = json.loads(work.ingest("status", "--audit", "--json").out)
    assert audited["agrees"]
    assert audited["loads"][0]["repeated"]["listed"] == [
        {"event_uuid": ids[0], "times": 2, "records": [1, 5]}
    ]
