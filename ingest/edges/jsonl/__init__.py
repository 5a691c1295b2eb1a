"""JSON lines to sound objects and faults; objects to columns for the rules; lines to events.

`frames` cuts lines and has orjson judge each; `events` gathers what the rules need; `outline`
finds members by whole-array operations, so that `rewrite` and `encode` can exchange some and keep
every other byte; `keys` gives the values that ids are
made from; `opening` looks at the first records in place of a header.
"""

from ingest.edges.jsonl.encode import Encoded, encoded, mended, sizes
from ingest.edges.jsonl.events import Collector, Column, Events, Wanted
from ingest.edges.jsonl.frames import frames
from ingest.edges.jsonl.keys import key_texts
from ingest.edges.jsonl.opening import SAMPLE_RECORDS, Look, is_jsonl, look
from ingest.edges.jsonl.rewrite import FLATTEN_CONFLICT, Rewriter, Rewritten
from ingest.edges.jsonl.values import Fault, Frame, Limits, ReadAt

__all__ = [
    "FLATTEN_CONFLICT",
    "SAMPLE_RECORDS",
    "Collector",
    "Column",
    "Encoded",
    "Events",
    "Fault",
    "Frame",
    "Limits",
    "Look",
    "ReadAt",
    "Rewriter",
    "Rewritten",
    "Wanted",
    "encoded",
    "frames",
    "is_jsonl",
    "key_texts",
    "look",
    "mended",
    "sizes",
]
