"""Alarms that ThingsBoard still shows as open although the gateway's database, and they with it, was replaced.

Each alarm's attribute is overwritten by its next event. Of a former database no event comes any more: it would stand
there for ever. So at the start of each session the gateway asks for its own attribute ``epoch``; where that is
another than the outbox's, every device's alarm attributes are read back, those of another epoch that are open are
ended, and only then is the new epoch written. Whatever is not answered is asked again in the next session.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

from cloud_bridge.thingsboard_encode import ATTRIBUTES_RESPONSE, OWN_ATTRIBUTES_RESPONSE, Encoder, Publication
from gateway.model import Site

_WINDOW = 20  # devices asked about at a time
_OWN = 1  # number of the first request of a session
_KEY = "epoch"

Say = Callable[[str, Publication], object]  # of which device, what


class Reconcile:
    """What one uplink reads back from its platform."""

    def __init__(self, encoder: Encoder, site: Site, epoch: str) -> None:
        self._encoder = encoder
        self._site = site
        self._epoch = epoch
        self._say: Say = lambda *_: None
        self._waiting: deque[tuple[str, tuple[str, ...]]] = deque()  # devices and their keys, not asked yet
        self._asked: dict[int, tuple[str, tuple[str, ...]]] = {}
        self._told: set[tuple[str, str]] = set()  # keys of this session's own alarms: newer than any answer
        self._number = _OWN
        self._is_own_asked = False
        self.ended = 0

    def begin(self, say: Say) -> None:
        """A session has begun."""
        self._say = say
        self._waiting.clear()
        self._asked.clear()
        self._told.clear()
        self._number = _OWN
        self._is_own_asked = True
        say("", self._encoder.attribute_request(_OWN, "", [_KEY], is_client=True))

    def sent(self, device: str, key: str) -> None:
        """An alarm of now is on its way there; remembered only while old ones are read back."""
        if self._waiting or self._asked or self._is_own_asked:
            self._told.add((device, key))

    def take(self, topic: str, told: Any) -> None:
        """An answer; anything else is left alone."""
        if not isinstance(told, dict):
            return
        if topic == f"{OWN_ATTRIBUTES_RESPONSE}{_OWN}" and self._is_own_asked:
            self._is_own_asked = False
            self._take_own(told.get("client"))
        elif topic == ATTRIBUTES_RESPONSE:
            self._take_of_device(told)

    def _take_own(self, client: Any) -> None:
        epoch = client.get(_KEY) if isinstance(client, Mapping) else None
        if epoch == self._epoch:
            self._told.clear()
            return
        if epoch is not None:
            self._waiting.extend(self._alarm_keys().items())
        self._go_on()

    def _alarm_keys(self) -> dict[str, tuple[str, ...]]:
        """Which alarms each device of this configuration can have."""
        found: dict[str, dict[str, None]] = {}
        for rule in self._site.rules:
            for point_id in rule.points:
                device_id = point_id.rpartition("/")[0]
                name = self._encoder.name(device_id)
                if name:
                    found.setdefault(name, {})[self._encoder.alarm_key(rule.id, point_id, device_id)] = None
        return {name: tuple(keys) for name, keys in found.items()}

    def _go_on(self) -> None:
        while self._waiting and len(self._asked) < _WINDOW:
            name, keys = self._waiting.popleft()
            self._number += 1
            self._asked[self._number] = (name, keys)
            self._say(name, self._encoder.attribute_request(self._number, name, keys, is_client=True))
        if not self._waiting and not self._asked:
            self._told.clear()
            self._say("", self._encoder.attributes("", {_KEY: self._epoch}))

    def _take_of_device(self, told: Mapping[str, Any]) -> None:
        number = told.get("id")
        asked = self._asked.get(number) if isinstance(number, int) else None
        if asked is None or asked[0] != told.get("device"):
            return
        del self._asked[int(str(number))]
        name, keys = asked
        values = told.get("values", {keys[0]: told.get("value")})  # one key: its value alone
        if isinstance(values, Mapping):
            self._end(name, {key: value for key, value in values.items() if isinstance(value, Mapping)})
        self._go_on()

    def _end(self, name: str, states: Mapping[str, Mapping[str, Any]]) -> None:
        for key, state in states.items():
            is_old = state.get("is_open") is True and state.get("epoch") != self._epoch
            if is_old and (name, key) not in self._told:
                self.ended += 1
                ended = {**state, "is_open": False, "epoch": self._epoch, "ended": "database_replaced"}
                self._say(name, self._encoder.attributes(name, {key: ended}))
