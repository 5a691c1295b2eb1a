"""The sandbox as a server on 127.0.0.1, until it is told to stop."""

import asyncio
import contextlib
import os
import signal
import sys
import tempfile
from collections.abc import AsyncIterator, Callable
from pathlib import Path

from aiohttp import web

from ingest.sandbox.app import Api
from ingest.sandbox.errors import SandboxError
from ingest.sandbox.options import SandboxOptions
from ingest.sandbox.store import Store

ADDRESS = "127.0.0.1"
# What a request may still take when the server stops, in seconds; one that hangs by a fault does.
GRACE_S = 0.5
_PARENT_CHECK_S = 0.5


@contextlib.asynccontextmanager
async def serving(options: SandboxOptions) -> AsyncIterator[str]:
    """Serve inside the running loop, and give the URL.

    Raises:
        SandboxError: The port is taken, or the store or the rules cannot be used.
    """
    with contextlib.ExitStack() as stack:
        path = options.store or Path(
            stack.enter_context(tempfile.TemporaryDirectory(prefix="ingest-sandbox-")), "store.db"
        )
        store = stack.enter_context(contextlib.closing(Store(path)))
        server = web.Server(
            Api(options, store).handle,
            handler_cancellation=True,  # a request that hangs ends with its connection
            access_log=None,
            auto_decompress=False,  # the API documents no compressed bodies
        )
        runner = web.ServerRunner(server, shutdown_timeout=GRACE_S)
        await runner.setup()
        try:
            yield await _listen(runner, options.port)
        finally:
            await runner.cleanup()


async def _listen(runner: web.ServerRunner, port: int) -> str:
    try:
        await web.TCPSite(runner, ADDRESS, port).start()
    except OSError as error:
        raise SandboxError(
            f"port {port} on {ADDRESS} cannot be had: {os.strerror(error.errno or 0)}",
            hint="leave --port out, and a free one is chosen",
        ) from error
    _, bound = runner.addresses[0][:2]
    return f"http://{ADDRESS}:{bound}"


def run_forever(options: SandboxOptions, *, announce: Callable[[str], None]) -> None:
    """Serve until SIGINT or SIGTERM.

    Args:
        options: As it is to be started.
        announce: Is told the URL once requests are taken.

    Raises:
        SandboxError: The port is taken, or the store or the rules cannot be used.
    """
    asyncio.run(_until_signal(options, announce))


async def _until_signal(options: SandboxOptions, announce: Callable[[str], None]) -> None:
    stop = asyncio.Event()
    _stop_by_signals(stop)
    async with serving(options) as url:
        announce(url)
        await stop.wait()


def run_for_parent(
    options: SandboxOptions, *, parent: int, announce: Callable[[str], None]
) -> None:
    """Serve until standard input ends, the parent is gone, or a signal comes.

    Args:
        options: As it is to be started.
        parent: Process id of the parent. Its end of our standard input may live on in processes
            that it forked, so the end of that alone does not tell that it died.
        announce: Is told the URL once requests are taken.

    Raises:
        SandboxError: The port is taken, or the store or the rules cannot be used.
    """
    asyncio.run(_until_orphaned(options, parent, announce))


async def _until_orphaned(
    options: SandboxOptions, parent: int, announce: Callable[[str], None]
) -> None:
    stop = asyncio.Event()
    _stop_by_signals(stop)
    standard_input = sys.stdin.fileno()

    loop = asyncio.get_running_loop()

    def read_on() -> None:
        if not os.read(standard_input, 4096):
            loop.remove_reader(standard_input)
            stop.set()

    loop.add_reader(standard_input, read_on)
    async with serving(options) as url:
        announce(url)
        while not stop.is_set() and os.getppid() == parent:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), _PARENT_CHECK_S)


def _stop_by_signals(stop: asyncio.Event) -> None:
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
