"""Help screens whose flags stand in sections."""

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, Final

import click

from ingest.cli import options

SECTIONS: Final[Sequence[tuple[str, Sequence[Callable[[Any], Any]]]]] = (
    ("Sources", (*options.INPUTS, *options.RESUME)),
    ("How they are read", options.READING),
    ("What is sent of a record", options.MAPPING),
    ("Rules and gates", (*options.RULES, *options.FIRST)),
    ("Destination", options.DESTINATION),
    ("Sending", (*options.SENDING, *options.PLAN, *options.AFTER_LOSS)),
    ("State and reports", options.PLACES),
    ("Output", options.OUTPUT),
)
"""Titles and flags, in their order; what stands in none of them comes first, under `Options`."""


@cache
def _titles() -> dict[str, str]:
    found: dict[str, str] = {}
    for title, section in SECTIONS:

        def bare() -> None:
            """Takes the flags of a section."""

        for option in section:
            option(bare)
        for param in getattr(bare, "__click_params__", ()):
            found.setdefault(str(param.name), title)
    return found


class Sectioned(click.Command):
    """A command whose help shows its flags by section."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the flags, each under the title of its section."""
        shown: dict[str, list[tuple[str, str]]] = {"Options": []}
        shown |= {title: [] for title, _ in SECTIONS}
        for param in self.get_params(ctx):
            record = param.get_help_record(ctx)
            if record is not None and isinstance(param, click.Option):
                shown[_titles().get(str(param.name), "Options")].append(record)
        for title, rows in shown.items():
            if rows:
                with formatter.section(title):
                    formatter.write_dl(rows)
