"""What screens and machines are told of consequences, staleness and the clock."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from playwright.async_api import expect

from gateway.clock import ManualClock
from gateway.counters import Counters
from gateway.model import SYSTEM, AlarmClass, DeviceStatus, Now, Step
from gateway.web.live import LiveView
from gateway.web.metrics import Exposition
from gateway.web.ports import Health
from gateway.web.views import in_duty_order
from tests.support_browser import browser_page, chromium, log_in
from tests.support_web import PASSWORD, FakeGateway, running_web, small_site

ROOMS = [f"{n:04d}" for n in range(301, 306)]


def test_consequences_are_not_counted_as_untaken_and_come_after_their_cause() -> None:
    """Three hundred lost devices under one line are one thing to do, and the line stands before them."""
    gateway = FakeGateway(small_site(rooms=ROOMS), LiveView(Counters()), ManualClock(Now(datetime.now(UTC), 0.0)))
    members = [gateway.raise_alarm(AlarmClass.FAULT, room=each) for each in ROOMS[:-1]]
    cause = gateway.raise_alarm(AlarmClass.FAULT, room=ROOMS[-1])
    for each in members:
        gateway.tell(each.id, "suppressed", SYSTEM, {"by": cause.id})
    counts = gateway.live.counts()
    assert (counts["untaken"], counts["suppressed"]) == (1, len(members))
    assert in_duty_order(list(gateway.live.alarms.values()))[0].id == cause.id


def test_an_alarm_that_stands_for_more_than_a_day_is_stale() -> None:
    """Active for 24 hours: listed and counted; one that has returned is not."""
    start = datetime(2026, 1, 1, tzinfo=UTC)
    clock = ManualClock(Now(start, 0.0))
    live = LiveView(Counters())
    gateway = FakeGateway(small_site(rooms=ROOMS), live, clock)
    gateway.raise_alarm(room=ROOMS[0])
    gateway.clear(gateway.raise_alarm(room=ROOMS[1]))
    live.beat(Now(start + timedelta(hours=24), 1.0), Health())
    assert live.counts()["stale"] == 0
    live.beat(Now(start + timedelta(hours=24, seconds=1), 2.0), Health())
    assert live.counts()["stale"] == 1
    assert b"shouwang_alarms_stale 1.0" in Exposition(Counters(), live).text()


def test_the_gateways_own_devices_are_not_counted_as_devices() -> None:
    """A line that is down is a fault, not one more device; its state is known all the same."""
    live = LiveView(Counters())
    live.load(["a/x", "line/b1"], built_in=["line/b1"])
    now = Now(datetime(2026, 1, 1, tzinfo=UTC), 0.0)
    live.apply(Step(now, statuses=[DeviceStatus("line/b1", False, now.utc, "not connected")]))
    assert live.counts()["devices"] == {"total": 1, "online": 0, "offline": 0, "unknown": 1}
    assert live.device_state("line/b1") == ("offline", now.utc, "not connected")


async def test_an_unsynchronised_clock_is_said_and_does_not_make_the_gateway_unavailable() -> None:
    """Stamps may be wrong, alarms are not: a watchdog must not restart the box for it."""
    async with running_web() as web, web.client() as client:
        web.gateway.state = Health(is_time_ok=False)
        answer = await client.get("/healthz")
        assert answer.status_code == 200
        assert answer.json() == {"status": "ok", "reasons": [], "notes": ["time"]}


@pytest.mark.usefixtures("_chromium")
async def test_consequences_stand_under_their_cause_on_the_page() -> None:
    """One row with the number; its panel lists them; when the cause is gone the list does not look quiet."""
    async with running_web(small_site(rooms=ROOMS)) as web:
        await web.add_user("张师傅")
        async with browser_page(web.url) as page:
            await log_in(page, "张师傅", PASSWORD)
            cause = web.gateway.raise_alarm(AlarmClass.FAULT, room=ROOMS[0])
            for each in ROOMS[1:]:
                member = web.gateway.raise_alarm(AlarmClass.FAULT, room=each)
                web.gateway.tell(member.id, "suppressed", SYSTEM, {"by": cause.id})
            await expect(page.locator("#rows li")).to_have_count(1)
            await expect(page.locator("#rows li")).to_contain_text("含 4 条")
            await page.click("#rows li .open")
            await expect(page.locator("#members li")).to_have_count(4)
            await expect(page.locator("#waiting")).to_be_hidden()
            web.gateway.clear(cause)
            await expect(page.locator("#rows li")).to_have_count(0)
            await expect(page.locator("#waiting")).to_contain_text("另有 4 条")
            await expect(page.locator("#quiet")).to_be_hidden()


@pytest.fixture
def _chromium() -> None:
    chromium()
