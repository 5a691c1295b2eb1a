"""The loop closes: rejects are mended, come back, and the counts add up."""

import json
import signal
from dataclasses import replace
from pathlib import Path

import openpyxl
import pytest

from ingest.edges.store import Store
from tests.support.returning import (
    AS_TEXT,
    GUESSED,
    SEMICOLONS,
    answers,
    mend_csv,
    mend_jsonl,
    mend_xlsx,
    office,
    read_csv,
    rejects,
    write_csv,
)
from tests.support.workdir import (
    Done,
    Row,
    Server,
    Source,
    Workdir,
    assert_codes_recounted,
    assert_summary_form,
    good,
    read_reports,
    refused_by_server,
    some,
    source_id,
    uuid5,
    wait_for_requests,
)

ROWS = some(130, bad_every=10)
WHEN = "2024-03-01T00:00:00Z"


def run(work: Workdir, server: Server, source: Source, *flags: str) -> Done:
    """Send a source."""
    return work.json("run", source.path, *work.to(server), *flags)


def retry(work: Workdir, server: Server, *arguments: str | Path) -> Done:
    """Give rejects back."""
    return work.json("retry", *arguments, *work.to(server))


def mend(row: dict[str, str]) -> None:
    """Mend each kind of reject that `some` makes."""
    record = int(row["_reject_record"])
    who = f"customer-{record:05d}"
    code = row["_reject_codes"]
    if code == "event_has_period":
        row["event"] = row["event"].replace(".", "_")
    elif code == "identity_missing":
        row["customer_id"] = who
    else:
        row["_reject_raw"] = f"shop_visit,{who},{WHEN},mended {record}"


def change(row: dict[str, str], codes: str, **cells: str) -> None:
    """Change a row if it has these codes."""
    if row["_reject_codes"] == codes:
        row.update(cells)


def assert_all_there(source: Source, server: Server, done: Done) -> None:
    """Every record was delivered, each once, under the id of its place."""
    counts = done.summary["records"]
    assert counts == {
        "read": len(source.rows), "delivered": len(source.rows),
        "rejected": 0, "refused": 0, "unsent": 0,
    }  # fmt: skip
    assert server.times() == dict.fromkeys(source.uuids(), 1)


def assert_recounted(work: Workdir, done: Done) -> None:
    """Reports, codes and counts of a retry agree."""
    told = done.summary["sources"][0]
    reports = read_reports(work, told["reports"])
    assert len(reports.csv) == told["records"]["rejected"] + told["records"]["refused"]
    assert_codes_recounted(done.summary, [reports])
    outcomes = done.summary["retry"]["outcomes"]
    assert sum(outcomes.values()) == done.summary["retry"]["rows"] == len(answers(work, done))


# -- the loop --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "mended"),
    [
        pytest.param("rejects_csv", mend_csv, id="csv"),
        pytest.param("rejects_xlsx", mend_xlsx, id="xlsx"),
        pytest.param("rejects_jsonl", mend_jsonl, id="jsonl"),
    ],
)
def test_all_that_is_mended_is_delivered(work, server, kind, mended):
    """Each kind of reject, mended in each kind of report, arrives under the id of its place."""
    source = work.source(ROWS)
    first = run(work, server, source)
    report = rejects(work, first, kind)
    file = mended(report, mend, into=work.root / f"mended{report.suffix}")

    done = retry(work, server, file)

    assert done.code == 0, done.err
    assert_all_there(source, server, done)
    assert_recounted(work, done)
    assert done.summary["this_run"] == {"read": 0, "delivered": 13, "rejected": -13, "refused": 0}
    bodies = server.bodies()
    uuids = source.uuids()
    assert bodies[uuids[5]] == {
        "event": "shop_visit", "customer_id": "customer-00000", "timestamp": WHEN, "note": "x",
        "event_uuid": uuids[5],
    }  # fmt: skip
    assert bodies[uuids[15]]["note"] == "mended 16"
    again = run(work, server, source)
    assert (again.code, again.summary["requests"]["sent"]) == (0, 0)
    assert again.summary["records"] == done.summary["records"]


def test_rows_may_be_sorted_and_deleted_and_columns_too(work, server):
    """Half of the rows, turned round, with two columns and semicolons, is half of the loop."""
    source = work.source(ROWS)
    rows = read_csv(rejects(work, run(work, server, source)))
    wanted = [
        row for row in rows if row["_reject_codes"] in {"event_has_period", "identity_missing"}
    ]
    for row in wanted:
        mend(row)
    names = ("_reject_id", "customer_id", "event")
    kept = [{name: row[name] for name in names} for row in reversed(wanted)]

    done = retry(work, server, write_csv(work.root / "some.csv", kept, separator=";"))

    assert done.code == 3
    assert done.summary["records"]["delivered"] == 117 + len(wanted)
    assert_recounted(work, done)
    assert {
        server.bodies()[source.uuids()[int(row["_reject_record"]) - 1]]["note"] for row in wanted
    } == {"x"}


def test_what_was_not_mended_is_named_and_not_sent(work, server):
    """The report as it was comes to nothing: no request, and each row is told to be unchanged."""
    source = work.source(ROWS)
    first = run(work, server, source)
    before = server.requests()

    done = retry(work, server, rejects(work, first))

    assert (done.code, server.requests()) == (3, before)
    assert done.summary["retry"]["outcomes"] == {"unchanged": 13}
    assert done.summary["retry"]["row_numbers"]["unchanged"] == list(range(2, 15))
    assert done.summary["records"] == first.summary["records"]
    assert_recounted(work, done)


def test_what_was_delivered_is_not_sent_again(work, server):
    """The same mended file a second time: every row was delivered before."""
    source = work.source(ROWS)
    report = rejects(work, run(work, server, source))
    file = mend_csv(report, mend, into=work.root / "mended.csv")
    retry(work, server, file)
    before = server.requests()

    done = retry(work, server, file)

    assert (done.code, server.requests()) == (0, before)
    assert done.summary["retry"]["outcomes"] == {"already_delivered": 13}
    assert_all_there(source, server, done)


def test_what_is_still_wrong_stays_rejected_for_its_new_reason(work, server):
    """A mend that breaks another rule, or no rule less, is told with the codes that it has."""
    source = work.source(
        [good(1), Row(b"shop.visit,c1,2024-03-01T00:00:00Z,x"), Row(b"shop_visit,c2")]
    )
    report = rejects(work, run(work, server, source))

    def half(row: dict[str, str]) -> None:
        change(row, "event_has_period", event="1e5")
        change(row, "row_too_few_fields", _reject_raw='shop_visit,"c2')

    done = retry(work, server, mend_csv(report, half, into=work.root / "half.csv"))

    assert done.code == 3
    assert [(row["outcome"], row["detail"].split(":")[0]) for row in answers(work, done)] == [
        ("still_rejected", "event_numeric"),
        ("still_rejected", "quote_unclosed"),
    ]
    assert done.summary["codes"] == {"event_has_period": 1, "row_too_few_fields": 1}
    assert_recounted(work, done)


def test_what_the_api_refused_comes_back_too(work, server):
    """All columns of a refused record are open; it leaves the refused ones when it is delivered."""
    source = work.source([good(1), refused_by_server(2), good(3)])
    first = run(work, server, source, "--identity", "page")
    assert first.summary["records"]["refused"] == 1

    def named(row: dict[str, str]) -> None:
        row["customer_id"] = "00777"
        row["note"] = "by hand"

    file = mend_csv(rejects(work, first), named, into=work.root / "mended.csv")
    done = retry(work, server, file)

    assert done.code == 0, done.err
    assert_all_there(source, server, done)
    body = server.bodies()[source.uuids()[1]]
    assert (body["customer_id"], body["note"]) == ("00777", "by hand")
    assert_recounted(work, done)


def test_what_the_api_refuses_again_stays_refused_as_it_was_sent(work, server):
    """The report shows the mended record and the API's new words; it can be mended once more."""
    source = work.source([good(1), refused_by_server(2), good(3)])
    first = run(work, server, source, "--identity", "page")

    def noted(row: dict[str, str]) -> None:
        row["note"] = "still nobody"

    file = mend_csv(rejects(work, first), noted, into=work.root / "mended.csv")
    done = retry(work, server, file)

    assert done.code == 3
    assert done.summary["records"]["refused"] == 1
    assert done.summary["retry"]["outcomes"] == {"refused": 1}
    (row,) = read_csv(rejects(work, done))
    assert (row["note"], row["_reject_stage"]) == ("still nobody", "api")
    assert_recounted(work, done)

    def named(row: dict[str, str]) -> None:
        row["customer_id"] = "c2"

    last = retry(work, server, mend_csv(rejects(work, done), named, into=work.root / "last.csv"))
    assert_all_there(source, server, last)
    assert server.bodies()[source.uuids()[1]]["note"] == "still nobody"


# -- what may be edited ----------------------------------------------------------------------


def test_edits_count_where_the_codes_point_and_nowhere_else(work, server):
    """Another column is sent as it was, and named; `--accept-edits` takes it."""
    rows = [good(1), *(Row(f"shop.visit,c{n},{WHEN},x".encode()) for n in (2, 3))]
    source = work.source(rows)
    report = rejects(work, run(work, server, source))

    def both(row: dict[str, str]) -> None:
        row.update(event="shop_visit", note="edited")

    mended = read_csv(mend_csv(report, both, into=work.root / "both.csv"))
    strictly = retry(work, server, write_csv(work.root / "one.csv", mended[:1]))
    freely = retry(
        work, server, write_csv(work.root / "two.csv", mended[1:]), "--accept-edits", "note"
    )

    assert [row["columns_not_taken"] for row in answers(work, strictly)] == ["note"]
    assert strictly.summary["retry"]["edits_not_taken"] == ["note"]
    assert (strictly.code, freely.code) == (3, 0)
    notes = [server.bodies()[uuid]["note"] for uuid in source.uuids()[1:]]
    assert notes == ["x", "edited"]
    wrong = retry(work, server, report, "--accept-edits", "nothing")
    assert (wrong.code, wrong.summary["error"]["code"]) == (2, "unknown_column")


def test_a_code_that_a_mend_leads_to_opens_its_column(work, server):
    """A record that becomes a signup must have a plan: then the plan may be typed in, too."""
    schema = work.root / "signup.json"
    schema.write_text(
        """{"$schema": "https://json-schema.org/draft/2020-12/schema", "x-event": "signup",
        "type": "object", "properties": {"note": {"type": "string"}}, "allOf": [
          {"properties": {"note": {"pattern": "^plan-"}}, "x-code": "plan_missing",
           "x-severity": "error", "x-message": "A signup has a plan.", "x-hint": "Name it."}]}"""
    )
    source = work.source([good(1), Row(f"sign.up,c2,{WHEN},x".encode())])
    report = rejects(work, run(work, server, source, "--schema", str(schema)))

    def both(row: dict[str, str]) -> None:
        row.update(event="signup", note="plan-a")

    file = mend_csv(report, both, into=work.root / "both.csv")
    without = retry(work, server, file)
    done = retry(work, server, file, "--schema", schema)

    assert (without.code, without.summary["error"]["code"]) == (5, "config_changed")
    assert done.code == 0, done.err
    assert server.bodies()[source.uuids()[1]]["note"] == "plan-a"
    assert [row["columns"] for row in answers(work, done)] == ["event note"]


def test_what_a_spreadsheet_spoiled_in_an_open_column_is_not_sent(work, server):
    """A refused record whose id lost its zeros is left alone and told; other rows are sent."""
    nobody = [Row(f"shop_visit,,{WHEN},000{n}".encode(), refused=True) for n in (4, 5)]
    source = work.source([good(1), *nobody])
    report = rejects(work, run(work, server, source, "--identity", "page"))

    def typed(row: dict[str, str]) -> None:
        row["customer_id"] = "c4"
        if row["_reject_record"] == "3":
            row["note"] = row["note"].lstrip("0")

    done = retry(work, server, mend_csv(report, typed, into=work.root / "m.csv"))

    assert done.summary["retry"]["outcomes"] == {"delivered": 1, "spoiled": 1}
    assert answers(work, done)[1]["detail"] == "note: leading zeros are lost"
    assert done.summary["records"]["refused"] == 1


def test_a_formula_in_a_workbook_is_not_sent(work, server):
    """What a cell would be worked out to is not what anybody typed as a value."""
    source = work.source([good(1), Row(f"shop.visit,c2,{WHEN},x".encode())])
    report = rejects(work, run(work, server, source), "rejects_xlsx")
    book = openpyxl.load_workbook(report)
    book.worksheets[0]["A2"].value = '=CONCATENATE("shop","_visit")'
    book.worksheets[0]["A2"].number_format = "General"
    book.save(work.root / "m.xlsx")

    done = retry(work, server, work.root / "m.xlsx")

    assert done.summary["retry"]["outcomes"] == {"spoiled": 1}
    assert answers(work, done)[0]["detail"] == "event: it is a formula"


def test_a_reject_that_comes_back_twice_with_two_values_is_not_sent(work, server):
    """Nobody can tell which one holds; the same row twice is one."""
    rows = [good(1), *(Row(f"shop.visit,c{n},{WHEN},x".encode()) for n in (2, 3))]
    source = work.source(rows)
    first, second = read_csv(rejects(work, run(work, server, source)))
    same = {**first, "event": "shop_visit"}
    differing = [{**second, "event": "visit_a"}, {**second, "event": "visit_b"}]

    done = retry(work, server, write_csv(work.root / "m.csv", [same, same, *differing]))

    told = [(row["row"], row["outcome"]) for row in answers(work, done)]
    assert ("2", "delivered") in told
    assert ("4", "twice") in told
    assert server.bodies().keys() == set(source.uuids()[:2])


LINES = [
    {"event": "visit", "customer_id": "c1", "user": {"plan": "a"}, "n": 12345678901234567890},
    {"event": "shop.visit", "customer_id": "c2", "user": {"plan": "b"}, "n": 1.50},
    {"event": "visit", "user": {"plan": "c"}, "n": 3},
    "{broken",
]


def json_lines(work: Workdir) -> Source:
    """Objects of which the first is good."""
    rows = [Row((each if isinstance(each, str) else json.dumps(each)).encode()) for each in LINES]
    path = work.root / "events.jsonl"
    path.write_bytes(b"".join(row.text + b"\n" for row in rows))
    return Source(path, b"", tuple(rows))


@pytest.mark.parametrize(
    ("kind", "mended"),
    [
        pytest.param("rejects_csv", mend_csv, id="csv"),
        pytest.param("rejects_xlsx", mend_xlsx, id="xlsx"),
        pytest.param("rejects_jsonl", mend_jsonl, id="jsonl"),
    ],
)
def test_json_lines_are_mended_in_their_text(work, server, kind, mended):
    """The whole object comes back in `_reject_raw`; every byte that nobody touched is sent."""
    source = json_lines(work)
    first = run(work, server, source, "--no-timestamp")
    assert first.summary["records"]["rejected"] == 3
    report = rejects(work, first, kind)

    def typed(row: dict[str, str]) -> None:
        raw = row["_reject_raw"]
        if row["_reject_codes"] == "json_invalid":
            raw = '{"event": "visit", "customer_id": "c4"}'
        raw = raw.replace("shop.visit", "shop_visit")
        row["_reject_raw"] = raw.replace(
            '"visit", "user"', '"visit", "email": "c3@example.com", "user"'
        )

    file = mended(report, typed, into=work.root / f"mended{report.suffix}")
    done = retry(work, server, file, "--accept-edits", "email")

    assert done.code == 0, done.err
    assert_recounted(work, done)
    got = sorted(server.bodies().values(), key=lambda body: body.get("customer_id", "c3"))
    assert [body["event"] for body in got] == ["visit", "shop_visit", "visit", "visit"]
    assert got[1]["user"] == {"plan": "b"}
    assert (got[2]["email"], got[2]["n"]) == ("c3@example.com", 3)
    offsets = [0]
    for row in source.rows[:-1]:
        offsets.append(offsets[-1] + len(row.text) + 1)
    namespace = bytes.fromhex(source_id(source.path.read_bytes()).replace("-", ""))
    assert [body["event_uuid"] for body in got] == [uuid5(namespace, str(at)) for at in offsets]


def test_json_lines_that_were_changed_elsewhere_are_not_sent(work, server):
    """An object whose event is wrong is not to come back with another customer."""
    source = json_lines(work)
    report = rejects(work, run(work, server, source, "--no-timestamp"))

    def typed(row: dict[str, str]) -> None:
        raw = row["_reject_raw"].replace("shop.visit", "shop_visit")
        row["_reject_raw"] = raw.replace('"c2"', '"c9"').replace('"plan": "b"', '"plan": "z"')

    done = retry(work, server, mend_csv(report, typed, into=work.root / "m.csv"))

    (row,) = [row for row in answers(work, done) if row["outcome"] != "unchanged"]
    assert (row["outcome"], row["columns_not_taken"]) == (
        "edited_elsewhere",
        "customer_id user.plan",
    )
    assert len(server.times()) == 1


# -- which load ------------------------------------------------------------------------------


def test_run_points_to_retry(work, server):
    """A report of rejects is no source."""
    source = work.source(ROWS)
    report = rejects(work, run(work, server, source))

    done = work.json("run", report, *work.to(server))

    assert done.code == 2
    assert "ingest retry" in done.summary["error"]["hint"]


def test_rejects_go_back_to_where_their_load_went(work, server):
    """Another account or state is refused, and the flags of then are named."""
    source = work.source(ROWS)
    report = rejects(work, run(work, server, source, "--account", "shop"))

    here = retry(work, server, report)
    nowhere = work.json("retry", report, *work.to(server), "--state", work.root / "other")
    sandbox = work.json("retry", report, "--sandbox")

    assert [each.code for each in (here, nowhere, sandbox)] == [2, 2, 2]
    assert "--account shop" in here.summary["error"]["hint"]
    assert nowhere.summary["error"]["code"] == "no_ledger"
    assert f"--url {server.url}" in sandbox.summary["error"]["hint"]


def test_a_file_that_is_no_report_is_refused(work, server):
    """Neither a source nor nothing at all is taken."""
    source = work.source(ROWS)
    run(work, server, source)

    plain = retry(work, server, source.path)
    nothing = work.json("retry", *work.to(server))

    assert (plain.code, plain.summary["error"]["code"]) == (2, "rejects_format")
    assert (nothing.code, nothing.summary["error"]["code"]) == (2, "usage")


def test_rejects_of_two_sources_in_one_file(work, server):
    """Rows that somebody put together go to the loads that they are of."""
    one, two = work.source(ROWS[:20], name="one.csv"), work.source(ROWS[30:60], name="two.csv")
    first = work.json("run", one.path, two.path, *work.to(server))
    rows = [
        row
        for entry in first.summary["sources"]
        for row in read_csv(work.root / entry["reports"]["rejects_csv"])
    ]
    for row in rows:
        mend(row)

    done = retry(work, server, write_csv(work.root / "both.csv", rows))

    assert done.code == 0, done.err
    assert [entry["records"]["delivered"] for entry in done.summary["sources"]] == [20, 30]
    assert set(server.times()) == {*one.uuids(), *two.uuids()}


# -- when it does not go smoothly ------------------------------------------------------------


def test_a_retry_that_is_cut_short_goes_on(work, server):
    """While the API is down, what is mended is kept; `run` leaves it alone; the same command sends it."""
    source = work.source(ROWS)
    report = rejects(work, run(work, server, source))
    file = mend_csv(report, mend, into=work.root / "mended.csv")
    server.set_faults("503")

    stopped = retry(work, server, file, "--retry-budget", "0.2")
    server.set_faults()
    meanwhile = run(work, server, source)
    assert set(server.times()) <= set(source.expected()), "a run sent what was rejected"
    done = retry(work, server, file)

    assert stopped.code == 4, stopped.err
    assert stopped.summary["of_which"]["held"] == 13
    assert stopped.summary["records"]["unsent"] == 13
    assert (meanwhile.code, meanwhile.summary["requests"]["sent"]) == (3, 0)
    assert done.code == 0, done.err
    assert done.summary["records"]["delivered"] == 130
    assert set(server.times()) == set(source.uuids())


def test_what_may_have_arrived_is_not_mended_otherwise(work, server):
    """An attempt of unknown outcome: the same mend goes again, another one is refused."""
    source = work.source([good(1), Row(f"shop.visit,c2,{WHEN},x".encode())])
    report = rejects(work, run(work, server, source))
    one = mend_csv(report, lambda row: row.update(event="visit_a"), into=work.root / "a.csv")
    two = mend_csv(report, lambda row: row.update(event="visit_b"), into=work.root / "b.csv")
    server.set_faults("reset-after")
    retry(work, server, one, "--retry-budget", "0.2")
    server.set_faults()

    other = retry(work, server, two)
    same = retry(work, server, one)

    assert other.summary["retry"]["outcomes"] == {"in_doubt": 1}
    assert same.code == 0
    assert same.summary["of_which"]["in_doubt"] == 1
    assert server.bodies()[source.uuids()[1]]["event"] == "visit_a"


@pytest.mark.parametrize("wish", ["send", "delivered", "drop"])
def test_what_is_held_is_settled(work, server, wish):
    """Mended records that wait are sent, declared delivered, or given up; the source is not needed."""
    source = work.source(ROWS)
    report = rejects(work, run(work, server, source))
    server.set_faults("503")
    stopped = retry(
        work, server, mend_csv(report, mend, into=work.root / "m.csv"), "--retry-budget", "0.2"
    )
    server.set_faults()
    source.path.unlink()

    done = work.json("retry", "--doubt", wish, stopped.summary["run_id"], *work.to(server))

    records = done.summary["records"]
    ends = (records["delivered"], records["refused"], records["unsent"])
    assert ends == {"send": (130, 0, 0), "delivered": (130, 0, 0), "drop": (117, 13, 0)}[wish]
    assert done.code == {"send": 0, "delivered": 0, "drop": 3}[wish]
    assert done.summary["of_which"]["held"] == 0
    sent = set(server.times()) - set(source.expected())
    assert sent == (set(source.uuids()) - set(source.expected()) if wish == "send" else set())
    reports = read_reports(work, done.summary["sources"][0]["reports"])
    assert_codes_recounted(done.summary, [reports])
    again = work.json("retry", "--doubt", wish, stopped.summary["run_id"], *work.to(server))
    assert again.summary["sources"][0]["skipped"] == "nothing is held"


@pytest.mark.parametrize("wish", ["send", "delivered", "drop"])
def test_what_a_run_holds_is_settled(work, server, wish):
    """Records that failed run after run are settled as the source has them."""
    source = work.source(some(40))
    server.set_faults("503:2-")
    stopped = run(work, server, source, "--retry-budget", "0.2", "--batch-size", "10")
    server.set_faults()
    with Store(work.state) as store:
        (load,) = store.loads()
        (state,) = store.chunks(load)
        progress = replace(state.progress, held=state.progress.pending)
        store.commit(load, states=[replace(state, progress=progress)])
    waiting = stopped.summary["records"]["unsent"]

    done = work.json("retry", "--doubt", wish, stopped.summary["run_id"], *work.to(server))

    records = done.summary["records"]
    assert (waiting, done.summary["of_which"]["held"], records["unsent"]) == (30, 0, 0)
    assert records["refused"] == (30 if wish == "drop" else 0)
    assert len(server.times()) == (40 if wish == "send" else 10)
    reports = read_reports(work, done.summary["sources"][0]["reports"])
    assert_codes_recounted(done.summary, [reports])
    assert [row["customer_id"] for row in reports.csv] == (
        [row.who for row in source.rows[10:]] if wish == "drop" else []
    )


def test_one_at_a_time(work, server):
    """A retry of a load that a run is working on is refused, with who holds it."""
    source = work.source(some(60, bad_every=10))
    server.set_faults("503:2-")
    first = run(work, server, source, "--retry-budget", "0.1", "--batch-size", "10")
    file = mend_csv(rejects(work, first), mend, into=work.root / "m.csv")
    server.set_faults("hang")
    before = server.requests()
    process = work.start("run", source.path, *work.to(server))
    wait_for_requests(server, before + 1)

    done = retry(work, server, file)
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=20)
    server.set_faults()

    assert (done.code, done.summary["error"]["code"]) == (8, "locked")
    assert_summary_form(done)


# -- LibreOffice -----------------------------------------------------------------------------


PRECIOUS = "00123,12345678901234567890,1E5,2024-03-01,=1+1,two\nlines,😀 ü,1-2,true,'x,1.50, x ,+44791112345"
NAMES = "zeros,long,sci,day,formula,lines,emoji,dash,truth,quote,price,space,phone"


def precious(work: Workdir) -> Source:
    """Records of texts that spreadsheets like to spoil, one rejected for its event alone."""
    cells = PRECIOUS.replace("two\nlines", '"two\nlines"')
    rows = [
        Row(f"{event},00123,{WHEN},{cells}".encode())
        for event in ("shop_visit", "shop.visit", "add.to cart")
    ]
    header = f"event,customer_id,timestamp,{NAMES}".encode()
    return Source(work.root / "events.csv", header, tuple(rows)).write()


@pytest.mark.parametrize(
    ("reading", "writing"),
    [
        pytest.param("guessed", "xlsx", id="guessed-to-xlsx"),
        pytest.param("guessed", SEMICOLONS, id="guessed-to-csv"),
        pytest.param("as-text", SEMICOLONS, id="as-text-to-csv"),
        pytest.param("workbook", "xlsx", id="workbook-to-xlsx"),
    ],
)
def test_a_round_trip_through_libreoffice_changes_no_byte(work, server, reading, writing):
    """Opened as it guesses, as text, or as the workbook: what nobody edited is sent as it was."""
    source = precious(work)
    first = run(work, server, source)
    kind = "rejects_xlsx" if reading == "workbook" else "rejects_csv"
    report = rejects(work, first, kind)
    columns = "/".join(f"{place}/2" for place in range(1, 40))
    filters = {"guessed": GUESSED, "as-text": AS_TEXT.format(columns=columns), "workbook": None}
    saved = office(work, report, reading=filters[reading], writing=writing, name="saved")

    def underscores(row: dict[str, str]) -> None:
        row["event"] = row["event"].replace(".", "_").replace(" ", "_")

    into = work.root / f"mended{saved.suffix}"
    if saved.suffix == ".xlsx":
        file = mend_xlsx(saved, underscores, into=into)
    else:
        file = mend_csv(saved, underscores, into=into, separator=";")
    done = retry(work, server, file)

    assert done.code == 0, done.err
    assert_all_there(source, server, done)
    bodies = [server.bodies()[uuid] for uuid in source.uuids()]
    wanted = dict(zip(NAMES.split(","), PRECIOUS.split(","), strict=True))
    for body, event in zip(bodies, ("shop_visit", "shop_visit", "add_to_cart"), strict=True):
        sent = {name: body[name] for name in wanted}
        assert (body["event"], body["customer_id"]) == (event, "00123")
        assert sent == wanted
