"""Web: one verb on many alarms that are no danger to life: a power cut is forty faults, not eighty presses.

Nothing here decides on an alarm. Each is asked for by itself, with its own version, and gets its own event and its own
line in the audit trail; what is different from forty presses is only that one person pressed once. Fire, gas, calls for
help and security are never handled like that: a request that names one of them does nothing at all.

Idempotent by ``request_id``, as single verbs are (`gateway.web.verbs`). The shapes stand here, with their only user.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Annotated, Any, Literal, NamedTuple

from fastapi import APIRouter, Request, Response
from pydantic import Field

from gateway.clock import Clock
from gateway.counters import Counters
from gateway.model import Actor, Alarm, AlarmClass, OperatorRequest, Reply, Verb
from gateway.web.answers import json_answer, told
from gateway.web.auth import SAME_SITE, SignedIn
from gateway.web.context import Web, web_of
from gateway.web.fields import RequestId, Words
from gateway.web.problems import Problem, language
from gateway.web.schemas import Asked, Told
from gateway.web.texts import sentence
from gateway.web.verbs import ANSWER_S, HANDLERS, Submissions, alarm_of, words_of
from gateway.web.views import alarm_id_of, alarm_key

CLASSES = (AlarmClass.FAULT, AlarmClass.WARNING, AlarmClass.MAINTENANCE, AlarmClass.SUPERVISORY)
MOST = 200
PIECE = 20  # asked for at once: a single verb of somebody else waits for at most so many
MOST_UNDER_WAY = 8
MAX_REMEMBERED = 32

router = APIRouter(prefix="/api/v1", tags=["alarms"])


class Chosen(Asked):
    """One alarm, and the version of it that the operator saw."""

    key: Annotated[str, Field(min_length=1, max_length=1000)]
    version: Annotated[int, Field(ge=1, le=2**31, strict=True)]


class BulkBody(Asked):
    """One verb on several alarms. The same ``request_id`` sent again gives the same answer, and no act."""

    verb: Literal["take", "silence", "close"]
    request_id: RequestId
    alarms: Annotated[list[Chosen], Field(min_length=1, max_length=MOST)]
    outcome: Annotated[Words | None, Field(description="close: one of the outcomes of the alarms' rules")] = None
    cause: Annotated[Words | None, Field(description="close: why it happened")] = None


class BulkLine(Told):
    """What became of one of them."""

    key: str
    is_accepted: bool
    version: int | None = Field(description="the alarm's version now; null where there is no such alarm")
    code: str = Field(description="why not; empty when accepted")
    detail: str = Field(description="the same in a full sentence, in the language asked for")


class BulkOut(Told):
    """Each alarm in the order asked for; what was accepted is committed."""

    request_id: str
    accepted: int
    alarms: list[BulkLine]


class _Bulk(NamedTuple):
    what: tuple[object, ...]
    answer: asyncio.Task[list[Reply]]


class Bulks:
    """The latest requests on many alarms and their answers; one is carried out at a time, in pieces."""

    def __init__(self, submissions: Submissions, clock: Clock, counters: Counters) -> None:
        self._submissions = submissions
        self._clock = clock
        self._counters = counters
        self._turn = asyncio.Lock()
        self._asked: OrderedDict[str, _Bulk] = OrderedDict()

    async def submit(self, bulk_id: str, requests: Sequence[OperatorRequest]) -> list[Reply]:
        """The replies in order, now or from the first time; raises 409 when the id meant something else."""
        what = tuple((each.alarm_id, each.verb, each.version, tuple(sorted(each.args.items()))) for each in requests)
        asked = self._asked.get(bulk_id)
        if asked is None:
            if sum(not each.answer.done() for each in self._asked.values()) >= MOST_UNDER_WAY:
                self._counters.count("web_bulks_refused", reason="too_many")
                raise Problem(503, "bulk_busy", headers={"Retry-After": "1"})
            asked = _Bulk(what, asyncio.create_task(self._ask(bulk_id, requests), name="web-bulk"))
            asked.answer.add_done_callback(
                lambda task: task.cancelled() or task.exception()
            )  # whoever asked may be gone
            self._asked[bulk_id] = asked
            self._forget()
        elif asked.what != what:
            raise Problem(409, "request_id_reused")
        return await asyncio.shield(asked.answer)

    async def _ask(self, bulk_id: str, requests: Sequence[OperatorRequest]) -> list[Reply]:
        replies: list[Reply] = []
        try:
            async with self._turn:
                for start in range(0, len(requests), PIECE):
                    replies += await self._piece(requests[start : start + PIECE])
        except BaseException:
            self._asked.pop(bulk_id, None)  # asking again goes on where this has stopped: the parts are remembered
            raise
        return replies

    async def _piece(self, requests: Sequence[OperatorRequest]) -> list[Reply]:
        """Wait for all of them, also where one gets no answer: none may be under way when the next piece begins."""
        now = self._clock.now().utc
        due = now + timedelta(seconds=ANSWER_S)
        answers = await asyncio.gather(
            *(self._submissions.submit(replace(each, at=now, expires_at=due)) for each in requests),
            return_exceptions=True,
        )
        replies = [each for each in answers if isinstance(each, Reply)]
        for each in answers:
            if isinstance(each, BaseException):
                raise each
        return replies

    def _forget(self) -> None:
        for key in [key for key, each in self._asked.items() if each.answer.done()]:
            if len(self._asked) <= MAX_REMEMBERED:
                break
            del self._asked[key]


@router.post("/alarms/bulk", dependencies=[SAME_SITE], responses=told(BulkOut, 401, 403, 409, 413, 422, 503))
async def bulk(request: Request, body: BulkBody, session: SignedIn) -> Response:
    """Take, silence or close up to 200 alarms of the classes fault, warning, maintenance and supervisory. The answer
    says of each whether it was accepted, else why not; one that is refused does not stop the others.
    """  # noqa: D205 - OpenAPI shows it as one paragraph
    web, args = web_of(request), _arguments(body)
    if session.role not in HANDLERS:
        raise Problem(403, "wrong_role", role=session.role)
    found = await _found(web, body.alarms)
    _refuse_dangers([each for each in found.values() if each is not None])
    now = web.clock.now().utc
    actor = Actor(session.user, session.role, "console")
    bulk_id = f"web/{session.user}/{body.request_id}"
    requests = [
        OperatorRequest(
            f"{bulk_id}/{each.key}", actor, Verb(body.verb), alarm.id, each.version, now, now, args
        )
        for each in body.alarms
        if (alarm := found[each.key]) is not None
    ]  # fmt: skip
    replies = await web.bulks.submit(bulk_id, requests) if requests else []
    decided = {alarm_key(asked.alarm_id): (asked, reply) for asked, reply in zip(requests, replies, strict=True)}
    lines = [await _line(request, web, each.key, decided.get(each.key)) for each in body.alarms]
    accepted = sum(each["is_accepted"] for each in lines)
    return json_answer({"request_id": body.request_id, "accepted": accepted, "alarms": lines})


def _arguments(body: BulkBody) -> dict[str, str]:
    """The verb's arguments; raises 422 for one that is missing or not its own, and for an alarm named twice."""
    given = body.model_dump(exclude_none=True, include={"outcome", "cause"})
    wanted = {"outcome", "cause"} if body.verb == "close" else set()
    wrong = [(f"body.{each}", f"{body.verb} does not take it") for each in sorted(given.keys() - wanted)]
    wrong += [(f"body.{each}", f"{body.verb} needs it") for each in sorted(wanted - given.keys())]
    if len({each.key for each in body.alarms}) < len(body.alarms):
        wrong.append(("body.alarms", "an alarm is named twice"))
    if wrong:
        raise Problem(422, "invalid", extra={"errors": [{"where": where, "why": why} for where, why in wrong]})
    return given


async def _found(web: Web, chosen: Sequence[Chosen]) -> dict[str, Alarm | None]:
    ids = {each.key: alarm_id_of(each.key) for each in chosen}
    return {key: await alarm_of(web, alarm_id) if alarm_id else None for key, alarm_id in ids.items()}


def _refuse_dangers(alarms: Sequence[Alarm]) -> None:
    """Where somebody may be in danger, somebody has looked at that one alarm: otherwise nothing is done."""
    alone = [each for each in alarms if each.alarm_class not in CLASSES]
    if alone:
        raise Problem(409, "one_by_one", n=len(alone), extra={"alarms": [alarm_key(each.id) for each in alone]})


async def _line(request: Request, web: Web, key: str, decided: tuple[OperatorRequest, Reply] | None) -> dict[str, Any]:
    if decided is None:
        words = sentence("no_such_alarm", language(request))
        return {"key": key, "is_accepted": False, "version": None, "code": "no_such_alarm", "detail": words}
    asked, reply = decided
    words = "" if reply.is_accepted else await words_of(request, web, reply, asked)
    return {
        "key": key, "is_accepted": reply.is_accepted, "version": reply.version, "code": reply.code, "detail": words
    }  # fmt: skip
