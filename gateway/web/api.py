"""Web: the reading side of /api/v1, and the event stream. Acting on an alarm is in verbs."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from itertools import islice
from typing import Annotated, Literal

from fastapi import APIRouter, Query, Request, Response

from gateway import __version__
from gateway.model import Alarm, CommandOutcome
from gateway.web.answers import json_answer, told
from gateway.web.auth import SignedIn, token_hash
from gateway.web.context import web_of
from gateway.web.operations import offers_view, picture_of
from gateway.web.problems import Problem, language
from gateway.web.schemas import AlarmDetail, AlarmList, DeviceList, EventList, RecordList, StatusOut
from gateway.web.stream import EventStream
from gateway.web.verbs import HANDLERS, alarm_of
from gateway.web.views import (
    alarm_id_of,
    alarm_key,
    alarm_view,
    command_view,
    device_view,
    event_view,
    in_duty_order,
    is_stale,
    rule_of,
    rule_view,
)

router = APIRouter(prefix="/api/v1", tags=["reading"])
Limit = Annotated[int, Query(ge=1, le=500)]
# Counts of what went well or of what nothing was lost by. Any other counter is a loss until somebody says it is none.
NO_LOSSES = frozenset(
    {
        "alarm_events", "calls_late", "clock_steps", "cloud_requests", "commit_stalls", "inbox_merged",
        "inputs_repeated", "modbus_polls", "notice_retries", "notices_merged", "operations", "readings_saved",
        "task_restarts",
    }
)  # fmt: skip
MOST_MEMBERS = 500
Shown = Literal["all", "main", "shelved", "suppressed", "out_of_service", "stale"]
Cursor = Annotated[str | None, Query(max_length=1000)]


@router.get("/status", responses=told(StatusOut, 401))
async def status(request: Request, _: SignedIn) -> Response:
    """How the gateway is: lines, clouds, counts, and everything that was refused or lost, by reason."""
    web = web_of(request)
    site, health = web.port.site(), web.port.health()
    drops = [
        {"name": name, "labels": dict(labels), "count": int(value)}
        for kind, name, labels, value in web.counters
        if kind == "counter" and _is_loss(name, dict(labels))
    ]
    return json_answer(
        {
            "gateway": site.id,
            "site": site.title,
            "version": __version__,
            "now": web.clock.now().utc,
            "revision": web.live.revision,
            "consoles": web.live.subscribers,
            "reasons": health.reasons,
            "notes": health.notes,
            "counts": web.live.counts(),
            "buses": dict(health.buses),
            "uplinks": {key: each._asdict() for key, each in health.uplinks.items()},
            "saved": web.counters.total("readings_saved"),
            "drops": drops,
        }
    )


@router.get("/alarms", responses=told(AlarmList, 401))
async def alarms(request: Request, _: SignedIn, show: Shown = "all") -> Response:
    """Open alarms in duty order: class, then those nobody has taken, then the oldest; drills and tests at the end.

    ``show``: all, or what annunciates (main), or one of the lists beside it.
    """
    live, site = web_of(request).live, web_of(request).port.site()
    now = web_of(request).clock.now().utc
    shown = [each for each in live.alarms.values() if _is_in(each, show, now)]
    views = [alarm_view(each, site, now) for each in in_duty_order(shown)]
    return json_answer({"revision": live.revision, "counts": live.counts(), "alarms": views})


@router.get("/alarms/{key}", responses=told(AlarmDetail, 401, 404))
async def alarm(request: Request, key: str, session: SignedIn) -> Response:
    """An alarm, open or ended, what its rule says to do, what it commanded, what stands under it, whether you may
    shelve it. ``key`` is base64url of the alarm's id.
    """  # noqa: D205 - OpenAPI shows it as one paragraph
    web = web_of(request)
    port, now = web.port, web.clock.now().utc
    found = await alarm_of(web, alarm_id_of(key) or "")
    if found is None:
        raise Problem(404, "no_such_alarm")
    site = port.site()
    rule = rule_of(site, found)
    commands = [command_view(each, site) for each in await port.commands(found.id)]
    longest_s = port.shelving(found).get(session.role) if found.is_open else None
    members = in_duty_order([each for each in web.live.alarms.values() if each.suppressed_by == found.id])
    return json_answer(
        {
            "alarm": alarm_view(found, site, now),
            "rule": rule and rule_view(rule, language(request)),
            "commands": commands,
            "shelvable_minutes": longest_s and int(longest_s // 60),
            "members": [alarm_view(each, site, now) for each in members[:MOST_MEMBERS]],
            "member_count": len(members),
            "offers": offers_view(port.offers(found), site, session.role, language(request)) if found.is_open else [],
            "picture": picture_of(site, found.device_id, session.role) if found.is_open else None,
        }
    )


@router.get("/alarms/{key}/events", responses=told(EventList, 401, 404))
async def events(request: Request, key: str, _: SignedIn) -> Response:
    """The alarm's journal: who did what when; empty while the disk has refused all of it."""
    web, alarm_id = web_of(request), alarm_id_of(key) or ""
    lines = await web.port.events(alarm_id)
    if not lines and await alarm_of(web, alarm_id) is None:
        raise Problem(404, "no_such_alarm")
    return json_answer({"events": [event_view(each) for each in lines]})


@router.get("/records", responses=told(RecordList, 401, 422))
async def records(request: Request, _: SignedIn, limit: Limit = 50, before: Cursor = None) -> Response:
    """Alarms that have ended, newest first; ``before`` is the ``next`` of the page before."""
    port = web_of(request).port
    found = await port.records(limit, _cursor(before) if before else None)
    last = found[-1] if len(found) == limit else None
    following = last and alarm_key(f"{last.raised_at.isoformat()} {last.id}")
    return json_answer({"records": [alarm_view(each, port.site()) for each in found], "next": following})


@router.get("/devices", responses=told(DeviceList, 401, 422))
async def devices(
    request: Request,
    _: SignedIn,
    state: Literal["online", "offline", "unknown"] | None = None,
    limit: Limit = 100,
    after: Cursor = None,
) -> Response:
    """Devices by id, all or those of one state."""
    web = web_of(request)
    known = web.port.site().devices
    states = {key: web.live.device_state(key) for key in known}
    chosen = sorted(key for key in known if state in (None, states[key][0]))
    page = list(islice((key for key in chosen if after is None or key > after), limit + 1))
    views = [device_view(known[key], *states[key]) for key in page[:limit]]
    following = page[limit - 1] if len(page) > limit else None
    return json_answer({"total": len(chosen), "devices": views, "next": following})


@router.get("/stream", response_class=Response, responses={200: {"content": {"text/event-stream": {}}}, 401: {}})
async def stream(request: Request, mine: SignedIn) -> Response:
    """Server-sent events: ``snapshot`` first, then ``change`` (the alarms that changed) or ``reload`` (too many did:
    connect again for a snapshot), each with the revision it leads to; every two seconds ``beat`` repeats it.
    """  # noqa: D205 - OpenAPI shows it as one paragraph
    live = web_of(request).live
    subscriber = live.subscribe(token_hash(request), mine.expires_at, is_desk=mine.role in HANDLERS)
    if subscriber is None:
        raise Problem(503, "too_many_consoles", headers={"Retry-After": "10"})
    return EventStream(live, subscriber)


def _is_in(alarm: Alarm, show: str, now: datetime) -> bool:
    lists = {
        "main": not alarm.is_muted,
        "shelved": alarm.shelved_until_at is not None,
        "suppressed": alarm.suppressed_by != "",
        "out_of_service": alarm.is_out_of_service,
        "stale": is_stale(alarm, now),
    }
    return lists.get(show, True)


def _is_loss(name: str, labels: Mapping[str, str]) -> bool:
    if name == "commands":
        return labels.get("outcome") != CommandOutcome.DONE
    if name == "notices":
        return labels.get("accepted") == "false"
    return name not in NO_LOSSES


def _cursor(text: str) -> tuple[datetime, str]:
    at, _, alarm_id = (alarm_id_of(text) or "").partition(" ")
    try:
        instant = datetime.fromisoformat(at)
    except ValueError:
        raise Problem(422, "invalid", extra={"errors": [{"where": "query.before", "why": "not a cursor"}]}) from None
    return (instant if instant.tzinfo else instant.replace(tzinfo=UTC)), alarm_id
