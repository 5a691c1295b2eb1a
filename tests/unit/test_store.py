"""The ledger in SQLite: durable, checked, and never guessed."""

import sqlite3
import stat
from dataclasses import replace
from uuid import UUID

import pytest

from ingest.core.ledger import Progress, Receipt
from ingest.core.load import ChunkState, Destination, Findings, Identity, Load, Note, Segment, Stat
from ingest.core.model import Chunk, Position
from ingest.edges.store import RunRow, Store
from ingest.errors import BugError, CredentialsError, MismatchError

HERE = Destination("https://api.example.com")
STAT = Stat(1, 2, 10, 3, 4, 5)
LOAD = Load(
    load_id=0,
    destination=HERE,
    source_id=UUID(int=7),
    name="",
    path="/data/\udcff events.csv",
    identity=Identity(10, "sha256:ab", 10, b"\x01" * 32, STAT),
    form={"columns": ["event"]},
    config_digest="d",
    config={"rules": "r"},
    fence=1,
)
STATE = ChunkState(
    Chunk(0, Position(0, 0, 1), Position(100, 9, 10, 74)),
    Progress(9, rejected=0b1, delivered=0b10, intent=0b100, doubt=0b1000, parked=0b10000),
    Findings(codes={"event_missing": 1}, segment=Segment("a", 5, "cd", 1), first_time="2026"),
)


@pytest.fixture
def store(tmp_path):
    """An empty ledger."""
    with Store(tmp_path / "state") as opened:
        yield opened


def test_a_load_and_its_chunks_come_back_as_they_were(tmp_path):
    """What was committed is there after closing and opening."""
    note = Note(0, 3, "doubt", {"line": 4})
    with Store(tmp_path) as store:
        load = store.add_load(LOAD)
        store.commit(load, states=[STATE], notes=[note])

    with Store(tmp_path) as store:
        assert store.loads(HERE) == [replace(LOAD, load_id=1)]
        assert store.chunks(load) == [STATE]
        assert list(store.notes(load, "doubt")) == [note]
        assert list(store.notes(load, "refused")) == []


def test_loads_belong_to_their_destination(store):
    """Another account knows nothing of this one's loads."""
    store.add_load(LOAD)

    assert store.loads(Destination(HERE.origin, "other")) == []


def test_a_claim_fences_off_the_one_before_it(store):
    """Whoever was taken over cannot commit."""
    first = store.add_load(LOAD)
    second = store.claim(first)

    store.commit(second, states=[STATE])
    with pytest.raises(BugError, match="taken over"):
        store.commit(first, states=[STATE])


def test_a_commit_is_all_or_nothing(store):
    """A note that cannot be written takes its chunk with it."""
    load = store.add_load(LOAD)

    with pytest.raises(TypeError):
        store.commit(load, states=[STATE], notes=[Note(0, 1, "doubt", {"bad": object()})])

    assert store.chunks(load) == []


def test_a_new_verdict_replaces_chunks_and_forgets_refusals(store):
    """Rejudging keeps doubt, and what it says of a record."""
    load = store.add_load(LOAD)
    notes = [Note(0, 1, "refused", {}), Note(0, 2, "doubt", {})]
    store.commit(load, states=[STATE], notes=notes)
    again = replace(STATE, findings=Findings(judged=False))

    store.rejudge(replace(load, config_digest="e"), [again])

    assert store.chunks(load) == [again]
    assert list(store.notes(load, "refused")) == []
    assert len(list(store.notes(load, "doubt"))) == 1
    assert store.loads(HERE)[0].config_digest == "e"


def test_runs_come_back_newest_first(store):
    """`ingest status` shows what happened last."""
    load = store.add_load(LOAD)
    rows = [RunRow(f"r{n}", f"2026-01-0{n}", "", "complete", 0, {"n": n}) for n in (1, 2)]
    for row in rows:
        store.record_run(row, [load] if row is rows[0] else [])

    assert store.runs() == rows[::-1]
    assert store.runs(load) == rows[:1]


def test_another_key_needs_rekey(store):
    """A key of another account does not slip under this one's name."""
    store.tie(HERE, "one")
    store.vouch(HERE, "one", rekey=False)

    with pytest.raises(CredentialsError):
        store.vouch(HERE, "two", rekey=False)
    store.vouch(HERE, "two", rekey=True)
    store.tie(HERE, "two")
    store.vouch(HERE, "two", rekey=False)


def test_a_key_that_never_worked_ties_nothing(store):
    """A mistyped key does not lock the right one out."""
    store.vouch(HERE, "mistyped", rekey=False)

    store.vouch(HERE, "right", rekey=False)


def test_the_key_is_not_in_the_ledger(tmp_path):
    """Only a slow, salted digest of the key is kept."""
    with Store(tmp_path) as store:
        store.tie(HERE, "canary-key-0123456789")

    for path in tmp_path.rglob("*"):
        if path.is_file():
            assert b"canary" not in path.read_bytes()


def test_files_are_private_whatever_the_umask(tmp_path):
    """Nobody else reads the ledger."""
    with Store(tmp_path / "state") as store:
        store.add_load(LOAD)
        modes = {path.name: path.stat().st_mode for path in (tmp_path / "state").iterdir()}

    assert len(modes) >= 3
    assert all(mode & (stat.S_IRWXG | stat.S_IRWXO) == 0 for mode in modes.values())


@pytest.mark.parametrize("table", ["load", "chunk", "note", "run"])
def test_a_changed_row_is_found(tmp_path, table):
    """A row that does not match its checksum stops the run; nothing is guessed."""
    with Store(tmp_path) as store:
        load = store.add_load(LOAD)
        store.commit(load, states=[STATE], notes=[Note(0, 3, "doubt", {})])
        store.record_run(RunRow("r", "", "", "complete", 0, {}), [load])
    column = {"load": "path=x'61'", "chunk": "delivered=x'03'", "note": "body='{}2'"}
    with sqlite3.connect(tmp_path / "ledger.sqlite3") as raw:
        raw.execute(f"UPDATE {table} SET {column.get(table, 'exit_code=3')}")
    raw.close()

    with Store(tmp_path) as store, pytest.raises(MismatchError, match="checksum"):
        (store.loads(), store.chunks(load), list(store.notes(load, "doubt")), store.runs())


def test_lost_commits_are_found_by_the_witness(tmp_path):
    """A ledger put back from yesterday is behind its witness."""
    with Store(tmp_path) as store:
        store.add_load(LOAD)
    old = (tmp_path / "ledger.sqlite3").read_bytes()
    with Store(tmp_path) as store:
        store.record_run(RunRow("r", "", "", "complete", 0, {}), [])
    (tmp_path / "ledger.sqlite3").write_bytes(old)

    with pytest.raises(MismatchError, match="lost commits"):
        Store(tmp_path)


@pytest.mark.parametrize("gone", ["ledger.sqlite3", "ledger.witness"])
def test_a_missing_half_is_found(tmp_path, gone):
    """Neither the ledger nor its witness is made anew without the other."""
    with Store(tmp_path) as store:
        store.add_load(LOAD)
    (tmp_path / gone).unlink()

    with pytest.raises(MismatchError, match=r"gone|missing"):
        Store(tmp_path)


def test_a_newer_ledger_is_refused_by_name(tmp_path):
    """A ledger of a later version is never reinterpreted."""
    Store(tmp_path).close()
    with sqlite3.connect(tmp_path / "ledger.sqlite3") as raw:
        raw.execute("UPDATE meta SET value='99' WHERE key='format'")
    raw.close()

    with pytest.raises(MismatchError, match="newer version"):
        Store(tmp_path)


def test_a_planted_link_is_refused(tmp_path):
    """A symbolic link in the ledger's place is not followed."""
    state = tmp_path / "state"
    Store(state).close()
    (state / "ledger.sqlite3").rename(tmp_path / "elsewhere")
    (state / "ledger.sqlite3").symlink_to(tmp_path / "elsewhere")

    with pytest.raises(MismatchError, match="link"):
        Store(state)


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE TRIGGER t AFTER UPDATE ON load BEGIN DELETE FROM chunk; END",
        "DROP TABLE run_load; CREATE VIEW run_load AS SELECT 'r' AS run_id, 1 AS load_id",
    ],
)
def test_a_planted_trigger_is_refused(tmp_path, statement):
    """X18: a ledger that would act by itself is refused before anything is written to it."""
    Store(tmp_path).close()
    with sqlite3.connect(tmp_path / "ledger.sqlite3") as database:
        database.executescript(statement)

    with pytest.raises(MismatchError, match="none of its tables"):
        Store(tmp_path)


def _used(path, load):
    with Store(path) as store:
        store.chunks(store.loads(HERE)[0])
        store.commit(load, states=[STATE])


@pytest.mark.parametrize(
    "statement",
    [
        "PRAGMA writable_schema=ON; UPDATE sqlite_schema SET sql=replace(sql, 'load_id', 'xoad_id')",
        "PRAGMA foreign_keys=OFF; INSERT INTO note SELECT 9, chunk_id, record, kind, body, checksum FROM note",
    ],
)
def test_damage_that_a_query_would_miss_is_found(tmp_path, statement):
    """S6: another schema, or a row that no query would come upon, is damage and not a full disk."""
    with Store(tmp_path) as store:
        load = store.add_load(LOAD)
        store.commit(load, states=[STATE], notes=[Note(0, 3, "doubt", {"line": 4})])
    with sqlite3.connect(tmp_path / "ledger.sqlite3") as database:
        database.executescript(statement)

    with pytest.raises(MismatchError):
        _used(tmp_path, load)


def test_two_processes_may_share_a_ledger(tmp_path):
    """Two runs on two sources work in one state directory."""
    with Store(tmp_path) as one, Store(tmp_path) as two:
        first = one.add_load(LOAD)
        second = two.add_load(replace(LOAD, source_id=UUID(int=8)))
        one.commit(first, states=[STATE])
        two.commit(second, states=[STATE])

        assert one.chunks(second) == [STATE]
    Store(tmp_path).close()


def test_receipts_survive_as_bitmaps(store):
    """A fold that was committed is the fold that comes back."""
    load = store.add_load(LOAD)
    state = replace(STATE, progress=Progress(9, rejected=1).intend(0b110))
    folded = replace(state, progress=state.progress.fold(Receipt(0, 1, 0b11, delivered=0b11)))

    store.commit(load, states=[folded])

    assert store.chunks(load)[0].progress == folded.progress


def test_notes_of_one_chunk_and_notes_that_are_gone(store):
    """Notes are asked for by chunk, and taken back in the same commit as what replaces them."""
    load = store.add_load(LOAD)
    notes = [Note(chunk, record, "refused", {"n": chunk}) for chunk in (0, 1) for record in (1, 2)]
    store.commit(load, states=[STATE], notes=notes)
    mended = Note(1, 2, "mended", {"cells": ["a"]})

    store.commit(load, states=[], notes=[mended], gone=[notes[3]])

    assert list(store.notes(load, "refused")) == notes[:3]
    assert list(store.notes(load, "refused", chunk_id=1)) == notes[2:3]
    assert list(store.notes(load, "mended", chunk_id=1)) == [mended]


def test_the_loads_of_a_run(store):
    """A run is asked for what it worked on."""
    first = store.add_load(LOAD)
    second = store.add_load(replace(LOAD, source_id=UUID(int=8)))
    run = RunRow("run-1", "2026-01-01", "2026-01-02", "complete", 0, {})
    store.record_run(run, [second])

    assert store.loads_of("run-1") == [second]
    assert store.loads_of("run-2") == []
    assert first in store.loads()
