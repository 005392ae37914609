"""Several uplinks at once, each with its own choice, at real servers: everyone gets theirs, and settles everything."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from cloud_bridge import newest
from gateway.model import Actor, Reading, Uplink
from tests.support_bridge import (
    START,
    Box,
    Packet,
    bridging,
    device,
    event,
    mosquitto,
    platform,
    site,
    stand_in,
    until,
)
from tests.support_series import Asked, http_stand_in, victoria

SMOKE = device("3-2-03-0301", "smoke", [("alarm", "bool"), ("battery", "int")])
DOOR = device("2-1", "door", [("contact", "bool"), ("visitor", "text"), ("lock", "text")])
DOOR = replace(DOOR, points=tuple(replace(each, is_personal=each.name == "visitor") for each in DOOR.points))


def _rows(box: Box) -> None:
    """Ten rows of telemetry, each with four points; a door and then only a door; an alarm of a fire."""
    for number in range(10):
        at = START + timedelta(seconds=number)
        row = [
            Reading("3-2-03-0301/smoke/battery", number, at, at),
            Reading("3-2-03-0301/smoke/alarm", False, at, at),
            Reading("2-1/door/contact", number % 2 == 0, at, at),
            Reading("2-1/door/visitor", "张三", at, at),
        ]
        box.append(row if number < 5 else row[2:])
    box.append(events=[event(301)])


def _is_settled(box: Box, uplink: str) -> bool:
    return box.settled(uplink) == box.last()


def _has_left_out(box: Box, uplink: str, rows: int) -> bool:
    return bool(box.status(uplink)["counts"]["not_selected"] == rows)


@pytest.mark.parametrize("kind", ["mqtt", "thingsboard", "sparkplug", "influxdb"])
async def test_nothing_about_people_is_on_any_wire(tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither with the history nor with the newest values nor with an alarm: personal points, names, typed words."""
    monkeypatch.setattr(newest, "_BACKLOG", 4)
    box, wire = Box(tmp_path), bytearray()
    told, alarm = event(301)
    told = replace(told, actor=Actor("张师傅", "duty", "console"), data={"text": "王奶奶在做饭"})
    for number in range(400):
        at = START + timedelta(seconds=number)
        word = "the-newest" if number == 399 else f"word {number}"
        box.append([Reading("2-1/door/visitor", "李四来访", at, at), Reading("2-1/door/lock", word, at, at)])
    box.append(events=[(told, replace(alarm, note="王奶奶在做饭", taken_by="张师傅"))])

    def hear(packet: Packet) -> bool:
        wire.extend(packet.payload)
        return True

    def read(asked: Asked) -> str:
        wire.extend("\n".join(asked.lines).encode())
        return "204"

    async with stand_in(hear, 100) as broker, http_stand_in(read) as (url, _):
        where = {"url": url, "bucket": "b"} if kind == "influxdb" else {"host": "127.0.0.1", "port": str(broker.port)}
        async with bridging(site(tmp_path, Uplink("cloud", kind, {**where, "rate": "20"}), devices=(SMOKE, DOOR))):
            await until(lambda: b"the-newest" in wire and b"smoke-fire" in wire, "the newest value and the alarm")
            await until(lambda: b"word 3" in wire, "the history")
            assert box.status("cloud").get("settled", {}).get("telemetry", 0) < 399
    assert not [word for word in ("张师傅", "王奶奶", "李四") if word.encode() in wire]


async def test_each_uplink_gets_what_it_asks_for(tmp_path: Path) -> None:
    """One wants everything, one alarms only, one the fire points of a building, a time series the curves."""
    box = Box(tmp_path)
    _rows(box)
    with mosquitto(tmp_path) as broker, platform(broker.port) as seen:

        def up(name: str, **more: Any) -> Uplink:
            where = {"host": "127.0.0.1", "port": str(broker.port), "prefix": f"shouwang/{name}"}
            return Uplink(name, "mqtt", {**where, "client_id": name, **more})

        async with victoria(tmp_path) as server:
            series = {"url": server.url, "bucket": "b", "only": {"classes": [], "points": ["*/battery"]}}
            uplinks = (
                up("all", personal="true"),
                up("most"),
                up("alarms", only={"points": []}),
                up("smoke", only={"kinds": "smoke", "classes": ["gas"]}),
                Uplink("curves", "influxdb", series),
            )
            of = site(tmp_path, *uplinks, devices=[SMOKE, DOOR])
            async with bridging(of):
                for each in uplinks:
                    await until(partial(_is_settled, box, each.id), each.id)
                for name, count in (("all", 0), ("most", 0), ("alarms", 10), ("smoke", 6), ("curves", 6)):
                    await until(partial(_has_left_out, box, name, count), f"{name} counts {count}")
            found = await server.found(5 + 1)
        got = {
            name: [body for topic, body in seen.messages if f"/{name}/" in topic]
            for name in ("all", "most", "alarms", "smoke")
        }
    points = {name: [row[0] for body in bodies for row in body.get("r", ())] for name, bodies in got.items()}
    alarms = {name: sum("event" in body for body in bodies) for name, bodies in got.items()}
    assert {name: len(each) for name, each in points.items()} == {"all": 30, "most": 20, "alarms": 0, "smoke": 10}
    assert set(points["smoke"]) == {"3-2-03-0301/smoke/battery", "3-2-03-0301/smoke/alarm"}
    assert "2-1/door/visitor" not in points["most"]
    assert alarms == {"all": 1, "most": 1, "alarms": 1, "smoke": 0}
    assert [value for _, value in found["smoke_battery", "3-2-03-0301/smoke"]] == [0, 1, 2, 3, 4]
    assert not [key for key in found if "door" in key[0] or "alarm_event" in key[0]]
