"""GET /api/v1/places: what a mark can be put on, found by place and by words."""

from __future__ import annotations

import dataclasses
import threading
from collections import UserDict
from collections.abc import ValuesView
from typing import ClassVar

import pytest

from gateway.model import Device, DeviceParams, Place, Point, Site
from gateway.rules.marks import Marks
from gateway.rules.timers import Timers
from gateway.web.places import PlaceList, said
from tests.support_web import running_web, small_site


def estate() -> Site:
    """Two buildings and a shed of its own zone, which has no flat number."""
    site = small_site(rooms=["0301", "0302"])
    devices = dict(site.devices)
    for place, kind, title in (
        (Place("5-1-01-0101", "5", "1", "01", "0101"), "door", "单元门"),
        (Place("5-1-B1-CP01", "5", "1", "B1", "CP01", "地下充电区"), "ebike-charger", "充电柜"),
        (Place("gate", zone="大门"), "door", "大门门禁"),
    ):
        device_id = f"{place.text}/{kind}"
        point = Point(f"{device_id}/contact", device_id, "contact", "bool", title="门磁")
        devices[device_id] = Device(
            device_id, kind, title, place, "p", "field", None, (point,), DeviceParams(None, None)
        )
    return dataclasses.replace(site, devices=devices)


@pytest.mark.parametrize(
    ("query", "keys"),
    [
        ("scope=building", ["3", "5"]),
        ("scope=zone", ["地下充电区", "大门"]),
        ("scope=unit&building=3", ["3-2"]),
        ("scope=room&words=3栋2单元 0302", ["3-2-03-0302"]),
        ("scope=room&zone=地下充电区", ["5-1-B1-CP01"]),
        ("scope=device&words=门禁", ["gate/door"]),
        ("scope=device&kind=door", ["5-1-01-0101/door", "gate/door"]),
        ("scope=point&words=门磁 5-1-01", ["5-1-01-0101/door/contact"]),
        ("scope=room&words=nosuch", []),
    ],
)
async def test_a_place_is_found_by_where_it_is_and_by_words(query: str, keys: list[str]) -> None:
    """By building, zone, kind, and words as they are said or written."""
    async with running_web(estate()) as web, web.officer() as client:
        body = (await client.get(f"/api/v1/places?{query}")).json()
        PlaceList.model_validate(body)
        assert [each["key"] for each in body["places"]] == sorted(keys)
        assert body["total"] == len(keys)


async def test_few_are_told_of_many_and_how_many_there_are() -> None:
    """A site of thousands of devices does not go over the wire for one mark."""
    rooms = [f"{n:04d}" for n in range(301, 351)]
    async with running_web(small_site(rooms=rooms)) as web, web.officer() as client:
        body = (await client.get("/api/v1/places?scope=device&limit=10")).json()
        assert (body["total"], len(body["places"])) == (50, 10)
        (building,) = (await client.get("/api/v1/places?scope=building")).json()["places"]
        assert building == {"key": "3", "place": "3", "title": "", "devices": 50}
        async with web.client() as stranger:
            assert (await stranger.get("/api/v1/places?scope=building")).status_code == 401


async def test_every_place_that_is_offered_can_be_marked() -> None:
    """Whoever chooses from the list is never told that there is no such place."""
    site = estate()
    marks = Marks(site.devices.values(), Timers())
    async with running_web(site) as web, web.officer() as client:
        for scope in ("building", "unit", "floor", "room", "zone", "device", "point"):
            found = (await client.get(f"/api/v1/places?scope={scope}&limit=200")).json()["places"]
            assert found
            assert all(marks._is_place(scope, each["key"]) for each in found)


def test_an_address_is_said_as_people_say_it() -> None:
    """What somebody types is compared with this, too."""
    assert (said("3-2-03-0301"), said("5-1-B1"), said("3"), said("")) == (
        "3栋2单元3层0301室",
        "5栋1单元B1层",
        "3栋",
        "",
    )


class _Noted(UserDict[str, Device]):
    """Devices that know which threads have looked through them."""

    threads: ClassVar[set[str]] = set()

    def values(self) -> ValuesView[Device]:
        self.threads.add(threading.current_thread().name)
        return super().values()


async def test_a_search_keeps_no_alarm_waiting() -> None:
    """45,000 points take a tenth of a second to look through: not on the thread that judges and tells."""
    site = estate()
    devices = _Noted(site.devices)
    async with running_web(dataclasses.replace(site, devices=devices)) as web, web.officer() as client:
        devices.threads.clear()
        assert (await client.get("/api/v1/places?scope=point")).status_code == 200
        assert devices.threads
        assert threading.current_thread().name not in devices.threads
