"""One MQTT session on a buffered socket: the contract with paho's private method, held against real brokers."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trustme

from gateway import mqtt_link
from gateway.mqtt_link import LinkError, LinkOptions, Message, MqttLink, TlsOptions
from simulators.broker import Broker, MosquittoBroker, Security
from tests.support_core import until


class Session:
    """A running link and what came over it."""

    def __init__(self, options: LinkOptions, *, acks: bool = True) -> None:
        self.messages: list[Message] = []
        self.resumed: list[bool] = []
        self.acks = acks
        self.link = MqttLink(options, on_message=self._on_message, on_up=self.resumed.append)

    def _on_message(self, message: Message) -> None:
        self.messages.append(message)
        if self.acks:
            self.link.ack(message)


def options(port: int, client_id: str = "gateway", *, clean: bool = True, tls: TlsOptions | None = None) -> LinkOptions:
    host = "localhost" if tls else "127.0.0.1"
    return LinkOptions(host, port, client_id, clean_session=clean, tls=tls, connect_timeout_s=3.0)


@asynccontextmanager
async def session(opts: LinkOptions, *, acks: bool = True) -> AsyncIterator[Session]:
    opened = Session(opts, acks=acks)
    task = asyncio.create_task(opened.link.run())
    try:
        await until(lambda: bool(opened.resumed) or task.done())
        if task.done():
            task.result()
        yield opened
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@pytest.fixture(params=["mosquitto", "embedded_broker"])
def broker(request: pytest.FixtureRequest) -> Broker:
    """Both brokers: the contract must hold on each."""
    found: Broker = request.getfixturevalue(request.param)
    return found


async def test_a_burst_arrives_whole_and_in_order(broker: Broker) -> None:
    """Two thousand QoS 1 messages, small and large, come out as they went in."""
    async with session(options(broker.port)) as gateway, session(options(broker.port, "device")) as device:
        await gateway.link.subscribe([("t/#", 1)])
        bodies = [b"%d" % n * (1 + n % 90) for n in range(2000)]
        await asyncio.gather(*(device.link.publish("t/a", body) for body in bodies))
        await until(lambda: len(gateway.messages) >= 2000, 10)
    assert [each.payload for each in gateway.messages] == bodies


async def test_a_large_payload_arrives(broker: Broker) -> None:
    """A message larger than any buffer is put together from its pieces."""
    async with session(options(broker.port)) as gateway, session(options(broker.port, "device")) as device:
        await gateway.link.subscribe([("t/#", 1)])
        body = bytes(range(256)) * 4096
        await device.link.publish("t/a", body)
        await until(lambda: len(gateway.messages) == 1)
    assert gateway.messages[0].payload == body


async def test_messages_between_acknowledgements_arrive(broker: Broker) -> None:
    """A session that publishes while it receives loses nothing: PUBACKs and PUBLISHes come mixed in one stream."""
    async with session(options(broker.port)) as gateway:
        await gateway.link.subscribe([("t/#", 1)])
        for _ in range(20):
            await asyncio.gather(*(gateway.link.publish("t/a", b"%d" % n) for n in range(100)))
        await until(lambda: len(gateway.messages) >= 2000, 10)
    assert [each.payload for each in gateway.messages] == [b"%d" % n for n in range(100)] * 20


async def test_a_giant_is_thrown_away_as_it_comes(mosquitto: MosquittoBroker) -> None:
    """Messages of 4 MB are announced without their payload, can be acknowledged, and the next one arrives."""
    async with session(options(mosquitto.port)) as gateway, session(options(mosquitto.port, "device")) as device:
        await gateway.link.subscribe([("t/#", 1)])
        for _ in range(5):
            await device.link.publish("t/giant", b"x" * 4_000_000)
        await device.link.publish("t/a", b"next")
        await until(lambda: len(gateway.messages) == 6)
        buffered = gateway.link._client.buffered if gateway.link._client else None
        assert buffered is not None
        assert len(buffered.data) < 200_000
    assert [(each.topic, each.payload, each.is_oversize) for each in gateway.messages] == [
        *[("t/giant", b"", True)] * 5,
        ("t/a", b"next", False),
    ]


async def test_what_is_urgent_is_on_its_way_before_anything_else_happens(broker: Broker) -> None:
    """Other messages go with what else is due in this turn of the loop."""
    async with session(options(broker.port)) as opened:
        opened.link.publish("t", b"telemetry")
        assert opened.link.unsent > 0
        await opened.link.publish("t", b"an alarm", is_urgent=True)
        opened.link.publish("t", b"an alarm", is_urgent=True)
        assert opened.link.unsent == 0


async def test_unacknowledged_messages_come_again(broker: Broker) -> None:
    """What was not acknowledged before the session ended is delivered to the next one; mosquitto marks it so."""
    opts = options(broker.port, clean=False)
    async with session(options(broker.port, "device")) as device:
        async with session(opts, acks=False) as first:
            await first.link.subscribe([("t/#", 1)])
            for n in range(3):
                await device.link.publish("t/a", b"%d" % n)
            await until(lambda: len(first.messages) == 3)
            first.link.ack(first.messages[0])
            await asyncio.sleep(0)
        async with session(opts) as second:
            await until(lambda: len(second.messages) == 2)
    assert second.resumed == [True]
    assert [each.payload for each in second.messages] == [b"1", b"2"]
    assert all(each.dup for each in second.messages) is isinstance(broker, MosquittoBroker)


async def test_an_old_receipt_is_not_sent_in_a_new_session(mosquitto: MosquittoBroker) -> None:
    """Packet ids are used again: an acknowledgement of a former session must not settle another message."""
    async with (
        session(options(mosquitto.port), acks=False) as gateway,
        session(options(mosquitto.port, "device")) as device,
    ):
        await gateway.link.subscribe([("t/#", 1)])
        await device.link.publish("t/a", b"x")
        await until(lambda: len(gateway.messages) == 1 and not gateway.link.unsent)
        gateway.link.ack(gateway.messages[0]._replace(session=99))
        assert gateway.link.unsent == 0
        gateway.link.ack(gateway.messages[0])
        assert gateway.link.unsent == 4


async def test_the_end_of_the_broker_is_an_error_at_once(broker: Broker) -> None:
    """A killed broker ends the session, fails what waits for a PUBACK, and nothing is queued for later."""
    opened = Session(options(broker.port))
    task = asyncio.create_task(opened.link.run())
    await until(lambda: bool(opened.resumed))
    broker.kill()
    with pytest.raises(LinkError):
        async with asyncio.timeout(5):
            await task
    assert not opened.link.is_up
    with pytest.raises(LinkError, match="not connected"):
        await opened.link.publish("t/a", b"x")


async def test_a_server_that_never_answers_is_given_up() -> None:
    """A port that accepts and stays silent does not hold the gateway for ever."""
    silent = socket.create_server(("127.0.0.1", 0))
    try:
        link = MqttLink(LinkOptions("127.0.0.1", silent.getsockname()[1], "gateway", connect_timeout_s=0.3))
        with pytest.raises(LinkError, match="no CONNACK"):
            await link.run()
    finally:
        silent.close()


async def test_a_broker_that_does_not_read_is_given_up_and_costs_no_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """What it does not take is refused beyond a bound, and must not arrive much later: the session ends."""
    monkeypatch.setattr(mqtt_link, "_MAX_STALL_S", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        link = MqttLink(LinkOptions("127.0.0.1", server.getsockname()[1], "gateway"))
        run = asyncio.create_task(link.run())
        broker, _ = await asyncio.to_thread(server.accept)
        with broker:
            await asyncio.to_thread(broker.recv, 1000)
            broker.sendall(b"\x20\x02\x00\x00")
            await until(lambda: link.is_up)
            acks = [link.publish("t", bytes(100_000)) for _ in range(200)]
            refused = [str(each.exception()) for each in acks if each.done()]
            assert len(refused) > 100
            assert set(refused) == {"the broker does not read: too much is unsent"}
            with pytest.raises(LinkError, match="does not read"):
                async with asyncio.timeout(10):
                    await run
            assert all(each.done() for each in acks)


async def test_a_closed_port_is_a_link_error() -> None:
    """The error names the host and port that could not be reached."""
    closed = socket.create_server(("127.0.0.1", 0))
    port = closed.getsockname()[1]
    closed.close()
    with pytest.raises(LinkError, match=f"127.0.0.1:{port}"):
        await MqttLink(LinkOptions("127.0.0.1", port, "gateway")).run()


Tls = tuple[MosquittoBroker, Path]


@pytest.fixture
def tls_broker(mosquitto_with: Callable[[Security], MosquittoBroker], tmp_path: Path) -> Tls:
    """A broker whose certificate is for localhost, and the file of its authority."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    own = authority.issue_cert("localhost")
    own.private_key_pem.write_to_path(tmp_path / "key.pem")
    own.cert_chain_pems[0].write_to_path(tmp_path / "cert.pem")
    security = Security(ca=tmp_path / "ca.pem", cert=tmp_path / "cert.pem", key=tmp_path / "key.pem")
    return mosquitto_with(security), tmp_path


async def test_tls_is_verified_and_carries_bursts(tls_broker: Tls) -> None:
    """With the right authority a session opens, and records larger than a read are not left in the TLS layer."""
    broker, files = tls_broker
    opts = options(broker.port, tls=TlsOptions(ca=str(files / "ca.pem")))
    async with session(opts) as gateway:
        await gateway.link.subscribe([("t/#", 1)])
        bodies = [b"%05d" % n * 50 for n in range(1000)]
        await asyncio.gather(*(gateway.link.publish("t/a", body) for body in bodies))
        await until(lambda: len(gateway.messages) == 1000, 10)
    assert [each.payload for each in gateway.messages] == bodies


async def test_a_stranger_s_certificate_is_refused(tls_broker: Tls, tmp_path: Path) -> None:
    """A broker whose authority is not ours gets no session and no plaintext."""
    broker, _ = tls_broker
    trustme.CA().cert_pem.write_to_path(tmp_path / "other.pem")
    link = MqttLink(options(broker.port, tls=TlsOptions(ca=str(tmp_path / "other.pem"))))
    with pytest.raises(LinkError, match="CERTIFICATE_VERIFY_FAILED"):
        await link.run()


async def test_a_certificate_for_another_name_is_refused(tls_broker: Tls) -> None:
    """The host name is checked, not only the authority."""
    broker, files = tls_broker
    named = LinkOptions("127.0.0.1", broker.port, "gateway", tls=TlsOptions(ca=str(files / "ca.pem")))
    with pytest.raises(LinkError, match="CERTIFICATE_VERIFY_FAILED"):
        await MqttLink(named).run()
