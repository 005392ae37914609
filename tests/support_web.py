"""A gateway and a user store in memory, behind the web's ports, and a real server on a real socket for tests."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
from collections import defaultdict
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import datetime
from typing import Any

import httpx

from gateway.clock import Clock, SystemClock
from gateway.counters import Counters
from gateway.model import (
    SYSTEM,
    Actor,
    Alarm,
    AlarmClass,
    AlarmEvent,
    Bus,
    Condition,
    Device,
    DeviceParams,
    MarkChange,
    Offer,
    OperatorRequest,
    Place,
    Point,
    Reply,
    Rule,
    Site,
    Step,
    Verb,
)
from gateway.rules.alarm import fold
from gateway.rules.marks import Marks
from gateway.rules.table import MARKING
from gateway.rules.timers import Timers
from gateway.rules.verbs import Refusal, decide, shelving
from gateway.store.kpi import report
from gateway.web.app import create_app
from gateway.web.live import LiveView
from gateway.web.ports import SESSIONS_PER_USER, Health, MarkLimit, Session, UplinkHealth, User
from gateway.web.server import listen, serve
from gateway.web.views import alarm_key

SETUP_CODE = "ABCD-EFGH-JKLM"
PASSWORD = "阳光花园-2026"


class MemoryUsers:
    """A `UserStore` that forgets everything at the end; keeps the contract in support_users."""

    def __init__(self) -> None:
        self.users: dict[str, User] = {}
        self.sessions: dict[str, tuple[str, datetime]] = {}
        self.trail: list[tuple[Actor, str, Mapping[str, Any]]] = []

    async def has_users(self) -> bool:
        return bool(self.users)

    async def create(self, name: str, role: str, password_hash: str) -> bool:
        if name in self.users:
            return False
        self.users[name] = User(name, role, password_hash)
        return True

    async def find(self, name: str) -> User | None:
        return self.users.get(name)

    async def audit(self, actor: Actor, action: str, detail: Mapping[str, Any]) -> None:
        self.trail.append((actor, action, detail))

    async def put_session(self, token_hash: str, user: str, expires_at: datetime) -> None:
        self.sessions[token_hash] = (user, expires_at)
        mine = sorted((at, key) for key, (name, at) in self.sessions.items() if name == user)
        for _, key in mine[:-SESSIONS_PER_USER]:
            del self.sessions[key]

    async def session(self, token_hash: str) -> Session | None:
        if token_hash not in self.sessions:
            return None
        name, expires_at = self.sessions[token_hash]
        return Session(name, self.users[name].role, expires_at)

    async def drop_session(self, token_hash: str) -> None:
        self.sessions.pop(token_hash, None)


def small_site(title: str = "阳光花园", rooms: Sequence[str] = ("0301", "0302")) -> Site:
    """A site with one smoke detector per room of 3栋2单元3层, and one rule per class."""
    devices = {}
    for room in rooms:
        address = f"3-2-03-{room}"
        point = Point(f"{address}/smoke/alarm", f"{address}/smoke", "alarm", "bool", alarm_class=AlarmClass.FIRE)
        place = Place(address, "3", "2", "03", room)
        params = DeviceParams(None, None)
        devices[point.device_id] = Device(
            point.device_id, "smoke", "独立式感烟报警器", place, "smoke-a1", "field", None, (point,), params
        )
    rules = tuple(
        Rule(
            f"rule-{each}",
            f"{each} 规则",
            each,
            tuple(point.id for device in devices.values() for point in device.points),
            Condition("equals", True),
            latches=each is not AlarmClass.FAULT,
            plan=("派人到场", "回拨住户", "核实"),
            outcomes=("真实火警", "误报", "测试"),
        )
        for each in AlarmClass
    )
    return Site(
        "gw-1", title, "Asia/Shanghai", "/nonexistent", "127.0.0.1", 0, {"field": Bus("field", "mqtt", None)},
        devices, rules, {}, (), "digest",
    )  # fmt: skip


class FakeGateway:
    """Answers like the gateway, by the real alarm table; commits into memory and tells the live view."""

    def __init__(self, site: Site, live: LiveView, clock: Clock) -> None:
        self._site = site
        self.live = live
        self.clock = clock
        self.alarms: dict[str, Alarm] = {}
        self.doors: list[dict[str, Any]] = []
        self.operated: list[dict[str, Any]] = []
        self.said_of_uplinks: list[Mapping[str, Any]] = []
        self.letters: list[Mapping[str, Any]] = []
        self.retried: list[int] = []
        self.journal: defaultdict[str, list[AlarmEvent]] = defaultdict(list)
        self.commanded: defaultdict[str, list[Mapping[str, Any]]] = defaultdict(list)
        self.told: defaultdict[str, list[Mapping[str, Any]]] = defaultdict(list)
        self.asked: tuple[datetime, datetime] | None = None  # for which time the calls were asked last
        self.requests: list[OperatorRequest] = []
        self.kept = Marks(site.devices.values(), Timers())
        self.state = Health(buses={"field": True}, uplinks={"platform": UplinkHealth(True, 0, None)})
        self.gate = asyncio.Event()  # clear: commits stand still
        self.gate.set()
        live.load(site.devices)

    def health(self) -> Health:
        return self.state

    def site(self) -> Site:
        return self._site

    async def events(self, alarm_id: str) -> Sequence[AlarmEvent]:
        return self.journal[alarm_id]

    async def commands(self, alarm_id: str) -> Sequence[Mapping[str, Any]]:
        return self.commanded[alarm_id]

    async def notices(self, alarm_id: str) -> Sequence[Mapping[str, Any]]:
        return self.told[alarm_id]

    async def calls(self, start: datetime, end: datetime) -> Mapping[str, Any]:
        self.asked = start, end
        return report((), self.clock.now().utc)

    async def alarm(self, alarm_id: str) -> Alarm | None:
        return self.alarms.get(alarm_id)

    async def marks(self) -> Sequence[MarkChange]:
        return list(self.kept)

    def marking(self) -> Mapping[str, MarkLimit]:
        return {str(mark): MarkLimit(*limit) for mark, limit in MARKING.items()}

    def shelving(self, alarm: Alarm) -> Mapping[str, float]:
        return shelving(alarm, next(each for each in self._site.rules if each.id == alarm.rule_id))

    async def records(self, limit: int, before: tuple[datetime, str] | None) -> Sequence[Alarm]:
        ended = [each for each in self.alarms.values() if not each.is_open]
        ended.sort(key=lambda each: (each.raised_at, each.id), reverse=True)
        return [each for each in ended if before is None or (each.raised_at, each.id) < before][:limit]

    async def uplinks(self) -> Sequence[Mapping[str, Any]]:
        return self.said_of_uplinks

    async def dead_letters(self, uplink: str, limit: int, before: int) -> Sequence[Mapping[str, Any]]:
        found = [each for each in self.letters if each["uplink"] == uplink and each["id"] < before]
        return sorted(found, key=lambda each: -int(each["id"]))[:limit]

    async def retry(self, letter_id: int) -> bool:
        self.retried.append(letter_id)
        return True

    def offers(self, alarm: Alarm) -> Sequence[tuple[Offer, Point]]:
        rule = next(each for each in self._site.rules if each.id == alarm.rule_id)
        points = self._site.devices[alarm.device_id].points
        return [(offer, each) for offer in rule.offers for each in points if each.name == offer.point]

    async def operation(self, command_id: str) -> Mapping[str, Any] | None:
        return next((each for each in self.operated if each["id"] == command_id), None)

    async def operations(self, limit: int, before: tuple[int, str] | None) -> Sequence[Mapping[str, Any]]:
        found = [e for e in reversed(self.operated) if before is None or (e["issued_ms"], e["id"]) < before]
        return found[:limit]

    async def passes(
        self,
        limit: int,
        before: int | None,
        device_id: str | None,
        credential: str | None = None,
        *,
        result: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
    ) -> Sequence[Mapping[str, Any]]:
        asked = {"device_id": device_id, "credential": credential, "result": result}
        found = [each for each in self.doors if all(value in {None, each[key]} for key, value in asked.items())]
        found = [each for each in found if (not since or each["at"] >= since) and (not until or each["at"] < until)]
        return [each for each in reversed(found) if before is None or each["seq"] < before][:limit]

    def raise_alarm(
        self, alarm_class: AlarmClass = AlarmClass.FIRE, *, room: str = "0301", title: str = "感烟报警"
    ) -> Alarm:
        """A new alarm of this room's detector, committed and shown."""
        point = f"3-2-03-{room}/smoke/alarm"
        before = [each for each in self.alarms.values() if (each.point_id, each.alarm_class) == (point, alarm_class)]
        data = {
            "rule": f"rule-{alarm_class}", "point": point, "device": point.rpartition("/")[0],
            "occurrence": len(before) + 1, "class": alarm_class, "title": title, "place": f"3-2-03-{room}",
            "value": True, "latches": alarm_class is not AlarmClass.FAULT, "sounds": True,
        }  # fmt: skip
        return self.tell(f"rule-{alarm_class}:{point}:{len(before) + 1}", "raised", SYSTEM, data)

    def clear(self, alarm: Alarm) -> Alarm:
        """The cause goes away."""
        return self.tell(alarm.id, "returned", SYSTEM, {})

    def tell(self, alarm_id: str, kind: str, actor: Actor, data: Mapping[str, Any]) -> Alarm:
        """Commit one event of an alarm and show it."""
        now = self.clock.now()
        before = self.alarms.get(alarm_id)
        event = AlarmEvent(alarm_id, before.version + 1 if before else 1, kind, now.utc, actor, data)
        alarm = self.alarms[alarm_id] = fold(before, event)
        self.journal[alarm_id].append(event)
        self.live.apply(Step(now, events=[event], alarms={alarm_id: alarm}))
        return alarm

    async def submit(self, request: OperatorRequest) -> Reply:
        await self.gate.wait()
        self.requests.append(request)
        if not request.verb.is_of_alarm:
            return self._mark(request)
        alarm = self.alarms[request.alarm_id]
        rule = next(each for each in self._site.rules if each.id == alarm.rule_id)
        verdict = decide(request, alarm, rule, self.clock.now())
        if isinstance(verdict, Refusal):
            return Reply(request.id, is_accepted=False, code=verdict.code, detail=verdict.detail, version=alarm.version)
        alarm = self.tell(alarm.id, verdict.kind, request.actor, verdict.data)
        step = Step(self.clock.now())
        if request.verb is Verb.SHELVE:
            self.kept.shelve(alarm, verdict.data["reason"], step)
        elif request.verb is Verb.UNSHELVE:
            self.kept.unshelve(alarm, request.actor, step)
        self.live.apply(step)
        return Reply(request.id, is_accepted=True, version=alarm.version)

    def _mark(self, request: OperatorRequest) -> Reply:
        now = self.clock.now()
        verdict = self.kept.decide(request, now)
        if isinstance(verdict, Refusal):
            return Reply(request.id, is_accepted=False, code=verdict.code, detail=verdict.detail)
        step = Step(now)
        if request.verb is Verb.MARK:
            self.kept.put(verdict, step)
        else:
            self.kept.remove(verdict, request.actor, "", step)
        self.live.apply(step)
        return Reply(request.id, is_accepted=True)


@dataclasses.dataclass(slots=True)
class Running:
    """A web server that runs, and what is behind it."""

    url: str
    gateway: FakeGateway
    users: MemoryUsers
    live: LiveView
    counters: Counters
    server: asyncio.Task[None]

    async def stop(self) -> None:
        """Stop the server as the gateway does."""
        self.server.cancel()
        await asyncio.gather(self.server, return_exceptions=True)

    @contextlib.asynccontextmanager
    async def client(self, **headers: str) -> AsyncIterator[httpx.AsyncClient]:
        """A client that sends the console's own header."""
        everything = {"X-Shouwang": "1", "Accept-Language": "zh-CN", **headers}
        async with httpx.AsyncClient(base_url=self.url, headers=everything, timeout=10, trust_env=False) as client:
            yield client

    @contextlib.asynccontextmanager
    async def officer(self, name: str = "张师傅", role: str = "duty") -> AsyncIterator[httpx.AsyncClient]:
        """A client that is logged in under this name."""
        await self.add_user(name, role)
        async with self.client() as client:
            answer = await client.post("/api/v1/login", json={"name": name, "password": PASSWORD})
            assert answer.status_code == 204, answer.text
            yield client

    async def add_user(self, name: str = "张师傅", role: str = "duty") -> None:
        """An account with `PASSWORD`."""
        await self.users.create(name, role, _hash_of_password())


_hashes: list[str] = []


def _hash_of_password() -> str:
    from argon2 import PasswordHasher  # noqa: PLC0415 - hashed once, only where somebody logs in

    if not _hashes:
        _hashes.append(PasswordHasher(time_cost=2, memory_cost=19456, parallelism=1).hash(PASSWORD))
    return _hashes[0]


def verb_path(alarm: Alarm, verb: str) -> str:
    """Where this verb on this alarm is posted."""
    return f"/api/v1/alarms/{alarm_key(alarm.id)}/{verb}"


@contextlib.asynccontextmanager
async def running_web(site: Site | None = None, *, clock: Clock | None = None) -> AsyncIterator[Running]:
    """A real server on a real loopback socket."""
    counters = Counters()
    live = LiveView(counters)
    gateway = FakeGateway(site or small_site(), live, clock or SystemClock())
    users = MemoryUsers()
    app = create_app(gateway, live, users, counters, gateway.clock, title=gateway.site().title, setup_code=SETUP_CODE)
    sock = listen("127.0.0.1", 0)
    host, bound = sock.getsockname()
    task = asyncio.create_task(serve(app, live, sock))
    running = Running(f"http://{host}:{bound}", gateway, users, live, counters, task)
    try:
        yield running
    finally:
        await running.stop()


async def _serve_for_ever() -> None:
    """A console with one fire alarm, for a test that freezes the whole process."""
    async with running_web() as web:
        await web.add_user()
        web.gateway.raise_alarm()
        print(web.url, flush=True)  # noqa: T201 - the test reads it
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(_serve_for_ever())
