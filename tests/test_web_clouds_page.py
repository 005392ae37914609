"""What the page says of the clouds: certificates that end soon, and what report on change has saved."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from playwright.async_api import expect

from gateway.web.ports import Health, UplinkHealth
from tests.support_browser import chromium
from tests.support_web import running_web
from tests.test_web_page import duty_screen
from tests.test_web_uplinks import TOLD, a_site


@pytest.fixture(autouse=True)
def _chromium() -> None:
    chromium()


def _health(days: float | None) -> Health:
    until = None if days is None else datetime.now(UTC) + timedelta(days=days)
    return Health(buses={"field": True}, uplinks={"platform": UplinkHealth(True, 0, None, until)})


@pytest.mark.parametrize(
    ("days", "text", "is_good"),
    [
        (None, "云端 已连", True),
        (400, "云端 已连", True),
        (12.5, "云端 证书 12 天后到期", False),
        (-1, "云端 证书已过期", False),
    ],
)
async def test_a_certificate_that_ends_within_30_days_is_on_the_lamp(
    days: float | None, text: str, is_good: bool
) -> None:
    """Whoever sits at the desk sees it a month before the cloud goes dark."""
    async with running_web() as web:
        web.gateway.state = _health(days)
        async with duty_screen(web) as page:
            lamp = page.locator("#lamp-cloud")
            await expect(lamp).to_have_text(text)
            await expect(lamp).to_have_class(f"lamp {'good' if is_good else 'bad'}")


async def test_the_system_section_has_the_date_and_the_savings() -> None:
    """The day itself, and how many readings did not have to go up."""
    async with running_web(a_site()) as web:
        web.gateway.state = _health(400)
        web.gateway.said_of_uplinks = [{**TOLD, "state": "up", "dead_letters": 0}]
        web.counters.count("readings_saved", 1234)
        async with duty_screen(web) as page:
            await page.click("#system > summary")
            day = (datetime.now(UTC) + timedelta(days=400)).date().isoformat()
            await expect(page.locator("#system-body tr", has_text="platform")).to_contain_text(f"证书到 {day}")
            await expect(page.locator("#system-body tr", has_text="变化才上云")).to_contain_text("1,234")


@pytest.mark.parametrize(("days", "words"), [(12.5, "还有 12 天"), (-1, "已过期")])
async def test_a_certificate_that_ends_soon_is_red_where_the_cloud_is_listed(days: float, words: str) -> None:
    """Of several clouds the desk sees which one it is, and what to do."""
    async with running_web(a_site()) as web:
        web.gateway.state = _health(days)
        web.gateway.said_of_uplinks = [{**TOLD, "state": "up", "error": "", "dead_letters": 0}]
        async with duty_screen(web) as page:
            await page.click("#system > summary")
            await expect(page.locator("#clouds .bad")).to_contain_text(words)
            await expect(page.locator("#clouds .bad")).to_contain_text("换新的")


async def test_what_a_bridge_said_before_it_fell_silent_is_not_told_as_if_it_were_so() -> None:
    """Somebody would look for a password that is right."""
    async with running_web(a_site()) as web:
        web.gateway.said_of_uplinks = [{**TOLD, "state": "silent", "dead_letters": 0}]
        async with duty_screen(web) as page:
            await page.click("#system > summary")
            await expect(page.locator("#clouds .advice")).to_have_text("请安装维护人员看网关的日志,启动云桥")
            await expect(page.locator("#clouds .raw")).to_have_count(0)
