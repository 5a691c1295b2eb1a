"""`ingest retry`: what was typed to one of its two ways."""

from collections.abc import Mapping
from typing import Any

from ingest.config import RunConfig
from ingest.errors import UsageError
from ingest.pipeline.retry import retry_command, settle_command


def retry(
    config: RunConfig, rejects: str | None, doubt: tuple[str, str] | None, typed: Mapping[str, Any]
) -> dict[str, Any]:
    """Take a file back, or settle what is held; give the summary.

    Raises:
        UsageError: Neither was asked for, or both.
    """
    as_json = bool(typed["as_json"])
    if (rejects is None) == (doubt is None):
        raise UsageError(
            "retry takes a reject report, or --doubt with a run",
            hint="ingest retry rejects.csv, or ingest retry --doubt send RUN",
            code="usage",
        )
    if doubt is not None:
        wish: Any = doubt[0]
        return settle_command(config, doubt[1], wish, as_json=as_json)
    return retry_command(config, rejects or "", accept=typed["accept"], as_json=as_json)
