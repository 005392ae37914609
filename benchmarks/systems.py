"""What is measured, started the same way: the floor (paho echo), the peer (Node-RED) and the gateway."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import signal
import sys
from enum import StrEnum
from pathlib import Path
from typing import Any
from urllib.request import urlopen

from benchmarks import node_red, site
from benchmarks.harness import HANG_S, BenchError, Child, Lab, free_port, wait_until


class System(StrEnum):
    """Who is under test."""

    FLOOR = "floor"
    ECHO = "echo"  # the floor, publishing for every message
    PEER = "node-red"
    OURS = "shouwang"


def is_available(system: System) -> str:
    """Empty, or why this system cannot be measured here."""
    if system is System.OURS and importlib.util.find_spec("gateway.app") is None:
        return "gateway.app is not there yet"
    if system is System.PEER:
        try:
            node_red.install()
        except BenchError as error:
            return str(error)
    return ""


def start(system: System, lab: Lab, plan: site.Plan, cpus: str = "") -> Child:
    """Start it against the broker of ``plan``; the caller waits until it answers an alarm."""
    match system:
        case System.FLOOR:
            return lab.script("floor_echo", str(plan.field_port), "alarms", cpus=cpus)
        case System.ECHO:
            return lab.script("floor_echo", str(plan.field_port), "everything", cpus=cpus)
        case System.PEER:
            return node_red.start(lab, plan.field_port, cpus=cpus)
        case System.OURS:
            return start_gateway(lab, site.write(lab.dir, plan), cpus=cpus)


def start_gateway(lab: Lab, config: Path, *, cpus: str = "") -> Child:
    """``shouwang run`` as an installed program runs it."""
    return lab.spawn("shouwang", [shouwang(), "run", "--config", str(config)], cpus=cpus)


def shouwang() -> str:
    """The installed command beside this interpreter."""
    found = Path(sys.executable).parent / "shouwang"
    if not found.exists():
        raise BenchError("the command shouwang is not installed in this environment: run `make setup` first")
    return str(found)


def plan_for(port: int, **options: Any) -> site.Plan:
    """A plan on a free web port."""
    return site.Plan(field_port=port, web_port=free_port(), **options)


def wait_listening(plan: site.Plan, within_s: float = HANG_S) -> None:
    """Wait until the gateway has its session at the field's broker: what is said before is nobody's."""

    def hears() -> bool:
        try:
            with urlopen(f"http://127.0.0.1:{plan.web_port}/metrics", timeout=2) as answer:
                return b'shouwang_bus_up{bus="field"} 1.0' in answer.read()
        except OSError:
            return False

    wait_until(hears, within_s, "the gateway listens to the field", every_s=0.1)


def bridge_pids(folder: Path, gateway_pid: int) -> list[int]:
    """Processes of the bridge whose configuration lies in ``folder``."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != gateway_pid:
            try:
                words = (entry / "cmdline").read_bytes()
            except OSError:
                continue
            if b"bridge" in words and str(folder).encode() in words:
                found.append(int(entry.name))
    return found


def kill_bridge(folder: Path, gateway_pid: int) -> int:
    """SIGKILL to every bridge there; how many there were."""
    killed = 0
    for pid in bridge_pids(folder, gateway_pid):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
            killed += 1
    return killed
