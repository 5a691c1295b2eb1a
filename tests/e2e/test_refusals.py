"""What cannot be used is refused before anything is read or sent, with what to type instead."""

import os
import shlex

import pytest

from tests.support.workdir import Server, Workdir, assert_summary_form, good, some

FREE = ("--sandbox", "--rate", "0")


def _refused(work: Workdir, content: bytes, *flags: str):
    path = work.root / "events.csv"
    path.write_bytes(content)
    done = work.json("run", path, *FREE, *flags)
    assert done.code == 2, done.out
    assert work.server.requests() == 0
    return done.summary["error"]


def _pasted(hint: str) -> list[str]:
    """The flags that a hint gives to paste: from the first flag to the end of the command."""
    begin = hint.index("--")
    return shlex.split(hint[begin:].split(" (", 1)[0])


@pytest.mark.parametrize(
    ("header", "row", "code"),
    [
        pytest.param(b"EventName,customer_id,n", b"visit,c1,1", "event_column_missing", id="event"),
        pytest.param(b"event,UserId,n", b"visit,c1,1", "identity_column_missing", id="identity"),
        pytest.param(
            b"event,customer_id,created_at",
            b"visit,c1,2024-01-01",
            "timestamp_undecided",
            id="time",
        ),
        pytest.param(
            b"EventName,CustomerID,CreatedAt",
            b"visit,c1,2024-01-01T00:00:00Z",
            "event_column_missing",
            id="all-three",
        ),
    ],
)
def test_the_hint_can_be_pasted(work: Workdir, header: bytes, row: bytes, code: str) -> None:
    """I3: a header without event, identity or decided time: the flags in the hint make it go."""
    content = header + b"\n" + row + b"\n"
    error = _refused(work, content)

    done = work.json("run", work.root / "events.csv", *FREE, *_pasted(error["hint"]))

    assert error["code"] == code
    assert done.code == 0, done.summary["error"]
    assert done.summary["records"]["delivered"] == 1


def test_no_key_says_how_to_go_on(work: Workdir) -> None:
    """Without a key a person reads how to set it, and how to try without one."""
    work.source([good(1)])
    env = work.env()
    env.pop("INGEST_API_KEY")

    done = work.json("run", "events.csv", env=env)

    assert done.code == 2
    assert "INGEST_API_KEY" in done.summary["error"]["hint"]
    assert "--sandbox" in done.summary["error"]["hint"]
    assert not work.state.exists()


@pytest.mark.parametrize(
    ("arguments", "meant"),
    [
        pytest.param(("run", "events.csv", "--sandbx"), "--sandbox", id="flag"),
        pytest.param(
            ("run", "events.csv", "--sandbox", "--map", "email=notte"), "note", id="column"
        ),
        pytest.param(("run", "events.csv", "--sandbox", "--drop", "Note"), "note", id="case"),
        pytest.param(
            ("run", "events.csv", "--sandbox", "--type", "note=nmber"), "number", id="type"
        ),
        pytest.param(("chekc", "events.csv"), "check", id="command"),
    ],
)
def test_a_misspelt_word_gets_did_you_mean(
    work: Workdir, arguments: tuple[str, ...], meant: str
) -> None:
    """An unknown flag, column, type or command is answered with the one that was meant."""
    work.source([good(1)])

    shown = work.ingest(*arguments)
    told = work.ingest(*arguments, "--json")

    assert (shown.code, told.code) == (2, 2)
    assert "did you mean" in shown.err.lower()
    assert meant in shown.err
    assert_summary_form(told)
    assert "did you mean" in "".join(told.summary["error"].values()).lower()


@pytest.mark.parametrize(
    "arguments",
    [
        pytest.param(("run", "--sandbox"), id="no-source"),
        pytest.param(("run", "missing.csv", "--sandbox"), id="missing-file"),
        pytest.param(("run", "events.csv", "--sandbox", "--batch-size", "31"), id="batch-size"),
        pytest.param(("run", "events.csv", "--sandbox", "--batch-size", "many"), id="not-a-number"),
        pytest.param(("run", "events.csv", "--sandbox", "--concurrency", "0"), id="concurrency"),
        pytest.param(("run", "events.csv", "--sandbox", "--max-rejects", "lots"), id="max-rejects"),
        pytest.param(("run", "events.csv", "--region", "mars"), id="region"),
        pytest.param(("run", "events.csv", "--url", "http://example.com"), id="X5-http"),
        pytest.param(("run", "events.csv", "--url", "https://me:secret@example.com"), id="X4-user"),
        pytest.param(("run", "events.csv", "--api-key-file", "no-such-key"), id="key-file"),
        pytest.param(("run", "events.csv", "--sandbox", "--account", "a/b"), id="account"),
        pytest.param(("run", "events.csv", "--sandbox", "--set", "event"), id="set-form"),
        pytest.param(("run", "events.csv", "--sandbox", "--map", "event=note"), id="map-taken"),
        pytest.param(("run", "events.csv", "--sandbox", "--timezone", "Mars/Base"), id="timezone"),
        pytest.param(("check", "events.csv", "--nonsense"), id="check-flag"),
        pytest.param(("run", "events.csv", "--sandbox", "--limit", "0"), id="limit"),
    ],
)
def test_json_is_printed_on_usage_errors_too(work: Workdir, arguments: tuple[str, ...]) -> None:
    """`--json` prints one whole object with exit code 2, whatever is wrong with the command."""
    work.source([good(1)])

    done = work.json(*arguments)

    assert done.code == 2
    assert done.summary["status"] == "refused"
    assert "secret" not in done.out + done.err
    assert work.server.requests() == 0


def test_a_key_file_that_others_can_read_is_refused(work: Workdir) -> None:
    """X2: a key file must be its owner's alone; the hint is the command that makes it so."""
    work.source([good(1)])
    key = work.root / "key"
    key.write_text("abc")
    key.chmod(0o644)

    done = work.json("run", "events.csv", "--api-key-file", "key", "--url", "http://127.0.0.1:9")

    assert done.code == 2
    assert "chmod 600 key" in done.summary["error"]["hint"]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        pytest.param(b"", "empty", id="I1-empty"),
        pytest.param(b"event,email,email\na,b,c\n", "email", id="I4-duplicate"),
        pytest.param(b"event,email,Email\na,b,c\n", "mail", id="I4-case"),
        pytest.param(b"event,,email\na,b,c\n", "", id="I5-blank"),
        pytest.param("event,email\nä,b\n".encode("utf-16"), "UTF-16", id="I7-utf16"),
        pytest.param(b"\x1f\x8b\x08\x00rest", "gzip", id="I24-gzip"),
        pytest.param(b"PK\x03\x04rest", "zip", id="I24-zip"),
    ],
)
def test_files_that_are_no_such_csv(work: Workdir, content: bytes, words: str) -> None:
    """A file that is empty, packed, or in another encoding is refused by that name."""
    error = _refused(work, content)

    assert words.lower() in (error["message"] + error["hint"]).lower()


def test_an_empty_directory_is_refused(work: Workdir) -> None:
    """I25: a directory that has nothing to send is named and refused."""
    (work.root / "folder").mkdir()

    done = work.json("run", "folder", *FREE)

    assert done.code == 2
    assert "folder" in done.summary["error"]["message"]


def test_a_pipe_is_refused(work: Workdir) -> None:
    """I25: a named pipe is refused at once and not waited for."""
    os.mkfifo(work.root / "pipe.csv")

    done = work.json("run", "pipe.csv", *FREE)

    assert done.code == 2
    assert "pipe" in done.summary["error"]["message"]


def test_a_report_of_rejects_is_not_a_source(work: Workdir) -> None:
    """A reject report given to `run` is refused with the command for it."""
    work.source([good(1)])
    (work.root / "rejects.csv").write_text("event,customer_id,_reject_id\na,b,REJ1\n")

    done = work.json("run", "rejects.csv", *FREE)

    assert done.code == 2
    assert "retry" in done.summary["error"]["hint"]


def test_one_bad_source_of_several_refuses_all(work: Workdir) -> None:
    """Headers of all sources are read before the first of them is sent."""
    work.source([good(1)], name="one.csv")
    (work.root / "two.csv").write_text("who,what\na,b\n")

    done = work.json("run", "one.csv", "two.csv", *FREE)

    assert done.code == 2
    assert work.server.requests() == 0


@pytest.mark.parametrize(
    "arguments", [("--help",), ("run", "--help"), ("check", "--help"), ("status", "--help"),
                  ("sandbox", "--help"), ("--version",)],
    ids=["help", "run", "check", "status", "sandbox", "version"],
)  # fmt: skip
def test_help(installed: Workdir, arguments: tuple[str, ...]) -> None:
    """Help and version come on stdout, with exit code 0."""
    done = installed.ingest(*arguments)

    assert done.code == 0
    assert done.out
    assert done.err == ""


def test_a_wrong_rule_is_no_bad_file(work: Workdir, server: Server) -> None:
    """`--skip-bad-files` leaves files out; a configuration that does not hold stops the run."""
    source = work.source(some(3))
    config = work.root / "c.toml"
    config.write_text('[rules]\nno_such_code = "off"\n')

    done = work.json("run", source.path, "--config", config, "--skip-bad-files", *work.to(server))

    assert (done.code, server.requests()) == (2, 0)
    assert done.summary["error"]["code"] == "unknown_code"
