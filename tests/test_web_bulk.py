"""One verb on many faults over HTTP: each by itself, none where somebody may be in danger."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import httpx
import pytest

from gateway.model import Alarm, AlarmClass, Verb
from gateway.web.bulk import CLASSES, MOST, MOST_UNDER_WAY, PIECE
from gateway.web.views import alarm_key
from tests.support_core import until
from tests.support_web import Running, running_web, small_site, verb_path

ROOMS = [f"{n:04d}" for n in range(301, 351)]
CLOSING = {"outcome": "误报", "cause": "停电"}


def faults(web: Running, count: int, alarm_class: AlarmClass = AlarmClass.FAULT) -> list[Alarm]:
    return [web.gateway.raise_alarm(alarm_class, room=room) for room in ROOMS[:count]]


def body(verb: str, alarms: Sequence[Alarm], request_id: str = "request-1", **fields: Any) -> dict[str, Any]:
    chosen = [{"key": alarm_key(each.id), "version": each.version} for each in alarms]
    return {"verb": verb, "request_id": request_id, "alarms": chosen, **fields}


async def post(
    client: httpx.AsyncClient, verb: str, alarms: Sequence[Alarm], request_id: str = "request-1", **fields: Any
) -> httpx.Response:
    return await client.post("/api/v1/alarms/bulk", json=body(verb, alarms, request_id, **fields))


def under_way(name: str) -> int:
    """How many tasks of this name run."""
    return sum(each.get_name() == name for each in asyncio.all_tasks())


async def test_forty_faults_are_taken_at_once_and_each_has_its_own_event() -> None:
    """One press, forty requests: each names its own alarm and version and has its own line in its own journal."""
    async with running_web(small_site(rooms=ROOMS)) as web, web.officer("张师傅") as client:
        alarms = faults(web, 40)
        answer = await post(client, "take", alarms)
        assert answer.status_code == 200, answer.text
        told = answer.json()
        assert (told["request_id"], told["accepted"]) == ("request-1", 40)
        keys = [alarm_key(each.id) for each in alarms]
        wanted = [{"key": k, "is_accepted": True, "version": 2, "code": "", "detail": ""} for k in keys]
        assert told["alarms"] == wanted
        assert {each.id for each in web.gateway.requests} == {f"web/张师傅/request-1/{key}" for key in keys}
        for each in alarms:
            event = web.gateway.journal[each.id][-1]
            assert (event.kind, event.actor.name, event.version) == ("taken", "张师傅", 2)


@pytest.mark.parametrize("alarm_class", [each for each in AlarmClass if each not in CLASSES])
@pytest.mark.parametrize("verb", ["take", "silence", "close"])
async def test_one_alarm_of_danger_among_them_and_nothing_is_done(alarm_class: AlarmClass, verb: str) -> None:
    """Fire, gas, calls for help and security are looked at one by one: the whole request is refused, in words."""
    async with running_web(small_site(rooms=ROOMS)) as web, web.officer() as client:
        alarms = [*faults(web, 3), web.gateway.raise_alarm(alarm_class, room="0350")]
        answer = await post(client, verb, alarms, **(CLOSING if verb == "close" else {}))
        problem = answer.json()
        assert (answer.status_code, problem["code"]) == (409, "one_by_one")
        assert problem["alarms"] == [alarm_key(alarms[-1].id)]
        assert "逐条" in problem["detail"]
        assert web.gateway.requests == []


@pytest.mark.parametrize("alarm_class", CLASSES)
async def test_faults_warnings_upkeep_and_supervision_may_be_done_together(alarm_class: AlarmClass) -> None:
    """The four classes that are no danger to life."""
    async with running_web(small_site(rooms=ROOMS)) as web, web.officer() as client:
        alarms = faults(web, 2, alarm_class)
        assert (await post(client, "take", alarms)).json()["accepted"] == 2


async def test_one_that_is_refused_does_not_stop_the_others_and_says_why() -> None:
    """Somebody else was first at one, one is unknown: those two are told in words, the rest is done."""
    async with running_web(small_site(rooms=ROOMS)) as web, web.officer("李姐") as li, web.officer("张师傅") as client:
        alarms = faults(web, 5)
        first = {"version": 1, "request_id": "by-li-01"}
        assert (await li.post(verb_path(alarms[1], "take"), json=first)).status_code == 200
        asked = body("take", alarms)
        asked["alarms"].append({"key": alarm_key("nothing:of:1"), "version": 1})
        answer = await client.post("/api/v1/alarms/bulk", json=asked)
        told = answer.json()
        assert (answer.status_code, told["accepted"]) == (200, 4)
        assert [each["is_accepted"] for each in told["alarms"]] == [True, False, True, True, True, False]
        stale, unknown = told["alarms"][1], told["alarms"][-1]
        assert (stale["code"], stale["version"]) == ("stale_version", 2)
        assert "李姐" in stale["detail"]
        assert "接警" in stale["detail"]
        assert (unknown["code"], unknown["version"]) == ("no_such_alarm", None)
        assert unknown["detail"] == "没有这条报警,请刷新画面。"


async def test_closing_many_needs_outcome_and_cause_and_each_rule_has_its_say() -> None:
    """What the rule does not know as an outcome is refused for that alarm alone."""
    async with running_web(small_site(rooms=ROOMS)) as web, web.officer() as client:
        alarms = faults(web, 3)
        assert (await post(client, "take", alarms[:2])).json()["accepted"] == 2
        now = [web.gateway.alarms[each.id] for each in alarms]
        wrong = (await post(client, "close", now, "closing-0", outcome="没这个", cause="停电")).json()
        assert [each["code"] for each in wrong["alarms"]] == ["bad_outcome", "bad_outcome", "not_taken"]
        told = (await post(client, "close", now, "closing-1", **CLOSING)).json()
        assert [each["code"] for each in told["alarms"]] == ["", "", "not_taken"]
        assert web.gateway.alarms[alarms[0].id].outcome == "误报"


async def test_the_same_request_again_gets_the_same_answer_and_happens_once() -> None:
    """A page that lost the answer asks again, also while the first is under way."""
    async with running_web(small_site(rooms=ROOMS)) as web, web.officer() as client:
        alarms = faults(web, 30)
        web.gateway.gate.clear()
        both = [asyncio.create_task(post(client, "take", alarms)) for _ in range(2)]
        await until(lambda: under_way("web-bulk") == 1)
        web.gateway.gate.set()
        answers = [await each for each in both] + [await post(client, "take", alarms)]
        assert len({each.text for each in answers}) == 1
        assert answers[0].json()["accepted"] == 30
        assert len(web.gateway.requests) == 30
        other = await post(client, "take", alarms[:-1])
        assert (other.status_code, other.json()["code"]) == (409, "request_id_reused")


async def test_a_single_verb_waits_for_one_piece_at_most() -> None:
    """Somebody clears forty faults; whoever takes a fire meanwhile does not wait for all of them."""
    async with running_web(small_site(rooms=ROOMS)) as web, web.officer() as client, web.officer("李姐") as li:
        alarms, fire = faults(web, 3 * PIECE - 10), web.gateway.raise_alarm(room="0350")
        web.gateway.gate.clear()
        many = asyncio.create_task(post(client, "take", alarms))
        await until(lambda: under_way("web-verb") == PIECE)
        one = asyncio.create_task(li.post(verb_path(fire, "take"), json={"version": 1, "request_id": "by-li-01"}))
        await until(lambda: under_way("web-verb") == PIECE + 1)
        web.gateway.gate.set()
        assert (await one).status_code == 200
        assert (await many).json()["accepted"] == len(alarms)
        order = [each.alarm_id for each in web.gateway.requests]
        assert order.index(fire.id) <= PIECE


async def test_too_many_at_a_time_are_refused_and_counted() -> None:
    """A program that posts without waiting fills no memory."""
    async with running_web(small_site(rooms=ROOMS)) as web, web.officer() as client:
        alarms = faults(web, MOST_UNDER_WAY + 1)
        web.gateway.gate.clear()
        running = [
            asyncio.create_task(post(client, "take", [each], f"request-{n}")) for n, each in enumerate(alarms[:-1])
        ]
        await until(lambda: under_way("web-bulk") == MOST_UNDER_WAY)
        answer = await post(client, "take", alarms[-1:], "one-more-1")
        assert (answer.status_code, answer.json()["code"]) == (503, "bulk_busy")
        assert web.counters.counts["web_bulks_refused", (("reason", "too_many"),)] == 1
        web.gateway.gate.set()
        assert [(await each).json()["accepted"] for each in running] == [1] * MOST_UNDER_WAY


async def test_only_duty_staff_and_supervisors_and_only_from_the_page() -> None:
    """As with single verbs: the role, the log-in and our header."""
    async with running_web(small_site(rooms=ROOMS)) as web:
        alarms = faults(web, 2)
        async with web.officer("王工", "installer") as installer:
            assert (await post(installer, "take", alarms)).json()["code"] == "wrong_role"
        async with web.client() as nobody:
            assert (await post(nobody, "take", alarms)).status_code == 401
        async with web.officer() as client:
            del client.headers["X-Shouwang"]
            assert (await post(client, "take", alarms)).status_code == 403
        assert web.gateway.requests == []


async def test_a_malformed_request_reaches_nobody() -> None:
    """Another verb, none or too many alarms, one twice, an outcome that is missing or too much: 422 with the place."""
    async with running_web(small_site(rooms=ROOMS)) as web, web.officer() as client:
        two = faults(web, 2)
        many = [{"key": f"k{n}", "version": 1} for n in range(MOST + 1)]
        wrong: list[dict[str, Any]] = [
            *(body(str(verb), two) for verb in Verb if verb not in {Verb.TAKE, Verb.SILENCE, Verb.CLOSE}),
            body("take", []), {**body("take", []), "alarms": many}, body("take", [two[0], two[0]]),
            body("take", two, **CLOSING), body("close", two), body("close", two, outcome="误报"),
            body("close", two, outcome="误报", cause="  "), body("take", two, "short"),
        ]  # fmt: skip
        for each in wrong:
            answer = await client.post("/api/v1/alarms/bulk", json=each)
            assert (answer.status_code, answer.json()["code"]) == (422, "invalid"), each
            assert answer.json()["errors"]
        assert web.gateway.requests == []


async def test_two_hundred_alarms_with_long_names_fit_into_a_request() -> None:
    """The most that may be chosen passes the limit on bodies; any other address keeps the small limit."""
    rooms = [f"地下充电区东侧配电间{n:03d}" for n in range(MOST)]
    async with running_web(small_site(rooms=rooms)) as web, web.officer() as client:
        alarms = [web.gateway.raise_alarm(AlarmClass.FAULT, room=each) for each in rooms]
        answer = await post(client, "take", alarms)
        assert (answer.status_code, answer.json()["accepted"]) == (200, MOST)
        path = verb_path(alarms[0], "note")
        assert (await client.post(path, json=body("take", alarms))).status_code == 413
