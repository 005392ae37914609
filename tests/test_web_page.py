"""The page in a real browser, as duty staff see it."""

from __future__ import annotations

import asyncio
import contextlib
import re
import signal
import sys
from collections.abc import AsyncIterator

import pytest
from playwright.async_api import Page, expect

from gateway.model import AlarmClass, DeviceStatus, Reading, Step
from gateway.web.ports import Health, UplinkHealth
from tests.support_browser import browser_page, chromium, log_in
from tests.support_web import PASSWORD, SETUP_CODE, Running, running_web, small_site

pytestmark = pytest.mark.usefixtures("_chromium")

ROW = "#rows li"
NAMES_OF_BUTTONS = (
    "[...document.querySelectorAll('button, input[type=submit], [role=button]')].map(b => b.textContent.trim())"
)


@pytest.fixture
def _chromium() -> None:
    chromium()


@contextlib.asynccontextmanager
async def duty_screen(
    web: Running, name: str = "张师傅", *, width: int = 1280, height: int = 800
) -> AsyncIterator[Page]:
    """A logged-in duty screen."""
    await web.add_user(name)
    async with browser_page(web.url, width=width, height=height) as page:
        await log_in(page, name, PASSWORD)
        yield page


async def test_the_first_start_asks_for_the_code_and_then_shows_the_screen() -> None:
    """Nobody has to know a default password."""
    async with running_web() as web, browser_page(web.url) as page:
        for field, text in (
            ("code", SETUP_CODE),
            ("name", "李姐"),
            ("password", PASSWORD),
            ("again", "something else"),
        ):
            await page.fill(f"#entry [name={field}]", text)
        await page.click("#entry-go")
        await expect(page.locator("#entry-error")).to_have_text("两次密码不一样,请重新输入。")
        await page.fill("#entry [name=again]", PASSWORD)
        await page.click("#entry-go")
        await expect(page.locator("#person")).to_have_text("李姐")


async def test_a_wrong_password_is_said_and_forgotten() -> None:
    """A typing error is a sentence in Chinese, not a blank page."""
    async with running_web() as web:
        await web.add_user()
        async with browser_page(web.url) as page:
            await page.fill("#entry [name=name]", "张师傅")
            await page.fill("#entry [name=password]", "wrong password")
            await page.click("#entry-go")
            await expect(page.locator("#entry-error")).to_contain_text("姓名或密码不对")
            await log_in(page, "张师傅", PASSWORD)


async def test_an_alarm_appears_within_two_seconds_and_is_handled_to_the_end() -> None:
    """接警, 确认火警 refused where it must be, 办结, 复位 by holding: every step with its words."""
    async with running_web() as web, duty_screen(web) as page:
        await expect(page.locator("#quiet")).to_contain_text("无报警")
        alarm = web.gateway.raise_alarm()
        await expect(page.locator(ROW)).to_have_count(1, timeout=2000)
        await expect(page.locator(ROW)).to_contain_text("3栋2单元3层0301室")
        await expect(page.locator("#first")).to_contain_text("首火警")
        await expect(page).to_have_title("(1)火警 3-2-03-0301")
        await page.wait_for_timeout(600)  # a row that has just moved takes no click
        await page.click(f"{ROW} .take")
        await expect(page.locator("#message")).to_have_text("已执行:接警")
        await page.click("#panel button:has-text('误报')")
        await expect(page.locator("#facts")).to_contain_text("核实:误报")
        await hold(page, 2300)
        await expect(page.locator("#message")).to_contain_text("仍在报警")
        await expect(page.locator("#message")).to_contain_text("办结")
        web.gateway.clear(alarm)
        await page.click("#panel button.verb-close")
        await expect(page.locator("#message")).to_have_text("办结要选结果、写原因。")
        await page.select_option("select[name=outcome]", "误报")
        await page.fill("[name=cause]", "厨房油烟")
        await page.click("#panel button.verb-close")
        await expect(page.locator("#facts")).to_contain_text("已办结 · 误报")
        await expect(page.locator("#message")).to_have_text("已执行:办结")
        await hold(page, 300)
        await expect(page.locator("#message")).to_have_text("复位要按住 2 秒再松开。")
        assert web.live.alarms
        await hold(page, 2300)
        await expect(page.locator(ROW)).to_have_count(0)
        await expect(page.locator("#facts")).to_contain_text("已结束")
        await expect(page.locator("#journal li")).to_have_count(6)


async def hold(page: Page, milliseconds: int) -> None:
    await page.hover("button.verb-reset")
    await page.mouse.down()
    await page.wait_for_timeout(milliseconds)
    await page.mouse.up()


async def test_of_two_screens_the_second_hears_who_took_the_alarm() -> None:
    """Two desks press 接警 in the same moment: one is told the other's name."""
    async with running_web() as web, duty_screen(web, "张师傅") as zhang, duty_screen(web, "李姐") as li:
        alarm = web.gateway.raise_alarm()
        for page in (zhang, li):
            await page.click(f"{ROW} .open")
        web.gateway.gate.clear()
        for page in (zhang, li):
            await page.click("#panel button.verb-take")
        web.gateway.gate.set()
        texts = []
        for page in (zhang, li):
            await expect(page.locator("#message")).to_have_text(re.compile("已执行|没有执行"))
            texts.append(await page.text_content("#message"))
        winner = web.gateway.alarms[alarm.id].taken_by
        assert sum(text == "已执行:接警" for text in texts) == 1
        assert sum(winner in str(text) and "没有执行" in str(text) for text in texts) == 1


@pytest.mark.slow
async def test_a_frozen_gateway_shows_within_six_and_ten_seconds() -> None:
    """The open connection proves nothing: the bar comes, then the grey page, and no button can be pressed."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.support_web", stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    try:
        async with asyncio.timeout(15):
            url = (await process.stdout.readline()).decode().strip()
        async with browser_page(url) as page:
            await log_in(page, "张师傅", PASSWORD)
            await page.click(f"{ROW} .open")
            process.send_signal(signal.SIGSTOP)
            await page.wait_for_selector("body[data-fresh=stale]", timeout=9000)
            await expect(page.locator("#stale-bar")).to_contain_text("连接中断")
            assert await page.locator("button.act:visible:not(:disabled)").count() == 0
            await expect(page).to_have_title("⚠连接中断")
            await page.wait_for_selector("body[data-fresh=dead]", timeout=6000)
            await expect(page.locator("#dead")).to_contain_text(re.compile(r"以下是 \d\d:\d\d:\d\d 的情况"))
            process.send_signal(signal.SIGCONT)
            await page.wait_for_selector("body[data-fresh=fresh]", timeout=10_000)
            await expect(page.locator("#dead")).to_be_hidden()
            assert await page.locator("button.act:visible:disabled").count() == 0
    finally:
        process.send_signal(signal.SIGCONT)
        process.kill()
        await process.wait()


@pytest.mark.slow
async def test_a_gateway_that_answers_but_no_longer_beats_is_stale_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reconnecting and getting the old picture again does not make it a live one."""
    async with running_web() as web, duty_screen(web) as page:
        monkeypatch.setattr(web.live, "beat", lambda *_: None)
        await page.wait_for_selector("body[data-fresh=dead]", timeout=15_000)


async def test_a_change_that_got_lost_is_noticed_by_the_next_beat() -> None:
    """A screen that shows another number of alarms than the gateway has loads again by itself."""
    async with running_web() as web, duty_screen(web) as page:
        subscribers, web.live._subscribers = web.live._subscribers, set()
        web.gateway.raise_alarm()
        web.live._subscribers = subscribers
        await expect(page.locator(ROW)).to_have_count(1, timeout=9000)


async def test_unknown_is_shown_and_never_called_quiet() -> None:
    """After a start nothing has been heard: the screen says how many, and no text claims that all is well."""
    async with running_web(small_site(rooms=["0301", "0302", "0303"])) as web, duty_screen(web) as page:
        await expect(page.locator("#devices")).to_contain_text("状态未知3")
        await expect(page.locator("#quiet")).to_contain_text("状态未知 3")
        now = web.gateway.clock.now()
        reading = Reading("3-2-03-0301/smoke/alarm", False, now.utc, now.utc)
        lost = DeviceStatus("3-2-03-0302/smoke", is_online=False, at=now.utc, reason="12 小时没有数据")
        web.live.apply(Step(now, readings=[reading], statuses=[lost]))
        await expect(page.locator("#devices")).to_contain_text("状态未知1")
        await expect(page.locator("#devices")).to_contain_text("离线1")
        await expect(page.locator("#devices")).to_contain_text("在线1/3")
        await page.click("#devices .devices-offline button")
        await expect(page.locator("#system-body")).to_contain_text("12 小时没有数据")
        assert not re.search("一切正常|无异常", await page.content())


async def test_no_button_says_confirm_alone_and_the_statement_is_always_there() -> None:
    """确认 alone means an established fire; and nobody may take this screen for the fire system."""
    async with running_web() as web, duty_screen(web) as page:
        for each in (AlarmClass.FIRE, AlarmClass.SOS, AlarmClass.FAULT):
            alarm = web.gateway.raise_alarm(each)
            await page.click(f"{ROW}.class-{each} .open")
            await expect(page.locator("#facts")).to_contain_text(alarm.title)
            names = await page.evaluate(NAMES_OF_BUTTONS)
            assert len(names) > 10
            assert "确认" not in names
            assert ("确认火警" in names) == (each is AlarmClass.FIRE)
            assert ("确认真实" in names) == (each is not AlarmClass.FIRE)
        await page.evaluate("scrollTo(0, 1e6)")
        await expect(page.locator("footer .statement")).to_be_in_viewport()
        await expect(page.locator("footer .statement")).to_have_text("辅助监测,不替代消防系统")


async def test_the_statement_is_on_print_too() -> None:
    """A printed page is taken for a document: it says that this is not the fire system, in both languages."""
    async with running_web() as web, duty_screen(web) as page:
        web.gateway.raise_alarm()
        await page.emulate_media(media="print")
        await expect(page.locator("footer .statement")).to_be_visible()
        await expect(page.locator("footer .statement")).to_have_text("辅助监测,不替代消防系统")
        await expect(page.locator("#sound-bar")).to_be_hidden()


async def test_classes_that_must_be_told_apart_sound_apart() -> None:
    """Every class but maintenance has a tone of its own; a fault shares neither sound nor pitch with a fire."""
    async with running_web() as web, duty_screen(web) as page:
        patterns = await page.evaluate("import('/static/sound.js').then((sound) => sound.PATTERNS)")
    assert patterns.keys() == set(AlarmClass) - {AlarmClass.MAINTENANCE}
    assert len({str(each) for each in patterns.values()}) == len(patterns)
    fire, fault, call = (patterns[each] for each in ("fire", "fault", "sos"))
    assert len({each["type"] for each in (fire, fault, call)}) == 3
    assert all(high < fire["tones"][0][1] for _, high, *_ in fault["tones"])
    assert patterns["warning"]["every"] == max(each["every"] for each in patterns.values())


async def test_text_from_devices_is_only_text() -> None:
    """A device that is named like a script is shown by that name, and nothing runs."""
    nasty = "<img src=x onerror=\"document.body.dataset.hacked='1'\"><script>document.body.dataset.hacked=1</script>"
    async with running_web(small_site(title=nasty)) as web, duty_screen(web, "<b>张</b>") as page:
        web.gateway.raise_alarm(title=nasty)
        web.gateway.state = Health((nasty,), {nasty: False}, {nasty: UplinkHealth(is_up=False, backlog=1)})
        web.counters.count("inputs_refused", reason=nasty)
        await page.click(f"{ROW} .open")
        await page.click("#panel button.verb-take")
        await expect(page.locator("#message")).to_have_text("已执行:接警")
        await page.click("#system > summary")
        await expect(page.locator("#system-body")).to_contain_text("onerror")
        await expect(page.locator(ROW)).to_contain_text(nasty)
        await expect(page.locator("#trouble-bar")).to_contain_text("onerror")
        assert await page.locator("img, b:text-is('张'), body[data-hacked]").count() == 0


async def test_what_is_being_typed_survives_a_burst_of_other_alarms() -> None:
    """Twenty alarms in one second: all are listed, the first stays pinned, the half-written cause stays written."""
    rooms = [f"{n:04d}" for n in range(301, 321)]
    async with running_web(small_site(rooms=rooms)) as web, duty_screen(web) as page:
        first = web.gateway.raise_alarm(room=rooms[0])
        await page.click(f"{ROW} .open")
        await page.select_option("select[name=outcome]", "误报")
        await page.type("[name=cause]", "厨房")
        for room in rooms[1:]:
            web.gateway.raise_alarm(room=room)
        await expect(page.locator(ROW)).to_have_count(20, timeout=2000)
        await page.keyboard.type("油烟")
        assert await page.input_value("[name=cause]") == "厨房油烟"
        assert await page.input_value("[name=outcome]") == "误报"
        await expect(page.locator("#first")).to_contain_text("0301")
        await expect(page.locator("#classes .class-fire b")).to_have_text("20")
        assert first.id in web.live.alarms


async def test_sound_asks_to_be_heard_and_silence_changes_no_alarm() -> None:
    """The red bar stays until somebody says 听到了; F2 quiets this screen only, and a new alarm sounds again."""
    async with running_web() as web, duty_screen(web) as page:
        await expect(page.locator("#sound-bar")).to_contain_text("声音未启用,听不到报警")
        await page.click("#sound-on")
        await page.click("#sound-not-heard")
        await expect(page.locator("#sound-bar")).to_contain_text("音箱")
        await page.click("#sound-on")
        await page.click("#sound-heard")
        await expect(page.locator("#sound-bar")).to_be_hidden()
        alarm = web.gateway.raise_alarm()
        await expect(page.locator("#mute")).to_have_class("loud")
        await page.keyboard.press("F2")
        await expect(page.locator("#mute")).not_to_have_class("loud")
        assert web.gateway.alarms[alarm.id].version == 1
        web.gateway.raise_alarm(room="0302")
        await expect(page.locator("#mute")).to_have_class("loud", timeout=2000)
        await page.reload()
        await expect(page.locator("#sound-bar")).to_be_visible()


async def test_bad_input_is_on_the_page() -> None:
    """What the gateway refused is there to see, by reason."""
    async with running_web() as web, duty_screen(web) as page:
        web.counters.count("inputs_refused", 3, bus="field", reason="bad_json")
        await page.click("#system > summary")
        await expect(page.locator("#system-body tr", has_text="field:不是 JSON")).to_contain_text("3")


async def test_a_supervisor_adds_a_colleague_who_then_logs_in() -> None:
    """Everybody has an own name in the records, without a command line."""
    async with running_web() as web:
        await web.add_user("主任", "supervisor")
        async with browser_page(web.url) as page:
            await log_in(page, "主任", PASSWORD)
            await page.click("#system > summary")
            await page.fill("#people [name=name]", "李姐")
            await page.fill("#people [name=password]", PASSWORD)
            await page.click("#people button")
            await expect(page.locator("#people-said")).to_have_text("已添加:李姐")
            await page.click("#logout")
            await log_in(page, "李姐", PASSWORD)
            await expect(page.locator("#person")).to_have_text("李姐")
            await page.evaluate("document.getElementById('system').open = true")
            await expect(page.locator("#people")).to_be_hidden()
        assert web.users.users["李姐"].role == "duty"


async def test_english_is_one_press_away_and_stays() -> None:
    """A supervisor who reads English gets English, also in refusals and after a reload."""
    async with running_web() as web, duty_screen(web) as page:
        web.gateway.raise_alarm()
        await page.click("header button.language")
        await page.click(f"{ROW} .open")
        await page.click("#panel button:has-text('Real fire')")
        await expect(page.locator("#message")).to_have_text("Not done: nobody has taken this alarm. Take it first.")
        await page.reload()
        await expect(page.locator("#alarms-title")).to_have_text("Alarms")


async def test_logging_out_shows_the_log_in_again() -> None:
    """After 退出 nothing of the site is on the screen."""
    async with running_web() as web, duty_screen(web) as page:
        web.gateway.raise_alarm()
        await page.click("#logout")
        await expect(page.locator("#entry")).to_be_visible()
        await expect(page.locator("#console")).to_be_hidden()


@pytest.mark.parametrize(("width", "height"), [(1280, 800), (640, 400), (360, 800)])
async def test_it_fits_and_can_be_pressed(width: int, height: int) -> None:
    """Desk, 200 % zoom and telephone: nothing to scroll sideways, every button at least 60 by 60."""
    async with running_web() as web, duty_screen(web, width=width, height=height) as page:
        for each in AlarmClass:
            web.gateway.raise_alarm(each)
        await expect(page.locator(ROW)).to_have_count(len(AlarmClass))
        await page.click(f"{ROW}.class-fire .open")
        await expect(page.locator("#journal li")).to_have_count(1)
        assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        small = await page.evaluate(
            "[...document.querySelectorAll('button')].filter(b => b.offsetParent)"
            ".filter(b => b.offsetWidth < 60 || b.offsetHeight < 60).map(b => b.textContent)"
        )
        assert small == []
        texts = "[...document.querySelectorAll('#console *')].filter(e => e.offsetParent && e.children.length === 0)"
        assert await page.evaluate(f"Math.min(...{texts}.map(e => parseFloat(getComputedStyle(e).fontSize)))") >= 18
        assert (
            await page.evaluate("parseFloat(getComputedStyle(document.querySelector('#rows .where')).fontSize)") >= 24
        )
