"""The cluster test's platforms: three nats-server nodes (MQTT, JetStream, client certificates) behind one address.

Which node leads the MQTT streams is asked of the servers' own monitoring (``/jsz``), not guessed.
"""

from __future__ import annotations

import asyncio
import shutil
import socket
import ssl
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import orjson
import paho.mqtt.client as paho
import trustme
from paho.mqtt.enums import CallbackAPIVersion

from benchmarks import wire
from benchmarks.harness import HANG_S, BenchError, Child, Lab, free_port, wait_until
from benchmarks.loops import LoopThread, pass_on

STREAM = "$MQTT_msgs"  # where nats-server keeps what was published at QoS 1
SESSIONS = "$MQTT_sess"
NODES = 3


def find(program: str, package: str) -> str:
    """Path of a program; raises BenchError saying what to install."""
    found = shutil.which(program, path="/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin")
    if not found:
        raise BenchError(f"{program} is missing: apt-get install {package}")
    return found


@dataclass
class Node:
    """One server."""

    name: str
    mqtt: int
    monitor: int
    config: Path
    child: Child | None = None

    @property
    def is_running(self) -> bool:
        """Has it been started and not killed?"""
        return self.child is not None and self.child.is_running


class Cluster:
    """Three nodes; any one may be killed."""

    def __init__(self, lab: Lab) -> None:
        self._lab = lab
        self._program = find("nats-server", "nats-server")
        self.certificates = _certificates(lab.dir)
        routes = [free_port() for _ in range(NODES)]
        self.nodes = [self._node(f"n{n + 1}", routes[n], routes) for n in range(NODES)]

    def _node(self, name: str, route: int, routes: list[int]) -> Node:
        mqtt, monitor, client = free_port(), free_port(), free_port()
        to = ", ".join(f'"nats://127.0.0.1:{each}"' for each in routes)
        at = self.certificates
        config = self._lab.dir / f"nats-{name}.conf"
        config.write_text(
            f'server_name: {name}\nlisten: "127.0.0.1:{client}"\nhttp: "127.0.0.1:{monitor}"\n'
            f'jetstream {{ store_dir: "{self._lab.dir}/nats-{name}" }}\n'
            f'cluster {{ name: shouwang, listen: "127.0.0.1:{route}", routes: [{to}] }}\n'
            f'mqtt {{ listen: "127.0.0.1:{mqtt}", max_ack_pending: 1000\n  tls {{ verify: true\n'
            f'    cert_file: "{at}/server.pem", key_file: "{at}/server.key", ca_file: "{at}/ca.pem" }}\n}}\n'
        )
        return Node(name, mqtt, monitor, config)

    def start(self) -> None:
        """Start all, and wait until they agree on who leads."""
        for each in self.nodes:
            self.start_node(each)
        wait_until(lambda: bool(self._meta_leader()), HANG_S, "the three nodes elect a leader", every_s=0.1)

    def start_node(self, node: Node) -> None:
        """Start, or start again."""
        node.child = self._lab.spawn(f"nats-{node.name}", [self._program, "-c", str(node.config)])

    def refuses_strangers(self) -> bool:
        """Does a client without a certificate get no session?"""
        context = ssl.create_default_context(cafile=str(self.certificates / "ca.pem"))
        try:
            with (
                socket.create_connection(("127.0.0.1", self.nodes[0].mqtt), 10) as plain,
                context.wrap_socket(plain, server_hostname="127.0.0.1") as link,
            ):
                link.sendall(wire.encode_connect("stranger"))
                return not link.recv(4)
        except OSError:  # TLS 1.3: the alert comes with the first read
            return True

    def leader(self, stream: str = STREAM) -> Node | None:
        """The node that leads a stream, as the living nodes say; None while there is none."""
        for node in self.nodes:
            said = _ask(node, "/jsz?accounts=true&streams=true") if node.is_running else {}
            for account in said.get("account_details") or ():
                for each in account.get("stream_detail") or ():
                    name = (each.get("cluster") or {}).get("leader")
                    if each["name"] == stream and name:
                        found = next(other for other in self.nodes if other.name == name)
                        if found.is_running:
                            return found
        return None

    def replicas(self, stream: str = STREAM) -> int:
        """How many copies of a stream are current, its leader's own among them."""
        leader = self.leader(stream)
        if leader is None:
            return 0
        said = _ask(leader, "/jsz?accounts=true&streams=true")
        for account in said.get("account_details") or ():
            for each in account.get("stream_detail") or ():
                if each["name"] == stream:
                    return 1 + sum(bool(r.get("current")) for r in (each.get("cluster") or {}).get("replicas") or ())
        return 0

    def _meta_leader(self) -> str:
        said = [_ask(node, "/jsz") for node in self.nodes]
        names = {str((each.get("meta_cluster") or {}).get("leader", "")) for each in said}
        return names.pop() if len(names) == 1 else ""


def _ask(node: Node, path: str) -> dict[str, Any]:
    try:
        with urlopen(f"http://127.0.0.1:{node.monitor}{path}", timeout=2) as answer:
            found: dict[str, Any] = orjson.loads(answer.read())
            return found
    except OSError:
        return {}


def _certificates(folder: Path) -> Path:
    at = folder / "certificates"
    at.mkdir()
    ca = trustme.CA()
    ca.cert_pem.write_to_path(str(at / "ca.pem"))
    for name, identity in (("server", "127.0.0.1"), ("gateway", "gw@example.org"), ("cloud", "cloud@example.org")):
        issued = ca.issue_cert(identity)
        issued.private_key_pem.write_to_path(str(at / f"{name}.key"))
        issued.cert_chain_pems[0].write_to_path(str(at / f"{name}.pem"))
    return at


class Front(LoopThread):
    """One address for the cluster, as a load balancer gives it: each new connection goes to a node that answers."""

    def __init__(self, ports: list[int]) -> None:
        super().__init__("front")
        self.port = free_port()
        self.at = 0  # index of the node of the last connection
        self._ports = ports

    async def begin(self) -> None:
        """Listen."""
        await asyncio.start_server(self._relay, "127.0.0.1", self.port)

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for _ in self._ports:
            self.at = (self.at + 1) % len(self._ports)
            try:
                far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._ports[self.at])
            except OSError:
                continue
            await asyncio.gather(pass_on(reader, far_writer), pass_on(far_reader, writer))
            return
        writer.transport.abort()


class Subscriber:
    """The cloud behind the cluster: a durable session that comes back after each loss; keeps all in order."""

    def __init__(self, port: int, certificates: Path) -> None:
        self.told: list[tuple[str, bytes]] = []
        self.sessions = 0
        self._ready = threading.Event()
        self._client = paho.Client(CallbackAPIVersion.VERSION2, "cloud", clean_session=False)
        context = ssl.create_default_context(cafile=str(certificates / "ca.pem"))
        context.load_cert_chain(certificates / "cloud.pem", certificates / "cloud.key")
        self._client.tls_set_context(context)
        self._client.reconnect_delay_set(1, 1)
        self._client.on_connect = self._subscribe
        self._client.on_subscribe = lambda *_: self._ready.set()
        self._client.on_message = lambda _client, _data, got: self.told.append((got.topic, bytes(got.payload)))
        self._client.connect_async("127.0.0.1", port, keepalive=10)
        self._client.loop_start()
        if not self._ready.wait(60):
            raise BenchError("the cloud got no session at the cluster")

    def _subscribe(self, client: paho.Client, *_: Any) -> None:
        self.sessions += 1
        client.subscribe("shouwang/#", 1)

    def close(self) -> None:
        """Hang up."""
        self._client.disconnect()
        self._client.loop_stop()
