"""The engine's cost per reading, with room for a slow machine: floors, not measurements."""

from __future__ import annotations

import time
from datetime import timedelta

from gateway.model import Action, Condition, Now, Reading, Scope
from gateway.rules import Engine
from tests.support_rules import START, Player, device, rule, site

DEVICES = 9000
BATCH = 256


def per_second(rules: int, batches: int = 60, tries: int = 3) -> float:
    """Readings a second, the best of some tries, through ``rules`` threshold rules that share 9,000 points."""
    devices = [device(f"{i // 300}-1-{i % 30:02}-{i:05}/m", "meter", {"v": "float"}) for i in range(DEVICES)]
    ids = [each.points[0].id for each in devices]
    shared = [rule(ids[each::rules], Condition("above", 60, 50), id=f"r{each}") for each in range(rules)]
    engine = Player(site(devices, shared)).engine
    best = 0.0
    for one in range(tries):
        made = []
        for batch in range(batches):
            at = START + timedelta(seconds=one, milliseconds=batch)
            received = at + timedelta(milliseconds=5)
            readings = [Reading(ids[(batch * 31 + n * 7) % DEVICES], float(n % 59), at, received) for n in range(BATCH)]
            made.append((readings, Now(received, 1000.0 + one + batch / 1000)))
        began = time.perf_counter()
        for readings, at_now in made:
            engine.step(readings, at_now)
        best = max(best, batches * BATCH / (time.perf_counter() - began))
    return best


def test_fifty_thousand_readings_a_second_and_rules_elsewhere_cost_nothing() -> None:
    """Thousands of rules over 9,000 devices leave room for everything else; rules on other points cost nothing."""
    few, many = per_second(30), per_second(3000)
    assert many > 50_000
    assert many > few / 3


def raising(engine: Engine, ids: list[str], at_s: float) -> float:
    """Seconds for the raises of these points in one step."""
    at = START + timedelta(seconds=at_s)
    readings = [Reading(each, 90.0, at, at) for each in ids]
    began = time.perf_counter()
    engine.step(readings, Now(at, 1000.0 + at_s))
    return time.perf_counter() - began


def test_a_raise_that_acts_costs_the_same_with_thousands_of_alarms_open() -> None:
    """Whether a fire holds its output is asked of fires, not of every open alarm: no flood makes a raise slow."""
    plugs = [device(f"1-1-01-{n:04d}/p", "plug", {"v": "float", "on": "bool"}, writable=["on"]) for n in range(6000)]
    ids = [f"{each.id}/v" for each in plugs]
    act = Action("", "on", Scope.DEVICE, value=False, expires_s=10.0, is_safety=False)
    player = Player(site(plugs, [rule(ids, Condition("above", 70), id="hot", actions=(act,))]))
    few = min(raising(player.engine, ids[n : n + 100], 1) for n in range(0, 300, 100))
    raising(player.engine, ids[300:5700], 2)
    many = min(raising(player.engine, ids[n : n + 100], 3) for n in range(5700, 6000, 100))
    assert many < 5 * few
