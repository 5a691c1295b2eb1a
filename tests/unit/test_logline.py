"""Messages: two lines for a person at a terminal, one for everything else."""

import io
import json

import pytest

from ingest.cli.voice import voice_of
from ingest.core.logline import LogFormat, log_line
from ingest.edges.display import Display

NOW_S = 1_700_000_000.25


@pytest.mark.parametrize(
    ("form", "line"),
    [
        (LogFormat.TEXT, "error: it\nbroke\n  -> mend it"),
        (LogFormat.LINE, "2023-11-14T22:13:20.250Z error: it\\nbroke -> mend it"),
    ],
)
def test_an_error_in_each_form(form: LogFormat, line: str) -> None:
    """A line end inside a message does not make two lines of it."""
    assert log_line(form, "it\nbroke", now_s=NOW_S, level="error", hint="mend it") == line


def test_json_has_a_field_for_each_fact() -> None:
    """One object, one line; what is empty is left out."""
    line = log_line(LogFormat.JSON, "a\nb \u2028", now_s=NOW_S, level="error", code="x")

    assert "\n" not in line
    assert line.isascii()
    assert json.loads(line) == {
        "time": "2023-11-14T22:13:20.250Z",
        "level": "error",
        "message": "a\nb \u2028",
        "code": "x",
    }


def test_auto_is_text_on_a_terminal_and_lines_elsewhere() -> None:
    """What was asked for holds everywhere."""
    assert LogFormat.AUTO.on(terminal=True) is LogFormat.TEXT
    assert LogFormat.AUTO.on(terminal=False) is LogFormat.LINE
    assert LogFormat.JSON.on(terminal=True) is LogFormat.JSON


def test_progress_is_a_message_like_the_others() -> None:
    """What a run tells goes through the same form."""
    stream = io.StringIO()
    display = Display(
        stream, quiet=False, clock=lambda: 0.0, form=LogFormat.JSON, wall=lambda: NOW_S
    )

    display.tell("waiting")

    assert json.loads(stream.getvalue())["message"] == "waiting"


@pytest.mark.parametrize(
    ("arguments", "form"),
    [
        (["run", "--log-format", "json"], LogFormat.JSON),
        (["run", "--log-format=text", "x"], LogFormat.TEXT),
        (["run", "--log-format", "nonsense"], LogFormat.AUTO),
        (["run", "--log-format"], LogFormat.AUTO),
        ([], LogFormat.LINE),
    ],
)
def test_the_form_is_known_before_anything_is_parsed(
    arguments: list[str], form: LogFormat, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A mistake in what was typed is told in the form that was asked for."""
    monkeypatch.setenv("INGEST_LOG_FORMAT", "line" if not arguments else "auto")

    assert voice_of(arguments).form is form
