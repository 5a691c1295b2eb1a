"""Segments: rejects on disk, whole or not there, proven when they are read."""

import errno
import os
import resource
import stat
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from ingest.core.model import Reject, Stage, Violation
from ingest.edges.report import SegmentRef, read_segment, sweep, write_segment
from ingest.edges.report.durable import drafting, stopped
from ingest.errors import MismatchError, StoppedError

PERIOD = Violation("event_has_period", ("event",), "The event has a period.", "Take it out.")
NOBODY = Violation("identity_missing", ("customer_id", "e mail"), "Nobody.", "")
REJECTS = [
    Reject("REJ1", 1, 2, 30, 40, Stage.RULES, (PERIOD,), ("a.b", "", None, "é\n\x00"), None),
    Reject("REJ2", 2, 4, 71, 6, Stage.READING, (NOBODY,), None, b"\xff,\n\x00\\"),
    Reject("REJ3", 3, 5, 78, 1 << 40, Stage.READING, (PERIOD, NOBODY), None, None),
    Reject("REJ4", 4, 6, 1 << 41, 0, Stage.API, (PERIOD,), (), b""),
]


def many(count: int) -> Iterator[Reject]:
    for record in range(1, count + 1):
        yield replace(REJECTS[0], record=record)


def test_rejects_come_back_as_they_were(tmp_path: Path) -> None:
    """Every field of every reject is read back exactly, in order."""
    ref = write_segment(tmp_path, "chunk-7", REJECTS)

    assert list(read_segment(tmp_path, ref)) == REJECTS
    assert ref == SegmentRef("chunk-7", (tmp_path / "chunk-7").stat().st_size, ref.sha256, 4)


def test_no_rejects_are_a_segment_too(tmp_path: Path) -> None:
    """A chunk without rejects can be written and read."""
    ref = write_segment(tmp_path, "none", [])

    assert (ref.rejects, list(read_segment(tmp_path, ref))) == (0, [])


def test_lone_surrogates_come_back(tmp_path: Path) -> None:
    """Text that UTF-8 cannot hold, as a server may send it, is kept all the same."""
    odd = replace(REJECTS[0], violations=(replace(PERIOD, message="\ud800!"),), cells=("\udfff",))

    ref = write_segment(tmp_path, "odd", [odd])

    assert list(read_segment(tmp_path, ref)) == [odd]


def test_more_sets_of_violations_than_are_remembered(tmp_path: Path) -> None:
    """Where each reject has words of its own, memory is bounded and nothing is mixed up."""
    rejects = [
        replace(REJECTS[0], record=n, violations=(replace(PERIOD, message=f"{n % 5000}"),))
        for n in range(1, 10_001)
    ]

    ref = write_segment(tmp_path, "sets", rejects)

    assert list(read_segment(tmp_path, ref)) == rejects
    assert b'{"slot":4095,' in (tmp_path / "sets").read_bytes()
    assert b'{"slot":4096,' not in (tmp_path / "sets").read_bytes()


def test_x10_a_segment_is_private_whatever_the_umask(tmp_path: Path) -> None:
    """Nobody else may read rejects, however careless the umask is, or however strict."""
    for umask in (0o000, 0o777):
        before = os.umask(umask)
        try:
            write_segment(tmp_path, f"{umask}", REJECTS)
        finally:
            os.umask(before)

    modes = {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}
    assert modes == {0o600}


def test_x11_a_link_at_its_name_is_replaced_not_followed(tmp_path: Path) -> None:
    """What a planted link points to keeps its content."""
    victim = tmp_path / "victim"
    victim.write_bytes(b"precious")
    (tmp_path / "soft").symlink_to(victim)
    (tmp_path / "hard").hardlink_to(victim)

    for name in ("soft", "hard"):
        write_segment(tmp_path, name, REJECTS)

    assert victim.read_bytes() == b"precious"
    assert not (tmp_path / "soft").is_symlink()


@pytest.mark.parametrize("name", ["../x", "a/b", "", ".", ".."])
def test_x12_a_name_cannot_leave_the_directory(tmp_path: Path, name: str) -> None:
    """A segment is named by a plain file name only."""
    with pytest.raises(ValueError, match="plain file name"):
        write_segment(tmp_path, name, REJECTS)


def test_s06_every_cut_and_every_flipped_bit_is_found(tmp_path: Path) -> None:
    """Nothing is read from a segment of another length or with one bit changed."""
    ref = write_segment(tmp_path, "s", REJECTS)
    path = tmp_path / "s"
    whole = path.read_bytes()
    damaged = [whole[:length] for length in range(len(whole))]
    damaged += [
        bytes([*whole[:place], whole[place] ^ 1 << place % 8, *whole[place + 1 :]])
        for place in range(0, len(whole), 7)
    ]
    damaged.append(whole + b"\n")

    for content in damaged:
        path.write_bytes(content)
        with pytest.raises(MismatchError, match=r"/s are damaged") as caught:
            next(read_segment(tmp_path, ref))
        assert (caught.value.code, caught.value.exit_code) == ("segment_damaged", 5)


def test_s07_a_missing_segment_is_named(tmp_path: Path) -> None:
    """A segment that is gone stops the run and is named with a way out."""
    ref = write_segment(tmp_path, "s", REJECTS)
    (tmp_path / "s").unlink()

    with pytest.raises(MismatchError, match=f"{tmp_path}/s are damaged: it is missing") as caught:
        list(read_segment(tmp_path, ref))

    assert (caught.value.code, bool(caught.value.hint)) == ("segment_damaged", True)


@pytest.mark.parametrize("kind", ["link", "pipe", "directory"])
def test_x11_something_else_at_a_segment_s_name_is_not_read(tmp_path: Path, kind: str) -> None:
    """A link, a pipe or a directory is no segment, and does not hang."""
    ref = write_segment(tmp_path, "s", REJECTS)
    path = tmp_path / "s"
    path.rename(tmp_path / "real")
    match kind:
        case "link":
            path.symlink_to(tmp_path / "real")
        case "pipe":
            os.mkfifo(path)
        case _:
            path.mkdir()

    with pytest.raises(MismatchError, match="damaged"):
        list(read_segment(tmp_path, ref))


def test_p14_another_format_is_refused_by_name(tmp_path: Path) -> None:
    """A segment of another version is never guessed at."""
    import hashlib

    content = b'{"format":2,"holds":"rejects"}\n'
    (tmp_path / "s").write_bytes(content)
    ref = SegmentRef("s", len(content), hashlib.sha256(content).hexdigest(), 0)

    with pytest.raises(MismatchError, match="another version") as caught:
        list(read_segment(tmp_path, ref))

    assert caught.value.code == "segment_format"


@pytest.mark.parametrize(
    "line",
    [b"[0]\n", b"not json\n", b'{"slot":0}\n', b'[9,"R",1,1,0,0,"rules",[],null]\n', b"7\n"],
)
def test_a_line_that_cannot_be_read_is_damage(tmp_path: Path, line: bytes) -> None:
    """Even where the hash fits, a line that is no reject is named as damage."""
    import hashlib

    content = b'{"format":1,"holds":"rejects"}\n' + line
    (tmp_path / "s").write_bytes(content)
    ref = SegmentRef("s", len(content), hashlib.sha256(content).hexdigest(), 1)

    with pytest.raises(MismatchError, match="cannot be read"):
        list(read_segment(tmp_path, ref))


def test_a_wrong_count_is_damage(tmp_path: Path) -> None:
    """A receipt that counts other rejects than the segment holds is found."""
    ref = write_segment(tmp_path, "s", REJECTS)

    with pytest.raises(MismatchError, match="holds 4 rejects, not 5"):
        list(read_segment(tmp_path, replace(ref, rejects=5)))


def test_s02_a_full_disk_stops_and_leaves_nothing(tmp_path: Path) -> None:
    """Where the disk takes no more, the run stops with the file named; no half file stays."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, hard))  # writes fail beyond it, for real
    try:
        with pytest.raises(StoppedError, match=f"cannot write {tmp_path}/s: ") as caught:
            write_segment(tmp_path, "s", many(50_000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    assert (caught.value.code, list(tmp_path.iterdir())) == ("disk_full", [])


def test_s04_a_failed_fsync_is_not_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One failed fsync ends it: what has the name is what had it before."""
    write_segment(tmp_path, "s", REJECTS[:1])
    before = (tmp_path / "s").read_bytes()
    calls = []

    def fails(descriptor: int) -> None:
        calls.append(descriptor)
        raise OSError(errno.EIO, "no")

    monkeypatch.setattr(os, "fsync", fails)
    with pytest.raises(StoppedError, match=f"cannot fsync {tmp_path}/s: ") as caught:
        write_segment(tmp_path, "s", REJECTS)

    assert (len(calls), caught.value.code) == (1, "disk_error")
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [before]


def test_s13_a_rename_counts_once_its_directory_is_on_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the directory cannot be made durable, no receipt may name the segment."""
    real = os.fsync
    calls = []

    def fails_later(descriptor: int) -> None:
        calls.append(stat.S_ISDIR(os.fstat(descriptor).st_mode))
        if len(calls) == 2:
            raise OSError(errno.EIO, "no")
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fails_later)
    with pytest.raises(StoppedError, match=f"cannot fsync {tmp_path}: "):
        write_segment(tmp_path, "s", REJECTS)

    assert calls == [False, True]


def test_s11_a_directory_that_is_not_there_is_named(tmp_path: Path) -> None:
    """A wrong directory is an error of the run, with the path."""
    with pytest.raises(StoppedError, match=r"cannot create .*gone/s: No such file") as caught:
        write_segment(tmp_path / "gone", "s", REJECTS)

    assert caught.value.exit_code == 4


def test_a_segment_that_cannot_be_opened_stops_the_run(tmp_path: Path) -> None:
    """What the operating system will not open is no damage: it may pass."""
    with pytest.raises(StoppedError, match=r"cannot open .*: File name too long"):
        list(read_segment(tmp_path, SegmentRef("x" * 300, 1, "", 0)))


@pytest.mark.parametrize(
    ("number", "code"),
    [
        pytest.param(errno.ENOSPC, "disk_full", id="S1-full"),
        pytest.param(errno.EDQUOT, "disk_full", id="S3-quota"),
        pytest.param(errno.EIO, "disk_error", id="S3-broken"),
        pytest.param(errno.EACCES, "not_writable", id="S11-forbidden"),
        pytest.param(errno.EROFS, "not_writable", id="S11-read-only"),
    ],
)
def test_errors_of_the_disk_say_what_to_do(number: int, code: str) -> None:
    """Operation, path, cause and a hint: enough to act on."""
    error = stopped("write", Path("a\nb"), OSError(number, ""))

    assert (str(error), error.code, bool(error.hint)) == (
        rf"cannot write a\nb: {os.strerror(number)}",
        code,
        True,
    )


def test_a_draft_is_published_once(tmp_path: Path) -> None:
    """What has its name cannot be given another."""
    with drafting(tmp_path, "s") as draft:
        draft.settle()
        draft.publish()
        with pytest.raises(ValueError, match="before"):
            draft.publish()


def test_an_error_while_rejects_are_made_leaves_nothing(tmp_path: Path) -> None:
    """Where the rejects themselves fail, no file is left, and the error is what it was."""

    def breaks() -> Iterator[Reject]:
        yield REJECTS[0]
        raise LookupError("mine")

    with pytest.raises(LookupError, match="mine"):
        write_segment(tmp_path, "s", breaks())

    assert list(tmp_path.iterdir()) == []


def test_x23_leftovers_of_a_killed_process_are_swept(tmp_path: Path) -> None:
    """Temporary files go, of any report; nothing else does."""
    (tmp_path / ".s.abcd_123.tmp").write_bytes(b"x")
    (tmp_path / ".rejects.xlsx.abcd1234.tmp").mkdir()
    (tmp_path / ".rejects.xlsx.abcd1234.tmp" / "part").write_bytes(b"x")
    kept = {"s", ".s.tmp", "s.abcd1234.tmp", ".ingest-report"}
    for name in kept:
        (tmp_path / name).write_bytes(b"x")

    assert sweep(tmp_path) == 2
    assert {path.name for path in tmp_path.iterdir()} == kept
