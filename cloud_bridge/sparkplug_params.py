"""What ``type: sparkplug`` of an uplink can be told."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from cloud_bridge.broker import BrokerParams
from cloud_bridge.settings import wrong


def _id(value: str) -> str:
    if set("+#/\0") & set(value) or len(value) > 100:
        raise wrong(
            "E481",
            f'"{value[:40]}" 不能作 Sparkplug 的编号',
            f'"{value[:40]}" cannot be an id of Sparkplug',
            "它是主题的一段:不能有 + # /,最多 100 个字",
            "it is a level of a topic: no + # /, at most 100 characters",
        )
    return value


SparkplugId = Annotated[str, AfterValidator(_id)]


class SparkplugParams(BrokerParams):
    """``type: sparkplug`` of an uplink: the broker as of ``type: mqtt``, and who we are there."""

    prefix: Literal["spBv1.0"] = "spBv1.0"  # the namespace, fixed by the specification
    version: Literal["3.1.1"] = "3.1.1"  # of MQTT: hosts of every age understand its sessions
    max_message: int = Field(default=8_192, ge=8_192, le=61_440)  # bytes of a telemetry message: an alarm waits for one
    window: int = Field(default=1000, ge=20, le=5000)  # rows under way: the more, the more of a device in one message
    group: SparkplugId = Field(default="shouwang", min_length=1)
    node: SparkplugId = ""  # "" means the gateway's id
    primary_host: SparkplugId = ""  # births wait until its STATE says online; "": nobody is waited for
    strict: bool = False  # QoS 0 as the specification has it; rows are then settled by the primary host's STATE

    @model_validator(mode="after")
    def _has_proof(self) -> SparkplugParams:
        if self.strict and not self.primary_host:
            raise wrong(
                "E480",
                "strict: true 时没有回执,要靠主站的 STATE 才知道送到了,却没写 primary_host",
                "strict: true has no receipts: only the primary host's STATE tells, and primary_host is missing",
                "加一行 primary_host: 主站的编号,或者删去 strict",
                "add primary_host: the host's id, or remove strict",
            )
        return self
