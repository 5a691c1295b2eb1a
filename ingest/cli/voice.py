"""How one invocation speaks: messages on standard error, and figures for Prometheus."""

import os
import sys
import time
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import click

from ingest.core.logline import LogFormat, log_line
from ingest.errors import IngestError

_FLAG = "--log-format"


@dataclass(slots=True)
class Voice:
    """Made from what was typed, for mistakes are told before settings are known; then told them.

    Args:
        form: How messages are written.
        as_json: Whether standard output carries an object on every exit.
        metrics_file: Where figures go; None: nowhere.
        job: The job of the configuration; empty without.
    """

    form: LogFormat
    as_json: bool
    metrics_file: str | None = None
    job: str = ""

    def error(self, message: str, *, hint: str = "", code: str = "") -> None:
        """Tell what went wrong and what to type next."""
        form = self.form.on(terminal=sys.stderr.isatty())
        line = log_line(form, message, now_s=time.time(), level="error", hint=hint, code=code)
        click.echo(line, err=True)

    def trace(self) -> None:
        """Show where the bug is that is being handled."""
        text = traceback.format_exc()
        if self.form.on(terminal=sys.stderr.isatty()) is LogFormat.JSON:
            self.error(text, code="bug")
        else:
            click.echo(text, err=True, nl=False)

    def measured(self, summary: Mapping[str, Any]) -> None:
        """Write the figures of a run, if that was asked for; a failure to do so changes no result."""
        if self.metrics_file is None:
            return
        from ingest.edges.metrics import write_metrics  # noqa: PLC0415 - only where it is asked for

        try:
            write_metrics(self.metrics_file, summary, job=self.job, finished_unix_s=time.time())
        except IngestError as error:
            self.error(error.message, hint=error.hint, code=error.code)


def voice_of(arguments: Sequence[str]) -> Voice:
    """Give the voice that flags and environment ask for; what is none is found out by the parser."""
    asked = os.environ.get("INGEST_LOG_FORMAT", "")
    for place, text in enumerate(arguments):
        if text == _FLAG and place + 1 < len(arguments):
            asked = arguments[place + 1]
        elif text.startswith(f"{_FLAG}="):
            asked = text.partition("=")[2]
    form = LogFormat(asked) if asked in set(LogFormat) else LogFormat.AUTO
    as_json = os.environ.get("INGEST_JSON", "") in {"1", "true", "yes"}
    return Voice(form, as_json or "--json" in arguments)
