"""The plan line: what goes where, in how many calls, and how long that takes at the limit."""

from collections.abc import Mapping, Sequence
from typing import Any

from ingest.config import RunConfig
from ingest.core.batching import MAX_BYTES
from ingest.core.figures import counted, duration
from ingest.pipeline.payload import Prepared
from ingest.pipeline.sources import Opened


class Plan:
    """Counts what is prepared and tells what is to be expected.

    Args:
        config: The limit, the endpoint and the batch size.
    """

    def __init__(self, config: RunConfig) -> None:
        self._config = config
        self._calls = 0
        self._events = 0
        self._covered = self._left = 0

    def add(self, prepared: Prepared) -> None:
        """Count a chunk."""
        chunk = prepared.state.chunk
        self._covered += chunk.stop.offset - chunk.start.offset
        self._events += len(prepared.payload.ends)
        self._calls += sum(
            1
            for _ in prepared.payload.batches(
                wrapper=self._config.endpoint.wrapper,
                max_events=self._config.batch_size,
                max_bytes=MAX_BYTES,
                alone=prepared.state.progress.parked_again,
            )
        )

    def facts(self, sources: Sequence[Opened], *, url: str | None = None) -> dict[str, Any]:
        """Give the plan, JSON-able; `estimate` tells that not all was counted yet."""
        share = self._share(sources)
        calls, events = round(self._calls / share), round(self._events / share)
        rate = self._config.rate
        return {
            "events": events,
            "calls": calls,
            "estimate": share < 1,
            "rate": rate,
            "duration_s": None if rate is None else round(calls / rate, 1),
            "url": url,
            "sends": [source.mapping.describe(source.book.known) for source in sources],
        }

    def leave(self, size: int) -> None:
        """Take in that bytes are settled already: they are no part of what is to come."""
        self._left += size

    def _share(self, sources: Sequence[Opened]) -> float:
        whole = sum(source.file.expected - source.start.offset for source in sources) - self._left
        if self._config.limit is not None or whole <= self._covered:
            return 1.0
        return max(self._covered / whole, 1e-9)

    def line(self, sources: Sequence[Opened], *, url: str | None = None) -> str:
        """Give the plan in a line."""
        facts = self.facts(sources, url=url)
        about = "about " if facts["estimate"] else ""
        parts = [*dict.fromkeys(facts["sends"])]
        parts.append(
            f"{about}{counted(facts['events'], 'event')} in"
            f" {about}{counted(facts['calls'], 'call')}{self._time(facts)}"
        )
        if url:
            parts.append(f"to {url} (account {self._config.destination.account})")
        return "; ".join(parts)

    def in_time(self, facts: Mapping[str, Any], left_s: float) -> str:
        """Say whether the limit lets the plan end before `--finish-by`."""
        by, needed_s = self._config.finish_by, facts["duration_s"] or 0.0
        if needed_s <= left_s:
            return f"that ends before {by}, as far as the limit goes"
        share = left_s / needed_s
        return (
            f"the limit lets {counted(round(facts['events'] * share), 'event')} of"
            f" {facts['events']:,} go before {by}; run the same command again for the rest"
        )

    def _time(self, facts: dict[str, Any]) -> str:
        if facts["duration_s"] is None:
            return ", no limit"
        return f", {duration(facts['duration_s'])} at {facts['rate']:g} calls/s"
