"""Files that were named: directories, patterns, lists, and compressed ones."""

import gzip
import os
from pathlib import Path

import pytest
import zstandard

from ingest.core.load import BLOCK_BYTES
from ingest.edges.source import LocalFile, ProvenReader, expand, listed, spooled
from ingest.errors import UsageError


@pytest.fixture
def tree(tmp_path):
    """A directory of data files and other things."""
    for name in (
        "b.csv",
        "a.jsonl",
        "Z.csv",
        "c.csv.gz",
        "d.ndjson.zst",
        "notes.txt",
        ".hidden.csv",
    ):
        (tmp_path / name).write_text("x")
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "e.tsv").write_text("x")
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git" / "f.csv").write_text("x")
    return tmp_path


def names(paths, tree):
    """Paths below the tree."""
    return [os.path.relpath(path, tree) for path in paths]


def test_a_directory_gives_its_data_files_in_bytewise_order(tree):
    """Hidden ones and other kinds are left out; the order never depends on a locale."""
    found = names(expand([str(tree)]), tree)

    assert found == ["Z.csv", "a.jsonl", "b.csv", "c.csv.gz", "d.ndjson.zst", "sub/e.tsv"]


def test_a_pattern_gives_what_matches(tree):
    """`**` goes down; what was typed keeps its order, and a file comes once."""
    found = expand([str(tree / "b.csv"), str(tree / "*.csv"), str(tree / "**" / "*.tsv")])

    assert names(found, tree) == ["b.csv", "Z.csv", "sub/e.tsv"]


def test_a_name_with_a_star_is_a_file_if_it_is_one(tree):
    """A file that exists is never taken for a pattern."""
    path = tree / "odd[1]*.csv"
    path.write_text("x")

    assert expand([str(path)]) == [str(path)]


def test_a_pattern_without_a_match_is_an_error(tree):
    """Nothing read is not success."""
    with pytest.raises(UsageError, match="gives no file"):
        expand([str(tree / "*.parquet")])


@pytest.mark.parametrize("content", [b"a.csv\n\nb c.csv\n", b"a.csv\0b c.csv\0"])
def test_a_list_has_one_path_a_line_or_a_nul(tmp_path, content):
    """As `find -print` or `find -print0` write it."""
    (tmp_path / "list").write_bytes(content)

    assert listed(str(tmp_path / "list")) == ["a.csv", "b c.csv"]


@pytest.mark.parametrize("content", [b"", b"\n\n"])
def test_an_empty_list_is_an_error(tmp_path, content):
    """A list that names nothing is a mistake somewhere else."""
    (tmp_path / "list").write_bytes(content)

    with pytest.raises(UsageError, match="names no file"):
        listed(str(tmp_path / "list"))


CONTENT = b"".join(b"%d,some text that repeats\n" % n for n in range(500_000))


@pytest.mark.parametrize(
    "pack",
    [
        pytest.param(lambda data: gzip.compress(data, 1), id="gzip"),
        pytest.param(
            lambda data: gzip.compress(data[:999], 1) + gzip.compress(data[999:], 1),
            id="two-members",
        ),
        pytest.param(lambda data: zstandard.compress(data, 1), id="zstd"),
        pytest.param(
            lambda data: zstandard.compress(data[:7], 1) + zstandard.compress(data[7:], 1),
            id="two-frames",
        ),
    ],
)
def test_a_packed_file_reads_as_its_content(tmp_path, pack):
    """Found by its first bytes, whatever it is called; reads go back and forth; it proves itself."""
    (tmp_path / "data.csv").write_bytes(pack(CONTENT))
    (tmp_path / "plain.csv").write_bytes(CONTENT)
    with (
        LocalFile(str(tmp_path / "data.csv")) as packed,
        LocalFile(str(tmp_path / "plain.csv")) as plain,
    ):
        identity = packed.identity()

        assert identity.fingerprint == plain.identity().fingerprint
        assert packed.size == len(CONTENT)
        read = ProvenReader(packed, identity)
        for offset, size in [(0, 9), (BLOCK_BYTES - 5, 10), (3, 4), (len(CONTENT) - 3, 9)]:
            assert read(offset, size) == CONTENT[offset : offset + size]


def test_a_packed_file_that_was_cut_is_refused(tmp_path):
    """I24: half a gzip file is no source."""
    (tmp_path / "cut.csv.gz").write_bytes(gzip.compress(CONTENT, 1)[:-100])

    with (
        LocalFile(str(tmp_path / "cut.csv.gz")) as file,
        pytest.raises(UsageError, match="cut short"),
    ):
        file.identity()


def test_a_bomb_is_refused_before_it_fills_anything(tmp_path):
    """I24: more than 200 bytes out of one is not data."""
    (tmp_path / "bomb.csv.gz").write_bytes(gzip.compress(bytes(100 << 20), 9))

    with (
        LocalFile(str(tmp_path / "bomb.csv.gz")) as file,
        pytest.raises(UsageError, match="200 times"),
    ):
        file.identity()


def test_a_released_file_is_opened_again(tmp_path):
    """A thousand sources do not need a thousand descriptors."""
    (tmp_path / "a.csv").write_bytes(b"hello")
    before = len(list(Path("/proc/self/fd").iterdir()))
    with LocalFile(str(tmp_path / "a.csv")) as file:
        file.release()

        assert len(list(Path("/proc/self/fd").iterdir())) == before
        assert file.read_raw(1, 3) == b"ell"


def test_standard_input_is_kept_privately(tmp_path):
    """Whole, durable and 0600, before anything of it is used."""
    (tmp_path / "in").write_bytes(CONTENT)
    with (tmp_path / "in").open("rb") as stream:
        path = spooled(stream, tmp_path / "spool", "x")

    assert path.read_bytes() == CONTENT
    assert path.stat().st_mode & 0o777 == 0o600
