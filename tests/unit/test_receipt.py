"""The digest of a load's rows, calculated a second time by the words of docs/json-summary.md."""

import hashlib
from dataclasses import replace
from uuid import UUID

import pytest

from ingest.core.ledger import Progress
from ingest.core.load import (
    ChunkState,
    Destination,
    Findings,
    Identity,
    Load,
    Note,
    Segment,
    Stat,
)
from ingest.core.model import Chunk, Position
from ingest.core.receipt import ledger_digest

SOURCE = UUID(int=7)
LOAD = Load(
    3, Destination("https://x", "shop"), SOURCE, "again", "/p", Identity(5, "sha256:aa", 9, b"", Stat(1, 2, 3, 4, 5, 6)),
    {}, "cd", {}, fence=2, run_id="r", reports="/somewhere",
)  # fmt: skip
PROGRESS = Progress(
    12, rejected=1, delivered=0b10, refused=0b100, doubt=0b1010, intent=1 << 11, held=8
)
STATE = ChunkState(
    Chunk(0, Position(4, 2, 2), Position(9, 14, 15)),
    PROGRESS,
    Findings(segment=Segment("s", 1, "ee", 1)),
)
NOTES = (
    Note(0, 2, "refused", {"code": "api_refused", "message": "no"}),
    Note(0, 1, "doubt", {"event_uuid": "u-1", "line": 3}),
)
LINES = (
    f'["load","https://x","shop","{SOURCE}","again",5,"sha256:aa",9,"cd"]\n'
    '["chunk",0,4,2,2,9,14,15,"1","2","4","80a","8","ee"]\n'
    '["refused",5,"api_refused"]\n'
    '["doubt",4,"u-1"]\n'
)


def test_the_ledger_digest_is_what_the_docs_say() -> None:
    """Anyone can calculate it: SHA-256 over lines of JSON."""
    assert (
        ledger_digest(LOAD, [STATE], NOTES)
        == "sha256:" + hashlib.sha256(LINES.encode()).hexdigest()
    )


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(replace(PROGRESS, delivered=0, doubt=0b1000), id="another-end"),
        pytest.param(replace(PROGRESS, doubt=0b10), id="another-doubt"),
        pytest.param(replace(PROGRESS, held=0), id="not-held"),
    ],
)
def test_another_end_is_another_digest(other: Progress) -> None:
    """No record can meet another end under the same digest."""
    changed = replace(STATE, progress=other)

    assert ledger_digest(LOAD, [changed], NOTES) != ledger_digest(LOAD, [STATE], NOTES)


def test_claims_runs_and_places_do_not_change_it() -> None:
    """A run that changes no record changes no digest."""
    moved = replace(LOAD, path="/q", fence=9, run_id="later", reports="", load_id=8)

    assert ledger_digest(moved, [STATE], NOTES) == ledger_digest(LOAD, [STATE], NOTES)
