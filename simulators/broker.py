"""Simulators: one `Broker` interface over the embedded broker and Debian's mosquitto, each in a process of its own.

Both listen on loopback only. What a production broker should look like is in `deploy/mosquitto.conf`.
"""

from __future__ import annotations

import getpass
import importlib.util
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from simulators.processes import Child, PortTaken, free_port, is_taken
from simulators.spec import SimError

_HOST = "127.0.0.1"
_MAX_PAYLOAD = 268_435_455  # rumqttd drops the connection above; MQTT's own limit

_RUMQTTD = """\
id = 0
[router]
id = 0
max_connections = 10010
max_outgoing_packet_count = 200
# finite, and small: 10 segments of 10 MB are all the memory a log of one topic filter may take
max_segment_size = 10485760
max_segment_count = 10
[v4.1]
name = "v4-1"
listen = "{host}:{port}"
next_connection_delay_ms = 1
    [v4.1.connections]
    connection_timeout_ms = 60000
    max_payload_size = {payload}
    max_inflight_count = 1000
    dynamic_filters = false
"""


class Broker(Protocol):
    """An MQTT broker on 127.0.0.1 that can be started, stopped and killed, again and again, on one port."""

    port: int
    log: Path

    @property
    def is_running(self) -> bool:
        """Has it been started and not ended?"""
        ...

    def start(self) -> None:
        """Start and wait until it accepts connections.

        Raises:
            PortTaken: somebody else listens there.
            SimError: it did not come up; the text carries its last log lines.
        """
        ...

    def stop(self) -> None:
        """End it in good order."""
        ...

    def kill(self) -> None:
        """SIGKILL."""
        ...

    def check(self) -> None:
        """Raise `ChildDied` when it has ended by itself."""
        ...


class _ProcessBroker:
    """What both brokers share: a child process behind a port."""

    def __init__(self, name: str, port: int | None, directory: Path) -> None:
        self.port = port or free_port()
        self.directory = directory
        self.log = directory / f"{name}.log"
        self._name = name
        self._child: Child | None = None

    @property
    def is_running(self) -> bool:
        """Has it been started and not ended?"""
        return self._child is not None and self._child.is_running

    @property
    def pid(self) -> int:
        """Process id; 0 when it does not run."""
        return self._child.pid if self._child else 0

    def command(self) -> list[str]:
        """Write the configuration; returns what to run."""
        raise NotImplementedError

    def start(self) -> None:
        """See `Broker.start`."""
        if self.is_running:
            return
        if is_taken(self.port):
            raise PortTaken(self.port)
        self.directory.mkdir(parents=True, exist_ok=True)
        self._child = Child(self._name, self.command(), self.log)
        self._child.start()
        try:
            self._child.wait_until_accepts(self.port)
        except SimError:
            self._child.kill()
            raise

    def stop(self) -> None:
        """See `Broker.stop`."""
        if self._child:
            self._child.stop()

    def kill(self) -> None:
        """See `Broker.kill`."""
        if self._child:
            self._child.kill()

    def restart(self) -> None:
        """Stop and start on the same port."""
        self.stop()
        self.start()

    def check(self) -> None:
        """See `Broker.check`."""
        if self._child:
            self._child.check()


class EmbeddedBroker(_ProcessBroker):
    """iotcore (rumqttd) from pip: needs no root.

    Sessions and retained messages live in memory: a restart of the broker loses them, a reconnect of a client does
    not. Redelivers with DUP=0. MQTT 3.1.1, no passwords.
    """

    def __init__(self, port: int | None = None, directory: Path = Path("var/broker"), name: str = "broker") -> None:
        """``port`` None: any free one. ``directory`` holds configuration and log."""
        super().__init__(name, port, directory)

    def command(self) -> list[str]:
        """Write the TOML; returns what to run."""
        if importlib.util.find_spec("iotcore") is None:
            raise SimError(
                "没有内置 broker:请运行 pip install 'shouwang[sim]'", "no embedded broker: pip install 'shouwang[sim]'"
            )
        config = self.directory / f"{self._name}.toml"
        config.write_text(_RUMQTTD.format(host=_HOST, port=self.port, payload=_MAX_PAYLOAD), encoding="utf-8")
        return [sys.executable, "-m", "iotcore", "--log-level", "CRITICAL", "--config", str(config)]


@dataclass(frozen=True, slots=True)
class Security:
    """Files that protect a mosquitto; passwords made with mosquitto_passwd."""

    ca: Path | None = None
    cert: Path | None = None
    key: Path | None = None
    wants_client_certificate: bool = False
    password_file: Path | None = None


class MosquittoBroker(_ProcessBroker):
    """Debian's mosquitto: persistent sessions survive a stop, and a SIGKILL up to the last autosave."""

    def __init__(
        self,
        port: int | None = None,
        directory: Path = Path("var/broker"),
        name: str = "mosquitto",
        *,
        security: Security | None = None,
        autosave_s: int = 5,
    ) -> None:
        """``port`` None: any free one. ``directory`` holds configuration, persistence and log."""
        super().__init__(name, port, directory)
        self._security = security or Security()
        self._autosave_s = autosave_s

    @staticmethod
    def find() -> str | None:
        """Path of the program, or None where it is not installed."""
        return shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin")

    def command(self) -> list[str]:
        """Write the configuration; returns what to run."""
        program = self.find()
        if program is None:
            raise SimError(
                "没有 mosquitto:请先 apt-get install mosquitto", "no mosquitto: apt-get install mosquitto first"
            )
        config = self.directory / f"{self._name}.conf"
        config.write_text("\n".join(self._lines()) + "\n", encoding="utf-8")
        return [program, "-c", str(config)]

    def _lines(self) -> list[str]:
        secured = self._security
        lines = [
            f"user {getpass.getuser()}",
            "persistence true",
            f"persistence_location {self.directory.resolve()}/",
            f"persistence_file {self._name}.db",
            f"autosave_interval {self._autosave_s}",
            "max_queued_messages 0",  # a finite limit drops messages that were acknowledged
            "max_queued_bytes 0",
            "max_inflight_messages 1000",
            "set_tcp_nodelay true",
            "log_type warning",
            "log_type error",
            f"listener {self.port} {_HOST}",
        ]
        if secured.cert and secured.key:
            lines += [f"certfile {secured.cert}", f"keyfile {secured.key}"]
        if secured.ca:
            lines += [f"cafile {secured.ca}"]
        if secured.wants_client_certificate:
            lines += ["require_certificate true", "use_identity_as_username true"]
        if secured.password_file:
            lines += [f"password_file {secured.password_file}"]
        is_open = secured.password_file is None and not secured.wants_client_certificate
        return [*lines, f"allow_anonymous {str(is_open).lower()}"]


def make(kind: str, port: int | None, directory: Path, name: str) -> Broker:
    """A broker by its name on the command line.

    Raises:
        SimError: no such kind, or it is not installed.
    """
    if kind == "embedded":
        return EmbeddedBroker(port, directory, name)
    if kind == "mosquitto":
        return MosquittoBroker(port, directory, name)
    raise SimError(f"没有名为 {kind} 的 broker(可用 embedded、mosquitto)", f"no broker {kind} (embedded or mosquitto)")
