"""``operate:`` of points and rules, and ``snapshot:`` of devices: what is taken, what is refused, where."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from gateway.app.loading import check_site
from gateway.config import Checked
from gateway.model import Offer, Operate, Scope
from tests.support_packs import SHIPPED


def changed(directory: Path, file: str, old: str, new: str) -> Checked:
    """The shipped configuration with one text replaced."""
    config = directory / "config"
    shutil.copytree(SHIPPED, config)
    path = config / file
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")
    return check_site(config)


def codes(found: Checked) -> list[str]:
    return [each.code for each in found.findings if each.is_error]


UNLOCK = "operate: {roles: [duty, supervisor], values: [true], within: 5s}"


def test_the_shipped_visitor_rule_offers_the_unlock_of_its_door() -> None:
    """Out of the box: call, take, 开门; on MQTT doors and on Modbus doors."""
    site = check_site(SHIPPED).site
    assert site is not None
    rule = next(each for each in site.rules if each.id == "visitor-call")
    assert rule.offers == (Offer("", "unlock", Scope.DEVICE, value=True, title="开门", title_en="Unlock"),)
    for door in ("1-1-01-DOOR/door", "3-1-01-DOOR/door"):
        (operate,) = [each.operate for each in site.devices[door].points if each.operate is not None]
        assert operate == Operate(("duty", "supervisor"), (True,), None, 5.0)


def test_a_pulse_of_the_gateways_own(tmp_path: Path) -> None:
    """For a controller whose output stays: the gateway sets it false again."""
    found = changed(tmp_path, "profiles/door-m1.yaml", UNLOCK, "operate: {roles: duty, values: true, pulse: 6s}")
    assert found.site is not None
    points = {each.name: each for each in found.site.devices["1-1-01-DOOR/door"].points}
    assert points["unlock"].operate == Operate(("duty",), (True,), 6.0, 5.0)


@pytest.mark.parametrize(
    ("new", "code"),
    [
        ("operate: {roles: [duty], values: [true, false], pulse: 5s}", "E504"),
        ("operate: {roles: [duty], values: [maybe]}", "E603"),
        ("operate: {roles: [guest], values: [true]}", "E107"),
        ("operate: {roles: [duty]}", "E106"),
        ("operate: {values: [true]}", "E106"),
        ("operate: {roles: [duty], values: []}", "E107"),
        ("operate: {roles: [duty], values: [true], pulse: 2h}", "E107"),
        ("operate: {role: [duty], values: [true]}", "E104"),
    ],
)
def test_a_list_that_cannot_be_meant_is_refused(tmp_path: Path, new: str, code: str) -> None:
    """Nobody in it, nothing in it, a word that is no value, a pulse that could not end."""
    assert code in codes(changed(tmp_path, "profiles/door-m1.yaml", UNLOCK, new))


def test_only_what_can_be_written_can_be_operated(tmp_path: Path) -> None:
    """A contact is a fact."""
    old = "contact: {from: $.contact, type: bool, title: 门磁(true 为关)}"
    new = "contact: {from: $.contact, type: bool, operate: {roles: [duty], values: [true]}}"
    found = changed(tmp_path, "profiles/door-m1.yaml", old, new)
    (error,) = [each for each in found.findings if each.is_error]
    assert (error.code, error.spot.brief.endswith("door-m1.yaml:11")) == ("E504", True)


@pytest.mark.parametrize(("values", "is_fine"), [("[true]", True), ("[false]", False), ("[true, false]", False)])
def test_a_gas_valve_is_never_opened_by_a_list(tmp_path: Path, values: str, *, is_fine: bool) -> None:
    """Closed from afar, opened on the spot: the configuration that says otherwise is refused."""
    path = SHIPPED / "profiles" / "valve-v1.yaml"
    line = next(each for each in path.read_text(encoding="utf-8").splitlines() if "writable: true" in each)
    indent = line[: len(line) - len(line.lstrip())]
    new = f"{line}\n{indent}operate: {{roles: [duty], values: {values}}}"
    assert ("E503" not in codes(changed(tmp_path, "profiles/valve-v1.yaml", line, new))) is is_fine


OFFER = "operate: [{point: unlock, value: true, title: {zh: 开门, en: Unlock}}]"


@pytest.mark.parametrize(
    ("new", "code"),
    [
        ("operate: [{point: release, value: true, title: 开门}]", "E504"),
        ("operate: [{point: unlock, value: false, title: 关门}]", "E504"),
        ("operate: [{point: unlok, value: true, title: 开门}]", "E504"),
        ("operate: [{point: unlock, value: true}]", "E106"),
        ("operate: [{point: unlock, value: true, title: 开门, within: nowhere}]", "E107"),
    ],
)
def test_a_rule_offers_only_what_its_points_allow(tmp_path: Path, new: str, code: str) -> None:
    """A button that the gateway would always refuse is an error with its place."""
    assert code in codes(changed(tmp_path, "rules/access.yaml", OFFER, new))


def test_an_alarm_of_an_area_has_nothing_to_operate(tmp_path: Path) -> None:
    """It is no device's."""
    old = "    plan: [查看门口画面, 必要时派人到场]"
    rule = "when: {kind: door, point: pass_result, changed_to: denied, times: 5, within: 2m}"
    config = tmp_path / "config"
    shutil.copytree(SHIPPED, config)
    path = config / "rules" / "access.yaml"
    text = path.read_text(encoding="utf-8")
    area = "when: {kind: door, point: forced, is: true, devices: 2, within: 2m, same: building}"
    text = text.replace(rule, area).replace(old, f"    {OFFER.replace('unlock', 'unlock, kind: door')}\n{old}")
    path.write_text(text, encoding="utf-8")
    assert "E504" in codes(check_site(config))


DOOR = '    serial: "DR{at}"\n    title: 单元门\n    tags: [escape]\n'


def test_a_picture_of_every_door_of_a_pattern(tmp_path: Path) -> None:
    """{at} stands for the address, as everywhere."""
    line = "    snapshot: http://10.0.3.21:8000/doors/{at}.jpg?w=640\n"
    found = changed(tmp_path, "devices/public.yaml", DOOR, DOOR + line)
    assert found.site is not None
    assert found.site.devices["2-1-01-DOOR/door"].snapshot == "http://10.0.3.21:8000/doors/2-1-01-DOOR.jpg?w=640"
    assert found.site.devices["3-1-01-DOOR/door"].snapshot == ""


@pytest.mark.parametrize(
    ("address", "doors"),
    [("http://cam-{at}.lan/a.jpg", "[1-10]-1-01-D[01-11]"), ("http://cam-{at}.lan/a.jpg", "1-1-01-门[1-2]")],
)
def test_every_host_of_a_pattern_is_looked_at(tmp_path: Path, address: str, doors: str) -> None:
    """They all stand in one header of every page: more than a hundred, or one that is no name, are refused."""
    more = f"""devices:
  - each: "{doors}"
    name: camera_door
    profile: door-m1
    bus: field
    serial: "X{{at}}"
    snapshot: {address}
"""
    config = tmp_path / "config"
    shutil.copytree(SHIPPED, config)
    (config / "devices" / "more.yaml").write_text(more, encoding="utf-8")
    assert codes(check_site(config)) == ["E505"]


@pytest.mark.parametrize(
    "address",
    [
        "rtsp://10.0.3.21/1",
        "http://admin:admin@10.0.3.21/a.jpg",
        "http://10.0.3.21/a.jpg?token=5",
        "http://10.0.3.21/a.jpg?PWD=5",
        '"http://10.0.3.21; script-src *"',
        "http://10.0.3.21/a.jpg#x",
        "http://*/a.jpg",
        "10.0.3.21/a.jpg",
        f"http://10.0.3.21/{'a' * 600}",
    ],
)
def test_an_address_with_a_secret_or_of_another_kind_is_refused(tmp_path: Path, address: str) -> None:
    """Whoever can read the configuration or the page must not learn the camera's password; and no address can widen
    what the page may load.
    """
    found = changed(tmp_path, "devices/public.yaml", DOOR, f"{DOOR}    snapshot: {address}\n")
    assert "E505" in codes(found)
    shown = "".join(line for each in found.findings for line in each.spot.source.lines if each.code == "E505")
    assert "admin:admin" not in shown
    assert "token=5" not in shown
