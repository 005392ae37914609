"""A flood of device states: it is handed out in pieces, so that a fire does not wait behind all of it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.counters import Counters
from gateway.inbox import _PIECE, Inbox
from gateway.model import AlarmClass, Arrival, Condition, DeviceStatus, Reading, Step
from gateway.rules.engine import MOST_RUNG
from gateway.shedding import GROUP_EVENTS, MOST_PASSES, MOST_STEPS, Stepped, first_group, shed
from tests.support_core import full_step, now, reading
from tests.support_rules import Player, device, rule, site

FIRE = reading()


def states(*ids: str, is_online: bool = False) -> tuple[DeviceStatus, ...]:
    return tuple(DeviceStatus(each, is_online, now().utc) for each in ids)


def an_inbox() -> Inbox:
    return Inbox(Counters(), lambda: None)


def test_a_fire_behind_nine_thousand_lost_devices_is_in_the_next_batch() -> None:
    """A line with 9,356 devices is lost at once: its own state comes first, and a fire waits for one piece at most."""
    inbox = an_inbox()
    inbox.deliver(Arrival(states("line/b1", *(f"d{n}" for n in range(9356)))))
    _, first = inbox.drain(256)
    assert first[0].inputs[0].device_id == "line/b1"  # type: ignore[union-attr]
    assert sum(len(each.inputs) for each in first) <= _PIECE
    inbox.deliver(Arrival((FIRE,)))
    _, second = inbox.drain(256)
    assert second[0].inputs == (FIRE,)
    assert sum(len(each.inputs) for each in second) <= _PIECE + 1


def test_while_the_disk_is_behind_only_the_flood_waits() -> None:
    """Nothing is ready but the flood: there is nothing to do. A fire comes: it goes, alone."""
    inbox = an_inbox()
    inbox.deliver(Arrival(states(*(f"d{n}" for n in range(1000)))))
    assert not inbox.has_any(bulk=False)
    assert inbox.has_any(bulk=True)
    inbox.deliver(Arrival((FIRE,)))
    assert inbox.has_any(bulk=False)
    assert inbox.drain(256, bulk=False)[1] == [Arrival((FIRE,))]
    assert len(inbox) == -(-1000 // _PIECE)


ARRIVALS = st.lists(
    st.tuples(
        st.lists(st.integers(0, 400), max_size=6),  # devices whose state is said ...
        st.booleans(),  # ... by a flood of all four hundred
        st.booleans(),  # with a reading
        st.booleans(),  # to be acknowledged
        st.booleans(),  # and a batch is taken afterwards
    ),
    max_size=12,
)


class Field:
    """What is handed in and what comes out: everything owed to each message before its receipt."""

    def __init__(self) -> None:
        self.inbox = an_inbox()
        self.said: defaultdict[str, list[str]] = defaultdict(list)
        self.heard: defaultdict[str, list[str]] = defaultdict(list)
        self.owed: dict[int, set[object]] = {}
        self.acknowledged: list[int] = []

    def hand_in(self, number: int, devices: Iterable[int], *, has_reading: bool, is_awaited: bool) -> None:
        states = [DeviceStatus(f"d{n}", False, now().utc, f"{number}.{at}") for at, n in enumerate(devices)]
        for each in states:
            self.said[each.device_id].append(each.reason)
        inputs = (*states, *([reading(value=float(number))] if has_reading else ()))
        self.owed[number] = set(inputs)
        self.inbox.deliver(Arrival(inputs, (lambda: self._receive(number)) if is_awaited else None))

    def take(self, *, bulk: bool = True) -> None:
        _, arrivals = self.inbox.drain(256, bulk=bulk)
        inputs = [each for arrival in arrivals for each in arrival.inputs]
        for each in inputs:
            if isinstance(each, DeviceStatus):
                self.heard[each.device_id].append(each.reason)
        for owed in self.owed.values():
            owed.difference_update(inputs)
        for arrival in arrivals:
            if arrival.receipt is not None:
                arrival.receipt()

    def _receive(self, number: int) -> None:
        assert not self.owed[number], "acknowledged before all of it was judged"
        self.acknowledged.append(number)


@settings(max_examples=200, deadline=None)
@given(ARRIVALS)
def test_nothing_is_lost_and_what_is_said_of_a_device_keeps_its_order(
    script: list[tuple[list[int], bool, bool, bool, bool]],
) -> None:
    """Invariants: everything comes out once; each device's states in the order they came in; a receipt comes once, in a
    batch that is not before the last of its message."""
    field = Field()
    for number, (ids, is_flood, has_reading, is_awaited, takes) in enumerate(script):
        devices = range(401) if is_flood else ids
        field.hand_in(number, devices, has_reading=has_reading, is_awaited=is_awaited)
        if takes:
            field.take(bulk=number % 3 > 0)
    while len(field.inbox):
        field.take()
    assert field.heard == field.said
    assert not any(field.owed.values())
    assert sorted(field.acknowledged) == [n for n, each in enumerate(script) if each[3]]


def test_a_press_beside_a_flood_is_not_acknowledged_before_the_disk_has_it() -> None:
    """A button's first message shows that it is there, and is a press: while the disk refuses, the state in it may be
    given up, but the broker keeps the message. A kill meanwhile, and it comes again: not as a second press.
    """
    inbox, acknowledged = an_inbox(), list[int]()
    inbox.deliver(Arrival(states(*(f"d{n}" for n in range(1000)))))
    status = states(FIRE.point_id.rpartition("/")[0], is_online=True)
    inbox.deliver(Arrival((FIRE, *status), lambda: acknowledged.append(1), b"digest"))
    arrivals: list[Arrival] = []
    while len(inbox):
        arrivals += inbox.drain(256)[1]
    pressed, told = [each for each in arrivals if each.receipt is not None]
    assert (pressed.inputs, told.inputs) == ((FIRE,), status)
    assert (pressed.digest, told.digest) == (b"digest", b"")
    press, presence = Stepped(full_step(), [pressed], 1), Stepped(Step(now()), [told], 1)
    for each in (press, presence):
        each.relieve()
    assert acknowledged == []
    assert pressed.receipt is not None
    pressed.receipt()  # it is on the disk
    assert acknowledged == [1]


def test_one_transaction_holds_a_bounded_flood() -> None:
    """An alarm that comes after a flood waits for a piece of it at a time; a single step is never split."""
    events = full_step().events * 100
    flood = [Stepped(Step(now(), events=events), [], 100) for _ in range(50)]
    assert first_group(flood) == GROUP_EVENTS // 100
    assert first_group([Stepped(Step(now(), events=events * 90), [], 1), *flood]) == 1
    telemetry = [Stepped(Step(now(), readings=[reading(value=1.0)] * 256), [], 256) for _ in range(90)]
    assert first_group(telemetry) == 90


def a_pass(number: int) -> list[Reading]:
    at = now(number).utc
    return [Reading("g/door/pass", f"card{number}", at, at), Reading("g/door/pass_way", "card", at, at)]


def test_passes_are_given_up_last_and_counted_apart() -> None:
    """The disk refuses: telemetry goes first, acknowledged; passes wait in memory; of them, too, only so many."""
    counters = Counters()
    acknowledged: list[int] = []
    pending = [
        Stepped(
            Step(now(n), readings=[reading(value=float(n)), *a_pass(n)]),
            [Arrival((FIRE,), lambda: acknowledged.append(1))],
            100,
        )
        for n in range(10)
    ]
    pending.insert(3, Stepped(full_step(), [], 1))
    kept = shed(pending, counters)
    passes = [each.point_id for one in kept if not one.is_vital for each in one.step.readings]
    assert passes == ["g/door/pass", "g/door/pass_way"] * 10
    assert len(acknowledged) == 10
    assert counters.total("readings_not_stored") == 10
    many = [Stepped(Step(now(n), readings=a_pass(n)), [], 1) for n in range(MOST_PASSES)]
    kept = shed([*kept, *many], counters)
    written = [each.value for one in kept for each in one.step.readings if each.point_id.endswith("/pass")]
    assert written[-1] == f"card{MOST_PASSES - 1}"
    assert MOST_PASSES // 2 <= len(written) <= MOST_PASSES // 2 + MOST_STEPS
    assert counters.total("passes_not_stored", reason="disk") == 10 + MOST_PASSES - len(written)


def test_passes_outlive_the_alarms_they_came_with() -> None:
    """Beyond a thousand steps with alarms the oldest become one; the passes in them are written all the same."""
    steps = [Stepped(full_step(), [], 1) for _ in range(MOST_STEPS + 5)]
    steps[0].step.readings += a_pass(1)
    kept = shed(steps, Counters())
    assert len(kept) == MOST_STEPS
    assert [each.value for each in kept[0].step.readings] == ["card1", "card"]


def test_thousands_of_delays_at_one_instant_end_in_pieces() -> None:
    """Five thousand devices have been silent for a minute: a fire in that instant is raised with the first of them."""
    homes = [device(f"1-1-01-{n:04d}/d", "d", {"smoke": "bool"}) for n in range(5000)]
    points = [f"{each.id}/online" for each in homes]
    lost = rule(points, Condition("equals", False), AlarmClass.FAULT, id="lost", for_s=60)
    fire = rule([f"{homes[0].id}/smoke"], Condition("equals", True), AlarmClass.FIRE, id="fire", latches=True)
    player = Player(site(homes, [lost, fire]))
    player._commit(player.engine.step(states(*(each.id for each in homes)), player.now(0)))
    at = player.now(60)
    step = player._commit(player.engine.step([Reading(f"{homes[0].id}/smoke", True, at.utc, at.utc)], at))
    assert len(step.events) == MOST_RUNG + 1
    assert step.events[-1].alarm_id.startswith("fire:")
    steps = 0
    while (wake := player.engine.next_wake()) is not None and wake <= at.mono_s:
        player._commit(player.engine.step([], at))
        steps += 1
    assert steps == -(-5000 // MOST_RUNG) - 1
    assert len(player.alarms) == 5001
