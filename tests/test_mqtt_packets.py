"""PUBLISH as bytes: what paho would send is read back, in any pieces, and nothing else crashes or is taken for one."""

from __future__ import annotations

import asyncio
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from gateway.mqtt_books import Books
from gateway.mqtt_packets import (
    Frame,
    MalformedPacketError,
    Receipt,
    frame_at,
    json_properties,
    puback,
    puback_in,
    publish_in,
    publish_of,
)


def packet(topic: bytes, payload: bytes, qos: int, mid: int, flags: int = 0) -> bytes:
    """A PUBLISH by the words of MQTT 3.1.1, 3.3."""
    body = struct.pack("!H", len(topic)) + topic + (struct.pack("!H", mid) if qos else b"") + payload
    length = b""
    rest = len(body)
    while True:
        rest, digit = divmod(rest, 128)
        length += bytes([digit | 0x80 if rest else digit])
        if not rest:
            return bytes([0x30 | qos << 1 | flags]) + length + body


TOPICS = st.text(max_size=40).map(str.encode)
PAYLOADS = st.one_of(st.binary(max_size=300), st.integers(0, 20_000).map(lambda n: b"x" * n))


@given(TOPICS, PAYLOADS, st.integers(0, 1), st.integers(1, 65535), st.binary(max_size=9))
def test_a_publish_is_read_back(topic: bytes, payload: bytes, qos: int, mid: int, before: bytes) -> None:
    """Topic, payload and packet identifier come out as they went in, wherever in the buffer the packet stands."""
    data = before + packet(topic, payload, qos, mid) + b"more"
    frame = frame_at(data, len(before))
    assert frame is not None
    assert frame.is_publish
    found = publish_in(data, frame)
    assert found is not None
    assert (found.topic, found.mid) == (topic.decode(), mid if qos else 0)
    assert data[found.body : frame.end] == payload


@given(
    st.text(st.characters(exclude_characters="+#\0", codec="utf-8"), min_size=1, max_size=40), PAYLOADS, st.booleans()
)
def test_what_we_publish_is_what_the_standard_says(topic: str, payload: bytes, retain: int) -> None:
    """Our PUBLISH of QoS 0 is the standard's, byte for byte."""
    assert publish_of(topic, payload, retain=bool(retain)) == packet(topic.encode(), payload, 0, 0, retain)


@pytest.mark.parametrize("topic", ["", "a/+/b", "a/#", "a\0b", "x" * 65_536])
def test_a_topic_that_no_publish_may_carry_is_refused(topic: str) -> None:
    """A broker would end the session for it (MQTT 3.1.1, 3.3.2.1)."""
    with pytest.raises(ValueError, match="nothing can be published"):
        publish_of(topic, b"on")


@given(TOPICS, st.binary(max_size=300), st.integers(0, 1), st.integers(0, 400))
def test_a_part_of_a_packet_is_not_a_packet(topic: bytes, payload: bytes, qos: int, keep: int) -> None:
    """Whatever is cut off, the answer is `not yet`, never something else."""
    whole = packet(topic, payload, qos, 7)
    part = whole[: min(keep, len(whole) - 1)]
    frame = frame_at(part, 0) if part else None
    assert frame is None or frame.end > len(part)
    if frame is not None:
        found = publish_in(part, frame)
        assert found is None or found.topic == topic.decode()


@given(st.binary(max_size=60))
def test_noise_is_refused_or_waited_for(data: bytes) -> None:
    """Random bytes give a packet within bounds, `not yet`, or a clear refusal."""
    if not data:
        return
    try:
        frame = frame_at(data, 0)
        if frame is not None and frame.is_publish:
            found = publish_in(data, frame)
            assert found is None or found.body <= frame.end
    except MalformedPacketError:
        pass


def test_a_topic_that_is_not_utf8_is_empty() -> None:
    """A stranger's bytes do not end the session."""
    data = packet(b"\xff\xfe", b"x", 1, 7)
    found = publish_in(data, frame_at(data, 0) or Frame(0, 0, 0))
    assert found is not None
    assert found.topic == ""


def test_qos_2_is_left_to_paho() -> None:
    """Only what we acknowledge ourselves passes by the library."""
    frame = frame_at(packet(b"t", b"x", 2, 7), 0)
    assert frame is not None
    assert not frame.is_publish


def test_a_length_of_five_bytes_is_refused() -> None:
    """Such a stream would be waited for without end."""
    with pytest.raises(MalformedPacketError):
        frame_at(b"\x32\xff\xff\xff\xff\x01", 0)


def test_puback() -> None:
    """MQTT 3.1.1, 3.4."""
    assert puback(0x1234) == b"\x40\x02\x12\x34"


@given(
    st.text(st.characters(exclude_characters="+#\0", codec="utf-8"), min_size=1, max_size=40),
    PAYLOADS,
    st.integers(0, 65535),
    st.one_of(st.none(), st.binary(max_size=300)),
    st.integers(0, 400),
)
def test_what_we_publish_is_read_back_with_or_without_properties(
    topic: str, payload: bytes, mid: int, properties: bytes | None, keep: int
) -> None:
    """QoS 0 and 1, MQTT 3.1.1 and 5: topic, identifier and payload come out; a part of it is `not yet`."""
    data = publish_of(topic, payload, mid=mid, properties=properties)
    frame = frame_at(data, 0)
    assert frame is not None
    assert (frame.end, frame.is_publish) == (len(data), True)
    has_properties = properties is not None
    found = publish_in(data, frame, has_properties=has_properties)
    assert found is not None
    assert (found.topic, found.mid, data[found.body :]) == (topic, mid, payload)
    part = publish_in(data[: min(keep, len(data) - 1)], frame, has_properties=has_properties)
    assert part is None or part == found


def test_qos_1_is_what_the_standard_says() -> None:
    """Byte for byte, MQTT 3.1.1; of MQTT 5 what paho packs."""
    assert publish_of("a/b", b"on", mid=7) == packet(b"a/b", b"on", 1, 7)
    said = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
    said.PayloadFormatIndicator, said.ContentType, said.UserProperty = 1, "application/json", ("id", "gw/e/1/0")
    packed = said.pack()  # type: ignore[no-untyped-call]
    whole = publish_of("a/b", b"on", mid=7, properties=json_properties("gw/e/1/0"))
    assert whole == packet(b"a/b", packed + b"on", 1, 7)


@given(st.binary(max_size=60))
def test_noise_with_properties_is_refused_or_waited_for(data: bytes) -> None:
    """Random bytes give a packet within bounds, `not yet`, or a clear refusal, in MQTT 5 as well."""
    if not data:
        return
    try:
        frame = frame_at(data, 0)
        if frame is not None and frame.is_publish:
            found = publish_in(data, frame, has_properties=True)
            assert found is None or found.body <= min(frame.end, len(data))
    except MalformedPacketError:
        pass


@pytest.mark.parametrize(
    ("data", "want"),
    [
        (b"\x40\x02\x12\x34", Receipt(0x1234, 0)),
        (b"\x40\x03\x12\x34\x10", Receipt(0x1234, 0x10)),
        (b"\x40\x04\x12\x34\x99\x00", Receipt(0x1234, 0x99)),
    ],
)
def test_a_puback_says_its_reason(data: bytes, want: Receipt) -> None:
    """MQTT 3.1.1 has none, MQTT 5 may leave it out where it is 0."""
    frame = frame_at(data, 0)
    assert frame is not None
    assert frame.is_puback
    assert puback_in(data, frame) == want


def test_a_puback_of_nothing_is_refused() -> None:
    """Without a packet identifier the stream is not MQTT."""
    with pytest.raises(MalformedPacketError):
        puback_in(b"\x40\x01\x12", Frame(0x40, 2, 3))


async def test_an_identifier_without_an_answer_is_given_to_nobody_else() -> None:
    """All others go round and round: the PUBACK of one message must never settle another."""
    books = Books(lambda _: None)
    waiting = books.next_mid()
    books.publish(waiting, b"", asyncio.get_running_loop().create_future(), is_urgent=False)
    assert waiting not in {books.next_mid() for _ in range(130_000)}
