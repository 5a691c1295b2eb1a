"""Texts that come more than once among any number of them, in memory that does not grow.

What is added is spread over files by its hash: equal texts meet in the same part, and each part is
small enough to be looked at as a whole.
"""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import polars as pl

_PARTS = 64
_MOST_ROWS = 250_000
_MOST_BYTES = 32 << 20
_SHOWN_NUMBERS = 10


@dataclass(frozen=True, slots=True)
class Repeated:
    """A text that came more than once.

    Args:
        text: It.
        times: How often it came.
        numbers: The first ten of its numbers, ascending.
    """

    text: str
    times: int
    numbers: tuple[int, ...]


class Repeats:
    """Finds texts that come more than once; use as a context manager.

    Args:
        directory: Where the parts are kept meanwhile, in a private directory of their own.
    """

    def __init__(self, directory: Path) -> None:
        self._place = tempfile.TemporaryDirectory(prefix="audit-", dir=directory)
        self._waiting: list[pl.DataFrame] = []
        self._rows = self._bytes = self._writes = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._place.cleanup()

    def add(self, texts: Sequence[str], numbers: Sequence[int]) -> None:
        """Take texts with their numbers in."""
        table = pl.DataFrame(
            {
                "text": pl.Series(texts, dtype=pl.String),
                "number": pl.Series(numbers, dtype=pl.Int64),
            }
        )
        self._waiting.append(table)
        self._rows += table.height
        self._bytes += int(table.estimated_size())
        if self._rows >= _MOST_ROWS or self._bytes >= _MOST_BYTES:
            self._write()

    def found(self, *, most: int) -> tuple[int, int, list[Repeated]]:
        """Give how many texts come more than once, how often together, and the first of them.

        Args:
            most: How many are listed: those whose first numbers are the smallest.
        """
        self._write()
        texts = times = 0
        listed: list[Repeated] = []
        for part in range(_PARTS):
            paths = sorted(Path(self._place.name).glob(f"{part:02d}-*"))
            if not paths:
                continue
            table = pl.concat([pl.read_ipc(path) for path in paths])
            groups = (
                table.filter(table["text"].is_duplicated())
                .group_by("text")
                .agg(pl.len().alias("times"), pl.col("number").sort().head(_SHOWN_NUMBERS))
            )
            texts += groups.height
            times += int(groups["times"].sum())
            first = groups.sort(pl.col("number").list.first()).head(most)
            listed += [Repeated(text, count, tuple(n)) for text, count, n in first.iter_rows()]
            listed = sorted(listed, key=lambda each: each.numbers)[:most]
        return texts, times, listed

    def _write(self) -> None:
        if not self._waiting:
            return
        table = pl.concat(self._waiting)
        self._waiting.clear()
        self._rows = self._bytes = 0
        spread = table.with_columns(part=table["text"].hash() % _PARTS)
        for (part,), rows in spread.partition_by("part", as_dict=True, include_key=False).items():
            name = f"{part:02d}-{self._writes:08d}"
            rows.write_ipc(Path(self._place.name) / name)
        self._writes += 1
