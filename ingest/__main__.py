"""The entry point of the `ingest` command."""

from ingest.cli import main

__all__ = ["main"]

if __name__ == "__main__":
    main()
