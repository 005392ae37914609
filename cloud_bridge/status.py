"""What one uplink says of itself: counted on the way, left in the bridge's file for the gateway's screens.

Written at most once a second when something changed, else every few seconds as a sign of life.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping

import apsw
import structlog

from cloud_bridge.advice import advice
from cloud_bridge.ledger import Ledger, Waiting
from cloud_bridge.uplink import Uplink
from gateway.clock import Clock
from gateway.model import Lane
from gateway.store.database import StoreError

_log = structlog.get_logger(__name__)
_EVERY_S = 1.0
_HEARTBEAT_S = 5.0
_NO_STATUS = "cannot write the status"
_COUNTING_SHARE = 50  # counting a backlog may take a fiftieth of the time


class Status:
    """Counters and state of one uplink, since the start of the bridge but for ``rejected`` (dead letters kept)."""

    def __init__(
        self,
        uplink: str,
        platform: Uplink,
        ledger: Ledger,
        clock: Clock,
        cursors: Callable[[], Mapping[Lane, int]],
    ) -> None:
        self._uplink = uplink
        self._ledger = ledger
        self._clock = clock
        self._cursors = cursors
        self._platform = platform
        self._changed = asyncio.Event()
        self._state = "connecting"
        self._since = clock.now().utc
        self._error = ""
        self._trouble = ""
        self._backlog: dict[str, Waiting] = {}
        self._rated = (
            asyncio.get_running_loop().time(),
            0,
        )  # when the rate was last looked at, telemetry settled by then
        self._rate = 0.0
        self._count_at_s = 0.0
        self.settled = dict.fromkeys(Lane, 0)
        self.kept = 0  # rows sent without an answer: they were or will be sent again
        self.rejected = 0
        self.sessions = 0
        self.certificates: dict[str, str] = {}  # ours and theirs: until when they are good

    def up(self) -> None:
        """A session is open."""
        self.sessions += 1
        self._turn("up", "")

    def down(self, reason: str) -> None:
        """The session ended or could not be opened."""
        self._turn("down", reason)

    def put_aside(self, reason: str) -> None:
        """A row was refused for good."""
        self.rejected += 1
        _log.warning("row put aside", uplink=self._uplink, reason=reason, hint=advice(reason).zh)
        self._changed.set()

    def letter_gone(self) -> None:
        """The platform has taken a row that it had refused before."""
        self.rejected = max(0, self.rejected - 1)
        self._changed.set()

    def stop(self) -> None:
        """The bridge ends."""
        self._turn("stopped", "")

    def trouble(self, text: str) -> None:
        """Something in the bridge itself does not work; "" when it works again."""
        if text != self._trouble:
            self._trouble = text
            _log.warning(
                "bridge trouble" if text else "bridge trouble over",
                uplink=self._uplink,
                reason=text,
                hint=advice(text).zh,
            )

    def _turn(self, state: str, error: str) -> None:
        if state != self._state:
            self._state, self._since = state, self._clock.now().utc
            _log.info("uplink " + state, uplink=self._uplink, reason=error, hint=advice(error).zh)
            self._changed.set()
        elif error != self._error:
            _log.info("uplink still " + state, uplink=self._uplink, reason=error, hint=advice(error).zh)
        self._error = error

    def touch(self) -> None:
        """Something was counted."""
        self._changed.set()

    async def run(self) -> None:
        """Write the status until cancelled; a status older than 10 s means a bridge that hangs."""
        try:
            while True:
                self._changed.clear()
                await self._write_if_possible()
                await asyncio.sleep(_EVERY_S)
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(_HEARTBEAT_S):  # wait_for of Python 3.11 can swallow a cancellation
                        await self._changed.wait()
        finally:
            await self._write_if_possible()

    async def _write_if_possible(self) -> None:
        try:
            await self._write()
        except (apsw.Error, StoreError) as error:
            self.trouble(f"{_NO_STATUS}: {error}")
        else:
            if self._trouble.startswith(_NO_STATUS):
                self.trouble("")

    async def _write(self) -> None:
        loop = asyncio.get_running_loop()
        if loop.time() >= self._count_at_s:
            start_s = loop.time()
            self._backlog = await self._ledger.backlog(self._cursors())
            self._count_at_s = loop.time() + (loop.time() - start_s) * _COUNTING_SHARE
        now_s, settled = loop.time(), self.settled[Lane.TELEMETRY]
        if now_s > self._rated[0]:
            self._rate = (settled - self._rated[1]) / (now_s - self._rated[0])
            self._rated = (now_s, settled)
        await self._ledger.tell(self._uplink, self.as_dict())

    def as_dict(self) -> dict[str, object]:
        """JSON as the gateway reads it with `bridge_status`."""
        return {
            "state": self._state,
            "since": self._since.isoformat(),
            "at": self._clock.now().utc.isoformat(),
            "error": self._error or self._trouble,
            "settled": {lane.value: count for lane, count in self.settled.items()},
            "kept": self.kept,
            "rejected": self.rejected,
            "sessions": self.sessions,
            "certificates": dict(self.certificates),
            "counts": dict(self._platform.counts),
            "rate": round(self._rate, 1),
            "backlog": {
                lane: {
                    "entries": each.entries,
                    "bytes": each.bytes,
                    "oldest_at": each.oldest_at and each.oldest_at.isoformat(),
                }
                for lane, each in self._backlog.items()
            },
        }
