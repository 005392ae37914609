"""A gateway that takes requests from a platform: its site, a platform that asks, a lock that obeys."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from textwrap import dedent
from typing import Any

import jsonschema

from cloud_bridge.downlink import SOCKET_FILE, Downlink
from cloud_bridge.settings import Commands, Common
from gateway.app.cloud_requests import CloudRequests
from gateway.app.downlink import DownlinkServer
from gateway.app.port import Port
from gateway.app.valves import never_opening
from gateway.clock import SystemClock
from gateway.counters import Counters
from gateway.effects import Effects, Write
from gateway.model import (
    Alarm,
    Arrival,
    Command,
    CommandOutcome,
    CommandResult,
    Notice,
    NoticeResult,
    Now,
    Point,
    Reading,
    Step,
    Uplink,
    Value,
)
from gateway.mqtt_link import LinkOptions, Message, MqttLink
from gateway.notify.policy import NoticePolicy
from gateway.pipeline import Pipeline
from gateway.rules import Engine
from gateway.store.journal import Journal
from gateway.store.users import Users
from tests.support_core import until
from tests.support_operate import a_site
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
    directory: Path,
    field: int,
    platform: int,
    *,
    web_port: int = 0,
    commands: str = COMMANDS,
    more: str = "",
    kind: str = "mqtt",
) -> Path:
    """The small site with two doors, a gas valve and one platform that may ask."""
    uplink = f"host: 127.0.0.1, port: {platform}, {commands}{more}"
    uplinks = f"    platform: {{type: {kind}, {uplink}}}\n"
    config = write_site(directory, field, web_port=web_port, uplinks=uplinks)
    for name, text in _PROFILES.items():
        (config / "profiles" / f"{name}.yaml").write_text(dedent(text), encoding="utf-8")
    (config / "devices" / "more.yaml").write_text(_DEVICES, encoding="utf-8")
    return config


def validator(name: str) -> jsonschema.Draft202012Validator:
    return jsonschema.Draft202012Validator(json.loads((SCHEMAS / f"{name}.v1.json").read_text("utf-8")))


class Cloud:
    """A platform at its broker: keeps what it hears, and asks."""

    def __init__(self, port: int, name: str = "cloud", *, gateway: str = "gw1") -> None:
        self._topic = f"shouwang/{gateway}/request"
        self.link = MqttLink(LinkOptions("127.0.0.1", port, name), on_message=self._hear)
        self.responses: dict[str, list[dict[str, Any]]] = {}
        self.alarms: dict[str, dict[str, Any]] = {}  # by alarm id: the newest version
        self.events: list[dict[str, Any]] = []
        self.states: list[str] = []
        self.telemetry = 0

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
        await self.link.publish(self._topic, json.dumps(body).encode(), 1, retain=retain)

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


class OwnBox:
    """The gateway's core without its edges, in this process: engine, pipeline, store, effects, the downlink's end."""

    def __init__(self, directory: Path, commands: Commands | None, *, is_personal: bool = False) -> None:
        params = Common(commands=commands, personal=is_personal)
        uplinks = (Uplink("cloud", "mqtt", params), Uplink("deaf", "mqtt", Common()))
        self.site = replace(a_site(is_pulse=False), data_dir=str(directory), uplinks=uplinks)
        self.clock = SystemClock()
        self.counters = Counters()
        self.alarms: dict[str, Alarm] = {}
        self.written: list[tuple[str, Value]] = []  # to devices
        self.is_slow = False  # devices take three seconds
        self.journal = Journal(str(directory), (), 10_000_000)
        engine = Engine(self.site, counters=self.counters, policy=NoticePolicy(self.site), settle_s=0.0)
        kept = self.journal.restore(self.clock.now())
        engine.restore(kept.alarms, kept.occurrences, kept.timers, self.clock.now(), marks=kept.marks)
        self.alarms.update({each.id: each for each in kept.alarms})
        self._writer, self._screens = ThreadPoolExecutor(1), ThreadPoolExecutor(1)
        self.pipeline = Pipeline(
            engine, self.journal, self.clock, self.counters, executor=self._writer, act=self._act, publish=self._show
        )
        points = [point for each in self.site.devices.values() for point in each.points if point.is_writable]
        writers = {each.id: self._gate(each) for each in points}
        self.effects = Effects(writers, self._say, self.pipeline.inbox.put, self.clock, self.counters)
        self._unsettled = kept.commands
        self.port = Port(
            self.site, self.pipeline, self.counters, self.clock, self._screens, offers=engine.operating.offers
        )
        self.users = Users(self.journal.connection, self._writer, str(directory), self._screens, self.clock)
        self.requests = CloudRequests(self.site, self.port, self.users.audit, self.clock, self.counters)
        self.server = DownlinkServer(str(directory), self.requests, self.clock, self.counters)
        self.downlink = Downlink(str(directory), self.clock)
        self.ask = self.downlink.ask_for("cloud", commands)

    def _gate(self, point: Point) -> Write:
        kind = self.site.devices[point.device_id].kind
        return never_opening(self._write, kind, point.name, self.clock, self.counters)

    def _act(self, commands: Sequence[Command], decided: Now) -> None:
        self.effects.act(commands, decided)

    def _show(self, step: Step) -> None:
        self.effects.act([each for each in step.commands if not each.is_safety], step.now)
        self.alarms.update(step.alarms)
        self.requests.hear(step)

    async def _write(self, command: Command) -> CommandResult:
        if self.is_slow:
            await asyncio.sleep(3.0)
        self.written.append((command.point_id, command.value))
        return CommandResult(command.id, CommandOutcome.DONE, self.clock.now().utc, command.value)

    async def _say(self, notice: Notice) -> NoticeResult:
        return NoticeResult(notice.key, is_accepted=True, at=self.clock.now().utc)

    async def read(self, point_id: str, value: Value) -> None:
        """A device says something, and it is on record."""
        done = asyncio.Event()
        at = self.clock.now().utc
        self.pipeline.inbox.deliver(Arrival((Reading(point_id, value, at, at),), receipt=done.set))
        async with asyncio.timeout(5):
            await done.wait()

    def audit(self) -> list[tuple[str, list[str], dict[str, Any]]]:
        """(action, actor, detail), oldest first."""
        rows = self.journal.connection.execute("SELECT action, actor, detail FROM audit ORDER BY seq")
        return [(str(what), json.loads(str(who)), json.loads(str(detail))) for what, who, detail in rows]

    @asynccontextmanager
    async def living(self) -> AsyncIterator[OwnBox]:
        """Run it, with the bridge's end of the downlink beside it, until the end of the block."""
        self.effects.act(self._unsettled, self.clock.now())
        tasks = [asyncio.create_task(each) for each in (self.pipeline.run(), self.server.run(), self.downlink.watch())]
        await until((Path(self.site.data_dir) / SOCKET_FILE).exists)
        try:
            yield self
        finally:
            self.downlink.close()
            for each in tasks[1:]:
                each.cancel()
            await self.effects.close()
            tasks[0].cancel()
            ends = await asyncio.gather(*tasks, return_exceptions=True)
            self._screens.shutdown()
            self.port.close()
            self.users.close()
            self._writer.shutdown()
            self.journal.close()
            assert all(isinstance(each, asyncio.CancelledError) for each in ends), ends
