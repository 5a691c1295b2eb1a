"""Error records of Blueshift: how they are read, and what is kept of them."""

import gzip
import json
from collections import Counter
from pathlib import Path

import pytest

from ingest.core.exported import Failure, Failures, causes
from ingest.edges.source import Objects, exported_files
from ingest.errors import UsageError

# The example of the page "Export event data" (contract: P9), its message shortened there.
EXAMPLE = {
    "event": "subscription_update",
    "site": "blueshiftreads.com",
    "timestamp": "2018-08-22T07:29:58Z",
    "event_uuid": "1c0108b0-a5dd-11e8-ad27-0242ac110005",
    "timestamp_epoch": 1534922998,
    "browser_platform": None,
    "nested": {"of": [{"braces": '} "{'}]},
    "error_message": "Missing Customer Identifier (cookie, devi",
}
OTHER = {**EXAMPLE, "event_uuid": "2c0108b0-a5dd-11e8-ad27-0242ac110005"}
LINES = json.dumps(EXAMPLE) + "\n" + json.dumps(OTHER)


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(LINES, id="a-line-each"),
        pytest.param(LINES.replace("\n", "\r\n\r\n") + "\r\n", id="crlf-and-blank-lines"),
        pytest.param(json.dumps([EXAMPLE, OTHER]), id="array"),
        pytest.param(json.dumps([EXAMPLE, OTHER], indent=2), id="array-over-lines"),
        pytest.param(
            json.dumps(EXAMPLE, indent=2) + "\n" + json.dumps(OTHER, indent=2), id="over-lines"
        ),
        pytest.param(json.dumps(EXAMPLE) + json.dumps(OTHER), id="side-by-side"),
        pytest.param(f"[{json.dumps(EXAMPLE)},\n{json.dumps(OTHER)}]\n", id="array-a-line-each"),
    ],
)
@pytest.mark.parametrize("packed", [False, True], ids=["plain", "gzip"])
def test_objects_are_read_however_they_are_laid_out(
    tmp_path: Path, content: str, *, packed: bool
) -> None:
    """One a line, in an array, over several lines: the same objects."""
    raw = content.encode()
    (tmp_path / "part-0").write_bytes(gzip.compress(raw) if packed else raw)

    objects = Objects(str(tmp_path / "part-0"))

    assert list(objects) == [EXAMPLE, OTHER]
    assert objects.unreadable == 0


def test_what_is_no_object_is_counted_and_takes_nothing_with_it(tmp_path: Path) -> None:
    """A broken line, a number, a text: each is counted, and its neighbours are read."""
    lines = ["no json", json.dumps(EXAMPLE), "17", '"text"', json.dumps(OTHER), '{"cut": ']
    (tmp_path / "x").write_text("\n".join(lines))

    objects = Objects(str(tmp_path / "x"))

    assert list(objects) == [EXAMPLE, OTHER]
    assert objects.unreadable == 4


def test_a_directory_stands_for_all_files_below_it(tmp_path: Path) -> None:
    """In order, hidden ones left out; a path that gives nothing is refused."""
    for name in ("2024/02/b", "2024/01/a.json", ".hidden/c", "2024/.d"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("{}")

    found = exported_files([str(tmp_path)])

    assert found == [str(tmp_path / "2024/01/a.json"), str(tmp_path / "2024/02/b")]
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match="names no file"):
        exported_files([str(tmp_path / "empty")])


def test_failures_are_found_by_their_id_in_any_case() -> None:
    """An id in capitals is the same id; a text that is no UUID is taken as it is."""
    failures = Failures()
    failures.add({**EXAMPLE, "event_uuid": str(EXAMPLE["event_uuid"]).upper()}, file="a")
    failures.add(EXAMPLE, file="b")
    failures.add({"event_uuid": "Order-7"}, file="b")
    failures.add({"event_uuid": " "}, file="b")
    failures.add({"event": "x"}, file="b")

    assert failures.of(str(EXAMPLE["event_uuid"])) == Failure(
        "Missing Customer Identifier (cookie, devi", "subscription_update", "a", 2
    )
    assert failures.of("Order-7") == Failure("no error_message", "", "b")
    assert failures.of("order-7") is None
    assert (failures.records, failures.events, failures.nameless) == (5, 2, 2)


def test_rare_messages_are_counted_together() -> None:
    """The most frequent by name, the others as one; nothing is left out of the sum."""
    found = Counter({"a": 1, "b": 5, "c": 3, "d": 1})

    assert causes(found, most=2) == {"b": 5, "c": 3, "(others)": 2}
    assert causes(found, most=9) == {"b": 5, "c": 3, "a": 1, "d": 1}
