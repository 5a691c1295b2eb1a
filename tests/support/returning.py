"""Rejects on their way back: reports mended as people mend them, and LibreOffice to do it with."""

import csv
import io
import json
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import openpyxl

from tests.support.programs import program
from tests.support.workdir import Done, Workdir

Edit = Callable[[dict[str, str]], None]
"""Changes a row of a report in place."""

# Of LibreOffice's text filter: separator, quote, UTF-8, first line, columns, language, quoted
# fields are text, special numbers are found.
GUESSED = "Text - txt - csv (StarCalc):44,34,76,1,,0,false,true"
AS_TEXT = "Text - txt - csv (StarCalc):44,34,76,1,{columns},0,false,false"
SEMICOLONS = "csv:Text - txt - csv (StarCalc):59,34,76,1,,0,false,true"


def read_csv(path: Path, *, separator: str = ",") -> list[dict[str, str]]:
    """The rows of a report."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file, delimiter=separator))


def write_csv(path: Path, rows: Sequence[Mapping[str, str]], *, separator: str = ",") -> Path:
    """Write rows as a report."""
    text = io.StringIO()
    table = csv.DictWriter(text, list(rows[0]), delimiter=separator)
    table.writeheader()
    table.writerows(rows)
    path.write_bytes(text.getvalue().encode("utf-8-sig"))
    return path


def mend_csv(path: Path, edit: Edit, *, into: Path, separator: str = ",") -> Path:
    """Edit each row of a CSV report."""
    rows = read_csv(path, separator=separator)
    for row in rows:
        edit(row)
    return write_csv(into, rows, separator=separator)


def mend_xlsx(path: Path, edit: Edit, *, into: Path) -> Path:
    """Edit each row of a workbook, as typed into it."""
    book = openpyxl.load_workbook(path)
    sheet = book.worksheets[0]
    names = [cell.value for cell in sheet[1]]
    for cells in sheet.iter_rows(min_row=2):
        row = {name: cell.value or "" for name, cell in zip(names, cells, strict=True)}
        before = dict(row)
        edit(row)
        for name, cell in zip(names, cells, strict=True):
            if row[name] != before[name]:
                cell.value = row[name] or None
    book.save(into)
    return into


def mend_jsonl(path: Path, edit: Edit, *, into: Path) -> Path:
    """Edit each object of a report in JSON Lines; `_reject_raw` stands for its `raw`."""
    lines = []
    for text in path.read_text(encoding="utf-8").splitlines():
        value = json.loads(text)
        cells = value["cells"] or {}
        row = {name: cell or "" for name, cell in cells.items()}
        row |= {
            "_reject_raw": value["raw"] or "",
            "_reject_codes": " ".join(each["code"] for each in value["violations"]),
            "_reject_record": str(value["record"]),
        }
        edit(row)
        value["raw"] = row["_reject_raw"] or None
        value["cells"] = {name: row[name] or None for name in cells} if value["cells"] else None
        lines.append(json.dumps(value))
    into.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return into


def answers(work: Workdir, done: Done) -> list[dict[str, str]]:
    """What became of each row, by the file that the summary names."""
    return read_csv(work.root / done.summary["retry"]["answers"])


def rejects(work: Workdir, done: Done, kind: str = "rejects_csv") -> Path:
    """The report of the first source of a summary."""
    return work.root / done.summary["sources"][0]["reports"][kind]


def office(work: Workdir, source: Path, *, reading: str | None, writing: str, name: str) -> Path:
    """Have LibreOffice open a file and save it in another form; give that."""
    soffice = program("soffice", package="libreoffice-calc-nogui")
    out = work.root / f"office-{name}"
    profile = (work.root.parent / "office-profile").as_uri()
    command: list[Any] = [soffice, f"-env:UserInstallation={profile}", "--headless"]
    command += [f"--infilter={reading}"] if reading else []
    done = subprocess.run(
        [*command, "--convert-to", writing, "--outdir", out, source],
        capture_output=True,
        timeout=120,
        check=False,
    )
    found = list(out.glob("*")) if out.exists() else []
    assert found, done.stderr.decode()
    return found[0]
