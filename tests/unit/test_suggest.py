"""Mended values that are beyond question."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.core.model import Reject, Stage, Violation
from ingest.core.suggest import suggester, suggestion

PERIOD, BLANK = "event_has_period", "event_has_whitespace"


@pytest.mark.parametrize(
    ("value", "codes", "mended"),
    [
        pytest.param("add.to cart", {PERIOD, BLANK}, "add_to_cart", id="period-and-blank"),
        pytest.param("sign up.", {PERIOD, BLANK}, "sign_up", id="a-full-stop-at-the-end"),
        pytest.param("  visit\t", {BLANK}, "visit", id="blanks-around"),
        pytest.param("shop \u00a0 visit", {BLANK}, "shop_visit", id="a-run-of-blanks"),
        pytest.param("a\u200b b", {BLANK, "event_invisible_character"}, "a_b", id="invisible"),
        pytest.param("Add To Cart", {BLANK}, "Add_To_Cart", id="case-stays"),
        pytest.param("1.5", {PERIOD, "event_numeric"}, "", id="numeric-too"),
        pytest.param("1 5", {BLANK}, "", id="it-would-read-like-a-number"),
        pytest.param(". .", {PERIOD, BLANK}, "", id="nothing-left"),
        pytest.param("x " * 40, {BLANK}, "", id="still-too-long"),
        pytest.param("NULL", {"identity_placeholder"}, "", id="not-mechanical"),
        pytest.param(" c1 ", {"identity_outer_whitespace"}, "c1", id="identity"),
        pytest.param("TRUE", {"boolean_not_lowercase"}, "true", id="boolean"),
        pytest.param("x", set(), "", id="no-code"),
    ],
)
def test_only_what_is_mechanical_is_suggested(value, codes, mended):
    """A suggestion is what anybody would type; where there is doubt there is none."""
    assert suggestion(value, frozenset(codes)) == mended


def reject(cells, *violations):
    return Reject(
        "REJ", 1, 2, 0, 9, Stage.RULES, tuple(Violation(c, cols, "", "") for c, cols in violations),
        cells, None,
    )  # fmt: skip


def test_a_suggestion_is_for_the_columns_that_the_codes_name():
    """One column: its value; several: each by its name."""
    suggest = suggester(("event", "customer_id"))
    event, who = (PERIOD, ("event",)), ("identity_outer_whitespace", ("customer_id",))

    assert suggest(reject(("a.b", "c1"), event)) == "a_b"
    assert suggest(reject(("a.b", " c1"), event, who)) == "event: a_b; customer_id: c1"
    assert suggest(reject(("a.b", "c1"), ("api_refused", ()))) == ""
    assert suggest(reject(None, ("row_too_few_fields", ()))) == ""


@given(st.text(), st.frozensets(st.sampled_from([PERIOD, BLANK, "event_invisible_character"])))
def test_a_suggested_event_keeps_the_rules(value, codes):
    """Whatever the value: no period, no blank, 1 to 64 characters, and no number."""
    mended = suggestion(value, codes)

    assert len(mended) <= 64
    assert not re.search(r"[.\s]", mended)
    assert not re.fullmatch(r"[+-]?\d+", mended, re.ASCII)
