"""The uplinks there are. Adding one: its file, and its row here."""

from __future__ import annotations

from collections.abc import Mapping

from cloud_bridge import influx_uplink, mqtt_uplink, sparkplug_uplink, thingsboard_uplink
from cloud_bridge.uplink import UplinkKind

UPLINKS: Mapping[str, UplinkKind] = {
    "mqtt": mqtt_uplink.KIND,
    "influxdb": influx_uplink.KIND,
    "sparkplug": sparkplug_uplink.KIND,
    "thingsboard": thingsboard_uplink.KIND,
}
