"""`rejects.xlsx`: rejects for people with a spreadsheet, all cells as text.

Spreadsheets turn `00123` into 123 and long ids into 1.2E+19 when they open CSV. Here each cell is
a string under the text format, so that it stays text when it is edited, too; formula-like cells
have the format's own quote prefix, and need no apostrophe.
"""

import contextlib
import datetime as dt
import re
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import Any, BinaryIO, Final

import xlsxwriter  # type: ignore[import-untyped] # it has annotations, but not the marker
from xlsxwriter.exceptions import FileCreateError  # type: ignore[import-untyped] # likewise
from xlsxwriter.utility import xl_col_to_name  # type: ignore[import-untyped] # likewise
from xlsxwriter.worksheet import Worksheet  # type: ignore[import-untyped] # likewise

from ingest.core.guard import printable
from ingest.edges.report.durable import doing, stopped
from ingest.edges.report.rows import OWN_COLUMNS

# Excel's limits: https://support.microsoft.com/office/1672b34d-7043-467e-8e27-269d656771c3
_MOST_CELL: Final = 32_767  # UTF-16 units
_MOST_COLUMNS: Final = 16_384
_MOST_OWN: Final = len(OWN_COLUMNS)
_GUARDED_AT: Final = OWN_COLUMNS.index("_reject_guarded") - _MOST_OWN
# What a spreadsheet still opens, and what keeps the file and its parts far below 2 GiB.
_MOST_TEXT: Final = 1 << 30
_CELL_COST: Final = 50  # bytes of XML around each cell

_WIDTHS: Final = {
    "_reject_id": 20,
    "_reject_codes": 28,
    "_reject_columns": 20,
    "_reject_reason": 60,
    "_reject_hint": 60,
    "_reject_raw": 40,
}
_WIDTH: Final = 14
# What XML or the format itself would take for something else, and blanks that it would drop.
_ESCAPED: Final = re.compile(r"[&<>\x00-\x1f\ufffe\uffff]|_x[0-9a-fA-F]{4}_|^\s|\s$")
# Same rejects, same bytes: the time of rendering is no part of the file.
_CREATED: Final = dt.datetime(2000, 1, 1, tzinfo=dt.UTC)


class _Outlet:
    """The workbook's file, which can be taken away from under the library.

    After an error the library's open archive would still write its directory when it is collected,
    to a file that is closed by then, and print a traceback.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file: BinaryIO | None = file

    def shut(self) -> None:
        self._file = None

    def write(self, data: bytes, /) -> int:
        return len(data) if self._file is None else self._file.write(data)

    def seek(self, offset: int, whence: int = 0, /) -> int:
        return 0 if self._file is None else self._file.seek(offset, whence)

    def tell(self) -> int:
        return 0 if self._file is None else self._file.tell()

    def flush(self) -> None:
        if self._file is not None:
            self._file.flush()


class _Worksheet(Worksheet):  # type: ignore[misc] # the library's classes have no types
    """A worksheet that takes whole rows of text.

    The library's own way checks each cell for what it may be, six times over, and makes a value of
    it that it takes apart when the row is written: 11 us a cell, where a line of XML takes 2.
    """

    def write_texts(self, row: int, cells: Iterable[tuple[str, str, str]]) -> None:
        """Write a row behind all others; cells by the name of their column, text, and style."""
        if self.previous_row < row:
            self._write_single_row(row)  # what was written before, by the library's own way
        number = row + 1
        parts = [
            f'<c r="{column}{number}"{style} t="inlineStr"><is>{self._shown(text)}</is></c>'
            for column, text, style in cells
        ]
        self.fh.write(f'<row r="{number}">{"".join(parts)}</row>')
        self.dim_rowmax = row

    def _shown(self, text: str) -> str:
        if not _ESCAPED.search(text):
            return f"<t>{text}</t>"
        escaped = self._escape_data(self._escape_control_characters(text))
        return f'<t xml:space="preserve">{escaped}</t>'


class Sheet:
    """A workbook in the making; `close` it, then or instead `abandon` it.

    Args:
        file: Takes the workbook.
        scratch: A private directory for what does not fit in memory.
        target: The file that it is to be, for messages.
        columns: All columns, the own ones last.
        most: Rows to take.
    """

    def __init__(
        self, file: BinaryIO, scratch: Path, *, target: Path, columns: Sequence[str], most: int
    ) -> None:
        self._target = target
        self._most = most
        self._kept = max(0, min(len(columns) - _MOST_OWN, _MOST_COLUMNS - _MOST_OWN))
        self._left_columns = len(columns) - _MOST_OWN - self._kept
        self._names = [*columns[: self._kept], *columns[-_MOST_OWN:]]
        self.rows = 0
        self._cut = 0
        self._text = 0
        self._outlet: Any = _Outlet(file)
        with doing("write", target):
            self._book = xlsxwriter.Workbook(
                self._outlet, {"constant_memory": True, "tmpdir": str(scratch), "use_zip64": True}
            )
            self._book.set_properties({"created": _CREATED})
            self._plain = self._book.add_format({"num_format": "@"})
            self._quoted = self._book.add_format({"num_format": "@", "quote_prefix": True})
            self._bold = self._book.add_format({"num_format": "@", "bold": True})
            self._sheet: Any = self._book.add_worksheet("Rejects", worksheet_class=_Worksheet)
            self._start()
            self._styles = {
                style: f' s="{style._get_xf_index()}"'  # noqa: SLF001 - as the library writes it
                for style in (self._plain, self._quoted)
            }
            self._letters = [xl_col_to_name(place) for place in range(len(self._names))]

    def add(self, plain: Sequence[str | None], *, guarded: Collection[str]) -> bool:
        """Take a row; False, and nothing is taken, where no more have room.

        Args:
            plain: Its cells under all columns.
            guarded: Columns whose cell is formula-like.

        Raises:
            StoppedError: The operating system refused.
        """
        if self.rows >= self._most or self._text >= _MOST_TEXT:
            return False
        texts = [*plain[: self._kept], *plain[-_MOST_OWN:]]
        usual, quoted = self._styles[self._plain], self._styles[self._quoted]
        cut: list[str] = []
        cells: list[tuple[str, str, str]] = []
        for name, letters, text in zip(self._names, self._letters, texts, strict=True):
            if text:
                shown, whole = _fit(text)
                if not whole:
                    cut.append(f"cut:{name}")
                self._text += len(shown) + _CELL_COST
                cells.append((letters, shown, quoted if name in guarded else usual))
        if cut:
            own = self._letters[len(texts) + _GUARDED_AT]
            cells = [each for each in cells if each[0] != own]
            place = sum(self._letters.index(each[0]) < len(texts) + _GUARDED_AT for each in cells)
            cells.insert(place, (own, " ".join(cut), usual))
        number = self.rows + 1
        with doing("write", self._target):
            self._sheet.write_texts(number, cells)
        self._cut += len(cut)
        self.rows = number
        return True

    def close(self, *, total: int, partial: bool, run_id: str) -> None:
        """Say on a second sheet what is in the first and what is not, and write all.

        Args:
            total: The rejects that there are.
            partial: The run was stopped before its end.
            run_id: The run that renders.

        Raises:
            StoppedError: The operating system refused.
        """
        with doing("write", self._target):
            self._sheet.autofilter(0, 0, max(self.rows, 1), len(self._names) - 1)
            about: Any = self._book.add_worksheet("About")
            about.set_column(0, 0, 100, self._plain)
            for place, line in enumerate(self._about(total, partial=partial, run_id=run_id)):
                about.write_string(place, 0, line, self._plain)
            try:
                self._book.close()
            except FileCreateError as error:
                cause = error.args[0]
                if not isinstance(cause, OSError):
                    cause = OSError(str(error))
                raise stopped("write", self._target, cause) from error

    def abandon(self) -> None:
        """Let go of all files; not needed, and harmless, after `close`. Total."""
        self._outlet.shut()
        for sheet in self._book.worksheets():
            for name in ("row_data_fh", "fh"):  # its rows; and what they are put together in
                file = getattr(sheet, name, None)
                if file is not None:
                    with contextlib.suppress(OSError):
                        file.close()

    def _start(self) -> None:
        for place, name in enumerate(self._names):
            width = _WIDTHS.get(name, min(max(_WIDTH, len(name) + 4), 40))
            self._sheet.set_column(place, place, width, self._plain)
            self._put(0, place, name, self._bold)
        self._sheet.freeze_panes(1, 0)

    def _put(self, row: int, place: int, cell: str, style: Any) -> bool:
        """Write one cell; False where it was cut."""
        text, whole = _fit(cell)
        self._text += len(text) + _CELL_COST
        if text.startswith("<r>") and text.endswith("</r>"):
            # The library takes such a string for ready-made XML of its own and would not escape
            # it; as two runs of text it is escaped, and reads the same.
            self._sheet.write_rich_string(row, place, text[0], self._plain, text[1:], style)
        else:
            self._sheet.write_string(row, place, text, style)
        return whole

    def _about(self, total: int, *, partial: bool, run_id: str) -> list[str]:
        lines = [
            f"Rejected and refused records, run {printable(run_id)}.",
            f"This workbook holds {self.rows:,} of {total:,}.",
        ]
        if self.rows < total:
            lines.append(
                f"Left out: {total - self.rows:,}. All of them are in rejects.csv and "
                "rejects.jsonl beside this file."
            )
        if self._left_columns:
            lines.append(
                f"Left out: the last {self._left_columns:,} columns of the source, for a "
                f"spreadsheet has {_MOST_COLUMNS:,}."
            )
        if self._cut:
            lines.append(
                f"Cut: {self._cut:,} cells of more than {_MOST_CELL:,} characters, named in "
                "_reject_guarded as cut:COLUMN. They are not taken back; the whole text is in "
                "rejects.csv."
            )
        if partial:
            lines.append("Partial: the run stopped before its end. Run the same command again.")
        return lines


def _fit(cell: str) -> tuple[str, bool]:
    """The cell as far as a spreadsheet holds it, and whether that is all."""
    if len(cell) > _MOST_CELL // 2:
        units = cell.encode("utf-16-le", "surrogatepass")
        if len(units) > _MOST_CELL * 2:
            return units[: _MOST_CELL * 2].decode("utf-16-le", "ignore"), False
    if cell.isascii():
        return cell, True
    return cell.encode("utf-8", "backslashreplace").decode("utf-8"), True
