"""What is written for people and for the way back: reject segments, reports, summaries.

`segment` keeps the rejects of a chunk; `tables` renders those of a source for people; `shelf`
keeps foreign files safe; `durable` makes each file whole or not there.
"""

from ingest.edges.report.durable import sweep
from ingest.edges.report.rows import listed
from ingest.edges.report.segment import SegmentRef, read_segment, write_segment
from ingest.edges.report.shelf import (
    digests_listed,
    report_directory,
    safe_stem,
    write_document,
    write_summary,
    write_table,
)
from ingest.edges.report.tables import XLSX_ROWS, ReportPaths, write_reports

__all__ = [
    "XLSX_ROWS",
    "ReportPaths",
    "SegmentRef",
    "digests_listed",
    "listed",
    "read_segment",
    "report_directory",
    "safe_stem",
    "sweep",
    "write_document",
    "write_reports",
    "write_segment",
    "write_summary",
    "write_table",
]
