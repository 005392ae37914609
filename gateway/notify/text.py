"""Room: notify. The words of a notice, Chinese or English. Pure; who gets it is `gateway.notify.policy`'s."""

from __future__ import annotations

from zoneinfo import ZoneInfo

from gateway.model import Alarm, AlarmClass, Rule

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


def notice_text(alarm: Alarm, rule: Rule, *, zone: ZoneInfo, language: str, after_s: float = 0.0) -> str:
    """One line: class, where, what, when, what to do first. ``after_s`` > 0 says that nobody has taken it since."""
    is_english = language == "en"
    what = rule.text or alarm.title
    when = f"{alarm.raised_at.astimezone(zone):%H:%M:%S}"
    name = CLASS_NAMES[alarm.alarm_class][is_english]
    if is_english:
        parts = [f"[{name}] {alarm.place} {what}, {when}"]
        if after_s > 0:
            parts.append(f"not taken for {after_s:g} s")
        parts += [f"Do: {step}" for step in rule.plan[:1]]
        text = ". ".join(parts) + "."
    else:
        parts = [f"【{name}】{alarm.place} {what},{when}"]
        if after_s > 0:
            parts.append(f"已 {after_s:g} 秒无人接警")
        parts += [f"请{step}" for step in rule.plan[:1]]
        text = "。".join(parts) + "。"
    return text if len(text) <= MAX_TEXT else text[: MAX_TEXT - 1] + "…"
