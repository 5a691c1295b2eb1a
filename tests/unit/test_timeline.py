"""Requests over time."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.core.timeline import BINS, Timeline, kind_of


def attempt(at, status=200, *, number=1, note="accepted"):
    return {"at": at, "status": status, "attempt": number, "note": note}


def timeline(*attempts):
    line = Timeline()
    for each in attempts:
        line.add(each)
    return line


def test_answers_are_counted_by_kind_and_time():
    """Each attempt stands in the second in which it was answered."""
    line = timeline(
        attempt(1000.2), attempt(1000.9, 429, note="slow"), attempt(1002.5, 503, number=2, note="x")
    )

    assert line.width_s == 1
    assert [sum(each.values()) for each in line.bins] == [2, 0, 1]
    assert (line.bins[0]["slowed"], line.bins[2]["failed"]) == (1, 1)
    assert (line.attempts, line.again) == (3, 1)
    assert line.notes == [("slow", 1), ("x", 1)]


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=200))
def test_a_long_run_has_as_many_columns_at_most(times):
    """However long it took, no attempt is lost, and the columns stay few."""
    line = timeline(*(attempt(1e9 + at) for at in sorted(times)))

    assert len(line.bins) <= BINS
    assert sum(each["accepted"] for each in line.bins) == len(times)
    assert line.width_s * BINS > max(times) - min(times)


def test_the_longest_pauses_are_kept_in_the_order_of_time():
    """With what was said before; a breath is no pause."""
    line = timeline(
        attempt(0), attempt(4), attempt(100, 429, note="429: wait"), attempt(130), attempt(131)
    )

    assert [(pause.at, pause.seconds, pause.note) for pause in line.pauses] == [
        (4, 96, "accepted"), (100, 30, "429: wait"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("status", "kind"),
    [(200, "accepted"), (204, "accepted"), (429, "slowed"), (400, "refused"), (503, "failed"),
     (301, "failed"), (None, "failed"), ("x", "failed")],
)  # fmt: skip
def test_every_answer_has_a_kind(status, kind):
    """Lost connections count as failed."""
    assert kind_of(status) == kind
