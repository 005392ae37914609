"""Time: delays run on the monotonic clock. What the wall clock does raises, repeats and skips nothing."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.model import AlarmClass, Condition, Now, Reading, Rule, Tell, Verb
from tests.support_lines import built_in
from tests.support_rules import START, Player, device, rule, site

HOUR_S = 3600.0
SMOKE, TEMP, PRESS = "1-1-01-0101/d/smoke", "1-1-01-0101/d/temp", "1-1-01-0101/d/press"
DEVICE = device("1-1-01-0101/d", "d", {"smoke": "bool", "temp": "float", "press": "text"})
BOX = built_in("gateway", "box")
TELLS = (Tell("duty", ("apprise",)), Tell("grid", ("apprise",), 30.0))


def rules() -> list[Rule]:
    return [
        rule([SMOKE], Condition("equals", value=True), AlarmClass.FIRE, id="fire", latches=True, tells=TELLS),
        rule([TEMP], Condition("above", 60), id="hot", for_s=5.0, clear_for_s=7.0, tells=TELLS),
        rule([PRESS], Condition("changed_to", value="on"), AlarmClass.SOS, id="sos", latches=True, tells=TELLS),
    ]


class Stepping(Player):
    """A player whose wall clock can be set; remembers when everything happened on the monotonic clock."""

    def __init__(self) -> None:
        super().__init__(site([DEVICE, BOX], rules()), chatter_s=60.0)

    def story(self) -> list[tuple[float, str, str]]:
        """What happened when, by the clock that does not jump."""
        told: list[tuple[float, str, str]] = []
        for step in self.steps:
            told += [(step.now.mono_s, each.alarm_id, each.kind) for each in step.events]
            told += [(step.now.mono_s, "notice", each.key) for each in step.notices]
        return told


MOVES = st.lists(
    st.tuples(
        st.sampled_from([0.1, 1.0, 4.0, 6.0, 31.0, 70.0]),
        st.sampled_from(
            [(SMOKE, True), (SMOKE, False), (TEMP, 70.0), (TEMP, 20.0), (PRESS, "on"), (PRESS, "off"), ("take", "")]
        ),
        st.sampled_from([0.0, 0.0, HOUR_S, -HOUR_S]),
    ),
    max_size=30,
)


def play(moves: list[tuple[float, tuple[str, object], float]], *, steps: bool) -> Stepping:
    """The same script with or without the wall clock's steps; devices keep their own, true time."""
    player = Stepping()
    at_s, shift_s = 0.0, 0.0
    for wait_s, (what, value), jump_s in moves:
        at_s += wait_s
        shift_s = max(-HOUR_S, min(HOUR_S, shift_s + jump_s))
        player.wall_shift_s = shift_s if steps else 0.0
        if what == "take":  # not calls: what proves an arrival looks at wall clocks
            new = [e for e in player.engine.alarms.values() if e.handling == "new" and e.alarm_class != AlarmClass.SOS]
            if new:
                player.step(at_s, player.request(Verb.TAKE, new[0], at_s=at_s))
        else:
            player.read(at_s, what, value, device_s=at_s)  # type: ignore[arg-type]
    player.step(at_s + 200)
    return player


@settings(max_examples=150, deadline=None)
@given(MOVES)
def test_a_wall_clock_that_steps_changes_nothing_but_stamps(
    moves: list[tuple[float, tuple[str, object], float]],
) -> None:
    """An hour forward or back at any moment: the same events and notices at the same monotonic instants."""
    assert play(moves, steps=True).story() == play(moves, steps=False).story()


@pytest.mark.parametrize("jump_s", [HOUR_S, -HOUR_S, 55 * 365 * 86_400.0])
def test_a_restart_while_the_clock_is_wrong_repeats_and_skips_nothing(jump_s: float) -> None:
    """Killed, and the clock set before it is back: nothing is told twice, what was waiting is told, nothing clears."""
    player = Stepping()
    player.read(0, SMOKE, value=True)
    player.read(1, TEMP, 70.0)
    player.wall_shift_s = jump_s
    player.restart(3)
    player.read(3, SMOKE, value=True)
    player.read(3, TEMP, 70.0)
    player.step(120)
    assert sorted(player.alarms) == [f"fire:{SMOKE}:1", f"hot:{TEMP}:1"]
    assert len(player.said) == len(set(player.said)) == 4
    assert [each for each in player.kinds() if each != "escalated"] == ["raised", "raised"]


def test_a_box_that_boots_in_1970_misses_nothing_when_its_clock_is_set() -> None:
    """No battery for the clock: alarms count from the first second, and the jump to today changes none of them."""
    player = Stepping()
    boot = (datetime(1970, 1, 1, tzinfo=UTC) - START).total_seconds()
    player.wall_shift_s = boot
    player.step(0, Reading("gateway/box/time_ok", False, player.now(0).utc, player.now(0).utc))
    player.read(1, SMOKE, value=True, device_s=1.0)  # the device knows the time
    player.read(2, TEMP, 70.0, device_s=2.0)
    player.wall_shift_s = 0.0  # NTP
    player.step(4, Reading("gateway/box/time_ok", True, player.now(4).utc, player.now(4).utc))
    player.step(6)
    player.step(7.1)
    player.read(8, TEMP, 20.0, device_s=8.0)
    player.step(15.1)
    assert [
        (mono_s - 1000.0, kind) for mono_s, _, kind in player.story() if "/" not in kind and kind != "escalated"
    ] == [
        (1.0, "raised"),
        (7.0, "raised"),
        (15.0, "returned"),
    ]
    assert len(player.said) == len(set(player.said))


def test_alarms_say_that_the_clock_could_not_be_believed() -> None:
    """A stamp made without a time source is marked, on the alarm and in its journal; later ones are not."""
    player = Stepping()
    at = player.now(0).utc
    player.step(0, Reading("gateway/box/time_ok", False, at, at), Reading(SMOKE, True, at, at))
    (fire,) = player.alarms.values()
    assert fire.is_clock_unsure
    assert player.journal[0].data["clock"] == "unsynchronised"
    player.step(1, Reading("gateway/box/time_ok", True, at, at), Reading(PRESS, "on", at, at))
    sos = list(player.alarms.values())[-1]
    assert not sos.is_clock_unsure
    assert "clock" not in player.journal[-1].data


@pytest.mark.parametrize("jump_s", [HOUR_S, -HOUR_S])
@pytest.mark.parametrize(("waited_s", "is_accepted"), [(9.0, True), (11.0, False)])
def test_setting_the_clock_moves_no_deadline_of_a_click(jump_s: float, waited_s: float, is_accepted: bool) -> None:
    """Taken in, and the wall clock is set before it is judged: it counts for its ten seconds, neither less nor more."""
    player = Stepping()
    player.read(0, SMOKE, value=True)
    (alarm,) = player.alarms.values()
    click = player.request(Verb.TAKE, alarm, at_s=1).taken_in(player.now(1))
    player.wall_shift_s = jump_s
    (reply,) = player.step(1 + waited_s, click).replies
    assert reply.is_accepted is is_accepted


def test_a_device_with_an_absurd_clock_still_raises() -> None:
    """1970, or the year 2099: a call for help is never refused for its time."""
    for year in (1970, 2099):
        player = Stepping()
        now: Now = player.now(0)
        player.step(0, Reading(SMOKE, True, datetime(year, 1, 1, tzinfo=UTC), now.utc + timedelta(0)))
        assert player.kinds() == ["raised"]
