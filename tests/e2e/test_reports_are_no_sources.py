"""A report of rejects is never loaded as if it were a source."""

import pytest

from tests.support.workdir import Server, Workdir, some


@pytest.mark.parametrize("kind", ["rejects_csv", "rejects_jsonl", "rejects_xlsx"])
@pytest.mark.parametrize("command", ["run", "check"])
def test_a_report_points_to_retry(work: Workdir, server: Server, kind: str, command: str) -> None:
    """Each of the three, under its own name: exit 2, and the command to type."""
    source = work.source(some(40, bad_every=10))
    done = work.json("run", source.path, *work.to(server))
    report = work.root / done.summary["sources"][0]["reports"][kind]
    sent = server.count()

    again = (
        work.json(command, report, *work.to(server))
        if command == "run"
        else work.json(command, report)
    )

    assert again.code == 2
    assert again.summary["error"]["code"] == "source_is_report"
    assert f"ingest retry {report}" in again.summary["error"]["hint"]
    assert server.count() == sent


def test_reports_under_another_name(work: Workdir, server: Server) -> None:
    """Renamed, JSON lines are known by their members; a workbook is refused in any case."""
    source = work.source(some(40, bad_every=10))
    done = work.json("run", source.path, *work.to(server))
    reports = done.summary["sources"][0]["reports"]
    lines, book = work.root / "mine.jsonl", work.root / "mine.xlsx"
    lines.write_bytes((work.root / reports["rejects_jsonl"]).read_bytes())
    book.write_bytes((work.root / reports["rejects_xlsx"]).read_bytes())

    first = work.json("check", lines)
    second = work.json("check", book)

    assert (first.code, second.code) == (2, 2)
    assert first.summary["error"]["code"] == "source_is_report"
    assert second.summary["error"]["code"] == "source_is_workbook"
    assert "ingest retry" in second.summary["error"]["hint"]
    assert "CSV" in second.summary["error"]["hint"]
