"""Charging sessions of the plant, and the devices that a fire's linkage moves, as the shipped profiles have them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from simulators.plant import Plant
from simulators.site import load
from simulators.spec import SimError, SimSite

SITE = load(Path(__file__).parents[1] / "config")
CABINET, SWITCH = "3-1-B1-CP02/ebike-charger", "3-1-B1-SHED/main-switch"
HOUR_S = 3_600


def part(*beginnings: str) -> SimSite:
    """Some of the devices: hours pass sooner."""
    return replace(SITE, devices={key: each for key, each in SITE.devices.items() if key.startswith(beginnings)})


def busy(plant: Plant) -> str:
    """The tail of a socket with a vehicle that draws power."""
    values = plant.values(CABINET)
    return next(f".{n}" for n in range(1, 11) if values[f"plugged.{n}"] and float(values[f"power.{n}"]) > 100)


def history(plant: Plant, tail: str, hours: float, step_s: float = 60.0) -> list[tuple[float, bool]]:
    """(power, plugged) once a minute."""
    found = []
    while plant.now_s < hours * HOUR_S:
        plant.advance(plant.now_s + step_s)
        values = plant.values(CABINET)
        found.append((float(values[f"power{tail}"]), values[f"plugged{tail}"] is True))
    return found


def test_a_session_falls_to_a_trickle_and_ends_with_the_plug() -> None:
    """Power stays, then falls below 5 % of the rated 1000 W, then the vehicle leaves and draws nothing."""
    plant = Plant(part(CABINET), seed=5)
    plant.advance(5.0)
    tail = busy(plant)
    told = history(plant, tail, 8)
    session = told[: next(n for n, (_, is_there) in enumerate(told) if not is_there)]
    assert session[0][0] > 100
    assert 0 < session[-1][0] < 50
    assert told[len(session)][0] == 0.0
    longest = max(len(run) for run in "".join("x" if there else " " for _, there in told).split())
    assert longest * 60 < 8 * HOUR_S, "no vehicle of the demo stays long enough for an alarm"


def test_empty_sockets_draw_nothing_and_the_cabinet_adds_up() -> None:
    """Without a plug there is no load; the cabinet's load is the sum of its sockets."""
    plant = Plant(SITE, seed=2)
    plant.advance(30.0)
    values = plant.values(CABINET)
    empty = [n for n in range(1, 11) if not values[f"plugged.{n}"]]
    assert empty
    assert all(values[f"power.{n}"] == 0.0 for n in empty)
    assert float(values["load"]) == pytest.approx(sum(float(values[f"power.{n}"]) for n in range(1, 11)), abs=1)


def test_a_cut_session_is_done_until_the_plug_is_pulled() -> None:
    """Power again without pulling the plug: the cabinet still says that this session is over."""
    plant = Plant(SITE)
    plant.set(CABINET, {"plugged.3": True, "power.3": 300.0})
    assert plant.values(CABINET)["done.3"] is False
    plant.write(CABINET, "on.3", False)
    assert (plant.values(CABINET)["done.3"], plant.values(CABINET)["power.3"]) == (True, 0.0)
    plant.write(CABINET, "on.3", True)
    assert plant.values(CABINET)["done.3"] is True
    plant.set(CABINET, {"plugged.3": False})
    assert plant.values(CABINET)["done.3"] is False


def test_a_welded_relay_draws_until_the_main_switch_opens() -> None:
    """Cut, and the current flows on; only the switch upstream of the shed ends it, and only in its own shed."""
    plant = Plant(SITE)
    plant.set(CABINET, {"plugged.3": True, "power.3": 460.0, "welded.3": True})
    plant.write(CABINET, "on.3", False)
    plant.advance(2.0)
    assert float(plant.values(CABINET)["current.3"]) == pytest.approx(2.0, abs=0.1)
    plant.write("1-1-B1-SHED/main-switch", "closed", False)
    assert float(plant.values(CABINET)["current.3"]) > 1
    plant.write(SWITCH, "closed", False)
    assert plant.values(CABINET)["current.3"] == 0.0
    plant.advance(4.0)
    assert plant.values(CABINET)["power.3"] == 0.0


def test_what_no_register_shows_exists_at_chargers_only() -> None:
    """A relay can stick where there is one; elsewhere the name is no point and told as such."""
    plant = Plant(SITE)
    with pytest.raises((SimError, KeyError)):
        plant.set("3-2-03-0301/smoke", {"welded.3": True})


def test_a_person_at_the_door_is_a_pass_with_another_card_each_time() -> None:
    """A press of the door is somebody with a card: the door opens, tells who, and closes."""
    plant = Plant(SITE, seed=4)
    plant.advance(3.0)
    told = []
    for _ in range(2):
        plant.press("1-1-01-DOOR/door")
        told += [e for e in plant.advance(plant.now_s + 10) if e.device_id == "1-1-01-DOOR/door" and e.changed]
    cards = [str(each.values["pass"]) for each in told if each.values["pass"]]
    assert len(set(cards)) == 2
    assert all(len(each) == 5 and each[1:].isdecimal() for each in cards)
    assert told[-1].values["contact"] is True


def test_remote_opening_is_a_pulse() -> None:
    """Written true, the lock falls back by itself after five seconds."""
    plant = Plant(SITE)
    plant.write("3-1-01-DOOR/door", "unlock", True)
    plant.advance(4.9)
    assert plant.values("3-1-01-DOOR/door")["unlock"] is True
    plant.advance(5.1)
    assert plant.values("3-1-01-DOOR/door")["unlock"] is False


def test_the_outputs_of_a_fire_act_and_answer() -> None:
    """A recalled lift stands open at the ground floor, a released barrier is up, broadcast and power do as told."""
    plant = Plant(SITE)
    plant.write("3-1-01-LIFT/elevator", "recall", True)
    plant.write("0-1-01-GATE/barrier", "release", True)
    plant.write("3-1-01-PA/broadcast", "evacuate", True)
    plant.write("3-1-B1-POWER/nonfire-power", "closed", False)
    lift = plant.values("3-1-01-LIFT/elevator")
    assert (lift["recall"], lift["floor"], lift["open"]) == (True, 1, True)
    assert plant.values("0-1-01-GATE/barrier")["raised"] is True
    assert plant.values("3-1-01-PA/broadcast")["evacuate"] is True
    assert plant.values("3-1-B1-POWER/nonfire-power")["closed"] is False
    assert {e.device_id for e in plant.advance(0.1)} >= {"3-1-01-LIFT/elevator", "0-1-01-GATE/barrier"}


def test_lonely_homes_show_signs_of_life_unless_a_person_stops_them() -> None:
    """Motion, water and the door change by themselves through the day; a point that was set stands still."""
    plant = Plant(part("3-2-02-0201/"))
    home = [f"3-2-02-0201/{kind}" for kind in ("motion", "water-meter", "home-door")]
    signs = {e.device_id for e in plant.advance(8.0 * HOUR_S) if e.device_id in home and e.changed}
    assert signs == set(home)
    plant.set(home[0], {"motion": False})
    plant.advance(plant.now_s + 60)
    told = [e for e in plant.advance(plant.now_s + 6 * HOUR_S) if e.device_id == home[0] and e.changed]
    assert told == []
