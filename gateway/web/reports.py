"""Web: what a supervisor asks afterwards: who was told of an alarm, and how a month's calls for help were answered."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request, Response
from pydantic import Field

from gateway.web.answers import json_answer, told, zone_of
from gateway.web.auth import SignedIn
from gateway.web.context import web_of
from gateway.web.problems import Problem
from gateway.web.schemas import Told
from gateway.web.verbs import alarm_of
from gateway.web.views import alarm_id_of

router = APIRouter(prefix="/api/v1", tags=["reports"])

_MONTHS = 12
Month = Annotated[str, Query(pattern=r"^20[0-9]{2}-(0[1-9]|1[0-2])$", description="of the site's calendar: 2026-11")]


class NoticeOut(Told):
    """One message to one recipient by one channel, and how far it has got."""

    key: str
    reason: str = Field(description="why: raised, raised+30s (nobody took it), unverified-4, reopened-7, shown-9, ...")
    channel: str
    recipient: str
    recipient_title: str
    text: str
    at: datetime
    state: Literal["sending", "accepted", "delivered", "failed"] = Field(description="accepted: by a provider, no more")
    state_at: datetime | None
    detail: str = Field(description="of a failure: why, and what to do")


class NoticeList(Told):
    """The notices of an alarm, oldest first; of very many the newest."""

    notices: list[NoticeOut]


class ShareOut(Told):
    """How many calls were taken within the limit; ``share`` null: there is none to judge."""

    limit_s: float
    target: float
    judged: int
    in_time: int
    share: float | None
    is_met: bool | None


class SpreadOut(Told):
    """Seconds after the press: how many calls got there, and nearest-rank percentiles of them."""

    count: int
    p50: float | None
    p90: float | None
    p97_5: float | None = Field(alias="p97.5")
    p99: float | None
    p100: float | None


class CallReport(Told):
    """A month's calls for help. Drills, walk tests, commissioning and tests are in ``excluded`` and nowhere else."""

    month: str
    since: datetime
    until: datetime
    calls: int
    excluded: dict[str, int]
    taken_within: list[ShareOut]
    seconds: dict[Literal["taken", "verified", "arrived", "closed"], SpreadOut]
    outcomes: dict[str, int]
    open: int


@router.get("/reports/calls", responses=told(CallReport, 401, 422))
async def calls(request: Request, month: Month, _: SignedIn) -> Response:
    """How the calls for help of a month were answered: shares against their targets, percentiles, outcomes."""
    port = web_of(request).port
    since, until = _bounds(month, request)
    found = await port.calls(since, until)
    return json_answer({"month": month, "since": since, "until": until, **found})


@router.get("/alarms/{key}/notices", responses=told(NoticeList, 401, 404))
async def notices(request: Request, key: str, _: SignedIn) -> Response:
    """Who was told of the alarm by which channel, and what became of each notice."""
    web = web_of(request)
    port, alarm = web.port, await alarm_of(web, alarm_id_of(key) or "")
    if alarm is None:
        raise Problem(404, "no_such_alarm")
    recipients = port.site().recipients
    titles = {name: each.title for name, each in recipients.items()}
    return json_answer({"notices": [_view(dict(each), titles) for each in await port.notices(alarm.id)]})


def _bounds(month: str, request: Request) -> tuple[datetime, datetime]:
    """From the first midnight of the month until the next month's, by the clock on the site's wall."""
    zone = zone_of(web_of(request).port.site())
    year, number = (int(each) for each in month.split("-"))
    first = datetime(year, number, 1, tzinfo=zone)
    following = datetime(year + number // _MONTHS, number % _MONTHS + 1, 1, tzinfo=zone)
    return first.astimezone(UTC), following.astimezone(UTC)


def _view(notice: dict[str, Any], titles: dict[str, str]) -> dict[str, Any]:
    at_ms, closed_ms = notice.pop("at_ms"), notice.pop("closed_ms")
    return notice | {
        "recipient_title": titles.get(notice["recipient"], ""),
        "at": _instant(at_ms),
        "state_at": None if closed_ms is None else _instant(closed_ms),
    }


def _instant(ms: int) -> datetime:
    return datetime.fromtimestamp(ms / 1000, UTC)
