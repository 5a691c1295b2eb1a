"""Sends one request at a time over one connection, and says exactly what came back.

A `Client` is one connection of one worker: a pool that workers share slows down as they are added,
connections of their own do not. It calls an httpx transport directly, with URL and headers made once
(`Route`), for cookies, redirects and hooks cost more than the request.

`wire` is that transport, over aiohttp; `failure` is the one place that reads its errors. Nothing
above this package knows either library, and nothing below it can raise into a worker but
cancellation.
"""

import asyncio
from collections.abc import Mapping
from types import TracebackType
from typing import Self

import httpx

from ingest.core.outcome import Failure, Reply
from ingest.edges.client.failure import failure_of
from ingest.edges.client.route import Permit, Route, Timeouts, proxy_for, route_to, tls_context
from ingest.edges.client.wire import Departure, Wire

__all__ = ["Client", "Permit", "Route", "Timeouts", "proxy_for", "route_to", "tls_context"]


_WANTED = {b"retry-after", b"x-request-id", b"location"}


class Client:
    """One connection; opened by the first request and again when needed.

    Use it from one task at a time, in one event loop; close it there.

    Args:
        route: Where to.
    """

    def __init__(self, route: Route) -> None:
        self._route = route
        self._headers = httpx.Headers(route.headers)
        self._proxied = route.proxy is not None
        timeouts = route.timeouts
        self._transport: httpx.AsyncBaseTransport = Wire(
            context=route.context,
            proxy=route.proxy,
            timeouts=httpx.Timeout(
                connect=timeouts.connect_s,
                read=timeouts.read_s,
                write=timeouts.write_s,
                pool=2 * timeouts.connect_s,
            ),
            idle_s=timeouts.idle_s,
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the connection."""
        await self._transport.aclose()

    async def send(self, body: bytes, *, permit: Permit | None = None) -> Reply:
        """Post one body and read the answer to its end.

        Args:
            body: JSON.
            permit: Awaited once, on an open connection, right before the first byte leaves, so that
                a request that was paced in time does not go late because it had to connect. Wait
                for the turn itself before calling: an open connection that waits may be closed by
                the server. The deadline begins anew after it.

        Returns:
            What came back. Failures are values: nothing is raised but cancellation and what
            `permit` raises.
        """
        attempt = _Attempt(self._route, permit)
        request = self._request("POST", self._route.url, body, attempt)
        return await self._exchange(attempt, request)

    async def ask(self, path: str, params: Mapping[str, str]) -> Reply:
        """Get what stands at a path of the same origin.

        Args:
            path: Such as `/api/v1/event/history`.
            params: Of the query; any text.

        Returns:
            What came back. Failures are values: nothing is raised but cancellation.
        """
        attempt = _Attempt(self._route, None)
        url = self._route.url.copy_with(path=path, params=params)
        return await self._exchange(attempt, self._request("GET", url, b"", attempt))

    async def _exchange(self, attempt: "_Attempt", request: httpx.Request) -> Reply:
        try:
            async with attempt.deadline:
                return await attempt.run(self._transport, request)
        except TimeoutError:
            if not attempt.deadline.expired():
                raise  # not ours: the permit's
            return attempt.out_of_time(proxied=self._proxied)
        except (httpx.TransportError, OSError) as error:
            if error is attempt.withheld:
                raise
            return attempt.failed(*failure_of(error, begun=attempt.begun, proxied=self._proxied))

    def _request(
        self, method: str, url: httpx.URL, body: bytes, attempt: "_Attempt"
    ) -> httpx.Request:
        return httpx.Request(
            method,
            url,
            headers=self._headers,
            stream=httpx.ByteStream(body),
            extensions={"departure": attempt.departure},
        )


class _Attempt:
    """What is known of one attempt so far, so that a failure can be told in full."""

    def __init__(self, route: Route, permit: Permit | None) -> None:
        self._route = route
        self._permit = permit
        self.departure = Departure(ready=self._ready, leaving=self._leaving)
        self.deadline = asyncio.timeout(None)  # the transport limits what comes before
        self.begun = False  # the first byte may have left
        self.withheld: Exception | None = None  # what the permit raised
        self._response: httpx.Response | None = None
        self._body = bytearray()

    async def _ready(self) -> None:
        """A connection stands, and the request is about to leave."""
        if self._permit is not None:
            try:
                await self._permit()
            except Exception as error:
                self.withheld = error
                raise
        now_s = asyncio.get_running_loop().time()
        self.deadline.reschedule(now_s + self._route.timeouts.total_s)

    def _leaving(self) -> None:
        self.begun = True

    async def run(self, transport: httpx.AsyncBaseTransport, request: httpx.Request) -> Reply:
        self._response = response = await transport.handle_async_request(request)
        stream = response.stream
        if not isinstance(stream, httpx.AsyncByteStream):  # pragma: no cover - never, for this one
            raise httpx.ReadError("the transport gave no stream")
        try:
            async for part in stream:
                self._body += part
                if len(self._body) > self._route.max_body_bytes:
                    return self.failed(
                        Failure.BODY_TOO_LARGE, f"over {self._route.max_body_bytes} bytes"
                    )
        finally:
            await stream.aclose()
        return self._reply(None, "")

    def out_of_time(self, *, proxied: bool) -> Reply:
        """The deadline has passed."""
        timeouts = self._route.timeouts
        if self.begun:
            return self.failed(Failure.DEADLINE, f"no end after {timeouts.total_s:g} s")
        connecting = Failure.PROXY if proxied else Failure.CONNECT_TIMEOUT
        return self.failed(connecting, f"no connection after {2 * timeouts.connect_s:g} s")

    def failed(self, failure: Failure, detail: str) -> Reply:
        return self._reply(failure, self._clean(detail))

    def _reply(self, failure: Failure | None, detail: str) -> Reply:
        if self._response is None:
            return Reply(None, failure, complete=False, detail=detail)
        headers = {
            name.lower(): value.decode("latin-1")
            for name, value in self._response.headers.raw
            if name.lower() in _WANTED
        }
        body = bytes(self._body[: self._route.max_body_bytes])
        for secret in self._route.secrets:
            body = body.replace(secret.encode(), b"***")
        return Reply(
            self._response.status_code,
            failure,
            body=body,
            complete=failure is None,
            retry_after=headers.get(b"retry-after"),
            request_id=self._shown(headers.get(b"x-request-id")),
            location=self._shown(headers.get(b"location")),
            detail=detail,
        )

    def _shown(self, text: str | None) -> str | None:
        return None if text is None else self._clean(text)

    def _clean(self, text: str) -> str:
        """Without our secrets, should a server or a proxy repeat them."""
        for secret in self._route.secrets:
            text = text.replace(secret, "***")
        return text
