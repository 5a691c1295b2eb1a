"""What became of the rows of a returned report, as text."""

from collections.abc import Mapping
from typing import Any

from ingest.core.figures import counted
from ingest.core.mending import OUTCOMES

_MOST = 8


def returned_lines(told: Mapping[str, Any] | None) -> list[str]:
    """Give what became of the rows of a file, a line for each way."""
    if told is None:
        return []
    outcomes: Mapping[str, int] = told["outcomes"]
    lines = [f"{counted(told['rows'], 'row')} came back in {told['file']}:"]
    width = max((len(f"{count:,}") for count in outcomes.values()), default=1)
    for name, words in OUTCOMES.items():
        if count := outcomes.get(name, 0):
            places = told["row_numbers"][name]
            lines.append(f"  {count:>{width},}  {words}{_rows(name, places, count)}")
    if told["restored_cells"]:
        lines.append(
            f"{counted(told['restored_cells'], 'cell')} that a spreadsheet changed"
            " keep their original values"
        )
    if told["edits_not_taken"]:
        lines.append(
            f"edits were not taken in {', '.join(told['edits_not_taken'])}, which no code of those"
            " rows names (--accept-edits COL)"
        )
    lines.append(f"what became of each row: {told['answers']}")
    return lines


def _rows(name: str, places: list[int], count: int) -> str:
    if name in {"delivered", "refused"}:
        return ""
    shown = ", ".join(map(str, places[:_MOST]))
    return f" (row {shown}{', ...' if count > len(places[:_MOST]) else ''})"
