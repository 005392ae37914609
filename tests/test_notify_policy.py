"""Who is told what, in which words, and never twice."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gateway.model import SYSTEM, Alarm, AlarmClass, AlarmEvent, Condition, Rule, Tell
from gateway.notify.policy import NoticePolicy
from gateway.notify.text import MAX_TEXT
from tests.support_rules import START, rule, site

ALARM = Alarm(
    id="smoke-fire:3-2-03-0301/smoke/alarm:1",
    rule_id="smoke-fire",
    point_id="3-2-03-0301/smoke/alarm",
    device_id="3-2-03-0301/smoke",
    occurrence=1,
    alarm_class=AlarmClass.FIRE,
    title="烟感火警",
    place="3-2-03-0301",
    raised_at=START,
    version=1,
)
POLICY = NoticePolicy(site([], []))


def telling(*tells: Tell, plan: tuple[str, ...] = ("派人到场", "核实")) -> Rule:
    return rule([], Condition("equals", True), AlarmClass.FIRE, text="烟感报警", tells=tells, plan=plan)


def event(kind: str, **data: object) -> AlarmEvent:
    return AlarmEvent(ALARM.id, 4, kind, START, SYSTEM, data)


def test_each_recipient_is_told_once_by_each_channel() -> None:
    """One key per reason, person and channel; what has been said is not said again."""
    ringing = telling(Tell("duty", ("console", "apprise")), Tell("duty", ("apprise",)), Tell("grid", ("apprise",)))
    first = POLICY.notices("raised", ALARM, ringing, set())
    assert [each.key for each in first] == [
        f"{ALARM.id}/raised/duty/console",
        f"{ALARM.id}/raised/duty/apprise",
        f"{ALARM.id}/raised/grid/apprise",
    ]
    assert not POLICY.notices("raised", ALARM, ringing, {each.key for each in first})


def test_buzzer_is_a_command_and_no_message() -> None:
    """The buzzer sounds by the rule's action, with a readback: no notice pretends to have sounded it."""
    assert not POLICY.notices("raised", ALARM, telling(Tell("duty", ("buzzer",))), set())


def test_those_who_are_told_later_are_not_told_now() -> None:
    """The family is called after 60 s, not at the press; the duty desk reads that nobody has taken it."""
    ringing = telling(Tell("duty", ("apprise",)), Tell("family", ("apprise",), 60.0), Tell("duty", ("apprise",), 60.0))
    now = POLICY.notices("raised", ALARM, ringing, set())
    assert [each.recipient for each in now] == ["duty"]
    later = POLICY.notices("raised", ALARM, ringing, {each.key for each in now}, after_s=60.0)
    assert [each.recipient for each in later] == ["family", "duty"]
    assert all("已 60 秒无人接警" in each.text for each in later)


@pytest.mark.parametrize(
    ("kind", "data", "is_told"),
    [
        ("raised", {}, True),
        ("reraised", {"reopens": True}, True),
        ("reraised", {"reopens": False}, False),
        ("returned", {}, False),
        ("taken", {}, False),
    ],
)
def test_what_people_are_told_of(kind: str, data: dict[str, bool], is_told: bool) -> None:
    """A detector that flickers while people have its alarm in hand calls nobody again; a closed one does."""
    assert bool(POLICY.reason(event(kind, **data))) is is_told


def test_words_say_class_place_time_and_what_to_do() -> None:
    """A message is enough to run: what, where, when by the wall clock of the site, what first."""
    (notice,) = POLICY.notices("raised", ALARM, telling(Tell("duty", ("apprise",))), set())
    assert notice.text == "【火警】3-2-03-0301 烟感报警,16:00:00。请派人到场。"
    english = NoticePolicy(replace(site([], []), language="en"))
    (notice,) = english.notices("raised", ALARM, telling(Tell("x", ("apprise",), 30.0)), set(), after_s=30.0)
    assert notice.text == "[FIRE] 3-2-03-0301 烟感报警, 16:00:00. not taken for 30 s. Do: 派人到场."


def test_message_is_never_too_long() -> None:
    """A long plan does not make the provider refuse the message."""
    (notice,) = POLICY.notices("raised", ALARM, telling(Tell("duty", ("apprise",)), plan=("跑" * 2000,)), set())
    assert len(notice.text) == MAX_TEXT
