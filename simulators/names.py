"""Simulators: finding devices and points by what a person typed, and saying what was probably meant. Pure."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from simulators.spec import SimDevice, SimError, SimPoint, SimSite


def find_device(site: SimSite, text: str) -> tuple[SimDevice, str]:
    """The device and the point of ``3-2-03-0301/smoke``, ``3-1-B1-CP01/ebike/power.3`` or a bare address.

    A bare address means the only device that stands there. The point is empty where none was named.

    Raises:
        SimError: nothing is called so; the text says what is.
    """
    if text in site.devices:
        return site.devices[text], ""
    device_id, slash, point = text.rpartition("/")
    if slash and device_id in site.devices:
        device = site.devices[device_id]
        return device, find_point(device, point).name
    here = [each for each in site.devices.values() if each.at == text]
    if len(here) == 1:
        return here[0], ""
    if here:
        names = "、".join(each.id for each in here)
        raise SimError(f"{text} 有多台设备:{names}", f"{text} has several devices: {names}")
    zh, en = _did_you_mean(text, site.devices)
    raise SimError(f"没有设备 {text}。{zh}", f"no device {text}. {en}")


def find_point(device: SimDevice, name: str) -> SimPoint:
    """The device's point of that name.

    Raises:
        SimError: it has none; the text says which it has.
    """
    if name in device.points:
        return device.points[name]
    zh, en = _did_you_mean(name, device.points)
    bases = "、".join(dict.fromkeys(point.base for point in device.points.values()))
    raise SimError(
        f"{device.id} 没有点 {name}。{zh}它有:{bases}", f"{device.id} has no point {name}. {en}It has: {bases}"
    )


def _did_you_mean(text: str, known: Iterable[str]) -> tuple[str, str]:
    close = difflib.get_close_matches(text, list(known), n=3, cutoff=0.5)
    if not close:
        return "用 sim list 查看全部设备。", "See: sim list. "
    return f"是不是 {'、'.join(close)}?", f"Did you mean {', '.join(close)}? "
