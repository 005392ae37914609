"""Notices over a real HTTP receiver: accepted, refused, hanging, without an address."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from gateway.clock import ManualClock
from gateway.counters import Counters
from gateway.model import Notice, Recipient
from gateway.notify.channels import Channels
from tests.support_receiver import receiver
from tests.support_rules import now, site


@pytest.fixture
def channels() -> Callable[..., Channels]:
    """Channels with the recipient ``duty`` at ``address``."""

    def make(address: str, timeout_s: float = 10.0, counters: Counters | None = None) -> Channels:
        names = ("apprise", "email", "webhook", "wecom", "modem")
        duty = {"duty": Recipient("duty", "值班室", dict.fromkeys(names, address) | {"console": ""})}
        return Channels(
            replace(site([], []), recipients=duty),
            ManualClock(now(0)),
            counters=counters,
            timeout_s=timeout_s,
            first_wait_s=0.01,
        )

    return make


def notice(channel: str = "apprise", recipient: str = "duty") -> Notice:
    return Notice(f"a/raised/{recipient}/{channel}", "a", "raised", channel, recipient, "【火警】3-2-03-0301")


async def test_message_arrives_with_its_words(
    channels: Callable[..., Channels], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the provider gets is the text; the address with its password comes from a file or the environment."""
    async with receiver(200) as it:
        url = f"json://127.0.0.1:{it.port}/hook"
        (tmp_path / "duty").write_text(url + "\n")
        monkeypatch.setenv("DUTY_URL", url)
        for address in (url, f"file:{tmp_path / 'duty'}", "env:DUTY_URL"):
            result = await channels(address).send(notice())
            assert (result.is_accepted, result.detail) == (True, "")
    assert [each["message"] for each in it.bodies] == ["【火警】3-2-03-0301"] * 3


async def test_refusal_of_the_provider_is_told(channels: Callable[..., Channels]) -> None:
    """A provider that says no four times is no delivery, and the text says what to check."""
    counters = Counters()
    async with receiver(500) as it:
        result = await channels(f"json://127.0.0.1:{it.port}/hook", counters=counters).send(notice())
    assert not result.is_accepted
    assert len(it.bodies) == 4
    assert counters.total("notices_given_up", channel="apprise") == 1
    assert "check its address" in result.detail


async def test_provider_that_fails_twice_gets_it_in_the_third_try(channels: Callable[..., Channels]) -> None:
    """A provider that is away for a moment costs no message, and the tries are counted."""
    counters = Counters()
    async with receiver(200, failures=2) as it:
        result = await channels(f"json://127.0.0.1:{it.port}/hook", counters=counters).send(notice())
    assert (result.is_accepted, result.detail) == (True, "")
    assert len(it.bodies) == 3
    assert counters.total("notice_retries", channel="apprise") == 2
    assert counters.total("notices_given_up") == 0


async def test_another_try_is_only_for_those_who_did_not_get_it(channels: Callable[..., Channels]) -> None:
    """Of two addresses one fails at first: the other person does not get the message twice."""
    async with receiver(200) as good, receiver(200, failures=1) as shaky:
        both = f"json://127.0.0.1:{good.port}/ json://127.0.0.1:{shaky.port}/"
        assert (await channels(both).send(notice())).is_accepted
    assert (len(good.bodies), len(shaky.bodies)) == (1, 2)


async def test_waiting_for_a_thread_is_not_the_providers_fault(channels: Callable[..., Channels]) -> None:
    """Sixty-four messages through a few threads take longer than the time-out of one: each arrives, once."""
    async with receiver(200) as it:
        it.pause_s = 0.3
        sender = channels(f"json://127.0.0.1:{it.port}/hook", 2.0)
        results = await asyncio.gather(*(sender.send(notice()) for _ in range(64)))
    assert all(each.is_accepted for each in results)
    assert len(it.bodies) == 64


async def test_hanging_provider_ends_in_time_and_delays_nobody(channels: Callable[..., Channels]) -> None:
    """A provider that accepts and never answers costs its time-out, not the next person's message."""
    async with receiver(0) as dead, receiver(200) as alive:
        url = f"json://127.0.0.1:{dead.port}/?rto=2&cto=2"
        slow, fast = channels(url, 0.3), channels(f"json://127.0.0.1:{alive.port}/")
        stuck = asyncio.create_task(slow.send(notice()))
        assert (await fast.send(notice())).is_accepted
        result = await stuck
    assert not result.is_accepted
    assert "no answer within 0.3 s" in result.detail


@pytest.mark.parametrize(
    ("address", "channel", "recipient", "words"),
    [
        ("", "apprise", "duty", "has no address"),
        ("no url at all", "apprise", "duty", "no apprise URL"),
        ("env:NOT_SET_ANYWHERE", "apprise", "duty", "NOT_SET_ANYWHERE is not set"),
        ("file:/nonexistent/secret", "apprise", "duty", "cannot read the secret"),
        ("mailto://u:p@mail.example.cn", "email", "duty", "write mailtos://"),
        ("https://example.cn/hook", "webhook", "duty", "no signing secret"),
        ("http://example.cn/hook#s", "webhook", "duty", "must begin with https://"),
        ("https://example.cn/hook", "wecom", "duty", "the address is no robot's"),
        ("13800138000", "modem", "duty", "serial port is missing"),
        ("", "pigeon", "duty", "there is no channel pigeon"),
        ("", "apprise", "nobody", "nobody is called nobody"),
    ],
)
async def test_what_cannot_be_sent_says_what_to_do(
    channels: Callable[..., Channels], address: str, channel: str, recipient: str, words: str
) -> None:
    """A missing address, a wrong channel, a stranger: refused with the way out, never an exception."""
    result = await channels(address).send(notice(channel, recipient))
    assert not result.is_accepted
    assert words in result.detail


async def test_console_needs_no_sending(channels: Callable[..., Channels]) -> None:
    """The page shows every alarm by itself."""
    assert (await channels("").send(notice("console"))).is_accepted
