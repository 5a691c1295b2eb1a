"""What an attacker could make of keys, files, records and settings."""

import base64
import re
import threading
import time
from pathlib import Path
from urllib.parse import quote

import click
import pytest

from ingest.cli import group
from tests.support.workdir import Server, Workdir, assert_accounted, some, wait_for_events

CANARY = "canary+key/9f8e7d6c=5b4a"
FORMS = {
    "plain": CANARY.encode(),
    "in a URL": quote(CANARY, safe="").encode(),
    "in a header": base64.b64encode(f"{CANARY}:".encode()),
    "base64": base64.b64encode(CANARY.encode())[:-4],
}
ROOT = Path(__file__).resolve().parents[2]


def _leaves(root: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def _found(texts: dict[str, bytes]) -> list[tuple[str, str]]:
    return [
        (name, form)
        for name, text in texts.items()
        for form, secret in FORMS.items()
        if secret in text
    ]


def _processes(texts: dict[str, bytes], until: threading.Event) -> None:
    while not until.wait(0.05):
        for place in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                texts[f"command line of {place.parent.name}"] = place.read_bytes()
            except OSError:
                continue


def test_no_trace_of_the_key(work: Workdir, server: Server) -> None:
    """X3: after runs with faults of every kind the key is in no file, output or process list."""
    source = work.source(some(200, bad_every=10))
    env = work.env(
        INGEST_API_KEY=CANARY, PYTHONASYNCIODEBUG="1", HTTPX_LOG_LEVEL="trace", PYTHONDEVMODE="1"
    )
    texts: dict[str, bytes] = {}
    over = threading.Event()
    watcher = threading.Thread(target=_processes, args=(texts, over))
    watcher.start()
    try:
        server.set_faults("503:3%", "reset:3%", "html:3%", "garbage:3%", "401:30-30", seed=5)
        flags = (*work.to(server), "--batch-size", "5")
        killed = work.start("run", source.path, *flags, env=env)
        with killed as process:
            wait_for_events(server, 20)
            process.kill()
            out, err = process.communicate(timeout=60)
        texts["killed"] = (out + err).encode()
        for number, more in enumerate(((), ("--json",), ("--sandbox", "--as", "b"))):
            flags = more if "--sandbox" in more else (*work.to(server), *more)
            done = work.ingest("run", source.path, *flags, "--retry-budget", "2", env=env)
            texts[f"run {number}"] = (done.out + done.err).encode()
        for command in (("status", "--json"), ("doctor", source.path), ("run", "--url", CANARY)):
            done = work.ingest(*command, env=env)
            if CANARY not in command:
                texts[command[0]] = (done.out + done.err).encode()
    finally:
        over.set()
        watcher.join()

    texts |= _leaves(work.root)
    assert len(texts) > 20
    assert _found(texts) == []


def test_the_search_finds_what_it_looks_for(tmp_path: Path) -> None:
    """X3: each form of the key is found where it is."""
    for form, secret in FORMS.items():
        (tmp_path / form.replace(" ", "-")).write_bytes(b"before " + secret + b" after")

    assert {form for _, form in _found(_leaves(tmp_path))} == set(FORMS)


def test_no_option_takes_a_key_or_weakens_tls() -> None:
    """X1, X6: no option takes a key itself, and none turns a check of TLS off."""
    options = {
        (name, flag)
        for name, command in group.commands.items()
        for parameter in command.params
        for flag in (*parameter.opts, *parameter.secondary_opts)
        if isinstance(parameter, click.Option)
    }
    keys = {each for each in options if re.search("key|token|secret|password", each[1])}
    weak = {each for each in options if re.search("tls|ssl|verify|insecure|cert|http", each[1])}

    assert {flag for _, flag in keys} == {"--api-key-file", "--identity-key", "--rekey", "--key"}
    assert {name for name, flag in keys if flag == "--key"} == {"sandbox"}, (
        "a stand-in's, no secret"
    )
    assert weak == set()


def test_tls_is_checked_in_one_place_and_always() -> None:
    """X6: no line of the program turns the check of certificates or of host names off."""
    forms = (
        r"CERT_NONE|CERT_OPTIONAL|_create_unverified|check_hostname\s*=\s*False|verify\s*=\s*False"
    )

    lines = [
        f"{path.name}: {line}"
        for path in (ROOT / "ingest").rglob("*.py")
        for line in path.read_text(encoding="utf-8").splitlines()
        if re.search(forms, line)
    ]

    assert lines == []


@pytest.mark.parametrize("typed", ["--api-key={}", "--key={}", "--token={}"])
def test_a_key_that_is_typed_is_refused(work: Workdir, typed: str) -> None:
    """X1: a key among the arguments is a usage error, which does not repeat it."""
    source = work.source(some(3))

    done = work.json("run", source.path, "--sandbox", typed.format(CANARY))

    assert done.code == 2
    assert CANARY not in done.out + done.err


def test_messages_hold_no_value(work: Workdir, server: Server) -> None:
    """X13: nothing of a record's content is in messages, the summary or the log of attempts."""
    source = work.source(some(200, bad_every=10, anyone=False))
    server.set_faults("422:2-2", "503:4-4", "reset:6-6")

    runs = [
        work.ingest("run", source.path, *work.to(server), "--batch-size", "20"),
        work.ingest("run", source.path, *work.to(server), "--json"),
        work.ingest("status"),
        work.ingest("status", "--json"),
    ]

    texts = {str(n): (run.out + run.err).encode() for n, run in enumerate(runs)}
    kept = {"summary.json", "attempts.jsonl", "ledger.witness"}
    texts |= {name: text for name, text in _leaves(work.root).items() if Path(name).name in kept}
    assert len(texts) >= 6
    assert [
        name for name, text in texts.items() if b"customer-0" in text or b"note 1" in text
    ] == []


HOSTILE = {
    "at": "a@" * 500_000,
    "brackets": "(" * 1_000_000,
    "dots": "a." * 500_000,
    "blanks": " " * 1_000_000,
    "digits": "1" * 1_000_000,
    "colons": ":" * 1_000_000,
    "marks": "e\u0301" * 300_000,
}
FIELDS = ("event", "customer_id", "email", "timestamp", "ip", "event_uuid", "device_id", "latitude")


def _seconds(work: Workdir, server: Server, text: str) -> float:
    path = work.root / "hostile.csv"
    rows = [
        ",".join(text if name == field else {"event": "a", "customer_id": "1"}.get(name, "")
                 for name in FIELDS)
        for field in FIELDS
    ]  # fmt: skip
    path.write_text("\n".join([",".join(FIELDS), *rows, "a,last,,,,,,", ""]))
    began = time.monotonic()
    done = work.json("run", path, *work.to(server), "--as", f"load-{len(text)}")
    assert done.code in {0, 3}, done.err
    assert done.summary["records"]["read"] == len(FIELDS) + 1
    assert "last" in {body.get("customer_id") for body in server.bodies().values()}
    return time.monotonic() - began


@pytest.mark.parametrize("kind", [pytest.param(kind, id=f"X15-{kind}") for kind in HOSTILE])
def test_hostile_text_in_every_field(work: Workdir, server: Server, kind: str) -> None:
    """X15: text of up to 1 MB that is made to be slow is judged in time that grows as it does."""
    text = HOSTILE[kind]

    short_s = _seconds(work, server, text[: len(text) // 8])
    long_s = _seconds(work, server, text)

    # Quadratic growth would be 64 times as much; a busy machine is allowed for.
    assert long_s < 24 * short_s + 2


@pytest.mark.parametrize(
    "name", ["ingest.toml", ".ingest.toml", ".ingestrc", "pyproject.toml", ".env", ".netrc"]
)
def test_a_configuration_that_lies_about_is_not_read(
    work: Workdir, server: Server, name: str
) -> None:
    """X19: nothing in the working directory is read that was not named."""
    source = work.source(some(10))
    text = 'url = "http://127.0.0.1:9"\nrate = "no number"\nINGEST_URL=http://127.0.0.1:9\n'
    (work.root / name).write_text(text)
    home = work.env(HOME=str(work.root))

    done = work.json("run", source.path, *work.to(server), env=home)

    assert done.code == 0, done.err
    assert_accounted(work, source, done.summary, server)


def test_settings_are_text_and_nothing_else(work: Workdir, server: Server) -> None:
    """X20: what looks like a variable or a command in a configuration is sent as it stands."""
    texts = [
        "$HOME",
        "${INGEST_API_KEY}",
        "$(touch owned)",
        "`touch owned`",
        "!!python/none",
        "{{7*7}}",
    ]
    source = work.source(some(5))
    for number, text in enumerate(texts):
        config = work.root / f"{number}.toml"
        config.write_text(f"set = {{ said = '{text}' }}\n")
        done = work.json(
            "run", source.path, *work.to(server), "--config", config, "--as", f"n{number}"
        )
        assert done.code == 0, done.err

    assert {body["said"] for body in server.bodies().values()} == set(texts)
    assert not (work.root / "owned").exists()
