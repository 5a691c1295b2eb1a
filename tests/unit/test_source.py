"""Sources: what they are, and reads that prove themselves."""

import hashlib
import os
from dataclasses import replace

import pytest

from ingest.core.load import BLOCK_BYTES, Stat, content_of
from ingest.edges.source import LocalFile, ProvenReader, hold
from ingest.errors import LockedError, MismatchError, UsageError


@pytest.fixture
def big(tmp_path):
    """A file of two blocks and a half."""
    path = tmp_path / "big.csv"
    path.write_bytes(os.urandom(BLOCK_BYTES * 2 + BLOCK_BYTES // 2))
    return path


def test_the_fingerprint_is_what_the_docs_say(big):
    """SHA-256 over the SHA-256 digests of blocks of 8 MiB: anyone can recompute it."""
    content = big.read_bytes()
    blocks = [content[at : at + 8 * 1024 * 1024] for at in range(0, len(content), 8 * 1024 * 1024)]
    expected = hashlib.sha256(b"".join(hashlib.sha256(block).digest() for block in blocks))

    with LocalFile(str(big)) as source:
        assert source.identity().fingerprint == f"sha256:{expected.hexdigest()}"


def test_proven_reads_are_the_content(big):
    """Any span is read as it is, across blocks too, and short at the end."""
    content = big.read_bytes()
    with LocalFile(str(big)) as source:
        read = ProvenReader(source, source.identity())

        for offset, size in [
            (0, 10),
            (BLOCK_BYTES - 3, 7),
            (5, BLOCK_BYTES * 2),
            (len(content) - 2, 9),
        ]:
            assert read(offset, size) == content[offset : offset + size]
        assert read(len(content), 1) == b""


def test_a_change_during_the_run_is_found_before_use(big):
    """A byte that was changed after the fingerprint is never handed out."""
    with LocalFile(str(big)) as source:
        read = ProvenReader(source, source.identity())
        with big.open("r+b") as file:
            file.seek(BLOCK_BYTES + 17)
            file.write(b"\x00\x01")

        assert read(0, 5)
        with pytest.raises(MismatchError, match="changed"):
            read(BLOCK_BYTES, 5)


def test_a_grown_file_proves_its_prefix(big):
    """What was there before is found again in a file that went on."""
    with LocalFile(str(big)) as source:
        before = source.identity()
    with big.open("ab") as file:
        file.write(b"more")

    with LocalFile(str(big)) as source:
        now = source.identity()
        assert source.prefix_matches(before.size, before.blocks, now=now.blocks)
        assert not source.prefix_matches(before.size, b"\0" * len(before.blocks), now=now.blocks)
        tail = before.blocks[:-1] + b"\0"
        assert not source.prefix_matches(before.size, tail, now=now.blocks)


def test_an_untouched_file_is_known_by_its_facts():
    """Device, inode, size and both times, to the nanosecond, with a margin for fresh changes."""
    then = Stat(1, 2, 3, 1_000, 1_000, seen_ns=3_000_001_000)

    assert then.proves_unchanged(replace(then, seen_ns=9_000_000_000))
    assert not replace(then, seen_ns=1_500_000_000).proves_unchanged(then)
    for change in ({"inode": 9}, {"size": 9}, {"mtime_ns": 9}, {"ctime_ns": 9}, {"device": 9}):
        assert not then.proves_unchanged(replace(then, **change))


@pytest.mark.parametrize("kind", ["missing", "directory", "pipe"])
def test_what_is_no_file_is_refused_by_name(tmp_path, kind):
    """I25: a directory, a pipe or nothing is a clear error, and never blocks."""
    path = tmp_path / "source"
    {"missing": lambda: None, "directory": path.mkdir, "pipe": lambda: os.mkfifo(path)}[kind]()

    with pytest.raises(UsageError, match="source"):
        LocalFile(str(path))


def test_a_replaced_file_is_noticed(tmp_path):
    """S9: another file under the same name is not the one that was read."""
    path = tmp_path / "a.csv"
    path.write_text("one")
    with LocalFile(str(path)) as source:
        (tmp_path / "b.csv").write_text("two")
        (tmp_path / "b.csv").rename(path)

        with pytest.raises(MismatchError, match="replaced"):
            source.look_again()


def test_the_second_holder_is_told_about_the_first(tmp_path):
    """C1: a lock names who holds it, and is free again afterwards."""
    with hold(tmp_path, "x", what="events.csv", holder="pid 1, since noon"):
        with pytest.raises(LockedError, match=r"events.csv .*pid 1, since noon"):
            with hold(tmp_path, "x", what="events.csv", holder="me"):
                pass
    with hold(tmp_path, "x", what="events.csv", holder="me"):
        pass


def test_fingerprint_of_nothing_is_stable():
    """An empty file has one, too."""
    assert content_of(b"") == f"sha256:{hashlib.sha256().hexdigest()}"
