"""GET /api/v1/passes, on a real socket: who may read it, what it looks like, page by page."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from gateway.web.passes import PassList
from tests.support_web import running_web

START = datetime(2026, 1, 15, 2, 0, tzinfo=UTC)


def record(seq: int, device_id: str = "3-2-03-0301/smoke") -> dict[str, object]:
    at = START + timedelta(minutes=seq)
    return {
        "seq": seq, "at": at, "device_at": at, "device_id": device_id, "credential": f"C{seq}", "way": "card",
        "direction": "in", "result": "granted",
    }  # fmt: skip


async def test_passes_are_told_to_those_who_are_logged_in_only() -> None:
    """Where people go is personal: without a log-in nothing is said."""
    async with running_web() as web:
        web.gateway.doors += [record(1)]
        async with web.client() as client:
            assert (await client.get("/api/v1/passes")).status_code == 401


async def test_passes_come_newest_first_page_by_page() -> None:
    """Three pages of a record of five, each with the door's title and place, and an end."""
    async with running_web() as web, web.officer() as client:
        web.gateway.doors += [record(seq) for seq in range(1, 6)]
        before, read = "", []
        while True:
            body = (await client.get(f"/api/v1/passes?limit=2{before}")).json()
            PassList.model_validate(body)
            read += [each["seq"] for each in body["passes"]]
            if body["next"] is None:
                break
            before = f"&before={body['next']}"
        assert read == [5, 4, 3, 2, 1]
        first = (await client.get("/api/v1/passes?device=3-2-03-0301/smoke&limit=1")).json()["passes"][0]
        assert (first["place"], first["credential"], first["result"]) == ("3-2-03-0301", "****", "granted")
        assert (await client.get("/api/v1/passes?device=nosuch")).json() == {"passes": [], "next": None}


async def test_whoever_is_shown_whole_numbers_is_on_record_page_by_page() -> None:
    """A supervisor who takes the record away leaves a trail of what was asked; an officer sees nothing whole."""
    async with running_web() as web, web.officer("王主管", "supervisor") as chief, web.officer() as officer:
        web.gateway.doors += [record(seq) for seq in range(1, 6)]
        page = (await chief.get("/api/v1/passes?limit=3")).json()
        await chief.get(f"/api/v1/passes?limit=3&before={page['next']}")
        await officer.get("/api/v1/passes?limit=3")
        seen = [
            (who.name, what["before"], what["limit"]) for who, action, what in web.users.trail if "passes" in action
        ]
        assert seen == [("王主管", None, 3), ("王主管", page["next"], 3)]
