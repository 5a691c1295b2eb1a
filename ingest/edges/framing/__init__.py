"""CSV bytes to sound records and faults: nothing padded, shifted, merged, dropped or guessed.

`outline` finds the records by whole-array operations, `table` has polars parse what is proven,
`frames` joins both to frames, `header` reads the first record and refuses what is no CSV.
"""

from ingest.edges.framing.frames import RESYNC_LINES, frames
from ingest.edges.framing.header import read_header, sniff
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
