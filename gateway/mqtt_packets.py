"""The MQTT packets that come by the thousand or must leave at once, as bytes. Pure; paho does the rest.

In: PUBLISH of QoS 0 and 1, PUBACK. Out: the same.

MQTT 3.1.1 and 5: 2.2 (fixed header; in 5 properties), 3.3 (PUBLISH), 3.4 (PUBACK).
"""

from __future__ import annotations

from typing import NamedTuple

_PUBLISH = 0x30
_PUBACK = 0x40
_QOS_1 = 0x02
_UTF8 = b"\x01\x01"  # payload format indicator: the payload is UTF-8 text (5: 3.3.2.3.2)
_CONTENT_TYPE = b"\x03"
_USER_PROPERTY = b"\x26"
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

    @property
    def is_puback(self) -> bool:
        """The acknowledgement of a PUBLISH of QoS 1."""
        return self.head == _PUBACK


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


def publish_in(data: bytes, frame: Frame, *, has_properties: bool = False) -> Publish | None:
    """The header of the PUBLISH in ``frame``; None while it is not whole (only in a packet that is not either).

    ``has_properties``: of MQTT 5; they are passed over.

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
    if has_properties:
        behind = _behind_properties(data, body, end)
        if behind is None:
            return None
        body = behind
    return Publish(_text(data[start + 2 : topic_end]), mid, body)


def _behind_properties(data: bytes, at: int, end: int) -> int | None:
    length = shift = 0
    for place in range(at, min(at + 4, end)):
        if place >= len(data):
            return None
        length |= (data[place] & 0x7F) << shift
        if data[place] < 0x80:
            behind = place + 1 + length
            if behind > end:
                raise MalformedPacketError("the properties of a PUBLISH are longer than the packet")
            return behind if behind <= len(data) else None
        shift += 7
    raise MalformedPacketError("a PUBLISH whose properties have no end")


class Receipt(NamedTuple):
    """A PUBACK. ``reason`` 0 where none is given; 128 and above is a refusal (5: 3.4.2.1)."""

    mid: int
    reason: int


def puback_in(data: bytes, frame: Frame) -> Receipt:
    """The PUBACK in ``frame``, which is whole.

    Raises:
        MalformedPacketError: it has no packet identifier.
    """
    start = frame.start
    if frame.end - start < 2:
        raise MalformedPacketError("a PUBACK without a packet identifier")
    reason = data[start + 2] if frame.end - start > 2 else 0
    return Receipt(data[start] << 8 | data[start + 1], reason)


def puback(mid: int) -> bytes:
    """The acknowledgement of a QoS 1 PUBLISH."""
    return b"\x40\x02" + mid.to_bytes(2, "big")


def json_properties(message_id: str = "") -> bytes:
    """The properties of a JSON payload (MQTT 5): text, its content type, and its id as the user property ``id``."""
    found = _UTF8 + _CONTENT_TYPE + _string(b"application/json")
    return found + _USER_PROPERTY + _string(b"id") + _string(message_id.encode()) if message_id else found


def publish_of(
    topic: str, payload: bytes, *, retain: bool = False, mid: int = 0, properties: bytes | None = None
) -> bytes:
    """A PUBLISH of QoS 0, or of QoS 1 with its packet identifier ``mid``; ``properties`` None is MQTT 3.1.1.

    Raises:
        ValueError: a topic that no PUBLISH may carry (3.3.2.1), or too large a packet.
    """
    name = topic.encode()
    if not name or len(name) > _LONGEST_TOPIC or "+" in topic or "#" in topic or "\0" in topic:
        raise ValueError(f"nothing can be published to the topic {topic[:80]!r}")
    header = len(name).to_bytes(2, "big") + name
    if mid:
        header += mid.to_bytes(2, "big")
    if properties is not None:
        header += _length(len(properties)) + properties
    left = len(header) + len(payload)
    if left > _LONGEST:
        raise ValueError("the payload is too large for one packet")
    return bytes((_PUBLISH | (_QOS_1 if mid else 0) | retain,)) + _length(left) + header + payload


def _length(size: int) -> bytes:
    """A variable byte integer."""
    if size <= 0x7F:
        return bytes((size,))
    found = bytearray()
    while size > 0x7F:
        found.append(size & 0x7F | 0x80)
        size >>= 7
    found.append(size)
    return bytes(found)


def _string(text: bytes) -> bytes:
    return len(text).to_bytes(2, "big") + text


def _text(topic: bytes) -> str:
    try:
        return topic.decode()
    except UnicodeDecodeError:
        return ""
