"""A channel that failed is a fault: when it begins, what ends it, and that it does not flicker."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from textwrap import dedent

import pytest

from gateway.clock import ManualClock
from gateway.counters import Counters
from gateway.model import CommandOutcome, CommandResult, DeviceStatus, Notice, Recipient
from gateway.notify.channels import Channels
from gateway.notify.channels.base import NeverError, NotNowError
from gateway.notify.channels.trouble import Troubles
from tests.support_core import until
from tests.support_receiver import receiver
from tests.support_rules import now, site

ROBOT = "http://127.0.0.1:{}/cgi-bin/webhook/send?key=k"
KEY = ("duty", "wecom")


class Rig:
    """Channels of one person, with everything they report."""

    def __init__(self, addresses: dict[str, str], **more: object) -> None:
        self.statuses: list[DeviceStatus] = []
        self.counters = Counters()
        people = {"duty": Recipient("duty", "值班室", addresses)}
        self.channels = Channels(
            replace(site([], []), recipients=people), ManualClock(now(0)), counters=self.counters,
            report=self.statuses.append, first_wait_s=0.01, **more,  # type: ignore[arg-type]
        )  # fmt: skip

    async def send(self, channel: str, key: str = "k") -> bool:
        return (await self.channels.send(Notice(key, "fire:p:1", "raised", channel, "duty", "【火警】"))).is_accepted

    @property
    def seen(self) -> list[bool]:
        return [each.is_online for each in self.statuses]


@pytest.mark.parametrize("channel", ["wecom", "webhook", "sms", "email", "apprise", "modem", "voice"])
async def test_a_channel_without_its_secret_is_a_fault_at_the_start(channel: str, tmp_path: Path) -> None:
    """Nothing was sent yet: the first check says so, of every kind of channel, and nothing crashes."""
    options = {"modem": f"|port={tmp_path / 'tty'}", "voice": "|speaker=no-such-program"}.get(channel, "")
    rig = Rig({channel: f"file:{tmp_path / 'nothing'}{options}"})
    await rig.channels.check_links()
    rig.channels.close()
    assert [(each.device_id, each.is_online) for each in rig.statuses] == [(f"channel/duty.{channel}", False)]
    assert rig.statuses[0].reason


async def test_a_secret_that_is_put_there_ends_the_fault(tmp_path: Path) -> None:
    """Also where a check cannot reach anybody: what was missing is there."""
    path = tmp_path / "url"
    rig = Rig({"sms": f"file:{path}"})
    assert not await rig.send("sms")
    await rig.channels.check_links()
    path.write_text("syslog://")
    await rig.channels.check_links()
    rig.channels.close()
    assert rig.seen == [False, True]


async def test_a_provider_of_apprise_that_is_back_ends_its_fault() -> None:
    """Its server was away while a message failed; it answers again: the check sees it without sending anything."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        rig = Rig({"sms": f"json://127.0.0.1:{port}/"})
        assert not await rig.send("sms")
        taken.listen()
        await rig.channels.check_links()
    rig.channels.close()
    assert rig.seen == [False, True]
    assert "cannot be reached" in rig.statuses[0].reason


async def test_a_refusal_of_apprise_is_not_ended_by_a_check() -> None:
    """The server answers, but refuses messages: only a message that goes out ends that."""
    async with receiver(500) as it:
        rig = Rig({"sms": f"json://127.0.0.1:{it.port}/"})
        assert not await rig.send("sms")
        await rig.channels.check_links()
        assert rig.seen == [False]
        it.status = 200
        assert await rig.send("sms")
    rig.channels.close()
    assert rig.seen == [False, True]


@pytest.mark.parametrize("outcome", [CommandOutcome.FAILED, CommandOutcome.REFUSED, CommandOutcome.EXPIRED])
async def test_a_loudspeaker_that_says_nothing_is_a_fault_until_it_speaks(outcome: CommandOutcome) -> None:
    """Voice through a device: its refusal is a fault, its next announcement ends it."""
    outcomes = [outcome] * 4 + [CommandOutcome.DONE]

    async def write(command: object) -> CommandResult:
        return CommandResult(command.id, outcomes.pop(0), now(0).utc)  # type: ignore[attr-defined]

    rig = Rig({"voice": "|point=hall/pa/text"}, writers={"hall/pa/text": write})
    assert not await rig.send("voice")
    assert await rig.send("voice")
    rig.channels.close()
    assert rig.seen == [False, True]


def troubles() -> tuple[Troubles, list[DeviceStatus]]:
    seen: list[DeviceStatus] = []
    return Troubles({"duty": Recipient("duty", "d", {"wecom": "x"})}, ManualClock(now(0)), seen.append), seen


async def test_many_at_once_of_which_some_fail_are_one_fault() -> None:
    """Ten messages are under way, each second one fails: successes that began before a failure prove nothing."""
    found, seen = troubles()
    begun_s = asyncio.get_running_loop().time()
    for number in range(10):
        await asyncio.sleep(0.001)
        if number % 2:
            found.work(KEY, begun_s)
        else:
            found.fail(KEY, NotNowError("忙", "busy"))
    assert [each.is_online for each in seen] == [False]
    found.work(KEY, asyncio.get_running_loop().time())
    assert [each.is_online for each in seen] == [False, True]


async def test_what_ends_which_trouble() -> None:
    """A check ends a lost link and a missing secret; a refusal ends with a message only; strangers are not known."""
    for error, is_known, is_ended in (
        (NotNowError("x", "x", is_link=True), True, True),
        (NotNowError("x", "x", is_link=True), False, False),
        (NeverError("x", "x", is_setup=True), False, True),
        (NeverError("x", "x"), True, False),
        (NotNowError("x", "x"), True, False),
    ):
        found, seen = troubles()
        found.fail(KEY, error)
        found.pass_check(KEY, is_known=is_known)
        assert [each.is_online for each in seen] == [False, True][: 1 + is_ended]
        assert found.has_any is not is_ended
    found.fail(("nobody", "wecom"), NeverError("x", "x"))
    found.fail(("duty", "sms"), NeverError("x", "x"))
    assert len(seen) == 1


async def test_while_something_is_wrong_it_is_looked_at_sooner() -> None:
    """Every minute instead of every quarter of an hour: here in hundredths of a second."""
    async with receiver() as it:
        port = it.port
    rig = Rig({"wecom": ROBOT.format(port)})
    checking = asyncio.create_task(rig.channels.check_forever(every_s=60, troubled_s=0.02))
    await until(lambda: rig.counters.total("channel_checks_failed", channel="wecom") >= 3)
    checking.cancel()
    await asyncio.gather(checking, return_exceptions=True)
    rig.channels.close()
    assert rig.seen == [False]


LOADED = """
    import asyncio, sys
    from dataclasses import replace
    from gateway.clock import ManualClock
    from gateway.model import Recipient
    from gateway.notify.channels import Channels
    from tests.support_rules import now, site
    of = replace(site([], []), recipients={"duty": Recipient("duty", "d", {%r: "file:/nowhere"})})
    channels = Channels(of, ManualClock(now(0)))
    assert not {"apprise", "httpx"} & set(sys.modules)
    asyncio.run(channels.warm())
    channels.close()
    services = "apprise.plugins.custom_json" in sys.modules
    print(services, "httpx" in sys.modules)
"""


@pytest.mark.parametrize(
    ("channel", "wanted"),
    [("sms", "True False"), ("wecom", "False True"), ("webhook", "False True"), ("voice", "False False")],
)
def test_what_a_channel_needs_is_loaded_before_the_first_notice_and_nothing_else(channel: str, wanted: str) -> None:
    """In a process of its own: the library of the channels that somebody has, with all its services."""
    script = dedent(LOADED % channel)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False, timeout=60)
    assert done.stdout.strip() == wanted, done.stderr
