"""The platform is who it says it is, or nothing is sent: TLS is always verified and never falls back."""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
import pytest
import trustme
from pydantic import ValidationError

from cloud_bridge.mqtt_uplink import MqttParams
from cloud_bridge.settings import Common, Tls
from cloud_bridge.sparkplug_params import SparkplugParams
from cloud_bridge.thingsboard_settings import ThingsboardParams
from gateway.model import Uplink
from gateway.mqtt_options import TlsOptions
from tests.support_bridge import Box, bridging, listening, mosquitto, platform, site, until
from tests.support_series import http_stand_in


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


@pytest.fixture(params=["mqtt", "thingsboard", "sparkplug"])
def kind(request: pytest.FixtureRequest) -> str:
    """Every uplink with a session of MQTT; HTTPS has its test below."""
    return str(request.param)


def up(port: int, kind: str = "mqtt", **tls: str) -> Uplink:
    return Uplink("cloud", kind, {"host": "127.0.0.1", "port": str(port), "tls": tls})


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


async def test_only_with_our_certificate_there_is_a_session(ca: trustme.CA, tmp_path: Path, kind: str) -> None:
    """A platform that asks for a client certificate settles rows with it, and none without."""
    assert ca
    box = Box(tmp_path)
    box.readings(5)
    files = {"ca": f"{tmp_path}/ca.pem", "cert": f"{tmp_path}/client.pem", "key": f"{tmp_path}/client.key"}
    with mosquitto(tmp_path, broker_tls(tmp_path, more="require_certificate true")) as broker:
        async with bridging(site(tmp_path, up(broker.port, kind, ca=files["ca"]))):
            await until(lambda: box.status("cloud").get("error"), "the refusal")
        assert not any(box.settled("cloud").values())
        async with bridging(site(tmp_path, up(broker.port, kind, **files))):
            await until(lambda: box.settled("cloud") == box.last(), "settled")


async def test_a_broker_of_another_ca_is_refused(ca: trustme.CA, tmp_path: Path, kind: str) -> None:
    """A certificate that our CA did not sign ends the attempt; nothing is sent."""
    assert ca
    trustme.CA().cert_pem.write_to_path(str(tmp_path / "wrong.pem"))
    with mosquitto(tmp_path, broker_tls(tmp_path)) as broker:
        await refused(
            Box(tmp_path), tmp_path, up(broker.port, kind, ca=f"{tmp_path}/wrong.pem"), "CERTIFICATE_VERIFY_FAILED"
        )


async def test_a_certificate_of_another_host_is_refused(ca: trustme.CA, tmp_path: Path, kind: str) -> None:
    """The right CA but another host's certificate: refused."""
    assert ca
    with mosquitto(tmp_path, broker_tls(tmp_path, "other")) as broker:
        await refused(
            Box(tmp_path), tmp_path, up(broker.port, kind, ca=f"{tmp_path}/ca.pem"), "CERTIFICATE_VERIFY_FAILED"
        )


@pytest.mark.parametrize(
    ("server", "ca_file", "is_shown", "word"),
    [
        ("server", "ca", True, ""),
        ("server", "ca", False, ":"),  # without our certificate: any reason
        ("server", "wrong", True, "CERTIFICATE_VERIFY_FAILED"),
        ("server", "", True, "CERTIFICATE_VERIFY_FAILED"),  # only the system's roots
        ("other", "ca", True, "CERTIFICATE_VERIFY_FAILED"),
    ],
)
async def test_lines_go_to_a_verified_server_only_and_by_our_certificate(
    ca: trustme.CA, tmp_path: Path, server: str, ca_file: str, word: str, *, is_shown: bool
) -> None:
    """Of another CA, of another host, without our certificate: no request is made, no line is readable."""
    trustme.CA().cert_pem.write_to_path(str(tmp_path / "wrong.pem"))
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(tmp_path / f"{server}.pem", tmp_path / f"{server}.key")
    context.verify_mode = ssl.CERT_REQUIRED
    ca.configure_trust(context)
    tls = {"ca": f"{tmp_path}/{ca_file}.pem"} if ca_file else {}
    tls |= {"cert": f"{tmp_path}/client.pem", "key": f"{tmp_path}/client.key"} if is_shown else {}
    box = Box(tmp_path)
    async with http_stand_in(lambda _: "204", context) as (url, asked):
        params = {"url": url, "bucket": "b", "tls": tls}
        if word:
            await refused(box, tmp_path, Uplink("cloud", "influxdb", params), word)
            assert not asked
            return
        box.readings(5)
        async with bridging(site(tmp_path, Uplink("cloud", "influxdb", params))):
            await until(lambda: box.settled("cloud") == box.last(), "settled")
        assert asked


async def test_after_a_tls_failure_nothing_is_tried_in_plaintext(tmp_path: Path, kind: str) -> None:
    """A server without TLS never sees a readable CONNECT, however often the bridge tries."""
    box = Box(tmp_path)
    box.alarms(1)
    first_bytes: list[bytes] = []

    async def listen(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        first_bytes.append(await reader.read(1))

    async with listening(listen) as port, bridging(site(tmp_path, up(port, kind))):
        await until(lambda: len(first_bytes) >= 3, "three attempts")
    assert set(first_bytes) == {b"\x16"}  # a TLS handshake record, never MQTT's 0x10


async def test_a_missing_ca_file_is_said_and_not_skipped(tmp_path: Path, kind: str) -> None:
    """A wrong path of the CA is an error to be read, not a session without verification."""
    await refused(Box(tmp_path), tmp_path, up(1, kind, ca="/no/such/ca.pem"), "No such file")


def test_nothing_older_than_tls_1_2_is_spoken() -> None:
    """Of the sessions of MQTT and of HTTP."""
    for context in (Tls().context(), TlsOptions().context()):
        assert context.minimum_version >= ssl.TLSVersion.TLSv1_2
        assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, True)


@pytest.mark.parametrize("model", [MqttParams, ThingsboardParams, SparkplugParams])
def test_no_platform_asks_over_plaintext(model: type[Common]) -> None:
    """On the way anybody could forge it: E409."""
    with pytest.raises(ValidationError) as caught:
        model.model_validate({"host": "platform.example.org", "insecure": True, "commands": {"verbs": ["take"]}})
    assert [each["type"] for each in caught.value.errors()] == ["E409"]


@pytest.mark.parametrize("model", [MqttParams, ThingsboardParams, SparkplugParams])
def test_plaintext_needs_permission_beyond_this_machine(model: Any) -> None:
    """Only this machine itself is reached without TLS unless the installer writes insecure."""
    assert model(host="localhost").is_plaintext
    assert not model(host="192.168.1.9").is_plaintext
    assert not model(host="127.0.0.1.example.org").is_plaintext
    assert model(host="192.168.1.9", insecure=True).is_plaintext
