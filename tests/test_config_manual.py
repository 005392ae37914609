"""The manual's YAML, block by block: what a new user pastes works."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from gateway.config import Checked, render
from gateway.config.rule_shapes import RuleItem, When
from gateway.config.shaping import keys_of
from simulators.site import load as load_simulated
from tests.support_config import SAMPLE, checked

MANUAL = (SAMPLE.parent / "docs" / "configuration.zh-CN.md").read_text("utf-8")
BLOCKS = re.findall(r"```yaml\n(.*?)```", MANUAL, re.DOTALL)
FILES = [(found[1], found[2]) for each in BLOCKS if (found := re.match(r"# (\S+\.yaml)\n(.*)", each, re.DOTALL))]
PIECES = [each for each in BLOCKS if not re.match(r"# \S+\.yaml\n", each)]
_EMPTIED = {"rules": ("rules",), "devices": ("devices", "rules")}  # a piece takes the place of the demo site's own
_MERGED = {"calendars": "site.yaml", "recipients": "notify.yaml"}


def _plain(text: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.load(text, yaml.BaseLoader)
    return found


def _merge(target: Path, text: str) -> None:
    """Add a piece to the list of calendars or recipients that the file has."""
    piece = _plain(text)
    ((key, named),) = piece.items()
    path = target / _MERGED[key]
    whole = _plain(path.read_text("utf-8"))
    whole[key] = {**(whole.get(key) or {}), **named}
    path.write_text(yaml.safe_dump(whole, allow_unicode=True), "utf-8")


@pytest.fixture
def demo(tmp_path: Path) -> Path:
    """The demo site with the manual's calendars."""
    target = tmp_path / "config"
    shutil.copytree(SAMPLE, target)
    for text in PIECES:
        if text.startswith("calendars:"):
            _merge(target, text)
    return target


def _shown(found: Checked) -> str:
    return render(found.findings)


def test_the_complete_examples_can_be_used_as_they_are(demo: Path) -> None:
    """Whoever copies the complete examples into the demo site gets what they say, and no finding."""
    for name, text in FILES:
        assert not (demo / name).exists(), name
        (demo / name).write_text(text, "utf-8")
    found = checked(demo)
    assert found.site is not None, _shown(found)
    assert not found.findings, _shown(found)
    assert {name.partition("/")[0] for name, _ in FILES} == {"profiles", "devices", "rules"}
    for rule, device in (("heat-fire", "3-2-03-0301/heat"), ("leak-high", "3-1-B1-DB01/power-monitor")):
        assert any(each.id == rule for each in found.site.rules)
        assert device in found.site.devices
        assert f"{device} " in MANUAL
        assert device in load_simulated(demo).devices


@pytest.mark.parametrize("text", PIECES, ids=[each.split("\n")[1].strip()[:40] for each in PIECES])
def test_a_piece_of_the_manual_has_no_mistake(demo: Path, text: str) -> None:
    """Every other block, put where it belongs in the demo site, gives no error; rules of its own give no warning."""
    key = text.partition(":")[0]
    if key in _MERGED:
        _merge(demo, text)
    else:
        kept = "fire.yaml" if key == "rules" else ""  # what is confirmed there is first raised here
        for path in [path for folder in _EMPTIED[key] for path in (demo / folder).glob("*.yaml") if path.name != kept]:
            path.unlink()
        (demo / key / "manual.yaml").write_text(text, "utf-8")
    found = checked(demo)
    assert found.site is not None, _shown(found)
    if key == "rules":
        assert {each.id for each in found.site.rules} >= {each["rule"] for each in _plain(text)["rules"]}
        assert {each.code for each in found.findings} <= {"W602"}, _shown(found)  # the demo's own rules are gone


def test_every_form_of_condition_is_in_the_manual() -> None:
    """Each form, and each key that goes with one, stands in a block that can be pasted."""
    pasted = "\n".join(BLOCKS)
    missing = [key for model in (When, RuleItem) for key in keys_of(model) if not re.search(rf"\b{key}: ", pasted)]
    assert [key for key in missing if key not in {"override", "below", "falls", "do", "only", "plan", "tell"}] == []
    assert [key for key in missing if f"`{key}" not in MANUAL] == []
