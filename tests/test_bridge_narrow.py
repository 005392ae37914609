"""A narrow line: alarms within a second though history fills it, and history fills it."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Callable, Iterator
from functools import partial
from pathlib import Path

import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from cloud_bridge.run import run_bridge
from gateway.model import Site, Uplink
from tests.support_bridge import Box, mosquitto, site, until
from tests.support_relay import Line, narrow

_BITS_PER_S = 256_000
_ROUND_TRIP_S = 0.3
_WITHIN_S = 1.0
_MEASURE_S = 5.0
_KINDS = ("mqtt", "thingsboard", "sparkplug")


@pytest.fixture
def box(tmp_path: Path) -> Box:
    return Box(tmp_path)


def up(kind: str, port: int) -> Uplink:
    more = {"group": "g"} if kind == "sparkplug" else {}
    return Uplink("cloud", kind, {"host": "127.0.0.1", "port": str(port), **more})


@contextlib.contextmanager
def hearing(port: int) -> Iterator[list[bytes]]:
    """Every payload that the platform's broker hands on."""
    heard: list[bytes] = []
    client = paho.Client(CallbackAPIVersion.VERSION2, "ear")
    client.on_connect = lambda client, *_: client.subscribe("#", 1) and None
    client.on_message = lambda _client, _data, got: heard.append(bytes(got.payload))
    client.connect("127.0.0.1", port)
    client.loop_start()
    try:
        yield heard
    finally:
        client.disconnect()
        client.loop_stop()


@contextlib.asynccontextmanager
async def rung(of: Site) -> AsyncIterator[Callable[[], object]]:
    """The bridge as the gateway starts it; call what is given at each commit."""
    reading, writing = os.pipe()
    task = asyncio.create_task(run_bridge(of, of.data_dir, wake_fd=reading))
    try:
        yield lambda: os.write(writing, b"\n")
    finally:
        os.close(writing)
        await task


def _is_heard(heard: list[bytes], number: int) -> bool:
    return any(b"smoke-fire:3-2-03-%04d" % number in each for each in list(heard))


async def _carried(line: Line, seconds: float) -> float:
    """The part of the line that was used."""
    loop = asyncio.get_running_loop()
    began, before = loop.time(), line.carried
    await asyncio.sleep(seconds)
    return (line.carried - before) / (loop.time() - began) / line.bytes_per_s


@pytest.mark.parametrize("kind", _KINDS)
async def test_an_alarm_is_there_within_a_second_on_a_line_full_of_history(kind: str, box: Box, tmp_path: Path) -> None:
    """256 kbit/s with 300 ms: each of three alarms within 1 s; history uses 80 % of the line, in one session."""
    box.readings(400, each=250)
    loop = asyncio.get_running_loop()
    waits = []
    with mosquitto(tmp_path) as broker, hearing(broker.port) as heard:
        async with (
            narrow(broker.port, bits_per_s=_BITS_PER_S, round_trip_s=_ROUND_TRIP_S) as line,
            rung(site(tmp_path, up(kind, line.port))) as ring,
        ):
            await until(lambda: line.carried > 30_000, "the replay")
            used = await _carried(line, _MEASURE_S)
            for number in range(3):
                began = loop.time()
                box.alarms(number)
                ring()
                await until(partial(_is_heard, heard, number), "the alarm", 20)
                waits.append(loop.time() - began)
                await _carried(line, 1.0)
    assert line.sessions == 1
    assert max(waits) <= _WITHIN_S
    assert used >= 0.8
