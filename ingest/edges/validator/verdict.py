"""What the rules say about the rows of a table."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl

from ingest.core.model import Severity
from ingest.core.rules import Code

Mask = npt.NDArray[np.bool_]
Violations = tuple[tuple[str, tuple[str, ...]], ...]

BITS: Final = 64


@dataclass(frozen=True, slots=True)
class Found:
    """The rows in which some fields break a rule: known for all rows, or worked out on demand."""

    code: str
    fields: tuple[str, ...]
    rows: pl.Series | pl.Expr


@dataclass(frozen=True)
class Verdict:
    """What the rules say about each row of a table: all violations, not only the first.

    Args:
        words: The bit mask of each row, one UInt64 array for each 64 codes; bit i of word w
            stands for `codes[64 * w + i]`.
        codes: The codes in a fixed order: those of reading first, then those of the rules.
    """

    words: tuple[npt.NDArray[np.uint64], ...]
    codes: tuple[Code, ...]
    _counts: Mapping[str, int]
    _found: Sequence[Found]
    _frame: pl.DataFrame
    _rows: dict[Severity, dict[int, Violations]] = field(default_factory=dict)

    @cached_property
    def rejected(self) -> Mask:
        """Rows that break at least one rule of severity error."""
        return self._any(Severity.ERROR)

    @cached_property
    def warned(self) -> Mask:
        """Rows that break at least one rule of severity warning, rejected or not."""
        return self._any(Severity.WARNING)

    def errors(self) -> dict[str, int]:
        """For each code of severity error that occurs, the rows that have it."""
        return self._by_code(Severity.ERROR)

    def warnings(self) -> dict[str, int]:
        """For each code of severity warning that occurs, the rows that have it."""
        return self._by_code(Severity.WARNING)

    def rows_with(self, code: str) -> Mask:
        """The rows that have this code."""
        for index, known in enumerate(self.codes):
            if known.code == code:
                bit = np.uint64(1 << index % BITS)
                return np.asarray((self.words[index // BITS] & bit) != 0, dtype=np.bool_)
        return np.zeros(self._frame.height, dtype=np.bool_)

    def violations(self, row: int, *, severity: Severity = Severity.ERROR) -> Violations:
        """Each code of this severity that a row has, with the fields concerned.

        The first call for a severity works out all rows that have one, so it costs as many steps
        as there are such rows; later calls cost one.

        Args:
            row: The row of the table, from 0.
            severity: Error or warning.

        Returns:
            In the order of `codes`; empty for a row without any.
        """
        if severity not in self._rows:
            self._rows[severity] = self._work_out(severity)
        return self._rows[severity].get(row, ())

    def _any(self, severity: Severity) -> Mask:
        result = np.zeros(self._frame.height, dtype=np.bool_)
        for number, word in enumerate(self.words):
            codes = self.codes[number * BITS : (number + 1) * BITS]
            bits = sum(1 << i for i, code in enumerate(codes) if code.severity is severity)
            result |= (word & np.uint64(bits)) != 0
        return result

    def _by_code(self, severity: Severity) -> dict[str, int]:
        mine = [code.code for code in self.codes if code.severity is severity]
        return {code: self._counts[code] for code in mine if self._counts.get(code)}

    def _work_out(self, severity: Severity) -> dict[int, Violations]:
        """For each row with a violation of this severity, its codes and their fields."""
        order = {code.code: i for i, code in enumerate(self.codes) if code.severity is severity}
        flagged = np.flatnonzero(self._any(severity))
        found = [one for one in self._found if one.code in order]
        mine = self._frame[flagged] if found else self._frame.clear()
        looked = mine.with_columns(
            **{
                f"v{i}": one.rows if isinstance(one.rows, pl.Expr) else one.rows.gather(flagged)
                for i, one in enumerate(found)
            }
        )
        rows: dict[int, dict[str, dict[str, None]]] = {}
        for i, one in sorted(enumerate(found), key=lambda pair: order[pair[1].code]):
            for at in looked[f"v{i}"].arg_true().to_list():
                codes = rows.setdefault(int(flagged[at]), {})
                codes.setdefault(one.code, {}).update(dict.fromkeys(one.fields))
        return {
            row: tuple((code, tuple(fields)) for code, fields in codes.items())
            for row, codes in rows.items()
        }
