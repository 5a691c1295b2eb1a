"""What makes a summary a receipt: digests of the ledger's rows and of the reports."""

from collections.abc import Mapping, Sequence
from itertools import chain
from pathlib import Path

from ingest.core.load import ChunkState, Load
from ingest.core.receipt import ledger_digest
from ingest.edges.report import digests_listed
from ingest.edges.store import Store


def digest_in(store: Store, load: Load, states: Sequence[ChunkState]) -> str:
    """Give the digest of all that the ledger says of a load's records."""
    notes = chain(store.notes(load, "refused"), store.notes(load, "doubt"))
    return ledger_digest(load, states, notes)


def report_digests(reports: Mapping[str, str | None]) -> dict[str, str | None]:
    """Give the digests of reports as they were written, by kind; None where there is none.

    They are not read again for that: what is put on the shelf is listed there with its digest.

    Args:
        reports: Paths of the reports of one source by kind.
    """
    found: dict[str, str | None] = {}
    for kind, path in reports.items():
        listed = {} if path is None else digests_listed(Path(path).parent)
        found[kind] = None if path is None else listed.get(Path(path).name)
    return found
