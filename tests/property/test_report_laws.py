"""Laws of reports: nothing runs in a spreadsheet, and everything comes back exactly."""

import csv
import io
import json
import re
import tempfile
import uuid
from collections.abc import Sequence
from pathlib import Path

import openpyxl
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ingest.core.guard import (
    escape_raw,
    guard,
    is_formula_like,
    may_be_formula_like,
    printable,
    unescape_raw,
    unguard,
)
from ingest.core.model import Dialect, Reject, Stage, Violation
from ingest.core.reject_id import parse_reject_id, reject_id
from ingest.edges.report import read_segment, safe_stem, write_reports, write_segment
from ingest.edges.report.rows import Rows

# Text that is dense in what matters, and any other text.
HOSTILE = st.text(
    st.sampled_from("'\"=+-@\t\r\n ,;|ab1＝＋－＠\u200b\xa0\x00\x1b\\x_<r>&/é日\u202e\U0001f600"),
    max_size=12,
)
TEXT = HOSTILE | st.text(max_size=20)
WORDS = st.builds(
    Violation, code=TEXT, columns=st.lists(TEXT, max_size=2).map(tuple), message=TEXT, hint=TEXT
)
SEPARATORS = st.sampled_from(",;\t| :^a")


def rejects(width: int) -> st.SearchStrategy[Reject]:
    return st.builds(
        Reject,
        reject_id=st.integers(1, 1 << 40).map(lambda record: reject_id(uuid.UUID(int=0), record)),
        record=st.integers(1, 1 << 50),
        line=st.integers(1, 1 << 50),
        offset=st.integers(0, 1 << 50),
        length=st.integers(0, 1 << 50),
        stage=st.sampled_from(Stage),
        violations=st.lists(WORDS, min_size=1, max_size=3).map(tuple),
        cells=st.none() | st.tuples(*[st.none() | TEXT] * width),
        raw=st.none() | st.binary(max_size=30) | TEXT.map(lambda text: text.encode()),
    )


def tables() -> st.SearchStrategy[tuple[tuple[str, ...], list[Reject]]]:
    return st.lists(TEXT.filter(bool), unique=True, max_size=4).flatmap(
        lambda header: st.tuples(st.just(tuple(header)), st.lists(rejects(len(header)), max_size=4))
    )


def runs_somewhere(text: str) -> bool:
    """Whether some program, whatever separators and quotes it takes, sees a formula begin."""
    pieces = re.split('[,;|\t\r\n"]', text)
    unseen = re.compile(
        "[\x00-\x20\x7f-\xa0\xad\u1680\u2000-\u200f\u2028-\u202f\u205f-\u206f\u3000\ufeff]*"
    )
    return any(piece[unseen.match(piece).end() :][:1] in set("=+-@＝＋－＠") for piece in pieces)


@given(TEXT)
@example("'=1")
@example("\t'=1;''+2\n\n-")
def test_x09_a_guard_is_undone_exactly(text: str) -> None:
    """Whatever is guarded comes back, and nothing in it runs."""
    safe = guard(text)

    assert unguard(safe) == text
    assert not runs_somewhere(safe)
    assert safe[:1] not in set("\t\r\n") or not text
    assert is_formula_like(text) == (safe != text)


@given(st.lists(TEXT, max_size=4))
def test_x09_the_quick_look_misses_nothing(texts: list[str]) -> None:
    """Where the quick look at many cells says no, none needs a guard."""
    lines = "\n" + "\n".join(text for text in texts if text)

    assert may_be_formula_like(lines=lines) or not any(map(is_formula_like, texts))


@given(
    st.binary() | TEXT.map(lambda text: text.encode("utf-8", "surrogatepass")),
    st.sampled_from(["utf-8", "latin-1", "cp1252", "cp1251", "ascii"]),
)
def test_escaped_bytes_come_back(raw: bytes, encoding: str) -> None:
    """Any bytes can be shown and taken back, in any encoding, guarded or not."""
    shown = escape_raw(raw, encoding=encoding)

    assert unescape_raw(unguard(guard(shown)), encoding=encoding) == raw
    assert all(each.isprintable() or each in "\t\n" or ord(each) > 0x9F for each in shown)


@given(st.text(st.characters(), max_size=30), st.integers(0, 10))
def test_x14_messages_hold_no_control(text: str, most: int) -> None:
    """A message is one line of what can be seen, and short if it shall be."""
    shown = printable(text)

    assert shown.encode().decode() == shown
    assert not re.search("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]", shown)
    assert len(printable(text, most=most)) <= most * 10 + 30


@given(st.uuids(), st.integers(1, (1 << 60) - 1))
def test_ids_come_back(source_id: uuid.UUID, record: int) -> None:
    """An id gives back its record and its source, whatever they are."""
    text = reject_id(source_id, record)
    key = parse_reject_id(text.lower())

    assert (key.record, key.belongs_to(source_id)) == (record, True)
    assert re.fullmatch("REJ[0-9A-Z]+", text)


@given(TEXT)
def test_text_that_was_not_made_by_us_is_no_id(text: str) -> None:
    """Reading an id gives a key or a ValueError, nothing else, and keys are honest."""
    try:
        key = parse_reject_id(text)
    except ValueError:
        return
    assert reject_id(uuid.UUID(int=key.prefix << 88), key.record).upper() == text.strip().upper()


@given(st.text(st.characters(), max_size=100))
def test_s16_directory_names_are_safe(path: str) -> None:
    """Any name of a source makes a directory name that leads nowhere else."""
    stem = safe_stem(path)

    assert stem == stem.strip(".-")
    assert 0 < len(stem.encode()) <= 80
    assert not re.search(r"[/\\\x00-\x20\x7f-\x9f]", stem)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 3).flatmap(lambda width: st.lists(rejects(width), max_size=8)))
def test_segments_come_back(some: list[Reject]) -> None:
    """Whatever rejects are written, the same are read."""
    with tempfile.TemporaryDirectory() as name:
        ref = write_segment(Path(name), "s", some)

        assert list(read_segment(Path(name), ref)) == some


@settings(max_examples=150, deadline=None)
@given(tables(), SEPARATORS)
def test_the_fast_line_is_the_row(
    table: tuple[tuple[str, ...], list[Reject]], separator: str
) -> None:
    """The line of CSV that is made fast is the one that the csv module makes of the row."""
    header, some = table
    rows = Rows(
        header, dialect=Dialect(separator=separator), source_name="=s", run_id="r", suggest=None
    )
    for reject in some:
        text = io.StringIO(newline="")
        row = rows.row(reject)
        csv.writer(text, delimiter=separator, lineterminator="\r\n").writerow(row.safe)

        laid = rows.laid(reject)
        assert (laid.csv, list(laid.plain), laid.guarded) == (
            text.getvalue(),
            row.plain,
            row.guarded,
        )
        assert len(row.plain) == len(row.safe) == len(rows.names)


@settings(max_examples=40, deadline=None)
@given(tables(), SEPARATORS)
def test_reports_come_back(table: tuple[tuple[str, ...], list[Reject]], separator: str) -> None:
    """CSV undone, JSON and workbook each give back every cell, and nothing runs."""
    header, some = table
    with tempfile.TemporaryDirectory() as name:
        paths = write_reports(
            Path(name),
            header=header,
            dialect=Dialect(separator=separator),
            source_name="s",
            run_id="r",
            rejects=lambda: some,
            doubts=lambda: (),
            partial=False,
        )
        text = paths.rejects_csv.read_bytes().decode("utf-8-sig")
        lines = [json.loads(line) for line in paths.rejects_jsonl.read_bytes().splitlines()]
        book = openpyxl.load_workbook(paths.rejects_xlsx)["Rejects"]
        cells = [[_unescaped(cell) for cell in row] for row in book.iter_rows(values_only=True)]

    _check_csv(text, separator, header, some)
    assert [_exact(line, header) for line in lines] == [_facts(reject) for reject in some]
    assert cells[0][: len(header)] == list(header)
    for row, reject in zip(cells[1:], some, strict=True):
        assert row[: len(header)] == [each or "" for each in reject.cells or [""] * len(header)]


def _check_csv(text: str, separator: str, header: tuple[str, ...], some: Sequence[Reject]) -> None:
    assert not runs_somewhere(text)
    names, *rows = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    assert tuple(map(unguard, names))[: len(header)] == header
    for row, reject in zip(rows, some, strict=True):
        given = [each or "" for each in reject.cells or [""] * len(header)]
        named = _listed(unguard(row[-2]))
        assert [unguard(cell) for cell in row[: len(header)]] == given
        # The list names just those columns that need undoing.
        assert [unguard(c) if n in named else c for n, c in zip(header, row, strict=False)] == given
        if reject.cells is None and reject.raw is not None:
            assert unescape_raw(unguard(row[-3])) == reject.raw


def _listed(text: str) -> list[str]:
    return next(csv.reader(io.StringIO(text, newline=""), delimiter=" ", strict=True), [])


def _exact(line: dict[str, object], header: tuple[str, ...]) -> tuple[object, ...]:
    cells, raw = line["cells"], line["raw"]
    assert isinstance(cells, dict | None)
    assert isinstance(raw, str | None)
    return (
        line["reject_id"],
        line["record"],
        line["line"],
        line["offset"],
        line["length"],
        line["stage"],
        line["violations"],
        None if cells is None else [cells[name] for name in header],
        None if raw is None else unescape_raw(raw),
    )


def _facts(reject: Reject) -> tuple[object, ...]:
    return (
        reject.reject_id,
        reject.record,
        reject.line,
        reject.offset,
        reject.length,
        reject.stage,
        [
            {"code": v.code, "columns": list(v.columns), "message": v.message, "hint": v.hint}
            for v in reject.violations
        ],
        None if reject.cells is None else list(reject.cells),
        reject.raw,
    )


def _unescaped(cell: object) -> str:
    if cell is None:
        return ""
    assert isinstance(cell, str)
    return re.sub("_x([0-9A-F]{4})_", lambda found: chr(int(found[1], 16)), cell)
