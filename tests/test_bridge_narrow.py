"""A narrow line: alarms within a second though history fills it, and history fills it."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from functools import partial
from pathlib import Path

import paho.mqtt.client as paho
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from paho.mqtt.enums import CallbackAPIVersion

from cloud_bridge.narrow import TARGET_S, Sent, Window
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
    """256 kbit/s with 300 ms: each of three alarms within 1 s; history uses most of the line, in one session."""
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
    assert used >= 0.6  # what a busy machine leaves of it


@settings(max_examples=60, deadline=None)
@given(st.floats(8_000, 50_000_000), st.floats(0.0005, 1.5), st.integers(50, 9_000), st.integers(50, 9_000))
def test_the_window_ends_where_the_line_does(bytes_per_s: float, way_s: float, first: int, second: int) -> None:
    """Invariant: on any line the last answers come within the target and the time of a message, and it is used."""
    window, now_s, free_at_s = Window(4_000_000), 0.0, 0.0
    under_way: deque[tuple[Sent, float, float]] = deque()
    waits: list[float] = []
    done = 0
    for number in range(6_000):
        size = first if number % 2 else second
        while window.is_full:
            sent, went_s, now_s = under_way.popleft()
            window.answered(sent, now_s)
            waits.append(now_s - went_s)
        free_at_s = max(free_at_s, now_s) + size / bytes_per_s
        under_way.append((window.send(size, now_s), now_s, free_at_s + way_s))
        done += size
    longest_s = 9_000 / bytes_per_s
    bound_s = max(TARGET_S, way_s + 2 * longest_s + 6_000 / bytes_per_s + 0.3) * 1.2 + 2 * longest_s
    assert max(waits[-200:], default=0.0) <= bound_s
    assert window.size <= 4_000_000


def test_a_line_that_becomes_narrow_is_noticed() -> None:
    """A window of megabytes is halved with each late answer, and opens again with early ones."""
    window = Window(4_000_000)
    for _ in range(20):
        window.answered(window.send(window.size, 0.0), 0.01)
    assert window.size == 4_000_000
    for _ in range(12):
        window.answered(window.send(window.size, 0.0), 30.0)
    assert window.size < 7_000
    for _ in range(20):
        window.answered(window.send(window.size, 0.0), 0.01)
    assert window.size == 4_000_000


def test_a_hitch_is_not_taken_for_the_line() -> None:
    """One small message that took 30 s does not let 30 s of history onto the line afterwards."""
    window = Window(4_000_000)
    window.answered(window.send(200, 0.0), 30.0)
    for _ in range(30):
        size = window.size
        window.answered(window.send(size, 0.0), 0.15 + size / 32_000)
    assert 0.15 + window.size / 32_000 < 1.0
