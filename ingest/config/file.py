"""The configuration file: TOML, validated strictly, every mistake named with a hint.

account = "shop"                      # any setting of the command line, by its name
rate = 5

[rules]                               # severities: error, warning, off
timestamp_old = "off"

[jobs.nightly]                        # settings of one job, over those of the file
report_dir = "/var/lib/ingest/reports"

[[jobs.nightly.sources]]              # each with its own mapping
paths = ["/data/shop/purchases-*.csv"]
set = { event = "purchase" }
map = { customer_id = "user_id" }
timestamp = "created_at"
"""

import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Final

from ingest.errors import UsageError

MAPPING: Final = {
    "map": "maps",
    "set": "sets",
    "only": "only",
    "drop": "drop",
    "type": "types",
    "timestamp": "timestamp",
    "timestamp_format": "timestamp_format",
    "timezone": "timezone",
    "no_timestamp": "no_timestamp",
    "null": "nulls",
    "flatten": "flatten",
    "uuid_from": "uuid_from",
}
"""Settings that say what of a source is sent: as written in the file, and as named inside."""

READING: Final = {
    "delimiter": "delimiter",
    "quote": "quote",
    "no_header": "no_header",
    "columns": "columns",
    "encoding": "encoding",
    "max_record_bytes": "max_record_bytes",
}
"""Settings that say how a source is read."""

GENERAL: Final = {
    "identity": "identity",
    "identity_key": "identity_keys",
    "strict": "strict",
    "max_rejects": "max_rejects",
    "check_first": "check_first",
    "sandbox": "sandbox",
    "region": "region",
    "url": "url",
    "endpoint": "endpoint",
    "account": "account",
    "api_key_file": "api_key_file",
    "concurrency": "concurrency",
    "retry_budget": "retry_budget",
    "rate": "rate",
    "batch_size": "batch_size",
    "state": "state",
    "report_dir": "report_dir",
    "finish_by": "finish_by",
    "rejects_ok": "rejects_ok",
    "rejects_ok_under": "rejects_ok_under",
    "growing": "growing",
    "on_doubt": "on_doubt",
    "skip_bad_files": "skip_bad_files",
    "schema": "schemas",
    "quiet": "quiet",
    "log_format": "log_format",
    "metrics_file": "metrics_file",
}
"""Settings of a run as a whole."""

_ALL: Final = {**MAPPING, **READING, **GENERAL}
_SOURCE: Final = {*MAPPING, *READING, "paths", "schema", "as"}
_SEVERITIES: Final = ("error", "warning", "off")
_TABLES: Final = {"map", "set", "type"}
_LISTS: Final = {
    "columns",
    "only",
    "drop",
    "null",
    "flatten",
    "uuid_from",
    "identity_key",
    "schema",
}
_FLAGS: Final = {
    "check_first",
    "strict",
    "sandbox",
    "no_timestamp",
    "no_header",
    "rejects_ok",
    "growing",
    "skip_bad_files",
    "quiet",
}
_NUMBERS: Final = {"max_record_bytes", "rate", "retry_budget", "batch_size"}
_MOST_BYTES: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class SourceEntry:
    """One entry of a job's sources.

    Args:
        paths: Files, directories and patterns.
        settings: Its own mapping, by the names inside.
    """

    paths: tuple[str, ...]
    settings: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ConfigFile:
    """A configuration as written, checked.

    Args:
        path: Where it stands.
        settings: By the names inside; those of the job over those of the file.
        rules: Severities by code.
        sources: Of the job; empty without one.
    """

    path: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    rules: Mapping[str, str] = field(default_factory=dict)
    sources: tuple[SourceEntry, ...] = ()


def read_config(path: str, *, job: str | None) -> ConfigFile:
    """Read a configuration, and one of its jobs.

    Raises:
        UsageError: It cannot be read, a key or a value is wrong, or there is no such job.
    """
    document = _document(path)
    jobs = _table(document.pop("jobs", {}), path, "jobs")
    rules = _rules(_table(document.pop("rules", {}), path, "rules"), path)
    settings = _settings(document, path, "", _ALL)
    checked = {
        name: _job(_table(body, path, f"jobs.{name}"), path, name) for name, body in jobs.items()
    }
    if job is None:
        return ConfigFile(path, settings, rules)
    if job not in checked:
        raise UsageError(
            f"{path} has no job {job!r}",
            hint=_near(job, list(checked)) or "it has: " + (", ".join(checked) or "no job at all"),
            code="job_unknown",
        )
    own = checked[job]
    return ConfigFile(path, {**settings, **own.settings}, {**rules, **own.rules}, own.sources)


def _document(path: str) -> dict[str, Any]:
    try:
        with Path(path).open("rb") as file:
            content = file.read(_MOST_BYTES + 1)
        if len(content) > _MOST_BYTES:
            raise _wrong(path, "it is too long for a configuration", "")
        return tomllib.loads(content.decode("utf-8"))
    except OSError as error:
        raise UsageError(
            f"cannot read the configuration {path}: {error.strerror}",
            hint="--config names a TOML file",
            code="config_unreadable",
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise _wrong(path, f"it is not TOML: {error}", "") from error


def _job(body: dict[str, Any], path: str, name: str) -> ConfigFile:
    where = f"jobs.{name}"
    entries = body.pop("sources", None)
    rules = _rules(_table(body.pop("rules", {}), path, f"{where}.rules"), path)
    if not isinstance(entries, list) or not entries:
        raise _wrong(path, f"{where} has no sources", f'sources = ["/data/*.csv"] under [{where}]')
    return ConfigFile(
        path,
        _settings(body, path, where, _ALL),
        rules,
        tuple(_entries(entries, path, f"{where}.sources")),
    )


def _entries(entries: Sequence[Any], path: str, where: str) -> Iterator[SourceEntry]:
    for number, entry in enumerate(entries, start=1):
        if isinstance(entry, str):
            yield SourceEntry((entry,))
            continue
        place = f"{where}[{number}]"
        body = _table(entry, path, place)
        _known(body, path, place, _SOURCE)
        paths = body.pop("paths", None)
        name = body.pop("as", "")
        if not _texts(paths) or not isinstance(name, str):
            raise _wrong(path, f"{place} has no paths", 'paths = ["/data/*.csv"]')
        names = {**MAPPING, **READING, "schema": "schemas"}
        settings = _settings(body, path, place, names)
        yield SourceEntry(tuple(paths), {**settings, **({"name": name} if name else {})})


def _settings(
    body: Mapping[str, Any], path: str, where: str, names: Mapping[str, str]
) -> dict[str, Any]:
    _known(body, path, where, names)
    return {names[key]: _value(key, value, path, where) for key, value in body.items()}


def _known(body: Mapping[str, Any], path: str, where: str, names: Sequence[str] | Any) -> None:
    for key in body:
        if key not in names:
            place = f"[{where}] " if where else ""
            hint = _near(key, list(names)) or f"known are: {', '.join(sorted(names))}"
            raise _wrong(path, f"{place}has an unknown setting {key!r}", hint)


def _value(key: str, value: Any, path: str, where: str) -> Any:
    place = f"{where}.{key}" if where else key
    if key in _TABLES:
        table = _table(value, path, place)
        if not all(isinstance(text, str) for text in table.values()):
            raise _wrong(
                path, f"{place}: every value must be a text", f'{key} = {{ name = "text" }}'
            )
        return tuple(f"{name}={text}" for name, text in table.items())
    if key in _LISTS:
        if not _texts(value):
            raise _wrong(path, f"{place} must be a list of texts", f'{key} = ["text"]')
        return tuple(value)
    if key in _FLAGS:
        return _of_type(value, bool, path, f"{place} must be true or false")
    if key in _NUMBERS:
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise _wrong(path, f"{place} must be a number", f"{key} = 5")
        return value
    if key in {"concurrency", "max_rejects"} and isinstance(value, int):
        return str(value)
    return _of_type(value, str, path, f"{place} must be a text")


def _of_type(value: Any, kind: type, path: str, message: str) -> Any:
    if not isinstance(value, kind):
        raise _wrong(path, message, "")
    return value


def _texts(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(one, str) for one in value)


def _table(value: Any, path: str, where: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise _wrong(path, f"{where} must be a table", f"[{where}]")
    return dict(value)


def _rules(body: Mapping[str, Any], path: str) -> dict[str, str]:
    for code, severity in body.items():
        if severity not in _SEVERITIES:
            raise _wrong(
                path,
                f"[rules] {code} must be one of {', '.join(_SEVERITIES)}",
                _near(str(severity), _SEVERITIES),
            )
    return dict(body)


def _near(name: str, known: Sequence[str]) -> str:
    found = get_close_matches(name, known, n=1)
    return f"did you mean {found[0]!r}?" if found else ""


def _wrong(path: str, what: str, hint: str) -> UsageError:
    return UsageError(f"{path}: {what}", hint=hint, code="config_invalid")
