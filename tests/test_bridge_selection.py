"""What goes to which cloud: points, alarms, and the words about people that stay in the box."""

from __future__ import annotations

import dataclasses
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
import pytest

from cloud_bridge.personal import KEPT, NAMES, TYPED
from cloud_bridge.selection import Selection, matcher
from cloud_bridge.settings import Common
from gateway.model import Actor, Alarm, AlarmClass, AlarmEvent, Condition, Lane, OutboxEntry, Reading, Rule, Scope, Site
from gateway.store import codec
from tests.support_bridge import device, event, site

AT = datetime(2026, 3, 1, tzinfo=UTC)
CARD = "9f-B3-C1-4471"


def _site(*rules: Rule) -> Site:
    door = device("2-1", "door", [("contact", "bool"), ("pass", "text")])
    door = replace(door, points=tuple(replace(each, is_personal=each.name == "pass") for each in door.points))
    return replace(
        site(
            Path("x"),
            devices=[
                device("3-2-03-0301", "smoke", [("alarm", "bool"), ("battery", "int")]),
                device("2-1-01-0101", "gas", [("alarm", "bool")]),
                device("3-1-B1-CP01", "meter", [("power.1", "float")], zone="地下充电区"),
                door,
            ],
        ),
        rules=rules,
    )


def _common(**said: Any) -> Common:
    return Common.model_validate(said)


def _told(alarm_: Alarm, happened: AlarmEvent) -> dict[str, Any]:
    told: dict[str, Any] = orjson.loads(codec.alarm_body(happened, alarm_))
    return told


def _handled() -> dict[str, Any]:
    """An alarm that a person has closed, with everything a person can have written into it."""
    _, alarm = event(301)
    alarm = replace(
        alarm, taken_by="张伟", shelved_by="李娜", last_actor="张伟", cause="王奶奶烧糊了锅", note="电话 13800001111",
        outcome="已处理", version=5,
    )  # fmt: skip
    data = {
        "outcome": "已处理", "cause": "王奶奶烧糊了锅", "text": "电话 13800001111", "reason": "住户不在家",
        "to": ["zhangwei"], "detail": "门口的人", "something_new": "张伟", "minutes": "30",
    }  # fmt: skip
    return _told(alarm, AlarmEvent(alarm.id, 5, "closed", AT, Actor("张伟", "duty", "console"), data))


def test_no_word_about_people_leaves_the_box_unless_the_uplink_asks_for_it() -> None:
    """Names, what somebody typed and words nobody has judged stay; role, place, time and numbers go up."""
    told = Selection(_site()).alarm(_handled())
    assert told is not None
    text = orjson.dumps(told).decode()
    for word in ("张伟", "李娜", "王奶奶", "138", "住户", "zhangwei", "门口", "something_new"):
        assert word not in text, word
    assert told["event"]["actor"] == {"name": KEPT, "role": "duty", "via": "console"}
    assert told["alarm"]["taken_by"] == KEPT
    assert told["alarm"]["place"] == "3-2-03-0301"
    assert told["event"]["data"]["minutes"] == "30"
    assert Selection(_site(), _common(personal=True)).alarm(_handled()) == _handled()


def test_an_outcome_from_the_rules_list_is_no_secret() -> None:
    """A word that was chosen goes up, a word that was typed stays."""
    rule = Rule("smoke-fire", "烟感", AlarmClass.FIRE, (), Condition("equals"), outcomes=("误报", "已处理"))
    known, typed = Selection(_site(rule)).alarm(_handled()), Selection(_site()).alarm(_handled())
    assert known is not None
    assert known["alarm"]["outcome"] == known["event"]["data"]["outcome"] == "已处理"
    assert typed is not None
    assert typed["alarm"]["outcome"] == typed["event"]["data"]["outcome"] == KEPT


def test_the_machine_has_a_name_and_nobody_has_none() -> None:
    """守望 itself is nobody's secret, and an alarm that nobody has taken must not look taken."""
    happened, alarm = event(301)
    told = Selection(_site()).alarm(_told(alarm, happened))
    assert told is not None
    assert told["event"]["actor"]["name"] == "守望"
    assert told["alarm"]["taken_by"] == ""


def test_the_value_of_a_personal_point_stays_with_its_alarm_too() -> None:
    """An alarm of a card reader says that and where, not with what."""
    happened, alarm = event(301)
    alarm = replace(alarm, point_id="2-1/door/pass", device_id="2-1/door", value=CARD)
    told = Selection(_site()).alarm(_told(alarm, replace(happened, data={"value": CARD})))
    assert told is not None
    assert CARD not in orjson.dumps(told).decode()


def test_every_field_of_an_alarm_was_judged() -> None:
    """A field added later is judged before it goes to a cloud: names, typed words, or neither."""
    harmless = {
        "id", "rule_id", "point_id", "device_id", "occurrence", "alarm_class", "title", "place", "raised_at", "version",
        "condition", "handling", "is_latched", "is_sounding", "is_unconfirmed", "is_open", "count", "returned_at",
        "taken_at", "verified_at", "is_real", "arrived_at", "closed_at", "last_event", "last_at", "shelved_until_at",
        "suppressed_by", "is_out_of_service", "marks", "is_chattering", "is_confirmed", "escalated_s", "acted_version",
        "is_clock_unsure",
    }  # fmt: skip
    assert {each.name for each in dataclasses.fields(Alarm)} == harmless | {*NAMES, *TYPED, "outcome", "value"}


def test_personal_points_and_cards_of_doors_that_are_gone_stay() -> None:
    """Marked points go up only where it is asked for; a door's cards stay personal after its removal."""
    plain, asked = Selection(_site()), Selection(_site(), _common(personal=True))
    assert [plain.keeps(each) for each in ("2-1/door/contact", "2-1/door/pass", "9-9/door/pass")] == [
        True,
        False,
        False,
    ]
    assert asked.keeps("2-1/door/pass")
    assert not plain.keeps_every_point
    assert not plain.is_whole
    assert asked.is_whole


@pytest.mark.parametrize(
    ("only", "kept"),
    [
        ({"kinds": "smoke"}, ["3-2-03-0301/smoke/alarm", "3-2-03-0301/smoke/battery"]),
        ({"buildings": ["2"]}, ["2-1-01-0101/gas/alarm", "2-1/door/contact"]),
        ({"points": ["*/alarm"]}, ["3-2-03-0301/smoke/alarm", "2-1-01-0101/gas/alarm"]),
        ({"points": ["*/power.?"]}, ["3-1-B1-CP01/meter/power.1"]),
        ({"points": []}, []),
        ({"kinds": ["smoke", "gas"], "buildings": ["2"]}, ["2-1-01-0101/gas/alarm"]),
        ({"classes": ["fire"]}, None),
    ],
)
def test_telemetry_is_narrowed_by_each_list(only: dict[str, Any], kept: list[str] | None) -> None:
    """Lists narrow together; classes are about alarms and leave readings alone."""
    of = _site()
    chosen = Selection(of, _common(only=only))
    found = [point.id for each in of.devices.values() for point in each.points if chosen.keeps(point.id)]
    assert sorted(found) == sorted(
        kept if kept is not None else [p.id for d in of.devices.values() for p in d.points if not p.is_personal]
    )


def _alarm_of(
    point_id: str, device_id: str, rule_id: str = "r", class_: AlarmClass = AlarmClass.FIRE
) -> dict[str, Any]:
    happened, alarm = event(301)
    return _told(replace(alarm, point_id=point_id, device_id=device_id, rule_id=rule_id, alarm_class=class_), happened)


@pytest.mark.parametrize(
    ("only", "is_kept"),
    [
        ({"classes": ["fire"]}, True),
        ({"classes": ["gas", "sos"]}, False),
        ({"classes": []}, False),
        ({"kinds": ["smoke"]}, True),
        ({"kinds": ["gas"]}, False),
        ({"buildings": ["3"]}, True),
        ({"buildings": ["2"]}, False),
        ({"points": []}, True),
    ],
)
def test_alarms_are_narrowed_by_class_kind_and_building(only: dict[str, Any], is_kept: bool) -> None:
    """A list of points costs no alarm."""
    chosen = Selection(_site(), _common(only=only))
    assert (chosen.alarm(_alarm_of("3-2-03-0301/smoke/alarm", "3-2-03-0301/smoke")) is not None) is is_kept


def test_the_alarm_of_a_group_goes_where_its_devices_go() -> None:
    """A group has no device: what its rule looks at there decides, and in doubt the alarm goes up."""
    points = ("3-1-B1-CP01/meter/power.1", "2-1-01-0101/gas/alarm")
    rule = Rule("r", "两处", AlarmClass.WARNING, points, Condition("devices", count=2, same=Scope.ZONE))
    of = _site(rule)
    zone, building = _alarm_of("@zone:地下充电区", ""), _alarm_of("@building:2", "")
    assert Selection(of, _common(only={"buildings": ["3"]})).alarm(zone) is not None
    assert Selection(of, _common(only={"buildings": ["2"]})).alarm(zone) is None
    assert Selection(of, _common(only={"kinds": ["gas"]})).alarm(building) is not None
    assert Selection(of, _common(only={"kinds": ["meter"]})).alarm(building) is None
    assert Selection(of, _common(only={"kinds": ["meter"]})).alarm(_alarm_of("@zone:没有了", "", "gone")) is not None


def test_the_end_of_an_alarm_of_a_removed_device_goes_up() -> None:
    """A platform that shows the alarm must hear that it was withdrawn."""
    chosen = Selection(_site(), _common(only={"kinds": ["smoke"]}))
    assert chosen.alarm(_alarm_of("9-9-09-0909/smoke/alarm", "9-9-09-0909/smoke")) is not None


@pytest.mark.parametrize(
    ("glob", "text", "fits"),
    [
        ("*/smoke/*", "3-2-03-0301/smoke/alarm", True),
        ("*/smoke/*", "3-2-03-0301/smokes/alarm", False),
        ("3-[1]/*", "3-1/x", False),
        ("3-[1]/*", "3-[1]/x", True),
        ("power.1", "powerx1", False),
    ],
)
def test_only_star_and_question_mark_are_special(glob: str, text: str, fits: bool) -> None:
    """Brackets and dots occur in ids and mean themselves."""
    assert matcher([glob])(text) is fits


def test_rows_of_the_outbox_are_narrowed_reading_by_reading() -> None:
    """Of one row only what this platform may have goes into a message; nothing left is no message."""
    from cloud_bridge.encode import Encoder  # noqa: PLC0415 - beside its only use

    rows = [Reading(each, 1, AT, AT) for each in ("3-2-03-0301/smoke/battery", "2-1/door/pass")]
    entry = OutboxEntry(7, Lane.TELEMETRY, AT, codec.telemetry_body(rows))
    (made,) = Encoder("gw", "0a", "shouwang", 32_768, Selection(_site())).messages(entry)
    assert [row[0] for row in orjson.loads(made.payload)["r"]] == ["3-2-03-0301/smoke/battery"]
    none = Selection(_site(), _common(only={"points": []}))
    assert Encoder("gw", "0a", "shouwang", 32_768, none).messages(entry) == []
