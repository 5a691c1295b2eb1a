"""Hostile input of fixed seeds, for as long as `INGEST_FUZZ_SECONDS` says (30 s for each reader).

`INGEST_FUZZ_SEED` takes other seeds; a change is not to fail for what another one broke.
"""

import os

import pytest

from tests.support import fuzz_framing, fuzz_jsonl, fuzz_rules
from tests.support.fuzzing import Finding, run

SECONDS = float(os.environ.get("INGEST_FUZZ_SECONDS", "30"))
FIRST = int(os.environ.get("INGEST_FUZZ_SEED", "1"))


@pytest.mark.timeout(SECONDS + 120)
@pytest.mark.parametrize(
    "finding",
    [
        pytest.param(fuzz_framing.finding, id="csv"),
        pytest.param(fuzz_jsonl.finding, id="json-lines"),
        pytest.param(fuzz_rules.finding, id="rules"),
    ],
)
def test_nothing_is_found(finding: Finding) -> None:
    """Readers that share no code agree on every file of every seed; a failure names the seed."""
    found = run(finding, seconds=SECONDS, first=FIRST)

    assert found.told == ""
    assert found.cases > 0
