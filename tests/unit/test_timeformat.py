"""Formats of times, as patterns."""

import re
from typing import Any

import pytest

from ingest.core.timeformat import ISO_PATTERN, compile_format
from ingest.errors import UsageError


@pytest.mark.parametrize(
    ("form", "text", "groups"),
    [
        ("%d/%m/%Y", "5/1/2024", {"day": "5", "month": "1", "year": "2024"}),
        ("%Y%m%d", "20240105", {"year": "2024", "month": "01", "day": "05"}),
        ("%F %R", "2024-01-05 10:20", {"hour": "10", "minute": "20"}),
        ("%e %b %y", " 5 jan 24", {"day": " 5", "month_name": "jan", "year2": "24"}),
        ("%A, %B %d %Y", "Friday, January 05 2024", {"weekday": "Friday", "month_name": "January"}),
        ("%D %I:%M%p", "01/05/24 1:05PM", {"hour12": "1", "minute": "05", "half": "PM"}),
        ("%F %T.%f %z", "2024-01-05 1:2:3.4 -0330", {"fraction": "4", "zone": "-0330"}),
        ("%Y-%m-%d%%%n%t(.)", "2024-01-05%\n\t(.)", {"day": "05"}),
        ("<%F>", "<2024-01-05>", {"day": "05"}),
    ],
)
def test_a_format_finds_its_parts(form: Any, text: str, groups: dict[str, str]) -> None:
    """Each directive takes what strftime writes for it."""
    match = re.search(compile_format(form), text)

    assert match
    assert {name: match[name] for name in groups} == groups


@pytest.mark.parametrize(
    ("form", "text"),
    [
        ("%Y-%m-%d", "2024-01-05 "),
        ("%Y-%m-%d", " 2024-01-05"),
        ("%Y-%m-%d", "2024-01-05T10:00:00"),
        ("%Y-%m-%d", "24-01-05"),
        ("%Y-%m-%d", "2024-13-05"),
        ("%Y-%m-%d", "2024-01-32"),
        ("%Y-%m-%d", "２０２４-01-05"),
        ("%Y%m%d", "2024105"),
        ("%d%b%Y", "5Xan2024"),
        ("%F %T", "2024-01-05 10:00:60"),
        ("%F %T", "2024-01-05 24:00:00"),
        ("%F %T", "2024-01-05  10:00:00"),
        ("%F.%T", "2024-01-05x10:00:00"),
        ("%F %I %p", "2024-01-05 13 PM"),
        ("%F %Z", "2024-01-05 CET"),
        ("%F1%H", "2024-01-0519"),
    ],
)
def test_a_format_takes_nothing_else(form: Any, text: str) -> None:
    """No rest, no blank and no number out of range passes."""
    assert not re.search(compile_format(form) + r"(?<!\n)", text)


@pytest.mark.parametrize(
    ("form", "why"),
    [
        ("%Y-%m-%d %Q", "%Q is not known"),
        ("%s", "%s is not known"),
        ("%Y-%m-%d %", "% is not known"),
        ("%m-%d", "needs a year"),
        ("%Y %y %m %d", "needs a year"),
        ("%Y-%m", "needs a month"),
        ("%Y-%d", "needs a month"),
        ("%Y-%m-%d %b", "needs a month"),
        ("%Y-%m-%d %I", "%I together with %p"),
        ("%Y-%m-%d %p", "%I together with %p"),
        ("%Y-%m-%d %H %I %p", "needs %H, or"),
        ("%Y-%m-%d %d", "twice"),
        ("yyyy-mm-dd", "needs a year"),
        ("epoch", "needs a year"),
    ],
)
def test_a_format_that_gives_no_date_is_refused(form: Any, why: str) -> None:
    """A format without a whole date, or with an unknown directive, is a usage error."""
    with pytest.raises(UsageError, match=re.escape(why)) as caught:
        compile_format(form)

    assert "epoch_s" in caught.value.hint


def test_iso_forms() -> None:
    """Extended and basic forms are read, mixtures are not."""
    taken = [
        "2024-01-05",
        "20240105",
        "2024-01-05T10:20",
        "2024-01-05 10:20:30,5+02",
        "20240105T102030.5-0330",
        "20240105T1020Z",
    ]
    refused = ["2024-0105", "20240105T10:20:30", "2024-01-05T1020", "20240105 102030", "202401"]

    pattern = re.compile(ISO_PATTERN)
    assert [text for text in taken + refused if pattern.search(text)] == taken
