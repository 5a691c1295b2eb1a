"""`--uuid-from`: ids by key columns, the same in every export that holds the key."""

from pathlib import Path

import pytest

from ingest.core.identity import keyed_uuid
from tests.support.returning import mend_csv, rejects
from tests.support.workdir import Done, Server, Workdir

KEY = ("--uuid-from", "order_id,line")
CSV = b"""event,customer_id,order_id,line,timestamp
visit,c1,A-1,1,2026-01-01T00:00:00Z
visit,c2,A-1,2,2026-01-01T00:00:00Z
"""
NEXT = b"""line,order_id,customer_id,event,timestamp
2,A-1,c2,visit,2026-01-01T00:00:00Z
3,A-1,c3,visit,2026-01-01T00:00:00Z
"""
JSONL = b"""\
{"event":"visit","customer_id":"c3","order_id":"A-1","line":3,"timestamp":"2026-01-01T00:00:00Z"}
{"event":"visit","customer_id":"c4","order_id":"A-1","line":12345678901234567890123}
{"event":"visit","customer_id":"c5","order_id":"A-1","line":4.50}
"""


def uuid(order: str, line: str) -> str:
    """What the key of an order's line gives."""
    return keyed_uuid([("order_id", order), ("line", line)])


def send(work: Workdir, server: Server, content: bytes, name: str, *flags: str) -> Done:
    """Write a source and send it by its key."""
    path = work.root / name
    path.write_bytes(content)
    return work.json("run", path, *work.to(server), *(flags or KEY))


def test_exports_that_overlap_share_ids(work: Workdir, server: Server) -> None:
    """A record that stands in two exports has one id, whatever its place, columns or format."""
    for name, content in (("a.csv", CSV), ("b.csv", NEXT), ("c.jsonl", JSONL)):
        assert send(work, server, content, name).code == 0

    assert server.times() == {
        uuid("A-1", "1"): 1,
        uuid("A-1", "2"): 2,
        uuid("A-1", "3"): 2,
        uuid("A-1", "12345678901234567890123"): 1,
        uuid("A-1", "4.50"): 1,
    }


@pytest.mark.parametrize("empty", [b"", b"  ", b"NIL"])
def test_an_incomplete_key_is_no_key(work: Workdir, server: Server, empty: bytes) -> None:
    """Where a key column is empty the place counts, and the record is warned of: none may meet."""
    rows = b"".join(b"visit,c%d,%b,7,2026-01-01T00:00:00Z\n" % (n, empty) for n in range(3))
    head = CSV.splitlines(keepends=True)[0]

    done = send(work, server, head + rows, "a.csv", *KEY, "--null", "NIL")

    assert done.summary["warnings"]["uuid_key_missing"] == 3
    assert len(server.times()) == 3
    assert set(server.times().values()) == {1}


def test_a_missing_key_can_be_an_error(work: Workdir, server: Server) -> None:
    """`[rules]` decides, for tables and for JSON lines."""
    (work.root / "c.toml").write_text('[rules]\nuuid_key_missing = "error"\n')
    flags = ("--config", "c.toml", "--uuid-from", "order_id,line")
    line = b'{"event":"visit","customer_id":"c9","timestamp":"2026-01-01T00:00:00Z"}\n'

    table = send(work, server, CSV + b"visit,c3,,3,2026-01-01T00:00:00Z\n", "a.csv", *flags)
    lines = send(work, server, JSONL + line, "b.jsonl", *flags)

    for done, kept in ((table, 2), (lines, 3)):
        assert done.summary["codes"] == {"uuid_key_missing": 1}
        assert done.summary["records"]["delivered"] == kept


def test_what_the_record_has_itself_goes_first(work: Workdir, server: Server) -> None:
    """A given event_uuid stands."""
    own = "0b4d3ce6-276f-5691-b41e-d8f490ae59d7"
    content = f"event_uuid,event,customer_id,order_id,timestamp\n{own},visit,c,A,2026-01-01\n"

    send(work, server, content.encode(), "a.csv", "--uuid-from", "order_id")

    assert server.times() == {own: 1}


def test_a_nested_key(work: Workdir, server: Server) -> None:
    """JSON lines take paths, as the line has them before anything is lifted."""
    line = (
        b'{"event":"visit","customer_id":"c","properties":{"order":"A"},"timestamp":"2026-01-01"}\n'
    )

    flags = ("--uuid-from", "properties.order", "--flatten", "properties")
    done = send(work, server, line, "a.jsonl", *flags)

    assert done.code == 0
    (sent,) = server.bodies().items()
    assert sent[0] == keyed_uuid([("properties.order", "A")])
    assert sent[1]["order"] == "A"


def test_a_mended_record_keeps_its_id(work: Workdir, server: Server) -> None:
    """The key of a reject is that of the record as it was, also where its column was mended."""
    content = CSV + b"visit,NULL,A-2,1,2026-01-01T00:00:00Z\n"
    done = send(work, server, content, "a.csv", "--uuid-from", "customer_id,order_id")
    mended = mend_csv(
        rejects(work, done),
        lambda row: row.__setitem__("customer_id", "c9"),
        into=work.root / "mended.csv",
    )

    back = work.json("retry", mended, *work.to(server))

    assert back.summary["records"]["delivered"] == 3
    expected = keyed_uuid([("customer_id", "NULL"), ("order_id", "A-2")])
    assert server.bodies()[expected]["customer_id"] == "c9"


@pytest.mark.parametrize(
    ("flag", "says"),
    [("order_id,,line", "empty"), ("line,line", "twice"), ("oder_id", "order_id")],
)
def test_a_wrong_key_is_refused(work: Workdir, server: Server, flag: str, says: str) -> None:
    """Before anything is sent, with what to type."""
    done = send(work, server, CSV, "a.csv", "--uuid-from", flag)

    assert done.code == 2
    error = done.summary["error"]
    assert says in error["message"] + error["hint"]


def test_another_key_is_another_configuration(
    work: Workdir, server: Server, tmp_path: Path
) -> None:
    """A load that was begun by place does not go on by key."""
    path = tmp_path / "a.csv"
    path.write_bytes(CSV)
    assert work.json("run", path, *work.to(server), "--limit", "1").code == 0

    for flags in (KEY, (*KEY, "--rejudge")):
        done = work.json("run", path, *work.to(server), *flags)

        assert done.code == 5
        assert done.summary["error"]["code"] == "config_changed"
        assert "--rejudge" not in done.summary["error"]["hint"]
    assert len(server.times()) == 1


def test_flatten_is_for_json_lines(work: Workdir, server: Server) -> None:
    """A table has nothing to lift."""
    done = send(work, server, CSV, "a.csv", "--flatten", "properties")

    assert done.code == 2
    assert "--flatten" in done.summary["error"]["message"]
