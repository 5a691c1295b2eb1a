"""What networks and servers do wrong, each done for real; nothing is lost, and nothing is made up.

The numbers are those of the fault list. The command runs in a process of its own, against real
sockets; its timeouts and waits are a twentieth of the usual ones, so that a minute takes seconds.
"""

import gzip
import itertools
import json
import socket
import ssl
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from random import Random

import pytest
import trustme

from tests.support.hurried import HurriedNursery
from tests.support.proxy import (
    Line,
    Scripted,
    Step,
    answer,
    hang_up,
    raw,
    reset,
    serving,
    silence,
    then_close,
    trickle,
)
from tests.support.sinks import (
    Judge,
    Sink,
    first,
    in_background,
    into,
    judged,
    slow_way,
    tunnel,
)
from tests.support.workdir import (
    Done,
    Row,
    Server,
    Source,
    Workdir,
    assert_accounted,
    good,
    some,
)

NAME = "events.example.test"
PROXY_SECRET = "pr0xy-secret"


@pytest.fixture(scope="module")
def nursery() -> Iterator[HurriedNursery]:
    """Forks for each run."""
    with HurriedNursery() as made:
        yield made


@contextmanager
def server_of(*script: Step, **options: object) -> Iterator[Scripted]:
    """A scripted server in the background."""
    with in_background(serving(*script, **options)) as server:  # type: ignore[arg-type]
        yield server


def run(work: Workdir, source: Source, url: str, *flags: str, **environ: str) -> Done:
    """Run the command against a server, without a limit, in batches of ten."""
    usual = ("--rate", "0", "--batch-size", "10", "--concurrency", "3", "--retry-budget", "20")
    arguments = ["run", source.path, "--url", url, *usual, *flags]
    return work.json(*arguments, env=work.env(**environ))


def through(
    work: Workdir, sink: Sink, *script: Step, rows: int = 60, flags: tuple[str, ...] = ()
) -> tuple[Done, Scripted]:
    """Send a file to a scripted server that takes what its script lets it take; all must arrive."""
    source = work.source(some(rows))
    with server_of(*script, into(sink)) as server:
        done = run(work, source, server.url, *flags)
    assert_accounted(work, source, done.summary, sink)
    assert (done.code, done.summary["records"]["delivered"]) == (0, rows), done.err
    return done, server


def resumed(work: Workdir, source: Source, sink: Sink, *, port: int, **options: object) -> Done:
    """Run again with all in order: the load ends."""
    with server_of(into(sink), port=port, **options) as server:
        scheme = "https" if options.get("tls") else "http"
        done = run(work, source, f"{scheme}://127.0.0.1:{server.port}")
    assert (done.code, done.summary["records"]["unsent"]) == (0, 0), done.err
    assert_accounted(work, source, done.summary, sink)
    return done


def free_port() -> int:
    """A port on which nothing listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def assert_stopped(done: Done, code: int, word: str, *, doubt: int | None = 0) -> None:
    """A run ended early, said why in one line, and settled nothing that it does not know."""
    records, marks = done.summary["records"], done.summary["of_which"]
    assert (done.code, done.summary["error"]["code"]) == (code, word), done.err
    assert (records["refused"], records["rejected"]) == (0, 0)
    assert doubt is None or marks["in_doubt"] == doubt
    assert "Traceback" not in done.err
    assert "\n" not in done.summary["reason"]


# -- connecting ------------------------------------------------------------------------------


def test_n1_nobody_listens(work: Workdir) -> None:
    """N1: nothing is sent and nothing in doubt; a run when somebody listens delivers all."""
    source, sink, port = work.source(some(60)), Sink(), free_port()

    done = run(work, source, f"http://127.0.0.1:{port}", "--retry-budget", "1")

    assert_stopped(done, 4, "retries_exhausted")
    assert "refused" in done.summary["reason"]
    assert done.summary["requests"]["sent"] == 0
    assert_accounted(work, source, done.summary, sink)
    resumed(work, source, sink, port=port)


@pytest.mark.parametrize(
    ("unknown", "budget", "code"),
    [pytest.param(3, "20", 0, id="N2-flapping"), pytest.param(999, "1", 4, id="N2-unknown")],
)
def test_a_name_does_not_resolve(
    work: Workdir, authority: trustme.CA, unknown: int, budget: str, code: int
) -> None:
    """N2: a name that comes back is waited for in the budget, and nothing is in doubt."""
    source, sink = work.source(some(60)), Sink()
    trust = {"SSL_CERT_FILE": str(trusted(authority, work.root)), "HURRIED_NAME": NAME}

    with server_of(into(sink), tls=server_tls(authority.issue_cert(NAME))) as server:
        url = f"https://{NAME}:{server.port}"
        flags = ("--retry-budget", budget)
        done = run(work, source, url, *flags, HURRIED_UNKNOWN=str(unknown), **trust)

    assert (done.code, done.summary["of_which"]["in_doubt"]) == (code, 0), done.err
    assert done.summary["requests"]["status"]["dns"] >= 3
    assert_accounted(work, source, done.summary, sink)


def test_n3_a_connection_is_not_answered(work: Workdir) -> None:
    """N3: a full backlog lets nobody in; it ends, and nothing is in doubt."""
    source, sink = work.source(some(30)), Sink()

    with socket.socket() as listener, socket.socket() as filler:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        port = listener.getsockname()[1]
        filler.setblocking(False)
        filler.connect_ex(listener.getsockname())
        done = run(work, source, f"http://127.0.0.1:{port}", "--retry-budget", "0.5")

    assert_stopped(done, 4, "retries_exhausted")
    assert "connect timeout" in done.summary["reason"]
    assert_accounted(work, source, done.summary, sink)
    resumed(work, source, sink, port=port)


# -- answers that are lost -------------------------------------------------------------------


async def _half_then_reset(line: Line) -> bool:
    await line.reader.read(300)
    line.reset()
    return False


def test_n5_a_request_is_reset_in_its_middle(work: Workdir) -> None:
    """N5: what was cut off goes again, and counts as in doubt."""
    source, sink = work.source(some(60)), Sink()

    with server_of(into(sink), before_request=first(1, _half_then_reset)) as server:
        done = run(work, source, server.url)

    assert (done.code, done.summary["of_which"]["in_doubt"]) == (0, 10), done.err
    assert_accounted(work, source, done.summary, sink)


WHOLE = answer()
SHORT = answer(length=100, keep=False)
LONG = b'HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n{"status":"ok"}'
BEGUN = b'HTTP/1.1 200 OK\r\nContent-Length: 30\r\n\r\n{"status":'
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize(
    "lost",
    [
        pytest.param(silence(), id="N4-silence"),
        pytest.param(trickle(b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 50, every_s=0.1), id="N8-head"),
        pytest.param(trickle(BEGUN + b'"ok"' + b" " * 60, every_s=0.1), id="N8-body"),
        pytest.param(reset(), id="N6-reset"),
        pytest.param(reset(BEGUN), id="N6-reset-in-body"),
        pytest.param(SHORT, id="N6-cut-off"),
        pytest.param(raw(LONG), id="N6-longer-than-said"),
        pytest.param(hang_up(), id="N6-closed"),
        pytest.param(raw(b"\x00\xff junk\r\n\r\n"), id="N9-junk"),
        pytest.param(raw(b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\n\r\n"), id="N9-101"),
        pytest.param(trickle(b"HTTP/1.1 102 Wait\r\n\r\n" * 90, every_s=0.002), id="N9-102s"),
        pytest.param(raw(CHUNKED + b"zz\r\nnot a size\r\n"), id="N9-chunked-garbage"),
        pytest.param(raw(CHUNKED + b'5\r\n{"sta'), id="N9-chunked-cut-off"),
        pytest.param(
            raw(b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 180_000 + b"\r\n"), id="N24-1MB-head"
        ),
        pytest.param(
            answer(200, gzip.compress(b" " * 20_000_000), "Content-Encoding: gzip"),
            id="N24-gzip-bomb",
        ),
        pytest.param(
            answer(200, b"<html>sign in</html>", "Content-Type: text/html"), id="N11-html"
        ),
        pytest.param(answer(200, b""), id="N11-empty"),
        pytest.param(answer(200, b"[]"), id="N11-not-an-object"),
        pytest.param(answer(202, b""), id="N12-202"),
        pytest.param(raw(b"HTTP/1.1 204 No Content\r\n\r\n", keep=True), id="N12-204"),
    ],
)
def test_an_answer_that_says_nothing_leaves_doubt(work: Workdir, lost: Step) -> None:
    """The events were taken, and the answer does not say so: they go again, and are in doubt."""
    sink = Sink()

    done, _ = through(work, sink, into(sink), into(sink, lost), rows=30)

    assert done.summary["of_which"]["in_doubt"] == 10
    assert sorted(sink.times().values()) == [1] * 20 + [2] * 10


def test_n24_an_endless_body_is_not_read_to_its_end(work: Workdir) -> None:
    """Answers are capped at 64 KiB: what is longer says nothing, however it goes on."""
    sink, left = Sink(), []

    async def endless(line: Line) -> bool:
        line.writer.write(b'HTTP/1.1 200 OK\r\n\r\n{"status":"ok","more":"')
        for _ in range(2_000):
            line.writer.write(b" " * 65_536)
            await line.writer.drain()
        left.append("all of it was read")
        return False

    done, _ = through(work, sink, into(sink), into(sink, endless), rows=30)

    assert left == []
    assert done.summary["of_which"]["in_doubt"] == 10


@pytest.mark.parametrize(
    "lost",
    [
        pytest.param(silence(), id="N4-silence"),
        pytest.param(reset(), id="N6-reset"),
        pytest.param(hang_up(), id="N6-closed"),
        pytest.param(answer(200, b"<html>sign in</html>"), id="N11-html"),
        pytest.param(answer(202, b""), id="N12-202"),
    ],
)
def test_doubt_is_an_upper_bound(work: Workdir, lost: Step) -> None:
    """The same answers for events that were not taken: nobody can tell, and they are in doubt, too."""
    sink = Sink()

    done, _ = through(work, sink, into(sink), into(sink, lost, taken=False), rows=30)

    assert done.summary["of_which"]["in_doubt"] == 10
    assert set(sink.times().values()) == {1}


@pytest.mark.parametrize(
    "step",
    [
        pytest.param(then_close(WHOLE), id="N7-closed"),
        pytest.param(then_close(WHOLE, after_s=0.02), id="N7-closed-a-little-later"),
        pytest.param(answer(version="1.0", keep=False), id="N9-http-1.0"),
        pytest.param(
            raw(b'HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 15\r\n\r\n{"status":"ok"}', keep=True),
            id="N9-100-first",
        ),
    ],
)  # fmt: skip
def test_connections_that_end_early_cost_nothing(work: Workdir, step: Step) -> None:
    """A server that closes each connection after its answer loses nothing."""
    source, sink = work.source(some(60)), Sink()

    with server_of(into(sink, step)) as server:
        done = run(work, source, server.url)

    assert done.code == 0, done.err
    assert_accounted(work, source, done.summary, sink)


# -- answers that refuse ---------------------------------------------------------------------


def marked(row: Row, *, word: str = "heavy") -> Row:
    """A record that the server, and only the server, refuses."""
    return Row(row.text + b" " + word.encode(), who=row.who, refused=True)


def with_marked(*numbers: int, count: int = 60) -> list[Row]:
    """Records of which some are refused by the server."""
    return [marked(good(n)) if n in numbers else good(n) for n in range(count)]


def if_marked(refusal: Step) -> Judge:
    """Refuse each request that holds a marked event."""
    return lambda events: refusal if any(e["note"].endswith("heavy") for e in events) else None


@pytest.mark.parametrize(
    "refusal",
    [
        pytest.param(answer(200, b'{"status":"ok","errors":[{"x":"bad"}]}'), id="N10-errors"),
        pytest.param(answer(200, b'{"status":"failed"}'), id="N10-not-ok"),
        pytest.param(answer(400, b'{"errors":[{"x":"bad"}]}'), id="N13-400"),
        pytest.param(answer(422, b'{"success":false,"error":"bad"}'), id="N18-422"),
    ],
)
def test_a_refused_batch_goes_singly(work: Workdir, refusal: Step) -> None:
    """Two events of sixty are refused, each with the server's word; the others arrive."""
    source, sink = work.source(with_marked(17, 42)), Sink()

    with server_of(judged(sink, if_marked(refusal))) as server:
        done = run(work, source, server.url)

    reports = assert_accounted(work, source, done.summary, sink)
    assert (done.code, done.summary["records"]["refused"]) == (3, 2), done.err
    assert done.summary["of_which"]["in_doubt"] == 20
    assert sink.requests() == 6 + 2 * 10
    assert all(
        "bad" in row["_reject_reason"] or "failed" in row["_reject_reason"] for row in reports.csv
    )


def test_n10_a_partial_success_keeps_what_was_taken_in_doubt(work: Workdir) -> None:
    """N10: a 200 with errors took the good ones of its batch: they go again, and are in doubt."""
    source, sink = work.source(with_marked(17, count=30)), Sink()

    async def some_of_it(line: Line) -> bool:
        events = json.loads(line.body)["events"]
        sink.arrivals.append((time.monotonic(), len(events)))
        fine = [event for event in events if not event["note"].endswith("heavy")]
        sink.events.extend((event["event_uuid"], event) for event in fine)
        bad = len(events) - len(fine)
        said = {
            "status": "ok",
            "count": len(fine),
            **({"errors": [{"event": "bad"}]} if bad else {}),
        }
        return await answer(200, json.dumps(said).encode())(line)

    with server_of(some_of_it) as server:
        done = run(work, source, server.url)

    assert_accounted(work, source, done.summary, sink)
    assert sorted(sink.times().values()) == [1] * 20 + [2] * 9


def test_n13_the_servers_words_are_escaped_and_capped(work: Workdir) -> None:
    """N13: control characters of an answer reach no terminal and no report, nor do a million of them."""
    source, sink = work.source(with_marked(5, count=30)), Sink()
    nasty = json.dumps({"errors": [{"x": "\x1b[2J\u202e=cmd()" + "A" * 30_000}]}).encode()

    with server_of(judged(sink, if_marked(answer(400, nasty)))) as server:
        done = run(work, source, server.url)

    reports = assert_accounted(work, source, done.summary, sink)
    said = reports.csv[0]["_reject_reason"]
    assert "AAAA" in said
    assert len(said) < 2_000
    assert not {"\x1b", "\u202e"} & set(said + done.err + done.out)


@pytest.mark.parametrize("most", [30, 3, 1], ids=["N17-one", "N17-few", "N17-singles"])
def test_413_halves(work: Workdir, most: int) -> None:
    """N17: batches are halved until they fit; an event that never fits is refused, none in doubt."""
    source, sink = work.source(with_marked(17)), Sink()

    def judge(events: list[dict[str, object]]) -> Step | None:
        heavy = any(str(event["note"]).endswith("heavy") for event in events)
        return answer(413, b"") if heavy or len(events) > most else None

    with server_of(judged(sink, judge)) as server:
        done = run(work, source, server.url)

    assert_accounted(work, source, done.summary, sink)
    assert (done.code, done.summary["records"]["refused"]) == (3, 1), done.err
    assert done.summary["of_which"]["in_doubt"] == 0
    assert set(sink.times().values()) == {1}


# -- answers that stop a run -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "code", "word"),
    [
        pytest.param(401, 6, "credentials_refused", id="N14-401"),
        pytest.param(403, 6, "credentials_refused", id="N14-403"),
        pytest.param(404, 2, "address_wrong", id="N15-404"),
        pytest.param(405, 2, "address_wrong", id="N15-405"),
    ],
)
def test_a_wrong_key_or_address_stops_the_run(
    work: Workdir, status: int, code: int, word: str
) -> None:
    """Nothing is rejected or in doubt; the run goes on when it is put right."""
    source, sink = work.source(some(60)), Sink()
    no = into(sink, answer(status, b'{"message":"no"}'), taken=False)

    with server_of(into(sink), into(sink), no) as server:
        done = run(work, source, server.url, "--concurrency", "1")

    assert_stopped(done, code, word)
    assert (done.summary["records"]["delivered"], sink.requests()) == (20, 3)
    assert_accounted(work, source, done.summary, sink)
    another = {"INGEST_API_KEY": "another-key-0123456789"}
    renewed = Workdir(work.root, another, work.nursery)
    assert run(renewed, source, server.url).code == 6
    with server_of(into(sink), port=server.port):
        done = run(renewed, source, server.url, "--rekey")
    assert_accounted(work, source, done.summary, sink)
    assert (done.code, set(sink.times().values())) == (0, {1})


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("other_host", [True, False], ids=["N26-other-host", "N26-same-host"])
def test_redirects_are_not_followed(work: Workdir, status: int, *, other_host: bool) -> None:
    """N26: the canary is not asked, the target is named, and nothing is settled."""
    source, sink = work.source(some(60)), Sink()

    with server_of(answer()) as canary:
        target = canary.url if other_host else ""
        location = f"Location: {target}/elsewhere?token=s3cret"
        with server_of(into(sink, answer(status, b"", location), taken=False)) as server:
            done = run(work, source, server.url)

    assert_stopped(done, 2, "address_wrong")
    assert (target or "the same host") in done.summary["reason"]
    assert "s3cret" not in done.err + done.out
    assert (canary.connections, sink.requests()) == (0, 1)
    assert_accounted(work, source, done.summary, sink)


# -- answers that ask to wait ----------------------------------------------------------------


@pytest.mark.parametrize("status", [408, 409, 425], ids=lambda status: f"N16-{status}")
def test_not_yet_is_asked_again_without_doubt(work: Workdir, status: int) -> None:
    """The server says that it did not take them: they go again, and nobody is in doubt."""
    sink = Sink()
    not_yet = into(sink, answer(status, b"{}"), taken=False)

    done, _ = through(work, sink, into(sink), not_yet, not_yet)

    assert done.summary["of_which"]["in_doubt"] == 0
    assert done.summary["requests"]["status"] == {"200": 6, str(status): 2}


def in_seconds(seconds: int) -> str:
    """An HTTP date."""
    return format_datetime(datetime.now(UTC) + timedelta(seconds=seconds), usegmt=True)


@pytest.mark.parametrize(
    ("header", "least_s"),
    [
        pytest.param(lambda: None, 0.0, id="N19-none"),
        pytest.param(lambda: "1", 1.0, id="N20-seconds"),
        pytest.param(lambda: in_seconds(600), 1.5, id="N20-date"),
        pytest.param(lambda: in_seconds(-600), 0.0, id="N20-past"),
        pytest.param(lambda: "-5", 0.0, id="N20-negative"),
        pytest.param(lambda: "1000000000", 1.5, id="N20-absurd"),
        pytest.param(lambda: "soon", 0.0, id="N20-garbage"),
    ],
)
def test_429_holds_everyone(work: Workdir, header, least_s: float) -> None:
    """One gate for the account: nobody sends before the time that the server asked for, or the cap."""
    sink = Sink()
    more = [f"Retry-After: {header()}"] if header() else []
    no = into(sink, answer(429, b"{}", *more), taken=False)

    done, _ = through(work, sink, into(sink), no, rows=200, flags=("--concurrency", "4"))

    assert done.summary["of_which"]["in_doubt"] == 0
    assert done.summary["requests"]["status"] == {"200": 20, "429": 1}
    stamps = [stamp for stamp, _ in sink.arrivals]
    gaps = [after - before for before, after in itertools.pairwise(stamps)]
    # What was on its way is read a little later than it left.
    assert max(gaps) >= least_s * 0.8


def test_n21_a_burst_of_server_errors_passes(work: Workdir, server: Server) -> None:
    """N21: after 500, 502, 503 and 504, half of them though the events were stored, all arrive."""
    source = work.source(some(200, bad_every=20))
    server.set_faults("500:2-3", "502:4-5:stored", "503:6-8", "504:9-10:stored")

    done = run(work, source, server.url)

    assert done.code == 3, done.err
    assert_accounted(work, source, done.summary, server)
    assert done.summary["records"]["delivered"] == 190


def test_n22_endless_503_stops_the_run(work: Workdir) -> None:
    """N22: it ends with its budget, says what happened and what is left, and can go on."""
    source, sink = work.source(some(60)), Sink()
    busy = into(
        sink, answer(503, b'{"message":"maintenance"}', "x-request-id: req-77"), taken=False
    )

    with server_of(busy) as server:
        done = run(work, source, server.url, "--retry-budget", "1")

    assert_stopped(done, 4, "retries_exhausted", doubt=None)
    assert all(word in done.summary["reason"] for word in ("503", "req-77", "maintenance"))
    assert done.summary["records"] == {
        "read": 60, "delivered": 0, "rejected": 0, "refused": 0, "unsent": 60,
    }  # fmt: skip
    assert_accounted(work, source, done.summary, sink)
    resumed(work, source, sink, port=server.port)


def test_n22_a_500_shows_whom_to_ask_and_for_what(work: Workdir) -> None:
    """N22: the request id and the page's advice stand in the one line that people read."""
    source, sink = work.source(some(10)), Sink()

    with server_of(into(sink, answer(500, b"{}", "x-request-id: req-4711"), taken=False)) as server:
        done = run(work, source, server.url, "--retry-budget", "0.3")

    assert_stopped(done, 4, "retries_exhausted", doubt=10)
    assert "req-4711" in done.summary["reason"]
    assert "contact Blueshift" in done.summary["reason"]
    assert_accounted(work, source, done.summary, sink)


# -- everything at once ----------------------------------------------------------------------

EVERYTHING = (
    "503:4%", "500:2%:stored", "502:2%", "408:2%", "425:1%", "reset:3%", "reset-after:3%",
    "timeout:1%", "hang:1%", "truncate:3%", "close:2%", "html:2%:stored", "empty:1%", "garbage:2%",
    "huge:0.3%", "429:0.7%",
)  # fmt: skip


@pytest.mark.parametrize("seed", [1, 2, 3], ids=lambda seed: f"N23-seed-{seed}")
def test_a_storm_of_everything(work: Workdir, server: Server, seed: int) -> None:
    """Thirty of a hundred requests fail in every way there is, fifty at once: all is accounted for."""
    source = work.source(some(1500, bad_every=50))
    server.set_faults(*EVERYTHING, seed=seed)

    done = run(work, source, server.url, "--batch-size", "5", "--concurrency", "50")

    reports = assert_accounted(work, source, done.summary, server)
    assert (done.code, done.summary["records"]["delivered"]) == (3, 1470), done.err
    repeated = {uuid for uuid, times in server.times().items() if times > 1}
    assert repeated <= {row["event_uuid"] for row in reports.doubt}
    assert len(repeated) <= done.summary["of_which"]["in_doubt"]
    assert repeated, "nothing was stored twice: the storm was none"


# -- TLS -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    """A certificate authority of this test."""
    return trustme.CA()


def server_tls(leaf: trustme.LeafCert) -> ssl.SSLContext:
    """A server's settings with this certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    leaf.configure_cert(context)
    return context


def trusted(authority: trustme.CA, directory: Path) -> Path:
    """A file with the certificate of the authority."""
    path = directory / "authority.pem"
    path.write_bytes(authority.cert_pem.bytes())
    return path


def _expired(authority: trustme.CA) -> ssl.SSLContext:
    past = datetime.now(UTC) - timedelta(days=1)
    leaf = authority.issue_cert("127.0.0.1", not_before=past - timedelta(days=1), not_after=past)
    return server_tls(leaf)


def _old_protocol(authority: trustme.CA) -> ssl.SSLContext:
    context = server_tls(authority.issue_cert("127.0.0.1"))
    context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
    context.set_ciphers("ALL:@SECLEVEL=0")
    return context


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion.TLSv1")
@pytest.mark.parametrize(
    ("made", "code", "said"),
    [
        pytest.param(_expired, 2, "certificate has expired", id="N25-expired"),
        pytest.param(
            lambda _: server_tls(trustme.CA().issue_cert("127.0.0.1")),
            2,
            "unable to get local issuer certificate",
            id="N25-unknown-authority",
        ),
        pytest.param(
            lambda authority: server_tls(authority.issue_cert("other.example")),
            2,
            "127.0.0.1",
            id="N25-wrong-host",
        ),
        pytest.param(_old_protocol, 4, "tls", id="N25-tls-1.1"),
    ],
)
def test_tls_that_does_not_hold_is_refused(
    work: Workdir, authority: trustme.CA, made, code: int, said: str
) -> None:
    """No request leaves, nothing is in doubt, and with a good certificate the run goes on."""
    source, sink = work.source(some(60)), Sink()
    work.environ["SSL_CERT_FILE"] = str(trusted(authority, work.root))

    with server_of(into(sink), tls=made(authority)) as server:
        url = f"https://127.0.0.1:{server.port}"
        done = run(work, source, url, "--retry-budget", "0.3")

    assert_stopped(done, code, {2: "address_wrong", 4: "retries_exhausted"}[code])
    assert said in done.summary["reason"]
    assert server.requests == []
    assert_accounted(work, source, done.summary, sink)
    sound = server_tls(authority.issue_cert("127.0.0.1"))
    resumed(work, source, sink, port=server.port, tls=sound)


# -- proxies ---------------------------------------------------------------------------------


@contextmanager
def behind_proxy(
    work: Workdir, authority: trustme.CA, sink: Sink, *script: Step
) -> Iterator[tuple[Scripted, Scripted, dict[str, str]]]:
    """A server of another name, and a proxy to it; the environment that names the proxy."""
    with ExitStack() as stack:
        tls = server_tls(authority.issue_cert(NAME))
        server = stack.enter_context(server_of(into(sink), tls=tls))
        proxy = stack.enter_context(server_of(*(script or [tunnel(server.port)])))
        yield server, proxy, {
            "HTTPS_PROXY": f"http://user:{PROXY_SECRET}@127.0.0.1:{proxy.port}",
            "NO_PROXY": "",
            "SSL_CERT_FILE": str(trusted(authority, work.root)),
        }  # fmt: skip


def assert_no_secret(work: Workdir, done: Done) -> None:
    """The proxy's password is in nothing that the run left behind."""
    secret = PROXY_SECRET.encode()
    assert PROXY_SECRET not in done.out + done.err
    assert not [
        path for path in work.root.rglob("*") if path.is_file() and secret in path.read_bytes()
    ]


def test_n27_requests_go_through_the_proxy(work: Workdir, authority: trustme.CA) -> None:
    """N27: the environment's proxy is used, and sees the host and nothing else."""
    source, sink = work.source(some(60)), Sink()

    with behind_proxy(work, authority, sink) as (_, proxy, environ):
        done = run(work, source, f"https://{NAME}", **environ)

    assert done.code == 0, done.err
    assert_accounted(work, source, done.summary, sink)
    assert {head.split(b"\r\n")[0] for head, _ in proxy.requests} == {
        f"CONNECT {NAME}:443 HTTP/1.1".encode()
    }
    assert_no_secret(work, done)


def test_n27_no_proxy_goes_directly(work: Workdir, authority: trustme.CA) -> None:
    """N27: for a host in NO_PROXY the proxy is not asked."""
    source, sink = work.source(some(60)), Sink()

    with behind_proxy(work, authority, sink) as (server, proxy, environ):
        environ |= {"NO_PROXY": NAME, "HURRIED_NAME": NAME}
        done = run(work, source, f"https://{NAME}:{server.port}", **environ)

    assert (done.code, proxy.connections) == (0, 0), done.err
    assert_accounted(work, source, done.summary, sink)


@pytest.mark.parametrize(
    ("script", "code", "said"),
    [
        pytest.param(answer(407, b""), 2, "407", id="N27-407"),
        pytest.param(answer(502, b""), 4, "502", id="N27-502"),
        pytest.param(
            raw(f"HTTP/1.1 502 no user:{PROXY_SECRET}\r\nContent-Length: 0\r\n\r\n".encode()),
            4,
            "502 no ***",
            id="N27-repeats-the-password",
        ),
        pytest.param(hang_up(), 4, "proxy", id="N27-closed"),
        pytest.param(None, 4, "proxy", id="N27-dead"),
    ],
)
def test_a_proxy_that_fails_is_named(
    work: Workdir, authority: trustme.CA, script: Step | None, code: int, said: str
) -> None:
    """N27: it is told that it is the proxy; nothing was seen by the API, and no secret is shown."""
    source, sink = work.source(some(30)), Sink()

    with behind_proxy(work, authority, sink, script or hang_up()) as (_, _, environ):
        if script is None:
            environ["HTTPS_PROXY"] = f"http://user:{PROXY_SECRET}@127.0.0.1:{free_port()}"
        done = run(work, source, f"https://{NAME}", "--retry-budget", "0.3", **environ)

    assert_stopped(done, code, {2: "address_wrong", 4: "retries_exhausted"}[code])
    assert "proxy" in done.summary["reason"]
    assert said in done.summary["reason"]
    assert sink.requests() == 0
    assert_accounted(work, source, done.summary, sink)
    assert_no_secret(work, done)


# -- slow and long ways ----------------------------------------------------------------------


def test_n28_a_slow_and_lossy_way(work: Workdir) -> None:
    """N28: 5 s and 10 KB/s, twenty times as fast: it completes, without a storm of timeouts."""
    source, sink, chance = work.source(some(400)), Sink(), Random(28)
    lost = lambda: 0.1 if chance.random() < 0.03 else 0.0  # noqa: E731

    with server_of(into(sink)) as server:
        way = slow_way(server.port, latency_s=0.125, bytes_per_s=200_000, stall_s=lost)
        with server_of(answer(), before_request=way) as slow:
            done = run(work, source, slow.url, "--concurrency", "auto")

    assert done.code == 0, done.err
    assert_accounted(work, source, done.summary, sink)
    assert done.summary["requests"]["status"] == {"200": 40}
    assert slow.connections > 4
