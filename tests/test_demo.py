"""`make demo`, as a person runs it: everything on real sockets, three things to try, Ctrl-C."""

from __future__ import annotations

import json
import os
import random
import re
import shlex
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from simulators.demo_site import DemoSite, prepare
from simulators.processes import is_taken

ROOT = Path(__file__).parents[1]
READY_S = 60.0


def free_offset(directory: Path) -> int:
    """An offset at which all ports of the demo are free."""
    for offset in random.sample(range(10_000, 30_000, 10), 50):
        if not any(is_taken(each.number) for each in prepare(ROOT / "config", directory, offset).ports):
            return offset
    raise AssertionError("no free ports")


def wait(condition: Callable[[], bool], within_s: float) -> bool:
    deadline = time.perf_counter() + within_s
    while not condition():
        if time.perf_counter() > deadline:
            return False
        time.sleep(0.05)
    return True


class Running:
    """A demo in a process of its own, its terminal in a file."""

    def __init__(self, directory: Path) -> None:
        self.data = directory / "demo"
        self.offset = free_offset(directory / "ports")
        self.site: DemoSite = prepare(ROOT / "config", directory / "ports", self.offset)
        self._terminal = directory / "terminal"
        where = ["--data", str(self.data), "--port-offset", str(self.offset)]
        self.command = [sys.executable, "-m", "simulators.demo", *where]
        with self._terminal.open("wb") as terminal:
            self.process = subprocess.Popen(
                self.command,
                stdout=terminal, stderr=terminal, stdin=subprocess.DEVNULL, cwd=ROOT, start_new_session=True,
            )  # fmt: skip

    @property
    def text(self) -> str:
        return self._terminal.read_text("utf-8")

    def ready(self) -> None:
        """Wait for the banner."""
        is_there = wait(lambda: "Ctrl-C ends" in self.text or self.process.poll() is not None, READY_S)
        assert is_there, self.text
        assert self.process.poll() is None, self.text

    def cloud(self) -> dict[str, Any]:
        """What the stand-in cloud says of itself."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.site.port('series')}/status", timeout=2) as answer:
            found: dict[str, Any] = json.load(answer)
        return found

    def child(self, name: str) -> int:
        """Process id of a part, by its command line."""
        for proc in Path("/proc").glob("[0-9]*"):
            try:
                words = (proc / "cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            if name.encode() in words and any(str(self.data).encode() in word for word in words):
                return int(proc.name)
        raise AssertionError(f"{name} does not run")


@pytest.fixture
def demo(tmp_path: Path) -> Iterator[Running]:
    running = Running(tmp_path)
    yield running
    if running.process.poll() is None:
        os.kill(running.process.pid, signal.SIGTERM)
        running.process.wait(15)


@pytest.mark.slow
def test_what_to_try_does_what_the_banner_says(demo: Running) -> None:
    """Each printed command raises its alarm as far as the cloud; Ctrl-C ends everything within five seconds."""
    demo.ready()
    assert re.search(r"[0-9A-Z]{4}-[0-9A-Z]{4}-[0-9A-Z]{4}", demo.text), "the code of the first log-in"
    text = re.sub(r" \\\n\s+", " ", demo.text)
    commands = [line.strip() for line in text.splitlines() if " sim " in line and "--config" in line]
    assert len(commands) == 4
    record = demo.data / "cloud.jsonl"

    def run(wanted: list[str], rules: tuple[str, ...]) -> None:
        for command in wanted:
            words = shlex.split(command)
            done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=20, check=False)
            assert done.returncode == 0, done.stderr
        assert wait(lambda: all(each in record.read_text("utf-8") for each in rules), 30), demo.text

    run(commands[:3], ("sos-button:", "smoke-fire:", "socket-overload:"))
    run(commands[3:], ("line-down:",))  # the socket hangs on the line that is cut
    again = subprocess.run(demo.command, cwd=ROOT, capture_output=True, text=True, timeout=20, check=False)
    assert (again.returncode, f"演示已在运行:{demo.site.page}" in again.stderr) == (1, True)
    status = demo.cloud()
    assert (status["duplicates"], status["order"]) == (0, 0)
    assert status["readings"] > 100
    assert status["lines"] > 100
    started = time.perf_counter()
    os.kill(demo.process.pid, signal.SIGINT)
    assert demo.process.wait(10) == 0
    assert time.perf_counter() - started < 5
    assert "Traceback" not in demo.text
    assert not [each for each in demo.site.ports if is_taken(each.number)]


@pytest.mark.slow
def test_a_broker_that_is_killed_is_a_line_fault_to_look_at(demo: Running) -> None:
    """The demo goes on: it says what happened, starts the broker anew, and an alarm gets through afterwards."""
    demo.ready()
    os.kill(demo.child(str(demo.data / "brokers" / "field-field.toml")), signal.SIGKILL)
    assert wait(lambda: "现场 MQTT 已恢复" in demo.text, 20), demo.text
    assert "自己退出了" in demo.text
    record = demo.data / "cloud.jsonl"
    tail = ["--config", str(demo.data / "config")]
    command = [sys.executable, "-m", "simulators.cli"]
    cut = subprocess.run(
        [*command, "cut", "field", "--for", "2s", *tail],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    assert cut.returncode == 0, cut.stderr
    assert wait(lambda: demo.text.count("现场 MQTT 已恢复") == 2, 20), demo.text

    def pressed() -> bool:
        press = [*command, "press", "3-2-03-0301/sos", *tail]
        subprocess.run(press, cwd=ROOT, capture_output=True, timeout=20, check=True)
        return wait(lambda: "sos-button:" in record.read_text("utf-8"), 3)

    assert wait(pressed, 40), demo.text
    assert demo.process.poll() is None


@pytest.mark.slow
def test_a_part_that_dies_is_reported_and_the_rest_stopped(demo: Running) -> None:
    """A dead gateway is named with its log, and no other part is left behind."""
    demo.ready()
    os.kill(demo.child("gateway"), signal.SIGKILL)
    assert demo.process.wait(10) == 1
    assert "gateway 已退出" in demo.text
    assert "gateway.log" in demo.text
    assert "Traceback" not in demo.text
    assert wait(lambda: not any(is_taken(each.number) for each in demo.site.ports), 5)


def test_a_taken_port_is_a_message_with_the_way_out(tmp_path: Path) -> None:
    """The person reads which port, who holds it and what to type, and nothing was started."""
    offset = free_offset(tmp_path)
    site = prepare(ROOT / "config", tmp_path, offset)
    with socket.create_server(("127.0.0.1", site.port("web"))):
        done = subprocess.run(
            [sys.executable, "-m", "simulators.demo", "--data", str(tmp_path / "d"), "--port-offset", str(offset)],
            cwd=ROOT, capture_output=True, text=True, timeout=30, check=False,
        )  # fmt: skip
    assert done.returncode == 1
    assert f"端口 {site.port('web')}(值班页)已被占用" in done.stderr
    assert f"pid {os.getpid()}" in done.stderr
    assert "\n  改法: " in done.stderr
    assert "PORT_OFFSET=" in done.stderr
    assert "正在停止" not in done.stdout
    assert "Traceback" not in done.stderr
    assert not is_taken(site.port("field"))
