"""The process of a `BackgroundSandbox`: options on standard input, the URL on standard output."""

import contextlib
import json
import os
import sys

from ingest.sandbox.errors import SandboxError
from ingest.sandbox.options import SandboxOptions
from ingest.sandbox.server import run_for_parent


def main() -> int:
    """Serve until the parent closes our standard input or dies."""
    hello = json.loads(sys.stdin.readline() or "{}")
    if not hello:
        return 1
    try:
        options = SandboxOptions.from_json(hello["options"])
        run_for_parent(options, parent=hello["parent"], announce=lambda url: _say(url=url))
    except SandboxError as error:
        _say(error=error.message, hint=error.hint)
        return 2
    return 0


def _say(**said: str) -> None:
    with contextlib.suppress(BrokenPipeError):  # the parent has died, and we end next
        os.write(sys.stdout.fileno(), json.dumps(said).encode() + b"\n")


if __name__ == "__main__":
    sys.exit(main())
