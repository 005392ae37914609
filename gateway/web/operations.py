"""Web: setting points by hand, and what became of it. Who may set what, and when, is decided in `gateway.rules`.

Idempotent by ``request_id``, and answered after the commit, as verbs on alarms are (`gateway.web.verbs`). The command
goes out after that; its result is asked for at GET /operations/{key}.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response

from gateway.model import Actor, Device, Offer, OperatorRequest, Point, Site, Value, Verb
from gateway.web.answers import json_answer, told, zone_of
from gateway.web.auth import SAME_SITE, SignedIn
from gateway.web.context import web_of
from gateway.web.problems import Problem, language
from gateway.web.schemas import OfferList, OperateBody, OperatedOut, OperationList, OperationOut
from gateway.web.texts import refusal
from gateway.web.verbs import ANSWER_S, HANDLERS, said
from gateway.web.views import alarm_id_of, alarm_key, command_view, instant

router = APIRouter(prefix="/api/v1", tags=["operating"])


@router.get("/operate", responses=told(OfferList, 401))
async def operable(request: Request, session: SignedIn) -> Response:
    """Everything that can be set by hand, whoever may do it."""
    site = web_of(request).port.site()
    found = [
        offer_view(point, value, "", site, session.role)
        for device in site.devices.values()
        for point in device.points
        if point.operate is not None
        for value in point.operate.values
    ]
    return json_answer({"points": found})


@router.post("/operate", dependencies=[SAME_SITE], responses=told(OperatedOut, 401, 409, 422, 503))
async def operate(request: Request, body: OperateBody, session: SignedIn) -> Response:
    """Set one point by hand, without an alarm; 409 says in a full sentence why not."""
    web = web_of(request)
    now = web.clock.now().utc
    asked = OperatorRequest(
        id=f"web/{session.user}/{body.request_id}",
        actor=Actor(session.user, session.role, "console"),
        verb=Verb.OPERATE,
        alarm_id="",
        version=0,
        at=now,
        expires_at=now + timedelta(seconds=ANSWER_S),
        args={"point": body.point, "value": said(body.value)},
    )
    reply = await web.submissions.submit(asked)
    if reply.is_accepted:
        operation = alarm_key(str(reply.detail["command"]))
        return json_answer({"request_id": body.request_id, "operation": operation})
    text = refusal(reply.code, reply.detail, language(request), zone_of(web.port.site()))
    raise Problem(409, reply.code, detail=text, extra={"why": dict(reply.detail)})


@router.get("/operations/{key}", responses=told(OperationOut, 401, 404))
async def operation(request: Request, key: str, _: SignedIn) -> Response:
    """What became of one operation: ``outcome`` null while it is under way."""
    port = web_of(request).port
    found = await port.operation(alarm_id_of(key) or "")
    if found is None:
        raise Problem(404, "not_found")
    return json_answer(_view(found, port.site()))


@router.get("/operations", responses=told(OperationList, 401, 422))
async def operations(
    request: Request,
    _: SignedIn,
    limit: Annotated[int, Query(ge=1, le=500)] = 50,
    before: Annotated[str | None, Query(max_length=1000)] = None,
) -> Response:
    """What was set by hand, by whom, newest first; ``before`` is the ``next`` of the page before."""
    port = web_of(request).port
    found = await port.operations(limit, _cursor(before) if before else None)
    last = found[-1] if len(found) == limit else None
    following = last and alarm_key(f"{last['issued_ms']} {last['id']}")
    return json_answer({"operations": [_view(each, port.site()) for each in found], "next": following})


def offers_view(offers: Iterable[tuple[Offer, Point]], site: Site, role: str, language: str) -> list[dict[str, Any]]:
    """What can be operated from an alarm, in the words of its rule."""
    return [
        offer_view(point, offer.value, (offer.title_en if language == "en" else "") or offer.title, site, role)
        for offer, point in offers
    ]


def offer_view(point: Point, value: Value, title: str, site: Site, role: str) -> dict[str, Any]:
    """One thing that can be operated."""
    device: Device = site.devices[point.device_id]
    operate = point.operate
    return {
        "point": point.id,
        "point_title": point.title,
        "device": device.id,
        "device_title": device.title,
        "place": device.place.text,
        "value": value,
        "title": title,
        "may_operate": operate is not None and role in operate.roles,
        "pulse_s": operate.pulse_s if operate is not None and value is True else None,
    }


def picture_of(site: Site, device_id: str, role: str) -> str | None:
    """Where the page sees what is there now. Only whoever handles alarms: people are on it."""
    device = site.devices.get(device_id)
    return device.snapshot or None if device is not None and role in HANDLERS else None


def _view(found: Mapping[str, Any], site: Site) -> dict[str, Any]:
    return {
        **command_view(found, site),
        "key": alarm_key(str(found["id"])),
        "by": found["by"],
        "alarm": found["because"],
        "expires_at": instant(found["expires_ms"]),
    }


def _cursor(text: str) -> tuple[int, str]:
    issued_ms, _, operation_id = (alarm_id_of(text) or "").partition(" ")
    if not (issued_ms.isascii() and issued_ms.isdecimal() and len(issued_ms) < 19):
        raise Problem(422, "invalid", extra={"errors": [{"where": "query.before", "why": "not a cursor"}]})
    return int(issued_ms), operation_id
