"""The shipped rule packs (config/rules): golden stories in tests/cases/packs, and what every rule must say.

Each story is played as it stands, and once more with a kill -9 before each of its acts.
"""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from gateway.model import AlarmClass, Rule, Site
from tests.support_packs import SHIPPED, Stage, parse, scripts, shipped, unmet

STORIES = scripts()
NAMES = [f"{each.parent.name}/{each.stem}" for each in STORIES]
CUT_AND_LATCHED = {"socket-leak", "socket-hot", "socket-heating", "pile-hot", "pile-leak"}  # decisions/0017
ALONE = {
    "line-down": "a cause itself",
    "uplink-down": "a cause itself",
    "uplink-certificate": "each has its own file and its own date",
    "channel-failed": "each has its own reason, and somebody does not get his notices",
    "output-failed": "somebody must go to each of them",
    "session-full": "the normal end of a charge: on no list but the work list",
}
_PACKS = {"access", "charging", "fire", "gas", "life", "sos", "upkeep"}


@pytest.mark.parametrize("path", STORIES, ids=NAMES)
def test_the_shipped_rules_do_what_the_story_says(path: Path) -> None:
    """Every alarm, command and notice comes in its time, and none that must not."""
    _ask_for(path)
    acts, wants = parse(path)
    assert wants, "a story without expectations proves nothing"
    seen = Stage(shipped()).play(acts, max(each.to_s for each in wants) + 0.01)
    assert not (wrong := unmet(wants, seen)), "\n".join(wrong)


@pytest.mark.parametrize("path", STORIES, ids=NAMES)
def test_a_kill_before_any_act_changes_nothing(path: Path) -> None:
    """What a pack does survives a restart at every step of its story; a story may say why not."""
    if "no_restart" in yaml.safe_load(path.read_text(encoding="utf-8")):
        pytest.skip("the story says that a restart matters")
    _ask_for(path)
    acts, wants = parse(path)
    end_s = max(each.to_s for each in wants) + 0.01
    for number in range(1, len(acts)):
        if acts[number].at_s == acts[number - 1].at_s:
            continue
        seen = Stage(shipped()).play(acts, end_s, restart_before=number)
        assert not (wrong := unmet(wants, seen)), f"restarted before {acts[number]}:\n" + "\n".join(wrong)


def test_every_pack_has_its_rules_and_stories() -> None:
    """The seven packs are shipped, and none of them without a golden story."""
    assert {each.stem for each in (SHIPPED / "rules").glob("*.yaml")} == _PACKS
    assert {each.parent.name for each in STORIES} == _PACKS


def test_every_rule_tells_the_officer_what_it_is_and_what_to_do() -> None:
    """Cause, consequence and one imperative sentence in both languages, and outcomes: in every shipped rule."""
    for rule in shipped().rules:
        chinese = (rule.cause, rule.consequence, rule.response)
        english = (rule.cause_en, rule.consequence_en, rule.response_en)
        assert all((*chinese, *english, rule.text)), rule.id
        assert rule.outcomes, rule.id
        assert not any(each.isascii() for each in chinese), rule.id
        assert all(each.isascii() for each in english), rule.id
        assert rule.alarm_class is AlarmClass.MAINTENANCE or rule.respond_within_s, rule.id


def test_life_safety_is_never_shelved_and_escalates_by_the_clock() -> None:
    """Fire, gas and calls cannot be shelved, reach the desk at once, and somebody else when nobody takes them."""
    for rule in _of(shipped(), AlarmClass.FIRE, AlarmClass.GAS, AlarmClass.SOS):
        assert rule.latches, rule.id
        assert rule.shelvable_s == 0, rule.id
        delays = {tell.after_s for tell in rule.tells}
        assert 0 in delays, rule.id
        assert len({tell.to for tell in rule.tells}) >= 2, rule.id


def test_of_the_warnings_those_latch_that_cut_and_stay_cut() -> None:
    """A dead socket with a burnt contact keeps its line until somebody has looked; no other warning is kept."""
    latched = [each for each in _of(shipped(), AlarmClass.WARNING) if each.latches]
    assert {each.id for each in latched} == CUT_AND_LATCHED
    assert all(each.actions for each in latched)


def test_every_fault_of_many_devices_says_what_gathers_it() -> None:
    """A power cut or a dead line is one line on the screen, whichever rule sees it; the exceptions say why not."""
    for rule in _of(shipped(), AlarmClass.FAULT, AlarmClass.MAINTENANCE):
        devices = {each.rpartition("/")[0] for each in rule.points}
        if len(devices) > 1 and rule.id not in ALONE and not rule.latches:
            assert rule.groups, f"{rule.id} looks at {len(devices)} devices"


def test_calls_for_help_have_the_four_clocks() -> None:
    """Duty at once; 30 s second contact and grid officer; 60 s family and supervisor; 180 s street."""
    for name in ("sos-button", "sos-zigbee", "life-sos"):
        rule = next(each for each in shipped().rules if each.id == name)
        clocks: dict[float, set[str]] = {}
        for tell in rule.tells:
            clocks.setdefault(tell.after_s, set()).add(tell.to)
        assert clocks == {
            0: {"duty"}, 30: {"duty_second", "grid_worker"}, 60: {"family", "supervisor"}, 180: {"street"},
        }, name  # fmt: skip


def test_every_gate_opens_without_a_face() -> None:
    """Each door and barrier that is shipped is opened by a hand at the desk, and says of a card or code who passed."""
    gates = [each for each in shipped().devices.values() if each.kind in {"door", "barrier"}]
    assert gates
    for gate in gates:
        points = {each.name: each for each in gate.points}
        assert points["release"].is_writable, gate.id
        if gate.kind == "door":
            assert "pass" in points, gate.id
            assert points["unlock"].operate is not None, gate.id


def _ask_for(path: Path) -> None:
    """Skip a story about a device that this build does not make yet; the story names it."""
    needed = yaml.safe_load(path.read_text(encoding="utf-8")).get("needs")
    if needed is not None and needed not in shipped().devices:
        pytest.skip(f"there is no {needed} yet")


def _of(site: Site, *classes: AlarmClass) -> list[Rule]:
    return [each for each in site.rules if each.alarm_class in classes]
