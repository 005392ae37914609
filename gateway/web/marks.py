"""Web: marks of places and points: which are set, setting and lifting one. Who may do what is the alarm table's.

Idempotent by ``request_id``, and answered after the commit, as verbs on alarms are (`gateway.web.verbs`).
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Annotated, Literal

from fastapi import APIRouter, Request, Response
from pydantic import AfterValidator, Field, StringConstraints

from gateway.model import Actor, OperatorRequest, Verb
from gateway.web.answers import json_answer, told, zone_of
from gateway.web.auth import SAME_SITE, SignedIn
from gateway.web.context import web_of
from gateway.web.fields import RequestId, Words, printable
from gateway.web.ports import Session
from gateway.web.problems import Problem, language
from gateway.web.schemas import Asked, Told
from gateway.web.texts import refusal
from gateway.web.verbs import ANSWER_S
from gateway.web.views import mark_view

router = APIRouter(prefix="/api/v1", tags=["marks"])

Place = Annotated[str, StringConstraints(max_length=200), AfterValidator(printable)]


class MarkBody(Asked):
    """A mark of a place or a point, until its time. The same ``request_id`` sent again gives the same answer."""

    mark: Literal["disabled", "out_of_service", "drill", "walk_test", "commissioning", "away"]
    scope: Literal["point", "device", "room", "floor", "unit", "building", "zone", "site"]
    key: Annotated[Place, Field(description="a point, a device, an address (3-2-03-0301, 3-2, 3), a zone; empty: site")]
    minutes: Annotated[
        int | None, Field(ge=1, le=1_000_000, strict=True, description="disabled may be left without an end")
    ] = None
    reason: Words
    request_id: RequestId


class LiftBody(Asked):
    """Which mark to lift; ``shelved`` has scope ``alarm`` and key ``<rule>:<source>``."""

    mark: Literal["disabled", "out_of_service", "drill", "walk_test", "commissioning", "away", "shelved"]
    scope: Literal["alarm", "point", "device", "room", "floor", "unit", "building", "zone", "site"]
    key: Annotated[str, StringConstraints(max_length=400), AfterValidator(printable)]
    reason: Words | None = None
    request_id: RequestId


class MarkOut(Told):
    """One mark that is set."""

    mark: str
    scope: str
    key: str
    since: datetime
    until: datetime | None = Field(description="null: until somebody lifts it")
    by: str
    reason: str


class LimitOut(Told):
    """What the caller may do with a mark. The gateway decides again when it is asked."""

    may_set: bool
    scopes: list[str]
    longest_minutes: int | None = Field(description="null: also without an end")


class MarkList(Told):
    """All marks that are set, and by mark what the caller may set."""

    marks: list[MarkOut]
    limits: dict[str, LimitOut]


class MarkedOut(Told):
    """The mark was set or lifted, and that was committed."""

    request_id: str


@router.get("/marks", responses=told(MarkList, 401))
async def marks(request: Request, session: SignedIn) -> Response:
    """All marks that are set (disabled, out of service, drills, tests, away, shelved alarms), and what you may set."""
    port = web_of(request).port
    limits = {
        mark: {
            "may_set": session.role in limit.roles,
            "scopes": limit.scopes,
            "longest_minutes": None if limit.longest_s is None else int(limit.longest_s // 60),
        }
        for mark, limit in port.marking().items()
    }
    return json_answer({"marks": [mark_view(each) for each in await port.marks()], "limits": limits})


@router.post("/marks", dependencies=[SAME_SITE], responses=told(MarkedOut, 401, 409, 422, 503))
async def put(request: Request, body: MarkBody, session: SignedIn) -> Response:
    """Set a mark until its time; 409 says in a full sentence why not."""
    minutes = "" if body.minutes is None else str(body.minutes)
    args = {"mark": body.mark, "scope": body.scope, "key": body.key, "minutes": minutes, "reason": body.reason}
    return await _submit(request, session, Verb.MARK, body.request_id, args)


@router.post("/marks/lift", dependencies=[SAME_SITE], responses=told(MarkedOut, 401, 409, 422, 503))
async def lift(request: Request, body: LiftBody, session: SignedIn) -> Response:
    """Lift a mark before its time: what it has hidden shows itself."""
    args = {"mark": body.mark, "scope": body.scope, "key": body.key, "reason": body.reason or ""}
    return await _submit(request, session, Verb.UNMARK, body.request_id, args)


async def _submit(request: Request, session: Session, verb: Verb, request_id: str, args: dict[str, str]) -> Response:
    web = web_of(request)
    now = web.clock.now().utc
    asked = OperatorRequest(
        id=f"web/{session.user}/{request_id}",
        actor=Actor(session.user, session.role, "console"),
        verb=verb,
        alarm_id="",
        version=0,
        at=now,
        expires_at=now + timedelta(seconds=ANSWER_S),
        args=args,
    )
    reply = await web.submissions.submit(asked)
    if reply.is_accepted:
        return json_answer({"request_id": request_id})
    text = refusal(reply.code, reply.detail, language(request), zone_of(web.port.site()))
    raise Problem(409, reply.code, detail=text, extra={"why": dict(reply.detail)})
