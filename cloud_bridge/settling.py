"""Writes an uplink's cursors: at once where an alarm was answered, else a few times a second, never in the way."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

import apsw

from cloud_bridge.ledger import Ledger
from cloud_bridge.status import Status
from gateway.model import Lane

_SETTLE_S = 0.5  # telemetry's cursor is written this often: a crash repeats at most so much


class Settling:
    """One uplink's cursors on disk; they follow what has been answered."""

    def __init__(
        self,
        name: str,
        ledger: Ledger,
        status: Status,
        settled: Callable[[], Mapping[Lane, int]],
        bell: asyncio.Event,
    ) -> None:
        """``bell`` is set when cursors were written."""
        self._name = name
        self._ledger = ledger
        self._status = status
        self._settled = settled
        self._bell = bell
        self._written: dict[Lane, int] = {}  # cursors as they are on disk
        self._writing: asyncio.Task[None] | None = None
        self._at_s = 0.0

    async def read(self) -> Mapping[Lane, int]:
        """Where the last one left off."""
        for lane in Lane:
            self._written[lane] = await self._ledger.get(self._name, lane)
        return dict(self._written)

    def if_due(self) -> None:
        """Begin to write where it is time."""
        if self._writing is not None:
            if not self._writing.done():
                return
            self._writing.result()
            self._writing = None
        settled = self._settled()
        if settled == self._written:
            return
        is_urgent = settled[Lane.ALARM] != self._written[Lane.ALARM]
        now_s = asyncio.get_running_loop().time()
        if is_urgent or now_s >= self._at_s + _SETTLE_S:
            self._at_s = now_s
            self._writing = asyncio.create_task(self._write(settled), name=f"settle {self._name}")

    async def all(self) -> None:
        """Write what is settled now."""
        if self._writing is not None:
            await self._writing
            self._writing = None
        await self._write(self._settled())

    async def _write(self, settled: Mapping[Lane, int]) -> None:
        changed = {lane: seq for lane, seq in settled.items() if seq != self._written[lane]}
        if not changed:
            return
        try:
            await self._ledger.settle(self._name, changed)
        except apsw.Error as error:  # a full disk must not stop alarms: sent on, settled later
            self._status.trouble(f"cannot write the cursor, rows may be sent twice: {error}")
        else:
            self._status.trouble("")
            self._written.update(changed)
            self._bell.set()
