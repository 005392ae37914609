"""Room: notify. The words of a notice, Chinese or English. Pure; who gets it is `gateway.notify.policy`'s."""

from __future__ import annotations

import re
from datetime import datetime
from zoneinfo import ZoneInfo

from gateway.model import Alarm, AlarmClass, Mark, Rule

MAX_TEXT = 500  # characters: what one message of the robots and most SMS services carries

CLASS_NAMES: dict[AlarmClass, tuple[str, str]] = {
    AlarmClass.FIRE: ("火警", "FIRE"),
    AlarmClass.GAS: ("燃气", "GAS"),
    AlarmClass.SOS: ("求助", "SOS"),
    AlarmClass.SECURITY: ("治安", "SECURITY"),
    AlarmClass.WARNING: ("预警", "WARNING"),
    AlarmClass.SUPERVISORY: ("监管", "SUPERVISORY"),
    AlarmClass.FAULT: ("故障", "FAULT"),
    AlarmClass.MAINTENANCE: ("维护", "MAINTENANCE"),
}
_SHORT = 2  # letters: such a code stays beside the title
_DRILL = ("演练", "DRILL")
_ADDRESS = re.compile(r"(\w+)-(\w+)-(\w+)-(\w+)")
_CODE = re.compile(r"([A-Za-z]+)(\d*)")  # what a drawing calls a public place: DOOR, CP01
_BRACKET = re.compile(r"\s*[(\uff08][^()\uff08\uff09]*[)\uff09]$")  # of either width
_REPEATED = re.compile(r"\.(\d{1,4})$")
_AFTER = re.compile(r"\+([0-9.e+]+)s$")


def notice_text(
    alarm: Alarm,
    rule: Rule,
    *,
    reason: str,
    at: datetime,
    zone: ZoneInfo,
    language: str,
    site: str = "",
    kind: str = "",
    title: str = "",
) -> str:
    """One line: class, where, what, when, for how long nobody has acted, what to do now.

    ``reason`` is the notice's; ``at`` is now. ``site`` is said to people who do not know which community it is;
    ``kind`` and ``title`` are the device's: of a charger's points people say the socket, of DOOR the title.
    """
    is_english = language == "en"
    head = "".join(f"[{each}] " if is_english else f"【{each}】" for each in _heads(alarm, is_english=is_english))
    place = place_words(alarm.place, title, is_english=is_english)
    part = _part(alarm.point_id, kind, is_english=is_english)
    where = " ".join(filter(None, (site, place, part, rule.text or alarm.title)))
    when = f"{alarm.raised_at.astimezone(zone):%H:%M:%S}"
    parts = [f"{head}{where}{', ' if is_english else ','}{when}"]
    parts += filter(None, (_since(reason, alarm, at, is_english=is_english), _act(rule, is_english=is_english)))
    text = ". ".join(parts) + "." if is_english else "。".join(parts) + "。"
    return text if len(text) <= MAX_TEXT else text[: MAX_TEXT - 1] + "…"


def place_words(place: str, title: str = "", *, is_english: bool) -> str:
    """3-2-03-0301 as people say it, as on the duty page; anything else as it is written.

    ``title`` is that of the device there: "1栋1单元1层 单元门" where the address says DOOR.
    """
    found = _ADDRESS.fullmatch(place)
    if found is None:
        return place
    building, unit, floor, room = found.groups()
    level = floor.lstrip("0") or floor[-1:]
    spot, is_named = _spot(room, title)
    if is_english:
        return f"Building {building}, unit {unit}, floor {level}, {spot}"
    storey = f"地下{level[1:]}层" if level.startswith("B") else f"{level}层"
    return f"{building}栋{unit}单元{storey}{' ' if is_named else ''}{spot}{'室' if spot.isdecimal() else ''}"


def _spot(room: str, title: str) -> tuple[str, bool]:
    """What people say for the last part of an address, and whether that is the device's title alone.

    A code of letters gives way to the title, one with a number only to a title that tells the same number: "A01" may
    be somebody's flat, and of two cabinets nobody must open the wrong one.
    """
    said, code = _BRACKET.sub("", title), _CODE.fullmatch(room)
    if code is None or not said:
        return room, False
    letters, number = code.groups()
    is_told = int(number) in map(int, re.findall(r"\d+", said)) if number else len(letters) > _SHORT
    return (said, True) if is_told else (f"{room} {said}", False)


def after_of(reason: str) -> float:
    """How long after what there was to tell a notice of this reason is given; 0: at once."""
    found = _AFTER.search(reason)
    return float(found[1]) if found else 0.0


def span(seconds: float, *, is_english: bool) -> str:
    """A length of time as people say it."""
    if seconds < 120:
        return f"{seconds:.0f} s" if is_english else f"{seconds:.0f} 秒"
    if seconds < 7200:
        return f"{seconds / 60:.0f} min" if is_english else f"{seconds / 60:.0f} 分钟"
    return f"{seconds / 3600:.0f} h" if is_english else f"{seconds / 3600:.0f} 小时"


def _heads(alarm: Alarm, *, is_english: bool) -> list[str]:
    heads = [CLASS_NAMES[alarm.alarm_class][is_english]]
    return [_DRILL[is_english], *heads] if Mark.DRILL in alarm.marks else heads


def _part(point_id: str, kind: str, *, is_english: bool) -> str:
    """Which of the repeated points of a device; "" where there is only one."""
    found = _REPEATED.search(point_id)
    if found is None:
        return ""
    if kind.endswith("-charger"):
        return f"socket {found[1]}" if is_english else f"{found[1]}号口"
    return f"no. {found[1]}" if is_english else f"{found[1]}号"


def _since(reason: str, alarm: Alarm, at: datetime, *, is_english: bool) -> str:
    """For how long nobody has taken it, verified it, or could hear of it; "" where it has just been raised."""
    kind = reason.partition("+")[0].partition("-")[0]
    if kind == "unverified" and alarm.taken_at is not None:
        waited = span(max(0.0, (at - alarm.taken_at).total_seconds()), is_english=is_english)
        who = alarm.taken_by
        return f"taken by {who} {waited} ago, not verified" if is_english else f"{who}已接警 {waited},尚未核实"
    after_s = after_of(reason)
    if after_s > 0:
        waited = span(after_s, is_english=is_english)
        return f"not taken for {waited}" if is_english else f"已 {waited}无人接警"
    if kind == "shown":
        waited = span(max(0.0, (at - alarm.raised_at).total_seconds()), is_english=is_english)
        return f"open for {waited}" if is_english else f"已持续 {waited}"
    return ""


def _act(rule: Rule, *, is_english: bool) -> str:
    """The one sentence that says what to do; the first step of the plan where there is none."""
    response = rule.response_en or rule.response if is_english else rule.response
    if response:
        return response.rstrip("。.")
    step = next(iter(rule.plan), "")
    return f"{'Do: ' if is_english else '请'}{step}" if step else ""
