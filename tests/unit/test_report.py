"""Reports: what people read, what a spreadsheet opens, and files that are never lost."""

import csv
import errno
import gc
import io
import json
import os
import resource
import stat
import tracemalloc
import warnings
import zipfile
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import openpyxl
import pytest

from ingest.core.guard import unescape_raw, unguard
from ingest.core.model import Dialect, Doubt, Reject, Stage, Violation
from ingest.edges.report import (
    ReportPaths,
    report_directory,
    safe_stem,
    write_document,
    write_reports,
    write_summary,
)
from ingest.edges.report.rows import Rows
from ingest.errors import BugError, StoppedError, UsageError

HEADER = ("event", "customer_id", "note")
OWN = [
    "_reject_id",
    "_reject_codes",
    "_reject_columns",
    "_reject_reason",
    "_reject_hint",
    "_reject_suggested",
    "_reject_stage",
    "_reject_source",
    "_reject_record",
    "_reject_line",
    "_reject_offset",
    "_reject_raw",
    "_reject_guarded",
    "_reject_run",
]
PERIOD = Violation("event_has_period", ("event",), "The event has a period.", "Take it out.")
NOBODY = Violation("identity_missing", ("customer_id", "e mail"), "No identity.", "Name one.")
QUOTE = Violation("quote_illegal", (), "A quote stands in a bare cell.", "Double it.")
RULES = Reject("REJ1", 1, 2, 21, 40, Stage.RULES, (PERIOD, NOBODY), ("a.b", None, "=1"), None)
BROKEN = Reject("REJ2", 2, 3, 62, 6, Stage.READING, (QUOTE,), None, b'x"\xff\\,-1')
HUGE = Reject("REJ3", 3, 5, 69, 2_000_000, Stage.READING, (QUOTE,), None, None)
REJECTS = (RULES, BROKEN, HUGE)
DOUBTS = (Doubt(4, 6, 99, "7d444840-9dc0-11d1-b245-5ffdce74fad2", "unsent"),)


def render(
    directory: Path,
    rejects: Iterable[Reject] = REJECTS,
    *,
    header: tuple[str, ...] = HEADER,
    doubts: Iterable[Doubt] = (),
    partial: bool = False,
    separator: str = ",",
    **more: Any,
) -> ReportPaths:
    return write_reports(
        directory,
        header=header,
        dialect=Dialect(separator=separator),
        source_name=more.pop("source_name", "data/events.csv"),
        run_id="run-1",
        rejects=lambda: rejects,
        doubts=lambda: doubts,
        partial=partial,
        **more,
    )


def table(path: Path, separator: str = ",") -> list[dict[str, str]]:
    text = path.read_bytes().decode("utf-8-sig")
    return list(csv.DictReader(io.StringIO(text, newline=""), delimiter=separator, strict=True))


def sheet(path: Path) -> list[list[str | None]]:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        book = openpyxl.load_workbook(path)
    rows = [list(row) for row in book["Rejects"].iter_rows(values_only=True)]
    assert all(cell is None or isinstance(cell, str) for row in rows for cell in row)
    return rows


def about(path: Path) -> str:
    cells = openpyxl.load_workbook(path)["About"].iter_rows(values_only=True)
    return "\n".join(str(row[0]) for row in cells)


def test_a_row_says_all_of_its_reject(tmp_path: Path) -> None:
    """The original cells come first and as they are, then what is wrong and how to mend it."""
    paths = render(tmp_path)

    assert table(paths.rejects_csv)[0] == {
        "event": "a.b",
        "customer_id": "",
        "note": "'=1",
        "_reject_id": "REJ1",
        "_reject_codes": "event_has_period identity_missing",
        "_reject_columns": 'event customer_id "e mail"',
        "_reject_reason": "(1) The event has a period. (2) No identity.",
        "_reject_hint": "(1) Take it out. (2) Name one.",
        "_reject_suggested": "",
        "_reject_stage": "rules",
        "_reject_source": "data/events.csv",
        "_reject_record": "1",
        "_reject_line": "2",
        "_reject_offset": "21",
        "_reject_raw": "",
        "_reject_guarded": "note",
        "_reject_run": "run-1",
    }
    assert (paths.rejects, paths.doubts, paths.doubt_csv) == (3, 0, None)


def test_a_record_without_cells_shows_its_bytes(tmp_path: Path) -> None:
    """A broken record has its bytes, guarded and escaped, and they come back exactly."""
    row = table(render(tmp_path).rejects_csv)[1]

    assert [row[name] for name in HEADER] == ["", "", ""]
    assert row["_reject_raw"] == "x\"\\xff\\\\,'-1"
    assert row["_reject_guarded"] == "_reject_raw"
    assert unescape_raw(unguard(row["_reject_raw"])) == BROKEN.raw


def test_i18_a_record_over_the_cap_has_its_place_and_length(tmp_path: Path) -> None:
    """Of a record that was too large to keep, the report has offset and length."""
    paths = render(tmp_path)
    row = table(paths.rejects_csv)[2]
    line = json.loads(paths.rejects_jsonl.read_bytes().splitlines()[2])

    assert (row["_reject_raw"], row["_reject_offset"]) == ("", "69")
    assert row["_reject_reason"] == "A quote stands in a bare cell. (2,000,000 bytes, not kept)"
    assert (line["offset"], line["length"], line["raw"], line["cells"]) == (69, 2000000, None, None)


def test_lines_of_json_are_exact(tmp_path: Path) -> None:
    """Each reject is one JSON object with all its facts, nothing guarded."""
    lines = render(tmp_path).rejects_jsonl.read_bytes().splitlines()

    assert [json.loads(line) for line in lines[:2]] == [
        {
            "reject_id": "REJ1",
            "source": "data/events.csv",
            "run_id": "run-1",
            "record": 1,
            "line": 2,
            "offset": 21,
            "length": 40,
            "stage": "rules",
            "violations": [
                {
                    "code": "event_has_period",
                    "columns": ["event"],
                    "message": "The event has a period.",
                    "hint": "Take it out.",
                },
                {
                    "code": "identity_missing",
                    "columns": ["customer_id", "e mail"],
                    "message": "No identity.",
                    "hint": "Name one.",
                },
            ],
            "cells": {"event": "a.b", "customer_id": None, "note": "=1"},
            "raw": None,
        },
        {
            "reject_id": "REJ2",
            "source": "data/events.csv",
            "run_id": "run-1",
            "record": 2,
            "line": 3,
            "offset": 62,
            "length": 6,
            "stage": "reading",
            "violations": [
                {
                    "code": "quote_illegal",
                    "columns": [],
                    "message": "A quote stands in a bare cell.",
                    "hint": "Double it.",
                }
            ],
            "cells": None,
            "raw": 'x"\\xff\\\\,-1',
        },
    ]


@pytest.mark.parametrize("separator", [",", ";", "\t", "|", " ", "a", "7", "'"])
def test_the_source_s_separator_is_kept(tmp_path: Path, separator: str) -> None:
    """The report has the separator of its source, whatever that is, after a BOM."""
    path = render(tmp_path, separator=separator).rejects_csv

    assert path.read_bytes().startswith(b"\xef\xbb\xbfevent" + separator.encode())
    assert table(path, separator)[0]["_reject_offset"] == "21"
    assert list(table(path, separator)[0]) == [*HEADER, *OWN]


def test_cells_of_every_kind_come_through_csv(tmp_path: Path) -> None:
    """Quotes, line ends, lone CR, NUL and blanks in cells are kept as they are."""
    cells = ('say "x"', "a\r\nb\nc\rd", " \x00 ,;")

    row = table(render(tmp_path, [replace(RULES, cells=cells)]).rejects_csv)[0]

    assert tuple(row[name] for name in HEADER) == cells


def test_x09_names_of_columns_are_guarded_too(tmp_path: Path) -> None:
    """A header that is a formula is guarded, in its place and where it is named."""
    header = ("=cmd()", "-x y")
    reject = replace(RULES, cells=("@a", "b"), violations=(replace(PERIOD, columns=header),))

    row = table(render(tmp_path, [reject], header=header).rejects_csv)[0]

    assert list(row)[:2] == ["'=cmd()", "'-x y"]
    assert row["_reject_columns"] == "'=cmd() \"'-x y\""
    assert row["_reject_guarded"] == "'=cmd() _reject_columns"
    assert unguard(row["_reject_columns"]) == '=cmd() "-x y"'


def test_x14_a_server_s_words_are_cut_and_escaped(tmp_path: Path) -> None:
    """What the API said is one line, without controls, of bounded length, and not a formula."""
    words = Violation("api_refused", (), "=\x1b[2J\r\n\u202e\ud800" + "x" * 5000, "")
    reject = replace(RULES, stage=Stage.API, violations=(words,), cells=("a", "b", "c"))

    row = table(render(tmp_path, [reject], source_name="a\n\udcff").rejects_csv)[0]

    assert row["_reject_reason"].startswith(r"'=\x1b[2J\r\n\u202e\ud800xxx")
    assert row["_reject_reason"].endswith("x... (4009 more characters)")
    assert (row["_reject_guarded"], row["_reject_source"]) == ("_reject_reason", r"a\n\xff")


def test_text_that_utf8_cannot_hold_is_shown(tmp_path: Path) -> None:
    """A lone surrogate stops no report; it is shown escaped."""
    odd = replace(
        RULES, cells=("\ud800", "b", "c"), violations=(replace(PERIOD, message="\udfff"),)
    )

    paths = render(tmp_path, [odd])

    assert table(paths.rejects_csv)[0]["event"] == r"\ud800"
    assert sheet(paths.rejects_xlsx)[1][0] == r"\ud800"
    line = json.loads(paths.rejects_jsonl.read_bytes())
    assert (line["cells"]["event"], line["violations"][0]["message"]) == ("\ud800", "\udfff")


def test_words_without_end_are_not_all_remembered(tmp_path: Path) -> None:
    """Where each reject has words and guards of its own, each row still has the right ones."""
    header = tuple(f"c{n}" for n in range(14))
    some = [
        replace(
            RULES,
            record=n,
            violations=(replace(PERIOD, message=f"m{n}"),),
            cells=tuple("=" if n >> place & 1 else "x" for place in range(14)),
        )
        for n in range(1, 10_000)
    ]

    rows = table(render(tmp_path, some, header=header, xlsx_rows=0).rejects_csv)

    assert [row["_reject_reason"] for row in rows] == [f"m{n}" for n in range(1, 10_000)]
    assert [row["_reject_guarded"] for row in rows] == [
        " ".join(f"c{place}" for place in range(14) if n >> place & 1) for n in range(1, 10_000)
    ]


def test_what_is_remembered_is_bounded() -> None:
    """A report of rejects that all differ keeps no more than the last of their words."""
    rows = Rows(("a",), dialect=Dialect(), source_name="s", run_id="r", suggest=None)
    for n in range(10_000):
        rows.csv_line(replace(RULES, violations=(replace(PERIOD, message=f"{n}"),), cells=("x",)))

    assert len(rows._sets) <= 4096


def test_a_suggestion_has_its_column(tmp_path: Path) -> None:
    """What the caller suggests stands beside the reject, guarded."""
    rows = table(render(tmp_path, suggest=lambda reject: f"-{reject.record}").rejects_csv)

    assert [row["_reject_suggested"] for row in rows] == ["'-1", "'-2", "'-3"]
    assert rows[0]["_reject_guarded"] == "note _reject_suggested"


def test_a_source_without_columns_has_reports(tmp_path: Path) -> None:
    """Where there is no header, the own columns stand alone."""
    paths = render(tmp_path, [BROKEN, replace(RULES, cells=())], header=())

    assert [list(row) for row in table(paths.rejects_csv)] == [OWN, OWN]
    assert sheet(paths.rejects_xlsx)[0] == OWN


def test_cells_that_do_not_fit_the_header_are_a_bug(tmp_path: Path) -> None:
    """A reject with other cells than columns is never written shifted."""
    with pytest.raises(BugError, match="2 cells under 3 columns"):
        render(tmp_path, [replace(RULES, cells=("a", "b"))])

    assert list(tmp_path.iterdir()) == []


def test_no_rejects_have_reports_too(tmp_path: Path) -> None:
    """Without rejects the files are there, with their headers, at the same place."""
    paths = render(tmp_path, [])

    assert table(paths.rejects_csv) == []
    assert paths.rejects_csv.read_bytes().count(b"\r\n") == 1
    assert paths.rejects_jsonl.read_bytes() == b""
    assert sheet(paths.rejects_xlsx) == [[*HEADER, *OWN]]


def test_doubt_is_listed(tmp_path: Path) -> None:
    """Records in doubt are listed with the id that they were sent with."""
    path = render(tmp_path, doubts=DOUBTS).doubt_csv

    assert path is not None
    assert path.read_bytes() == (
        b"record,line,offset,event_uuid,end\r\n"
        b"4,6,99,7d444840-9dc0-11d1-b245-5ffdce74fad2,unsent\r\n"
    )


def test_doubt_that_is_settled_leaves(tmp_path: Path) -> None:
    """A list of doubt does not outlive the doubt; one of somebody else does."""
    render(tmp_path, doubts=DOUBTS)
    render(tmp_path)
    assert not (tmp_path / "doubt.csv").exists()

    (tmp_path / "doubt.csv").write_bytes(b"mine")
    render(tmp_path)
    assert (tmp_path / "doubt.csv").read_bytes() == b"mine"


def test_a_partial_report_is_marked_until_it_is_whole(tmp_path: Path) -> None:
    """Reports of a stopped run say so, in a file and in the workbook; whole ones do not."""
    paths = render(tmp_path, partial=True)
    assert "run-1 stopped before its end" in (tmp_path / "PARTIAL.txt").read_text()
    assert "Partial" in about(paths.rejects_xlsx)

    paths = render(tmp_path)
    assert not (tmp_path / "PARTIAL.txt").exists()
    assert "Partial" not in about(paths.rejects_xlsx)


# --- the workbook


def test_the_workbook_holds_text_only(tmp_path: Path) -> None:
    """Leading zeros, long numbers, formulas and links stay text, as they are."""
    cells = ("00123", "12345678901234567890", "=1+1")

    rows = sheet(render(tmp_path, [replace(RULES, cells=cells)]).rejects_xlsx)

    assert rows[0] == [*HEADER, *OWN]
    assert rows[1][:4] == [*cells, "REJ1"]
    assert rows[1][-6:] == ["1", "2", "21", None, None, "run-1"]


def test_x09_the_workbook_quotes_what_is_formula_like(tmp_path: Path) -> None:
    """A cell that would become a formula when it is edited has the quote prefix."""
    path = render(tmp_path, [replace(RULES, cells=("-1", "http://x", "a"))]).rejects_xlsx

    row = openpyxl.load_workbook(path)["Rejects"][2]

    assert [cell.quotePrefix for cell in row[:3]] == [True, False, False]
    assert {cell.number_format for cell in row[:4]} == {"@"}
    assert {cell.data_type for cell in row[:4]} == {"s"}
    assert row[1].hyperlink is None


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("<r><t>x</t></r>", id="a rich string"),
        pytest.param("<r></t></is></c><c><f>1+1</f></r>", id="X9-a formula in XML"),
        pytest.param("<r>&</r>", id="an entity"),
        pytest.param("<r></r>", id="nothing in it"),
        pytest.param("</t>&amp;\"'<", id="XML"),
        pytest.param("  blanks  \n around ", id="blanks"),
        pytest.param("\U0001f600 日本", id="other scripts"),
    ],
)
def test_x09_what_looks_like_xml_stays_text(tmp_path: Path, text: str) -> None:
    """The library writes a string that looks like its own XML as it is; here it is text."""
    rows = sheet(render(tmp_path, [replace(RULES, cells=(text, "b", text))]).rejects_xlsx)

    assert rows[1][:3] == [text, "b", text]


def test_control_characters_are_escaped_as_excel_does(tmp_path: Path) -> None:
    """What XML cannot hold is written _xHHHH_, and text that looks so is told apart."""
    cells = ("\x00\x1b\r\ufffe", "_x0041_", "c")

    rows = sheet(render(tmp_path, [replace(RULES, cells=cells)]).rejects_xlsx)

    assert rows[1][:2] == ["_x0000__x001B__x000D__xFFFE_", "_x005F_x0041_"]


@pytest.mark.parametrize("letter", ["x", "\U0001f600"])
def test_a_long_cell_is_cut_named_and_counted(tmp_path: Path, letter: str) -> None:
    """A spreadsheet's limit cuts a cell, in the workbook only, and both sheets say so."""
    fits = letter * (32767 // (len(letter.encode("utf-16-le")) // 2))
    cells = (fits, fits + letter, "c")

    paths = render(tmp_path, [replace(RULES, cells=cells)])

    row = dict(zip(*sheet(paths.rejects_xlsx), strict=True))
    assert (row["event"], row["customer_id"], row["_reject_guarded"]) == (
        fits,
        fits,
        "cut:customer_id",
    )
    assert "1 cells of more than 32,767" in about(paths.rejects_xlsx)
    assert table(paths.rejects_csv)[0]["customer_id"] == fits + letter


def test_the_workbook_says_what_is_left_out(tmp_path: Path) -> None:
    """Beyond its limit, rejects are in the other files, and the workbook says how many."""
    paths = render(tmp_path, xlsx_rows=2)

    assert len(sheet(paths.rejects_xlsx)) == 3
    assert "holds 2 of 3" in about(paths.rejects_xlsx)
    assert "Left out: 1." in about(paths.rejects_xlsx)
    assert len(table(paths.rejects_csv)) == 3


def test_i19_more_columns_than_a_spreadsheet_has(tmp_path: Path) -> None:
    """A very wide source loses its last columns in the workbook, not the reasons; it says so."""
    header = tuple(f"c{n}" for n in range(16_400))
    reject = replace(RULES, cells=tuple(header))

    paths = render(tmp_path, [reject], header=header)

    with zipfile.ZipFile(paths.rejects_xlsx) as parts:
        rows = parts.read("xl/worksheets/sheet1.xml").decode()
    assert "c16369<" in rows
    assert "c16370<" not in rows
    assert "XFD2" in rows
    assert "the last 30 columns" in about(paths.rejects_xlsx)


def test_the_same_rejects_are_the_same_bytes(tmp_path: Path) -> None:
    """Rendering again changes nothing: no time, no order, no chance is in the files."""
    first = {path.name: path.read_bytes() for path in _files(render(tmp_path))}
    again = {path.name: path.read_bytes() for path in _files(render(tmp_path))}

    assert first == again
    with zipfile.ZipFile(tmp_path / "rejects.xlsx") as parts:
        assert b"2000-01-01T00:00:00Z" in parts.read("docProps/core.xml")


def _files(paths: ReportPaths) -> list[Path]:
    return [paths.rejects_csv, paths.rejects_xlsx, paths.rejects_jsonl]


# --- files that are never lost


def test_s12_reports_are_replaced_when_rendered_again(tmp_path: Path) -> None:
    """The second rendering has the names of the first, and leaves nothing else."""
    first = render(tmp_path, [])

    second = render(tmp_path)

    assert replace(second, rejects=0) == first
    assert len(table(second.rejects_csv)) == 3
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        ".ingest-report",
        "rejects.csv",
        "rejects.jsonl",
        "rejects.xlsx",
    ]


def test_s12_a_report_that_was_mended_by_hand_is_never_overwritten(tmp_path: Path) -> None:
    """Edits stay; the rendering stands beside, is itself replaced, and takes the name back."""
    path = render(tmp_path).rejects_csv
    path.write_bytes(b"mended")

    beside = [render(tmp_path).rejects_csv.name for _ in range(2)]
    rows = len(table(tmp_path / "rejects-2.csv"))
    mended = path.read_bytes()
    path.unlink()
    back = render(tmp_path).rejects_csv

    assert (beside, rows, mended, back) == (["rejects-2.csv"] * 2, 3, b"mended", path)
    assert not (tmp_path / "rejects-2.csv").exists()


def test_s12_a_foreign_file_is_never_overwritten(tmp_path: Path) -> None:
    """Files of somebody else keep their content, whatever they hold."""
    for name in ("rejects.csv", "rejects-2.csv", "rejects.jsonl"):
        (tmp_path / name).write_bytes(b"")

    paths = render(tmp_path)

    assert [path.name for path in _files(paths)] == [
        "rejects-3.csv",
        "rejects.xlsx",
        "rejects-2.jsonl",
    ]
    assert (tmp_path / "rejects.csv").read_bytes() == b""


def test_s12_where_no_name_is_left_the_run_says_so(tmp_path: Path) -> None:
    """A directory full of foreign files is refused, and nothing in it is changed."""
    for name in ["rejects.csv", *(f"rejects-{n}.csv" for n in range(2, 1002))]:
        (tmp_path / name).write_bytes(b"")

    with pytest.raises(
        UsageError, match=r"rejects\.csv and 1000 files beside it are not"
    ) as caught:
        render(tmp_path)

    assert caught.value.code == "report_directory"
    assert len(list(tmp_path.iterdir())) == 1001


@pytest.mark.parametrize("kind", ["symlink", "dangling", "hardlink", "directory", "fifo"])
def test_x11_what_is_planted_at_a_report_s_name_is_left_alone(tmp_path: Path, kind: str) -> None:
    """Links are neither followed nor replaced: the report stands beside them."""
    reports = report_directory(tmp_path / "r")
    victim = tmp_path / "victim"
    victim.write_bytes(b"precious")
    path = reports / "rejects.csv"
    match kind:
        case "symlink":
            path.symlink_to(victim)
        case "dangling":
            path.symlink_to(tmp_path / "nowhere")
        case "hardlink":
            path.hardlink_to(victim)
        case "directory":
            path.mkdir()
        case _:
            os.mkfifo(path)
    before = path.lstat()

    paths = render(reports)

    assert paths.rejects_csv.name == "rejects-2.csv"
    assert path.lstat().st_ino == before.st_ino
    assert victim.read_bytes() == b"precious"
    assert not (tmp_path / "nowhere").exists()


def test_x11_our_own_file_behind_a_second_name_is_left_alone(tmp_path: Path) -> None:
    """A report that got a second name is not touched through either."""
    path = render(tmp_path).rejects_csv
    (tmp_path / "kept").hardlink_to(path)

    assert render(tmp_path, []).rejects_csv.name == "rejects-2.csv"
    assert len(table(tmp_path / "kept")) == 3


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"mine",
        b"[]",
        b'{"format":2,"files":{}}',
        b'{"format":1,"files":[]}',
        b'{"format":1,"files":{"a":"b"}}',
        b'{"format":1,"files":{"a":["b"]}}',
        b"[" * 100_000,
        b" " * (1 << 20) + b'{"format":1,"files":{}}',
        None,
    ],
)
def test_x11_a_list_of_files_that_is_not_ours_is_refused(
    tmp_path: Path, content: bytes | None
) -> None:
    """What we cannot have written is not overwritten, nor believed; the way out is named."""
    listed = tmp_path / ".ingest-report"
    if content is None:
        listed.symlink_to(tmp_path / "elsewhere")
    else:
        listed.write_bytes(content)

    with pytest.raises(UsageError, match=r"\.ingest-report is not a list") as caught:
        render(tmp_path)

    assert (caught.value.code, caught.value.exit_code) == ("report_directory", 2)
    assert "--report-dir" in caught.value.hint
    assert [path.name for path in tmp_path.iterdir()] == [".ingest-report"]


@pytest.mark.parametrize("mode", [0o600, 0o640])
@pytest.mark.parametrize("umask", [0o000, 0o077])
def test_x10_reports_have_their_mode_whatever_the_umask(
    tmp_path: Path, mode: int, umask: int
) -> None:
    """Files get just the mode that was asked for; directories let its readers in."""
    before = os.umask(umask)
    try:
        reports = report_directory(tmp_path, "run", "01-x", mode=mode)
        paths = render(reports, doubts=DOUBTS, mode=mode)
        summary = write_summary(tmp_path / "run" / "summary.json", {}, mode=mode)
    finally:
        os.umask(before)

    files = [*_files(paths), paths.doubt_csv or summary, summary]
    assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {mode}
    directories = {0o600: 0o700, 0o640: 0o750}
    assert stat.S_IMODE(reports.stat().st_mode) == directories[mode]
    assert stat.S_IMODE((reports / ".ingest-report").stat().st_mode) == 0o600


def test_s02_a_full_disk_leaves_the_old_reports(tmp_path: Path) -> None:
    """Where the disk takes no more, what stood there stands there still, and nothing else."""
    render(tmp_path, [RULES])
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)

    for limit in (2_000, 100_000, 1_000_000):
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))  # writes beyond it fail, for real
        try:
            with pytest.raises(StoppedError, match=f"cannot write {tmp_path}/rejects") as caught:
                render(tmp_path, _many(10_000), xlsx_rows=1000)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        assert (caught.value.code, caught.value.exit_code) == ("disk_full", 4)
        assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_s02_a_disk_that_fills_while_the_workbook_is_put_together(tmp_path: Path) -> None:
    """The parts of the workbook that are written last fail like any other file."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (3_000, hard))  # more than each table has
    try:
        with pytest.raises(StoppedError, match=r"cannot write .*rejects\.xlsx: ") as caught:
            render(tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    assert (caught.value.code, list(tmp_path.iterdir())) == ("disk_full", [])
    del caught
    gc.collect()  # what the library left open must not complain, which would fail this test


@pytest.mark.parametrize("failing", range(1, 11))
def test_s04_s05_any_failing_step_leaves_whole_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: int
) -> None:
    """Whichever fsync or rename fails, each report is the old or the new one, and a later run mends it."""
    render(tmp_path, [RULES])
    whole = {path.name: {path.read_bytes()} for path in tmp_path.iterdir()}
    for some in (REJECTS[:2], REJECTS):
        for name, content in _rendered_elsewhere(tmp_path / f"{len(some)}", some).items():
            whole.setdefault(name, set()).add(content)
    calls = 0

    def counted(real: Any) -> Any:
        def call(*args: Any, **kwargs: Any) -> Any:
            nonlocal calls
            calls += 1
            if calls == failing:
                raise OSError(errno.EIO, "injected")
            return real(*args, **kwargs)

        return call

    for some in (REJECTS[:2], REJECTS):  # a fault during the recovery from a fault
        calls = 0
        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", counted(os.fsync))
            patch.setattr(os, "replace", counted(os.replace))
            with pytest.raises(StoppedError):
                render(tmp_path, some)

    left = {path.name: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()}
    left.pop(".ingest-report")
    assert all(content in whole[name] for name, content in left.items())
    assert render(tmp_path).rejects_csv.name == "rejects.csv"
    assert len(list(tmp_path.iterdir())) == 6


def _rendered_elsewhere(directory: Path, some: Iterable[Reject]) -> dict[str, bytes]:
    render(report_directory(directory), some)
    return {path.name: path.read_bytes() for path in directory.iterdir()}


def _many(count: int) -> Iterator[Reject]:
    for record in range(1, count + 1):
        yield replace(RULES, record=record, cells=("a.b", str(record), "x" * 200))


def test_s15_memory_does_not_grow_with_the_rejects(tmp_path: Path) -> None:
    """Ten times the rejects, the same memory."""

    def peak(count: int) -> int:
        directory = report_directory(tmp_path / str(count))
        tracemalloc.start()
        try:
            render(directory, _many(count), xlsx_rows=200)
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    peak(10)

    assert peak(10_000) < peak(1_000) + (1 << 20)


# --- directories, names and the summary


def test_s11_a_place_for_reports_is_proven_before(tmp_path: Path) -> None:
    """The directory is made with those above it, and is there when asked for again."""
    made = [report_directory(tmp_path / "a" / "b", "run", "01-x") for _ in range(2)]

    assert made == [tmp_path / "a" / "b" / "run" / "01-x"] * 2
    assert [path.name for path in made[0].iterdir()] == [".ingest-report"]


def test_x11_a_link_in_place_of_a_directory_is_refused(tmp_path: Path) -> None:
    """Reports never go through a planted link; the place that the user named may be one."""
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "root").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "root" / "run").symlink_to(tmp_path)

    with pytest.raises(UsageError, match="run is not a directory of its own"):
        report_directory(tmp_path / "root", "run")

    assert report_directory(tmp_path / "root", "other").is_dir()


def test_s11_a_file_in_place_of_a_directory_is_named(tmp_path: Path) -> None:
    """Where a directory cannot be, the error names it."""
    (tmp_path / "file").write_bytes(b"")

    with pytest.raises(UsageError, match="file is not a directory"):
        report_directory(tmp_path, "file")
    with pytest.raises(StoppedError, match=r"cannot create .*file/x: Not a directory"):
        report_directory(tmp_path / "file" / "x")


@pytest.mark.parametrize("part", ["..", "", ".", "a/b", "a\0b"])
def test_x12_no_part_of_a_path_leads_elsewhere(tmp_path: Path, part: str) -> None:
    """Names that lead out of the directory are refused."""
    with pytest.raises(ValueError, match="not a plain file name"):
        report_directory(tmp_path, part)


@pytest.mark.parametrize(
    ("path", "stem"),
    [
        pytest.param("data/events.csv", "events", id="plain"),
        pytest.param("s3://bucket/a/events.2024.csv", "events.2024", id="object"),
        pytest.param("../../etc/passwd", "passwd", id="X12-traversal"),
        pytest.param("a/..", "source", id="X12-dots"),
        pytest.param("/", "source", id="root"),
        pytest.param("-", "source", id="stdin"),
        pytest.param("", "source", id="empty"),
        pytest.param("-rf x.csv", "rf_x", id="S16-dash and space"),
        pytest.param(".hidden", "hidden", id="hidden"),
        pytest.param("a\nb\x1b[2J\u202e.csv", "a_b__2J_", id="X14-controls"),
        pytest.param("donn\u0065\u0301es.csv", "données", id="composed"),
        pytest.param("日本.csv", "日本", id="any script"),
        pytest.param(os.fsdecode(b"caf\xe9.csv"), "caf_", id="S16-no UTF-8"),
        pytest.param("x" * 255 + ".csv", "x" * 80, id="S16-255 bytes"),
        pytest.param("日" * 80, "日" * 26, id="S16-never half a character"),
        pytest.param("x" * 79 + ".y.csv", "x" * 79, id="no dot at the end"),
        pytest.param("dir/", "dir", id="directory"),
    ],
)
def test_s16_any_name_makes_a_safe_directory_name(path: str, stem: str) -> None:
    """Whatever a source is called, its directory has a short and harmless name."""
    assert safe_stem(path) == stem


def test_the_summary_is_canonical(tmp_path: Path) -> None:
    """The summary keeps its order, is readable, and takes any file name."""
    path = write_summary(tmp_path / "summary.json", {"b": 1, "a": ["é", "\udcff"]})

    assert path.read_bytes() == (
        '{\n  "b": 1,\n  "a": [\n    "é",\n    "\\udcff"\n  ]\n}\n'.encode()
    )
    assert json.loads(path.read_bytes())["a"] == ["é", "\udcff"]


def test_s12_the_summary_is_replaced_unless_it_is_foreign(tmp_path: Path) -> None:
    """Ours is replaced; an edited one stays, and ours stands beside it."""
    path = tmp_path / "summary.json"
    places = [write_summary(path, {"n": n}).name for n in range(2)]
    path.write_bytes(b"{}")
    places.append(write_summary(path, {"n": 2}).name)

    assert places == ["summary.json", "summary.json", "summary-2.json"]
    assert path.read_bytes() == b"{}"


def test_documents_share_a_directory(tmp_path: Path) -> None:
    """Several reports in one directory do not get in each other's way."""
    write_summary(tmp_path / "summary.json", {})
    write_document(tmp_path / "report.html", b"<p>")
    write_summary(tmp_path / "summary.json", {"n": 1})

    assert (tmp_path / "report.html").read_bytes() == b"<p>"
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        ".ingest-report",
        "report.html",
        "summary.json",
    ]
