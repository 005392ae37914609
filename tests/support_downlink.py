"""A gateway that takes requests from a platform: its site, a platform that asks, a lock that obeys."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from textwrap import dedent
from typing import Any

import jsonschema

from gateway.mqtt_link import LinkOptions, Message, MqttLink
from tests.support_core import until
from tests.support_site import write_site

SCHEMAS = Path(__file__).parent.parent / "docs" / "schema"
LOCK = "3-2-01-DOOR/door/unlock"
OTHER_LOCK = "3-2-02-DOOR/door/unlock"
VALVE = "3-2-01-GAS/gas-valve/closed"
COMMANDS = 'commands: {role: duty, verbs: [take, note, close, silence, operate], points: ["3-2-01-*"]}'
_PROFILES = {
    "lock": """
        profile: lock
        title: 门禁
        kind: door
        via: mqtt
        topic: "lock/{serial}/up"
        offline_after: 12h
        points:
          unlock:
            from: $.unlock
            type: bool
            writable: true
            set: {topic: "lock/{serial}/set", payload: {unlock: "{value}"}}
            operate: {roles: [duty, supervisor], values: [true], within: 4s}
        """,
    "valve": """
        profile: valve
        title: 燃气切断阀
        kind: gas-valve
        via: mqtt
        topic: "valve/{serial}/up"
        offline_after: 12h
        points:
          closed:
            from: $.closed
            type: bool
            writable: true
            set: {topic: "valve/{serial}/set", payload: {closed: "{value}"}}
            operate: {roles: [duty, supervisor], values: [true], within: 4s}
        """,
}
_DEVICES = """
devices:
  - {at: 3-2-01-DOOR, profile: lock, bus: field, serial: L1}
  - {at: 3-2-02-DOOR, profile: lock, bus: field, serial: L2}
  - {at: 3-2-01-GAS, profile: valve, bus: field, serial: V1}
"""
_numbers = itertools.count()


def write_asked_site(
    directory: Path, field: int, platform: int, *, web_port: int = 0, commands: str = COMMANDS, more: str = ""
) -> Path:
    """The small site with two doors, a gas valve and one platform that may ask."""
    uplink = f"host: 127.0.0.1, port: {platform}, {commands}{more}"
    uplinks = f"    platform: {{type: mqtt, {uplink}}}\n"
    config = write_site(directory, field, web_port=web_port, uplinks=uplinks)
    for name, text in _PROFILES.items():
        (config / "profiles" / f"{name}.yaml").write_text(dedent(text), encoding="utf-8")
    (config / "devices" / "more.yaml").write_text(_DEVICES, encoding="utf-8")
    return config


def validator(name: str) -> jsonschema.Draft202012Validator:
    return jsonschema.Draft202012Validator(json.loads((SCHEMAS / f"{name}.v1.json").read_text("utf-8")))


class Cloud:
    """A platform at its broker: keeps what it hears, and asks."""

    def __init__(self, port: int, name: str = "cloud") -> None:
        self.link = MqttLink(LinkOptions("127.0.0.1", port, name), on_message=self._hear)
        self.responses: dict[str, list[dict[str, Any]]] = {}
        self.alarms: dict[str, dict[str, Any]] = {}  # by alarm id: the newest version
        self.events: list[dict[str, Any]] = []
        self.states: list[str] = []
        self.telemetry = 0
        self._hears = True

    def _hear(self, message: Message) -> None:
        self.link.ack(message)
        body = json.loads(message.payload)
        kind = message.topic.split("/")[2]
        if kind == "response":
            validator("response").validate(body)
            self.responses.setdefault(body["id"], []).append(body)
        elif kind == "state":
            self.states.append(body["state"])
        elif kind == "telemetry":
            self.telemetry += 1
        elif kind == "alarm":
            self.events.append(body)
            known = self.alarms.get(body["alarm"]["id"])
            if known is None or known["event"]["version"] < body["event"]["version"]:
                self.alarms[body["alarm"]["id"]] = body

    async def start(self) -> asyncio.Task[None]:
        task = asyncio.create_task(self.link.run())
        await until(lambda: self.link.is_up)
        await self.link.subscribe([("shouwang/+/response/+", 1), ("shouwang/+/alarm", 1), ("shouwang/+/state", 1)])
        return task

    def request(self, verb: str, alarm: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
        """A request on the alarm as it was last heard of."""
        body: dict[str, Any] = {"v": 1, "id": f"r{next(_numbers)}", "verb": verb, "user": "li"}
        for_s = more.pop("for_s", 10.0)
        body["expires_at"] = (datetime.now(UTC) + timedelta(seconds=for_s)).isoformat()
        if alarm is not None:
            body |= {"alarm": alarm["alarm"]["id"], "version": alarm["event"]["version"], "epoch": alarm["epoch"]}
        return {**body, **more}

    async def send(self, body: dict[str, Any], *, retain: bool = False) -> None:
        await self.link.publish("shouwang/gw1/request", json.dumps(body).encode(), 1, retain=retain)

    async def ask(self, body: dict[str, Any], within_s: float = 15.0) -> dict[str, Any]:
        """Ask and wait for one more response of this id."""
        validator("request").validate(body)
        before = len(self.responses.get(body["id"], ()))
        await self.send(body)
        await until(lambda: len(self.responses.get(body["id"], ())) > before, within_s)
        return self.responses[body["id"]][-1]

    async def until_alarm(self, is_it: Callable[[dict[str, Any]], bool], within_s: float = 20.0) -> dict[str, Any]:
        await until(lambda: any(is_it(each) for each in self.alarms.values()), within_s)
        return next(each for each in self.alarms.values() if is_it(each))


class Field:
    """The devices: a lock that does what it is told, detectors that are told what to say."""

    def __init__(self, port: int) -> None:
        self.link = MqttLink(LinkOptions("127.0.0.1", port, "devices"), on_message=self._hear)
        self.set: list[tuple[str, dict[str, Any]]] = []
        self.obeys = True

    def _hear(self, message: Message) -> None:
        self.link.ack(message)
        body = json.loads(message.payload)
        self.set.append((message.topic, body))
        if self.obeys:
            self.link.publish(message.topic.replace("/set", "/up"), json.dumps(body).encode(), 1)

    async def start(self) -> asyncio.Task[None]:
        task = asyncio.create_task(self.link.run())
        await until(lambda: self.link.is_up)
        await self.link.subscribe([("lock/+/set", 1), ("valve/+/set", 1), ("siren/+/set", 1)])
        return task

    async def say(self, topic: str, **body: object) -> None:
        await self.link.publish(topic, json.dumps(body).encode(), 1)

    def to(self, serial: str) -> list[dict[str, Any]]:
        return [body for topic, body in self.set if f"/{serial}/" in topic]
