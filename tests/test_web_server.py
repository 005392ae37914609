"""Peers that connect and say nothing, on a real socket."""

from __future__ import annotations

import asyncio

import pytest

from gateway.web.server import MAX_PER_ADDRESS, PatientHttp
from tests.support_core import until
from tests.support_web import Running, running_web


async def connect(web: Running) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    host, port = web.url.removeprefix("http://").split(":")
    return await asyncio.open_connection(host, int(port))


async def is_ended(reader: asyncio.StreamReader) -> bool:
    """Has the gateway ended this connection without an answer?"""
    try:
        async with asyncio.timeout(5):
            return await reader.read() == b""
    except ConnectionError:
        return True


@pytest.mark.parametrize("start", [b"", b"GET / HTTP/1.1\r\n", b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\nGET / HT"])
async def test_who_never_finishes_a_request_is_cut_off(start: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """A silent peer, one that stops in the middle, and one that does so in its second request: no socket is kept."""
    monkeypatch.setattr(PatientHttp, "head_s", 0.3)
    async with running_web() as web:
        reader, writer = await connect(web)
        if b"\r\n\r\n" in start:
            head, second = start.split(b"\r\n\r\n")
            writer.write(head + b"\r\n\r\n")
            async with asyncio.timeout(3):
                assert b"200 OK" in await reader.readuntil(b"}")
            start = second
        writer.write(start)
        assert await is_ended(reader)
        assert web.counters.total("web_connections_dropped", reason="slow_head") == 1
        writer.close()
        async with web.client() as client:
            assert (await client.get("/healthz")).status_code == 200


async def test_a_letter_now_and_then_does_not_prolong_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """The time runs from the start of the request, not from the last byte."""
    monkeypatch.setattr(PatientHttp, "head_s", 0.3)
    async with running_web() as web:
        reader, writer = await connect(web)
        ended = asyncio.create_task(is_ended(reader))
        async with asyncio.timeout(3):
            while not ended.done():
                writer.write(b"X")
                await asyncio.wait({ended}, timeout=0.1)
        assert ended.result()
        writer.close()


async def test_a_request_that_takes_its_time_is_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    """A console's event stream outlives the time for a head."""
    monkeypatch.setattr(PatientHttp, "head_s", 0.3)
    async with running_web() as web, web.officer() as client, client.stream("GET", "/api/v1/stream") as answer:
        beats = 0
        async with asyncio.timeout(8):
            async for line in answer.aiter_lines():
                beats += line == "event: beat"
                if beats == 2:
                    break
        assert web.live.subscribers == 1
        assert not web.counters.total("web_connections_dropped")


async def test_one_address_does_not_take_every_connection() -> None:
    """What one machine opens beyond its share is refused at once and counted; the rest go on."""
    async with running_web() as web:
        peers = [await connect(web) for _ in range(MAX_PER_ADDRESS + 3)]
        await until(lambda: web.counters.total("web_connections_refused", reason="too_many") == 3)
        assert all([await is_ended(reader) for reader, _ in peers[-3:]])
        assert not peers[0][0].at_eof()
        for _, writer in peers:
            writer.close()
