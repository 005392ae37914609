"""Simulators: what a site looks like from the devices' side. Frozen values; reading files is in `site`.

Deliberately not the gateway's nouns: a shared model would make the same mistake on both sides.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

Value = bool | int | float | str

BITS = ("coil", "discrete")
REGISTERS = {
    "int16": 1, "uint16": 1, "int32": 2, "uint32": 2, "float32": 2, "int64": 4, "uint64": 4, "float64": 4,
}  # fmt: skip


class SimError(Exception):
    """Something the person at the keyboard must change: Chinese and English text of what and how."""

    def __init__(self, zh: str, en: str) -> None:
        super().__init__(en)
        self.zh = zh
        self.en = en

    def text(self, lang: str) -> str:
        """The message in ``zh`` or ``en``."""
        return self.en if lang == "en" else self.zh


@dataclass(frozen=True, slots=True)
class SetTopic:
    """Where a device listens for one point: topic filter and the payload's template with ``{value}``."""

    topic: str
    payload: Any


@dataclass(frozen=True, slots=True)
class Availability:
    """A retained message, and last will, that says whether the device is there."""

    topic: str
    path: tuple[str | int, ...]
    online: str


@dataclass(frozen=True, slots=True)
class Register:
    """Where a value lies in a Modbus unit; ``address`` is 0-based, as on the wire."""

    table: str  # coil | discrete | holding | input
    address: int
    type: str  # bool or a key of REGISTERS
    word_order: str = "ABCD"
    scale: float = 1.0
    offset: float = 0.0
    bit: int | None = None  # a bool inside a register

    @property
    def width(self) -> int:
        """Bits of a bit table, or registers."""
        return 1 if self.type == "bool" else REGISTERS[self.type]


@dataclass(frozen=True, slots=True)
class SimPoint:
    """One value of a device; ``base`` and ``index`` (from 1, None when not repeated) make ``name``."""

    name: str
    base: str
    index: int | None
    type: str  # bool | int | float | text
    unit: str = ""
    alarm_class: str = ""
    is_event: bool = False
    is_writable: bool = False
    low: float | None = None
    high: float | None = None
    path: tuple[str | int, ...] = ()  # MQTT: where in the JSON payload
    scale: float = 1.0  # MQTT: value = said * scale + offset
    offset: float = 0.0
    is_inverted: bool = False  # MQTT: the device says the opposite
    readback: str = ""  # Modbus: the point that shows what a write did
    words: Mapping[str, Value] = field(default_factory=dict)  # MQTT: what the device says -> what it means
    set_topic: SetTopic | None = None
    register: Register | None = None
    counter: str = ""  # Modbus: the point that counts up whenever this one says something


@dataclass(frozen=True, slots=True)
class Behaviour:
    """A profile's optional ``sim:`` section: how the device behaves where the defaults by kind do not fit."""

    every_s: float = 60.0
    hold_s: float = 1.0
    idle: Mapping[str, Value] = field(default_factory=dict)
    wobble: Mapping[str, float] = field(default_factory=dict)
    press: Mapping[str, Value] = field(default_factory=dict)
    release: Mapping[str, Value] = field(default_factory=dict)
    retain: bool = False
    gaps: str = "refuse"  # Modbus addresses nobody mapped: refuse (exception 2) | zero
    time_format: str = "ms"  # ms | s | iso
    seq: tuple[str | int, ...] = ()
    auto_s: float = 0.0  # somebody presses it by themselves about this often; 0: never
    pulse_s: Mapping[str, float] = field(default_factory=dict)  # a point that falls back to false so long after a write


@dataclass(frozen=True, slots=True)
class SimDevice:
    """One device of the site."""

    id: str
    at: str
    kind: str
    title: str
    bus: str
    profile: str
    serial: str
    points: Mapping[str, SimPoint]
    behaviour: Behaviour
    topic: str = ""  # MQTT: where it publishes
    is_text: bool = False  # MQTT: the payload is the value itself, no JSON
    availability: Availability | None = None
    time_path: tuple[str | int, ...] = ()
    each_path: tuple[str | int, ...] | None = None  # an array of devices in one message
    serial_path: tuple[str | int, ...] = ()  # several devices on one topic: where the serial stands
    unit: int = 0  # Modbus unit id
    zone: str = ""  # what a main switch feeds

    @property
    def main_point(self) -> SimPoint | None:
        """What a press of the device means: an event point, else its most urgent alarm point."""
        events = [p for p in self.points.values() if p.is_event]
        classes = ("sos", "fire", "gas", "security", "warning", "supervisory")
        alarms = [p for wanted in classes for p in self.points.values() if p.alarm_class == wanted]
        return next(iter([*events, *alarms]), None)


@dataclass(frozen=True, slots=True)
class SimBus:
    """One line to devices."""

    id: str
    type: str  # mqtt | modbus-tcp | modbus-rtu-over-tcp | others are not played
    host: str
    port: int
    username: str = ""
    password: str = ""
    ca: str = ""
    cert: str = ""
    key: str = ""


@dataclass(frozen=True, slots=True)
class SimSite:
    """Everything the simulator plays; ``data_dir`` is where the control socket lies."""

    title: str
    data_dir: str
    buses: Mapping[str, SimBus]
    devices: Mapping[str, SimDevice]

    def on_bus(self, bus: str) -> list[SimDevice]:
        """Devices of one line, in the order of the configuration."""
        return [each for each in self.devices.values() if each.bus == bus]
