"""Which load a source belongs to, where several files begin alike."""

import shutil

import pytest

from tests.support.workdir import Done, Server, Workdir

HEADER = b"event,customer_id,timestamp\n"
ONE = b"visit,c1,2026-01-01T00:00:00Z\n"
TWO = b"visit,c2,2026-01-01T00:00:00Z\n"


def run(work: Workdir, server: Server, *flags: str) -> Done:
    """Send the directory."""
    return work.json("run", work.root / "day", *work.to(server), *flags)


def put(work: Workdir, name: str, content: bytes) -> None:
    """Write a file of it."""
    path = work.root / "day" / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content)


@pytest.mark.parametrize("first", [HEADER, HEADER + ONE])
def test_files_that_begin_alike_are_two_sources(
    work: Workdir, server: Server, first: bytes
) -> None:
    """An empty day, or an export that the next one repeats: each is a load, night after night."""
    put(work, "1.csv", first)
    assert run(work, server).code == 0
    put(work, "2.csv", first + TWO)

    done = run(work, server)

    assert (done.code, len(server.times())) == (0, 1 + 2 * first.count(b"visit"))
    ids = {source["source_id"] for source in done.summary["sources"]}
    assert len(ids) == 2
    before = server.requests()
    again = run(work, server)
    assert (again.code, server.requests()) == (0, before)
    assert all("already complete" in source["skipped"] for source in again.summary["sources"])


@pytest.mark.parametrize("size", [60, 9 << 20])
def test_a_file_that_was_moved_and_has_grown_goes_on(
    work: Workdir, server: Server, size: int
) -> None:
    """Where the old path is gone the new one is the same source: only what is new is sent."""
    filler = b"no.name,%b,2026-01-01T00:00:00Z\n" % (b"c" * 90_000)  # rejected: read, and not sent
    content = HEADER + ONE + filler * (size // len(filler))
    put(work, "1.csv", content)
    first = run(work, server, "--max-rejects", "100%")
    (work.root / "day" / "1.csv").rename(work.root / "day" / "1.csv.old")
    shutil.move(work.root / "day" / "1.csv.old", work.root / "day" / "2.csv")
    with (work.root / "day" / "2.csv").open("ab") as file:
        file.write(TWO)

    done = run(work, server, "--max-rejects", "100%")

    (told,), (was,) = done.summary["sources"], first.summary["sources"]
    assert told["source_id"] == was["source_id"]
    assert done.summary["this_run"]["delivered"] == 1
    assert len(server.times()) == 2
