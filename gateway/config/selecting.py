"""Configuration: does ``only:`` of an uplink name what is there? A misspelt kind would send nothing, silently.

What passes is `cloud_bridge.selection`; the model of ``only:`` is the uplinks' own.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence
from functools import partial

from gateway.config.desk import Desk
from gateway.config.findings import DEFINED, Say, perhaps
from gateway.config.shaping import Part
from gateway.config.tree import Entry
from gateway.model import Uplink


def check_only(desk: Desk, uplinks: Iterable[Uplink], entry: Entry | None) -> None:
    """Judge the names in ``only:`` of each uplink, once every device is known."""
    if entry is None or desk.is_partial or desk.findings.errors:
        return
    for uplink in uplinks:
        only = getattr(uplink.params, "only", None)
        if only is None:
            continue
        subject = Say(f"上行 {uplink.id}", f"uplink {uplink.id}")
        part = Part(entry, ("gateway", "uplinks", uplink.id, "only"), subject)
        say = partial(_check_names, desk, part)
        kinds = {*desk.by_kind, *(each.kind for each in desk.profiles.values())}
        say("kinds", only.kinds or (), known=kinds, what=Say("设备类别", "kind of device"))
        buildings = {each.place.building for each in desk.devices.values() if each.bus_id}
        say("buildings", only.buildings or (), known=buildings, what=Say("楼栋", "building"))
        _check_points(desk, only.points or (), part)


def _check_names(desk: Desk, part: Part, key: str, names: Sequence[str], *, known: Collection[str], what: Say) -> None:
    for index, name in enumerate(names):
        if name not in known:
            options = sorted(known)
            desk.findings.add(
                "E218",
                part.entry.at(*part.path, key, index),
                Say(f'没有{what.zh} "{name}",什么都不会上送', f'there is no {what.en} "{name}": nothing goes up'),
                subject=part.subject,
                fix=perhaps(name, options, Say("写小区里有的", "write one that there is")),
                options=options,
                options_label=DEFINED,
            )


def _check_points(desk: Desk, globs: Sequence[str], part: Part) -> None:
    for index, glob in enumerate(globs):
        fits = re.compile(re.escape(glob).replace(r"\*", ".*").replace(r"\?", "."), re.DOTALL).fullmatch
        if not any(fits(point.id) for device in desk.devices.values() for point in device.points):
            desk.findings.add(
                "W218",
                part.entry.at(*part.path, "points", index),
                Say(f'没有点符合 "{glob}"', f'no point fits "{glob}"'),
                subject=part.subject,
                fix=Say(
                    "点的全名是 地址/设备/点,例如 3-2-03-0301/smoke/battery;* 代表任意文字,例如 */smoke/battery",
                    "a point is address/device/name, such as 3-2-03-0301/smoke/battery; * is any text",
                ),
            )
