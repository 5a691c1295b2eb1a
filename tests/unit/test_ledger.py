"""Progress as a fold over receipts."""

import pytest

from ingest.core.ledger import Counts, Progress, Receipt, bitmap, everyone, members


def test_bitmap_and_members_are_inverse():
    """Records to a bitmap and back."""
    records = [0, 3, 7, 8, 64, 1000]

    assert list(members(bitmap(records))) == records
    assert bitmap([]) == 0


@pytest.mark.parametrize(
    "ends",
    [
        pytest.param({"delivered": 0b01}, id="one-left-out"),
        pytest.param({"delivered": 0b11, "refused": 0b01}, id="two-ends"),
        pytest.param({"delivered": 0b111}, id="more-than-its-own"),
        pytest.param({"delivered": 0b11, "doubt": 0b100}, id="doubt-outside"),
        pytest.param({"delivered": 0b11, "held": 0b01}, id="delivered-and-held"),
    ],
)
def test_a_receipt_that_leaves_a_record_out_cannot_be_built(ends):
    """Every record of a receipt has exactly one end."""
    with pytest.raises(ValueError, match=r"receipt"):
        Receipt(0, 0, 0b11, **ends)


def test_fold_moves_intent_to_the_end():
    """A receipt ends the intent of its records and gives each its end."""
    progress = Progress(total=4).intend(0b1111)

    folded = progress.fold(Receipt(0, 1, 0b111, delivered=0b001, refused=0b010, unsent=0b100))

    assert folded == Progress(total=4, delivered=0b0010, refused=0b0100, intent=0b0001)
    assert folded.pending == 0b1001


def test_a_receipt_without_intent_is_a_bug():
    """What was never to be sent cannot come back."""
    with pytest.raises(ValueError, match="intent"):
        Progress(total=2).fold(Receipt(0, 0, 0b1, delivered=0b1))


def test_a_settled_record_is_never_intended_again():
    """What is delivered, refused, rejected or held does not go out."""
    progress = Progress(total=4, rejected=0b0001, delivered=0b0010, refused=0b0100, held=0b1000)

    assert progress.pending == 0
    for record in range(4):
        with pytest.raises(ValueError, match="pending"):
            progress.intend(1 << record)


def test_a_crash_turns_intent_into_doubt_and_keeps_it_pending():
    """The doubtful go again."""
    progress = Progress(total=3).intend(0b011).recover()

    assert (progress.doubt, progress.intent, progress.pending) == (0b011, 0, 0b111)
    assert progress.counts().in_doubt == 2


def test_doubt_is_never_taken_back():
    """A doubtful record stays so when it is delivered in the end."""
    progress = Progress(total=1).intend(1).recover().intend(1)

    delivered = progress.fold(Receipt(0, 0, 1, delivered=1))

    assert delivered.counts() == Counts(read=1, delivered=1, in_doubt=1)


def test_parked_twice_is_remembered():
    """The second run that parks a record marks it for sending alone."""
    parked = Receipt(0, 0, 1, unsent=1, parked=1)

    once = Progress(total=1).intend(1).fold(parked)
    twice = once.intend(1).fold(parked)

    assert (once.parked, once.parked_again) == (1, 0)
    assert (twice.parked, twice.parked_again) == (1, 1)


def test_judging_again_never_touches_what_was_delivered():
    """A new verdict holds for the rest only."""
    progress = Progress(total=4, rejected=0b0001, delivered=0b0010, refused=0b0100)

    again = progress.judge_again(0b1010)

    assert again == Progress(total=4, rejected=0b1000, delivered=0b0010)
    assert again.pending == 0b0101


def test_counts_that_lose_a_record_cannot_be_built():
    """Read = delivered + rejected + refused + unsent, or it is an error."""
    with pytest.raises(ValueError, match="lost"):
        Counts(read=3, delivered=1, rejected=1)


def test_a_part_of_counts_can_be_replaced():
    """Totals follow one chunk without being counted anew."""
    before, after = Counts(read=2, unsent=2), Counts(read=2, delivered=1, unsent=1)
    whole = Counts(read=5, delivered=1, rejected=1, unsent=3)

    assert whole.instead(before, after) == Counts(read=5, delivered=2, rejected=1, unsent=2)


def test_everyone_is_all_records():
    """The bitmap of a whole chunk."""
    assert (everyone(0), everyone(3)) == (0, 0b111)
