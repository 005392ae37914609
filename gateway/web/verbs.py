"""Web: an operator's verb on an alarm. The answer waits for the commit; whether it is allowed is decided by the engine.

Idempotent by ``request_id``: a page that got no answer asks again and gets the answer of the first time.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from datetime import timedelta
from typing import NamedTuple

from fastapi import APIRouter, Request, Response

from gateway.model import Actor, Alarm, OperatorRequest, Reply, Verb
from gateway.web.answers import json_answer, told, zone_of
from gateway.web.auth import SAME_SITE, SignedIn
from gateway.web.context import Web, web_of
from gateway.web.ports import GatewayPort
from gateway.web.problems import Problem, language
from gateway.web.schemas import VerbBody, VerbOut
from gateway.web.texts import conflict, refusal
from gateway.web.views import alarm_id_of, alarm_key, alarm_view

ANSWER_S = 10.0  # a verb not decided by then is refused by the engine as expired
MAX_REMEMBERED = 1024
HANDLERS = ("duty", "supervisor")

_ARGUMENTS = {
    Verb.VERIFY: {"real"},
    Verb.NOTE: {"text"},
    Verb.CLOSE: {"outcome", "cause"},
    Verb.SHELVE: {"minutes", "reason"},
    Verb.OPERATE: {"point", "value"},
}

router = APIRouter(prefix="/api/v1", tags=["alarms"])


class _Asked(NamedTuple):
    what: tuple[object, ...]
    answer: asyncio.Task[Reply]


class Submissions:
    """The latest requests and their answers. Bounded: the oldest that has its answer is forgotten first."""

    def __init__(self, port: GatewayPort) -> None:
        self._port = port
        self._asked: OrderedDict[str, _Asked] = OrderedDict()

    async def submit(self, request: OperatorRequest) -> Reply:
        """The reply to this request, now or from the first time; raises 409 when its id meant something else."""
        what = (request.alarm_id, request.verb, request.version, tuple(sorted(request.args.items())))
        asked = self._asked.get(request.id)
        if asked is None:
            asked = _Asked(what, asyncio.create_task(self._ask(request), name="web-verb"))
            self._asked[request.id] = asked
            self._forget()
        elif asked.what != what:
            raise Problem(409, "request_id_reused")
        try:
            return await asyncio.shield(asked.answer)
        except TimeoutError:
            raise Problem(503, "no_answer", headers={"Retry-After": "1"}) from None

    async def _ask(self, request: OperatorRequest) -> Reply:
        try:
            async with asyncio.timeout(ANSWER_S + 2.0):
                return await self._port.submit(request)
        except BaseException:
            self._asked.pop(request.id, None)  # no answer: asking again must ask the gateway again
            raise

    def _forget(self) -> None:
        for key in [key for key, each in self._asked.items() if each.answer.done()]:
            if len(self._asked) <= MAX_REMEMBERED:
                break
            del self._asked[key]


@router.post("/alarms/{key}/{verb}", dependencies=[SAME_SITE], responses=told(VerbOut, 401, 403, 404, 409, 422, 503))
async def act(request: Request, key: str, verb: Verb, body: VerbBody, session: SignedIn) -> Response:
    """Do one thing to one alarm; 409 says in a full sentence who did what when and what is left to do."""
    web = web_of(request)
    alarm_id = alarm_id_of(key)
    alarm = await alarm_of(web, alarm_id) if alarm_id and verb.is_of_alarm else None
    if alarm_id is None or alarm is None:
        raise Problem(404, "no_such_alarm")
    if session.role not in HANDLERS:
        raise Problem(403, "wrong_role", role=session.role)
    now = web.clock.now().utc
    asked = OperatorRequest(
        id=f"web/{session.user}/{body.request_id}",
        actor=Actor(session.user, session.role, "console"),
        verb=verb,
        alarm_id=alarm_id,
        version=body.version,
        at=now,
        expires_at=now + timedelta(seconds=ANSWER_S),
        args=_arguments(verb, body),
    )
    reply = await web.submissions.submit(asked)
    if not reply.is_accepted:
        raise await _refused(request, web, reply, asked)
    command = reply.detail.get("command")
    operation = {"operation": alarm_key(str(command))} if command else {}
    return json_answer({"request_id": body.request_id, "version": reply.version, **operation})


async def alarm_of(web: Web, alarm_id: str) -> Alarm | None:
    """As the screens have it: while the disk refuses, the record does not know what is burning now."""
    return web.live.alarms.get(alarm_id) or await web.port.alarm(alarm_id)


def _arguments(verb: Verb, body: VerbBody) -> dict[str, str]:
    """The verb's arguments as text; raises 422 for one that the verb does not take."""
    given = body.model_dump(exclude_none=True, exclude={"version", "request_id"})
    extra = sorted(given.keys() - _ARGUMENTS.get(verb, set()))
    if extra:
        errors = [{"where": f"body.{each}", "why": f"{verb} does not take it"} for each in extra]
        raise Problem(422, "invalid", extra={"errors": errors})
    return {key: said(value) for key, value in given.items()}


def said(value: object) -> str:
    """A value as the text of an argument."""
    return str(value).lower() if isinstance(value, bool) else str(value)


async def _refused(request: Request, web: Web, reply: Reply, asked: OperatorRequest) -> Problem:
    """The refusal with the alarm as it is now, so that the screen can go on from there."""
    site, alarm = web.port.site(), await alarm_of(web, asked.alarm_id)
    text = await words_of(request, web, reply, asked)
    return Problem(409, reply.code, detail=text, extra={"alarm": alarm and alarm_view(alarm, site)})


async def words_of(request: Request, web: Web, reply: Reply, asked: OperatorRequest) -> str:
    """Why it was refused, in full sentences: who did what when, and what is left to do."""
    because = conflict(asked.verb.value, reply.code, asked.version, await web.port.events(asked.alarm_id))
    return refusal(reply.code, reply.detail, language(request), zone_of(web.port.site()), because)
