"""Killed, cut off, its clock set: what waits for people comes at its time, as far as physics allows.

The gateway's own tables keep the delays; the machine is simulated: true time, a monotonic clock of each boot, and a
wall clock that can be set to anything at any moment, also while nothing runs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import apsw
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.model import Input, Now, Reading, Step, Verb
from gateway.store import database, pulse
from gateway.store.timers import AWAITED_S, CALM_S, TimerLog
from tests.support_escalation import EVERYBODY, PRESS, a_site
from tests.support_rules import START, Player, now

HOUR_S = 3600.0
TO_1970_S = -START.timestamp()
STAGES_S = (30.0, 60.0, 90.0, 180.0)
LAST_S = 180.0


@dataclass
class Cut:
    """One time without power: how long nothing was heard of it, and by how much the wall clock was set meanwhile."""

    dark_s: float
    jump_s: float
    is_unknown: bool  # the wall clock has gone back, or was set for the first time: it does not tell

    @property
    def late_s(self) -> float:
        """By how much it can make a call late."""
        if self.is_unknown:
            return self.dark_s
        return min(self.dark_s, max(0.0, -self.jump_s))

    @property
    def early_s(self) -> float:
        """And early."""
        return 0.0 if self.is_unknown else max(0.0, self.jump_s)


class Machine(Player):
    """A player on a machine: its delays in the gateway's own tables, its clocks those of a box."""

    def __init__(self, **extra: Any) -> None:
        super().__init__(a_site(**extra), settle_s=60.0)
        self.db = apsw.Connection(":memory:")
        for script in database._GATEWAY_SCHEMA:
            self.db.execute(script)
        self.boot, self.boot_s = "b0", 1000.0  # the monotonic clock at true second 0
        self.at_s = 0.0
        self.cuts: list[Cut] = []
        self.pulse_s = self.pulse_shift_s = 0.0
        self.heard: list[tuple[float, str]] = []  # (true second, who)
        self.restart(0.0)

    def now(self, at_s: float) -> Now:
        return now(at_s, wall_shift_s=self.wall_shift_s)._replace(mono_s=self.boot_s + at_s)

    def restart(self, at_s: float) -> None:
        self.at_s = at_s
        self.log = TimerLog(self.db, self.boot)
        at = self.now(at_s)
        running = self.log.restore(pulse.last(self.db), at)
        self.engine = self._new()
        self.engine.restore([each for each in self.alarms.values() if each.is_open], {}, running, at)
        self.engine.restore_said(self.said)
        self.log.beat(at)
        self._note_pulse()

    def step(self, at_s: float, *inputs: Input) -> Step:
        """Live until ``at_s``: timers at their instants, a pulse where one is due every second."""
        while self.at_s < at_s:
            self.at_s = min(self.at_s + 1.0, at_s)
            while (wake := self.engine.next_wake()) is not None and wake < self.boot_s + self.at_s:
                self._commit(self.engine.step([], self.now(wake - self.boot_s)._replace(mono_s=wake)))
            self.log.beat(self.now(self.at_s))
            self._note_pulse()
        return self._commit(self.engine.step(inputs, self.now(at_s)))

    def _commit(self, step: Step) -> Step:
        super()._commit(step)
        with self.db:
            self.log.write(step.timers, step.now)
        self._note_pulse()
        called = [each.recipient for each in step.notices if each.channel != "console"]
        self.heard += [(step.now.mono_s - self.boot_s, who) for who in called]
        return step

    def _note_pulse(self) -> None:
        """When the last pulse was, in truth, and by how much the wall clock was wrong then."""
        last = pulse.last(self.db)
        if last is not None and last.boot == self.boot:
            self.pulse_s = last.mono_s - self.boot_s
            self.pulse_shift_s = last.at_ms / 1000 - START.timestamp() - self.pulse_s

    def kill(self, off_s: float) -> None:
        """kill -9, and started again on the same boot."""
        self.restart(self.at_s + off_s)

    def cut(self, off_s: float, boot_s: float, shift_s: float) -> None:
        """The power goes; when it is back the wall clock is wrong by ``shift_s``."""
        back_s = self.at_s + off_s
        dark_s, jump_s = back_s - self.pulse_s, shift_s - self.pulse_shift_s
        was_set, is_set = (each > TO_1970_S / 2 for each in (self.pulse_shift_s, shift_s))
        self.cuts.append(Cut(dark_s, jump_s, jump_s < -dark_s or (is_set and not was_set)))
        self.boot, self.boot_s, self.wall_shift_s = f"b{len(self.cuts)}", boot_s - back_s, shift_s
        self.restart(back_s)

    def calls(self) -> list[tuple[float, str]]:
        return [(round(at_s, 3), who) for at_s, who in self.heard]


def first_calls(machine: Machine) -> dict[str, float]:
    """Who was called at which true second; a person is called once by each channel."""
    return {who: at_s for at_s, who in reversed(machine.calls())}


SHIFTS = st.sampled_from([0.0, HOUR_S, -HOUR_S, -7.0, 40.0, TO_1970_S])
MOVES = st.lists(
    st.one_of(
        st.tuples(st.just("live"), st.floats(0.2, 40.0), st.just(0.0)),
        st.tuples(st.just("set"), SHIFTS, st.just(0.0)),
        st.tuples(st.just("time_ok"), st.sampled_from([0.0, 1.0]), st.just(0.0)),
        st.tuples(st.just("kill"), st.floats(0.0, 45.0), SHIFTS),
        st.tuples(st.just("cut"), st.floats(0.0, 45.0), SHIFTS),
    ),
    max_size=14,
)


def play(moves: list[tuple[str, float, float]]) -> tuple[Machine, list[tuple[float, float]]]:
    """The machine after the moves and long enough after them; the spans in which it was off."""
    machine = Machine()
    machine.read(0, PRESS, True)
    off: list[tuple[float, float]] = []
    for number, (what, amount, shift_s) in enumerate(moves):
        begun_s = machine.at_s
        if what == "live":
            machine.step(begun_s + amount)
        elif what == "set":
            machine.wall_shift_s = amount
            machine.step(begun_s)
        elif what == "time_ok":
            at = machine.now(begun_s).utc
            machine.step(begun_s, Reading("gateway/box/time_ok", amount > 0, at, at))
        elif what == "kill":
            machine.wall_shift_s = shift_s
            machine.kill(amount)
            off.append((begun_s, machine.at_s))
        else:
            machine.cut(amount, boot_s=3.0 + number, shift_s=shift_s)
            off.append((begun_s, machine.at_s))
    machine.step(machine.at_s + LAST_S + sum(each.dark_s for each in machine.cuts) + 10.0)
    return machine, off


@settings(max_examples=150, deadline=None)
@given(MOVES)
def test_whatever_is_killed_cut_or_set_each_is_called_once_and_within_the_bound(
    moves: list[tuple[str, float, float]],
) -> None:
    """Invariants: everybody once and in order; while the power stays, each within 1 s of their time (at the start, if
    the gateway was off then); a power cut makes them late by at most the time it was dark, early by at most what the
    clock was set ahead meanwhile."""
    machine, off = play(moves)
    called = first_calls(machine)
    assert len(set(machine.said)) == len(machine.said)
    assert [who for _, who in machine.calls()] == [who for _, who in EVERYBODY]
    late_s = sum(each.late_s for each in machine.cuts)
    early_s = sum(each.early_s for each in machine.cuts)
    for due_s, who in EVERYBODY:
        latest_s = due_s + late_s
        for begun_s, ended_s in off:  # nobody is called by a gateway that is off
            if begun_s <= latest_s < ended_s:
                latest_s = ended_s
        assert due_s - early_s - 1.0 <= called[who] <= latest_s + 1.0, (who, machine.calls(), machine.cuts)


@pytest.mark.parametrize("shift_s", [-HOUR_S, HOUR_S, TO_1970_S, 365 * 86_400.0])
def test_a_loop_of_kills_with_a_wrong_clock_holds_no_stage_and_skips_none(shift_s: float) -> None:
    """Killed every 7 s, the wall clock set to something else each time: everybody at the second of the rule."""
    machine = Machine()
    machine.read(0, PRESS, True)
    for number in range(1, 40):
        machine.step(7.0 * number - 0.5)
        machine.wall_shift_s = shift_s if number % 2 else shift_s * (number % 5)
        machine.kill(0.5)
    machine.step(400)
    assert [(round(at_s), who) for at_s, who in machine.calls()] == [(round(at_s), who) for at_s, who in EVERYBODY]


@pytest.mark.parametrize("on_s", [5.0, 12.0])
def test_a_loop_of_power_cuts_into_1970_holds_no_stage(on_s: float) -> None:
    """No battery, the power comes and goes: what had run is not forgotten, each cut costs its dark time and a pulse."""
    machine = Machine()
    machine.read(0, PRESS, True)
    cuts = int(LAST_S / (on_s - AWAITED_S)) + 2
    for number in range(cuts):
        machine.step(machine.at_s + on_s)
        machine.cut(2.0, boot_s=5.0 + number, shift_s=TO_1970_S - number)
    machine.step(machine.at_s + 5)
    assert set(first_calls(machine)) == {who for _, who in EVERYBODY}
    street_s = first_calls(machine)["street"]
    assert street_s <= LAST_S + (2.0 + AWAITED_S) * (int(street_s / (on_s + 2.0)) + 1) + 1.0


def test_a_power_cut_with_the_right_clock_costs_nothing() -> None:
    """Off from 20 to 40 s and from 70 to 80: what was due is said at the start, the rest at its own second."""
    machine = Machine()
    machine.read(0, PRESS, True)
    machine.step(20)
    machine.cut(20, boot_s=9.0, shift_s=0.0)
    machine.step(70)
    machine.cut(10, boot_s=11.0, shift_s=0.0)
    machine.step(300)
    called = first_calls(machine)
    assert [round(called[who]) for who in ("duty", "second", "grid", "daughter", "son", "street")] == [
        0, 40, 40, 60, 90, 180,
    ]  # fmt: skip


def test_taken_is_verified_in_time_across_kills_with_a_wrong_clock() -> None:
    """The clock of the verification is kept in the same way."""
    machine = Machine()
    machine.read(0, PRESS, True)
    machine.do(10, Verb.TAKE)
    for number in range(1, 8):
        machine.step(10 + 6 * number)
        machine.wall_shift_s = -HOUR_S * number
        machine.kill(0.0)
    machine.step(75)
    assert [round(at_s) for at_s, _ in machine.calls()] == [0, 70, 70]


def test_pulses_come_every_second_while_people_are_awaited_and_seldom_else() -> None:
    """A quiet house writes once in ten seconds, and nothing at all while no delay runs."""
    machine = Machine()
    commits: list[float] = []
    machine.db.set_commit_hook(lambda: commits.append(machine.at_s) or False)  # type: ignore[func-returns-value]
    machine.step(30)
    assert commits == []
    machine.read(30, PRESS, True)
    machine.step(40)
    assert len(commits) == 10 / AWAITED_S + 1
    assert CALM_S > AWAITED_S
