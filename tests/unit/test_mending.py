"""Which edits of a returned reject are taken, and what a spreadsheet spoiled."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.core.guard import guard
from ingest.core.mending import RAW, WHOLE_RECORD, Original, Returned, damage, mend, open_columns
from ingest.core.model import Violation

HEADER = ("event", "customer_id", "note")


def original(*cells, code="event_has_period", columns=("event",), raw=None):
    return Original(HEADER, cells or None, raw, (Violation(code, columns, "", ""),))


def returned(event, who, note, **more):
    return Returned({"event": event, "customer_id": who, "note": note}, **more)


def mended(was, came, *, accept=()):
    return mend(was, came, opened=open_columns(was.violations) | set(accept))


@pytest.mark.parametrize(
    ("was", "found"),
    [
        pytest.param("00123", "123", id="leading-zeros"),
        pytest.param("-007", "-7", id="leading-zeros-behind-a-sign"),
        pytest.param("12345678901234567890", "1.23456789012346E+19", id="E-notation"),
        pytest.param("12345678901234567890", "1.23456789012346E+019", id="E-notation-LibreOffice"),
        pytest.param("12345678901234567890", "1,23457E+19", id="E-notation-German"),
        pytest.param("12345678901234567890", "12345678901234600000", id="15-digits"),
        pytest.param("1E5", "100000", id="exponent-worked-out"),
        pytest.param("1E5", "1.00E+05", id="exponent-rewritten"),
        pytest.param("1.50", "1.5", id="last-zero"),
        pytest.param("1.50", "1,5", id="decimal-comma"),
        pytest.param("1234.5", "1.234,50", id="grouped-German"),
        pytest.param("1234.5", "1,234.50", id="grouped"),
        pytest.param("=1+1", "2", id="formula"),
        pytest.param("@who", "#NAME?", id="formula-fails"),
        pytest.param("=x", "Err:508", id="formula-fails-LibreOffice"),
        pytest.param("+447911123456", "447911123456", id="sign-lost"),
        pytest.param("2024-03-01", "01/03/24", id="date"),
        pytest.param("2024-03-01", "45352", id="date-as-number"),
        pytest.param("2024-03-01 13:00", "3/1/24 1:00 PM", id="half-days"),
        pytest.param("1-2", "01. Feb", id="a-date-that-was-none"),
        pytest.param("MAR1", "2026-03-01", id="a-gene-that-became-a-date"),
        pytest.param("true", "TRUE", id="truth"),
        pytest.param("False", "FALSCH", id="truth-German"),
        pytest.param("x" * 40_000, "x" * 32_767, id="cut"),
        pytest.param("", "1.2E+19", id="a-fresh-id-that-was-shortened"),
    ],
)
def test_what_a_spreadsheet_spoils(was, found):
    """What spreadsheets make of texts that look like values is known for what it is."""
    assert damage(was, found)


@pytest.mark.parametrize(
    ("was", "found"),
    [
        pytest.param("add.to cart", "add_to_cart", id="event-name"),
        pytest.param("1.2.3", "1_2_3", id="version"),
        pytest.param("", "00123", id="fresh-id"),
        pytest.param("NULL", "c-12", id="placeholder"),
        pytest.param("12345", "12346", id="next-number"),
        pytest.param("1e5", "1e6", id="another-number"),
        pytest.param("2024-03-01", "2024-01-03", id="day-and-month-swapped-in-one-form"),
        pytest.param("2024-03-01", "2025-03-01", id="another-year"),
        pytest.param("TRUE", "true", id="truth-in-small-letters"),
        pytest.param("+49 30 123", "+49 30 124", id="phone"),
        pytest.param("$42.00", "42.00", id="currency-taken-off"),
        pytest.param("1,234.50", "1234.50", id="separator-taken-off"),
        pytest.param("sku-1", "sku-01", id="code"),
        pytest.param("abc", "", id="emptied"),
        pytest.param("9" * 500, "9" * 499, id="long-digits-stay-text"),
    ],
)
def test_what_a_person_mends(was, found):
    """Ordinary mends are not suspected."""
    assert not damage(was, found)


def test_numbers_and_times_may_be_written_anew_where_that_was_the_fault():
    """`17850.0` to `17850` mends an integer, `03/04/2024` to ISO 8601 mends a time."""
    assert damage("17850.0", "17850")
    assert not damage("17850.0", "17850", number=True)
    assert not damage("007", "7", number=True)
    assert damage("03/04/2024", "2024-04-03")
    assert not damage("03/04/2024", "2024-04-03", time=True)
    assert damage("2024-03-01x"[:-1], "01/03/2024", time=True)


def test_an_edit_in_a_named_column_is_taken():
    """The codes name the event: it is taken, all else stays as it was."""
    result = mended(original("a.b", "00123", "x"), returned("a_b", "00123", "x"))

    assert result.cells == ("a_b", "00123", "x")
    assert (result.edits, result.ignored, result.restored) == (("event",), (), 0)


def test_an_edit_elsewhere_is_not_taken_and_named():
    """What no code names is sent as it was, and who edited it is told."""
    result = mended(original("a.b", "c1", "x"), returned("a_b", "c2", "x"))

    assert result.cells == ("a_b", "c1", "x")
    assert (result.edits, result.ignored) == (("event",), ("customer_id",))


def test_an_edit_elsewhere_is_taken_where_it_is_asked_for():
    """`--accept-edits customer_id`."""
    was, came = original("a.b", "c1", "x"), returned("a_b", "c2", "x")

    assert mended(was, came, accept=["customer_id"]).cells == ("a_b", "c2", "x")


def test_what_a_spreadsheet_changed_elsewhere_is_restored_without_a_word():
    """Lost zeros in a column that nobody mended are counted, and cost nothing."""
    result = mended(original("a.b", "00123", "1E5"), returned("a_b", "123", "1.00E+05"))

    assert result.cells == ("a_b", "00123", "1E5")
    assert (result.edits, result.ignored, result.restored) == (("event",), (), 2)


def test_what_a_spreadsheet_changed_in_an_open_column_is_refused():
    """Nobody can tell whether it was meant, so the row is not taken."""
    was = original("visit", "00123", "x", code="api_refused", columns=())

    result = mended(was, returned("visit", "123", "y"))

    assert result.spoiled == {"customer_id": "leading zeros are lost"}
    assert WHOLE_RECORD in open_columns(was.violations)


def test_an_exact_file_is_not_suspected():
    """JSON Lines are taken at their word, apostrophes too."""
    was = original("visit", "00123", "'=x", code="api_refused", columns=())

    result = mended(was, returned("visit", "123", "''=x", exact=True))

    assert not result.spoiled
    assert result.cells == ("visit", "123", "''=x")


def test_formulas_and_numbers_of_many_digits_are_refused():
    """A cell that a workbook would work out, or has rounded, is no value."""
    was = original("a.b", "c1", "x")
    formula = mended(was, returned('=CONCAT("a","b")', "c1", "x", formulas=frozenset({"event"})))
    rounded = mended(was, returned("1.2E19", "c1", "x", rounded=frozenset({"event"})))
    cut = mended(was, returned("a_b", "c1", "x", cut=frozenset({"event"})))

    assert [list(each.spoiled) for each in (formula, rounded, cut)] == [["event"]] * 3


def test_deleted_columns_are_as_they_were():
    """A column that did not come back was not emptied."""
    result = mend(
        original("a.b", "c1", "x"), Returned({"event": "a_b"}), opened={"event", "customer_id"}
    )

    assert result.cells == ("a_b", "c1", "x")


def test_emptied_cells_are_absent():
    """A cell that came back empty is no empty text."""
    was = original("visit", "NULL", "x", code="identity_placeholder", columns=("customer_id",))

    assert mended(was, returned("visit", "", "x")).cells == ("visit", None, "x")


def test_a_broken_record_is_mended_in_its_text():
    """Cells typed under the columns of a record without cells are not taken."""
    was = original(raw="visit,c1", code="row_too_few_fields", columns=())

    alone = mended(was, Returned({}, raw="visit,c1,note"))
    elsewhere = mended(was, Returned({"event": "visit"}, raw="visit,c1"))
    cut = mended(was, Returned({}, raw="visit", cut=frozenset({RAW})))

    assert (alone.raw, alone.edits) == ("visit,c1,note", (RAW,))
    assert (elsewhere.edits, elsewhere.ignored) == ((), ("event",))
    assert RAW in cut.spoiled


TEXTS = st.text(
    st.characters(exclude_categories=["Cs"])
    | st.sampled_from(list("='\"+-@,;\t\r\n0123456789.eE")),
    max_size=12,
)


@given(TEXTS, TEXTS, TEXTS, st.sampled_from([guard, lambda text: text]), st.booleans())
def test_what_nobody_edited_is_never_an_edit(event, who, note, shown, lines):
    """Guarded or not, with line ends as they were or as spreadsheets write them: no difference."""
    was = original(event, who, note, columns=())
    cells = [shown(text) for text in (event, who, note)]
    if lines:
        cells = [text.replace("\r\n", "\n") for text in cells]

    result = mended(was, returned(*cells))

    assert result.cells == (event, who, note)
    assert (result.edits, result.ignored, result.restored, result.spoiled) == ((), (), 0, {})


@given(TEXTS, TEXTS)
def test_damage_is_total(was, found):
    """Whatever the texts, there is an answer."""
    assert isinstance(damage(was, found), str)
