"""The reading side of the API, on a real socket: who may read, what it looks like, what a browser is told."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest
from pydantic import BaseModel

from gateway.model import SYSTEM, Alarm, AlarmClass
from gateway.web import marks, reports, schemas
from gateway.web.ports import Health, UplinkHealth
from gateway.web.shield import MAX_BODY
from gateway.web.views import alarm_key
from tests.support_web import PASSWORD, Running, running_web, small_site, verb_path

OPEN_TO_ALL = {"/api/v1/session", "/api/v1/openapi.json", "/healthz", "/metrics"}


async def finished(web: Running, client: httpx.AsyncClient, room: str = "0301") -> Alarm:
    """An alarm that has been through everything."""
    alarm = web.gateway.raise_alarm(room=room)
    steps: list[tuple[str, dict[str, Any]]] = [
        ("take", {}),
        ("close", {"outcome": "误报", "cause": "油烟"}),
        ("reset", {}),
    ]
    for verb, fields in steps:
        if verb == "reset":
            web.gateway.clear(alarm)
        asked = {"version": web.gateway.alarms[alarm.id].version, "request_id": f"{room}-{verb}-{alarm.occurrence}"}
        answer = await client.post(verb_path(alarm, verb), json={**asked, **fields})
        assert answer.status_code == 200, answer.text
    return web.gateway.alarms[alarm.id]


async def test_nothing_about_the_site_is_told_without_a_log_in() -> None:
    """Every address that OpenAPI lists asks who you are, except the few that must not."""
    async with running_web() as web, web.client() as client:
        key = alarm_key(web.gateway.raise_alarm().id)
        paths = (await client.get("/api/v1/openapi.json")).json()["paths"]
        asked = 0
        for path, methods in paths.items():
            if "get" not in methods or path in OPEN_TO_ALL:
                continue
            answer = await client.get(path.replace("{key}", key))
            assert (answer.status_code, answer.json()["code"]) == (401, "not_signed_in"), path
            asked += 1
        assert asked >= 7


@pytest.fixture
def answers() -> list[tuple[str, type[BaseModel]]]:
    return [
        ("/api/v1/session", schemas.SessionOut),
        ("/api/v1/status", schemas.StatusOut),
        ("/api/v1/alarms", schemas.AlarmList),
        ("/api/v1/alarms/{key}", schemas.AlarmDetail),
        ("/api/v1/alarms/{key}/events", schemas.EventList),
        ("/api/v1/alarms/{key}/notices", reports.NoticeList),
        ("/api/v1/records", schemas.RecordList),
        ("/api/v1/marks", marks.MarkList),
        ("/api/v1/devices", schemas.DeviceList),
        ("/healthz", schemas.HealthOut),
    ]


async def test_every_answer_is_what_openapi_says(answers: list[tuple[str, type[BaseModel]]]) -> None:
    """Who writes a program from our OpenAPI gets exactly those fields."""
    async with running_web() as web, web.officer() as client:
        await finished(web, client)
        web.counters.count("inputs_refused", bus="field", reason="bad_json")
        key = alarm_key(web.gateway.raise_alarm(AlarmClass.SOS, room="0302").id)
        paths = (await client.get("/api/v1/openapi.json")).json()["paths"]
        for path, model in answers:
            answer = await client.get(path.replace("{key}", key))
            assert answer.status_code == 200
            assert answer.headers["cache-control"] == "no-store"
            model.model_validate_json(answer.text)
            announced = paths[path]["get"]["responses"]["200"]["content"]["application/json"]["schema"]["$ref"]
            assert announced.endswith("/" + model.__name__)


async def test_the_list_is_in_duty_order() -> None:
    """Class first, then those nobody has taken, then the oldest."""
    async with running_web() as web, web.officer() as client:
        taken = web.gateway.raise_alarm(room="0301")
        web.gateway.raise_alarm(AlarmClass.FAULT)
        web.gateway.raise_alarm(AlarmClass.SOS)
        web.gateway.raise_alarm(room="0302")
        await client.post(verb_path(taken, "take"), json={"version": 1, "request_id": "request-1"})
        listed = (await client.get("/api/v1/alarms")).json()["alarms"]
        assert [(each["class"], each["handling"]) for each in listed] == [
            ("fire", "new"),
            ("fire", "taken"),
            ("sos", "new"),
            ("fault", "new"),
        ]


async def test_a_confirmed_fire_leads_those_it_consists_of() -> None:
    """It is the newest of the three, and the first that people must see."""
    async with running_web() as web, web.officer() as client:
        smoke = web.gateway.raise_alarm(room="0301")
        web.gateway.raise_alarm(room="0302")
        data = {"rule": "fire-confirmed", "point": "@zone:A", "device": "", "occurrence": 1, "class": "fire",
                "title": "确认火警", "place": "A", "value": 2, "latches": True, "sounds": True}  # fmt: skip
        confirmed = web.gateway.tell("fire-confirmed:@zone:A:1", "raised", SYSTEM, data)
        listed = (await client.get("/api/v1/alarms")).json()["alarms"]
        assert [each["id"] for each in listed][:2] == [confirmed.id, smoke.id]


async def test_an_alarm_comes_with_what_to_do() -> None:
    """The plan of the rule and the outcomes it may end with are beside the alarm; ids with slashes are no obstacle."""
    async with running_web() as web, web.officer() as client:
        alarm = web.gateway.raise_alarm()
        detail = (await client.get(f"/api/v1/alarms/{alarm_key(alarm.id)}")).json()
        assert detail["alarm"]["id"] == alarm.id
        assert detail["rule"]["plan"] == ["派人到场", "回拨住户", "核实"]
        assert detail["rule"]["outcomes"] == ["真实火警", "误报", "测试"]


async def test_records_are_read_page_by_page() -> None:
    """Every ended alarm is found once, the newest first."""
    async with running_web() as web, web.officer() as client:
        ended = [(await finished(web, client)).id for _ in range(5)]
        found: list[str] = []
        path = "/api/v1/records?limit=2"
        for _ in range(3):
            page = (await client.get(path)).json()
            found += [each["id"] for each in page["records"]]
            path = f"/api/v1/records?limit=2&before={page['next']}"
        assert page["next"] is None
        assert found == ended[::-1]


async def test_devices_are_read_by_state_and_page() -> None:
    """Every device that cannot be heard can be looked up: none is cut off in silence."""
    site = small_site(rooms=[f"{n:04d}" for n in range(1, 8)])
    async with running_web(site) as web, web.officer() as client:
        first = (await client.get("/api/v1/devices?state=unknown&limit=4")).json()
        rest = (await client.get("/api/v1/devices", params={"limit": 4, "after": first["next"]})).json()
        assert first["total"] == 7
        assert [each["id"] for each in first["devices"] + rest["devices"]] == sorted(site.devices)
        assert rest["next"] is None
        assert (await client.get("/api/v1/devices?state=online")).json()["total"] == 0


@pytest.mark.parametrize("query", ["limit=0", "limit=501", "limit=x", "before=AAAA", "before=" + "x" * 2000])
async def test_a_wrong_question_is_a_problem_not_a_crash(query: str) -> None:
    """Bad parameters are answered with what is wrong."""
    async with running_web() as web, web.officer() as client:
        answer = await client.get(f"/api/v1/records?{query}")
        assert (answer.status_code, answer.json()["code"]) == (422, "invalid")


@pytest.mark.parametrize("key", ["YWJj", "%00", "..%2f..%2fetc", "a" * 3000])
async def test_an_unknown_alarm_is_not_found(key: str) -> None:
    """A mangled address says so."""
    async with running_web() as web, web.officer() as client:
        for path in (f"/api/v1/alarms/{key}", f"/api/v1/alarms/{key}/events"):
            assert (await client.get(path)).status_code == 404


async def test_bad_input_is_visible_by_reason() -> None:
    """What was refused or lost is on the status page and in the metrics, each with its reason."""
    async with running_web() as web, web.officer() as client:
        web.counters.count("inputs_refused", 3, bus="field", reason="bad_json")
        web.counters.count("inbox_dropped", 2)
        web.counters.count("modbus_polls", 9)
        drops = (await client.get("/api/v1/status")).json()["drops"]
        assert {"name": "inputs_refused", "labels": {"bus": "field", "reason": "bad_json"}, "count": 3} in drops
        assert {"name": "inbox_dropped", "labels": {}, "count": 2} in drops
        assert "modbus_polls" not in {each["name"] for each in drops}
        text = (await client.get("/metrics")).text
        assert 'shouwang_inputs_refused_total{bus="field",reason="bad_json"} 3.0' in text


async def test_the_metrics_count_alarms_and_devices() -> None:
    """Prometheus sees what the console sees, and how much memory it takes."""
    async with running_web() as web, web.client() as client:
        web.gateway.raise_alarm()
        web.counters.gauge("bus_up", 1.0, bus="field")
        text = (await client.get("/metrics")).text
        for line in (
            'shouwang_alarms_open{class="fire"} 1.0',
            'shouwang_devices{state="unknown"} 2.0',
            'shouwang_bus_up{bus="field"} 1.0',
            "shouwang_alarms_untaken 1.0",
        ):
            assert line in text
        assert "process_resident_memory_bytes" in text


async def test_metrics_are_free_on_the_machine_itself_only() -> None:
    """Behind a proxy on the same machine everybody would look local: then a log-in is asked for."""
    async with running_web() as web, web.client() as client:
        await web.add_user()
        proxied = {"X-Forwarded-For": "203.0.113.9"}
        refused = await client.get("/metrics", headers=proxied)
        assert refused.status_code == 401
        assert refused.headers["www-authenticate"].startswith("Basic")
        wrong = await client.get("/metrics", headers=proxied, auth=("张师傅", "wrong"))
        assert wrong.status_code == 403
        right = await client.get("/metrics", headers=proxied, auth=("张师傅", PASSWORD))
        assert right.status_code == 200


async def test_health_says_whether_the_gateway_can_do_its_job_and_no_more() -> None:
    """A watchdog needs no password and learns nothing else."""
    async with running_web() as web, web.client() as client:
        assert (await client.get("/healthz")).json() == {"status": "ok", "reasons": [], "notes": []}
        web.gateway.state = Health(("store",), {"field": False}, {"cloud": UplinkHealth(False, 9)})
        answer = await client.get("/healthz")
        assert answer.status_code == 503
        assert answer.json() == {"status": "unavailable", "reasons": ["store"], "notes": []}


@pytest.mark.parametrize("length", ["Content-Length: 10000000", "Transfer-Encoding: chunked"])
async def test_a_huge_body_is_cut_off_before_it_has_come(length: str) -> None:
    """Ten megabytes of password cost the gateway sixteen kilobytes: it answers without waiting for the rest."""
    async with running_web() as web, web.client() as client:
        host, port = web.url.removeprefix("http://").split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        head = f"POST /api/v1/login HTTP/1.1\r\nHost: {host}\r\n{length}\r\n\r\n"
        some = b"%x\r\n%s\r\n" % (MAX_BODY + 1, b" " * (MAX_BODY + 1))
        writer.write(head.encode() + some)
        async with asyncio.timeout(3):
            assert (await reader.readline()).startswith(b"HTTP/1.1 413")
        writer.close()
        assert (await client.get("/healthz")).status_code == 200


@pytest.mark.parametrize("content", [b"{", b"\xff\xfe", b"[]", b'{"name": NaN}', b"null", b"[" * 10_000])
async def test_a_body_that_is_no_request_is_refused_in_words(content: bytes) -> None:
    """Nonsense is answered with a problem, never with a traceback."""
    async with running_web() as web, web.client() as client:
        answer = await client.post("/api/v1/login", content=content, headers={"Content-Type": "application/json"})
        assert answer.status_code in (400, 422)
        assert answer.headers["content-type"] == "application/problem+json"


async def test_a_browser_is_told_to_trust_nothing_else() -> None:
    """No foreign script, no frame around the page, no guessing of types: on pages, answers and refusals alike."""
    async with running_web() as web, web.client() as client:
        for path in ("/", "/static/console.js", "/api/v1/session", "/api/v1/alarms", "/nowhere"):
            headers = (await client.get(path)).headers
            policy = headers["content-security-policy"]
            assert "default-src 'self'" in policy
            assert "frame-ancestors 'none'" in policy
            assert "unsafe" not in policy
            assert headers["x-content-type-options"] == "nosniff"
            assert "server" not in headers


async def test_the_page_holds_no_inline_script_or_style() -> None:
    """The policy would block them, and the page would look dead."""
    async with running_web() as web, web.client() as client:
        page = (await client.get("/")).text
        assert "<script type=" in page
        assert " style=" not in page
        assert "<style" not in page
        assert " on" + "click" not in page
        for part in ("http://", "https://", "//cdn"):
            assert part not in page


async def test_static_files_are_only_what_lies_there() -> None:
    """No path leads out of the folder, and an unchanged file is not sent twice."""
    async with running_web() as web, web.client() as client:
        answer = await client.get("/static/console.css")
        assert answer.headers["content-type"].startswith("text/css")
        again = await client.get("/static/console.css", headers={"If-None-Match": answer.headers["etag"]})
        assert (again.status_code, again.content) == (304, b"")
        for path in ("/static/../app.py", "/static/%2e%2e%2fapp.py", "/static/app.py", "/static/"):
            assert (await client.get(path)).status_code == 404


async def test_there_is_no_documentation_page_that_loads_from_elsewhere() -> None:
    """A gateway without internet has no use for it; the OpenAPI file itself is there."""
    async with running_web() as web, web.client() as client:
        assert (await client.get("/docs")).status_code == 404
        assert (await client.get("/redoc")).status_code == 404
        assert (await client.get("/api/v1/openapi.json")).json()["openapi"].startswith("3.")
