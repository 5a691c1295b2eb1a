"""The reports of a load on disk, compared with what the ledger and its receipt say of them."""

import csv
import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ingest.core.ledger import members
from ingest.core.load import ChunkState, Load, total
from ingest.edges.report import digests_listed

_MOST_CELL = 1 << 30


def report_findings(
    load: Load,
    states: Sequence[ChunkState],
    *,
    receipt: Mapping[str, Any] | None,
    ledger_digest: str,
) -> tuple[list[str], list[str]]:
    """Compare the last reports of a load with the ledger.

    Args:
        load: As recorded.
        states: Its chunks.
        receipt: Its entry in the summary of the newest run; None where that left none.
        ledger_digest: As calculated now.

    Returns:
        Disagreements, and notes of what was not compared.
    """
    directory = Path(load.reports)
    if not load.reports:
        return [], ["there are no reports of its state: the last run was cut off before them"]
    if not directory.is_dir():
        return [], [f"its reports are not in {directory} any more (ingest report renders them)"]
    found = list(_edited(directory, receipt))
    edited = {name for name, _ in found}
    lines = [line for _, line in found]
    counts = total(states)
    if "rejects.csv" not in edited:
        separator = str(_dialect(load)["separator"])
        lines += _rejects(directory / "rejects.csv", states, separator)
    if "doubt.csv" not in edited:
        rows = sum(1 for _ in _rows(directory / "doubt.csv", ","))
        doubt = max(rows - 1, 0)
        if doubt != counts.in_doubt:
            lines.append(f"doubt.csv has {doubt:,} records, {counts.in_doubt:,} are in doubt")
    lines += _summary(directory.parent / "summary.json", load, ledger_digest)
    return lines, []


def _dialect(load: Load) -> Mapping[str, Any]:
    value: Any = load.form["dialect"]
    return dict(value)


def _edited(directory: Path, receipt: Mapping[str, Any] | None) -> Iterator[tuple[str, str]]:
    """Yield the name of each report that is not as it was written, and a line on it."""
    listed = digests_listed(directory)
    said = {} if receipt is None else receipt.get("report_digests", {})
    paths = {} if receipt is None else receipt["reports"]
    receipts = {Path(paths[kind]).name: digest for kind, digest in said.items() if paths.get(kind)}
    for name in sorted({*listed, *receipts} - {"PARTIAL.txt", "delivered.csv"}):
        path = directory / name
        if not path.is_file():
            if name in receipts:
                yield name, f"{name} is not there any more"
            continue
        with path.open("rb") as file:
            digest = f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}"
        # Reports that were rendered again have another digest than the receipt of their run.
        if digest not in {listed.get(name), receipts.get(name)}:
            yield name, f"{name} was edited since it was written"


def _rejects(path: Path, states: Sequence[ChunkState], separator: str) -> Iterator[str]:
    """Compare the rows of rejects.csv with the records that are rejected or refused."""
    read = states[-1].chunk.stop.record if states else 0
    wanted = np.zeros(read + 1, dtype=np.bool_)
    for state in states:
        bits, first = state.progress.rejected | state.progress.refused, state.chunk.start.record
        wanted[[first + record + 1 for record in members(bits)]] = True
    seen = np.zeros(read + 1, dtype=np.bool_)
    rows = _rows(path, separator)
    header = next(rows, None)
    if header is None:
        yield "rejects.csv is not there"
        return
    column, count = header.index("_reject_record"), 0
    for row in rows:
        number = int(row[column])
        count += 1
        if number <= read:
            seen[number] = True
    counted = int(wanted.sum())
    if count != counted:
        yield f"rejects.csv has {count:,} rows, {counted:,} records are rejected or refused"
    elif (seen != wanted).any():
        record = int(np.flatnonzero(seen != wanted)[0])
        yield f"rejects.csv has other records than are rejected or refused, such as {record:,}"


def _rows(path: Path, separator: str) -> Iterator[list[str]]:
    if not path.is_file():
        return
    csv.field_size_limit(_MOST_CELL)
    with path.open(encoding="utf-8-sig", errors="backslashreplace", newline="") as file:
        yield from csv.reader(file, delimiter=separator)


def _summary(path: Path, load: Load, ledger_digest: str) -> Iterator[str]:
    """Compare the receipt that stands beside the reports."""
    if not path.is_file():
        return
    try:
        sources = json.loads(path.read_bytes())["sources"]
        said = [s["ledger_digest"] for s in sources if s["source_id"] == str(load.source_id)]
    except (ValueError, LookupError, TypeError):
        yield f"{path} is not a summary"
        return
    if said and ledger_digest not in said:
        yield f"{path} has another ledger_digest than the ledger"
