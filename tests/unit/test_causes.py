"""What the rejects of a source have in common."""

import pytest

from ingest.core.causes import BINS, SAMPLES, Causes
from ingest.core.model import Reject, Stage, Violation

HEADER = ("event", "customer_id")
SIZE = 100_000


def reject(record, event="visit.", who="c1", *, codes=("event_has_period",), columns=("event",)):
    """One reject; a record has ten bytes and a line of its own."""
    violations = tuple(Violation(code, columns, f"{code}!", "Mend it.") for code in codes)
    cells = (event, who)
    at = (record - 1) * 10
    return Reject("REJ", record, record + 1, at, 9, Stage.RULES, violations, cells, None)


def broken(record, raw, *, code="row_too_few_fields", message="", columns=()):
    violation = Violation(code, columns, message or f"{code}!", "Mend it.")
    at = (record - 1) * 10
    return Reject("REJ", record, record + 1, at, 9, Stage.READING, (violation,), None, raw)


def causes(rejects, *, read=10_000, **more):
    found = Causes(
        HEADER, event_columns=("event",), first_offset=0, size=SIZE, suggest=lambda _: "", **more
    )
    assert list(found.watch(rejects)) == list(rejects), "rejects are given on as they are"
    return found, found.causes(read=read)


def test_causes_are_ranked_and_counted_by_record():
    """A record with two codes counts for both; the most frequent cause comes first."""
    both = ("event_has_period", "event_has_whitespace")
    found, ranked = causes([reject(1, codes=both), reject(2), reject(5, codes=both[1:]), reject(9)])

    assert [(each.code, each.records) for each in ranked] == [
        ("event_has_period", 3), ("event_has_whitespace", 2),
    ]  # fmt: skip
    assert (ranked[0].first_line, ranked[0].last_line) == (2, 10)
    assert ranked[0].message == "event_has_period!"
    assert found.records == 4


def test_a_late_and_common_fault_is_told_with_its_place():
    """All end in a full stop; they begin in the middle, and spread to the end from there."""
    _, (cause,) = causes([reject(n, f"visit-{n}.") for n in range(4_001, 10_000, 2)])

    assert cause.remarks == (
        "All 3,000 end in a full stop.",
        "They begin at line 4,002; the 4,000 records before it have none.",
    )


def test_two_faults_of_one_code_are_told_apart():
    """Most end in a full stop from some line on; others are one name all along."""
    rejects = [reject(n, "add.to cart") for n in range(1, 10_000, 97)]
    rejects += [reject(n, f"e{n}.") for n in range(5_001, 6_001) if n % 97 != 1]

    _, (cause,) = causes(sorted(rejects, key=lambda each: each.record))

    assert cause.remarks[0].startswith("990 of 1,094 end in a full stop. They begin at line 5,002;")
    assert len([remark for remark in cause.remarks if "add.to cart" in remark]) in {0, 1}


def test_one_value_is_quoted_and_its_flag_named():
    """Where all hold the same placeholder, the flag that blanks it is told."""
    rejects = [
        reject(n, who="NULL", codes=("identity_placeholder",), columns=("customer_id",))
        for n in range(1, 10_000, 100)
    ]

    _, (cause,) = causes(rejects)

    assert cause.remarks == ("All 100 hold “NULL”.", "All 100 are “visit.” events.")
    assert cause.fix == "If it stands for nothing: --null 'NULL'."
    assert [sample.value for sample in cause.samples] == ["NULL"] * SAMPLES


def test_an_unbroken_run_is_told():
    """A block of records that somebody exported wrongly."""
    rejects = [
        reject(n, f"e{n}", who="", codes=("identity_missing",), columns=("customer_id",))
        for n in range(101, 201)
    ]

    _, (cause,) = causes(rejects)

    assert cause.remarks == ("They are one unbroken run, from line 102 to line 201.",)


def test_broken_rows_are_told_by_their_width():
    """How many cells they have, where nearly all have as many."""
    message = "The row has fewer fields than the header. 3 cells, the header has 4"
    _, (cause,) = causes([broken(n, b"a,b,c", message=message) for n in (1, 50, 3_000)])

    assert cause.remarks == ("All 3 have 3 cells.",)
    assert cause.samples[0].value == "a,b,c"


def test_another_encoding_is_told_by_its_letters():
    """Bytes that are no UTF-8 are read as Windows-1252, and the flag for that is named."""
    rejects = [broken(n, "Zoë,Müller".encode("cp1252"), code="utf8_invalid") for n in (1, 9, 40)]

    _, (cause,) = causes(rejects)

    assert cause.remarks[0] == "Read as Windows-1252, the bytes in question are ë, ü."
    assert "--encoding cp1252" in cause.fix


def test_few_have_nothing_in_common():
    """Of one or two records no pattern is made."""
    _, (cause,) = causes([reject(1), reject(2)])

    assert (cause.remarks, cause.fix) == ((), "")
    assert len(cause.samples) == 2


def test_samples_differ_where_they_can():
    """Three samples, of different values while there are some, in the order of the file."""
    names = ["a.", "a.", "a.", "b.", "a.", "c.", "d."]

    _, (cause,) = causes([reject(n, name) for n, name in enumerate(names, start=1)])

    assert [(sample.record, sample.value) for sample in cause.samples] == [
        (1, "a."), (4, "b."), (6, "c."),
    ]  # fmt: skip


def test_long_values_are_cut():
    """A sample shows the beginning and how much is left out."""
    _, (cause,) = causes([reject(1, "x" * 1_000 + ".")])

    assert cause.samples[0].cut == 1_001 - len(cause.samples[0].value)


def test_places_count_every_record_once():
    """The parts of the file add up, for each cause and for all."""
    found, ranked = causes([reject(n) for n in (1, 2, 5_000, 9_999, 10_000)])

    assert sum(found.places) == sum(ranked[0].places) == 5
    assert found.places[0] == 2
    assert found.places[BINS - 1] == 2


def test_rejects_are_counted_by_event():
    """Those that name none are under the empty name."""
    found, _ = causes([reject(1, "a."), reject(2, "a."), broken(3, b"x")])

    assert found.events == {"a.": 2, "": 1}


def test_what_the_api_answered_alike_is_told():
    """Refusals name no column: what they share is the answer."""
    rejects = [reject(n, codes=("api_refused",), columns=()) for n in (1, 2, 900)]

    _, (cause,) = causes(rejects)

    assert "All 3 were answered alike." in cause.remarks


def test_memory_is_bounded():
    """Values without end leave a bounded trace; the counts stay exact."""
    rejects = [reject(n, f"name {n} of many.") for n in range(1, 20_001)]
    found, (cause,) = causes(rejects, read=20_000)

    assert cause.records == 20_000
    assert len(found.events) <= 256
    assert len(found._looks) <= 4_096


def test_masked_causes_hold_no_value():
    """What is quoted is masked, and what was seen in values only is left out."""
    rejects = [
        reject(n, who="Jane Doe", codes=("identity_placeholder",), columns=("customer_id",))
        for n in range(1, 200)
    ]
    rejects += [broken(n, "Zoë".encode("cp1252"), code="utf8_invalid") for n in range(300, 400)]

    found, ranked = causes(rejects, mask=lambda _: "masked-1")

    assert "Jane" not in repr(ranked)
    assert "ë" not in repr(ranked)
    assert "visit" not in repr(ranked)
    assert found.events == {}


@pytest.mark.parametrize(
    "value", ["", " ", "'", "\x00", "=1+1", "a" * 200_000, "\u202e", "é" * 90_000]
)
def test_any_value_is_taken(value):
    """Whatever stands in a cell, it is counted."""
    _, (cause,) = causes([reject(n, value) for n in range(1, 5)])

    assert cause.records == 4
