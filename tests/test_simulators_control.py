"""The control socket and the commands that use it, against a simulator in a process of its own."""

from __future__ import annotations

import asyncio
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from simulators import control
from simulators.broker import EmbeddedBroker
from simulators.control import ControlServer, ask, socket_path
from simulators.processes import Child
from simulators.site import load
from simulators.spec import SimError
from tests.support_sim import Listener, config_at, until

CABINET = "3-1-B1-CP01/ebike"


@pytest.fixture
def playing(embedded_broker: EmbeddedBroker, tmp_path: Path) -> Iterator[tuple[Path, Child]]:
    """`sim serve` as an installer starts it."""
    config = config_at(tmp_path, embedded_broker.port)
    command = [sys.executable, "-m", "simulators.cli", "serve", "--config", str(config)]
    child = Child("sim", command, tmp_path / "sim.log")
    child.start()
    child.wait_until_accepts(load(config).buses["pile1"].port)
    yield config, child
    child.stop()


def sim(config: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "simulators.cli", *words, "--config", str(config)]
    return subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)


async def test_a_person_pokes_devices_from_another_terminal(
    playing: tuple[Path, Child], embedded_broker: EmbeddedBroker
) -> None:
    """Press, set, ramp, show and list do what they say, in one line each; a slip is answered with a suggestion."""
    config, child = playing
    listener = Listener(embedded_broker.port)
    try:
        pressed = await asyncio.to_thread(sim, config, "press", "3-2-03-0301/sos")
        assert (pressed.returncode, pressed.stdout.startswith("已按下 3-2-03-0301/sos(")) == (0, True)
        assert "\npressed 3-2-03-0301/sos\n" in pressed.stdout
        await until(lambda: b"emergency" in b"".join(listener.payloads("sos/up")))
    finally:
        listener.close()
    assert sim(config, "set", CABINET, "power.3=812.5").returncode == 0
    ramped = sim(config, "ramp", CABINET, "power.4", "--from", "1", "--to", "900", "--over", "100ms", "--lang", "en")
    assert "goes from 1 to 900" in ramped.stdout
    await until(lambda: ask(_socket(config), {"do": "show", "device": CABINET})["values"]["power.4"] == 900)
    assert "power.3 = 812.5" in sim(config, "show", CABINET).stdout
    assert "3-2-03-0302/smoke" in sim(config, "list", "0302").stdout
    slip = sim(config, "press", "3-2-03-031/smoke")
    assert (slip.returncode, "是不是 3-2-03-0301/smoke" in slip.stderr, "Traceback" in slip.stderr) == (1, True, False)
    assert '你写的是 "power.3"' in sim(config, "set", CABINET, "power.3").stderr
    bare = sim(config, "ramp", CABINET, "power.5", "--from", "1", "--to", "2", "--over", "10")
    assert ("在 10 秒内" in bare.stdout, "over 10 s" in bare.stdout) == (True, True)
    second = sim(config, "serve")
    assert (second.returncode, "已有一个模拟器在运行" in second.stderr) == (1, True)
    child.stop()
    gone = sim(config, "press", "3-2-03-0301/sos")
    assert (gone.returncode, "模拟器没有运行" in gone.stderr) == (1, True)
    assert "Traceback" not in child.log.read_text("utf-8")


def _socket(config: Path) -> Path:
    return socket_path(load(config).data_dir)


@pytest.fixture
async def server(tmp_path: Path) -> ControlServer:
    return ControlServer(tmp_path / "sim.sock", lambda request: {"said": request["word"]})


async def test_only_the_owner_may_poke(server: ControlServer, tmp_path: Path) -> None:
    """The socket is 0600 from the moment it exists, and gone afterwards."""
    path = tmp_path / "sim.sock"
    await server.start()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert (await asyncio.to_thread(ask, path, {"word": "喂"}))["said"] == "喂"
    with pytest.raises(SimError, match="already running"):
        await ControlServer(path, dict).start()
    await server.stop()
    assert not path.exists()


async def test_a_socket_left_by_a_crash_is_replaced(server: ControlServer, tmp_path: Path) -> None:
    """After kill -9 the next start works."""
    import socket  # noqa: PLC0415

    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(tmp_path / "sim.sock"))
    await server.start()
    assert (await asyncio.to_thread(ask, tmp_path / "sim.sock", {"word": 1}))["said"] == 1
    await server.stop()


@pytest.mark.parametrize("line", [b"\n", b"{\n", b"[]\n", b"{}\n", b"\xff\n", b"x" * 70_000 + b"\n"])
async def test_rubbish_on_the_socket_harms_nobody(server: ControlServer, tmp_path: Path, line: bytes) -> None:
    """Any line gets a refusal or a closed connection, and the next request works."""
    path = tmp_path / "sim.sock"
    await server.start()
    reader, writer = await asyncio.open_unix_connection(str(path))
    writer.write(line)
    answer = await asyncio.wait_for(reader.read(), 3)
    assert b'"ok":true' not in answer
    writer.close()
    assert (await asyncio.to_thread(ask, path, {"word": 2}))["said"] == 2
    await server.stop()


def test_no_simulator_is_a_sentence(tmp_path: Path) -> None:
    """Whoever pokes too early is told what to start."""
    with pytest.raises(SimError, match="make demo"):
        ask(tmp_path / "sim.sock", {"do": "status"})
    assert control.running_socket(tmp_path).name == "sim.sock"
