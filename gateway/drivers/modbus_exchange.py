"""Room: drivers. One exchange on a Modbus line and what it says about the unit: found, lost, refused, silent.

Units that missed an answer may use half of the line's time until they are lost, and a quarter of it from then on:
any number of dead units delays the living by one time-out at most, and not at every beat.
Whose turn it is belongs in `modbus_line`, the bytes in `modbus_wire`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import structlog

from gateway.clock import Clock
from gateway.counters import Counters
from gateway.drivers.base import DriverError
from gateway.drivers.modbus_frames import Request
from gateway.drivers.modbus_params import BusModel, TcpBus
from gateway.drivers.modbus_unit import Unit
from gateway.drivers.modbus_wire import NoAnswer, Refused, TooLate, Wire
from gateway.model import Command, DeviceStatus

GATEWAY_FAILED = (0x0A, 0x0B)  # a gateway answers for a unit that does not
SUSPECT_PAUSE, LOST_PAUSE = 1.0, 3.0  # after a missed answer, in multiples of the time it cost
TROUBLE_S = 5.0  # after a missed answer on the line others may be missing too

_log = structlog.get_logger(__name__)


class Exchange:
    """The wire of one line with the breakers of its units; they outlive a lost connection."""

    def __init__(self, bus_id: str, params: BusModel, units: Sequence[Unit], clock: Clock, counters: Counters) -> None:
        self.suspect_at_s = 0.0  # when a unit that missed its last answer may be asked again
        self._bus_id = bus_id
        self._timeout_s = params.timeout
        self._units = units
        self._clock = clock
        self._counters = counters
        self._wire = Wire(params, self.count_error)
        self._is_serial = not isinstance(params, TcpBus)
        self._missed_at_s = -TROUBLE_S
        self._may_reconnect = True
        self._statuses: list[DeviceStatus] = []

    async def open(self) -> None:
        """Open the line anew. Raises DriverError."""
        self._may_reconnect = True
        self.suspect_at_s = 0.0
        await self._connect()

    def close(self) -> None:
        """Drop the line."""
        self._wire.close()

    async def ask(self, unit: Unit, request: Request, command: Command | None = None) -> bytes:
        """The values of a good answer.

        Raises NoAnswer, Refused, TooLate (the time of ``command`` is over: nothing was sent), DriverError (no line).
        """
        if not self._wire.is_connected:
            await self._connect()
        await self._wire.settle()
        if command is not None and command.left_s(self._clock.now()) <= 0:
            raise TooLate
        started_s = asyncio.get_running_loop().time()
        is_brief = self._is_serial and (unit.is_suspect or started_s < self._missed_at_s + TROUBLE_S)
        timeout_s = unit.patience_s(self._timeout_s) if is_brief else self._timeout_s
        try:
            body = await self._wire.ask(request, timeout_s)
        except Refused as error:
            self.count_error(error.reason)
            if error.code in GATEWAY_FAILED:
                self._missed(unit, error.reason, started_s)
                raise NoAnswer(error.reason) from None
            self._answered(unit, started_s)
            raise
        except NoAnswer as error:
            self.count_error(error.reason)
            self._missed(unit, error.reason, started_s)
            raise
        self._answered(unit, started_s)
        return body

    def _answered(self, unit: Unit, started_s: float) -> None:
        self._may_reconnect = True
        if unit.answered(asyncio.get_running_loop().time() - started_s):
            self._report(unit, "")

    def _missed(self, unit: Unit, reason: str, started_s: float) -> None:
        now_s = asyncio.get_running_loop().time()
        is_lost_now = unit.failed(now_s)
        if now_s > self._missed_at_s + TROUBLE_S:
            for each in self._units:
                each.is_proven = False
        self._missed_at_s = now_s
        if not all(each.is_suspect for each in self._units):
            self.suspect_at_s = now_s + (LOST_PAUSE if unit.is_open else SUSPECT_PAUSE) * (now_s - started_s)
        if is_lost_now:
            self._report(unit, reason)
        if all(each.is_open for each in self._units):  # perhaps it is the connection that is dead
            self._wire.close()
            self._may_reconnect = True

    async def _connect(self) -> None:
        if not self._may_reconnect:
            raise DriverError(f"bus {self._bus_id}: the other end closes the connection without an answer: check it")
        self._may_reconnect = False
        try:
            await self._wire.connect()
        except DriverError:
            self.count_error("connect")
            self._may_reconnect = True
            raise

    def _report(self, unit: Unit, reason: str) -> None:
        is_online = unit.is_online is True
        at = self._clock.now().utc
        self._statuses += [DeviceStatus(each, is_online, at, reason) for each in unit.device_ids]
        lost = sum(each.is_online is False for each in self._units)
        self._counters.gauge("modbus_units_lost", lost, bus=self._bus_id)
        log = _log.info if is_online else _log.warning
        log("modbus unit found" if is_online else "modbus unit lost", bus=self._bus_id, unit=unit.number, reason=reason)

    def lose_all(self, reason: str) -> None:
        """The line is down, and all units with it."""
        for unit in self._units:
            if unit.is_online is not False:
                unit.is_online = False
                self._report(unit, reason)

    def take_statuses(self) -> list[DeviceStatus]:
        """Units found and lost since the last call."""
        statuses, self._statuses = self._statuses, []
        return statuses

    def count_error(self, reason: str) -> None:
        """Count what went wrong; ``reason`` is from a closed set."""
        self._counters.count("modbus_errors", bus=self._bus_id, reason=reason)
