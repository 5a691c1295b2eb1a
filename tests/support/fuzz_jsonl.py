"""The laws of JSON lines that begin with a seed, on seed after seed.

Run it for longer: `python -m tests.support.fuzz_jsonl --seconds 600 --seed 7`. It prints the seed
and the law that does not hold; `--seed S --cases 1` tries that seed again.
"""

import inspect
import sys
import traceback

from tests.property import test_jsonl_laws
from tests.support.fuzzing import fuzz

_INNER = [
    law.hypothesis.inner_test
    for name, law in vars(test_jsonl_laws).items()
    if name.startswith("test_") and hasattr(law, "hypothesis")
]
LAWS = [law for law in _INNER if list(inspect.signature(law).parameters) == ["seed"]]
"""Those whose every example follows from one number."""


def finding(seed: int) -> str:
    """Which law does not hold for a seed and where, or nothing."""
    for law in LAWS:
        try:
            law(seed)
        except Exception:  # noqa: BLE001 - any error is a finding
            return f"{law.__name__}\n{traceback.format_exc()}"
    return ""


if __name__ == "__main__":
    sys.exit(fuzz(finding, doc=__doc__))
