"""What the benchmarks compare with: each side reads a file, or sends it, and says what it did.

`python sides.py SIDE FILE [URL]`, in the environment that `setup.sh` makes in `.peers`; prints one
object of JSON: `records` and, where the side has rules, `rejected`.
"""

import asyncio
import csv
import itertools
import json
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from typing import Any

_PLACEHOLDERS = {"NULL", "null", "\\N", "NaN", "nan", "None", "undefined"}
_IDS = ("customer_id", "email")
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z\Z")
_LONGEST_NAME, _BATCH, _THREADS = 64, 30, 8

Row = dict[str, Any]


def broken(row: Row) -> bool:
    """Hand-written rules: an event's name, an identity, no placeholder, a time."""
    event = row.get("event")
    if not isinstance(event, str) or not event.strip() or len(event) > _LONGEST_NAME:
        return True
    if "." in event or any(map(str.isspace, event)) or event.isdigit():
        return True
    ids = [row.get(name) for name in _IDS]
    if not any(isinstance(each, str) and each.strip() for each in ids):
        return True
    if any(each in _PLACEHOLDERS for each in ids):
        return True
    time = row.get("timestamp")
    return bool(time) and not _TIME.match(time)


def _csv_rows(path: str) -> Iterator[Row]:
    with open(path, newline="", encoding="utf-8") as file:  # noqa: PTH123 - as people write it
        yield from csv.DictReader(file)


def _json_rows(path: str) -> Iterator[Row]:
    import orjson  # noqa: PLC0415 - each side needs what it needs

    with open(path, "rb") as file:  # noqa: PTH123 - as people write it
        yield from map(orjson.loads, file)


def _judged(rows: Iterable[Row], wrong: Callable[[Row], bool]) -> dict[str, int]:
    records = rejected = 0
    for row in rows:
        records += 1
        rejected += wrong(row)
    return {"records": records, "rejected": rejected}


SCHEMA = {
    "type": "object",
    "required": ["event"],
    "properties": {
        "event": {"type": "string", "pattern": r"^[^.\s]+$", "maxLength": _LONGEST_NAME},
        "customer_id": {"not": {"enum": sorted(_PLACEHOLDERS)}},
        "timestamp": {"type": "string", "pattern": _TIME.pattern.replace(r"\Z", "$")},
    },
    "anyOf": [
        {"required": [name], "properties": {name: {"type": "string", "pattern": r"\S"}}}
        for name in _IDS
    ],
}


def _by_jsonschema(rows: Iterable[Row]) -> dict[str, int]:
    import jsonschema_rs  # noqa: PLC0415

    valid = jsonschema_rs.Draft202012Validator(SCHEMA).is_valid
    return _judged(rows, lambda row: not valid(row))


def _by_pydantic(rows: Iterable[Row]) -> dict[str, int]:
    import pydantic  # noqa: PLC0415

    class Event(pydantic.BaseModel):
        event: str = pydantic.Field(pattern=r"^[^.\s]+$", max_length=_LONGEST_NAME)
        customer_id: str = ""
        email: str = ""
        timestamp: str = pydantic.Field(pattern=_TIME.pattern.replace(r"\Z", "$"))

        @pydantic.model_validator(mode="after")
        def identified(self) -> "Event":
            if not (self.customer_id.strip() or self.email.strip()):
                raise ValueError("no identity")
            if self.customer_id in _PLACEHOLDERS:
                raise ValueError("a placeholder")
            return self

    def wrong(row: Row) -> bool:
        try:
            Event.model_validate(row)
        except pydantic.ValidationError:
            return True
        return False

    return _judged(rows, wrong)


def _duckdb(path: str) -> dict[str, int]:
    import duckdb  # noqa: PLC0415

    read = f"read_csv('{path}', header=true, all_varchar=true, store_rejects=true)"
    names = [row[0] for row in duckdb.sql(f"DESCRIBE SELECT * FROM {read}").fetchall()]
    sizes = ", ".join(f'sum(strlen("{name}"))' for name in names)
    return {"records": duckdb.sql(f"SELECT count(*), {sizes} FROM {read}").fetchall()[0][0]}


def _pyarrow(path: str) -> dict[str, int]:
    import pyarrow as pa  # noqa: PLC0415
    from pyarrow import csv as arrow_csv  # noqa: PLC0415

    with open(path, newline="", encoding="utf-8") as file:  # noqa: PTH123
        names = next(csv.reader(file))
    reader = arrow_csv.open_csv(
        path,
        parse_options=arrow_csv.ParseOptions(newlines_in_values=True),
        convert_options=arrow_csv.ConvertOptions(column_types=dict.fromkeys(names, pa.string())),
    )
    return {"records": sum(batch.num_rows for batch in reader)}


def _pandas(path: str) -> dict[str, int]:
    import pandas as pd  # noqa: PLC0415

    chunks = pd.read_csv(path, dtype=str, keep_default_na=False, chunksize=100_000)
    return {"records": sum(len(chunk) for chunk in chunks)}


def _batches(path: str) -> Iterator[list[Row]]:
    good = ({k: v for k, v in row.items() if v} for row in _csv_rows(path) if not broken(row))
    while batch := list(itertools.islice(good, _BATCH)):
        yield batch


def _requests(path: str, url: str) -> dict[str, int]:
    import threading  # noqa: PLC0415

    import requests  # noqa: PLC0415

    local = threading.local()

    def send(batch: list[Row]) -> int:
        if not hasattr(local, "session"):
            local.session = requests.Session()
        answer = local.session.post(url, json={"events": batch}, auth=("key", ""))
        answer.raise_for_status()
        return len(batch)

    sent, batches = 0, _batches(path)
    with ThreadPoolExecutor(_THREADS) as pool:
        while some := list(itertools.islice(batches, 64 * _THREADS)):
            sent += sum(pool.map(send, some))
    return {"records": sent}


def _gather(path: str, url: str) -> dict[str, int]:
    import httpx  # noqa: PLC0415
    import polars as pl  # noqa: PLC0415

    rows = pl.read_csv(path, infer_schema=False)
    named = pl.col("event").str.contains(r"^[^.\s]+$")
    known = pl.any_horizontal(pl.col(*_IDS).str.strip_chars() != "")
    real = ~pl.col("customer_id").is_in(sorted(_PLACEHOLDERS)).fill_null(value=False)
    good = rows.filter(named & known & real).to_dicts()
    bodies = [
        [{k: v for k, v in row.items() if v is not None} for row in good[at : at + _BATCH]]
        for at in range(0, len(good), _BATCH)
    ]

    async def run() -> None:
        gate = asyncio.Semaphore(_THREADS)
        async with httpx.AsyncClient(auth=("key", "")) as client:

            async def send(body: list[Row]) -> None:
                async with gate:
                    answer = await client.post(url, json={"events": body})
                    answer.raise_for_status()

            await asyncio.gather(*map(send, bodies))

    asyncio.run(run())
    return {"records": len(good)}


READERS: dict[str, Callable[[str], dict[str, int]]] = {
    "duckdb": _duckdb,
    "pyarrow": _pyarrow,
    "pandas": _pandas,
    "csv": lambda path: _judged(_csv_rows(path), broken),
    "jsonschema-rs": lambda path: _by_jsonschema(
        {k: v for k, v in row.items() if v} for row in _csv_rows(path)
    ),
    "pydantic": lambda path: _by_pydantic(_csv_rows(path)),
    "orjson": lambda path: _judged(_json_rows(path), broken),
    "orjson, jsonschema-rs": lambda path: _by_jsonschema(_json_rows(path)),
    "orjson, pydantic": lambda path: _by_pydantic(_json_rows(path)),
}
SENDERS: dict[str, Callable[[str, str], dict[str, int]]] = {
    "requests": _requests,
    "polars and httpx": _gather,
}


def main() -> None:
    """Do what was asked for."""
    side, path, *url = sys.argv[1:]
    if side == "versions":
        print(json.dumps({name: version(name) for name in path.split(",")}))
    elif side == "sound":
        with open(path, "rb") as file:  # noqa: PTH123
            sys.stdout.buffer.writelines(line for line in file if not broken(json.loads(line)))
    elif url:
        print(json.dumps(SENDERS[side](path, url[0])))
    else:
        print(json.dumps(READERS[side](path)))


if __name__ == "__main__":
    main()
