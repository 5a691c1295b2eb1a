"""One reject as a row of a report, and as a line of JSON.

`_reject_codes`, `_reject_columns` and `_reject_guarded` list names with a space between; a name
that has a blank or a quote in it stands in quotes, its own quotes doubled. Reasons and hints are
sentences; where there are several they are counted, `(1) ... (2) ...`, so that each hint finds
its reason.
"""

import csv
import json
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import orjson

from ingest.core.guard import (
    escape_raw,
    guard,
    is_formula_like,
    may_be_formula_like,
    printable,
)
from ingest.core.model import Dialect, Reject, Violation
from ingest.errors import BugError

OWN_COLUMNS: Final = (
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
)

# A server's words can be as long as its answer; a cell is read by people.
_MOST_MESSAGE: Final = 1000
_MOST_SETS: Final = 4096
_QUOTED: Final = re.compile(r'[\s"]')


def listed(names: Iterable[str]) -> str:
    """Names with a space between; quoted like a CSV cell where one would be misread."""
    return " ".join(map(_name, names))


def _name(name: str) -> str:
    if name and not _QUOTED.search(name):
        return name
    return '"' + name.replace('"', '""') + '"'


@dataclass(frozen=True, slots=True)
class Row:
    """One row of a report.

    Args:
        plain: The cells as they are; empty or None where there is nothing.
        safe: The same, formula-like ones guarded, and those named in `_reject_guarded`.
        guarded: The columns in which `safe` differs, itself not counted.
    """

    plain: list[str | None]
    safe: list[str | None]
    guarded: tuple[str, ...]


class Laid(NamedTuple):
    """One reject as a line of CSV, and as the cells of a workbook.

    Args:
        csv: The line, guarded.
        plain: See `Row`.
        guarded: See `Row`.
    """

    csv: str
    plain: Sequence[str | None]
    guarded: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Said:
    """What is the same for all records with the same violations.

    Args:
        texts: Codes, columns, reason and hint.
        csv: The same as cells of CSV, guarded.
        guarded: Those of the four that are guarded.
        json: The violations as JSON.
    """

    texts: tuple[str, str, str, str]
    csv: str
    guarded: tuple[str, ...]
    json: orjson.Fragment


class _Echo:
    """Gives back what it is told to write."""

    def write(self, text: str, /) -> str:
        return text


class Rows:
    """Lays rejects out under the columns of one source.

    Args:
        header: The columns of the source; empty where it has none.
        dialect: How the source is written.
        source_name: The source, as people know it; any file name.
        run_id: The run that renders.
        suggest: A mended value to show beside a reject; empty for none.
    """

    def __init__(
        self,
        header: Sequence[str],
        *,
        dialect: Dialect,
        source_name: str,
        run_id: str,
        suggest: Callable[[Reject], str] | None,
    ) -> None:
        self._header = tuple(header)
        self._columns = self._header + OWN_COLUMNS
        self._no_cells: tuple[str | None, ...] = ("",) * len(self._header)
        self._encoding = dialect.encoding
        self._separator = dialect.separator
        self._suggest = suggest
        # Ids, stages and numbers need no quotes unless a letter or a digit is the separator.
        self._plain_cells = not dialect.separator.isalnum()
        # The csv module gives what `write` gives: the row as text. CRLF also because it quotes a
        # lone CR inside a cell only then (Python 3.11 and 3.12); readers would take it for the
        # end of the row.
        self._lay: Callable[[Iterable[object]], str] = csv.writer(
            _Echo(), delimiter=dialect.separator, lineterminator="\r\n"
        ).writerow
        self._source, self._run = printable(source_name), printable(run_id)
        self._source_csv, self._run_csv = self._cell(self._source), self._cell(self._run)
        self._source_guarded = _guarded(("_reject_source", self._source))
        self._run_guarded = _guarded(("_reject_run", self._run))
        # By identity: hashing costs more, and the equal sets of a segment are one object. What
        # is in here is kept alive, so no other object can have its id.
        self._sets: dict[int, tuple[tuple[Violation, ...], _Said]] = {}
        self._lists: dict[tuple[str, ...], str] = {}

    @property
    def names(self) -> tuple[str, ...]:
        """The names of all columns, as they are."""
        return self._columns

    def csv_head(self) -> str:
        """The first line of CSV; names are guarded, and `unguard` gives them back."""
        return self._lay(guard(name) for name in self._columns)

    def csv_line(self, reject: Reject) -> str:
        """One reject as a line of CSV: `row(reject).safe`.

        Raises:
            BugError: It has more or fewer cells than the header.
        """
        return self.laid(reject).csv

    def laid(self, reject: Reject) -> Laid:
        """One reject in both forms: what `row(reject)` says, made faster.

        Raises:
            BugError: It has more or fewer cells than the header.
        """
        cells = reject.cells
        if not cells or not self._plain_cells or (self._suggest and self._suggest(reject)):
            row = self.row(reject)
            return Laid(self._lay(row.safe), row.plain, row.guarded)
        said = self._said(reject.violations)
        safe, guarded = self._guard_cells(cells)
        guarded += said.guarded + self._source_guarded + self._run_guarded
        sep, record, line = self._separator, str(reject.record), str(reject.line)
        offset, named = str(reject.offset), reject.reject_id
        csv_line = (
            f"{self._lay((*safe, ''))[:-2]}{named}{sep}{said.csv}{sep}{sep}"
            f"{reject.stage}{sep}{self._source_csv}{sep}{record}{sep}{line}"
            f"{sep}{offset}{sep}{sep}{self._list(guarded) if guarded else ''}"
            f"{sep}{self._run_csv}\r\n"
        )
        own = ("", reject.stage.value, self._source, record, line, offset, "", "", self._run)
        return Laid(csv_line, [*cells, named, *said.texts, *own], guarded)

    def json_line(self, reject: Reject) -> bytes:
        """One reject as a line of JSON, exact; raw bytes are escaped as in `_reject_raw`."""
        cells, raw = reject.cells, reject.raw
        value = {
            "reject_id": reject.reject_id,
            "source": self._source,
            "run_id": self._run,
            "record": reject.record,
            "line": reject.line,
            "offset": reject.offset,
            "length": reject.length,
            "stage": reject.stage,
            "violations": self._said(reject.violations).json,
            "cells": None if cells is None else dict(zip(self._header, cells, strict=True)),
            "raw": None if raw is None else escape_raw(raw, encoding=self._encoding),
        }
        try:
            return orjson.dumps(value, option=orjson.OPT_APPEND_NEWLINE)
        except TypeError:
            value["violations"] = _violations(reject.violations)
            return _ascii_json(value) + b"\n"

    def row(self, reject: Reject) -> Row:
        """One reject as cells.

        Raises:
            BugError: It has more or fewer cells than the header.
        """
        said = self._said(reject.violations)
        codes, columns, reason, hint = said.texts
        raw, cells = "", reject.cells
        if cells is None:
            cells = self._no_cells
            if reject.raw is None:
                reason = f"{reason} ({reject.length:,} bytes, not kept)"
            else:
                raw = escape_raw(reject.raw, encoding=self._encoding)
        safe_cells, guarded = self._guard_cells(cells)
        own = {
            "_reject_id": reject.reject_id,
            "_reject_codes": codes,
            "_reject_columns": columns,
            "_reject_reason": reason,
            "_reject_hint": hint,
            "_reject_suggested": "" if self._suggest is None else self._suggest(reject),
            "_reject_stage": str(reject.stage),
            "_reject_source": self._source,
            "_reject_record": str(reject.record),
            "_reject_line": str(reject.line),
            "_reject_offset": str(reject.offset),
            "_reject_raw": raw,
            "_reject_guarded": "",
            "_reject_run": self._run,
        }
        safe = dict(own)
        if may_be_formula_like(lines="\n" + "\n".join(filter(None, own.values()))):
            mine = _guarded(*own.items())
            safe |= {name: guard(own[name]) for name in mine}
            guarded += mine
        safe["_reject_guarded"] = guard(listed(guarded))
        return Row([*cells, *own.values()], [*safe_cells, *safe.values()], guarded)

    def _guard_cells(
        self, cells: tuple[str | None, ...]
    ) -> tuple[Sequence[str | None], tuple[str, ...]]:
        """The cells, guarded, and the columns of those that were."""
        if len(cells) != len(self._header):
            raise BugError(f"a reject has {len(cells)} cells under {len(self._header)} columns")
        if not may_be_formula_like(lines="\n" + "\n".join(filter(None, cells))):
            return cells, ()
        safe = list(cells)
        names: list[str] = []
        for place, cell in enumerate(cells):
            if cell and is_formula_like(cell):
                safe[place] = guard(cell)
                names.append(self._header[place])
        return safe, tuple(names)

    def _cell(self, text: str) -> str:
        """One guarded cell of CSV, quoted where it must be."""
        return self._lay((guard(text), ""))[: -2 - len(self._separator)]

    def _list(self, guarded: tuple[str, ...]) -> str:
        """The cell of `_reject_guarded`; rows mostly have one of few."""
        cell = self._lists.get(guarded)
        if cell is None:
            if len(self._lists) >= _MOST_SETS:
                self._lists.clear()
            cell = self._lists[guarded] = self._cell(listed(guarded))
        return cell

    def _said(self, violations: tuple[Violation, ...]) -> _Said:
        known = self._sets.get(id(violations))
        if known is not None:
            return known[1]
        if len(self._sets) >= _MOST_SETS:
            self._sets.clear()
        said = self._say(violations)
        self._sets[id(violations)] = violations, said
        return said

    def _say(self, violations: tuple[Violation, ...]) -> _Said:
        texts = (
            listed(dict.fromkeys(each.code for each in violations)),
            listed(dict.fromkeys(name for each in violations for name in each.columns)),
            _counted([each.message for each in violations]),
            _counted([each.hint for each in violations]),
        )
        return _Said(
            texts=texts,
            csv=self._separator.join(map(self._cell, texts)),
            guarded=_guarded(*zip(_SAID, texts, strict=True)),
            json=orjson.Fragment(_violations_json(violations)),
        )


_SAID: Final = ("_reject_codes", "_reject_columns", "_reject_reason", "_reject_hint")


def _guarded(*cells: tuple[str, str | None]) -> tuple[str, ...]:
    """The names of those texts that are formula-like."""
    return tuple(name for name, text in cells if text and is_formula_like(text))


def _counted(sentences: list[str]) -> str:
    shown = [printable(each, most=_MOST_MESSAGE) for each in sentences]
    if len(shown) == 1:
        return shown[0]
    return " ".join(f"({place}) {each}" for place, each in enumerate(shown, 1) if each)


def _violations(violations: tuple[Violation, ...]) -> list[dict[str, object]]:
    return [
        {
            "code": each.code,
            "columns": list(each.columns),
            "message": each.message,
            "hint": each.hint,
        }
        for each in violations
    ]


def _violations_json(violations: tuple[Violation, ...]) -> bytes:
    value = _violations(violations)
    try:
        return orjson.dumps(value)
    except TypeError:
        return _ascii_json(value)


def _ascii_json(value: object) -> bytes:
    r"""JSON of what UTF-8 cannot hold: a lone surrogate becomes `\udNNN`."""
    return json.dumps(value, ensure_ascii=True, separators=(",", ":")).encode("ascii")
