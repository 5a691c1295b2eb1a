"""A directory to run the installed command in, sources whose every record is known, and the law.

Nothing here uses the product's code: ids, offsets and counts are calculated a second time, so that
a mistake on one side cannot hide on the other.
"""

import contextlib
import csv
import hashlib
import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.support.deadly import Nursery

ROOT = Path(__file__).resolve().parents[2]
NAMESPACE = bytes.fromhex("5f0a1d9e7c434b1f9a5e2d6c8e41b370")
BLOCK = 8 * 1024 * 1024
COLUMNS = ("event", "customer_id", "timestamp", "note")
ENDS = ("delivered", "rejected", "refused", "unsent")
FIELDS = {
    "format", "version", "run_id", "started_at", "duration_s", "status", "exit_code", "reason",
    "error", "destination", "plan", "records", "of_which", "this_run", "codes", "warnings",
    "requests", "sources", "reports",
}  # fmt: skip
SOURCE_FIELDS = {
    "path", "bytes", "bytes_done", "complete", "source_id", "first_size", "fingerprint",
    "config_digest", "skipped", "records", "of_which", "first_time", "last_time", "reports",
}  # fmt: skip
STATUSES = {0: "complete", 3: "complete", 1: "stopped", 4: "stopped", 6: "stopped", 7: "stopped"}
STATUSES |= {129: "interrupted", 130: "interrupted", 143: "interrupted"}
STATUSES |= {2: "refused", 5: "refused", 8: "refused"}
TIMEOUT_S = 120
csv.field_size_limit(1 << 30)


# -- sources ---------------------------------------------------------------------------------


def uuid5(namespace: bytes, name: str) -> str:
    """RFC 4122 version 5, by hand."""
    digest = bytearray(hashlib.sha1(namespace + name.encode(), usedforsecurity=False).digest()[:16])
    digest[6] = digest[6] & 0x0F | 0x50
    digest[8] = digest[8] & 0x3F | 0x80
    text = digest.hex()
    return "-".join((text[:8], text[8:12], text[12:16], text[16:20], text[20:]))


def fingerprint(content: bytes) -> str:
    """SHA-256 over the SHA-256 digests of blocks of 8 MiB."""
    blocks = (content[at : at + BLOCK] for at in range(0, len(content), BLOCK))
    digests = b"".join(hashlib.sha256(block).digest() for block in blocks)
    return "sha256:" + hashlib.sha256(digests).hexdigest()


def source_id(content: bytes, *, name: str = "") -> str:
    """The id of a source by its content."""
    seen = fingerprint(content)
    return uuid5(NAMESPACE, f"{seen}\n{name}" if name else seen)


@dataclass(frozen=True, slots=True)
class Row:
    """One record of a source.

    Args:
        text: Its bytes without the line's end.
        codes: The codes that it must be rejected for; none where it is good.
        who: Its customer_id, to see that the right record went out under an id.
        refused: Our check lets it pass, and the sandbox does not.
    """

    text: bytes
    codes: tuple[str, ...] = ()
    who: str = ""
    refused: bool = False


@dataclass(frozen=True, slots=True)
class Source:
    """A file of which every record and its fate is known."""

    path: Path
    header: bytes
    rows: tuple[Row, ...]
    end: bytes = b"\n"
    last_end: bytes = b"\n"
    first_size: int | None = None

    @property
    def content(self) -> bytes:
        """The bytes of the file."""
        lines = self.end.join((self.header, *(row.text for row in self.rows)))
        return lines + self.last_end

    def write(self) -> Self:
        """Put it on the disk."""
        self.path.write_bytes(self.content)
        return self

    def offsets(self) -> list[int]:
        """Where each record begins."""
        at, found = len(self.header) + len(self.end), []
        for row in self.rows:
            found.append(at)
            at += len(row.text) + len(self.end)
        return found

    def uuids(self, *, name: str = "") -> list[str]:
        """The event_uuid of each record."""
        seen = self.content[: self.first_size]
        namespace = bytes.fromhex(source_id(seen, name=name).replace("-", ""))
        return [uuid5(namespace, str(offset)) for offset in self.offsets()]

    def rejected(self) -> dict[int, tuple[str, ...]]:
        """The codes of each rejected record, counted from 1."""
        return {n: row.codes for n, row in enumerate(self.rows, start=1) if row.codes}

    def refused(self) -> set[int]:
        """The records that only the sandbox refuses."""
        return {n for n, row in enumerate(self.rows, start=1) if row.refused}

    def expected(self, *, name: str = "") -> dict[str, str]:
        """The customer_id by event_uuid of all that must arrive."""
        pairs = zip(self.uuids(name=name), self.rows, strict=True)
        return {uuid: row.who for uuid, row in pairs if not row.codes and not row.refused}


def good(number: int, *, event: str = "shop_visit", note: str = "") -> Row:
    """A record that every rule likes."""
    who = f"customer-{number:05d}"
    when = f"2024-03-{number % 28 + 1:02d}T{number % 24:02d}:00:00Z"
    return Row(f"{event},{who},{when},{note or f'note {number}'}".encode(), who=who)


def bad(number: int, *, anyone: bool = False) -> Row:
    """A record that must be rejected, of one of five kinds; `anyone`: by `--identity page` too."""
    who, when = f"customer-{number:05d}", "2024-03-01T00:00:00Z"
    nobody = Row(f"shop_visit,,{when},x".encode(), ("identity_missing",))
    kinds = (
        Row(f"shop.visit,{who},{when},x".encode(), ("event_has_period",)),
        Row(f"shop_visit,{who},{when}".encode(), ("row_too_few_fields",)),
        Row(f"shop_visit,{who},{when},x,y".encode(), ("row_too_many_fields",)),
        Row(f"shop_visit,{who},{when},".encode() + b"\xff\xfe", ("utf8_invalid",)),
        *(() if anyone else (nobody,)),
    )
    return kinds[number % len(kinds)]


def refused_by_server(number: int) -> Row:
    """A record without a person: `--identity page` lets it pass, a strict sandbox does not."""
    return Row(f"shop_visit,,2024-03-01T00:00:00Z,nobody {number}".encode(), refused=True)


def some(
    count: int, *, bad_every: int = 0, anyone: bool = False, note: str = ""
) -> tuple[Row, ...]:
    """A number of records, each so-many-th of them bad."""
    return tuple(
        bad(n // bad_every, anyone=anyone)
        if bad_every and n % bad_every == bad_every // 2
        else good(n, note=note)
        for n in range(count)
    )


# -- the sandbox, seen from outside ----------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Server:
    """The sandbox's own record of what came in."""

    store: Path
    url: str = ""

    @contextlib.contextmanager
    def _open(self, mode: str) -> Iterator[sqlite3.Connection]:
        with contextlib.closing(
            sqlite3.connect(f"{self.store.resolve().as_uri()}?mode={mode}", uri=True, timeout=20)
        ) as database:
            yield database

    def _ask(self, statement: str) -> list[Any]:
        if not self.store.exists():
            return []
        with self._open("rw") as database:  # a reader of a write-ahead log may have to mend it
            return database.execute(statement).fetchall()

    def bodies(self) -> dict[str, dict[str, Any]]:
        """The newest body of each event_uuid."""
        found = self._ask("SELECT event_uuid, body FROM events ORDER BY seq")
        return {uuid: json.loads(body) for uuid, body in found}

    def times(self) -> dict[str, int]:
        """How often each event_uuid came."""
        return dict(self._ask("SELECT event_uuid, times FROM deliveries"))

    def count(self) -> int:
        """How many events it took, repeats included."""
        found = self._ask("SELECT count(*) FROM events")
        return found[0][0] if found else 0

    def order(self) -> list[str]:
        """The event_uuids in the order in which they were taken."""
        return [uuid for (uuid,) in self._ask("SELECT event_uuid FROM events ORDER BY seq")]

    def requests(self) -> int:
        """How many requests came to the event endpoints."""
        found = self._ask("SELECT count(*) FROM requests WHERE method = 'POST'")
        return found[0][0] if found else 0

    def statuses(self) -> Counter[int | None]:
        """The answers that were given."""
        return Counter(dict(self._ask("SELECT status, count(*) FROM requests GROUP BY status")))

    def paths(self) -> set[str]:
        """The endpoints that were asked."""
        return {path for (path,) in self._ask("SELECT DISTINCT path FROM requests")}

    def clear(self) -> None:
        """Forget everything."""
        with self._open("rw") as database, database:
            database.execute("DELETE FROM events")
            database.execute("DELETE FROM requests")

    def kept(self) -> dict[str, list[Any]]:
        """All that it has, to be given back to `restore`."""
        return {table: self._ask(f"SELECT * FROM {table}") for table in ("requests", "events")}

    def restore(self, kept: dict[str, list[Any]]) -> None:
        """Have again what it had."""
        self.clear()
        with self._open("rw") as database, database:
            for table, rows in kept.items():
                marks = ",".join("?" * len(rows[0])) if rows else ""
                database.executemany(f"INSERT INTO {table} VALUES ({marks})", rows)

    def set_faults(self, *specs: str, seed: int = 0) -> None:
        """Replace the faults in force."""
        body = json.dumps({"faults": specs, "seed": seed}).encode()
        request = urllib.request.Request(f"{self.url}/_sandbox/faults", data=body)
        with urllib.request.urlopen(request, timeout=20) as answer:
            assert answer.status == 200


class ExternalSandbox:
    """`ingest sandbox` as a process of its own; use as a context manager.

    Args:
        store: Where it keeps what it gets.
        flags: More of its flags.
    """

    def __init__(self, store: Path, *flags: str) -> None:
        self._store = store
        self._flags = flags
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> Server:
        command = [sys.executable, "-P", "-m", "ingest", "sandbox", "--port", "0"]
        self._process = subprocess.Popen(
            [*command, "--store", str(self._store), *self._flags],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            cwd=self._store.parent,
            env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"},
        )
        assert self._process.stdout is not None
        url = self._process.stdout.readline().strip()
        if not url.startswith("http://127.0.0.1:"):
            self._stop()
            raise AssertionError(f"the sandbox did not start: {url!r}")
        return Server(self._store, url)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop()

    def _stop(self) -> None:
        process = self._process
        assert process is not None
        process.terminate()
        process.wait(20)
        assert process.stdout is not None
        process.stdout.close()


# -- commands --------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Done:
    """A command that has ended."""

    code: int
    out: str
    err: str

    @property
    def summary(self) -> dict[str, Any]:
        """The one object that `--json` prints, and nothing beside it."""
        value = json.loads(self.out)
        assert isinstance(value, dict)
        return value


@dataclass(frozen=True, slots=True)
class Workdir:
    """A working directory with a state of its own.

    Args:
        root: The directory.
        environ: Set for each command.
        nursery: Forks for commands that need no process of their own from the start: most of the
            time of a short one goes into imports.
    """

    root: Path
    environ: dict[str, str] = field(default_factory=dict)
    nursery: Nursery | None = None

    @property
    def state(self) -> Path:
        """Where the ledger is by default."""
        return self.root / "state" / "ingest"

    @property
    def server(self) -> Server:
        """The store of the sandbox that `run --sandbox` starts."""
        return Server(self.state / "sandbox.sqlite3")

    def env(self, **more: str) -> dict[str, str]:
        """The environment of a command: nothing of ours that could be set outside."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith("INGEST_")}
        ours = {"XDG_STATE_HOME": str(self.root / "state"), "PYTHONPATH": str(ROOT)}
        return {**kept, **ours, "NO_PROXY": "*", **self.environ, **more}

    def source(self, rows: Sequence[Row], *, name: str = "events.csv") -> Source:
        """Write a source of some records."""
        header = ",".join(COLUMNS).encode()
        return Source(self.root / name, header, tuple(rows)).write()

    def start(
        self, *arguments: str | bytes | Path, command: Sequence[str] | None = None, **options: Any
    ) -> subprocess.Popen[str]:
        """Start the installed command and give its process."""
        begin = command or [sys.executable, "-P", "-m", "ingest"]
        options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options}
        options = {"env": self.env(), "stdin": subprocess.DEVNULL, **options}
        return subprocess.Popen(
            [*begin, *map(_argument, arguments)],
            cwd=self.root,
            text=True,
            errors="surrogateescape",
            **options,
        )

    def ingest(
        self, *arguments: str | bytes | Path, timeout_s: float = TIMEOUT_S, **options: Any
    ) -> Done:
        """Run the installed command to its end."""
        if self.nursery and not set(options) - {"env"}:
            texts = [os.fsdecode(argument) for argument in arguments]
            environ = options.get("env", self.env())
            return Done(*self.nursery.run(texts, cwd=self.root, environ=environ, wait_s=timeout_s))
        with self.start(*arguments, **options) as process:
            try:
                out, err = process.communicate(timeout=timeout_s)
            except BaseException:
                process.kill()
                raise
            return Done(process.returncode, out or "", err or "")

    def json(self, *arguments: str | bytes | Path, **options: Any) -> Done:
        """Run it with `--json`, and check what must hold of the object on every exit."""
        done = self.ingest(arguments[0], "--json", *arguments[1:], **options)
        assert_summary_form(done)
        return done

    def to(self, server: Server) -> tuple[str, ...]:
        """The flags that send to an external sandbox."""
        return ("--url", server.url, "--rate", "0")


def _argument(value: str | bytes | Path) -> str | bytes:
    return value if isinstance(value, bytes) else str(value)


def interrupt(
    process: subprocess.Popen[str], number: signal.Signals, *, patience_s: float = 60
) -> Done:
    """Send a signal to a run that is under way and wait for its end."""
    process.send_signal(number)
    out, err = process.communicate(timeout=patience_s)
    return Done(process.returncode, out or "", err or "")


def wait_for_events(server: Server, count: int, *, patience_s: float = 60) -> None:
    """Wait until a server has taken some events."""
    _wait(lambda: server.count() >= count, f"{count} events", patience_s)


def wait_for_requests(server: Server, count: int, *, patience_s: float = 60) -> None:
    """Wait until a server has been asked some times."""
    _wait(lambda: server.requests() >= count, f"{count} requests", patience_s)


def _wait(holds: Any, what: str, patience_s: float) -> None:
    until = time.monotonic() + patience_s
    while True:
        with contextlib.suppress(sqlite3.OperationalError):  # the store is just being made
            if holds():
                return
        assert time.monotonic() < until, f"there are not {what} after {patience_s:g} s"
        time.sleep(0.02)


# -- laws ------------------------------------------------------------------------------------


def assert_summary_form(done: Done) -> None:
    """What holds of the object that `--json` prints, on every exit."""
    summary = done.summary
    assert set(summary) >= FIELDS, FIELDS - set(summary)
    assert summary["format"] == 1
    assert summary["exit_code"] == done.code
    assert summary["status"] == STATUSES[done.code]
    assert set(summary["records"]) >= {"read", *ENDS}
    assert set(summary["of_which"]) >= {"in_doubt", "held", "warned"}
    assert set(summary["this_run"]) >= {"read", "delivered", "rejected", "refused"}
    assert set(summary["destination"]) >= {"url", "endpoint", "account"}
    assert set(summary["requests"]) >= {"sent", "retried", "status"}
    assert set(summary["reports"]) >= {"directory", "html", "summary"}
    assert set(summary["error"]) >= {"code", "message", "hint"}
    if done.code in {0, 3}:
        assert summary["error"] == {"code": "", "message": "", "hint": ""}
        assert summary["reason"] is None
    else:
        assert summary["error"]["code"]
        assert summary["error"]["message"] == summary["reason"]
    for source in summary["sources"]:
        assert set(source) >= SOURCE_FIELDS, SOURCE_FIELDS - set(source)
        _assert_conserved(source["records"])
    _assert_conserved(summary["records"])
    for name in ("read", *ENDS):
        assert summary["records"][name] == sum(s["records"][name] for s in summary["sources"])


def _assert_conserved(records: dict[str, int]) -> None:
    assert records["read"] == sum(records[end] for end in ENDS), records
    assert min(records.values()) >= 0


@dataclass(frozen=True, slots=True)
class Reports:
    """The reports of one source, read back."""

    csv: list[dict[str, str]]
    jsonl: list[dict[str, Any]]
    doubt: list[dict[str, str]]


def read_reports(work: Workdir, paths: dict[str, str | None]) -> Reports:
    """Read the reports that a summary names."""
    assert paths["rejects_csv"], "the summary names no report of rejects"
    assert paths["rejects_jsonl"]
    assert paths["rejects_xlsx"]
    assert (work.root / paths["rejects_xlsx"]).stat().st_size > 0
    with (work.root / paths["rejects_csv"]).open(encoding="utf-8-sig", newline="") as file:
        table = list(csv.DictReader(file))
    lines = (work.root / paths["rejects_jsonl"]).read_bytes().splitlines()
    doubt: list[dict[str, str]] = []
    if paths["doubt_csv"]:
        with (work.root / paths["doubt_csv"]).open(encoding="ascii", newline="") as file:
            doubt = list(csv.DictReader(file))
    return Reports(table, [json.loads(line) for line in lines], doubt)


def assert_accounted(
    work: Workdir,
    source: Source,
    summary: dict[str, Any],
    server: Server,
    *,
    name: str = "",
    entry: int = 0,
    alone: bool = True,
) -> Reports:
    """The one law: every record has exactly one end, and server, reports and summary agree on it.

    Args:
        work: Where it ran.
        source: What was sent.
        summary: What the last run printed.
        server: Who was to get it.
        name: Of `--as`.
        entry: The source's place among the sources of the summary.
        alone: The server has nothing of any other source.

    Returns:
        The reports, for more questions.
    """
    told = summary["sources"][entry]
    records, marks = told["records"], told["of_which"]
    reports = read_reports(work, told["reports"])
    uuids = source.uuids(name=name)
    expected, got = source.expected(name=name), server.times()

    _assert_conserved(records)
    _assert_recount(source, told, reports)
    doubtful = {row["event_uuid"] for row in reports.doubt}
    assert len(doubtful) == len(reports.doubt) == marks["in_doubt"]
    for row in reports.doubt:
        number = int(row["record"])
        assert uuids[number - 1] == row["event_uuid"]
        assert source.offsets()[number - 1] == int(row["offset"])

    ours = {uuid: times for uuid, times in got.items() if alone or uuid in expected}
    assert set(ours) <= set(expected), "the server holds what should never have been sent"
    assert {uuid for uuid, times in ours.items() if times > 1} <= doubtful, "a repeat without doubt"
    assert records["delivered"] <= len(ours), "counted as delivered, and not there"
    assert len(ours) - records["delivered"] <= marks["in_doubt"], "there, and nobody knows"
    bodies = server.bodies()
    for uuid in ours:
        assert bodies[uuid].get("customer_id", "") == expected[uuid], "another record's content"
    if told["complete"]:
        assert records["read"] == len(source.rows)
        assert set(ours) == set(expected), "something is missing"
        ended = Counter(row["end"] for row in reports.doubt)
        assert ended["unsent"] == 0
        assert told["bytes"] == told["bytes_done"] == len(source.content)
        assert records["delivered"] == len(expected)
        assert records["unsent"] == 0
    return reports


def _assert_recount(source: Source, told: dict[str, Any], reports: Reports) -> None:
    records = told["records"]
    numbers = [int(row["_reject_record"]) for row in reports.csv]
    assert numbers == sorted(set(numbers)), "a record is in the report twice, or out of order"
    assert numbers == [line["record"] for line in reports.jsonl]
    assert [row["_reject_id"] for row in reports.csv] == [r["reject_id"] for r in reports.jsonl]
    stages = Counter(row["_reject_stage"] for row in reports.csv)
    assert stages["reading"] + stages["rules"] == records["rejected"]
    assert stages["api"] == records["refused"]
    assert set(stages) <= {"reading", "rules", "api"}
    rejected = source.rejected()
    offsets = source.offsets()
    for row, line in zip(reports.csv, reports.jsonl, strict=True):
        number = line["record"]
        codes = tuple(each["code"] for each in line["violations"])
        wanted = ("api_refused",) if row["_reject_stage"] == "api" else rejected[number]
        assert codes == wanted, f"record {number}"
        assert int(row["_reject_offset"]) == line["offset"] == offsets[number - 1]
        assert row["_reject_stage"] != "api" or number in source.refused()
    if told["complete"]:
        assert set(numbers) == set(rejected) | source.refused()


def assert_codes_recounted(summary: dict[str, Any], reports: Iterable[Reports]) -> None:
    """`codes` of the summary are the violations of the reports."""
    counted = Counter(
        violation["code"]
        for report in reports
        for line in report.jsonl
        for violation in line["violations"]
    )
    assert summary["codes"] == dict(counted)
