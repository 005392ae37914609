"""Web: the places and devices that a mark can be put on, found by where they are and by words. Read-only.

A site has thousands of devices: the page asks for what somebody types or picks, a few at a time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Annotated, Any, Literal, NamedTuple

from fastapi import APIRouter, Query, Request, Response
from pydantic import Field

from gateway.model import Device, Site
from gateway.web.answers import json_answer, told
from gateway.web.auth import SignedIn
from gateway.web.context import web_of
from gateway.web.schemas import Told

router = APIRouter(prefix="/api/v1", tags=["marks"])

MOST_WORDS = 8
PlaceScope = Literal["point", "device", "room", "floor", "unit", "building", "zone"]
_DEPTH = {"building": 1, "unit": 2, "floor": 3, "room": 4}
_SAID = ("栋", "单元", "层", "室")


class PlaceOut(Told):
    """Something that can be marked: ``key`` is what a mark wants, ``devices`` how many are there."""

    key: str
    place: str = Field(description="the address as the configuration writes it; empty for a zone")
    title: str = Field(description="of the device, or of device and point; empty for a place")
    devices: int


class PlaceList(Told):
    """The first of those that fit, in order, and how many there are in all."""

    total: int
    places: list[PlaceOut]


class _Found(NamedTuple):
    key: str
    place: str
    title: str


@router.get("/places", responses=told(PlaceList, 401, 422))
async def places(
    request: Request,
    _: SignedIn,
    *,
    scope: PlaceScope,
    building: Annotated[str, Query(max_length=200, description="only there")] = "",
    zone: Annotated[str, Query(max_length=200, description="only there")] = "",
    kind: Annotated[str, Query(max_length=64, description="only what is of, or has, devices of this kind")] = "",
    words: Annotated[str, Query(max_length=200, description="all of them must occur: 3栋2单元, 0301, 感烟")] = "",
    limit: Annotated[int, Query(ge=1, le=200)] = 24,
) -> Response:
    """What a mark of this scope can be put on: buildings, zones, flats, devices, points; searched by words."""
    wanted = words.casefold().split()[:MOST_WORDS]
    devices = _devices(web_of(request).port.site(), building, zone)
    of_kind = (each for each in devices if kind in {"", each.kind})
    # In a thread: 45,000 points take 0.1 s, and an alarm must not wait for a search.
    total, views = await asyncio.to_thread(_search, of_kind, scope, wanted, limit)
    return json_answer({"total": total, "places": views})


def _search(devices: Iterator[Device], scope: str, wanted: list[str], limit: int) -> tuple[int, list[dict[str, Any]]]:
    counts: dict[_Found, int] = {}
    for device in devices:
        for found in _of(device, scope):
            counts[found] = counts.get(found, 0) + 1
    fitting = sorted(each for each in counts if _fits(each, wanted))
    return len(fitting), [{**each._asdict(), "devices": counts[each]} for each in fitting[:limit]]


def _devices(site: Site, building: str, zone: str) -> Iterator[Device]:
    for each in site.devices.values():
        if (not building or each.place.building == building) and (not zone or each.place.zone == zone):
            yield each


def _of(device: Device, scope: str) -> Iterator[_Found]:
    place = device.place
    if scope == "device":
        yield _Found(device.id, place.text, device.title)
    elif scope == "point":
        for point in device.points:
            yield _Found(point.id, place.text, f"{device.title} {point.title or point.name}")
    elif scope == "zone":
        if place.zone:
            yield _Found(place.zone, "", "")
    else:
        parts = (place.building, place.unit, place.floor, place.room)[: _DEPTH[scope]]
        if parts[-1]:
            address = "-".join(parts)
            yield _Found(address, address, "")


def _fits(found: _Found, words: list[str]) -> bool:
    """Every word occurs in the key, in the title, or in the place as people say it."""
    text = f"{found.key} {found.title} {said(found.place)}".casefold()
    return all(each in text for each in words)


def said(address: str) -> str:
    """An address as people say it, without leading zeros of the floor: 3栋2单元3层0301室, 3栋."""
    parts = address.split("-", 3)
    if len(parts) > 2:
        parts[2] = parts[2].lstrip("0") or "0"
    return "".join(part + word for part, word in zip(parts, _SAID, strict=False) if part)
