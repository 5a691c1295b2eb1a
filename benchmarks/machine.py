"""Where a benchmark ran: cores, versions, the command."""

import os
import platform
import shlex
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

PACKAGES = ("aiohttp", "httpx", "uvloop")


def pinned() -> tuple[set[int], set[int]]:
    """One core for what is measured, and another for its peer; the same where there is one."""
    cores = sorted(os.sched_getaffinity(0))
    return {cores[0]}, {cores[-1]}


def described(command: Sequence[str], *, of: Sequence[str] = PACKAGES) -> str:
    """One paragraph on machine, versions (of these packages) and command."""
    packages = ", ".join(f"{name} {version(name)}" for name in of)
    program = f"python benchmarks/{Path(command[0]).name}"
    return (
        f"`{shlex.join([*program.split(), *command[1:]])}`, {datetime.now(UTC):%Y-%m-%d}; "
        f"{platform.system()} on {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f} before, "
        f"Python {platform.python_version()}, {packages}."
    )
