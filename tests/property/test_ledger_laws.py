"""Laws of the ledger, whatever happens in whatever order."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.core.ledger import Progress, Receipt, everyone, joined

ENDS = ("delivered", "refused", "unsent")


@st.composite
def histories(draw):
    """A chunk, its verdict, and steps: intents, receipts in any order, crashes."""
    total = draw(st.integers(0, 40))
    rejected = draw(st.integers(0, everyone(total)))
    steps = draw(st.lists(st.tuples(st.sampled_from(["intend", "settle", "crash"]), st.randoms())))
    return total, rejected, steps


def _settle(progress, chance):
    records = progress.intent & chance.getrandbits(max(progress.total, 1))
    ends = dict.fromkeys(ENDS, 0)
    for position in range(progress.total):
        if records >> position & 1:
            ends[chance.choice(ENDS)] |= 1 << position
    doubt = records & chance.getrandbits(max(progress.total, 1))
    return progress.fold(Receipt(0, 0, records, **ends, doubt=doubt))


def _step(progress, kind, chance):
    if kind == "intend":
        return progress.intend(progress.pending & chance.getrandbits(max(progress.total, 1)))
    return _settle(progress, chance) if kind == "settle" else progress.recover()


@given(histories())
def test_settled_and_gaps_are_everyone_after_any_history(history):
    """Each record is in exactly one of rejected, delivered, refused, pending; doubt never falls."""
    total, rejected, steps = history
    progress = Progress(total, rejected=rejected)
    for kind, chance in steps:
        after = _step(progress, kind, chance)

        assert after.rejected == rejected
        assert after.delivered & progress.delivered == progress.delivered
        assert after.refused & progress.refused == progress.refused
        assert after.doubt & progress.doubt == progress.doubt
        progress = after

        ends = [progress.rejected, progress.delivered, progress.refused, progress.pending]
        assert sum(ends) == everyone(total)
        counts = progress.counts()
        assert counts.read == total
        assert counts.unsent == progress.pending.bit_count()


@given(histories(), st.randoms())
def test_what_is_reopened_is_held_or_ended_after_any_history(history, luck):
    """Mended records are never pending, so that no run sends what was rejected; none is lost."""
    total, rejected, steps = history
    progress = Progress(total, rejected=rejected)
    mended = 0
    for kind, chance in steps:
        back = (progress.rejected | progress.refused) & luck.getrandbits(max(total, 1))
        mended |= back
        progress = progress.reopen(back)
        if kind == "intend":
            wanted = (progress.pending | progress.held & mended) & chance.getrandbits(max(total, 1))
            progress = progress.intend(wanted)
        else:
            progress = _settle(progress, chance) if kind == "settle" else progress.recover()

        assert not progress.pending & mended
        ends = [progress.rejected, progress.delivered, progress.refused, progress.held]
        assert sum(ends) + progress.pending == everyone(total)
        assert progress.counts().read == total


@st.composite
def receipts_of_one_chunk(draw):
    """Receipts that share no record, each with a base of its own."""
    owners = draw(st.lists(st.integers(0, 3), min_size=1, max_size=60))
    ends = draw(st.lists(st.sampled_from(ENDS), min_size=len(owners), max_size=len(owners)))
    marks = draw(st.integers(0, everyone(3 * len(owners))))
    receipts = []
    for owner in sorted(set(owners)):
        mine = [at for at, other in enumerate(owners) if other == owner]
        base = draw(st.integers(0, mine[0]))
        fields = {name: sum(1 << at - base for at in mine if ends[at] == name) for name in ENDS}
        mask = sum(1 << at - base for at in mine)
        doubt, parked, held = (marks >> n * len(owners) + base & mask for n in range(3))
        unsent = fields["unsent"]
        receipts.append(
            Receipt(
                0, base, mask, **fields, doubt=doubt, parked=parked & unsent, held=held & unsent
            )
        )
    return len(owners), draw(st.permutations(receipts))


@given(receipts_of_one_chunk())
def test_receipts_joined_say_what_each_says(drawn):
    """One fold of joined receipts is all the folds of each, in whatever order."""
    total, receipts = drawn
    begun = Progress(total, intent=everyone(total), parked=everyone(total) // 3)
    one_by_one = begun
    for receipt in receipts:
        one_by_one = one_by_one.fold(receipt)

    assert begun.fold(joined(receipts)) == one_by_one


@given(receipts_of_one_chunk())
def test_a_record_with_two_receipts_is_a_bug(drawn):
    """Joining does not hide that a record was settled twice, or that chunks are mixed up."""
    _, receipts = drawn

    with pytest.raises(ValueError, match="two receipts"):
        joined([*receipts, receipts[0]])
    with pytest.raises(ValueError, match="two chunks"):
        joined([*receipts, replace(receipts[0], chunk_id=1)])
