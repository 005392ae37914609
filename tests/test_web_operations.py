"""Operating by hand over HTTP on a real socket: what is offered, who may, what became of it; pictures; numbers."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from gateway.model import AlarmClass, Offer, Operate, Point, Reply, Scope, Site, Verb
from gateway.web.schemas import AlarmDetail, OfferList, OperatedOut, OperationList, OperationOut
from gateway.web.views import alarm_key
from tests.support_web import Running, running_web, small_site, verb_path

DEVICE = "3-2-03-0301/smoke"
UNLOCK = f"{DEVICE}/unlock"
PICTURE = "http://10.0.3.21/snapshot.jpg?width=640"
START_MS = 1_768_442_400_000


def a_site(picture: str = PICTURE) -> Site:
    """The detector of 0301 can be unlocked, and has a picture; its gas rule offers that."""
    site = small_site()
    of = site.devices[DEVICE]
    unlock = Point(UNLOCK, DEVICE, "unlock", "bool", title="开门一次", is_writable=True,
                   operate=Operate(("duty",), (True,), 5.0))  # fmt: skip
    devices = {**site.devices, DEVICE: replace(of, points=(*of.points, unlock), snapshot=picture)}
    offer = Offer("", "unlock", Scope.DEVICE, value=True, title="开门", title_en="Unlock")
    rules = [replace(each, offers=(offer,)) if each.alarm_class is AlarmClass.GAS else each for each in site.rules]
    return replace(site, devices=devices, rules=tuple(rules))


def operated(number: int, outcome: str | None = None) -> dict[str, Any]:
    return {
        "id": f"operate:web/张师傅/r{number}:{number}/{UNLOCK}", "point_id": UNLOCK, "value": "true",
        "outcome": outcome, "readback": "true" if outcome == "done" else None,
        "issued_ms": START_MS + number, "closed_ms": None,
        "detail": "", "by": "张师傅", "because": "", "expires_ms": START_MS + number + 5000,
    }  # fmt: skip


async def ask(client: httpx.AsyncClient, point: str = UNLOCK, *, value: object = True, name: str = "request-1") -> Any:
    return await client.post("/api/v1/operate", json={"point": point, "value": value, "request_id": name})


def commanding(web: Running, code: str = "", **detail: object) -> None:
    """The gateway answers requests to operate like this."""
    real = web.gateway.submit

    async def submit(request: Any) -> Reply:
        if request.verb is not Verb.OPERATE or request.alarm_id:
            return await real(request)
        web.gateway.requests.append(request)
        told = detail if code else {"command": operated(1)["id"]}
        return Reply(request.id, is_accepted=not code, code=code, detail=told)

    web.gateway.submit = submit  # type: ignore[method-assign]


async def test_a_point_is_operated_once_however_often_it_is_asked() -> None:
    """The same request_id is one request to the gateway, with who, what, until when; the answer names the operation."""
    async with running_web(a_site()) as web, web.officer() as client:
        commanding(web)
        answers = [await ask(client) for _ in range(3)]
        assert {each.text for each in answers} == {answers[0].text}
        told = OperatedOut.model_validate(answers[0].json())
        assert told.operation == alarm_key(operated(1)["id"])
        (request,) = web.gateway.requests
        assert (request.verb, request.alarm_id, dict(request.args)) == (
            Verb.OPERATE, "", {"point": UNLOCK, "value": "true"},
        )  # fmt: skip
        assert (request.actor.name, request.actor.role, request.actor.via) == ("张师傅", "duty", "console")
        assert 0 < (request.expires_at - request.at).total_seconds() <= 10


async def test_nobody_operates_without_a_log_in_or_from_another_site() -> None:
    """No session: 401; no header of ours: 403; a value of another kind: 422. Nothing reaches the gateway."""
    async with running_web(a_site()) as web:
        commanding(web)
        async with web.client() as client:
            assert (await ask(client)).status_code == 401
        async with web.officer() as client:
            del client.headers["X-Shouwang"]
            assert (await ask(client)).status_code == 403
        async with web.officer("李姐") as client:
            assert (await ask(client, value=[True])).status_code == 422
        assert web.gateway.requests == []


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("held", "火警(3-2)"),
        ("not_operable", "不允许"),
        ("never_by_software", "开阀要有人"),
        ("role_not_allowed", "权限"),
    ],
)
async def test_a_refusal_says_why_in_a_sentence(code: str, words: str) -> None:
    """What a fire holds is named with its place; nobody is left with a code."""
    async with running_web(a_site()) as web, web.officer() as client:
        commanding(web, code, title="火警", place="3-2")
        answer = await ask(client)
        assert (answer.status_code, answer.json()["code"]) == (409, code)
        assert words in answer.json()["detail"].replace("「", "").replace("」", "")


async def test_the_alarm_offers_its_door_and_shows_its_picture() -> None:
    """The officer sees the button in the rule's words and the address of the picture; then operates from the alarm."""
    async with running_web(a_site()) as web, web.officer() as client:
        alarm = web.gateway.raise_alarm(AlarmClass.GAS)
        found = AlarmDetail.model_validate((await client.get(f"/api/v1/alarms/{alarm_key(alarm.id)}")).json())
        (offer,) = found.offers
        assert (offer.point, offer.value, offer.title, offer.may_operate, offer.pulse_s) == (
            UNLOCK, True, "开门", True, 5.0,
        )  # fmt: skip
        assert found.picture == PICTURE
        english = (await client.get(f"/api/v1/alarms/{alarm_key(alarm.id)}?lang=en")).json()
        assert english["offers"][0]["title"] == "Unlock"
        given = {"version": 1, "request_id": "request-2", "point": UNLOCK, "value": True}
        refused = await client.post(verb_path(alarm, "operate"), json=given)
        assert (refused.status_code, refused.json()["code"]) == (409, "not_taken")
        await client.post(verb_path(alarm, "take"), json={"version": 1, "request_id": "request-3"})
        done = await client.post(verb_path(alarm, "operate"), json={**given, "version": 2, "request_id": "request-4"})
        assert (done.status_code, done.json()["version"]) == (200, 3)
        assert dict(web.gateway.requests[-1].args) == {"point": UNLOCK, "value": "true"}


async def test_the_installer_sees_no_people_and_may_not_open() -> None:
    """Pictures show people: they are for those who handle alarms; the offer says that this role may not use it."""
    async with running_web(a_site()) as web, web.officer("周工", "installer") as client:
        alarm = web.gateway.raise_alarm(AlarmClass.GAS)
        body = (await client.get(f"/api/v1/alarms/{alarm_key(alarm.id)}")).json()
        assert body["picture"] is None
        assert body["offers"][0]["may_operate"] is False


async def test_pictures_come_from_the_configured_hosts_and_nowhere_else() -> None:
    """The page may load images from exactly these, without saying where it is; without any, from nowhere else."""
    async with running_web(a_site()) as web, web.client() as client:
        headers = (await client.get("/healthz")).headers
        assert "; img-src 'self' http://10.0.3.21" in headers["content-security-policy"]
        assert "script-src" not in headers["content-security-policy"]
        assert headers["referrer-policy"] == "no-referrer"
    async with running_web() as web, web.client() as client:
        assert "img-src" not in (await client.get("/healthz")).headers["content-security-policy"]


async def test_what_became_of_it_is_asked_for_by_its_key() -> None:
    """Under way, then read back; page by page the newest first; what there is not is not found."""
    async with running_web(a_site()) as web, web.officer() as client:
        web.gateway.operated += [operated(1, "done"), operated(2), operated(3, "failed")]
        one = await client.get(f"/api/v1/operations/{alarm_key(operated(1)['id'])}")
        found = OperationOut.model_validate(one.json())
        assert (found.outcome, found.readback, found.by, found.device) == ("done", True, "张师傅", DEVICE)
        assert found.expires_at == datetime.fromtimestamp((START_MS + 5001) / 1000, UTC)
        page = OperationList.model_validate((await client.get("/api/v1/operations?limit=2")).json())
        assert [each.outcome for each in page.operations] == ["failed", None]
        rest = (await client.get(f"/api/v1/operations?limit=2&before={page.next}")).json()
        assert ([each["outcome"] for each in rest["operations"]], rest["next"]) == (["done"], None)
        assert (await client.get("/api/v1/operations/AAAA")).status_code == 404
        assert (await client.get("/api/v1/operations?before=AAAA")).status_code == 422
        listed = OfferList.model_validate((await client.get("/api/v1/operate")).json())
        assert [each.point for each in listed.points] == [UNLOCK]


def door_record(credential: str, way: str = "card") -> dict[str, object]:
    at = datetime(2026, 1, 15, 2, 0, tzinfo=UTC)
    return {
        "seq": 1, "at": at, "device_at": at, "device_id": DEVICE, "credential": credential, "way": way,
        "direction": "in", "result": "granted",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("role", "credential", "way", "shown"),
    [
        ("duty", "C10293847", "card", "****3847"),
        ("installer", "C10293847", "card", "****3847"),
        ("duty", "0301", "pin", "****"),
        ("duty", "", "button", ""),
        ("supervisor", "C10293847", "card", "C10293847"),
        ("duty", "李姐", "remote", "李姐"),
    ],
)
async def test_numbers_of_cards_are_masked_by_role(role: str, credential: str, way: str, shown: str) -> None:
    """Four signs tell two cards apart; the whole number is for supervisors; who opened from the desk is no secret."""
    async with running_web() as web, web.officer("某人", role) as client:
        web.gateway.doors.append(door_record(credential, way))
        assert (await client.get("/api/v1/passes")).json()["passes"][0]["credential"] == shown


async def test_looking_for_a_whole_number_is_for_supervisors_and_on_record() -> None:
    """Following one person is what such a record could be misused for."""
    async with running_web() as web:
        web.gateway.doors += [door_record("C10293847"), door_record("C555")]
        async with web.officer() as client:
            refused = await client.get("/api/v1/passes?credential=C10293847")
            assert (refused.status_code, refused.json()["code"]) == (403, "wrong_role")
        async with web.officer("王主管", "supervisor") as client:
            found = (await client.get("/api/v1/passes?credential=C10293847")).json()["passes"]
            assert [each["credential"] for each in found] == ["C10293847"]
        ((actor, action, detail),) = [each for each in web.users.trail if each[1] == "passes.searched"]
        assert (actor.name, action, detail["credential"]) == ("王主管", "passes.searched", "****3847")
        assert "C10293847" not in str(detail)
