"""`ingest status`: what the ledger knows of loads and runs."""

import json
from pathlib import Path
from typing import Any

import platformdirs

from ingest.core.figures import counted
from ingest.core.guard import printable
from ingest.core.load import Load
from ingest.edges.store import LEDGER, RunRow, Store
from ingest.errors import UsageError
from ingest.pipeline.summary import SourceResult

_RUNS_SHOWN = 10
_LOADS_SHOWN = 20
_REPEATS_SHOWN = 10


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


def recount(which: str | None, *, state: str | None, as_json: bool) -> tuple[str, bool]:
    """Recount all loads, those of a run, or those of a source; give the text and whether all agrees.

    Raises:
        UsageError: There is no such run or source.
        LockedError: A run works on one of them.
    """
    # It needs what reads sources; `status` alone answers at once.
    from ingest.pipeline.audit import audit_command  # noqa: PLC0415

    home = platformdirs.user_state_path("ingest")
    directory = Path(state) if state else home
    if not (directory / LEDGER).exists():
        raise UsageError(
            f"nothing was sent yet: there is no ledger in {directory}",
            hint="--state DIR, as the run had it",
            code="no_ledger",
        )
    with Store(directory) as store:
        loads = store.loads() if which is None else _chosen(store, which)[1]
        body = audit_command(store, loads, shared=home / "shared")
    return json.dumps(body) if as_json else _audited(body), bool(body["agrees"])


def _audited(body: dict[str, Any]) -> str:
    lines = []
    for load in body["loads"]:
        name = f" as {load['name']}" if load["name"] else ""
        state = "disagrees" if load["disagreements"] else "agrees"
        lines.append(f"{load['path']}{name} -> {load['origin']} ({load['account']}): {state}")
        if load["records"] is not None:
            lines.append(f"  {_ends(load['records'])}; {load['of_which']['in_doubt']:,} in doubt")
        if load["recounted"] is not None:
            again = load["recounted"]
            lines.append(
                f"  source: {load['source']}; framed again: {counted(again['records'], 'record')}"
                f" in {counted(again['bytes'], 'byte')}"
            )
        lines += _repeated(load["repeated"])
        lines += [f"  note: {printable(line)}" for line in load["notes"]]
        lines += [f"  DISAGREES: {printable(line)}" for line in load["disagreements"]]
    count = len(body["disagreements"])
    lines.append(counted(count, "disagreement") if count else "all agrees")
    return "\n".join(lines)


def _repeated(found: dict[str, Any] | None) -> list[str]:
    if found is None or not found["event_uuids"]:
        return []
    lines = [
        f"  {counted(found['event_uuids'], 'event_uuid')} repeated, on {found['records']:,} records:"
    ]
    for each in found["listed"][:_REPEATS_SHOWN]:
        records = ", ".join(f"{record:,}" for record in each["records"])
        more = ", ..." if each["times"] > len(each["records"]) else ""
        lines.append(f"    {printable(each['event_uuid'], most=80)}: records {records}{more}")
    if found["event_uuids"] > _REPEATS_SHOWN:
        lines.append("    ... (--json: the first 1,000)")
    return lines


def _ends(records: dict[str, int]) -> str:
    return (
        f"{records['read']:,} read = {records['delivered']:,} delivered"
        f" + {records['rejected']:,} rejected + {records['refused']:,} refused"
        f" + {records['unsent']:,} not sent"
    )


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
    return runs, store.loads_of(which)


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
        lines.append(f"  {_ends(records)}; {marks['in_doubt']:,} in doubt")
        if left := load["bytes"] - load["bytes_done"]:
            lines.append(f"  {left:,} of {load['bytes']:,} bytes not read yet")
    lines.append("runs:")
    lines += [
        f"  {run['run_id']}  {run['status']} ({run['exit_code']})  {run['reason'] or ''}".rstrip()
        for run in body["runs"]
    ]
    return "\n".join(lines)
