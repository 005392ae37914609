"""Simulators: the cloud side that `deploy/` describes, started for real on loopback: its own files, free ports.

Three nats-servers with TLS, client certificates and MQTT; a VictoriaMetrics behind nginx with client certificates.
What is sent to it belongs to `fleet`.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

from simulators.processes import Child, free_port
from simulators.spec import SimError

DEPLOY = Path(__file__).resolve().parent.parent / "deploy"
NODES = 3
_READY_S = 30.0
_SBIN = "/usr/sbin:/usr/bin:/usr/local/bin"


def missing() -> list[str]:
    """Debian packages that `CloudSide` needs and that are not installed."""
    programs = (("nats-server",) * 2, ("victoria-metrics",) * 2, ("nginx", "nginx-light"), ("openssl",) * 2)
    return [package for program, package in programs if shutil.which(program, path=_SBIN) is None]


class Certificates:
    """A private CA made by `deploy/pki/make-certs.sh`; ``path`` holds ``<name>.pem`` and ``<name>.key``."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._make("ca")

    def server(self, name: str) -> None:
        """For this machine."""
        self._make("server", name, "127.0.0.1", "localhost")

    def gateway(self, gateway_id: str) -> None:
        """A client certificate of one gateway."""
        self._make("gateway", gateway_id)

    def reader(self, name: str) -> None:
        """A client certificate of somebody who takes what gateways send."""
        self._make("reader", name)

    def _make(self, *words: str) -> None:
        script = DEPLOY / "pki" / "make-certs.sh"
        done = subprocess.run(
            ["/bin/sh", str(script), str(self.path), *words], check=False, capture_output=True, text=True
        )
        if done.returncode:
            raise SimError(f"证书没有做成:{done.stderr}", f"no certificate: {done.stderr}")

    def put_into(self, directory: Path, server: str) -> None:
        """``tls/node.pem``, ``tls/node.key`` and ``tls/ca.pem`` below ``directory``, as the shipped files name them."""
        tls = directory / "tls"
        tls.mkdir(parents=True, exist_ok=True)
        for source, target in ((f"{server}.pem", "node.pem"), (f"{server}.key", "node.key"), ("ca.pem", "ca.pem")):
            shutil.copy(self.path / source, tls / target)


class NatsCluster:
    """Three nodes of `deploy/nats/nats.conf`, unchanged; addresses come from the environment as in `nats.env`."""

    def __init__(self, directory: Path, certificates: Certificates, gateways: Iterable[str]) -> None:
        self.mqtt_ports = [free_port() for _ in range(NODES)]
        self._monitors = [free_port() for _ in range(NODES)]
        routes = [free_port() for _ in range(NODES)]
        directory.mkdir(parents=True, exist_ok=True)
        self._directory = directory
        users = self._users(gateways)
        listed = "".join(f"    nats-route://127.0.0.1:{port}\n" for port in routes)
        self.nodes: list[Child] = []
        for index in range(NODES):
            home = directory / f"nats{index + 1}"
            certificates.put_into(home, "node")
            shutil.copy(DEPLOY / "nats" / "nats.conf", home)
            (home / "users.conf").write_text(users)
            (home / "routes.conf").write_text(f"routes: [\n{listed}]\n")
            env = {
                "NATS_NAME": f"nats{index + 1}", "NATS_PORT": str(free_port()),
                "NATS_MONITOR": f"127.0.0.1:{self._monitors[index]}",
                "NATS_STORE": str(home / "store"), "NATS_STORE_SIZE": "4GB",
                "MQTT_HOST": "127.0.0.1", "MQTT_PORT": str(self.mqtt_ports[index]),
                "CLUSTER_HOST": "127.0.0.1", "CLUSTER_PORT": str(routes[index]),
            }  # fmt: skip
            self.nodes.append(Child(f"nats{index + 1}", _in(home, "nats-server", "-c", "nats.conf"), home / "log", env))

    def _users(self, gateways: Iterable[str]) -> str:
        ids = self._directory / "gateways.txt"
        ids.write_text("".join(f"{each}\n" for each in gateways))
        script = DEPLOY / "nats" / "users.sh"
        return subprocess.run(["/bin/sh", str(script), str(ids)], check=True, capture_output=True, text=True).stdout

    def admit(self, gateways: Iterable[str]) -> None:
        """Write the list of gateways anew and let the running nodes read it, as `systemctl reload` does."""
        users = self._users(gateways)
        for index, each in enumerate(self.nodes):
            (self._directory / f"nats{index + 1}" / "users.conf").write_text(users)
            os.kill(each.pid, signal.SIGHUP)

    def start(self) -> None:
        """Start all three and wait until each is healthy: the three have found each other and a leader."""
        for each in self.nodes:
            each.start()
        for index in range(NODES):
            self.wait_healthy(index)

    def wait_healthy(self, index: int) -> None:
        """Wait until this node is in the cluster and has what the others have."""
        node, url = self.nodes[index], f"http://127.0.0.1:{self._monitors[index]}/healthz"
        _wait(lambda: _answers(url), node)

    def stop(self) -> None:
        """End all three."""
        for each in self.nodes:
            each.terminate()
        for each in self.nodes:
            each.stop()


class TimeSeriesStore:
    """VictoriaMetrics with the flags of `victoria.env`, behind nginx with `shouwang-timeseries.conf`, unchanged."""

    def __init__(self, directory: Path, certificates: Certificates) -> None:
        self.port, inner = free_port(), free_port()
        self.inner_url = f"http://127.0.0.1:{inner}"  # past nginx: what only this machine may do
        shipped = DEPLOY / "victoriametrics"
        certificates.put_into(directory, "node")
        shutil.copy(shipped / "shouwang-timeseries.conf", directory)
        for name, old, new in (
            ("shouwang-backend.conf", "127.0.0.1:8428", f"127.0.0.1:{inner}"),
            ("shouwang-listen.conf", "10.0.0.21:8428", f"127.0.0.1:{self.port}"),
        ):
            (directory / name).write_text((shipped / name).read_text().replace(old, new))
        (directory / "nginx.conf").write_text(
            "daemon off;\nworker_processes 1;\npid nginx.pid;\nerror_log stderr;\n"
            "events { worker_connections 8192; }\n"
            "http {\n    access_log off;\n" + "".join(
                f"    {each}_temp_path {each}_temp;\n"
                for each in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
            ) + "    include shouwang-timeseries.conf;\n}\n"
        )  # fmt: skip
        env = dict(_flags(shipped / "victoria.env"))
        env |= {
            "httpListenAddr": f"127.0.0.1:{inner}", "storageDataPath": str(directory / "data"),
            "storage_minFreeDiskSpaceBytes": "100MB", "memory_allowedPercent": "10",
        }  # fmt: skip
        self.store = Child("victoria-metrics", _in(directory, "victoria-metrics", "-envflag.enable"),
                           directory / "victoria.log", env)  # fmt: skip
        nginx = _in(directory, "nginx", "-p", str(directory), "-c", "nginx.conf", "-e", "stderr")
        self.nginx = Child("nginx", nginx, directory / "nginx.log")

    @property
    def url(self) -> str:
        """Where gateways write to and dashboards read from."""
        return f"https://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start both and wait until they answer."""
        self.store.start()
        self.nginx.start()
        _wait(lambda: _answers(f"{self.inner_url}/health"), self.store)
        self.nginx.wait_until_accepts(self.port)

    def stop(self) -> None:
        """End both."""
        self.nginx.stop()
        self.store.stop()


class CloudSide:
    """Broker and time-series store for these gateways, with a certificate for each, and one for a reader."""

    def __init__(self, directory: Path, gateways: Sequence[str], reader: str = "platform") -> None:
        if lacking := missing():
            words = " ".join(lacking)
            raise SimError(f"缺少软件包:apt-get install {words}", f"packages are missing: apt-get install {words}")
        self.certificates = Certificates(directory / "pki")
        self.certificates.server("node")
        self.certificates.reader(reader)
        for each in gateways:
            self.certificates.gateway(each)
        self.broker = NatsCluster(directory / "broker", self.certificates, gateways)
        self.series = TimeSeriesStore(directory / "series", self.certificates)

    @contextlib.contextmanager
    def running(self) -> Iterator[CloudSide]:
        """Started, and stopped at the end of the block."""
        try:
            self.broker.start()
            self.series.start()
            yield self
        finally:
            self.series.stop()
            self.broker.stop()


def _in(directory: Path, program: str, *words: str) -> list[str]:
    found = shutil.which(program, path=_SBIN)
    if found is None:
        raise SimError(f"没有 {program}", f"there is no {program}")
    return ["/usr/bin/env", f"--chdir={directory}", found, *words]


def _flags(path: Path) -> Iterator[tuple[str, str]]:
    for line in path.read_text(encoding="utf-8").splitlines():
        if line and not line.startswith("#"):
            name, _, value = line.partition("=")
            yield name, value


def _answers(url: str) -> bool:
    try:
        with urlopen(url, timeout=2) as answer:  # noqa: S310 - loopback
            return bool(answer.status == 200)
    except (URLError, OSError):
        return False


def _wait(is_true: Callable[[], bool], child: Child) -> None:
    ends_at = time.perf_counter() + _READY_S
    while not is_true():
        child.check()
        if time.perf_counter() > ends_at:
            raise SimError(f"{child.name} 没有就绪,见 {child.log}", f"{child.name} is not ready, see {child.log}")
        time.sleep(0.05)
