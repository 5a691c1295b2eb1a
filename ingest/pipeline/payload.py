"""What is prepared of one chunk: its state, and the encoded events that are still to be sent."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from ingest.core.batching import Span, Wrapper, body_of, cut, halves, singles
from ingest.core.ledger import Progress, Receipt, bitmap, run_of
from ingest.core.load import ChunkState, Note
from ingest.core.model import Violation

Describe = Callable[[int], dict[str, object]]
"""Gives what reports need of a record of the chunk: line, offset, length, cells, event_uuid."""


@dataclass(frozen=True, slots=True)
class Payload:
    """Encoded events of one chunk, in one buffer.

    Args:
        chunk_id: The chunk.
        body: JSON objects joined by single commas; empty where nothing is to be sent.
        ends: Where each object ends in `body`, or would.
        records: The record of the chunk that each object is; ascending.
        describe: What reports need of a record.
        before: How far the chunk had come when this run took it up.
    """

    chunk_id: int
    body: bytes
    ends: Sequence[int]
    records: Sequence[int]
    describe: Describe
    before: Progress = Progress(0)  # noqa: RUF009 - an immutable value

    def batches(
        self, *, wrapper: Wrapper, max_events: int, max_bytes: int, alone: int
    ) -> Iterator["Batch"]:
        """Yield batches that tile the payload; records of `alone`, and those beside them, go singly."""
        spans = cut(
            self.ends, overhead=wrapper.overhead, max_events=max_events, max_bytes=max_bytes
        ).spans
        for span in spans:
            if alone and alone & self.bits(span):
                for single in singles(span):
                    # Its neighbours have no such past: cuts change from run to run.
                    yield Batch(self, single, wrapper, alone=bool(alone & self.bits(single)))
            else:
                yield Batch(self, span, wrapper)

    def bits(self, span: Span) -> int:
        """Give the bitmap of a span's records."""
        return bitmap(run_of(self.records[span[0] : span[1]]))


@dataclass(frozen=True, slots=True)
class Prepared:
    """A chunk that is ready to be worked on.

    Args:
        state: What is to be recorded of it before anything of it is sent.
        payload: The events that are still to be sent.
        notes: Notes to record with the state.
        records_left: Estimate of the records behind this chunk; 0 when it is the last.
    """

    state: ChunkState
    payload: Payload
    notes: tuple[Note, ...] = ()
    records_left: int = 0


@dataclass(frozen=True, slots=True)
class Batch:
    """Events that go out in one request; without durable identity, since cuts change.

    Args:
        payload: Where they are encoded.
        span: Their positions in it.
        wrapper: What stands around them in the body.
        alone: One event of a batch that failed in two runs already.
    """

    payload: Payload
    span: Span
    wrapper: Wrapper
    alone: bool = False

    @property
    def events(self) -> int:
        """How many events it has."""
        return self.span[1] - self.span[0]

    @property
    def body(self) -> bytes:
        """The request body."""
        return body_of(self.payload.body, self.payload.ends, self.span, wrapper=self.wrapper)

    @property
    def records(self) -> Sequence[int]:
        """Its records within the chunk, ascending; a range where there is no gap."""
        return run_of(self.payload.records[self.span[0] : self.span[1]])

    @property
    def doubted(self) -> bool:
        """Whether each of its records had an attempt of unknown outcome in an earlier run."""
        doubt = self.payload.before.doubt
        return bool(doubt) and not self.payload.bits(self.span) & ~doubt

    @property
    def parked_before(self) -> bool:
        """Whether one of its records was parked in an earlier run."""
        parked = self.payload.before.parked
        return bool(parked) and bool(self.payload.bits(self.span) & parked)

    def halves(self) -> Iterator["Batch"]:
        """Yield its two halves."""
        return (Batch(self.payload, span, self.wrapper) for span in halves(self.span))

    def singles(self) -> Iterator["Batch"]:
        """Yield each event as a batch of its own."""
        return (Batch(self.payload, span, self.wrapper) for span in singles(self.span))

    def _bits(self) -> tuple[int, int]:
        records = self.records
        return records[0], bitmap(records) >> records[0]

    def delivered(self, *, doubt: bool) -> Receipt:
        """Give the receipt of a batch that the API confirmed."""
        base, bits = self._bits()
        return Receipt(
            self.payload.chunk_id, base, bits, delivered=bits, doubt=bits if doubt else 0
        )

    def refused(self, *, doubt: bool) -> Receipt:
        """Give the receipt of a batch that the API will not take."""
        base, bits = self._bits()
        return Receipt(self.payload.chunk_id, base, bits, refused=bits, doubt=bits if doubt else 0)

    def unsent(self, *, doubt: bool, parked: bool = False, held: bool = False) -> Receipt:
        """Give the receipt of a batch that goes back: pending, parked or held."""
        base, bits = self._bits()
        return Receipt(
            self.payload.chunk_id,
            base,
            bits,
            unsent=bits,
            doubt=bits if doubt else 0,
            parked=bits if parked else 0,
            held=bits if held else 0,
        )

    def doubt_notes(self) -> list[Note]:
        """Give what `doubt.csv` needs of its records."""
        return [
            doubt_note(self.payload.chunk_id, record, self.payload.describe(record))
            for record in self.records
        ]

    def refusal_note(self, violation: Violation) -> Note:
        """Give what the reject reports need of its one record."""
        (record,) = self.records
        body = self.payload.describe(record)
        body |= {"code": violation.code, "message": violation.message, "hint": violation.hint}
        return Note(self.payload.chunk_id, record, "refused", body)


def doubt_note(chunk_id: int, record: int, facts: dict[str, object]) -> Note:
    """Give what `doubt.csv` needs of a record, out of what `Describe` gives."""
    body = {name: facts[name] for name in ("line", "offset", "event_uuid")}
    return Note(chunk_id, record, "doubt", body)
