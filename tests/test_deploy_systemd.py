"""The units: systemd takes them, they are closed, and the real gateway does its job within what they allow."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from typer.testing import CliRunner

from benchmarks import site
from gateway.app.watchdog import Watchdog
from gateway.cli import app
from simulators.broker import MosquittoBroker
from tests.support_bridge import free_port, until
from tests.support_broker import mosquitto, mosquitto_with, need  # noqa: F401

UNITS = sorted((Path(__file__).parent.parent / "deploy" / "systemd").glob("*.service"))
GATEWAY = next(each for each in UNITS if each.name == "shouwang.service")


def settings(unit: Path) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for line in unit.read_text(encoding="utf-8").splitlines():
        if "=" in line and not line.startswith("#"):
            key, _, value = line.partition("=")
            found.setdefault(key, []).append(value)
    return found


def analyze(*words: str) -> subprocess.CompletedProcess[str]:
    need("systemd", is_there=shutil.which("systemd-analyze") is not None)
    return subprocess.run(
        ["systemd-analyze", "--no-pager", *words], capture_output=True, text=True, timeout=60, check=False
    )


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.stem)
def test_systemd_takes_the_unit(unit: Path, tmp_path: Path) -> None:
    """Not one unknown or misspelt setting; only the paths of programs are those of this machine."""
    text = unit.read_text(encoding="utf-8")
    for program in re.findall(r"^Exec\w+=(\S+)", text, re.MULTILINE):
        text = text.replace(program, "/bin/true")
    copy = tmp_path / unit.name
    copy.write_text(re.sub(r"^Documentation=.*$", "", text, flags=re.MULTILINE), encoding="utf-8")
    done = analyze("verify", str(copy))
    complaints = [line for line in done.stderr.splitlines() if unit.name in line and "Failed to open" not in line]
    assert not complaints
    assert done.returncode == 0


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.stem)
def test_the_unit_is_closed(unit: Path) -> None:
    """systemd's own judgement: an exposure of at most 2.5 of 10."""
    done = analyze("security", "--offline=true", "--threshold=25", str(unit))
    assert done.returncode == 0, done.stdout[-200:]


def test_the_unit_does_what_the_manual_says() -> None:
    """A killed bridge does not take the gateway along; it comes back always; nothing of the system can be written."""
    of = settings(GATEWAY)
    assert of["OOMPolicy"] == ["continue"]
    assert of["Restart"] == ["always"]
    assert of["StartLimitIntervalSec"] == ["0"]
    assert of["ProtectSystem"] == ["strict"]
    assert of["CapabilityBoundingSet"] == [""]
    assert "ProcSubset" not in of, "the id of the boot is read from /proc/sys"
    (start,) = of["ExecStart"]
    assert CliRunner().invoke(app, [*start.split()[1:2], "--help"]).exit_code == 0
    assert start.split()[2:] == ["--config", "/etc/shouwang"]


def test_the_node_of_the_cluster_is_told_to_hand_over() -> None:
    """SIGUSR2 is nats-server's lame duck mode; systemd waits longer than it takes."""
    of = settings(next(each for each in UNITS if "nats" in each.name))
    conf = (UNITS[0].parent.parent / "nats" / "nats.conf").read_text()
    assert of["KillSignal"] == ["SIGUSR2"]
    lame_s = re.search(r'lame_duck_duration: "(\d+)s"', conf)
    assert lame_s is not None
    assert int(of["TimeoutStopSec"][0].removesuffix("s")) > int(lame_s[1]) + 30


class Manager:
    """What a service manager hears at its socket."""

    def __init__(self, directory: Path) -> None:
        self.path = str(directory / "notify")
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(self.path)
        self._socket.setblocking(False)
        self.heard: list[str] = []

    def listen(self) -> list[str]:
        with contextlib.suppress(BlockingIOError):
            while True:
                self.heard.append(self._socket.recv(100).decode())
        return self.heard

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[Manager]:
    manager = Manager(tmp_path)
    yield manager
    manager.close()


def configured(directory: Path, port: int) -> tuple[Path, int]:
    """A small site with an uplink; its web port."""
    plan = site.Plan(
        field_port=port, web_port=free_port(), smoke_buildings=0, env_buildings=0, sirens=0, racks=10,
        platform_port=port,
    )  # fmt: skip
    config = site.write(directory, plan)
    rules = config / "rules" / "all.yaml"
    rules.write_text("rules:" + rules.read_text().partition("\n\n  - rule: rack")[0][:0] + site._RACK_RULE)
    return config, plan.web_port


@contextlib.contextmanager
def running(config: Path, *before: str, **environment: str) -> Iterator[subprocess.Popen[bytes]]:
    command = [*before, sys.executable, "-m", "gateway", "run", "--config", str(config)]
    with (config.parent / "log").open("wb") as log:
        process = subprocess.Popen(
            command, env={**os.environ, **environment}, stdout=log, stderr=log, start_new_session=True
        )
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


async def test_the_gateway_says_that_it_is_ready_alive_and_ending(
    tmp_path: Path,
    manager: Manager,
    mosquitto: MosquittoBroker,  # noqa: F811
) -> None:
    """READY when it serves, a sign of life three times within the limit, none while it stands still, STOPPING."""
    config, web_port = configured(tmp_path, mosquitto.port)
    with running(config, NOTIFY_SOCKET=manager.path, WATCHDOG_USEC="1500000") as process:
        await until(lambda: "READY=1" in manager.listen() or process.poll() is not None, "ready")
        assert process.poll() is None, (tmp_path / "log").read_text()[-2000:]
        async with httpx.AsyncClient() as client:
            assert (await client.get(f"http://127.0.0.1:{web_port}/healthz")).status_code == 200
        await until(lambda: manager.listen().count("WATCHDOG=1") >= 3, "signs of life")
        os.kill(process.pid, signal.SIGSTOP)
        manager.listen()
        count = len(manager.heard)
        ends_s = time.monotonic() + 1.5
        while time.monotonic() < ends_s:
            assert len(manager.listen()) <= count + 1  # one may have been under way
            await asyncio.sleep(0.05)
        os.kill(process.pid, signal.SIGCONT)
        process.terminate()
        await until(lambda: process.poll() is not None, "the end")
        assert process.returncode == 0
    assert manager.listen()[-1] == "STOPPING=1"


async def test_the_bridge_dies_first(tmp_path: Path, mosquitto: MosquittoBroker) -> None:  # noqa: F811
    """Where memory ends the kernel looks for the highest score: the bridge's is above the gateway's."""
    config, _ = configured(tmp_path, mosquitto.port)

    def score(pid: int) -> int:
        return int(Path(f"/proc/{pid}/oom_score_adj").read_text())

    with running(config) as process:
        await until(lambda: "\0bridge\0" in _children(process.pid), "the bridge runs")
        own, child = score(process.pid), _child(process.pid)
        await until(lambda: score(child) >= own + 400, "the bridge's score")


async def test_the_gateway_lives_within_the_filter_of_its_unit(
    tmp_path: Path,
    mosquitto: MosquittoBroker,  # noqa: F811
) -> None:
    """Every system call of the gateway and its bridge, from start to stop, is one that the unit lets through."""
    need("strace", is_there=shutil.which("strace") is not None)
    allowed = _allowed()
    config, web_port = configured(tmp_path, mosquitto.port)
    trace = tmp_path / "trace"
    with running(config, "strace", "-f", "-qq", "--seccomp-bpf", "-e", "trace=all", "-o", str(trace)) as process:

        def is_up() -> bool:
            with contextlib.suppress(httpx.TransportError):
                return "shouwang_bus_up" in httpx.get(f"http://127.0.0.1:{web_port}/metrics", timeout=2).text
            return False

        await until(lambda: is_up() or process.poll() is not None, "it serves", 60)
        assert process.poll() is None, (tmp_path / "log").read_text()[-2000:]
        await until(lambda: "\0bridge\0" in _children(process.pid), "the bridge runs", 60)
        await until(lambda: _uplink_is_up(web_port), "the uplink is up", 60)
        os.kill(_child(process.pid), signal.SIGTERM)
        await until(lambda: process.poll() is not None, "the end", 30)
    used = set(re.findall(r"^\d+ +(\w+)\(", trace.read_text(errors="replace"), re.MULTILINE))
    assert {"clock_adjtime", "execve", "fdatasync", "sendto"} <= used
    if os.geteuid() == 0:
        used.discard("fchown")  # SQLite calls it as root only; the unit has a user of its own
    assert sorted(used - allowed) == []


def _uplink_is_up(web_port: int) -> bool:
    notes = json.dumps(httpx.get(f"http://127.0.0.1:{web_port}/healthz", timeout=2).json())
    return "platform" not in notes


def _children(pid: int) -> str:
    found = ""
    for each in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            if os.getsid(int(each.parent.name)) == pid:
                found += each.read_text()
    return found


def _child(pid: int) -> int:
    """Children are listed with the thread that forked them, which may be over at once."""
    found = [each for task in Path(f"/proc/{pid}/task").iterdir() for each in (task / "children").read_text().split()]
    return int(found[0])


def _allowed() -> set[str]:
    """The system calls that the unit's filter lets through, by systemd's own lists."""
    allowed: set[str] = set()
    for line in settings(GATEWAY)["SystemCallFilter"]:
        names = set().union(*(_calls(each) for each in line.removeprefix("~").split()))
        allowed = allowed - names if line.startswith("~") else allowed | names
    return allowed | _calls("@default")


def _calls(name: str) -> set[str]:
    if not name.startswith("@"):
        return {name}
    found: set[str] = set()
    for line in analyze("syscall-filter", name).stdout.splitlines():
        word = line.strip()
        if word and not word.startswith("#") and word != name:
            found |= _calls(word)
    return found


async def test_without_a_manager_nothing_is_said(tmp_path: Path) -> None:
    """Started by hand there is no socket; meant for another process there is no watchdog; a gone socket is no end."""
    assert Watchdog({}).interval_s == 0
    assert Watchdog({"WATCHDOG_USEC": "3000000", "WATCHDOG_PID": "1"}).interval_s == 0
    assert Watchdog({"WATCHDOG_USEC": "3000000", "WATCHDOG_PID": str(os.getpid())}).interval_s == 1.0
    Watchdog({}).say("READY=1")
    Watchdog({"NOTIFY_SOCKET": str(tmp_path / "gone")}).say("READY=1")
