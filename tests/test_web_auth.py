"""Who may use the console: set-up, log-in, sessions, cross-site protection."""

from __future__ import annotations

import re
import resource
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from gateway.clock import ManualClock
from gateway.model import Now
from gateway.web.auth import CODE_LETTERS, Passwords, new_setup_code
from gateway.web.limits import MAX_KEYS, WINDOW_S, FailureLimiter, network_of
from tests.support_web import PASSWORD, SETUP_CODE, Running, running_web

NOON = Now(datetime(2026, 1, 1, 4, tzinfo=UTC), 1000.0)
FIRST = {"code": SETUP_CODE, "name": "李姐", "password": PASSWORD}


async def fail_to_log_in(web: Running, name: str, times: int) -> list[int]:
    async with web.client() as client:
        body = {"name": name, "password": "wrong"}
        return [(await client.post("/api/v1/login", json=body)).status_code for _ in range(times)]


async def test_the_first_account_needs_the_code_and_logs_in() -> None:
    """There is no default password: whoever can read the gateway's start-up output makes the first account, once."""
    async with running_web() as web, web.client() as client:
        assert (await client.get("/api/v1/session")).json()["needs_setup"] is True
        wrong = await client.post("/api/v1/setup", json={**FIRST, "code": "AAAA-AAAA-AAAA"})
        assert (wrong.status_code, wrong.json()["code"]) == (403, "wrong_code")
        typed = SETUP_CODE.lower().replace("-", " ")
        done = await client.post("/api/v1/setup", json={**FIRST, "code": typed})
        assert done.status_code == 204
        session = (await client.get("/api/v1/session")).json()
        assert (session["user"], session["role"], session["needs_setup"]) == ("李姐", "supervisor", False)
        again = await client.post("/api/v1/setup", json={**FIRST, "name": "别人"})
        assert again.json()["code"] == "already_set_up"
        assert web.users.users["李姐"].password_hash.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
        assert [action for _, action, _ in web.users.trail] == ["setup"]


async def test_a_wrong_code_is_said_before_a_weak_password() -> None:
    """Nobody invents three passwords before hearing that the code was mistyped."""
    async with running_web() as web, web.client() as client:
        wrong = await client.post("/api/v1/setup", json={**FIRST, "code": "AAAA", "password": "short"})
        assert (wrong.status_code, wrong.json()["code"]) == (403, "wrong_code")
        assert "一次性代码" in wrong.json()["detail"]
        weak = await client.post("/api/v1/setup", json={**FIRST, "password": "short"})
        assert (weak.status_code, weak.json()["code"]) == (422, "weak_password")


@pytest.mark.parametrize("password", ["short", "1" * 20, "a" * 129])
async def test_a_weak_password_is_refused(password: str) -> None:
    """Seven letters, or the same one twenty times, do not guard a gateway."""
    async with running_web() as web, web.client() as client:
        answer = await client.post("/api/v1/setup", json={**FIRST, "password": password})
        assert answer.status_code == 422
        assert password not in answer.text
        assert not web.users.users


async def test_the_cookie_is_out_of_reach() -> None:
    """No script and no other site can use the session, and a copy of the database logs nobody in."""
    async with running_web() as web, web.client() as client:
        await web.add_user()
        answer = await client.post("/api/v1/login", json={"name": "张师傅", "password": PASSWORD})
        cookie = answer.headers["set-cookie"]
        assert re.search(r"; HttpOnly; Max-Age=43200; Path=/; SameSite=strict$", cookie)
        assert client.cookies["shouwang_session"] not in web.users.sessions


@pytest.mark.parametrize(("name", "password"), [("张师傅", "wrong"), ("谁", PASSWORD), ("张师傅", PASSWORD + " ")])
async def test_a_wrong_name_reads_like_a_wrong_password(name: str, password: str) -> None:
    """A stranger does not learn who works here."""
    async with running_web() as web, web.client() as client:
        await web.add_user()
        answer = await client.post("/api/v1/login", json={"name": name, "password": password})
        assert (answer.status_code, answer.json()["code"]) == (403, "wrong_password")
        assert "set-cookie" not in answer.headers
        assert web.users.trail[-1][1] == "login_failed"


async def test_guessing_is_slowed_down_and_others_are_not_locked_out() -> None:
    """After five failures this name has to wait at this address; a colleague beside it logs in."""
    async with running_web(clock=ManualClock(NOON)) as web, web.client() as client:
        await web.add_user()
        await web.add_user("李姐")
        assert await fail_to_log_in(web, "张师傅", 6) == [403] * 5 + [429]
        right = {"name": "张师傅", "password": PASSWORD}
        answer = await client.post("/api/v1/login", json=right)
        assert answer.status_code == 429
        assert answer.headers["retry-after"] == "300"
        assert "300 秒" in answer.json()["detail"]
        assert (await client.post("/api/v1/login", json={**right, "name": "李姐"})).status_code == 204
        web.gateway.clock.set(NOON._replace(mono_s=NOON.mono_s + WINDOW_S))  # type: ignore[attr-defined]
        assert (await client.post("/api/v1/login", json=right)).status_code == 204


async def test_guessing_the_code_is_slowed_down_too() -> None:
    """The one-time code cannot be tried out."""
    async with running_web() as web, web.client() as client:
        tries = [await client.post("/api/v1/setup", json={**FIRST, "code": "no"}) for _ in range(6)]
        assert [each.status_code for each in tries] == [403] * 5 + [429]


def test_the_table_of_failures_is_bounded_and_keeps_the_latest() -> None:
    """Inventing names fills no memory and does not wash one's own failures away."""
    limiter = FailureLimiter()
    for n in range(MAX_KEYS * 2):
        limiter.failed("attacker", 0.0)
        limiter.failed(f"name {n}", 0.0)
    assert limiter.wait_s("attacker", 5, 1.0) == WINDOW_S - 1.0
    assert limiter.wait_s("name 0", 1, 1.0) == 0.0


def test_one_household_is_one_sender() -> None:
    """An IPv6 sender cannot walk through its own 2^64 addresses."""
    assert network_of("2001:db8:0:1::5") == network_of("2001:db8:0:1:ffff::9")
    assert network_of("::ffff:192.0.2.7") == network_of("192.0.2.7")
    assert network_of("nonsense") == "unknown"


async def test_a_session_ends_after_twelve_hours() -> None:
    """A screen left open over night asks again."""
    clock = ManualClock(NOON)
    async with running_web(clock=clock) as web, web.officer() as client:
        assert (await client.get("/api/v1/alarms")).status_code == 200
        clock.set(NOON._replace(utc=NOON.utc + timedelta(hours=12)))
        assert (await client.get("/api/v1/alarms")).status_code == 401


async def test_logging_out_ends_the_session_at_the_gateway() -> None:
    """A copied cookie is worth nothing after 退出."""
    async with running_web() as web, web.officer() as client:
        copied = dict(client.cookies)
        assert (await client.post("/api/v1/logout")).status_code == 204
        async with web.client() as thief:
            thief.cookies.update(copied)
            assert (await thief.get("/api/v1/alarms")).status_code == 401
        assert web.users.trail[-1][1] == "logout"


@pytest.mark.parametrize("headers", [{"X-Shouwang": ""}, {"Origin": "https://evil.example"}, {"Origin": "null"}])
async def test_another_sites_page_cannot_act(headers: dict[str, str]) -> None:
    """A link in an e-mail cannot reset an alarm from a logged-in browser."""
    async with running_web() as web, web.officer() as client:
        if "X-Shouwang" in headers:
            del client.headers["X-Shouwang"]
            headers = {}
        answer = await client.post("/api/v1/logout", headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (403, "cross_site")


async def test_supervisors_add_people_and_others_do_not() -> None:
    """Everybody has an own name in the records; who may log in is the supervisor's decision."""
    person = {"name": "王工", "role": "installer", "password": PASSWORD}
    async with running_web() as web:
        async with web.officer("主任", "supervisor") as client:
            assert (await client.post("/api/v1/users", json=person)).status_code == 204
            assert (await client.post("/api/v1/users", json=person)).json()["code"] == "name_taken"
        async with web.officer("张师傅", "duty") as client:
            assert (await client.post("/api/v1/users", json={**person, "name": "x"})).json()["code"] == "wrong_role"
        assert set(web.users.users) == {"主任", "王工", "张师傅"}


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs Linux: memory is read from /proc")
async def test_checking_passwords_keeps_no_memory() -> None:
    """Each check takes 19 MiB; a day of log-ins must not keep that for every thread."""
    passwords = Passwords()
    kept = await passwords.hash(PASSWORD)
    before = resident_mib()
    for _ in range(8):
        assert await passwords.matches(kept, PASSWORD)
    assert resident_mib() - before < 10


def resident_mib() -> float:
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() / 2**20


def test_a_setup_code_can_be_read_aloud() -> None:
    """Twelve letters that nobody confuses, never the same twice."""
    codes = {new_setup_code() for _ in range(50)}
    assert len(codes) == 50
    assert all(re.fullmatch(f"([{CODE_LETTERS}]{{4}}-){{2}}[{CODE_LETTERS}]{{4}}", each) for each in codes)
