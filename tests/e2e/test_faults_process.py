"""What befalls a process: killed for memory, a bug inside, few descriptors, one slow request."""

import contextlib
import json
import os
import resource
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.workdir import (
    Server,
    Source,
    Workdir,
    assert_accounted,
    interrupt,
    some,
    wait_for_events,
)

DEEP = "[" * 100_000
INTERRUPTED_IMPORT = """
import os, signal, sys
class Finder:
    def find_spec(self, name, *rest):
        if name == {name!r}:
            os.kill(os.getpid(), signal.SIGINT)
sys.meta_path.insert(0, Finder())
from ingest.__main__ import main
sys.argv[1:] = {arguments!r}
main()
"""
BUG = """
import sys
from {module} import {owner} as owner
was, calls = owner.{method}, []
def broken(*given, **named):
    calls.append(1)
    if len(calls) == {nth}:
        raise {error}("a bug that was put there")
    return was(*given, **named)
owner.{method} = broken
from ingest.__main__ import main
main()
"""
BUGS = [
    pytest.param("ingest.edges.store", "Store", "commit", 4, "ValueError", id="P9-ledger-thread"),
    pytest.param("ingest.pipeline.prepare", "Preparer", "_judge", 1, "KeyError", id="P9-reader"),
    pytest.param("ingest.pipeline.recorder", "Recorder", "settle", 3, "TypeError", id="P9-sender"),
    pytest.param(
        "ingest.pipeline.delivery", "Delivery", "_decide", 3, "MemoryError", id="P9-memory"
    ),
]


def python(program: str) -> list[str]:
    """The command of an interpreter that runs a program."""
    import sys

    return [sys.executable, "-P", "-c", program]


# -- inside ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("ingest.cli", ["--help"]),
        ("click", ["--help"]),
        ("ingest.errors", ["run", "events.csv"]),
        ("ingest.pipeline.run", ["run", "events.csv"]),
        ("polars", ["run", "events.csv", "--sandbox"]),
    ],
)
def test_ctrl_c_while_it_starts(work: Workdir, name: str, arguments: list[str]) -> None:
    """P11: Ctrl-C during any import ends with 130 and one line."""
    work.source(some(3))
    program = INTERRUPTED_IMPORT.format(name=name, arguments=arguments)

    with work.start(command=python(program)) as process:
        out, err = process.communicate(timeout=60)

    assert (process.returncode, out) == (130, "")
    assert err.strip().endswith("stopped; nothing was sent")
    assert len(err.strip().splitlines()) == 1
    assert not (work.root / "ingest-reports").exists()


@pytest.mark.parametrize(("module", "owner", "method", "nth", "error"), BUGS)
def test_a_bug_in_a_task(
    work: Workdir, server: Server, module: str, owner: str, method: str, nth: int, error: str
) -> None:
    """P9: an exception in any task or thread ends the run with 1, and the next one goes on."""
    source = work.source(some(200, bad_every=10))
    program = BUG.format(module=module, owner=owner, method=method, nth=nth, error=error)

    with work.start(
        "run", source.path, *work.to(server), "--batch-size", "5", "--json", command=python(program)
    ) as process:
        out, err = process.communicate(timeout=60)

    assert process.returncode == 1, (out, err)
    assert "a bug that was put there" in err
    rest = work.json("run", source.path, *work.to(server))
    assert rest.code == 3
    assert_accounted(work, source, rest.summary, server)


@pytest.mark.parametrize("kind", ["line", "cell"])
def test_a_record_that_is_too_deep(work: Workdir, server: Server, kind: str) -> None:
    """P8, X16: a hundred thousand brackets cost one record, not the run."""
    if kind == "line":
        path = work.root / "deep.jsonl"
        lines = ['{"event":"a","customer_id":"1"}', f'{{"event":"b","customer_id":{DEEP}}}', DEEP]
        path.write_text("\n".join([*lines, '{"event":"c","customer_id":"2"}', ""]))
        flags: tuple[str, ...] = ("--no-timestamp",)
    else:
        path = work.root / "deep.csv"
        rows = ["a,1,{}", f'b,2,"{DEEP}"', "c,3,[]"]
        path.write_text("event,customer_id,more\n" + "\n".join(rows) + "\n")
        flags = ("--no-timestamp", "--type", "more=json")

    done = work.json("run", path, *work.to(server), *flags)

    assert done.code == 3, done.err
    records = done.summary["records"]
    assert records["delivered"] == 2
    assert records["rejected"] == (2 if kind == "line" else 1)


def test_numbers_without_end(work: Workdir, server: Server) -> None:
    """X16: a number of a million digits is a reject or passes as it is, and never hangs a run."""
    digits = "9" * 900_000
    path = work.root / "long.csv"
    rows = [f"a,1,{digits}", f"b,2,1e{digits[:5000]}", "c,3,7"]
    path.write_text("event,customer_id,more\n" + "\n".join(rows) + "\n")

    done = work.json(
        "run", path, *work.to(server), "--no-timestamp", "--type", "more=integer", timeout_s=60
    )

    assert done.code == 3, done.err
    assert done.summary["records"]["read"] == 3
    assert "c" in {body["event"] for body in server.bodies().values()}


# -- outside ---------------------------------------------------------------------------------


@contextlib.contextmanager
def _memory_group() -> Iterator[tuple[Path, Path]]:
    """A control group, and the file of its limit; skips where the kernel lets us make none."""
    root = Path("/sys/fs/cgroup")
    old = (root / "memory").is_dir()
    group = root / ("memory" if old else "") / f"ingest-test-{os.getpid()}"
    limit = group / ("memory.limit_in_bytes" if old else "memory.max")
    try:
        group.mkdir()
        limit.write_text(str(1 << 40))
    except OSError as error:
        with contextlib.suppress(OSError):
            group.rmdir()
        pytest.skip(f"no control group for memory can be made here: {error}")
    try:
        yield group, limit
    finally:
        until = time.monotonic() + 10
        while group.exists() and time.monotonic() < until:
            with contextlib.suppress(OSError):  # its last process is still on its way out
                group.rmdir()
            time.sleep(0.05)


def test_killed_for_memory(work: Workdir, server: Server) -> None:
    """P7: killed by the kernel for memory in the middle of a run, the same command goes on."""
    source = work.source(some(400, bad_every=10))
    with _memory_group() as (group, limit):

        def join() -> None:
            (group / "cgroup.procs").write_text(str(os.getpid()))

        flags = ("--url", server.url, "--rate", "10", "--batch-size", "5")
        with work.start("run", source.path, *flags, preexec_fn=join) as process:
            wait_for_events(server, 20)
            # Of all that is in the group the run is to go when another takes the memory.
            Path(f"/proc/{process.pid}/oom_score_adj").write_text("1000")
            used = next(group.glob("memory.usage_in_bytes"), group / "memory.current")
            limit.write_text(str(int(used.read_text()) + (32 << 20)))
            hog = python("import time; taken = b'1' * (96 << 20); time.sleep(1)")
            subprocess.run(hog, preexec_fn=join, check=False)
            _out, err = process.communicate(timeout=60)

    assert process.returncode == -signal.SIGKILL, err
    assert "Traceback" not in err
    rest = work.json("run", source.path, *work.to(server))
    assert rest.code == 3, rest.err
    assert_accounted(work, source, rest.summary, server)


def test_a_slow_request_holds_up_nobody(work: Workdir, server: Server) -> None:
    """C5: while one request waits for its answer, all the others are sent; then it is counted."""
    source = work.source(some(300))
    server.set_faults("delay:2-2:6000")

    flags = ("--concurrency", "4", "--batch-size", "5", "--json")
    with work.start("run", source.path, *work.to(server), *flags) as process:
        wait_for_events(server, 300)
        waiting = process.poll() is None
        out, err = process.communicate(timeout=60)

    assert waiting, "nothing was slow"
    assert process.returncode == 0, err
    assert_accounted(work, source, json.loads(out), server)
    assert set(server.times().values()) == {1}


@pytest.mark.parametrize(
    ("concurrency", "descriptors"),
    [
        pytest.param(1, None, id="C6-1"),
        pytest.param(64, 64, id="C6-64"),
        pytest.param(1000, None, id="C6-1000"),
        pytest.param(1000, 64, id="C6-1000-64"),
    ],
)
def test_any_concurrency(
    work: Workdir, server: Server, concurrency: int, descriptors: int | None
) -> None:
    """C6: one or a thousand requests at a time, few descriptors or many: the same events arrive."""
    source = work.source(some(400, bad_every=20))

    def limit() -> None:
        if descriptors:
            hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
            resource.setrlimit(resource.RLIMIT_NOFILE, (descriptors, hard))

    flags = ("--concurrency", str(concurrency), "--batch-size", "1", "--json")
    with work.start("run", source.path, *work.to(server), *flags, preexec_fn=limit) as process:
        done = interrupt(process, signal.SIGCONT)

    assert "Traceback" not in done.err
    assert done.code == 3 or (descriptors and done.code in {2, 4}), done.err
    if done.code != 3:
        assert "descriptor" in done.err + done.out or "open files" in done.err + done.out
        done = work.json("run", source.path, *work.to(server))
    assert_accounted(work, source, done.summary, server)


def test_signals_that_mean_nothing(work: Workdir, server: Server) -> None:
    """C8: a storm of signals among threads and tasks delays a run and never blocks it."""
    source = work.source(some(300, bad_every=10))

    with work.start(
        "run", source.path, "--url", server.url, "--rate", "40", "--batch-size", "5", "--json"
    ) as process:
        wait_for_events(server, 5)
        while process.poll() is None and server.count() < 250:
            for number in (signal.SIGWINCH, signal.SIGCHLD, signal.SIGURG, signal.SIGCONT):
                process.send_signal(number)
        out, err = process.communicate(timeout=60)

    assert process.returncode == 3, (out, err)
    last = work.json("run", source.path, *work.to(server))
    assert_accounted(work, source, last.summary, server)


# -- codes -----------------------------------------------------------------------------------


def _codes(work: Workdir, server: Server) -> Iterator[tuple[int, int]]:
    """Bring about each end; yield the code that it must have and the one that it has."""

    def run(source: Source, *flags: str) -> int:
        return work.json("run", source.path, *(flags or work.to(server))).code

    def interrupted(number: signal.Signals) -> int:
        source = work.source(some(200, note=number.name), name=f"{number.name}.csv")
        with work.start(
            "run", source.path, "--url", server.url, "--rate", "5", "--batch-size", "2", "--json"
        ) as process:
            before = server.count()
            wait_for_events(server, before + 2)
            if number is signal.SIGINT:
                codes.append(work.json("run", source.path, *work.to(server)).code)
            return interrupt(process, number).code

    def of(name: str, *, bad_every: int = 0) -> Source:
        return work.source(some(40, bad_every=bad_every, note=name), name=f"{name}.csv")

    codes: list[int] = []
    yield 0, run(of("good"))
    yield 3, run(of("some", bad_every=5))
    yield 2, run(of("usage"), "--url", "http://example.com/")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    nobody = ("--url", f"http://127.0.0.1:{port}", "--rate", "0", "--retry-budget", "1")
    yield 4, run(of("nobody"), *nobody)
    begun = of("begun")
    run(begun, *work.to(server), "--limit", "5")
    begun.path.write_bytes(begun.content.replace(b"customer-00003", b"customer-99999"))
    yield 5, run(begun)
    server.set_faults("401")
    yield 6, run(of("key"))
    server.set_faults()
    yield 7, run(of("gate", bad_every=5), *work.to(server), "--max-rejects", "2")
    for number, code in ((signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)):
        yield code, interrupted(number)
    yield 8, codes[0]


def test_each_end_has_its_code(work: Workdir, server: Server) -> None:
    """P16: 0 only where every record was delivered; each other end has a code of its own."""
    codes = list(_codes(work, server))

    assert [got for _, got in codes] == [wanted for wanted, _ in codes]
    assert len({wanted for wanted, _ in codes}) == len(codes) == 11  # 1 is P9's
