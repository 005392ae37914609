"""The bridge as a process: killed at any moment it loses nothing, and it ends with the gateway."""

from __future__ import annotations

import asyncio
import random
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from cloud_bridge import run
from gateway.model import Uplink
from tests.support_bridge import Box, Platform, bridging, event, mosquitto, platform, site, until

ROOT = Path(__file__).parent.parent


Start = Callable[..., Awaitable[asyncio.subprocess.Process]]


@pytest.fixture
async def start() -> AsyncIterator[Start]:
    """Starts a process that doesn't outlive its test."""
    started: list[asyncio.subprocess.Process] = []

    async def one(*arguments: str) -> asyncio.subprocess.Process:
        command = (sys.executable, "-m", "tests.support_bridge_main", *arguments)
        started.append(await asyncio.create_subprocess_exec(*command, cwd=ROOT, stdin=subprocess.PIPE))
        return started[-1]

    yield one
    for each in started:
        if each.returncode is None:
            each.kill()
            await each.wait()


def check(seen: Platform, rows: int) -> int:
    """Everything arrived, in order, and what came twice is the same message; returns how many repeats there were."""
    first: dict[str, dict[str, object]] = {}
    repeats = 0
    values: list[object] = []
    for kind in ("telemetry", "alarm"):
        for body in seen.of(kind):
            if body["id"] in first:
                repeats += 1
                assert body == first[body["id"]]
            else:
                first[body["id"]] = body
                values += [line[1] for line in body.get("r", ())]
    assert values == list(range(rows))
    alarms = [each for each in first if "#" in each]
    assert alarms == [event(number)[0].id for number in range(0, rows, 20)]
    return repeats


@pytest.mark.slow
async def test_killed_at_random_moments_it_loses_nothing(tmp_path: Path, start: Start) -> None:
    """kill -9 of the bridge again and again while a gateway writes: nothing lost, order kept, repeats are equal."""
    rows, chance = 4000, random.Random(7)
    with mosquitto(tmp_path) as broker, platform(broker.port) as seen:
        writer = await start("write", str(tmp_path), str(rows), "600")
        for _ in range(8):
            bridge = await start("bridge", str(tmp_path), str(broker.port))
            before = len(seen.messages)
            await until(lambda before=before: len(seen.messages) > before + 2, "the bridge works")  # type: ignore[misc]
            await asyncio.sleep(chance.uniform(0, 0.3))  # the moment of the kill is the subject
            bridge.kill()
            await bridge.wait()
        bridge = await start("bridge", str(tmp_path), str(broker.port))
        assert await writer.wait() == 0
        box = Box(tmp_path)
        await until(lambda: box.settled("cloud") == box.last(), "settled")
        assert bridge.stdin is not None
        bridge.stdin.close()
        assert await asyncio.wait_for(bridge.wait(), 10) == 0
        await until(lambda: len(set(map(str, seen.values()))) == rows, "the last readings")
        check(seen, rows)


async def test_it_hears_of_an_alarm_at_once_and_ends_with_the_gateway(tmp_path: Path, start: Start) -> None:
    """A byte through the pipe brings an alarm to the cloud before the next poll; the pipe's end stops the bridge."""
    box = Box(tmp_path)
    with mosquitto(tmp_path) as broker, platform(broker.port) as seen:
        bridge = await start("bridge", str(tmp_path), str(broker.port))
        assert bridge.stdin is not None
        await until(lambda: seen.of("state"), "a session")
        loop, delays = asyncio.get_running_loop(), []
        for number in range(1, 21):
            box.alarms(number)
            start_s = loop.time()
            bridge.stdin.write(b"\n")
            while len(seen.of("alarm")) < number:
                await asyncio.sleep(0.001)
                assert loop.time() < start_s + 10
            delays.append(loop.time() - start_s)
        bridge.stdin.close()
        assert await asyncio.wait_for(bridge.wait(), 10) == 0
        await until(lambda: seen.of("state")[-1]["state"] == "offline", "the farewell")
    assert sorted(delays)[len(delays) // 2] < 0.1


async def test_a_second_bridge_on_the_same_directory_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two bridges would send everything twice: the second says so, and begins only when the first has gone."""
    monkeypatch.setattr(run, "_LOCK_TRIES", 3)
    monkeypatch.setattr(run, "_LOOK_S", 0.01)
    box = Box(tmp_path)
    box.readings(5)
    with mosquitto(tmp_path) as broker, platform(broker.port) as seen:
        of = site(tmp_path, Uplink("cloud", "mqtt", {"host": "127.0.0.1", "port": str(broker.port)}))
        async with bridging(of):
            await until(lambda: len(seen.values()) == 5, "the first works")
            with pytest.raises(run.BridgeError, match="another bridge"):
                await asyncio.wait_for(run.run_bridge(of, of.data_dir), 10)
        box.readings(5, start=5)
        async with bridging(of):
            await until(lambda: len(seen.values()) == 10, "the next works")
