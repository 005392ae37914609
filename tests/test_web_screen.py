"""The page: time left to respond, places to pick from, words for what was lost, bars that leave room, a flood."""

from __future__ import annotations

import ast
import dataclasses
import re
from pathlib import Path

import pytest
from playwright.async_api import Page, expect

from gateway.model import SYSTEM, Actor, AlarmClass, CommandOutcome, Mark
from gateway.rules.table import EFFECTS, Code
from gateway.web.api import NO_LOSSES
from gateway.web.ports import Health, UplinkHealth
from gateway.web.views import alarm_key
from tests.support_browser import chromium
from tests.support_web import running_web
from tests.test_web_duty import ROW, drill_alarm, duty_screen, mark, told_site

ROOT = Path(__file__).parents[1]
STATIC = ROOT / "gateway" / "web" / "static"


@pytest.fixture
def _chromium() -> None:
    chromium()


pytestmark = pytest.mark.usefixtures("_chromium")


async def test_the_api_says_by_when_somebody_must_have_taken_it() -> None:
    """The moment is the rule's time after the alarm; a rule without a time has none."""
    site = told_site()
    untimed = dataclasses.replace(
        site, rules=tuple(dataclasses.replace(each, respond_within_s=None) for each in site.rules)
    )
    for each, wanted in ((site, 60.0), (untimed, None)):
        async with running_web(each) as web, web.officer() as client:
            alarm = web.gateway.raise_alarm()
            told = (await client.get(f"/api/v1/alarms/{alarm_key(alarm.id)}")).json()["alarm"]
            by = told["respond_by_at"]
            listed = (await client.get("/api/v1/alarms")).json()["alarms"][0]
            assert listed["respond_by_at"] == by
            assert (by is None) == (wanted is None)
            if by is not None:
                assert web.gateway.alarms[alarm.id].raised_at.timestamp() + 60.0 == pytest.approx(_seconds(by))


def _seconds(text: str) -> float:
    from datetime import datetime  # noqa: PLC0415 - here only

    return datetime.fromisoformat(text).timestamp()


async def test_the_time_left_is_counted_down_and_then_up() -> None:
    """On the row and in the panel; taken late is said as late, and nothing is counted for who need not come."""
    site = told_site()
    short = dataclasses.replace(
        site, rules=tuple(dataclasses.replace(each, respond_within_s=3.0) for each in site.rules)
    )
    async with running_web(short) as web, duty_screen(web) as page:
        alarm = web.gateway.raise_alarm()
        limit = page.locator(f"{ROW} .limit")
        await expect(limit).to_have_text(re.compile(r"还剩 [0-3] 秒"))
        await page.click(f"{ROW} .open")
        await expect(page.locator("#respond")).to_contain_text(re.compile("还剩|已超时"))
        await expect(limit).to_have_text(re.compile(r"✖ 已超时 \d+ 秒"), timeout=8000)
        await expect(limit).to_have_css("color", "rgb(176, 0, 32)")
        await expect(limit).to_have_css("background-color", "rgb(255, 255, 255)")
        web.gateway.tell(alarm.id, "taken", Actor("李姐", "duty", "console"), {})
        await expect(limit).to_be_hidden()
        await expect(page.locator("#respond")).to_have_text(re.compile("✖ 接警晚了"))
        other = web.gateway.raise_alarm(room="0302")
        web.gateway.tell(other.id, "taken", Actor("李姐", "duty", "console"), {})
        await page.locator(ROW, has_text="0302").locator(".open").click()
        await expect(page.locator("#respond")).to_have_text(re.compile(r"^接警用了 \d 秒$"))


async def test_the_place_of_a_mark_is_picked_not_typed() -> None:
    """Scope, building, a word of the place, one press; what was pressed is said in words, and is marked."""
    async with running_web(told_site()) as web, duty_screen(web, "supervisor") as page:
        await page.click("#aside > summary")
        form = page.locator("#mark-form")
        await form.locator("[name=mark]").select_option("drill")
        await form.locator("[name=scope]").select_option("building")
        await expect(page.locator("#mark-within")).to_be_hidden()
        await expect(page.locator("#mark-places button")).to_have_text(re.compile("3栋.*11 台"))
        await form.locator("[name=scope]").select_option("unit")
        await page.select_option("#mark-form [name=within]", "building:3")
        await expect(page.locator("#mark-places button")).to_have_text(
            re.compile("3栋2单元.*11 台")
        )  # no longer the building
        await page.click("#mark-places button")
        await expect(page.locator("#mark-places p")).to_have_text("已选:3栋2单元 · 11 台")
        await form.locator("[name=mark]").select_option("out_of_service")
        await form.locator("[name=scope]").select_option("device")
        await expect(page.locator("#mark-places button")).to_have_count(11)
        await page.fill("#mark-form [name=key]", "0307")
        await expect(page.locator("#mark-places button")).to_have_count(1)
        await page.click("#mark-places button")
        assert await page.input_value("#mark-form [name=key]") == "3-2-03-0307/smoke"
        await expect(page.locator("#mark-places p")).to_contain_text("已选:3栋2单元3层0307室 · 独立式感烟报警器")
        await page.fill("#mark-form [name=reason]", "换电池")
        await page.click("#mark-form button.act")
        await expect(page.locator("#mark-said")).to_have_text("已设置:检修")
        assert [each.key for each in web.gateway.kept] == ["3-2-03-0307/smoke"]
        await page.fill("#mark-form [name=key]", "不存在")
        await expect(page.locator("#mark-places p")).to_contain_text("没有找到")


async def test_a_note_is_kept_with_the_alarm() -> None:
    """What somebody has found out is in the history, under the own name; an empty one is not sent."""
    async with running_web(told_site()) as web, duty_screen(web) as page:
        alarm = web.gateway.raise_alarm()
        await page.click(f"{ROW} .open")
        await expect(page.locator("#journal li")).to_have_count(1)
        await page.click("form.verb-note button")
        await expect(page.locator("#message")).to_have_text("请先写备注。")
        await page.fill("[name=note]", "邻居说在炸东西")
        await page.click("form.verb-note button")
        await expect(page.locator("#journal")).to_contain_text("邻居说在炸东西")
        assert web.gateway.alarms[alarm.id].note == "邻居说在炸东西"


@pytest.mark.parametrize(("width", "height"), [(1366, 768), (1920, 1080)])
async def test_with_every_bar_up_nothing_slides_under_the_footer(width: int, height: int) -> None:
    """The page itself does not scroll; the pinned fire, the top row with its button and the statement stay in view."""
    async with running_web(told_site()) as web, duty_screen(web, "supervisor", width=width, height=height) as page:
        web.gateway.raise_alarm()
        for room in ("0302", "0303", "0304"):
            late = web.gateway.raise_alarm(AlarmClass.SOS, room=room)
            web.gateway.tell(late.id, "escalated", SYSTEM, {"after_s": 180.0})
        for kind, scope, key in ((Mark.DRILL, "building", "3"), (Mark.WALK_TEST, "unit", "3-2")):
            mark(web, kind, scope, key)
        drill_alarm(web, "0305")
        web.gateway.state = Health(("store",), {"field": False}, {"p": UplinkHealth(False, 9, None)}, False)
        await expect(page.locator("#trouble-bar")).to_be_visible()
        await page.click(f"{ROW} .open")
        for opened in ("", "aside", "system", "passes"):
            await page.evaluate(
                f"document.querySelectorAll('#lower details').forEach(e => e.open = e.id === '{opened}')"
            )
            assert await page.evaluate("document.documentElement.scrollHeight <= innerHeight")
            footer = "document.querySelector('footer').getBoundingClientRect()"
            assert await page.evaluate(
                f"document.getElementById('lower').getBoundingClientRect().bottom <= {footer}.top"
            )
            for each in ("#first button", f"{ROW} .take >> nth=0", "footer .statement", "#call-bar .dial >> nth=0"):
                await expect(page.locator(each)).to_be_in_viewport(ratio=1)
            middle = "(r => [r.x + r.width / 2, r.y + r.height / 2])(e.getBoundingClientRect())"
            is_on_top = f"e => document.elementFromPoint(...{middle}) === e"
            assert await page.locator(f"{ROW} .take >> nth=0").evaluate(is_on_top)


async def in_sight(page: Page, button: str) -> None:
    """The button is wholly there and nothing lies over it."""
    await expect(page.locator(button)).to_be_in_viewport(ratio=1)
    middle = "(r => [r.x + r.width / 2, r.y + r.height / 2])(e.getBoundingClientRect())"
    assert await page.locator(button).evaluate(f"e => document.elementFromPoint(...{middle}) === e"), button


@pytest.mark.parametrize(("width", "height"), [(1366, 768), (390, 844)])
async def test_the_next_step_is_in_sight_without_scrolling(width: int, height: int) -> None:
    """接警, then 核实, then 办结, then 复位: each at once, and also when the panel was scrolled to its end."""
    async with running_web(told_site()) as web, duty_screen(web, width=width, height=height) as page:
        alarm = web.gateway.raise_alarm()
        web.gateway.state = Health(("store",), {"field": False}, {"p": UplinkHealth(False, 9, None)}, False)
        await expect(page.locator("#trouble-bar")).to_be_visible()
        await page.click(f"{ROW} .open")
        for kind, fields, button in (
            ("", {}, "#panel button.verb-take"),
            ("taken", {}, "#panel button.verb-verify.real"),
            ("verified", {"real": True}, "#panel form button.verb-close"),
            ("closed", {"outcome": "误报", "cause": "做饭"}, "#panel button.verb-reset"),
        ):
            if kind:
                web.gateway.tell(alarm.id, kind, SYSTEM, fields)
            await expect(page.locator("#journal li")).to_have_count(web.gateway.alarms[alarm.id].version)
            await in_sight(page, button)
            scroller = "(document.querySelector('#panel .scroll'))"
            await page.evaluate(f"{scroller}.scrollTop = {scroller}.scrollHeight")
            await in_sight(page, button)
            await page.evaluate(f"{scroller}.scrollTop = 0")


APART = """(names) => {
    const boxes = names.map((each) => document.querySelector(each).getBoundingClientRect());
    const apart = (one, other) => one.bottom <= other.top || other.bottom <= one.top;
    return boxes.every((one, n) => boxes.slice(n + 1).every((other) => apart(one, other)));
}"""


@pytest.mark.parametrize(("width", "height"), [(390, 844), (768, 1024)])
async def test_what_is_said_after_a_press_covers_neither_address_nor_next_step(width: int, height: int) -> None:
    """On a telephone it stands between the address and what to do; further down it is above the next step."""
    async with running_web(told_site()) as web, duty_screen(web, width=width, height=height) as page:
        alarm = web.gateway.raise_alarm()
        await page.click(f"{ROW} .open")
        await expect(page.locator("#journal li")).to_have_count(1)
        web.gateway.tell(alarm.id, "taken", SYSTEM, {})
        await expect(page.locator("#panel")).to_have_class(re.compile("next-verify"))
        await page.locator("#panel button.verb-arrive").evaluate("each => each.click()")  # scrolls nothing by itself
        await expect(page.locator("#message")).to_have_text("已执行:到场")
        for each in ("#panel-title", "#message", "#response"):
            await expect(page.locator(each)).to_be_in_viewport(ratio=1)
        assert await page.evaluate(APART, ["#panel .heading", "#message", "#response", "#facts"])
        await page.locator("#journal li").last.scroll_into_view_if_needed()
        await in_sight(page, "#panel button.verb-verify.real")
        await expect(page.locator("#message")).to_be_in_viewport(ratio=1)
        assert await page.evaluate(APART, ["#message", "#panel .group.verb-verify"])


@pytest.mark.parametrize(("width", "height"), [(1366, 768), (1024, 768)])
async def test_with_the_form_of_marks_open_under_a_card_nothing_is_cut(width: int, height: int) -> None:
    """The card for 120 and the bar about the sound stand whole; the form is what scrolls."""
    async with running_web(told_site()) as web, duty_screen(web, "supervisor", width=width, height=height) as page:
        late = web.gateway.raise_alarm(AlarmClass.SOS, room="0302")
        web.gateway.tell(late.id, "escalated", SYSTEM, {"after_s": 180.0})
        await expect(page.locator("#call-bar")).to_be_visible()
        await page.click(f"{ROW} .open")
        await page.click("#aside > summary")
        await page.locator("#mark-form [name=mark]").select_option("drill")
        bars = page.locator("#bars")
        assert await bars.evaluate("e => e.scrollHeight <= e.clientHeight")
        for each in ("#sound-on", "#call-bar .dial", "#panel button.verb-take"):
            await in_sight(page, each)
        await page.locator("#mark-form button.act").scroll_into_view_if_needed()
        await expect(page.locator("#mark-form button.act")).to_be_in_viewport(ratio=0.98)  # its box ends between pixels


async def test_a_flood_is_drawn_in_order_and_a_row_that_goes_down_moves_alone() -> None:
    """After any change the rows are those of the duty order, and the button that has the focus keeps it."""
    async with running_web(told_site()) as web, duty_screen(web) as page:
        rooms = [f"{n:04d}" for n in range(301, 312)]
        alarms = [web.gateway.raise_alarm(AlarmClass.FAULT, room=each) for each in rooms]
        await expect(page.locator(ROW)).to_have_count(11)
        await page.evaluate(
            "window.added = 0;"
            "new MutationObserver(all => { for (const each of all) window.added += each.addedNodes.length; })"
            ".observe(document.getElementById('rows'), {childList: true})"
        )
        await page.locator(f"{ROW} .open").nth(2).focus()
        web.gateway.tell(alarms[2].id, "taken", Actor("李姐", "duty", "console"), {})
        await expect(page.locator(f"{ROW} .where").last).to_contain_text("0303")
        assert await page.evaluate("window.added") == 1
        assert "0303" in str(await page.evaluate("document.activeElement.textContent"))
        for place in (9, 0, 5):
            web.gateway.tell(alarms[place].id, "taken", Actor("李姐", "duty", "console"), {})
        web.gateway.raise_alarm(room="0311")
        wanted = ["0311", "0302", "0304", "0305", "0307", "0308", "0309", "0311", "0301", "0303", "0306", "0310"]
        await expect(page.locator(f"{ROW} .where")).to_have_text([re.compile(f"{each}室") for each in wanted])


def names_in(table: str, file: str = "losses.js") -> set[str]:
    """The keys of one table of words."""
    text = (STATIC / file).read_text("utf-8")
    found = re.search(rf"export const {table} = {{\n(.*?)\n}};", text, re.DOTALL)
    assert found
    return set(re.findall(r"^  (\w+):", found[1], re.MULTILINE))


def counted() -> tuple[set[str], set[str]]:
    """Every counter in the source, and every reason that is written out."""
    names, reasons = set(), set()
    for path in [*ROOT.glob("gateway/**/*.py"), *ROOT.glob("cloud_bridge/**/*.py")]:
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if not isinstance(node, ast.Call):
                continue
            name = getattr(node.func, "attr", getattr(node.func, "id", ""))
            texts = [each.value for each in node.args if isinstance(each, ast.Constant) and isinstance(each.value, str)]
            owner = ast.unparse(node.func)
            if name == "count" and "counters" in owner:
                names.update(texts[:1])
                reasons |= {
                    str(each.value.value)
                    for each in node.keywords
                    if each.arg == "reason" and isinstance(each.value, ast.Constant)
                }
            if name in {"BadPayload", "NoAnswer", "_refuse", "count_error", "fault"} and "drivers" in str(path):
                reasons.update(texts[:1])
    return names, reasons


def test_every_count_of_a_loss_has_words() -> None:
    """No raw code in 拒收与丢弃: a new counter, reason or refusal needs its words here before it is merged."""
    names, reasons = counted()
    assert {"inputs_refused", "modbus_errors", "notices_given_up", "expressions_unanswered"} <= names
    assert {"encoding", "wrong_unit", "disk", "lane_full"} <= reasons
    assert names - NO_LOSSES == names_in("COUNTERS")
    assert reasons <= names_in("CAUSES")
    assert {str(each) for each in Code} <= names_in("CODES")
    assert {f"exception_{code:02x}" for code in range(1, 0x0C) if code != 9} <= names_in("CAUSES")


def test_every_code_on_the_page_has_words() -> None:
    """Kinds of events, outcomes of commands, marks and channels are told in words, in both languages."""
    assert set(EFFECTS) <= names_in("KINDS", "names.js")
    assert {each.value for each in CommandOutcome} <= names_in("OUTCOMES", "names.js")
    assert {each.value for each in Mark} <= names_in("MARKS", "names.js")
    assert {each.value for each in AlarmClass} == names_in("CLASSES", "names.js")
    from gateway.config.channels import CHANNELS  # noqa: PLC0415 - the only word of the configuration here

    assert set(CHANNELS) <= names_in("CHANNELS", "names.js")
    for path in STATIC.glob("*.js"):
        used = set(re.findall(r"\bword\(\"(\w+)\"", path.read_text("utf-8")))
        text = (STATIC / "words.js").read_text("utf-8")
        missing = {each for each in used if f"  {each}: [" not in text}
        assert not missing, (path.name, missing)
