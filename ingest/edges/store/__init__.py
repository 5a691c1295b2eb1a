"""The ledger in SQLite: the only durable truth about progress.

WAL with `synchronous=FULL`: a commit that returned survives a power cut. Every transaction counts
one up in `meta`, and the witness follows; a ledger behind its witness has lost commits and is
refused. Every row carries a checksum, which is verified whenever it is read.

One connection, used by one thread at a time; other processes may use the same ledger.
"""

import hashlib
import json
import os
import secrets
import sqlite3
import stat
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self
from uuid import UUID, uuid4

from filelock import FileLock

from ingest.core.load import ChunkState, Destination, Load, Note
from ingest.edges.store import rows
from ingest.edges.store.witness import Testimony, Witness, read
from ingest.errors import BugError, CredentialsError, MismatchError, StoppedError

__all__ = ["LEDGER", "RunRow", "Store", "set_aside"]

LEDGER, WITNESS, SEGMENTS = "ledger.sqlite3", "ledger.witness", "segments"
_FIRST_LOCK, _FIRST_S = "ledger.first.lock", 60.0
_CHECK_BYTES = 256 * 1024 * 1024
_REFUSALS = {
    *(sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN),
    *(sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_PERM, sqlite3.SQLITE_NOMEM),
}
"""Result codes that speak of the machine; any other that our own statements meet is damage."""
_MOST_CHUNK = (1 << 63) - 1
_MARKS = {
    table: ",".join("?" * count) for table, count in {"load": 18, "chunk": 20, "note": 6}.items()
}


@dataclass(frozen=True, slots=True)
class RunRow:
    """One invocation as recorded; `summary` is what `--json` printed."""

    run_id: str
    started_at: str
    finished_at: str
    status: str
    exit_code: int
    summary: dict[str, Any]


class Store:
    """An open ledger; use as a context manager.

    Args:
        directory: The state directory; made where it is not there.

    Raises:
        MismatchError: The ledger is damaged, behind its witness, or of a newer version.
        StoppedError: The disk refuses.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._settled: set[int] = set()
        self._lost: sqlite3.Error | None = None
        with self._errors("open"):
            self._make_directory()
            testimony = self._testimony()
            fresh = self._make_file(testimony)
            self._db = sqlite3.connect(
                directory / LEDGER, timeout=30, isolation_level=None, check_same_thread=False
            )
            self._prepare(testimony, fresh=fresh)
            self._witness = Witness(directory / WITNESS, testimony)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the ledger."""
        self._db.close()
        self._witness.close()

    # -- opening ---------------------------------------------------------------------------

    def _make_directory(self) -> None:
        self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        (self.directory / SEGMENTS).mkdir(mode=0o700, exist_ok=True)

    def _testimony(self) -> Testimony:
        found = self._read_witness()
        if found is not None:
            return self._with_ledger(found)
        # Two first runs at the same moment would each make a witness of a ledger of its own.
        path = self.directory / _FIRST_LOCK
        with FileLock(path, timeout=_FIRST_S, mode=0o600, fallback_to_soft=False):
            return self._with_ledger(self._read_witness())

    def _read_witness(self) -> Testimony | None:
        try:
            return read(self.directory / WITNESS)
        except ValueError as error:
            raise self._damaged(
                f"the witness {self.directory / WITNESS} is damaged: {error}"
            ) from error

    def _with_ledger(self, found: Testimony | None) -> Testimony:
        has_ledger = (self.directory / LEDGER).exists()
        if found is None and has_ledger:
            raise self._damaged(f"the witness {self.directory / WITNESS} is missing")
        if found is not None and found.commits and not has_ledger:
            raise self._damaged(
                f"the ledger {self.directory / LEDGER} is gone, its witness saw {found.commits} commits",
                hint=f"restore {self.directory} from a backup, or begin it anew from what the last run"
                " left: run --adopt summary.json; nothing was sent",
            )
        if found is None:
            _sync_above(self.directory)  # no commit outlasts a power cut that takes the directory
            found = Testimony(ledger_id=uuid4(), commits=0)
            Witness(self.directory / WITNESS, found).close()
            _sync_directory(self.directory)
        return found

    def _make_file(self, testimony: Testimony) -> bool:
        path = self.directory / LEDGER
        try:
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_NOFOLLOW, 0o600))
        except FileExistsError:
            facts = path.lstat()
            if not stat.S_ISREG(facts.st_mode) or facts.st_nlink > 1:
                raise MismatchError(
                    f"{path} is a link, not a ledger", hint="remove it", code="ledger_is_a_link"
                ) from None
            return facts.st_size == 0 and testimony.commits == 0
        return True

    def _prepare(self, testimony: Testimony, *, fresh: bool) -> None:
        self._db.execute("PRAGMA trusted_schema=OFF")
        self._db.execute("PRAGMA cell_size_check=ON")
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("PRAGMA synchronous=FULL")
        if fresh or not self._has_tables():
            if testimony.commits:
                raise self._damaged(f"the ledger {self.directory / LEDGER} is empty")
            self._create(testimony.ledger_id)
        if (self.directory / LEDGER).stat().st_size <= _CHECK_BYTES:
            # Not `quick_check`: a row that an index has lost would be a record that is sent twice.
            (verdict,) = self._db.execute("PRAGMA integrity_check(1)").fetchone()
            astray = self._db.execute("PRAGMA foreign_key_check").fetchone()
            if verdict != "ok" or astray:
                why = verdict if verdict != "ok" else "a row belongs to no load"
                raise self._damaged(f"the ledger {self.directory / LEDGER} is damaged: {why}")
        self._check(testimony)

    def _has_tables(self) -> bool:
        return bool(self._db.execute("SELECT 1 FROM sqlite_schema WHERE name='meta'").fetchone())

    def _create(self, ledger_id: UUID) -> None:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            if not self._has_tables():
                for statement in rows.SCHEMA.split(";"):
                    self._db.execute(statement)
                facts = {"format": rows.FORMAT, "ledger_id": ledger_id, "commits": 0}
                self._db.executemany(
                    "INSERT INTO meta VALUES (?, ?)", [(k, str(v)) for k, v in facts.items()]
                )
            self._db.execute("COMMIT")
        except BaseException:
            if self._db.in_transaction:  # half a schema must not pass for a ledger
                self._db.execute("ROLLBACK")
            raise

    def _check(self, testimony: Testimony) -> None:
        planted = self._db.execute(
            "SELECT name FROM sqlite_schema WHERE type IN ('trigger', 'view')"
        ).fetchone()
        if planted:  # it would act whenever a row is read or written
            raise self._damaged(f"the ledger in {self.directory} holds what is none of its tables")
        meta = dict(self._db.execute("SELECT key, value FROM meta").fetchall())
        if int(meta.get("format", 0)) > rows.FORMAT:
            raise MismatchError(
                f"the ledger in {self.directory} was written by a newer version (format {meta['format']})",
                hint="upgrade ingest, or choose another --state",
                code="ledger_newer",
            )
        if meta.get("ledger_id") != str(testimony.ledger_id):
            raise self._damaged(
                f"the ledger in {self.directory} and its witness belong to two ledgers"
            )
        if int(meta["commits"]) < testimony.commits:
            raise self._damaged(
                f"the ledger in {self.directory} has lost commits:"
                f" it has {meta['commits']}, its witness saw {testimony.commits}"
            )

    def _damaged(self, message: str, *, hint: str = "") -> MismatchError:
        return MismatchError(
            message,
            hint=hint
            or f"check the disk and restore {self.directory} from a backup; nothing was sent",
            code="ledger_damaged",
        )

    @contextmanager
    def _errors(self, operation: str) -> Iterator[None]:
        where = self.directory / LEDGER
        try:
            yield
        except rows.DamagedRowError as error:
            raise self._damaged(f"{where}: {error}") from error
        except (sqlite3.Error, OSError) as error:
            if isinstance(error, sqlite3.Error) and _primary(error) not in _REFUSALS:
                raise self._damaged(f"the ledger {where} is damaged: {error}") from error
            raise StoppedError(
                f"cannot {operation} the ledger {where}: {error}",
                hint="free the disk or mend the permissions, then run the same command again",
                code="ledger_unwritable",
            ) from error

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._errors("write"):
            if self._lost is not None:
                raise self._lost
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield self._db
                (commits,) = self._db.execute(
                    "UPDATE meta SET value = value + 1 WHERE key = 'commits' RETURNING value"
                ).fetchone()
                self._db.execute("COMMIT")
            except BaseException as error:
                if _primary(error) == sqlite3.SQLITE_IOERR:
                    # After a failed fsync the kernel may report success for what it has dropped.
                    self._lost = error if isinstance(error, sqlite3.Error) else None
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise
            self._witness.saw(int(commits))

    def _select(self, statement: str, values: Sequence[Any] = ()) -> list[Any]:
        with self._errors("read"):
            return self._db.execute(statement, values).fetchall()

    def _each(self, make: Callable[[Any], Any], found: Iterable[Any]) -> list[Any]:
        with self._errors("read"):
            return [make(row) for row in found]

    # -- accounts --------------------------------------------------------------------------

    def vouch(self, destination: Destination, key: str, *, rekey: bool) -> None:
        """Check that the key is the one that is tied to the account, if one is.

        Raises:
            CredentialsError: Another key is, and `rekey` is not given.
        """
        if rekey or self._tied(destination, key) is not False:
            return
        raise CredentialsError(
            f"another API key was used for account {destination.account!r} so far",
            hint="--rekey if it is a new key of the same account, --account NAME if it is another account",
            code="key_changed",
        )

    def tie(self, destination: Destination, key: str) -> None:
        """Tie a key that the API has accepted to the account."""
        if self._tied(destination, key):
            return
        salt = secrets.token_bytes(16)
        place = (destination.origin, destination.account)
        with self._transaction() as db:
            db.execute(
                "REPLACE INTO account VALUES (?, ?, ?, ?)", (*place, salt, _key_digest(key, salt))
            )

    def _tied(self, destination: Destination, key: str) -> bool | None:
        place = (destination.origin, destination.account)
        found = self._select("SELECT salt, digest FROM account WHERE origin=? AND account=?", place)
        if not found:
            return None
        return secrets.compare_digest(found[0][1], _key_digest(key, found[0][0]))

    # -- loads -----------------------------------------------------------------------------

    def loads(self, destination: Destination | None = None) -> list[Load]:
        """Give the loads of a destination, or all, oldest first."""
        if destination is None:
            found = self._select("SELECT * FROM load ORDER BY load_id")
        else:
            found = self._select(
                "SELECT * FROM load WHERE origin=? AND account=? ORDER BY load_id",
                (destination.origin, destination.account),
            )
        return self._each(rows.load_of, found)

    def add_load(self, load: Load) -> Load:
        """Record a load and give it with its number."""
        with self._transaction() as db:
            return _insert(db, load)

    def adopt(
        self, load: Load, fill: Callable[[Load], Iterable[tuple[ChunkState, Iterable[Note]]]]
    ) -> Load:
        """Record a load with chunks and notes, all or nothing; give it with its number.

        Args:
            load: As it is to be.
            fill: Gives its chunks, of one number the last holds, each with its notes; called with
                the numbered load.
        """
        with self._transaction() as db:
            numbered = _insert(db, load)
            for state, notes in fill(numbered):
                db.execute(
                    f"REPLACE INTO chunk VALUES ({_MARKS['chunk']})",  # noqa: S608 - marks only
                    rows.chunk_row(numbered.load_id, state),
                )
                db.executemany(
                    f"REPLACE INTO note VALUES ({_MARKS['note']})",  # noqa: S608 - marks only
                    (rows.note_row(numbered.load_id, note) for note in notes),
                )
        return numbered

    def claim(self, load: Load) -> Load:
        """Record the load as given with a new fence, which ends every earlier claim."""
        claimed = replace(load, fence=load.fence + 1)
        self.amend(claimed)
        return claimed

    def amend(self, load: Load) -> None:
        """Record the load as given."""
        with self._transaction() as db:
            db.execute(f"REPLACE INTO load VALUES ({_MARKS['load']})", rows.load_row(load))  # noqa: S608 - marks only

    def segments(self, load: Load) -> Path:
        """Give the directory of the load's segments."""
        above = self.directory / SEGMENTS / str(load.source_id)
        path = above / str(load.load_id)
        if load.load_id not in self._settled:
            with self._errors("prepare"):
                for part in (above, path):  # `parents` would obey the umask
                    part.mkdir(mode=0o700, exist_ok=True)
                    _sync_directory(part.parent)
            self._settled.add(load.load_id)
        return path

    # -- chunks ----------------------------------------------------------------------------

    def chunks(self, load: Load) -> list[ChunkState]:
        """Give the chunks of a load, in order."""
        found = self._select(
            "SELECT * FROM chunk WHERE load_id=? ORDER BY chunk_id", (load.load_id,)
        )
        return self._each(rows.chunk_of, found)

    def commit(
        self,
        load: Load,
        *,
        states: Iterable[ChunkState],
        notes: Iterable[Note] = (),
        gone: Iterable[Note] = (),
    ) -> None:
        """Record chunks and notes, all or nothing; durable when it returns.

        Args:
            load: As claimed.
            states: Its chunks that changed.
            notes: To be kept, in place of those of the same record and kind.
            gone: Not to be kept any more.

        Raises:
            BugError: Another claim has fenced this one off.
            StoppedError: The disk refuses; nothing was recorded, and nothing may be sent on.
        """
        with self._transaction() as db:
            (fence,) = db.execute(
                "SELECT fence FROM load WHERE load_id=?", (load.load_id,)
            ).fetchone()
            if fence != load.fence:
                raise BugError(f"load {load.load_id} was taken over by another run")
            db.executemany(
                f"REPLACE INTO chunk VALUES ({_MARKS['chunk']})",  # noqa: S608 - marks only
                [rows.chunk_row(load.load_id, state) for state in states],
            )
            db.executemany(
                f"REPLACE INTO note VALUES ({_MARKS['note']})",  # noqa: S608 - marks only
                [rows.note_row(load.load_id, note) for note in notes],
            )
            keys = [(load.load_id, note.chunk_id, note.record, note.kind) for note in gone]
            if keys:
                db.executemany(
                    "DELETE FROM note WHERE load_id=? AND chunk_id=? AND record=? AND kind=?", keys
                )

    def notes(self, load: Load, kind: str, *, chunk_id: int | None = None) -> Iterator[Note]:
        """Yield the notes of one kind, of one chunk or all, in the order of their records."""
        with self._errors("read"):
            found = self._db.execute(
                "SELECT * FROM note WHERE load_id=? AND kind=? AND chunk_id BETWEEN ? AND ?"
                " ORDER BY chunk_id, record",
                (load.load_id, kind, *((0, _MOST_CHUNK) if chunk_id is None else 2 * (chunk_id,))),
            )
            for row in found:
                yield rows.note_of(row)

    def rejudge(self, load: Load, states: Iterable[ChunkState]) -> None:
        """Record a load under another configuration: its chunks as given, no refusals."""
        with self._transaction() as db:
            db.execute(f"REPLACE INTO load VALUES ({_MARKS['load']})", rows.load_row(load))  # noqa: S608 - marks only
            db.execute("DELETE FROM note WHERE load_id=? AND kind='refused'", (load.load_id,))
            db.executemany(
                f"REPLACE INTO chunk VALUES ({_MARKS['chunk']})",  # noqa: S608 - marks only
                [rows.chunk_row(load.load_id, state) for state in states],
            )

    # -- runs ------------------------------------------------------------------------------

    def record_run(self, run: RunRow, loads: Iterable[Load]) -> None:
        """Record an invocation and the loads that it worked on."""
        values = (
            *(run.run_id, run.started_at, run.finished_at, run.status, run.exit_code),
            json.dumps(run.summary, separators=(",", ":")),
        )
        with self._transaction() as db:
            db.execute("REPLACE INTO run VALUES (?, ?, ?, ?, ?, ?, ?)", rows.sealed(values))
            db.executemany(
                "REPLACE INTO run_load VALUES (?, ?)",
                [(run.run_id, load.load_id) for load in loads],
            )

    def runs(self, load: Load | None = None) -> list[RunRow]:
        """Give the runs, newest first; of one load where it is given."""
        found = self._select(
            "SELECT * FROM run WHERE ?1 IS NULL OR run_id IN"
            " (SELECT run_id FROM run_load WHERE load_id=?1) ORDER BY started_at DESC, rowid DESC",
            (None if load is None else load.load_id,),
        )
        return self._each(_run_of, found)

    def loads_of(self, run_id: str) -> list[Load]:
        """Give the loads that a run worked on, in the order in which they were made."""
        found = self._select(
            "SELECT load.* FROM load JOIN run_load USING (load_id) WHERE run_load.run_id=?"
            " ORDER BY load_id",
            (run_id,),
        )
        return self._each(rows.load_of, found)

    @property
    def version(self) -> int:
        """Changes when another connection has written."""
        return int(self._select("PRAGMA data_version")[0][0])

    @property
    def commits(self) -> int:
        """The transactions committed so far."""
        return int(self._select("SELECT value FROM meta WHERE key='commits'")[0][0])


def set_aside(directory: Path) -> Path | None:
    """Put away what a ledger that is gone has left: its witness, its log, its segments.

    Gives where that is now; None where the ledger is there, or left nothing.
    """
    names = (WITNESS, f"{LEDGER}-wal", f"{LEDGER}-shm", SEGMENTS)
    left = [directory / name for name in names if (directory / name).exists()]
    if (directory / LEDGER).exists() or directory / WITNESS not in left:
        return None
    numbers = (number for number in range(1, 1_000_000))
    aside = next(p for n in numbers if not (p := directory / f"lost-{n}").exists())
    aside.mkdir(mode=0o700)
    for path in left[::-1]:  # the witness last: until then the ledger counts as gone
        path.rename(aside / path.name)
    _sync_directory(directory)
    return aside


def _insert(db: sqlite3.Connection, load: Load) -> Load:
    (number,) = db.execute("SELECT coalesce(max(load_id), 0) + 1 FROM load").fetchone()
    numbered = replace(load, load_id=number)
    db.execute(f"INSERT INTO load VALUES ({_MARKS['load']})", rows.load_row(numbered))  # noqa: S608 - marks only
    return numbered


def _run_of(row: Any) -> RunRow:
    values = rows.opened(row, table="run")
    return RunRow(values[0], values[1], values[2], values[3], values[4], json.loads(values[5]))


def _primary(error: BaseException) -> int:
    """The primary result code of an error of SQLite; 0 of any other."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF


def _key_digest(key: str, salt: bytes) -> bytes:
    return hashlib.scrypt(key.encode(), salt=salt, n=2**12, r=8, p=1, dklen=32)


def _sync_above(path: Path) -> None:
    for parent in path.resolve().parents:
        with suppress(PermissionError):  # another user's: it was there before us
            _sync_directory(parent)


def _sync_directory(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
