"""The desk's page as a channel: delivered when a page has it, a fault when nobody is there, and then another way."""

from __future__ import annotations

import asyncio
from collections.abc import MutableMapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from gateway.clock import ManualClock
from gateway.counters import Counters
from gateway.model import (
    AlarmClass,
    Calendar,
    Condition,
    DeviceStatus,
    Notice,
    NoticeResult,
    Recipient,
    Step,
    Tell,
    Verb,
)
from gateway.notify.channels import Channels, Console
from gateway.web.live import LiveView
from gateway.web.stream import EventStream
from tests.support_core import until
from tests.support_rules import Player, device, now, rule, site
from tests.support_web import running_web

PEOPLE = {
    "duty": Recipient("duty", "值班室", {"console": "", "wecom": "file:/nowhere", "modem": "10086|port=/dev/none"}),
    "zhang": Recipient("zhang", "张", {"sms": "x"}),
}


class Desk:
    """A live view, its channels, and pages that open and close."""

    def __init__(self, *, notice_s: float = 5.0, empty_s: float = 5.0) -> None:
        self.live = LiveView(Counters())
        self.statuses: list[DeviceStatus] = []
        self.channels = Channels(
            replace(site([], []), recipients=PEOPLE),
            ManualClock(now(0)),
            report=self.statuses.append,
            console=Console(self.live, notice_s=notice_s, empty_s=empty_s),
        )
        self.frames: list[bytes] = []
        self.may_send = asyncio.Event()
        self.may_send.set()
        self._pages: list[asyncio.Task[None]] = []

    def open(self) -> None:
        subscriber = self.live.subscribe("s", now(0).utc + timedelta(days=1))
        assert subscriber is not None
        self._pages.append(asyncio.create_task(EventStream(self.live, subscriber)({}, self._receive, self._send)))

    async def close(self) -> None:
        for each in self._pages:
            each.cancel()
        await asyncio.gather(*self._pages, return_exceptions=True)
        self._pages = []

    async def send(self) -> NoticeResult:
        return await self.channels.send(Notice("k", "a", "raised", "console", "duty", "【火警】"))

    async def _receive(self) -> dict[str, str]:
        await asyncio.Event().wait()
        return {}

    async def _send(self, message: MutableMapping[str, Any]) -> None:
        await self.may_send.wait()
        self.frames.append(message.get("body", b""))


async def test_delivered_when_a_page_has_it_and_not_before() -> None:
    """A page is open but its frame has not left: still sending; when it has left: delivered."""
    desk = Desk()
    desk.open()
    await until(lambda: any(b"snapshot" in each for each in desk.frames))
    desk.may_send.clear()
    desk.live.load(["x"])  # something to show
    notice = asyncio.create_task(desk.send())
    for _ in range(20):
        await asyncio.sleep(0)
    assert not notice.done()
    desk.may_send.set()
    result = await notice
    await desk.close()
    assert (result.is_accepted, result.state) == (True, "delivered")
    assert any(b"event: reload" in each for each in desk.frames)


async def test_a_page_that_opens_in_time_takes_it() -> None:
    """After a restart the page is back within seconds: its snapshot holds the alarm."""
    desk = Desk()
    notice = asyncio.create_task(desk.send())
    await asyncio.sleep(0)
    desk.open()
    assert (await notice).state == "delivered"
    await desk.close()


async def test_a_page_that_has_gone_delivers_nothing() -> None:
    """It had everything, and is closed: the next notice is not delivered, and says what to do."""
    desk = Desk(notice_s=0.05)
    desk.open()
    assert (await desk.send()).state == "delivered"
    await desk.close()
    result = await desk.send()
    assert (result.is_accepted, result.state) == (False, "failed")
    assert "值班页" in result.detail
    assert [(each.device_id, each.is_online) for each in desk.statuses] == [
        ("channel/duty.console", True),
        ("channel/duty.console", False),
    ]


async def test_nobody_at_the_desk_is_a_fault_that_ends_when_somebody_is() -> None:
    """No page for so long is told once, without any alarm; a page that opens ends it."""
    desk = Desk(empty_s=0.05)
    watching = asyncio.create_task(desk.channels._console.watch(desk.channels._say_console))
    await until(lambda: [each.is_online for each in desk.statuses] == [False])
    assert "no console page was open" in desk.statuses[0].reason
    await asyncio.sleep(0.2)  # four times as long: it is not said again
    desk.open()
    await until(lambda: [each.is_online for each in desk.statuses] == [False, True])
    watching.cancel()
    await desk.close()


@pytest.mark.parametrize(
    ("role", "state"), [("duty", "delivered"), ("supervisor", "delivered"), ("installer", "failed")]
)
async def test_an_installers_page_is_nobodys_desk(role: str, state: str) -> None:
    """Whoever cannot take an alarm is not who was told of it: the notice fails, and goes another way."""
    async with running_web() as web, web.officer(role=role) as client, client.stream("GET", "/api/v1/stream") as page:
        lines = page.aiter_lines()
        while "snapshot" not in await anext(lines):
            pass
        people = replace(site([], []), recipients=PEOPLE)
        found = Channels(people, ManualClock(now(0)), console=Console(web.live, notice_s=0.2))
        result = await found.send(Notice("k", "a", "raised", "console", "duty", "【火警】"))
        found.close()
    assert result.state == state


# What follows ------------------------------------------------------------------------------------------------------

SMOKE = device("3-2-03-0301/smoke", "smoke", {"alarm": "bool", "online": "bool"})
POINT = "3-2-03-0301/smoke/alarm"


def player(cls: AlarmClass = AlarmClass.FIRE, to: str = "duty", people: dict[str, Recipient] | None = None) -> Player:
    one = rule([POINT], Condition("equals", True), cls, latches=True, tells=(Tell(to, ("console",)),))
    never = {"never": Calendar("never", ())}
    return Player(replace(site([SMOKE], [one]), recipients=people or PEOPLE, calendars=never))


def failed(key: str) -> NoticeResult:
    return NoticeResult(key, is_accepted=False, at=now(0).utc, detail="x", state="failed")


def channels_of(step: Step) -> list[tuple[str, str]]:
    return [(each.recipient, each.channel) for each in step.notices]


def test_a_fire_that_reaches_no_page_goes_out_by_the_next_channels() -> None:
    """Console, then robot, then modem: each once, also when a failure is reported twice, and none is left."""
    it = player()
    (first,) = it.read(0, POINT, True).notices
    (second,) = it.step(10, failed(first.key)).notices
    assert (second.recipient, second.channel, second.reason) == ("duty", "wecom", "raised")
    assert it.step(11, failed(first.key)).notices[0].channel == "modem"
    assert channels_of(it.step(12, failed(first.key))) == []
    assert channels_of(it.step(13, failed(second.key))) == []


def test_the_next_channel_is_of_another_kind() -> None:
    """A robot failed because the internet is down: the modem comes before the other robots."""
    people = {"duty": Recipient("duty", "值班室", {"wecom": "x", "feishu": "x", "modem": "x"})}
    one = rule([POINT], Condition("equals", True), AlarmClass.FIRE, latches=True, tells=(Tell("duty", ("wecom",)),))
    it = Player(replace(site([SMOKE], [one]), recipients=people))
    (first,) = it.read(0, POINT, True).notices
    (second,) = it.step(1, failed(first.key)).notices
    assert second.channel == "modem"
    assert channels_of(it.step(2, failed(second.key))) == [("duty", "feishu")]


def test_members_are_called_when_the_group_itself_has_nothing_left() -> None:
    """The desk's page failed and the desk has no other address: its people are told by theirs."""
    people = PEOPLE | {"duty": Recipient("duty", "值班室", {"console": ""}, "property", ("zhang",))}
    it = player(people=people)
    (first,) = it.read(0, POINT, True).notices
    assert channels_of(it.step(10, failed(first.key))) == [("zhang", "sms")]


@pytest.mark.parametrize(
    "members",
    [
        (Recipient("zhang", "张", {"sms": "x"}, on_duty="never"),),
        (Recipient("li", "李", {}), Recipient("zhang", "张", {"sms": "x"}, on_duty="never")),
    ],
    ids=["nobody is on duty", "who is on duty has no other way"],
)
def test_a_gap_in_the_shifts_keeps_no_fire_to_itself(members: tuple[Recipient, ...]) -> None:
    """Nobody who could be reached is on duty: those who are not are told, as at the first notice."""
    duty = Recipient("duty", "值班室", {"console": ""}, "property", tuple(each.id for each in members))
    it = player(people={"duty": duty} | {each.id: each for each in members})
    (first,) = it.read(0, POINT, True).notices
    assert channels_of(it.step(10, failed(first.key))) == [("zhang", "sms")]


@pytest.mark.parametrize("cls", [AlarmClass.WARNING, AlarmClass.FAULT, AlarmClass.SECURITY])
def test_what_is_not_about_lives_goes_no_other_way(cls: AlarmClass) -> None:
    """A fault that no page showed wakes nobody by telephone."""
    it = player(cls)
    (first,) = it.read(0, POINT, True).notices
    assert channels_of(it.step(10, failed(first.key))) == []


def test_what_somebody_has_taken_goes_no_other_way() -> None:
    """A failure that is reported after somebody took the alarm calls nobody more."""
    it = player()
    (first,) = it.read(0, POINT, True).notices
    it.do(1, Verb.TAKE)
    assert channels_of(it.step(10, failed(first.key))) == []


def test_a_restart_between_the_two_ways_says_nothing_twice() -> None:
    """What was said before the restart, by either channel, is not said again; the failure goes on where it was."""
    it = player()
    (first,) = it.read(0, POINT, True).notices
    (second,) = it.step(10, failed(first.key)).notices
    it.restart(11)
    assert channels_of(it.step(12, failed(second.key))) == [("duty", "modem")]
    assert len(set(it.said)) == len(it.said) == 3
