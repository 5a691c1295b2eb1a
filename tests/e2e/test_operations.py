"""Under cron and systemd: an empty environment, one line a message, figures for Prometheus."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.support.sessions import ROOT
from tests.support.workdir import Server, Workdir, some

PAGE = (ROOT / "docs/operations.md").read_text(encoding="utf-8")
PROGRAM = Path(sys.executable).parent / "ingest"
_LINE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z (info|error): .+")


def configured(work: Workdir, server: Server) -> Path:
    """The configuration of the page, for this place."""
    text = re.search(r"```toml\n(.*?)```", PAGE, re.DOTALL)
    assert text
    key = work.root / "key"
    key.write_text("event-key-0123456789\n")
    key.chmod(0o600)
    (work.root / "data").mkdir()
    content = (
        text[1]
        .replace("/etc/ingest/key", str(key))
        .replace("/var/lib/ingest/reports", str(work.root / "reports"))
        .replace("/data/events/*.csv.gz", str(work.root / "data/*.csv"))
    )
    path = work.root / "config.toml"
    path.write_text(
        content.replace("[jobs.nightly]", f'[jobs.nightly]\nurl = "{server.url}"\nrate = 0')
    )
    return path


def source(work: Workdir, *, bad_every: int) -> None:
    """A file whose time is in the column that the page names."""
    one = work.source(some(300, bad_every=bad_every), name="data/a.csv")
    head, _, rest = one.path.read_bytes().partition(b"\n")
    one.path.write_bytes(head.replace(b"timestamp", b"created_at") + b"\n" + rest)


def test_the_crontab_line_runs_with_an_empty_environment(work: Workdir, server: Server) -> None:
    """The line of the page, by `env -i sh -c`: it sends, says nothing, and again is a no-op."""
    crontab = re.search(r"^15 2 \* \* \* (.+)$", PAGE, re.MULTILINE)
    assert crontab
    config = configured(work, server)
    source(work, bad_every=100)
    line = (
        crontab[1]
        .replace("/opt/ingest/bin/ingest", str(PROGRAM))
        .replace("/etc/ingest/config.toml", str(config))
        .replace("/var/log/ingest.log", str(work.root / "ingest.log"))
    )
    command = ["env", "-i", f"HOME={work.root}", "PATH=/usr/bin:/bin", "sh", "-c", line]

    first = subprocess.run(command, cwd="/", check=False, timeout=120)
    again = subprocess.run(command, cwd="/", check=False, timeout=120)

    assert (first.returncode, again.returncode) == (3, 3)
    assert server.count() == 297
    log = (work.root / "ingest.log").read_text()
    assert log.count("already complete") == 1
    assert "error" not in log
    assert (work.root / ".local/state/ingest/ledger.sqlite3").exists()


def test_messages_take_one_line_each(installed: Workdir, server: Server) -> None:
    """Plan, pauses and errors: a line each where no terminal is, an object each on request."""
    config = configured(installed, server)
    source(installed, bad_every=100)
    arguments = ("run", "--config", str(config), "--job", "nightly")

    plain = installed.ingest(*arguments, "--log-format", "line")
    objects = installed.ingest(*arguments, "--as", "two")
    refused = installed.ingest("run", "nowhere.csv", "--job", "x")

    lines = plain.err.splitlines()
    assert len(lines) >= 2
    assert [line for line in lines if not _LINE.fullmatch(line)] == []
    assert [json.loads(line)["level"] for line in objects.err.splitlines()] == ["info"] * len(lines)
    assert refused.code == 2
    assert _LINE.fullmatch(refused.err.strip())
    assert " -> " in refused.err


def test_figures_are_written_for_the_collector(work: Workdir, server: Server) -> None:
    """What ended how, whole, readable by others, after a run that was refused too."""
    config = configured(work, server)
    source(work, bad_every=100)
    arguments = ("run", "--config", str(config), "--job", "nightly", "--metrics-file", "n.prom")

    done = work.json(*arguments)
    found = figures(work.root / "n.prom")
    os.utime(work.root / "n.prom", (1, 1))
    (work.root / "data/a.csv").write_bytes(
        (work.root / "data/a.csv").read_bytes()[:-9] + b"changed\n"
    )
    changed = work.json(*arguments)

    assert (done.code, changed.code) == (3, 5)
    assert found["ingest_exit_code", ""] == 3
    for end, count in done.summary["records"].items():
        assert found["ingest_records", end] == count
    assert found["ingest_requests", "200"] == done.summary["requests"]["sent"]
    assert (work.root / "n.prom").stat().st_mode & 0o777 == 0o644
    assert figures(work.root / "n.prom")["ingest_exit_code", ""] == 5
    assert [path.name for path in work.root.glob("*.prom*")] == ["n.prom"]


def figures(path: Path) -> dict[tuple[str, str], float]:
    """The samples of a file, by name and the label beside the job's."""
    found = {}
    for family in text_string_to_metric_families(path.read_text()):
        for sample in family.samples:
            labels = dict(sample.labels)
            assert labels.pop("ingest_job") == "nightly"
            found[sample.name, "".join(labels.values())] = sample.value
    return found


def test_a_place_for_figures_that_is_none_is_found_out_first(work: Workdir, server: Server) -> None:
    """Nothing is sent by a run whose figures cannot be written."""
    one = work.source(some(5))

    gone = work.json("run", one.path, *work.to(server), "--metrics-file", "no/where.prom")
    name = work.json("run", one.path, *work.to(server), "--metrics-file", "figures.txt")

    assert (gone.code, name.code) == (2, 2)
    assert "--metrics-file" in gone.summary["error"]["message"]
    assert ".prom" in name.summary["error"]["hint"]
    assert server.requests() == 0


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not here")
def test_the_units_are_accepted(tmp_path: Path) -> None:
    """`systemd-analyze verify` finds nothing in the service and the timer."""
    for name in ("ingest-nightly.service", "ingest-nightly.timer"):
        text = (ROOT / "docs/systemd" / name).read_text()
        text = text.replace("/opt/ingest/bin/ingest", str(PROGRAM)).replace(
            "User=ingest", "User=root"
        )
        (tmp_path / name).write_text(text)

    done = subprocess.run(
        ["systemd-analyze", "verify", *map(str, sorted(tmp_path.iterdir()))],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )

    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_the_service_starts_a_command_that_there_is(work: Workdir) -> None:
    """Its line has options that the program knows, and a job."""
    text = (ROOT / "docs/systemd/ingest-nightly.service").read_text()
    line = next(line for line in text.splitlines() if line.startswith("ExecStart="))
    program, *arguments = shlex.split(line.partition("=")[2])

    done = work.ingest(*arguments)

    assert program.endswith("/ingest")
    assert done.code == 2
    assert "/etc/ingest/config.toml" in done.err


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        pytest.param("ingest re", {"plain,report", "plain,retry"}, id="command"),
        pytest.param("ingest run --check", {"plain,--check-first"}, id="option"),
        pytest.param("ingest run --region ", {"plain,us", "plain,eu"}, id="choice"),
        pytest.param("ingest run ev", {"file,ev"}, id="file"),
    ],
)
def test_the_shell_completes(installed: Workdir, words: str, wanted: set[str]) -> None:
    """Commands, options, choices and files, by click's protocol for bash."""
    typed = {"COMP_WORDS": words, "COMP_CWORD": str(len(words.split(" ")) - 1)}

    done = installed.ingest(env=installed.env(_INGEST_COMPLETE="bash_complete", **typed))

    assert done.code == 0
    assert set(done.out.split()) == wanted


@pytest.mark.parametrize("shell", re.findall(r"_INGEST_COMPLETE=(\w+)_source", PAGE))
def test_the_lines_for_the_shells_give_a_script(installed: Workdir, shell: str) -> None:
    """Each line of the page prints what its shell is to read; bash reads it without complaint."""
    done = installed.ingest(env=installed.env(_INGEST_COMPLETE=f"{shell}_source"))

    assert done.code == 0, done.err
    assert "_INGEST_COMPLETE" in done.out
    if shell == "bash":
        subprocess.run(["bash", "-c", done.out], check=True, timeout=30)
