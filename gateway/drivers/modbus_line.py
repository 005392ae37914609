"""Room: drivers. One Modbus line: one task that asks one thing at a time, and what it makes of the answers.

A turn goes to a command, else to the most pressing poll of a unit that answers, else to a unit that missed its
last answer. The order is kept by `modbus_schedule`, breakers by `modbus_exchange`, registers by `modbus_plan`.
"""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import Sequence

import structlog

from gateway.clock import Clock
from gateway.counters import Counters
from gateway.drivers.base import Deliver, DriverError
from gateway.drivers.modbus_exchange import Exchange
from gateway.drivers.modbus_plan import OUT_OF_RANGE
from gateway.drivers.modbus_schedule import Poll, Read, Schedule
from gateway.drivers.modbus_unit import OPEN_AFTER, Unit
from gateway.drivers.modbus_wire import NoAnswer, Refused
from gateway.drivers.modbus_write import BUSY, Job, Writes
from gateway.model import Arrival, DeviceStatus, Reading

REFUSES_ADDRESS = (2, 3)  # illegal data address, illegal data value: a smaller block may do
REFUSES_ALWAYS = (1, *REFUSES_ADDRESS)
ASK_REFUSED_AGAIN_S = 60.0
LATE_SHARE = 0.1  # of its interval: a poll that starts later is counted as late

_log = structlog.get_logger(__name__)


class Line:
    """The polls and commands of one connection. Its breakers and block plans outlive a restart of `run`."""

    def __init__(
        self, bus_id: str, exchange: Exchange, polls: Sequence[Poll], clock: Clock, counters: Counters
    ) -> None:
        self._bus_id = bus_id
        self._exchange = exchange
        self._clock = clock
        self._counters = counters
        self._schedule = Schedule(polls)
        self._writes = Writes(exchange.ask, clock)
        self._wake: asyncio.Future[None] | None = None
        self._owes_poll = False  # a command to a silent unit has just cost time
        self._scan_s = self._worst_scan_s = 0.0

    async def run(self, deliver: Deliver) -> None:
        """Poll and carry out commands until cancelled. Raises DriverError when the line is down."""
        me = asyncio.current_task()
        assert me is not None
        try:
            await self._exchange.open()
            self._counters.gauge("bus_up", 1, bus=self._bus_id)
            self._schedule.lay_out(_now_s(), self._bus_id)
            while not me.cancelling():  # wait_for of Python 3.11 swallows a cancel that meets the answer
                readings = await self._turn()
                self._hand_in(deliver, readings)
            raise asyncio.CancelledError
        except DriverError as error:
            self._counters.gauge("bus_up", 0, bus=self._bus_id)
            self._exchange.lose_all(str(error))
            self._hand_in(deliver, [])
            raise
        finally:
            self._exchange.close()

    def submit(self, job: Job) -> bool:
        """Queue a command; False when too many wait."""
        is_taken = self._writes.add(job)
        if self._wake is not None:
            _set(self._wake)
        return is_taken

    def drop(self, job: Job) -> None:
        """Nobody waits for it any more."""
        self._writes.drop(job)

    def _hand_in(self, deliver: Deliver, readings: list[Reading]) -> None:
        inputs: tuple[Reading | DeviceStatus, ...] = (*self._exchange.take_statuses(), *readings)
        if inputs:
            deliver(Arrival(inputs))

    async def _turn(self) -> list[Reading]:
        """One command, one poll, or rest until there is one."""
        now_s = _now_s()
        job = self._writes.pick(now_s, self._exchange.suspect_at_s)
        poll = self._schedule.pick(now_s, self._exchange.suspect_at_s)
        if job is not None and not (self._owes_poll and poll is not None and not poll.unit.is_suspect):
            self._owes_poll = not await self._writes.attempt(job, now_s, self._exchange.suspect_at_s)
            return []
        self._owes_poll = False
        if poll is not None:
            self._schedule.take(poll)
            return await self._carry_out(poll, now_s)
        await self._rest()
        return []

    async def _rest(self) -> None:
        suspect_at_s = self._exchange.suspect_at_s
        until_s = min(self._schedule.next_at_s(suspect_at_s), self._writes.next_at_s(suspect_at_s))
        loop = asyncio.get_running_loop()
        self._wake = wake = loop.create_future()
        # uvloop's time has whole milliseconds: waking a fraction early would spin until the next one
        handle = None if until_s == math.inf else loop.call_at(math.ceil(until_s * 1000) / 1000, _set, wake)
        try:
            await wake
        finally:
            self._wake = None
            if handle is not None:
                handle.cancel()

    async def _carry_out(self, poll: Poll, started_s: float) -> list[Reading]:
        late_s = started_s - poll.due_s
        was_suspect = poll.unit.is_suspect
        if not was_suspect:
            kind = "late" if late_s > LATE_SHARE * poll.interval_s else "on_time"
            self._counters.count("modbus_polls", bus=self._bus_id, start=kind)
            self._counters.gauge("modbus_poll_lateness_seconds", late_s, bus=self._bus_id)
        before_s = self._clock.now().mono_s  # uvloop's own time has whole milliseconds
        readings = await self._read_all(poll)
        if poll.gate is not None:
            readings, missed = poll.gate.let(readings)
            if missed:
                self._counters.count("modbus_records_missed", missed, bus=self._bus_id)
        self._measure(poll, self._clock.now().mono_s - before_s)
        missed = self._schedule.put_back(poll, _now_s())
        if missed and not was_suspect:  # a silent unit is left out on purpose
            self._counters.count("modbus_polls_missed", missed, bus=self._bus_id)
        return readings

    def _measure(self, poll: Poll, took_s: float) -> None:
        """The scan time is what asking everybody once takes: the sum of the polls' last durations."""
        self._scan_s += took_s - poll.took_s
        poll.took_s = took_s
        self._counters.gauge("modbus_scan_seconds", self._scan_s, bus=self._bus_id)
        if self._scan_s > self._worst_scan_s:
            self._worst_scan_s = self._scan_s
            self._counters.gauge("modbus_scan_worst_seconds", self._scan_s, bus=self._bus_id)

    async def _read_all(self, poll: Poll) -> list[Reading]:
        found: list[Reading] = []
        todo = deque(poll.reads)
        kept: list[Read] = []
        while todo:
            read = todo.popleft()
            if kept:
                await self._let_commands_pass()
            try:
                found += await self._read(poll.unit, read)
            except Refused as error:
                parts = read.split() if error.code in REFUSES_ADDRESS else []
                if parts:  # remembered: the next poll asks the parts
                    _log.info("modbus block refused, split", unit=poll.unit.number, device=poll.device_id)
                    todo.extendleft(reversed(parts))
                    continue
                found += self._refusal(poll, read, error)
            except NoAnswer:
                kept += [read, *todo]
                break
            kept.append(read)
        poll.reads = kept
        return found

    async def _let_commands_pass(self) -> None:
        now_s = _now_s()
        job = self._writes.pick(now_s, self._exchange.suspect_at_s)
        if job is not None and not job.unit.is_suspect:
            await self._writes.attempt(job, now_s, self._exchange.suspect_at_s)

    async def _read(self, unit: Unit, read: Read) -> list[Reading]:
        if read.refused and _now_s() < read.ask_again_s:
            return read.block.bad(read.refused, self._clock.now().utc)
        body = await self._exchange.ask(unit, read.request)
        read.busy, read.refused = 0, ""
        readings = read.block.readings(body, self._clock.now().utc)
        for each in readings:
            if each.value is None:
                self._exchange.count_error("range" if each.detail == OUT_OF_RANGE else "not_a_number")
        return readings

    def _refusal(self, poll: Poll, read: Read, error: Refused) -> list[Reading]:
        """What a refused block means now: nothing while the unit is merely busy, else points without a value."""
        if error.code == BUSY:
            read.busy += 1
            if read.busy < OPEN_AFTER:
                return []
        elif error.code in REFUSES_ALWAYS:
            if not read.refused:
                points = [each.point.id for each in read.block.fields]
                _log.warning("modbus points refused", device=poll.device_id, reason=error.reason, points=points)
            read.refused, read.ask_again_s = error.reason, _now_s() + ASK_REFUSED_AGAIN_S
        return read.block.bad(error.reason, self._clock.now().utc)


def _now_s() -> float:
    return asyncio.get_running_loop().time()


def _set(wake: asyncio.Future[None]) -> None:
    if not wake.done():
        wake.set_result(None)
