"""The bridge's end of the downlink: never waiting for a gateway that is away, never carrying what is late."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from cloud_bridge.ask import LONGEST_S, MAX_OPEN, PER_S, Request
from cloud_bridge.downlink import MAX_LINE, SOCKET_FILE, Downlink, Lines, Naps, short_path
from cloud_bridge.influx_uplink import InfluxParams
from cloud_bridge.mqtt_uplink import MqttParams
from cloud_bridge.settings import Commands
from gateway.clock import ManualClock, SystemClock
from gateway.model import Verb
from tests.support_core import clock, now, until

COMMANDS = Commands(verbs=(Verb.TAKE,))
Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def gateway(directory: Path, serve: Serve) -> AsyncIterator[None]:
    """Something that listens in the gateway's place."""
    end = socket.socket(socket.AF_UNIX)
    (directory / SOCKET_FILE).unlink(missing_ok=True)
    with short_path(str(directory), SOCKET_FILE) as path:
        end.bind(path)
    writers: list[asyncio.StreamWriter] = []

    async def one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        await serve(reader, writer)

    server = await asyncio.start_unix_server(one, sock=end)
    try:
        yield
    finally:
        server.close()
        for each in writers:
            each.close()


def take(name: str, **more: float) -> Request:
    return Request(name, Verb.TAKE, "fire:x:1", 1, **more)  # type: ignore[arg-type]


async def test_while_the_gateway_is_away_it_is_said_at_once(tmp_path: Path) -> None:
    """No socket, a socket of a killed gateway, no directory: unreachable, without waiting for the deadline."""
    ask = Downlink(str(tmp_path), SystemClock()).ask_for("cloud", COMMANDS)
    lost = Downlink(str(tmp_path / "nowhere"), SystemClock()).ask_for("cloud", COMMANDS)
    async with asyncio.timeout(1.0):
        assert (await ask(take("a", expires_in_s=60))).code == "unreachable"
        with socket.socket(socket.AF_UNIX) as left, short_path(str(tmp_path), SOCKET_FILE) as path:
            left.bind(path)
        assert (await ask(take("a", expires_in_s=60))).code == "unreachable"
        answer = await lost(take("a", expires_in_s=60))
    assert answer.code == "unreachable"
    assert "不在运行" in answer.detail["words"]["zh"]


async def test_no_request_lives_longer_than_two_minutes(tmp_path: Path) -> None:
    """Whatever deadline a platform writes: what it wanted then is not done tomorrow."""
    told: list[float] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        told.append(json.loads(await reader.readline())["deadline_mono_s"])
        writer.close()

    async with gateway(tmp_path, serve):
        await Downlink(str(tmp_path), SystemClock()).ask_for("cloud", COMMANDS)(take("a", expires_in_s=1e6))
    assert told[0] <= SystemClock().now().mono_s + LONGEST_S


@pytest.mark.parametrize("last", [b"", b"nonsense\n", b'{"n":1}\n', b"x" * (MAX_LINE + 1)])
async def test_a_gateway_that_breaks_off_is_asked_again_over_a_new_connection(tmp_path: Path, last: bytes) -> None:
    """Killed in the middle, or answering nonsense: nobody knows what has happened; the next request goes through."""

    async def breaks(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        writer.write(last)
        if not last:
            writer.close()

    async def answers(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        body = json.loads(await reader.readline())
        said = {"n": body["n"], "is_accepted": True, "code": "", "detail": {}, "version": 2}
        writer.write(json.dumps(said).encode() + b"\n")

    downlink = Downlink(str(tmp_path), SystemClock())
    ask = downlink.ask_for("cloud", COMMANDS)
    async with gateway(tmp_path, breaks):
        assert (await asyncio.wait_for(ask(take("a", expires_in_s=60)), 5)).code == "no_answer"
    async with gateway(tmp_path, answers):
        again = await asyncio.wait_for(ask(take("a")), 5)
    assert (again.is_accepted, again.version) == (True, 2)
    downlink.close()


async def test_a_gateway_that_does_not_answer_is_waited_for_no_longer_than_the_deadline(tmp_path: Path) -> None:
    """SIGSTOP of the gateway: so many requests wait, each until its deadline and a moment; the others are busy."""

    async def silent(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        await reader.read(-1)

    wall = clock()
    downlink = Downlink(str(tmp_path), wall)
    ask = downlink.ask_for("cloud", COMMANDS)
    async with gateway(tmp_path, silent):
        waiting: list[asyncio.Task[object]] = []
        for number in range(MAX_OPEN + 3):
            wall.set(now(number / PER_S))  # within the rate
            waiting.append(asyncio.create_task(ask(take(f"a{number}", expires_in_s=0.3))))  # type: ignore[arg-type]
            await asyncio.sleep(0)
        async with asyncio.timeout(8):
            codes = [each.code for each in await asyncio.gather(*waiting)]  # type: ignore[attr-defined]
    assert codes == ["no_answer"] * MAX_OPEN + ["busy"] * 3
    downlink.close()


async def test_more_than_the_rate_is_refused_here(tmp_path: Path) -> None:
    """A burst of a second's worth, then at the rate; each uplink by itself."""
    wall = clock()
    downlink = Downlink(str(tmp_path), wall)
    ask, other = downlink.ask_for("cloud", COMMANDS), downlink.ask_for("other", COMMANDS)
    codes = [(await ask(take(f"a{number}"))).code for number in range(int(PER_S) + 5)]
    assert codes == ["unreachable"] * int(PER_S) + ["too_many"] * 5
    assert (await other(take("a"))).code == "unreachable"
    wall.set(now(0.1))
    assert [(await ask(take(f"b{number}"))).code for number in range(3)] == ["unreachable"] * 2 + ["too_many"]


@pytest.mark.parametrize("left_s", [float("nan"), float("inf")])
async def test_no_deadline_is_no_request(tmp_path: Path, left_s: float) -> None:
    """What would live for ever is refused."""
    ask = Downlink(str(tmp_path), SystemClock()).ask_for("cloud", COMMANDS)
    assert (await ask(take("a", expires_in_s=left_s))).code == "invalid"


async def test_what_waited_while_the_process_was_stopped_has_used_up_its_time(tmp_path: Path) -> None:
    """A relative deadline counts from the message's coming, not from the reading of it after a SIGSTOP."""
    deadlines: list[float] = []

    async def notes(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := await reader.readline():
            body = json.loads(line)
            deadlines.append(body["deadline_mono_s"])
            said = {"n": body["n"], "is_accepted": False, "code": "expired", "detail": {}, "version": 0}
            writer.write(json.dumps(said).encode() + b"\n")

    wall: ManualClock = clock()
    downlink = Downlink(str(tmp_path), wall)
    beat = asyncio.create_task(downlink.watch())
    ask = downlink.ask_for("cloud", COMMANDS)
    await asyncio.sleep(0)
    async with gateway(tmp_path, notes):
        wall.set(now(0.25))
        await ask(take("a", expires_in_s=10))
        wall.set(now(30.25))  # nothing ran for 30 s
        await ask(take("b", expires_in_s=10))
        await until(lambda: len(deadlines) == 2)
    beat.cancel()
    downlink.close()
    assert deadlines[0] == pytest.approx(now(10.25).mono_s)
    assert deadlines[1] < now(30.25).mono_s  # expired when it is read


@given(st.lists(st.floats(0.01, 0.4) | st.floats(0.6, 100), min_size=1, max_size=20), st.floats(0, 1))
def test_a_message_is_never_taken_for_younger_than_a_stop(gaps: list[float], part: float) -> None:
    """Invariant: a message that came while the process was stopped, and is read within five seconds of its waking, is
    taken for at least as old as the time it has waited (less one beat); one that came to a running process for 0."""
    naps, now_s = Naps(0.0), 0.0
    for gap in gaps:
        came_s = now_s + gap * part
        now_s += gap
        before = naps.age_s(now_s)
        naps.beat(now_s)
        for age in (before, naps.age_s(now_s), naps.age_s(now_s + 4.9)):
            assert age >= now_s - came_s - 2 * Naps.BEAT_S - 0.5 or gap < 0.75
    steady = Naps(0.0)
    for beat in range(1, 40):
        assert steady.age_s(beat * Naps.BEAT_S) == 0
        steady.beat(beat * Naps.BEAT_S)


@given(st.lists(st.binary(max_size=30).map(lambda each: each.replace(b"\n", b"")), max_size=10), st.data())
def test_lines_do_not_depend_on_the_pieces_they_come_in(lines: list[bytes], data: st.DataObject) -> None:
    """Invariant: however a stream is cut, the same lines come out of it."""
    stream = b"".join(each + b"\n" for each in lines)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=8)))
    found, cutter = [], Lines()
    for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        cutter.add(stream[start:end])
        while (line := cutter.next()) is not None:
            found.append(line)
    assert found == lines
    assert not cutter.is_half


def test_a_platform_that_could_be_forged_may_ask_nothing() -> None:
    """Plaintext over a network with commands is a mistake in the configuration, as are commands of a time series."""
    commands = {"verbs": ["take"]}
    for host in ("127.0.0.1", "localhost"):
        MqttParams.model_validate({"host": host, "commands": commands})
    MqttParams.model_validate({"host": "cloud.example", "commands": commands})
    with pytest.raises(ValidationError) as forged:
        MqttParams.model_validate({"host": "cloud.example", "insecure": True, "commands": commands})
    assert forged.value.errors()[0]["type"] == "E409"
    with pytest.raises(ValidationError) as deaf:
        InfluxParams.model_validate({"url": "http://127.0.0.1:8086", "bucket": "b", "commands": commands})
    assert deaf.value.errors()[0]["type"] == "E408"
