"""Configuration: the channels of a recipient in notify.yaml, each with its address. Who they are is in `people`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, StringConstraints

from gateway.config.desk import Desk
from gateway.config.findings import Say, perhaps
from gateway.config.shapes import Shape, custom
from gateway.config.tree import Entry

_REFERENCES = ("apprise", "email", "sms", "wecom", "dingtalk", "feishu", "webhook")  # nothing but an address
CHANNELS = ("console", "buzzer", *_REFERENCES, "modem", "voice")
_KINDS = ("file", "env", "credential")


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

    point: _Plain | None = None  # whether it is there: check_voices
    tracks: Tracks | None = None
    speaker: Literal["espeak-ng", "espeak"] | None = None


def _voice(value: object) -> object:
    if isinstance(value, Mapping) and ("point" in value) == ("speaker" in value):
        raise custom(
            "E130",
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


def check_voices(desk: Desk, entry: Entry | None) -> None:
    """A voice's point is there, can be written, and takes what it will be told. ``entry`` None: nothing to read."""
    people = {} if entry is None else entry.plain.get("recipients") or {}
    if entry is None or desk.is_partial or not isinstance(people, Mapping):
        return
    points = {point.id: point for device in desk.devices.values() for point in device.points}
    for name, item in people.items():
        voice = item.get("voice") if isinstance(item, Mapping) else None
        if not isinstance(voice, Mapping) or "speaker" in voice or not isinstance(voice.get("point"), str):
            continue
        point_id = voice["point"]
        wanted = {"int", "float"} if "tracks" in voice else {"text"}
        point = points.get(point_id)
        if point is not None and point.is_writable and point.type in wanted:
            continue
        desk.findings.add(
            "E131",
            entry.at("recipients", name, "voice", "point"),
            Say(f'没有点 "{point_id}"', f'there is no point "{point_id}"')
            if point is None
            else Say(
                f'点 "{point_id}"({point.type})播不了:要可写,有 tracks 时是数,没有时是 text',
                f'"{point_id}" ({point.type}) cannot speak: it must be writable, a number with tracks, else text',
            ),
            subject=Say(f"联系人 {name}", f"recipient {name}"),
            fix=perhaps(
                point_id,
                [each.id for each in points.values() if each.is_writable and each.type in wanted],
                Say("写广播设备的 设备/点名", "name the point of the announcing device: device/point"),
            ),
        )


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
