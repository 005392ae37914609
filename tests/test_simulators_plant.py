"""The plant: what devices feel, as a pure function of seed, time and what people do."""

from __future__ import annotations

import hashlib

import pytest

from simulators.plant import Event, Plant
from simulators.site import load
from simulators.spec import SimError
from tests.support_sim import CASE

SMOKE, SOS, SIREN, DOOR = "3-2-03-0301/smoke", "3-2-03-0301/sos", "3-1-01/siren", "3-1-01/door"
CABINET = "3-1-B1-CP01/ebike"
SITE = load(CASE)


def run(seed: int, steps: tuple[float, ...]) -> tuple[list[Event], str]:
    """A fixed story, told with time cut into other pieces."""
    plant = Plant(SITE, seed=seed)
    events: list[Event] = []
    for at_s in sorted({5.0, 7.0, 12.0, 20.0, *steps}):
        events += plant.advance(at_s)
        if at_s == 5.0:
            plant.press(SOS)
        if at_s == 7.0:
            plant.ramp(CABINET, "power.3", 200, 1500, 4)
        if at_s == 12.0:
            plant.write(CABINET, "on.3", False)
    state = repr([(event.at_s, event.device_id, event.changed, dict(event.values)) for event in events])
    return events, hashlib.sha256((state + repr(plant.values(CABINET))).encode()).hexdigest()


def test_equal_seeds_give_equal_runs() -> None:
    """A run that failed can be played again, however the clock chopped it up; another seed is another run."""
    events, once = run(7, ())
    assert len(events) > 50
    assert once == run(7, tuple(n / 10 for n in range(200)))[1]
    assert once != run(8, ())[1]


def test_a_press_is_momentary_and_told_twice() -> None:
    """A button reports the press at once and the release a moment later; a second press counts again."""
    plant = Plant(SITE)
    plant.advance(10.0)
    assert plant.press(SOS) == "action"
    assert plant.press(SOS) == "action"
    told = [event.values["action"] for event in plant.advance(12.0) if event.device_id == SOS and event.changed]
    assert told == ["emergency", "emergency", ""]


def test_one_press_is_told_once_whenever_the_report_is_due() -> None:
    """A periodic report that falls due while a button is held waits for its release, and then comes."""
    asked = Plant(SITE, seed=1)
    reports = [event.at_s for event in asked.advance(200.0) if event.device_id == SOS]
    plant = Plant(SITE, seed=1)
    half_s = SITE.devices[SOS].behaviour.hold_s / 2
    plant.advance(reports[1] - half_s)
    plant.press(SOS)
    plant.report_all()
    told = [event for event in plant.advance(reports[1] + 10.0) if event.device_id == SOS]
    assert [event.values["action"] for event in told if event.values["action"]] == ["emergency"]
    assert next(event.at_s for event in told if not event.changed) == pytest.approx(reports[1] + half_s)


def test_asked_to_report_every_device_does_within_five_seconds() -> None:
    """A page that has just been opened knows all devices soon; nobody is polled and heard twice."""
    plant = Plant(SITE)
    assert {e.device_id for e in plant.advance(5.0)} >= {d.id for d in SITE.devices.values() if not d.unit}
    plant.report_all()
    told = {event.device_id for event in plant.advance(10.0)}
    assert told >= {device.id for device in SITE.devices.values() if not device.unit}


def test_what_is_set_stays_and_is_an_alarm() -> None:
    """A fire burns until somebody puts it out, through every periodic report."""
    plant = Plant(SITE)
    plant.advance(5.0)
    plant.set(SMOKE, {"alarm": True})
    told = [event for event in plant.advance(12.0) if event.device_id == SMOKE]
    assert told[0].is_alarm
    assert told[0].at_s == 5.0
    assert len(told) > 2
    assert all(event.values["alarm"] is True for event in told)


def test_a_cut_socket_draws_nothing_until_it_is_on_again() -> None:
    """The overload ends because the gateway cut the socket, and comes back with the power."""
    plant = Plant(SITE)
    plant.ramp(CABINET, "power.3", 200, 1500, 4)
    plant.advance(2.0)
    assert 700 < float(plant.values(CABINET)["power.3"]) < 1000
    plant.advance(4.0)
    assert plant.values(CABINET)["power.3"] == 1500
    assert float(plant.values(CABINET)["current.3"]) == pytest.approx(1500 / 230, abs=0.01)
    plant.write(CABINET, "on.3", False)
    assert (plant.values(CABINET)["power.3"], plant.values(CABINET)["current.3"]) == (0.0, 0.0)
    plant.advance(9.0)
    assert plant.values(CABINET)["power.3"] == 0.0
    plant.write(CABINET, "on.3", True)
    assert plant.values(CABINET)["power.3"] == 1500


def test_commands_act_and_are_told_even_when_nothing_changed() -> None:
    """A released door is unlocked; a siren that is already on still answers, or the gateway would wait in vain."""
    plant = Plant(SITE)
    assert plant.values(DOOR)["locked"] is True
    plant.write(DOOR, "release", True)
    assert plant.values(DOOR)["locked"] is False
    plant.write(SIREN, "on", True)
    plant.write(SIREN, "on", True)
    told = [event for event in plant.advance(0.1) if event.device_id == SIREN]
    assert [event.changed for event in told] == [("on",), ("on",)]


def test_a_device_that_is_offline_is_silent() -> None:
    """Setting online=false is how a person plays a lost device; true brings it back with a report."""
    plant = Plant(SITE)
    plant.set(SMOKE, {"online": False})
    plant.set(SMOKE, {"alarm": True})
    assert not [event for event in plant.advance(10.0) if event.device_id == SMOKE]
    plant.set(SMOKE, {"online": True})
    assert [event.values["alarm"] for event in plant.advance(10.0)] == [True]


def test_measured_values_stay_in_their_range_unless_a_person_insists() -> None:
    """Wobble never leaves the profile's range; an overload beyond it is told as it is."""
    plant = Plant(SITE, seed=3)
    plant.set(CABINET, {"temp": 200.0})
    for second in range(1, 60):
        plant.advance(float(second))
        assert 0 <= float(plant.values(CABINET)["power.1"]) < 600
    assert plant.values(CABINET)["temp"] == 200.0


def test_a_number_cannot_be_pressed() -> None:
    """Pressing what has no button says what to do instead."""
    with pytest.raises(SimError, match="sim set"):
        Plant(SITE).press(CABINET, "power.1")
