"""`report.html` as people see it: in a browser, wide and narrow, light and dark, by keyboard."""

import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.browser import chromium, faults, shown
from tests.support.pages import NASTY, many, page, reject_of
from tests.support.returning import mend_csv, read_csv, rejects
from tests.support.workdir import Row, Server, Workdir, read_reports, some

KINDS = {
    "usual": lambda: page([reject_of(n, "add.to cart", "event_has_period") for n in range(1, 200)]),
    "nasty": lambda: page(many(400), path=f"/data/{'x' * 300}.csv", error=NASTY[0], note=NASTY[4]),
    "many-sources": lambda: page(many(40), sources=16),
    "clean": lambda: page([]),
    "check": lambda: page(many(50), sends=False),
}
FOCUSED = (
    "(() => { const e = document.activeElement; return e === document.body ? '' : e.tagName; })()"
)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """One browser for all."""
    with chromium() as started:
        yield started


@pytest.fixture(scope="module", params=list(KINDS))
def file(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A page of some kind, as a file."""
    path = tmp_path_factory.mktemp("page") / "report.html"
    path.write_text(KINDS[request.param](), encoding="utf-8")
    return path


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1440])
def test_it_renders_without_overflow_or_fault(
    browser: Any, file: Path, width: int, scheme: str
) -> None:
    """No wider than its window, nothing serious for axe-core, nothing fetched, no complaint."""
    with shown(browser, file, width=width, scheme=scheme) as view:
        for closed in view.query_selector_all("details:not([open]) > summary"):
            closed.click()

        assert view.evaluate("document.documentElement.scrollWidth") <= width
        overflowing = view.evaluate(
            "[...document.querySelectorAll('main *')].filter(e => e.getBoundingClientRect().right"
            " > window.innerWidth + 1 && !e.closest('.scroll')).map(e => e.outerHTML.slice(0, 90))"
        )
        assert overflowing == []
        assert view.asked == [file.as_uri()]
        assert faults(view) == []
        assert view.complained == []


def test_it_is_light_or_dark_as_the_system_is(browser: Any, file: Path) -> None:
    """The background follows the system."""
    found = []
    for scheme in ("light", "dark"):
        with shown(browser, file, width=800, scheme=scheme) as view:
            found.append(view.evaluate("getComputedStyle(document.body).backgroundColor"))

    assert found == ["rgb(255, 255, 255)", "rgb(17, 21, 27)"]


def test_it_is_used_by_keyboard(browser: Any, file: Path) -> None:
    """Tab comes to the skip link, every link and every cause, each with a ring; Enter opens one."""
    with shown(browser, file, width=1440, scheme="light") as view:
        wanted = len(view.query_selector_all("a[href], summary, [tabindex='0']"))
        seen = []
        for _ in range(wanted):
            view.keyboard.press("Tab")
            seen.append(view.evaluate(FOCUSED))
            assert view.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"

        assert seen[0] == "A"
        assert "" not in seen
        closed = view.query_selector("details:not([open]) > summary")
        if closed is not None:
            closed.focus()
            view.keyboard.press("Enter")
            assert view.evaluate("document.activeElement.parentElement.open")


def test_data_stays_text_in_a_browser(browser: Any, tmp_path: Path) -> None:
    """No element and no script comes out of cells, names or the server's words."""
    path = tmp_path / "report.html"
    path.write_text(KINDS["nasty"](), encoding="utf-8")

    with shown(browser, path, width=800, scheme="light") as view:
        dialogs: list[Any] = []
        view.on("dialog", lambda each: dialogs.append(each))  # noqa: PLW0108 - Playwright marks what it is given
        counts = view.evaluate("['script','img','b'].map(t => document.querySelectorAll(t).length)")

        assert counts[:2] == [0, 0]
        assert dialogs == []
        assert view.title().endswith("- ingest 20260102-030405-6a7b")


# -- the command -----------------------------------------------------------------------------


def run(work: Workdir, server: Server) -> Any:
    """Send a source with secrets in it, some of them refused and in doubt."""
    rows = list(some(60, bad_every=6, note="secret-note"))
    rows[10] = Row(
        b"shop.visit,secret-person,2024-03-01T00:00:00Z,secret-note", ("event_has_period",)
    )
    source = work.source(rows)
    server.set_faults("reset-after:1-1")
    done = work.json("run", source.path, *work.to(server))
    server.set_faults()
    return source, done


def test_a_run_writes_its_page(work: Workdir, server: Server) -> None:
    """The summary names it; its figures are those of the summary; a no-op run names it again."""
    source, done = run(work, server)

    content = (work.root / done.summary["reports"]["html"]).read_text(encoding="utf-8")

    records = done.summary["records"]
    assert f"{records['delivered']:,} of {records['read']:,} records were delivered" in content
    assert "in doubt" in content
    assert f"ingest retry {done.summary['sources'][0]['reports']['rejects_xlsx']}" in content
    again = work.json("run", source.path, *work.to(server))
    assert (work.root / again.summary["reports"]["html"]).samefile(
        work.root / done.summary["reports"]["html"]
    )
    checked = work.json("check", source.path)
    page_of_check = (work.root / checked.summary["reports"]["html"]).read_text(encoding="utf-8")
    assert "would be sent" in page_of_check


def test_x13_a_masked_report_holds_no_value(work: Workdir, server: Server) -> None:
    """Not in any file of it, workbook included; it is complete, and it cannot be sent back."""
    _, done = run(work, server)

    masked = work.ingest("report", done.summary["run_id"], "--mask", "--delivered", "--json")

    assert masked.code == 0, masked.err
    told = masked.summary["sources"][0]["reports"]
    reports = read_reports(work, told)
    assert len(reports.csv) == done.summary["records"]["rejected"]
    directory = work.root / masked.summary["reports"]["directory"]
    assert directory.name.endswith("-masked")
    files = [path for path in directory.rglob("*") if path.is_file()]
    assert len(files) >= 7
    for path in files:
        content = path.read_bytes()
        if path.suffix == ".xlsx":
            with zipfile.ZipFile(path) as book:
                content = b"".join(map(book.read, book.namelist()))
        assert b"secret" not in content, path
        assert b"customer-0" not in content, path
        assert str(work.root).encode() not in content, path
    back = work.json("retry", work.root / told["rejects_csv"], *work.to(server))
    assert back.code == 2
    assert "masked" in back.summary["error"]["message"]


def test_what_was_delivered_is_listed(work: Workdir, server: Server) -> None:
    """Each delivered record with its place and id, those that came back mended too."""
    source, done = run(work, server)

    def mend(row: dict[str, str]) -> None:
        if row["_reject_codes"] == "event_has_period":
            row["event"] = "shop_visit"

    mended = mend_csv(rejects(work, done), mend, into=work.root / "m.csv")
    retried = work.json("retry", mended, *work.to(server))
    listed = work.ingest("report", retried.summary["run_id"], "--delivered", "--json")

    assert listed.code == 0, listed.err
    rows = read_csv(work.root / listed.summary["sources"][0]["reports"]["delivered_csv"])
    assert {row["event_uuid"] for row in rows} == set(server.times())
    assert len(rows) == retried.summary["records"]["delivered"]
    for row in rows:
        number = int(row["record"])
        assert row["event_uuid"] == source.uuids()[number - 1]
        assert int(row["offset"]) == source.offsets()[number - 1]
        assert int(row["line"]) == number + 1


def test_a_report_that_cannot_be_made_says_why(work: Workdir, server: Server) -> None:
    """No such run; a source that is gone."""
    source, done = run(work, server)
    source.path.unlink()

    nothing = work.ingest("report", "20200101-000000-0000")
    gone = work.ingest("report", done.summary["run_id"], "--delivered")
    plain = work.ingest("report", done.summary["run_id"])

    assert (nothing.code, gone.code, plain.code) == (2, 2, 0)
    assert "there is no run" in nothing.err
    assert str(source.path) in gone.err
