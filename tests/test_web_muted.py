"""What is not annunciated, over the API: its lists, members, what the caller may shelve and mark; marks on screens."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest

from gateway.clock import ManualClock
from gateway.counters import Counters
from gateway.model import SYSTEM, AlarmClass, Mark, MarkChange, Now, Site, Step
from gateway.web.live import LiveView
from gateway.web.metrics import Exposition
from gateway.web.views import alarm_key, in_duty_order
from tests.support_web import FakeGateway, Running, running_web, small_site, verb_path

NOW = Now(datetime(2026, 1, 1, 12, tzinfo=UTC), 100.0)
DRILL = MarkChange(Mark.DRILL, "building", "3", True, NOW.utc, NOW.utc + timedelta(hours=1), "王主管", "消防演练")
ROOMS = [f"{n:04d}" for n in range(301, 308)]


def told_site(**changes: Any) -> Site:
    """The small site, its rules with all that they say beside their condition."""
    site = small_site(rooms=ROOMS)
    said = {
        "response": "立即派人到场", "response_en": "Send somebody at once", "respond_within_s": 60.0,
        "cause": "油烟或明火", "consequence": "楼道被烟封住", **changes,
    }  # fmt: skip
    return dataclasses.replace(site, rules=tuple(dataclasses.replace(each, **said) for each in site.rules))


def muted(web: Running) -> dict[str, str]:
    """One alarm for each list, and one in the main list; ids by list."""
    main = web.gateway.raise_alarm(AlarmClass.FAULT, room="0301")
    found = {"main": main.id}
    acts: dict[str, tuple[str, dict[str, Any]]] = {
        "shelved": ("shelved", {"minutes": "30", "reason": "等备件", "until": "2030-01-01T00:00:00+00:00"}),
        "suppressed": ("suppressed", {"by": main.id}),
        "out_of_service": ("out_of_service", {"mark": "disabled", "reason": "装修"}),
    }
    for room, (name, (kind, data)) in zip(ROOMS[1:], acts.items(), strict=False):
        alarm = web.gateway.raise_alarm(AlarmClass.FAULT, room=room)
        web.gateway.tell(alarm.id, kind, SYSTEM, data)
        found[name] = alarm.id
    return found


async def test_each_list_holds_what_belongs_to_it_and_the_counts_agree() -> None:
    """Nothing that is silent is out of sight: every open alarm is in a list, and the numbers are the lists'."""
    async with running_web(small_site(rooms=ROOMS)) as web, web.officer() as duty:
        found = muted(web)
        for show, alarm_id in found.items():
            answer = (await duty.get("/api/v1/alarms", params={"show": show})).json()
            assert [each["id"] for each in answer["alarms"]] == [alarm_id]
        everything = (await duty.get("/api/v1/alarms")).json()
        assert {each["id"] for each in everything["alarms"]} == set(found.values())
        counts = everything["counts"]
        assert [counts[each] for each in ("untaken", "shelved", "suppressed", "out_of_service")] == [1, 1, 1, 1]
        assert (await duty.get("/api/v1/alarms?show=gone")).status_code == 422
        metrics = Exposition(web.counters, web.live).text()
        assert b"shouwang_alarms_shelved 1.0" in metrics
        assert b"shouwang_alarms_out_of_service 1.0" in metrics


async def test_what_has_stood_for_a_day_is_in_its_own_list() -> None:
    """Over 24 hours, and not before; it stays in the main list."""
    clock = ManualClock(NOW)
    async with running_web(clock=clock) as web:
        old = web.gateway.raise_alarm(AlarmClass.FAULT)
        clock.set(Now(NOW.utc + timedelta(hours=24, seconds=1), NOW.mono_s + 86_401))
        web.gateway.raise_alarm(AlarmClass.FAULT, room="0302")
        async with web.officer() as duty:
            stale = (await duty.get("/api/v1/alarms?show=stale")).json()["alarms"]
            main = (await duty.get("/api/v1/alarms?show=main")).json()["alarms"]
    assert [each["id"] for each in stale] == [old.id]
    assert len(main) == 2


async def test_a_cause_comes_with_what_stands_under_it() -> None:
    """Number and list; a member has none."""
    async with running_web(small_site(rooms=ROOMS)) as web, web.officer() as duty:
        found = muted(web)
        detail = (await duty.get(f"/api/v1/alarms/{alarm_key(found['main'])}")).json()
        assert detail["member_count"] == 1
        assert [each["id"] for each in detail["members"]] == [found["suppressed"]]
        member = (await duty.get(f"/api/v1/alarms/{alarm_key(found['suppressed'])}")).json()
        assert (member["member_count"], member["members"]) == (0, [])


@pytest.mark.parametrize(("language", "says"), [("zh-CN", "立即派人到场"), ("en", "Send somebody at once")])
async def test_the_response_is_in_the_language_asked_for(language: str, says: str) -> None:
    """With the time to respond, the cause, and what follows if nobody does anything."""
    async with running_web(told_site()) as web, web.officer() as duty:
        key = alarm_key(web.gateway.raise_alarm().id)
        rule = (await duty.get(f"/api/v1/alarms/{key}", headers={"Accept-Language": language})).json()["rule"]
        assert (rule["response"], rule["respond_within_s"]) == (says, 60.0)
        assert (rule["cause"], rule["consequence"]) == ("油烟或明火", "楼道被烟封住")


async def test_cause_and_consequence_are_told_in_the_language_asked_for() -> None:
    """In English where the rule has it, in Chinese for everybody else."""
    said = told_site(cause_en="Cooking or flames", consequence_en="Smoke fills the stairs")
    async with running_web(said) as web, web.officer() as duty:
        path = f"/api/v1/alarms/{alarm_key(web.gateway.raise_alarm().id)}"
        english, chinese = [(await duty.get(f"{path}?lang={each}")).json()["rule"] for each in ("en", "zh")]
        assert (english["cause"], english["consequence"]) == ("Cooking or flames", "Smoke fills the stairs")
        assert (chinese["cause"], chinese["consequence"]) == ("油烟或明火", "楼道被烟封住")


async def test_without_an_english_response_the_chinese_one_is_told() -> None:
    """Better read with a dictionary than not at all."""
    async with running_web(told_site(response_en="")) as web, web.officer() as duty:
        key = alarm_key(web.gateway.raise_alarm().id)
        rule = (await duty.get(f"/api/v1/alarms/{key}?lang=en")).json()["rule"]
        assert rule["response"] == "立即派人到场"


@pytest.mark.parametrize(
    ("role", "alarm_class", "of_rule_s", "minutes"),
    [
        ("duty", AlarmClass.WARNING, None, 480),
        ("supervisor", AlarmClass.WARNING, None, 1440),
        ("supervisor", AlarmClass.WARNING, 3600.0, 60),
        ("supervisor", AlarmClass.WARNING, 0.0, None),
        ("duty", AlarmClass.SECURITY, None, None),
        ("installer", AlarmClass.FAULT, None, None),
        ("supervisor", AlarmClass.FIRE, None, None),
        ("supervisor", AlarmClass.GAS, None, None),
        ("supervisor", AlarmClass.SOS, None, None),
    ],
)
async def test_a_page_learns_how_long_this_account_may_shelve(
    role: str, alarm_class: AlarmClass, of_rule_s: float | None, minutes: int | None
) -> None:
    """As the gateway would answer: a minute more than told is refused, and so is anything where nothing is told."""
    async with running_web(told_site(shelvable_s=of_rule_s)) as web, web.officer("某人", role) as client:
        alarm = web.gateway.raise_alarm(alarm_class)
        told = (await client.get(f"/api/v1/alarms/{alarm_key(alarm.id)}")).json()["shelvable_minutes"]
        assert told == minutes
        asked = {"version": 1, "request_id": "request-1", "minutes": (minutes or 0) + 1, "reason": "等备件"}
        assert (await client.post(verb_path(alarm, "shelve"), json=asked)).status_code in {403, 409}
        asked = {**asked, "request_id": "request-2", "minutes": minutes or 1}
        answer = await client.post(verb_path(alarm, "shelve"), json=asked)
        assert (answer.status_code == 200) == (minutes is not None)


async def test_a_page_learns_which_marks_this_account_may_set() -> None:
    """The duty officer may say that somebody is away; a drill is the supervisor's."""
    async with running_web() as web, web.officer() as duty, web.officer("王主管", "supervisor") as boss:
        of_duty = (await duty.get("/api/v1/marks")).json()["limits"]
        of_boss = (await boss.get("/api/v1/marks")).json()["limits"]
        assert {mark for mark, limit in of_duty.items() if limit["may_set"]} == {"away"}
        assert all(limit["may_set"] for limit in of_boss.values())
        assert of_boss["drill"]["longest_minutes"] == 240
        assert of_boss["disabled"]["longest_minutes"] is None
        assert "site" in of_boss["drill"]["scopes"]
        assert "site" not in of_boss["disabled"]["scopes"]


def frames(live: LiveView) -> list[tuple[str, dict[str, Any]]]:
    """What the only subscriber has been told, as (event, body)."""
    (subscriber,) = live._subscribers
    found = []
    while not subscriber.frames.empty():
        event, data, *_ = subscriber.frames.get_nowait().decode().split("\n")
        found.append((event.removeprefix("event: "), orjson.loads(data.removeprefix("data: "))))
    return found


def test_consoles_hear_of_marks_as_of_alarms() -> None:
    """Set before they came, set while they watch, lifted: each under a revision of its own."""
    live = LiveView(Counters())
    live.load(["d"], marks=[DRILL])
    assert live.subscribe("session", NOW.utc + timedelta(hours=12)) is not None
    away = DRILL._replace(mark=Mark.AWAY, scope="room", key="3-2-03-0301")
    live.apply(Step(NOW, marks=[away]))
    live.apply(Step(NOW, marks=[DRILL._replace(is_set=False)]))
    (first, snapshot), (_, added), (_, lifted) = frames(live)
    assert first == "snapshot"
    assert [(each["mark"], each["by"], each["reason"]) for each in snapshot["marks"]] == [
        ("drill", "王主管", "消防演练")
    ]
    assert [(each["mark"], each["is_set"]) for each in added["marks"]] == [("away", True)]
    assert [(each["mark"], each["is_set"]) for each in lifted["marks"]] == [("drill", False)]
    assert lifted["revision"] == added["revision"] + 1 == snapshot["revision"] + 2
    assert live.counts()["marks"] == 1


def test_a_drill_never_stands_above_what_is_real() -> None:
    """A fire of a drill, then a real fault: the fault comes first; among real ones the class decides."""
    gateway = FakeGateway(small_site(rooms=ROOMS), LiveView(Counters()), ManualClock(NOW))
    drill = dataclasses.replace(gateway.raise_alarm(room="0301"), marks=("drill",))
    fault = gateway.raise_alarm(AlarmClass.FAULT, room="0302")
    fire = gateway.raise_alarm(room="0303")
    assert [each.id for each in in_duty_order([drill, fault, fire])] == [fire.id, fault.id, drill.id]
