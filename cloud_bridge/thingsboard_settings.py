"""What the configuration says of a ThingsBoard; the work is `thingsboard_uplink`'s."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from cloud_bridge.broker import BrokerParams
from cloud_bridge.settings import wrong
from gateway.secret import SecretRef


class ThingsboardParams(BrokerParams):
    """``type: thingsboard`` of an uplink. With user name and password: MQTT basic credentials."""

    token: SecretRef | None = None  # access token of the gateway device there
    prefix: str | None = None  # of device names there; None: "<gateway id>/"
    numbers_in_text: Literal["quoted", "plain"] = "quoted"  # plain: the platform makes 123 of 00123
    devices_per_message: int = Field(default=1, ge=1, le=1000)  # of telemetry; their own client: 1
    window: int = Field(default=100, ge=1, le=1000)  # messages without a PUBACK

    @model_validator(mode="after")
    def _one_kind(self) -> ThingsboardParams:
        if self.token is not None and self.username:
            raise wrong(
                "E415",
                "token 与 username 不能同时写",
                "token and username together",
                "只留平台上选的那一种凭据",
                "keep the kind of credentials chosen on the platform",
            )
        return self

    def login(self) -> str:
        """The access token goes as the user name (ThingsBoard, MQTT Device API)."""
        return self.token.read() if self.token else self.username
