"""A pump at work on a real outbox and a platform that follows a script: what it takes, refuses, ignores and drops."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Any

from cloud_bridge.ledger import Ledger
from cloud_bridge.pump import Pump
from cloud_bridge.suspicion import Row
from cloud_bridge.uplink import Limits, UplinkError
from gateway.clock import SystemClock
from gateway.model import Delivery, OutboxEntry
from gateway.store.outbox import OutboxReader
from tests.support_bridge import Box

TAKE, REJECT, NAME, DROP, SILENT, RAISE = "take", "reject", "name", "drop", "silent", "raise"


class Scripted:
    """An uplink without a wire. ``script`` says of each row what becomes of it; ``farewell``: what `close` answers."""

    def __init__(self, script: Callable[[Row], str], *, answer_s: float = 5.0, rate: float = 0.0) -> None:
        self.limits = Limits(1, 20, 100_000, answer_s, telemetry_bytes=2_000, rate=rate)
        self.counts: Mapping[str, int] = {}
        self.seen: list[Row] = []  # every row that arrived
        self.taken: list[Row] = []
        self.heard: list[Row] = []  # every row that the platform has, whether it said so or not
        self.sessions = 0
        self.farewell: Callable[[Row], bool] = lambda _: False
        self._script = script
        self._open: dict[asyncio.Future[Delivery], Row] = {}
        self._ended: asyncio.Future[UplinkError] | None = None

    async def open(self) -> None:
        self.sessions += 1
        self._ended = asyncio.get_running_loop().create_future()

    def deliver(self, entries: Sequence[OutboxEntry]) -> asyncio.Future[Delivery]:
        (entry,) = entries
        row = Row(entry.lane, entry.seq)
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Delivery] = loop.create_future()
        self._open[future] = row
        loop.call_soon(self._arrive, future, row)
        return future

    def _arrive(self, future: asyncio.Future[Delivery], row: Row) -> None:
        assert self._ended is not None
        if self._ended.done() or future.done():
            return
        self.seen.append(row)
        verdict = self._script(row)
        if verdict in (TAKE, SILENT):
            self.heard.append(row)
        if verdict == TAKE:
            self._take(future, row)
        elif verdict == REJECT:
            future.set_result(Delivery(rejected={row.seq: "400"}))
        elif verdict == NAME:
            future.set_exception(UplinkError("0x99", is_refusal=True, is_explicit=True))
        elif verdict == RAISE:
            future.set_exception(ValueError("a fault of the uplink's own"))
        elif verdict == DROP:
            self.drop()

    def _take(self, future: asyncio.Future[Delivery], row: Row) -> None:
        self.taken.append(row)
        future.set_result(Delivery(accepted=(row.seq,)))

    def drop(self) -> None:
        """The session ends, by the platform or by the link: nobody can tell."""
        assert self._ended is not None
        self._ended.set_result(UplinkError("the session ended", is_refusal=True))
        self._fail()

    def cancel(self) -> None:
        """The session is over, and what has not begun is taken back, as an executor does."""
        for future in self._open:
            future.cancel()

    def _fail(self) -> None:
        for future in self._open:
            if not future.done():
                future.set_exception(UplinkError("the session ended", is_refusal=True))
        self._open.clear()

    def newest(self, readings: Sequence[Sequence[Any]], seq: int) -> None:
        pass

    async def ended(self) -> UplinkError:
        assert self._ended is not None
        return await asyncio.shield(self._ended)

    async def close(self) -> None:
        for future, row in list(self._open.items()):
            if not future.done() and self.farewell(row):
                self._take(future, row)
        await asyncio.sleep(0.001)
        self._fail()


@contextlib.asynccontextmanager
async def pumping(box: Box, uplink: Scripted) -> AsyncIterator[asyncio.Task[None]]:
    """The pump of the uplink ``cloud``, until the end of the block."""
    directory = str(box.directory)
    reader, ledger, bell = OutboxReader(directory), Ledger(directory), asyncio.Event()
    await ledger.adopt(reader.epoch)
    pump = Pump("cloud", uplink, reader=reader, ledger=ledger, bell=bell, clock=SystemClock())
    task = asyncio.create_task(pump.run())
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.wait([task])
        ledger.close()
        reader.close()
        if not task.cancelled() and (error := task.exception()) is not None:
            raise error
