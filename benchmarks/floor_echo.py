"""The floor: paho as shipped, `loop_forever`, decode, compare, publish. Nothing is checked, remembered or stored.

``python -m benchmarks.floor_echo PORT alarms|everything``: publish what is an alarm, or every message.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

ECHO_ALL = sys.argv[2:] == ["everything"]


def on_connect(client: mqtt.Client, *_: Any) -> None:
    """Subscribe in every session."""
    client.subscribe([("smoke/+/up", 1), ("env/+/up", 1)])


def on_message(client: mqtt.Client, _: Any, message: mqtt.MQTTMessage) -> None:
    """The whole job."""
    reading = json.loads(message.payload)
    serial = message.topic.split("/")[1]
    if reading.get("alarm") or reading.get("v", 0) > 60:
        client.publish(f"siren/{serial}/set", message.payload, qos=1)
    elif ECHO_ALL:
        client.publish(f"echo/{serial}", message.payload, qos=1)


if __name__ == "__main__":
    floor = mqtt.Client(CallbackAPIVersion.VERSION2, client_id="floor")
    floor.on_connect = on_connect
    floor.on_message = on_message
    floor.connect("127.0.0.1", int(sys.argv[1]), keepalive=600)
    floor.loop_forever()
