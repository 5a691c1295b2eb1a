"""Reject reports on their way back: CSV, a workbook or JSON Lines, from whatever wrote them.

Rows come in any order, columns in any order or not at all, with any separator, line end, and with
or without a byte order mark. Rows are put into order in a temporary database, so memory does not
grow with them; nothing of it outlives the process, whatever ends that.
"""

import codecs
import csv
import datetime as dt
import io
import json
import re
import sqlite3
import warnings
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Any, BinaryIO, Final, Self, TextIO
from xml.etree.ElementTree import ParseError

import openpyxl  # type: ignore[import-untyped] # it has no annotations
from openpyxl.utils.exceptions import InvalidFileException  # type: ignore[import-untyped] # likewise

from ingest.core.guard import printable, unguard
from ingest.core.masking import MASKED
from ingest.core.mending import RAW, Returned
from ingest.core.reject_id import parse_reject_id
from ingest.errors import UsageError

ID: Final = "_reject_id"
_GUARDED: Final = "_reject_guarded"
_OWN: Final = "_reject_"
_SEPARATORS: Final = ",;\t|"
_CUT: Final = "cut:"
_MOST_CELL: Final = 64 << 20  # a raw record is 1 MiB at most, and each byte of it four characters
_MOST_HEADER: Final = 4 << 20
_MOST_UNPACKED: Final = 4 << 30
_HEADER_ROWS: Final = 20  # of a workbook: people put titles above a table
_PRECISE: Final = 10**15  # a double keeps 15 digits whatever they are
_BATCH: Final = 1000
_SHOWN: Final = 20  # rows of each outcome that are named at once
_TABLES: Final = (
    "CREATE TABLE row (prefix INT, record INT, place INT, id TEXT, body TEXT)",
    """CREATE TABLE answer (
        place INT, prefix INT, record INT, id TEXT, outcome TEXT, columns TEXT, ignored TEXT,
        restored INT, detail TEXT
    )""",
    "CREATE TABLE trouble (place INT, id TEXT, what TEXT)",
)
_SEP_LINE: Final = re.compile(r'"?sep=(.)"?\r?\n?')
_X_ESCAPED: Final = re.compile("_x([0-9A-Fa-f]{4})_")
_MARKS: Final = {
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}


@dataclass(frozen=True, slots=True)
class ReturnedRow:
    """One row that came back.

    Args:
        place: Its row in the file, from 1, as a spreadsheet counts.
        reject_id: Its key.
        prefix: Of its source's reject ids.
        record: Counted from 1 in its source.
        content: What came back of it.
        again: Other rows of the same key that say something else; then none of them holds.
    """

    place: int
    reject_id: str
    prefix: int
    record: int
    content: Returned
    again: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class _Cell:
    """One cell of a workbook as text."""

    text: str | None
    formula: bool = False
    rounded: bool = False


@dataclass(frozen=True, slots=True)
class _Line:
    """One row as read: its cells by column, and marks on them."""

    place: int
    cells: dict[str, str | None]
    formulas: list[str] = field(default_factory=list)
    rounded: list[str] = field(default_factory=list)
    trouble: str = ""


class ReturnedFile:
    """A reject report that came back, in order; use as a context manager.

    Args:
        path: As typed.

    Attributes:
        rows: Rows that are not empty.
        trouble: What is wrong with the first row that cannot be matched; empty without.

    Raises:
        UsageError: It cannot be read, or is no reject report.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self.rows = 0
        self.trouble = ""
        self.columns: tuple[str, ...] = ()
        # Without a name: a private file that is gone with the process.
        self._rows = sqlite3.connect("", check_same_thread=False)  # by one after the other
        self._rows.execute("PRAGMA journal_mode=OFF")
        for table in _TABLES:
            self._rows.execute(table)
        try:
            self._take_all()
        except BaseException:
            self._rows.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._rows.close()

    @property
    def prefixes(self) -> list[int]:
        """The sources that its rows belong to, by the prefix of their ids."""
        return [row[0] for row in self._rows.execute("SELECT DISTINCT prefix FROM row ORDER BY 1")]

    def count(self, prefix: int) -> int:
        """How many rows belong to a source."""
        (count,) = self._rows.execute(
            "SELECT count(*) FROM row WHERE prefix=?", (prefix,)
        ).fetchone()
        return int(count)

    def of(self, prefix: int, first: int = 1, stop: int = 1 << 60) -> Iterator[ReturnedRow]:
        """Yield the rows of a source in the order of their records, each record once.

        Args:
            prefix: Of the source's reject ids.
            first: The first record, from 1.
            stop: The record behind the last.
        """
        found = self._rows.execute(
            "SELECT record, place, id, body FROM row WHERE prefix=? AND record>=? AND record<?"
            " ORDER BY record, place",
            (prefix, first, stop),
        )
        for record, rows in groupby(found, key=lambda row: row[0]):
            (_, place, key, body), *rest = rows
            again = tuple(row[1] for row in rest if row[3] != body)
            yield ReturnedRow(place, key, prefix, record, _content(json.loads(body)), again)

    # -- answers ---------------------------------------------------------------------------

    def answer(self, answers: Iterable[tuple[int | str, ...]]) -> None:
        """Keep what became of rows.

        Args:
            answers: Place, prefix, record, reject id, outcome, columns, columns not taken, cells
                restored, detail.
        """
        self._rows.executemany(f"INSERT INTO answer VALUES ({','.join('?' * 9)})", answers)  # noqa: S608 - marks only

    def answered(self, prefix: int, first: int, stop: int, outcome: str) -> list[int]:
        """Give the records, of those from `first` to `stop`, that were answered so."""
        found = self._rows.execute(
            "SELECT DISTINCT record FROM answer"
            " WHERE prefix=? AND record>=? AND record<? AND outcome=? ORDER BY 1",
            (prefix, first, stop, outcome),
        )
        return [record for (record,) in found]

    def amend(self, prefix: int, record: int, outcome: str) -> None:
        """Answer otherwise for the rows of a record."""
        self._rows.execute(
            "UPDATE answer SET outcome=? WHERE prefix=? AND record=?", (outcome, prefix, record)
        )

    def answers(self) -> Iterator[tuple[Any, ...]]:
        """Yield what became of each row, in the order of the file.

        Yields:
            Place, reject id, record, outcome, columns, columns not taken, cells restored, detail.
        """
        return iter(
            self._rows.execute(
                "SELECT place, id, record, outcome, columns, ignored, restored, detail FROM answer"
                " UNION ALL SELECT place, id, NULL, 'unreadable', '', '', 0, what FROM trouble"
                " UNION ALL SELECT place, id, record, 'not_looked_at', '', '', 0, '' FROM row"
                " WHERE (prefix, record) NOT IN (SELECT prefix, record FROM answer) ORDER BY 1"
            )
        )

    def outcomes(self) -> dict[str, tuple[int, list[int]]]:
        """By outcome: how many rows met it, and the first of them."""
        found: dict[str, tuple[int, list[int]]] = {}
        for place, _, _, outcome, *_ in self.answers():
            count, places = found.get(outcome, (0, []))
            found[outcome] = count + 1, [*places, place] if count < _SHOWN else places
        return found

    def not_taken(self) -> list[str]:
        """The first few lists of columns in which edits were not taken, safe to show."""
        found = self._rows.execute(
            "SELECT DISTINCT ignored FROM answer WHERE ignored != '' LIMIT ?", (_SHOWN,)
        )
        return [printable(columns, most=200) for (columns,) in found]

    @property
    def restored(self) -> int:
        """Cells that a spreadsheet changed, and that were restored."""
        (count,) = self._rows.execute("SELECT coalesce(sum(restored), 0) FROM answer").fetchone()
        return int(count)

    # -- reading ---------------------------------------------------------------------------

    def _take_all(self) -> None:
        with _opened(self.path) as file:
            lines, exact, guarded = _reader(file, self.path)
            batch: list[tuple[Any, ...]] = []
            for line in lines:
                batch += self._row(line, exact=exact, guarded=guarded)
                if len(batch) >= _BATCH:
                    self._keep(batch)
                    batch = []
            self._keep(batch)
        self._rows.execute("CREATE INDEX by_record ON row (prefix, record, place)")
        self._rows.execute("CREATE INDEX by_answer ON answer (prefix, record)")

    def _keep(self, batch: list[tuple[Any, ...]]) -> None:
        self._rows.executemany("INSERT INTO row VALUES (?, ?, ?, ?, ?)", batch)

    def _row(self, line: _Line, *, exact: bool, guarded: bool) -> Iterator[tuple[Any, ...]]:
        if not self.columns:
            self.columns = tuple(line.cells)
        key = (line.cells.get(ID) or "").strip()
        if not any(line.cells.values()) and not line.trouble:
            return
        self.rows += 1
        shown = printable(key, most=40)
        try:
            if any(cell and MASKED.fullmatch(cell) for cell in line.cells.values()):
                raise ValueError("it is masked; mend the report that is not")  # noqa: TRY301 - likewise
            if line.trouble or not key:
                raise ValueError(line.trouble or f"there is no {ID}")  # noqa: TRY301 - one way out
            known = parse_reject_id(unguard(key))
        except ValueError as error:
            what = printable(str(error))
            self.trouble = self.trouble or what
            self._rows.execute("INSERT INTO trouble VALUES (?, ?, ?)", (line.place, shown, what))
            return
        body = _body(line, exact=exact, guarded=guarded)
        yield known.prefix, known.record, line.place, key, body


def _opened(path: str) -> BinaryIO:
    try:
        return Path(path).open("rb")
    except OSError as error:
        hint = "name the rejects.csv, .xlsx or .jsonl of a run, mended"
        shown = printable(path)
        raise UsageError(
            f"cannot read {shown}: {error.strerror}", hint=hint, code="rejects_unreadable"
        ) from error


def _reader(file: BinaryIO, path: str) -> tuple[Iterator[_Line], bool, bool]:
    """The rows of a file; whether no spreadsheet wrote it; and whether formulas are guarded."""
    head = file.read(4096)
    file.seek(0)
    if head.startswith(b"PK"):
        return _workbook(file, path), False, False
    if head.startswith(b"\xd0\xcf\x11\xe0"):
        raise UsageError(
            f"{printable(path)} is a workbook of an old format",
            hint="save it as .xlsx or as CSV (UTF-8)",
            code="rejects_format",
        )
    if head.removeprefix(codecs.BOM_UTF8).lstrip().startswith(b"{"):
        return _json_lines(file, path), True, False
    return _csv_rows(file, path), False, True


def _body(line: _Line, *, exact: bool, guarded: bool) -> str:
    listed = line.cells.get(_GUARDED) or ""
    cut = [name.removeprefix(_CUT) for name in listed.split() if name.startswith(_CUT)]
    # A workbook that was made of the CSV has its apostrophes as text, and names the columns.
    value = {
        "cells": {n: c for n, c in line.cells.items() if not n.startswith(_OWN)},
        "raw": line.cells.get(RAW),
        "formulas": line.formulas,
        "rounded": line.rounded,
        "cut": cut,
        "exact": exact,
        "guarded": guarded or bool(listed and not cut),
    }
    return json.dumps(value)


def _content(body: dict[str, Any]) -> Returned:
    return Returned(
        cells=body["cells"],
        raw=body["raw"],
        formulas=frozenset(body["formulas"]),
        cut=frozenset(body["cut"]),
        rounded=frozenset(body["rounded"]),
        exact=body["exact"],
        guarded=body["guarded"],
    )


def _columns(names: Sequence[str | None], path: str) -> list[str]:
    """The header's names; blank ones are columns that nobody asks for."""
    plain = [unguard(name or "") for name in names]
    known = [name for name in plain if name]
    twice = next((name for name in known if known.count(name) > 1), None)
    if twice is not None:
        raise UsageError(
            f"{printable(path)} has the column {printable(twice, most=80)} twice",
            hint="keep one of them",
            code="rejects_format",
        )
    return plain


def _no_report(path: str) -> UsageError:
    return UsageError(
        f"{printable(path)} has no column {ID}: it is no report of rejects",
        hint="mend the rejects.csv, .xlsx or .jsonl of a run, and keep that column",
        code="rejects_format",
    )


# -- CSV -------------------------------------------------------------------------------------


def _csv_rows(file: BinaryIO, path: str) -> Iterator[_Line]:
    csv.field_size_limit(_MOST_CELL)
    head = file.read(4)
    encoding = next((name for mark, name in _MARKS.items() if head.startswith(mark)), "utf-8")
    file.seek(0)
    text = io.TextIOWrapper(file, encoding=encoding, errors="strict", newline="")
    try:
        separator, begin = _separator(text, path)
        text.seek(0)
        for _ in range(begin):
            text.readline()
        rows = csv.reader(text, delimiter=separator, strict=True)
        columns = _columns(next(rows), path)
        for place, cells in enumerate(rows, start=begin + 2):
            yield _csv_row(place, columns, cells)
    except UnicodeDecodeError as error:
        raise UsageError(
            f"{printable(path)} is not UTF-8 (byte {error.start:,} of a part of it)",
            hint="save it again as CSV UTF-8, or as .xlsx",
            code="rejects_format",
        ) from error
    except csv.Error as error:
        raise UsageError(
            f"{printable(path)} is no sound CSV: {error}",
            hint="save it again from a spreadsheet, or mend its quotes; nothing was taken",
            code="rejects_format",
        ) from error
    finally:
        text.detach()


def _separator(text: TextIO, path: str) -> tuple[str, int]:
    """The separator that makes a header of the first line, and the lines before that."""
    first = text.readline(_MOST_HEADER)
    said = _SEP_LINE.fullmatch(first.removeprefix("\ufeff"))
    begin = 1 if said else 0
    for separator in dict.fromkeys((*((said[1],) if said else ()), *_SEPARATORS, *_beside(first))):
        text.seek(0)
        for _ in range(begin):
            text.readline()
        header = next(csv.reader(text, delimiter=separator), [])
        if ID in map(unguard, header):
            return separator, begin
    raise _no_report(path)


def _beside(first: str) -> str:
    """What stands beside the name of the key: the separator, where it is an unusual one."""
    found = re.search(rf'(.)"?{ID}"?(.)?', first)
    return "" if found is None else "".join(c for c in found.groups() if c and c not in '"\r\n')


def _csv_row(place: int, columns: Sequence[str], cells: Sequence[str]) -> _Line:
    by_name = {name: cell for name, cell in zip(columns, cells, strict=False) if name}
    extra = [cell for cell in cells[len(columns) :] if cell]
    trouble = "" if not extra else f"it has {len(cells)} cells under {len(columns)} columns"
    return _Line(place, dict(by_name), trouble=trouble)


# -- a workbook ------------------------------------------------------------------------------


def _workbook(file: BinaryIO, path: str) -> Iterator[_Line]:
    try:
        _prove_size(file, path)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of features that no cell depends on
            book = openpyxl.load_workbook(file, read_only=True, data_only=False)
            try:
                yield from _sheet(book, path)
            finally:
                book.close()
    except (
        *(zipfile.BadZipFile, InvalidFileException, ParseError),
        *(KeyError, ValueError, TypeError, IndexError, EOFError),
    ) as error:
        raise UsageError(
            f"{printable(path)} cannot be read as a workbook",
            hint="save it again as .xlsx, or as CSV (UTF-8)",
            code="rejects_format",
        ) from error


def _prove_size(file: BinaryIO, path: str) -> None:
    with zipfile.ZipFile(file) as archive:
        unpacked = sum(part.file_size for part in archive.infolist())
    file.seek(0)
    if unpacked > _MOST_UNPACKED:
        raise UsageError(
            f"{printable(path)} unpacks to {unpacked:,} bytes",
            hint=f"a workbook may have {_MOST_UNPACKED:,}; mend rejects.csv instead",
            code="rejects_format",
        )


def _sheet(book: Any, path: str) -> Iterator[_Line]:
    """The rows of the first sheet that has the key among its names."""
    for sheet in book.worksheets:
        sheet.reset_dimensions()  # what other programs write there need not be true
        columns: list[str] = []
        for place, row in enumerate(sheet.iter_rows(), start=1):
            cells = [_cell(cell) for cell in row]
            if columns:
                yield _sheet_row(place, columns, cells)
            elif ID in {cell.text for cell in cells}:
                columns = _columns([cell.text for cell in cells], path)
            elif place >= _HEADER_ROWS:
                break
        if columns:
            return
    raise _no_report(path)


def _sheet_row(place: int, columns: Sequence[str], cells: Sequence[_Cell]) -> _Line:
    pairs = [(name, cell) for name, cell in zip(columns, cells, strict=False) if name]
    # A workbook leaves out empty cells at the end of a row.
    by_name = dict.fromkeys((name for name in columns if name), None)
    extra = [cell for cell in cells[len(columns) :] if cell.text]
    return _Line(
        place,
        {**by_name, **{name: cell.text for name, cell in pairs}},
        formulas=[name for name, cell in pairs if cell.formula],
        rounded=[name for name, cell in pairs if cell.rounded],
        trouble="there is text beside the table" if extra else "",
    )


def _cell(cell: Any) -> _Cell:
    value, kind = cell.value, getattr(cell, "data_type", "n")
    if value is None:
        return _Cell(None)
    if kind == "f":
        return _Cell(f"{getattr(value, 'text', value)}", formula=True)
    if isinstance(value, str):
        return _Cell(value if kind == "e" else _plain(value))
    if isinstance(value, int | float) and not isinstance(value, bool):
        return _number(value)
    return _Cell(_as_shown(value))


def _as_shown(value: object) -> str:
    if isinstance(value, bool):
        return "TRUE" if value else "FALSE"
    if isinstance(value, dt.datetime) and value.time() == dt.time():
        return value.date().isoformat()
    return f"{value}"


def _number(value: float) -> _Cell:
    if abs(value) >= _PRECISE:
        return _Cell(f"{value:.15G}", rounded=True)
    return _Cell(f"{int(value)}" if value == int(value) else f"{value!r}")


def _plain(text: str) -> str:
    """Text as it was before the format's own escape of what XML cannot hold."""
    if "_x" not in text:
        return text
    return _X_ESCAPED.sub(lambda found: chr(int(found[1], 16)), text)


# -- JSON Lines ------------------------------------------------------------------------------


def _json_lines(file: BinaryIO, path: str) -> Iterator[_Line]:
    for place, line in enumerate(file, start=1):
        text = line.removeprefix(codecs.BOM_UTF8) if place == 1 else line
        if not text.strip():
            continue
        try:
            yield _json_row(place, json.loads(text))
        except (ValueError, RecursionError) as error:
            raise UsageError(
                f"line {place:,} of {printable(path)} is not JSON as rejects.jsonl has it: "
                f"{printable(str(error), most=200)}",
                hint="one object on each line, with reject_id and cells; nothing was taken",
                code="rejects_format",
            ) from error


def _json_row(place: int, value: Any) -> _Line:
    match value:
        case {"reject_id": str(key)}:
            cells, raw = value.get("cells"), value.get("raw")
        case _:
            raise ValueError("there is no reject_id")
    if not isinstance(cells, dict | None) or not isinstance(raw, str | None):
        raise ValueError("cells are an object, raw is a text")  # noqa: TRY004 - of the file, not ours
    texts = {f"{name}": _json_cell(name, cell) for name, cell in (cells or {}).items()}
    return _Line(place, {ID: key, RAW: raw, **texts})


def _json_cell(name: str, cell: object) -> str | None:
    if cell is None or isinstance(cell, str):
        return cell
    if type(cell) is int:
        return f"{cell}"
    raise ValueError(f"the cell {name} is no text")
