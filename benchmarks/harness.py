"""The laboratory of the benchmarks: child processes with deadlines, their CPU time and memory, a broker, free ports.

Everything started here is stopped when the `Lab` closes, and dies with this process (PR_SET_PDEATHSIG) even when
it is killed. Only loopback is used. What is measured, and how it is judged, does not belong here.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "shouwang-bench"
ROOT = Path(__file__).resolve().parent.parent
_PORT_TRIES = 3
HANG_S = 300.0  # what should take seconds and has not happened after this hangs: no measure of a loaded machine
LONGEST_S = 1800.0  # and what moves for so long goes in circles
STILL_S = 120.0  # longer than any pause between two sessions
LOG_LIMIT = 64_000_000  # bytes of a child's log that are searched


class BenchError(Exception):
    """A run itself failed: something did not start, stopped too soon or did not answer in time."""


class _StartError(BenchError):
    """It ended at once: its port may have been taken."""


def wait_until(condition: Callable[[], bool], within_s: float, what: str, every_s: float = 0.005) -> float:
    """Seconds until ``condition`` held; raises BenchError naming ``what`` after ``within_s``."""
    began = time.perf_counter()
    while not condition():
        if time.perf_counter() - began > within_s:
            raise BenchError(f"{what}: not within {within_s:g} s")
        time.sleep(every_s)
    return time.perf_counter() - began


def wait_while_moving(is_done: Callable[[], bool], state: Callable[[], object], every_s: float = 0.25) -> bool:
    """Wait until it is done, for as long as ``state`` goes on changing; False where it has stood still."""
    began = time.perf_counter()
    last, since = state(), began
    while not is_done():
        time.sleep(every_s)
        now = state()
        if now != last:
            last, since = now, time.perf_counter()
        if time.perf_counter() - since > STILL_S or time.perf_counter() - began > LONGEST_S:
            return False
    return True


def free_port() -> int:
    """A TCP port of 127.0.0.1 that was free a moment ago."""
    with socket.socket() as each:
        each.bind(("127.0.0.1", 0))
        port: int = each.getsockname()[1]
        return port


def is_listening(port: int) -> bool:
    """Does something accept connections on 127.0.0.1?"""
    with socket.socket() as each:
        each.settimeout(0.5)
        return each.connect_ex(("127.0.0.1", port)) == 0


class Child:
    """One process in a session of its own; its output goes to a file."""

    def __init__(self, name: str, argv: Sequence[str], log: Path, *, cpus: str = "", env: Mapping[str, str]) -> None:
        pinned = ["taskset", "--cpu-list", cpus] if cpus else []
        self.name = name
        self.log = log
        with log.open("ab") as out:
            self._process = subprocess.Popen(
                [*pinned, "setpriv", "--pdeathsig", "KILL", "--", *argv],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1", **env},
                cwd=log.parent,
            )
        self.pid = self._process.pid

    @property
    def is_running(self) -> bool:
        """Has it not ended?"""
        return self._process.poll() is None

    def cpu_s(self) -> float:
        """CPU seconds used so far by all its threads, user and system (proc(5), stat fields 14 and 15)."""
        try:
            fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        except OSError as error:
            raise BenchError(f"{self.name} has ended: {self.tail()}") from error
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def rss_mb(self, key: str = "VmRSS") -> float:
        """Resident memory in MB (10⁶ bytes); ``VmHWM`` for its peak."""
        for line in Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if line.startswith(key + ":"):
                return int(line.split()[1]) * 1024 / 1e6
        raise BenchError(f"{self.name} has ended: {self.tail()}")

    def tail(self, lines: int = 15) -> str:
        """The end of what it printed."""
        with self.log.open("rb") as out:
            out.seek(max(0, self.log.stat().st_size - 8000))
            return "\n".join(out.read().decode(errors="replace").splitlines()[-lines:])

    def has_said(self, text: str) -> bool:
        """Has it printed ``text``? Raises BenchError when it ended instead."""
        with self.log.open("rb") as out:
            if text.encode() in out.read(LOG_LIMIT):
                return True
        if not self.is_running:
            raise BenchError(f"{self.name} ended with {self._process.returncode}: {self.tail()}")
        return False

    def kill(self) -> None:
        """SIGKILL to this one process, and wait for its end."""
        self._process.kill()
        self._process.wait(10)

    def stop(self, within_s: float = 8.0) -> None:
        """SIGTERM, then SIGKILL to all of its session."""
        if self.is_running:
            self._process.terminate()
            try:
                self._process.wait(within_s)
            except subprocess.TimeoutExpired:
                print(f"{self.name} did not stop on SIGTERM within {within_s:g} s", file=sys.stderr)
        try:
            os.killpg(self.pid, signal.SIGKILL)
        except ProcessLookupError:
            return
        finally:
            self._process.wait(10)


class Lab:
    """A directory and the processes of one measurement; closing it stops them, last started first."""

    def __init__(self) -> None:
        CACHE.mkdir(parents=True, exist_ok=True)
        self.dir = Path(tempfile.mkdtemp(prefix="run-", dir=CACHE))  # on disk: a journal on tmpfs proves nothing
        self.children: list[Child] = []
        self._kept_for = ""

    def __enter__(self) -> Self:
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for child in reversed(self.children):
            try:
                child.stop()
            except subprocess.TimeoutExpired:
                print(f"{child.name} (process {child.pid}) does not end", file=sys.stderr)
        if isinstance(error, BenchError) or self._kept_for:
            print(f"logs and data are kept in {self.dir}: {self._kept_for or error}", file=sys.stderr)
        else:
            shutil.rmtree(self.dir, ignore_errors=True)

    def keep(self, reason: str) -> None:
        """Do not delete the directory: somebody has to look into it."""
        self._kept_for = reason

    def spawn(self, name: str, argv: Sequence[str], *, cpus: str = "", **env: str) -> Child:
        """Start a program; ``cpus`` pins it (taskset's list)."""
        log = self.dir / f"{name}-{len(self.children)}.log"
        child = Child(name, argv, log, cpus=cpus, env=env)
        self.children.append(child)
        return child

    def script(self, module: str, *args: str, cpus: str = "") -> Child:
        """Start ``python -m benchmarks.<module>``."""
        return self.spawn(module, [sys.executable, "-m", f"benchmarks.{module}", *args], cpus=cpus)

    def broker(self, name: str = "mosquitto", port: int = 0, cpus: str = "") -> int:
        """Start a mosquitto that drops nothing; its port. No persistence: the broker is not what is killed."""
        for _ in range(0 if port else _PORT_TRIES):  # somebody else may take a free port before the broker does
            with contextlib.suppress(_StartError):
                return self._broker(name, free_port(), cpus)
        return self._broker(name, port or free_port(), cpus)

    def _broker(self, name: str, port: int, cpus: str) -> int:
        path = self.dir / f"{name}.conf"
        path.write_text(
            f"listener {port} 127.0.0.1\nallow_anonymous true\npersistence false\nset_tcp_nodelay true\n"
            "max_inflight_messages 1000\nmax_queued_messages 0\nmax_queued_bytes 0\nlog_type error\nlog_type warning\n"
            f"user {os.environ.get('USER', 'root')}\n"
        )
        child = self.spawn(name, [find_mosquitto(), "-c", str(path)], cpus=cpus)
        wait_until(lambda: is_listening(port) or not child.is_running, HANG_S, f"{name} listens on {port}")
        if not child.is_running:
            raise _StartError(f"{name} did not start: {child.tail()}")
        return port

    def child(self, name: str) -> Child:
        """The last started child of that name."""
        return next(each for each in reversed(self.children) if each.name == name)


def find_mosquitto() -> str:
    """Path of the broker; raises BenchError saying what to install."""
    found = shutil.which("mosquitto", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
    if not found:
        raise BenchError("mosquitto is missing: apt-get install mosquitto")
    return found
