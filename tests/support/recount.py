"""What must come of a file of any bytes, by readers of its own, and the law that holds of a run.

The records are found by the independent reader (`rfc4180`), judged by the plain reading of the
rules (`plain_rules`), and ids are calculated by hand (`workdir`): nothing here is the product's.
"""

import json
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.support import plain_rules
from tests.support.rfc4180 import Rules, read
from tests.support.workdir import (
    TIMEOUT_S,
    Done,
    Reports,
    Server,
    Workdir,
    assert_codes_recounted,
    read_reports,
    source_id,
    uuid5,
)

ERRORS = frozenset(
    {
        "event_missing", "event_not_string", "event_too_long", "event_has_period",
        "event_has_whitespace", "event_numeric", "identity_missing", "identity_not_string",
        "identity_placeholder",
    }
)  # fmt: skip
"""The codes of the rules that reject a record (design: errors)."""
_BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True)
class Made:
    """One record and its fate.

    Args:
        offset: Its first byte.
        line: Its physical line.
        codes: Why it is rejected, in any order; none where it is delivered.
        uuid: The id that it is sent under.
        body: The event that must arrive.
        resynced: It follows an illegal quote.
    """

    offset: int
    line: int
    codes: frozenset[str]
    uuid: str
    body: dict[str, Any]
    resynced: bool = False


@dataclass(frozen=True, slots=True)
class File:
    """A CSV file of any bytes.

    Args:
        path: Where it is.
        content: Its bytes, decompressed.
        columns: Names of its columns, as sent.
        header: Bytes before its first record, the header's line end included.
        separator: Between cells.
        quote: Around cells.
        newline: As in `rfc4180.Rules`.
        encoding: Of its text.
        cap: Bytes of a record at most.
        constants: What `--set` adds to each event.
    """

    path: Path
    content: bytes
    columns: tuple[str, ...] = ("event", "customer_id", "note")
    header: int = -1
    separator: str = ","
    quote: str = '"'
    newline: str = "\n"
    encoding: str = "utf-8"
    cap: int = 1 << 20
    constants: Mapping[str, str] = field(default_factory=dict)

    def records(self, *, name: str = "") -> list[Made]:
        """Each record in its order."""
        start = self.header if self.header >= 0 else self.content.index(b"\n") + 1
        rules = Rules(
            columns=len(self.columns),
            separator=self.separator,
            quote=self.quote,
            newline=self.newline,
            encoding=self.encoding,
            cap=self.cap,
        )
        namespace = bytes.fromhex(source_id(self.content, name=name).replace("-", ""))
        found = read(self.content, rules, start=start, line=1 + self._lines_before(start))
        return [
            self._made(record, uuid5(namespace, str(record.offset))) for record in found.records
        ]

    def _lines_before(self, start: int) -> int:
        before = self.content[:start].removeprefix(_BOM)
        if self.newline == "\r":
            return len(before.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")) - 1
        return before.count(b"\n")

    def _made(self, record: Any, uuid: str) -> Made:
        cells = record.cells or ()
        pairs = zip(self.columns, cells, strict=False)
        event = {name: cell for name, cell in pairs if cell is not None} | dict(self.constants)
        codes = record.codes
        if not codes:
            codes = plain_rules.violations(event) & ERRORS
        body = event | {"event_uuid": uuid}
        return Made(record.offset, record.line, frozenset(codes), uuid, body, record.resynced)


@dataclass(frozen=True, slots=True)
class Lines:
    """A file of JSON lines, with what must come of each.

    Args:
        path: Where it is.
        lines: Each line without its end, and why it is rejected; None: it is blank, no record.
    """

    path: Path
    lines: Sequence[tuple[bytes, frozenset[str] | None]]

    @property
    def content(self) -> bytes:
        """The bytes of the file."""
        return b"".join(line + b"\n" for line, _ in self.lines)

    def records(self, *, name: str = "") -> list[Made]:
        """Each record in its order."""
        namespace = bytes.fromhex(source_id(self.content, name=name).replace("-", ""))
        made, at = [], 0
        for number, (line, codes) in enumerate(self.lines, start=1):
            if codes is not None:
                uuid = uuid5(namespace, str(at))
                event = {} if codes else json.loads(line)
                made.append(Made(at, number, codes, uuid, event | {"event_uuid": uuid}))
            at += len(line) + 1
        return made


def assert_recounted(
    work: Workdir,
    files: Sequence[File | Lines],
    done: Done,
    server: Server,
    *,
    times: int = 1,
) -> list[Reports]:
    """THE INVARIANT, of sources that were read and sent to their end.

    Every record is delivered or rejected; the server holds what must arrive and nothing else, value
    for value and each once; the reports name every other record with its codes, line and offset; the
    counts of the summary are a recount of both.

    Args:
        work: Where it ran.
        files: The sources, in their order.
        done: The last run.
        server: Who was to get it.
        times: How often each event came.
    """
    summary = done.summary
    made = [file.records() for file in files]
    expected = {record.uuid: record.body for some in made for record in some if not record.codes}

    assert server.bodies() == expected
    assert set(server.times().values()) <= {times}
    assert len(summary["sources"]) == len(files)
    reports = [
        _assert_source(work, records, told)
        for records, told in zip(made, summary["sources"], strict=True)
    ]
    assert_codes_recounted(summary, reports)
    rejected = sum(bool(record.codes) for some in made for record in some)
    assert summary["records"] == {
        "read": sum(map(len, made)),
        "delivered": len(expected),
        "rejected": rejected,
        "refused": 0,
        "unsent": 0,
    }
    marked = sum(r.resynced and not r.codes for some in made for r in some)
    assert summary["warnings"].get("resynced", 0) == marked
    assert done.code == (3 if rejected else 0)
    return reports


def _assert_source(work: Workdir, records: Sequence[Made], told: Mapping[str, Any]) -> Reports:
    assert told["complete"]
    reports = read_reports(work, told["reports"])
    wrong = {n: record for n, record in enumerate(records, start=1) if record.codes}
    assert [line["record"] for line in reports.jsonl] == list(wrong)
    assert [int(row["_reject_record"]) for row in reports.csv] == list(wrong)
    for row, line in zip(reports.csv, reports.jsonl, strict=True):
        record = wrong[line["record"]]
        assert {each["code"] for each in line["violations"]} == record.codes
        assert len(line["violations"]) == len(record.codes)
        assert (line["line"], line["offset"]) == (record.line, record.offset)
        assert (int(row["_reject_line"]), int(row["_reject_offset"])) == (
            record.line,
            record.offset,
        )
    assert told["records"]["rejected"] == len(wrong)
    assert told["records"]["read"] == len(records)
    return reports


def assert_refused(work: Workdir, done: Done, code: str, *words: str, server: Server) -> None:
    """THE INVARIANT, of a source that cannot be read at all: nothing was sent or begun."""
    error = done.summary["error"]
    assert (done.code, error["code"]) == (2, code), error
    assert error["hint"]
    assert "Traceback" not in done.err
    for word in words:
        assert word in error["message"] + error["hint"], error
    assert Counter(done.summary["records"].values()) == {0: 5}
    assert server.requests() == 0
    assert server.bodies() == {}


# -- memory ----------------------------------------------------------------------------------

_PEAK = """
import atexit, os, sys
def peak():
    with open("/proc/self/status") as status, open(os.environ["PEAK_FILE"], "w") as out:
        out.write(next(line for line in status if line.startswith("VmHWM")).split()[1])
atexit.register(peak)
from ingest.__main__ import main
main()
"""


def measured(
    work: Workdir, *arguments: str | Path, timeout_s: float = TIMEOUT_S
) -> tuple[Done, int]:
    """Run the command in a new interpreter and give its peak of resident memory, in MiB.

    The kernel's count of a process of its own: what `getrusage` tells of a child has the memory of
    its parent in it.
    """
    place = work.root / "peak"
    done = work.json(
        *arguments,
        command=[sys.executable, "-P", "-c", _PEAK],
        env=work.env(PEAK_FILE=str(place)),
        timeout_s=timeout_s,
    )
    return done, int(place.read_text()) >> 10
