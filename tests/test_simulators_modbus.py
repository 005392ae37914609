"""Simulated Modbus devices, asked by pymodbus's own client."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from pymodbus.client import AsyncModbusTcpClient
from pymodbus.exceptions import ModbusIOException

from simulators.plant import Plant
from simulators.processes import PortTaken
from simulators.registers import UnitMemory
from simulators.service import SimService
from simulators.site import load
from simulators.spec import SimSite
from tests.support_sim import config_at, served, until

CABINET = "3-1-B1-CP01/ebike"


def modbus_site(tmp_path: Path) -> SimSite:
    """The case's Modbus devices alone."""
    config = config_at(tmp_path)
    devices = config / "devices" / "b3.yaml"
    text = devices.read_text("utf-8")
    devices.write_text("devices:\n" + text[text.index("  - at: 3-1-B1-CP01") :], "utf-8")
    return load(config)


@contextlib.asynccontextmanager
async def asked(site: SimSite) -> AsyncIterator[tuple[SimService, AsyncModbusTcpClient]]:
    async with served(site) as sim:
        client = AsyncModbusTcpClient("127.0.0.1", port=site.buses["pile1"].port, timeout=0.5, retries=0)
        async with asyncio.timeout(5):
            while not await client.connect():
                await asyncio.sleep(0.02)
        try:
            yield sim, client
        finally:
            client.close()


async def test_registers_show_the_plant(tmp_path: Path) -> None:
    """What a cabinet's registers hold is what its sockets draw, scaled as the profile says."""
    async with asked(modbus_site(tmp_path)) as (sim, client):
        sim.handle({"do": "set", "device": CABINET, "values": {"power.3": "512.3", "smoke": "true", "temp": "-5.5"}})
        power = await client.read_input_registers(16, count=10, device_id=11)
        assert power.registers[2] == 5123
        assert (await client.read_discrete_inputs(3, count=1, device_id=11)).bits[0] is True
        assert (await client.read_input_registers(48, count=1, device_id=11)).registers == [0x10000 - 55]
        assert (await client.read_coils(0, count=10, device_id=11)).bits[:10] == [True] * 10


async def test_wide_values_in_their_word_orders(tmp_path: Path) -> None:
    """32 and 64 bit values lie in the registers as the profile's word order says, manual addresses counted from 1."""
    async with asked(modbus_site(tmp_path)) as (_, client):
        first = (await client.read_holding_registers(0, count=6, device_id=12)).registers
        assert first[:4] == [0x1234, 0x5678, 0x5678, 0x1234]
        assert first[4:] == [0x0000, 0x48C1]  # -12.5 is C1480000
        assert (await client.read_holding_registers(10, count=4, device_id=12)).registers == [
            0x0102, 0x0304, 0x0506, 0x0708,
        ]  # fmt: skip


async def test_a_ramp_is_seen_and_a_written_coil_cuts_the_socket(tmp_path: Path) -> None:
    """An overload climbs in the registers, and ends when the gateway opens the coil."""
    async with asked(modbus_site(tmp_path)) as (sim, client):
        sim.handle({"do": "ramp", "device": CABINET, "point": "power.3", "first": 200, "last": 1500, "over_s": 0.5})

        async def power() -> int:
            return int((await client.read_input_registers(18, count=1, device_id=11)).registers[0])

        seen: list[int] = []
        async with asyncio.timeout(5):
            while not seen or seen[-1] < 15_000:
                seen.append(await power())
                await asyncio.sleep(0.01)
        assert len(set(seen)) > 2
        answer = await client.write_coil(2, False, device_id=11)
        assert not answer.isError()
        assert await power() == 0
        assert sim.plant.values(CABINET)["on.3"] is False


async def test_writes_change_values_and_read_back(tmp_path: Path) -> None:
    """A written limit is the limit from then on; a read-only register refuses with exception 02."""
    async with asked(modbus_site(tmp_path)) as (sim, client):
        assert not (await client.write_registers(20, [400, 0], device_id=12)).isError()
        assert sim.plant.values("3-1-B1-CP02/meter")["limit"] == 200.0
        assert (await client.read_holding_registers(20, count=2, device_id=12)).registers == [400, 0]
        assert (await client.write_register(0, 1, device_id=12)).exception_code == 2


async def test_gaps_unknown_units_and_silent_units(tmp_path: Path) -> None:
    """Gaps refuse with 02, nobody's unit with 0B; a lost device does not answer and delays no other."""
    async with asked(modbus_site(tmp_path)) as (sim, client):
        assert (await client.read_input_registers(14, count=4, device_id=11)).exception_code == 2
        assert (await client.read_input_registers(16, count=1, device_id=99)).exception_code == 0x0B
        sim.handle({"do": "set", "device": CABINET, "values": {"online": "false"}})
        with pytest.raises(ModbusIOException):
            await client.read_input_registers(16, count=1, device_id=11)
        await client.connect()
        assert (await client.read_holding_registers(0, count=1, device_id=12)).registers == [0x1234]
        await until(lambda: sim.lines["pile1"].counts["silent"] == 1)


async def test_a_taken_modbus_port_is_said(tmp_path: Path) -> None:
    """Two simulators on one port: the second says who holds it."""
    site = modbus_site(tmp_path)
    async with asked(site):
        with pytest.raises(PortTaken, match=str(site.buses["pile1"].port)) as caught:
            async with served(site):
                pass
        assert "python" in caught.value.holder or "pytest" in caught.value.holder


def test_a_healthy_demo_refuses_no_read() -> None:
    """The shipped profiles' units answer the whole span of a table in one request: no exceptions at every start."""
    site = load(Path(__file__).parents[1] / "config")
    plant = Plant(site)
    for device in site.on_bus("pile1"):
        memory = UnitMemory([device], plant.values, plant.write)
        used: dict[str, list[int]] = {}
        for point in device.points.values():
            if point.register:
                last = point.register.address + point.register.width - 1
                used.setdefault(point.register.table, []).extend((point.register.address, last))
        for table, addresses in used.items():
            first, count = min(addresses), max(addresses) - min(addresses) + 1
            assert len(memory.get(table, first, count)) == count
