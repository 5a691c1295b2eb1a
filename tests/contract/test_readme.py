"""The README is true: what it shows is what the installed command prints."""

import re
from pathlib import Path

import pytest

from tests.support.sessions import ROOT, Block, agrees, blocks, furnish, play, steps

README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = list(blocks(README))
RUN = (
    "python3 -m venv .venv && .venv/bin/pip install -q . && "
    ".venv/bin/ingest run sample_data/events.csv --sandbox --rejects-ok"
)
TEST = (
    "python3 -m venv .venv-test && .venv-test/bin/pip install -q -e '.[test]' && "
    ".venv-test/bin/python -m pytest -q -n 2"
)
SESSIONS = [block for block in BLOCKS if block.mark == "session"]


def test_the_readme_fits_on_a_few_screens() -> None:
    """It has fewer than 180 lines."""
    assert len(README.splitlines()) < 180


def test_every_block_is_marked() -> None:
    """No block stands there that nothing runs, and no session without a command."""
    assert [block.line for block in BLOCKS if not block.mark] == []
    assert all(steps(block) for block in SESSIONS)
    assert len({block.name for block in SESSIONS}) == len(SESSIONS)


def test_the_two_commands_are_one_line_each() -> None:
    """The command that tries it, and the one that tests it, which CI takes out of the page."""
    found = {block.mark: block.lines for block in BLOCKS if block.mark in {"run", "test"}}

    assert found == {"run": (RUN,), "test": (TEST,)}


def test_the_command_that_tries_it_is_the_one_of_the_first_session() -> None:
    """What the first command ends with is run below, and its output shown."""
    first = steps(SESSIONS[0])[0].command

    assert RUN.endswith(f".venv/bin/{first}")


@pytest.mark.parametrize("block", SESSIONS, ids=lambda block: block.name.replace(" ", "-"))
def test_a_session_prints_what_the_page_shows(block: Block, tmp_path: Path) -> None:
    """Each command of a session, one after the other, as a new user would type them."""
    place = furnish(tmp_path, BLOCKS)

    for step in steps(block):
        printed = play(step, place)

        assert agrees(step.output, printed, place, vary=block.vary), "\n".join(
            [f"README.md, line {block.line}: $ {step.command}", "printed:", *printed]
        )


def test_the_table_of_commands_is_complete() -> None:
    """Each command has its row, and each `--option` that the text names is one of the program's."""
    from ingest.cli import group

    commands = set(group.commands)
    options = {o for command in group.commands.values() for p in command.params for o in p.opts}

    named = set(re.findall(r"^\| `ingest ([a-z]+)", README, flags=re.MULTILINE))
    flags = set(re.findall(r"(?<![\w-])(--[a-z][a-z-]+)", README)) - {"--version", "--help"}

    assert named == commands
    assert flags <= options
