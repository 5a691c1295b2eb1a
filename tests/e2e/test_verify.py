"""`ingest verify`: what was accepted with 200, and what became of it."""

import json
from pathlib import Path

from tests.support.returning import read_csv
from tests.support.workdir import Server, Workdir, assert_summary_form, good, some


def errors_of(place: Path, uuids: list[str]) -> Path:
    """Error records as Blueshift exports them, in a directory of days."""
    place.mkdir(parents=True)
    lines = [
        {"event": "shop_visit", "event_uuid": uuid.upper(), "error_message": f"=failed {n % 2}"}
        for n, uuid in enumerate(uuids)
    ]
    (place / "part-0.json").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return place


def test_error_records_are_joined_to_their_lines(work: Workdir, server: Server) -> None:
    """Each failed record with its line, offset and the server's words; what is foreign is counted."""
    source = work.source(some(200, bad_every=10))
    done = work.json("run", source.path, *work.to(server))
    rejected = set(source.rejected())
    numbers = [n for n in range(1, 201) if n not in rejected][:7]
    foreign = "00000000-0000-4000-8000-000000000000"
    errors = errors_of(work.root / "errors/2026/01", [source.uuids()[n - 1] for n in numbers])
    (work.root / "errors/x").write_text(f'{{"event_uuid": "{foreign}"}}\nbroken\n{{"event": "x"}}')

    verified = work.ingest("verify", done.summary["run_id"], "--errors", "errors", "--json")

    assert verified.code == 3, verified.err
    assert_summary_form(verified)
    told = verified.summary["verified"]
    assert (told["records"], told["failed_later"]) == (180, 7)
    assert {name: value for name, value in told["errors"].items() if name != "causes"} == {
        "files": 2,
        "records": 9,
        "of_this_run": 7,
        "of_others": 1,
        "without_event_uuid": 1,
        "unreadable": 1,
    }
    assert [(each["message"], each["records"]) for each in told["errors"]["causes"]] == [
        ("=failed 0", 4),
        ("=failed 1", 3),
    ]
    rows = read_csv(work.root / verified.summary["sources"][0]["reports"]["failed_later_csv"])
    assert [int(row["record"]) for row in rows] == numbers
    for row in rows:
        number = int(row["record"])
        assert int(row["line"]) == number + 1
        assert int(row["offset"]) == source.offsets()[number - 1]
        assert row["event_uuid"] == source.uuids()[number - 1]
        assert row["end"] == "delivered"
        assert row["error_message"].startswith("'=failed")
    kept = json.loads((work.root / verified.summary["reports"]["summary"]).read_text())
    assert kept["verified"] == told
    assert kept["exit_code"] == done.code
    page = (work.root / verified.summary["reports"]["html"]).read_text()
    assert "What became of it later" in page
    assert "failed_later.csv" in page
    assert errors.exists()
    assert read_csv(work.root / done.summary["sources"][0]["reports"]["rejects_csv"])


def test_nothing_failed_is_0_and_says_what_was_compared(work: Workdir, server: Server) -> None:
    """Error records of others only: exit code 0, with the figures."""
    source = work.source(some(30))
    done = work.json("run", source.path, *work.to(server))
    errors_of(work.root / "errors", ["00000000-0000-4000-8000-000000000000"])

    verified = work.ingest("verify", done.summary["run_id"], "--errors", "errors")

    assert verified.code == 0, verified.err
    assert "0 of 30 accepted records failed later" in verified.out
    assert "1 error record in 1 file: 0 of this run, 1 of others" in verified.out


def test_history_is_a_sample_and_says_so(work: Workdir, server: Server) -> None:
    """The newest of each name are looked for; newer ones of others push ours out of the sample."""
    rows = [good(n, event="a&b=c %41".replace(" ", "_") if n % 2 else "visit") for n in range(40)]
    source = work.source(rows)
    other = work.source([good(n, event="visit", note="later") for n in range(45)], name="o.csv")
    done = work.json("run", source.path, *work.to(server))
    work.json("run", other.path, *work.to(server))

    verified = work.ingest("verify", done.summary["run_id"], "--history", "50", "--json")
    fewer = work.ingest("verify", done.summary["run_id"], "--history", "5")

    assert verified.code == 0, verified.err
    told = verified.summary["verified"]["history"]
    names = {each["event"]: (each["shown"], each["of_this_run"]) for each in told["names"]}
    assert names == {"a&b=c_%41": (20, 20), "visit": (50, 5)}
    assert told["seen"] == 25
    assert "nothing follows" in told["means"]
    assert "0 of the newest 5  visit" in fewer.out
    assert "5 of the newest 5  a&b=c_%41" in fewer.out


def test_what_cannot_be_verified_says_why(work: Workdir, server: Server) -> None:
    """Nothing to compare with, no such run, no such path, a wrong key, a source that is gone."""
    source = work.source(some(30))
    done = work.json("run", source.path, *work.to(server))
    run = done.summary["run_id"]
    (work.root / "empty").mkdir()

    bare = work.ingest("verify", run)
    nothing = work.ingest("verify", "20200101-000000-0000", "--errors", "empty")
    empty = work.ingest("verify", run, "--errors", "empty")
    keyless = Workdir(work.root, {}, work.nursery).ingest("verify", run, "--history", "5")
    errors_of(work.root / "errors", source.uuids()[:1])
    source.path.unlink()
    gone = work.ingest("verify", run, "--errors", "errors", "--json")

    assert [each.code for each in (bare, nothing, empty, keyless, gone)] == [2] * 5
    assert "--errors PATH" in bare.err
    assert "there is no run" in nothing.err
    assert "names no file" in empty.err
    assert "no API key" in keyless.err
    assert str(source.path) in gone.summary["error"]["message"]


def test_a_run_in_the_sandbox_is_verified_without_a_key(work: Workdir) -> None:
    """The sandbox's own store is asked: no flag, no key."""
    source = work.source(some(30))
    done = Workdir(work.root, {}, work.nursery).json("run", source.path, "--sandbox")

    verified = Workdir(work.root, {}, work.nursery).ingest(
        "verify", done.summary["run_id"], "--history", "50"
    )

    assert verified.code == 0, verified.err
    assert "30 of the newest 30  shop_visit" in verified.out
