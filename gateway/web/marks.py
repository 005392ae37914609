"""Web: marks of places and points: which are set, setting and lifting one. Who may do what is the alarm table's.

Idempotent by ``request_id``, and answered after the commit, as verbs on alarms are (`gateway.web.verbs`).
"""

from __future__ import annotations

from datetime import timedelta

from fastapi import APIRouter, Request, Response

from gateway.model import Actor, MarkChange, OperatorRequest, Verb
from gateway.web.answers import json_answer, told, zone_of
from gateway.web.auth import SAME_SITE, SignedIn
from gateway.web.context import web_of
from gateway.web.ports import Session
from gateway.web.problems import Problem, language
from gateway.web.schemas import LiftBody, MarkBody, MarkedOut, MarkList
from gateway.web.texts import refusal
from gateway.web.verbs import ANSWER_S
from gateway.web.views import View

router = APIRouter(prefix="/api/v1", tags=["marks"])


@router.get("/marks", responses=told(MarkList, 401))
async def marks(request: Request, _: SignedIn) -> Response:
    """All marks that are set: disabled, out of service, drills, walk tests, commissioning, away, shelved alarms."""
    return json_answer({"marks": [mark_view(each) for each in await web_of(request).port.marks()]})


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


def mark_view(change: MarkChange) -> View:
    """One mark; ``until`` null: until somebody lifts it."""
    return {
        "mark": change.mark.value,
        "scope": change.scope,
        "key": change.key,
        "since": change.since_at,
        "until": change.until_at,
        "by": change.by,
        "reason": change.reason,
    }


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
