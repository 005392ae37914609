"""What a session over MQTT is told and what it hands out: options, messages, its error. No session here."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from typing import Literal, NamedTuple


class LinkError(Exception):
    """The session could not be opened or has ended; the text says why."""


class VersionRefusedError(LinkError):
    """The broker does not speak MQTT 5."""


class UnansweredError(VersionRefusedError):
    """The broker hung up on a CONNECT of MQTT 5 without a word: perhaps for that, perhaps it is just going away."""


class PublishRefusedError(LinkError):
    """The broker answered one PUBLISH with a reason of 128 or above (MQTT 5, 3.4.2.1)."""

    def __init__(self, reason: int) -> None:
        super().__init__(f"refused: {REASONS.get(reason, 'reason')} (0x{reason:02x})")
        self.reason = reason


REASONS = {
    0x80: "unspecified error",
    0x83: "implementation specific error",
    0x87: "not authorized",
    0x90: "topic name invalid",
    0x91: "packet identifier in use",
    0x95: "packet too large",
    0x97: "quota exceeded",
    0x99: "payload format invalid",
}


class Message(NamedTuple):
    """A PUBLISH as it came. ``session`` tells acknowledgements of an older session apart."""

    topic: str  # "" where it was not UTF-8
    payload: bytes
    qos: int
    retain: bool
    dup: bool
    mid: int
    session: int
    is_oversize: bool = False  # larger than the link takes: the payload was thrown away as it came


@dataclass(frozen=True, slots=True)
class TlsOptions:
    """Files of a verified TLS session: the trusted roots, and a client certificate where the broker wants one."""

    ca: str | None = None  # None: the system's roots
    cert: str | None = None
    key: str | None = None

    def context(self) -> ssl.SSLContext:
        """TLS 1.2 or newer, certificate and host name verified."""
        context = ssl.create_default_context(cafile=self.ca)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        if self.cert:
            context.load_cert_chain(self.cert, self.key)
        return context


@dataclass(frozen=True, slots=True)
class LinkOptions:
    """Where and as whom to connect."""

    host: str
    port: int
    client_id: str
    username: str = ""
    password: str = ""
    tls: TlsOptions | None = None
    keepalive_s: int = 30
    connect_timeout_s: float = 5.0
    clean_session: bool = True
    will: tuple[str, bytes] | None = None  # QoS 1
    version: Literal[4, 5] = 4  # of the protocol: 4 is MQTT 3.1.1
    session_expiry_s: int = 0  # MQTT 5: how long the broker keeps the session of a client that has gone
    is_will_retained: bool = True
