"""The page after a power cut: all faults taken, and later closed, in one go; after a question, and told as it was."""

from __future__ import annotations

import re

import pytest
from playwright.async_api import Page, expect

from gateway.model import Actor, Alarm, AlarmClass, Verb
from tests.support_browser import chromium
from tests.support_web import Running, running_web, small_site
from tests.test_web_duty import ROW, duty_screen

ROOMS = [f"{n:04d}" for n in range(301, 351)]
LI = Actor("李姐", "duty", "console")
TAKE, CLOSE, SAID = "#bulk-offers .bulk-take", "#bulk-offers .bulk-close", "#bulk-said"
YES, NO = "#bulk-ask .bulk-yes", "#bulk-ask .bulk-no"


@pytest.fixture
def _chromium() -> None:
    chromium()


pytestmark = pytest.mark.usefixtures("_chromium")


def faults(web: Running, count: int) -> list[Alarm]:
    return [web.gateway.raise_alarm(AlarmClass.FAULT, room=room) for room in ROOMS[:count]]


async def rows(page: Page, count: int) -> None:
    await expect(page.locator(ROW)).to_have_count(count)


async def test_forty_faults_are_taken_after_one_question_and_the_result_is_told_as_it_was() -> None:
    """Somebody else takes two while the question stands there: 38 are taken, two are not, and it says by whom."""
    async with running_web(small_site(rooms=ROOMS)) as web, duty_screen(web) as page:
        alarms = faults(web, 40)
        await expect(page.locator(TAKE)).to_have_text("故障全部接警(40)")
        await page.click(TAKE)
        await expect(page.locator("#bulk-ask")).to_contain_text("要接警这 40 条故障吗?")
        await expect(page.locator(TAKE)).to_have_count(0)
        assert web.gateway.requests == [], "a question is no act"
        for each in alarms[:2]:
            web.gateway.tell(each.id, "taken", LI, {})
        await page.click(YES)
        await expect(page.locator(SAID)).to_contain_text("38 条已接警,2 条没有:")
        await expect(page.locator(f"{SAID} li")).to_have_text([re.compile(f"03{n:02d}室.*李姐.*接警") for n in (1, 2)])
        assert all(each.handling == "taken" for each in web.gateway.alarms.values())
        assert {each.verb for each in web.gateway.requests} == {Verb.TAKE}
        await page.click(".bulk-seen")
        await expect(page.locator(SAID)).to_be_empty()


async def test_who_says_no_has_done_nothing() -> None:
    """The question can be left, and the offer is there again."""
    async with running_web(small_site(rooms=ROOMS)) as web, duty_screen(web) as page:
        faults(web, 3)
        await page.click(TAKE)
        await page.click(NO)
        await expect(page.locator("#bulk-ask")).to_be_empty()
        await expect(page.locator(TAKE)).to_have_text("故障全部接警(3)")
        assert web.gateway.requests == []


async def test_what_may_be_danger_is_never_among_them_and_comes_first() -> None:
    """Warnings and a fire are not counted; while the fire waits to be taken nothing is offered above it."""
    async with running_web(small_site(rooms=ROOMS)) as web, duty_screen(web) as page:
        faults(web, 3)
        web.gateway.raise_alarm(AlarmClass.WARNING, room="0340")
        await rows(page, 4)
        await expect(page.locator(TAKE)).to_have_text("故障全部接警(3)")
        await page.click(TAKE)
        await expect(page.locator(YES)).to_be_visible()
        fire = web.gateway.raise_alarm(AlarmClass.FIRE, room="0350")
        await rows(page, 5)
        await expect(page.locator("#bulk-ask")).to_be_empty()
        await expect(page.locator(TAKE)).to_have_count(0)
        web.gateway.tell(fire.id, "taken", LI, {})
        await page.click(TAKE)
        await page.click(YES)
        await expect(page.locator(SAID)).to_contain_text("3 条已接警。")
        assert {web.gateway.alarms[each.alarm_id].alarm_class for each in web.gateway.requests} == {AlarmClass.FAULT}


async def test_faults_in_hand_are_closed_with_one_outcome_and_cause() -> None:
    """The outcomes are those of the rule, each with the number it fits; without outcome and cause nothing is sent."""
    async with running_web(small_site(rooms=ROOMS)) as web, duty_screen(web) as page:
        alarms = faults(web, 4)
        for each in alarms[:3]:
            web.gateway.tell(each.id, "taken", LI, {})
        await expect(page.locator(CLOSE)).to_have_text("故障全部办结(3)")
        await expect(page.locator(TAKE)).to_have_count(0)
        await page.click(CLOSE)
        await expect(page.locator("#bulk-ask select option")).to_have_text(
            ["请选择", "真实火警(3 条)", "误报(3 条)", "测试(3 条)"]
        )
        await page.click(YES)
        await expect(page.locator("#bulk-ask .refused")).to_have_text("办结要选结果、写原因。")
        assert web.gateway.requests == []
        await page.select_option("#bulk-ask select", "误报")
        await page.fill("#bulk-ask [name=cause]", "小区停电")
        await page.click(YES)
        await expect(page.locator(SAID)).to_contain_text("3 条已办结。")
        closed = [web.gateway.alarms[each.id] for each in alarms]
        assert [each.outcome for each in closed] == ["误报", "误报", "误报", ""]


async def test_one_fault_needs_no_shortcut() -> None:
    """It is offered only where it saves a press."""
    async with running_web(small_site(rooms=ROOMS)) as web, duty_screen(web) as page:
        faults(web, 1)
        await rows(page, 1)
        await expect(page.locator("#bulk-offers button")).to_have_count(0)
        web.gateway.raise_alarm(AlarmClass.FAULT, room="0302")
        await expect(page.locator(TAKE)).to_have_count(1)


async def test_an_installer_is_offered_nothing() -> None:
    """Only whoever may take alarms sees it."""
    async with running_web(small_site(rooms=ROOMS)) as web, duty_screen(web, "installer") as page:
        faults(web, 3)
        await rows(page, 3)
        await expect(page.locator("#bulk-offers button")).to_have_count(0)


async def test_a_screen_that_may_be_wrong_takes_nothing() -> None:
    """Connection lost: the button is off like every other."""
    async with running_web(small_site(rooms=ROOMS)) as web, duty_screen(web) as page:
        faults(web, 3)
        await expect(page.locator(TAKE)).to_be_enabled()
        await web.stop()
        await expect(page.locator(TAKE)).to_be_disabled(timeout=15_000)
