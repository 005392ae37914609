"""Configuration: the shape of every file an installer writes. What values mean together is checked elsewhere.

Scalars arrive as text. Fields that a driver owns are not here: they are split off before. Rules are in `rule_shapes`.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, FiniteFloat
from pydantic_core import PydanticCustomError

from gateway.config.hints import duration_for
from gateway.model import AlarmClass
from gateway.model.duration import seconds

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]{0,63}")
_POINT = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,39}")


def custom(code: str, zh: str, en: str, fix_zh: str = "", fix_en: str = "") -> PydanticCustomError:
    """An error of our own, in both languages; texts are taken as they are."""
    ctx = {"zh": zh, "en": en, "fix_zh": fix_zh, "fix_en": fix_en}
    return PydanticCustomError(code, "{zh}", ctx)


def _duration(value: object) -> object:
    if not isinstance(value, str):
        return value
    try:
        return seconds(value)
    except ValueError:
        raise custom(
            "E110",
            f'"{value[:40]}" 不是时长',
            f'"{value[:40]}" is not a duration',
            *_rather(value),
        ) from None


def _rather(value: str) -> tuple[str, str]:
    """How the duration is written, as a fix in both languages."""
    plain, meant = value.strip(), duration_for(value)
    if meant:
        return f"写 {meant}", f"write {meant}"
    if plain.isascii() and plain.replace(".", "", 1).isdigit():
        zh = f"加上单位:{plain}s 是秒,{plain}m 是分钟,{plain}h 是小时"
        return zh, f"add the unit: {plain}s, {plain}m or {plain}h"
    return "写数字加单位:500ms、5s、10m、12h、1d", "write a number and a unit: 500ms, 5s, 10m, 12h, 1d"


def _name(value: str) -> str:
    if not _NAME.fullmatch(value):
        raise custom(
            "E111",
            f'"{value[:40]}" 不能作名称',
            f'"{value[:40]}" cannot be a name',
            "只用英文字母、数字、- 和 _,最多 64 个;中文写在 title 里",
            "use letters, digits, - and _ only, at most 64; anything else goes into title",
        )
    return value


def _point_name(value: str) -> str:
    built_in = {
        "online": ("是否在线", "whether the device is there"),
        "responding": ("输出是否有回应", "whether it obeys"),
    }
    if value in built_in:
        zh, en = built_in[value]
        raise custom(
            "E111",
            f'"{value}" 是每台设备自带的点({zh}),不能再定义',
            f'"{value}" is built in: {en}',
            "换一个名字",
            "choose another name",
        )
    if not _POINT.fullmatch(value):
        raise custom(
            "E111",
            f'"{value[:40]}" 不能作点名',
            f'"{value[:40]}" cannot be the name of a point',
            "以英文字母开头,只用字母、数字和 _,最多 40 个",
            "begin with a letter; letters, digits and _ only, at most 40",
        )
    return value


def _limit_name(value: str) -> str:
    if not _POINT.fullmatch(value):
        raise custom(
            "E111",
            f'"{value[:40]}" 不能作界限名',
            f'"{value[:40]}" cannot be the name of a limit',
            "以英文字母开头,只用字母、数字和 _,最多 40 个,例如 rated_power",
            "begin with a letter; letters, digits and _ only, at most 40, such as rated_power",
        )
    return value


def _place_name(value: str) -> str:
    if not value.isprintable() or "|" in value or value != value.strip():
        raise custom(
            "E111",
            f'"{value[:40]}" 不能作分区名',
            f'"{value[:40]}" cannot name a zone',
            '可以用中文,不能有 "|"、换行和首尾空格',
            'any language; no "|", no line break, no space at either end',
        )
    return value


def _zone(value: str) -> str:
    try:
        ZoneInfo(value)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise custom(
            "E112",
            f'不认识的时区 "{value[:40]}"',
            f'unknown time zone "{value[:40]}"',
            "在中国填 Asia/Shanghai",
            "for example Asia/Shanghai",
        ) from None
    return value


def _bytes(value: object) -> object:
    if not isinstance(value, str):
        return value
    found = re.fullmatch(r"(\d{1,9})\s*(MB|GB)", value.strip(), re.ASCII)
    if not found or not 50_000_000 <= (size := int(found[1]) * {"MB": 10**6, "GB": 10**9}[found[2]]) <= 10**13:
        raise custom(
            "E113",
            f'"{value[:40]}" 不是容量(50MB 以上)',
            f'"{value[:40]}" is not a size of at least 50MB',
            "写数字加单位,例如 500MB、2GB",
            "write a number and a unit, such as 500MB or 2GB",
        )
    return size


def one_or_more(value: object) -> object:
    """A single text is a list of one."""
    return [value] if isinstance(value, str) else value


def _above_zero(value: float) -> float:
    if value <= 0:
        raise custom("E110", "时长要大于 0", "the duration must be more than 0", "例如 1m", "for example 1m")
    return value


DURATION_TEXT = r"^\s*\d{1,9}(\.\d{1,6})?\s*(ms|s|m|h|d)\s*$"  # as `model.duration` reads it; for the JSON Schema
WrittenDuration = Annotated[str, Field(pattern=DURATION_TEXT)]
Duration = Annotated[
    float, BeforeValidator(_duration, json_schema_input_type=WrittenDuration), Field(ge=0, le=366 * 86_400)
]
Span = Annotated[Duration, AfterValidator(_above_zero)]
Name = Annotated[str, AfterValidator(_name)]
PointName = Annotated[str, AfterValidator(_point_name)]
LimitName = Annotated[str, AfterValidator(_limit_name)]
LimitText = Annotated[str, Field(min_length=1, max_length=40)]  # a number with its unit, or a duration
Limits = Annotated[dict[LimitName, LimitText], Field(max_length=100)]
Title = Annotated[str, Field(max_length=200)]
Text = Annotated[str, Field(max_length=2_000)]
OneOrMore = BeforeValidator(one_or_more, json_schema_input_type=str | list[str])
Names = Annotated[list[str], OneOrMore, Field(min_length=1, max_length=100)]


class Shape(BaseModel):
    """Unknown keys are errors; what was read does not change."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=False)


class Web(Shape):
    """Where the console listens."""

    host: str = Field(default="127.0.0.1", min_length=1)
    port: int = Field(default=8080, ge=1, le=65_535)


class Gateway(Shape):
    """``gateway:`` of gateway.yaml; ``uplinks`` is read by `people`."""

    id: Name
    data_dir: str = Field(default="var", min_length=1)
    web: Web = Web()
    language: Annotated[str, Field(pattern="^(zh|en)$")] = "zh"
    retention: Annotated[int, BeforeValidator(_bytes, json_schema_input_type=str)] = 2_000_000_000
    uplinks: dict[Name, Any] | None = None


class GatewayFile(Shape):
    """gateway.yaml."""

    gateway: Gateway


class SiteFile(Shape):
    """site.yaml; each bus belongs to its driver."""

    site: Title
    timezone: Annotated[str, AfterValidator(_zone)] = "Asia/Shanghai"
    address: Title | None = None  # a reminder for people of what the parts of an address are
    buses: dict[Name, Any] | None = None
    calendars: dict[Name, Any] | None = None
    devices: list[Any] | None = None


class DevicesFile(Shape):
    """devices/*.yaml."""

    devices: list[Any] | None = None


class DeviceItem(Shape):
    """What every device says; the rest belongs to its driver."""

    at: str | None = None
    each: str | None = None
    name: PointName | None = None
    profile: str
    bus: str
    zone: Annotated[str, Field(max_length=200), AfterValidator(_place_name)] | None = None
    title: Title | None = None
    tags: Annotated[list[Name], OneOrMore, Field(max_length=20)] | None = None
    snapshot: str | None = None
    limits: Limits | None = None
    report: dict[str, ReportItem] | None = None


class Expectation(Shape):
    """What a walk test waits for."""

    point: str
    is_: str = Field(alias="is")
    within: Duration = 30.0


class WalkStep(Shape):
    """What a person does at the device, and what must come in."""

    do: Title
    expect: Expectation


class OperateItem(Shape):
    """Who may set a point by hand, and to what."""

    roles: Annotated[
        list[Literal["duty", "supervisor", "installer"]], BeforeValidator(one_or_more), Field(min_length=1)
    ]
    values: Names
    pulse: Annotated[Span, Field(ge=1, le=600)] | None = None
    within: Annotated[Span, Field(ge=1, le=60)] = 5.0


class ReportItem(Shape):
    """Report on change: which readings of a point go to the clouds."""

    deadband: Annotated[str, Field(min_length=1, max_length=40)] | None = None  # a number with its unit
    min: Annotated[Span, Field(ge=1, le=86_400)] | None = None
    max: Annotated[Span, Field(ge=1, le=7 * 86_400)] | None = None


class PointItem(Shape):
    """What every point says; the rest belongs to its driver, and ``type`` to both."""

    unit: Annotated[str, Field(max_length=20)] | None = None
    class_: AlarmClass | None = Field(default=None, alias="class")
    title: Title | None = None
    range: tuple[FiniteFloat, FiniteFloat] | None = None
    writable: bool = False
    event: bool = False
    repeat: int | None = Field(default=None, ge=1, le=256)
    operate: OperateItem | None = None
    personal: bool | None = None  # None: as its name says
    report: ReportItem | None = None


class ProfileItem(Shape):
    """What every profile says; the rest belongs to its driver."""

    profile: Name
    title: Title
    kind: Name
    via: str
    offline_after: Annotated[Duration, Field(gt=0)] | None = None
    points: dict[PointName, Any] = Field(min_length=1, max_length=500)
    limits: Limits | None = None
    walk_test: list[WalkStep] | None = None
    source: Text | None = None
    sim: dict[str, Any] | None = None  # how a simulator plays it: the simulator's business


class NotifyFile(Shape):
    """notify.yaml."""

    recipients: dict[Name, dict[str, Any]] | None = None
