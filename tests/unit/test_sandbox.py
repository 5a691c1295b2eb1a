"""The sandbox: its limit, its faults, its store and its process, on real sockets and files."""

import asyncio
import gzip
import itertools
import json
import os
import signal
import socket
import sqlite3
import stat
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import httpx
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.sandbox import BackgroundSandbox, SandboxError, SandboxOptions
from ingest.sandbox.body import read_bulk, read_single
from ingest.sandbox.faults import Fault, Faults, Kind, parse
from ingest.sandbox.judge import Judge
from ingest.sandbox.limit import Limit
from ingest.sandbox.server import serving
from ingest.sandbox.store import Arrival, Received, Store

BULK, EVENT = "/api/v1/bulkevents", "/api/v1/event"


def event(number: int = 0, **more: object) -> dict[str, object]:
    return {"event": "view", "customer_id": "1", "event_uuid": f"u{number}", **more}


def bulk(*events: object) -> bytes:
    return orjson.dumps({"events": events or [event()]})


def talk(
    options: SandboxOptions, work: Callable[[httpx.AsyncClient], Awaitable[None]], *, key: str = "k"
) -> None:
    """Run `work` with a client of a sandbox in this process."""

    async def main() -> None:
        async with (
            serving(options) as url,
            httpx.AsyncClient(base_url=url, auth=(key, ""), timeout=10) as client,
        ):
            await work(client)

    asyncio.run(main())


def rows(store: Path, query: str) -> list[tuple[object, ...]]:
    """Ask a store as another process would: on a connection of one's own."""
    database = sqlite3.connect(store)
    try:
        return database.execute(query).fetchall()
    finally:
        database.close()


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return tmp_path / "sandbox.db"


# --- the limit ----------------------------------------------------------------------------------


@given(st.lists(st.floats(0, 0.6), max_size=60), st.integers(1, 6))
def test_no_sliding_second_lets_more_through_than_the_rate(gaps: list[float], rate: int) -> None:
    """A call is turned away exactly when the second before it has as many as the rate."""
    limit = Limit(rate)
    taken: list[float] = []

    for now in itertools.accumulate(gaps):
        before = sum(1 for stamp in taken if now - stamp < 1)
        assert limit.take(now) == (before < rate)
        if before < rate:
            taken.append(now)


def test_the_limit_forgets_after_exactly_a_second() -> None:
    """A call counts for one second, and at its end no more."""
    limit = Limit(2)

    assert [limit.take(now) for now in (10.0, 10.5, 10.999, 11.0, 11.25, 11.5)] == [
        True,
        True,
        False,
        True,
        False,
        True,
    ]


def test_rates_of_nought_and_of_fractions() -> None:
    """Nought is no limit; half a call a second is one in two seconds; slack lets early ones by."""
    assert all(Limit(0).take(1.0) for _ in range(100))

    half = Limit(0.5)
    assert [half.take(now) for now in (0.0, 1.9, 2.0)] == [True, False, True]

    slack = Limit(1, slack_s=0.25)
    assert [slack.take(now) for now in (0.0, 0.5, 0.75)] == [True, False, True]


# --- what a fault says --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("spec", "fault"),
    [
        pytest.param("503", Fault("503", Kind.STATUS, status=503), id="always"),
        pytest.param("503:5%", Fault("503:5%", Kind.STATUS, status=503, share=0.05), id="share"),
        pytest.param(
            "429:1-3", Fault("429:1-3", Kind.STATUS, status=429, first=1, last=3), id="span"
        ),
        pytest.param("reset:100-", Fault("reset:100-", Kind.RESET, first=100), id="open-span"),
        pytest.param("reset:every=5", Fault("reset:every=5", Kind.RESET, every=5), id="every"),
        pytest.param(
            "503:2-2:stored",
            Fault("503:2-2:stored", Kind.STATUS, status=503, stored=True, first=2, last=2),
            id="stored",
        ),
        pytest.param(
            "429:Retry-After=Wed, 21 Oct 2015 07:28:00 GMT",
            Fault(
                "429:Retry-After=Wed, 21 Oct 2015 07:28:00 GMT",
                Kind.STATUS,
                status=429,
                header=("Retry-After", "Wed, 21 Oct 2015 07:28:00 GMT"),
            ),
            id="header-with-colons",
        ),
        pytest.param(
            "delay:5%:200",
            Fault("delay:5%:200", Kind.DELAY, stored=True, delay_ms=200, share=0.05),
            id="delay",
        ),
        pytest.param("truncate", Fault("truncate", Kind.TRUNCATE, stored=True), id="stores"),
        pytest.param("hang:stored", Fault("hang:stored", Kind.HANG, stored=True), id="hang-stored"),
    ],
)
def test_fault_specs(spec: str, fault: Fault) -> None:
    """A spec says what happens, to which requests, and whether the events are stored."""
    assert parse(spec) == fault


@pytest.mark.parametrize(
    ("spec", "why"),
    [
        ("", "no kind"),
        ("nonsense", "'nonsense' is no kind of fault"),
        ("status", "no kind"),
        ("99", "200 to 599"),
        ("600", "200 to 599"),
        ("٥٠٣", "no kind"),
        ("503:0%", "above 0%"),
        ("503:101%", "at most 100%"),
        ("503:5-3", "ends before it begins"),
        ("503:0-3", "says nothing"),
        ("503:every=0", "says nothing"),
        ("503:5", "says nothing"),
        ("reset:stored", "says nothing"),
        ("reset-after:5%:X=1", "says nothing"),
        ("delay", "needs its milliseconds"),
        ("delay:5%", "needs its milliseconds"),
        ("429:Retry-After=1\r\nX: y", "says nothing"),
    ],
)
def test_fault_specs_that_are_wrong(spec: str, why: str) -> None:
    """A spec that cannot be read is refused with what is wrong and the form."""
    with pytest.raises(SandboxError, match=why) as caught:
        parse(spec)

    assert "KIND[:SHARE%" in caught.value.hint


def test_shares_are_of_all_requests_and_repeatable() -> None:
    """Two faults of 20 and 30 % hit that many requests each, the same for the same seed."""
    faults, again, other = (Faults(["503:20%", "reset:30%"], seed=seed) for seed in (7, 7, 8))

    drawn = [faults.draw()[0] for _ in range(4000)]

    share = {kind: sum(1 for f in drawn if f and f.kind is kind) / 4000 for kind in Kind}
    assert abs(share[Kind.STATUS] - 0.2) < 0.03
    assert abs(share[Kind.RESET] - 0.3) < 0.03
    assert [again.draw()[0] for _ in range(4000)] == drawn
    assert [other.draw()[0] for _ in range(4000)] != drawn


def test_named_requests_go_before_drawn_ones_and_delays_add_up() -> None:
    """A named fault beats a drawn one; latency comes on top of either."""
    faults = Faults(["reset:100%", "503:2-3", "404:every=3", "delay:10", "delay:4-4:5"])

    drawn = [faults.draw() for _ in range(6)]

    assert [(f.spec if f else None, ms) for f, ms in drawn] == [
        ("reset:100%", 10),
        ("503:2-3", 10),
        ("503:2-3", 10),
        ("reset:100%", 15),
        ("reset:100%", 10),
        ("404:every=3", 10),
    ]


def test_shares_beyond_the_whole_are_refused() -> None:
    """Shares that add up to more than all requests cannot be kept."""
    Faults(["503:60%", "reset:40%", "delay:90%:5"])

    with pytest.raises(SandboxError, match="add up to 110%"):
        Faults(["503:60%", "reset:50%"])


# --- bodies -------------------------------------------------------------------------------------

values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=8,
)
objects = st.dictionaries(st.text(max_size=4), values, max_size=4)


@settings(max_examples=60)
@given(
    st.lists(objects | values, max_size=4),
    st.sampled_from([None, 1]),
    st.sampled_from(["plain", "ascii"]),
    st.sampled_from(["bare", "wrapped"]),
)
def test_texts_of_events_are_exact(
    events: list[object], indent: int | None, letters: str, form: str
) -> None:
    """However a body is written, the text kept for an event is its own piece of the body."""
    texts = [
        json.dumps(one, indent=indent, ensure_ascii=letters == "ascii", separators=(",", ":"))
        for one in events
    ]
    listed = "[" + (" ,\n" if form == "wrapped" else ",").join(texts) + "]"
    raw = f'{{"a": [{{"b": "]}}"}}], "ev\\u0065nts" :{listed}, "z": {{"events": [{{}}]}}}}'
    body = (raw if form == "wrapped" else '{"events":' + listed + "}").encode()

    read = read_bulk(body)

    assert read is not None
    assert read.events == tuple(events)
    assert read.texts == tuple(
        text if isinstance(one, dict) else "" for one, text in zip(events, texts, strict=True)
    )


def test_bodies_that_hold_no_events() -> None:
    """What is not JSON, or has no list of events, holds none; the last `events` counts."""
    for raw in (
        b"",
        b"{",
        b"[]",
        b"7",
        b'{"events":{}}',
        b'{"events":[NaN]}',
        b"\xff",
        b"[" * 99999,
    ):
        assert read_bulk(raw) is None
        assert read_single(raw) is None or raw == b'{"events":{}}'
    twice = read_bulk(b'{"events":[{"a":1}],"events":[{"b":2}]}')
    assert twice is not None
    assert twice.texts == ('{"b":2}',)


def test_text_of_a_deep_event_is_exact() -> None:
    """Nesting as deep as the parser takes is cut out right, and a mean text costs no time."""
    deep = b'{"event":"a","x":' + b"[" * 900 + b"]" * 900 + b"}"
    quotes = b'{"a":"' + b'\\"]}' * 50_000 + b'"}'

    read = read_bulk(b'{"events": [' + deep + b"," + quotes + b"]}")

    assert read is not None
    assert read.texts == (deep.decode(), quotes.decode())


# --- rules --------------------------------------------------------------------------------------


def test_only_rules_that_refuse_are_kept(tmp_path: Path) -> None:
    """A rule that warns, and a document that warns, refuse nothing."""
    (tmp_path / "events").mkdir()
    rule = {"x-message": "m", "required": ["a"]}
    document = {
        "x-severity": "warning",
        "properties": {"a": {"type": "string"}},
        "allOf": [{**rule, "x-code": "w", "x-severity": "warning"}],
    }
    (tmp_path / "event.json").write_text(json.dumps(document))
    named = {"x-event": "buy", "allOf": [{**rule, "x-code": "e", "x-severity": "error"}]}
    (tmp_path / "events/buy.json").write_text(json.dumps(named))
    judge = Judge(tmp_path)

    assert judge.are_valid([{"event": "view"}, {"event": "view", "a": 5}])
    assert not judge.are_valid([{"event": "buy"}])
    assert judge.complaints({"event": "buy"}) == ({"event": "m"},)
    assert judge.complaints({"event": "view"}) == ()


@pytest.mark.parametrize("text", [None, "{", "[]", '{"type": 5}', '{"allOf": [{"x-code": "a"}]}'])
def test_broken_rules_stop_the_start(tmp_path: Path, text: str | None) -> None:
    """Rules that are missing or broken are an error that names them, never no rules."""
    if text is not None:
        (tmp_path / "event.json").write_text(text)

    with pytest.raises(SandboxError, match=str(tmp_path)):
        Judge(tmp_path)


def test_every_verdict_has_a_reason() -> None:
    """Each event that is refused is told why, and none that is taken."""
    judge = Judge()
    names = ["view", "purchase", "a b", "a.b", "5", "", None, 5, [], "x" * 65]
    people = [{}, {"customer_id": "1"}, {"email": " "}, {"cookie": "NULL"}, {"group_id": []}]
    others = [{}, {"ip": {}}, {"revenue": []}, {"subscription_groups": 5}]

    for name, person, other in itertools.product(names, people, others):
        one = {"event": name, **person, **other}
        assert judge.are_valid([one]) == (not judge.complaints(one)), one


def test_one_cause_is_said_once() -> None:
    """A field whose type is a rule's business is not said to be invalid besides."""
    said = Judge().complaints({"event": [], "customer_id": [], "ip": []})

    assert [field for one in said for field in one] == ["event", "customer_id", "ip"]


# --- the store ----------------------------------------------------------------------------------


def _arrival() -> Arrival:
    return Arrival(method="POST", path=BULK, request_id="r", mono_ns=1, unix_s=2.0)


@pytest.mark.parametrize("umask", [0o000, 0o777])
def test_store_is_private_whatever_the_umask(store: Path, umask: int) -> None:
    """The file and SQLite's files beside it can be read by their owner only."""
    before = os.umask(umask)
    try:
        held = Store(store)
        held.record(_arrival(), status=200)
    finally:
        os.umask(before)

    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in store.parent.iterdir()}
    held.close()
    assert modes == dict.fromkeys(["sandbox.db", "sandbox.db-wal", "sandbox.db-shm"], 0o600)


def test_store_refuses_what_is_not_one(tmp_path: Path) -> None:
    """A symbolic link, a directory, a FIFO, a text and a foreign database are left as they are."""
    target = tmp_path / "target"
    target.write_text("precious")
    (tmp_path / "link").symlink_to(target)
    (tmp_path / "dangling").symlink_to(tmp_path / "planted")
    os.mkfifo(tmp_path / "fifo")
    foreign = sqlite3.connect(tmp_path / "foreign")
    foreign.execute("CREATE TABLE precious (x)")
    foreign.close()
    mode = (tmp_path / "foreign").stat().st_mode

    for name in ("link", "dangling", "fifo", "target", "foreign", ".", "missing/store.db"):
        with pytest.raises(SandboxError, match=r"cannot be|not a"):
            Store(tmp_path / name)

    assert target.read_text() == "precious"
    assert not (tmp_path / "planted").exists()
    assert (tmp_path / "foreign").stat().st_mode == mode
    assert rows(tmp_path / "foreign", "SELECT name FROM sqlite_schema") == [("precious",)]


def test_store_is_added_to_and_counts_repeats(store: Path) -> None:
    """A second start goes on in the same store, and an event that comes again has another row."""
    for _ in range(2):
        held = Store(store)
        one = Received(event_uuid="a", uuid_given=True, event="view", body="{}")
        number = held.record(_arrival(), status=200, size=9, events=1, received=[one])
        counts = held.counts()
        held.close()

    assert number == 2
    assert counts == {
        "requests": {"total": 2, "status": {"200": 2}},
        "events": {"delivered": 2, "distinct": 1, "repeats": 1},
        "faults": {},
    }
    assert rows(store, "SELECT * FROM deliveries") == [("a", 2, 1, 2)]
    assert rows(store, "SELECT * FROM events WHERE seq = 2") == [
        (2, 2, "a", 1, "view", "{}", 1, 2.0)
    ]


def test_a_failed_store_is_a_500_and_keeps_nothing(store: Path) -> None:
    """When the store cannot be written the client is not told that its events were taken."""

    async def work(client: httpx.AsyncClient) -> None:
        database = sqlite3.connect(store)
        database.execute(
            "CREATE TRIGGER full BEFORE INSERT ON events BEGIN SELECT RAISE(ABORT, 'full'); END"
        )
        database.close()
        answer = await client.post(BULK, content=bulk())
        assert answer.status_code == 500
        assert "full" in answer.json()["message"]

    talk(SandboxOptions(store=store), work)

    assert rows(store, "SELECT * FROM requests") == []


# --- options ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "why"),
    [
        ({"port": 65536}, "port"),
        ({"key": ""}, "empty"),
        ({"key": "a:b"}, "colon"),
        ({"denial": 404}, "401 or 403"),
        ({"rate": -1}, "0 or more"),
        ({"rate": float("inf")}, "0 or more"),
        ({"slack_s": 1.0}, "below 1"),
        ({"identity": "lenient"}, "strict or page"),
        ({"identity_keys": ("",)}, "empty"),
        ({"invalid_status": 500}, "400 or 422"),
        ({"faults": ("503:5",)}, "says nothing"),
    ],
)
def test_options_out_of_range(values: dict[str, object], why: str) -> None:
    """A setting that makes no sense is refused before anything is started."""
    with pytest.raises(SandboxError, match=why):
        SandboxOptions(**values)  # type: ignore[arg-type]


def test_options_travel_as_json_and_hide_the_key() -> None:
    """Options come out of their JSON as they went in, and never show the key."""
    options = SandboxOptions(
        store=Path("/x/y"), key="canary", faults=("503:5%",), identity_keys=("uuid",), rate=2.5
    )

    assert SandboxOptions.from_json(options.to_json()) == options
    assert "\n" not in options.to_json()
    assert "canary" not in repr(options)


# --- requests -----------------------------------------------------------------------------------


def test_every_request_is_in_the_log_with_its_limit(store: Path) -> None:
    """By the log's stamps a call got 429 exactly when the second before it had five."""

    async def work(client: httpx.AsyncClient) -> None:
        answers = await asyncio.gather(*(client.post(BULK, content=bulk()) for _ in range(12)))
        assert all(a.headers.get("Retry-After") == "3" for a in answers if a.status_code == 429)
        assert len({a.headers["x-request-id"] for a in answers}) == 12

    talk(SandboxOptions(store=store, retry_after="3"), work)

    log = rows(store, "SELECT status, arrived_mono_ns FROM requests ORDER BY arrived_mono_ns")
    taken: list[int] = []
    for status, stamp in log:
        assert isinstance(stamp, int)
        is_free = sum(1 for before in taken if stamp - before < 10**9) < 5
        assert status == (200 if is_free else 429)
        taken += [stamp] if is_free else []
    assert len(log) == 12
    assert len(taken) < 12
    assert rows(store, "SELECT count(*) FROM events") == [(len(taken),)]


def test_store_keeps_the_text_and_names_what_has_no_uuid(store: Path) -> None:
    """The text of an event is kept to the letter; one without event_uuid is given one."""
    text = '{ "event":"view","customer_id":"1", "n":1.0e5, "s":"\\u00e9" }'

    async def work(client: httpx.AsyncClient) -> None:
        body = '{"events":[' + text + "," + text.replace("}", ',"event_uuid":" "}') + "]}"
        await client.post(BULK, content=body.encode())
        await client.post(EVENT, content=f" {text}\n".encode())

    talk(SandboxOptions(store=store), work)

    kept = rows(store, "SELECT event_uuid, uuid_given, body FROM events ORDER BY seq")
    assert [row[1:] for row in kept] == [
        (0, text),
        (0, text.replace("}", ',"event_uuid":" "}')),
        (0, text),
    ]
    assert len({row[0] for row in kept}) == 3


def test_partial_takes_the_good_and_says_so(store: Path) -> None:
    """In partial mode the valid events are stored, and the 200 names what is wrong with others."""

    async def work(client: httpx.AsyncClient) -> None:
        body = bulk(event(1), {"event": "view"}, 7, event(2))
        answer = await client.post(BULK, content=body)
        assert answer.status_code == 200
        assert answer.json() == {
            "status": "ok",
            "count": 2,
            "errors": [{"customer_id": "can't be blank"}, {"event": "is not an object"}],
        }
        assert (await client.post(EVENT, content=b'{"event":"view"}')).status_code == 400

    talk(SandboxOptions(store=store, partial=True), work)

    assert rows(store, "SELECT event_uuid FROM events") == [("u1",), ("u2",)]
    assert rows(store, "SELECT status, events, stored FROM requests") == [(200, 4, 2), (400, 1, 0)]


def test_bodies_that_are_compressed_deep_or_cut_do_no_harm(store: Path) -> None:
    """A gzip body, endless nesting and a client that leaves half-way are no trouble."""

    async def work(client: httpx.AsyncClient) -> None:
        encoding = {"Content-Encoding": "gzip"}
        answer = await client.post(BULK, content=gzip.compress(bulk()), headers=encoding)
        assert answer.status_code == 400
        deep = b'{"event":"v","customer_id":"1","x":' + b"[" * 1000 + b"]" * 1000 + b"}"
        assert (await client.post(EVENT, content=deep)).status_code == 200
        reader, writer = await asyncio.open_connection("127.0.0.1", client.base_url.port)
        head = f"POST {BULK} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Basic azo=\r\n"
        writer.write(f"{head}Content-Length: 100\r\n\r\n{{".encode())
        await writer.drain()
        writer.close()
        assert await reader.read() == b""
        assert (await client.post(BULK, content=bulk())).status_code == 200

    talk(SandboxOptions(store=store, rate=0), work)


# --- faults on the wire -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("spec", "status", "stored"),
    [
        ("503", 503, 0),
        ("503:stored", 503, 1),
        ("404", 404, 0),
        ("204", 204, 0),
        ("302:Location=http://elsewhere.example/", 302, 0),
        ("html", 200, 0),
        ("empty", 200, 0),
        ("empty:stored", 200, 1),
        ("errors", 200, 0),
        ("delay:5", 200, 1),
    ],
)
def test_faults_that_answer(store: Path, spec: str, status: int, stored: int) -> None:
    """A fault with an answer gives it, stores only what it says, and is named in the log."""

    async def work(client: httpx.AsyncClient) -> None:
        answer = await client.post(BULK, content=bulk())
        assert answer.status_code == status
        assert answer.headers["x-request-id"]
        if spec == "html":
            assert answer.headers["content-type"].startswith("text/html")
            assert b"<html" in answer.content or b"<!doctype" in answer.content
        if spec.startswith("empty"):
            assert answer.content == b""
        if spec == "errors":
            assert answer.json()["errors"] == [{"customer_id": "can't be blank"}]
        if status == 302:
            assert answer.headers["Location"] == "http://elsewhere.example/"

    talk(SandboxOptions(store=store, faults=(spec,)), work)

    ((log_status, log_stored, log_fault),) = rows(
        store, "SELECT status, stored, fault FROM requests"
    )
    assert (log_status, log_stored) == (status, stored)
    assert log_fault == ("delay 5 ms" if spec == "delay:5" else spec)
    assert rows(store, "SELECT count(*) FROM events") == [(stored,)]


@pytest.mark.parametrize(
    ("spec", "error", "status", "stored"),
    [
        ("reset", httpx.TransportError, None, 0),
        ("reset-after", httpx.TransportError, None, 1),
        ("hang", httpx.ReadTimeout, None, 0),
        ("timeout", httpx.ReadTimeout, None, 1),
        ("slow", httpx.ReadTimeout, 200, 1),
        ("truncate", httpx.RemoteProtocolError, 200, 1),
        ("garbage", httpx.RemoteProtocolError, None, 0),
        ("garbage:stored", httpx.RemoteProtocolError, None, 1),
    ],
)
def test_faults_that_leave_a_client_in_doubt(
    store: Path, spec: str, error: type[Exception], status: int | None, stored: int
) -> None:
    """A lost answer is lost in the way that was asked for, and only the store knows the truth."""

    async def work(client: httpx.AsyncClient) -> None:
        with pytest.raises(error):
            await client.post(BULK, content=bulk(), timeout=0.25)

    talk(SandboxOptions(store=store, faults=(spec,)), work)

    assert rows(store, "SELECT status, stored, fault FROM requests") == [(status, stored, spec)]
    assert rows(store, "SELECT count(*) FROM events") == [(stored,)]


def test_a_request_that_hangs_ends_with_its_connection(store: Path) -> None:
    """A client that gives up leaves nothing running in the sandbox."""

    def handling() -> int:
        names = [getattr(task.get_coro(), "__name__", "") for task in asyncio.all_tasks()]
        return names.count("_handle_request")

    async def work(client: httpx.AsyncClient) -> None:
        with pytest.raises(httpx.ReadTimeout):
            await client.post(BULK, content=bulk(), timeout=0.1)
        deadline = time.monotonic() + 5
        while handling() and time.monotonic() < deadline:
            await asyncio.sleep(0.01)
        assert handling() == 0

    talk(SandboxOptions(store=store, faults=("hang",)), work)


def _exchange(port: int | None) -> Iterator[bytes]:
    """Post over a bare socket, and yield what comes until the connection ends."""
    body = bulk()
    head = f"POST {BULK} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Basic azo=\r\n"
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        while part := connection.recv(65536):
            yield part


@pytest.mark.parametrize("spec", ["reset", "reset-after"])
def test_reset_is_a_real_one(store: Path, spec: str) -> None:
    """A reset connection ends by RST, not by an orderly end."""

    async def work(client: httpx.AsyncClient) -> None:
        with pytest.raises(ConnectionResetError):
            await asyncio.to_thread(lambda: list(_exchange(client.base_url.port)))

    talk(SandboxOptions(store=store, faults=(spec,)), work)


def test_close_answers_and_hangs_up_unannounced(store: Path) -> None:
    """The answer is whole and promises to go on; then the connection ends."""

    async def work(client: httpx.AsyncClient) -> None:
        raw = b"".join(await asyncio.to_thread(lambda: list(_exchange(client.base_url.port))))
        head, _, body = raw.partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200 OK\r\n")
        assert b"connection:" not in head.lower()
        assert body == b'{"status":"ok","count":1}'

    talk(SandboxOptions(store=store, faults=("close",)), work)

    assert rows(store, "SELECT status, stored FROM requests") == [(200, 1)]


def test_slow_sends_the_body_byte_by_byte(store: Path) -> None:
    """The head comes at once and the first byte of the body with it; the rest takes its time."""

    async def work(client: httpx.AsyncClient) -> None:
        async with client.stream("POST", BULK, content=bulk()) as answer:
            assert answer.status_code == 200
            assert await anext(answer.aiter_raw()) == b"{"

    talk(SandboxOptions(store=store, faults=("slow",)), work)


def test_huge_sends_more_than_a_client_should_take(store: Path) -> None:
    """The body goes on for as long as the client reads, without a length."""

    async def work(client: httpx.AsyncClient) -> None:
        size = 0
        async with client.stream("POST", BULK, content=bulk()) as answer:
            assert "content-length" not in answer.headers
            async for part in answer.aiter_raw():
                size += len(part)
                if size > 2**21:
                    break
        assert size > 2**21

    talk(SandboxOptions(store=store, faults=("huge",)), work)


# --- the door for tests -------------------------------------------------------------------------


def test_faults_are_changed_at_run_time_and_counted(store: Path) -> None:
    """Faults can be set and taken back while it runs; the counts say what happened."""

    async def work(client: httpx.AsyncClient) -> None:
        asked = {"faults": ["503:1-2"], "seed": 3}
        set_faults = await client.post("/_sandbox/faults", json=asked)
        assert set_faults.json() == {"faults": ["503:1-2"]}
        statuses = [(await client.post(BULK, content=bulk())).status_code for _ in range(4)]
        assert statuses == [503, 503, 200, 200]
        assert (await client.post("/_sandbox/faults", json={"faults": []})).status_code == 200
        for wrong in (b"", b"[]", b'{"faults":"503"}', b'{"faults":[5]}', b'{"faults":["x"]}'):
            answer = await client.post("/_sandbox/faults", content=wrong)
            assert answer.status_code == 400
            assert answer.json()["error"]
        assert (await client.get("/_sandbox/stats")).json() == {
            "format": 1,
            "requests": {"total": 4, "status": {"200": 2, "503": 2}},
            "events": {"delivered": 2, "distinct": 1, "repeats": 1},
            "faults": {"503:1-2": 2},
        }

    talk(SandboxOptions(store=store), work)


def test_other_names_than_this_machine_are_turned_away(store: Path) -> None:
    """A page in a browser that has a name of its own for 127.0.0.1 gets nothing."""

    async def work(client: httpx.AsyncClient) -> None:
        foreign = {"Host": "evil.example"}
        for path in (EVENT, "/_sandbox/faults"):
            assert (await client.post(path, content=b"{}", headers=foreign)).status_code == 421

    talk(SandboxOptions(store=store), work)


# --- a process of its own -----------------------------------------------------------------------


def _is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def _wait_until_gone(pid: int) -> None:
    deadline = time.monotonic() + 20
    while _is_alive(pid) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not _is_alive(pid)


def test_background_sandbox_serves_and_ends(store: Path) -> None:
    """It serves on 127.0.0.1 alone, takes any key, and is gone when the block is left."""
    with BackgroundSandbox(SandboxOptions.for_one_run(store)) as sandbox:
        assert os.getsid(sandbox.pid) != os.getsid(0), "the terminal's Ctrl-C reaches it"
        pid, port = sandbox.pid, int(sandbox.url.rpartition(":")[2])
        answer = httpx.post(sandbox.url + BULK, content=bulk(), auth=("any", ""))
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.2", port), timeout=5).close()

    assert answer.json() == {"status": "ok", "count": 1}
    assert not _is_alive(pid)
    assert [path.name for path in store.parent.iterdir()] == [store.name], "it did not end cleanly"
    assert rows(store, "SELECT event_uuid FROM events") == [("u0",)]
    with pytest.raises(SandboxError, match="not running"):
        _ = sandbox.url


def test_what_was_answered_survives_the_sandbox(store: Path) -> None:
    """Killed right after an answer, its store has what the answer said."""
    with BackgroundSandbox(SandboxOptions(store=store, rate=0)) as sandbox:
        with httpx.Client(base_url=sandbox.url, auth=("k", "")) as client:
            for number in range(50):
                answer = client.post(BULK, content=bulk(event(number)))
                assert answer.status_code == 200
        os.kill(sandbox.pid, signal.SIGKILL)
        _wait_until_gone(sandbox.pid)

    assert rows(store, "SELECT event_uuid FROM events ORDER BY seq") == [
        (f"u{number}",) for number in range(50)
    ]


def test_the_key_is_in_no_process_list(store: Path) -> None:
    """The key of a background sandbox is neither in its arguments nor in its environment."""
    with BackgroundSandbox(SandboxOptions(store=store, key="canary-key")) as sandbox:
        told = [Path(f"/proc/{sandbox.pid}/{name}").read_bytes() for name in ("cmdline", "environ")]
        wrong = httpx.post(sandbox.url + BULK, content=bulk(), auth=("other", ""))
        right = httpx.post(sandbox.url + BULK, content=bulk(), auth=("canary-key", ""))

    assert not any(b"canary-key" in text for text in told)
    assert (wrong.status_code, right.status_code) == (401, 200)


@pytest.mark.parametrize(
    "options",
    [
        pytest.param(SandboxOptions(store=Path("/nonexistent/store.db")), id="store"),
        pytest.param(SandboxOptions(schemas=Path("/nonexistent")), id="schemas"),
    ],
)
def test_background_sandbox_says_why_it_does_not_start(options: SandboxOptions) -> None:
    """The reason of the other process is the error of this one."""
    with pytest.raises(SandboxError, match="/nonexistent"), BackgroundSandbox(options):
        pytest.fail("it started")


def test_a_background_sandbox_that_dies_at_once_is_an_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A process that ends without a word is an error, not a wait."""
    monkeypatch.setenv("PYTHONHOME", "/nonexistent")

    with pytest.raises(SandboxError, match="did not start"), BackgroundSandbox(SandboxOptions()):
        pytest.fail("it started")


def test_a_module_in_the_working_directory_is_not_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that is called like one of Python's modules does not run by lying about."""
    (tmp_path / "json.py").write_text("raise SystemExit(1)")
    monkeypatch.chdir(tmp_path)

    with BackgroundSandbox(SandboxOptions()) as sandbox:
        assert httpx.get(sandbox.url + "/_sandbox/stats").status_code == 200


def test_a_taken_port_is_named() -> None:
    """A port that someone else has is an error with a way out."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with (
            pytest.raises(SandboxError, match=f"port {port}") as caught,
            BackgroundSandbox(SandboxOptions(port=port)),
        ):
            pytest.fail("it started")

    assert "leave --port out" in caught.value.hint


PARENT = """
import os, sys, time
from pathlib import Path
from ingest.sandbox import BackgroundSandbox, SandboxOptions
with BackgroundSandbox(SandboxOptions(store=Path(sys.argv[1]))) as sandbox:
    if sys.argv[2] == "fork" and os.fork() == 0:
        time.sleep(600)
    print(sandbox.pid, flush=True)
    time.sleep(600)
"""


@pytest.mark.parametrize("how", ["alone", "fork"])
def test_no_orphan_outlives_a_killed_parent(store: Path, how: str) -> None:
    """A parent that is killed takes its sandbox with it, even if a fork of it lives on."""
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, str(store), how],
        stdout=subprocess.PIPE,
        start_new_session=True,
    )
    with parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        assert _is_alive(pid)
        parent.kill()
        parent.wait()
        try:
            _wait_until_gone(pid)
        finally:
            if how == "fork":
                os.killpg(parent.pid, signal.SIGKILL)


FOREVER = """
from ingest.sandbox import SandboxOptions, run_forever
run_forever(SandboxOptions(), announce=lambda url: print(url, flush=True))
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_run_forever_ends_cleanly_by_signal(tmp_path: Path, number: signal.Signals) -> None:
    """Told to stop it ends at once and leaves nothing behind, with a hanging request even."""
    process = subprocess.Popen(
        [sys.executable, "-W", "error", "-c", FOREVER],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "TMPDIR": str(tmp_path)},
    )
    with process:
        assert process.stdout is not None
        assert process.stderr is not None
        url = process.stdout.readline().decode().strip()
        httpx.post(f"{url}/_sandbox/faults", json={"faults": ["hang"]})
        with pytest.raises(httpx.ReadTimeout):
            httpx.post(url + BULK, content=bulk(), auth=("k", ""), timeout=0.1)
        process.send_signal(number)
        assert process.wait(20) == 0
        assert process.stderr.read() == b""

    assert list(tmp_path.iterdir()) == []
