"""A run as `report.html` tells it, made of values alone."""

import random
from collections.abc import Callable, Sequence
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, Self
from uuid import UUID, uuid5

from ingest.core.ledger import Counts, Progress
from ingest.core.load import ChunkState, Destination, Findings, Identity, Load, Segment, Stat
from ingest.core.model import Chunk, Position, Reject, Stage, Violation
from ingest.core.timeline import Timeline
from ingest.errors import StoppedError
from ingest.pipeline.page import causes_of, page_of, told
from ingest.pipeline.summary import SourceResult, summary_of

HEADER = ("event", "customer_id", "note")
NASTY = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "</style><b>",
    "{{ 7 * 7 }}{% raw %}",
    "\u202egnp.exe\u2066",
    "\x1b[31mred\x00\r\n",
    "&lt;already&gt; &amp;",
    "'quotes' \"both\" `ticks`",
    "a" * 5_000,
    "日本語 Zoë 😀",
)
DIRECTORY = Path("/reports/20260102-030405-6a7b")
VOID = {"meta", "rect", "br", "img", "link", "input"}


def load_of(path: str, *, records: int, number: int = 1) -> Load:
    """A load of a file of so many records."""
    return Load(
        load_id=number,
        destination=Destination("https://api.getblueshift.com"),
        source_id=uuid5(UUID(int=5), f"{number}"),
        name="",
        path=path,
        identity=Identity(records * 100, "sha256:ab", records * 100, b"", Stat(1, 2, 3, 4, 5, 6)),
        form={"columns": list(HEADER), "start": [0, 0, 2, 0], "dialect": {}, "max_record_bytes": 9},
        config_digest="cd",
        config={"mapping": {"fields": [{"name": "event", "source": "event"}]}},
    )


def reject_of(record: int, value: str, code: str, *, column: str = "event") -> Reject:
    """A reject with a value in a column."""
    cells = tuple(value if name == column else "x" for name in HEADER)
    violation = Violation(code, (column,), f"about {value}", f"mend {value}")
    at = (record - 1) * 100
    return Reject("REJ", record, record + 1, at, 99, Stage.RULES, (violation,), cells, None)


def result_of(load: Load, rejects: Sequence[Reject], *, records: int) -> SourceResult:
    """The result of a source in which all but the rejects were delivered."""
    bits = sum(1 << (each.record - 1) for each in rejects)
    chunk = Chunk(0, Position(0, 0, 2), Position(records * 100, records, records + 2))
    codes: dict[str, int] = {}
    for each in rejects:
        for violation in each.violations:
            codes[violation.code] = codes.get(violation.code, 0) + 1
    findings = Findings(
        codes=codes,
        warnings={"timestamp_old": 3, NASTY[0]: 1},
        warned=4,
        first_time="2024-03-01T00:00:00.000000Z",
        last_time="2024-03-02T00:00:00.000000Z",
        segment=Segment("s", 1, "x", len(rejects)) if rejects else None,
        events={"visit": records - len(rejects), NASTY[1]: 1},
    )
    progress = Progress(records, rejected=bits, delivered=(1 << records) - 1 & ~bits)
    base = DIRECTORY / "01-events"
    reports = {
        name: str(base / name.replace("_", "."))
        for name in ("rejects_csv", "rejects_xlsx", "rejects_jsonl")
    }
    return SourceResult(load, (ChunkState(chunk, progress, findings),), reports=reports)


def page(
    rejects: Sequence[Reject],
    *,
    records: int = 1_000,
    sources: int = 1,
    path: str = "/data/events.csv",
    error: str = "",
    note: str = "503: try later",
    sends: bool = True,
    mask: Callable[[str], str] | None = None,
) -> str:
    """The page of a run over some sources with the same rejects."""
    results, known = [], {}
    for number in range(1, sources + 1):
        load = load_of(path, records=records, number=number)
        causes = causes_of(load, mask=mask)
        for each in causes.watch(rejects):
            assert each
        results.append(result_of(load, rejects, records=records))
        known[load.source_id] = told(causes, read=records)
    timeline = Timeline()
    for at in range(200):
        status = random.Random(at).choice([200] * 8 + [429, 503])
        timeline.add({"at": 1e9 + at * 3, "status": status, "attempt": 1, "note": note})
    summary = summary_of(
        results,
        run={"run_id": "20260102-030405-6a7b", "started_at": "2026-01-02T03:04:05.678+00:00", "duration_s": 61.0},
        error=StoppedError(error, hint=error) if error else None,
        exit_code=4 if error else 3,
        destination={"url": "https://api.getblueshift.com/x", "endpoint": "bulk", "account": "default", "origin": "https://api.getblueshift.com"},
        plan={"sends": [f"set note={NASTY[2]}"]},
        before=Counts(),
        requests={"sent": 200, "retried": 9, "status": {"200": 160}},
        reports={"directory": str(DIRECTORY), "html": None, "summary": None},
    )  # fmt: skip
    content = page_of(
        summary, results, known, timeline if sends else None, directory=DIRECTORY, sends=sends,
        masked=mask is not None,
    )  # fmt: skip
    return content.decode("utf-8")


def many(count: int, *, codes: int = 40) -> list[Reject]:
    """Rejects of many codes and long, nasty values."""
    return [
        reject_of(record, NASTY[record % len(NASTY)] * 40, f"code_{record % codes:02d}")
        for record in range(1, count + 1)
    ]


class Outline(HTMLParser):
    """What stands in a page: its elements, their attributes, and its text.

    Raises:
        AssertionError: An element is not closed, or closed twice.
    """

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self._open: list[str] = []

    @classmethod
    def of(cls, text: str) -> Self:
        """Read a page."""
        outline = cls()
        outline.feed(text)
        outline.close()
        assert not outline._open, f"not closed: {outline._open}"
        return outline

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: Any) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self._open, f"</{tag}> closes nothing"
        assert self._open[-1] == tag, f"</{tag}> closes <{self._open[-1]}>"
        self._open.pop()

    def handle_data(self, data: str) -> None:
        if "style" not in self._open:
            self.text += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        """The attributes of all elements of a kind."""
        return [attributes for name, attributes in self.elements if name == tag]
