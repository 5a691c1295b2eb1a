"""`ingest status`: what the ledger knows of loads and runs."""

import json
from pathlib import Path
from typing import Any

import platformdirs

from ingest.core.load import Load
from ingest.edges.store import LEDGER, RunRow, Store
from ingest.errors import UsageError
from ingest.pipeline.summary import SourceResult

_RUNS_SHOWN = 10
_LOADS_SHOWN = 20


def show(which: str | None, *, state: str | None, as_json: bool) -> str:
    """Give what is known of all loads, of a run, or of a source.

    Raises:
        UsageError: There is no such run or source.
    """
    directory = Path(state) if state else platformdirs.user_state_path("ingest")
    if not (directory / LEDGER).exists():
        return "{}" if as_json else f"nothing was sent yet (no ledger in {directory})"
    with Store(directory) as store:
        body = _body(store, which)
    return json.dumps(body) if as_json else _text(body)


def _body(store: Store, which: str | None) -> dict[str, Any]:
    runs = store.runs()
    loads = store.loads()
    if which is not None:
        runs, loads = _chosen(store, which)
    return {
        "loads": [_load(store, load) for load in loads[::-1]],
        "runs": [_run(run) for run in runs[:_RUNS_SHOWN]],
    }


def _chosen(store: Store, which: str) -> tuple[list[RunRow], list[Load]]:
    path = str(Path(which).resolve())
    loads = [load for load in store.loads() if load.path == path]
    if loads:
        return [run for load in loads for run in store.runs(load)], loads
    runs = [run for run in store.runs() if run.run_id == which]
    if not runs:
        raise UsageError(
            f"there is no run {which} and no load of a file {which}",
            hint="ingest status shows them all",
            code="unknown_run",
        )
    paths = {source["path"] for source in runs[0].summary["sources"]}
    return runs, [load for load in store.loads() if load.path in paths]


def _load(store: Store, load: Load) -> dict[str, Any]:
    result = SourceResult(load, tuple(store.chunks(load)))
    return {
        "account": load.destination.account,
        "origin": load.destination.origin,
        "name": load.name,
        "run_id": load.run_id,
        "reports_directory": load.reports,
        **result.body(),
    }


def _run(run: RunRow) -> dict[str, Any]:
    return {
        "run_id": run.run_id,
        "started_at": run.started_at,
        "finished_at": run.finished_at,
        "status": run.status,
        "exit_code": run.exit_code,
        "reason": run.summary["reason"],
    }


def _text(body: dict[str, Any]) -> str:
    lines = []
    if len(body["loads"]) > _LOADS_SHOWN:
        lines.append(f"the last {_LOADS_SHOWN} of {len(body['loads']):,} loads (--json: all):")
    for load in body["loads"][:_LOADS_SHOWN]:
        records, marks = load["records"], load["of_which"]
        state = "complete" if load["complete"] else "not complete"
        name = f" as {load['name']}" if load["name"] else ""
        path = "standard input" if "/spool/stdin-" in load["path"] else load["path"]
        lines.append(f"{path}{name} -> {load['origin']} ({load['account']}): {state}")
        lines.append(
            f"  {records['read']:,} read = {records['delivered']:,} delivered"
            f" + {records['rejected']:,} rejected + {records['refused']:,} refused"
            f" + {records['unsent']:,} not sent; {marks['in_doubt']:,} in doubt"
        )
        if left := load["bytes"] - load["bytes_done"]:
            lines.append(f"  {left:,} of {load['bytes']:,} bytes not read yet")
    lines.append("runs:")
    lines += [
        f"  {run['run_id']}  {run['status']} ({run['exit_code']})  {run['reason'] or ''}".rstrip()
        for run in body["runs"]
    ]
    return "\n".join(lines)
