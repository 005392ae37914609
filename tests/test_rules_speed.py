"""The engine's cost per reading, with room for a slow machine: floors, not measurements."""

from __future__ import annotations

import time
from datetime import timedelta

from gateway.model import Condition, Now, Reading
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
