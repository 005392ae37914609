"""What a time series is called: measurement, tags and field of a point, from the site's own description. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

from gateway.model import Site


class Series(NamedTuple):
    """Where the readings of one point go. Empty tags are left out."""

    measurement: str
    tags: Mapping[str, str]
    field: str
    type: str  # bool | int | float | text, "" where nothing is known


Describe = Callable[[str], Series]


def describe(site: Site) -> Describe:
    """The series of a point id; a point that is no longer in the configuration is named after its id."""

    def one(point_id: str) -> Series:
        device_id, _, name = point_id.rpartition("/")
        device = site.devices.get(device_id)
        if device is None:
            kind = device_id.rpartition("/")[2] or "unknown"
            return Series(kind, {"site": site.id, "device": device_id}, name or "value", "")
        place = device.place
        tags = {"site": site.id, "device": device_id, "zone": place.zone, "building": place.building}
        types = {point.name: point.type for point in device.points}
        return Series(device.kind, tags, name, types.get(name, "bool" if name == "online" else ""))

    return one
