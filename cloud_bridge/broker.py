"""What every uplink to a platform's MQTT broker can be told: address, credentials, TLS, MQTT's version.

The session that follows from it is `broker_session`.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from cloud_bridge.places import Host
from cloud_bridge.settings import Common, Seconds, Tls, is_loopback, wrong
from cloud_bridge.uplink import UplinkError
from gateway.mqtt_link import LinkOptions, TlsOptions
from gateway.secret import SecretError, SecretRef


class BrokerParams(Common):
    """Where the broker is, and as whom we come."""

    host: Host
    port: int | None = Field(default=None, ge=1, le=65_535)  # None: 8883, or 1883 in plaintext
    client_id: str = ""  # "": made of the gateway's id
    username: str = ""
    password: SecretRef | None = None
    tls: Tls | None = None  # None: verified by the system's roots, plaintext only to this machine itself
    insecure: bool = False  # plaintext over a network: everything can be read and forged on the way
    answer: Seconds = Field(default=20.0, ge=2, le=300)  # without a PUBACK for so long, the session is given up
    keepalive: Seconds = Field(default=30.0, ge=5, le=600)
    version: Literal["auto", "5", "3.1.1"] = "auto"  # auto: MQTT 5, or 3.1.1 where the broker does not speak it

    @model_validator(mode="after")
    def _one_way(self) -> BrokerParams:
        if self.insecure and self.tls is not None:
            raise wrong(
                "E403", "tls 与 insecure 不能同时写", "tls and insecure together", "删去 insecure", "remove insecure"
            )
        if self.password is not None and not self.username:
            raise wrong(
                "E404", "有密码却没有用户名", "a password without a user name", "加一行 username:", "add username:"
            )
        return self

    @property
    def is_plaintext(self) -> bool:
        """Does the session go without TLS?"""
        return self.tls is None and (self.insecure or is_loopback(self.host))

    def login(self) -> str:
        """The user name of the session.

        Raises:
            SecretError: it is a secret that can't be read.
        """
        return self.username

    def link(self, client_id: str, version: Literal[4, 5]) -> LinkOptions:
        """The options of a session, secrets as they are now. ``client_id`` where the configuration names none.

        Raises:
            UplinkError: a secret can't be read.
        """
        tls = None
        if not self.is_plaintext:
            files = self.tls or Tls()
            tls = TlsOptions(files.ca or None, files.cert or None, files.key or None)
        try:
            username, password = self.login(), self.password.read() if self.password else ""
        except SecretError as error:
            raise UplinkError(str(error)) from error
        return LinkOptions(
            host=self.host,
            port=self.port or (1883 if self.is_plaintext else 8883),
            client_id=self.client_id or client_id,
            username=username,
            password=password,
            tls=tls,
            keepalive_s=int(self.keepalive),
            version=version,
        )
