"""Group commits: intent before sending, receipts after, one transaction for all that came together.

A batch is released for sending when the commit that holds its intent is durable. Receipts wait up
to `GROUP_S` for company. When a commit fails, nothing is released any more and the run stops.
"""

import asyncio
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

from ingest.core.ledger import Receipt, joined
from ingest.core.load import ChunkState, Load, Note
from ingest.edges.store import Store

GROUP_S = 0.1
"""Seconds that receipts wait for others: 3 us of wall a batch instead of 216 (one commit each)."""


class Recorder:
    """The one writer of a load's progress.

    Args:
        store: The ledger; used from one thread of its own.
        load: The claimed load.
        on_commit: Called after each commit with the chunks that it recorded.
        log: Takes the attempts since the last commit; evidence, not truth.
    """

    def __init__(
        self,
        store: Store,
        load: Load,
        *,
        on_commit: Callable[[list[ChunkState]], None],
        log: Callable[[list[dict[str, Any]]], None] = lambda _: None,
    ) -> None:
        self._store = store
        self._load = load
        self._on_commit = on_commit
        self._log = log
        self._attempts: list[dict[str, Any]] = []
        self._states: dict[int, ChunkState] = {}
        self._changed: set[int] = set()
        self._receipts: list[Receipt] = []
        self._notes: list[Note] = []
        self._waiters: list[asyncio.Future[None]] = []
        self._wake = asyncio.Event()
        self._urgent = asyncio.Event()
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="ledger")
        self._failed: Exception | None = None
        self._writing: asyncio.Future[None] | None = None

    async def begin(self, state: ChunkState, *, notes: Iterable[Note] = ()) -> None:
        """Take up a chunk and record it as it is; returns when that is durable."""
        self._states[state.chunk.chunk_id] = state
        self._changed.add(state.chunk.chunk_id)
        self._notes.extend(notes)
        await self._durable()

    async def intend(self, chunk_id: int, records: int) -> None:
        """Record that records may be sent; returns when that is durable."""
        state = self._states[chunk_id]
        self._states[chunk_id] = replace(state, progress=state.progress.intend(records))
        self._changed.add(chunk_id)
        await self._durable()

    def settle(self, receipt: Receipt, *, notes: Iterable[Note] = ()) -> None:
        """Take a receipt; it is recorded with the next commit."""
        self._receipts.append(receipt)
        self._notes.extend(notes)
        self._wake.set()

    def attempted(self, attempt: dict[str, Any]) -> None:
        """Take an attempt for the log; it is written with the next commit."""
        self._attempts.append(attempt)

    async def work(self) -> None:
        """Commit whenever there is something to commit, until cancelled.

        Raises:
            IngestError: A commit failed.
        """
        while True:
            await self._wake.wait()
            if not self._waiters:
                await self._company()
            await self._commit()

    async def finish(self) -> None:
        """Record what is left; to be called when `work` has ended."""
        try:
            if self._failed is None:
                if self._writing is not None:
                    await self._writing
                await self._commit()
        finally:
            self._thread.shutdown(wait=True)

    async def _company(self) -> None:
        try:
            async with asyncio.timeout(GROUP_S):
                await self._urgent.wait()
        except TimeoutError:
            return

    async def _durable(self) -> None:
        if self._failed is not None:
            raise self._failed
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        self._wake.set()
        self._urgent.set()
        await waiter

    async def _commit(self) -> None:
        self._wake.clear()
        self._urgent.clear()
        waiters, self._waiters = self._waiters, []
        notes, self._notes = self._notes, []
        self._fold()
        states = [self._states[chunk_id] for chunk_id in sorted(self._changed)]
        self._changed.clear()
        try:
            if states or notes:
                await self._write(states, notes)
        except Exception as error:
            self._failed = error
            for waiter in waiters:
                if not waiter.done():
                    waiter.set_exception(error)
                    waiter.exception()
            raise
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)
        self._forget(states)
        self._on_commit(states)

    def _fold(self) -> None:
        receipts, self._receipts = self._receipts, []
        by_chunk: dict[int, list[Receipt]] = {}
        for receipt in receipts:
            by_chunk.setdefault(receipt.chunk_id, []).append(receipt)
        for chunk_id, some in by_chunk.items():
            state = self._states[chunk_id]
            self._states[chunk_id] = replace(state, progress=state.progress.fold(joined(some)))
            self._changed.add(chunk_id)

    async def _write(self, states: list[ChunkState], notes: list[Note]) -> None:
        # Shielded: a transaction that has begun ends, whatever is cancelled around it.
        loop = asyncio.get_running_loop()
        attempts, self._attempts = self._attempts, []

        def write() -> None:
            self._log(attempts)
            self._store.commit(self._load, states=states, notes=notes)

        self._writing = loop.run_in_executor(self._thread, write)
        await asyncio.shield(self._writing)

    def _forget(self, states: Iterable[ChunkState]) -> None:
        for state in states:
            current = self._states.get(state.chunk.chunk_id)
            # Records that came back mended are sent while they are held.
            if current is state and state.progress.complete and not state.progress.held:
                del self._states[state.chunk.chunk_id]
