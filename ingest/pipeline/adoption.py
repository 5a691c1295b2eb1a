"""`run --adopt summary.json`: the load of a lost ledger, made again from its receipt.

The load is recorded as the lost ledger would have had it, in one commit: the same source_id, so
the same event_uuids, and of each record what the receipt proves. From there on it is a load like
any other. docs/decisions has what is proven, and what is in doubt.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from ingest.config import RunConfig
from ingest.core import identity as ids
from ingest.core.adoption import Claim, claims_of
from ingest.core.figures import counted
from ingest.core.guard import printable
from ingest.core.ledger import members
from ingest.core.load import ChunkState, Identity, Load, Note, content_of, total
from ingest.edges.store import Store
from ingest.errors import MismatchError, UsageError
from ingest.pipeline.known import Found
from ingest.pipeline.payload import Prepared, doubt_note
from ingest.pipeline.prepare import Preparer, Work
from ingest.pipeline.sources import Opened, check_growth

Item = tuple[ChunkState, Sequence[Note]]
MakeWork = Callable[[Load, Path], Work]
"""Gives what the chunks of a load have in common: the load, where its segments are."""


def read_claims(config: RunConfig) -> list[Claim]:
    """Read the receipt that is to be adopted; nothing without one.

    Raises:
        UsageError: It cannot be read, or is not one of this destination.
    """
    if config.adopt is None:
        return []
    place = config.destination
    try:
        summary = json.loads(config.adopt.read_bytes())
        return claims_of(summary, origin=place.origin, account=place.account)
    except OSError as error:
        reason = f"{error.strerror}"
    except ValueError as error:
        reason = f"{error}"
    raise UsageError(
        f"{config.adopt} cannot be adopted: {printable(reason)}",
        hint="--adopt takes the summary.json of the last run, with the flags of then",
        code="receipt_unusable",
    )


def claimed(claims: Sequence[Claim], source: Opened, load: Load) -> tuple[Claim, Load]:
    """Find the receipt of a source that the ledger does not know; give it and the load of then.

    Args:
        claims: Of the receipt.
        source: Its file.
        load: As it would be, were it new.

    Raises:
        MismatchError: No receipt belongs to the file, or the flags are not those of then.
    """
    now = load.identity
    for claim in claims:
        if claim.name == load.name and claim.first_size <= now.size:
            prefix = source.file.prefix_digests(claim.first_size, now=now.blocks)
            if content_of(prefix) == claim.fingerprint:
                break
    else:
        raise _foreign(source, "has no receipt of a file that begins with its bytes")
    if claim.source_id != ids.source_id(claim.fingerprint, load.name or None):
        raise _foreign(source, "names another source_id than the fingerprint gives")
    same = claim.size <= now.size and claim.content == content_of(
        source.file.prefix_digests(claim.size, now=now.blocks)
    )
    if not same:
        raise _foreign(source, f"was made when it had other content ({claim.size:,} bytes)")
    if claim.config_digest != load.config_digest:
        raise MismatchError(
            f"{source.file.path}: the receipt was made with another mapping or other rules",
            hint="use the flags of then",
            code="config_changed",
        )
    known = replace(now, first_size=claim.first_size, fingerprint=claim.fingerprint)
    return claim, replace(load, source_id=claim.source_id, identity=known)


def _foreign(source: Opened, what: str) -> MismatchError:
    return MismatchError(
        f"{source.file.path}: the receipt {what}",
        hint="adopt the summary.json of the last run on this file, or run without --adopt",
        code="receipt_of_another_file",
    )


def adopt(
    store: Store,
    source: Opened,
    claim: Claim,
    load: Load,
    *,
    work: MakeWork,
    obey: Callable[[], None],
) -> tuple[Found, str]:
    """Record a load as its receipt has it, in one commit; give it, and what to tell.

    Args:
        store: The ledger, without the load.
        source: The file.
        claim: Its receipt.
        load: From `claimed`, and locked.
        work: What its chunks have in common.
        obey: Called between chunks; raises when the run is to stop.

    Raises:
        MismatchError: The receipt counts other records than the file has; nothing is recorded.
    """
    ended: dict[int, ChunkState] = {}

    def fill(numbered: Load) -> Iterator[Item]:
        segments = store.segments(numbered)
        if claim.exact:
            then = replace(numbered, identity=_cut(source, claim, numbered.identity))
            for prepared in Preparer(work(then, segments)).all([], limit=None):
                obey()
                yield _keep(ended, _delivered(prepared, doubt=claim.in_doubt > 0))
            _compare(source, claim, list(ended.values()))
        known = list(ended.values())
        if claim.size < numbered.identity.size:
            check_growth(source, known)
        for prepared in Preparer(work(numbered, segments)).all(known, limit=None):
            obey()
            yield _keep(ended, _doubted(prepared))

    stored = store.adopt(load, fill)
    counts = total(ended.values())
    told = f"adopted {source.file.path} from run {claim.run_id}:"
    if counts.delivered:
        told += f" {counted(counts.delivered, 'record')} count as delivered;"
    pending = counts.unsent
    told += (
        f" {counted(pending, 'record')} may have arrived, and go again under the same event_uuids"
        if pending
        else " nothing is left to send"
    )
    return Found(stored), told


def _cut(source: Opened, claim: Claim, identity: Identity) -> Identity:
    blocks = source.file.prefix_digests(claim.size, now=identity.blocks)
    return replace(identity, size=claim.size, blocks=blocks)


def _keep(ended: dict[int, ChunkState], item: Item) -> Item:
    state, _ = item
    ended[state.chunk.chunk_id] = state
    return item


def _delivered(prepared: Prepared, *, doubt: bool) -> Item:
    state = prepared.state
    pending = state.progress.pending
    progress = replace(state.progress, delivered=pending, doubt=pending if doubt else 0)
    notes = _notes(prepared, pending) if doubt else ()
    return replace(state, progress=progress), notes


def _doubted(prepared: Prepared) -> Item:
    state = prepared.state
    pending = state.progress.pending
    progress = replace(state.progress, doubt=state.progress.doubt | pending)
    return replace(state, progress=progress), _notes(prepared, pending)


def _notes(prepared: Prepared, records: int) -> Sequence[Note]:
    payload = prepared.payload
    describe = payload.describe
    return [doubt_note(payload.chunk_id, each, describe(each)) for each in members(records)]


def _compare(source: Opened, claim: Claim, states: Sequence[ChunkState]) -> None:
    counts = total(states)
    for end, count in claim.records.items():
        found: int = getattr(counts, end)
        if found != count:
            raise MismatchError(
                f"{source.file.path}: the receipt counts {count:,} {end}, judged again {found:,} are",
                hint="where rejects were mended and sent since, adopt the receipt of the run before",
                code="receipt_counts_differ",
            )
