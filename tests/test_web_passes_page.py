"""The page of door records: what each role sees, finding by door, card, time and result, and the file."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from playwright.async_api import expect

from gateway.model import Device, DeviceParams, Place, Site
from tests.support_browser import chromium
from tests.support_web import Running, running_web, small_site
from tests.test_web_duty import duty_screen

START = datetime(2026, 1, 15, 2, 0, tzinfo=UTC)  # ten in the morning there
ROWS = "#passes-rows tr"


@pytest.fixture
def _chromium() -> None:
    chromium()


pytestmark = pytest.mark.usefixtures("_chromium")


def doors() -> Site:
    """Two doors."""
    site = small_site()
    devices = dict(site.devices)
    for building in ("3", "5"):
        place = Place(f"{building}-1-01-0101", building, "1", "01", "0101")
        device_id = f"{place.text}/door"
        devices[device_id] = Device(
            device_id, "door", "单元门", place, "door-m1", "field", None, (), DeviceParams(None, None)
        )
    return dataclasses.replace(site, devices=devices)


def passed(web: Running, number: int, door: str, *, result: str = "granted", credential: str = "") -> None:
    """One more pass, each a minute after the one before."""
    at = START + timedelta(minutes=number)
    web.gateway.doors.append(
        {
            "seq": number,
            "at": at,
            "device_at": at,
            "device_id": f"{door}-1-01-0101/door",
            "credential": credential or f"C0000{number:04d}",
            "way": "card",
            "direction": "in",
            "result": result,
        }
    )


async def test_the_duty_officer_sees_who_passed_in_words_and_no_whole_number() -> None:
    """Door, way, direction and result in words, a refusal marked by a sign; no search for a person and no file."""
    async with running_web(doors()) as web, duty_screen(web) as page:
        passed(web, 1, "3")
        passed(web, 2, "5", result="denied")
        await page.click("#passes > summary")
        await expect(page.locator(ROWS)).to_have_count(2)
        first = page.locator(ROWS).first
        for text in ("2026-01-15 10:02:00", "5栋1单元1层0101室 单元门", "****0002", "刷卡", "进", "✖ 拒绝"):
            await expect(first).to_contain_text(text)
        await expect(page.locator(ROWS).last).to_contain_text("放行")
        assert "C00000001" not in await page.content()
        await expect(page.locator("#passes-person")).to_be_hidden()
        await expect(page.locator("#passes-save")).to_be_hidden()


async def test_a_supervisor_finds_by_door_card_result_and_time() -> None:
    """Each field narrows down; nothing found is said; earlier ones come when asked for."""
    async with running_web(doors()) as web, duty_screen(web, "supervisor") as page:
        for number in range(1, 151):
            passed(web, number, "35"[number % 2], result="denied" if number % 50 == 0 else "granted")
        await page.click("#passes > summary")
        await expect(page.locator(ROWS)).to_have_count(100)
        await page.click("#passes-more")
        await expect(page.locator(ROWS)).to_have_count(150)
        await expect(page.locator("#passes-more")).to_be_hidden()
        form = page.locator("#passes-form")
        await form.locator("[name=result]").select_option("denied")
        await form.locator("[type=submit]").click()
        await expect(page.locator(ROWS)).to_have_count(3)
        await form.locator("[name=since]").fill("2026-01-15T11:40")  # by the clock of the site
        await form.locator("[type=submit]").click()
        await expect(page.locator(ROWS)).to_have_count(2)
        await form.locator("[name=until]").fill("2026-01-15T11:40")
        await form.locator("[type=submit]").click()
        await expect(page.locator(ROWS)).to_have_count(1)
        await form.locator("[name=door]").select_option("5-1-01-0101/door")
        await form.locator("[type=submit]").click()
        await expect(page.locator("#passes-said")).to_have_text("没有符合的记录")
        await form.locator("[name=door]").select_option("")
        for field in ("since", "until"):
            await form.locator(f"[name={field}]").fill("")
        await form.locator("[name=result]").select_option("")
        await form.locator("[name=person]").fill("C00000007")
        await form.locator("[type=submit]").click()
        await expect(page.locator(ROWS)).to_have_count(1)


async def test_the_file_is_whole_and_opens_in_a_chinese_spreadsheet(tmp_path: Path) -> None:
    """All pages of what was asked for, with a mark of its encoding, and no cell that a spreadsheet calculates."""
    async with running_web(doors()) as web, duty_screen(web, "supervisor") as page:
        for number in range(1, 701):
            passed(web, number, "3")
        passed(web, 701, "3", credential='=HYPERLINK("http://x"),1')
        await page.click("#passes > summary")
        await expect(page.locator(ROWS)).to_have_count(100)
        async with page.expect_download() as waiting:
            await page.click("#passes-save")
        download = await waiting.value
        await download.save_as(tmp_path / "passes.csv")
        data = (tmp_path / "passes.csv").read_bytes()
        assert data.startswith(b"\xef\xbb\xbf")
        lines = data.decode("utf-8-sig").split("\r\n")
        assert lines[0] == "时间,哪个门,卡号或人,方式,进出,结果"
        assert len(lines) == 701 + 2
        assert lines[1].split(",", 2)[2] == '"\'=HYPERLINK(""http://x""),1",刷卡,进,放行'
        assert lines[-2] == "2026-01-15 10:01:00,3栋1单元1层0101室 单元门,C00000001,刷卡,进,放行"
        assert download.suggested_filename.startswith("门禁记录-")
        await expect(page.locator("#passes-said")).to_have_text("已导出 701 条")
