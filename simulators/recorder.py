"""Simulators: the stand-in platform's MQTT side: records what arrives, by message id, and judges it.

Wire format as published in `docs/schema`, read with a decoder of its own.
"""

from __future__ import annotations

import asyncio
import io
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion

_MAX_IDS = 1_000_000
_MAX_ALARMS = 100_000
_MAX_RECORD_BYTES = 100_000_000
_SUBSCRIPTION = "shouwang/#"


class Record:
    """What has arrived, judged. Pure but for the optional JSONL file.

    ``counts``: alarms, readings, telemetry (messages), duplicates (by id), order (violations), unreadable, states,
    forgotten (ids beyond the memory), not_recorded (lines beyond the file's limit).
    """

    def __init__(self, path: Path | None = None) -> None:
        self.counts: Counter[str] = Counter()
        self.alarms: dict[str, dict[str, Any]] = {}  # event id -> message, in order of first arrival
        self.online: dict[str, bool] = {}  # gateway -> last state it told
        self._seen: set[str] = set()
        self._versions: dict[str, int] = {}  # alarm id -> highest version so far
        self._latest_ms: dict[str, int] = {}  # point id -> received_at of its latest reading
        self._file: io.BufferedWriter | None = None
        self._written = 0
        if path:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = path.open("wb")

    def take(self, topic: str, payload: bytes) -> None:
        """One message of the platform's broker."""
        try:
            body = orjson.loads(payload)
            lane = topic.rsplit("/", 1)[1]
            {"state": self._state, "alarm": self._alarm, "telemetry": self._telemetry}[lane](body)
        except (ValueError, KeyError, TypeError, IndexError, AttributeError):
            self.counts["unreadable"] += 1
            return
        self._write(topic, body)

    def close(self) -> None:
        """Close the file."""
        if self._file:
            self._file.close()
            self._file = None

    def status(self) -> dict[str, Any]:
        """For people and tests."""
        return {**{name: self.counts[name] for name in ("alarms", "readings", "duplicates", "order")}, **self.counts}

    def _state(self, body: dict[str, Any]) -> None:
        self.counts["states"] += 1
        self.online[body["gateway"]] = body["state"] == "online"

    def _alarm(self, body: dict[str, Any]) -> None:
        alarm_id, version = body["event"]["alarm_id"], int(body["event"]["version"])
        if not self._is_new(body["id"]):
            return
        self.counts["alarms"] += 1
        if version <= self._versions.get(alarm_id, 0):
            self.counts["order"] += 1
        self._versions[alarm_id] = max(version, self._versions.get(alarm_id, 0))
        if len(self.alarms) < _MAX_ALARMS:
            self.alarms[body["id"]] = body

    def _telemetry(self, body: dict[str, Any]) -> None:
        readings = [(str(row[0]), int(row[3])) for row in body["r"]]
        if not self._is_new(body["id"]):
            return
        self.counts["telemetry"] += 1
        self.counts["readings"] += len(readings)
        for point, received_ms in readings:
            if received_ms < self._latest_ms.get(point, 0):
                self.counts["order"] += 1
            self._latest_ms[point] = received_ms

    def _is_new(self, message_id: str) -> bool:
        if message_id in self._seen:
            self.counts["duplicates"] += 1
            return False
        if len(self._seen) < _MAX_IDS:
            self._seen.add(message_id)
        else:
            self.counts["forgotten"] += 1
        return True

    def _write(self, topic: str, body: Any) -> None:
        if self._file is None:
            return
        line = orjson.dumps({"topic": topic, "body": body}) + b"\n"
        self._written += len(line)
        if self._written > _MAX_RECORD_BYTES:
            self.counts["not_recorded"] += 1
            return
        self._file.write(line)
        self._file.flush()


class Platform:
    """The subscriber on the platform's broker; keeps its session, so that it misses nothing while it is away."""

    def __init__(self, port: int, record: Record, *, host: str = "127.0.0.1", client_id: str = "platform") -> None:
        """Needs a running event loop; the record is touched on its thread only."""
        self.record = record
        self.is_up = False
        self._address = (host, port)
        self._loop = asyncio.get_running_loop()
        self._client = Client(CallbackAPIVersion.VERSION2, client_id=client_id, clean_session=False)
        self._client.reconnect_delay_set(min_delay=1, max_delay=2)
        self._client.on_connect = lambda client, *_: client.subscribe(_SUBSCRIPTION, 1)
        self._client.on_subscribe = lambda *_: self._call(self._set_up, True)
        self._client.on_disconnect = lambda *_: self._call(self._set_up, False)
        self._client.on_message = self._on_message

    def start(self) -> None:
        """Connect in the background, again and again; ``is_up`` tells when it is subscribed."""
        self._client.connect_async(*self._address)
        self._client.loop_start()

    async def stop(self) -> None:
        """Disconnect; the broker keeps the session."""
        self._client.disconnect()
        await asyncio.to_thread(self._client.loop_stop)

    def _on_message(self, _client: Client, _data: Any, message: MQTTMessage) -> None:
        self._call(self.record.take, message.topic, bytes(message.payload))

    def _set_up(self, is_up: bool) -> None:  # noqa: FBT001  called from a callback
        self.is_up = is_up

    def _call(self, act: Callable[..., None], *args: Any) -> None:
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(act, *args)
