"""What the page asks of notices and calls."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from playwright.async_api import expect

from gateway.model import SYSTEM, AlarmClass
from gateway.web.reports import CallReport, NoticeList
from gateway.web.views import alarm_key
from tests.support_browser import browser_page, chromium, log_in
from tests.support_web import PASSWORD, running_web


async def test_a_month_is_the_sites_month() -> None:
    """November of a site at +8 begins on 31 October, 16:00 UTC; December ends in the next year."""
    async with running_web() as web, web.officer() as client:
        answer = await client.get("/api/v1/reports/calls?month=2026-11")
        assert answer.status_code == 200
        CallReport.model_validate(answer.json())
        assert web.gateway.asked == (datetime(2026, 10, 31, 16, tzinfo=UTC), datetime(2026, 11, 30, 16, tzinfo=UTC))
        await client.get("/api/v1/reports/calls?month=2026-12")
        assert web.gateway.asked == (datetime(2026, 11, 30, 16, tzinfo=UTC), datetime(2026, 12, 31, 16, tzinfo=UTC))


@pytest.mark.parametrize("month", ["2026-13", "2026-1", "November", "", "2026-11-01", "1999-01"])
async def test_what_is_no_month_is_refused(month: str) -> None:
    """A wrong month is told, not guessed."""
    async with running_web() as web, web.officer() as client:
        assert (await client.get("/api/v1/reports/calls", params={"month": month})).status_code == 422


async def test_the_panel_can_show_how_far_each_notice_got() -> None:
    """Who was told by which channel, and whether it was accepted, delivered or why it failed."""
    async with running_web() as web, web.officer() as client:
        alarm = web.gateway.raise_alarm()
        row: dict[str, Any] = {
            "key": f"{alarm.id}/raised/duty/apprise", "reason": "raised", "channel": "apprise", "recipient": "duty",
            "text": "火警", "at_ms": 1_000, "state": "failed", "closed_ms": 2_500, "detail": "no answer",
        }  # fmt: skip
        web.gateway.told[alarm.id] = [row, {**row, "state": "sending", "closed_ms": None}]
        answer = await client.get(f"/api/v1/alarms/{alarm_key(alarm.id)}/notices")
        found = NoticeList.model_validate(answer.json()).notices
        assert [(each.state, each.detail, each.state_at is None) for each in found] == [
            ("failed", "no answer", False),
            ("sending", "no answer", True),
        ]
        assert (await client.get(f"/api/v1/alarms/{alarm_key('x:y:1')}/notices")).status_code == 404


async def test_the_screen_says_120_and_how_far_the_notices_got() -> None:
    """A call nobody has taken for three minutes: the screen tells to call 120 and which address to give."""
    chromium()
    async with running_web() as web:
        await web.add_user()
        call = web.gateway.raise_alarm(AlarmClass.SOS, title="一键呼救")
        web.gateway.told[call.id] = [
            {
                "key": f"{call.id}/raised/grid/apprise", "reason": "raised", "channel": "apprise", "recipient": "grid",
                "text": "求助", "at_ms": 1_000, "state": "failed", "closed_ms": 2_500, "detail": "no answer",
            }
        ]  # fmt: skip
        async with browser_page(web.url) as page:
            await log_in(page, "张师傅", PASSWORD)
            await page.locator("#rows li").first.click()
            await expect(page.locator("#journal .notice")).to_contain_text("失败: no answer")
            await expect(page.locator("#call-bar")).to_be_hidden()
            web.gateway.tell(call.id, "escalated", SYSTEM, {"stage": 3, "after_s": 180.0, "to": ["street"]})
            await expect(page.locator("#call-bar")).to_contain_text("请拨打 120,报这个地址")
            await expect(page.locator("#call-bar .address")).to_contain_text("3栋2单元3层0301室")
            await expect(page.locator("#journal")).to_contain_text("无人接警,升级")
