"""Makes `pytest -k I13` find the tests that `tests/faults.toml` names for a case."""

import tomllib
from pathlib import Path

import pytest

TABLE = Path(__file__).with_name("faults.toml")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give each test the numbers of the cases that it holds, as words to select it by."""
    table = tomllib.loads(TABLE.read_text(encoding="utf-8"))
    numbers: dict[str, list[str]] = {}
    for number, case in table.items():
        for name in case.get("held", ()):
            numbers.setdefault(name, []).append(number)
    for item in items:
        item.extra_keyword_matches.update(numbers.get(item.nodeid.partition("[")[0], ()))
