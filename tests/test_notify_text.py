"""The words of notices: enough to run, as people say them, never too long."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from zoneinfo import ZoneInfo

import pytest

from gateway.model import (
    Handling,
    Tell,
)
from gateway.notify.policy import NoticePolicy
from gateway.notify.text import MAX_TEXT, after_of, notice_text, place_words
from tests.support_policy import ALARM, STAFF, say, telling
from tests.support_rules import START, device, site
from tests.support_words import PLACES


def test_words_say_class_place_time_and_what_to_do() -> None:
    """A message is enough to run: what, where, when by the wall clock of the site, what first."""
    assert say(telling(Tell("duty", ("apprise",)))).text == "【火警】3栋2单元3层0301室 烟感报警,16:00:00。请派人到场。"
    response = telling(Tell("duty", ("apprise",)), response="立即派人带灭火器到场。", response_en="Send somebody now.")
    assert say(response).text == "【火警】3栋2单元3层0301室 烟感报警,16:00:00。立即派人带灭火器到场。"
    english = NoticePolicy(replace(site([], []), language="en"))
    notice = say(telling(Tell("x", ("apprise",), 30.0)), english, after_s=30.0)
    assert (
        notice.text == "[FIRE] Building 3, unit 2, floor 3, 0301 烟感报警, 16:00:00. not taken for 30 s. Do: 派人到场."
    )
    notice = say(replace(response, tells=(Tell("x", ("apprise",), 7200.0),)), english, after_s=7200.0)
    assert notice.text.endswith("not taken for 2 h. Send somebody now.")


@pytest.mark.parametrize(("place", "title", "zh", "en"), PLACES)
def test_places_are_said_as_people_say_them(place: str, title: str, zh: str, en: str) -> None:
    """The family and the street know buildings and floors, not addresses with hyphens, nor the codes of a drawing."""
    assert (place_words(place, title, is_english=False), place_words(place, title, is_english=True)) == (zh, en)


def test_a_notice_names_the_door_by_its_title() -> None:
    """Nobody knows which door is DOOR."""
    pressed = replace(ALARM, device_id=f"{PLACES[2][0]}/door", place=PLACES[2][0])
    door = replace(device(pressed.device_id, "door", {"bell": "bool"}), title=PLACES[2][1])
    found = say(telling(Tell("duty", ("console",))), NoticePolicy(site([door], [])), alarm=pressed)
    assert found.text.startswith("【火警】1栋1单元1层 单元门 ")


def test_words_say_which_socket() -> None:
    """A cabinet has ten sockets: who is sent there must know at which one to look."""
    hot = replace(ALARM, place="1-1-B1-CP01", point_id="1-1-B1-CP01/ebike-charger/temp.3")
    text = notice_text(
        hot, telling(), reason="raised", at=START, zone=ZoneInfo("UTC"), language="zh", kind="ebike-charger"
    )
    assert text.startswith("【火警】1栋1单元地下1层CP01 3号口 ")


def test_people_outside_read_which_community_it_is() -> None:
    """The grid officer looks after ten communities: his message names this one; the duty desk's does not."""
    assert "阳光花园 3栋2单元3层0301室" in say(telling(Tell("grid", ("apprise",))), NoticePolicy(STAFF)).text
    assert "阳光花园" not in say(telling(Tell("duty", ("apprise",))), NoticePolicy(STAFF)).text


def test_words_say_who_took_it_and_did_not_verify() -> None:
    """Whoever is called because nothing was verified reads who has it in hand, and for how long."""
    in_hand = replace(ALARM, handling=Handling.TAKEN, taken_at=START, taken_by="张师傅")
    notice = say(
        telling(Tell("x", ("apprise",), 30.0)),
        reason="unverified-4", alarm=in_hand, at=START + timedelta(minutes=2), after_s=30.0,
    )  # fmt: skip
    assert "张师傅已接警 2 分钟,尚未核实" in notice.text
    assert notice.reason == "unverified-4+30s"


def test_words_say_how_long_it_was_hidden() -> None:
    """The first message after a shelving says that the alarm is not a new one."""
    notice = say(telling(Tell("x", ("apprise",))), reason="shown-7", at=START + timedelta(hours=3))
    assert "已持续 3 小时" in notice.text


@pytest.mark.parametrize(
    ("reason", "after_s"), [("raised", 0), ("reopened-5+30s", 30), ("raised+1.8036e+06s", 1803600)]
)
def test_the_delay_can_be_read_from_the_reason(reason: str, after_s: float) -> None:
    """However long somebody has waited, the words say it."""
    assert after_of(reason) == after_s


def test_message_is_never_too_long() -> None:
    """A long plan does not make the provider refuse the message."""
    assert len(say(telling(Tell("duty", ("apprise",)), plan=("跑" * 2000,))).text) == MAX_TEXT
