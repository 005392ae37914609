"""The proxy that pulls the network."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest

from simulators.faults import Proxy
from tests.support_sim import until

Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def _echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while chunk := await reader.read(1000):
            writer.write(chunk)
            await writer.drain()
    writer.close()


@pytest.fixture
async def proxy() -> AsyncIterator[Proxy]:
    server = await asyncio.start_server(_echo, "127.0.0.1", 0)
    found = Proxy(server.sockets[0].getsockname()[1])
    await found.start()
    yield found
    await found.stop()
    server.close()


async def _connect(proxy: Proxy) -> Connection:
    return await asyncio.open_connection("127.0.0.1", proxy.port)


async def _echoed(connection: Connection, word: bytes = b"hello") -> bytes:
    connection[1].write(word)
    return await asyncio.wait_for(connection[0].readexactly(len(word)), 2)


async def test_it_passes_on_and_heals_on_the_same_port(proxy: Proxy) -> None:
    """Down cuts and refuses; up serves again where the client looks for it."""
    first = await _connect(proxy)
    assert await _echoed(first) == b"hello"
    await proxy.down()
    assert await first[0].read() == b""
    with pytest.raises(ConnectionRefusedError):
        await _connect(proxy)
    await proxy.up()
    again = await _connect(proxy)
    assert await _echoed(again) == b"hello"
    again[1].close()


async def test_a_stall_keeps_the_connection_and_the_bytes(proxy: Proxy) -> None:
    """A stalled link looks open; what was sent arrives when it heals."""
    connection = await _connect(proxy)
    assert await _echoed(connection) == b"hello"
    proxy.stall()
    connection[1].write(b"later")
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(connection[0].readexactly(5), 0.1)
    await proxy.up()
    assert await asyncio.wait_for(connection[0].readexactly(5), 2) == b"later"
    connection[1].close()


async def test_answers_can_be_withheld(proxy: Proxy) -> None:
    """The server has the bytes, the client does not know: the case of the lost acknowledgement."""
    connection = await _connect(proxy)
    assert await _echoed(connection) == b"hello"
    proxy.stall("down")
    before = proxy.bytes_up
    connection[1].write(b"sent?")
    await until(lambda: proxy.bytes_up == before + 5)
    assert proxy.bytes_down == 5
    connection[1].close()


async def test_a_reset_is_a_reset(proxy: Proxy) -> None:
    """The client sees ECONNRESET, not an orderly end; the next connection works."""
    connection = await _connect(proxy)
    assert await _echoed(connection) == b"hello"
    proxy.reset()
    with pytest.raises(ConnectionResetError):
        await asyncio.wait_for(connection[0].read(), 2)
    assert await _echoed(await _connect(proxy)) == b"hello"


async def test_latency_delays(proxy: Proxy) -> None:
    """Each direction takes its time."""
    connection = await _connect(proxy)
    proxy.latency_s = 0.1
    loop = asyncio.get_running_loop()
    started = loop.time()
    assert await _echoed(connection) == b"hello"
    assert loop.time() - started >= 0.2
    connection[1].close()
