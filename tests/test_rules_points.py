"""Which readings become values, and what is counted when they do not."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from gateway.model import AlarmClass, Condition, DeviceStatus, Quality, Reading, Tick, Value
from tests.support_rules import START, Player, device, rule, site

TEMP = "1-1-01-0101/t/temp"
COUNT = "1-1-01-0101/t/count"
DOOR = "1-1-01-0101/t/door"
NAME = "1-1-01-0101/t/name"


def a_player() -> Player:
    types = {"temp": "float", "count": "int", "door": "bool", "name": "text"}
    hot = rule([TEMP], Condition("above", 60), AlarmClass.WARNING)
    return Player(site([device("1-1-01-0101/t", "t", types)], [hot]))


def rejected(player: Player, reason: str) -> int:
    return player.counters.total("readings_rejected", reason=reason)


@pytest.mark.parametrize(
    ("point", "value", "reason"),
    [
        (TEMP, "61", "type_mismatch"),
        (TEMP, True, "type_mismatch"),
        (TEMP, float("nan"), "not_finite"),
        (TEMP, float("inf"), "not_finite"),
        (TEMP, float("-inf"), "not_finite"),
        (COUNT, 1.0, "type_mismatch"),
        (COUNT, False, "type_mismatch"),
        (COUNT, 2**64, "out_of_range"),
        (COUNT, -(10**400), "out_of_range"),
        (TEMP, 10**400, "type_mismatch"),
        (DOOR, 1, "type_mismatch"),
        (NAME, 5, "type_mismatch"),
        (TEMP, None, "bad"),
    ],
)
def test_what_is_no_value_is_shown_as_bad(point: str, value: Value | None, reason: str) -> None:
    """A wrong type or an impossible number is counted by reason and passed on as bad, without a value."""
    player = a_player()
    (reading,) = player.read(0, point, value).readings
    assert reading.value is None
    assert reading.quality is Quality.BAD
    assert rejected(player, reason) == 1
    assert not player.journal


@pytest.mark.parametrize("point", [TEMP, COUNT, DOOR, NAME])
def test_number_too_long_to_print_stops_nothing(point: str) -> None:
    """A number of five thousand digits is bad like any other: Python itself refuses to print it."""
    (reading,) = a_player().read(0, point, 10**5000).readings
    assert reading.quality is Quality.BAD


@pytest.mark.parametrize(("point", "value"), [(TEMP, 5), (TEMP, -0.0), (COUNT, 2**64 - 1), (NAME, ""), (DOOR, False)])
def test_what_is_a_value_passes_untouched(point: str, value: Value) -> None:
    """A good reading goes to history exactly as it came."""
    (reading,) = a_player().read(0, point, value).readings
    assert reading.value == value
    assert reading.quality is Quality.GOOD


def test_repeat_is_counted_and_goes_nowhere() -> None:
    """The same message of a device told twice is one reading; without a device time nobody can know."""
    player = a_player()
    assert player.read(0, TEMP, 20.0, device_s=-1).readings
    assert not player.read(1, TEMP, 20.0, device_s=-1).readings
    assert rejected(player, "repeat") == 1
    assert player.read(2, TEMP, 20.0).readings
    assert player.read(3, TEMP, 20.0).readings
    assert rejected(player, "repeat") == 1


def test_repeat_after_a_bad_reading_is_a_value_again() -> None:
    """A value told again after rubbish is how we learn that it still stands."""
    player = a_player()
    player.read(0, TEMP, 20.0, device_s=-1)
    player.read(1, TEMP, "rubbish")
    assert player.read(2, TEMP, 20.0, device_s=-1).readings


def test_late_reading_is_kept_in_history_but_clears_nothing() -> None:
    """A buffered old value arriving late does not end an alarm."""
    player = a_player()
    player.read(0, TEMP, 70.0, device_s=-0.5)
    assert player.read(1, TEMP, 20.0, device_s=-30).readings
    assert rejected(player, "out_of_order") == 1
    assert player.kinds() == ["raised"]
    player.read(2, TEMP, 80.0, device_s=1.5)
    player.read(3, TEMP, 20.0, device_s=2.5)
    assert player.kinds() == ["raised", "returned"]


def test_late_reading_raises_nothing_that_is_not_vital() -> None:
    """An old temperature is no reason to call anybody."""
    player = a_player()
    player.read(0, TEMP, 20.0, device_s=-0.5)
    player.read(1, TEMP, 70.0, device_s=-30)
    assert not player.journal


def test_device_whose_clock_was_ahead_is_heard_after_it_is_put_right() -> None:
    """An installer corrects a time zone: the device is not deaf for eight hours."""
    player = a_player()
    player.read(0, TEMP, 20.0, device_s=8 * 3600)
    player.read(60, TEMP, 70.0, device_s=59)
    assert player.kinds() == ["raised"]
    assert not rejected(player, "out_of_order")


def test_device_without_a_clock_is_never_taken_for_a_replay() -> None:
    """A button whose clock stands at 1970 is heard every time it is pressed."""
    press = device("1-1-01-0101/sos", "sos", {"press": "bool"}, is_event=True)
    rules = [rule(["1-1-01-0101/sos/press"], Condition("changed_to", True), AlarmClass.SOS)]
    player = Player(site([press], rules))
    for at_s in (0, 10, 20):
        player.read(at_s, "1-1-01-0101/sos/press", True, device_s=-START.timestamp())
    assert player.kinds() == ["raised", "reraised", "reraised"]


def test_unknown_points_and_devices_are_counted_and_dropped() -> None:
    """What nobody configured is counted and takes no memory."""
    player = a_player()
    step = player.step(
        0,
        Reading("1-1-01-0101/t/nothing", 1, START, START),
        Reading("nowhere/x/y", 1, START, START),
        Reading("", 1, START, START),
        DeviceStatus("nowhere/x", True, START),
        Tick(),
    )
    assert not step.readings
    assert not step.statuses
    assert rejected(player, "unknown_point") == 1
    assert rejected(player, "unknown_device") == 3


def test_device_state_is_told_once_per_change() -> None:
    """A device that is lost again and again while it is lost is one transition."""
    player = a_player()
    seen: list[Any] = []
    for at_s, is_online in enumerate([True, True, False, False, True]):
        status = DeviceStatus("1-1-01-0101/t", is_online, START + timedelta(seconds=at_s))
        seen += player.step(at_s, status).statuses
    assert [each.is_online for each in seen] == [True, False, True]


def test_a_device_is_in_several_classes_at_once() -> None:
    """In alarm, faulty, due for maintenance and disabled: four things, of which none hides or ends another."""
    dev = device("1-1-01-0101/t", "t", {"temp": "float", "count": "int"})
    rules = [
        rule([TEMP], Condition("above", 60), AlarmClass.FIRE, id="fire", latches=True),
        rule([COUNT], Condition("below", 20), AlarmClass.MAINTENANCE, id="battery"),
        rule([f"{dev.id}/online"], Condition("equals", False), AlarmClass.FAULT, id="lost"),
    ]
    player = Player(site([dev], rules))
    player.read(0, TEMP, 70.0)
    player.read(1, COUNT, 5)
    player.step(2, DeviceStatus(dev.id, False, player.now(2).utc))
    player.mark(3, "disabled", "point", TEMP)
    shown = {each.rule_id: (each.is_open, each.is_out_of_service) for each in player.engine.alarms.values()}
    assert shown == {"fire": (True, True), "battery": (True, False), "lost": (True, False)}
