"""From paths to sources that are ready to be read: headers, mappings, rules, locks."""

import hashlib
import json
import os
import shlex
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ingest.config import Input, RunConfig
from ingest.core import identity as ids
from ingest.core.json_mapping import JsonMapping
from ingest.core.json_planning import Sample, plan_json
from ingest.core.load import ChunkState, Destination, Identity, Load
from ingest.core.mapping import Mapping as FieldMapping
from ingest.core.model import Dialect, Json, Position
from ingest.core.planning import plan, positions
from ingest.core.rules import Code, Rule, catalogue, digest, json_fields, known_fields, rules_of
from ingest.edges.framing import Header, read_header, sniff
from ingest.edges.jsonl import is_jsonl, look
from ingest.edges.source import LocalFile, expand, hold, listed, spooled
from ingest.edges.validator import load_documents
from ingest.errors import MismatchError, UsageError

SPOOL = "spool"
"""Directory of the ledger in which standard input is kept until it is done with."""

SPOOLED = "stdin-"
"""How the names of what is kept there begin; the run follows."""

IDENTITY_FIELDS = ("customer_id", "email", "device_id", "cookie", "group_id")
"""Fields of which one is needed (contract: identity)."""

_ZIP = b"PK\x03\x04"
_ZIP_HEAD = 64 << 10  # the parts of a workbook are named in its beginning
_OF_REJECTS = {"reject_id", "violations", "stage", "cells"}
"""Members of each line of `rejects.jsonl`."""


@dataclass(frozen=True, slots=True)
class RuleBook:
    """The rules in force.

    Args:
        rules: Compiled by the validator.
        digest: Of the rules.
        codes: Every reason code, with its texts and severity in force.
        known: Fields that the API documents.
        nested: Those of them that are arrays or objects.
        identity: Fields of which one is needed; empty where none is.
    """

    rules: tuple[Rule, ...]
    digest: str
    codes: Mapping[str, Code]
    known: tuple[str, ...]
    nested: frozenset[str]
    identity: tuple[str, ...]


class RuleBooks:
    """The rules of a run: one book for each set of schemas.

    Args:
        config: Severities, identity rules.
    """

    def __init__(self, config: RunConfig) -> None:
        self._config = config
        self._books: dict[tuple[tuple[Path, ...], bool], RuleBook] = {}

    def of(self, one: Input) -> RuleBook:
        """Give the rules for the sources of an input.

        Raises:
            UsageError: A schema or a setting of severities does not hold.
        """
        decided = one.mapping.no_timestamp  # then a missing time is no news
        key = (one.schemas, decided)
        if key not in self._books:
            rules = {"timestamp_missing": "off"} if decided else {}
            self._books[key] = rule_book(self._config, one.schemas, rules=rules)
        return self._books[key]


def rule_book(
    config: RunConfig, schemas: tuple[Path, ...] = (), *, rules: Mapping[str, str] | None = None
) -> RuleBook:
    """Read the schemas and give the rules that are in force.

    Args:
        config: Severities and identity rules as configured.
        schemas: Files over the standard ones.
        rules: Severities that the configuration may override.

    Raises:
        UsageError: A schema or a setting of severities does not hold.
    """
    documents: dict[str, Json] = load_documents(schemas)
    names = (*IDENTITY_FIELDS, *config.identity_keys)
    severities = {**(rules or {}), **config.rules}
    if schemas:
        # A document that was replaced takes its codes along; to name one of them is no mistake.
        gone = catalogue(load_documents()).keys() - catalogue(documents).keys()
        severities = {code: to for code, to in severities.items() if code not in gone}
    in_force = rules_of(
        documents,
        identity="page" if config.identity == "page" else "strict",
        identity_keys=config.identity_keys,
        severities=severities,
        strict=config.strict,
    )
    return RuleBook(
        rules=in_force,
        digest=digest(in_force),
        codes=catalogue(documents, severities=severities, strict=config.strict),
        known=tuple(dict.fromkeys((*known_fields(documents), *config.identity_keys))),
        nested=json_fields(documents),
        identity=() if config.identity == "page" else names,
    )


@dataclass(frozen=True, slots=True)
class Opened:
    """A source whose header was read and fits the flags; nothing else was read yet.

    Args:
        file: The file.
        input: How it is to be read, as typed.
        book: Its rules.
        dialect: How it is written.
        columns: Its header; JSON lines have none.
        start: Where its records begin.
        mapping: What of a record is sent.
    """

    file: LocalFile
    input: Input
    book: RuleBook
    dialect: Dialect
    columns: tuple[str, ...]
    start: Position
    mapping: FieldMapping | JsonMapping

    @property
    def form(self) -> dict[str, Any]:
        """How it is read, as JSON-able values."""
        start, dialect = self.start, self.dialect
        kind = {"format": "jsonl"} if isinstance(self.mapping, JsonMapping) else {}
        return kind | {
            "columns": list(self.columns),
            "start": [start.offset, start.record, start.line, start.resync_until],
            "dialect": {name: getattr(dialect, name) for name in dialect.__slots__},
            "max_record_bytes": self.input.reading.max_record_bytes,
        }


@dataclass(frozen=True, slots=True)
class Refused:
    """A source that cannot be used, left out by `--skip-bad-files`."""

    path: str
    error: UsageError


@contextmanager
def opened(
    config: RunConfig, books: RuleBooks, *, spool: Path, run_id: str
) -> Iterator[tuple[list[Opened], list[Refused]]]:
    """Open all sources and read their headers; refuse before anything else is read.

    Args:
        config: What is to be read.
        books: The rules.
        spool: Where standard input is kept.
        run_id: Names the file that standard input is kept in.

    Raises:
        UsageError: A source cannot be used as it is; the hint has what to type.
    """
    with ExitStack() as stack:
        good: list[Opened] = []
        bad: list[Refused] = []
        for path, one in _listed(config):
            kept, book = None, books.of(one)
            try:
                if path == "-":
                    kept = spooled(sys.stdin.buffer, spool, f"{SPOOLED}{run_id}")
                file = stack.enter_context(file_at(str(kept or path), spooled=kept is not None))
                good.append(_named(file, one, book))
                file.release()
            except UsageError as error:
                if kept is not None:
                    kept.unlink()  # nothing of it was sent: it can be given again
                if not config.skip_bad_files:
                    raise
                bad.append(Refused(path, error))
        yield good, bad


def _listed(config: RunConfig) -> Iterator[tuple[str, Input]]:
    seen: set[str] = set()
    for one in config.inputs:
        paths = expand((*one.paths, *(listed(one.listed) if one.listed else ())))
        yield from ((path, one) for path in paths if path not in seen)
        seen.update(paths)


def file_at(path: str, *, spooled: bool) -> LocalFile:
    """Open a source; what was spooled is called standard input."""
    return LocalFile(path, shown="standard input" if spooled else None)


def is_spooled(path: str, config: RunConfig) -> bool:
    """Whether a path is that of standard input as the ledger keeps it."""
    named = os.path.basename(path).startswith(SPOOLED)  # noqa: PTH119 - asked for each of thousands
    return named and Path(path).parent == (config.state / SPOOL).resolve()


def _named(file: LocalFile, one: Input, book: RuleBook) -> Opened:
    try:
        return _open(file, one, book)
    except UsageError as error:
        message = error.message if file.path in error.message else f"{file.path}: {error.message}"
        raise UsageError(message, hint=error.hint, code=error.code) from error


def _open(file: LocalFile, one: Input, book: RuleBook) -> Opened:
    if _is_workbook(file.read_raw(0, _ZIP_HEAD)):
        raise _workbook(file.path)
    if not one.reading.delimiter and is_jsonl(file.path, file.read_raw):
        return _open_jsonl(file, one, book)
    header = _header(file, one, sure=bool(one.reading.delimiter))
    if "_reject_id" in header.columns:
        raise _report(file.path)
    try:
        mapping = plan(
            header.columns,
            one.mapping,
            known_fields=book.known,
            json_fields=book.nested,
            identity_fields=book.identity,
        )
    except UsageError:
        if len(header.columns) == 1:
            _header(file, one, sure=False)  # a wrong delimiter is the likelier reason
        raise
    return Opened(file, one, book, header.dialect, header.columns, header.start, mapping)


def _open_jsonl(file: LocalFile, one: Input, book: RuleBook) -> Opened:
    try:
        seen = look(file.read_raw, size=file.size)
    except UsageError as error:
        hint = error.hint.replace("FILE", shlex.quote(file.path))
        raise UsageError(error.message, hint=hint, code=error.code) from error
    if set(seen.names) >= _OF_REJECTS:
        raise _report(file.path)
    mapping = plan_json(
        Sample(seen.names, seen.paths, seen.records),
        one.mapping,
        known_fields=book.known,
        json_fields=book.nested,
        identity_fields=book.identity,
    )
    return Opened(file, one, book, Dialect(), (), seen.start, mapping)


def _report(path: str) -> UsageError:
    return UsageError(
        f"{path} is a report of rejected records",
        hint=f"mend it and send it with: ingest retry {shlex.quote(path)}",
        code="source_is_report",
    )


def _is_workbook(head: bytes) -> bool:
    """Whether a file begins as the zip archive of a workbook; other archives are no CSV either."""
    return head.startswith(_ZIP) and (b"[Content_Types].xml" in head or b"xl/" in head)


def _workbook(path: str) -> UsageError:
    if Path(path).name.startswith("rejects"):
        return _report(path)
    return UsageError(
        f"{path} is a workbook, not CSV or JSON lines",
        hint=f"save its sheet as CSV (UTF-8); a report of rejects: ingest retry {shlex.quote(path)}",
        code="source_is_workbook",
    )


def _header(file: LocalFile, one: Input, *, sure: bool) -> Header:
    size, reading = file.size, one.reading
    dialect = Dialect(reading.delimiter or ",", reading.quote, reading.encoding)
    try:
        if not reading.delimiter:
            width = len(reading.columns)
            dialect = sniff(file.read_raw, size=size, dialect=dialect, width=width)
        return read_header(
            file.read_raw,
            size=size,
            dialect=dialect,
            dropped=positions(one.mapping.drop),
            names=reading.columns,
            sure=sure,
        )
    except UsageError as error:
        hint = error.hint.replace("FILE", shlex.quote(file.path))
        raise UsageError(error.message, hint=hint, code=error.code) from error


def config_of(opened: Opened, config: RunConfig) -> dict[str, Any]:
    """Give all that decides the content of events and verdicts, as JSON-able values."""
    return {
        "mapping": opened.mapping.as_json(),
        "rules": opened.book.digest,
        "identity": [config.identity, *config.identity_keys],
    }


def digest_of(config: Mapping[str, Any]) -> str:
    """Give the SHA-256 of a configuration, hexadecimal."""
    text = json.dumps(config, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def new_load(opened: Opened, config: RunConfig, identity: Identity) -> Load:
    """Give the load of a source that is seen for the first time."""
    settings = config_of(opened, config)
    return Load(
        load_id=0,
        destination=config.destination,
        source_id=ids.source_id(identity.fingerprint, opened.input.name or None),
        name=opened.input.name,
        path=opened.file.absolute,
        identity=identity,
        form=opened.form,
        config_digest=digest_of(settings),
        config=settings,
    )


def check_config(load: Load, opened: Opened, config: RunConfig) -> Load:
    """Give the load with the configuration of today, if it may go on with it.

    Raises:
        MismatchError: Its mapping or rules differ and `--rejudge` is not given; or its ids would.
    """
    settings = config_of(opened, config)
    if load.config_digest == digest_of(settings) and load.form == opened.form:
        return load
    if _key(load.config) != _key(settings):
        raise MismatchError(
            f"{opened.file.path} was begun with another --uuid-from: its events have other ids",
            hint="use the one of then; --as NAME sends all of it as a load of its own",
            code="config_changed",
        )
    if not config.rejudge or load.form != opened.form:
        raise MismatchError(
            f"{opened.file.path} was begun with {_differences(load, settings, opened)}",
            hint=(
                "use the flags of then; --rejudge judges what was not delivered again under these;"
                " --as NAME sends all of it as a load of its own"
            ),
            code="config_changed",
        )
    return replace(load, config=settings, config_digest=digest_of(settings))


def _key(settings: Mapping[str, Any]) -> list[str]:
    return list(settings["mapping"].get("key", ()))


def _differences(load: Load, settings: Mapping[str, Any], opened: Opened) -> str:
    words = {
        "mapping": "another mapping",
        "rules": "other rules",
        "identity": "other identity rules",
    }
    found = [text for name, text in words.items() if load.config.get(name) != settings[name]]
    if load.form != opened.form:
        found.append("another way of reading it")
    return " and ".join(found) or "another configuration"


def check_growth(source: Opened, states: Sequence[ChunkState]) -> None:
    """Check that a source has grown behind a whole record, or one that was rejected.

    Raises:
        MismatchError: It has grown within a record that was sent.
    """
    if not states or not states[-1].findings.unterminated:
        return
    last = states[-1].progress.total - 1
    if not states[-1].progress.rejected >> last & 1:
        raise MismatchError(
            f"{source.file.path} has grown after a last line that was not complete when it was sent"
            f" (record {states[-1].chunk.stop.record:,})",
            hint=(
                "put the original back, or send it as a load of its own: --as NAME;"
                " --growing leaves such a line for the next run"
            ),
            code="source_grown_within_record",
        )


def lock_file(config: RunConfig, opened: Opened, *, holder: str) -> AbstractContextManager[None]:
    """Hold the file itself for this destination: by device and inode, whatever its path."""
    stat, what = opened.file.stat, opened.file.path
    key = f"file\n{stat.device}\n{stat.inode}"
    return _lock(config.shared, config.destination, what, key, holder=holder)


def lock_load(
    config: RunConfig, opened: Opened, load: Load, *, holder: str
) -> AbstractContextManager[None]:
    """Hold the load: the same bytes under another path are the same load."""
    return hold_load(config.shared, replace(load, path=opened.file.path), holder=holder)


def hold_load(shared: Path, load: Load, *, holder: str) -> AbstractContextManager[None]:
    """Hold a load without its source.

    Args:
        shared: What all runs of this user share.
        load: It.
        holder: Who holds it, for the message of others.

    Raises:
        LockedError: A run works on it.
    """
    return _lock(shared, load.destination, load.path, f"load\n{load.source_id}", holder=holder)


def _lock(
    shared: Path, destination: Destination, what: str, key: str, *, holder: str
) -> AbstractContextManager[None]:
    text = f"{key}\n{destination.origin}\n{destination.account}"
    name = hashlib.sha256(text.encode()).hexdigest()[:32]
    return hold(shared / "locks", name, what=what, holder=holder)
