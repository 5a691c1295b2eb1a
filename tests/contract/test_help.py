"""Help is complete and true: every command, every option, every variable."""

import re
import shlex
from collections.abc import Iterator

import click
import pytest
from click.testing import CliRunner

from ingest.cli import group
from tests.support.make_docs import help_of
from tests.support.sessions import ROOT

COMMANDS = sorted(group.commands.items())
SETTINGS = ("run", "check", "status")
"""The commands whose options can be set in the environment."""


def options() -> Iterator[object]:
    for name, command in COMMANDS:
        for param in command.params:
            if isinstance(param, click.Option):
                yield pytest.param(name, param, id=f"{name} {param.opts[0]}")


def help_text(*arguments: str) -> str:
    result = CliRunner().invoke(group, [*arguments, "--help"], prog_name="ingest")
    assert result.exit_code == 0
    return result.output


def test_the_program_lists_its_commands() -> None:
    """`ingest --help` names every command, and how to begin."""
    shown = help_text()

    assert [name for name, _ in COMMANDS if f"  {name} " not in shown] == []
    assert "--sandbox" in shown


@pytest.mark.parametrize(("name", "command"), COMMANDS, ids=[name for name, _ in COMMANDS])
def test_a_command_says_what_it_does(name: str, command: click.Command) -> None:
    """Help begins with a sentence, and each option and argument is shown."""
    shown = help_text(name)

    assert re.match(r"[A-Z][^\n]*", command.help or "")
    assert (command.help or "").rstrip().endswith(".")
    assert [
        p.opts[0] for p in command.params if p.opts[0] not in shown and not _is_argument(p)
    ] == []


def _is_argument(param: click.Parameter) -> bool:
    return isinstance(param, click.Argument)


@pytest.mark.parametrize(("name", "option"), list(options()))
def test_an_option_has_a_text(name: str, option: click.Option) -> None:
    """Each option is explained in a sentence of its own."""
    text, _ = help_of(option)

    assert re.match(r"[A-Za-z0-9].*\.$", text), text


@pytest.mark.parametrize(("name", "option"), list(options()))
def test_an_option_has_its_variable(name: str, option: click.Option) -> None:
    """Each option of a run is also a variable: `--rate` is `INGEST_RATE`."""
    long = max(option.opts, key=len)
    variable = "INGEST_" + long.removeprefix("--").replace("-", "_").upper()

    assert option.envvar in ({variable} if name in SETTINGS else {variable, None})


@pytest.mark.parametrize("name", ["run", "check"])
def test_a_variable_works(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A setting of the environment is taken, and a wrong one is refused by its flag."""
    monkeypatch.setenv("INGEST_BATCH_SIZE", "31")

    result = CliRunner().invoke(group, [name, "events.csv"], prog_name="ingest")

    assert result.exit_code == 2
    assert "--batch-size" in result.output


@pytest.mark.parametrize("name", [name for name, command in COMMANDS if command.epilog])
def test_an_example_can_be_typed(name: str) -> None:
    """The example of a command is a call of it, with options that it has."""
    command = group.commands[name]
    example = re.fullmatch(r"Example: (.+)", command.epilog or "")
    assert example
    program, typed, *rest = shlex.split(example[1])

    context = command.make_context(typed, list(rest))

    assert (program, typed) == ("ingest", name)
    assert context.params


@pytest.mark.parametrize("name", ["run", "check"])
def test_the_main_commands_have_an_example(name: str) -> None:
    """Who asks for help on the main job is shown a whole command."""
    assert (group.commands[name].epilog or "").startswith(f"Example: ingest {name} ")


def test_every_option_is_documented() -> None:
    """docs/options.md has each option and each variable."""
    page = (ROOT / "docs/options.md").read_text(encoding="utf-8")
    wanted = {text for _, o in _all() for text in (*o.opts, o.envvar) if isinstance(text, str)}

    assert {text for text in wanted if not re.search(rf"`{re.escape(text)}[` ]", page)} == set()


def _all() -> Iterator[tuple[str, click.Option]]:
    for name, command in COMMANDS:
        yield from ((name, p) for p in command.params if isinstance(p, click.Option))


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        pytest.param(["runn"], "run", id="command"),
        pytest.param(["run", "--timestmp", "x", "events.csv"], "--timestamp", id="option"),
        pytest.param(["run", "--endpoint", "bulc", "events.csv"], "bulk", id="value"),
    ],
)
def test_a_slip_is_answered_with_what_was_meant(typed: list[str], meant: str) -> None:
    """A misspelt command, option or choice is refused, and the right one named."""
    result = CliRunner().invoke(group, typed, prog_name="ingest")

    assert result.exit_code == 2
    assert meant in result.output.splitlines()[-1]
