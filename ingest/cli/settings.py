"""Flag over environment over file over default: what holds, and where each value came from."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from ingest.config import Input, Settings
from ingest.config.file import ConfigFile, read_config
from ingest.config.reading import reading_of
from ingest.core.planning import MappingFlags
from ingest.errors import UsageError

_MAPPING = tuple(field.name for field in fields(MappingFlags))
_GIVEN = {ParameterSource.COMMANDLINE: "flag", ParameterSource.ENVIRONMENT: "environment"}


@dataclass(frozen=True, slots=True)
class Effective:
    """Settings as they hold.

    Args:
        settings: For `resolve`.
        origins: By setting: `flag`, `environment`, the configuration file, or `default`.
        values: By setting, those that belong to sources among them; a source of a job may have its
            own.
    """

    settings: Settings
    origins: Mapping[str, str]
    values: Mapping[str, Any]


def effective(context: click.Context, typed: Mapping[str, Any], *, reads: bool = True) -> Effective:
    """Merge what was typed with the configuration file.

    Args:
        context: Of the command.
        typed: Its parameters.
        reads: Whether the command needs something to read.

    Raises:
        UsageError: The file, or a value in it, does not hold; or there is nothing to read.
    """
    config = _config(typed)
    given = {name for name in typed if context.get_parameter_source(name) in _GIVEN}
    values, origins = dict(typed), {}
    for parameter in context.command.params:
        name = str(parameter.name)
        source = context.get_parameter_source(name)
        origins[name] = _GIVEN.get(source, "default") if source else "default"
        if name not in given and name in config.settings:
            values[name] = _cast(context, parameter, config.settings[name], config)
            origins[name] = config.path
    names = {field.name for field in fields(Settings)} - {"json", "inputs", "rules"}
    rest = {name: value for name, value in values.items() if name in names}
    inputs = tuple(_inputs(values, given, config, reads=reads))
    settings = Settings(
        **rest, json=bool(typed.get("as_json")), inputs=inputs, rules=dict(config.rules)
    )
    return Effective(settings, origins, values)


def _config(typed: Mapping[str, Any]) -> ConfigFile:
    path, job = typed.get("config"), typed.get("job")
    if path is None:
        if job is not None:
            raise UsageError(
                f"--job {job} needs the file that it is in",
                hint=f"--config FILE --job {job}, or set INGEST_CONFIG",
                code="config_missing",
            )
        return ConfigFile("")
    return read_config(path, job=job)


def _cast(
    context: click.Context, parameter: click.Parameter, value: Any, config: ConfigFile
) -> Any:
    try:
        return parameter.type_cast_value(context, value)
    except click.BadParameter as error:
        raise UsageError(
            f"{config.path}: {parameter.name}: {error.message}", code="config_invalid"
        ) from error


def _inputs(
    values: Mapping[str, Any], given: set[str], config: ConfigFile, *, reads: bool
) -> list[Input]:
    paths, listed = tuple(values.get("sources") or ()), values.get("files_from")
    if config.sources and not (paths or listed):
        return [
            _input(entry.paths, {**values, **_not(given, entry.settings)}, None)
            for entry in config.sources
        ]
    if reads and not (paths or listed):
        raise UsageError(
            "nothing to read was named",
            hint="ingest run events.csv, or --config FILE --job NAME",
            code="source_missing",
        )
    return [_input(paths, values, listed)]


def _not(given: set[str], settings: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in settings.items() if name not in given}


def _input(paths: tuple[str, ...], values: Mapping[str, Any], listed: str | None) -> Input:
    return Input(
        paths=paths,
        mapping=MappingFlags(**{name: values[name] for name in _MAPPING if name in values}),
        reading=reading_of(values),
        schemas=tuple(Path(path) for path in values.get("schemas") or ()),
        name=values.get("name") or "",
        listed=listed,
    )
