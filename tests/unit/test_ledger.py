"""Progress as a fold over receipts."""

import pytest

from ingest.core.ledger import Counts, Progress, Receipt, bitmap, everyone, members, ranges, run_of


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
    """What is delivered, refused or rejected does not go out; what is held is not pending."""
    progress = Progress(total=4, rejected=0b0001, delivered=0b0010, refused=0b0100, held=0b1000)

    assert progress.pending == 0
    for record in range(3):
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


def test_doubtful_records_can_be_held():
    """What is pending and in doubt waits for a decision; what met its end, or is not in doubt, does not."""
    progress = Progress(total=4, delivered=0b0001, doubt=0b0011, parked=0b0100)

    held = progress.hold_doubtful()

    assert (held.held, held.pending, held.doubt) == (0b0010, 0b1100, 0b0011)


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


def test_a_reopened_record_is_held_and_never_pending():
    """A run would send what stands in the source, so a mended record is not for it."""
    progress = Progress(total=4, rejected=0b0011, refused=0b0100, delivered=0b1000)

    reopened = progress.reopen(0b0101)

    assert reopened == Progress(total=4, rejected=0b0010, held=0b0101, delivered=0b1000)
    assert reopened.pending == 0
    assert reopened.counts() == Counts(read=4, delivered=1, rejected=1, unsent=2, held=2)


def test_only_what_was_turned_away_is_reopened():
    """A delivered or pending record does not come back."""
    progress = Progress(total=2, delivered=0b01)

    for record in (0b01, 0b10):
        with pytest.raises(ValueError, match="reopened"):
            progress.reopen(record)


def test_a_mended_record_is_sent_while_it_is_held():
    """Intent, then an end; one that goes unsent stays held, one that ends is held no more."""
    held = Progress(total=3, rejected=0b111).reopen(0b111).intend(0b111)

    settled = held.fold(Receipt(0, 0, 0b111, delivered=0b001, refused=0b010, unsent=0b100))

    assert settled == Progress(total=3, delivered=0b001, refused=0b010, held=0b100)


def test_a_crash_while_mended_records_are_sent_leaves_doubt_and_nothing_pending():
    """They stay held, so that only who knows the mended form sends them again."""
    crashed = Progress(total=2, rejected=0b11).reopen(0b11).intend(0b01).recover()

    assert crashed == Progress(total=2, held=0b11, doubt=0b01)
    assert crashed.counts().in_doubt == 1


@pytest.mark.parametrize("end", ["pending", "delivered", "refused"])
def test_held_records_are_decided_on(end):
    """Each held record gets the end that somebody decided on, and keeps its doubt."""
    progress = Progress(total=2, held=0b11, doubt=0b01)

    decided = progress.decide(0b01, end)

    assert decided.held == 0b10
    assert decided.doubt == 0b01
    assert getattr(decided, end) == 0b01


def test_what_is_not_held_is_not_decided_on():
    """Nor what may be out there at this moment."""
    with pytest.raises(ValueError, match="held"):
        Progress(total=1, rejected=0b1).decide(0b1, "delivered")
    with pytest.raises(ValueError, match="held"):
        Progress(total=1, held=0b1).intend(0b1).decide(0b1, "delivered")


@pytest.mark.parametrize(
    "records",
    [
        pytest.param([], id="none"),
        pytest.param([0], id="the first"),
        pytest.param([7, 8, 9], id="a run"),
        pytest.param([7, 9, 10], id="a gap"),
        pytest.param(list(range(100, 4000)), id="a long run"),
    ],
)
def test_a_run_of_records_is_what_its_records_are(records: list[int]) -> None:
    """Records without a gap become a range, which has the same bitmap and the same spans."""
    run = run_of(records)

    assert list(run) == records
    assert isinstance(run, range) == (len(ranges(records)) == 1)
    assert (bitmap(run), ranges(run)) == (sum(1 << each for each in records), ranges(records))
