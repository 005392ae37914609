"""The broker configuration that we ship, started as it is: three nodes, TLS, certificates that are the accounts."""

from __future__ import annotations

import re
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.model import Uplink
from simulators.fleet_cloud import Certificates, NatsCluster
from tests.support_bridge import GATEWAY, Box, bridging, site, until
from tests.support_cloud import Session, need_cloud, trusting

OTHER = "gw-2"


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    need_cloud()
    made = Certificates(tmp_path_factory.mktemp("pki"))
    made.server("node")
    made.reader("platform")
    for each in (GATEWAY, OTHER, "stranger"):
        made.gateway(each)
    return made


@pytest.fixture
def cluster(pki: Certificates, tmp_path: Path) -> Iterator[NatsCluster]:
    cluster = NatsCluster(tmp_path / "broker", pki, [GATEWAY, OTHER])
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.stop()


async def subscribed(session: Session, port: int, *topics: str) -> None:
    session.start(port)
    await until(lambda: session.is_up, "a session")
    session.client.subscribe([(each, 1) for each in topics])
    await until(lambda: session.is_subscribed, "the subscription")


def uplink(pki: Certificates, port: int) -> Uplink:
    files = {"ca": "ca.pem", "cert": f"{GATEWAY}.pem", "key": f"{GATEWAY}.key"}
    tls = {key: str(pki.path / name) for key, name in files.items()}
    return Uplink("cloud", "mqtt", {"host": "127.0.0.1", "port": str(port), "tls": tls})


async def test_a_gateway_reaches_the_platform_through_the_cluster_although_a_node_dies(
    pki: Certificates, cluster: NatsCluster, tmp_path: Path
) -> None:
    """The real bridge by its certificate; the platform is away, one node is killed, and every row is there after it."""
    platform = Session(pki, "platform", "platform", keeps=True)
    await subscribed(platform, cluster.mqtt_ports[1], "shouwang/+/alarm", "shouwang/+/telemetry")
    box = Box(tmp_path / "box")
    box.readings(20)
    async with bridging(site(tmp_path / "box", uplink(pki, cluster.mqtt_ports[0]))):
        await until(lambda: box.settled("cloud") == box.last(), "the first rows are settled")
        await until(lambda: len(platform.got) == 20, "the first rows have arrived")
        platform.stop()
        box.alarms(1, 2, 3)
        box.readings(20, start=20)
        await until(lambda: box.settled("cloud") == box.last(), "rows are settled while the platform is away")
        cluster.nodes[1].kill()
        box.readings(20, start=40)
        await until(lambda: box.settled("cloud") == box.last(), "rows are settled while a node is dead", 60)
        again = Session(pki, "platform", "platform", keeps=True)
        again.start(cluster.mqtt_ports[2])
        expected = 3 + 40
        await until(lambda: len({body for _, body in again.got}) == expected, "all that was acknowledged", 60)
        again.stop()
    assert sum(topic.endswith("/alarm") for topic, _ in again.got) >= 3


async def test_a_gateway_sends_and_hears_its_own_topics_only(pki: Certificates, cluster: NatsCluster) -> None:
    """What it says in another's name reaches nobody, and it hears nothing of the others."""
    platform, gateway, other = (
        Session(pki, *each) for each in (("platform", "platform"), (GATEWAY, "a"), (OTHER, "b"))
    )
    await subscribed(platform, cluster.mqtt_ports[0], "shouwang/#")
    gateway.start(cluster.mqtt_ports[1])
    await until(lambda: gateway.is_up, "the gateway's session")
    gateway.client.subscribe([("shouwang/#", 1), (f"shouwang/{GATEWAY}/request", 1)])
    await until(lambda: gateway.is_subscribed, "the answer to the subscriptions")
    other.start(cluster.mqtt_ports[2])
    await until(lambda: other.is_up, "the other's session")
    gateway.client.publish(f"shouwang/{OTHER}/alarm", b"forged", 1)
    other.client.publish(f"shouwang/{OTHER}/alarm", b"its own", 1)
    gateway.client.publish(f"shouwang/{GATEWAY}/alarm", b"mine", 1)
    platform.client.publish(f"shouwang/{GATEWAY}/request", b"ask", 1)
    await until(lambda: len(platform.got) >= 3, "what was said")
    await until(lambda: gateway.got, "what the gateway was asked")
    assert sorted(body for _, body in platform.got) == [b"ask", b"its own", b"mine"]
    assert {body for topic, body in gateway.got if OTHER in topic} == set()
    assert b"ask" in {body for _, body in gateway.got}
    for each in (platform, gateway, other):
        each.stop()


async def test_who_is_not_on_the_list_gets_no_session(pki: Certificates, cluster: NatsCluster) -> None:
    """No certificate, another CA's, or one of our CA that no user has: none of them is let in."""
    bare = Session(pki, "", "nobody")
    bare.start(cluster.mqtt_ports[0])
    stranger = Session(pki, "stranger", "stranger")
    reasons: list[str] = []
    stranger.client.on_connect = lambda _client, _data, _flags, code, _properties: reasons.append(str(code))
    stranger.start(cluster.mqtt_ports[0])
    await until(lambda: reasons, "the answer to the stranger")
    assert not bare.is_up
    assert reasons[0] != "Success"
    bare.stop()
    stranger.stop()
    log = cluster.nodes[0].log
    await until(lambda: "client didn't provide a certificate" in log.read_text(), "the refusal is in the log")


async def test_a_new_gateway_is_let_in_while_the_others_stay(pki: Certificates, cluster: NatsCluster) -> None:
    """The list is written anew and read by the running servers: one more comes in, one less is thrown out."""
    old, gone, new = (Session(pki, *each) for each in ((GATEWAY, "a"), (OTHER, "b"), ("stranger", "c")))
    ended: list[int] = []
    for each in (old, gone):
        each.start(cluster.mqtt_ports[0])
        await until(lambda each=each: each.is_up, "a session")  # type: ignore[misc]
    old.client.on_disconnect = lambda *_: ended.append(1)
    cluster.admit([GATEWAY, "stranger"])
    await until(lambda: not gone.is_up, "who is no longer listed loses its session")
    new.start(cluster.mqtt_ports[1])
    await until(lambda: new.is_up, "the new gateway's session")
    assert not ended
    for each in (old, gone, new):
        each.stop()


def test_keys_are_kept(pki: Certificates, tmp_path: Path) -> None:
    """A certificate and another's key make no session; keys are for their owner only, and none is written over."""
    other = Certificates(tmp_path)
    with pytest.raises(ssl.SSLError):
        trusting(other).load_cert_chain(other.path / "ca.pem", pki.path / "node.key")
    assert (pki.path / "node.key").stat().st_mode & 0o077 == 0
    with pytest.raises(Exception, match="exists and is not replaced"):
        pki.server("node")


def test_an_id_that_would_become_another_topic_is_not_written(tmp_path: Path) -> None:
    """A gateway's id goes into permissions: wildcards, spaces and quotes end the script."""
    need_cloud()
    for bad in ("a.b", "*", "a>", 'a"}', "中"):
        with pytest.raises(Exception, match=re.escape("users.sh")):
            NatsCluster(tmp_path / "x", Certificates(tmp_path / f"pki-{len(bad)}-{ord(bad[0])}-{ord(bad[-1])}"), [bad])
