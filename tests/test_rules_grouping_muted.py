"""A cause that nobody hears hides nothing: what it explains is heard itself (alarms.md, section 3, flood)."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.model import Verb
from tests.support_lines import Flood, built_in, community, lamp

LAMPS = [lamp(n, str(1 + n % 3), bus="b1") for n in range(12)]
SITE = community([built_in("line", "b1"), built_in("line", "b2"), *LAMPS])
IDS = [each.id for each in LAMPS]
LINE = "line:line/b1/online:1"


def mute(flood: Flood, at_s: float, how: str) -> None:
    """The line's alarm is muted one way or another."""
    if how == "shelved":
        flood.do(at_s, Verb.SHELVE, rule_id="line", minutes="60", reason="等光纤")
        return
    assert flood.mark(at_s, how, "device", "line/b1", "60").replies[0].is_accepted


def unmute(flood: Flood, at_s: float, how: str) -> None:
    if how == "shelved":
        flood.do(at_s, Verb.UNSHELVE, rule_id="line")
    else:
        flood.mark(at_s, how, "device", "line/b1", verb=Verb.UNMARK)


@pytest.mark.parametrize("how", ["shelved", "out_of_service", "disabled"])
def test_muting_a_line_shows_what_it_had_gathered(how: str) -> None:
    """At once, and told; when the line is heard again, what is fresh goes under it again."""
    flood = Flood(SITE)
    flood.lose(0, "line/b1", *IDS[:3])
    assert flood.told() == {LINE}
    mute(flood, 10, how)
    shown = {each.device_id for each in flood.open()} - {"line/b1"}
    assert shown == set(IDS[:3])
    assert {f"lost:{each}/online:1" for each in IDS[:3]} <= flood.told()
    unmute(flood, 20, how)
    assert [each.id for each in flood.open()] == [LINE]


@pytest.mark.parametrize("how", ["walk_test", "out_of_service", "commissioning"])
def test_what_is_lost_under_a_line_that_nobody_hears_is_heard(how: str) -> None:
    """The line is being worked on before it goes: devices lost behind it are alarms of their own, few of them."""
    flood = Flood(SITE)
    mute(flood, 0, how)
    flood.lose(1, "line/b1", *IDS[:3])
    assert {f"lost:{each}/online:1" for each in IDS[:3]} == flood.told()
    flood.lose(2, *IDS[3:])
    heard = [each for each in flood.open() if each.is_heard and not each.marks]
    assert [each.point_id for each in heard] == ["@site:"]
    assert len(flood.members(heard[0])) == len(IDS)


def test_many_that_a_muted_line_lets_go_are_one_line_not_a_flood() -> None:
    """Shelving the line of twelve devices shows them as one for the site."""
    flood = Flood(SITE)
    flood.lose(0, "line/b1", *IDS)
    mute(flood, 10, "shelved")
    (shown,) = [each for each in flood.open() if each.id != LINE]
    assert shown.point_id == "@site:"
    assert flood.members(shown) == IDS


def test_a_shelved_group_keeps_its_list_and_takes_nobody_more() -> None:
    """Whoever shelves a building has its list before them; what is lost there later was not on it, and is heard."""
    mine = [each.id for each in LAMPS if each.place.building == "1"]
    more = [lamp(100 + n, "1") for n in range(6)]
    flood = Flood(community([*LAMPS, *more]))
    lost = [*mine, more[0].id]
    flood.lose(0, *lost)
    (group,) = flood.open()
    asked = flood.request(Verb.SHELVE, group, at_s=10, minutes="60", reason="施工")
    assert flood.step(10, asked).replies[0].is_accepted
    assert flood.open() == [flood.engine.alarms[group.id]]
    flood.lose(20, more[1].id)
    late = f"lost:{more[1].id}/online:1"
    assert late in flood.told()
    assert not flood.engine.alarms[late].suppressed_by


def test_a_building_whose_alarm_is_shelved_hides_no_new_loss() -> None:
    """All came back, the shelving of the building's line goes on: the next loss there is told device by device."""
    lamps = [lamp(n, "1") for n in range(6)]
    flood = Flood(community(lamps))
    flood.lose(0, *(each.id for each in lamps))
    (group,) = flood.open()
    flood.step(10, flood.request(Verb.SHELVE, group, at_s=10, minutes="300", reason="施工"))
    flood.find(20, *(each.id for each in lamps))
    flood.lose(2000, *(each.id for each in lamps))
    told = {f"lost:{each.id}/online:2" for each in lamps}
    assert told <= flood.told()


def test_the_line_that_was_muted_stays_as_it_is_over_a_restart() -> None:
    """After a kill the same alarms are shown and hidden."""
    flood = Flood(SITE)
    flood.lose(0, "line/b1", *IDS[:3])
    mute(flood, 10, "shelved")
    before = {each.id: each.suppressed_by for each in flood.engine.alarms.values()}
    flood.restart(11)
    flood.step(400)
    assert {each.id: each.suppressed_by for each in flood.engine.alarms.values()} == before


MOVES = st.lists(
    st.tuples(
        st.sampled_from(["lose", "find", "shelved", "out_of_service", "un-shelved", "un-out_of_service", "restart"]),
        st.lists(st.sampled_from([*IDS, "line/b1"]), min_size=1, max_size=8, unique=True),
        st.sampled_from([1.0, 30.0, 200.0]),
    ),
    max_size=25,
)


@settings(max_examples=80, deadline=None)
@given(MOVES)
def test_nothing_is_hidden_behind_a_cause_that_nobody_hears(moves: list[tuple[str, list[str], float]]) -> None:
    """Invariant: whatever is lost, found, muted and restarted, no alarm is suppressed by a device's alarm that is open
    and unheard; and every lost device has an open alarm."""
    flood, at_s, lost = Flood(SITE), 0.0, set[str]()
    for what, ids, wait_s in moves:
        at_s += wait_s
        if what == "restart":
            flood.restart(at_s)
        elif what in {"lose", "find"}:
            getattr(flood, what)(at_s, *ids)
            lost = lost | set(ids) if what == "lose" else lost - set(ids)
        elif any(each.id.startswith("line:") for each in flood.engine.alarms.values()):
            (unmute if what.startswith("un-") else try_mute)(flood, at_s, what.removeprefix("un-"))
        flood.step(at_s)
        alarms = flood.engine.alarms
        for each in alarms.values():
            cause = alarms.get(each.suppressed_by)
            is_hushed = cause is not None and (cause.is_out_of_service or cause.shelved_until_at is not None)
            assert cause is None or not (cause.device_id and is_hushed)
        assert lost <= {each.device_id for each in alarms.values()}


def try_mute(flood: Flood, at_s: float, how: str) -> None:
    """It may be muted so already: then it is refused."""
    if how == "shelved":
        flood.do(at_s, Verb.SHELVE, rule_id="line", minutes="60", reason="等光纤")
    else:
        flood.mark(at_s, how, "device", "line/b1", "60")
