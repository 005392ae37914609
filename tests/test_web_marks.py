"""Marks over the API: seen by everybody, set by whoever may, refused in a sentence."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.model import AlarmClass
from tests.support_web import running_web, verb_path

POINT = "3-2-03-0301/smoke/alarm"
DRILL: dict[str, Any] = {"mark": "drill", "scope": "building", "key": "3", "minutes": 60, "reason": "消防演练"}


async def test_a_mark_is_set_seen_and_lifted() -> None:
    """The supervisor sets a drill, the duty officer sees who did until when, and lifts it."""
    async with running_web() as web, web.officer("王主管", "supervisor") as boss, web.officer() as duty:
        asked = {**DRILL, "request_id": "request-1"}
        assert (await boss.post("/api/v1/marks", json=asked)).json() == {"request_id": "request-1"}
        assert (await boss.post("/api/v1/marks", json=asked)).status_code == 200  # no answer came: asked again
        assert len(web.gateway.requests) == 1
        (mark,) = (await duty.get("/api/v1/marks")).json()["marks"]
        assert (mark["mark"], mark["scope"], mark["key"], mark["by"]) == ("drill", "building", "3", "王主管")
        assert mark["reason"] == "消防演练"
        assert mark["until"] > mark["since"]
        lift = {"mark": "drill", "scope": "building", "key": "3", "request_id": "request-2"}
        assert (await duty.post("/api/v1/marks/lift", json=lift)).status_code == 200
        assert (await duty.get("/api/v1/marks")).json()["marks"] == []


@pytest.mark.parametrize(
    ("role", "change", "code", "says"),
    [
        ("duty", {}, "role_not_allowed", "请找主管"),
        ("supervisor", {"minutes": 241}, "too_long", "最多 240 分钟"),
        ("supervisor", {"minutes": None}, "missing_argument", "填全"),
        ("supervisor", {"key": "9"}, "unknown_target", "没有这个地方"),
        ("supervisor", {"mark": "disabled", "scope": "site", "key": "", "minutes": None}, "bad_argument", "不合要求"),
    ],
)
async def test_a_mark_that_may_not_be_set_is_refused_in_a_sentence(
    role: str, change: dict[str, Any], code: str, says: str
) -> None:
    """The caller reads what would be allowed."""
    async with running_web() as web, web.officer("某人", role) as client:
        answer = await client.post("/api/v1/marks", json={**DRILL, "request_id": "request-1", **change})
        assert (answer.status_code, answer.json()["code"]) == (409, code)
        assert says in answer.json()["detail"]
        assert not list(web.gateway.kept)


async def test_the_second_of_two_reads_who_was_first() -> None:
    """Two supervisors, one mark."""
    async with (
        running_web() as web,
        web.officer("王主管", "supervisor") as boss,
        web.officer("陈主管", "supervisor") as b,
    ):
        await boss.post("/api/v1/marks", json={**DRILL, "request_id": "request-1"})
        answer = await b.post("/api/v1/marks", json={**DRILL, "request_id": "request-1"})
        assert answer.json()["code"] == "already_marked"
        assert "王主管" in answer.json()["detail"]


@pytest.mark.parametrize("body", [{}, {**DRILL, "mark": "party"}, {**DRILL, "minutes": 0}, {**DRILL, "reason": " "}])
async def test_a_mark_that_makes_no_sense_does_not_reach_the_gateway(body: dict[str, Any]) -> None:
    """Shapes are checked at the border."""
    async with running_web() as web, web.officer("王主管", "supervisor") as boss:
        assert (await boss.post("/api/v1/marks", json={**body, "request_id": "request-1"})).status_code == 422
        assert not web.gateway.requests


async def test_a_shelved_alarm_shows_that_it_is() -> None:
    """Shelving over the API: silent, until when, by whom; a fire is refused in a sentence."""
    async with running_web() as web, web.officer() as duty:
        alarm = web.gateway.raise_alarm(AlarmClass.WARNING)
        asked = {"version": 1, "request_id": "request-1", "minutes": 30, "reason": "等备件"}
        assert (await duty.post(verb_path(alarm, "shelve"), json=asked)).status_code == 200
        (shown,) = (await duty.get("/api/v1/alarms")).json()["alarms"]
        assert (shown["isa_state"], shown["is_sounding"], shown["is_muted"]) == ("SHELVED", False, True)
        assert (shown["shelved_by"], shown["shelved_until_at"] > shown["raised_at"]) == ("张师傅", True)
        fire = web.gateway.raise_alarm()
        answer = await duty.post(verb_path(fire, "shelve"), json={**asked, "request_id": "request-2"})
        assert (answer.status_code, answer.json()["code"]) == (409, "not_shelvable")
        assert "不允许搁置" in answer.json()["detail"]


async def test_a_mark_is_no_verb_of_an_alarm() -> None:
    """There is no way to mark a place through an alarm's address."""
    async with running_web() as web, web.officer() as duty:
        alarm = web.gateway.raise_alarm()
        answer = await duty.post(verb_path(alarm, "mark"), json={"version": 1, "request_id": "request-1"})
        assert answer.status_code == 404
        assert not web.gateway.requests
