"""The page at a visitor's call: the picture at the door, 开门 with a question before it, and what became of it."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import re
from collections.abc import AsyncIterator
from typing import Any

import pytest
from playwright.async_api import expect

from gateway.model import Actor, AlarmClass, AlarmEvent, OperatorRequest, Reply, Verb
from gateway.rules.alarm import fold
from tests.support_browser import chromium
from tests.support_web import Running, running_web
from tests.test_web_duty import ROW, duty_screen
from tests.test_web_operations import a_site, operated

LI = Actor("李姐", "duty", "console")
PIXEL = base64.b64decode("R0lGODlhAQABAIAAAP///wAAACwAAAAAAQABAAACAkQBADs=")


@pytest.fixture
def _chromium() -> None:
    chromium()


pytestmark = pytest.mark.usefixtures("_chromium")


class Camera:
    """A door's camera that gives one picture, or nothing."""

    def __init__(self) -> None:
        self.works = True
        self.asked: list[str] = []
        self.address = ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.asked.append((await reader.readuntil(b"\r\n\r\n")).decode())
        if self.works:
            writer.write(b"HTTP/1.0 200 OK\r\nContent-Type: image/gif\r\nConnection: close\r\n\r\n" + PIXEL)
        with contextlib.suppress(ConnectionError):
            await writer.drain()
        writer.close()


@contextlib.asynccontextmanager
async def camera() -> AsyncIterator[Camera]:
    found = Camera()
    server = await asyncio.start_server(found.serve, "127.0.0.1", 0)
    found.address = f"http://localhost:{server.sockets[0].getsockname()[1]}/snapshot.gif?width=640"
    async with server:
        yield found


def answering(web: Running, code: str = "") -> list[OperatorRequest]:
    """The gateway accepts what is operated from an alarm (or refuses it by ``code``); gives what it was asked."""
    asked: list[OperatorRequest] = []
    real = web.gateway.submit

    async def submit(request: OperatorRequest) -> Reply:
        if request.verb is not Verb.OPERATE:
            return await real(request)
        asked.append(request)
        detail: dict[str, Any] = {} if code else {"command": operated(len(asked))["id"]}
        if not code:
            web.gateway.operated.append(operated(len(asked)))
        return Reply(request.id, is_accepted=not code, code=code, detail=detail, version=request.version)

    web.gateway.submit = submit  # type: ignore[method-assign]
    return asked


async def test_the_door_is_opened_after_a_question_and_what_became_of_it_is_said() -> None:
    """Nothing goes out at the first press; then: commanded, and only when the door has answered, done."""
    async with running_web(a_site()) as web, duty_screen(web) as page:
        asked = answering(web)
        alarm = web.gateway.raise_alarm(AlarmClass.GAS)
        await page.click(f"{ROW} .open")
        await expect(page.locator("#panel .take-and")).to_be_in_viewport(ratio=1)
        await expect(page.locator("#panel .take-and")).to_have_text("接警并开门")
        web.gateway.tell(alarm.id, "taken", LI, {})
        await page.click("#operate .operate")
        await expect(page.locator("#operate .caption")).to_contain_text("要开门吗?3栋2单元3层0301室")
        await page.click("#operate .operate-no")
        assert asked == []
        said = page.locator("#operate-said")
        for outcome, words in (
            ("done", r"✔ .*设备已执行:开门"),
            ("unconfirmed", "✖ .*设备没有回报"),
            ("failed", "✖ .*没有成功:失败"),
            ("expired", "✖ .*没有成功:超时未执行"),
        ):
            await page.click("#operate .operate")
            await page.click("#operate .operate-yes")
            await expect(said).to_have_text("已下达:开门,等设备回答…")
            web.gateway.operated[-1] |= {"outcome": outcome, "closed_ms": 1_768_442_401_000}
            await expect(said).to_have_text(re.compile(words))
            await expect(said).to_have_class("done" if outcome == "done" else "refused")
        assert [dict(each.args) for each in asked] == [{"point": "3-2-03-0301/smoke/unlock", "value": "true"}] * 4


async def test_one_press_takes_a_call_and_opens_the_door() -> None:
    """Two acts with their own entries, the second of the version that the first made; a second press adds nothing."""
    async with running_web(a_site()) as web, duty_screen(web) as page:
        asked = answering(web)
        alarm = web.gateway.raise_alarm(AlarmClass.GAS)
        await page.click(f"{ROW} .open")
        await page.dblclick("#panel .take-and")
        await expect(page.locator("#operate-said")).to_have_text("已下达:开门,等设备回答…")
        taken = web.gateway.alarms[alarm.id]
        assert (taken.handling.value, taken.taken_by, [each.version for each in asked]) == (
            "taken",
            "王主管",
            [taken.version],
        )
        web.gateway.operated[-1] |= {"outcome": "done", "closed_ms": 1_768_442_401_000}
        await expect(page.locator("#operate-said")).to_have_text(re.compile("✔ .*设备已执行:开门"))


async def test_who_does_not_get_the_call_opens_nothing_with_that_press() -> None:
    """A colleague was faster, by an event that this screen has not seen: his name, and no command."""
    async with running_web(a_site()) as web, duty_screen(web) as page:
        asked = answering(web)
        alarm = web.gateway.raise_alarm(AlarmClass.GAS)
        await page.click(f"{ROW} .open")
        await expect(page.locator("#panel .take-and")).to_be_visible()
        unseen = AlarmEvent(alarm.id, 2, "taken", web.gateway.clock.now().utc, LI, {})
        web.gateway.alarms[alarm.id] = fold(alarm, unseen)
        web.gateway.journal[alarm.id].append(unseen)
        await page.click("#panel .take-and")
        await expect(page.locator("#operate-said")).to_contain_text("李姐")
        assert asked == []


async def test_a_door_refused_after_the_call_was_taken_says_both() -> None:
    """The call is this person's now, the door was not opened."""
    async with running_web(a_site()) as web, duty_screen(web) as page:
        asked = answering(web, "role_not_allowed")
        web.gateway.raise_alarm(AlarmClass.GAS)
        await page.click(f"{ROW} .open")
        await page.click("#panel .take-and")
        await expect(page.locator("#operate-said")).to_have_text(re.compile("已接警,但没有开门:没有执行"))
        assert len(asked) == 1


async def test_a_refusal_is_said_and_nobody_is_offered_what_the_role_may_not() -> None:
    """The gateway's own sentence; another role reads that it may not, and has no button."""
    async with running_web(a_site()) as web:
        answering(web, "role_not_allowed")
        web.gateway.tell(web.gateway.raise_alarm(AlarmClass.GAS).id, "taken", LI, {})
        async with duty_screen(web) as page:
            await page.click(f"{ROW} .open")
            await page.click("#operate .operate")
            await page.click("#operate .operate-yes")
            await expect(page.locator("#operate-said")).to_contain_text("没有执行")
        web.users.users["王主管"] = web.users.users["王主管"]._replace(role="supervisor")
        async with duty_screen(web, "supervisor") as page:
            await page.click(f"{ROW} .open")
            await expect(page.locator("#operate")).to_contain_text("开门:您的账号没有这个权限")
            assert await page.locator("#operate .operate").count() == 0


async def test_the_picture_comes_from_the_door_itself_and_its_absence_is_said_quietly() -> None:
    """Straight from the panel's address, with no word of where the page is; without an answer a line of text."""
    async with camera() as door, running_web(a_site(door.address)) as web, duty_screen(web) as page:
        web.gateway.raise_alarm(AlarmClass.GAS)
        await page.click(f"{ROW} .open")
        await expect(page.locator("#operate img")).to_be_visible()
        await expect(page.locator("#operate .note")).to_have_text(re.compile(r"门口画面 \d\d:\d\d:\d\d"))
        assert door.asked[0].startswith("GET /snapshot.gif?width=640 HTTP")
        assert not re.search("(?i)referer|cookie", door.asked[0])
        door.works = False
        await page.click("#operate .again")
        await expect(page.locator("#operate .note")).to_have_text("取不到门口画面,请用对讲问清楚")
        await expect(page.locator("#operate img")).to_be_hidden()
        door.works = True
        await page.click("#operate .again")
        await expect(page.locator("#operate img")).to_be_visible()
        assert "width=640&_=" in door.asked[-1]


async def test_a_camera_under_the_gateways_own_name_is_not_asked() -> None:
    """A browser sends the session's cookie to every port of a host: to such a camera, too."""
    async with camera() as door:
        ours = door.address.replace("localhost", "127.0.0.1")
        async with running_web(a_site(ours)) as web, duty_screen(web) as page:
            web.gateway.raise_alarm(AlarmClass.GAS)
            await page.click(f"{ROW} .open")
            await expect(page.locator("#operate .note")).to_have_text("取不到门口画面,请用对讲问清楚")
            assert door.asked == []


async def test_another_alarm_has_no_button_and_no_picture_of_this_one() -> None:
    """What belongs to one call is gone with it."""
    async with running_web(a_site()) as web, duty_screen(web) as page:
        web.gateway.tell(web.gateway.raise_alarm(AlarmClass.GAS).id, "taken", LI, {})
        web.gateway.raise_alarm(AlarmClass.FAULT, room="0302")
        await page.click(f"{ROW}.class-gas .open")
        await expect(page.locator("#operate .operate")).to_be_visible()
        await page.click(f"{ROW}.class-fault .open")
        await expect(page.locator("#journal li")).to_have_count(1)
        await expect(page.locator("#operate")).to_be_hidden()
