"""Messages for people and for logs: one form for a terminal, one line each for everything else."""

import json
from datetime import UTC, datetime
from enum import StrEnum


class LogFormat(StrEnum):
    """How messages are written on standard error."""

    AUTO = "auto"
    TEXT = "text"
    LINE = "line"
    JSON = "json"

    def on(self, *, terminal: bool) -> "LogFormat":
        """Give the format that holds: `auto` is text on a terminal, and lines elsewhere."""
        if self is not LogFormat.AUTO:
            return self
        return LogFormat.TEXT if terminal else LogFormat.LINE


def log_line(
    form: LogFormat,
    message: str,
    *,
    now_s: float,
    level: str = "info",
    hint: str = "",
    code: str = "",
) -> str:
    r"""Give a message in a form, without its line end.

    Args:
        form: Text for a terminal: an error takes two lines there. Else one line, a line end within
            it written `\n`.
        message: What is said.
        now_s: Seconds since 1970.
        level: `info` or `error`.
        hint: What to type next; empty for none.
        code: A stable word for an error; empty for none.
    """
    if form is LogFormat.TEXT:
        said = message if level == "info" else f"{level}: {message}"
        return f"{said}\n  -> {hint}" if hint else said
    when = datetime.fromtimestamp(now_s, UTC).isoformat(timespec="milliseconds")
    when = when.replace("+00:00", "Z")
    if form is LogFormat.JSON:
        facts = {"time": when, "level": level, "message": message, "code": code, "hint": hint}
        return json.dumps({name: value for name, value in facts.items() if value})
    line = f"{message} -> {hint}" if hint else message
    return f"{when} {level}: " + "\\n".join(line.splitlines())
