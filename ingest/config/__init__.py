"""What was typed -> what was resolved, once; nothing behind it sees a flag."""

import os
import re
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

import platformdirs

from ingest.config.reading import Reading
from ingest.core.address import Address, Endpoint, Region, address_of, authorization_of
from ingest.core.batching import MAX_EVENTS
from ingest.core.gates import Allowance
from ingest.core.load import Destination
from ingest.core.logline import LogFormat
from ingest.core.planning import MappingFlags
from ingest.errors import UsageError

SANDBOX_ORIGIN = "sandbox"
SANDBOX_RATE = 100.0
DEFAULT_ACCOUNT = "default"
DEFAULT_RATE = 5.0
"""Calls a second (contract: endpoints; the rate that is advised for the bulk endpoint)."""
_PRIVATE = stat.S_IRWXG | stat.S_IRWXO


def flags_for(destination: Destination) -> str:
    """Give the flags that name a destination, each with a blank before it; none for the default."""
    own = SANDBOX_ORIGIN if destination.origin == SANDBOX_ORIGIN else DEFAULT_ACCOUNT
    account = "" if destination.account == own else f" --account {destination.account}"
    if destination.origin == SANDBOX_ORIGIN:
        return f" --sandbox{account}"
    regions = {Region(name).origin: name for name in ("us", "eu")}
    region = regions.get(destination.origin)
    if region == "us":
        return account
    return f" --region {region}{account}" if region else f" --url {destination.origin}{account}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Input:
    """Sources that are read in one way.

    Args:
        paths: Files, directories, patterns, and `-` for standard input, as typed.
        mapping: The flags that decide what of a record is sent.
        reading: How records and cells are found.
        schemas: Schema files over those that come with the package.
        name: Makes loads of their own of the same bytes; empty without.
        listed: A file that lists further paths; None without.
    """

    paths: tuple[str, ...] = ()
    mapping: MappingFlags = field(default_factory=MappingFlags)
    reading: Reading = field(default_factory=Reading)
    schemas: tuple[Path, ...] = ()
    name: str = ""
    listed: str | None = None


@dataclass(frozen=True, slots=True)
class FinishBy:
    """A time of day, local: the next one is meant."""

    hour: int
    minute: int

    def after(self, now: datetime) -> datetime:
        """Give the next such moment after `now`, by the clock of the local zone.

        Where the clocks skip it, it comes before the change; where it comes twice, the first counts.
        """
        local = now.astimezone().replace(tzinfo=None)
        today = local.replace(hour=self.hour, minute=self.minute, second=0, microsecond=0, fold=0)
        # Of a time without a zone, astimezone asks the system for the offset of that very day.
        moment = today.astimezone()
        return moment if moment > now else (today + timedelta(days=1)).astimezone()

    def __str__(self) -> str:
        return f"{self.hour:02}:{self.minute:02}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What was typed, or stood in the environment: texts and numbers as they came."""

    inputs: tuple["Input", ...] = ()
    rules: Mapping[str, str] = field(default_factory=dict)
    identity: str = "strict"
    identity_keys: tuple[str, ...] = ()
    strict: bool = False
    sandbox: bool = False
    region: str | None = None
    url: str | None = None
    endpoint: str = "bulk"
    account: str | None = None
    api_key_file: str | None = None
    rekey: bool = False
    rate: float | None = None
    concurrency: str = "auto"
    batch_size: int = MAX_EVENTS
    retry_budget: float = 600.0
    limit: int | None = None
    rejudge: bool = False
    growing: bool = False
    on_doubt: str = "send"
    adopt: str | None = None
    skip_bad_files: bool = False
    resume: str | None = None
    max_rejects: str | None = None
    check_first: bool = False
    state: str | None = None
    report_dir: str = "ingest-reports"
    finish_by: str | None = None
    rejects_ok: bool = False
    rejects_ok_under: str | None = None
    json: bool = False
    quiet: bool = False
    log_format: str = "auto"
    metrics_file: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunConfig:
    """What a run does.

    Args:
        inputs: What is read, and how.
        rules: Severities by code, over those of the schemas.
        identity: `strict`, or `page` for the literal reading of the documentation.
        identity_keys: Further fields that name a person.
        strict: Warnings that can be errors are errors.
        destination: Where state belongs to.
        address: Where requests go; None for the sandbox, whose port is not known yet.
        endpoint: Bulk, or one event a request.
        key: The API key; None where nothing is sent.
        rekey: A new key of the same account is welcome.
        rate: Calls a second; None for no limit.
        concurrency: Requests under way at once; None: found while sending.
        batch_size: Events in a request.
        retry_budget_s: Seconds for which one batch is tried again.
        limit: At most this many records of each source; None: all.
        rejudge: Judge rejected and refused records again.
        growing: A last line without its end is left for the next run.
        hold_doubt: What an earlier run left in doubt is held instead of sent again.
        adopt: A receipt from which sources that the ledger does not know are taken up.
        skip_bad_files: A source that cannot be read is reported, and the others go on.
        resume: A run whose loads are to go on, in place of sources; None without.
        allowance: How many may be rejected or refused.
        check_first: All is judged before anything is sent.
        state: The ledger's directory.
        shared: What all runs of this user share: locks and the limits of accounts.
        report_dir: Where reports go.
        finish_by: When to stop; None: when all is done.
        rejects_ok: The share of rejected and refused records up to which the exit code is 0.
        quiet: No progress.
        log_format: How messages are written.
        metrics_file: Where metrics for Prometheus go; None: nowhere.
    """

    inputs: tuple[Input, ...]
    rules: Mapping[str, str]
    identity: str
    identity_keys: tuple[str, ...]
    strict: bool
    destination: Destination
    address: Address | None
    endpoint: Endpoint
    key: str | None = field(repr=False)
    rekey: bool
    rate: float | None
    concurrency: int | None
    batch_size: int
    retry_budget_s: float
    limit: int | None
    rejudge: bool
    growing: bool
    hold_doubt: bool
    adopt: Path | None
    skip_bad_files: bool
    resume: str | None
    allowance: Allowance
    check_first: bool
    state: Path
    shared: Path
    report_dir: Path
    finish_by: FinishBy | None
    rejects_ok: float | None
    quiet: bool
    log_format: LogFormat
    metrics_file: str | None

    @property
    def sandbox(self) -> bool:
        """Whether the embedded sandbox takes the events."""
        return self.destination.origin == SANDBOX_ORIGIN


def resolve(settings: Settings, *, environ: Mapping[str, str], sends: bool) -> RunConfig:
    """Resolve what was typed.

    Args:
        settings: As typed.
        environ: The environment, for the key.
        sends: Whether the command sends: only then a key is needed.

    Raises:
        UsageError: A setting does not fit; the message names the flag.
    """
    _alone(settings)
    address = None if settings.sandbox else _address(settings)
    origin = address.origin if address else SANDBOX_ORIGIN
    account = settings.account or (SANDBOX_ORIGIN if settings.sandbox else DEFAULT_ACCOUNT)
    endpoint = Endpoint(settings.endpoint)
    home = platformdirs.user_state_path("ingest")
    return RunConfig(
        inputs=settings.inputs,
        rules=settings.rules,
        identity=settings.identity,
        identity_keys=settings.identity_keys,
        strict=settings.strict,
        destination=Destination(origin=origin, account=_account(account)),
        address=address,
        endpoint=endpoint,
        key=_checked(_key(settings, environ)) if sends else None,
        rekey=settings.rekey,
        rate=_rate(settings),
        concurrency=_concurrency(settings.concurrency),
        batch_size=_batch_size(settings.batch_size, endpoint),
        retry_budget_s=settings.retry_budget,
        limit=settings.limit,
        rejudge=settings.rejudge,
        growing=settings.growing,
        hold_doubt=settings.on_doubt == "hold",
        adopt=Path(settings.adopt) if settings.adopt else None,
        skip_bad_files=settings.skip_bad_files,
        resume=settings.resume,
        allowance=allowance_of(settings.max_rejects),
        check_first=settings.check_first,
        state=Path(settings.state) if settings.state else home,
        shared=home / "shared",
        report_dir=Path(settings.report_dir),
        finish_by=_finish_by(settings.finish_by),
        rejects_ok=_rejects_ok(settings),
        quiet=settings.quiet,
        log_format=LogFormat(settings.log_format),
        metrics_file=settings.metrics_file,
    )


def _alone(settings: Settings) -> None:
    other = "--url" if settings.url else "--region" if settings.region else None
    if settings.sandbox and other:
        raise UsageError(
            f"--sandbox and {other} both say where to send",
            hint="leave one out",
            code="address_twice",
        )


def _address(settings: Settings) -> Address:
    if settings.url and settings.region:
        raise UsageError(
            "--url and --region both name the API", hint="leave one out", code="address_twice"
        )
    if settings.url:
        return address_of(settings.url)
    return address_of(Region(settings.region or "us").origin)


def _account(name: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", name):
        raise UsageError(
            "--account takes up to 64 letters, digits, dots, hyphens and underscores",
            hint="--account my-shop",
            code="account_invalid",
        )
    return name


def _key(settings: Settings, environ: Mapping[str, str]) -> str:
    if settings.sandbox:
        return "sandbox"
    if settings.api_key_file:
        return _key_of_file(settings.api_key_file)
    key = environ.get("INGEST_API_KEY", "")
    if not key:
        raise UsageError(
            "no API key is set",
            hint=(
                "export INGEST_API_KEY=... (Blueshift: Account settings, API keys, Event API key),"
                " or try without one: add --sandbox"
            ),
            code="key_missing",
        )
    return key


def key_of(settings: Settings, environ: Mapping[str, str]) -> str:
    """Give the API key of a command that may not need one.

    Raises:
        UsageError: There is none, or it cannot be one.
    """
    return _checked(_key(settings, environ))


def _checked(key: str) -> str:
    authorization_of(key)  # refuses what could not stand in a header
    return key


def _key_of_file(path: str) -> str:
    try:
        with open(path, encoding="ascii", errors="strict") as file:  # noqa: PTH123 - fstat of what is open
            mode = os.fstat(file.fileno()).st_mode
            if mode & _PRIVATE:
                raise UsageError(
                    f"the key file {path} can be read by others",
                    hint=f"chmod 600 {path}",
                    code="key_file_open",
                )
            return file.read(4096).strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not plain ASCII"
        raise UsageError(
            f"cannot read the key file {path}: {reason}",
            hint="--api-key-file names a file with nothing but the key in it",
            code="key_file_unreadable",
        ) from error


def _rate(settings: Settings) -> float | None:
    if settings.rate is None:
        return SANDBOX_RATE if settings.sandbox else DEFAULT_RATE
    return settings.rate or None


def _concurrency(text: str) -> int | None:
    if text == "auto":
        return None
    if text.isdecimal() and 1 <= int(text) <= 1_000:  # noqa: PLR2004 - the bound stands in the message
        return int(text)
    raise UsageError(
        f"--concurrency takes auto or a number from 1 to 1000, not {text!r}",
        hint="--concurrency auto",
        code="concurrency_invalid",
    )


def _batch_size(size: int, endpoint: Endpoint) -> int:
    return 1 if endpoint is Endpoint.EVENT else size


def _finish_by(text: str | None) -> FinishBy | None:
    if text is None:
        return None
    match = re.fullmatch(r"([01]?[0-9]|2[0-3]):([0-5][0-9])", text.strip())
    if match is None:
        raise UsageError(
            f"--finish-by takes a time of day, not {text!r}",
            hint="--finish-by 06:00 (the next six o'clock, local time)",
            code="finish_by_invalid",
        )
    return FinishBy(int(match[1]), int(match[2]))


def _rejects_ok(settings: Settings) -> float | None:
    if settings.rejects_ok or settings.rejects_ok_under is None:
        return 1.0 if settings.rejects_ok else None
    match = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)%", settings.rejects_ok_under.strip())
    if match is None or float(match[1]) > 100:  # noqa: PLR2004 - per cent
        raise UsageError(
            f"--rejects-ok-under takes a percentage, not {settings.rejects_ok_under!r}",
            hint="--rejects-ok-under 0.5%",
            code="rejects_ok_under_invalid",
        )
    return float(match[1]) / 100


def allowance_of(text: str | None) -> Allowance:
    """Read `--max-rejects`: `100`, or `2.5%`.

    Raises:
        UsageError: Neither.
    """
    if text is None:
        return Allowance()
    match = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)(%?)", text.strip())
    if match and match[2] and float(match[1]) <= 100:  # noqa: PLR2004 - per cent
        return Allowance(share=float(match[1]) / 100)
    if match and not match[2] and match[1].isdecimal():
        return Allowance(count=int(match[1]))
    raise UsageError(
        f"--max-rejects takes a number or a percentage, not {text!r}",
        hint="--max-rejects 100 or --max-rejects 1%",
        code="max_rejects_invalid",
    )
