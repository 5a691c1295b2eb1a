"""Batches of what is left of a chunk, and what is known of their past."""

import pytest

from ingest.core.batching import BULK
from ingest.core.ledger import Progress, bitmap
from ingest.pipeline.payload import Payload


def payload(*records: int, before: Progress | None = None) -> Payload:
    """Events of these records of a chunk of ten."""
    ends = [2 * n + 1 for n in range(len(records))]
    body = b",".join(b"0" for _ in records)
    return Payload(0, body, ends, records, lambda _: {}, before=before or Progress(10))


def test_only_those_that_failed_twice_go_alone_for_good() -> None:
    """Neighbours of such a record go singly, too, but fail for the first time if they fail."""
    batches = payload(0, 2, 4, 6, 8).batches(
        wrapper=BULK, max_events=3, max_bytes=1000, alone=bitmap([2])
    )

    assert [(list(batch.records), batch.alone) for batch in batches] == [
        ([0], False), ([2], True), ([4], False), ([6, 8], False),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("doubt", "doubted"),
    [
        pytest.param([], False, id="none"),
        pytest.param([2], False, id="one-of-two"),
        pytest.param([2, 4], True, id="both"),
        pytest.param([0, 1, 2, 3, 4], True, id="and-others"),
    ],
)
def test_a_batch_is_doubted_when_all_of_it_is(doubt: list[int], *, doubted: bool) -> None:
    """A 409 tells something of a batch only where each of its records may be there already."""
    before = Progress(10, doubt=bitmap(doubt))

    (batch,) = payload(2, 4, before=before).batches(
        wrapper=BULK, max_events=9, max_bytes=1000, alone=0
    )

    assert batch.doubted is doubted


@pytest.mark.parametrize(
    ("parked", "was"),
    [
        pytest.param([], False, id="none"),
        pytest.param([4], True, id="one-of-two"),
        pytest.param([5], False, id="another"),
    ],
)
def test_a_batch_was_parked_when_some_of_it_was(parked: list[int], *, was: bool) -> None:
    """Cuts change: one record with a past is enough to doubt that the server is at fault."""
    before = Progress(10, parked=bitmap(parked))

    (batch,) = payload(2, 4, before=before).batches(
        wrapper=BULK, max_events=9, max_bytes=1000, alone=0
    )

    assert batch.parked_before is was
