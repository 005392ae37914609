"""What the configuration models of all uplinks share: durations, TLS that always verifies.

An uplink's own parameters stand beside the uplink.
"""

from __future__ import annotations

import ssl
from typing import Annotated, ClassVar, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from gateway.model import AlarmClass, Verb
from gateway.model.duration import seconds

_LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})


def wrong(code: str, zh: str, en: str, fix_zh: str, fix_en: str) -> PydanticCustomError:
    """What is wrong in the configuration and what to write instead; codes of this room are E4xx."""
    context = {"zh": zh, "en": en, "fix_zh": fix_zh, "fix_en": fix_en}
    return PydanticCustomError(code, "{zh}", context)


def _seconds(value: object) -> object:
    if not isinstance(value, str):
        return value
    try:
        return seconds(value)
    except ValueError:
        raise wrong(
            "E401", "时长要带单位", "a duration needs its unit", "写成 20s、500ms 或 5m", "write 20s, 500ms or 5m"
        ) from None


Seconds = Annotated[float, BeforeValidator(_seconds)]


class UplinkModel(BaseModel):
    """Base of every uplink's configuration models. Scalars arrive as text and are converted here."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def _one_or_more(value: object) -> object:
    return [value] if isinstance(value, str) else value


Names = Annotated[
    tuple[str, ...],
    BeforeValidator(_one_or_more, json_schema_input_type=str | list[str]),
    Field(max_length=200),
]
Classes = Annotated[
    tuple[AlarmClass, ...],
    BeforeValidator(_one_or_more, json_schema_input_type=AlarmClass | list[AlarmClass]),
]


class Only(UplinkModel):
    """``only:`` of an uplink: what goes to this platform. A list that is not written narrows nothing."""

    kinds: Annotated[Names, Field(min_length=1)] | None = None  # of devices
    classes: Classes | None = None  # of alarms; an empty list: no alarms
    buildings: Annotated[Names, Field(min_length=1)] | None = None
    points: Names | None = None  # globs of point ids, for telemetry; an empty list: alarms only


class Commands(UplinkModel):
    """``commands:`` of an uplink: what its platform may ask. Nothing without it."""

    role: Literal["duty", "supervisor"] = "duty"
    verbs: tuple[Verb, ...] = ()
    points: tuple[str, ...] = ()  # globs of point ids that OPERATE may name, beside what the rules and profiles allow
    answer: Seconds = Field(default=10.0, ge=1, le=120)  # the deadline of a request that names none


class Common(UplinkModel):
    """What every uplink can be told; the parameters of an uplink build on it."""

    rate: float = Field(default=0, ge=0)  # telemetry deliveries per second, 0: unlimited
    commands: Commands | None = None
    only: Only | None = None
    personal: bool = False  # names, typed words and points marked personal go up, too

    can_ask: ClassVar[bool] = True  # False: a platform of this kind has no way to ask

    @model_validator(mode="after")
    def _asks_on_a_sure_way(self) -> Common:
        if self.commands is None:
            return self
        if not self.can_ask:
            raise wrong("E408", "这种平台不能下发操作", "this platform cannot ask", "删去 commands", "remove commands")
        if getattr(self, "insecure", False) and not is_loopback(getattr(self, "host", "")):
            zh, en = (
                "没有加密的上行不能接受操作:路上的人可以伪造",
                "no commands over plaintext: anybody could forge them",
            )
            raise wrong("E409", zh, en, "删去 insecure,用 TLS;或删去 commands", "remove insecure, or remove commands")
        return self


class Tls(UplinkModel):
    """Files of a verified TLS session. Verification can't be turned off."""

    ca: str = ""  # "" means the system's roots
    cert: str = ""
    key: str = ""

    @model_validator(mode="before")
    @classmethod
    def _is_no_switch(cls, value: object) -> object:
        if isinstance(value, str):
            raise wrong(
                "E413",
                "tls 不是开关:不写就已经加密",
                "tls is no switch: sessions are encrypted without it",
                "删去这一行;要写文件时写 tls: {ca: 文件}",
                "remove the line; for files write tls: {ca: file}",
            )
        return value

    @model_validator(mode="after")
    def _pair(self) -> Tls:
        if self.key and not self.cert:
            raise wrong(
                "E402", "有客户端私钥却没有证书", "a client key without its certificate", "加一行 cert:", "add cert:"
            )
        return self

    def context(self) -> ssl.SSLContext:
        """TLS 1.2 or newer, certificate and host name verified.

        Raises:
            OSError: a file can't be read or is no certificate (`ssl.SSLError` is one).
        """
        context = ssl.create_default_context(cafile=self.ca or None)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        if self.cert:
            context.load_cert_chain(self.cert, self.key or None)
        return context


def is_loopback(host: str) -> bool:
    """Does ``host`` name this machine? Only there plaintext needs no permission."""
    return host.lower() in _LOOPBACK
