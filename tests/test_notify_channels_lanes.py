"""Turns, merging, trouble: a channel that fails or is full delays no other, and never life safety."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.clock import ManualClock
from gateway.counters import Counters
from gateway.model import AlarmClass, Condition, DeviceStatus, Notice, Recipient, Rule
from gateway.notify.channels import Channels
from gateway.notify.channels.base import Limit, NeverError
from gateway.notify.channels.batch import merged
from gateway.notify.channels.gate import Gate
from tests.support_core import until
from tests.support_receiver import Receiver, receiver
from tests.support_rules import now, site

YES = b'{"errcode":0}'


def rule(name: str, alarm_class: AlarmClass) -> Rule:
    return Rule(name, name, alarm_class, (), Condition("equals"))


def channels(addresses: dict[str, dict[str, str]], **more: object) -> Channels:
    people = {name: Recipient(name, name, each) for name, each in addresses.items()}
    rules = (rule("fire", AlarmClass.FIRE), rule("lost", AlarmClass.FAULT))
    return Channels(
        replace(site([], []), recipients=people, rules=rules),
        ManualClock(now(0)),
        first_wait_s=0.01,
        **more,  # type: ignore[arg-type]
    )


def notice(number: int, kind: str = "lost", to: str = "duty", channel: str = "wecom") -> Notice:
    return Notice(f"{kind}{number}/{to}", f"{kind}:p:{number}", "raised", channel, to, f"{kind} {number}")


def robot(it: Receiver) -> str:
    return f"http://127.0.0.1:{it.port}/cgi-bin/webhook/send?key=k"


def texts(it: Receiver) -> list[str]:
    return [each["text"]["content"] for each in it.bodies]


async def test_twenty_a_minute_and_faults_go_out_as_one() -> None:
    """Of 40 faults ten take half the turns of a minute; the rest wait; fires go at once, each alone, up to twenty."""
    counters = Counters()
    async with receiver(answer=YES) as it:
        found = channels({"duty": {"wecom": robot(it)}}, counters=counters)
        faults = [asyncio.create_task(found.send(notice(n))) for n in range(40)]
        await until(lambda: len(it.raw) >= 3)
        early = len(it.raw)
        fires = await asyncio.gather(*(found.send(notice(n, "fire")) for n in range(10)))
        assert all(each.is_accepted for each in fires)
        assert {f"fire {n}" for n in range(10)} <= set(texts(it))
        assert len(it.raw) <= 20
        results = [each for each in faults if each.done()]
        for each in faults:
            each.cancel()
        await asyncio.gather(*faults, return_exceptions=True)
        found.close()
    assert early <= 10
    assert counters.total("notices_merged", channel="wecom") >= 30 or len(results) < 40


async def test_those_who_wait_are_told_as_one_with_their_number() -> None:
    """One turn is busy: the faults that wait for it become one message that says how many it stands for."""
    async with receiver(answer=YES, pause_s=0.2) as it:
        found = channels({"duty": {"wecom": robot(it)}})
        results = await asyncio.gather(*(found.send(notice(n)) for n in range(30)))
        found.close()
    assert all(each.is_accepted for each in results)
    assert len(it.raw) == 4  # three at once, then all the others
    assert texts(it)[-1].splitlines()[-1] == "另有 24 条,请看值班页"
    assert sum("merged" in each.detail or "as one with others" in each.detail for each in results) == 26


async def test_fires_go_alone_as_long_as_a_minute_has_room() -> None:
    """Thirty fires: twenty messages at once, each for one; the other ten wait for the next minute as one message."""
    async with receiver(answer=YES, pause_s=0.02) as it:
        found = channels({"duty": {"wecom": robot(it)}})
        tasks = [asyncio.create_task(found.send(notice(n, "fire"))) for n in range(30)]
        await until(lambda: len(it.raw) == 20)
        await asyncio.sleep(0.1)  # longer than a turn: the 21st must not come
        assert len(it.raw) == 20
        assert set(texts(it)) <= {f"fire {n}" for n in range(30)}
        (gate,) = found._gates.values()
        await until(lambda: sum(each.done() for each in tasks) == 20)
        gate._begun_s.clear()  # the minute is over
        gate._admit()
        results = await asyncio.gather(*tasks)
        found.close()
    assert all(each.is_accepted for each in results)
    assert len(it.raw) == 21
    held = texts(it)[-1].split("\n")
    assert sorted([*texts(it)[:-1], *held]) == sorted(f"fire {n}" for n in range(30))


async def test_a_robot_has_one_limit_however_its_address_is_written() -> None:
    """As an address of apprise and as a robot's, for two people: together twenty a minute, and faults as one."""
    async with receiver(answer=YES) as it:
        found = channels({"duty": {"wecom": robot(it)}, "boss": {"apprise": robot(it)}})
        fires = [asyncio.create_task(found.send(notice(n, "fire"))) for n in range(12)]
        fires += [asyncio.create_task(found.send(notice(n, "fire", "boss", "apprise"))) for n in range(12, 24)]
        await until(lambda: len(it.raw) == 20)
        faults = [asyncio.create_task(found.send(notice(n, to="boss", channel="apprise"))) for n in range(30)]
        await asyncio.sleep(0.1)  # longer than a turn: no more may come
        assert len(it.raw) == 20
        assert len(found._gates) == 1
        assert [len(each.messages) for each in found._batches.values() if not each.messages[0].is_urgent] == [30]
        for each in (*fires, *faults):
            each.cancel()
        await asyncio.gather(*fires, *faults, return_exceptions=True)
        found.close()


async def test_a_full_queue_makes_room_for_lives() -> None:
    """A thousand faults wait; a fire comes: the fault that came last is refused, the fire enters first."""
    gate, entered = Gate(Limit(width=1)), []

    async def visit(name: str, *, is_urgent: bool) -> None:
        async with gate.turn(is_urgent=is_urgent):
            entered.append(name)

    async with gate.turn(is_urgent=True):
        faults = [asyncio.create_task(visit(f"fault {n}", is_urgent=False)) for n in range(1_001)]
        await asyncio.sleep(0)
        fire = asyncio.create_task(visit("fire", is_urgent=True))
        await asyncio.sleep(0)
    await fire
    refused = [n for n, each in enumerate(await asyncio.gather(*faults, return_exceptions=True)) if each is not None]
    assert entered[0] == "fire"
    assert refused == [999, 1000]
    assert gate.is_idle


async def test_what_people_took_care_of_while_it_waited_is_not_sent() -> None:
    """Of those who wait one is not wanted any more: it is not sent, not the channel's fault, and counted apart."""
    counters, gone = Counters(), {"fire:p:1", "lost:p:1"}
    statuses: list[DeviceStatus] = []
    async with receiver(answer=YES) as it:
        found = channels(
            {"duty": {"wecom": robot(it)}}, counters=counters, report=statuses.append,
            is_wanted=lambda alarm_id, _reason: alarm_id not in gone,
        )  # fmt: skip
        results = await asyncio.gather(*(found.send(notice(n, kind)) for kind in ("fire", "lost") for n in range(3)))
        found.close()
    assert [each.is_accepted for each in results] == [True, False, True] * 2
    assert results[1].state == "failed"
    assert "took care of it" in results[1].detail
    assert not any("fire 1" in each or "lost 1" in each for each in texts(it))
    assert counters.total("notices_overtaken", channel="wecom") == 2
    assert [each.is_online for each in statuses] == [True]


async def test_a_batch_of_which_nothing_is_wanted_is_not_sent() -> None:
    """Everything that waited was taken care of: no message, and everybody who waited hears why."""
    async with receiver(answer=YES, pause_s=0.1) as it:
        is_over = asyncio.Event()
        found = channels({"duty": {"wecom": robot(it)}}, is_wanted=lambda *_: not is_over.is_set())
        tasks = [asyncio.create_task(found.send(notice(n))) for n in range(8)]
        await until(lambda: len(it.raw) == 3)
        is_over.set()
        results = await asyncio.gather(*tasks)
        found.close()
    assert len(it.raw) == 3
    assert sum("took care of it" in each.detail for each in results) == 5


async def test_what_people_took_care_of_between_two_tries_is_not_sent() -> None:
    """The provider is down at the first try of five that go as one; meanwhile they are taken: there is no second."""
    async with receiver(answer=b'{"errcode":-1}', pause_s=0.1) as it:
        is_over = asyncio.Event()
        found = channels({"duty": {"wecom": robot(it)}}, is_wanted=lambda *_: not is_over.is_set())
        tasks = [asyncio.create_task(found.send(notice(n))) for n in range(8)]
        await until(lambda: any("lost 3" in each for each in texts(it)))
        is_over.set()
        results = await asyncio.gather(*tasks)
        found.close()
    assert sum("lost 3" in each for each in texts(it)) == 1  # those who go alone may have been on their way already
    assert all("took care of it" in each.detail for each in results)


async def test_five_hundred_at_once_and_the_fires_first() -> None:
    """480 faults, then 15 fires, to one robot: every fire has its own message before the faults, which are told too."""
    async with receiver(answer=YES, pause_s=0.01) as it:
        found = channels({"duty": {"wecom": robot(it)}})
        faults = [asyncio.create_task(found.send(notice(n))) for n in range(480)]
        await asyncio.sleep(0)
        await asyncio.gather(*(found.send(notice(n, "fire")) for n in range(15)))
        assert not all(each.done() for each in faults)
        (gate,) = found._gates.values()
        gate._begun_s.clear()  # the minute is over
        gate._admit()
        results = await asyncio.gather(*faults)
        found.close()
    said = texts(it)
    assert all(each.is_accepted for each in results)
    assert len(said) <= 20
    assert {f"fire {n}" for n in range(15)} <= set(said)
    place = [each.startswith("lost") for each in said]
    assert sum(place[: place.index(False)]) <= 3  # what had its turn already


async def test_hanging_provider_delays_nobody_else() -> None:
    """Eight providers hang with all their turns; the ninth person has the message within its own time."""
    async with receiver(0) as dead, receiver(200) as alive:
        stuck = {f"p{n}": {"apprise": f"json://127.0.0.1:{dead.port}/{n}/?rto=3&cto=3"} for n in range(8)}
        found = channels(stuck | {"ok": {"apprise": f"json://127.0.0.1:{alive.port}/"}}, timeout_s=2.0)
        hung = [asyncio.create_task(found.send(notice(n, "fire", f"p{n % 8}", "apprise"))) for n in range(31)]
        await until(lambda: len(dead.raw) >= 24)
        async with asyncio.timeout(1.5):
            assert (await found.send(notice(99, "fire", "ok", "apprise"))).is_accepted
        for each in hung:
            each.cancel()
        await asyncio.gather(*hung, return_exceptions=True)
        await until(lambda: not +found._provider._busy)
        found.close()


async def test_threads_that_hang_beyond_their_time_are_not_joined_by_more() -> None:
    """The time of a try is over but its thread still hangs: four of one address, and no fifth."""
    async with receiver(0) as dead:
        address = f"json://127.0.0.1:{dead.port}/?rto=2&cto=2"
        found = channels({"duty": {"apprise": address}}, timeout_s=0.3)
        results = await asyncio.gather(*(found.send(notice(n, "fire", channel="apprise")) for n in range(8)))
        assert not any(each.is_accepted for each in results)
        assert max(found._provider._busy.values()) <= 4
        assert len(dead.raw) == 4
        await until(lambda: not +found._provider._busy)
        found.close()


async def test_trouble_is_reported_when_it_begins_and_when_it_ends() -> None:
    """Two failures are one report; the next success is the other; the console is there."""
    statuses: list[DeviceStatus] = []
    async with receiver(answer=b'{"errcode":93000}') as it:
        found = channels({"duty": {"wecom": robot(it), "console": ""}}, report=statuses.append)
        for number in range(2):
            await found.send(notice(number, "fire"))
        it.answer = YES
        await found.send(notice(2, "fire"))
        await found.send(notice(3, "fire", channel="console"))
        await found.send(notice(4, "fire", "stranger"))
    found.close()
    assert [(each.device_id, each.is_online) for each in statuses] == [
        ("channel/duty.wecom", False),
        ("channel/duty.wecom", True),
        ("channel/duty.console", True),
    ]
    assert "93000" in statuses[0].reason


async def test_a_failed_batch_fails_for_everybody_in_it() -> None:
    """Whoever joined a message that was refused hears of the refusal, not of a success."""
    async with receiver(answer=b'{"errcode":93000}', pause_s=0.1) as it:
        found = channels({"duty": {"wecom": robot(it)}})
        results = await asyncio.gather(*(found.send(notice(n)) for n in range(12)))
        found.close()
    assert {(each.is_accepted, each.state) for each in results} == {(False, "failed")}
    assert len(it.raw) == 4


async def test_urgent_goes_before_what_waits_longer() -> None:
    """One turn: of those who wait, life safety enters first, the others in their order."""
    gate, order = Gate(Limit(width=1)), []

    async def visit(name: str, *, is_urgent: bool) -> None:
        async with gate.turn(is_urgent=is_urgent):
            order.append(name)
            await asyncio.sleep(0)

    names = [("a", False), ("b", False), ("c", False), ("fire", True)]
    await asyncio.gather(*(visit(name, is_urgent=urgent) for name, urgent in names))
    assert order == ["a", "fire", "b", "c"]


async def test_whoever_waits_too_long_is_told_and_leaves_no_gap() -> None:
    """A wait has an end; a visitor that was cancelled or gave up takes nobody's turn."""
    gate = Gate(Limit(width=1), longest_wait_s=0.05)
    async with gate.turn(is_urgent=True):
        with pytest.raises(NeverError, match="no turn within"):
            async with gate.turn(is_urgent=True):
                pass
        waiting = asyncio.create_task(_visit(gate))
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        assert gate._waiting == []
    async with gate.turn(is_urgent=False):
        pass


async def _visit(gate: Gate) -> None:
    async with gate.turn(is_urgent=True):
        pass


@given(st.lists(st.text(max_size=500), min_size=1, max_size=60))
def test_merged_text_fits_and_counts_right(each: Sequence[str]) -> None:
    """Invariant: the first message whole, never more than a robot takes, and every message is there or counted."""
    text = merged(list(each), "en")
    assert text.startswith(each[0])
    assert len(text.encode()) <= max(2_048, len(each[0].encode()) + 40)
    if len(each) > 3:
        assert text.endswith("see the console")
