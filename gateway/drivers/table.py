"""The table of drivers: what `type:` of a bus may be. Adding a driver adds a line here."""

from __future__ import annotations

from gateway.drivers import modbus, mqtt
from gateway.drivers.base import DriverKind

DRIVERS: dict[str, DriverKind] = {**mqtt.KINDS, **modbus.KINDS}
