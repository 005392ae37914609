"""The Modbus driver against real pymodbus servers on real sockets: polling, refusals, statuses."""

from __future__ import annotations

import itertools
import statistics
from typing import Any

import pytest
from pymodbus.constants import ExcCodes
from pymodbus.framer import FramerType

from gateway.drivers.base import DriverError
from gateway.model import Quality
from tests.support_modbus import Field, Rig, make_device, running, serve, serve_serial, tcp

TEMP = {"temp": {"table": "input", "address": "7", "type": "int16"}}
CABINET: dict[str, dict[str, Any]] = {
    "smoke": {"table": "discrete", "address": "3", "type": "bool", "class": "fire"},
    **{
        f"power.{i + 1}": {"table": "input", "address": str(16 + i), "type": "uint16", "scale": "0.1"}
        for i in range(10)
    },
    "limit": {"table": "holding", "address": "200", "type": "uint16", "writable": True},
    **{f"on.{i + 1}": {"table": "coil", "address": str(i), "type": "bool", "writable": True} for i in range(10)},
}


async def test_one_poll_brings_every_point_of_the_cabinet() -> None:
    """A charging cabinet's smoke, power, limit and sockets all arrive, in one arrival, stamped with one clock."""
    async with serve(Field(11)) as port, running("modbus-tcp", tcp(port), [make_device(11, CABINET)]) as rig:
        await rig.until(lambda: rig.arrivals)
        status, *readings = rig.arrivals[0].inputs
        got = {each.point_id.rpartition("/")[2]: each.value for each in rig.readings[: len(CABINET)]}
    assert status == rig.statuses[0]
    assert rig.online(11) == [True]
    assert len(readings) == len(CABINET)
    assert got["smoke"] is True
    assert [got[f"power.{i + 1}"] for i in range(10)] == [1.6, 1.7, 1.8, 1.9, 2.0, 2.1, 2.2, 2.3, 2.4, 2.5]
    assert got["limit"] == 200
    assert [got[f"on.{i + 1}"] for i in range(10)] == [False, True] * 5
    assert all(each.at == each.received_at and each.quality is Quality.GOOD for each in rig.readings)


async def test_points_side_by_side_cost_one_request_a_table() -> None:
    """Ten power registers are read with one request, and the fire point before everything else."""
    field = Field(11)
    async with serve(field) as port, running("modbus-tcp", tcp(port), [make_device(11, CABINET)]) as rig:
        await rig.until(lambda: len(field.asked) >= 8)
    assert field.asked[0] == (11, "discrete", 3, 1)
    assert sorted(field.asked[:4]) == [
        (11, "coil", 0, 10),
        (11, "discrete", 3, 1),
        (11, "holding", 200, 1),
        (11, "input", 16, 10),
    ]


async def test_a_block_that_the_device_refuses_is_split_and_the_split_is_remembered() -> None:
    """A hole that the device does not like costs nobody a value, and is not read across again."""
    points = {f"p{at}": {"table": "holding", "address": str(at), "type": "uint16"} for at in (0, 1, 5, 6)}
    field = Field(1)
    field.refused = {("holding", 3): ExcCodes.ILLEGAL_ADDRESS}
    async with serve(field) as port, running("modbus-tcp", tcp(port), [make_device(1, points)]) as rig:
        await rig.until(lambda: len(rig.of("/p6")) >= 3)
    assert [each.value for each in rig.readings[:4]] == [0, 1, 5, 6]
    assert all(each.quality is Quality.GOOD for each in rig.readings)
    assert field.asked[:5] == [(1, "holding", 0, 7), (1, "holding", 0, 2), (1, "holding", 5, 2), *field.asked[1:3]]
    assert rig.errors("exception_02") == 1


async def test_one_refused_point_is_bad_and_the_others_go_on() -> None:
    """A point that the device does not have is shown as bad with the reason; its neighbours keep their values."""
    points = {f"p{at}": {"table": "input", "address": str(at), "type": "uint16"} for at in range(4)}
    field = Field(1)
    field.refused = {("input", 2): ExcCodes.ILLEGAL_VALUE}
    async with serve(field) as port, running("modbus-tcp", tcp(port), [make_device(1, points)]) as rig:
        await rig.until(lambda: len(rig.of("/p3")) >= 3)
    assert {(each.value, each.quality, each.detail) for each in rig.of("/p2")} == {(None, Quality.BAD, "exception_03")}
    assert {each.value for each in rig.of("/p1")} == {1}
    assert {each.value for each in rig.of("/p3")} == {3}
    assert sum(asked[2] == 2 and asked[3] == 1 for asked in field.asked) == 1  # not asked at every poll
    assert rig.errors("exception_03") >= 1


@pytest.mark.parametrize(
    ("code", "reason"), [(ExcCodes.ILLEGAL_FUNCTION, "exception_01"), (ExcCodes.DEVICE_FAILURE, "exception_04")]
)
async def test_an_exception_never_becomes_a_value(code: ExcCodes, reason: str) -> None:
    """A unit that answers with an exception is there, but its points have no value."""
    field = Field(1)
    field.refused = {("input", 0): code}
    device = make_device(1, {"temp": {"table": "input", "address": "0", "type": "int16"}})
    async with serve(field) as port, running("modbus-tcp", tcp(port), [device]) as rig:
        await rig.until(lambda: len(rig.of("/temp")) >= 2)
        assert {(each.value, each.detail) for each in rig.of("/temp")} == {(None, reason)}
        assert rig.online(1) == [True]
        field.refused.clear()
        if code is ExcCodes.DEVICE_FAILURE:
            await rig.until(lambda: rig.of("/temp")[-1].value == 0)


async def test_m2_busy_is_not_zero() -> None:
    """M2: a busy unit (exception 06) is asked again; nothing is invented, and busy for long is bad, not quiet."""
    field = Field(1)
    field.busy = {1: ExcCodes.DEVICE_BUSY}
    field.memory[1, "input", 0] = 77
    device = make_device(1, {"temp": {"table": "input", "address": "0", "type": "int16"}})
    async with serve(field) as port, running("modbus-tcp", tcp(port), [device]) as rig:
        await rig.until(lambda: rig.errors("exception_06") == 2)
        assert rig.readings == []
        await rig.until(lambda: rig.readings)
        assert (rig.readings[0].value, rig.readings[0].quality) == (None, Quality.BAD)
        field.busy.clear()
        await rig.until(lambda: rig.readings[-1].value == 77)
    assert {each.value for each in rig.readings} == {None, 77}
    assert rig.online(1) == [True]


@pytest.mark.parametrize("order", ["ABCD", "CDAB", "BADC", "DCBA"])
async def test_m3_every_word_order(order: str) -> None:
    """M3: the same number comes out of all four orders that manuals know."""
    wire = {"ABCD": "0001E240", "CDAB": "E2400001", "BADC": "010040E2", "DCBA": "40E20100"}[order]
    field = Field(1)
    field.memory = {(1, "holding", i): int(wire[4 * i : 4 * i + 4], 16) for i in range(2)}
    device = make_device(1, {"energy": {"table": "holding", "address": "0", "type": "uint32"}}, {"word_order": order})
    async with serve(field) as port, running("modbus-tcp", tcp(port), [device]) as rig:
        await rig.until(lambda: rig.readings)
    assert rig.readings[0].value == 123456


async def test_m5_one_dead_unit_does_not_close_tcp_for_the_others() -> None:
    """M5: behind one TCP gateway the dead unit is reported lost once; the other keeps its beat and its connection."""
    field = Field(1, 2)
    field.silent = {1}
    devices = [make_device(1, TEMP), make_device(2, TEMP)]
    async with serve(field) as port, running("modbus-tcp", tcp(port, timeout="400ms"), devices) as rig:
        await rig.until(lambda: rig.online(1) == [False])
        await keeps_its_beat(rig, "CP02/ebike/temp")
        field.silent.clear()
        await rig.until(lambda: rig.online(1) == [False, True])
        await rig.until(lambda: rig.of("CP01/ebike/temp"))
    assert rig.online(2) == [True]
    assert field.connections == 1


async def test_m1_a_dead_unit_on_a_serial_line_leaves_the_others_their_scan_time() -> None:
    """M1: on a shared RTU line unit 1 is dead; unit 2 is read within its bound all the time."""
    field = Field(2)
    async with serve_serial(field) as path:
        params = {"port": path, "baud": "115200", "parity": "N", "stop": "1", "timeout": "400ms"}
        async with running("modbus-rtu", params, [make_device(1, TEMP), make_device(2, TEMP)]) as rig:
            await rig.until(lambda: rig.online(1) == [False] and rig.online(2) == [True])
            await keeps_its_beat(rig, "CP02/ebike/temp")
    assert {each.value for each in rig.of("CP02/ebike/temp")} == {7}


async def keeps_its_beat(rig: Rig, point: str) -> None:
    """Read every 100 ms while its neighbour, silent for 400 ms each time, is lost."""
    before = len(rig.of(point))
    await rig.until(lambda: len(rig.of(point)) >= before + 12)
    gaps = [(b.at - a.at).total_seconds() for a, b in itertools.pairwise(rig.of(point)[before:])]
    assert statistics.median(gaps) < 0.25


async def test_rtu_over_tcp_speaks_the_serial_frames() -> None:
    """A serial server that passes RTU frames through TCP is read like any other line."""
    async with (
        serve(Field(5), FramerType.RTU) as port,
        running("modbus-rtu-over-tcp", tcp(port), [make_device(5, TEMP)]) as rig,
    ):
        await rig.until(lambda: len(rig.readings) >= 3)
    assert {each.value for each in rig.readings} == {7}
    assert rig.counters.total("modbus_errors") == 0


async def test_nobody_listens() -> None:
    """A host that does not answer is an error of the line, and every device on it is lost, once."""
    async with serve(Field(1)) as port:
        pass  # closed again: the port is free
    device = make_device(1, TEMP)
    async with running("modbus-tcp", tcp(port), [device], restarts=True) as rig:
        await rig.until(lambda: rig.errors("connect") >= 2)
        assert rig.online(1) == [False]
        async with serve(Field(1), port=port):
            await rig.until(lambda: rig.online(1) == [False, True] and rig.readings)
    with pytest.raises(DriverError, match=f"127.0.0.1:{port} cannot be opened"):
        async with running("modbus-tcp", tcp(port), [device]) as rig:
            await rig.until(lambda: False)


async def test_a_restarted_device_is_picked_up_again() -> None:
    """A cabinet that reboots is lost and found, without anybody restarting the gateway."""
    device = make_device(1, TEMP)
    async with serve(Field(1)) as port:
        run = running("modbus-tcp", tcp(port), [device], restarts=True)
        rig = await run.__aenter__()
        await rig.until(lambda: rig.readings)
    await rig.until(lambda: rig.online(1) == [True, False])
    async with serve(Field(1), port=port):
        await rig.until(lambda: rig.online(1) == [True, False, True])
        await run.__aexit__(None, None, None)


async def test_values_that_cannot_be_are_bad() -> None:
    """NaN, infinity and values outside the physical range are marked, counted and never shown as values."""
    field = Field(1)
    field.memory = {(1, "input", 0): 0x7FC0, (1, "input", 1): 0, (1, "input", 2): 0xFF80, (1, "input", 3): 0}
    points: dict[str, dict[str, Any]] = {
        "a": {"table": "input", "address": "0", "type": "float32"},
        "b": {"table": "input", "address": "2", "type": "float32"},
        "c": {"table": "input", "address": "400", "type": "int16", "scale": "0.1", "range": (-30.0, 30.0)},
        "d": {"table": "input", "address": "600", "type": "int16", "scale": "-0.1", "range": (-30.0, 30.0)},
    }
    async with serve(field) as port, running("modbus-tcp", tcp(port), [make_device(1, points)]) as rig:
        await rig.until(lambda: len(rig.readings) >= 4)
    assert {(each.value, each.quality) for each in rig.readings} == {(None, Quality.BAD)}
    assert [each.detail for each in rig.readings[:4]] == ["not a number", "not a number", "range", "range"]
    assert rig.errors("not_a_number") >= 2
    assert rig.errors("range") >= 1


async def test_every_point_may_have_its_own_interval() -> None:
    """A slow counter is not read as often as an alarm."""
    points = {
        "fast": {"table": "input", "address": "0", "type": "int16", "poll": "50ms"},
        "slow": {"table": "input", "address": "1", "type": "int16", "poll": "10s"},
    }
    async with serve(Field(1)) as port, running("modbus-tcp", tcp(port), [make_device(1, points)]) as rig:
        await rig.until(lambda: len(rig.of("/fast")) >= 10)
    assert len(rig.of("/slow")) <= 1


async def test_units_are_shared_out_over_several_connections() -> None:
    """With two connections a dead unit on one does not even delay the other."""
    field = Field(1, 2, 3)
    devices = [make_device(unit, TEMP) for unit in (1, 2, 3)]
    async with serve(field) as port, running("modbus-tcp", tcp(port, connections="2"), devices) as rig:
        await rig.until(lambda: all(rig.online(unit) == [True] for unit in (1, 2, 3)))
    assert rig.counters.total("modbus_errors") == 0


async def test_the_line_says_how_long_a_scan_takes() -> None:
    """The installer sees the line's scan time, last and worst, and whether polls are on time."""
    async with serve(Field(11)) as port, running("modbus-tcp", tcp(port), [make_device(11, CABINET)]) as rig:
        await rig.until(lambda: rig.counters.total("modbus_polls", start="on_time") >= 3)
    gauges = {name: value for (name, _), value in rig.counters.gauges.items()}
    assert 0 < gauges["modbus_scan_seconds"] <= gauges["modbus_scan_worst_seconds"] < 1
    assert gauges["modbus_poll_lateness_seconds"] >= 0
