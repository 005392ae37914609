"""paho made ready for one session: version, session, will, TLS. What is sent in it belongs to `mqtt_link`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.subscribeoptions import SubscribeOptions

from gateway.mqtt_options import LinkError, LinkOptions
from gateway.mqtt_socket import Paho

_JSON = "application/json"


def new_client(options: LinkOptions) -> Paho:
    """A client that is not connected yet.

    Raises:
        LinkError: the TLS files cannot be used.
    """
    is_v5 = options.version == 5
    client = Paho(
        CallbackAPIVersion.VERSION2,
        client_id=options.client_id,
        clean_session=None if is_v5 else options.clean_session,
        protocol=MQTTProtocolVersion.MQTTv5 if is_v5 else MQTTProtocolVersion.MQTTv311,
        reconnect_on_failure=False,
        manual_ack=True,
    )
    client.connect_timeout = options.connect_timeout_s
    client.max_inflight_messages_set(0)  # the caller keeps its own window
    if options.username:
        client.username_pw_set(options.username, options.password)
    if options.tls:
        try:
            client.tls_set_context(options.tls.context())
        except (OSError, ValueError) as error:
            raise LinkError(f"the TLS files cannot be used: {error}") from error
    if options.will:
        properties = _properties(PacketTypes.WILLMESSAGE, PayloadFormatIndicator=1, ContentType=_JSON)
        client.will_set(*options.will, qos=1, retain=options.is_will_retained, properties=properties if is_v5 else None)
    client.on_socket_register_write = lambda *_: None  # makes paho leave writing to us
    return client


def connect(client: Client, options: LinkOptions) -> None:
    """Open the socket (blocking) and send CONNECT.

    Raises:
        LinkError: it could not be reached, or TLS was refused.
    """
    more: dict[str, Any] = {}
    if options.version == 5:
        more["clean_start"] = options.clean_session
        more["properties"] = _properties(PacketTypes.CONNECT, SessionExpiryInterval=options.session_expiry_s)
    try:
        client.connect(options.host, options.port, options.keepalive_s, **more)
    except (OSError, ValueError) as error:
        raise LinkError(f"{options.host}:{options.port}: {error}") from error


def filters_of(filters: Sequence[tuple[str, int]], version: int) -> list[Any]:
    """(topic filter, QoS) pairs as paho wants them for this version."""
    return [(topic, SubscribeOptions(qos)) for topic, qos in filters] if version == 5 else list(filters)


def _properties(kind: int, **values: Any) -> Properties:
    found = Properties(kind)  # type: ignore[no-untyped-call]  # paho has no annotation there
    for name, value in values.items():
        setattr(found, name, value)
    return found
