"""Simulators: ports and child processes: who holds a port, start, wait until ready, stop for certain.

Children live in a session of their own, so that Ctrl-C reaches only the parent, and die with it.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from simulators.spec import SimError

_POLL_S = 0.02
_STOP_S = 3.0
_MOST_SHOWN = 50  # characters of a command line


def free_port() -> int:
    """A TCP port of 127.0.0.1 that nobody listens on right now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def is_taken(port: int, host: str = "127.0.0.1") -> bool:
    """Would binding fail?"""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return True
        return False


def accepts(port: int, host: str = "127.0.0.1") -> bool:
    """Does somebody accept connections there?"""
    try:
        with socket.create_connection((host, port), timeout=0.5):
            return True
    except OSError:
        return False


class PortTaken(SimError):  # noqa: N818  the state of the world, not a fault of ours
    """Another program listens on the port; the text says which, where /proc tells."""

    def __init__(self, port: int, host: str = "127.0.0.1") -> None:
        self.port = port
        self.holder = holder_of(port)
        zh = f"(占用者:{self.holder})" if self.holder else ""
        en = f" by {self.holder}" if self.holder else ""
        super().__init__(f"端口 {host}:{port} 已被占用{zh}", f"port {host}:{port} is taken{en}")


def holder_of(port: int) -> str:
    """``name (pid 123)`` of the program that listens on the port; empty where /proc does not tell."""
    wanted = {f"socket:[{inode}]" for inode in _listening_inodes(port)}
    if not wanted:
        return ""
    for proc in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if any(str(fd.readlink()) in wanted for fd in (proc / "fd").iterdir()):
                words = (proc / "cmdline").read_text("utf-8", "replace").rstrip("\0").split("\0")
                return f"{_brief(words) or (proc / 'comm').read_text().strip()} (pid {proc.name})"
    return ""


def _brief(words: Sequence[str]) -> str:
    """A command line in whole words: the program without its directory, and as much of the rest as fits."""
    shown = Path(words[0].partition(": ")[0]).name
    for word in words[1:]:
        if len(shown) + len(word) > _MOST_SHOWN:
            return f"{shown} …"
        shown += f" {word}"
    return shown


def _listening_inodes(port: int) -> list[str]:
    found = []
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        with contextlib.suppress(OSError):
            for line in Path(table).read_text(encoding="ascii").splitlines()[1:]:
                fields = line.split()
                if fields[3] == "0A" and int(fields[1].rpartition(":")[2], 16) == port:
                    found.append(fields[9])
    return found


class ChildDied(SimError):  # noqa: N818
    """A child process ended by itself; the text carries the last lines of its log."""

    def __init__(self, name: str, code: int | None, log: Path) -> None:
        tail = last_lines(log)
        super().__init__(
            f"{name} 已退出(退出码 {code}),日志 {log} 的最后几行:\n{tail}",
            f"{name} has ended (exit code {code}); last lines of {log}:\n{tail}",
        )


class NotReady(SimError):  # noqa: N818
    """A child did not become ready in time."""


def last_lines(log: Path, count: int = 12) -> str:
    """The end of a log file, for a person to read."""
    if not log.is_file():
        return ""
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - 8192))
        lines = file.read().decode("utf-8", "replace").splitlines()
    return "\n".join(lines[-count:])


class Child:
    """One child process whose output goes to a log file."""

    def __init__(self, name: str, command: Sequence[str], log: Path, env: Mapping[str, str] | None = None) -> None:
        self.name = name
        self.log = log
        self._command = list(command)
        self._env = {**os.environ, **(env or {})}
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it; use `wait_until_accepts` to know when it is ready."""
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                _tied(self._command),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=self._env,
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        """Process id; 0 when it does not run."""
        return self._process.pid if self._process else 0

    @property
    def is_running(self) -> bool:
        """Has it been started and not ended?"""
        return self._process is not None and self._process.poll() is None

    def check(self) -> None:
        """Raise `ChildDied` when it has ended by itself."""
        if self._process is not None and self._process.poll() is not None:
            raise ChildDied(self.name, self._process.returncode, self.log)

    def wait_until_accepts(self, port: int, host: str = "127.0.0.1", deadline_s: float = 10.0) -> None:
        """Return when the port accepts connections.

        Raises:
            ChildDied: it ended first.
            NotReady: the deadline passed.
        """
        ends_at = time.perf_counter() + deadline_s
        while not accepts(port, host):
            self.check()
            if time.perf_counter() > ends_at:
                tail = last_lines(self.log)
                raise NotReady(
                    f"{self.name} 在 {deadline_s:.0f} 秒内没有就绪(端口 {port}),日志 {self.log}:\n{tail}",
                    f"{self.name} was not ready in {deadline_s:.0f} s (port {port}); {self.log} says:\n{tail}",
                )
            time.sleep(_POLL_S)

    def terminate(self) -> None:
        """Ask it to end; `stop` waits for it."""
        if self.is_running and self._process:
            self._process.terminate()

    def stop(self, deadline_s: float = _STOP_S) -> None:
        """Ask it to end and wait; kill it when it does not."""
        process, self._process = self._process, None
        if process is None:
            return
        process.terminate()
        try:
            process.wait(deadline_s)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(deadline_s)

    def kill(self) -> None:
        """SIGKILL, as a power cut would."""
        process, self._process = self._process, None
        if process is not None:
            process.send_signal(signal.SIGKILL)
            process.wait(_STOP_S)


def _tied(command: list[str]) -> list[str]:
    """Let the kernel end the child when its parent dies, even by SIGKILL."""
    setpriv = shutil.which("setpriv")
    return [setpriv, "--pdeathsig", "TERM", "--", *command] if setpriv else command
