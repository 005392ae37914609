"""The alarm table: every (state, verb) pair, operators' requests, the generated document."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from itertools import product
from pathlib import Path

import pytest

from gateway.model import SYSTEM, Alarm, AlarmClass, AlarmCondition, AlarmEvent, Condition, Handling, Verb, isa_state
from gateway.rules.alarm import fold, is_over
from gateway.rules.table import EFFECTS, FLAGS, VERBS, Code, State, row_for
from gateway.rules.table_text import as_markdown
from tests.support_rules import LI, START, ZHANG, Player, device, rule, site

SMOKE = "3-2-03-0301/smoke/alarm"
STATES = [State(*each) for each in product(Handling, AlarmCondition, (True, False), (True, False), (True, False))]
OF_ALARM = [each for each in Verb if each.is_of_alarm]
UNTIL = START + timedelta(hours=1)


def a_player(cls: AlarmClass = AlarmClass.FIRE, *, latches: bool = True, outcomes: tuple[str, ...] = ()) -> Player:
    dev = device("3-2-03-0301/smoke", "smoke", {"alarm": "bool"})
    return Player(site([dev], [rule([SMOKE], Condition("equals", True), cls, latches=latches, outcomes=outcomes)]))


def raised() -> Alarm:
    data = {
        "rule": "r", "point": SMOKE, "device": "3-2-03-0301/smoke", "occurrence": 1, "class": "fire", "title": "",
        "place": "", "latches": True, "sounds": True, "value": True,
    }  # fmt: skip
    return fold(None, AlarmEvent(f"r:{SMOKE}:1", 1, "raised", START, SYSTEM, data))


def alarm_in(state: State, cls: AlarmClass = AlarmClass.FIRE) -> Alarm:
    """An alarm of that class in that state; open even where it could not be."""
    return replace(
        raised(),
        alarm_class=cls,
        handling=state.handling,
        condition=state.condition,
        is_latched=state.is_latched,
        is_sounding=state.is_sounding,
        shelved_until_at=UNTIL if state.is_shelved else None,
    )


@pytest.mark.parametrize("verb", OF_ALARM)
def test_every_state_answers_every_verb(verb: Verb) -> None:
    """There is no state in which a button does something nobody has thought of."""
    for state in STATES:
        row = row_for(verb, state)
        assert bool(row.event) != bool(row.codes)
        assert not row.event or row.event in EFFECTS


def test_no_line_of_the_table_is_dead() -> None:
    """Every line of the table decides in some state."""
    used = {id(row_for(verb, state)) for verb, state in product(OF_ALARM, STATES)}
    assert used == {id(row) for row in VERBS}


@pytest.mark.parametrize("verb", OF_ALARM)
@pytest.mark.parametrize("cls", AlarmClass)
def test_only_reset_opens_the_latch_and_no_verb_touches_the_condition(verb: Verb, cls: AlarmClass) -> None:
    """A person's click never makes smoke disappear, and only 复位 ends a latched alarm."""
    extra = {"real": True, "text": "t", "outcome": "o", "cause": "c", "until": UNTIL.isoformat()}
    for state in STATES:
        row = row_for(verb, state)
        if not row.event:
            continue
        before = alarm_in(state, cls)
        after = fold(before, AlarmEvent(before.id, 2, row.event, START, ZHANG, extra))
        assert after.condition is state.condition
        assert after.is_latched == (state.is_latched and verb is not Verb.RESET)
        assert after.is_open != is_over(after, row.event)
        assert not (after.is_sounding and not before.is_sounding)


def test_the_state_in_the_words_of_isa() -> None:
    """UNACK to RTN_UNACK follow from condition, latch and whether somebody took it; a flag covers them; the end is
    NORMAL."""
    for state in STATES:
        alarm = alarm_in(state)
        is_active, is_acked = state.condition is AlarmCondition.ACTIVE, state.handling is not Handling.NEW
        plain = {
            (True, True): "ACKED" if is_acked else "UNACK",
            (True, False): "ACKED" if is_acked else "UNACK",
            (False, True): "LATCHED_ACK" if is_acked else "LATCHED_UNACK",
            (False, False): "NORMAL" if is_acked else "RTN_UNACK",
        }[is_active, state.is_latched]
        assert isa_state(alarm) == ("SHELVED" if state.is_shelved else plain)
        assert isa_state(replace(alarm, is_out_of_service=True, suppressed_by="x")) == "OUT_OF_SERVICE"
        assert isa_state(replace(alarm, shelved_until_at=None, suppressed_by="x")) == "SUPPRESSED_BY_DESIGN"
        assert isa_state(replace(alarm, is_open=False)) == "NORMAL"


@pytest.mark.parametrize(("on", "off"), FLAGS.items())
def test_a_flag_moves_no_part_and_lifting_it_shows_the_truth(on: str, off: str) -> None:
    """Whatever is shelved, suppressed or out of service makes no sound, and afterwards is exactly as it would be."""
    data = {"until": UNTIL.isoformat(), "by": "line-down:line/field/online:1"}
    for state in STATES:
        before = alarm_in(state)
        if state.is_shelved or is_over(before, "raised"):
            continue
        muted = fold(before, AlarmEvent(before.id, 2, on, START, SYSTEM, data))
        assert muted.is_muted
        assert not muted.is_heard
        shown = fold(muted, AlarmEvent(before.id, 3, off, START, SYSTEM))
        assert stripped(shown) == stripped(before)


def stripped(alarm: Alarm) -> Alarm:
    """Without the words about the last event."""
    return replace(alarm, version=0, acted_version=0, last_event="", last_actor="", last_at=None)


def test_document_is_what_the_table_says() -> None:
    """docs/alarm-table.md is generated: python -m gateway.rules.table_text > docs/alarm-table.md."""
    document = Path(__file__).parent.parent / "docs" / "alarm-table.md"
    assert document.read_text(encoding="utf-8") == as_markdown()


def test_exactly_one_of_two_takes_wins() -> None:
    """Two consoles take the same alarm: one has it, the other reads who was first and when."""
    player = a_player()
    player.read(0, SMOKE, True)
    (alarm,) = player.engine.alarms.values()
    step = player.step(1, player.request(Verb.TAKE, alarm, ZHANG), player.request(Verb.TAKE, alarm, LI))
    first, second = step.replies
    assert first.is_accepted
    assert first.version == 2
    assert (second.is_accepted, second.code) == (False, Code.STALE_VERSION)
    assert (second.detail["who"], second.detail["what"]) == ("张师傅", "taken")
    assert second.detail["when"].startswith("2025-06-01T08:00:01")
    assert (second.detail["taken_by"], second.detail["taken_at"]) == ("张师傅", second.detail["when"])
    assert player.engine.alarms[alarm.id].taken_by == "张师傅"


def test_refusal_after_a_close_says_who_closed_and_when() -> None:
    """Whoever closes too late reads who has closed it and when, and who had taken it."""
    player = a_player()
    player.read(0, SMOKE, True)
    player.do(1, Verb.TAKE)
    player.do(2, Verb.CLOSE, outcome="误报", cause="油烟")
    (alarm,) = player.engine.alarms.values()
    (reply,) = player.do(3, Verb.CLOSE, outcome="误报", cause="油烟").replies
    assert (reply.code, reply.detail["closed_by"]) == ("already_closed", "张师傅")
    assert alarm.closed_at is not None
    assert reply.detail["closed_at"] == alarm.closed_at.isoformat()
    assert reply.detail["taken_at"].startswith("2025-06-01T08:00:01")


def test_reset_names_everything_that_is_missing() -> None:
    """复位 too early says that the detector is still in alarm and that the outcome is missing, both."""
    player = a_player()
    player.read(0, SMOKE, True)
    (reply,) = player.do(1, Verb.RESET).replies
    assert reply.detail["codes"] == ["condition_active", "no_outcome"]
    player.read(2, SMOKE, False)
    (reply,) = player.do(3, Verb.RESET).replies
    assert reply.detail["codes"] == ["no_outcome"]


@pytest.mark.parametrize(
    ("verb", "args", "code"),
    [
        (Verb.VERIFY, {}, Code.MISSING_ARGUMENT),
        (Verb.VERIFY, {"real": "perhaps"}, Code.BAD_ARGUMENT),
        (Verb.NOTE, {"text": "  "}, Code.MISSING_ARGUMENT),
        (Verb.NOTE, {"text": "x" * 2001}, Code.BAD_ARGUMENT),
        (Verb.CLOSE, {"outcome": "误报"}, Code.MISSING_ARGUMENT),
        (Verb.CLOSE, {"outcome": "别的", "cause": "油烟"}, Code.BAD_OUTCOME),
        (Verb.TAKE, {}, Code.ALREADY_TAKEN),
    ],
)
def test_refusals_change_nothing(verb: Verb, args: dict[str, str], code: Code) -> None:
    """A refused verb leaves the alarm as it was and says why."""
    player = a_player(outcomes=("误报",))
    player.read(0, SMOKE, True)
    player.do(1, Verb.TAKE)
    step = player.do(2, verb, **args)
    (reply,) = step.replies
    assert (reply.is_accepted, reply.code, reply.version) == (False, code, 2)
    assert not step.events
    assert not step.alarms


def test_late_and_foreign_requests_are_refused() -> None:
    """A click that arrives after its deadline, for no alarm, or for one that has ended, does nothing."""
    player = a_player(AlarmClass.FAULT, latches=False)
    player.read(0, SMOKE, True)
    (alarm,) = player.engine.alarms.values()
    (reply,) = player.step(60, player.request(Verb.TAKE, alarm, at_s=1)).replies
    assert reply.code == Code.EXPIRED
    player.read(61, SMOKE, False)
    foreign = [replace(alarm, id=each) for each in ("r:nowhere:1", "x", f"r:{SMOKE}:2", f"r:{SMOKE}:²", "r:::9")]
    requests = [player.request(Verb.TAKE, each, at_s=62) for each in (alarm, *foreign)]
    codes = [each.code for each in player.step(62, *requests).replies]
    assert codes == [Code.ALREADY_ENDED, *[Code.UNKNOWN_ALARM] * 5]


@pytest.mark.parametrize(
    ("cls", "ends_at"),
    [
        (AlarmClass.FIRE, "closed"),
        (AlarmClass.GAS, "closed"),
        (AlarmClass.SOS, "closed"),
        (AlarmClass.SECURITY, "closed"),
        (AlarmClass.WARNING, "taken"),
        (AlarmClass.SUPERVISORY, "taken"),
        (AlarmClass.FAULT, "returned"),
        (AlarmClass.MAINTENANCE, "returned"),
    ],
)
def test_when_an_alarm_without_latch_ends(cls: AlarmClass, ends_at: str) -> None:
    """What has returned stays on the list until it is handled as far as its class asks."""
    player = a_player(cls, latches=False)
    player.read(0, SMOKE, True)
    player.read(1, SMOKE, False)
    if ends_at != "returned":
        assert player.engine.alarms
        player.do(2, Verb.TAKE)
    if ends_at == "closed":
        assert player.engine.alarms
        player.do(3, Verb.CLOSE, outcome="误报", cause="灰尘")
    assert not player.engine.alarms
    assert player.journal[-1].kind == ends_at
    (alarm,) = player.alarms.values()
    assert not alarm.is_open
    assert not alarm.is_sounding


def test_maintenance_is_never_heard() -> None:
    """Battery low goes to the work list, not to the loudspeaker."""
    player = a_player(AlarmClass.MAINTENANCE, latches=False)
    player.read(0, SMOKE, True)
    assert not next(iter(player.engine.alarms.values())).is_sounding


def test_journal_out_of_order_is_not_folded() -> None:
    """A journal with a hole is an error, not an alarm that looks right."""
    alarm = raised()
    for bad in (
        AlarmEvent(alarm.id, 3, "taken", START, ZHANG),
        AlarmEvent("other", 2, "taken", START, ZHANG),
        AlarmEvent(alarm.id, 2, "exploded", START, ZHANG),
    ):
        with pytest.raises(ValueError, match="does not follow"):
            fold(alarm, bad)
    with pytest.raises(ValueError, match="does not begin"):
        fold(None, AlarmEvent(alarm.id, 1, "taken", START, ZHANG))
