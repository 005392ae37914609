"""ThingsBoard's own gateway client, driven over standard input: a process of its own, with its own paho.

``python support_thingsboard_peer.py <port>``; then a line of JSON ``[method, argument, ...]`` for each call, answered
with a line each when the broker has acknowledged it.
"""

from __future__ import annotations

import importlib
import json
import sys
import types
from typing import Any


def client(port: int) -> Any:
    # checks firmware, which is not our subject; missing, the client would install it into the running environment
    checksums = types.ModuleType("mmh3")
    checksums.hash = checksums.hash128 = None  # type: ignore[attr-defined]
    sys.modules["mmh3"] = checksums
    made = importlib.import_module("tb_gateway_mqtt").TBGatewayMqttClient("127.0.0.1", port, "token", client_id="peer")
    made.connect()
    return made


def main() -> None:
    gateway = client(int(sys.argv[1]))
    for line in sys.stdin:
        name, *arguments = json.loads(line)
        if "request" in name:
            arguments.append(lambda *_: None)
        info = getattr(gateway, name)(*arguments)
        is_published = hasattr(info, "get")
        assert not is_published or info.get() == 0, name
        sys.stdout.write(f"{json.dumps(None if is_published else info)}\n")
        sys.stdout.flush()
    gateway.disconnect()
    gateway.stop()


if __name__ == "__main__":
    main()
