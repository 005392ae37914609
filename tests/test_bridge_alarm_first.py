"""Alarms first: within a second of the session after an outage, whatever telemetry waits or is under way."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from cloud_bridge import pace
from gateway.model import Uplink
from tests.support_bridge import Box, Packet, StandIn, bridging, free_port, listening, mosquitto, platform, site, until


@pytest.fixture
def box(tmp_path: Path) -> Box:
    return Box(tmp_path)


def up(port: int, **more: str) -> Uplink:
    return Uplink("cloud", "mqtt", {"host": "127.0.0.1", "port": str(port), **more})


async def test_alarms_of_an_outage_are_there_a_second_after_the_session(
    box: Box, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Twenty thousand rows and a hundred alarms wait: all alarms stand before the first telemetry, within 1 s."""
    monkeypatch.setattr(pace, "_FIRST_S", 0.05)
    for start in range(0, 20_000, 1_000):
        with box.db:
            for number in range(start, start + 1_000):
                box.append([box.reading(number)])
    box.alarms(*range(100))
    loop = asyncio.get_running_loop()
    seen: list[tuple[str, float]] = []

    def answer(packet: Packet) -> bool:
        seen.append((packet.topic.rpartition("/")[2], loop.time()))
        return True

    cloud, opened = StandIn(answer, 100), loop.time()
    async with bridging(site(tmp_path, up(port := free_port()))):
        await until(lambda: box.status("cloud").get("state") == "down", "the outage")
        async with listening(cloud.serve, port):
            await until(lambda: sum(kind == "alarm" for kind, _ in seen) == 100, "the alarms")
    opened = seen[0][1]  # the state: the session is open
    kinds = [kind for kind, _ in seen]
    assert kinds[:101] == ["state", *["alarm"] * 100]
    assert seen[100][1] - opened < 1.0


async def test_an_alarm_raised_during_a_replay_passes_it(box: Box, tmp_path: Path) -> None:
    """While history fills in, a new alarm arrives long before it has."""
    for start in range(0, 20_000, 1_000):
        with box.db:
            for number in range(start, start + 1_000):
                box.append([box.reading(number)])
    with mosquitto(tmp_path) as broker, platform(broker.port) as seen:
        async with bridging(site(tmp_path, up(broker.port, rate="2000"))):
            await until(lambda: len(seen.of("telemetry")) > 500, "the replay")
            box.alarms(1)
            await until(lambda: seen.of("alarm"), "the alarm", 2.0)
            assert len(seen.of("telemetry")) < 15_000


async def test_an_alarm_shortens_the_pause_before_the_next_try(
    box: Box, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a long outage the next try is half a minute away: not for an alarm."""
    monkeypatch.setattr(pace, "_FIRST_S", 30.0)
    monkeypatch.setattr(pace, "_ALARM_CAP_S", 0.5)
    tries = 0

    async def hang_up(_reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        nonlocal tries
        tries += 1

    async with listening(hang_up) as port, bridging(site(tmp_path, up(port, version="3.1.1"))):
        await until(lambda: box.status("cloud").get("state") == "down", "the first try")
        assert tries == 1
        box.alarms(1)
        await until(lambda: tries == 2, "the next try", 5)
