"""The clouds over HTTP and on the page: state, refused rows with their reasons, sending one again."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from playwright.async_api import Page, expect

from gateway.model import Site, Uplink
from gateway.web.uplinks import LetterList, UplinkStates
from tests.support_browser import browser_page, log_in
from tests.support_web import PASSWORD, Running, running_web, small_site

TOLD: dict[str, Any] = {
    "id": "platform", "type": "mqtt", "state": "down", "since": "2026-01-15T10:00:00+00:00", "error": "refused",
    "advice": {"zh": "核对口令", "en": "check the password"},
    "waiting": {"alarm": 1, "telemetry": 41}, "waiting_bytes": 5000, "oldest_waiting": "2026-01-15T09:00:00+00:00",
    "rows_per_s": 3.5, "settled": {"alarm": 2, "telemetry": 900}, "sessions": 3, "dead_letters": 120, "counts": {},
}  # fmt: skip


def a_site() -> Site:
    return replace(small_site(), uplinks=(Uplink("platform", "mqtt", {}),))


def letters(web: Running, count: int) -> None:
    web.gateway.said_of_uplinks = [TOLD]
    web.gateway.letters = [
        {
            "id": n,
            "uplink": "platform",
            "lane": "telemetry",
            "seq": n,
            "at_ms": 0,
            "reason": f"<b>400</b> {n}",
            "advice": {"zh": "内容不对", "en": "it is wrong"},
            "bytes": 9,
        }
        for n in range(1, count + 1)
    ]


async def test_state_and_refused_rows_page_by_page() -> None:
    """What waits and since when, how fast, what was refused and why; every letter once, newest first."""
    async with running_web(a_site()) as web, web.officer() as client:
        letters(web, 120)
        told = UplinkStates.model_validate((await client.get("/api/v1/uplinks")).json())
        assert (told.uplinks[0].state, told.uplinks[0].waiting, told.may_retry) == (
            "down",
            {"alarm": 1, "telemetry": 41},
            False,
        )
        first = LetterList.model_validate((await client.get("/api/v1/uplinks/platform/letters")).json())
        rest = LetterList.model_validate(
            (await client.get(f"/api/v1/uplinks/platform/letters?before={first.next}")).json()
        )
        assert [each.id for each in (*first.letters, *rest.letters)] == list(range(120, 0, -1))
        assert rest.next is None
        assert (await client.get("/api/v1/uplinks/other/letters")).status_code == 404


@pytest.mark.parametrize(("role", "status"), [("duty", 403), ("supervisor", 200), ("installer", 200)])
async def test_who_may_have_one_sent_again(role: str, status: int) -> None:
    """Supervisor and installer may, and that is on record; a letter of nobody is 404."""
    async with running_web(a_site()) as web, web.officer("某人", role) as client:
        letters(web, 3)
        answer = await client.post("/api/v1/uplinks/platform/letters/2/retry")
        assert answer.status_code == status
        assert web.gateway.retried == ([2] if status == 200 else [])
        if status == 200:
            assert (await client.post("/api/v1/uplinks/platform/letters/9/retry")).status_code == 404
            assert ("retry_dead_letter", {"uplink": "platform", "letter": 2}) in [
                (action, detail) for _, action, detail in web.users.trail
            ]


async def test_nobody_sees_or_asks_without_a_log_in_or_from_another_site() -> None:
    """Both are refused before anything is looked at."""
    async with running_web(a_site()) as web:
        letters(web, 1)
        async with web.client() as client:
            assert (await client.get("/api/v1/uplinks")).status_code == 401
        async with web.officer("某人", "supervisor") as client:
            del client.headers["X-Shouwang"]
            assert (await client.post("/api/v1/uplinks/platform/letters/1/retry")).status_code == 403
    assert web.gateway.retried == []


async def test_the_page_shows_the_clouds_and_sends_a_row_again() -> None:
    """State, what waits, why rows were refused (as text), and a button for those who may."""
    async with running_web(a_site()) as web:
        letters(web, 2)
        await web.add_user("某人", "supervisor")
        async with browser_page(web.url) as page:
            await _uses_the_page(web, page)


async def _uses_the_page(web: Running, page: Page) -> None:
    await log_in(page, "某人", PASSWORD)
    await page.click("#system > summary")
    body = page.locator("#system-body")
    await expect(body.locator("#clouds th").first).to_have_text("platformMQTT")
    await expect(body.locator("#clouds .bad")).to_contain_text("连不上")
    await expect(body.locator("#clouds .advice")).to_have_text("核对口令")
    await expect(body).to_contain_text("等着送:报警 1 条、数据 41 批,最早的是")
    await expect(body).to_contain_text("都存在本机,连上后自动补送")
    await expect(body).to_contain_text("平台拒收 120 条")
    await expect(page.locator("#dead-letters .advice").first).to_have_text("内容不对")
    await expect(page.locator("#dead-letters")).to_contain_text("<b>400</b> 2")
    await page.locator("#dead-letters button").first.click()
    await expect(page.locator("#dead-letters button").first).to_have_text("已请求")
    assert web.gateway.retried == [2]
