"""`ingest doctor`: the settings in effect and where each came from, and whether things are well."""

import json
import os
import platform
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from ingest import __version__
from ingest.cli.settings import Effective, effective
from ingest.config import RunConfig, resolve
from ingest.core.figures import size
from ingest.edges.client import proxy_for, tls_context
from ingest.edges.reach import reach
from ingest.edges.store import LEDGER, Store
from ingest.errors import IngestError

_NOT_SETTINGS = {"sources", "config", "job", "files_from", "as_json"}


def examine(context: click.Context, typed: Mapping[str, Any]) -> dict[str, Any]:
    """Look at everything and give what was found, JSON-able; sends nothing."""
    found = effective(context, typed, reads=False)
    config = resolve(found.settings, environ=os.environ, sends=False)
    return {
        "version": __version__,
        "python": platform.python_version(),
        "settings": _settings(context, typed, found),
        "destination": {
            "origin": config.destination.origin,
            "account": config.destination.account,
        },
        "key": _key(found, config),
        "reachable": _reachable(config),
        "state": _state(config.state),
        "disk": {str(place): _free(place) for place in (config.state, config.report_dir)},
    }


def _settings(
    context: click.Context, typed: Mapping[str, Any], found: Effective
) -> dict[str, dict[str, Any]]:
    values = {name: getattr(found.settings, name, found.values.get(name)) for name in typed}
    flags = {str(one.name): one.opts[0] for one in context.command.params if one.opts}
    return {
        flags[name].removeprefix("--").replace("-", "_"): {
            "value": _shown(value),
            "from": found.origins.get(name, "default"),
        }
        for name, value in sorted(values.items(), key=lambda item: flags[item[0]])
        if name not in _NOT_SETTINGS
    }


def _shown(value: Any) -> Any:
    return list(map(str, value)) if isinstance(value, tuple) else value


def _key(found: Effective, config: RunConfig) -> str:
    if config.sandbox:
        return "not needed"
    try:
        resolve(found.settings, environ=os.environ, sends=True)
    except IngestError as error:
        return f"no: {error.message}"
    return "*** (from a file)" if found.settings.api_key_file else "*** (INGEST_API_KEY)"


def _reachable(config: RunConfig) -> str:
    if config.address is None:
        return "the sandbox starts with the run"
    if proxy_for(config.address):
        return "not tried: a proxy of the environment is used"
    return reach(config.address, tls_context())


def _state(directory: Path) -> dict[str, Any]:
    if not (directory / LEDGER).exists():
        return {"directory": str(directory), "health": "no ledger yet"}
    try:
        with Store(directory) as store:
            facts = {"health": "good", "loads": len(store.loads()), "commits": store.commits}
    except IngestError as error:
        facts = {"health": error.message}
    return {"directory": str(directory), **facts}


def _free(place: Path) -> int | None:
    while not place.exists() and place != place.parent:
        place = place.absolute().parent
    try:
        return shutil.disk_usage(place).free
    except OSError:
        return None


def as_text(found: Mapping[str, Any]) -> str:
    """Give it for a person."""
    width = max(map(len, found["settings"]))
    lines = [f"ingest {found['version']} on Python {found['python']}", "settings:"]
    for name, fact in found["settings"].items():
        value = "-" if fact["value"] in (None, "", []) else fact["value"]
        lines.append(f"  {name:<{width}}  {value}  ({fact['from']})")
    destination, state = found["destination"], found["state"]
    lines += [
        f"destination: {destination['origin']}, account {destination['account']}",
        f"key: {found['key']}",
        f"reachable: {found['reachable']}",
        f"state: {state['directory']}: {state['health']}"
        + (f", {state['loads']:,} loads" if "loads" in state else ""),
    ]
    lines += [
        f"free disk: {size(free)} at {place}"
        for place, free in found["disk"].items()
        if free is not None
    ]
    return "\n".join(lines)


def as_json(found: Mapping[str, Any]) -> str:
    """Give it for a machine."""
    return json.dumps(found)
