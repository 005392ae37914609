"""Both brokers behind one interface, and the processes they run in."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from simulators import broker
from simulators.broker import EmbeddedBroker, MosquittoBroker
from simulators.processes import Child, ChildDied, NotReady, PortTaken, accepts, free_port, is_taken
from simulators.spec import SimError
from tests.support_sim import Listener, until


@pytest.fixture(params=["embedded_broker", "mosquitto"])
def either(request: pytest.FixtureRequest) -> EmbeddedBroker | MosquittoBroker:
    found: EmbeddedBroker | MosquittoBroker = request.getfixturevalue(request.param)
    return found


async def test_a_broker_serves_again_after_restart_and_kill(either: EmbeddedBroker | MosquittoBroker) -> None:
    """The field's messages flow again after a stop and after SIGKILL, on the same port."""
    listener = Listener(either.port)
    try:
        for end in (either.stop, either.kill):
            listener.heard.clear()
            await until(_say_until_heard(listener, b"before"))
            end()
            assert not accepts(either.port)
            either.start()
            await until(_say_until_heard(listener, end.__name__.encode()), 10.0)
    finally:
        listener.close()


def _say_until_heard(listener: Listener, word: bytes) -> Callable[[], bool]:
    def heard() -> bool:
        listener.say("a", word)
        return word in listener.payloads("a")

    return heard


async def test_a_session_keeps_what_came_while_its_client_was_away(either: EmbeddedBroker | MosquittoBroker) -> None:
    """QoS 1 messages wait for a client with a persistent session: the gateway relies on it."""
    away = Listener(either.port, topics="a/#", clean=False)
    away.close()
    speaker = _speaker(either.port)
    for n in range(50):
        speaker.say(f"a/{n}", b"x")
    back = Listener(either.port, topics="a/#", clean=False)
    try:
        await until(lambda: len({each.topic for each in back.heard}) == 50)
    finally:
        back.close()
        speaker.close()


def _speaker(port: int) -> Listener:
    return Listener(port, topics="nothing", client_id="speaker")


async def test_mosquitto_keeps_sessions_over_a_restart(mosquitto: MosquittoBroker) -> None:
    """With mosquitto even a restart of the broker loses nothing that waits."""
    away = Listener(mosquitto.port, topics="a/#", clean=False)
    away.close()
    speaker = _speaker(mosquitto.port)
    speaker.say("a/1", b"x")
    await until(lambda: speaker.is_idle)
    speaker.close()
    mosquitto.restart()
    back = Listener(mosquitto.port, topics="a/#", clean=False)
    try:
        await until(lambda: len(back.heard) == 1)
    finally:
        back.close()


@pytest.mark.parametrize("kind", ["embedded", "mosquitto"])
def test_a_taken_port_says_who_holds_it(kind: str, tmp_path: Path) -> None:
    """The person reads which port, and which program of which process id, instead of a traceback."""
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = holder.getsockname()[1]
        with pytest.raises(PortTaken) as caught:
            broker.make(kind, port, tmp_path, "b").start()
    assert caught.value.port == port
    assert f"pid {os.getpid()}" in caught.value.holder
    assert str(port) in caught.value.zh


def test_brokers_listen_on_loopback_only(either: EmbeddedBroker | MosquittoBroker) -> None:
    """A demo must not open a broker without a password to the network."""
    lines = [line.split() for line in Path("/proc/net/tcp").read_text("ascii").splitlines()[1:]]
    hosts = {
        line[1].split(":")[0] for line in lines if line[3] == "0A" and int(line[1].split(":")[1], 16) == either.port
    }
    assert hosts == {"0100007F"}


def test_an_unknown_broker_is_named(tmp_path: Path) -> None:
    """A slip in --broker lists what there is."""
    with pytest.raises(SimError, match="embedded or mosquitto"):
        broker.make("mosqito", None, tmp_path, "b")


def test_a_child_that_dies_or_hangs_is_reported_with_its_last_words(tmp_path: Path) -> None:
    """Whoever waits for a child learns why it will not come, from its own log."""
    port = free_port()
    dies = Child("dies", [sys.executable, "-c", "print('my last words'); raise SystemExit(3)"], tmp_path / "dies.log")
    dies.start()
    with pytest.raises(ChildDied, match="my last words"):
        dies.wait_until_accepts(port)
    hangs = Child(
        "hangs", [sys.executable, "-c", "import time; print('busy', flush=True); time.sleep(60)"], tmp_path / "h"
    )
    hangs.start()
    try:
        with pytest.raises(NotReady):
            hangs.wait_until_accepts(port, deadline_s=0.3)
        assert hangs.is_running
    finally:
        hangs.stop()
    assert not hangs.is_running


def test_a_child_that_ignores_sigterm_is_killed(tmp_path: Path) -> None:
    """Ctrl-C ends the demo within its time, whatever a child does."""
    port = free_port()
    code = "import signal, socket, time; signal.signal(15, signal.SIG_IGN)"
    code += f"; server = socket.create_server(('127.0.0.1', {port})); time.sleep(60)"
    deaf = Child("deaf", [sys.executable, "-c", code], tmp_path / "deaf.log")
    deaf.start()
    deaf.wait_until_accepts(port)
    deaf.stop(0.2)
    assert not accepts(port)
    assert not is_taken(port)
