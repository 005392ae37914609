"""The number of a card never gets into the journal of an alarm, from where screens, clouds and robots have it."""

from __future__ import annotations

import pytest

from gateway.model import Condition, without_card
from tests.support_rules import Player, device, rule, site

DOOR = "1-1-01-DOOR/door"
CARD = "C00010299"


def player(condition: Condition, for_s: float) -> Player:
    return Player(
        site(
            [device(DOOR, "door", {"pass": "text", "contact": "bool"})],
            [rule([f"{DOOR}/pass"], condition, for_s=for_s)],
        )
    )


@pytest.mark.parametrize("for_s", [0.0, 5.0])
def test_an_alarm_of_a_card_shows_the_end_of_its_number(for_s: float) -> None:
    """Raised by a card that was reported lost, at once or after a delay, and returned by another card."""
    it = player(Condition("equals", value=CARD), for_s=for_s)
    it.read(1, f"{DOOR}/pass", CARD)
    it.step(10)
    it.read(20, f"{DOOR}/pass", "C00017777")
    assert it.kinds() == ["raised", "returned"]
    assert [each.data["value"] for each in it.journal] == ["****0299", "****7777"]
    assert CARD not in repr(it.steps[-1].alarms) + repr(it.journal)


@pytest.mark.parametrize(
    ("point_id", "value", "told"),
    [
        (f"{DOOR}/pass", "0301", "****"),
        (f"{DOOR}/pass", 10299123, "****9123"),
        (f"{DOOR}/pass", "", ""),
        (f"{DOOR}/pass", None, None),
        (f"{DOOR}/pass", True, True),
        (f"{DOOR}/pass_way", "card", "card"),
        (f"{DOOR}/pass_count", 70000, 70000),
    ],
)
def test_only_the_number_itself_is_hidden(point_id: str, value: object, told: object) -> None:
    """A flat's code as a whole; how somebody passed, and how many, are nobody's secret. Twice hides no more."""
    assert without_card(point_id, value) == told
    assert without_card(point_id, without_card(point_id, value)) == told
