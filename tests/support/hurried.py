"""A nursery whose runs have each timeout and wait a twentieth as long: a minute proves no more.

In a run, `HURRIED_NAME` of the environment is a name that resolves to this machine, and
`HURRIED_UNKNOWN` how often it does not at first. Started as a script this is the nursery.
"""

import functools
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any, Self

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [] if str(ROOT) in sys.path else [str(ROOT)]

from tests.support import deadly  # noqa: E402 - a script finds it only by the line above

TIMEOUTS = {"connect_s": 0.5, "write_s": 1.5, "read_s": 1.5, "total_s": 3.0, "idle_s": 0.2}
POLICY = {"base_s": 0.05, "cap_s": 1.5, "hold_budget_s": 180.0, "retry_after_cap_s": 1.5}


class HurriedNursery(deadly.Nursery):
    """The nursery; use as a context manager."""

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            [sys.executable, "-P", str(Path(__file__).resolve()), "plain"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
        )
        return self


def hurry() -> None:
    """Make all that follows in this process hurry."""
    from ingest.core.outcome import RetryPolicy
    from ingest.edges import client
    from ingest.pipeline import run

    wire: Any = client
    wire.route_to = functools.partial(client.route_to, timeouts=client.Timeouts(**TIMEOUTS))
    loaded: Any = run
    loaded.RetryPolicy = functools.partial(RetryPolicy, **POLICY)
    socket.getaddrinfo = _resolving(socket.getaddrinfo)


def _resolving(real: Any) -> Any:
    asked: list[object] = []

    def resolve(host: Any, *args: Any, **kwargs: Any) -> Any:
        name = host.decode() if isinstance(host, bytes) else host
        if not name or name != os.environ.get("HURRIED_NAME"):
            return real(host, *args, **kwargs)
        asked.append(host)
        if len(asked) <= int(os.environ.get("HURRIED_UNKNOWN", "0")):
            raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
        return real("127.0.0.1", *args, **kwargs)

    return resolve


if __name__ == "__main__":
    hurry()
    deadly.main()
