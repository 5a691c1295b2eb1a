"""The records of a load's source once more, without its rules: where they are, and their own ids.

For those who ask what became of a record, and for the audit: neither judges anything, so neither
needs the schemas that a run was given.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import orjson
import polars as pl

from ingest.core.json_mapping import JsonMapping
from ingest.core.load import ChunkState, Load
from ingest.core.mapping import EVENT_UUID
from ingest.core.mapping import Mapping as FieldMapping
from ingest.core.model import Dialect, Position
from ingest.edges import encoder, framing, jsonl
from ingest.edges.source import LocalFile, ProvenReader
from ingest.errors import MismatchError
from ingest.pipeline.formats import Frame, key_of, made_ids, placed, rewriter_of

_PIECE_BYTES = 1 << 20
_Given = Callable[[Any], list[str | None]]


class Places:
    """The records of one source.

    Args:
        load: Says how the source is read.
        read_at: Gives its bytes.
    """

    def __init__(self, load: Load, read_at: framing.ReadAt) -> None:
        form: Any = load.form
        content: Any = load.config["mapping"]
        self.read_at = read_at
        self._source_id = load.source_id
        self._size = load.identity.size
        self._columns = tuple(form["columns"])
        self._dialect = Dialect(**form["dialect"])
        self._limits = framing.Limits(max_record_bytes=form["max_record_bytes"])
        self._jsonl = form.get("format") == "jsonl"
        self.start = Position(*form["start"])
        self._mapping = (JsonMapping if self._jsonl else FieldMapping).from_json(content)
        self._given = _of_lines(content) if self._jsonl else _of_cells(content)

    @property
    def has_own_ids(self) -> bool:
        """Whether ids hang on what is in the records: their own, or made from key columns."""
        return self._given is not None or bool(self._mapping.key)

    def frames(self, start: Position, *, size: int, stop: int | None = None) -> Iterator[Frame]:
        """Yield the frames from a record boundary on.

        Args:
            start: Where to begin.
            size: Bytes of the source when it was read.
            stop: The end of one recorded span: one frame is given.
        """
        if self._jsonl:
            limits = jsonl.Limits(
                chunk_bytes=self._limits.chunk_bytes,
                max_record_bytes=self._limits.max_record_bytes,
            )
            yield from jsonl.frames(
                self.read_at, size=size, start=start, stop_offset=stop, limits=limits
            )
            return
        yield from framing.frames(
            self.read_at,
            size=size,
            start=start,
            stop_offset=stop,
            columns=self._columns,
            dialect=self._dialect,
            limits=self._limits,
        )

    def frame(self, state: ChunkState) -> Frame:
        """Give the records of a chunk.

        Raises:
            MismatchError: They are not what was recorded.
        """
        chunk, size = state.chunk, state.findings.source_size or self._size
        found = next(self.frames(chunk.start, size=size, stop=chunk.stop.offset))
        if found.stop != chunk.stop:
            raise MismatchError(
                f"chunk {chunk.chunk_id} has other records than were recorded",
                hint="put the original source back",
                code="source_changed",
            )
        return found

    def ids(self, frame: Frame) -> list[str]:
        """Give the event_uuid of each record of a frame, sound or not."""
        found: list[str] = encoder.uuid_series(self._source_id, frame.offsets).to_list()
        if not (self.has_own_ids and len(frame.rows)):
            return found
        rows = frame.rows.tolist()
        if keys := self._keys(frame):
            made = made_ids(self._source_id, frame.offsets[frame.rows], keys)
            for row, one in zip(rows, made, strict=True):
                found[row] = one
        if self._given is not None:
            for row, own in zip(rows, self._given(frame), strict=True):
                found[row] = own or found[row]
        return found

    def _keys(self, frame: Any) -> list[pl.Series]:
        mapping = self._mapping
        if self._jsonl:
            values = (jsonl.key_texts(frame.objects, path) for path in mapping.key)
        else:
            values = (frame.table[name] for name in mapping.key)
        return [key_of(each, mapping.nulls) for each in values]

    def last_line(self, frame: Frame, record: int) -> int:
        """Give the physical line on which a record of a frame ends."""
        offset, end = int(frame.offsets[record]), int(frame.ends[record])
        return int(frame.lines[record]) + self.line_ends(offset, end)

    def line_ends(self, offset: int, stop: int) -> int:
        """Count the line ends in a span of the source."""
        count, last = 0, b""
        while offset < stop:
            piece = self.read_at(offset, min(_PIECE_BYTES, stop - offset))
            if not piece:
                break
            count += piece.count(b"\n")
            if self._dialect.newline == "\r":
                pairs = piece.count(b"\r\n") + (last == b"\r" and piece[:1] == b"\n")
                count += piece.count(b"\r") - pairs
            offset, last = offset + len(piece), piece[-1:]
        return count


@contextmanager
def places_of(load: Load) -> Iterator[Places]:
    """Open the source of a load where it was last seen; each byte read of it proves itself.

    Raises:
        UsageError: It is not there, or cannot be read.
    """
    with LocalFile(load.path) as file:
        file.recall(load.identity.size)
        yield Places(load, ProvenReader(file, load.identity))


def own_id_in(load: Load, cells: Sequence[str | None] | None, raw: bytes | None) -> str | None:
    """Give the event_uuid that one sound record brings: its cells, or its bytes."""
    form: Any = load.form
    content: Any = load.config["mapping"]
    facts = placed(np.zeros(1, dtype=np.int64))
    if cells is None:
        given = _of_lines(content)
        frame: Frame = jsonl.Frame(objects=[raw or b""], blocks=(), **facts)
    else:
        given = _of_cells(content)
        pairs = zip(form["columns"], cells, strict=True)
        table = {name: pl.Series([cell or None], dtype=pl.String) for name, cell in pairs}
        frame = framing.Frame(table=pl.DataFrame(table), **facts)
    return None if given is None else given(frame)[0]


def _of_cells(content: Mapping[str, Any]) -> _Given | None:
    mapping = FieldMapping.from_json(content)
    fields = tuple(field for field in mapping.fields if field.name == EVENT_UUID)
    if not fields:
        return None
    reader = encoder.Encoder(FieldMapping(fields, mapping.nulls, timezone=mapping.timezone))

    def given(frame: framing.Frame) -> list[str | None]:
        return [_own(each) for each in reader.map(frame.table).table[EVENT_UUID].to_list()]

    return given


def _of_lines(content: Mapping[str, Any]) -> _Given | None:
    mapping = JsonMapping.from_json(content)
    rewriter = None if mapping.plain else rewriter_of(mapping)

    def given(frame: jsonl.Frame) -> list[str | None]:
        objects = frame.objects if rewriter is None else rewriter.rewrite(frame.objects).objects
        return [
            _own(orjson.loads(each).get(EVENT_UUID)) if b"event_uuid" in each else None
            for each in objects
        ]

    return given


def _own(value: object) -> str | None:
    text = "" if value is None else str(value)
    return text if text.strip() else None
