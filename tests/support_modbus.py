"""A fake Modbus field for driver tests: every register answers with its own address, every bit with its parity.

Real pymodbus servers on real sockets (or one end of a pseudo-terminal), and raw servers that misbehave on purpose.
"""

from __future__ import annotations

import asyncio
import os
import pty
import struct
import tty
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

from pymodbus import FramerType
from pymodbus.constants import ExcCodes
from pymodbus.exceptions import NoSuchIdException
from pymodbus.framer import FramerRTU
from pymodbus.server import ModbusSerialServer, ModbusTcpServer
from pymodbus.simulator import DataType, SimData, SimDevice

from gateway.clock import Clock, SystemClock
from gateway.counters import Counters
from gateway.drivers.modbus import KINDS, ModbusDriver
from gateway.model import (
    SYSTEM,
    AlarmClass,
    Arrival,
    Bus,
    Command,
    Device,
    DeviceParams,
    DeviceStatus,
    Place,
    Point,
    Reading,
    Value,
)

TABLES = {1: "coil", 5: "coil", 15: "coil", 2: "discrete", 3: "holding", 6: "holding", 16: "holding", 4: "input"}
NOBODY = SimDevice(255, simdata=[SimData(0, datatype=DataType.REGISTERS)])  # the server insists on one


class Field:
    """The units behind one server. What was asked stands in ``asked`` as (unit, table, address, count)."""

    def __init__(self, *units: int) -> None:
        self.units = set(units)
        self.silent: set[int] = set()
        self.memory: dict[tuple[int, str, int], int] = {}
        self.refused: dict[tuple[str, int], ExcCodes] = {}  # any request that touches the address
        self.busy: dict[int, ExcCodes] = {}  # any request to the unit
        self.stuck: set[int] = set()  # units that take writes and change nothing
        self.connections = 0
        self.asked: list[tuple[int, str, int, int]] = []
        self.written: list[tuple[int, str, int, list[int]]] = []

    def on_connection(self, is_up: bool) -> None:
        self.connections += is_up

    def device_ids(self) -> list[int]:
        return sorted(self.units)

    async def async_getValues(  # noqa: N802
        self, device_id: int, func_code: int, address: int, count: int = 1
    ) -> list[int] | list[bool] | ExcCodes:
        table = TABLES[func_code]
        self.asked.append((device_id, table, address, count))
        if wrong := self._wrong(device_id, table, address, count):
            return wrong
        return [self.value(device_id, table, at) for at in range(address, address + count)]

    async def async_setValues(  # noqa: N802
        self, device_id: int, func_code: int, address: int, values: list[int]
    ) -> ExcCodes | None:
        table = TABLES[func_code]
        self.written.append((device_id, table, address, [int(value) for value in values]))
        if wrong := self._wrong(device_id, table, address, len(values)):
            return wrong
        if device_id not in self.stuck:
            self.memory.update({(device_id, table, address + i): int(value) for i, value in enumerate(values)})
        return None

    def value(self, unit: int, table: str, address: int) -> int:
        own = address % 2 == 1 if table in {"coil", "discrete"} else address
        kept = self.memory.get((unit, table, address), own)
        return bool(kept) if table in {"coil", "discrete"} else kept

    def _wrong(self, unit: int, table: str, address: int, count: int) -> ExcCodes | None:
        if unit not in self.units or unit in self.silent:
            raise NoSuchIdException(str(unit))  # the server says nothing
        touched = (self.refused.get((table, at)) for at in range(address, address + count))
        return self.busy.get(unit) or next((code for code in touched if code), None)


@asynccontextmanager
async def serve(field: Field, framer: FramerType = FramerType.SOCKET, port: int = 0) -> AsyncIterator[int]:
    """A pymodbus TCP server of ``field``; yields its port."""
    server = ModbusTcpServer(
        NOBODY,
        framer=framer,
        address=("127.0.0.1", port),
        ignore_missing_devices=True,
        trace_connect=field.on_connection,
    )
    server.context = field  # type: ignore[assignment]  # it asks for three methods only
    await server.serve_forever(background=True)
    try:
        yield server.transport.sockets[0].getsockname()[1]  # type: ignore[attr-defined]
    finally:
        await server.shutdown()  # type: ignore[no-untyped-call]


@asynccontextmanager
async def serve_serial(field: Field) -> AsyncIterator[str]:
    """A pymodbus RTU server on one pseudo-terminal, joined to another; yields the other's path."""
    ends = [pty.openpty(), pty.openpty()]
    for master, slave in ends:
        tty.setraw(slave)
        os.set_blocking(master, False)
    masters = [master for master, _ in ends]
    loop = asyncio.get_running_loop()
    for here, there in (masters, masters[::-1]):
        loop.add_reader(here, _pass_on, here, there)
    server = ModbusSerialServer(NOBODY, port=os.ttyname(ends[0][1]), framer=FramerType.RTU, ignore_missing_devices=True)
    server.context = field  # type: ignore[assignment]
    await server.serve_forever(background=True)
    try:
        yield os.ttyname(ends[1][1])
    finally:
        for master in masters:
            loop.remove_reader(master)
        await server.shutdown()  # type: ignore[no-untyped-call]
        for end in ends:
            for each in end:
                os.close(each)


def _pass_on(here: int, there: int) -> None:
    os.write(there, os.read(here, 1024))


Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def raw_server(handler: Handler) -> AsyncIterator[int]:
    """A TCP server that does whatever ``handler`` does; yields its port."""
    writers: list[asyncio.StreamWriter] = []

    async def guarded(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        try:
            await handler(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            writer.close()

    server = await asyncio.start_server(guarded, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for writer in writers:
            writer.close()
        await server.wait_closed()


async def request_of(reader: asyncio.StreamReader) -> tuple[int, int, bytes]:
    """(transaction, unit, PDU) of the next request of a Modbus TCP client."""
    head = await reader.readexactly(7)
    transaction, _, length, unit = struct.unpack(">HHHB", head)
    return transaction, unit, await reader.readexactly(length - 1)


def tcp_frame(transaction: int, unit: int, pdu: bytes, protocol: int = 0) -> bytes:
    return struct.pack(">HHHB", transaction, protocol, len(pdu) + 1, unit) + pdu


def rtu_frame(unit: int, pdu: bytes) -> bytes:
    frame = bytes((unit,)) + pdu
    return frame + FramerRTU.compute_CRC(frame).to_bytes(2, "big")


def own_addresses(pdu: bytes) -> bytes:
    """The good answer to a read of registers: each answers with its address."""
    function, start, count = struct.unpack(">BHH", pdu)
    return bytes((function, 2 * count)) + struct.pack(f">{count}H", *range(start, start + count))


def make_device(
    unit: int, points: Mapping[str, Mapping[str, Any]], profile: Mapping[str, Any] | None = None, bus_id: str = "pile1"
) -> Device:
    """A device as `gateway.config` hands it over. In ``points``, class, range and writable are the common keys."""
    kind = KINDS["modbus-tcp"]
    device_id = f"3-1-B1-CP{unit:02d}/ebike"
    made = []
    for name, spec in points.items():
        own = {key: value for key, value in spec.items() if key not in {"class", "range", "writable"}}
        params = kind.point.model_validate(own)
        low, high = spec.get("range", (None, None))
        made.append(
            Point(
                id=f"{device_id}/{name}",
                device_id=device_id,
                name=name,
                type=params.value_type,
                alarm_class=AlarmClass(spec["class"]) if "class" in spec else None,
                low=low,
                high=high,
                is_writable=spec.get("writable", False),
                params=params,
            )
        )
    chosen = {"addressing": "pdu", "word_order": "ABCD", "poll": "100ms"} | dict(profile or {})
    return Device(
        id=device_id,
        kind="ebike-charger",
        title="电动自行车充电柜",
        place=Place("3-1-B1-CP01"),
        profile="ebike-cabinet-10",
        bus_id=bus_id,
        offline_after_s=None,
        points=tuple(made),
        params=DeviceParams(kind.profile.model_validate(chosen), kind.device.model_validate({"unit": str(unit)})),
    )


class Rig:
    """A running driver and everything it handed in."""

    def __init__(self, driver: ModbusDriver, counters: Counters, clock: Clock) -> None:
        self.driver = driver
        self.counters = counters
        self.clock = clock
        self.arrivals: list[Arrival] = []
        self.error: Exception | None = None

    @property
    def readings(self) -> list[Reading]:
        return [each for arrival in self.arrivals for each in arrival.inputs if isinstance(each, Reading)]

    @property
    def statuses(self) -> list[DeviceStatus]:
        return [each for arrival in self.arrivals for each in arrival.inputs if isinstance(each, DeviceStatus)]

    def of(self, point: str) -> list[Reading]:
        """Readings of every point id that ends so."""
        return [each for each in self.readings if each.point_id.endswith(point)]

    def online(self, unit: int) -> list[bool]:
        """The states that a unit was reported in."""
        return [each.is_online for each in self.statuses if f"CP{unit:02d}/" in each.device_id]

    def errors(self, reason: str) -> int:
        return self.counters.total("modbus_errors", reason=reason)

    async def until(self, condition: Callable[[], object], within_s: float = 10.0) -> None:
        """Wait until ``condition``; fails after ``within_s``."""
        loop = asyncio.get_running_loop()
        end_s = loop.time() + within_s
        while not condition():
            if self.error is not None:
                raise self.error
            assert loop.time() < end_s, f"not within {within_s} s; counted: {dict(self.counters.counts)}"
            await asyncio.sleep(0.005)

    def command(self, point_id: str, value: Value, within_s: float = 5.0) -> Command:
        expires_at = self.clock.now().utc + timedelta(seconds=within_s)
        return Command("c1", point_id, value, SYSTEM, "smoke-fire:x:1", expires_at)


@asynccontextmanager
async def running(
    kind: str, params: Mapping[str, Any], devices: list[Device], *, restarts: bool = False
) -> AsyncIterator[Rig]:
    """The driver of one bus, run as the supervisor runs it: again after an error when ``restarts``."""
    counters, clock = Counters(), SystemClock()
    bus = Bus("pile1", kind, KINDS[kind].bus.model_validate(params))
    driver = KINDS[kind].build(bus, devices, clock, counters)
    assert isinstance(driver, ModbusDriver)
    rig = Rig(driver, counters, clock)

    async def supervise() -> None:
        while True:
            try:
                await driver.run(rig.arrivals.append)
            except Exception as error:  # noqa: BLE001  # whatever it is, the test must see it
                rig.error = None if restarts else error
                if not restarts:
                    return
                await asyncio.sleep(0.05)

    task = asyncio.create_task(supervise())
    try:
        yield rig
    finally:
        task.cancel()
        await asyncio.wait([task], timeout=5)
        assert task.done(), "the driver does not stop when cancelled"


def tcp(port: int, **more: Any) -> dict[str, Any]:
    return {"host": "127.0.0.1", "port": str(port), "timeout": "150ms"} | more
