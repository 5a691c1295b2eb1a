"""The flags of the commands, each with its `INGEST_*` variable."""

from collections.abc import Callable
from typing import Any, TypeVar

import click

Command = TypeVar("Command", bound=Callable[..., Any])


def _option(*names: str, **facts: Any) -> Callable[[Command], Command]:
    long = next(name for name in names if name.startswith("--")).split("/")[0]
    variable = "INGEST_" + long.removeprefix("--").replace("-", "_").upper()
    return click.option(*names, envvar=variable, **facts)


_PATH = click.Path(readable=False)
"""Completed as a path by the shell; whether it can be read is found out where it is."""

MAPPING = (
    _option("--map", "maps", multiple=True, metavar="NEW=OLD", help="Send column OLD as NEW."),
    _option(
        "--set",
        "sets",
        multiple=True,
        metavar="NAME=VALUE",
        help="Send NAME with one value in every event.",
    ),
    _option(
        "--only", multiple=True, metavar="COLS", help="Send these columns only (comma-separated)."
    ),
    _option(
        "--drop", multiple=True, metavar="COLS", help="Leave these columns out; '#1' is the first."
    ),
    _option(
        "--type",
        "types",
        multiple=True,
        metavar="COL=TYPE",
        help="Send COL as number, integer, boolean, json, date or list:SEP.",
    ),
    _option("--timestamp", metavar="COL", help="The column that holds the time of the event."),
    _option(
        "--timestamp-format",
        metavar="F",
        help="strftime format, epoch_s or epoch_ms; ISO 8601 without.",
    ),
    _option(
        "--timezone",
        metavar="ZONE",
        help="Time zone of local times, such as Europe/Berlin; UTC without.",
    ),
    _option("--no-timestamp", is_flag=True, help="Send no time: events count as of now."),
    _option(
        "--null",
        "nulls",
        multiple=True,
        metavar="TOKEN",
        help="A cell with exactly this text is empty.",
    ),
    _option(
        "--flatten",
        multiple=True,
        metavar="NAME",
        help="JSON lines: lift the members of object NAME to its own place.",
    ),
    _option(
        "--uuid-from",
        multiple=True,
        metavar="COLS",
        help="Make event_uuid from these columns, not from the place: for overlapping exports.",
    ),
)

RESUME = (
    _option(
        "--resume",
        metavar="RUN",
        help="Go on with the sources of RUN, with their flags of then: for standard input.",
    ),
)

CONFIG = (
    _option("--config", type=_PATH, metavar="FILE", help="A TOML file with settings and jobs."),
    _option("--job", metavar="NAME", help="Run a job of the configuration file."),
    _option(
        "--schema",
        "schemas",
        multiple=True,
        type=_PATH,
        metavar="FILE",
        help="A JSON Schema for the events of one name, over the standard one.",
    ),
)

INPUTS = (
    click.argument("sources", nargs=-1, type=_PATH, metavar="[SOURCE]..."),
    _option(
        "--files-from", type=_PATH, metavar="LIST", help="A file with further paths, one a line."
    ),
    _option(
        "--skip-bad-files",
        is_flag=True,
        help="Report a source that cannot be read, and go on with the others.",
    ),
    _option(
        "--growing",
        is_flag=True,
        help="Leave a last line without its end for the next run.",
    ),
    *CONFIG,
)

READING = (
    _option(
        "--delimiter",
        metavar="CHAR",
        help="What stands between cells: one character, or tab; found without, where it is clear.",
    ),
    _option(
        "--quote",
        metavar="CHAR",
        help='What stands around cells: one character, or none.  [default: "]',
    ),
    _option("--no-header", is_flag=True, help="The first record is data; see --columns."),
    _option(
        "--columns",
        multiple=True,
        metavar="COLS",
        help="Names of the columns, comma-separated, for sources without a header.",
    ),
    _option(
        "--encoding",
        metavar="NAME",
        help="Encoding of the text: UTF-8, or one of a byte a character.  [default: utf-8]",
    ),
    _option(
        "--max-record-bytes",
        type=click.IntRange(1, 1 << 30),
        default=1 << 20,
        show_default=True,
        metavar="N",
        help="A longer record is rejected unread.",
    ),
)

GATE = (
    _option(
        "--max-rejects",
        metavar="N|P%",
        help="Stop (7) when more than this was rejected or refused; 100% never stops.",
    ),
)

FIRST = (
    _option(
        "--check-first",
        is_flag=True,
        help="Judge all sources to their end before anything is sent; see --max-rejects.",
    ),
)

RETURN = (
    click.argument("rejects", required=False, type=_PATH, metavar="[REJECTS]"),
    _option(
        "--accept-edits",
        "accept",
        multiple=True,
        metavar="COL",
        help="Take edits in this column too, whatever the codes of a row name.",
    ),
    click.option(
        "--doubt",
        nargs=2,
        type=(click.Choice(["send", "delivered", "drop"]), str),
        metavar="WHAT RUN",
        help="Settle what is held of the loads of RUN: send it, or count it as delivered or refused.",
    ),
)

RULES = (
    _option(
        "--identity",
        type=click.Choice(["strict", "page"]),
        default="strict",
        show_default=True,
        help="strict: every event needs a person; page: an event name alone will do.",
    ),
    _option(
        "--identity-key",
        "identity_keys",
        multiple=True,
        metavar="NAME",
        help="A further field that names a person.",
    ),
    _option("--strict", is_flag=True, help="Reject what is only worth a warning otherwise."),
    *GATE,
    _option(
        "--limit",
        type=click.IntRange(min=1),
        metavar="N",
        help="Take the first N records of each source only.",
    ),
    _option(
        "--as", "name", default="", metavar="NAME", help="Make a load of its own of the same bytes."
    ),
    _option(
        "--rejudge",
        is_flag=True,
        help="Judge rejected and refused records again, under another mapping.",
    ),
)

DESTINATION = (
    _option(
        "--sandbox",
        is_flag=True,
        help="Send to a stand-in of the API on this machine: no account, no key.",
    ),
    _option(
        "--region", type=click.Choice(["us", "eu"]), help="Where the account lives.  [default: us]"
    ),
    _option(
        "--url",
        metavar="URL",
        help="Another address of the API (https; http on this machine only).",
    ),
    _option(
        "--endpoint",
        type=click.Choice(["bulk", "event"]),
        default="bulk",
        show_default=True,
        help="Many events a request, or one.",
    ),
    _option(
        "--account",
        metavar="NAME",
        help="The name of the Blueshift account, if there are several.  [default: default]",
    ),
)

SENDING = (
    _option(
        "--api-key-file",
        type=_PATH,
        metavar="FILE",
        help="A file (mode 0600) with the Event API key; else INGEST_API_KEY.",
    ),
    _option("--rekey", is_flag=True, help="The key is a new one of the same account."),
    _option(
        "--concurrency",
        default="auto",
        show_default=True,
        metavar="auto|N",
        help="Requests under way at once; 1 keeps the order of the file.",
    ),
    _option(
        "--retry-budget",
        type=click.FloatRange(min=0),
        default=600.0,
        show_default=True,
        metavar="S",
        help="Seconds for which one batch is tried again before it is put aside.",
    ),
    _option(
        "--finish-by",
        metavar="HH:MM",
        help="Stop in order at the next such time, local; the same command goes on later.",
    ),
)

PLAN = (
    _option(
        "--rate",
        type=click.FloatRange(min=0),
        metavar="R",
        help="Calls a second at most; 0: no limit.  [default: 5; sandbox: 100]",
    ),
    _option(
        "--batch-size",
        type=click.IntRange(1, 30),
        default=30,
        show_default=True,
        metavar="N",
        help="Events in a request.",
    ),
)

RENDERING = (
    click.argument("run"),
    _option(
        "--mask",
        is_flag=True,
        help="Make values unreadable, for whom they are no business; ids and codes stay.",
    ),
    _option(
        "--delivered",
        is_flag=True,
        help="List what was delivered, too, with line and event_uuid; the source is needed.",
    ),
)

AFTER_LOSS = (
    _option(
        "--adopt",
        type=_PATH,
        metavar="SUMMARY",
        help="Begin a lost ledger anew from the summary.json of the last run: the same event_uuids.",
    ),
    _option(
        "--on-doubt",
        type=click.Choice(["send", "hold"]),
        default="send",
        show_default=True,
        help="What an earlier run left in doubt: send it again, or hold it for retry --doubt.",
    ),
)

AUDIT = (
    _option(
        "--audit",
        is_flag=True,
        help="Recount everything from ledger, reports and sources; 5 where they disagree.",
    ),
)

RECORD = (
    click.option(
        "--line",
        type=click.IntRange(min=1),
        metavar="N",
        help="A physical line of the record, as an editor counts; the header is line 1.",
    ),
    click.option(
        "--record",
        type=click.IntRange(min=1),
        metavar="N",
        help="The number of the record, from 1; reports have it.",
    ),
    click.option("--uuid", metavar="UUID", help="The event_uuid of the record."),
)

VERIFYING = (
    click.argument("run"),
    _option(
        "--errors",
        multiple=True,
        type=_PATH,
        metavar="PATH",
        help="A file of error records that Blueshift exported, or a directory of them.",
    ),
    _option(
        "--history",
        type=click.IntRange(1, 50),
        metavar="N",
        help="Ask the API for the newest N events of each name, and look for those of RUN.",
    ),
    _option(
        "--api-key-file",
        type=_PATH,
        metavar="FILE",
        help="A file (mode 0600) with the Event API key; else INGEST_API_KEY.",
    ),
)

STATE = (
    _option(
        "--state",
        type=_PATH,
        metavar="DIR",
        help="Where progress is kept.  [default: the user's state directory]",
    ),
)

PLACES = (
    *STATE,
    _option(
        "--report-dir",
        type=_PATH,
        default="ingest-reports",
        show_default=True,
        metavar="DIR",
        help="Where reports go.",
    ),
)

JSON = (
    _option(
        "--json", "as_json", is_flag=True, help="Print one JSON object on stdout, whatever happens."
    ),
)

OUTPUT = (
    _option(
        "--rejects-ok-under",
        metavar="P%",
        help="Exit 0 although records were rejected, if they are fewer than this.",
    ),
    _option("--rejects-ok", is_flag=True, help="Exit 0 although records were rejected."),
    *JSON,
    _option("-q", "--quiet", is_flag=True, help="No progress, no messages but errors."),
    _option(
        "--log-format",
        type=click.Choice(["auto", "text", "line", "json"]),
        default="auto",
        show_default=True,
        help="Messages on stderr: text, or one line or JSON object each; auto: text on a terminal, else lines.",
    ),
    _option(
        "--metrics-file",
        type=_PATH,
        metavar="FILE",
        help="Write figures of the run for node-exporter's textfile collector (FILE.prom).",
    ),
)


def together(*groups: tuple[Callable[[Command], Command], ...]) -> Callable[[Command], Command]:
    """Give one decorator for several groups of flags, in their order."""

    def apply(command: Command) -> Command:
        for group in reversed(groups):
            for option in reversed(group):
                command = option(command)
        return command

    return apply
