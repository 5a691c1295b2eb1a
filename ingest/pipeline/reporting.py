"""Renders the reports of a load from its ledger and segments."""

import heapq
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from ingest.core.load import ChunkState, Load, Note
from ingest.core.model import Dialect, Doubt, Reject, Stage, Violation
from ingest.core.reject_id import reject_id
from ingest.core.suggest import suggester
from ingest.edges.report import SegmentRef, read_segment, report_directory, safe_stem, write_reports


def write_source_reports(
    root: Path,
    number: int,
    *,
    load: Load,
    states: Sequence[ChunkState],
    segments: Path,
    refused: Iterable[Note],
    doubtful: Iterable[Note],
    run_id: str,
    partial: bool,
    watch: Callable[[Iterable[Reject]], Iterable[Reject]],
    mask: Callable[[Reject], Reject] | None = None,
) -> dict[str, str | None]:
    """Write the reports of one source and give their paths by kind.

    Args:
        root: The directory of reports.
        number: Of the source in its run, from 1.
        load: The load.
        states: Its chunks.
        segments: Where its segments are.
        refused: Notes of refused records, in order.
        doubtful: Notes of records in doubt, in order.
        run_id: The run that renders.
        partial: The run stopped before its end.
        watch: Is given the rejects as they go by, and gives them on.
        mask: Makes the values of a reject unreadable; None: they are shown.
    """
    directory = report_directory(root, run_id, f"{number:02d}-{safe_stem(load.path)}")
    header = _texts(load.form["columns"])

    def rejects() -> Iterable[Reject]:
        found = watch(rejects_of(load, states, segments=segments, refused=refused))
        return found if mask is None else map(mask, found)

    paths = write_reports(
        directory,
        header=header,
        dialect=_dialect(load.form["dialect"]),
        source_name=load.path,
        run_id=run_id,
        rejects=rejects,
        doubts=lambda: doubts_of(states, doubtful),
        partial=partial,
        suggest=None if mask else suggester(header),
    )
    return {
        "rejects_csv": str(paths.rejects_csv),
        "rejects_xlsx": str(paths.rejects_xlsx),
        "rejects_jsonl": str(paths.rejects_jsonl),
        "doubt_csv": None if paths.doubt_csv is None else str(paths.doubt_csv),
    }


def rejects_of(
    load: Load, states: Sequence[ChunkState], *, segments: Path, refused: Iterable[Note]
) -> Iterator[Reject]:
    """Yield all rejected and refused records in the order of their records."""
    starts = {state.chunk.chunk_id: state.chunk.start.record for state in states}
    by_rules = (reject for state in states for reject in rejects_in(state, segments=segments))
    by_api = (refusal(load, note, first=starts[note.chunk_id]) for note in refused)
    return heapq.merge(by_rules, by_api, key=lambda reject: reject.record)


def rejects_in(state: ChunkState, *, segments: Path) -> Iterator[Reject]:
    """Yield the rejects of a chunk, which are in its segment.

    Raises:
        MismatchError: The segment is not what the ledger says.
    """
    segment = state.findings.segment
    if segment is not None:
        ref = SegmentRef(segment.name, segment.bytes, segment.sha256, segment.rejects)
        yield from read_segment(segments, ref)


def refusal(load: Load, note: Note, *, first: int) -> Reject:
    """Give the reject that a note of a refused record stands for.

    Args:
        load: Of the record.
        note: Of kind `refused`.
        first: Records of the source before the note's chunk.
    """
    body: Mapping[str, Any] = note.body
    cells, raw = body["cells"], body.get("raw")
    number = first + note.record + 1
    return Reject(
        reject_id=reject_id(load.source_id, number),
        record=number,
        line=body["line"],
        offset=body["offset"],
        length=body["length"],
        stage=Stage.API,
        violations=(Violation(body["code"], (), body["message"], body["hint"]),),
        cells=None if cells is None else tuple(cells),
        raw=None if raw is None else raw.encode(),
    )


def doubts_of(states: Sequence[ChunkState], doubtful: Iterable[Note]) -> Iterator[Doubt]:
    """Yield the records in doubt with the end that they met."""
    by_chunk = {state.chunk.chunk_id: state for state in states}
    for chunk_id, notes in groupby(doubtful, key=lambda note: note.chunk_id):
        state = by_chunk[chunk_id]
        for note in notes:
            body: Mapping[str, Any] = note.body
            yield Doubt(
                record=state.chunk.start.record + note.record + 1,
                line=body["line"],
                offset=body["offset"],
                event_uuid=body["event_uuid"],
                end=state.progress.end_of(note.record),
            )


def _texts(values: object) -> list[str]:
    return [str(value) for value in values] if isinstance(values, list | tuple) else []


def _dialect(values: object) -> Dialect:
    return Dialect(**values) if isinstance(values, dict) else Dialect()
