"""Configuration: the devices that nobody writes down: lines, cloud uplinks, notification channels, the box itself.

They hang on no bus (``bus_id`` is ""); the composition root says whether they are there. Which rules look at them is
the rules' business: a rule without ``kind`` means the devices of the site, not these.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from gateway.config.desk import Desk, device_subject
from gateway.config.findings import Say
from gateway.model import Device, DeviceParams, Place, Point, Recipient, Uplink

LINE, UPLINK, CHANNEL, BOX = "line", "uplink", "channel", "gateway"
BOX_ID = "gateway/box"
POINTS: Mapping[str, Mapping[str, str]] = {
    LINE: {},
    UPLINK: {"certificate_ok": "证书 30 天内不到期"},
    CHANNEL: {},
    BOX: {"time_ok": "时钟已校准", "disk_ok": "磁盘可写"},
}
"""Kind -> its points (all true or false) and their titles, beside ``online``, which each of them has."""


def devices(desk: Desk, uplinks: Iterable[Uplink], recipients: Mapping[str, Recipient] | None) -> list[Device]:
    """One device for each line, uplink, channel of a recipient, and the box.

    An id that a device of the site has already is that device's: the name is told as an error, as any repeated id.
    """
    found = []
    for kind, name, title in _named(desk.buses, uplinks, recipients or {}):
        made = _device(kind, name, title)
        if made.id in desk.origins:
            _say_taken(desk, made.id)
        else:
            found.append(made)
    return found


def add(desk: Desk, uplinks: Iterable[Uplink], recipients: Mapping[str, Recipient] | None) -> None:
    """Put them on the desk, where rules find them by their kind."""
    for device in devices(desk, uplinks, recipients):
        desk.devices[device.id] = device
        desk.by_kind.setdefault(device.kind, []).append(device)


def _named(
    buses: Iterable[str], uplinks: Iterable[Uplink], recipients: Mapping[str, Recipient]
) -> Iterator[tuple[str, str, str]]:
    """(kind, name, title) of each."""
    for bus in buses:
        yield LINE, bus, f"线路 {bus}"
    for uplink in uplinks:
        yield UPLINK, uplink.id, f"上联 {uplink.id}"
    for recipient in recipients.values():
        for channel in recipient.addresses:
            yield CHANNEL, f"{recipient.id}.{channel}", f"通知 {recipient.title} {channel}"
    yield BOX, "box", "网关"


def _device(kind: str, name: str, title: str) -> Device:
    id_ = f"{kind}/{name}"
    points = tuple(
        Point(f"{id_}/{point}", id_, point, "bool", title=point_title) for point, point_title in POINTS[kind].items()
    )
    return Device(id_, kind, title, Place(title), "", "", None, points, DeviceParams(None, None))


def _say_taken(desk: Desk, id_: str) -> None:
    entry = desk.origins[id_]
    desk.findings.add(
        "E205",
        entry.at("at" if "at" in entry.plain else "each"),
        Say(f'设备 "{id_}" 与网关自带的设备重名', f'device "{id_}" has the name of a built-in device'),
        subject=device_subject(id_),
        fix=Say("改地址或 name", "change the address or the name"),
    )


def is_builtin(device: Device) -> bool:
    """Is it one of these: on no bus?"""
    return not device.bus_id


def kinds() -> Sequence[str]:
    """Their kinds."""
    return tuple(POINTS)
