"""Settings out over MQTT: what to publish, again until the device reports the value, and never after the deadline.

Commands go at QoS 0: a broker keeps a QoS 1 message for a device that is away and hands it over hours later, and
MQTT 3.1.1 has no expiry. What makes a command sure is the device's own report, and sending it again until then.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterable, Mapping
from typing import Any

from orjson import dumps

from gateway.clock import Clock
from gateway.drivers.mqtt_params import MqttPoint
from gateway.drivers.payloads import fill
from gateway.model import (
    Command,
    CommandOutcome,
    CommandResult,
    Device,
    DeviceStatus,
    Point,
    Quality,
    Reading,
    Value,
)
from gateway.mqtt_link import LinkError, MqttLink

_RETRIES = 3  # within a command's deadline, after the first sending
_FIRST_PAUSE_S = 0.5  # doubled each time: a message lost on the air must not cost a linkage its 3 s
_SILENT = "the device has not reported the value"
_LAST_SEND_S = 0.02  # before the deadline: nothing is sent that would arrive after it

_Wanted = tuple[Value, asyncio.Future[Value]]


class Commands:
    """The settings under way on one bus."""

    def __init__(self, points: Mapping[str, tuple[Device, Point]], link: MqttLink, clock: Clock) -> None:
        self._points = points
        self._link = link
        self._clock = clock
        self._awaited: dict[str, list[_Wanted]] = {}  # by point id

    @property
    def is_waiting(self) -> bool:
        """Does a command wait for a report?"""
        return bool(self._awaited)

    def write(self, command: Command) -> Awaitable[CommandResult]:
        """See `Driver.write`. The message leaves now; the readback is the device's own report of the point."""
        device, point = self._points[command.point_id]
        settings = point.params.set
        total_s = command.left_s(self._clock.now())
        if settings is None:
            return self._ended(command, CommandOutcome.REFUSED, "the profile gives this point no `set`")
        if total_s <= 0:
            return self._ended(command, CommandOutcome.EXPIRED)
        serial = device.params.device.serial
        body = fill(settings.payload, value=_word(point, command.value), serial=serial)
        message = settings.topic.replace("{serial}", serial), body.encode() if isinstance(body, str) else dumps(body)
        sent = self._link.publish(*message, qos=0, is_urgent=command.is_safety)
        wanted = (command.value, asyncio.get_running_loop().create_future())  # reports are read after this turn
        self._awaited.setdefault(command.point_id, []).append(wanted)
        return self._until_reported(command, message, total_s, sent, wanted)

    def confirm(self, inputs: Iterable[Reading | DeviceStatus]) -> None:
        """Look for reports that commands wait for; what a broker kept from before is no report."""
        for each in inputs:
            if isinstance(each, Reading) and each.quality is Quality.GOOD:
                for value, future in self._awaited.get(each.point_id, ()):
                    if each.value == value and not future.done():
                        future.set_result(value)

    async def _until_reported(
        self,
        command: Command,
        message: tuple[str, bytes],
        total_s: float,
        sent: asyncio.Future[None],
        wanted: _Wanted,
    ) -> CommandResult:
        """Wait for the device's report; send the absolute value again, a few times within the deadline.

        What could not leave because the broker is away is no retry: it is tried until the deadline.
        """
        loop = asyncio.get_running_loop()
        deadline_s = loop.time() + total_s
        pause_s = min(_FIRST_PAUSE_S, total_s / 2 ** (_RETRIES + 1))
        retries = _RETRIES
        outcome, detail = CommandOutcome.UNCONFIRMED, _SILENT
        try:
            while True:
                end_s = min(loop.time() + pause_s, deadline_s) if retries > 0 else deadline_s
                try:
                    async with asyncio.timeout_at(end_s):
                        await sent
                        outcome, detail = CommandOutcome.UNCONFIRMED, _SILENT
                        return self._result(command, CommandOutcome.DONE, readback=await asyncio.shield(wanted[1]))
                except TimeoutError:
                    retries, pause_s = retries - 1, 2 * pause_s
                except LinkError as error:
                    outcome, detail = CommandOutcome.FAILED, str(error)
                    await asyncio.sleep(max(0.0, min(_FIRST_PAUSE_S, deadline_s - loop.time())))
                if loop.time() >= deadline_s - _LAST_SEND_S:
                    return self._result(command, outcome, detail=detail)
                sent = self._link.publish(*message, qos=0, is_urgent=command.is_safety)
        finally:
            self._forget(command.point_id, wanted)

    def _forget(self, point_id: str, wanted: _Wanted) -> None:
        waiting = self._awaited[point_id]
        waiting.remove(wanted)
        if not waiting:
            del self._awaited[point_id]

    async def _ended(self, command: Command, outcome: CommandOutcome, detail: str = "") -> CommandResult:
        return self._result(command, outcome, detail=detail)

    def _result(
        self, command: Command, outcome: CommandOutcome, *, readback: Value | None = None, detail: str = ""
    ) -> CommandResult:
        return CommandResult(command.id, outcome, self._clock.now().utc, readback, detail)


def _word(point: Point, value: Value) -> Any:
    """The device's own word for a value, where the profile has words."""
    params: MqttPoint = point.params
    if params.words is not None:
        for word, meaning in params.words.items():
            if meaning == value:
                return word
    return value
