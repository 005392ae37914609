"""Simulators: the table on paper: what N gateways cost, multiplied from one that was measured. Pure.

Nothing here was run at that size; the text says so.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_MB = 1_000_000
_DAY_S = 86_400
_HEADERS = 66  # bytes of Ethernet, IP and TCP with time stamps, each segment
_SEGMENT = 1_448
EACH = "–"  # of a box, not of the cloud side: there is no sum
_EVENTS = 4  # of one alarm: raised, taken, returned, closed
_ALARMS_PER_H = 20
_EVENT_OVERHEAD = 120  # bytes of topic, MQTT and TLS of one message


def rows(found: Mapping[str, Any], gateways: int) -> list[tuple[str, str, str, str]]:
    """(Chinese, English, of one gateway, of all)."""
    mqtt, series, box = found["mqtt"], found["series"], found["box"]
    packets = mqtt["messages_per_s"] / 2 + series["posts_per_s"] * 2 + (mqtt["up_bytes_per_s"] / _SEGMENT)
    wire = mqtt["up_bytes_per_s"] + series["up_bytes_per_s"] + packets * _HEADERS

    events_per_s = _ALARMS_PER_H * _EVENTS / 3600
    event_bytes = mqtt["bytes_per_alarm_message"] + _EVENT_OVERHEAD

    def row(zh: str, en: str, one: float) -> tuple[str, str, str, str]:
        return zh, en, _number(one), _number(one * gateways)

    def each(zh: str, en: str, one: float) -> tuple[str, str, str, str]:
        return zh, en, _number(one), EACH

    return [
        row("设备", "devices", found["devices"]),
        row("读数每秒", "readings/s", found["readings_per_s"]),
        row("MQTT 消息每秒(QoS 1)", "MQTT messages/s (QoS 1)", mqtt["messages_per_s"]),
        row("MQTT 上行,含 TLS,MB/天", "MQTT upstream with TLS, MB/day", mqtt["up_bytes_per_s"] * _DAY_S / _MB),
        row("MQTT 下行(应答),MB/天", "MQTT downstream, MB/day", mqtt["down_bytes_per_s"] * _DAY_S / _MB),
        row("时序库写请求每秒", "time-series writes/s", series["posts_per_s"]),
        row("时序库上行,gzip 加 TLS,MB/天", "time-series upstream, gzip and TLS, MB/day",
            series["up_bytes_per_s"] * _DAY_S / _MB),
        row("两路上行合计,估计含 TCP/IP 头,kbit/s", "both upstream with TCP/IP headers (estimate), kbit/s",
            wire * 8 / 1000),
        row("只送报警时:MQTT 消息每秒", "alarms only: MQTT messages/s", events_per_s),
        row("只送报警时:MQTT 上行,MB/天", "alarms only: MQTT upstream, MB/day",
            events_per_s * event_bytes * _DAY_S / _MB),
        each("网桥 CPU(两路),一个核的 %", "bridge's CPU (both), % of a core", box["bridge_cpu_percent"]),
        each("网关写盘,MB/天", "the box's disk writes, MB/day", box["disk_bytes_per_s"] * _DAY_S / _MB),
    ]  # fmt: skip


def paper(found: Mapping[str, Any], gateways: int, lang: str = "zh") -> str:
    """As a Markdown table."""
    is_english = lang == "en"
    of = found["measured"]
    head = (
        f"| | one gateway, measured | {gateways:,} gateways, on paper |"
        if is_english
        else f"| | 一台,实测 | {gateways:,} 台,纸面 |"
    )
    lines = [head, "|---|---|---|"]
    lines += [f"| {en if is_english else zh} | {one} | {every} |" for zh, en, one, every in rows(found, gateways)]
    note = (
        f"One gateway measured for {of['seconds']} s (load of the machine {of['load'][0]}); the rest is multiplied."
        if is_english
        else f"一台实测 {of['seconds']} 秒(当时机器负载 {of['load'][0]});其余是乘出来的,没有运行过。"
    )
    return "\n".join((*lines, "", note))


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else (f"{value:,.1f}" if value >= 1 else f"{value:.3f}").removesuffix(".0")
