"""Web: the record of who went through which door. Recording it is the store's.

Where people go is personal: only a supervisor sees whole numbers and may look for one, and both are on record.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from pydantic import AwareDatetime, BaseModel, Field

from gateway.model import Actor, Site, masked
from gateway.web.answers import json_answer, told
from gateway.web.auth import SignedIn
from gateway.web.context import web_of
from gateway.web.problems import Problem

router = APIRouter(prefix="/api/v1", tags=["reading"])
_SEES_ALL = ("supervisor",)
_BY_STAFF = "remote"  # the way of a door opened from the desk: the credential is the officer's name


class PassOut(BaseModel):
    """One person at one door; ``credential`` is the number of a card or code, never a face."""

    seq: int
    at: datetime
    device_at: datetime
    device: str
    device_title: str
    place: str
    credential: str = Field(
        description="its last four signs after ****, whole for a supervisor; way remote: who did it"
    )
    way: str
    direction: str
    result: str


class PassList(BaseModel):
    """Passes, newest first; ``next`` asks for the page after this one."""

    passes: list[PassOut]
    next: int | None


@router.get("/passes", responses=told(PassList, 401, 403, 422))
async def passes(
    request: Request,
    session: SignedIn,
    limit: Annotated[int, Query(ge=1, le=500)] = 100,
    before: Annotated[int | None, Query(ge=1, le=2**62)] = None,
    device: Annotated[str | None, Query(max_length=200)] = None,
    *,
    credential: Annotated[str | None, Query(min_length=1, max_length=64)] = None,
    result: Annotated[str | None, Query(min_length=1, max_length=64, description="granted, denied, ...")] = None,
    since: Annotated[AwareDatetime | None, Query(description="from this instant on")] = None,
    until: Annotated[AwareDatetime | None, Query(description="before this instant")] = None,
) -> Response:
    """Who went through which door, newest first; ``before`` is the ``next`` of the page before. ``credential`` (a
    whole number) is for supervisors; what they are shown is on record.
    """  # noqa: D205 - OpenAPI shows it as one paragraph
    web = web_of(request)
    is_whole = session.role in _SEES_ALL
    if credential is not None and not is_whole:
        raise Problem(403, "wrong_role", role=session.role)
    if is_whole:  # also page by page: whoever takes them all away is on record as often
        actor = Actor(session.user, session.role, "console")
        asked = {"device": device or "", "before": before, "limit": limit, "since": since, "until": until}
        about = {"credential": masked(credential)} if credential is not None else {}
        await web.users.audit(actor, "passes.searched" if about else "passes.read", {**about, **asked})
    found = await web.port.passes(limit, before, device, credential, result=result, since=since, until=until)
    following = found[-1]["seq"] if len(found) == limit else None
    views = [_view(each, web.port.site(), is_whole=is_whole) for each in found]
    return json_answer({"passes": views, "next": following})


def _view(found: Mapping[str, Any], site: Site, *, is_whole: bool) -> dict[str, Any]:
    device_id = found["device_id"]
    device = site.devices.get(device_id)
    is_open = is_whole or found["way"] == _BY_STAFF
    return {
        **{key: found[key] for key in ("seq", "at", "device_at", "way", "direction", "result")},
        "credential": found["credential"] if is_open else masked(found["credential"]),
        "device": device_id,
        "device_title": device.title if device else "",
        "place": device.place.text if device else "",
    }
