"""The entry point of the `ingest` command.

It imports nothing before it can answer Ctrl-C: most of a short command's time goes into imports.
"""

import sys

__all__ = ["main"]


def main() -> None:
    """Run the command line and exit."""
    try:
        from ingest.cli import main as command  # noqa: PLC0415 - see the module's docstring

        command()
    except KeyboardInterrupt:
        sys.stderr.write("stopped; nothing was sent\n")
        sys.exit(130)


if __name__ == "__main__":
    main()
