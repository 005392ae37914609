"""One uplink's work: take rows from the outbox, alarms first, send them, settle what the platform has answered.

A row leaves the cursor behind only after the platform's own answer (PUBACK, 2xx). Everything else is kept, and
sent again in a later session, with the same ids. What goes over the wire belongs to the uplinks.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Sequence

import apsw

from cloud_bridge.flight import Flight
from cloud_bridge.held import Held
from cloud_bridge.ledger import Ledger
from cloud_bridge.newest import Newest
from cloud_bridge.pace import Backoff, RateLimit
from cloud_bridge.retries import Retries
from cloud_bridge.sent import Sent, passed_over
from cloud_bridge.status import Status
from cloud_bridge.suspicion import Row, Suspicion
from cloud_bridge.uplink import Uplink, UplinkError
from gateway.clock import Clock
from gateway.model import Lane, OutboxEntry
from gateway.store.outbox import OutboxReader

_POLL_S = 0.5  # finds new rows when no byte comes through the pipe
_LINGER_S = 0.1  # new telemetry gathers for so long: at 200 rows/s a twentieth of the looking
_SETTLE_S = 0.5  # telemetry's cursor is written this often: a crash repeats at most so much
_SLICE_S = 0.01  # between slices of the newest values where nothing else rings
_TRY_S = 2.0  # so long telemetry waits for the answer to a row that was held
_MANY = 32  # at most so many rows are taken at a time from a full window


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
        self.status = Status(name, uplink, ledger, clock, self._settled)
        self._retries = Retries(name, uplink, ledger, self.status.letter_gone)
        self._suspicion = Suspicion()
        self._newest = Newest(reader, bell)
        self._backoff = Backoff()
        self._flights: dict[Lane, Flight] = {}
        self._written: dict[Lane, int] = {}  # cursors as they are on disk
        self._settling: asyncio.Task[None] | None = None
        self._settled_at_s = 0.0
        self._begin()

    def _begin(self) -> None:
        """Nothing is in flight."""
        now_s = asyncio.get_running_loop().time()
        self._sent: dict[Lane, deque[Sent]] = {lane: deque() for lane in Lane}
        self._finished: deque[Sent] = deque()
        self._rate = RateLimit(self._uplink.limits.rate, now_s)
        self._linger_until_s = 0.0
        self._is_lingering = False  # somebody rang while telemetry gathered
        self._flights = {
            lane: flight.again() if lane is Lane.ALARM else Flight(flight.settled)
            for lane, flight in self._flights.items()
        }
        self._held = Held(self._suspicion)
        self._tried: Sent | None = None  # a row that was held
        self._number = 0  # of the last delivery
        self._taken: set[Lane] = set()  # since a row of it was refused by name
        self._named: Row | None = None  # the row that the platform has refused by name
        self._answered = dict.fromkeys(Lane, 0)  # the last delivery with an answer
        self._retries.renew()

    def _settled(self) -> dict[Lane, int]:
        return {lane: flight.settled for lane, flight in self._flights.items()}

    async def run(self) -> None:
        """Serve the platform until cancelled: one session after another, with growing pauses while it is away.

        Raises:
            StoreError, apsw.Error: the outbox or the bridge's own file can't be used.
        """
        for lane in Lane:
            self._written[lane] = await self._ledger.get(self.name, lane)
            self._flights[lane] = Flight(self._written[lane])
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
        try:
            await self._uplink.open()
            self.status.up()
            self._retries.is_open = True
            await self._serve()
        except UplinkError as error:
            self.status.down(str(error))
            self._newest.end(asyncio.get_running_loop().time(), is_refusal=error.is_refusal)
            await self._learn_from(error)
            pause_s = self._backoff.next_s(error.retry_after_s)
            is_asked = error.retry_after_s > 0
        finally:
            self._retries.is_open = False
            await self._uplink.close()
            with contextlib.suppress(UplinkError):
                await self._collect()  # answers that came with the farewell
            self.status.kept += sum(len(flight.waiting) for flight in self._flights.values())
            self._begin()
            await self._settle()
        await self._rest(pause_s, is_asked=is_asked)

    async def _serve(self) -> None:
        """One session, until it ends with `UplinkError`."""
        ended = asyncio.ensure_future(self._uplink.ended())
        ended.add_done_callback(lambda _: self._bell.set())
        try:
            while True:
                self._bell.clear()
                await self._collect()
                if ended.done():
                    raise ended.result()
                self._require_answers()
                self._send()
                self._settle_if_due()
                await self._wait(self._idle_s())
        finally:
            ended.cancel()

    # Sending

    def _send(self) -> None:
        if any(row not in self._held for row in self._suspicion.suspects):
            for lane in Lane:  # alarms first
                self._send_one(lane)
        elif self._send_alarms() and not self._send_held():
            self._send_newest()
            self._send_lane(Lane.TELEMETRY, self._room(Lane.TELEMETRY))

    def _send_one(self, lane: Lane) -> None:
        """Nothing is in flight but this row; what is held or was answered before is passed over."""
        for _ in range(_MANY):
            if any(self._sent.values()) or not self._send_lane(lane, 1):
                return
        self._bell.set()

    def _send_alarms(self) -> bool:
        """Are all alarms on their way now? Telemetry waits for that."""
        limits, flight = self._uplink.limits, self._flights[Lane.ALARM]
        while (room := self._room(Lane.ALARM)) > 0 and flight.bytes - self._held.bytes < limits.in_flight_bytes:
            if not self._send_lane(Lane.ALARM, room):
                return True
        return False

    def _send_held(self) -> bool:
        """Try a row that ended a session, alone; does telemetry wait for that?"""
        now_s = asyncio.get_running_loop().time()
        if self._tried is not None:
            return now_s < self._tried.at_s + _TRY_S
        entry = self._held.due(now_s)
        if entry is not None and not any(self._sent.values()):
            self._held.start(entry.seq)
            self._tried = self._deliver(entry.lane, [entry])
        return entry is not None

    def _send_newest(self) -> None:
        """A slice of the newest values, where history has a long way to go."""
        now_s = asyncio.get_running_loop().time()
        self._newest.look(now_s, self._flights[Lane.TELEMETRY].sent)
        if self._newest.is_waiting and self._rate.allowance(now_s, 1):
            slice_ = self._newest.next(now_s)
            self._rate.spend(1)
            self._uplink.newest(slice_.readings, slice_.seq)

    def _room(self, lane: Lane) -> int:
        """How many deliveries may start."""
        limits, sent = self._uplink.limits, self._sent[lane]
        room = min(_MANY, limits.in_flight - len(sent))
        if lane is Lane.ALARM:
            return room
        now_s = asyncio.get_running_loop().time()
        self._is_lingering = now_s < self._linger_until_s
        if self._is_lingering:
            return 0
        return self._rate.allowance(now_s, room)

    def _send_lane(self, lane: Lane, room: int) -> int:
        """Start deliveries of the next rows; how many rows."""
        limits, flight = self._uplink.limits, self._flights[lane]
        if lane is Lane.ALARM:
            most = limits.in_flight_bytes + self._held.bytes
        else:
            most = min(limits.in_flight_bytes, limits.telemetry_bytes)
        space = most - flight.bytes
        if room <= 0 or space <= 0:
            return 0
        wanted = room * limits.rows
        before = flight.sent
        entries = self._reader.take(lane, before, wanted, space)
        if self._suspicion.is_careful:
            self._suspicion.gone(lane, before, entries[0].seq if entries else 2**62)
        going = [entry for entry in flight.send(entries) if not self._held.keeps(entry)]
        for start in range(0, len(going), limits.rows):
            self._deliver(lane, going[start : start + limits.rows])
        if lane is Lane.TELEMETRY:
            self._rate.spend(-(-len(entries) // limits.rows))
            if len(entries) < wanted and 2 * flight.bytes < most:  # all there was
                self._linger_until_s = asyncio.get_running_loop().time() + _LINGER_S
        return len(entries)

    def _deliver(self, lane: Lane, entries: Sequence[OutboxEntry]) -> Sent:
        future = self._uplink.deliver(entries)
        self._number += 1
        sent = Sent(lane, entries, future, asyncio.get_running_loop().time(), self._number, future.done())
        self._sent[lane].append(sent)
        finished = self._finished  # of this session
        future.add_done_callback(lambda _: self._answer(sent, finished))
        return sent

    def _answer(self, sent: Sent, finished: deque[Sent]) -> None:
        if finished is self._finished:
            finished.append(sent)
            self._bell.set()
        elif not sent.future.cancelled():
            sent.future.exception()  # too late: the row will be sent again

    def _idle_s(self) -> float:
        """How long to wait where nobody rings."""
        wait_s = min(_POLL_S, self._rate.wait_s or _POLL_S)
        if self._is_lingering:
            wait_s = min(wait_s, self._linger_until_s - asyncio.get_running_loop().time())
        if self._newest.is_waiting:
            wait_s = min(wait_s, max(_SLICE_S, self._rate.wait_s))
        return max(wait_s, 0.001)

    # Answers

    async def _collect(self) -> None:
        """Take in every answer there is; then raise the first failure among them."""
        failure: BaseException | None = None
        while self._finished:
            sent = self._finished.popleft()
            error = sent.future.exception()
            if error is None:
                error = await self._take_in(sent)
            elif isinstance(error, UplinkError) and error.is_explicit and error.is_refusal:
                error = await self._take_refusal(sent, error)
            failure = failure or error
        if failure is not None:
            raise failure

    async def _take_in(self, sent: Sent) -> UplinkError | None:
        delivery = sent.future.result()
        for entry in sent.entries:
            reason = delivery.rejected.get(entry.seq)
            if reason is not None:
                await self._put_aside(entry, reason)
        for seq in delivery.accepted:
            self._finish(Row(sent.lane, seq), is_taken=not sent.is_own)
        for seq in delivery.rejected:
            self._finish(Row(sent.lane, seq), is_taken=False)
        self._sent[sent.lane].remove(sent)
        self._answered[sent.lane] = max(self._answered[sent.lane], 0 if sent.is_own else sent.number)
        self.status.settled[sent.lane] += len(delivery.accepted)
        self.status.touch()
        if delivery.accepted and not sent.is_own:
            self._backoff.reset()
        return UplinkError("the platform took only a part") if delivery.kept else None

    async def _take_refusal(self, sent: Sent, error: UplinkError) -> UplinkError | None:
        """The platform has named the row: where it has taken another since the last, there is nothing to find out."""
        entry, *others = sent.entries
        if others:
            return error
        if sent.lane not in self._taken:
            self._named = self._named or Row(sent.lane, entry.seq)
            return error
        self._taken.discard(sent.lane)
        await self._put_aside(entry, str(error))
        self._finish(Row(sent.lane, entry.seq), is_taken=False)
        self._sent[sent.lane].remove(sent)
        self.status.touch()
        return None

    def _finish(self, row: Row, *, is_taken: bool) -> None:
        """The platform has answered for this row for good."""
        self._flights[row.lane].finish(row.seq)
        if is_taken:
            self._taken.add(row.lane)
        self._suspicion.answered(row, is_taken=is_taken)
        if row.lane is Lane.ALARM:
            self._held.finish(row.seq)
        if self._tried is not None and row == (self._tried.lane, self._tried.entries[0].seq):
            self._tried = None

    def _require_answers(self) -> None:
        now_s = asyncio.get_running_loop().time()
        answer_s = self._uplink.limits.answer_s
        if any(sent and now_s - sent[0].at_s > answer_s for sent in self._sent.values()):
            raise UplinkError(f"the platform has not answered within {answer_s:g} s")

    async def _learn_from(self, error: UplinkError) -> None:
        """Find the row that the platform refuses, and put it aside once that is proved."""
        culprit = self._culprit(error)
        if culprit is None:
            return
        for entry in self._reader.take(culprit.lane, culprit.seq - 1, 1):
            if entry.seq == culprit.seq:
                await self._put_aside(entry, f"refused again and again: {error}")
        self._finish(culprit, is_taken=False)

    def _culprit(self, error: UplinkError) -> Row | None:
        now_s = asyncio.get_running_loop().time()
        waiting = [Row(lane, seq) for lane, flight in self._flights.items() for seq in flight.waiting]
        going = [row for row in waiting if row not in self._held]
        if error.is_refusal:
            if self._retries.is_doubtful:  # perhaps because of a dead letter that was tried again
                return None
            if self._tried is not None:
                self._backoff.reset()  # that row has pauses of its own, the others go on at once
            if self._named is not None:
                return self._suspicion.refused([self._named], now_s, is_explicit=True)
            return self._suspicion.refused(going, now_s)
        if error.is_explicit:  # it forbids everything for now, or has no room: no row is to blame
            return None
        row = passed_over(self._sent, self._answered, self._suspicion)
        return row and self._suspicion.ignored(row, now_s)

    async def _put_aside(self, entry: OutboxEntry, reason: str) -> None:
        await self._ledger.reject(self.name, entry, reason)
        self.status.put_aside(f"{entry.lane.value} {entry.seq}: {reason}")

    # Settling and resting

    def _settle_if_due(self) -> None:
        if self._settling is not None:
            if not self._settling.done():
                return
            self._settling.result()
            self._settling = None
        settled = self._settled()
        if settled == self._written:
            return
        is_urgent = settled[Lane.ALARM] != self._written[Lane.ALARM]
        now_s = asyncio.get_running_loop().time()
        if is_urgent or now_s >= self._settled_at_s + _SETTLE_S:
            self._settled_at_s = now_s
            self._settling = asyncio.create_task(self._write(settled), name=f"settle {self.name}")

    async def _settle(self) -> None:
        if self._settling is not None:
            await self._settling
            self._settling = None
        await self._write(self._settled())

    async def _write(self, settled: dict[Lane, int]) -> None:
        changed = {lane: seq for lane, seq in settled.items() if seq != self._written[lane]}
        if not changed:
            return
        try:
            await self._ledger.settle(self.name, changed)
        except apsw.Error as error:  # a full disk must not stop alarms: sent on, settled later
            self.status.trouble(f"cannot write the cursor, rows may be sent twice: {error}")
        else:
            self.status.trouble("")
            self._written.update(changed)
            self._bell.set()

    async def _rest(self, pause_s: float, *, is_asked: bool) -> None:
        """Wait before the next session; an alarm that comes meanwhile shortens a long pause."""
        loop = asyncio.get_running_loop()
        start_s, has_alarm = loop.time(), False
        while (left_s := start_s + pause_s - loop.time()) > 0:
            if not (is_asked or has_alarm) and self._reader.take(Lane.ALARM, self._flights[Lane.ALARM].settled, 1):
                has_alarm, pause_s = True, self._backoff.with_alarm_s(pause_s)
                continue
            self._bell.clear()
            await self._wait(min(left_s, _POLL_S))

    async def _wait(self, longest_s: float) -> None:
        """Wait for the bell; `asyncio.wait_for` would start a task for each wait."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(longest_s):
                await self._bell.wait()
