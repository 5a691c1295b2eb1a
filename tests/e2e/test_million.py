"""A million rejects: nothing is capped, and every count that is printed is a recount of the files."""

import csv
import os
from collections import Counter
from pathlib import Path
from typing import Any

import orjson
import pytest

from tests.support.recount import measured
from tests.support.workdir import Workdir

RECORDS = int(float(os.environ.get("INGEST_REJECTS", "1e6")))
BLOCK = 1000
KINDS = (
    (b"visit,,x\n", ("identity_missing",)),
    (b"visit, ,x\n", ("identity_missing",)),
    (b",c1,x\n", ("event_missing",)),
    (b",,x\n", ("event_missing", "identity_missing")),
    (b"visit,NULL,x\n", ("identity_placeholder",)),
)
ODD = (
    (b"visit,c1\n", ("row_too_few_fields",)),
    (b"visit,c1,x,y\n", ("row_too_many_fields",)),
    (b"visit,c1,\xff\n", ("utf8_invalid",)),
    (b'visit,c1,"x"y\n', ("quote_illegal",)),
    (b"no.name,c1,x\n", ("event_has_period",)),
)


def block() -> tuple[bytes, Counter[str]]:
    """A thousand lines, each rejected; how often each code comes of them."""
    rows = [KINDS[n % 5] if n % 20 else ODD[n // 20 % 5] for n in range(BLOCK)]
    codes = Counter(code for _, some in rows for code in some)
    return b"".join(row for row, _ in rows), codes


@pytest.mark.timeout(900)
def test_a_million_rejects_S15(work: Workdir) -> None:  # noqa: N802 - its case
    """S15: each of a million rejects is in both reports; all counts agree; memory stays flat."""
    lines, codes = block()
    path = work.root / "events.csv"
    with path.open("wb") as file:
        file.write(b"event,customer_id,note\n")
        for _ in range(RECORDS // BLOCK):
            file.write(lines)
        file.write(b"visit,c1,fine\n")

    done, peak_mib = measured(work, "check", path, "--no-timestamp", timeout_s=800)

    summary = done.summary
    expected = {code: count * (RECORDS // BLOCK) for code, count in codes.items()}
    (told,) = summary["sources"]
    of_csv = recount_csv(work.root / told["reports"]["rejects_csv"])
    of_jsonl = recount_jsonl(work.root / told["reports"]["rejects_jsonl"])
    assert of_csv == of_jsonl == (RECORDS, expected)
    assert summary["codes"] == expected
    assert summary["records"] == told["records"] == {
        "read": RECORDS + 1, "delivered": 0, "rejected": RECORDS, "refused": 0, "unsent": 1,
    }  # fmt: skip
    assert summary["this_run"]["rejected"] == RECORDS
    assert done.code == 3
    assert peak_mib < 450, "memory must not grow with the rejects"


def recount_csv(path: Path) -> tuple[int, dict[str, int]]:
    """Rejects and codes of a table; its records follow each other from 1."""
    codes: Counter[str] = Counter()
    number = 0
    with path.open(encoding="utf-8-sig", newline="") as file:
        for number, row in enumerate(csv.DictReader(file), start=1):
            assert row["_reject_record"] == str(number)
            codes.update(row["_reject_codes"].split(" "))
    return number, dict(codes)


def recount_jsonl(path: Path) -> tuple[int, dict[str, int]]:
    """The same of lines of JSON."""
    codes: Counter[str] = Counter()
    number = 0
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            value: dict[str, Any] = orjson.loads(line)
            assert value["record"] == number
            codes.update(each["code"] for each in value["violations"])
    return number, dict(codes)
