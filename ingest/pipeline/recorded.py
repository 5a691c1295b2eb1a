"""Loads as they are recorded: what a command needs that is given a run, and no sources."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from itertools import product
from typing import Any, cast

from ingest.config import Input, RunConfig, flags_for
from ingest.core.guard import printable
from ingest.core.json_mapping import JsonMapping
from ingest.core.load import Load
from ingest.core.mapping import Mapping
from ingest.core.model import Dialect, Position
from ingest.edges.source import LocalFile
from ingest.edges.store import LEDGER, Store
from ingest.errors import MismatchError, UsageError
from ingest.pipeline.sources import Opened, RuleBook, RuleBooks, file_at, is_spooled


def opened_store(config: RunConfig) -> Store:
    """Open the ledger.

    Raises:
        UsageError: There is none.
    """
    if not (config.state / LEDGER).exists():
        raise UsageError(
            f"nothing was sent yet: there is no ledger in {config.state}",
            hint="--state DIR, as the run had it",
            code="no_ledger",
        )
    return Store(config.state)


def loads_of(store: Store, run_id: str, config: RunConfig) -> list[Load]:
    """Give the loads of a run at the destination of the flags.

    Raises:
        UsageError: There are none.
    """
    loads = store.loads_of(run_id) or [one for one in store.loads() if one.run_id == run_id]
    if not loads:
        raise UsageError(
            f"there is no run {printable(run_id)}",
            hint="ingest status shows the runs",
            code="unknown_run",
        )
    here = [load for load in loads if load.destination == config.destination]
    if not here:
        raise UsageError(
            f"run {printable(run_id)} has no load of {config.destination.origin},"
            f" account {config.destination.account}",
            hint=flags_of(loads[-1]),
            code="unknown_load",
        )
    return here


def flags_of(load: Load) -> str:
    """Give a hint with the flags of its destination."""
    flags = flags_for(load.destination)
    return f"it went to {load.destination.origin}: " + (
        f"add{flags}" if flags else "leave --sandbox, --url, --region and --account away"
    )


def book_of(config: RunConfig, load: Load) -> RuleBook:
    """Give the rules that a load was judged by.

    Raises:
        MismatchError: The flags of today make other rules.
    """
    identity: Any = load.config["identity"]
    then = replace(config, identity=identity[0], identity_keys=tuple(identity[1:]))
    # Switches need not be typed again: what the load was judged by is known when it is met.
    switches = product((config.strict, not config.strict), (False, True))
    for one, (strict, timeless) in product(config.inputs or (Input(),), switches):
        mapping = replace(one.mapping, no_timestamp=timeless)
        book = RuleBooks(replace(then, strict=strict)).of(replace(one, mapping=mapping))
        if book.digest == load.config["rules"]:
            return book
    raise MismatchError(
        f"{load.path} was judged by other rules (run {load.run_id})",
        hint="add the --schema of then, and the --config with its [rules]",
        code="config_changed",
    )


def mapping_of(load: Load) -> Mapping | JsonMapping:
    """Give what of its records is sent."""
    form, content = load.form, load.config["mapping"]
    if form.get("format") == "jsonl":
        return JsonMapping.from_json(cast("Any", content))
    return Mapping.from_json(cast("Any", content))


@contextmanager
def reopened(config: RunConfig, loads: Sequence[Load]) -> Iterator[list[Opened]]:
    """Open the sources of loads again, to be read as they were.

    Raises:
        UsageError: A source is not there any more.
        MismatchError: The flags of today make other rules.
    """
    with ExitStack() as stack:
        found = []
        for load in loads:
            file = stack.enter_context(file_at(load.path, spooled=is_spooled(load.path, config)))
            found.append(_opened(load, file, config))
            file.release()
        yield found


def _opened(load: Load, file: LocalFile, config: RunConfig) -> Opened:
    form: Any = load.form
    given = config.inputs[0] if config.inputs else Input()
    reading = replace(given.reading, max_record_bytes=form["max_record_bytes"])
    return Opened(
        file=file,
        input=replace(given, name=load.name, reading=reading),
        book=book_of(config, load),
        dialect=Dialect(**form["dialect"]),
        columns=tuple(form["columns"]),
        start=Position(*form["start"]),
        mapping=mapping_of(load),
    )


def identity_of(config: RunConfig, loads: Sequence[Load]) -> RunConfig:
    """Give the configuration with the rules of identity that loads of one run were begun with."""
    if not loads:
        return config
    kind, *keys = cast("list[str]", loads[0].config["identity"])
    return replace(config, identity=kind, identity_keys=tuple(keys))
