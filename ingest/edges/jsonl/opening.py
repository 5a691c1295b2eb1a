"""The first look at a source: whether it holds JSON lines, and which names they have."""

import codecs
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ingest.core.model import Position
from ingest.edges.jsonl.frames import frames
from ingest.edges.jsonl.values import Frame, Limits, ReadAt
from ingest.errors import UsageError

EXTENSIONS = (".jsonl", ".ndjson")

SAMPLE_RECORDS = 1_000
"""Records whose names take the place of a header."""

_SAMPLE_BYTES = 8 << 20
_HEAD_BYTES = 64 << 10
_MOST_PATHS = 10_000
_DEEPEST = 4
_BLANKS = b" \t\r\n"
_BOM = codecs.BOM_UTF8
# UTF-32 before UTF-16: its little-endian mark begins with that of UTF-16.
_WIDE = {
    codecs.BOM_UTF32_LE: "UTF-32",
    codecs.BOM_UTF32_BE: "UTF-32",
    codecs.BOM_UTF16_LE: "UTF-16",
    codecs.BOM_UTF16_BE: "UTF-16",
}


@dataclass(frozen=True, slots=True)
class Look:
    """What the first records show.

    Args:
        start: Where the records begin: behind the byte order mark.
        names: Of the objects themselves, in the order of first sight.
        paths: Of members inside objects, with dots between; those of arrays are left out.
        records: How many records were looked at.
    """

    start: Position
    names: tuple[str, ...]
    paths: tuple[str, ...]
    records: int


def is_jsonl(path: str, read_at: ReadAt) -> bool:
    """Whether a source is read as JSON lines: by its name, or by its first byte.

    Args:
        path: Its name; the ending of a compressed file does not count.
        read_at: Gives its bytes.
    """
    name = path.lower().removesuffix(".gz").removesuffix(".zst")
    if name.endswith(EXTENSIONS):
        return True
    head = read_at(0, _HEAD_BYTES).removeprefix(_BOM).lstrip(_BLANKS)
    # No header of a table begins so: a file that is one array is refused by `look`.
    return head.startswith(b"{") or (
        head.startswith(b"[") and head[1:].lstrip(_BLANKS).startswith(b"{")
    )


def look(read_at: ReadAt, *, size: int, limits: Limits | None = None) -> Look:
    """Read the names in the first records.

    Args:
        read_at: Gives bytes of the source.
        size: Bytes of the source; more where it is not known yet.
        limits: Bounds of memory.

    Raises:
        UsageError: The source is not UTF-8, or is no JSON lines: one array, objects written over
            several lines, or lines that end with CR alone.
    """
    data = read_at(0, min(size, _SAMPLE_BYTES))
    whole = len(data) == size or len(data) < _SAMPLE_BYTES
    if not whole and b"\n" in data:
        data = data[: data.rindex(b"\n") + 1]
    _refuse_wide(data)
    begin = len(_BOM) if data.startswith(_BOM) else 0
    start = Position(offset=begin, record=0, line=1)
    seen = _Seen()
    parts = frames(
        lambda offset, count: data[offset : offset + count],
        size=len(data),
        start=start,
        limits=limits or Limits(),
        max_records=SAMPLE_RECORDS,
        take=seen.take,
    )
    for frame in parts:
        seen.count(frame)
    head = data[begin : begin + _HEAD_BYTES].lstrip(_BLANKS)
    _refuse_other_json(head, seen, whole=whole and seen.stop == len(data))
    return Look(start, tuple(seen.names), tuple(seen.paths), seen.records)


class _Seen:
    """What was seen so far."""

    def __init__(self) -> None:
        self.names: dict[str, None] = {}
        self.paths: dict[str, None] = {}
        self.objects = 0
        self.records = 0
        self.stop = 0
        self.first = ""

    def take(self, _: Sequence[bytes], values: Sequence[dict[str, object]]) -> None:
        """Note the names of some objects."""
        self.objects += len(values)
        for value in values:
            self._note(value, "", 1)

    def count(self, frame: Frame) -> None:
        """Note how many records there are, and what is wrong with the first."""
        if frame.records and not self.records and frame.faults and frame.faults[0].record == 0:
            self.first = frame.faults[0].code
        self.records += frame.records
        self.stop = frame.stop.offset

    def _note(self, value: Mapping[str, object], before: str, depth: int) -> None:
        names = self.paths if before else self.names
        for name, inner in value.items():
            if len(self.names) + len(self.paths) >= _MOST_PATHS:
                return
            names[before + name] = None
            if isinstance(inner, dict) and depth < _DEEPEST:
                self._note(inner, f"{before}{name}.", depth + 1)


def _refuse_wide(head: bytes) -> None:
    """Refuse what is not UTF-8: by its mark, or by the zeros beside the first sign of ASCII."""
    name = next((name for mark, name in _WIDE.items() if head.startswith(mark)), "")
    zeros = [at for at, byte in enumerate(head[:4]) if byte == 0]
    shapes = {(1, 2, 3): "UTF-32LE", (0, 1, 2): "UTF-32BE", (1, 3): "UTF-16LE", (0, 2): "UTF-16BE"}
    name = name or shapes.get(tuple(zeros), "")
    if name:
        raise UsageError(
            f"the text is {name}; JSON lines are read as UTF-8",
            hint=f"convert it: iconv -f {name} -t UTF-8 FILE > FILE.utf8.jsonl",
            code="encoding_not_supported",
        )


def _refuse_other_json(head: bytes, seen: _Seen, *, whole: bool) -> None:
    alone = whole and seen.records == 1
    if head.startswith(b"[") and (
        seen.first in {"json_invalid", "record_too_large"}
        or (alone and seen.first == "json_not_object")
    ):
        raise UsageError(
            "the source is one JSON array, not one object a line",
            hint="first: jq -c '.[]' FILE > FILE.jsonl",
            code="json_is_array",
        )
    if seen.objects or not seen.records:
        return
    if b"\n" not in head and b"\r" in head:
        raise UsageError(
            "the lines end with CR alone; JSON lines end with LF",
            hint="first: tr '\\r' '\\n' < FILE > FILE.jsonl",
            code="json_not_lines",
        )
    if head.startswith(b"{") and seen.records > 1:
        raise UsageError(
            "no line is a whole JSON object: they seem to be written over several lines",
            hint="first: jq -c . FILE > FILE.jsonl",
            code="json_not_lines",
        )
    raise UsageError(
        f"none of the first {seen.records:,} lines is a JSON object",
        hint="write one JSON object on each line",
        code="json_not_lines",
    )
