"""The whole loop, as someone goes through it who has only the report to go by."""

import re
import shlex
from collections import Counter
from dataclasses import replace
from html import unescape

from tests.support.pages import Outline
from tests.support.returning import mend_xlsx, rejects
from tests.support.workdir import Row, Server, Workdir, good

ROWS = 100_000
PERIODS = range(40_110, 40_922)
NOBODY = range(70_000, 90_000, 100)
SPACES = range(500, 20_500, 200)
SHORT = range(99_000, 99_050)


def bad_file() -> list[Row]:
    """A file of 100,000 records with four causes in it."""
    rows = [good(n) for n in range(ROWS)]
    for n in PERIODS:
        rows[n] = replace(rows[n], text=rows[n].text.replace(b"shop_visit", b"shop.visit"))
    for n in SPACES:
        rows[n] = replace(rows[n], text=rows[n].text.replace(b"shop_visit", b"shop visit"))
    for n in NOBODY:
        rows[n] = replace(rows[n], text=rows[n].text.replace(rows[n].who.encode(), b""))
    for n in SHORT:
        rows[n] = replace(rows[n], text=rows[n].text.rpartition(b",")[0])
    return rows


def mend(row: dict[str, str]) -> None:
    """What a person does who reads the row: takes the suggestion, or looks the customer up."""
    column = row["_reject_columns"]
    if row["_reject_suggested"]:
        row[column] = row["_reject_suggested"]
    elif row["_reject_codes"] == "identity_missing":
        row["customer_id"] = f"customer-{int(row['note'].split()[1]):05d}"


def test_a_bad_file_is_understood_mended_and_sent(work: Workdir, server: Server) -> None:
    """From the page alone: what is wrong, where, how it is mended, and what to type; counts add up."""
    source = work.source(bad_file())
    wrong = {"event_has_period": 812, "identity_missing": 200, "event_has_whitespace": 100}
    failed = sum(wrong.values()) + len(SHORT)

    done = work.json("run", source.path, *work.to(server), timeout_s=240)
    html = (work.root / done.summary["reports"]["html"]).read_text()
    text = " ".join(Outline.of(html).text.split())

    assert done.code == 3
    assert done.summary["codes"] == wrong | {"row_too_few_fields": len(SHORT)}
    assert f"{ROWS - failed:,} of 100,000 records were delivered" in text
    assert "from line 40,112 to line 40,923" in text
    assert "All 812 hold “shop.visit”." in text
    assert "suggested: shop_visit" in text
    assert "The record names nobody" in text
    assert "The row has fewer fields than the header." in text
    commands = [unescape(each) for each in re.findall(r"<pre><code>(.*?)</code></pre>", html)]
    (command,) = [each for each in commands if each.startswith("ingest retry ")]

    book = rejects(work, done, kind="rejects_xlsx")
    mend_xlsx(book, mend, into=book)
    _, *arguments = shlex.split(command)
    back = work.json(*arguments, *("--rate", "0"), timeout_s=240)

    assert str(book) in command or book.name in command
    assert back.code == 3
    assert back.summary["records"] == {
        "read": ROWS,
        "delivered": ROWS - len(SHORT),
        "rejected": len(SHORT),
        "refused": 0,
        "unsent": 0,
    }
    assert back.summary["codes"] == {"row_too_few_fields": len(SHORT)}
    assert back.summary["retry"]["outcomes"]["delivered"] == sum(wrong.values())
    times = server.times()
    uuids = source.uuids()
    assert set(times) == {uuid for n, uuid in enumerate(uuids) if n not in SHORT}
    assert Counter(times.values()) == {1: ROWS - len(SHORT)}
    bodies = server.bodies()
    for n in (*PERIODS, *SPACES, *NOBODY):
        body = bodies[uuids[n]]
        assert (body["event"], body["customer_id"]) == ("shop_visit", source.rows[n].who)
