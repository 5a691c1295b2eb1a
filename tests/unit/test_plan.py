"""What is said of the time that a run takes, before it begins."""

import pytest

from ingest.config import Settings, resolve
from ingest.pipeline.planning import Plan


def plan(*, rate: float | None = 5.0) -> Plan:
    """The plan of a run that is to end by six."""
    return Plan(
        resolve(Settings(sandbox=True, finish_by="06:00", rate=rate), environ={}, sends=True)
    )


@pytest.mark.parametrize(
    ("needed_s", "left_s", "said"),
    [
        pytest.param(100.0, 100.0, "that ends before 06:00, as far as the limit goes", id="just"),
        pytest.param(None, 1.0, "that ends before 06:00, as far as the limit goes", id="no-limit"),
        pytest.param(
            100.0,
            25.0,
            "the limit lets 750 events of 3,000 go before 06:00;"
            " run the same command again for the rest",
            id="a-quarter",
        ),
    ],
)
def test_it_is_said_whether_the_limit_lets_it_end_in_time(
    needed_s: float | None, left_s: float, said: str
) -> None:
    """--finish-by: how much goes before that time, as far as the limit decides."""
    facts = {"events": 3_000, "duration_s": needed_s}

    assert plan().in_time(facts, left_s) == said
