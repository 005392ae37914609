"""Confirmed fires and marks: a drill of single devices, what a test leaves behind, restarts, and refusals that help."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.model import Alarm, AlarmCondition, AlarmEvent, Condition, Recipient, Site, Tell, Verb
from gateway.rules.table import Code
from gateway.web.texts import refusal
from tests.support_rules import WANG, Player, folded
from tests.test_rules_confirm import CONFIRMED, MCP, A, B, community, fire, handle

C = MCP
DOOR = "3-1-01-0100/door/release"
TOLD = (Tell("duty", ("console",)), Tell("street", ("console",)))


def drill_site() -> Site:
    """The community; a confirmed fire tells the property's own people and the street."""
    found = community()
    single, confirmed = found.rules
    people = {"duty": Recipient("duty", "值班室", {}, "property"), "street": Recipient("street", "街道", {}, "street")}
    return replace(found, rules=(single, replace(confirmed, tells=TOLD)), recipients=people)


def of_confirmed(player: Player) -> Alarm:
    """As the engine has it; its record where it has ended."""
    return player.engine.alarms.get(CONFIRMED) or player.alarms[CONFIRMED]


def events(player: Player) -> list[str]:
    return [each.kind for each in player.journal if each.alarm_id == CONFIRMED]


def drill(player: Player, at_s: float, *devices: str, minutes: str = "60", mark: str = "drill") -> None:
    for each in devices:
        assert player.mark(at_s, mark, "device", each, minutes).replies[0].is_accepted


@pytest.mark.parametrize("restarts", [False, True])
def test_a_fire_confirmed_by_devices_in_a_drill_is_a_drill_until_a_real_one_joins(restarts: bool) -> None:
    """Two marked devices of three confirm a drill, told inside only; the unmarked third makes it real, exactly once:
    doors, sound, everybody."""
    player = Player(drill_site())
    drill(player, 0, A, B)
    assert [each.point_id for each in fire(player, 1, A, B)] == [DOOR]
    assert of_confirmed(player).marks == ("drill",)
    assert {each.recipient for each in player.steps[-1].notices} == {"duty"}
    if restarts:
        player.restart(2)
        assert not player.step(2).events
    player.do(3, Verb.TAKE, rule_id="fire-confirmed")
    step = player.read(4, f"{C}/alarm", True)
    confirmed = of_confirmed(player)
    assert (confirmed.marks, confirmed.is_heard, confirmed.handling) == ((), True, "new")
    assert [each.kind for each in step.events if each.alarm_id == CONFIRMED] == ["unmarked", "reraised"]
    assert [each.point_id for each in step.commands if each.because == CONFIRMED] == [DOOR]
    assert {each.recipient for each in step.notices if each.alarm_id == CONFIRMED} == {"duty", "street"}
    if restarts:
        player.restart(5)
        player.step(5)
    for one in (A, B):  # nothing more, whatever they say
        fire(player, 6, one, value=False)
        fire(player, 7, one)
    assert events(player).count("unmarked") == 1
    assert folded(player.journal)[CONFIRMED].marks == ()


def test_smoke_that_outlasts_its_drill_is_a_real_confirmed_fire_once() -> None:
    """Both detectors are still in alarm when the drill of each ends: real at the first end, and told once."""
    player = Player(drill_site())
    drill(player, 0, A, minutes="30")
    drill(player, 0, B, minutes="40")
    fire(player, 1, A, B)
    player.step(4000)
    assert events(player) == ["raised", "unmarked", "reraised"]
    assert of_confirmed(player).marks == ()
    assert [each.reason for step in player.steps for each in step.notices if each.alarm_id == CONFIRMED] == [
        "raised", "reopened-3", "reopened-3",
    ]  # fmt: skip


def test_lifting_another_mark_does_not_make_a_drill_real() -> None:
    """Work in the next building ends: the drill here goes on as one."""
    player = Player(drill_site())
    drill(player, 0, A, B)
    drill(player, 0, "2-1-01-0101/smoke", mark="walk_test")
    fire(player, 1, A, B)
    player.mark(2, "walk_test", "device", "2-1-01-0101/smoke", verb=Verb.UNMARK)
    assert events(player) == ["raised"]
    assert of_confirmed(player).marks == ("drill",)


@pytest.mark.parametrize("mark", ["drill", "walk_test", "commissioning"])
def test_what_a_test_has_left_behind_confirms_nothing(mark: str) -> None:
    """The drill's smoke is long gone, its alarm not reset; one detector two hours later is one device."""
    player = Player(drill_site())
    drill(player, 0, A, B, mark=mark)
    fire(player, 1, A, B)
    for one in (A, B):
        fire(player, 2, one, value=False)
    player.step(3700)
    assert fire(player, 7200, C) == []
    assert CONFIRMED not in player.alarms or of_confirmed(player).condition is AlarmCondition.RETURNED
    assert len(fire(player, 7300, A)) == 1  # its own smoke for real, beside C's
    assert of_confirmed(player).marks == ()


@pytest.mark.parametrize("mark", ["drill", "walk_test"])
def test_a_button_pressed_in_a_test_confirms_nothing_afterwards(mark: str) -> None:
    """A press has no lasting state: when the test is over, it is no witness of a fire."""
    found = drill_site()
    single, confirmed = found.rules
    press = replace(single, id="press", points=(f"{C}/alarm",), condition=Condition("changed_to", True))
    kept = replace(single, points=tuple(each for each in single.points if not each.startswith(C)))
    player = Player(replace(found, rules=(kept, press, confirmed)))
    player.read(0, f"{C}/alarm", False)
    drill(player, 0, C, mark=mark)
    player.read(1, f"{C}/alarm", True)
    assert player.engine.alarms
    player.step(3700)
    assert fire(player, 4000, A) == []
    assert len(fire(player, 4001, B)) == 1


def test_a_drill_in_the_journal_confirms_nothing_before_its_detector_speaks() -> None:
    """The drill ended while the gateway was off: one detector in alarm is one, until the other says that it is too."""
    player = Player(drill_site())
    drill(player, 0, A)
    fire(player, 1, A)
    player.restart(4000)
    player.step(4000)
    assert fire(player, 4001, B) == []
    assert len(fire(player, 4002, A)) == 1


def test_a_person_confirms_for_real_beside_a_drill() -> None:
    """确认火警 of a real alarm turns the drill beside it real; of the drill's own alarm it stays a drill."""
    player = Player(drill_site())
    drill(player, 0, A)
    fire(player, 1, A)
    handle(player, 2, A, Verb.TAKE)
    (mine,) = player.engine.alarms.values()
    player.step(3, player.request(Verb.VERIFY, mine, at_s=3, real="true"))
    assert of_confirmed(player).marks == ("drill",)
    fire(player, 4, B)
    assert of_confirmed(player).marks == ()


def test_switching_off_a_compartment_silences_no_confirmed_fire() -> None:
    """Disabled after it was confirmed: the fire of the compartment is heard on, and a person's word still acts."""
    player = Player(drill_site())
    fire(player, 0, A, B)
    assert player.mark(1, "out_of_service", "zone", "east", "60").replies[0].is_accepted
    confirmed = of_confirmed(player)
    assert (confirmed.is_muted, confirmed.condition) == (False, AlarmCondition.RETURNED)
    handle(player, 2, A, Verb.TAKE)
    (mine,) = (each for each in player.engine.alarms.values() if each.device_id == A)
    step = player.step(3, player.request(Verb.VERIFY, mine, at_s=3, real="true"))
    assert DOOR in {each.point_id for each in step.commands}


# Restart -------------------------------------------------------------------------------------------------------


def test_a_confirmed_fire_of_the_journal_is_known_when_its_devices_have_spoken() -> None:
    """Unconfirmed after a restart until both detectors have reported; a person's word needs no report."""
    player = Player(drill_site())
    fire(player, 0, A, B)
    player.restart(1)
    player.step(1)
    assert of_confirmed(player).is_unconfirmed
    fire(player, 2, A)
    assert of_confirmed(player).is_unconfirmed
    step = player.read(3, f"{B}/alarm", True)
    assert not of_confirmed(player).is_unconfirmed
    assert not step.alarms[CONFIRMED].is_unconfirmed  # screens and journal hear of it
    assert events(player) == ["raised"]


def test_a_fire_that_a_person_confirmed_is_known_at_once_after_a_restart() -> None:
    """What a person has said does not wait for a detector that may have burnt."""
    player = Player(drill_site())
    fire(player, 0, A)
    player.do(1, Verb.TAKE)
    player.do(2, Verb.VERIFY, real="true")
    player.restart(3)
    player.step(3)
    assert not of_confirmed(player).is_unconfirmed


def test_what_is_left_of_a_confirmed_fire_is_known_too() -> None:
    """Its members are reset, it waits for its own reset: after a restart there is nothing more to hear."""
    player = Player(drill_site())
    fire(player, 0, A, B)
    for one in (A, B):
        fire(player, 1, one, value=False)
        handle(player, 2, one, Verb.TAKE, Verb.CLOSE, Verb.RESET)
    player.restart(3)
    player.step(3)
    assert not player.engine.alarms[CONFIRMED].is_unconfirmed


# Refusals ------------------------------------------------------------------------------------------------------


def test_a_refused_reset_of_a_confirmed_fire_names_the_alarms_it_follows_from() -> None:
    """Not "the detector is still in alarm", of which it has none: which alarms, where, and how they stand."""
    player = Player(drill_site())
    fire(player, 0, A, B)
    fire(player, 1, A, value=False)
    (reply,) = player.do(2, Verb.RESET, rule_id="fire-confirmed").replies
    assert reply.code == Code.FIRES_OPEN
    assert reply.detail["codes"] == ["fires_open", "no_outcome"]
    assert [(each["place"], each["condition"]) for each in reply.detail["alarms"]] == [
        ("3-2-03-0301", "returned"),
        ("3-2-03-0302", "active"),
    ]
    zh, en = (refusal(reply.code, reply.detail, each, UTC) for each in ("zh", "en"))
    assert "3-2-03-0301 规则(已恢复,未复位)、3-2-03-0302 规则(仍在报警)" in zh
    assert "3-2-03-0302" in en
    assert "探测器仍在报警" not in zh
    for one in (A, B):
        fire(player, 3, one, value=False)
        handle(player, 4, one, Verb.TAKE, Verb.CLOSE, Verb.RESET)
    (reply,) = player.do(5, Verb.RESET, rule_id="fire-confirmed").replies
    assert reply.detail["codes"] == ["no_outcome"]


# Any order -----------------------------------------------------------------------------------------------------

ONE = st.sampled_from([A, B, C])
MOVES = st.lists(
    st.tuples(st.sampled_from(["on", "off", "drill", "lift", "restart", "take", "close", "reset"]), ONE), max_size=30
)


def play(moves: Iterable[tuple[str, str]], *, restarts: bool) -> tuple[Player, list[AlarmEvent]]:
    """Play; a restart is followed by every device saying again what it said."""
    player = Player(drill_site())
    now = dict.fromkeys((A, B, C), False)
    verbs = {"take": Verb.TAKE, "close": Verb.CLOSE, "reset": Verb.RESET}
    for at_s, (move, one) in enumerate([("on", A), ("off", A), ("off", B), ("off", C), *moves]):
        if move in {"on", "off"}:
            now[one] = move == "on"
            player.read(at_s, f"{one}/alarm", now[one])
        elif move in {"drill", "lift"}:
            verb = Verb.MARK if move == "drill" else Verb.UNMARK
            player.mark(at_s, "drill", "device", one, "240" if move == "drill" else "", actor=WANG, verb=verb)
        elif move == "restart":
            if restarts:
                player.restart(at_s)
                for each, value in now.items():
                    player.read(at_s, f"{each}/alarm", value)
        else:
            alarm = next((each for each in player.engine.alarms.values() if each.device_id == one), None)
            if alarm is not None:
                player.step(at_s, player.request(verbs[move], alarm, at_s=at_s, outcome="误报", cause="油烟"))
        _hold(player)
    return player, [each for each in player.journal if each.alarm_id.startswith("fire-confirmed")]


def _hold(player: Player) -> None:
    members = [each for each in player.engine.alarms.values() if each.rule_id == "fire"]
    for each in player.engine.alarms.values():
        if each.rule_id == "fire-confirmed" and each.condition is AlarmCondition.ACTIVE:
            assert each.marks == () or all("drill" in one.marks for one in members if one.is_confirmed)


@settings(max_examples=150, deadline=None)
@given(MOVES)
def test_a_real_device_among_those_that_confirm_makes_it_real_whatever_happened_before(
    moves: list[tuple[str, str]],
) -> None:
    """Invariant: an active confirmed fire is a drill only where every alarm that it was confirmed by is; it is made
    real at most once in its life; restarts change no event of it."""
    player, journal = play(moves, restarts=True)
    for alarm_id in {each.alarm_id for each in journal}:
        kinds = [each.kind for each in journal if each.alarm_id == alarm_id]
        assert kinds.count("unmarked") <= 1
        raised = [each for each in journal if each.alarm_id == alarm_id and each.kind == "raised"]
        assert "unmarked" not in kinds or raised[0].data["marks"] == ["drill"]
    _, without = play(moves, restarts=False)
    assert [(each.alarm_id, each.kind, each.at) for each in journal] == [
        (each.alarm_id, each.kind, each.at) for each in without
    ]
    assert {key: each.marks for key, each in folded(player.journal).items()} == {
        key: each.marks for key, each in player.alarms.items()
    }
