"""Progress as a fold over receipts: which records have met which end.

The rules, in prose:

- A chunk's verdict comes first and is final: `rejected` never changes while a verdict stands.
- Intent comes before sending. A record with intent and no receipt may or may not have gone out.
- A receipt ends the intent of every record that it names, and gives each exactly one end:
  delivered, refused, or unsent. Unsent records are pending again, unless they are held.
- Doubt is never taken back: once the outcome of an attempt was unknown, it stays known as such.
- After a crash, intent that is left over turns into doubt.
- A rejected or refused record that comes back mended is reopened: held, since a run would send what
  stands in the source. Who sends its mended form has intent for it while it is held.

Bitmaps are Python integers: bit `i` is record `i` of the chunk. Batches have no durable identity.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal


def bitmap(records: Iterable[int]) -> int:
    """Give the bitmap that has the bits of `records` set."""
    if isinstance(records, range) and records.step == 1:
        return everyone(len(records)) << records.start if records else 0
    positions = list(records)
    if not positions:
        return 0
    field = bytearray(max(positions) // 8 + 1)
    for position in positions:
        field[position >> 3] |= 1 << (position & 7)
    return int.from_bytes(field, "little")


def members(bits: int) -> Iterator[int]:
    """Yield the positions of the set bits, ascending."""
    for index, byte in enumerate(bits.to_bytes((bits.bit_length() + 7) // 8, "little")):
        rest = byte
        while rest:
            low = rest & -rest
            yield index * 8 + low.bit_length() - 1
            rest ^= low


def run_of(records: Sequence[int]) -> Sequence[int]:
    """Give ascending records as a range if there is no gap between them; most batches have none."""
    if records and records[-1] - records[0] + 1 == len(records):
        return range(records[0], records[-1] + 1)
    return records


def ranges(records: Iterable[int]) -> list[list[int]]:
    """Give ascending records as half-open spans: `[0, 1, 2, 5]` as `[[0, 3], [5, 6]]`."""
    if isinstance(records, range) and records.step == 1:
        return [[records.start, records.stop]] if records else []
    spans: list[list[int]] = []
    for record in records:
        if spans and spans[-1][1] == record:
            spans[-1][1] = record + 1
        else:
            spans.append([record, record + 1])
    return spans


def everyone(count: int) -> int:
    """Give the bitmap of the first `count` records."""
    return (1 << count) - 1


@dataclass(frozen=True, slots=True)
class Receipt:
    """What became of some records of one chunk; one that leaves a record out cannot be built.

    Args:
        chunk_id: The chunk.
        base: The record of the chunk that bit 0 of the bitmaps stands for.
        records: The records that it accounts for.
        delivered: Confirmed by the API.
        refused: The API will not take them.
        unsent: Neither; they are pending again.
        doubt: Those with an attempt of unknown outcome, whatever their end.
        parked: Unsent because their batch failed while others passed.
        held: Unsent, and not to be sent again until somebody decides.
    """

    chunk_id: int
    base: int
    records: int
    delivered: int = 0
    refused: int = 0
    unsent: int = 0
    doubt: int = 0
    parked: int = 0
    held: int = 0

    def __post_init__(self) -> None:
        ends = (self.delivered, self.refused, self.unsent)
        if sum(end.bit_count() for end in ends) != self.records.bit_count():
            raise ValueError("a receipt gives every record exactly one end")
        if self.delivered | self.refused | self.unsent != self.records or self.base < 0:
            raise ValueError("a receipt speaks of its own records only")
        if self.doubt & ~self.records or (self.parked | self.held) & ~self.unsent:
            raise ValueError("doubt, parked and held are marks on the receipt's records")


def joined(receipts: Sequence[Receipt]) -> Receipt:
    """Give one receipt that says what several of one chunk say.

    Args:
        receipts: At least one.

    Raises:
        ValueError: Two speak of the same record, or of two chunks.
    """
    if len({receipt.chunk_id for receipt in receipts}) != 1:
        raise ValueError("receipts of two chunks cannot be joined")
    base = min(receipt.base for receipt in receipts)
    shifts = [receipt.base - base for receipt in receipts]

    def union(name: str) -> int:
        pairs = zip(receipts, shifts, strict=True)
        return _union(
            [bits << shift for receipt, shift in pairs if (bits := getattr(receipt, name))]
        )

    records = union("records")
    if records.bit_count() != sum(receipt.records.bit_count() for receipt in receipts):
        raise ValueError("two receipts for one record")
    ends = ("delivered", "refused", "unsent", "doubt", "parked", "held")
    return Receipt(receipts[0].chunk_id, base, records, **{name: union(name) for name in ends})


def _union(parts: list[int]) -> int:
    """All bits of the parts; pairs are joined first, so that few of the steps are long."""
    while len(parts) > 1:
        odd = parts[-1:] if len(parts) % 2 else []
        parts = [a | b for a, b in zip(parts[::2], parts[1::2], strict=False)] + odd
    return parts[0] if parts else 0


@dataclass(frozen=True, slots=True)
class Counts:
    """How many records met which end.

    `read = delivered + rejected + refused + unsent`, always.
    """

    read: int = 0
    delivered: int = 0
    rejected: int = 0
    refused: int = 0
    unsent: int = 0
    in_doubt: int = 0
    held: int = 0
    warned: int = 0

    def __post_init__(self) -> None:
        if self.read != self.delivered + self.rejected + self.refused + self.unsent:
            raise ValueError(f"records are lost or counted twice: {self}")

    def __add__(self, other: "Counts") -> "Counts":
        """Give the counts of both together."""
        return Counts(
            **{name: getattr(self, name) + getattr(other, name) for name in self.__slots__}
        )

    def instead(self, before: "Counts | None", after: "Counts") -> "Counts":
        """Give these counts with a part of them replaced by what it has become."""
        names = self.__slots__
        was = before or Counts()
        return Counts(**{n: getattr(self, n) - getattr(was, n) + getattr(after, n) for n in names})


@dataclass(frozen=True, slots=True)
class Progress:
    """How far the records of one chunk have come.

    Args:
        total: Records in the chunk.
        rejected: By our rules; final.
        delivered: Confirmed by the API.
        refused: The API will not take them.
        intent: May be out there without a recorded outcome.
        doubt: Had an attempt of unknown outcome.
        parked: Failed in a batch while others passed, in one run or more.
        parked_again: The same in two runs or more: sent singly from then on.
        held: Not sent again until somebody decides; or mended, and not sent by a run.
    """

    total: int
    rejected: int = 0
    delivered: int = 0
    refused: int = 0
    intent: int = 0
    doubt: int = 0
    parked: int = 0
    parked_again: int = 0
    held: int = 0

    def __post_init__(self) -> None:
        ends = (self.rejected, self.delivered, self.refused, self.held)
        union = self.rejected | self.delivered | self.refused | self.held
        if sum(end.bit_count() for end in ends) != union.bit_count():
            raise ValueError("a record has two ends")
        marks = union | self.intent | self.doubt | self.parked | self.parked_again
        if marks.bit_length() > self.total:
            raise ValueError("a mark lies outside the chunk")
        if self.intent & union & ~self.held:
            raise ValueError("a record with an end has intent")

    @property
    def pending(self) -> int:
        """The records that are still to be sent."""
        return everyone(self.total) & ~(self.rejected | self.delivered | self.refused | self.held)

    @property
    def complete(self) -> bool:
        """Whether nothing is left to send; held records do not count as left."""
        return not self.pending

    def end_of(self, record: int) -> str:
        """Give the end of one record: `delivered`, `refused`, `rejected`, `held` or `unsent`."""
        ends = {
            "delivered": self.delivered,
            "refused": self.refused,
            "rejected": self.rejected,
            "held": self.held,
        }
        return next((end for end, bits in ends.items() if bits >> record & 1), "unsent")

    def intend(self, records: int) -> "Progress":
        """Mark records that may be sent from here on.

        Raises:
            ValueError: One of them is neither pending nor held.
        """
        if records & ~(self.pending | self.held):
            raise ValueError("intent for a record that is not pending")
        return replace(self, intent=self.intent | records)

    def fold(self, receipt: Receipt) -> "Progress":
        """Take a receipt in.

        Raises:
            ValueError: It speaks of a record that has met its end or has no intent.
        """
        shift = receipt.base
        records = receipt.records << shift
        if records & ~self.intent:
            raise ValueError("a receipt for a record without intent")
        parked = receipt.parked << shift
        delivered, refused = receipt.delivered << shift, receipt.refused << shift
        return replace(
            self,
            delivered=self.delivered | delivered,
            refused=self.refused | refused,
            intent=self.intent & ~records,
            doubt=self.doubt | receipt.doubt << shift,
            parked=self.parked | parked,
            parked_again=self.parked_again | (self.parked & parked),
            held=self.held & ~(delivered | refused) | receipt.held << shift,
        )

    def recover(self, records: int | None = None) -> "Progress":
        """Turn intent that a crash left over into doubt: of some records, or of all.

        Whoever asks must list these records as doubtful in the same commit.
        """
        lost = self.intent if records is None else self.intent & records
        return replace(self, doubt=self.doubt | lost, intent=self.intent & ~lost)

    def hold_doubtful(self) -> "Progress":
        """Hold what is pending and in doubt: it may have arrived, and somebody is to decide."""
        return replace(self, held=self.held | self.pending & self.doubt)

    def judge_again(self, rejected: int) -> "Progress":
        """Put a new verdict in place of the old one; what was delivered or is held stays so."""
        return replace(self, rejected=rejected & ~(self.delivered | self.held), refused=0)

    def without_last(self) -> "Progress":
        """Forget the last record: it was not whole yet, and was rejected for that.

        Raises:
            ValueError: It was not rejected.
        """
        last = 1 << self.total >> 1
        if not last & self.rejected:
            raise ValueError("only a rejected record can be superseded")
        return replace(self, total=self.total - 1, rejected=self.rejected & ~last)

    def reopen(self, records: int) -> "Progress":
        """Hold rejected and refused records that came back mended.

        Raises:
            ValueError: One of them is neither rejected, refused nor held.
        """
        if records & ~(self.rejected | self.refused | self.held):
            raise ValueError("only rejected, refused and held records can be reopened")
        return replace(
            self,
            rejected=self.rejected & ~records,
            refused=self.refused & ~records,
            held=self.held | records,
        )

    def decide(self, records: int, end: Literal["pending", "delivered", "refused"]) -> "Progress":
        """Give held records the end that somebody decided on.

        Raises:
            ValueError: One of them is not held, or has intent that nobody recovered.
        """
        if records & ~self.held or records & self.intent:
            raise ValueError("only held records are decided on")
        return replace(
            self,
            held=self.held & ~records,
            delivered=self.delivered | (records if end == "delivered" else 0),
            refused=self.refused | (records if end == "refused" else 0),
        )

    def counts(self, *, warned: int = 0) -> Counts:
        """Count the ends; `intent` counts as doubt, for no run is there to settle it."""
        ends = (self.delivered.bit_count(), self.rejected.bit_count(), self.refused.bit_count())
        return Counts(
            read=self.total,
            delivered=ends[0],
            rejected=ends[1],
            refused=ends[2],
            unsent=self.pending.bit_count() + self.held.bit_count(),
            in_doubt=(self.doubt | self.intent).bit_count(),
            held=self.held.bit_count(),
            warned=warned,
        )
