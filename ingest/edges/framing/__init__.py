"""CSV bytes to sound records and faults: nothing padded, shifted, merged, dropped or guessed.

`outline` finds the records by whole-array operations, `table` has polars parse what is proven,
`frames` joins both to frames. `opening` refuses what is no CSV, `separators` finds the separator,
`header` the names of the columns.
"""

from ingest.edges.framing.frames import RESYNC_LINES, frames
from ingest.edges.framing.header import read_header
from ingest.edges.framing.separators import sniff
from ingest.edges.framing.values import Fault, Frame, Header, Limits, ReadAt

__all__ = [
    "RESYNC_LINES",
    "Fault",
    "Frame",
    "Header",
    "Limits",
    "ReadAt",
    "frames",
    "read_header",
    "sniff",
]
