"""The bridge's books, kept by one thread: a slow disk must not hold up the event loop, and with it an alarm.

One thread also keeps the order: a refused row is on disk before the cursor moves past it. The SQL is in
`gateway.store.outbox`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import NamedTuple, TypeVar

from gateway.model import Lane, OutboxEntry
from gateway.store.outbox import CursorStore, OutboxReader

_T = TypeVar("_T")


class Waiting(NamedTuple):
    """Rows of a lane without an answer for good."""

    entries: int
    bytes: int
    oldest_at: datetime | None


class Ledger:
    """`CursorStore` for coroutines, and the size of the backlog."""

    def __init__(self, data_dir: str) -> None:
        self._writing = ThreadPoolExecutor(1, "ledger")
        self._counting = ThreadPoolExecutor(1, "backlog")  # counting a long backlog takes seconds
        self._data_dir = data_dir
        self._store: CursorStore | None = None
        self._reader: OutboxReader | None = None

    async def adopt(self, epoch: str) -> bool:
        """Keep books on this outbox only; True where those on a former one were thrown away."""
        await asyncio.get_running_loop().run_in_executor(self._counting, self._forget_reader)
        return await self._write(lambda store: store.adopt(epoch))

    def _forget_reader(self) -> None:
        """It may read a database that lies elsewhere by now."""
        if self._reader is not None:
            self._reader.close()
            self._reader = None

    async def get(self, uplink: str, lane: Lane) -> int:
        """Everything up to this row is settled."""
        return await self._write(lambda store: store.get(uplink, lane))

    async def rejected(self, uplink: str) -> int:
        """How many dead letters this uplink has."""
        return await self._write(lambda store: store.rejected(uplink))

    async def settle(self, uplink: str, cursors: Mapping[Lane, int]) -> None:
        """Everything up to these rows is settled."""

        def write(store: CursorStore) -> None:
            for lane, seq in cursors.items():
                store.settle(uplink, lane, seq)

        await self._write(write)

    async def reject(self, uplink: str, entry: OutboxEntry, reason: str) -> None:
        """Put a refused row aside."""
        await self._write(lambda store: store.reject(uplink, entry, reason))

    async def wanted(self, uplink: str) -> Sequence[tuple[int, OutboxEntry]]:
        """Dead letters of this uplink that somebody wants sent again."""
        return await self._write(lambda store: store.wanted(uplink))

    async def close_letter(self, letter_id: int, refused: str) -> None:
        """A dead letter was taken (``refused`` ""), or refused again."""
        await self._write(lambda store: store.close_letter(letter_id, refused))

    async def tell(self, uplink: str, status: dict[str, object]) -> None:
        """Leave word for the gateway's screens."""
        await self._write(lambda store: store.set_status(uplink, status))

    async def backlog(self, cursors: Mapping[Lane, int]) -> dict[str, Waiting]:
        """What waits in each lane."""

        def count() -> dict[str, Waiting]:
            if self._reader is None:
                self._reader = OutboxReader(self._data_dir)
            reader = self._reader
            found = {}
            for lane, seq in cursors.items():
                oldest = next(iter(reader.take(lane, seq, 1)), None)
                found[lane.value] = Waiting(*reader.backlog(lane, seq), oldest and oldest.at)
            return found

        return await asyncio.get_running_loop().run_in_executor(self._counting, count)

    async def _write(self, work: Callable[[CursorStore], _T]) -> _T:
        def do() -> _T:
            if self._store is None:
                self._store = CursorStore(self._data_dir)
            return work(self._store)

        return await asyncio.get_running_loop().run_in_executor(self._writing, do)

    def close(self) -> None:
        """Finish what is being written, then close."""
        self._writing.shutdown()
        self._counting.shutdown()
        if self._store is not None:
            self._store.close()
        if self._reader is not None:
            self._reader.close()
