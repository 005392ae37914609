"""Simulators: profiles as the devices see them: points, topics, JSON paths, registers. Pure; files are in `site`."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

from simulators.spec import BITS, REGISTERS, Behaviour, Register, SetTopic, SimError, SimPoint, Value

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_MANUAL_BASE = {"coil": 1, "discrete": 10_001, "input": 30_001, "holding": 40_001}
_MANUAL_BASE_LONG = {"coil": 1, "discrete": 100_001, "input": 300_001, "holding": 400_001}
_TRUE = ("true", "yes", "on", "1")


def duration_s(text: str) -> float:
    """Seconds of ``30s``, ``1m30s``, ``12h`` or a bare number."""
    pieces = re.findall(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)?", text)
    if not pieces or "".join(a + b for a, b in pieces) != text.strip():
        raise SimError(f"看不懂的时长 {text!r}(写成 30s、5m、12h)", f"not a duration: {text!r} (write 30s, 5m, 12h)")
    return sum(float(n) * _UNITS[unit or "s"] for n, unit in pieces)


def json_path(text: str) -> tuple[str | int, ...]:
    """``$.a.b[0]`` as ("a", "b", 0); ``$`` is the payload itself."""
    found: list[str | int] = []
    for name, quoted, index in re.findall(r"\.([^.\[\]]+)|\[['\"]([^'\"]+)['\"]\]|\[(\d+)\]", text):
        found.append(int(index) if index else name or quoted)
    return tuple(found)


def convert(text: Any, kind: str) -> Value:
    """A scalar written as text, as a value of the point's type.

    Raises:
        SimError: the text is no such value.
    """
    word = str(text).strip()
    if kind == "text":
        return word
    if kind == "bool":
        if word.lower() not in (*_TRUE, "false", "no", "off", "0"):
            raise SimError(f"{word!r} 不是开关量(写 true 或 false)", f"{word!r} is no bool (write true or false)")
        return word.lower() in _TRUE
    try:
        number = int(word, 0) if kind == "int" else float(word)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise SimError(f"{word!r} 不是数", f"{word!r} is not a number")
    return number


def value_type(raw: str) -> str:
    """Which of bool, int, float and text stands for any type a profile may name."""
    if raw in ("bool", "int", "float", "text"):
        return raw
    if raw in ("str", "string"):
        return "text"
    if raw.startswith("float"):
        return "float"
    return "int"


def points(profile: Mapping[str, Any]) -> dict[str, SimPoint]:
    """Every point of a profile, repeated ones as ``name.1`` ... ``name.n``; topics still hold their ``{...}``."""
    made = {}
    for name, raw in (profile.get("points") or {}).items():
        repeat = int(raw.get("repeat") or 0)
        for index in range(1, repeat + 1) if repeat else (None,):
            point = _point(profile, name, raw, index)
            made[point.name] = point
    return made


def _point(profile: Mapping[str, Any], name: str, raw: Mapping[str, Any], index: int | None) -> SimPoint:
    register = _register(profile, raw, index) if profile.get("via") == "modbus" else None
    kind = "text" if register is not None and ("as" in raw or "words" in raw) else value_type(raw.get("type", "bool"))
    is_scaled = register is not None and (register.scale, register.offset) != (1.0, 0.0)
    low, high = [float(each) for each in raw.get("range") or ()] or (None, None)
    return SimPoint(
        name=name if index is None else f"{name}.{index}",
        base=name,
        index=index,
        type="float" if kind == "int" and is_scaled else kind,
        unit=raw.get("unit", ""),
        alarm_class=raw.get("class", ""),
        is_event=convert(raw.get("event", "false"), "bool") is True,
        is_writable="set" in raw or convert(raw.get("writable", "false"), "bool") is True,
        low=low,
        high=high,
        path=json_path(raw.get("from", "$").replace("{n}", str(index))),
        scale=float(raw.get("scale", 1)),
        offset=float(raw.get("offset", 0)),
        is_inverted=convert(raw.get("invert", "false"), "bool") is True,
        readback=raw.get("readback", ""),
        words={said: convert(meant, kind) for said, meant in (raw.get("words") or {}).items()},
        set_topic=SetTopic(raw["set"]["topic"], raw["set"].get("payload", "{value}")) if "set" in raw else None,
        register=register,
        counter=raw.get("counter", ""),
    )


def _register(profile: Mapping[str, Any], raw: Mapping[str, Any], index: int | None) -> Register:
    table, kind = raw["table"], raw.get("type", "bool" if raw["table"] in BITS else "uint16")
    if table not in _MANUAL_BASE or (kind != "bool" and kind not in REGISTERS):
        raise SimError(f"不认识的寄存器 {table}/{kind}", f"unknown register {table}/{kind}")
    width = 1 if kind == "bool" else REGISTERS[kind]
    text, bit, nth = raw["address"], int(raw["bit"]) if "bit" in raw else None, (index or 1) - 1
    address = _wire(int(text, 16 if text.lower().startswith("0x") else 10), table, profile.get("addressing", "pdu"))
    if bit is None or "stride" in raw:
        address += int(raw.get("stride", width)) * nth
    else:  # bits of a repeated point go on into the next register
        address, bit = address + (bit + nth) // 16, (bit + nth) % 16
    return Register(
        table=table,
        address=address,
        type=kind,
        word_order=raw.get("word_order") or profile.get("word_order") or "ABCD",
        scale=float(raw.get("scale", 1)),
        offset=float(raw.get("offset", 0)),
        bit=bit,
    )


def _wire(number: int, table: str, addressing: str) -> int:
    """The 0-based address on the wire; a manual counts from 1 and may carry the table's leading digit."""
    if addressing != "manual":
        return number
    for base in (_MANUAL_BASE_LONG[table], _MANUAL_BASE[table]):
        if number >= base:
            return number - base
    return number - 1


def behaviour(profile: Mapping[str, Any], made: Mapping[str, SimPoint]) -> Behaviour:
    """The ``sim:`` section; values are converted by the type of the point they are for."""
    raw = profile.get("sim") or {}
    types = {p.base: p.type for p in made.values()} | {p.name: p.type for p in made.values()}

    def values(section: str) -> dict[str, Value]:
        return {name: convert(text, types.get(name, "text")) for name, text in (raw.get(section) or {}).items()}

    return Behaviour(
        every_s=duration_s(raw.get("every", "60s")),
        hold_s=duration_s(raw.get("hold", "1s")),
        idle=values("idle"),
        wobble={name: float(text) for name, text in (raw.get("wobble") or {}).items()},
        press=values("press"),
        release=values("release"),
        retain=convert(raw.get("retain", "false"), "bool") is True,
        gaps=raw.get("gaps", "refuse"),
        time_format=raw.get("time_format", "ms"),
        seq=json_path(raw.get("seq", "$")),
        auto_s=duration_s(raw.get("auto", "0s")),
        pulse_s={name: duration_s(text) for name, text in (raw.get("pulse") or {}).items()},
    )
