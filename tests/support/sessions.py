"""Runs the sessions that a page shows, and compares what comes out.

A fence is marked by an HTML comment on the line before it:

    <!-- session: NAME -->            commands after `$ `, each with its output
    <!-- session: NAME, counts vary -->   the same, and figures are not compared
    <!-- file: NAME -->               a file that the sessions need, written as it stands
    <!-- run --> <!-- test -->        commands that CI runs as they are

In an output a line `...` stands for any lines, `...` within a line for any text, and a line `^C`
for Ctrl-C, typed a second after the line before it. What differs from run to run is compared
by its kind: run ids, ports, how long it took, and where the working directory is.
"""

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
HOME = "/home/you"
"""What a page writes for the directory in which the sessions run."""

CTRL_C = "^C"
ANY = "..."
TIMEOUT_S = 120
PATIENCE_S = 1.0
_FENCE = re.compile(r"^```")
_MARK = re.compile(r"^<!-- (run|test|session|file)(?:: ([^,]+?))?(, counts vary)? -->$")
_VOLATILE = (
    (re.compile(r"\b\d{8}-\d{6}-[0-9a-f]{4}\b"), "RUN"),
    (re.compile(r"127\.0\.0\.1:\d+"), "127.0.0.1:PORT"),
    (re.compile(r"\bin (?:\d+ [hd] )?(?:\d+ min )?[\d.]+ (?:s|min|h) \(exit"), "in TIME (exit"),
)
_FIGURE = re.compile(r"\d[\d,]*(?:\.\d+)?")


@dataclass(frozen=True, slots=True)
class Block:
    """One fence of a page.

    Args:
        line: Where it begins, from 1.
        mark: `run`, `test`, `session`, `file`, or empty without a mark.
        name: Of the session or the file.
        vary: Figures are not compared.
        lines: What is inside.
    """

    line: int
    mark: str
    name: str
    vary: bool
    lines: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Step:
    """One command of a session and what it prints."""

    command: str
    output: list[str] = field(default_factory=list)


def blocks(page: str) -> Iterator[Block]:
    """Yield the fences of a page in order."""
    lines = page.splitlines()
    begin: int | None = None
    for at, text in enumerate(lines):
        if not _FENCE.match(text):
            continue
        if begin is None:
            begin = at
            continue
        mark = _MARK.match(lines[begin - 1]) if begin else None
        yield Block(
            line=begin + 1,
            mark=mark[1] if mark else "",
            name=(mark[2] or "") if mark else "",
            vary=bool(mark and mark[3]),
            lines=tuple(lines[begin + 1 : at]),
        )
        begin = None


def steps(block: Block) -> list[Step]:
    """The commands of a session."""
    found: list[Step] = []
    for line in block.lines:
        if line.startswith("$ "):
            found.append(Step(line.removeprefix("$ ")))
        elif found:
            found[-1].output.append(line)
    return found


def play(step: Step, place: Path) -> list[str]:
    """Run one command in a directory, with a state of its own, and give what it prints."""
    stop_at = step.output.index(CTRL_C) if CTRL_C in step.output else -1
    awaited = step.output[stop_at - 1] if stop_at > 0 else ""
    process = subprocess.Popen(
        ["bash", "-c", step.command],
        cwd=place,
        env=environ(place),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    watch = threading.Timer(TIMEOUT_S, process.kill)
    watch.start()
    try:
        return list(_listen(process, awaited, place))
    finally:
        watch.cancel()
        process.wait()


def _listen(process: "subprocess.Popen[str]", awaited: str, place: Path) -> Iterator[str]:
    assert process.stdout is not None
    with process.stdout as printed:
        for text in printed:
            line = text.rstrip("\n")
            yield line
            if awaited and _alike(normal(awaited, place), normal(line, place)):
                awaited = ""
                yield CTRL_C
                time.sleep(PATIENCE_S)
                os.killpg(process.pid, signal.SIGINT)


def environ(place: Path) -> dict[str, str]:
    """The environment of a new user: the installed command in the path, no setting, no state."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("INGEST_")}
    path = os.pathsep.join((str(Path(sys.executable).parent), os.environ.get("PATH", "")))
    # What a terminal shows: elsewhere a message is one line.
    kept["INGEST_LOG_FORMAT"] = "text"
    return {**kept, "PATH": path, "XDG_STATE_HOME": str(place / ".state"), "NO_PROXY": "*"}


def normal(line: str, place: Path, *, vary: bool = False) -> str:
    """A line with what differs from run to run replaced by its kind."""
    text = line.replace(str(place.resolve()), HOME)
    for form, kind in _VOLATILE:
        text = form.sub(kind, text)
    return " ".join(_FIGURE.sub("N", text).split()) if vary else text


def agrees(expected: Sequence[str], printed: Sequence[str], place: Path, *, vary: bool) -> bool:
    """Whether what was printed is what the page shows."""
    want = [normal(line, place, vary=vary) for line in expected]
    have = [normal(line, place, vary=vary) for line in printed]
    return _lines_agree(want, have)


def _lines_agree(want: list[str], have: list[str]) -> bool:
    if not want:
        return not have
    if want[0] == ANY:
        return any(_lines_agree(want[1:], have[skip:]) for skip in range(len(have) + 1))
    return bool(have) and _alike(want[0], have[0]) and _lines_agree(want[1:], have[1:])


def _alike(want: str, have: str) -> bool:
    pattern = ".*".join(re.escape(part) for part in want.split(ANY))
    return re.fullmatch(pattern, have) is not None


def furnish(place: Path, page: Sequence[Block]) -> Path:
    """Make a new user's directory: the sample, and the files that the page shows."""
    shutil.copytree(ROOT / "sample_data", place / "sample_data")
    for block in page:
        if block.mark == "file":
            text = "".join(f"{line}\n" for line in block.lines)
            (place / block.name).write_text(text, encoding="utf-8")
    return place


def record(text: str) -> str:
    """The page with what its sessions print today; what agrees already stays as it is."""
    page = list(blocks(text))
    lines = text.splitlines()
    for block in reversed(page):
        if block.mark != "session":
            continue
        with tempfile.TemporaryDirectory() as directory:
            place = furnish(Path(directory), page)
            fresh = [line for step in steps(block) for line in _recorded(step, place, block)]
        lines[block.line : block.line + len(block.lines)] = fresh
    return "\n".join(lines) + "\n"


def _recorded(step: Step, place: Path, block: Block) -> list[str]:
    printed = play(step, place)
    if agrees(step.output, printed, place, vary=block.vary):
        return [f"$ {step.command}", *step.output]
    return [f"$ {step.command}", *(line.replace(str(place.resolve()), HOME) for line in printed)]
