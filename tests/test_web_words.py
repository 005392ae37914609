"""What the duty officer reads of an alarm: which socket, how much, what the gateway did, who was first."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime

import pytest
from playwright.async_api import expect

from gateway.model import (
    SYSTEM,
    Actor,
    AlarmClass,
    Condition,
    Device,
    DeviceParams,
    Place,
    Point,
    Rule,
    Site,
)
from gateway.web.views import alarm_key
from tests.support_browser import browser_page, chromium, log_in
from tests.support_web import PASSWORD, Running, running_web, small_site, verb_path
from tests.support_words import PLACES

CABINET = "1-1-B1-CP01/ebike-charger"
TEXT = "充电口功率超过 1000 W,已断电"
ROW = "#rows li"


def charging_site() -> Site:
    """The small site and a charging cabinet with ten sockets and a rule on their power."""
    site = small_site()
    points = tuple(
        point
        for n in range(1, 11)
        for point in (
            Point(f"{CABINET}/power.{n}", CABINET, f"power.{n}", "float", unit="W", title=f"{n} 号口功率"),
            Point(f"{CABINET}/on.{n}", CABINET, f"on.{n}", "bool", title=f"{n} 号口通电", is_writable=True),
        )
    )
    place = Place("1-1-B1-CP01", "1", "1", "B1", "CP01")
    cabinet = Device(
        CABINET, "ebike-charger", "充电柜", place, "cabinet", "field", None, points, DeviceParams(None, None)
    )
    overload = Rule(
        "socket-overload", "充电口过载", AlarmClass.WARNING, tuple(each.id for each in points if each.unit),
        Condition("above", 1000), latches=True, text=TEXT, plan=("到现场查看",), outcomes=("已处理",),
    )  # fmt: skip
    return dataclasses.replace(site, devices={**site.devices, CABINET: cabinet}, rules=(*site.rules, overload))


def overload(web: Running, outcome: str | None = "done") -> str:
    """Socket 3 draws too much; its command to cut the power ends as ``outcome``. Gives the alarm's id."""
    alarm_id = f"socket-overload:{CABINET}/power.3:1"
    web.gateway.commanded[alarm_id] = [
        {
            "id": f"{alarm_id}#1/1", "point_id": f"{CABINET}/on.3", "value": "false", "outcome": outcome,
            "readback": "true" if outcome else None, "issued_ms": 1_760_000_000_000,
            "closed_ms": 1_760_000_001_000 if outcome else None, "detail": "",
        }
    ]  # fmt: skip
    data = {
        "rule": "socket-overload", "point": f"{CABINET}/power.3", "device": CABINET, "occurrence": 1,
        "class": AlarmClass.WARNING, "title": "充电口过载", "place": "1-1-B1-CP01", "value": 1043.2,
        "latches": True, "sounds": True,
    }  # fmt: skip
    web.gateway.tell(alarm_id, "raised", SYSTEM, data)
    return alarm_id


async def test_the_api_names_the_socket_and_what_was_commanded() -> None:
    """A program learns point, unit, the rule's text, and each command with what became of it."""
    async with running_web(charging_site()) as web, web.officer() as client:
        key = alarm_key(overload(web))
        detail = (await client.get(f"/api/v1/alarms/{key}")).json()
        alarm, (command,) = detail["alarm"], detail["commands"]
        assert (alarm["socket"], alarm["point_title"], alarm["unit"]) == (3, "3 号口功率", "W")
        assert (alarm["text"], alarm["value"]) == (TEXT, 1043.2)
        assert (command["point"], command["value"], command["readback"]) == (f"{CABINET}/on.3", False, True)
        assert (command["outcome"], command["socket"], command["device_title"]) == ("done", 3, "充电柜")
        listed = (await client.get("/api/v1/alarms")).json()["alarms"]
        assert listed[0]["socket"] == 3


async def test_the_screen_says_which_socket_how_much_and_whether_it_was_cut() -> None:
    """The officer walks to the right socket, and is not told that it is dead while it may be live."""
    chromium()
    async with running_web(charging_site()) as web:
        await web.add_user()
        async with browser_page(web.url) as page:
            await log_in(page, "张师傅", PASSWORD)
            alarm_id = overload(web, outcome=None)
            await expect(page.locator(f"{ROW} .where")).to_have_text("1栋1单元地下1层CP01 充电柜 · 3号口")
            await expect(page.locator(f"{ROW} .what")).to_have_text(f"{TEXT} · 1043.2 W")
            await page.click(f"{ROW} .open")
            await expect(page.locator("#panel-title")).to_contain_text("3号口")
            line = page.locator("#journal li.command")
            await expect(line).to_contain_text("守望 断电 3号口")
            await expect(line).to_contain_text("正在执行")
            web.gateway.commanded[alarm_id] = [{**web.gateway.commanded[alarm_id][0], "outcome": "unconfirmed"}]
            await expect(line.locator(".outcome")).to_have_text("未收到回读")
            await expect(line.locator(".outcome")).to_have_css("color", "rgb(176, 0, 32)")
            await expect(page.locator("#commands .wrong")).to_contain_text("未收到回读 1")


async def test_the_page_says_places_as_the_notices_do() -> None:
    """单元门, not DOOR: row, panel and message must send people to one place."""
    chromium()
    async with running_web() as web, browser_page(web.url) as page:
        said = """async (places) => {
            const { placeName, speak } = await import("/static/words.js");
            const said = ([place, title]) => placeName(place, title);
            const all = (language) => { speak(language, ""); return places.map(said); };
            return [all("zh"), all("en")];
        }"""
        zh, en = await page.evaluate(said, [each[:2] for each in PLACES])
        assert zh == [each[2] for each in PLACES]
        assert en == [each[3] for each in PLACES]


@pytest.mark.parametrize(("title", "said"), [("状态", f"{TEXT} · 状态 3"), ("", TEXT)])
async def test_no_number_is_shown_without_a_unit_or_a_name(title: str, said: str) -> None:
    """A mere "· 3" tells nobody anything: the name of what was measured, or nothing."""
    chromium()
    site = charging_site()
    made = site.devices[CABINET]
    bare = tuple(dataclasses.replace(each, unit="", title=title) for each in made.points)
    site = dataclasses.replace(site, devices={**site.devices, CABINET: dataclasses.replace(made, points=bare)})
    async with running_web(site) as web:
        await web.add_user()
        async with browser_page(web.url) as page:
            await log_in(page, "张师傅", PASSWORD)
            data = {"rule": "socket-overload", "point": f"{CABINET}/power.4", "device": CABINET, "occurrence": 1,
                    "class": AlarmClass.WARNING, "title": "充电口过载", "place": "1-1-B1-CP01", "value": 3,
                    "latches": True, "sounds": True}  # fmt: skip
            web.gateway.tell(f"socket-overload:{CABINET}/power.4:1", "raised", SYSTEM, data)
            await expect(page.locator(f"{ROW} .what")).to_have_text(said)


async def test_a_refusal_is_in_view_wherever_the_pressed_button_is() -> None:
    """Nobody presses 复位 three times because the answer was scrolled away: on a desk and on a telephone."""
    chromium()
    for width, height in ((1280, 800), (360, 800)):
        async with running_web() as web:
            await web.add_user()
            async with browser_page(web.url, width=width, height=height) as page:
                await log_in(page, "张师傅", PASSWORD)
                web.gateway.raise_alarm()
                await page.click(f"{ROW} .open")
                await expect(page.locator("#journal li")).to_have_count(1)
                button = page.locator("button.verb-reset")
                await button.scroll_into_view_if_needed()
                await button.hover()
                await page.mouse.down()
                await expect(page.locator("#message")).to_contain_text("仍在报警")
                await expect(page.locator("#message")).to_be_in_viewport(ratio=1)
                await expect(button).to_be_in_viewport()


async def test_steps_come_first_and_what_is_done_cannot_be_done_again() -> None:
    """What to do stands above the forms; 接警 is off once taken, the closing form goes with 办结."""
    chromium()
    async with running_web() as web:
        await web.add_user()
        async with browser_page(web.url) as page:
            await log_in(page, "张师傅", PASSWORD)
            alarm = web.gateway.raise_alarm()
            await page.click(f"{ROW} .open")
            await expect(page.locator("#panel .plan li")).to_have_count(3)
            order = "(a, b) => a.compareDocumentPosition(b) & Node.DOCUMENT_POSITION_FOLLOWING"
            assert await page.evaluate(f"({order})(document.querySelector('.plan'), document.querySelector('.verbs'))")
            take = page.locator("#panel button.verb-take")
            await expect(take).to_be_enabled()
            officer = Actor("李姐", "duty", "console")
            web.gateway.tell(alarm.id, "taken", officer, {})
            await expect(take).to_be_disabled()
            await expect(page.locator("#panel form.verb-close")).to_be_visible()
            web.gateway.tell(alarm.id, "closed", officer, {"outcome": "误报", "cause": "油烟"})
            await expect(page.locator("#panel form.verb-close")).to_be_hidden()


async def test_who_closes_second_hears_who_closed_first() -> None:
    """Not the last thing that happened to the alarm, but the act that stands in the way, and its hour."""
    async with running_web() as web, web.officer() as client:
        alarm = web.gateway.raise_alarm()
        li = Actor("李姐", "duty", "console")
        seen = web.gateway.tell(alarm.id, "taken", Actor("张师傅", "duty", "console"), {}).version
        web.gateway.tell(alarm.id, "closed", li, {"outcome": "误报", "cause": "油烟"})
        latest = web.gateway.clear(alarm).version
        for version, request_id in ((seen, "request-1"), (latest, "request-2")):
            asked = {"version": version, "request_id": request_id, "outcome": "误报", "cause": "油烟"}
            detail = (await client.post(verb_path(alarm, "close"), json=asked)).json()["detail"]
            assert "李姐" in detail
            assert "办结" in detail
            assert "恢复" not in detail


async def test_losses_have_names_and_keep_their_raw_ones() -> None:
    """Commands that failed and notices that nobody took are listed with the losses, in Chinese."""
    chromium()
    async with running_web() as web:
        await web.add_user()
        web.counters.count("inputs_refused", 3, bus="field", reason="encoding")
        web.counters.count("commands", 2, outcome="unconfirmed")
        web.counters.count("commands", 7, outcome="done")
        web.counters.count("notices", 4, channel="apprise", accepted="false")
        web.counters.count("notices", 5, channel="console", accepted="true")
        async with browser_page(web.url) as page:
            await log_in(page, "张师傅", PASSWORD)
            await page.click("#system > summary")
            body = page.locator("#system-body")
            for text, count in (
                ("现场数据被拒收 field:编码不对", "3"),
                ("命令:未收到回读", "2"),
                ("通知未送出:消息服务", "4"),
            ):
                await expect(body.locator("tr", has_text=text)).to_contain_text(count)
            await expect(body.locator("tr", has_text="编码不对")).to_have_attribute(
                "title", "inputs_refused bus=field reason=encoding"
            )
            await expect(body).not_to_contain_text("已执行")
            assert await page.evaluate("document.getElementById('system').offsetHeight <= innerHeight * 0.4")
            assert await page.evaluate("document.getElementById('alarms').offsetHeight > 100")


async def test_a_test_a_drill_and_a_shelved_alarm_are_told_from_a_real_one() -> None:
    """Whoever stands at the desk must not have to open an alarm to see that it is no real one."""
    chromium()
    async with running_web() as web:
        await web.add_user()
        async with browser_page(web.url) as page:
            await log_in(page, "张师傅", PASSWORD)
            plain = web.gateway.raise_alarm()
            data = web.gateway.journal[plain.id][0].data
            for n, (mark, said) in enumerate((("drill", "演练"), ("walk_test", "走测"), ("commissioning", "调试"))):
                place = {"place": f"3-2-03-040{n}", "marks": [mark]}
                web.gateway.tell(f"{plain.id}{n}", "raised", SYSTEM, {**data, **place})
                row = page.locator(ROW, has_text=f"040{n}")
                await expect(row.locator(".badge")).to_have_text(f"▲ 火警 · {said}")
            await expect(page.locator(ROW, has_text="0301").locator(".badge")).to_have_text("▲ 火警")
            await page.locator(ROW, has_text="0400").locator(".open").click()
            await expect(page.locator("#panel")).to_contain_text("演练")
            until = datetime(2026, 1, 1, 2, 30, tzinfo=UTC)
            shelving = {"until": until.isoformat(), "reason": "等配件", "minutes": 30}
            web.gateway.tell(plain.id, "shelved", Actor("张师傅", "duty", "console"), shelving)
            await expect(page.locator(ROW, has_text="0301")).to_have_count(0)  # it has a list of its own
            await expect(page.locator("#aside-counts")).to_have_text("搁置 1")


async def test_the_sentence_of_120_stands_once_for_each_late_call() -> None:
    """On its card, with the address; where a low screen has no room for another card, on the row itself."""
    chromium()
    async with running_web() as web:
        await web.add_user()
        async with browser_page(web.url) as page:
            await log_in(page, "张师傅", PASSWORD)
            alarm = web.gateway.raise_alarm(AlarmClass.SOS)
            web.gateway.tell(alarm.id, "escalated", SYSTEM, {"stage": 2, "after_s": 60.0, "to": ["family"]})
            await expect(page.locator(ROW)).not_to_contain_text("120")
            web.gateway.tell(alarm.id, "escalated", SYSTEM, {"stage": 3, "after_s": 180.0, "to": ["street"]})
            await expect(page.locator("#call-bar .address")).to_contain_text("3栋2单元3层0301室")
            await expect(page.locator(ROW)).not_to_contain_text("120")
            other = web.gateway.raise_alarm(AlarmClass.SOS, room="0302")
            web.gateway.tell(other.id, "escalated", SYSTEM, {"stage": 3, "after_s": 180.0, "to": ["street"]})
            row = page.locator(ROW, has_text="0302")
            await expect(row).to_contain_text("请拨打 120,报地址 3栋2单元3层0302室")
            web.gateway.tell(alarm.id, "taken", Actor("张师傅", "duty", "console"), {})
            await expect(page.locator("#call-bar .address")).to_contain_text("3栋2单元3层0302室")
            await expect(row).not_to_contain_text("120")
