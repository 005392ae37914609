"""Room: rules. What groups are called: their key in a scope, the source id and the place text of their alarms."""

from __future__ import annotations

from gateway.model import Device, Scope, Site


def key_of(device: Device, scope: Scope) -> str | None:
    """What names the device's group in ``scope`` ("3-2" for a unit); None where it lies in none."""
    place = device.place
    parts: dict[Scope, tuple[str, ...]] = {
        Scope.ROOM: (place.building, place.unit, place.floor, place.room),
        Scope.FLOOR: (place.building, place.unit, place.floor),
        Scope.UNIT: (place.building, place.unit),
        Scope.BUILDING: (place.building,),
        Scope.ZONE: (place.zone,),
        Scope.DEVICE: (device.id,),
    }
    if scope is Scope.SITE:
        return ""
    return "-".join(parts[scope]) if parts[scope][-1] else None


def source_of(scope: Scope, key: str) -> str:
    """What alarms of a group carry as ``point_id``."""
    return f"@{scope}:{key}"


def place_of(site: Site, scope: Scope, key: str) -> str:
    """Where people are sent."""
    if scope is Scope.SITE:
        return site.title
    if scope is Scope.DEVICE:
        return site.devices[key].place.text
    return f"{key}栋" if scope is Scope.BUILDING and key.isascii() else key
