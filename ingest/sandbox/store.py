"""What the sandbox received, in SQLite, for itself and for whoever wants to check a client.

One transaction a request, committed before its answer goes out: what a client was told is there to
be read, by another process too, even if this one is killed the next moment. synchronous=NORMAL
survives the death of the process; a power cut may lose the last requests, but not the file.

Nothing is dropped: an event that arrives twice has two rows with one event_uuid; the view
`deliveries` counts them. There is no index by event_uuid: keeping one costs more than all else that
is done for a request.
"""

import os
import sqlite3
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ingest.sandbox.errors import SandboxError

APPLICATION_ID = 0x42534658
SCHEMA_VERSION = 1
SCHEMA = """
CREATE TABLE IF NOT EXISTS requests (
    number          INTEGER PRIMARY KEY,  -- in order of being recorded, from 1
    method          TEXT NOT NULL,
    path            TEXT NOT NULL,
    status          INTEGER,              -- NULL: no status line was sent
    bytes           INTEGER NOT NULL,     -- of the body, as far as it was read
    events          INTEGER NOT NULL,     -- in the body; 0 where it was not understood
    stored          INTEGER NOT NULL,     -- rows of `events` that it made
    fault           TEXT,                 -- the fault that was injected, as it was written
    request_id      TEXT NOT NULL,        -- x-request-id of the answer
    arrived_mono_ns INTEGER NOT NULL,     -- when its head had arrived, CLOCK_MONOTONIC
    arrived_unix_s  REAL NOT NULL         -- the same moment by the wall clock
);
CREATE TABLE IF NOT EXISTS events (
    seq             INTEGER PRIMARY KEY,  -- in order of acceptance, from 1
    request         INTEGER NOT NULL REFERENCES requests (number),
    event_uuid      TEXT NOT NULL,
    uuid_given      INTEGER NOT NULL,     -- 0: it had none, and was given this one
    event           TEXT NOT NULL,        -- its name
    body            TEXT NOT NULL,        -- the exact text of its JSON object
    arrived_mono_ns INTEGER NOT NULL,     -- of its request
    arrived_unix_s  REAL NOT NULL
);
CREATE INDEX IF NOT EXISTS events_by_name ON events (event);
CREATE VIEW IF NOT EXISTS deliveries AS
    SELECT event_uuid, count(*) AS times, min(request) AS first_request,
           max(request) AS last_request
    FROM events GROUP BY event_uuid;
"""
_INSERT_REQUEST = """
INSERT INTO requests (method, path, status, bytes, events, stored, fault, request_id,
                      arrived_mono_ns, arrived_unix_s)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
"""
_INSERT_EVENT = """
INSERT INTO events (request, event_uuid, uuid_given, event, body, arrived_mono_ns, arrived_unix_s)
VALUES (?, ?, ?, ?, ?, ?, ?)
"""


@dataclass(frozen=True, slots=True)
class Arrival:
    """When a request came, and what the answer calls it."""

    method: str
    path: str
    request_id: str
    mono_ns: int
    unix_s: float


@dataclass(frozen=True, slots=True)
class Received:
    """One accepted event.

    Args:
        event_uuid: Its own, or the one that it was given.
        uuid_given: It had one.
        event: Its name.
        body: The exact text of its JSON object.
    """

    event_uuid: str
    uuid_given: bool
    event: str
    body: str


class Store:
    """The SQLite file of one sandbox; several processes may write to the same one.

    Args:
        path: Made with mode 0600 if missing, whatever the umask; added to if it is a store.

    Raises:
        SandboxError: The file cannot be made or opened, or is something else.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        _prepare(path)
        try:
            self._database = _open(path)
        except sqlite3.Error as error:
            raise SandboxError(f"the sandbox's store {path} cannot be used: {error}") from error

    def record(  # the arguments are the columns of a request's row
        self,
        arrival: Arrival,
        *,
        status: int | None,
        size: int = 0,
        events: int = 0,
        received: Sequence[Received] = (),
        fault: str | None = None,
    ) -> int:
        """Keep one request and the events that it brought, and give its number.

        They are durable against the death of this process when this returns.

        Raises:
            sqlite3.Error: Nothing was kept: the disk is full, say.
        """
        head = (arrival.method, arrival.path, status, size, events, len(received), fault)
        stamp = (arrival.mono_ns, arrival.unix_s)
        with self._database as database:
            database.execute("BEGIN IMMEDIATE")
            cursor = database.execute(_INSERT_REQUEST, (*head, arrival.request_id, *stamp))
            number = cursor.lastrowid or 0
            if received:
                database.executemany(
                    _INSERT_EVENT,
                    [
                        (number, one.event_uuid, one.uuid_given, one.event, one.body, *stamp)
                        for one in received
                    ],
                )
        return number

    def newest(self, event: str, *, limit: int) -> list[tuple[str, str, float]]:
        """Give (event_uuid, body, arrived_unix_s) of the newest of one name, newest first."""
        return self._database.execute(
            "SELECT event_uuid, body, arrived_unix_s FROM events"
            " WHERE event = ? ORDER BY seq DESC LIMIT ?",
            (event, limit),
        ).fetchall()

    def latest(self) -> list[tuple[str, str, str, float]]:
        """Give (event, event_uuid, body, arrived_unix_s) of the newest of each name."""
        return self._database.execute(
            "SELECT event, event_uuid, body, arrived_unix_s FROM events"
            " WHERE seq IN (SELECT max(seq) FROM events GROUP BY event) ORDER BY event"
        ).fetchall()

    def counts(self) -> dict[str, object]:
        """Count what the store holds, earlier processes' share included."""
        rows = self._database.execute("SELECT status, count(*) FROM requests GROUP BY status")
        by_status = {"none" if status is None else str(status): n for status, n in rows}
        faults = self._database.execute(
            "SELECT fault, count(*) FROM requests WHERE fault IS NOT NULL GROUP BY fault"
        )
        delivered, distinct = self._database.execute(
            "SELECT count(*), count(DISTINCT event_uuid) FROM events"
        ).fetchone()
        return {
            "requests": {"total": sum(by_status.values()), "status": by_status},
            "events": {
                "delivered": delivered,
                "distinct": distinct,
                "repeats": delivered - distinct,
            },
            "faults": dict(faults.fetchall()),
        }

    def close(self) -> None:
        """Close the file; its write-ahead log is folded into it."""
        self._database.close()


def _prepare(path: Path) -> None:
    """Make the file, readable by its owner only, before SQLite opens it by name."""
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
    try:
        descriptor = os.open(path, flags, 0o600)
    except OSError as error:
        raise SandboxError(
            f"the sandbox's store {path} cannot be opened: {error.strerror}"
        ) from error
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            raise SandboxError(f"the sandbox's store {path} is not a regular file")
        if not found.st_size:
            os.fchmod(descriptor, 0o600)
    except OSError as error:
        raise SandboxError(
            f"the sandbox's store {path} cannot be made private: {error.strerror}"
        ) from error
    finally:
        os.close(descriptor)


def _open(path: Path) -> sqlite3.Connection:
    # Another sandbox may be writing to the same store: wait for its transaction.
    database = sqlite3.connect(path, isolation_level=None, timeout=10)
    try:
        _check(database, path)
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("PRAGMA synchronous = NORMAL")
        with database:
            database.execute("BEGIN IMMEDIATE")
            database.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            database.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
            for statement in SCHEMA.split(";\n"):
                database.execute(statement)
    except BaseException:
        database.close()
        raise
    return database


def _check(database: sqlite3.Connection, path: Path) -> None:
    """Refuse a database that is somebody else's, before anything in it is changed."""
    (mark,) = database.execute("PRAGMA application_id").fetchone()
    (version,) = database.execute("PRAGMA user_version").fetchone()
    (objects,) = database.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    if objects and (mark, version) != (APPLICATION_ID, SCHEMA_VERSION):
        raise SandboxError(f"{path} is a database, but not a store of this sandbox's version")
