"""The platform is who it says it is, or nothing is sent: TLS is always verified and never falls back."""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path

import paho.mqtt.client as paho
import pytest
import trustme

from cloud_bridge.mqtt_uplink import MqttParams
from gateway.model import Uplink
from tests.support_bridge import Box, bridging, listening, mosquitto, platform, site, until


@pytest.fixture
def ca(tmp_path: Path) -> trustme.CA:
    ca = trustme.CA()
    ca.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    for name, identity in (("server", "127.0.0.1"), ("client", "gw-1@example.org"), ("other", "192.0.2.1")):
        cert = ca.issue_cert(identity)
        cert.private_key_pem.write_to_path(str(tmp_path / f"{name}.key"))
        cert.cert_chain_pems[0].write_to_path(str(tmp_path / f"{name}.pem"))
    return ca


def broker_tls(directory: Path, cert: str = "server", more: str = "") -> str:
    return (
        f"certfile {directory}/{cert}.pem\nkeyfile {directory}/{cert}.key\ncafile {directory}/ca.pem\n"
        f"tls_version tlsv1.2\n{more}"
    )


def up(port: int, **tls: str) -> Uplink:
    return Uplink("cloud", "mqtt", {"host": "127.0.0.1", "port": str(port), "tls": tls})


async def refused(box: Box, directory: Path, uplink: Uplink, word: str) -> None:
    """The bridge gets no session, and says why."""
    box.alarms(1)
    async with bridging(site(directory, uplink)):
        await until(lambda: word in str(box.status("cloud").get("error")), f"an error with {word}")
    assert not any(box.settled("cloud").values())


async def test_rows_go_through_a_verified_session(ca: trustme.CA, tmp_path: Path) -> None:
    """With the platform's CA and a client certificate everything arrives."""
    box = Box(tmp_path)
    box.readings(5)

    def trust(client: paho.Client) -> None:
        context = ssl.create_default_context()
        ca.configure_trust(context)
        context.load_cert_chain(tmp_path / "client.pem", tmp_path / "client.key")
        client.tls_set_context(context)

    files = {"ca": f"{tmp_path}/ca.pem", "cert": f"{tmp_path}/client.pem", "key": f"{tmp_path}/client.key"}
    config = broker_tls(tmp_path, more="require_certificate true")
    with mosquitto(tmp_path, config) as broker, platform(broker.port, trust) as seen:
        async with bridging(site(tmp_path, up(broker.port, **files))):
            await until(lambda: seen.values() == [0, 1, 2, 3, 4], "the readings")


async def test_a_broker_of_another_ca_is_refused(ca: trustme.CA, tmp_path: Path) -> None:
    """A certificate that our CA did not sign ends the attempt; nothing is sent."""
    assert ca
    trustme.CA().cert_pem.write_to_path(str(tmp_path / "wrong.pem"))
    with mosquitto(tmp_path, broker_tls(tmp_path)) as broker:
        await refused(Box(tmp_path), tmp_path, up(broker.port, ca=f"{tmp_path}/wrong.pem"), "CERTIFICATE_VERIFY_FAILED")


async def test_a_certificate_of_another_host_is_refused(ca: trustme.CA, tmp_path: Path) -> None:
    """The right CA but another host's certificate: refused."""
    assert ca
    with mosquitto(tmp_path, broker_tls(tmp_path, "other")) as broker:
        await refused(Box(tmp_path), tmp_path, up(broker.port, ca=f"{tmp_path}/ca.pem"), "CERTIFICATE_VERIFY_FAILED")


async def test_after_a_tls_failure_nothing_is_tried_in_plaintext(tmp_path: Path) -> None:
    """A server without TLS never sees a readable CONNECT, however often the bridge tries."""
    box = Box(tmp_path)
    box.alarms(1)
    first_bytes: list[bytes] = []

    async def listen(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        first_bytes.append(await reader.read(1))

    async with listening(listen) as port, bridging(site(tmp_path, up(port))):
        await until(lambda: len(first_bytes) >= 3, "three attempts")
    assert set(first_bytes) == {b"\x16"}  # a TLS handshake record, never MQTT's 0x10


async def test_a_missing_ca_file_is_said_and_not_skipped(tmp_path: Path) -> None:
    """A wrong path of the CA is an error to be read, not a session without verification."""
    await refused(Box(tmp_path), tmp_path, up(1, ca="/no/such/ca.pem"), "No such file")


def test_plaintext_needs_permission_beyond_this_machine() -> None:
    """Only this machine itself is reached without TLS unless the installer writes insecure."""
    assert MqttParams(host="localhost").is_plaintext
    assert not MqttParams(host="192.168.1.9").is_plaintext
    assert not MqttParams(host="127.0.0.1.example.org").is_plaintext
    assert MqttParams(host="192.168.1.9", insecure=True).is_plaintext
