"""Any interleaving of readings, clicks, marks, causes, pauses, restarts and clock steps keeps these promises:

- the journal alone gives every alarm exactly as the engine shows it;
- a fire that was reported is open until it is closed and reset by people, whatever is restarted or set
  (reported at a point that nobody has disabled);
- a latch is opened by reset only, an ended alarm is never touched again, a rule has one open alarm per point;
- a siren or buzzer is on exactly as long as an open alarm wants it on;
- no notice key and no command id is given out twice, and no notice of what is shelved, suppressed or out of service;
- a flag or a mark moves neither condition nor latch, a flag none of the four parts: lifting it shows the truth;
- a disabled point raises nothing, and what is still true when it is enabled is raised;
- a tag is shelved exactly while its mark is set, an alarm is out of service exactly while a mark says so, and both
  end in time; fire, gas and sos are never shelved or suppressed;
- of two requests that name one version exactly one can win;
- what is written down of running delays is what is running;
- the same inputs give the same bytes.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from itertools import chain
from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st

from gateway.model import (
    SYSTEM,
    Action,
    Alarm,
    AlarmClass,
    AlarmCondition,
    Condition,
    DeviceStatus,
    Input,
    Mark,
    Quality,
    Reading,
    Scope,
    Site,
    Step,
    Tell,
    Verb,
)
from gateway.rules import fold
from gateway.rules.conditions import is_event
from gateway.rules.marks import OFF, withholds
from gateway.rules.table import FLAGS
from tests.support_rules import LI, ZHANG, Player, as_bytes, device, folded, rule, site

DEVICE = "3-2-03-0301/all"
SMOKE, HEAT, PRESS, BATTERY = (f"{DEVICE}/{each}" for each in ("smoke", "heat", "press", "battery"))
ARGS = {"real": "true", "text": "好", "outcome": "误报", "cause": "油烟", "minutes": "1", "reason": "检修"}


def a_site() -> Site:
    """One device with a rule of every kind."""
    types = {"smoke": "bool", "heat": "float", "press": "bool", "battery": "int", "siren": "bool", "buzzer": "bool"}
    dev = device(DEVICE, "all", types, writable=["siren", "buzzer"])
    dev = replace(dev, points=tuple(replace(each, is_event=each.name == "press") for each in dev.points))
    act = (
        Action("", "siren", Scope.DEVICE, True, 10.0, True, "reset"),
        Action("", "buzzer", Scope.DEVICE, True, 10.0, True, "silenced"),
    )
    tell = (Tell("duty", ("console", "apprise")), Tell("grid", ("apprise",), 30.0))
    return site(
        [dev],
        [
            rule([SMOKE], Condition("equals", True), AlarmClass.FIRE, id="fire", latches=True, actions=act, tells=tell),
            rule([HEAT], Condition("above", 60, 50), AlarmClass.WARNING, id="hot", for_s=5.0, clear_for_s=20.0),
            rule([HEAT], Condition("above", 70), AlarmClass.SECURITY, id="hotter", tells=tell, actions=act),
            rule(
                [PRESS],
                Condition("changed_to", True),
                AlarmClass.SOS,
                id="sos",
                latches=True,
                tells=tell,
                actions=act[1:],
            ),
            rule([BATTERY], Condition("below", 20, 30), AlarmClass.MAINTENANCE, id="low", actions=act),
            rule([f"{DEVICE}/online"], Condition("equals", False), AlarmClass.FAULT, id="lost", for_s=10.0),
        ],
    )


@dataclass(frozen=True)
class Say:
    """A point says something, by its own clock if ``ago_s`` is given."""

    point: str
    value: Any
    ago_s: float | None
    quality: Quality


@dataclass(frozen=True)
class Click:
    """Zhang, or Zhang and Li at once, on the n-th newest alarm as of ``behind`` versions ago."""

    verb: Verb
    nth: int
    behind: int
    both: bool


@dataclass(frozen=True)
class Put:
    """The supervisor sets a mark."""

    mark: Mark
    place: tuple[str, str]
    minutes: str


@dataclass(frozen=True)
class Lift:
    """The supervisor lifts the n-th of the marks."""

    nth: int


@dataclass(frozen=True)
class Blame:
    """The n-th newest alarm turns out to be a consequence of another one; or that is over (``by`` "")."""

    nth: int
    by: str


@dataclass(frozen=True)
class Clock:
    """Seconds pass; the wall clock may be set, the gateway may be killed."""

    pause_s: float
    set_s: float
    restarts: bool


values = st.one_of(
    st.tuples(st.sampled_from([SMOKE, PRESS, f"{DEVICE}/online"]), st.booleans()),
    st.tuples(st.just(HEAT), st.sampled_from([20.0, 55.0, 65.0, 75.0, float("nan"), "hot"])),
    st.tuples(st.just(BATTERY), st.sampled_from([10, 25, 80, True])),
)
says = st.builds(
    lambda pair, ago_s, quality: Say(pair[0], pair[1], ago_s, quality),
    values,
    st.sampled_from([None, None, 0.5, 1.0, 30.0, -7200.0, 1.7e9]),
    st.sampled_from([Quality.GOOD] * 6 + [Quality.RETAINED, Quality.STALE]),
)
of_alarm = [each for each in Verb if each.is_of_alarm]
clicks = st.builds(Click, st.sampled_from(of_alarm), st.integers(0, 3), st.sampled_from([0, 0, 0, 1]), st.booleans())
clocks = st.builds(
    Clock,
    st.sampled_from([0.1, 1.0, 6.0, 25.0, 70.0]),
    st.sampled_from([0.0, 0.0, 0.0, 3600.0, -3600.0]),
    st.sampled_from([False, False, True]),
)
puts = st.builds(
    Put,
    st.sampled_from(sorted(set(Mark) - {Mark.SHELVED, Mark.AWAY})),
    st.sampled_from([("device", DEVICE), ("device", DEVICE), ("point", SMOKE), ("point", HEAT), ("building", "3")]),
    st.sampled_from(["1", "1", "3", ""]),
)
lifts = st.builds(Lift, st.integers(0, 3))
blames = st.builds(Blame, st.integers(0, 2), st.sampled_from(["line:l:1", "line:l:2", "", ""]))
Part = Say | Click | Put | Lift | Blame | Clock
END: list[Part] = [Click(each, 0, 0, both=False) for each in (Verb.TAKE, Verb.CLOSE, Verb.RESET)]
chapters: st.SearchStrategy[list[Part]] = st.sampled_from(
    [
        END[:2],
        END[2:],
        [Say(SMOKE, True, None, Quality.GOOD)],
        [Say(SMOKE, False, None, Quality.GOOD), *END],
        [Say(PRESS, True, 0.2, Quality.GOOD), *END],
        [Say(HEAT, 75.0, None, Quality.GOOD), Clock(6.0, 0.0, restarts=False)],
        [Say(HEAT, 20.0, None, Quality.GOOD), Clock(25.0, 0.0, restarts=False)],
        [Say(BATTERY, 10, None, Quality.GOOD), Click(Verb.SHELVE, 0, 0, both=False)],
        [Put(Mark.DISABLED, ("point", SMOKE), ""), Say(SMOKE, True, None, Quality.GOOD), Lift(0)],
        [Put(Mark.WALK_TEST, ("building", "3"), "1"), Say(SMOKE, True, None, Quality.GOOD), Lift(0)],
    ]
)
marking = st.one_of(puts, lifts, blames)
singles: st.SearchStrategy[list[Part]] = st.one_of(says, says, clicks, clicks, clocks, marking).map(lambda each: [each])
scripts = st.lists(st.one_of(singles, singles, chapters), min_size=4, max_size=40).map(
    lambda parts: list(chain.from_iterable(parts))
)


def inputs_of(player: Player, at_s: float, each: Say | Click) -> list[Input]:
    """What ``each`` puts into the inbox."""
    received = player.now(at_s).utc
    if isinstance(each, Say):
        if each.point.endswith("/online"):
            return [DeviceStatus(DEVICE, bool(each.value), received)]
        at = received if each.ago_s is None else received - timedelta(seconds=each.ago_s)
        return [Reading(each.point, each.value, at, received, each.quality)]
    if not player.alarms:
        return []
    known = list((each.nth < 3 and player.engine.alarms) or player.alarms)
    alarm = player.alarms[known[-1 - each.nth % len(known)]]
    alarm = replace(alarm, version=alarm.version - each.behind)
    actors = (ZHANG, LI) if each.both else (ZHANG,)
    return [player.request(each.verb, alarm, actor, at_s, **ARGS) for actor in actors]


def play(script: list[Part]) -> Player:
    """Play it, checking after every step."""
    player = Player(a_site(), settle_s=15.0)
    player.restart(0.0)
    at_s = 0.0
    for each in script:
        at_s += 0.01
        if isinstance(each, Clock):
            at_s += each.pause_s
            player.step(at_s)
            player.wall_shift_s += each.set_s
            if each.restarts:
                player.restart(at_s)
        elif isinstance(each, Put):
            player.mark(at_s, each.mark, *each.place, each.minutes)
        elif isinstance(each, Lift):
            if player.marks:
                mark = list(player.marks)[each.nth % len(player.marks)]
                player.mark(at_s, *mark, verb=Verb.UNMARK)
        elif isinstance(each, Blame):
            blame(player, each, at_s)
        else:
            inputs = inputs_of(player, at_s, each)
            check_step(player, inputs, at_s)
        check_state(player)
        check_marks(player)
    return player


def blame(player: Player, each: Blame, at_s: float) -> None:
    """As grouping does it: between two readings."""
    player.step(at_s)
    minor = [alarm for alarm in player.engine.alarms.values() if not alarm.alarm_class.is_life_safety]
    if not minor:
        return
    alarm = minor[-1 - each.nth % len(minor)]
    step = Step(player.now(at_s))
    book = player.engine._book
    book.suppress(alarm, each.by, step) if each.by else book.unsuppress(alarm, step)
    book.release(step)
    player._commit(step)


def check_step(player: Player, inputs: list[Input], at_s: float) -> None:
    """One winner of two; a fire that was believed is open."""
    late = player.counters.total("readings_rejected", reason="out_of_order")
    step = player.step(at_s, *inputs)
    is_late = player.counters.total("readings_rejected", reason="out_of_order") > late
    won = [reply for reply in step.replies if reply.is_accepted]
    assert len(won) <= 1
    for reading in step.readings:
        is_smoke = reading.point_id == SMOKE and reading.value is True
        is_disabled = Mark.DISABLED in player.engine.marks.of(SMOKE)
        if is_smoke and reading.quality is not Quality.STALE and not is_late and not is_disabled:
            assert any(each.rule_id == "fire" for each in player.engine.alarms.values())


def bare(alarm: Alarm) -> Alarm:
    """Without the mark that is not in the journal."""
    return replace(alarm, is_unconfirmed=False)


def wanted_on(player: Player) -> set[str]:
    """The outputs that open alarms want on: sirens until they end, buzzers until somebody has heard them."""
    actions = {each.id: each.actions for each in player.site.rules}
    return {
        f"{DEVICE}/{action.point}"
        for alarm in player.engine.alarms.values()
        for action in actions[alarm.rule_id]
        if action.until == "reset" or alarm.is_sounding or (alarm.rule_id == "low" and not alarm.taken_at)
        if not withholds(alarm, action)
    }


def check_state(player: Player) -> None:
    """The journal, the store and the engine agree."""
    stored = {key: bare(each) for key, each in player.alarms.items()}
    assert folded(player.journal) == stored
    live = player.engine.alarms
    assert {key: bare(each) for key, each in live.items()} == {k: each for k, each in stored.items() if each.is_open}
    assert len({(each.rule_id, each.point_id) for each in live.values()}) == len(live)
    on: dict[str, bool] = {}
    for command in chain.from_iterable(step.commands for step in player.steps):
        on[command.point_id] = command.value is True
    assert {each for each, is_on in on.items() if is_on} == wanted_on(player)
    running = player.engine._timers._running
    if player.engine._is_resumed:
        assert set(running) == set(player.timers)
    for watch in player.engine._book.watches.values():
        if is_event(watch.rule.condition):
            continue
        is_disabled = Mark.DISABLED in player.engine.marks.of(watch.source_id)
        if watch.met:
            assert watch.is_active or watch.for_key in running or is_disabled
            assert watch.clear_key not in running
        else:
            assert not watch.is_active or watch.clear_key in running
            assert watch.for_key not in running


def check_marks(player: Player) -> None:
    """What alarms say of marks is what is marked; what is marked ends in time."""
    marks = player.engine.marks
    assert {(each.mark, each.scope, each.key) for each in marks} == set(player.marks)
    for key, mark in player.marks.items():
        assert (mark.until_at is None) or f"mark|{'|'.join(key)}" in player.timers
    if not player.engine._is_resumed:
        return
    for alarm in player.engine.alarms.values():
        tag = f"{alarm.rule_id}:{alarm.point_id}"
        assert (alarm.shelved_until_at is not None) == ((Mark.SHELVED, "alarm", tag) in player.marks)
        assert alarm.is_out_of_service is not marks.of(alarm.point_id).isdisjoint(OFF)
        assert not (alarm.alarm_class.is_life_safety and (alarm.shelved_until_at or alarm.suppressed_by))


def check_silence(player: Player) -> None:
    """No step tells of what is muted when it begins and when it ends; nothing is raised at a disabled point."""
    alarms: dict[str, Alarm] = {}
    for step in player.steps:
        before = dict(alarms)
        alarms |= step.alarms
        for notice in step.notices:
            is_new = notice.alarm_id not in before
            assert not alarms[notice.alarm_id].is_muted or (not is_new and not before[notice.alarm_id].is_muted)
    disabled: set[tuple[str, str]] = set()
    for step in player.steps:
        for change in step.marks:
            if change.mark is Mark.DISABLED:
                (disabled.add if change.is_set else disabled.discard)((change.scope, change.key))
        for event in step.events:
            if event.kind in {"raised", "reraised"}:
                covers = {("point", event.alarm_id.split(":")[1]), ("device", DEVICE), ("building", "3")}
                assert disabled.isdisjoint(covers)


def parts(alarm: Alarm) -> tuple[Any, ...]:
    """The four parts."""
    return alarm.condition, alarm.handling, alarm.is_latched, alarm.is_sounding


def check_journal(player: Player) -> None:
    """Only reset opens a latch; what has ended stays as it is; flags and marks move nothing below them."""
    alarms: dict[str, Alarm] = {}
    for event in player.journal:
        before = alarms.get(event.alarm_id)
        after = alarms[event.alarm_id] = fold(before, event)
        if before is None:
            continue
        assert before.is_open
        if event.kind in {*FLAGS, *FLAGS.values()}:
            assert parts(after) == parts(before)
        if event.kind == "unmarked":
            assert (after.condition, after.is_latched) == (before.condition, before.is_latched)
            assert event.actor == SYSTEM
        if before.is_latched and not after.is_latched:
            assert event.kind == "reset"
            assert before.condition is AlarmCondition.RETURNED
            assert before.outcome
    commands = [each.id for step in player.steps for each in step.commands]
    assert len(commands) == len(set(commands))
    assert len(player.said) == len(set(player.said))


HEAT_AND_BACK: list[Part] = [
    Say("3-2-03-0301/all/heat", 75.0, None, Quality.GOOD),
    Say("3-2-03-0301/all/heat", 20.0, None, Quality.GOOD),
    Clock(pause_s=25.0, set_s=0.0, restarts=False),
    Say("3-2-03-0301/all/heat", 20.0, None, Quality.GOOD),
]


@settings(max_examples=800, deadline=None)
@example([*HEAT_AND_BACK, Blame(0, "line:l:1")])
@given(scripts)
def test_promises_hold_in_any_order_of_events(script: list[Part]) -> None:
    """No order of readings, clicks, restarts and clock steps breaks a promise of the alarm list."""
    player = play(script)
    check_journal(player)
    check_silence(player)


@settings(max_examples=60, deadline=None)
@given(scripts)
def test_same_inputs_give_the_same_bytes(script: list[Part]) -> None:
    """A replay of the same inputs decides the same, to the byte."""
    assert as_bytes(play(script).steps) == as_bytes(play(script).steps)
