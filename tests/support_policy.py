"""Recipients, a fire and the words about it, for the tests of who is told what."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from gateway.model import (
    Alarm,
    AlarmClass,
    Calendar,
    Condition,
    Notice,
    Recipient,
    Rule,
    Site,
    Tell,
    Window,
)
from gateway.notify.policy import NoticePolicy
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
SMS = {"apprise": "x"}
DAY = Calendar("day", (Window(frozenset(range(7)), 7 * 60, 19 * 60),))
NIGHT = Calendar("night", (Window(frozenset(range(7)), 19 * 60, 7 * 60),))
NEVER = Calendar("never", ())


def people(**named: Recipient) -> Site:
    calendars = {each.id: each for each in (DAY, NIGHT, NEVER)}
    return replace(site([], []), recipients=named, calendars=calendars)


def person(id_: str, on_duty: str = "") -> Recipient:
    return Recipient(id_, id_, SMS, on_duty=on_duty)


def group(id_: str, kind: str, *members: str, addresses: Mapping[str, str] | None = None) -> Recipient:
    return Recipient(id_, id_, addresses or {}, kind, members)


POLICY = NoticePolicy(site([], []))
STAFF = people(
    duty=group("duty", "property", "zhang", "li"),
    bosses=group("bosses", "property", "wang", "duty"),
    zhang=person("zhang", "day"),
    li=person("li", "night"),
    wang=person("wang"),
    family=group("family", "family", "daughter", "son"),
    daughter=person("daughter"),
    son=person("son"),
    grid=Recipient("grid", "网格员", SMS, "grid"),
)


def telling(*tells: Tell, plan: tuple[str, ...] = ("派人到场", "核实"), **extra: object) -> Rule:
    return rule([], Condition("equals", True), AlarmClass.FIRE, text="烟感报警", tells=tells, plan=plan, **extra)


def say(ringing: Rule, policy: NoticePolicy = POLICY, **given: object) -> Notice:
    (notice,) = policy.notices(
        **({"reason": "raised", "alarm": ALARM, "rule": ringing, "said": set(), "at": START} | given)  # type: ignore[arg-type]
    )
    return notice
