"""Reject reports on their way back, from whatever wrote them."""

import codecs
import csv
import io
import json
import zipfile
from contextlib import closing
from uuid import UUID

import openpyxl
import pytest

from ingest.core.reject_id import parse_reject_id, reject_id
from ingest.edges.returned import ReturnedFile
from ingest.errors import UsageError

SOURCE = UUID("0f0e0d0c-0b0a-5908-8706-050403020100")
PREFIX = parse_reject_id(reject_id(SOURCE, 1)).prefix
NAMES = ["event", "note", "_reject_id", "_reject_codes", "_reject_raw", "_reject_guarded"]


def row(record, event="visit", note="x", *, raw="", guarded=""):
    return [event, note, reject_id(SOURCE, record), "event_has_period", raw, guarded]


def as_csv(rows, *, names=NAMES, separator=",", end="\r\n", mark=codecs.BOM_UTF8):
    text = io.StringIO()
    csv.writer(text, delimiter=separator, lineterminator=end).writerows([names, *rows])
    return mark + text.getvalue().encode()


def as_book(path, rows, *, names=NAMES, above=()):
    book = openpyxl.Workbook()
    for line in (*above, names, *rows):
        book.active.append(line)
    with closing(book):
        book.save(path)
    return path


def write(path, content):
    path.write_bytes(content)
    return str(path)


def read(path):
    with ReturnedFile(str(path)) as file:
        return list(file.of(PREFIX)), [
            (each[0], each[-1]) for each in file.answers() if each[2] is None
        ]


@pytest.mark.parametrize(
    ("separator", "end", "mark"),
    [
        pytest.param(",", "\r\n", codecs.BOM_UTF8, id="as-written"),
        pytest.param(";", "\r\n", b"", id="semicolons"),
        pytest.param("\t", "\n", codecs.BOM_UTF8, id="tabs-LF"),
        pytest.param("|", "\n", b"", id="bars"),
        pytest.param("^", "\n", b"", id="an-unusual-one"),
    ],
)
def test_csv_of_any_dialect(tmp_path, separator, end, mark):
    """Separators, line ends and marks of any program are understood."""
    rows = [row(1, note='a, "b"; c\nd'), row(2)]
    path = write(tmp_path / "r.csv", as_csv(rows, separator=separator, end=end, mark=mark))

    found, troubles = read(path)

    assert [each.content.cells["note"] for each in found] == ['a, "b"; c\nd', "x"]
    assert not troubles


def test_csv_in_utf_16(tmp_path):
    """What Excel calls Unicode text is UTF-16 with tabs."""
    content = as_csv([row(1, note="日本")], separator="\t", mark=b"").decode().encode("utf-16")

    found, _ = read(write(tmp_path / "r.txt", content))

    assert found[0].content.cells["note"] == "日本"


def test_a_line_that_names_the_separator_is_skipped(tmp_path):
    """`sep=;` is a word to Excel, not a header."""
    content = b"sep=;\r\n" + as_csv([row(1)], separator=";", mark=b"")

    found, _ = read(write(tmp_path / "r.csv", content))

    assert [each.place for each in found] == [3]


def test_rows_come_in_the_order_of_their_records(tmp_path):
    """However they were sorted; columns likewise, and those that are not ours are no matter."""
    names = ["_reject_id", "my remark", "event"]
    rows = [[reject_id(SOURCE, n), "hm", f"e{n}"] for n in (30, 4, 1_000_000, 17)]

    found, _ = read(write(tmp_path / "r.csv", as_csv(rows, names=names)))

    assert [each.record for each in found] == [4, 17, 30, 1_000_000]
    assert [each.place for each in found] == [3, 5, 2, 4]
    assert found[0].content.cells == {"my remark": "hm", "event": "e4"}


def test_damaged_keys_are_named_and_the_rest_is_taken(tmp_path):
    """A key with a wrong character, or none, is told with its row."""
    broken = row(3)
    broken[2] = broken[2][:-1] + ("X" if broken[2][-1] != "X" else "Y")
    missing = row(4)
    missing[2] = ""
    blank = [""] * len(NAMES)

    found, troubles = read(
        write(tmp_path / "r.csv", as_csv([row(1), broken, blank, missing, row(2)]))
    )

    assert [each.record for each in found] == [1, 2]
    assert [place for place, _ in troubles] == [3, 5]


def test_the_same_key_twice(tmp_path):
    """A copied row is one; two that differ are known to."""
    rows = [row(1), row(1), row(2), row(2, event="other")]

    found, _ = read(write(tmp_path / "r.csv", as_csv(rows)))

    assert [(each.record, each.again) for each in found] == [(1, ()), (2, (5,))]


def test_a_row_with_more_cells_than_names_is_not_taken(tmp_path):
    """Nobody knows where its cells belong."""
    found, troubles = read(write(tmp_path / "r.csv", as_csv([[*row(1), "shifted"], row(2)])))

    assert [each.record for each in found] == [2]
    assert troubles == [(2, "it has 7 cells under 6 columns")]


def test_a_workbook_with_all_kinds_of_cells(tmp_path):
    """Numbers, dates, truths and formulas become texts that tell what they were."""
    import datetime as dt

    rows = [
        row(1, event=5, note=1.5),
        row(2, event=1.2345678901234567e19, note=True),
        row(3, event="=1+1", note=dt.datetime(2024, 3, 1)),  # noqa: DTZ001 - a workbook knows no zones
        row(4, event=None, note=dt.datetime(2024, 3, 1, 10, 30)),  # noqa: DTZ001 - likewise
        row(5, event="_x0041_b", note=dt.time(10, 30)),
    ]

    found, _ = read(as_book(tmp_path / "r.xlsx", rows))

    cells = [each.content.cells for each in found]
    assert [(each["event"], each["note"]) for each in cells] == [
        ("5", "1.5"),
        ("1.23456789012346E+19", "TRUE"),
        ("=1+1", "2024-03-01"),
        (None, "2024-03-01 10:30:00"),
        ("Ab", "10:30:00"),
    ]
    assert found[1].content.rounded == {"event"}
    assert found[2].content.formulas == {"event"}
    assert not any(each.content.exact for each in found)


def test_a_workbook_with_a_title_and_another_sheet(tmp_path):
    """The table is found below a title; a workbook without one is refused."""
    path = as_book(tmp_path / "r.xlsx", [row(1)], above=[["Rejects of March"], []])

    found, _ = read(path)

    assert [each.place for each in found] == [4]
    with pytest.raises(UsageError, match="no column _reject_id"):
        read(as_book(tmp_path / "none.xlsx", [["a"]], names=["b"]))


def test_a_workbook_made_of_the_csv_has_its_apostrophes(tmp_path):
    """Where `_reject_guarded` names columns, they are taken off again; `cut:` names cut ones."""
    guarded = row(1, note="'=x", guarded="note")
    ours = row(2, note="'=x")
    cut = row(3, guarded="cut:note")

    found, _ = read(as_book(tmp_path / "r.xlsx", [guarded, ours, cut]))

    assert [each.content.guarded for each in found] == [True, False, False]
    assert found[2].content.cut == {"note"}


def test_json_lines(tmp_path):
    """Cells are texts or null; a whole number is one, too."""
    lines = [
        {"reject_id": reject_id(SOURCE, 1), "cells": {"event": "a", "note": None}, "raw": None},
        {"reject_id": reject_id(SOURCE, 2), "cells": None, "raw": "visit,c1"},
        {"reject_id": reject_id(SOURCE, 3), "cells": {"event": 5}},
    ]
    content = "\n".join(map(json.dumps, lines)).encode()

    found, _ = read(write(tmp_path / "r.jsonl", content))

    assert [each.content.cells for each in found] == [
        {"event": "a", "note": None},
        {},
        {"event": "5"},
    ]
    assert [each.content.raw for each in found] == [None, "visit,c1", None]
    assert all(each.content.exact for each in found)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        pytest.param(b"event,note\na,b\n", "no column _reject_id", id="no-report"),
        pytest.param(b"", "no column _reject_id", id="empty"),
        pytest.param(b"_reject_id,a,a\nx,1,2\n", "column a twice", id="column-twice"),
        pytest.param(b"_reject_id,a\nx,\xff\n", "not UTF-8", id="not-UTF-8"),
        pytest.param(b'_reject_id,a\nx,"open\n', "no sound CSV", id="open-quote"),
        pytest.param(b"PK\x03\x04 broken", "workbook", id="broken-workbook"),
        pytest.param(b"\xd0\xcf\x11\xe0old", "old format", id="xls"),
        pytest.param(b'{"cells": {}}\n', "no reject_id", id="json-without-key"),
        pytest.param(b'{"reject_id": "x", "cells": {"a": 1.5}}\n', "no text", id="json-float"),
        pytest.param(b"{broken\n", "not JSON", id="broken-json"),
    ],
)
def test_what_cannot_be_read_is_refused_by_name(tmp_path, content, words):
    """Nothing of it is taken, and the words say what to do."""
    with pytest.raises(UsageError, match=words) as refused:
        read(write(tmp_path / "r", content))

    assert refused.value.hint


def test_a_file_that_is_not_there(tmp_path):
    """The path is named."""
    with pytest.raises(UsageError, match=r"cannot read .*nothing\.csv"):
        read(tmp_path / "nothing.csv")


def test_i24_a_workbook_that_unpacks_to_too_much(tmp_path):
    """A bomb is refused before it is unpacked."""
    path = tmp_path / "bomb.xlsx"
    with (
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive,
        archive.open("x", "w") as part,
    ):
        for _ in range(65):
            part.write(b"\0" * (1 << 20))
    content = path.read_bytes()
    # The size that it claims stands in its directory; it need not be true.
    path.write_bytes(content.replace((65 << 20).to_bytes(4, "little"), b"\xf0\xff\xff\xff"))

    with pytest.raises(UsageError, match="workbook"):
        read(path)


def test_answers_are_kept_by_row(tmp_path):
    """Each row has its answer in the order of the file; those never looked at are told too."""
    with ReturnedFile(write(tmp_path / "r.csv", as_csv([row(2), row(1), row(3)]))) as file:
        first, second, _ = file.of(PREFIX)
        file.answer(
            (each.place, PREFIX, each.record, each.reject_id, "mended", "event", "note", 2, "")
            for each in (first, second)
        )
        file.amend(PREFIX, 1, "delivered")

        assert [each[3] for each in file.answers()] == ["mended", "delivered", "not_looked_at"]
        assert file.answered(PREFIX, 1, 3, "mended") == [2]
        assert file.outcomes()["delivered"] == (1, [3])
        assert (file.restored, file.not_taken()) == (4, ["note"])
