"""docs/cloud.zh-CN.md: what is pasted from it into the demo site works."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import yaml

from cloud_bridge.settings import Common, Only
from gateway.config import render
from gateway.config.shapes import DeviceItem, PointItem
from gateway.config.shaping import keys_of
from tests.support_config import SAMPLE, checked

MANUAL = (SAMPLE.parent / "docs" / "cloud.zh-CN.md").read_text("utf-8")
BLOCKS: list[dict[str, Any]] = [
    yaml.load(each, yaml.BaseLoader) for each in re.findall(r"```yaml\n(.*?)```", MANUAL, re.DOTALL)
]


def _of(key: str) -> list[Any]:
    return [each[key] for each in BLOCKS if key in each]


def test_the_uplinks_and_rules_of_the_manual_have_no_mistake(tmp_path: Path) -> None:
    """In the demo site they give no error; only the files of certificates and secrets are not here."""
    target = tmp_path / "config"
    shutil.copytree(SAMPLE, target)
    whole = yaml.load((target / "gateway.yaml").read_text("utf-8"), yaml.BaseLoader)
    for number, uplinks in enumerate(_of("uplinks")):
        whole["gateway"]["uplinks"] |= {f"{name}-{number}": each for name, each in uplinks.items()}
    (target / "gateway.yaml").write_text(yaml.safe_dump(whole, allow_unicode=True), "utf-8")
    for rules in _of("rules"):
        (target / "rules" / "manual.yaml").write_text(yaml.safe_dump({"rules": rules}, allow_unicode=True), "utf-8")
    found = checked(target)
    assert found.site is not None, render(found.findings)
    assert {each.code for each in found.findings} <= {"W401", "W402"}, render(found.findings)
    assert len(found.site.uplinks) >= 5


def test_the_points_and_devices_of_the_manual_have_no_mistake() -> None:
    """Their own keys fit; those of a driver are the other manual's."""
    points = [point for block in _of("points") for point in block.values()]
    assert len(points) >= 2
    for each in points:
        PointItem.model_validate({key: value for key, value in each.items() if key in keys_of(PointItem)})
    for each in [device for block in _of("devices") for device in block]:
        DeviceItem.model_validate({key: value for key, value in each.items() if key in keys_of(DeviceItem)})


def test_every_common_key_of_an_uplink_is_in_the_manual() -> None:
    """Nobody must guess."""
    assert [key for key in (*keys_of(Common), *keys_of(Only)) if f"| `{key}` |" not in MANUAL] == []
