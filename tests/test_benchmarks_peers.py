"""The comparison's judge: whatever shape a system gives its messages, the same numbers are found in them."""

from __future__ import annotations

from benchmarks.peers.workload import DEVICES, SCALE, disordered, numbers


def test_the_numbers_are_found_in_every_shape() -> None:
    """Raw as the device said it, in this project's rows, and as ThingsBoard wants it."""
    value = 1234 / SCALE
    assert list(numbers({"v": value, "ts": 1})) == [1234]
    assert list(numbers({"v": 1, "id": "x", "r": [["1-1-01-0101/env/v", value, 1, 1, "good"]]})) == [1234]
    assert list(numbers({"EN1": [{"ts": 1, "values": {"v": value}}], "EN2": [{"ts": 1, "values": {}}]})) == [1234]


def test_what_is_no_reading_is_no_number() -> None:
    """The state of a session, an alarm, a device that connects: none of it is counted."""
    assert not list(numbers({"v": 1, "gateway": "bench", "state": "online"}))
    assert not list(numbers({"device": "EN1", "type": "default"}))
    assert not list(numbers({"v": 1, "r": [["1-1-01-0101/smoke/alarm", True, 1, 1, "good"]]}))


def test_order_is_judged_by_device_and_not_by_repeats() -> None:
    """A repeat of something old is a repeat; something new after something newer is out of order."""
    assert disordered([0, DEVICES, 0]) == 0
    assert disordered([DEVICES, 1, 0]) == 1
