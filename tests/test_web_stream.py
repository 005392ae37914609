"""The event stream on a real socket: what comes, how soon, and how it ends."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from typing import Any

import httpx
import orjson
import pytest

from gateway.web.live import QUEUE_FRAMES
from gateway.web.ports import Health
from tests.support_core import until
from tests.support_web import Running, running_web


@contextlib.asynccontextmanager
async def console(client: httpx.AsyncClient) -> AsyncIterator[AsyncIterator[tuple[str, dict[str, Any]]]]:
    """The events of one console, as (event, body)."""
    async with client.stream("GET", "/api/v1/stream") as answer:
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/event-stream")
        yield events(answer)


async def events(answer: httpx.Response) -> AsyncIterator[tuple[str, dict[str, Any]]]:
    event = ""
    async for line in answer.aiter_lines():
        if line.startswith("event: "):
            event = line.removeprefix("event: ")
        elif line.startswith("data: "):
            yield event, orjson.loads(line.removeprefix("data: "))


async def next_of(stream: AsyncIterator[tuple[str, dict[str, Any]]], event: str) -> dict[str, Any]:
    async with asyncio.timeout(5):
        async for kind, body in stream:
            if kind == event:
                return body
    raise AssertionError("the stream ended")


async def test_an_alarm_is_on_the_stream_at_once() -> None:
    """From commit to console well under two seconds, and the next beat agrees with it."""
    async with running_web() as web, web.officer() as client, console(client) as stream:
        snapshot = await next_of(stream, "snapshot")
        before = asyncio.get_running_loop().time()
        alarm = web.gateway.raise_alarm()
        change = await next_of(stream, "change")
        assert asyncio.get_running_loop().time() - before < 1.0
        assert change["alarms"][0]["id"] == alarm.id
        assert change["revision"] == snapshot["revision"] + 1
        beat = await next_of(stream, "beat")
        assert beat["revision"] == change["revision"]
        assert beat["counts"]["by_class"]["fire"] == 1


async def test_beats_come_every_two_seconds() -> None:
    """A quiet night and a dead gateway do not look the same."""
    async with running_web() as web, web.officer() as client, console(client) as stream:
        await next_of(stream, "beat")
        before = asyncio.get_running_loop().time()
        await next_of(stream, "beat")
        assert 1.0 < asyncio.get_running_loop().time() - before < 3.0


async def test_a_heartbeat_that_fails_is_silence_and_comes_back() -> None:
    """Trouble while counting must show as a stale screen, not stop the web server."""
    async with running_web() as web, web.officer() as client, console(client) as stream:
        await next_of(stream, "beat")
        asked = 0

        def broken() -> Health:
            nonlocal asked
            asked += 1
            raise RuntimeError("no health")

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(web.gateway, "health", broken)
            web.gateway.raise_alarm()
            await until(lambda: asked >= 1)
        web.gateway.raise_alarm(room="0302")
        beat = await next_of(stream, "beat")
        assert beat["counts"]["by_class"]["fire"] == 2, "no beat was sent while it failed"


async def test_logging_out_ends_the_stream() -> None:
    """退出 leaves no screen behind that still shows alarms."""
    async with running_web() as web, web.officer() as client, console(client) as stream:
        await next_of(stream, "snapshot")
        await client.post("/api/v1/logout")
        async with asyncio.timeout(5):
            async for _ in stream:
                pass
        assert web.live.subscribers == 0
        assert (await client.get("/api/v1/stream")).status_code == 401


async def test_a_console_that_goes_away_is_forgotten() -> None:
    """Closed browsers do not pile up."""
    async with running_web() as web, web.officer() as client:
        async with console(client) as stream:
            await next_of(stream, "snapshot")
            assert web.live.subscribers == 1
        await until(lambda: web.live.subscribers == 0)


async def open_raw(web: Running, cookie: str) -> socket.socket:
    """A console that connects and then reads nothing."""
    host, port = web.url.removeprefix("http://").split(":")
    raw = socket.socket()
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    raw.setblocking(False)
    loop = asyncio.get_running_loop()
    await loop.sock_connect(raw, (host, int(port)))
    request = f"GET /api/v1/stream HTTP/1.1\r\nHost: {host}:{port}\r\nCookie: shouwang_session={cookie}\r\n\r\n"
    await loop.sock_sendall(raw, request.encode())
    return raw


async def test_a_console_that_does_not_read_is_dropped_while_others_go_on() -> None:
    """A frozen browser with a full socket holds neither memory nor the other screens."""
    async with running_web() as web, web.officer() as client:
        frozen = await open_raw(web, client.cookies["shouwang_session"])
        with contextlib.closing(frozen):
            await until(lambda: web.live.subscribers == 1)
            async with console(client) as stream:
                await next_of(stream, "snapshot")
                alarm = web.gateway.raise_alarm()
                await next_of(stream, "change")
                sent = 0
                while not web.counters.total("web_streams_dropped") and sent < QUEUE_FRAMES * 40:
                    sent += 1
                    web.gateway.tell(alarm.id, "noted", web.gateway.journal[alarm.id][0].actor, {"text": "x" * 900})
                    await next_of(stream, "change")
                assert sent > QUEUE_FRAMES
                assert web.counters.total("web_streams_dropped", reason="slow") == 1
                assert web.live.subscribers == 1
                web.gateway.raise_alarm(room="0302")
                assert (await next_of(stream, "change"))["alarms"][0]["place"] == "3-2-03-0302"


async def test_the_server_stops_although_consoles_listen() -> None:
    """Ctrl-C does not hang on an open browser."""
    async with running_web() as web, web.officer() as client, console(client) as stream:
        await next_of(stream, "snapshot")
        before = asyncio.get_running_loop().time()
        await web.stop()
        assert asyncio.get_running_loop().time() - before < 1.5
