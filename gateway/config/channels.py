"""Configuration: the channels of a recipient in notify.yaml, each with its address. Who they are is in `people`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, StringConstraints

from gateway.config.shapes import Shape, custom

_REFERENCES = ("apprise", "email", "sms", "wecom", "dingtalk", "feishu", "webhook")  # nothing but an address
CHANNELS = ("console", "buzzer", *_REFERENCES, "modem", "voice")
_KINDS = ("file", "env", "credential")
_POINT = re.compile(r"[^|\s]+/[^|\s]+")


def _reference(value: object) -> object:
    if not isinstance(value, Mapping) or len(value) != 1:
        raise custom(
            "E115",
            "通知地址里有口令,不能直接写在这里",
            "the address holds a password and must not stand here",
            "把地址放进文件或环境变量,这里写 {file: 文件} 或 {env: 变量名}",
            "put it into a file or the environment and write {file: path} or {env: NAME}",
        )
    return value


def _point(value: object) -> object:
    if isinstance(value, str) and not _POINT.fullmatch(value):
        raise custom(
            "E130",
            f'"{value[:40]}" 不是一个点',
            f'"{value[:40]}" is no point',
            "写 设备/点名,例如 3-0-01-PA01/pa/say",
            "write device/point, such as 3-0-01-PA01/pa/say",
        )
    return value


_Plain = Annotated[
    str, StringConstraints(pattern=r"^[^|\s]+$", max_length=200)
]  # "|" parts an address from its options


class Reference(Shape):
    """A secret by reference: it never stands in a file that is copied around."""

    file: _Plain | None = None
    env: _Plain | None = None
    credential: _Plain | None = None


_Secret = Annotated[Reference, BeforeValidator(_reference)]


class Modem(Shape):
    """Short messages over a modem on a serial port."""

    number: _Secret
    port: _Plain
    baud: int = Field(default=115_200, ge=1_200, le=921_600)
    pin: _Secret | None = None


class Tracks(Shape):
    """Numbers of recordings by class; ``other`` for those that are not named."""

    fire: int | None = None
    gas: int | None = None
    sos: int | None = None
    security: int | None = None
    warning: int | None = None
    supervisory: int | None = None
    fault: int | None = None
    maintenance: int | None = None
    other: int | None = None


class Voice(Shape):
    """A device that speaks, or a program on the gateway."""

    point: Annotated[str, BeforeValidator(_point)] | None = None
    tracks: Tracks | None = None
    speaker: Literal["espeak-ng", "espeak"] | None = None


def _voice(value: object) -> object:
    if isinstance(value, Mapping) and ("point" in value) == ("speaker" in value):
        raise custom(
            "E131",
            "voice 要写 point 或 speaker 之一",
            "voice wants either point or speaker",
            "有广播设备写 {point: 设备/点名},网关自己接了音箱写 {speaker: espeak-ng}",
            "write {point: device/point} for a device, {speaker: espeak-ng} for a loudspeaker at the gateway",
        )
    return value


class ChannelItems(Shape):
    """How one recipient can be told."""

    console: str | None = None
    buzzer: str | None = None
    apprise: _Secret | None = None
    email: _Secret | None = None
    sms: _Secret | None = None
    wecom: _Secret | None = None
    dingtalk: _Secret | None = None
    feishu: _Secret | None = None
    webhook: _Secret | None = None
    modem: Modem | None = None
    voice: Annotated[Voice, BeforeValidator(_voice)] | None = None


def address_of(item: ChannelItems, channel: str) -> str:
    """The address as the model keeps it: ``env:NAME`` or another reference, and ``|option=value`` for each option."""
    if channel == "modem":
        return "" if item.modem is None else _modem(item.modem)
    if channel == "voice":
        return "" if item.voice is None else _spoken(item.voice)
    if channel not in _REFERENCES:
        return getattr(item, channel) or ""
    return _text(getattr(item, channel))


def _modem(modem: Modem) -> str:
    options = {"port": modem.port, "baud": modem.baud} | ({"pin": _text(modem.pin)} if modem.pin else {})
    return _with(_text(modem.number), options)


def _spoken(voice: Voice) -> str:
    options: dict[str, Any] = {"point": voice.point} if voice.point else {"speaker": voice.speaker}
    tracks = {} if voice.tracks is None else voice.tracks.model_dump(exclude_none=True)
    return _with("", options | {f"track.{name}": number for name, number in tracks.items()})


def _with(address: str, options: Mapping[str, Any]) -> str:
    return "|".join([address, *(f"{key}={value}" for key, value in options.items())])


def _text(reference: Reference | None) -> str:
    if reference is not None:
        for kind in _KINDS:
            if (name := getattr(reference, kind)) is not None:
                return f"{kind}:{name}"
    return ""
