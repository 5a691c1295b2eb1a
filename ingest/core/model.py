"""The values that flow through a run.

Counting: records and chunks are counted from 0 inside the code and shown from 1; lines are
physical lines of the file, counted from 1 as an editor does; offsets are bytes from the start of
the (decompressed, undecoded) source. Spans are half-open.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum


class Severity(StrEnum):
    """What a violated rule does to its record."""

    ERROR = "error"
    WARNING = "warning"
    OFF = "off"


class Stage(StrEnum):
    """Where a record met its end."""

    READING = "reading"
    RULES = "rules"
    API = "api"


@dataclass(frozen=True, slots=True)
class Dialect:
    r"""How a CSV file is written.

    Args:
        separator: One byte between cells.
        quote: One byte around cells, doubled inside them; empty: quotes mean nothing.
        encoding: A Python codec name; `utf-8` or a single-byte one.
        newline: What ends a line: "\n" means LF and CRLF (a lone CR is text), "\r" means CR,
            LF and CRLF. Found by reading the header.
    """

    separator: str = ","
    quote: str = '"'
    encoding: str = "utf-8"
    newline: str = "\n"


@dataclass(frozen=True, slots=True)
class Position:
    """A record boundary in a source.

    Args:
        offset: Bytes before it.
        record: Records before it.
        line: The physical line that begins there, from 1.
        resync_until: Records that begin on a line before this one follow an illegal quote
            (0: none).
    """

    offset: int
    record: int
    line: int
    resync_until: int = 0


@dataclass(frozen=True, slots=True)
class Chunk:
    """A span of a source that is worked on as one; its bounds never change."""

    chunk_id: int
    start: Position
    stop: Position

    def __post_init__(self) -> None:
        if not (self.start.offset <= self.stop.offset and self.start.record <= self.stop.record):
            raise ValueError(f"chunk {self.chunk_id} ends before it starts")

    @property
    def records(self) -> int:
        """Records in the chunk."""
        return self.stop.record - self.start.record


@dataclass(frozen=True, slots=True)
class Violation:
    """One rule that one record breaks.

    Args:
        code: The reason code, such as `event_has_period`.
        columns: The columns of the source that it concerns; may be empty.
        message: What is wrong, for a person.
        hint: How to mend it.
    """

    code: str
    columns: tuple[str, ...]
    message: str
    hint: str


@dataclass(frozen=True, slots=True)
class Reject:
    """A record that was not delivered and why: one row of a reject report.

    Args:
        reject_id: The key by which it can come back (see `core.reject_id`).
        record: Counted from 1 in its source.
        line: Physical line on which it begins, from 1.
        offset: Byte offset at which it begins.
        length: Bytes, its line terminator left out.
        stage: Where it was rejected.
        violations: Every rule that it breaks; at least one.
        cells: The original cells, in the order of the header; None where there are none.
        raw: The original bytes, for records without cells; None over the record cap.
    """

    reject_id: str
    record: int
    line: int
    offset: int
    length: int
    stage: Stage
    violations: tuple[Violation, ...]
    cells: tuple[str | None, ...] | None
    raw: bytes | None

    def __post_init__(self) -> None:
        if not self.violations:
            raise ValueError(f"record {self.record} is rejected without a reason")


@dataclass(frozen=True, slots=True)
class Doubt:
    """A record whose delivery cannot be known: one row of `doubt.csv`.

    Args:
        record: Counted from 1 in its source.
        line: Physical line on which it begins, from 1.
        offset: Byte offset at which it begins.
        event_uuid: The id that it was sent with.
        end: `delivered`, `refused` or `unsent`, or `held`.
    """

    record: int
    line: int
    offset: int
    event_uuid: str
    end: str


Json = Mapping[str, object]
