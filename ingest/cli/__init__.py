"""The command line: parse, resolve, call one function, render, exit.

Heavy modules are imported inside the commands that need them: `--help` and usage errors stay near
click's own time.
"""

import os
import sys
from collections.abc import Callable
from typing import Any

import click

from ingest import __version__
from ingest.cli.options import (
    AFTER_LOSS,
    AUDIT,
    CONFIG,
    DESTINATION,
    FIRST,
    GATE,
    INPUTS,
    JSON,
    MAPPING,
    OUTPUT,
    PLACES,
    PLAN,
    READING,
    RECORD,
    RENDERING,
    RESUME,
    RETURN,
    RULES,
    SENDING,
    STATE,
    VERIFYING,
    together,
)
from ingest.cli.sections import Sectioned
from ingest.cli.voice import Voice, voice_of
from ingest.errors import BugError, IngestError, UsageError

_INTERRUPTED = 130
_BROKEN_PIPE = 141
_DISAGREES = 5
_COMPLETE = "_INGEST_COMPLETE"
"""Set by the shell that asks for completions (click)."""


@click.group(
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Try it without an account: ingest run events.csv --sandbox",
)
@click.version_option(__version__, prog_name="ingest")
def group() -> None:
    """Load files of customer events into Blueshift, with every record accounted for."""


@group.command(
    cls=Sectioned,
    epilog="Example: ingest run events.csv --map customer_id=user_id --timestamp created_at",
)
@together(
    INPUTS,
    RESUME,
    READING,
    MAPPING,
    RULES,
    FIRST,
    DESTINATION,
    SENDING,
    AFTER_LOSS,
    PLAN,
    PLACES,
    OUTPUT,
)
@click.pass_context
def run(context: click.Context, /, **typed: Any) -> None:
    """Check every record of SOURCE and send the valid ones.

    SOURCE is a file, a directory, a pattern in quotes, or - for standard input. Run the same
    command again and it goes on where it ended; a finished source says so.
    """
    from ingest.pipeline.run import run_command  # noqa: PLC0415 - see the module's docstring

    config = _config(context, typed, sends=True, reads=not typed["resume"])
    _conclude(run_command(config, as_json=typed["as_json"]), typed, sends=True)


@group.command(cls=Sectioned, epilog="Example: ingest check events.csv --set event=purchase")
@together(INPUTS, READING, MAPPING, RULES, DESTINATION, PLAN, PLACES, OUTPUT)
@click.pass_context
def check(context: click.Context, /, **typed: Any) -> None:
    """Judge everything as run does; send nothing.

    It does all that run does, up to the socket: rejects, reports, plan, calls and duration.
    """
    from ingest.pipeline.run import check_command  # noqa: PLC0415 - see the module's docstring

    config = _config(context, typed, sends=False)
    _conclude(check_command(config, as_json=typed["as_json"]), typed, sends=False)


@group.command(cls=Sectioned, epilog="Example: ingest retry rejects.xlsx")
@together(RETURN, CONFIG, DESTINATION, SENDING, GATE, PLAN, PLACES, OUTPUT)
@click.pass_context
def retry(context: click.Context, /, **typed: Any) -> None:
    """Take a mended reject report back and send it.

    REJECTS is the rejects.csv, .xlsx or .jsonl of a run in which values were mended; rows and
    columns may be sorted and deleted, but for the column _reject_id. Edits count in the columns
    that _reject_columns names; every other cell is sent as it was.
    """
    from ingest.cli.returned import retry as retried  # noqa: PLC0415 - see the module's docstring

    config = _config(context, typed, sends=True, reads=False)
    summary = retried(config, typed["rejects"], typed["doubt"], typed)
    _conclude(summary, typed, sends=True)


@group.command(cls=Sectioned, epilog="Example: ingest report 20260102-030405-6a7b --mask")
@together(RENDERING, CONFIG, PLACES, JSON)
@click.pass_context
def report(context: click.Context, /, **typed: Any) -> None:
    """Render the reports of RUN again.

    They show its loads as they are at this moment. With --mask they go to RUN-masked, and can be
    given to others; a masked report cannot be sent back with retry.
    """
    from ingest.cli.render import as_json, rendered  # noqa: PLC0415 - see the module's docstring
    from ingest.pipeline.rendering import report_command  # noqa: PLC0415 - likewise

    config = _config(context, typed, sends=False, reads=False)
    summary = report_command(config, typed["run"], mask=typed["mask"], delivered=typed["delivered"])
    click.echo(as_json(summary) if typed["as_json"] else rendered(summary))


@group.command(
    cls=Sectioned, epilog="Example: ingest verify 20260102-030405-6a7b --errors errors/2026/01/02"
)
@together(VERIFYING, CONFIG, PLACES, JSON)
@click.pass_context
def verify(context: click.Context, /, **typed: Any) -> None:
    """Find what RUN delivered and Blueshift did not process.

    The API answers 200 before it processes. What fails later it exports to S3, in
    <site>/events/errors/<year>/<month>/<day>: fetch that, and --errors finds the line of each.
    --history says what was processed of a sample; what it does not show may be older.
    """
    from ingest.cli.settings import effective  # noqa: PLC0415 - see the module's docstring
    from ingest.cli.verified import as_text  # noqa: PLC0415 - likewise
    from ingest.config import key_of  # noqa: PLC0415 - likewise
    from ingest.pipeline.verify import verify_command  # noqa: PLC0415 - likewise

    settings = effective(context, typed, reads=False).settings
    summary = verify_command(
        _config(context, typed, sends=False, reads=False),
        typed["run"],
        errors=typed["errors"],
        history=typed["history"],
        key=lambda: key_of(settings, os.environ),
    )
    _print(summary, as_text, typed)


@group.command(cls=Sectioned, epilog="Example: ingest status events.csv --audit")
@click.argument("which", required=False, metavar="[RUN or SOURCE]")
@together(AUDIT, STATE, JSON)
def status(which: str | None, *, audit: bool, state: str | None, as_json: bool) -> None:
    """Show loads and runs, and what is left.

    The newest first; why a run stopped stands behind it. With --audit everything is recounted
    from the ledger, the reports and the sources: exit 0 when all agrees, 5 when not.
    """
    from ingest.cli.status import recount, show  # noqa: PLC0415 - see the module's docstring

    if not audit:
        click.echo(show(which, state=state, as_json=as_json))
        return
    text, agrees = recount(which, state=state, as_json=as_json)
    click.echo(text)
    raise click.exceptions.Exit(0 if agrees else _DISAGREES)


@group.command(cls=Sectioned, epilog="Example: ingest why events.csv --line 17")
@click.argument("source", required=False, metavar="[SOURCE]")
@together(RECORD, STATE, JSON)
def why(source: str | None, **typed: Any) -> None:
    """Show the whole history of one record.

    Where it is, how it was judged, each attempt to send it, and how it ended. SOURCE may be left
    out with --uuid: all loads are searched then.
    """
    from ingest.cli.why import show  # noqa: PLC0415 - see the module's docstring

    click.echo(show(source, **typed))


@group.command(cls=Sectioned, epilog="Example: ingest doctor --config nightly.toml --job shop")
@together(
    INPUTS,
    READING,
    MAPPING,
    RULES,
    FIRST,
    DESTINATION,
    SENDING,
    AFTER_LOSS,
    PLAN,
    PLACES,
    OUTPUT,
)
@click.pass_context
def doctor(context: click.Context, /, **typed: Any) -> None:
    """Show settings, where they come from, and health.

    Sends nothing.
    """
    from ingest.cli.doctor import as_json, as_text, examine  # noqa: PLC0415 - see the docstring

    found = examine(context, typed)
    click.echo(as_json(found) if typed["as_json"] else as_text(found))


@group.command(cls=Sectioned, epilog="Example: ingest sandbox --port 8080 --fault 503:5%")
@click.option(
    "--port",
    type=click.IntRange(0, 65_535),
    default=8080,
    show_default=True,
    help="Port on 127.0.0.1; 0: any free one.",
)
@click.option(
    "--store",
    metavar="FILE",
    help="Where what arrives is kept (SQLite).  [default: a new temporary file]",
)
@click.option("--key", metavar="KEY", help="The only API key that is taken; any without.")
@click.option(
    "--rate",
    type=click.FloatRange(min=0),
    default=5.0,
    show_default=True,
    help="Calls a second; above it 429. 0: no limit.",
)
@click.option(
    "--fault",
    "faults",
    multiple=True,
    metavar="SPEC",
    help="A fault to make, such as 503:5%; may be repeated.",
)
@click.option(
    "--seed",
    type=int,
    default=0,
    show_default=True,
    help="Makes the faults fall the same way again.",
)
@click.option(
    "--identity",
    type=click.Choice(["strict", "page"]),
    default="strict",
    show_default=True,
    help="strict: every event needs a person; page: an event name alone will do.",
)
def sandbox(**typed: Any) -> None:
    """Run a stand-in of the API on this machine."""
    from pathlib import Path  # noqa: PLC0415 - see the module's docstring

    from ingest.sandbox import SandboxError, SandboxOptions, run_forever  # noqa: PLC0415 - likewise

    store = Path(typed.pop("store")) if typed["store"] else typed.pop("store")
    try:
        run_forever(SandboxOptions(store=store, **typed), announce=_announce)
    except SandboxError as error:
        raise UsageError(error.message, hint=error.hint, code="sandbox_failed") from error


def _announce(url: str) -> None:
    click.echo(url)
    click.echo(f"try it: INGEST_API_KEY=any-key ingest run FILE --url {url}", err=True)


def _config(
    context: click.Context, typed: dict[str, Any], *, sends: bool, reads: bool = True
) -> Any:
    from ingest.cli.settings import effective  # noqa: PLC0415 - see the module's docstring
    from ingest.config import resolve  # noqa: PLC0415 - likewise

    settings = effective(context, typed, reads=reads).settings
    config = resolve(settings, environ=os.environ, sends=sends)
    voice: Voice = context.obj or voice_of(())
    voice.form, voice.job = config.log_format, typed.get("job") or ""
    if config.metrics_file is not None:
        from ingest.edges.metrics import prove_metrics  # noqa: PLC0415 - only where it is asked for

        prove_metrics(config.metrics_file)
        voice.metrics_file = config.metrics_file
    return config


def _conclude(summary: dict[str, Any], typed: dict[str, Any], *, sends: bool) -> None:
    from ingest.cli.render import as_text  # noqa: PLC0415 - see the module's docstring

    _print(summary, lambda told: as_text(told, sends=sends), typed)


def _print(
    summary: dict[str, Any], as_text: Callable[[dict[str, Any]], str], typed: dict[str, Any]
) -> None:
    from ingest.cli.render import as_json  # noqa: PLC0415 - see the module's docstring

    try:
        click.echo(as_json(summary) if typed["as_json"] else as_text(summary))
    except BrokenPipeError:  # whoever read went away; the run ended as it ended
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    voice: Voice = click.get_current_context().obj or voice_of(())
    if summary["error"]["code"] and not typed["as_json"]:
        voice.error(**summary["error"])
    voice.measured(summary)
    raise click.exceptions.Exit(summary["exit_code"])


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and exit."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # closed by whoever started us
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: PTH123, SIM115 - as long as we live
    typed = sys.argv[1:] if arguments is None else arguments
    sys.exit(_run(typed))


def _run(arguments: list[str]) -> int:
    voice = voice_of(arguments)
    try:
        code = group.main(arguments, prog_name="ingest", standalone_mode=False, obj=voice)
    except click.exceptions.Exit as ended:
        code = ended.exit_code
    except click.ClickException as error:
        code = _refuse(error, voice)
    except IngestError as error:
        code = _fail(error, voice)
    except (click.Abort, KeyboardInterrupt):
        # A run that sends has its own way to end; here nothing was sent.
        voice.error("stopped; nothing was sent")
        code = _INTERRUPTED
    except (BrokenPipeError, SystemExit) as ended:
        if isinstance(ended, SystemExit) and _COMPLETE in os.environ:
            return int(ended.code or 0)  # the shell asked for completions, and has them
        # Whoever read our output went away (click turns that into an exit of its own); what was
        # recorded is recorded.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = _BROKEN_PIPE
    except Exception as error:  # noqa: BLE001 - the outermost frame: a bug here, with its trace
        voice.trace()
        code = _fail(BugError(f"{type(error).__name__}: a bug in ingest", code="bug"), voice)
    return code if isinstance(code, int) else 0


def _refuse(error: click.ClickException, voice: Voice) -> int:
    context = getattr(error, "ctx", None)
    hint = f"{context.command_path} --help" if context else "ingest --help"
    return _fail(UsageError(error.format_message(), hint=hint, code="usage"), voice)


def _fail(error: IngestError, voice: Voice) -> int:
    if voice.as_json or voice.metrics_file is not None:
        from ingest.cli.render import as_json as render  # noqa: PLC0415 - see the module's docstring
        from ingest.pipeline.summary import failure_summary  # noqa: PLC0415 - likewise

        run = {"run_id": None, "started_at": None, "duration_s": 0.0}
        summary = failure_summary(error, run=run)
        if voice.as_json:
            click.echo(render(summary))
        voice.measured(summary)
    voice.error(error.message, hint=error.hint, code=error.code)
    return error.exit_code
