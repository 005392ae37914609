"""The cloud side of `deploy/`, running, for tests; with sessions of its readers and plain requests by certificate."""

from __future__ import annotations

import json
import ssl
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlencode
from urllib.request import Request, urlopen

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion

from simulators.fleet_cloud import Certificates, CloudSide, missing
from tests.support_broker import need


def need_cloud() -> None:
    lacking = missing()
    need(" ".join(lacking), is_there=not lacking)


@contextmanager
def cloud_side(directory: Path, gateways: Sequence[str]) -> Iterator[CloudSide]:
    need_cloud()
    with CloudSide(directory, gateways).running() as cloud:
        yield cloud


def trusting(certificates: Certificates, name: str = "") -> ssl.SSLContext:
    """With the certificate of ``name``, or with none."""
    context = ssl.create_default_context(cafile=certificates.path / "ca.pem")
    if name:
        context.load_cert_chain(certificates.path / f"{name}.pem", certificates.path / f"{name}.key")
    return context


def ask(url: str, tls: ssl.SSLContext, data: bytes | None = None, method: str | None = None) -> tuple[int, bytes]:
    try:
        with urlopen(Request(url, data, method=method), timeout=10, context=tls) as answer:
            return answer.status, answer.read()
    except HTTPError as error:
        return error.code, error.read()


def query(url: str, tls: ssl.SSLContext, promql: str) -> list[dict[str, Any]]:
    """What VictoriaMetrics answers, now; raises where it refuses the query."""
    status, body = ask(f"{url}/api/v1/query?" + urlencode({"query": promql}), tls)
    assert status == 200, f"{promql}: {status} {body.decode()[:300]}"
    found: list[dict[str, Any]] = json.loads(body)["data"]["result"]
    return found


class Session:
    """An MQTT session by certificate; what it got, in order, and what was acknowledged to it."""

    def __init__(self, certificates: Certificates, name: str, client_id: str, *, keeps: bool = False) -> None:
        self.got: list[tuple[str, bytes]] = []
        self.is_up = False
        self.is_subscribed = False
        self.acked: set[int] = set()
        self.client = paho.Client(CallbackAPIVersion.VERSION2, client_id=client_id, clean_session=not keeps)
        self.client.tls_set_context(trusting(certificates, name))
        self.client.on_connect = lambda *_: setattr(self, "is_up", True)
        self.client.on_disconnect = lambda *_: setattr(self, "is_up", False)
        self.client.on_subscribe = lambda *_: setattr(self, "is_subscribed", True)
        self.client.on_publish = lambda _client, _data, mid, *_: self.acked.add(mid)
        self.client.on_message = lambda _client, _data, message: self.got.append(
            (message.topic, bytes(message.payload))
        )

    def start(self, port: int) -> None:
        self.client.connect("127.0.0.1", port)
        self.client.loop_start()

    def stop(self) -> None:
        self.client.disconnect()
        self.client.loop_stop()
