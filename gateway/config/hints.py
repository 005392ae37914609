"""Configuration: what people write who have not read the manual, and what it is called there. Only words, no rules.

A misspelling is found by likeness (`findings.nearest`); here is what is spelt well and called otherwise.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping
from datetime import date

from gateway.config.findings import Say

_KEYS: Mapping[str, tuple[str, ...]] = {  # the key -> what is written instead
    "is": ("equals", "equal", "eq", "value", "state", "等于", "是"),
    "above": (
        "gt",
        "ge",
        "gte",
        "greater",
        "greater_than",
        "over",
        "more_than",
        "higher",
        "max",
        "高于",
        "大于",
        "超过",
    ),
    "below": ("lt", "le", "lte", "less", "less_than", "under", "lower", "min", "低于", "小于"),
    "changed_to": ("changes_to", "becomes", "on_change", "变成", "变为"),
    "for": ("duration", "delay", "on_delay", "hold", "lasting", "持续", "延时"),
    "clear_for": ("off_delay", "持续恢复"),
    "clear": ("hysteresis", "deadband", "reset_below", "恢复"),
    "same": ("scope", "group_by", "范围"),
    "within": ("window", "during", "in_time", "scope", "范围", "时间窗"),
    "times": ("count", "repeat", "次数"),
    "absent": ("no_data", "timeout", "silent", "无数据"),
    "kind": ("device_type", "devicetype", "类别"),
    "point": ("attribute", "property", "sensor", "点", "点名"),
    "class": ("severity", "level", "priority", "type", "级别", "类型"),
    "text": ("message", "msg", "description", "内容"),
    "raise": ("alarm", "alert", "then", "报警"),
    "when": ("if", "condition", "trigger", "如果", "条件"),
    "do": ("action", "actions", "then_do", "动作", "联动"),
    "tell": ("notify", "notification", "alert_to", "send", "通知"),
    "to": ("recipient", "who", "user"),
    "by": ("via", "channel", "channels", "method"),
    "after": ("delay", "wait"),
    "every": ("repeat", "interval"),
    "title": ("label", "display_name", "标题", "名称"),
    "rule": ("id", "name", "规则"),
    "only": ("calendar", "schedule", "time", "时间"),
    "shelve": ("snooze", "mute"),
    "value": ("set", "state", "to"),
    "at": ("address", "id", "location", "地址"),
}
_ALONE = Say(
    "规则按类别找设备;只管一部分就给它们写 tags(devices/*.yaml),这里写 tag",
    "a rule finds devices by kind: give some of them tags in devices/*.yaml and write tag here",
)
_PLACES = {
    "device",
    "device_id",
    "id",
    "at",
    "address",
    "zone",
    "building",
    "room",
    "unit",
    "floor",
    "location",
    "where",
}
_WORDS: Mapping[str, str] = {
    "火警": "fire", "火灾": "fire", "燃气": "gas", "煤气": "gas", "求助": "sos", "呼救": "sos", "治安": "security",
    "安防": "security", "预警": "warning", "警告": "warning", "监管": "supervisory", "故障": "fault",
    "维护": "maintenance",
    "warn": "warning", "警报": "warning",
    "设备": "device", "房间": "room", "户": "room", "楼层": "floor", "单元": "unit",
    "楼栋": "building", "楼": "building",
    "分区": "zone", "小区": "site", "全部": "site", "all": "site", "house": "room", "flat": "room",
    "线路": "line", "机柜": "cabinet", "上行": "uplink", "消音": "silenced", "复位": "reset",
    "周一": "mon", "周二": "tue", "周三": "wed", "周四": "thu", "周五": "fri", "周六": "sat", "周日": "sun",
    "monday": "mon", "tuesday": "tue", "wednesday": "wed", "thursday": "thu", "friday": "fri", "saturday": "sat",
    "sunday": "sun", "每天": "daily", "everyday": "daily", "工作日": "weekdays", "周末": "weekend",
    "mon-fri": "weekdays", "周一到周五": "weekdays", "周一至周五": "weekdays", "双休日": "weekend",
    "1": "mon", "2": "tue", "3": "wed", "4": "thu", "5": "fri", "6": "sat", "7": "sun",
    "接警": "take", "核实": "verify", "备注": "note", "到场": "arrive", "办结": "close", "搁置": "shelve",
    "操作": "operate", "开门": "operate", "值班": "duty", "值班员": "duty", "主管": "supervisor",
    "物业": "property", "网格": "grid", "家属": "family", "街道": "street",
}  # fmt: skip
_SAMPLES: Mapping[str, str] = {
    "when": "when: {kind: smoke, point: alarm, is: true}",
    "raise": "raise: {class: warning, text: 一句话}",
    "tell": "tell: [{to: duty, by: [console], after: 0s}]",
    "do": "do: [{kind: siren, point: on, within: building, value: true}]",
    "first": "first: {kind: door, point: forced, is: true}",
    "then": "then: {kind: motion, point: motion, is: true}",
}
_UNITS: Mapping[str, str] = {
    "秒": "s", "秒钟": "s", "sec": "s", "secs": "s", "second": "s", "seconds": "s", "分": "m", "分钟": "m", "min": "m",
    "mins": "m", "minute": "m", "minutes": "m", "小时": "h", "个小时": "h", "钟头": "h", "hr": "h", "hrs": "h",
    "hour": "h", "hours": "h", "天": "d", "日": "d", "day": "d", "days": "d", "毫秒": "ms",
}  # fmt: skip
_TIME = re.compile(r"(\d+(?:\.\d+)?)\s*([^\d\s.]*)", re.ASCII)
_CLOCK = re.compile(r"(上午|下午|早上|晚上|晚|早)?(\d{1,2})(?:[点时:.]?(\d{2})?(半)?)(?:分|整)?(am|pm)?", re.ASCII)
_DATE = re.compile(r"(\d{4})\D(\d{1,2})\D(\d{1,2})\D?", re.ASCII)
_SECONDS = {"h": 3600, "m": 60, "s": 1}


def key_for(written: str, allowed: Iterable[str]) -> str:
    """The key that is called otherwise here; "" where nothing is known."""
    word, known = written.strip().lower().replace("-", "_"), set(allowed)
    return next((key for key, others in _KEYS.items() if word in others and key in known), "")


def way_out(written: str, allowed: Iterable[str]) -> Say | None:
    """What to do about a key that has no counterpart: a place or a device in a condition."""
    known = set(allowed)
    if written in {"time", "times", "hours", "时间"} and {"from", "to"} <= known:
        return Say('写 from: "08:00", to: "12:00"', 'write from: "08:00", to: "12:00"')
    return _ALONE if written in _PLACES and {"point", "tag"} <= known else None


def clock_for(written: str) -> str:
    """The time of day that was probably meant (8点: 08:00, 10:00pm: 22:00); "" where it is anybody's guess."""
    text = unicodedata.normalize("NFKC", written).strip().lower().replace(" ", "")
    found = _CLOCK.fullmatch(text)
    if not found:
        return ""
    early, hour, minute, half, late = found.groups()
    hours = int(hour) + (12 if late == "pm" and int(hour) < 12 else 0)
    if early in {"下午", "晚上", "晚"} and hours < 12:
        hours += 12
    minutes = 30 if half else int(minute or 0)
    return f"{hours:02d}:{minutes:02d}" if hours < 24 and minutes < 60 else ""


def date_for(written: str) -> str:
    """The date that was probably meant (2026/10/1: 2026-10-01); "" where there is no such date."""
    found = _DATE.fullmatch(unicodedata.normalize("NFKC", written).strip())
    try:
        return date(*map(int, found.groups())).isoformat() if found else ""
    except ValueError:
        return ""


def word_for(written: str, allowed: Iterable[str]) -> str:
    """The allowed word that means what is written; "" where nothing is known."""
    found = _WORDS.get(written.strip().lower(), "")
    return found if found in set(allowed) else ""


def sample_of(key: str) -> str:
    """How it is written, for keys that beginners give a single word; "" for the others."""
    return _SAMPLES.get(key, "")


def duration_for(written: str) -> str:
    """The duration that was probably meant (5分钟: 5m, 1h30m: 90m); "" where it is anybody's guess."""
    text = unicodedata.normalize("NFKC", written).strip().lower()
    parts = [(number, _UNITS.get(unit, unit)) for number, unit in _TIME.findall(text)]
    is_whole = _TIME.sub("", text).strip() == ""
    if not parts or not is_whole or any(unit not in {"ms", "s", "m", "h", "d"} for _, unit in parts):
        return ""
    if len(parts) == 1:
        return "".join(parts[0])
    if any(unit not in _SECONDS for _, unit in parts):
        return ""
    total = sum(float(number) * _SECONDS[unit] for number, unit in parts)
    return f"{total / 60:g}m" if total % 60 == 0 else f"{total:g}s"


def by_title(written: str, titles: Mapping[str, str]) -> str:
    """The only name whose title has every character of what is written (烟感: 感烟探测器)."""
    word = set(written.strip())
    if not word or any(each.isascii() for each in word):
        return ""
    found = {name for name, title in titles.items() if word <= set(title)}
    return found.pop() if len(found) == 1 else ""
