"""Web: each cloud uplink's state, the rows its platform has refused, and asking for one to be sent again."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Path, Query, Request, Response
from pydantic import Field

from gateway.model import Actor
from gateway.web.answers import json_answer, told
from gateway.web.auth import SAME_SITE, SignedIn
from gateway.web.context import Web, web_of
from gateway.web.problems import Problem
from gateway.web.schemas import Told

router = APIRouter(prefix="/api/v1", tags=["uplinks"])
_MAY_RETRY = ("supervisor", "installer")
_PAGE = 100
Key = Annotated[str, Path(max_length=100)]


class AdviceOut(Told):
    """A sentence for people."""

    zh: str = ""
    en: str = ""


class UplinkStateOut(Told):
    """One uplink as the bridge last told it."""

    id: str
    type: str
    state: str = Field(description="up, down, connecting, stopped, or silent: the bridge has said nothing for 15 s")
    since: datetime | None
    error: str = Field(description="the reason as the socket, the broker or the server gave it")
    advice: AdviceOut = Field(default=AdviceOut(), description="what that means and what to do about it")
    waiting: dict[str, int] = Field(description="rows by lane that the platform has not acknowledged")
    waiting_bytes: int
    oldest_waiting: datetime | None
    rows_per_s: float = Field(description="rows of telemetry acknowledged per second, of late")
    settled: dict[str, int] = Field(description="rows by lane acknowledged since the start of the bridge")
    sessions: int
    dead_letters: int
    counts: dict[str, int]


class UplinkStates(Told):
    """All uplinks, in the order of the configuration."""

    uplinks: list[UplinkStateOut]
    may_retry: bool


class LetterOut(Told):
    """One refused row."""

    id: int
    uplink: str
    lane: str
    seq: int
    at_ms: int
    reason: str
    advice: AdviceOut = Field(default=AdviceOut(), description="what the reason means and what to do about it")
    bytes: int


class LetterList(Told):
    """Refused rows, newest first."""

    letters: list[LetterOut]
    next: int | None


class AskedOut(Told):
    """The bridge was asked."""

    id: int


@router.get("/uplinks", responses=told(UplinkStates, 401))
async def uplinks(request: Request, session: SignedIn) -> Response:
    """Each uplink: state, backlog, the oldest row that waits, rate, dead letters."""
    found = await web_of(request).port.uplinks()
    return json_answer({"uplinks": found, "may_retry": session.role in _MAY_RETRY})


@router.get("/uplinks/{key}/letters", responses=told(LetterList, 401, 404, 422))
async def letters(
    request: Request, key: Key, _: SignedIn, before: Annotated[int, Query(ge=1, lt=2**62)] = 2**62 - 1
) -> Response:
    """What this platform has refused, with its reasons; ``before`` is the ``next`` of the page before."""
    web = web_of(request)
    _require(web, key)
    found = await web.port.dead_letters(key, _PAGE, before)
    following = found[-1]["id"] if len(found) == _PAGE else None
    return json_answer({"letters": found, "next": following})


@router.post(
    "/uplinks/{key}/letters/{letter}/retry", dependencies=[SAME_SITE], responses=told(AskedOut, 401, 403, 404, 422, 503)
)
async def retry(
    request: Request, key: Key, letter: Annotated[int, Path(ge=1, lt=2**62)], session: SignedIn
) -> Response:
    """Have the bridge send a refused row once more, with its old id. Whether it is taken now the list will show."""
    web = web_of(request)
    if session.role not in _MAY_RETRY:
        raise Problem(403, "wrong_role", role=session.role)
    _require(web, key)
    if not any(each["id"] == letter for each in await web.port.dead_letters(key, 1, letter + 1)):
        raise Problem(404, "not_found")
    await web.users.audit(
        Actor(session.user, session.role, "console"), "retry_dead_letter", {"uplink": key, "letter": letter}
    )
    if not await web.port.retry(letter):
        raise Problem(503, "no_answer", headers={"Retry-After": "10"})
    return json_answer({"id": letter})


def _require(web: Web, key: str) -> None:
    if key not in {each.id for each in web.port.site().uplinks}:
        raise Problem(404, "not_found")
