"""Peers that misbehave on purpose: nothing of it becomes a value, stops another device or kills the line."""

from __future__ import annotations

import asyncio
import itertools
import socket
import struct
from collections.abc import Callable

import pytest

from gateway.clock import SystemClock
from gateway.counters import Counters
from gateway.drivers.base import DriverError
from gateway.drivers.modbus_exchange import Exchange
from gateway.drivers.modbus_frames import read_request
from gateway.drivers.modbus_params import TcpBus
from gateway.drivers.modbus_unit import Unit
from gateway.drivers.modbus_wire import NoAnswer
from tests.support_modbus import (
    Field,
    Handler,
    make_device,
    own_addresses,
    raw_server,
    request_of,
    rtu_frame,
    running,
    serve,
    serve_serial,
    tcp,
    tcp_frame,
)

TEMP = {"temp": {"table": "input", "address": "7", "type": "uint16"}}
Reply = Callable[[int, int, bytes], bytes]


def replying(reply: Reply, honest_from: int = 10**9) -> Handler:
    """A server that answers with whatever ``reply`` makes of a request, and truly from the ``honest_from``-th on."""
    count = 0

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal count
        while True:
            transaction, unit, pdu = await request_of(reader)
            count += 1
            honest = tcp_frame(transaction, unit, own_addresses(pdu))
            writer.write(honest if count >= honest_from else reply(transaction, unit, pdu))

    return handler


LIES: dict[str, tuple[Reply, str]] = {
    "never answers": (lambda *_: b"", "timeout"),
    "half a frame": (lambda t, u, p: tcp_frame(t, u, own_addresses(p))[:9], "short_frame"),
    "half a header": (lambda *_: b"\x00\x01\x00", "short_frame"),
    "another transaction": (lambda t, u, p: tcp_frame(t + 1, u, own_addresses(p)), "wrong_transaction"),
    "transaction 0": (lambda _, u, p: tcp_frame(0, u, own_addresses(p)), "wrong_transaction"),
    "another unit": (lambda t, u, p: tcp_frame(t, u + 1, own_addresses(p)), "wrong_unit"),
    "another protocol": (lambda t, u, p: tcp_frame(t, u, own_addresses(p), 1), "garbage"),
    "not Modbus": (lambda *_: b"HTTP/1.1 400 Bad Request\r\n\r\n", "garbage"),
    "another function": (lambda t, u, _: tcp_frame(t, u, b"\x03\x02\x00\x63"), "wrong_function"),
    "unknown function": (lambda t, u, _: tcp_frame(t, u, b"\x55\x02\x00\x63"), "wrong_function"),
    "too many registers": (lambda t, u, _: tcp_frame(t, u, b"\x04\x04\x00\x63\x00\x63"), "wrong_length"),
    "byte count lies": (lambda t, u, _: tcp_frame(t, u, b"\x04\x04\x00\x63"), "wrong_length"),
    "no data": (lambda t, u, _: tcp_frame(t, u, b"\x04\x00"), "wrong_length"),
    "unknown exception": (lambda t, u, _: tcp_frame(t, u, b"\x84\x63"), "exception_other"),
    "gateway's unit is dead": (lambda t, u, _: tcp_frame(t, u, b"\x84\x0b"), "exception_0b"),
}


@pytest.mark.parametrize(("reply", "reason"), LIES.values(), ids=LIES)
async def test_a_lie_is_counted_and_never_a_value(reply: Reply, reason: str) -> None:
    """Each kind of wrong answer is counted by its reason; the unit is found again as soon as it tells the truth."""
    async with (
        raw_server(replying(reply, honest_from=3)) as port,
        running("modbus-tcp", tcp(port, timeout="50ms"), [make_device(1, TEMP)], restarts=True) as rig,
    ):
        await rig.until(lambda: rig.errors(reason))
        await rig.until(lambda: any(each.value is not None for each in rig.readings))
    assert {each.value for each in rig.readings} <= {7, None}


async def test_a_late_answer_is_not_taken_for_the_next_one() -> None:
    """A slow unit answers after its time-out with the value of the question before: thrown away."""
    late: list[bytes] = []

    def reply(transaction: int, unit: int, _: bytes) -> bytes:
        late.append(tcp_frame(transaction, unit, b"\x04\x02" + struct.pack(">H", len(late))))
        return late[-2] if len(late) > 1 else b""

    async with (
        raw_server(replying(reply)) as port,
        running("modbus-tcp", tcp(port, timeout="50ms"), [make_device(1, TEMP)], restarts=True) as rig,
    ):
        await rig.until(lambda: rig.errors("wrong_transaction") >= 2)
    assert rig.readings == []


async def test_reset_in_the_middle() -> None:
    """RST instead of an answer: counted, the line is opened again, others on it go on."""
    count = 0

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal count
        while True:
            transaction, unit, pdu = await request_of(reader)
            count += 1
            if unit == 1 and count > 4:
                writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                writer.write(tcp_frame(transaction, unit, own_addresses(pdu))[:8])
                writer.close()
                return
            writer.write(tcp_frame(transaction, unit, own_addresses(pdu)))

    devices = [make_device(1, TEMP), make_device(2, TEMP)]
    async with raw_server(handler) as port, running("modbus-tcp", tcp(port), devices, restarts=True) as rig:
        await rig.until(lambda: False in rig.online(1))
        before = len(rig.of("CP02/ebike/temp"))
        await rig.until(lambda: len(rig.of("CP02/ebike/temp")) >= before + 5)
    assert rig.errors("connection") >= 3
    assert {each.value for each in rig.readings} == {7}


async def test_a_server_that_only_hangs_up_is_trouble_with_the_line() -> None:
    """Accepted and closed at once, for ever: an error of the line for the supervisor's back-off, not a busy loop."""

    async def handler(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    async with (
        raw_server(handler) as port,
        running("modbus-tcp", tcp(port), [make_device(1, TEMP)]) as rig,
    ):
        with pytest.raises(DriverError, match="closes the connection without an answer"):
            await rig.until(lambda: False)
    assert rig.online(1) == [False]


async def test_a_flood_is_hung_up_on() -> None:
    """A peer that sends frames without being asked is counted and disconnected; memory stays bounded."""

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await request_of(reader)
        for number in range(10_000):
            writer.write(tcp_frame(40_000 + number, 1, b"\x04\x02\x00\x63"))
            await writer.drain()

    async with (
        raw_server(handler) as port,
        running("modbus-tcp", tcp(port), [make_device(1, TEMP)], restarts=True) as rig,
    ):
        await rig.until(lambda: rig.errors("flood"))
    assert rig.readings == []


async def test_m4_a_foreign_frame_on_the_line_does_not_kill_it() -> None:
    """M4: broadcasts, other masters' frames and noise around our answers; every value read is still ours."""
    noises = [
        rtu_frame(0, bytes.fromhex("0600010003")),  # somebody's broadcast
        rtu_frame(9, bytes.fromhex("0302002A")),  # an answer to somebody else
        rtu_frame(1, bytes.fromhex("5502")),  # our unit, a function that does not exist
        b"\x01\x04\x02\x00",  # the start of an answer, broken off
        bytes(range(40)),
        b"",
    ]
    count = 0

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal count
        while True:
            request = await reader.readexactly(8)
            noise = noises[count % len(noises)]
            count += 1
            writer.write(noise)
            if count % 2:
                await writer.drain()
                await asyncio.sleep(0.005)  # in pieces, as serial ports give it
            writer.write(rtu_frame(request[0], own_addresses(request[1:6])))

    async with raw_server(handler) as port, running("modbus-rtu-over-tcp", tcp(port), [make_device(1, TEMP)]) as rig:
        await rig.until(lambda: len(rig.readings) >= 2 * len(noises))
    assert {each.value for each in rig.readings} == {7}
    assert rig.errors("foreign_frame") >= 4
    assert rig.online(1) == [True]


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda frame: frame[:-1] + bytes((frame[-1] ^ 1,)), "crc"),
        (lambda frame: frame[:3], "short_frame"),
        (lambda _: rtu_frame(2, b"\x04\x02\x00\x63"), "wrong_unit"),
        (lambda _: b"\xff\xff\xff", "garbage"),
        (lambda _: b"", "timeout"),
    ],
)
async def test_a_bad_serial_line_is_counted_by_reason(spoil: Callable[[bytes], bytes], reason: str) -> None:
    """Installers see what is wrong with the wiring: wrong CRC, cut frames, another unit, noise, silence."""

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            request = await reader.readexactly(8)
            writer.write(spoil(rtu_frame(request[0], own_addresses(request[1:6]))))

    async with raw_server(handler) as port:
        params = tcp(port, timeout="50ms")
        async with running("modbus-rtu-over-tcp", params, [make_device(1, TEMP)], restarts=True) as rig:
            await rig.until(lambda: rig.online(1) == [False])
    assert rig.errors(reason) >= 3
    assert rig.readings == []


@pytest.mark.parametrize("kind", ["modbus-rtu", "modbus-tcp"])
async def test_many_dead_units_leave_the_living_their_beat(kind: str) -> None:
    """Most of a line dies at once: all of it is noticed; the others are late for a moment, not for all time-outs."""
    units, dead, living = range(1, 11), range(1, 7), range(7, 11)
    field = Field(*units)
    devices = [make_device(unit, TEMP, {"poll": "200ms"}) for unit in units]
    async with serve_serial(field) as path, serve(field) as port:
        params = {"port": path, "baud": "115200", "timeout": "150ms"} if kind == "modbus-rtu" else tcp(port)
        async with running(kind, params, devices) as rig:
            await rig.until(lambda: all(rig.online(unit) for unit in units))
            field.silent = set(dead)
            began = rig.clock.now().utc
            await rig.until(lambda: all(rig.online(unit) == [True, False] for unit in dead), within_s=30)
    assert field.connections == (kind == "modbus-tcp")  # pymodbus would hang up after a few missed answers
    for unit in living:
        times = [each.at for each in rig.of(f"CP{unit:02d}/ebike/temp") if each.at > began]
        gaps = [(b - a).total_seconds() for a, b in itertools.pairwise(times)]
        waits = sum(gap > 0.6 for gap in gaps)  # its interval, two time-outs
        assert waits <= len(gaps) // 5, f"unit {unit} waited behind the dead"


async def test_a_missed_answer_buys_the_others_time() -> None:
    """After a missed answer the line belongs to those that answer, for as long again or longer; it is not cut."""
    connections = 0
    honest = replying(lambda t, u, pdu: tcp_frame(t, u, own_addresses(pdu)) if u == 2 else b"")

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        await honest(reader, writer)

    silent, living = Unit(1), Unit(2)
    loop = asyncio.get_running_loop()
    async with raw_server(handler) as port:
        params = TcpBus(host="127.0.0.1", port=port, timeout=0.1)
        exchange = Exchange("pile1", params, [silent, living], SystemClock(), Counters())
        await exchange.open()
        assert await exchange.ask(living, read_request(2, 4, 7, 1, 2)) == b"\x00\x07"
        for pause_s in (0.1, 0.1, 0.3, 0.3, 0.3, 0.3):  # three times as long once it is lost
            with pytest.raises(NoAnswer):
                await exchange.ask(silent, read_request(1, 4, 7, 1, 2))
            assert exchange.suspect_at_s - loop.time() == pytest.approx(pause_s, abs=0.05)
        await exchange.ask(living, read_request(2, 4, 7, 1, 2))
        exchange.close()
    assert connections == 1  # pymodbus would have hung up
