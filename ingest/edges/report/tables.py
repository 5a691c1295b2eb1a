"""The reports of one source, rendered in one pass over its rejects.

- `rejects.csv`: UTF-8 with BOM, the source's separator, RFC 4180: CRLF after each row, `"` as the
  quote whatever the source's is.
- `rejects.xlsx`: see `sheet`.
- `rejects.jsonl`: one object a reject, exact.
- `doubt.csv`: only where there is doubt; ASCII, commas.
- `PARTIAL.txt`: only while the reports are of a run that stopped before its end.

Those of rejects are written when there is none, too: whoever fetches them finds them at the same
place each night.
"""

import codecs
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

from ingest.core.guard import printable
from ingest.core.model import Dialect, Doubt, Reject
from ingest.edges.report.durable import PRIVATE, Draft, Written, drafting, workspace
from ingest.edges.report.rows import Rows
from ingest.edges.report.sheet import Sheet
from ingest.edges.report.shelf import Shelf

XLSX_ROWS: Final = 100_000

_CSV: Final = "rejects.csv"
_XLSX: Final = "rejects.xlsx"
_JSONL: Final = "rejects.jsonl"
_DOUBT: Final = "doubt.csv"
_PARTIAL: Final = "PARTIAL.txt"


@dataclass(frozen=True, slots=True)
class ReportPaths:
    """Where the reports of one source stand.

    Args:
        rejects_csv: All rejects.
        rejects_xlsx: The first of them, for a spreadsheet.
        rejects_jsonl: All rejects, for programs.
        doubt_csv: The records in doubt; None where there is none.
        rejects: How many rejects there are.
        doubts: How many records are in doubt.
    """

    rejects_csv: Path
    rejects_xlsx: Path
    rejects_jsonl: Path
    doubt_csv: Path | None
    rejects: int
    doubts: int


def write_reports(
    directory: Path,
    *,
    header: Sequence[str],
    dialect: Dialect,
    source_name: str,
    run_id: str,
    rejects: Callable[[], Iterable[Reject]],
    doubts: Callable[[], Iterable[Doubt]],
    partial: bool,
    mode: int = PRIVATE,
    suggest: Callable[[Reject], str] | None = None,
    xlsx_rows: int = XLSX_ROWS,
) -> ReportPaths:
    """Render the reports of one source, replacing those that stand there.

    Memory does not grow with the rejects. Each file is the old or the new one, never half; all
    are complete before the first of them takes its name.

    Args:
        directory: The source's own, made by `report_directory`.
        header: The columns of the source; empty where it has none.
        dialect: How the source is written.
        source_name: The source, as people know it.
        run_id: The run that renders.
        rejects: Gives all rejects, in the order of the reports; called once.
        doubts: Gives all records in doubt; called once.
        partial: The run stopped before its end.
        mode: Of the files, whatever the umask.
        suggest: A mended value to show beside a reject; empty for none.
        xlsx_rows: Rejects that go to the workbook.

    Raises:
        UsageError: The directory holds a list of files that is not ours.
        StoppedError: The operating system refused.
    """
    shelf = Shelf(directory)
    rows = Rows(
        header,
        dialect=dialect,
        source_name=source_name,
        run_id=run_id,
        suggest=suggest,
    )
    with ExitStack() as stack:

        def draft(name: str) -> Draft:
            return stack.enter_context(drafting(directory, name, mode=mode))

        table, lines, book = draft(_CSV), draft(_JSONL), draft(_XLSX)
        scratch = stack.enter_context(workspace(directory, _XLSX))
        sheet = Sheet(
            book.file, scratch, target=directory / _XLSX, columns=rows.names, most=xlsx_rows
        )
        stack.callback(sheet.abandon)
        count = _render(rejects(), rows, table.file, lines.file, sheet)
        sheet.close(total=count, partial=partial, run_id=run_id)
        drafts = {name: (each, each.settle()) for name, each in _named(table, book, lines)}
        doubtful = draft(_DOUBT)
        in_doubt = _write_doubts(doubtful.file, doubts())
        if in_doubt:
            drafts[_DOUBT] = (doubtful, doubtful.settle())
        if partial:
            # Its name is taken first, and given up last: whole reports may be marked partial
            # for a moment, never the other way round.
            drafts = {_PARTIAL: _partial(draft(_PARTIAL), run_id), **drafts}
        paths = shelf.publish(drafts)
    if not in_doubt:
        shelf.withdraw(_DOUBT)
    if not partial:
        shelf.withdraw(_PARTIAL)
    return ReportPaths(
        rejects_csv=paths[_CSV],
        rejects_xlsx=paths[_XLSX],
        rejects_jsonl=paths[_JSONL],
        doubt_csv=paths.get(_DOUBT),
        rejects=count,
        doubts=in_doubt,
    )


def _named(table: Draft, book: Draft, lines: Draft) -> tuple[tuple[str, Draft], ...]:
    return ((_CSV, table), (_XLSX, book), (_JSONL, lines))


def _render(
    rejects: Iterable[Reject],
    rows: Rows,
    table: BinaryIO,
    lines: BinaryIO,
    sheet: Sheet,
) -> int:
    table.write(codecs.BOM_UTF8 + _utf8(rows.csv_head()))
    count = 0
    room = True
    for reject in rejects:
        laid = rows.laid(reject)
        table.write(_utf8(laid.csv))
        lines.write(rows.json_line(reject))
        room = room and sheet.add(laid.plain, guarded=laid.guarded)
        count += 1
    return count


def _utf8(text: str) -> bytes:
    return text.encode("utf-8", "backslashreplace")  # of a lone surrogate, which it cannot hold


def _write_doubts(file: BinaryIO, doubts: Iterable[Doubt]) -> int:
    file.write(b"record,line,offset,event_uuid,end\r\n")
    count = 0
    for each in doubts:
        line = f"{each.record},{each.line},{each.offset},{each.event_uuid},{each.end}\r\n"
        file.write(line.encode("ascii"))
        count += 1
    return count


def _partial(draft: Draft, run_id: str) -> tuple[Draft, Written]:
    draft.file.write(
        f"Run {printable(run_id)} stopped before its end: the reports beside this file hold what "
        "was known then.\nRun the same command again to carry on; this file goes when all is "
        "done.\n".encode()
    )
    return draft, draft.settle()
