"""One uplink's work: one session after another, in which rows go from the outbox to the platform.

A row leaves the cursor behind only after the platform's own answer (PUBACK, 2xx). Everything else is kept, and
sent again in a later session, with the same ids. Which rows go next is `sending`, what answers mean is `answers`,
cursors are written by `settling`; what goes over the wire belongs to the uplinks.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import NoReturn

from cloud_bridge.answers import Answers
from cloud_bridge.ledger import Ledger
from cloud_bridge.pace import Backoff
from cloud_bridge.retries import Retries
from cloud_bridge.sending import POLL_S, Sending
from cloud_bridge.settling import Settling
from cloud_bridge.status import Status
from cloud_bridge.traffic import Traffic
from cloud_bridge.uplink import Uplink, UplinkError
from gateway.clock import Clock
from gateway.model import Lane
from gateway.store.outbox import OutboxReader


class Pump:
    """Moves rows from the outbox to one platform."""

    def __init__(
        self, name: str, uplink: Uplink, *, reader: OutboxReader, ledger: Ledger, bell: asyncio.Event, clock: Clock
    ) -> None:
        """``bell`` is set when there may be new rows."""
        self.name = name
        self._uplink = uplink
        self._reader = reader
        self._ledger = ledger
        self._bell = bell
        self._traffic = Traffic(uplink, bell)
        self.status = Status(name, uplink, ledger, clock, self._settled)
        self._retries = Retries(name, uplink, ledger, self.status.letter_gone)
        self._backoff = Backoff()
        self._sending = Sending(uplink, reader, self._traffic, bell)
        self._answers = Answers(
            name,
            self._traffic,
            reader=reader,
            ledger=ledger,
            status=self.status,
            retries=self._retries,
            backoff=self._backoff,
        )
        self._settling = Settling(name, ledger, self.status, self._settled, bell)

    def _settled(self) -> dict[Lane, int]:
        return self._traffic.settled

    async def run(self) -> None:
        """Serve the platform until cancelled: one session after another, with growing pauses while it is away.

        Raises:
            StoreError, apsw.Error: the outbox or the bridge's own file can't be used.
        """
        self._traffic.start(await self._settling.read())
        self.status.rejected = await self._ledger.rejected(self.name)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self.status.run(), name=f"status of {self.name}")
            tasks.create_task(self._retries.run(), name=f"dead letters of {self.name}")
            try:
                while True:
                    await self._session()
            except Exception as error:
                self.status.down(f"the bridge itself: {error}")
                raise
            except asyncio.CancelledError:
                self.status.stop()
                raise

    async def _session(self) -> None:
        """One session, and the pause after it."""
        error: UplinkError | None = None
        try:
            await self._uplink.open()
            self.status.up()
            self._retries.is_open = True
            await self._serve()
        except UplinkError as failure:
            error = failure
            self.status.down(str(error))
            self._sending.newest.end(asyncio.get_running_loop().time(), is_refusal=error.is_refusal)
        finally:
            await self._end(error)
        assert error is not None
        await self._rest(self._backoff.next_s(error.retry_after_s), is_asked=error.retry_after_s > 0)

    async def _serve(self) -> NoReturn:
        """One session, until it ends with `UplinkError`."""
        ended = asyncio.ensure_future(self._uplink.ended())
        ended.add_done_callback(lambda _: self._bell.set())
        try:
            while True:
                self._bell.clear()
                await self._answers.collect()
                if ended.done():
                    raise ended.result()
                self._require_answers()
                self._sending.send()
                self._settling.if_due()
                await self._wait(self._sending.idle_s())
        finally:
            ended.cancel()

    def _require_answers(self) -> None:
        answer_s = self._uplink.limits.answer_s
        if self._traffic.is_overdue(asyncio.get_running_loop().time(), answer_s):
            raise UplinkError(f"the platform has not answered within {answer_s:g} s")

    async def _end(self, error: UplinkError | None) -> None:
        """The session is over, by ``error`` or because the bridge ends."""
        self._retries.is_open = False
        await self._uplink.close()
        with contextlib.suppress(UplinkError):
            await self._answers.collect()  # answers that came with the farewell: who has one is not to blame
        if error is not None:
            await self._answers.learn_from(error)
        self.status.kept += self._traffic.waiting
        self._traffic.renew()
        self._sending.renew()
        self._answers.renew()
        self._retries.renew()
        await self._settling.all()

    async def _rest(self, pause_s: float, *, is_asked: bool) -> None:
        """Wait before the next session; an alarm that comes meanwhile shortens a long pause."""
        loop = asyncio.get_running_loop()
        start_s, has_alarm = loop.time(), False
        while (left_s := start_s + pause_s - loop.time()) > 0:
            settled = self._settled()[Lane.ALARM]
            if not (is_asked or has_alarm) and self._reader.take(Lane.ALARM, settled, 1):
                has_alarm, pause_s = True, self._backoff.with_alarm_s(pause_s)
                continue
            self._bell.clear()
            await self._wait(min(left_s, POLL_S))

    async def _wait(self, longest_s: float) -> None:
        """Wait for the bell; `asyncio.wait_for` would start a task for each wait."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(longest_s):
                await self._bell.wait()
