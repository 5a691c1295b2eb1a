"""Values made unreadable for reports that leave the team."""

import json

from hypothesis import given
from hypothesis import strategies as st

from ingest.core.masking import MASKED, Mask, without_words
from ingest.core.model import Reject, Stage, Violation

MASK = Mask(b"k" * 32)


def reject(stage, cells=("Jane Doe", None, ""), raw=None):
    violation = Violation("api_refused", ("email",), "jane@example.com is taken", "Mend it.")
    return Reject("REJ1", 3, 4, 50, 9, stage, (violation,), cells, raw)


def test_a_masked_reject_keeps_what_is_no_value():
    """Id, place, codes and columns stay; cells, raw bytes and the API's words do not."""
    masked = MASK.reject(reject(Stage.API))
    broken = MASK.reject(reject(Stage.READING, None, b"Jane,Doe"))

    assert (masked.reject_id, masked.record, masked.line, masked.offset) == ("REJ1", 3, 4, 50)
    assert masked.violations[0].columns == ("email",)
    assert masked.violations[0].code == "api_refused"
    assert MASKED.fullmatch(masked.cells[0])
    assert masked.cells[1:] == (None, "")
    assert MASKED.fullmatch(broken.raw.decode())
    assert "Jane" not in repr((masked, broken))
    assert "jane@" not in repr(masked)


def test_equal_values_look_equal_within_one_report_only():
    """Rows can be grouped; two reports cannot be joined."""
    assert MASK.value("a") == MASK.value("a") != MASK.value("b")
    assert MASK.value("a") != Mask(b"l" * 32).value("a")


@given(st.text(min_size=1))
def test_every_value_looks_masked(text):
    """Whatever it was, lone surrogates too."""
    assert MASKED.fullmatch(MASK.value(text))


def test_a_masked_summary_holds_no_words_of_others():
    """Directories, constants and what the server said are left out; counts stay."""
    summary = {
        "records": {"read": 3},
        "reason": "400: jane@example.com",
        "error": {"code": "first_batch_refused", "message": "400: jane@example.com", "hint": "x"},
        "plan": {"sends": ["set name=Jane"]},
        "sources": [{"path": "/home/jane/events.csv", "records": {"read": 3}}],
        "left_out": [{"path": "/home/jane/x.csv", "reason": "no header: Jane"}],
    }

    masked = without_words(summary)

    assert "jane" not in json.dumps(masked).lower()
    assert masked["records"] == {"read": 3}
    assert masked["sources"][0] == {"path": "events.csv", "records": {"read": 3}}
    assert masked["error"]["code"] == "first_batch_refused"
