"""The client against a server that breaks in every way, byte by byte."""

import asyncio
import base64
import contextlib
import logging
import resource
import socket
import ssl
import traceback
from collections.abc import AsyncIterator, Awaitable
from dataclasses import replace
from pathlib import Path

import httpx
import pytest
import trustme

from ingest import __version__
from ingest.core.address import Address, Endpoint, address_of
from ingest.core.outcome import Failure, Reply
from ingest.edges.client import Client, Route, Timeouts, proxy_for, route_to, tls_context
from ingest.edges.client.wire import Departure, Wire
from ingest.errors import StoppedError, UsageError
from tests.support.proxy import (
    OK_BODY,
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

KEY = "canary-k3y-81c2"
SECRETS = (KEY, base64.b64encode(f"{KEY}:".encode()).decode(), "pr0xy-pass")
PATIENT = Timeouts(connect_s=10, write_s=20, read_s=20, total_s=30)  # for what does not wait
QUICK = replace(PATIENT, connect_s=0.3, read_s=0.3, write_s=0.5)
HASTY = replace(PATIENT, connect_s=0.3, total_s=0.6)


@pytest.fixture(autouse=True)
def _no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    """The proxies of whoever runs the tests do not count."""
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


def route(
    url: str, *, timeouts: Timeouts = PATIENT, context: ssl.SSLContext | None = None
) -> Route:
    """The bulk route to an origin."""
    return route_to(address_of(url), Endpoint.BULK, key=KEY, timeouts=timeouts, context=context)


def sent(
    *script: Step, body: bytes = b"{}", times: int = 1, timeouts: Timeouts = PATIENT
) -> tuple[list[Reply], Scripted]:
    """What comes back for so many requests over one client, and what the server saw."""

    async def run() -> tuple[list[Reply], Scripted]:
        async with (
            serving(*script) as server,
            Client(route(server.url, timeouts=timeouts)) as client,
        ):
            return [await client.send(body) for _ in range(times)], server

    return asyncio.run(run())


def test_a_request_is_exactly_what_the_contract_asks_for() -> None:
    """One POST with the documented headers, Basic auth with an empty password, and the body."""
    replies, server = sent(answer(200, OK_BODY, "X-Request-Id: r-1"), body=b'{"events":[]}')

    credentials = base64.b64encode(f"{KEY}:".encode()).decode()
    head = (
        "POST /api/v1/bulkevents HTTP/1.1\r\n"
        f"Host: 127.0.0.1:{server.port}\r\n"
        "Content-Type: application/json\r\n"
        "Accept: application/json\r\n"
        "Accept-Encoding: identity\r\n"
        f"Authorization: Basic {credentials}\r\n"
        f"User-Agent: ingest/{__version__}\r\n"
        "Content-Length: 13\r\n\r\n"
    )
    assert server.requests == [(head.encode(), b'{"events":[]}')]
    assert replies == [Reply(200, body=OK_BODY, request_id="r-1")]


def test_a_connection_is_used_again() -> None:
    """Requests in turn go over one connection."""
    replies, server = sent(answer(), times=5)

    assert ([reply.status for reply in replies], server.connections) == ([200] * 5, 1)


def test_headers_that_matter_are_kept() -> None:
    """Retry-After and Location come back as the server wrote them."""
    replies, _ = sent(answer(429, b"", "Retry-After: 7", "Location: https://x.example/y"))

    assert replies == [Reply(429, retry_after="7", location="https://x.example/y")]


OK_HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 25\r\n\r\n"
CHUNKED_HEAD = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


def in_turn(*parts: bytes, keep: bool = False) -> Step:
    """These bytes, each part by itself."""

    async def step(line: Line) -> bool:
        for part in parts:
            line.writer.write(part)
            await line.writer.drain()
            await asyncio.sleep(0.05)
        return keep

    return step


@pytest.mark.parametrize(
    ("step", "status", "failure"),
    [
        pytest.param(reset(), None, Failure.RESET, id="N5-reset-instead-of-answer"),
        pytest.param(reset(OK_HEAD + b"{"), 200, Failure.RESET, id="N6-reset-in-answer"),
        pytest.param(reset(b"HTTP/1.1 20"), None, Failure.RESET, id="N6-reset-in-head"),
        pytest.param(hang_up(), None, Failure.DISCONNECTED, id="N6-closed-without-answer"),
        pytest.param(
            answer(length=26, keep=False), 200, Failure.DISCONNECTED, id="N6-length-too-long"
        ),
        pytest.param(
            raw(CHUNKED_HEAD + b"5\r\n{"),
            200,
            Failure.DISCONNECTED,
            id="N6-chunk-cut",
        ),
        pytest.param(
            in_turn(CHUNKED_HEAD, b"zz\r\n"), 200, Failure.PROTOCOL, id="N9-chunked-garbage"
        ),
        pytest.param(
            raw(CHUNKED_HEAD + b"zz\r\n"), None, Failure.PROTOCOL, id="N9-garbage-with-the-head"
        ),
        pytest.param(
            raw(b"HTTP/1.1 200 OK\r\nContent-Length: 25\r\n" + CHUNKED_HEAD[17:] + OK_BODY),
            None,
            Failure.PROTOCOL,
            id="N9-two-framings",
        ),
        pytest.param(
            raw(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n" + OK_HEAD[17:] + OK_BODY),
            None,
            Failure.PROTOCOL,
            id="N9-two-lengths",
        ),
        pytest.param(
            reset(b"HTTP/1.0 200 OK\r\n\r\n" + OK_BODY),
            200,
            Failure.RESET,
            id="N6-reset-without-length",
        ),
        pytest.param(raw(b"hello there\r\n\r\n"), None, Failure.PROTOCOL, id="N9-no-http"),
        pytest.param(
            raw(b"HTTP/1.1 101 Switching\r\n\r\n"), None, Failure.PROTOCOL, id="N9-switching"
        ),
        pytest.param(
            raw(b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n"),
            None,
            Failure.PROTOCOL,
            id="N9-negative-length",
        ),
        pytest.param(
            raw(b"HTTP/1.1 200 OK\r\nX: " + b"a" * 1_000_000),
            None,
            Failure.PROTOCOL,
            id="N24-huge-header",
        ),
        pytest.param(answer(200, b"x" * 70_000), 200, Failure.BODY_TOO_LARGE, id="N24-huge-body"),
        pytest.param(silence(), None, Failure.READ_TIMEOUT, id="N4-no-answer"),
        pytest.param(
            trickle(OK_HEAD + OK_BODY, every_s=0.05), None, Failure.DEADLINE, id="N8-trickle"
        ),
    ],
)
def test_a_broken_answer_is_told_apart(step: Step, status: int | None, failure: Failure) -> None:
    """Each way of breaking has its name, keeps the status that was seen, and is in doubt."""
    waits = {Failure.READ_TIMEOUT: QUICK, Failure.DEADLINE: HASTY}
    (reply,), _ = sent(step, timeouts=waits.get(failure, PATIENT))

    assert (reply.status, reply.failure, reply.complete) == (status, failure, False)
    assert failure.seen
    assert len(reply.body) <= 65_536


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"HTTP/1.0 200 OK\r\n\r\n" + OK_BODY, id="N9-http-1.0"),
        pytest.param(b"HTTP/1.1 100 Continue\r\n\r\n" * 50 + OK_HEAD + OK_BODY, id="N9-100s"),
        pytest.param(
            CHUNKED_HEAD + b"19\r\n" + OK_BODY + b"\r\n0\r\n\r\n",
            id="chunked",
        ),
    ],
)
def test_unusual_but_whole_answers_are_read(data: bytes) -> None:
    """HTTP/1.0, interim answers and chunks are read to their end."""
    (reply,), _ = sent(raw(data))

    assert reply == Reply(200, body=OK_BODY)


def test_endless_interim_answers_end_at_the_deadline() -> None:
    """N9: 1xx for ever is no answer."""
    interim = trickle(b"HTTP/1.1 102 Processing\r\n\r\n" * 500, every_s=0.001)
    (reply,), _ = sent(interim, timeouts=HASTY)

    assert reply.failure is Failure.DEADLINE


def test_a_compressed_answer_is_not_unpacked() -> None:
    """N24: nothing is decompressed, so no small answer becomes a large one."""
    bomb = b"\x1f\x8b\x08" + b"\0" * 50
    (reply,), server = sent(answer(200, bomb, "Content-Encoding: gzip"))

    assert reply.body == bomb
    assert b"Accept-Encoding: identity\r\n" in server.requests[0][0]


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirects_are_not_followed(status: int) -> None:
    """N26, X7: the other host never sees a request."""

    async def run() -> tuple[Reply, Scripted]:
        async with serving(answer()) as other:
            step = answer(status, b"", f"Location: {other.url}/steal")
            async with serving(step) as server, Client(route(server.url)) as client:
                return await client.send(b"{}"), other

    reply, other = asyncio.run(run())

    assert (reply.status, other.connections) == (status, 0)
    assert reply.location == f"{other.url}/steal"


def test_a_refused_connection_was_not_seen() -> None:
    """N1: nothing listens there."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]

    reply = asyncio.run(_send_to(f"http://127.0.0.1:{port}"))

    assert (reply.failure, reply.status) == (Failure.REFUSED, None)
    assert not Failure.REFUSED.seen


def test_an_unknown_name_was_not_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """N2: no such host."""

    async def unknown(*args: object, **kwargs: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    async def run() -> Reply:
        monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", unknown)
        return await _send_to("https://api.example.com")

    reply = asyncio.run(run())

    assert (reply.failure, reply.detail) == (Failure.DNS, "Name or service not known")


def test_a_connection_that_is_not_answered_times_out() -> None:
    """N3: a full backlog lets no one in; the request was not seen."""
    with socket.socket() as listener, socket.socket() as filler:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        filler.setblocking(False)
        filler.connect_ex(listener.getsockname())
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        reply = asyncio.run(_send_to(url, timeouts=QUICK))

    assert reply.failure is Failure.CONNECT_TIMEOUT


async def _send_to(url: str, *, timeouts: Timeouts = PATIENT) -> Reply:
    async with Client(route(url, timeouts=timeouts)) as client:
        return await client.send(b"{}")


def test_too_few_descriptors_is_named() -> None:
    """C6: when no socket can be opened, the request was not seen and the reason is told."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)

    async def run() -> Reply:
        async with Client(route("http://127.0.0.1:9")) as client:
            used = socket.socket()
            resource.setrlimit(resource.RLIMIT_NOFILE, (used.fileno(), hard))
            try:
                return await client.send(b"{}")
            finally:
                resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
                used.close()

    assert asyncio.run(run()).failure is Failure.DESCRIPTORS


def test_a_server_that_does_not_read_ends_at_the_write_timeout() -> None:
    """A body that does not leave is no endless wait; part of it may have been seen."""

    async def deaf(line: Line) -> bool:
        line.reader._transport.pause_reading()  # type: ignore[attr-defined]
        await asyncio.sleep(5)
        return False

    async def run() -> Reply:
        async with (
            serving(answer(), before_request=deaf) as server,
            Client(route(server.url, timeouts=replace(PATIENT, write_s=0.5))) as client,
        ):
            return await client.send(b"x" * 30_000_000)

    reply = asyncio.run(run())

    assert (reply.failure, reply.failure and reply.failure.seen) == (Failure.WRITE_TIMEOUT, True)


def descriptors() -> int:
    """How many files and sockets this process has open."""
    return len(list(Path("/dev/fd").iterdir()))


def test_a_connection_whose_attempt_failed_is_gone_at_once() -> None:
    """N28: a peer that does not read cannot keep it open, nor get the rest of the body later."""

    async def deaf(line: Line) -> bool:
        line.reader._transport.pause_reading()  # type: ignore[attr-defined]
        await asyncio.sleep(60)
        return False

    async def run() -> tuple[Reply, int]:
        timeouts = replace(PATIENT, write_s=0.5)
        async with (
            serving(answer(), before_request=deaf) as server,
            Client(route(server.url, timeouts=timeouts)) as client,
        ):
            before = descriptors()
            reply = await client.send(b"x" * 30_000_000)
            await asyncio.sleep(0.05)
            return reply, descriptors() - before

    reply, opened = asyncio.run(run())

    assert (reply.failure, opened) == (Failure.WRITE_TIMEOUT, 1)  # the server's end of it


def test_an_early_answer_to_a_large_body_is_read() -> None:
    """N17: a 413 that comes while the body is still on its way is an answer like any other."""
    head = b"HTTP/1.1 413 Too Large\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}"

    async def early(line: Line) -> bool:
        await line.reader.readuntil(b"\r\n\r\n")
        line.writer.write(head)
        await line.writer.drain()
        while await line.reader.read(65_536):
            pass
        return False

    async def run() -> Reply:
        async with (
            serving(answer(), before_request=early) as server,
            Client(route(server.url, timeouts=replace(PATIENT, write_s=0.5))) as client,
        ):
            return await client.send(b"x" * 1_000_000)

    assert asyncio.run(run()) == Reply(413, body=b"{}")


def test_a_connection_that_the_server_closed_in_time_is_opened_anew() -> None:
    """N7: a close that has arrived is noticed before the next request; nothing is lost."""

    async def run() -> tuple[list[int | None], Scripted]:
        async with serving(then_close(answer())) as server, Client(route(server.url)) as client:
            statuses = []
            for _ in range(3):
                statuses.append((await client.send(b"{}")).status)
                await asyncio.sleep(0.02)
            return statuses, server

    statuses, server = asyncio.run(run())

    assert (statuses, server.connections) == ([200] * 3, 3)


def test_a_close_that_races_the_request_is_unknown_and_the_next_one_goes_through() -> None:
    """N7: where the server closes as the request goes out, nobody knows; it is said so."""
    replies, server = sent(answer(), hang_up(), answer(), times=3)

    assert [reply.failure for reply in replies] == [None, Failure.DISCONNECTED, None]
    assert len(server.requests) == 3  # never sent again by itself


def test_an_idle_connection_is_not_used_again() -> None:
    """N7: connections expire here before servers drop them."""

    async def run() -> int:
        timeouts = replace(PATIENT, idle_s=0.05)
        async with (
            serving(answer()) as server,
            Client(route(server.url, timeouts=timeouts)) as client,
        ):
            await client.send(b"{}")
            await asyncio.sleep(0.1)
            await client.send(b"{}")
            return server.connections

    assert asyncio.run(run()) == 2
    assert Timeouts().idle_s < 5


def test_an_answer_that_nobody_asked_for_is_not_the_next_one() -> None:
    """N9: what arrives on an idle connection is thrown away with the connection."""
    replies, server = sent_slowly(
        in_turn(OK_HEAD + OK_BODY, OK_HEAD + OK_BODY, keep=True), answer(500, b"")
    )

    assert [reply.status for reply in replies] == [200, 500]
    assert server.connections == 2


def test_two_answers_at_once_are_not_kept_for_the_next_request() -> None:
    """N9: the second of two answers is thrown away."""
    replies, server = sent_slowly(raw((OK_HEAD + OK_BODY) * 2, keep=True), answer(500, b""))

    assert [reply.status for reply in replies] == [200, 500]
    assert server.connections == 2


def sent_slowly(*script: Step) -> tuple[list[Reply], Scripted]:
    """What comes back for two requests with a pause between them."""

    async def run() -> tuple[list[Reply], Scripted]:
        async with serving(*script) as server, Client(route(server.url)) as client:
            first = await client.send(b"{}")
            await asyncio.sleep(0.15)
            return [first, await client.send(b"{}")], server

    return asyncio.run(run())


def test_cookies_are_not_kept() -> None:
    """A server's cookie is not sent back to it."""
    _, server = sent(answer(200, OK_BODY, "Set-Cookie: a=b"), times=2)

    assert [b"ookie" in head for head, _ in server.requests] == [False, False]


def test_an_answer_to_half_a_body_ends_the_connection() -> None:
    """N17: the rest of a body that was answered early is never taken for the next request."""

    async def early(line: Line) -> bool:
        await line.reader.readuntil(b"\r\n\r\n")
        line.writer.write(OK_HEAD + OK_BODY)
        await line.writer.drain()
        await asyncio.sleep(5)
        return False

    async def run() -> tuple[list[int | None], int]:
        timeouts = replace(PATIENT, write_s=0.5)
        async with (
            serving(answer(), before_request=early) as server,
            Client(route(server.url, timeouts=timeouts)) as client,
        ):
            replies = [await client.send(b"x" * 30_000_000), await client.send(b"{}")]
            return [reply.status for reply in replies], server.connections

    assert asyncio.run(run()) == ([200, 200], 2)


def test_each_failure_leaves_a_client_that_works() -> None:
    """After any failure the next request gets its answer."""
    broken = [reset(), hang_up(), raw(b"junk\r\n\r\n"), answer(200, b"x" * 70_000), silence()]
    script = [step for failing in broken for step in (failing, answer())]

    replies, _ = sent(*script, times=len(script), timeouts=replace(PATIENT, read_s=1))

    assert [reply.complete for reply in replies] == [False, True] * len(broken)


# --- the permit ---


def test_a_permit_is_asked_for_on_an_open_connection_before_the_first_byte() -> None:
    """The connection stands and nothing was sent when the permit is awaited; once per request."""
    asked: list[tuple[int, int]] = []

    async def run() -> None:
        async with serving(answer()) as server, Client(route(server.url)) as client:

            async def permit() -> None:
                await asyncio.sleep(0.02)
                asked.append((server.connections, len(server.requests)))

            await client.send(b"{}", permit=permit)
            await client.send(b"{}", permit=permit)

    asyncio.run(run())

    assert asked == [(1, 0), (1, 1)]


@pytest.mark.parametrize(
    "end",
    [
        pytest.param(hang_up(), id="closed"),
        pytest.param(reset(), id="reset"),
        pytest.param(raw(OK_HEAD + OK_BODY, keep=True), id="answered-unasked"),
    ],
)
def test_a_connection_that_ends_during_the_wait_is_replaced(end: Step) -> None:
    """N7: nothing had left, so there is no doubt; the permit is not asked for twice."""
    asked = 0
    ending = [end]

    async def first_only(line: Line) -> bool:
        return not ending or await ending.pop()(line)

    async def permit() -> None:
        nonlocal asked
        asked += 1
        await asyncio.sleep(0.1)

    async def run() -> tuple[Reply, Scripted]:
        async with (
            serving(answer(), before_request=first_only) as server,
            Client(route(server.url)) as client,
        ):
            return await client.send(b"{}", permit=permit), server

    reply, server = asyncio.run(run())

    assert (reply, asked) == (Reply(200, body=OK_BODY), 1)
    assert (server.connections, len(server.requests)) == (2, 1)


def test_a_wait_that_is_cancelled_leaves_a_client_that_works() -> None:
    """Cancellation during the wait is never taken for a failure."""

    async def run() -> tuple[bool, Reply]:
        async with serving(answer()) as server, Client(route(server.url)) as client:
            task = asyncio.create_task(client.send(b"{}", permit=lambda: asyncio.sleep(60)))
            await asyncio.sleep(0.1)
            task.cancel()
            await asyncio.wait([task])
            return task.cancelled(), await client.send(b"{}")

    assert asyncio.run(run()) == (True, Reply(200, body=OK_BODY))


def test_a_server_that_is_gone_after_the_wait_has_not_seen_the_request() -> None:
    """N7, N1: the connection ends during the wait and cannot be opened again."""

    async def run() -> Reply:
        stopping = contextlib.AsyncExitStack()
        server = await stopping.enter_async_context(serving(answer()))
        async with Client(route(server.url)) as client:
            return await client.send(b"{}", permit=stopping.aclose)

    reply = asyncio.run(run())

    assert (reply.failure, reply.status) == (Failure.REFUSED, None)


def test_the_deadline_begins_after_the_permit() -> None:
    """Waiting for a permit is not the server's fault."""

    async def run() -> Reply:
        async with (
            serving(answer()) as server,
            Client(route(server.url, timeouts=HASTY)) as client,
        ):
            return await client.send(b"{}", permit=lambda: asyncio.sleep(HASTY.total_s + 0.1))

    assert asyncio.run(run()).status == 200


@pytest.mark.parametrize(
    "error", [StoppedError("the disk is full"), TimeoutError("mine"), OSError("mine, too")]
)
def test_an_error_of_the_permit_is_not_the_servers(error: Exception) -> None:
    """What the permit raises is raised, nothing is sent, and the client works on."""

    async def failing() -> None:
        raise error

    async def run() -> tuple[Reply, Scripted]:
        async with serving(answer()) as server, Client(route(server.url)) as client:
            with pytest.raises(type(error), match=str(error)):
                await client.send(b"{}", permit=failing)
            return await client.send(b"{}"), server

    reply, server = asyncio.run(run())

    assert (reply.status, len(server.requests)) == (200, 1)


def test_a_cancelled_request_is_cancelled() -> None:
    """Cancellation is never taken for a failure, and the client works on."""

    async def run() -> tuple[bool, Reply]:
        async with serving(silence(), answer()) as server, Client(route(server.url)) as client:
            task = asyncio.create_task(client.send(b"{}"))
            await asyncio.sleep(0.1)
            task.cancel()
            await asyncio.wait([task])
            return task.cancelled(), await client.send(b"{}")

    cancelled, reply = asyncio.run(run())

    assert (cancelled, reply.status) == (True, 200)


# --- TLS ---


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    """A certificate authority of this test."""
    return trustme.CA()


def server_tls(leaf: trustme.LeafCert) -> ssl.SSLContext:
    """A server's settings with this certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    leaf.configure_cert(context)
    return context


def trusting(authority: trustme.CA) -> ssl.SSLContext:
    """The client's own settings, with this authority besides."""
    context = tls_context()
    authority.configure_trust(context)
    return context


def over_tls(server: ssl.SSLContext, client: ssl.SSLContext, *, host: str = "127.0.0.1") -> Reply:
    """What comes back over TLS."""

    async def run() -> tuple[Reply, Scripted]:
        async with (
            serving(answer(), tls=server) as scripted,
            Client(route(f"https://{host}:{scripted.port}", context=client)) as sender,
        ):
            return await sender.send(b"{}"), scripted

    reply, scripted = asyncio.run(run())
    assert bool(scripted.requests) == (reply.failure is None)
    return reply


def test_tls_works(authority: trustme.CA) -> None:
    """A certificate of a trusted authority for this host is accepted."""
    server = server_tls(authority.issue_cert("127.0.0.1"))

    assert over_tls(server, trusting(authority)).status == 200


def test_an_unknown_authority_is_refused(authority: trustme.CA) -> None:
    """N25: a certificate that nobody vouches for."""
    reply = over_tls(server_tls(authority.issue_cert("127.0.0.1")), tls_context())

    assert (reply.failure, reply.detail) == (
        Failure.CERTIFICATE,
        "unable to get local issuer certificate",
    )


def test_a_certificate_of_another_host_is_refused(authority: trustme.CA) -> None:
    """N25: the right authority for the wrong host."""
    reply = over_tls(server_tls(authority.issue_cert("example.com")), trusting(authority))

    assert reply.failure is Failure.CERTIFICATE
    assert "127.0.0.1" in reply.detail


def test_an_expired_certificate_is_refused(authority: trustme.CA) -> None:
    """N25: yesterday's certificate."""
    from datetime import UTC, datetime, timedelta

    past = datetime.now(UTC) - timedelta(days=1)
    leaf = authority.issue_cert("127.0.0.1", not_before=past - timedelta(days=1), not_after=past)

    reply = over_tls(server_tls(leaf), trusting(authority))

    assert (reply.failure, reply.detail) == (Failure.CERTIFICATE, "certificate has expired")


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion.TLSv1_1 is deprecated")
def test_an_old_protocol_is_refused(authority: trustme.CA) -> None:
    """N25: no TLS below 1.2, and no flag for it."""
    server = server_tls(authority.issue_cert("127.0.0.1"))
    server.minimum_version = ssl.TLSVersion.TLSv1_1
    server.maximum_version = ssl.TLSVersion.TLSv1_1
    client = trusting(authority)

    assert over_tls(server, client).failure is Failure.TLS
    assert client.minimum_version is ssl.TLSVersion.TLSv1_2


@pytest.mark.parametrize(
    "step", [pytest.param(hang_up(), id="closed"), pytest.param(reset(), id="reset")]
)
def test_a_handshake_that_breaks_off_was_not_seen(step: Step) -> None:
    """N5: the connection opens and ends before TLS is agreed on."""

    async def run() -> Reply:
        async with (
            serving(answer(), before_request=step) as server,
            Client(route(f"https://127.0.0.1:{server.port}")) as client,
        ):
            return await client.send(b"{}")

    assert asyncio.run(run()).failure is Failure.TLS


def test_a_handshake_that_is_not_answered_times_out() -> None:
    """N3: a server that accepts and says nothing; the request was not seen."""

    async def run() -> Reply:
        async with (
            serving(answer(), before_request=silence()) as server,
            Client(route(f"https://127.0.0.1:{server.port}", timeouts=QUICK)) as client,
        ):
            return await client.send(b"{}")

    assert asyncio.run(run()).failure is Failure.CONNECT_TIMEOUT


def test_a_host_of_two_addresses_is_reached_by_the_one_that_works(
    authority: trustme.CA, monkeypatch: pytest.MonkeyPatch
) -> None:
    """N3: the first address accepts and says nothing, the second one answers."""
    tls = server_tls(authority.issue_cert("api.example.invalid"))
    found = [
        (socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (host, 0))
        for host in ("127.0.0.1", "127.0.0.2")
    ]

    async def run() -> Reply:
        async def resolve(_: str, port: int, **kwargs: object) -> list[object]:
            return [(*entry[:4], (entry[4][0], port)) for entry in found]

        monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", resolve)
        async with (
            serving(answer(), tls=tls, host="127.0.0.2") as server,
            serving(answer(), before_request=silence(), port=server.port),
            Client(
                route(
                    f"https://api.example.invalid:{server.port}",
                    timeouts=replace(PATIENT, connect_s=1),
                    context=trusting(authority),
                )
            ) as client,
        ):
            return await client.send(b"{}")

    assert asyncio.run(run()).status == 200


def test_the_deadline_leaves_time_to_connect() -> None:
    """Connecting has its own timeout, for name and connection and again for TLS."""
    with pytest.raises(ValueError, match="connecting"):
        Timeouts(connect_s=10, total_s=19)


# --- proxies ---


def tunnel(to_port: int) -> Step:
    """An honest proxy: joins the client to a server of this machine, whatever it asks for."""

    async def step(line: Line) -> bool:
        reader, writer = await asyncio.open_connection("127.0.0.1", to_port)
        line.writer.write(b"HTTP/1.1 200 Connected\r\n\r\n")
        there = asyncio.create_task(_copy(line.reader, writer))
        try:
            await _copy(reader, line.writer)
        finally:
            there.cancel()
            await asyncio.wait([there])
            writer.close()
        return False

    return step


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65_536):
        writer.write(data)
        await writer.drain()


def through(
    proxy: str,
    *,
    timeouts: Timeouts = PATIENT,
    context: ssl.SSLContext | None = None,
    times: int = 1,
) -> Awaitable[Reply]:
    """Send to a host that only the proxy can reach; the last answer."""

    async def run() -> Reply:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("https_proxy", proxy)
            to = route("https://api.example.invalid", timeouts=timeouts, context=context)
        async with Client(to) as client:
            return [await client.send(b"{}") for _ in range(times)][-1]

    return run()


def test_requests_go_through_the_environments_proxy(authority: trustme.CA) -> None:
    """N27: CONNECT, with the proxy's credentials; the request itself only inside TLS."""

    async def run() -> tuple[Reply, Scripted, Scripted]:
        tls = server_tls(authority.issue_cert("api.example.invalid"))
        async with serving(answer(), tls=tls) as server, serving(tunnel(server.port)) as proxy:
            url = f"http://user:pr0xy-pass@127.0.0.1:{proxy.port}"
            return await through(url, context=trusting(authority), times=2), proxy, server

    reply, proxy, server = asyncio.run(run())

    head = proxy.requests[0][0]
    assert (reply.status, len(server.requests)) == (200, 2)
    assert head.startswith(b"CONNECT api.example.invalid:443 HTTP/1.1\r\n")
    assert base64.b64encode(b"user:pr0xy-pass") in head
    assert SECRETS[1].encode() not in head
    assert (b"Proxy-Authorization" in server.requests[0][0], proxy.connections) == (False, 1)


@pytest.mark.parametrize(
    ("connect", "failure"),
    [
        pytest.param(answer(407, b""), Failure.PROXY_AUTH, id="N27-407"),
        pytest.param(answer(502, b""), Failure.PROXY, id="N27-502"),
        pytest.param(hang_up(), Failure.PROXY, id="N27-closed"),
        pytest.param(reset(), Failure.PROXY, id="N27-reset"),
        pytest.param(raw(b"junk\r\n\r\n"), Failure.PROXY, id="N27-junk"),
        pytest.param(silence(), Failure.PROXY, id="N27-silent"),
        pytest.param(trickle(b"HTTP/1.1 200 OK", every_s=0.2), Failure.PROXY, id="N27-trickle"),
    ],
)
def test_a_proxy_that_fails_is_named(connect: Step, failure: Failure) -> None:
    """N27: what fails at the proxy was not seen by the API."""

    async def run() -> Reply:
        async with serving(connect) as proxy:
            url = f"http://127.0.0.1:{proxy.port}"
            return await through(url, timeouts=replace(PATIENT, connect_s=0.5))

    reply = asyncio.run(run())

    assert (reply.failure, reply.failure and reply.failure.seen) == (failure, False)


def test_a_dead_proxy_is_named() -> None:
    """N27: nothing listens where the proxy should be."""
    reply = asyncio.run(_through_dead())

    assert reply.failure is Failure.PROXY


async def _through_dead() -> Reply:
    return await through("http://user:pr0xy-pass@127.0.0.1:9")


@pytest.mark.parametrize(
    ("environment", "url", "proxy"),
    [
        pytest.param({"HTTPS_PROXY": "http://p:1"}, "https://h.example", "http://p:1", id="https"),
        pytest.param({"https_proxy": "p:1"}, "https://h.example", "http://p:1", id="no-scheme"),
        pytest.param({"ALL_PROXY": "http://p:1"}, "https://h.example", "http://p:1", id="all"),
        pytest.param({"HTTP_PROXY": "http://p:1"}, "https://h.example", None, id="http-only"),
        pytest.param(
            {"HTTPS_PROXY": "http://p:1", "NO_PROXY": "h.example"},
            "https://h.example",
            None,
            id="excepted",
        ),
        pytest.param(
            {"HTTPS_PROXY": "http://p:1", "NO_PROXY": "*"}, "https://h.example", None, id="all-off"
        ),
        pytest.param(
            {"ALL_PROXY": "http://p:1", "HTTP_PROXY": "http://p:1", "HTTPS_PROXY": "http://p:1"},
            "http://127.0.0.1:8",
            None,
            id="loopback",
        ),
        pytest.param({"HTTPS_PROXY": ""}, "https://h.example", None, id="empty"),
    ],
)
def test_the_environment_says_which_proxy(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], url: str, proxy: str | None
) -> None:
    """N27: the usual variables count; this machine is never reached through a proxy."""
    for name, value in environment.items():
        monkeypatch.setenv(name, value)

    assert proxy_for(address_of(url)) == proxy


@pytest.mark.parametrize(
    "proxy",
    ["socks5://user:pr0xy-pass@p:1", "http://user:pr0xy-pass@p:x", "http://user:pr0xy-pass@"],
)
def test_a_proxy_that_cannot_be_used_is_refused_without_its_password(
    monkeypatch: pytest.MonkeyPatch, proxy: str
) -> None:
    """X3: the refusal names no secret."""
    monkeypatch.setenv("HTTPS_PROXY", proxy)

    with pytest.raises(UsageError) as caught:
        route("https://h.example")

    shown = "".join(traceback.format_exception(caught.value)) + caught.value.hint
    assert "pr0xy-pass" not in shown


# --- secrets ---


def test_debug_logs_show_no_secret(caplog: pytest.LogCaptureFixture) -> None:
    """X3: with every logger at DEBUG, no line has the key in any form."""
    caplog.set_level(logging.DEBUG)

    logging.getLogger("aiohttp").debug("probe")
    sent(answer(), reset(), answer(401), times=3)

    assert "probe" in caplog.text  # debug lines are caught
    assert [secret for secret in SECRETS if secret in caplog.text] == []


def test_an_answer_that_repeats_the_key_does_not_show_it() -> None:
    """X3: neither the route nor a reply show the key, even where the server echoes it."""
    echo = f"you said {SECRETS[0]} and {SECRETS[1]}"
    step = answer(400, echo.encode(), f"Location: https://h/?{KEY}", f"X-Request-Id: {SECRETS[1]}")

    async def run() -> tuple[Reply, Route]:
        async with serving(step) as server:
            to = route(server.url)
            async with Client(to) as client:
                return await client.send(b"{}"), to

    reply, to = asyncio.run(run())

    assert [secret for secret in SECRETS if secret in repr(reply) + repr(to)] == []
    assert reply.body == b"you said *** and ***"


def test_a_short_key_does_not_garble_answers() -> None:
    """A key of two letters is no reason to take an ok for something else."""

    async def run() -> Reply:
        async with serving(answer()) as server:
            short = route_to(address_of(server.url), Endpoint.BULK, key="ok", timeouts=PATIENT)
            async with Client(short) as client:
                return await client.send(b"{}")

    assert asyncio.run(run()) == Reply(200, body=OK_BODY)


def test_the_route_with_a_proxy_shows_no_password(monkeypatch: pytest.MonkeyPatch) -> None:
    """N27: a proxy's password is in no text of the route, and is cleaned from what it says."""
    monkeypatch.setenv("HTTPS_PROXY", "http://user:pr0xy%2Dpass@p:1")

    to = route("https://h.example")

    assert "pass" not in repr(to)
    assert {"pr0xy%2Dpass", "pr0xy-pass"} <= set(to.secrets)


def test_the_key_goes_to_the_given_address_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """X8: ~/.netrc is not read."""
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login other password other\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NETRC", str(tmp_path / ".netrc"))

    _, server = sent(answer())

    assert f"Authorization: Basic {SECRETS[1]}".encode() in server.requests[0][0]


def test_the_wire_is_a_transport_for_any_request() -> None:
    """Each request has its own headers, and a body in several parts arrives as one."""

    async def parts() -> AsyncIterator[bytes]:
        for part in (b"one ", b"two"):
            yield part

    async def run() -> Scripted:
        wire = Wire(context=tls_context(), timeouts=httpx.Timeout(5), idle_s=4)
        departure = Departure(ready=lambda: asyncio.sleep(0), leaving=lambda: None)
        async with serving(answer()) as server, wire:
            for name, content in (("A", b"whole"), ("B", parts())):
                request = httpx.Request(
                    "POST",
                    server.url,
                    headers={"X-Name": name},
                    content=content,
                    extensions={"departure": departure},
                )
                response = await wire.handle_async_request(request)
                assert await response.aread() == OK_BODY
        return server

    requests = asyncio.run(run()).requests

    assert [body for _, body in requests] == [b"whole", b"one two"]
    assert [head.partition(b"X-Name: ")[2][:1] for head, _ in requests] == [b"A", b"B"]
    assert [b"Transfer-Encoding" in head for head, _ in requests] == [False, False]


class Odd(httpx.AsyncBaseTransport):
    """A transport that fails in ways that a server of this machine cannot."""

    def __init__(self, error: Exception, *, begun: bool) -> None:
        self.error, self.begun = error, begun

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Fail, before or after the request may have left."""
        if self.begun:
            request.extensions["departure"].leaving()
        raise self.error


def _caused(error: Exception, cause: BaseException) -> Exception:
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "begun", "failure"),
    [
        pytest.param(httpx.NetworkError("odd"), True, Failure.RESET, id="unknown-kind"),
        pytest.param(httpx.WriteError("odd"), True, Failure.WRITE, id="write"),
        pytest.param(OSError("odd"), True, Failure.RESET, id="system"),
        pytest.param(ssl.SSLError(1, "odd"), True, Failure.RESET, id="tls-while-reading"),
        pytest.param(
            _caused(httpx.ConnectError(""), OSError(101, "odd")),
            False,
            Failure.UNREACHABLE,
            id="no-route",
        ),
        pytest.param(
            _caused(
                httpx.ConnectError(""),
                BaseExceptionGroup("all", [OSError(101, "odd"), ConnectionRefusedError(111, "no")]),
            ),
            False,
            Failure.REFUSED,
            id="one-of-several-addresses",
        ),
    ],
)
def test_errors_that_a_local_server_cannot_make(
    *, error: Exception, begun: bool, failure: Failure
) -> None:
    """What is not known is in doubt once the request may have left, and sure before."""

    async def run() -> Reply:
        client = Client(route("http://127.0.0.1:9"))
        await client.aclose()
        client._transport = Odd(error, begun=begun)  # type: ignore[assignment]
        return await client.send(b"{}")

    reply = asyncio.run(run())

    assert (reply.failure, failure.seen, reply.detail) == (failure, begun, "odd")


def test_an_address_is_checked_before_a_client_can_be_made() -> None:
    """X5: there is no route over plain HTTP to another machine."""
    with pytest.raises(UsageError):
        route("http://api.getblueshift.com")
    assert Address("http", "127.0.0.1", 80).loopback
