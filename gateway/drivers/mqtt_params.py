"""What the configuration may say of MQTT: the bus, a profile, its points, a device; and what must fit together."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import Field, field_validator, model_validator
from pydantic_core import PydanticCustomError

from gateway.drivers.base import DriverModel, PointModel, Problem
from gateway.drivers.payloads import compile_path, topic_filter
from gateway.model import Bus, Device, Value
from gateway.secret import SecretRef

_MAX_TOPIC_BYTES = 1024


class TlsFiles(DriverModel):
    """Files of a verified session; ``ca`` left out means the system's roots."""

    ca: str | None = None
    cert: str | None = None
    key: str | None = None


class MqttBus(DriverModel):
    """One field broker."""

    type: Literal["mqtt"] = "mqtt"
    host: str = Field(min_length=1)
    port: int = Field(default=1883, ge=1, le=65535)
    username: str = ""
    password: SecretRef | None = None
    tls: TlsFiles | None = None
    client_id: str = Field(default="", max_length=128)
    keepalive: int = Field(default=30, ge=5, le=600)  # seconds
    marks_repeats: bool = True  # the broker sets DUP on what it sends again, as the standard says


class Availability(DriverModel):
    """A topic on which the device (or its last will) says whether it is there."""

    topic: str
    path: str = Field(default="$", alias="from")
    online: str = "online"

    @field_validator("topic")
    @classmethod
    def _is_topic(cls, topic: str) -> str:
        return _checked_topic(topic)

    @field_validator("path")
    @classmethod
    def _is_path(cls, path: str) -> str:
        return _checked_path(path)


class MqttProfile(DriverModel):
    """How one model of device speaks. ``{serial}`` in a topic stands for the device's serial."""

    topic: str
    format: Literal["json", "text"] = "json"
    time: str | None = None  # path of the device's own instant
    timezone: str = "UTC"  # of device times without an offset
    each: str | None = None  # path of an array: one message carries several devices
    device_from: str | None = None  # path of the serial, where the topic does not carry it
    availability: Availability | None = None

    @field_validator("topic")
    @classmethod
    def _is_topic(cls, topic: str) -> str:
        return _checked_topic(topic)

    @field_validator("time", "each", "device_from")
    @classmethod
    def _is_path(cls, path: str | None) -> str | None:
        return None if path is None else _checked_path(path)

    @field_validator("timezone")
    @classmethod
    def _is_zone(cls, name: str) -> str:
        try:
            ZoneInfo(name)
        except (ZoneInfoNotFoundError, ValueError):
            raise PydanticCustomError(
                "E321",
                "不认识的时区 {name}",
                {"name": name, "en": f"unknown time zone {name}", "fix_zh": "例如 Asia/Shanghai"},
            ) from None
        return name


class SetMessage(DriverModel):
    """What to publish to set a point; ``{value}`` and ``{serial}`` are filled in."""

    topic: str
    payload: Any = "{value}"

    @field_validator("topic")
    @classmethod
    def _is_topic(cls, topic: str) -> str:
        return _checked_topic(topic)


class MqttPoint(PointModel):
    """Where a point stands in the message."""

    path: str = Field(alias="from")
    type: Literal["bool", "int", "float", "text"]
    words: Mapping[str, Value] | None = None  # the device's words: {ON: true, OFF: false}
    ignore: tuple[str, ...] = ()  # words that say nothing: the empty action after a press
    invert: bool = False
    scale: float = 1.0
    offset: float = 0.0
    set: SetMessage | None = None

    @field_validator("path")
    @classmethod
    def _is_path(cls, path: str) -> str:
        return _checked_path(path)

    @model_validator(mode="after")
    def _types_words(self) -> MqttPoint:
        if self.words is not None:
            object.__setattr__(self, "words", {word: self._typed(value) for word, value in self.words.items()})
        return self

    def _typed(self, value: Value) -> Value:
        """Words arrive as text like every scalar of the configuration."""
        text = str(value)
        try:
            if self.type == "bool":
                return {"true": True, "false": False}[text.lower()]
            if self.type == "text":
                return text
            return int(text) if self.type == "int" else float(text)
        except (KeyError, ValueError):
            raise PydanticCustomError(
                "E322",
                "words 里的 {text} 不是 {kind}",
                {"text": text, "kind": self.type, "en": f"{text} in words is not of type {self.type}"},
            ) from None

    @property
    def value_type(self) -> str:
        """The type of the point's readings."""
        return self.type

    def nth(self, index: int) -> MqttPoint:
        """The path with ``{n}`` replaced by the number of the repeated point, from 1."""
        return self.model_copy(update={"path": self.path.replace("{n}", str(index + 1))})


class MqttDevice(DriverModel):
    """What one device adds."""

    serial: str = Field(default="", max_length=128)

    @field_validator("serial")
    @classmethod
    def _fits_a_topic(cls, serial: str) -> str:
        if set(serial) & set("+#/\0"):
            raise PydanticCustomError(
                "E323",
                "序列号 {serial} 不能含有 + # /",
                {"serial": serial, "en": f"the serial {serial} must not contain + # /", "fix_zh": "照设备铭牌填写"},
            )
        return serial


def check_profile(profile: MqttProfile, points: Mapping[str, MqttPoint]) -> Iterable[Problem]:
    """What does not fit together within one profile."""
    if "{serial}" not in profile.topic and profile.device_from is None and topic_filter(profile.topic) != profile.topic:
        yield Problem(
            ("topic",), "E324", "主题里只能用 {serial}", "a topic may only hold {serial}", "写成 smoke/{serial}/up 这样"
        )
    if profile.each is not None and profile.device_from is None:
        yield Problem(
            ("each",),
            "E325",
            "each 需要 device_from:报文里哪个字段是序列号",
            "each needs device_from: which field is the serial",
            "加一行 device_from: $.sn",
        )
    for name, point in points.items():
        if point.words is not None and point.type == "text":
            continue
        if profile.format == "text" and point.path != "$":
            yield Problem(
                ("points", name, "from"),
                "E326",
                "format: text 的报文没有字段,from 只能是 $",
                "a text payload has no fields: from can only be $",
                "写成 from: $",
            )


def check_devices(bus: Bus, devices: Sequence[Device]) -> Iterable[tuple[Device, Problem]]:
    """Serials that are missing or used twice on one bus."""
    seen: dict[tuple[str, str], Device] = {}
    for device in devices:
        profile, serial = device.params.profile, device.params.device.serial
        if not serial:
            if "{serial}" in profile.topic or profile.device_from is not None:
                yield (
                    device,
                    Problem(
                        ("serial",), "E327", "缺少序列号", "the serial is missing", "加一行 serial: 设备铭牌上的号"
                    ),
                )
            continue
        other = seen.setdefault((profile.topic, serial), device)
        if other is not device:
            yield (
                device,
                Problem(
                    ("serial",),
                    "E328",
                    f"序列号 {serial} 与设备 {other.id} 重复({bus.id})",
                    f"the serial {serial} is also that of {other.id} ({bus.id})",
                    "每台设备的序列号只能用一次",
                ),
            )


def _checked_topic(topic: str) -> str:
    bad = "+" in topic or "#" in topic or "\0" in topic or not topic or len(topic.encode()) > _MAX_TOPIC_BYTES
    if bad or topic.startswith("$share/"):
        raise PydanticCustomError(
            "E329",
            "主题 {topic} 不能含有 + 或 #,也不能为空",
            {"topic": topic[:80], "en": f"the topic {topic[:80]} must not be empty or contain + or #"},
        )
    return topic


def _checked_path(path: str) -> str:
    try:
        compile_path(path)
    except ValueError as error:
        raise PydanticCustomError(
            "E330",
            "看不懂的路径 {path}",
            {"path": path[:80], "en": f"{path[:80]}: {error}", "fix_zh": "写成 $.alarm 或 $.data[0].value"},
        ) from None
    return path
