"""Web: the record of who went through which door. Recording it is the store's."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel

from gateway.model import Site
from gateway.web.answers import json_answer, told
from gateway.web.auth import SignedIn
from gateway.web.context import web_of

router = APIRouter(prefix="/api/v1", tags=["reading"])


class PassOut(BaseModel):
    """One person at one door; ``credential`` is the number of a card or code, never a face."""

    seq: int
    at: datetime
    device_at: datetime
    device: str
    device_title: str
    place: str
    credential: str
    way: str
    direction: str
    result: str


class PassList(BaseModel):
    """Passes, newest first; ``next`` asks for the page after this one."""

    passes: list[PassOut]
    next: int | None


@router.get("/passes", responses=told(PassList, 401, 422))
async def passes(
    request: Request,
    _: SignedIn,
    limit: Annotated[int, Query(ge=1, le=500)] = 100,
    before: Annotated[int | None, Query(ge=1, le=2**62)] = None,
    device: Annotated[str | None, Query(max_length=200)] = None,
) -> Response:
    """Who went through which door, newest first; ``before`` is the ``next`` of the page before."""
    port = web_of(request).port
    found = await port.passes(limit, before, device)
    following = found[-1]["seq"] if len(found) == limit else None
    return json_answer({"passes": [_view(each, port.site()) for each in found], "next": following})


def _view(found: Mapping[str, Any], site: Site) -> dict[str, Any]:
    device_id = found["device_id"]
    device = site.devices.get(device_id)
    return {
        **{key: found[key] for key in ("seq", "at", "device_at", "credential", "way", "direction", "result")},
        "device": device_id,
        "device_title": device.title if device else "",
        "place": device.place.text if device else "",
    }
