"""A stand-in for the event API, written from its documentation; imports none of our code.

`run_forever(options, announce=print)` serves until a signal; `BackgroundSandbox(options)` is a
context manager that serves from a process of its own. Neither costs anything until it is used.
"""

from collections.abc import Callable

from ingest.sandbox.background import BackgroundSandbox
from ingest.sandbox.errors import SandboxError
from ingest.sandbox.options import SandboxOptions

__all__ = ["BackgroundSandbox", "SandboxError", "SandboxOptions", "run_forever"]


def run_forever(options: SandboxOptions, *, announce: Callable[[str], None] = print) -> None:
    """Serve on 127.0.0.1 until SIGINT or SIGTERM.

    Args:
        options: As it is to be started.
        announce: Is told the URL once requests are taken.

    Raises:
        SandboxError: The port is taken, or the store or the rules cannot be used.
    """
    # The server's library takes a quarter of a second to import, and most commands do not serve.
    from ingest.sandbox import server  # noqa: PLC0415 - see above

    server.run_forever(options, announce=announce)
