"""Sources on the local disk: what they are, how they are listed, read and locked.

`files` gives identities and reads that prove themselves, `packed` reads compressed files as if
they were not, `listing` turns what was typed into files, `locks` keeps two runs apart, `exported`
reads the error records of another system.
"""

from ingest.edges.source.exported import Objects, exported_files
from ingest.edges.source.files import LocalFile, ProvenReader, Seen, spooled
from ingest.edges.source.listing import expand, listed
from ingest.edges.source.locks import hold

__all__ = [
    "LocalFile",
    "Objects",
    "ProvenReader",
    "Seen",
    "expand",
    "exported_files",
    "hold",
    "listed",
    "spooled",
]
