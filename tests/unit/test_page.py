"""`report.html`: what it says, and that nothing of what it shows is taken for more than text."""

import re
from itertools import pairwise

import pytest

from ingest.edges.page import percent
from ingest.pipeline.page import MOST_BYTES
from tests.support.pages import NASTY, Outline, many, page, reject_of


def test_it_says_what_happened_and_what_to_do():
    """Counts that add up, causes with line and fix, the command that sends what is mended."""
    rejects = [reject_of(n, "add.to cart", "event_has_period") for n in range(401, 601)]

    text = " ".join(Outline.of(page(rejects)).text.split())

    assert "800 of 1,000 records were delivered" in text
    assert "1,000 read = 800 delivered + 200 rejected + 0 refused + 0 not sent." in text
    assert "The event name contains a period." in text
    assert "200 records, 100 %" in text
    assert "from line 402 to line 601" in text
    assert "All 200 hold “add.to cart”." in text
    assert "unbroken run" in text
    assert "Use another character, such as an underscore" in text
    assert "suggested: add_to_cart" in text
    assert "ingest retry /reports/20260102-030405-6a7b/01-events/rejects.xlsx" in text
    assert "from 2024-03-01 00:00:00 UTC to 2024-03-02 00:00:00 UTC" in text
    assert "200 requests, 9 of them repeated" in text


def test_a_clean_run_has_nothing_to_mend():
    """No cause, no command; only that all is well."""
    text = Outline.of(page([])).text

    assert "All 1,000 records were delivered" in text
    assert "Nothing: every record was delivered." in text
    assert "Causes" not in text
    assert "ingest retry" not in text


def test_a_check_speaks_of_what_would_be_sent():
    """Nothing was delivered, and nothing is said to have been."""
    text = Outline.of(page([reject_of(1, "a.b", "event_has_period")], sends=False)).text

    assert "would be sent" in text
    assert "What was sent when" not in text
    assert "ingest retry" not in text


def test_a_stopped_run_says_why_first():
    """The reason and what to type stand above all else."""
    text = Outline.of(page([], error="the API could not be reached")).text

    assert text.index("the API could not be reached") < text.index("At a glance")
    assert "Give the same command again" in text


@pytest.mark.parametrize("value", NASTY)
def test_x14_whatever_stands_in_data_is_text(value):
    """Cells, columns, codes, paths, the server's words: no markup, no control character."""
    rejects = [reject_of(n, value, "custom_code") for n in range(1, 20)]

    content = page(
        rejects, path=f"/data/{value[:200]}.csv".replace("\0", ""), error=value, note=value
    )

    outline = Outline.of(content)
    assert not outline.all("script")
    assert not outline.all("img")
    assert len(outline.all("style")) == 1
    for tag, attributes in outline.elements:
        assert not [name for name in attributes if name.startswith("on")], (tag, attributes)
        href = attributes.get("href") or ""
        assert not href.lower().startswith("javascript:")
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", content)
    assert "49{" not in content, "a template in the data was run"


def test_it_stands_alone():
    """No address but links to the files beside it; a policy that forbids the rest; no script."""
    content = page([reject_of(n, "a.b", "event_has_period") for n in (1, 2)])
    outline = Outline.of(content)

    links = [each["href"] for each in outline.all("a")]
    assert set(links) == {
        "#main", "01-events/rejects.xlsx", "01-events/rejects.csv", "01-events/rejects.jsonl",
    }  # fmt: skip
    assert not [
        (tag, name)
        for tag, attributes in outline.elements
        for name, value in attributes.items()
        if name.startswith("on") or "javascript:" in (value or "").lower()
    ]
    assert "script" not in {tag for tag, _ in outline.elements}
    assert "url(" not in content
    assert "@import" not in content
    policy = next(m["content"] for m in outline.all("meta") if m.get("http-equiv"))
    assert policy.startswith("default-src 'none'; style-src 'unsafe-inline'")
    assert not {"link", "iframe", "object", "form", "base"} & {tag for tag, _ in outline.elements}


def test_it_is_well_built():
    """One h1, headings without gaps, labelled sections and pictures, one main, unique ids."""
    outline = Outline.of(page(many(300)))

    levels = [int(tag[1]) for tag, _ in outline.elements if re.fullmatch("h[1-6]", tag)]
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))
    ids = [attributes["id"] for _, attributes in outline.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    for section in outline.all("section"):
        assert section["aria-labelledby"] in ids
    for picture in outline.all("svg"):
        assert picture.get("aria-label") or picture.get("aria-hidden") == "true"
    assert len(outline.all("main")) == 1
    assert dict(outline.elements[0:1])["html"]["lang"] == "en"


@pytest.mark.parametrize(
    ("rejects", "sources"), [pytest.param(1_000, 1, id="one"), pytest.param(400, 300, id="many")]
)
def test_s15_it_stays_small(rejects, sources):
    """However many rejects, codes, sources and however long their values: below a megabyte."""
    content = page(many(rejects), sources=sources)

    assert len(content.encode()) < MOST_BYTES
    Outline.of(content)
    if sources > 1:
        assert "All sources" in content


def test_a_masked_page_holds_no_value():
    """Samples, remarks, events and the server's words: nothing that stood in a cell."""
    rejects = [reject_of(n, "JaneDoe", "event_has_period") for n in range(1, 50)]

    content = page(rejects, note="400: JaneDoe", mask=lambda _: "masked-000000000000")

    assert "JaneDoe" not in content
    assert "masked-000000000000" in content
    assert "Events by name" not in content


@pytest.mark.parametrize(
    ("part", "whole", "text"),
    [(0, 10, "0 %"), (10, 10, "100 %"), (9_999_999, 10_000_000, "> 99.9 %"), (1, 10_000, "< 0.1 %"),
     (1, 300, "0.3 %"), (50, 100, "50 %"), (0, 0, "0 %"), (995, 1000, "99.5 %")],
)  # fmt: skip
def test_a_share_never_rounds_to_none_or_all(part, whole, text):
    """One of ten thousand is not 0 %, and all but one not 100 %."""
    assert percent(part, whole) == text
