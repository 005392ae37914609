"""What a site is made of: places, devices, points, rules, recipients, uplinks. Frozen values, no I/O."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any, NamedTuple

from gateway.model.calendar import Calendar

Value = bool | int | float | str


class AlarmClass(StrEnum):
    """Alarm classes in order of rank (alarms.md, section 1)."""

    FIRE = "fire"
    GAS = "gas"
    SOS = "sos"
    SECURITY = "security"
    WARNING = "warning"
    SUPERVISORY = "supervisory"
    FAULT = "fault"
    MAINTENANCE = "maintenance"

    @property
    def rank(self) -> int:
        """0 is the most urgent."""
        return _RANKS[self]

    @property
    def is_life_safety(self) -> bool:
        """Fire, gas and sos: never bulk, never shelved, never grouped away."""
        return self.rank <= _LIFE_SAFETY_RANK


_RANKS = {each: rank for rank, each in enumerate(AlarmClass)}
_LIFE_SAFETY_RANK = _RANKS[AlarmClass.SOS]


class Scope(StrEnum):
    """How far around the source an action reaches."""

    DEVICE = "device"
    ROOM = "room"
    FLOOR = "floor"
    UNIT = "unit"
    BUILDING = "building"
    ZONE = "zone"
    SITE = "site"


class Place(NamedTuple):
    """An address 楼栋-单元-楼层-房号; every part is text, so "0301" keeps its zero."""

    text: str
    building: str = ""
    unit: str = ""
    floor: str = ""
    room: str = ""
    zone: str = ""


@dataclass(frozen=True, slots=True)
class Operate:
    """Who may set a point by hand (console, cloud), and to what. A point without it is never set by hand."""

    roles: tuple[str, ...]
    values: tuple[Value, ...]
    pulse_s: float | None = None  # after so long the gateway sets it false again
    within_s: float = 5.0  # later than this it is not carried out any more


class Report(NamedTuple):
    """Report on change: which readings of a point go to the clouds. Rules, screens and alarms see every reading."""

    deadband: float = 0.0  # in the point's unit: less of a change is none
    least_s: float = 0.0  # between two that are sent; what changed meanwhile is sent at its end
    most_s: float = 0.0  # after so long the next reading is sent though nothing changed; 0: never for that


@dataclass(frozen=True, slots=True)
class Point:
    """One value of one device; the sole owner of its unit."""

    id: str  # "<device id>/<name>", for example 3-2-03-0301/smoke/alarm
    device_id: str
    name: str  # "alarm", or "power.3" for the third of a repeated point
    type: str  # bool | int | float | text
    unit: str = ""
    alarm_class: AlarmClass | None = None
    title: str = ""
    low: float | None = None  # physical range: outside it the reading is bad, not a value
    high: float | None = None
    is_writable: bool = False
    is_event: bool = False  # a momentary act (a press): every new message of it counts
    params: Any = None  # the driver's own parameters, validated by the driver
    operate: Operate | None = None
    is_personal: bool = False  # about people (a card's number): its readings go to a cloud only where that is asked for
    report: Report | None = None  # what of its readings goes to the clouds; None: each of them


@dataclass(frozen=True, slots=True)
class DeviceParams:
    """The driver's own parameters of one device, validated by the driver's models."""

    profile: Any
    device: Any


@dataclass(frozen=True, slots=True)
class Device:
    """A device on a bus; ``id`` is ``<address>/<name>``."""

    id: str
    kind: str  # smoke | gas | sos | door | siren | ebike-charger | ev-charger | ...
    title: str
    place: Place
    profile: str
    bus_id: str
    offline_after_s: float | None
    points: tuple[Point, ...]
    params: DeviceParams
    tags: tuple[str, ...] = ()  # what rules can ask for by `tag:` ("accessible", "escape")
    snapshot: str = ""  # where a browser sees a picture of it now; the gateway itself never asks there


@dataclass(frozen=True, slots=True)
class Bus:
    """A line to devices: one MQTT broker, one Modbus TCP host, one serial port."""

    id: str
    type: str  # a key of the table of drivers
    params: Any


@dataclass(frozen=True, slots=True)
class Watched:
    """Some points and what makes one of them count: a part of a condition of several parts."""

    points: tuple[str, ...]
    condition: Condition


@dataclass(frozen=True, slots=True)
class Condition:
    """What makes a rule true (alarms.md, section 3).

    On one point: ``equals`` | ``above`` | ``below`` (``clear``: the other edge of the deadband) | ``changed_to`` |
    ``rises`` | ``falls`` (by ``value`` within ``within_s``) | ``absent`` (no reading for ``within_s``) |
    ``expression`` (``expression`` over the points of one device, named without their index).
    ``count`` > 1 with ``within_s``: the same so many times (its rising edges).

    On a group, all that shares the scope ``same`` (one alarm for each group that there is):
    ``devices`` (``parts[0]`` met, or met within ``within_s``, at ``count`` different devices) | ``still`` (none of
    ``parts[0].points`` has changed for ``within_s``) | ``sequence`` (``parts[0]``, then ``parts[1]`` within
    ``within_s``; ``parts[2]``, if there is one, in between calls it off) | ``confirmed`` (fire: a second independent
    device, detector and call point, or a person's word; ``parts`` is empty, it looks at open alarms of class fire).
    """

    kind: str
    value: Value = False
    clear: float | None = None
    within_s: float = 0.0
    count: int = 1
    same: Scope | None = None
    expression: str = ""
    parts: tuple[Watched, ...] = ()


@dataclass(frozen=True, slots=True)
class Action:
    """What a rule sets when it raises: every point ``point`` of kind ``kind`` within ``scope`` of the source."""

    kind: str  # "" means the source device itself
    point: str
    scope: Scope
    value: Value
    expires_s: float
    is_safety: bool  # leaves at the engine's decision, in parallel with the commit
    until: str = ""  # "silenced" | "reset": the event of its alarm that sets the points false again; "": none does


@dataclass(frozen=True, slots=True)
class Offer:
    """What people can do from an alarm of a rule: set every ``point`` of kind ``kind`` within ``scope`` of the source.

    Only what the point itself allows (`Operate`).
    """

    kind: str  # "" means the source device itself
    point: str
    scope: Scope
    value: Value
    title: str  # 开门
    title_en: str = ""


@dataclass(frozen=True, slots=True)
class Tell:
    """Whom a rule tells, by which channels, how long after the alarm was raised."""

    to: str
    by: tuple[str, ...]
    after_s: float = 0.0
    every_s: float | None = None  # and again, until somebody has taken it


@dataclass(frozen=True, slots=True)
class Rule:
    """Which points, what condition, raise what, do what, tell whom. ``points`` is already resolved."""

    id: str
    title: str
    alarm_class: AlarmClass
    points: tuple[str, ...]
    condition: Condition
    for_s: float = 0.0
    clear_for_s: float = 0.0
    latches: bool = False
    text: str = ""
    plan: tuple[str, ...] = ()  # steps for the duty officer
    outcomes: tuple[str, ...] = ()  # the vocabulary of close(outcome)
    actions: tuple[Action, ...] = ()
    tells: tuple[Tell, ...] = ()
    only: str = ""  # calendar: outside it the condition counts as not met
    unless: str = ""  # calendar: inside it the condition counts as not met
    cause: str = ""  # why it happens, what follows if nobody acts, and the one sentence that says what to do
    consequence: str = ""
    cause_en: str = ""
    consequence_en: str = ""
    response: str = ""
    response_en: str = ""
    respond_within_s: float | None = None
    shelvable_s: float | None = None  # the longest shelving; None: what its class allows, 0: none
    groups: tuple[str, ...] = ()  # what may gather its alarms into one: line, cabinet, building, uplink
    offers: tuple[Offer, ...] = ()  # what can be operated from its alarms
    yields_to: tuple[str, ...] = ()  # rules of a higher stage: at the same spot its alarms go under theirs
    # The same rule where the limits of a model or a device differ. The points of each are among ``points`` of this
    # one, and no point is in two of them.
    variants: tuple[Rule, ...] = ()

    def apart(self) -> tuple[Rule, ...]:
        """This rule for the points that have its own limits, and its variants for the others."""
        if not self.variants:
            return (self,)
        others = {point for each in self.variants for point in each.points}
        own = tuple(point for point in self.points if point not in others)
        return (replace(self, points=own, variants=()), *self.variants)

    def at(self, source_id: str) -> Rule:
        """The rule as it is at one source: the variant that has the point, or this one."""
        return next((each for each in self.variants if source_id in each.points), self)


@dataclass(frozen=True, slots=True)
class Recipient:
    """A person or group that notices go to; ``addresses`` maps a channel to an address or secret reference."""

    id: str
    title: str
    addresses: Mapping[str, str]
    group: str = ""  # property | grid | family | street; "" for none of them
    members: tuple[str, ...] = ()  # recipients; who is not on duty is left out, unless nobody is
    on_duty: str = ""  # calendar; "": always


@dataclass(frozen=True, slots=True)
class Uplink:
    """One cloud platform; ``params`` is validated by the uplink's own model."""

    id: str
    type: str
    params: Any


@dataclass(frozen=True, slots=True)
class Site:
    """Everything the configuration says, resolved and checked."""

    id: str  # the gateway's id, prefix of every id that leaves the box
    title: str
    timezone: str
    data_dir: str
    web_host: str
    web_port: int
    buses: Mapping[str, Bus]
    devices: Mapping[str, Device]
    rules: tuple[Rule, ...]
    recipients: Mapping[str, Recipient]
    uplinks: tuple[Uplink, ...]
    digest: str  # SHA-256 over the files it came from
    retention_bytes: int = 2_000_000_000
    language: str = "zh"
    calendars: Mapping[str, Calendar] = field(default_factory=dict)
