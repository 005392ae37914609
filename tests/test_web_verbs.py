"""Acting on alarms over HTTP: races, refusals in words, repeats."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest

from gateway.model import Alarm, AlarmClass, Verb
from gateway.web.views import alarm_key
from tests.support_core import until
from tests.support_web import running_web, verb_path


def body(alarm: Alarm, request_id: str = "request-1", **fields: Any) -> dict[str, Any]:
    return {"version": alarm.version, "request_id": request_id, **fields}


async def post(client: httpx.AsyncClient, alarm: Alarm, verb: str, request_id: str, **fields: Any) -> httpx.Response:
    return await client.post(verb_path(alarm, verb), json=body(alarm, request_id, **fields))


async def test_of_two_who_take_the_same_alarm_one_wins_and_the_other_hears_who() -> None:
    """Two officers press 接警 at once: nobody thinks that both are on their way."""
    async with running_web() as web, web.officer("张师傅") as zhang, web.officer("李姐") as li:
        alarm = web.gateway.raise_alarm()
        answers = await asyncio.gather(post(zhang, alarm, "take", "from-zhang"), post(li, alarm, "take", "from-li-"))
        assert sorted(each.status_code for each in answers) == [200, 409]
        lost = next(each for each in answers if each.status_code == 409)
        winner = web.gateway.alarms[alarm.id].taken_by
        assert lost.headers["content-type"] == "application/problem+json"
        assert winner in lost.json()["detail"]
        assert "接警" in lost.json()["detail"]
        assert lost.json()["alarm"]["taken_by"] == winner
        assert {action for _, action, _ in web.users.trail} == {"login"}, "the journal's commit audits verbs"


async def test_an_alarm_from_the_first_press_to_reset() -> None:
    """接警, 核实, 办结, 复位: each is committed before its answer, and the journal has them all."""
    async with running_web() as web, web.officer("张师傅") as client:
        alarm = web.gateway.raise_alarm()
        acts: list[tuple[str, dict[str, Any]]] = [
            ("take", {}), ("arrive", {}), ("verify", {"real": False}), ("note", {"text": "厨房油烟"}), ("silence", {})
        ]  # fmt: skip
        for n, (verb, fields) in enumerate(acts):
            answer = await post(client, web.gateway.alarms[alarm.id], verb, f"request-{n}", **fields)
            assert answer.status_code == (409 if verb == "silence" else 200), answer.text
        web.gateway.clear(alarm)
        now = web.gateway.alarms[alarm.id]
        assert (await post(client, now, "close", "closing-1", outcome="误报", cause="厨房油烟")).status_code == 200
        assert (await post(client, web.gateway.alarms[alarm.id], "reset", "reset-001")).status_code == 200
        assert web.live.alarms == {}
        path = verb_path(alarm, "events")
        kinds = [each["kind"] for each in (await client.get(path)).json()["events"]]
        assert kinds == ["raised", "taken", "arrived", "verified", "noted", "returned", "closed", "reset"]


async def test_a_refused_reset_says_everything_that_is_left_to_do() -> None:
    """The officer is not sent back twice: still burning and no outcome are told together."""
    async with running_web() as web, web.officer() as client:
        alarm = web.gateway.raise_alarm()
        answer = await post(client, alarm, "reset", "reset-001")
        assert (answer.status_code, answer.json()["code"]) == (409, "condition_active")
        assert "仍在报警" in answer.json()["detail"]
        assert "办结" in answer.json()["detail"]


async def test_a_refusal_speaks_the_callers_language() -> None:
    """An English-speaking supervisor reads English, Chinese is the default."""
    async with running_web() as web, web.officer() as client:
        alarm = web.gateway.raise_alarm()
        path = verb_path(alarm, "verify")
        asked = body(alarm, real=True)
        english = await client.post(path, json=asked, headers={"Accept-Language": "en-GB,zh;q=0.5"})
        forced = await client.post(path + "?lang=en", json=asked)
        chinese = await client.post(path, json=asked, headers={"Accept-Language": "fr"})
        assert english.json()["detail"] == "Not done: nobody has taken this alarm. Take it first."
        assert forced.json()["detail"] == english.json()["detail"]
        assert chinese.json()["detail"] == "没有执行:还没有人接警,请先按「接警」。"


async def test_the_answer_waits_for_the_commit() -> None:
    """已执行 on the screen means that it is on the disk."""
    async with running_web() as web, web.officer() as client:
        alarm = web.gateway.raise_alarm()
        web.gateway.gate.clear()
        answer = asyncio.create_task(post(client, alarm, "take", "request-1"))
        done, _ = await asyncio.wait({answer}, timeout=0.2)
        assert not done
        web.gateway.gate.set()
        assert (await answer).status_code == 200


async def test_the_same_request_again_gets_the_same_answer_and_happens_once() -> None:
    """A page that lost the answer asks again: the alarm is not acted on twice, and no false refusal is shown."""
    async with running_web() as web, web.officer() as client:
        alarm = web.gateway.raise_alarm()
        web.gateway.gate.clear()
        both = [asyncio.create_task(post(client, alarm, "take", "request-1")) for _ in range(2)]
        await until(lambda: sum(each.get_name() == "web-verb" for each in asyncio.all_tasks()) == 1)
        web.gateway.gate.set()
        answers = [await each for each in both] + [await post(client, alarm, "take", "request-1")]
        assert {each.text for each in answers} == {'{"request_id":"request-1","version":2}'}
        assert len(web.gateway.requests) == 1


async def test_a_request_id_means_one_thing() -> None:
    """A program that reuses an id by mistake is told so, instead of being given another action's answer."""
    async with running_web() as web, web.officer() as client, web.officer("李姐") as other:
        alarm = web.gateway.raise_alarm()
        assert (await post(client, alarm, "take", "request-1")).status_code == 200
        now = web.gateway.alarms[alarm.id]
        reused = await post(client, now, "arrive", "request-1")
        assert reused.json()["code"] == "request_id_reused"
        assert (await post(other, now, "arrive", "request-1")).status_code == 200, "another person's id is another id"


async def test_only_duty_staff_and_supervisors_handle_alarms() -> None:
    """The installer on the ladder cannot reset the fire alarm he is looking at."""
    async with running_web() as web, web.officer("王工", "installer") as client:
        alarm = web.gateway.raise_alarm()
        answer = await post(client, alarm, "take", "request-1")
        assert (answer.status_code, answer.json()["code"]) == (403, "wrong_role")
        assert "安装" in answer.json()["detail"]
        assert web.gateway.requests == []


@pytest.mark.parametrize(
    ("verb", "change"),
    [
        ("take", {"version": 0}),
        ("take", {"version": "1"}),
        ("take", {"request_id": "short"}),
        ("take", {"request_id": "line\nbreak"}),
        ("take", {"alarms": ["a", "b"]}),
        ("take", {"outcome": "误报"}),
        ("verify", {"real": "maybe"}),
        ("note", {"text": "a\x00b"}),
        ("note", {"text": "x" * 201}),
        ("close", {"outcome": " ", "cause": "c"}),
    ],
)
async def test_a_malformed_request_reaches_nobody(verb: str, change: dict[str, Any]) -> None:
    """What is not exactly one act on one alarm is refused at the door; there is no bulk verb."""
    async with running_web() as web, web.officer() as client:
        alarm = web.gateway.raise_alarm()
        answer = await client.post(verb_path(alarm, verb), json={**body(alarm), **change})
        assert (answer.status_code, answer.json()["code"]) == (422, "invalid")
        assert answer.json()["errors"]
        assert web.gateway.requests == []


async def test_what_does_not_exist_is_not_found() -> None:
    """A wrong address is told apart from a refused act."""
    async with running_web() as web, web.officer() as client:
        alarm = web.gateway.raise_alarm()
        for path in ("/api/v1/alarms/AAAA/take", "/api/v1/alarms/%2e%2e/take", "/api/v1/alarms/YWJj/take"):
            answer = await client.post(path, json=body(alarm))
            assert (answer.status_code, answer.json()["code"]) == (404, "no_such_alarm")
        assert (await client.post(verb_path(alarm, "explode"), json=body(alarm))).status_code == 422


async def test_every_verb_of_the_model_has_a_way_in() -> None:
    """No verb of the alarm table is left without a route."""
    async with running_web() as web, web.officer() as client:
        arguments: dict[Verb, dict[str, Any]] = {
            Verb.VERIFY: {"real": True},
            Verb.NOTE: {"text": "x"},
            Verb.CLOSE: {"outcome": "误报", "cause": "x"},
            Verb.SHELVE: {"minutes": 10, "reason": "x"},
            Verb.OPERATE: {"point": "3-2-03-0302/smoke/unlock", "value": True},
        }
        of_alarm = [each for each in Verb if each.is_of_alarm]
        for verb in of_alarm:
            alarm = web.gateway.raise_alarm(AlarmClass.GAS, room="0302")
            await post(client, alarm, verb, f"request-{verb}", **arguments.get(verb, {}))
        assert {each.verb for each in web.gateway.requests} == set(of_alarm)


async def test_an_alarm_the_disk_has_refused_is_read_like_any_other() -> None:
    """What burns now has its page, its journal and its notices, although no record of it could be written."""
    async with running_web() as web, web.officer() as client:
        alarm = web.gateway.raise_alarm()
        del web.gateway.alarms[alarm.id], web.gateway.journal[alarm.id]
        path = f"/api/v1/alarms/{alarm_key(alarm.id)}"
        answer = await client.get(path)
        assert (answer.status_code, answer.json()["alarm"]["id"]) == (200, alarm.id)
        for below in ("events", "notices"):
            answer = await client.get(f"{path}/{below}")
            assert (answer.status_code, answer.json()[below]) == (200, [])
        strange = f"/api/v1/alarms/{alarm_key('nothing:of:1')}"
        for each in (strange, f"{strange}/events", f"{strange}/notices"):
            assert (await client.get(each)).status_code == 404
