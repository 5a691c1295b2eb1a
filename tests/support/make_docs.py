"""Writes the pages of docs/ that say what stands in the schemas and in the command line.

    python -m tests.support.make_docs              after a change of schemas/ or of an option
    python -m tests.support.make_docs --readme     after a change of what a command prints, too

The second one plays the sessions of the README and puts in what they print where it differs from
what stands there: look at the difference, and shorten it with lines of `...`. The tests of
`tests/contract/` compare.
"""

import re
import sys
from collections.abc import Callable, Iterator, Mapping

import click

from ingest.cli import group
from ingest.core.model import Severity, Stage
from ingest.core.rules import Code, catalogue, rules_of
from ingest.edges.validator import load_documents
from tests.support.code_examples import Example, examples
from tests.support.sessions import ROOT, record

NO_VARIABLE = "-"
_MANY = 10
_NOTE = (
    "<!-- Written by `python -m tests.support.make_docs`; edit the schemas or options instead. -->"
)
_DEFAULT = re.compile(r"\s*\[default: (.+?)\]\s*$")


_CODES_HEAD = """\
# Reason codes

A code says what is wrong with a record. A record has one code for each rule that it breaks, all at
once. The rules are the JSON Schemas in [`schemas/`](../schemas): this page is made from them.

- An **error** rejects the record: it is in the reject report and is not sent.
- A **warning** is counted, and the record is sent.
- `--strict` makes errors of the warnings marked so below.

A code never changes its meaning. Codes may be added. The summary counts violations, so one record
can count under several codes.
"""
_READING_HEAD = """\
## Errors of reading

The bytes of the record, or a cell of it, cannot be read as asked. How records are read:
[reading.md](reading.md). The `json_` codes are those of JSON Lines.
"""
_RULES_HEAD = """\
## Errors of the rules

The record was read, and the API would not take it.
"""
_SENDING_HEAD = "## Errors of sending\n"
_WARNINGS_HEAD = """\
## Warnings

The API takes such a record, but may file a value differently from what was meant.
"""
_EACH_HEAD = """\
## Each code

Examples come from [`sample_data/`](../sample_data). What the API says is as far as its pages say it.
"""
_REFUSED = (
    "400 with the field and a reason where it checks this at once, such as"
    ' `{"errors":[{"customer_id":"can\'t be blank"}]}`; it has no list of what it checks, and a 200'
    " can be followed by an error record hours later (`ingest verify`)."
)
_SAID = {
    "identity_missing": (
        "200 may come, and an error record later: `Missing Customer Identifier`. An event that"
        " names nobody is lost without a sign at the time."
    ),
    "identity_placeholder": (
        "nothing: `NULL` is a customer's name to it, and all such events are one customer's."
    ),
    "event_too_large": "413, or a closed connection; a request may have 1 MB.",
    "api_refused": "its own words stand in `_reject_reason`.",
    "schema_invalid": "nothing that it says depends on your schema.",
}
_OPTIONS_HEAD = """\
# Commands and options

A flag goes before its environment variable, that before the file of `--config`, and that before the
default. A variable of an option that may be repeated holds its values with a space between; a switch
is on with `1`. The API key has no flag: it stands in `INGEST_API_KEY`, or in the file that
`--api-key-file` names.
"""


def reject_codes() -> str:
    """The page of reason codes."""
    documents = load_documents()
    codes = catalogue(documents)
    only = _events(documents)
    errors = [
        (_READING_HEAD, Stage.READING),
        (_RULES_HEAD, Stage.RULES),
        (_SENDING_HEAD, Stage.API),
    ]
    warnings = [code for code in codes.values() if code.severity is Severity.WARNING]
    parts = [f"{_NOTE}\n", _CODES_HEAD]
    for head, stage in errors:
        parts += [head, _table(_of(codes, Severity.ERROR, stage), only)]
    parts += [_WARNINGS_HEAD, _table(warnings, only, strict=True), _EACH_HEAD]
    found = examples()
    return "\n".join([*parts, *(_section(code, only, found) for code in codes.values())])


def _section(code: Code, only: Mapping[str, list[str]], found: Mapping[str, Example]) -> str:
    """What there is to say of one code, under a heading that the report names."""
    events = only.get(code.code, [])
    lines = [f"### {code.code}\n", f"{code.message}\n"]
    if events:
        lines.append(f"Only for `{'`, `'.join(events)}`.\n")
    lines.append(f"**To mend it:** {code.hint}\n")
    example = found.get(code.code)
    if example:
        lines.append(f"**Example:** `{example.source}`, line {example.line}:\n")
        lines.append(f"```text\n{example.shown}\n```\n")
        if example.suggested:
            lines.append(f"Suggested: `{example.suggested}`\n")
    return "\n".join([*lines, f"**What the API says:** {_said(code)}\n"])


def _said(code: Code) -> str:
    if code.code in _SAID:
        return _SAID[code.code]
    if code.severity is Severity.WARNING:
        return "nothing; it takes the event, and stores the value as it stands."
    if code.stage is Stage.READING:
        return "nothing: there is no event that could be sent to it."
    return _REFUSED


def _events(documents: Mapping[str, Mapping[str, object]]) -> dict[str, list[str]]:
    """The events to which a code is confined; a code of all events is not in it."""
    found: dict[str, set[str | None]] = {}
    for rule in rules_of(documents):
        found.setdefault(rule.code, set()).add(rule.event)
    return {
        code: sorted(event for event in events if event is not None)
        for code, events in found.items()
        if None not in events
    }


def _of(codes: Mapping[str, Code], severity: Severity, stage: Stage) -> list[Code]:
    return [code for code in codes.values() if code.severity is severity and code.stage is stage]


def _table(codes: list[Code], only: Mapping[str, list[str]], *, strict: bool = False) -> str:
    head = ["code", "what it says", "how to mend it", *(["`--strict`"] if strict else [])]
    rows = [head, ["---"] * len(head)]
    for code in codes:
        events = only.get(code.code, [])
        said = f" (`{'`, `'.join(events)}`)" if 0 < len(events) < 6 else ""
        more = ["error" if code.strict else "warning"] if strict else []
        rows.append([f"`{code.code}`", code.message + said, code.hint, *more])
    return "".join(f"| {' | '.join(map(_cell, row))} |\n" for row in rows)


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def options() -> str:
    """The page of commands and options."""
    whole = _rows(group.commands["run"])
    parts = [f"{_NOTE}\n", _OPTIONS_HEAD]
    for name, command in group.commands.items():
        parts += [f"{part}\n" for part in _command(name, command, whole)]
    return "\n".join(parts)


def _command(name: str, command: click.Command, whole: list[list[str]]) -> Iterator[str]:
    context = _context(command)
    arguments = [param for param in command.params if isinstance(param, click.Argument)]
    shown = " ".join([name, "[OPTIONS]", *(each.make_metavar(context) for each in arguments)])
    yield f"## `ingest {shown}`"
    yield " ".join((command.help or "").split())
    if command.epilog:
        yield re.sub("^Example: (.*)$", r"Example: `\1`", command.epilog)
    rows = _rows(command)
    shared = [row for row in rows if row in whole]
    if name != "run" and len(shared) > _MANY:
        missing = ", ".join(row[0] for row in whole if row not in rows)
        rows = [row for row in rows if row not in whole]
        without = f", without {missing}" if missing else ""
        more = " It has these as well:" if rows else ""
        yield f"It takes the options of `ingest run`{without}.{more}"
        if not rows:
            return
    head = [["option", "variable", "default", "what it does"], ["---"] * 4]
    yield "\n".join(f"| {' | '.join(map(_cell, row))} |" for row in head + rows)


def _rows(command: click.Command) -> list[list[str]]:
    rows = []
    for param in command.params:
        if isinstance(param, click.Option):
            text, default = help_of(param)
            spelling = ", ".join(f"`{each}`" for each in _spellings(param, command))
            variable = f"`{param.envvar}`" if param.envvar else NO_VARIABLE
            more = " May be repeated." if param.multiple and "repeated" not in text else ""
            rows.append([spelling, variable, default, text + more])
    return rows


def _context(command: click.Command) -> click.Context:
    return click.Context(command, info_name=command.name)


def _spellings(param: click.Option, command: click.Command) -> list[str]:
    metavar = "" if param.is_flag else f" {param.make_metavar(_context(command))}"
    return [f"{name}{metavar if name.startswith('--') else ''}" for name in param.opts]


def help_of(param: click.Option) -> tuple[str, str]:
    """The text of an option, and its default as people say it; empty where there is none."""
    text = " ".join((param.help or "").split())
    said = _DEFAULT.search(text)
    if said:
        return text[: said.start()], said[1]
    if param.show_default and param.default is not None:
        return text, f"`{param.default}`"
    return text, ""


PAGES: Mapping[str, Callable[[], str]] = {
    "docs/reject-codes.md": reject_codes,
    "docs/options.md": options,
}
"""What each page is to hold, by its place below the root."""


def main() -> None:
    """Write the pages."""
    for path, page in PAGES.items():
        (ROOT / path).write_text(page(), encoding="utf-8")
    if "--readme" in sys.argv[1:]:
        readme = ROOT / "README.md"
        readme.write_text(record(readme.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
