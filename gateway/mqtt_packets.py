"""The MQTT packets that come by the thousand or must leave at once, as bytes. Pure; paho does the rest.

In: PUBLISH of QoS 0 and 1. Out: PUBACK, PUBLISH of QoS 0.

MQTT 3.1.1: 2.2 (fixed header), 3.3 (PUBLISH), 3.4 (PUBACK).
"""

from __future__ import annotations

from typing import NamedTuple

_PUBLISH = 0x30
_MOST_HEADER = 5  # one byte of type, at most four of length (2.2.3)
_LONGEST = 268_435_455  # bytes behind the fixed header (2.2.3)
_LONGEST_TOPIC = 65_535  # bytes (1.5.3)


class MalformedPacketError(Exception):
    """The stream is not MQTT."""


class Frame(NamedTuple):
    """Where one packet stands in a buffer."""

    head: int  # first byte: type and flags
    start: int  # of the variable header
    end: int  # behind the packet; may lie behind the buffer

    @property
    def is_publish(self) -> bool:
        """A PUBLISH of QoS 0 or 1; QoS 2 is paho's."""
        return self.head & 0xF0 == _PUBLISH and not self.head & 0x04


class Publish(NamedTuple):
    """The variable header of a PUBLISH; the payload stands from ``body`` to the end of its frame."""

    topic: str  # "" where it was not UTF-8
    mid: int  # 0 for QoS 0
    body: int


def frame_at(data: bytes, at: int) -> Frame | None:
    """The packet that begins at ``at``; None while its fixed header is not whole.

    Raises:
        MalformedPacketError: its length has more than four bytes.
    """
    length = shift = 0
    last = min(len(data), at + _MOST_HEADER)
    for place in range(at + 1, last):
        byte = data[place]
        length |= (byte & 0x7F) << shift
        if byte < 0x80:
            return Frame(data[at], place + 1, place + 1 + length)
        shift += 7
    if last == at + _MOST_HEADER:
        raise MalformedPacketError("the packet's length has more than four bytes")
    return None


def publish_in(data: bytes, frame: Frame) -> Publish | None:
    """The header of the PUBLISH in ``frame``; None while it is not whole (only in a packet that is not either).

    Raises:
        MalformedPacketError: its topic or packet identifier does not fit into the packet.
    """
    head, start, end = frame
    body = start + 2
    if body > end:
        raise MalformedPacketError("a PUBLISH without a topic")
    if body > len(data):
        return None
    topic_end = body + (data[start] << 8 | data[start + 1])
    body = topic_end + 2 if head & 0x06 else topic_end
    if body > end:
        raise MalformedPacketError("the topic of a PUBLISH is longer than the packet")
    if body > len(data):
        return None
    mid = data[topic_end] << 8 | data[topic_end + 1] if head & 0x06 else 0
    return Publish(_text(data[start + 2 : topic_end]), mid, body)


def puback(mid: int) -> bytes:
    """The acknowledgement of a QoS 1 PUBLISH."""
    return b"\x40\x02" + mid.to_bytes(2, "big")


def publish_of(topic: str, payload: bytes, *, retain: bool = False) -> bytes:
    """A PUBLISH of QoS 0. Raises ValueError for a topic that no PUBLISH may carry (3.3.2.1) or too large a packet."""
    name = topic.encode()
    if not name or len(name) > _LONGEST_TOPIC or "+" in topic or "#" in topic or "\0" in topic:
        raise ValueError(f"nothing can be published to the topic {topic[:80]!r}")
    left = 2 + len(name) + len(payload)
    if left > _LONGEST:
        raise ValueError("the payload is too large for one packet")
    head = bytearray((_PUBLISH | retain,))
    while left > 0x7F:
        head.append(left & 0x7F | 0x80)
        left >>= 7
    head.append(left)
    return bytes(head) + len(name).to_bytes(2, "big") + name + payload


def _text(topic: bytes) -> str:
    try:
        return topic.decode()
    except UnicodeDecodeError:
        return ""
