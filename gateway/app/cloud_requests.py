"""What platforms ask, decided as at the console: who may ask at all, and the way through the engine.

An uplink has what its ``commands:`` say: a role, verbs, points. Everything else (versions, states, roles, deadlines,
what holds an output, gas valves) is the engine's, the same as for the console: there is no second policy here. How a
request gets here is `gateway.app.downlink`'s; what is told of a refusal, `gateway.app.cloud_words`'.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import timedelta
from fnmatch import fnmatchcase
from typing import Any, NamedTuple, Protocol
from zoneinfo import ZoneInfo

import orjson
import structlog

from cloud_bridge.ask import LONGEST_S, PER_S, Code, not_done
from cloud_bridge.pace import RateLimit
from cloud_bridge.settings import Commands, Common
from gateway.app.cloud_words import Words
from gateway.clock import Clock
from gateway.counters import Counters
from gateway.model import (
    Actor,
    AlarmEvent,
    CommandResult,
    OperatorRequest,
    Reply,
    Site,
    Step,
    Value,
    Verb,
)
from gateway.rules.operate import is_said
from gateway.rules.table import ARGUMENTS
from gateway.rules.verbs import MAX_TEXT

_ID = "cloud/"
_OPERATION = "operate:" + _ID  # what the command of such a request is called
_OPTIONAL = {Verb.MARK: ("key", "minutes"), Verb.UNMARK: ("key", "reason")}
_MOST_TEXT = 200  # characters of an id, a user's name, an alarm's id (of which there is one a point)
_MOST_ALARM_ID = 1_000
_REMEMBERED = 1_024
_RESULT_S = 2.0  # beyond the deadline: the result of a command is on its way
_AUDIT_EVERY_S = 1.0

_OURS = frozenset(map(str, Code))  # the engine counts its own refusals

_log = structlog.get_logger(__name__)


class Asked(NamedTuple):
    """One request as the bridge hands it over, of the right shape."""

    uplink: str
    id: str
    verb: Verb
    alarm_id: str
    version: int
    args: Mapping[str, str]
    user: str
    deadline_mono_s: float


class Port(Protocol):
    """What this needs of `gateway.app.port.Port`."""

    async def submit(self, request: OperatorRequest) -> Reply:
        """Answers after the commit; a request that was answered before gets the same answer again."""
        ...

    async def events(self, alarm_id: str) -> Sequence[AlarmEvent]:
        """The alarm's journal, oldest first."""
        ...

    async def operation(self, command_id: str) -> Mapping[str, Any] | None:
        """One operation by hand: ``outcome`` None while under way."""
        ...


Audit = Callable[[Actor, str, Mapping[str, Any]], Awaitable[None]]


class _Uplink:
    """What one platform may do, and how fast."""

    def __init__(self, name: str, params: Common, zone: ZoneInfo, now_s: float) -> None:
        self.name = name
        self.commands: Commands | None = params.commands
        self.words = Words(name, zone, is_personal=params.personal)
        self.limit = RateLimit(PER_S, now_s)
        self.audit_due_s = float("-inf")


class CloudRequests:
    """Takes requests of platforms to the engine, and says what became of them."""

    def __init__(self, site: Site, port: Port, audit: Audit, clock: Clock, counters: Counters) -> None:
        zone, now_s = ZoneInfo(site.timezone), clock.now().mono_s
        self._uplinks = {
            each.id: _Uplink(each.id, each.params, zone, now_s)
            for each in site.uplinks
            if isinstance(each.params, Common) and each.params.commands is not None
        }
        self._port = port
        self._audit = audit
        self._clock = clock
        self._counters = counters
        self._meant: OrderedDict[str, tuple[object, ...]] = OrderedDict()  # by request id
        self._waiting: dict[str, list[asyncio.Future[CommandResult]]] = {}  # by command id
        self._audits: set[asyncio.Task[None]] = set()

    @property
    def has_any(self) -> bool:
        """May any platform ask for anything?"""
        return bool(self._uplinks)

    def hear(self, step: Step) -> None:
        """What has been committed: the ends of commands that platforms wait for."""
        for result in step.results:
            if isinstance(result, CommandResult) and result.command_id.startswith(_OPERATION):
                for waiter in self._waiting.pop(result.command_id, ()):
                    if not waiter.done():
                        waiter.set_result(result)

    async def answer(self, asked: Asked) -> dict[str, Any]:
        """What became of it: is_accepted, code, detail, version. Waits for the commit, and for an operation's end."""
        uplink = self._uplinks.get(asked.uplink)
        answer = _refused(Code.COMMANDS_OFF) if uplink is None else await self._decide(uplink, asked)
        name = "" if uplink is None else uplink.name  # a name that is not configured is no label
        self._counters.count("cloud_requests", uplink=name)
        if answer["code"] in _OURS:
            self._counters.count("cloud_requests_refused", uplink=name, code=answer["code"])
        return answer

    async def _decide(self, uplink: _Uplink, asked: Asked) -> dict[str, Any]:
        now = self._clock.now()
        if not uplink.limit.allowance(now.mono_s, 1):
            return _refused(Code.TOO_MANY)
        uplink.limit.spend(1)
        assert uplink.commands is not None
        actor = Actor(f"{uplink.name}:{asked.user}" if asked.user else uplink.name, uplink.commands.role, "cloud")
        refused = _out_of_bounds(uplink.commands, asked)
        if refused is not None:
            self._put_on_record(uplink, actor, asked, refused, now.mono_s)
            return _refused(refused)
        left_s = max(-LONGEST_S, min(asked.deadline_mono_s - now.mono_s, LONGEST_S))
        request = OperatorRequest(
            f"{_ID}{uplink.name}/{asked.id}", actor, asked.verb, asked.alarm_id, asked.version,
            now.utc, now.utc + timedelta(seconds=left_s), asked.args,
        )  # fmt: skip
        if not self._is_what_it_was(request):
            return _refused(Code.REUSED)
        try:
            async with asyncio.timeout(max(left_s, 0.0) + _RESULT_S):
                reply = await self._port.submit(request)
                if not await self._is_answer_to(request, reply):
                    return _refused(Code.REUSED)
                told = await self._told(uplink, request, reply)
        except TimeoutError:  # the disk refuses, or the gateway is stopping
            return _refused(Code.NO_ANSWER)
        if reply.is_accepted and asked.verb is Verb.OPERATE:
            deadline_s = now.mono_s + max(left_s, 0.0) + _RESULT_S
            told["detail"] |= await self._outcome(str(reply.detail["command"]), deadline_s)
        return told

    def _is_what_it_was(self, request: OperatorRequest) -> bool:
        """Is this id new, or does it mean what it meant? What was asked before a start only the record knows."""
        meaning = (request.alarm_id, request.verb, request.version, tuple(sorted(request.args.items())))
        known = self._meant.setdefault(request.id, meaning)
        if len(self._meant) > _REMEMBERED:
            self._meant.popitem(last=False)
        return known == meaning

    async def _is_answer_to(self, request: OperatorRequest, reply: Reply) -> bool:
        """Can it be? An answer from the record may be that to another question of the same id, from before a start."""
        command_id = str(reply.detail.get("command", ""))
        if not reply.is_accepted or bool(command_id) is not (request.verb is Verb.OPERATE):
            return not reply.is_accepted
        if not command_id:
            return not request.alarm_id or await self._has_done(request, reply.version)
        row = await self._port.operation(command_id)
        return row is None or (
            row["point_id"] == request.args["point"].strip()
            and is_said(request.args["value"], orjson.loads(row["value"]))
        )

    async def _has_done(self, request: OperatorRequest, version: int) -> bool:
        """Has this platform done anything to the alarm by then? Each accepted verb is an event of its alarm."""
        uplink = request.actor.name.partition(":")[0]
        return any(
            each.version <= version and each.actor.via == "cloud" and each.actor.name.partition(":")[0] == uplink
            for each in await self._port.events(request.alarm_id)
        )

    def _put_on_record(self, uplink: _Uplink, actor: Actor, asked: Asked, code: Code, now_s: float) -> None:
        """What never gets to the engine is audited here; of very many in a row one a second, the others are counted."""
        if now_s < uplink.audit_due_s or self._audits:
            self._counters.count("cloud_refusals_not_on_record", uplink=uplink.name)
            return
        uplink.audit_due_s = now_s + _AUDIT_EVERY_S
        detail = {"alarm": asked.alarm_id, "verb": str(asked.verb), "args": dict(asked.args), "code": str(code)}
        task = asyncio.create_task(self._write(actor, detail), name="audit of a refusal")
        self._audits.add(task)
        task.add_done_callback(self._audits.discard)

    async def _write(self, actor: Actor, detail: Mapping[str, Any]) -> None:
        try:
            await self._audit(actor, "cloud.refused", detail)
        except Exception as error:  # noqa: BLE001 - the disk refuses; nothing was done anyway
            self._counters.count("cloud_refusals_not_on_record", uplink=actor.name.partition(":")[0])
            _log.warning("refusal_not_on_record", error=str(error))

    # What is told -----------------------------------------------------------------------------------------------

    async def _told(self, uplink: _Uplink, request: OperatorRequest, reply: Reply) -> dict[str, Any]:
        if reply.is_accepted:
            return _answer(reply, dict(reply.detail))
        events = await self._port.events(request.alarm_id) if request.alarm_id else ()
        return _answer(reply, uplink.words.detail(request, reply, events))

    async def _outcome(self, command_id: str, deadline_s: float) -> dict[str, Any]:
        """How the command of an accepted request ended; ``unknown`` where that did not come in time."""
        # First the ear, then the look into the record: what ends in between is heard.
        waiter: asyncio.Future[CommandResult] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(command_id, []).append(waiter)
        try:
            async with asyncio.timeout(max(0.0, deadline_s - self._clock.now().mono_s)):
                row = await self._port.operation(command_id)
                if row is not None and row["outcome"] is not None:
                    readback = None if row["readback"] is None else orjson.loads(row["readback"])
                    return _ended(str(row["outcome"]), readback, str(row["detail"]))
                result = await waiter
                return _ended(result.outcome.value, result.readback, result.detail)
        except TimeoutError:
            return {"outcome": "unknown"}
        finally:
            self._leave(command_id, waiter)

    def _leave(self, command_id: str, waiter: asyncio.Future[CommandResult]) -> None:
        waiters = self._waiting.get(command_id, [])
        with contextlib.suppress(ValueError):
            waiters.remove(waiter)
        if not waiters:
            self._waiting.pop(command_id, None)


def asked_of(body: Any) -> Asked:
    """A request of the right shape.

    Raises:
        ValueError: something is missing, of the wrong type, or too long.
    """
    if not isinstance(body, dict):
        raise ValueError("not an object")  # noqa: TRY004 - the caller tells no kinds of nonsense apart
    args = body.get("args")
    if not isinstance(args, dict) or len(args) > len(max(ARGUMENTS.values(), key=len)) + 2:
        raise ValueError("args")
    deadline_s = body.get("deadline_mono_s")
    if not isinstance(deadline_s, int | float) or isinstance(deadline_s, bool) or not math.isfinite(deadline_s):
        raise ValueError("deadline_mono_s")
    version = body.get("version")
    if not isinstance(version, int) or isinstance(version, bool) or not 0 <= version < 2**31:
        raise ValueError("version")
    return Asked(
        _text(body, "uplink"),
        _text(body, "id"),
        Verb(_text(body, "verb")),
        _text(body, "alarm", _MOST_ALARM_ID, is_needed=False),
        version,
        {_text({"name": key}, "name"): _text(args, key, MAX_TEXT, is_needed=False, lines=True) for key in args},
        _text(body, "user", is_needed=False),
        float(deadline_s),
    )


def _text(
    body: Mapping[str, Any], name: str, most: int = _MOST_TEXT, *, is_needed: bool = True, lines: bool = False
) -> str:
    value = body.get(name)
    if not isinstance(value, str) or len(value) > most or (is_needed and not value):
        raise ValueError(name)
    if not value.isprintable() and not (lines and all(each.isprintable() or each in "\n\t" for each in value)):
        raise ValueError(name)
    return value


def _out_of_bounds(commands: Commands, asked: Asked) -> Code | None:
    """What the engine is never asked."""
    if asked.verb not in commands.verbs:
        return Code.VERB_NOT_ALLOWED
    if asked.args.keys() - {*ARGUMENTS[asked.verb], *_OPTIONAL.get(asked.verb, ())}:
        return Code.INVALID
    if not asked.verb.is_of_alarm and asked.alarm_id:
        return Code.INVALID
    if asked.verb is Verb.OPERATE:
        point = asked.args.get("point", "").strip()
        if not any(fnmatchcase(point, each) for each in commands.points):
            return Code.POINT_NOT_ALLOWED
    return None


def _refused(code: Code) -> dict[str, Any]:
    return {"is_accepted": False, "code": str(code), "detail": not_done(code).detail, "version": 0}


def _answer(reply: Reply, detail: dict[str, Any]) -> dict[str, Any]:
    return {"is_accepted": reply.is_accepted, "code": reply.code, "detail": detail, "version": reply.version}


def _ended(outcome: str, readback: Value | None, detail: str) -> dict[str, Any]:
    return {"outcome": outcome, "readback": readback, "why": detail}
