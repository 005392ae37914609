"""The state of an alarm in the words of ISA-18.2, for export: derived from its parts, never kept. Pure.

It lives here and not with the alarm table because the store (bodies for the clouds) and the web say it too.
"""

from __future__ import annotations

from gateway.model.alarms import Alarm, AlarmCondition, Handling


def isa_state(alarm: Alarm) -> str:
    """NORMAL, UNACK, ACKED, RTN_UNACK, LATCHED_UNACK, LATCHED_ACK, SHELVED, SUPPRESSED_BY_DESIGN or OUT_OF_SERVICE.

    ISA-18.2 knows no 办结: what has returned, is not latched and was taken is NORMAL there, even while our list still
    keeps it for its outcome. Of several reasons to be silent the one that people must lift is told first.
    """
    if not alarm.is_open:
        return "NORMAL"
    return _flag(alarm) or _state(alarm)


def _flag(alarm: Alarm) -> str:
    if alarm.is_out_of_service:
        return "OUT_OF_SERVICE"
    if alarm.shelved_until_at is not None:
        return "SHELVED"
    return "SUPPRESSED_BY_DESIGN" if alarm.suppressed_by else ""


def _state(alarm: Alarm) -> str:
    is_acked = alarm.handling is not Handling.NEW
    if alarm.condition is AlarmCondition.ACTIVE:
        return "ACKED" if is_acked else "UNACK"
    if alarm.is_latched:
        return "LATCHED_ACK" if is_acked else "LATCHED_UNACK"
    return "NORMAL" if is_acked else "RTN_UNACK"
