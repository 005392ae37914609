"""The page with what is not annunciated: shelving, marks, drills, groups, the response, the card for 120."""

from __future__ import annotations

import contextlib
import dataclasses
import re
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest
from playwright.async_api import Page, expect

from gateway.model import SYSTEM, Alarm, AlarmClass, AlarmEvent, Mark, MarkChange, Site, Step
from gateway.rules.alarm import fold
from tests.support_browser import browser_page, chromium, log_in
from tests.support_web import PASSWORD, Running, running_web, small_site, verb_path

pytestmark = pytest.mark.usefixtures("_chromium")

ROW = "#rows li"
ROOMS = [f"{n:04d}" for n in range(301, 312)]
RESPONSE = "立即派两人带灭火器到现场"


@pytest.fixture
def _chromium() -> None:
    chromium()


def told_site() -> Site:
    """A site whose rules say what to do."""
    said: dict[str, Any] = {
        "response": RESPONSE, "response_en": "Send two people with extinguishers", "respond_within_s": 60.0,
        "cause": "油烟或明火", "consequence": "楼道被烟封住",
        "cause_en": "Cooking or fire", "consequence_en": "Smoke fills the stairs",
    }  # fmt: skip
    site = small_site(rooms=ROOMS)
    return dataclasses.replace(site, rules=tuple(dataclasses.replace(each, **said) for each in site.rules))


@contextlib.asynccontextmanager
async def duty_screen(web: Running, role: str = "duty", **size: int) -> AsyncIterator[Page]:
    """A duty screen of somebody with this role."""
    await web.add_user("王主管", role)
    async with browser_page(web.url, **size) as page:
        await log_in(page, "王主管", PASSWORD)
        yield page


def mark(web: Running, kind: Mark, scope: str, key: str, *, is_set: bool = True, minutes: float = 60) -> None:
    """Somebody sets or lifts a mark elsewhere."""
    now = web.gateway.clock.now()
    until = now.utc + timedelta(minutes=minutes)
    step = Step(now)
    change = MarkChange(kind, scope, key, True, now.utc, until, "陈主管", "消防演练")
    if is_set:
        web.gateway.kept.put(change, step)
    else:
        web.gateway.kept.remove(change, SYSTEM, "", step)
    web.live.apply(step)


def drill_alarm(web: Running, room: str, alarm_class: AlarmClass = AlarmClass.FIRE) -> Alarm:
    """An alarm raised in a drill."""
    now = web.gateway.clock.now()
    point = f"3-2-03-{room}/smoke/alarm"
    data = {
        "rule": f"rule-{alarm_class}", "point": point, "device": point.rpartition("/")[0], "occurrence": 1,
        "class": alarm_class, "title": "感烟报警", "place": f"3-2-03-{room}", "value": True, "latches": True,
        "sounds": True, "marks": ["drill"],
    }  # fmt: skip
    event = AlarmEvent(f"rule-{alarm_class}:{point}:1", 1, "raised", now.utc, SYSTEM, data)
    alarm = web.gateway.alarms[event.alarm_id] = fold(None, event)
    web.gateway.journal[alarm.id].append(event)
    web.live.apply(Step(now, events=[event], alarms={alarm.id: alarm}))
    return alarm


async def test_an_alarm_is_shelved_seen_in_its_list_and_brought_back() -> None:
    """With minutes and a reason; it leaves the main list and its counter, and 取消搁置 shows it again."""
    async with running_web(told_site()) as web, duty_screen(web) as page:
        alarm = web.gateway.raise_alarm(AlarmClass.WARNING, title="充电口过温")
        await page.click(f"{ROW} .open")
        await page.click("#shelve summary")
        await page.click("#shelve button")
        await expect(page.locator("#message")).to_have_text("请写明理由。")
        assert not web.gateway.requests
        offered = await page.locator("#shelve option").all_text_contents()
        assert offered[-1] == "8 小时"  # no more than this account may
        await page.select_option("#shelve [name=minutes]", "30")
        await page.fill("#shelve [name=reason]", "等备件")
        await page.click("#shelve button")
        await expect(page.locator("#message")).to_have_text("已执行:搁置")
        await expect(page.locator(ROW)).to_have_count(0)
        await expect(page.locator("#classes .class-warning b")).to_have_text("0")
        await expect(page.locator("#aside-counts")).to_have_text("搁置 1")
        await expect(page.locator("#quiet")).to_contain_text("另有 1 条不在列表里")
        await expect(page.locator("#unshelve")).to_contain_text("王主管")
        await expect(page.locator("#shelve")).to_be_hidden()
        await page.click("#aside > summary")
        await expect(page.locator("#list-shelved li")).to_contain_text("等备件")
        await page.click("#list-shelved button.act")
        await expect(page.locator(ROW)).to_have_count(1)
        await expect(page.locator("#aside-counts")).to_have_text("无")
        assert web.gateway.alarms[alarm.id].shelved_until_at is None
        await expect(page.locator("#journal")).to_contain_text("等备件")


@pytest.mark.parametrize("alarm_class", [AlarmClass.FIRE, AlarmClass.GAS, AlarmClass.SOS, AlarmClass.SECURITY])
async def test_where_shelving_is_not_allowed_it_is_not_offered(alarm_class: AlarmClass) -> None:
    """Life safety never; security not by the duty officer."""
    async with running_web(told_site()) as web, duty_screen(web) as page:
        web.gateway.raise_alarm(alarm_class)
        await page.click(f"{ROW} .open")
        await expect(page.locator("#response")).to_be_visible()  # the gateway has answered
        await expect(page.locator("#shelve")).to_be_hidden()
        await expect(page.locator("#unshelve")).to_be_hidden()


async def test_the_response_is_the_first_thing_in_the_panel() -> None:
    """Big, with its time, above the steps; in the other language when the page is."""
    async with running_web(told_site()) as web, duty_screen(web) as page:
        web.gateway.raise_alarm()
        await page.click(f"{ROW} .open")
        await expect(page.locator("#response")).to_contain_text(RESPONSE)
        await expect(page.locator("#response .within")).to_have_text("1 分钟内响应")
        await expect(page.locator("#why")).to_contain_text("油烟或明火")
        await expect(page.locator("#why")).to_contain_text("楼道被烟封住")
        size = "parseFloat(getComputedStyle(document.getElementById('response')).fontSize)"
        assert await page.evaluate(size) >= 24
        before = "document.getElementById('response').getBoundingClientRect().top"
        assert await page.evaluate(f"{before} < document.getElementById('facts').getBoundingClientRect().top")
        await expect(page.locator("#response")).to_be_in_viewport(ratio=1)
        await page.click("header button.language")
        await expect(page.locator("#response")).to_contain_text("Send two people with extinguishers")
        await expect(page.locator("#why")).to_contain_text(
            "Cooking or fire. If nothing is done: Smoke fills the stairs"
        )
        await expect(page.locator("#response .within")).to_have_text("respond within 1 min")


async def test_a_drill_is_said_with_place_and_time_left_and_ends_for_everybody() -> None:
    """The hatched frame and the words while it runs; both gone the moment it ends."""
    async with running_web(told_site()) as web, duty_screen(web) as page:
        await expect(page.locator("#test-bar")).to_be_hidden()
        mark(web, Mark.DRILL, "building", "3")
        await expect(page.locator("#test-bar")).to_contain_text("演练中 · 3栋")
        await expect(page.locator("#test-bar")).to_contain_text(re.compile(r"还剩 (59:\d\d|1:00:00)"))
        await expect(page.locator("#test-bar")).to_contain_text("陈主管: 消防演练")
        await expect(page.locator("body[data-testing=true]")).to_have_count(1)
        await page.reload()
        await expect(page.locator("#test-bar")).to_contain_text("演练中 · 3栋")
        mark(web, Mark.DRILL, "building", "3", is_set=False)
        await expect(page.locator("#test-bar")).to_be_hidden()
        await expect(page.locator("body[data-testing=true]")).to_have_count(0)
        mark(web, Mark.AWAY, "room", "3-2-03-0301")
        await expect(page.locator("#aside-counts")).to_have_text("标记 1")
        await expect(page.locator("#test-bar")).to_be_hidden()  # nobody is testing: somebody has gone on holiday


async def test_what_is_raised_in_a_drill_says_so_and_stands_below_what_is_real() -> None:
    """A real call outside the drill comes first, is pinned nowhere below it, and is counted like any."""
    async with running_web(told_site()) as web, duty_screen(web) as page:
        drill_alarm(web, "0301")
        await expect(page.locator(f"{ROW} .badge")).to_contain_text("演练")
        await expect(page.locator("#first")).to_contain_text("演练 首火警")
        for place in (ROW, "#first"):  # blue and hatched, not the red of a fire
            await expect(page.locator(place)).to_have_css("background-image", re.compile(r"29, 78, 216"))
        await expect(page).to_have_title(re.compile("演练"))
        web.gateway.raise_alarm(AlarmClass.FAULT, room="0302")
        web.gateway.raise_alarm(room="0303")
        await expect(page.locator(ROW)).to_have_count(3, timeout=2000)
        await expect(page.locator(f"{ROW} .where").first).to_contain_text("0303")
        await expect(page.locator(f"{ROW} .where").last).to_contain_text("0301")
        await expect(page.locator("#first")).to_contain_text("0303")
        await expect(page.locator("#first")).not_to_contain_text("演练")
        await expect(page).to_have_title("(3)火警 3-2-03-0303")


async def test_a_supervisor_begins_a_walk_test_and_ends_it() -> None:
    """The form offers what this account may, and fills in where the alarm in the panel is."""
    async with running_web(told_site()) as web, duty_screen(web, "supervisor") as page:
        web.gateway.raise_alarm()
        await page.click(f"{ROW} .open")
        await page.click("#aside > summary")
        await page.select_option("#mark-form [name=mark]", "walk_test")
        assert "全小区" not in await page.locator("#mark-form [name=scope] option").all_text_contents()
        await page.select_option("#mark-form [name=scope]", "unit")
        assert await page.input_value("#mark-form [name=key]") == "3-2"
        await page.select_option("#mark-form [name=minutes]", "60")
        await page.click("#mark-form button")
        await expect(page.locator("#mark-said")).to_have_text("请写明理由。")
        await page.fill("#mark-form [name=reason]", "季度测试")
        await page.click("#mark-form button")
        await expect(page.locator("#mark-said")).to_have_text("已设置:走测")
        await expect(page.locator("#test-bar")).to_contain_text("走测中 · 3栋2单元")
        await page.fill("#mark-form [name=key]", "9-9")
        await page.click("#mark-form button")
        await expect(page.locator("#mark-said")).to_have_text("没有执行:没有这个地方、设备或测点。")
        await page.click("#list-marks button.act")
        await expect(page.locator("#test-bar")).to_be_hidden()
        await expect(page.locator("#mark-said")).to_have_text("已结束:走测")


async def test_the_duty_officer_is_offered_only_what_the_role_allows() -> None:
    """Somebody is away: that much; no drill, nothing switched off."""
    async with running_web(told_site()) as web, duty_screen(web) as page:
        await page.click("#aside > summary")
        await expect(page.locator("#mark-form")).to_be_visible()
        assert await page.locator("#mark-form [name=mark] option").all_text_contents() == ["外出"]


async def test_consequences_unfold_under_their_cause() -> None:
    """One row with its number; unfolded it names each place, and one press opens it."""
    async with running_web(told_site()) as web, duty_screen(web) as page:
        cause = web.gateway.raise_alarm(AlarmClass.FAULT, room="0301", title="线路中断")
        for room in ROOMS[1:4]:
            member = web.gateway.raise_alarm(AlarmClass.FAULT, room=room, title="设备失联")
            web.gateway.tell(member.id, "suppressed", SYSTEM, {"by": cause.id})
        await expect(page.locator(ROW)).to_have_count(1)
        await expect(page.locator("#classes .class-fault b")).to_have_text("1")
        await expect(page.locator(f"{ROW} .under button")).to_have_count(0)
        await page.click(f"{ROW} .unfold")
        await expect(page.locator(f"{ROW} .under button")).to_have_count(3)
        await page.click(f"{ROW} .under button >> nth=1")
        await expect(page.locator("#panel-title")).to_contain_text("0303")
        await expect(page.locator("#facts")).to_contain_text("已归入其原因报警")
        await page.click(f"{ROW} .unfold")
        await expect(page.locator(f"{ROW} .under")).to_be_hidden()
        await page.click("#aside > summary")
        await expect(page.locator("#list-suppressed li")).to_have_count(3)


async def test_a_confirmed_fire_says_so_everywhere() -> None:
    """On its row, on the pinned line and in the panel; the one device before that does not."""
    async with running_web(told_site()) as web, duty_screen(web) as page:
        alarm = web.gateway.raise_alarm()
        await page.click(f"{ROW} .open")
        await expect(page.locator("#journal li")).to_have_count(1)
        assert await page.locator("text=火警已确认").count() == 0
        web.gateway.tell(alarm.id, "confirmed", SYSTEM, {"by": "x", "because": "devices"})
        for place in (ROW, "#first", "#facts"):
            await expect(page.locator(place)).to_contain_text("火警已确认")


async def test_after_three_minutes_the_card_for_120_is_up_with_the_address() -> None:
    """Not before, whatever is selected; gone as soon as somebody takes the call."""
    async with running_web(told_site()) as web, duty_screen(web) as page:
        alarm = web.gateway.raise_alarm(AlarmClass.SOS, room="0302", title="一键呼救")
        web.gateway.tell(alarm.id, "escalated", SYSTEM, {"after_s": 60.0})
        await expect(page.locator(ROW)).to_have_count(1)
        await expect(page.locator("#call-bar")).to_be_hidden()
        web.gateway.tell(alarm.id, "escalated", SYSTEM, {"after_s": 180.0})
        await expect(page.locator("#call-bar .address")).to_have_text("阳光花园 3栋2单元3层0302室")
        await expect(page.locator("#call-bar")).to_contain_text("120")
        assert await page.get_attribute("#call-bar .dial", "href") == "tel:120"
        async with web.officer("李姐") as other:
            asked = {"version": alarm.version, "request_id": "request-1"}
            assert (await other.post(verb_path(alarm, "take"), json=asked)).status_code == 200
        await expect(page.locator("#call-bar")).to_be_hidden()


async def test_in_a_drill_nobody_is_told_to_phone_120() -> None:
    """The card comes up as it would, and says that it is a drill; there is nothing to press that dials."""
    async with running_web(told_site()) as web, duty_screen(web) as page:
        alarm = drill_alarm(web, "0302", AlarmClass.SOS)
        web.gateway.tell(alarm.id, "escalated", SYSTEM, {"after_s": 180.0})
        await expect(page.locator("#call-bar")).to_contain_text("演练时不要真拨")
        assert await page.locator("#call-bar a").count() == 0


async def test_a_mark_that_got_lost_is_noticed_by_the_next_beat() -> None:
    """A screen that has missed that a drill has ended loads again by itself."""
    async with running_web(told_site()) as web, duty_screen(web) as page:
        mark(web, Mark.DRILL, "building", "3")
        await expect(page.locator("#test-bar")).to_be_visible()
        subscribers, web.live._subscribers = web.live._subscribers, set()
        mark(web, Mark.DRILL, "building", "3", is_set=False)
        web.live._subscribers = subscribers
        await expect(page.locator("#test-bar")).to_be_hidden(timeout=9000)


@pytest.mark.parametrize(("width", "height"), [(1280, 800), (640, 400), (360, 800)])
async def test_it_fits_and_can_be_pressed(width: int, height: int) -> None:
    """All bars, lists and forms open, at desk, 200 % zoom and telephone: nothing sideways, every button 60 by 60."""
    async with running_web(told_site()) as web, duty_screen(web, "supervisor", width=width, height=height) as page:
        web.gateway.tell(web.gateway.raise_alarm(AlarmClass.SOS).id, "escalated", SYSTEM, {"after_s": 180.0})
        cause = web.gateway.raise_alarm(AlarmClass.FAULT, room="0301")
        member = web.gateway.raise_alarm(AlarmClass.FAULT, room="0302")
        web.gateway.tell(member.id, "suppressed", SYSTEM, {"by": cause.id})
        shelved = web.gateway.raise_alarm(AlarmClass.WARNING)
        data = {"minutes": "30", "reason": "等备件", "until": "2030-01-01T00:00:00+00:00"}
        web.gateway.tell(shelved.id, "shelved", SYSTEM, data)
        drill_alarm(web, "0303")
        mark(web, Mark.DRILL, "building", "3")
        await page.click(f"{ROW}.class-fault .open")
        await page.click("#shelve summary")
        await page.click(f"{ROW} .unfold:visible")
        await page.click("#aside > summary")
        await expect(page.locator("#list-shelved li")).to_be_visible()
        assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        small = await page.evaluate(
            "[...document.querySelectorAll('button, a.dial')].filter(b => b.offsetParent)"
            ".filter(b => b.offsetWidth < 60 || b.offsetHeight < 60).map(b => b.textContent)"
        )
        assert small == []
        texts = "[...document.querySelectorAll('#console *')].filter(e => e.offsetParent && e.children.length === 0)"
        assert await page.evaluate(f"Math.min(...{texts}.map(e => parseFloat(getComputedStyle(e).fontSize)))") >= 18
        names = await page.evaluate("[...document.querySelectorAll('button')].map(b => b.textContent.trim())")
        assert "确认" not in names
