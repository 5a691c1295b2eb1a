"""Segments: the rejects of one chunk, as one file of lines that is whole or not there.

    {"format":1,"holds":"rejects"}
    {"slot":0,"violations":[["event_missing",["event"],"no event","..."]]}
    [0,"REJ...",17,18,2204,96,"rules",["...",null],null]

An object names a set of violations by its slot; an array is a reject: slot, reject id, record,
line, offset, length, stage, cells, raw bytes in base 64. Most rejects share few sets, so a line
costs little more than its cells. A slot may be named anew, so neither side keeps more than
4,096 sets.
"""

import base64
import errno
import hashlib
import json
import os
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final

import orjson

from ingest.core.guard import printable
from ingest.core.model import Reject, Stage, Violation
from ingest.edges.report.durable import doing, drafting, plain_name, sync_directory
from ingest.errors import MismatchError

_HEAD: Final = b'{"format":1,"holds":"rejects"}\n'
_MOST_SLOTS: Final = 4096
_STAGES: Final = {stage.value: stage for stage in Stage}
_OBJECT: Final = b"{"


@dataclass(frozen=True, slots=True)
class SegmentRef:
    """What a receipt keeps of a segment: enough to prove it.

    Args:
        name: Its file name.
        bytes: Its size.
        sha256: Of its content, in hex.
        rejects: How many it holds.
    """

    name: str
    bytes: int
    sha256: str
    rejects: int


def write_segment(directory: Path, name: str, rejects: Iterable[Reject]) -> SegmentRef:
    """Write rejects to a file that outlasts a power cut once this returns.

    Whatever has that name is replaced: a segment that no receipt names does not exist.

    Args:
        directory: Where; it must be there.
        name: A plain file name.
        rejects: In the order in which they come back.

    Raises:
        StoppedError: The operating system refused; nothing has that name that had it not before.
    """
    with drafting(directory, plain_name(name)) as draft:
        count = _write_lines(draft.file, rejects)
        written = draft.settle()
        draft.publish()
        sync_directory(directory)
    return SegmentRef(name, written.bytes, written.sha256, count)


def read_segment(directory: Path, ref: SegmentRef) -> Iterator[Reject]:
    """Read back what was written; nothing is given before the whole file is proven.

    Yields:
        The rejects, in their order.

    Raises:
        MismatchError: `segment_damaged`: it is missing, or not what the receipt says;
            `segment_format`: another version wrote it.
        StoppedError: The operating system cannot read it.
    """
    path = directory / ref.name
    with _open(path) as file:
        with doing("read", path):
            _prove(file, path, ref)
            file.seek(0)
        count = 0
        for reject in _read_lines(file, path):
            count += 1
            yield reject
    if count != ref.rejects:
        raise _damaged(path, f"it holds {count:,} rejects, not {ref.rejects:,}")


def to_json(value: object) -> bytes:
    r"""One line of JSON; a lone surrogate, which UTF-8 cannot hold, is written `\udNNN`."""
    try:
        return orjson.dumps(value, option=orjson.OPT_APPEND_NEWLINE)
    except TypeError:
        text = json.dumps(value, ensure_ascii=True, separators=(",", ":"))
        return text.encode("ascii") + b"\n"


def _from_json(line: bytes) -> Any:
    try:
        return orjson.loads(line)
    except orjson.JSONDecodeError:
        return json.loads(line)  # takes lone surrogates


def _write_lines(file: BinaryIO, rejects: Iterable[Reject]) -> int:
    file.write(_HEAD)
    slots: dict[tuple[Violation, ...], int] = {}
    count = 0
    for reject in rejects:
        slot = slots.get(reject.violations)
        if slot is None:
            if len(slots) >= _MOST_SLOTS:
                slots.clear()
            slot = slots[reject.violations] = len(slots)
            file.write(_slot_line(slot, reject.violations))
        raw = reject.raw
        file.write(
            to_json(
                (
                    slot,
                    reject.reject_id,
                    reject.record,
                    reject.line,
                    reject.offset,
                    reject.length,
                    reject.stage,
                    reject.cells,
                    None if raw is None else base64.b64encode(raw).decode("ascii"),
                )
            )
        )
        count += 1
    return count


def _slot_line(slot: int, violations: tuple[Violation, ...]) -> bytes:
    listed = [(each.code, each.columns, each.message, each.hint) for each in violations]
    return to_json({"slot": slot, "violations": listed})


def _read_lines(file: BinaryIO, path: Path) -> Iterator[Reject]:
    if file.readline(len(_HEAD)) != _HEAD:
        raise MismatchError(
            f"{printable(str(path))} was written by another version of this program",
            hint="use the version that began the load, or start it anew with --as NAME",
            code="segment_format",
        )
    slots: dict[int, tuple[Violation, ...]] = {}
    for line in file:
        try:
            value = _from_json(line)
            if line.startswith(_OBJECT):
                slots[value["slot"]] = tuple(map(_violation, value["violations"]))
                continue
            reject = _reject(value, slots)
        except (ValueError, LookupError, TypeError) as error:
            raise _damaged(path, f"a line of it cannot be read ({error})") from error
        yield reject


def _violation(value: list[Any]) -> Violation:
    code, columns, message, hint = value
    return Violation(code, tuple(columns), message, hint)


def _reject(value: list[Any], slots: dict[int, tuple[Violation, ...]]) -> Reject:
    slot, reject_id, record, line, offset, length, stage, cells, raw = value
    return Reject(
        reject_id,
        record,
        line,
        offset,
        length,
        _STAGES[stage],
        slots[slot],
        None if cells is None else tuple(cells),
        None if raw is None else base64.b64decode(raw, validate=True),
    )


def _open(path: Path) -> BinaryIO:
    with doing("open", path):
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
        except FileNotFoundError as error:
            raise _damaged(path, "it is missing") from error
        except OSError as error:
            if error.errno != errno.ELOOP:
                raise
            raise _damaged(path, "it is a symbolic link") from error
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            raise _damaged(path, "it is no ordinary file")
    return os.fdopen(descriptor, "rb", buffering=1 << 20)


def _prove(file: BinaryIO, path: Path, ref: SegmentRef) -> None:
    size = os.fstat(file.fileno()).st_size
    if size != ref.bytes:
        raise _damaged(path, f"it has {size:,} bytes, not {ref.bytes:,}")
    if hashlib.file_digest(file, "sha256").hexdigest() != ref.sha256:  # type: ignore[arg-type] # a file
        raise _damaged(path, "its content is not what was written")


def _damaged(path: Path, why: str) -> MismatchError:
    return MismatchError(
        f"the rejects in {printable(str(path))} are damaged: {why}",
        hint="restore the file from a backup, or start the load anew with --as NAME",
        code="segment_damaged",
    )
