"""Floods of a thousand devices: gathered and let go in pieces, in bounds, at the same cost for each."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from gateway.model import Device, Verb
from gateway.rules import grouping
from gateway.rules.causes import MOST_RECENT, Causes
from tests.support_lines import Flood, built_in, community, lamp

LAMPS = [lamp(n, str(1 + n % 4), bus="b1" if n < 300 else "b2") for n in range(320)]
MANY = [lamp(n, str(n % 3)) for n in range(1000)]
MANY_IDS = [each.id for each in MANY]


@pytest.mark.parametrize("is_killed", [False, True])
def test_a_thousand_that_stay_lost_behind_a_line_are_shown_in_pieces(*, is_killed: bool) -> None:
    """A line comes back without its devices: a line for each building, and no step holds a fire up for all of them."""
    flood = Flood(community([built_in("line", "b1"), *MANY]))
    flood.lose(0, "line/b1", *MANY_IDS)
    flood.find(20, "line/b1")
    before = len(flood.steps)
    flood.step(20 + grouping.SETTLE_S + 0.01)
    if is_killed:
        flood.restart(20 + grouping.SETTLE_S + 0.011)
    flood.step(20 + grouping.SETTLE_S + 10)
    assert [each.point_id for each in flood.open()] == ["@building:0", "@building:1", "@building:2"]
    assert sum(len(flood.members(each)) for each in flood.open()) == 1000
    assert max(len(step.events) for step in flood.steps[before:]) <= grouping.PIECE + 3
    flood.find(1000, *MANY_IDS)
    flood.step(2000)
    assert not flood.engine.alarms
    assert not flood.timers


@pytest.mark.parametrize("is_killed", [False, True])
def test_a_thousand_that_were_lost_before_their_line_are_gathered_in_pieces(*, is_killed: bool) -> None:
    """Each was shown by itself, by a rule without groups; with them, the line that is seen down late takes them all."""
    lines = [built_in("line", "b1")]
    flood = Flood(community([*lines, *MANY], ()))
    flood.lose(0, *MANY_IDS)
    flood.site = community([*lines, *MANY])
    flood.restart(5)
    flood.lose(6, "line/b1")
    before = len(flood.steps)
    if is_killed:
        flood.restart(6.01)
    flood.step(10)
    (line,) = flood.open()
    assert (line.device_id, flood.members(line)) == ("line/b1", MANY_IDS)
    assert max(len(step.events) for step in flood.steps[before - 1 :]) <= grouping.PIECE + 1
    assert not any(key.startswith("group|adopt") for key in flood.timers)


def test_where_the_group_of_all_is_muted_what_was_told_is_remembered_in_bounds() -> None:
    """The site's line is shelved and the devices stand in no building: each loss is told, and costs the same."""
    lamps = [replace(each, place=each.place._replace(building="")) for each in MANY]
    flood = Flood(community(lamps))
    flood.lose(0, *MANY_IDS[:20])
    (group,) = flood.open()
    flood.step(10, flood.request(Verb.SHELVE, group, at_s=10, minutes="300", reason="施工"))
    flood.lose(20, *MANY_IDS[20:])
    assert len(flood.told()) >= 980
    assert len(flood.engine._grouping._recent.of("lost")) == MOST_RECENT
    assert sum(key.startswith("group|recent") for key in flood.timers) == MOST_RECENT


def test_causes_of_many_devices_are_found_in_linear_time() -> None:
    """Nine thousand devices on a line with an uplink: each looks at its own causes, not at all devices."""
    seen: list[str] = []

    class Looked(dict[str, Device]):
        def values(self) -> Any:
            seen.append("all")
            return super().values()

    many = Looked({each.id: each for each in [built_in("uplink", "cloud"), *LAMPS]})
    causes = Causes(many)
    for each in LAMPS:
        assert causes.of(each, ("uplink", "line", "cabinet")) == ("uplink/cloud",)
    assert len(seen) <= 2
