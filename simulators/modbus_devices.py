"""Simulators: the Modbus devices of one bus on a real socket: a pymodbus server over our own memory.

pymodbus's own data blocks miss overlapping maps and shift registers silently; `registers.UnitMemory` checks them and
answers from the plant. A device that is not online does not answer, an unknown unit gets exception 0B.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Sequence

import structlog
from pymodbus import FramerType
from pymodbus.constants import ExcCodes
from pymodbus.exceptions import NoSuchIdException
from pymodbus.server import ModbusTcpServer
from pymodbus.simulator import DataType, SimData
from pymodbus.simulator import SimDevice as PymodbusDevice

from simulators.plant import Plant
from simulators.processes import PortTaken, is_taken
from simulators.registers import IllegalAddress, IllegalValue, UnitMemory
from simulators.spec import SimBus, SimDevice, SimError, Value

_log = structlog.get_logger(__name__)
_TABLES = {1: "coil", 5: "coil", 15: "coil", 2: "discrete", 3: "holding", 6: "holding", 16: "holding", 4: "input"}
_NOBODY = PymodbusDevice(255, simdata=[SimData(0, datatype=DataType.REGISTERS)])  # the server insists on one


class _Context:
    """What pymodbus asks for data: the interface of its own contexts."""

    def __init__(self, units: dict[int, UnitMemory], answers: Callable[[int], bool], counts: Counter[str]) -> None:
        self._units = units
        self._answers = answers
        self._counts = counts

    def device_ids(self) -> list[int]:
        return list(self._units)

    async def async_getValues(  # noqa: N802  pymodbus calls it so
        self, device_id: int, func_code: int, address: int, count: int = 1
    ) -> list[int] | list[bool] | ExcCodes:
        unit = self._unit(device_id)
        table = _TABLES.get(func_code)
        if unit is None or table is None:
            return ExcCodes.GATEWAY_NO_RESPONSE if unit is None else ExcCodes.ILLEGAL_FUNCTION
        self._counts["reads"] += 1
        try:
            found = unit.get(table, address, count)
        except IllegalAddress:
            self._counts["illegal"] += 1
            return ExcCodes.ILLEGAL_ADDRESS
        return [bool(bit) for bit in found] if table in ("coil", "discrete") else found

    async def async_setValues(  # noqa: N802
        self, device_id: int, func_code: int, address: int, values: Sequence[int]
    ) -> ExcCodes | None:
        unit = self._unit(device_id)
        table = _TABLES.get(func_code)
        if unit is None or table is None:
            return ExcCodes.GATEWAY_NO_RESPONSE if unit is None else ExcCodes.ILLEGAL_FUNCTION
        self._counts["writes"] += 1
        try:
            unit.set(table, address, [int(value) for value in values])
        except IllegalAddress:
            return ExcCodes.ILLEGAL_ADDRESS
        except IllegalValue:
            return ExcCodes.ILLEGAL_VALUE
        return None

    def _unit(self, device_id: int) -> UnitMemory | None:
        if device_id in self._units and not self._answers(device_id):
            self._counts["silent"] += 1
            raise NoSuchIdException(str(device_id))  # and the server says nothing
        return self._units.get(device_id)


class ModbusLine:
    """All Modbus devices of one bus. ``counts``: reads, writes, illegal, silent."""

    def __init__(
        self, bus: SimBus, devices: Sequence[SimDevice], plant: Plant, on_write: Callable[[str, str, Value], None]
    ) -> None:
        """Check the maps and prepare the units.

        Raises:
            SimError: a unit id is impossible, or two points claim one register.
        """
        self.counts: Counter[str] = Counter()
        self._bus = bus
        self._server: ModbusTcpServer | None = None
        behind: dict[int, list[SimDevice]] = {}
        for device in devices:
            behind.setdefault(device.unit, []).append(device)
            if not 1 <= device.unit <= 247:
                raise SimError(
                    f"{device.id}:站号 {device.unit} 超出 1–247", f"{device.id}: unit {device.unit} is outside 1-247"
                )
        units = {unit: UnitMemory(sharing, plant.values, on_write) for unit, sharing in behind.items()}
        self._context = _Context(units, lambda unit: plant.is_online(behind[unit][0].id), self.counts)

    @property
    def is_up(self) -> bool:
        """Does it listen?"""
        return self._server is not None

    async def start(self) -> None:
        """Listen.

        Raises:
            PortTaken: somebody else listens there.
        """
        logging.getLogger("pymodbus.logging").setLevel(logging.CRITICAL)  # it dumps frames on every error
        if is_taken(self._bus.port, self._bus.host):
            raise PortTaken(self._bus.port, self._bus.host)
        framer = FramerType.RTU if self._bus.type == "modbus-rtu-over-tcp" else FramerType.SOCKET
        address = (self._bus.host, self._bus.port)
        server = ModbusTcpServer(_NOBODY, framer=framer, address=address, ignore_missing_devices=True)
        server.context = self._context  # type: ignore[assignment]  # it asks for three methods only
        await server.serve_forever(background=True)
        self._server = server
        _log.info("sim.modbus_listening", bus=self._bus.id, port=self._bus.port, units=len(self._context.device_ids()))

    async def stop(self) -> None:
        """Close the socket and every connection."""
        if self._server:
            await self._server.shutdown()  # type: ignore[no-untyped-call]
            self._server = None
