"""What the configuration says of a ThingsBoard; the work is `thingsboard_uplink`'s."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from cloud_bridge.places import Host
from cloud_bridge.settings import Common, Seconds, Tls, is_loopback, wrong
from gateway.secret import SecretRef


class ThingsboardParams(Common):
    """``type: thingsboard`` of an uplink."""

    host: Host
    port: int | None = Field(default=None, ge=1, le=65_535)  # None: 8883, or 1883 in plaintext
    token: SecretRef | None = None  # access token of the gateway device there
    client_id: str = ""  # with username and password: MQTT basic credentials
    username: str = ""
    password: SecretRef | None = None
    tls: Tls | None = None  # None: verified by the system's roots, plaintext only to this machine itself
    insecure: bool = False  # plaintext over a network: everything can be read and forged on the way
    prefix: str | None = None  # of device names there; None: "<gateway id>/"
    numbers_in_text: Literal["quoted", "plain"] = "quoted"  # plain: the platform makes 123 of 00123
    devices_per_message: int = Field(default=1, ge=1, le=1000)  # of telemetry; their own client: 1
    window: int = Field(default=100, ge=1, le=1000)  # messages without a PUBACK
    answer: Seconds = Field(default=20.0, ge=2, le=300)  # without a PUBACK for so long, the session is given up
    version: Literal["auto", "5", "3.1.1"] = "auto"  # auto: MQTT 5, or 3.1.1 where the platform does not speak it
    keepalive: Seconds = Field(default=30.0, ge=5, le=600)

    @model_validator(mode="after")
    def _one_way(self) -> ThingsboardParams:
        if self.insecure and self.tls is not None:
            raise wrong(
                "E403", "tls 与 insecure 不能同时写", "tls and insecure together", "删去 insecure", "remove insecure"
            )
        if self.password is not None and not self.username:
            raise wrong(
                "E404", "有密码却没有用户名", "a password without a user name", "加一行 username:", "add username:"
            )
        if self.token is not None and self.username:
            raise wrong(
                "E415",
                "token 与 username 不能同时写",
                "token and username together",
                "只留平台上选的那一种凭据",
                "keep the kind of credentials chosen on the platform",
            )
        return self

    @property
    def is_plaintext(self) -> bool:
        """Does the session go without TLS?"""
        return self.tls is None and (self.insecure or is_loopback(self.host))
