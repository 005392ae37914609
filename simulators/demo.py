"""Simulators: `make demo`: brokers, simulated community, stand-in cloud and the gateway, started and stopped as one.

Each is a process of its own with a log in the data directory; this one only watches, and talks to its user.
"""

from __future__ import annotations

import contextlib
import json
import signal
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from simulators import broker, control
from simulators.demo_lines import DemoLine, cuts_asked_for, forget_cuts
from simulators.demo_lock import only_demo_in
from simulators.demo_site import DemoSite, prepare
from simulators.demo_text import PortsTaken, banner, cloud_line
from simulators.processes import Child, NotReady, is_taken, last_lines
from simulators.site import load
from simulators.spec import SimError

_READY_S = 30.0
_STOP_S = 3.5  # for all children together; then they are killed
_LOOK_S = 0.2
_CLOUD_EVERY_S = 2.0
_RECORD = "cloud.jsonl"


class Demo:
    """All parts of one demo. `run` returns on Ctrl-C or SIGTERM; everything is stopped on every way out."""

    def __init__(self, demo: DemoSite, *, broker_kind: str = "embedded", seed: int = 1) -> None:
        """Nothing is started yet.

        Raises:
            SimError: the configuration cannot be read, or the broker is not installed.
        """
        self._demo = demo
        self._site = load(demo.config)
        self._console = Console(highlight=False)
        self._lines = [
            DemoLine(each, broker.make(broker_kind, each.number, demo.data_dir / "brokers", f"{each.role}-{each.name}"))
            for each in demo.ports
            if each.role in ("field", "platform")
        ]
        self._sim = self._module("sim", "simulators.cli", "serve", "--config", demo.config, "--seed", seed)
        self._cloud: Child | None = None
        if demo.port("platform") and demo.port("series"):
            ports = ("--mqtt-port", demo.port("platform"), "--http-port", demo.port("series"))
            self._cloud = self._module("cloud", "simulators.cloud", *ports, "--record", demo.data_dir / _RECORD)
        self._gateway = self._module("gateway", "gateway", "run", "--config", demo.config)
        self._told = -1
        self._look_at_cloud_s = 0.0

    def run(self) -> None:
        """Start, show the banner, watch.

        Raises:
            SimError: a port is taken, a part did not come up, or ended by itself.
        """
        for each in (signal.SIGINT, signal.SIGTERM):  # SIGINT, too: a shell's background job starts with it ignored
            signal.signal(each, _interrupt)
        taken = [each for each in self._demo.ports if is_taken(each.number)]
        if taken:
            raise PortsTaken(taken, self._demo)
        with contextlib.suppress(KeyboardInterrupt):
            try:
                self._start()
                banner(self._console, self._site, self._demo, self._setup_code())
                self._watch()
            finally:
                signal.signal(signal.SIGINT, signal.SIG_IGN)  # the second Ctrl-C of an impatient user
                self._stop()

    def _module(self, name: str, module: str, *args: object) -> Child:
        log = self._demo.data_dir / f"{name}.log"
        command = [sys.executable, "-m", module, *(str(each) for each in args)]
        return Child(name, command, log, {"PYTHONUNBUFFERED": "1"})

    @property
    def _children(self) -> list[Child]:
        return [each for each in (self._gateway, self._sim, self._cloud) if each]

    def _start(self) -> None:
        for log in [each.log for each in self._children] + [each.broker.log for each in self._lines]:
            log.unlink(missing_ok=True)
        self._say("启动 broker …", "starting brokers")
        forget_cuts(self._demo.data_dir)
        for each in self._lines:
            each.broker.start()
        self._say(f"启动 {len(self._site.devices)} 台模拟设备 …", "starting simulated devices")
        self._sim.start()
        if self._cloud:
            self._cloud.start()
            self._cloud.wait_until_accepts(self._demo.port("series"), deadline_s=_READY_S)
        self._wait(self._sim, "模拟设备", "simulated devices", self._devices_are_up)
        self._say("启动网关 …", "starting the gateway")
        self._gateway.start()
        self._wait(self._gateway, "网关", "the gateway", self._page_is_up)
        control.ask(control.socket_path(self._demo.data_dir), {"do": "report"})  # what was told before, nobody heard

    def _wait(self, child: Child, zh: str, en: str, is_ready: Callable[[], bool]) -> None:
        ends_at = time.perf_counter() + _READY_S
        while not is_ready():
            self._check()
            if time.perf_counter() > ends_at:
                tail = last_lines(child.log)
                raise NotReady(
                    f"{zh}在 {_READY_S:.0f} 秒内没有就绪,日志 {child.log}:\n{tail}",
                    f"{en} did not become ready in {_READY_S:.0f} s; {child.log} says:\n{tail}",
                )
            time.sleep(_LOOK_S / 2)

    def _devices_are_up(self) -> bool:
        try:
            return bool(control.ask(control.socket_path(self._demo.data_dir), {"do": "status"})["connected"])
        except SimError:
            return False

    def _page_is_up(self) -> bool:
        return _get(f"http://127.0.0.1:{self._demo.port('web')}/healthz") is not None

    def _setup_code(self) -> str:
        """The gateway leaves the first account's one-time code here until there is an account."""
        try:
            return (self._demo.data_dir / "setup-code").read_text(encoding="utf-8").strip()
        except OSError:
            return ""

    def _watch(self) -> None:
        while True:
            self._check()
            if self._cloud and time.perf_counter() > self._look_at_cloud_s:
                self._look_at_cloud_s = time.perf_counter() + _CLOUD_EVERY_S
                self._tell_cloud(_get(f"http://127.0.0.1:{self._demo.port('series')}/status"))
            time.sleep(_LOOK_S)

    def _tell_cloud(self, status: dict[str, Any] | None) -> None:
        """One line when the stand-in cloud has new alarm events: transitions, not states."""
        if status is None or status["alarms"] == self._told:
            return
        self._told = status["alarms"]
        self._console.print(f"  {time.strftime('%H:%M:%S')}  {cloud_line(status)}", soft_wrap=True)

    def _check(self) -> None:
        for child in self._children:
            child.check()
        wanted = dict(cuts_asked_for(self._demo.data_dir))
        for line in self._lines:
            for said in line.look(wanted.get(line.port.name)):
                self._console.print(f"  {time.strftime('%H:%M:%S')}  {said}", soft_wrap=True)

    def _stop(self) -> None:
        self._console.print("\n  正在停止 … stopping")
        children = self._children
        for each in children:
            each.terminate()
        ends_at = time.perf_counter() + _STOP_S
        for each in children:
            each.stop(max(0.05, ends_at - time.perf_counter()))
        for line in self._lines:
            line.broker.stop()
        self._console.print("  已停止 stopped")

    def _say(self, zh: str, en: str) -> None:
        self._console.print(f"  [dim]{zh}  {en}[/]")


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def _get(url: str) -> dict[str, Any] | None:
    """The JSON object there, or None where there is none yet."""
    try:
        with urllib.request.urlopen(url, timeout=1.0) as answer:  # noqa: S310  our own loopback address
            found = json.load(answer)
    except (OSError, ValueError, urllib.error.URLError):
        return None
    return found if isinstance(found, dict) else None


def demo(
    config: Annotated[Path, typer.Option(help="配置目录 | configuration directory")] = Path("config"),
    data_dir: Annotated[Path, typer.Option("--data", help="数据与日志 | data and logs")] = control.DEMO_DIR,
    broker_kind: Annotated[str, typer.Option("--broker", envvar="BROKER", help="embedded | mosquitto")] = "embedded",
    port_offset: Annotated[int, typer.Option(envvar="PORT_OFFSET", help="所有端口加上它 | added to every port")] = 0,
    seed: Annotated[int, typer.Option(help="相同种子,相同过程 | same seed, same run")] = 1,
) -> None:
    """一条命令看全貌:模拟小区、网关、云端、值班页 | the whole thing on this machine, until Ctrl-C."""
    try:
        with only_demo_in(data_dir) as tell:
            site = prepare(config, data_dir, port_offset, broker_kind=broker_kind)
            tell(site.page)
            Demo(site, broker_kind=broker_kind, seed=seed).run()
    except SimError as error:
        print(f"\n{error.zh}\n\n{error.en}", file=sys.stderr)
        raise typer.Exit(1) from None


if __name__ == "__main__":
    typer.run(demo)
