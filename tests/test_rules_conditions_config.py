"""From the manual's YAML to an alarm: what a new user pastes is what the engine does."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from gateway.app.loading import check_site
from gateway.config import render
from gateway.model import Site
from tests.support_config import SAMPLE
from tests.support_rules import Player

MANUAL = (SAMPLE.parent / "docs" / "configuration.zh-CN.md").read_text("utf-8")
RULES = re.findall(r"```yaml\nrules:\n(.*?)```", MANUAL, re.DOTALL)
CALENDARS = re.findall(r"```yaml\n(calendars:\n.*?)```", MANUAL, re.DOTALL)
EXAMPLES = re.findall(r"```yaml\n# (\S+\.yaml)\n(.*?)```", MANUAL, re.DOTALL)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Site:
    """The demo site with every rule, calendar and example of the manual."""
    target = tmp_path_factory.mktemp("manual") / "config"
    shutil.copytree(SAMPLE, target)
    for own in (target / "rules").glob("*.yaml"):
        own.unlink()  # some have names that the manual uses too
    (target / "rules" / "manual.yaml").write_text("rules:\n" + "".join(RULES), "utf-8")
    without_its_calendars = (target / "site.yaml").read_text("utf-8").partition("calendars:")[0]
    (target / "site.yaml").write_text(without_its_calendars + "\n".join(CALENDARS), "utf-8")
    for name, text in EXAMPLES:
        (target / name).write_text(text, "utf-8")
    found = check_site(target)
    assert found.site is not None, render(found.findings)
    return found.site


def of_kind(place: Site, kind: str, count: int = 1) -> list[str]:
    """Ids of some devices of a kind, in one unit."""
    found = [each for each in place.devices.values() if each.kind == kind]
    unit = found[0].place.building, found[0].place.unit
    return [each.id for each in found if (each.place.building, each.place.unit) == unit][:count]


def raised(player: Player, rule_id: str) -> list[str]:
    """The sources of the rule's alarms."""
    return [each.point_id for each in player.alarms.values() if each.rule_id == rule_id]


def test_every_form_of_the_manual_becomes_an_alarm(place: Site) -> None:
    """Rising, times, devices, absence, sequence, expression, stillness: each pasted rule raises at its source."""
    player = Player(place)
    player.restart(0)
    (pile,) = of_kind(place, "ev-charger")
    temp = next(each.id for each in place.devices[pile].points if each.name.startswith("temp"))
    player.read(1, temp, 20.0)
    player.read(31, temp, 31.0)
    assert raised(player, "pile-heating") == [temp]

    one, other = of_kind(place, "smoke", 2)
    for at_s in (40, 41, 42):
        player.read(at_s, f"{one}/alarm", True)
        player.read(at_s + 0.5, f"{one}/alarm", False)
    assert raised(player, "smoke-restless") == [f"{one}/alarm"]
    assert not raised(player, "smoke-spreading")
    player.read(100, f"{other}/alarm", True)
    assert [each.partition(":")[0] for each in raised(player, "smoke-spreading")] == ["@unit"]

    (door,) = of_kind(place, "door")
    player.read(110, f"{door}/contact", True)
    player.read(111, f"{door}/forced", True)
    player.read(112, f"{door}/contact", False)
    assert [each.partition(":")[0] for each in raised(player, "break-in")] == ["@unit"]

    charger = next(each for each in place.devices.values() if each.kind == "ebike-charger")
    current = next(each for each in charger.points if each.name.startswith("current"))
    player.read(120, f"{charger.id}/on{current.name.removeprefix('current')}", False)
    player.read(121, current.id, 0.5)
    player.step(127)
    (source,) = raised(player, "socket-welded")
    assert source.rpartition(".")[2] == current.name.rpartition(".")[2]

    assert not raised(player, "gas-silent")
    player.step(302)
    gases = {f"{each.id}/lel" for each in place.devices.values() if each.kind == "gas"}
    assert set(raised(player, "gas-silent")) == gases | {"@site:"}  # all at once: gathered as one (group: line)
    player.step(2 * 86_400)
    assert {each.partition(":")[0] for each in raised(player, "home-care-still")} == {"@room"}


@pytest.mark.parametrize(
    ("expr", "at", "words"),
    [
        ("power > 60 && volt < 3", "volt", "volt"),
        ("power > 'a'", "> 'a'", "不能用于"),
        ("power + 1", "power", "结果要是真或假"),
        ("[1, 2].exists(x, x > power)", "exists", "没有上限"),
    ],
)
def test_a_wrong_expression_is_found_by_check_with_its_place(tmp_path: Path, expr: str, at: str, words: str) -> None:
    """``shouwang check`` says what the library would say, before anything starts."""
    shutil.copytree(SAMPLE, tmp_path / "config")
    when = f'    when: {{kind: ebike-charger, expr: "{expr}"}}'
    text = f"rules:\n  - rule: x\n    title: x\n{when}\n    raise: {{class: fault}}\n"
    (tmp_path / "config" / "rules" / "x.yaml").write_text(text, "utf-8")
    found = check_site(tmp_path / "config")
    assert found.site is None
    shown = render(found.findings)
    assert words in shown
    assert f"x.yaml:4:{when.index(at) + 1}:" in shown


@pytest.mark.parametrize(
    ("expr", "fix"),
    [
        ("on and power > 60", "并且写 &&"),
        ("on or power > 60", "或者写 ||"),
        ("not on", "非写 !"),
        ("power > 60 W", "数后面不写单位"),
        ("power.3 > 60", "不带编号"),
        ("on & current > 1", "并且写 &&"),
        ("on | current > 1", "或者写 ||"),
    ],
)
def test_what_people_write_instead_is_answered_with_what_to_write(tmp_path: Path, expr: str, fix: str) -> None:
    """Other languages' words, a unit, a socket's number: one finding, and it says how."""
    shutil.copytree(SAMPLE, tmp_path / "config")
    when = f'    when: {{kind: ebike-charger, expr: "{expr}"}}'
    text = f"rules:\n  - rule: x\n    title: x\n{when}\n    raise: {{class: fault}}\n"
    (tmp_path / "config" / "rules" / "x.yaml").write_text(text, "utf-8")
    findings = check_site(tmp_path / "config").findings
    assert len(findings) == 1
    assert fix in render(findings)


def test_a_degree_sign_in_one_character_is_the_same_unit(tmp_path: Path) -> None:
    """Chinese keyboards write ℃; it is not another unit."""
    shutil.copytree(SAMPLE, tmp_path / "config")
    text = (
        "rules:\n  - rule: x\n    title: x\n    when: {kind: ebike-charger, point: temp, above: 61℃, clear: 55 ℃}\n"
        "    raise: {class: warning}\n"
    )
    (tmp_path / "config" / "rules" / "x.yaml").write_text(text, "utf-8")
    assert check_site(tmp_path / "config").site is not None
