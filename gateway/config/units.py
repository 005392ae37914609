"""Configuration: units of limits in rules. A limit in a unit of the same quantity is converted to the point's.

What is measured in different ways (%LEL and ppm) is not converted: it depends on the gas. Comparing is `conditions`.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from fractions import Fraction
from typing import NamedTuple


class _Unit(NamedTuple):
    """value in the quantity's base unit = number × factor + offset."""

    quantity: str
    factor: Fraction
    offset: Fraction = Fraction(0)


def _same(text: str) -> str:
    """One spelling: ℃ as keyboards write it is °C, m³ is m3."""
    return unicodedata.normalize("NFKC", text.strip()).replace(" ", "")


_FACTORS: Mapping[str, Mapping[str, str]] = {  # factors as text: exact
    "temperature": {"°C": "1", "K": "1", "°F": "5/9"},
    "pressure": {"Pa": "1", "hPa": "100", "kPa": "1000", "MPa": "1000000", "mbar": "100", "bar": "100000"},
    "current": {"µA": "1/1000000", "uA": "1/1000000", "mA": "1/1000", "A": "1", "kA": "1000"},
    "voltage": {"mV": "1/1000", "V": "1", "kV": "1000"},
    "power": {"mW": "1/1000", "W": "1", "kW": "1000", "MW": "1000000"},
    "apparent power": {"VA": "1", "kVA": "1000"},
    "energy": {"Wh": "1", "kWh": "1000", "MWh": "1000000"},
    "flow": {"L/h": "1/60", "L/min": "1", "L/s": "60", "m³/h": "50/3", "m³/s": "60000"},
    "volume": {"mL": "1/1000", "L": "1", "m³": "1000"},
    "length": {"mm": "1/1000", "cm": "1/100", "m": "1", "km": "1000"},
    "mass": {"g": "1/1000", "kg": "1", "t": "1000"},
    "time": {"ms": "1/1000", "s": "1", "min": "60", "h": "3600"},
    "frequency": {"Hz": "1", "kHz": "1000"},
    "resistance": {"Ω": "1", "kΩ": "1000", "MΩ": "1000000"},
    "share": {"%": "1/100", "‰": "1/1000"},
    "lower explosive limit": {"%LEL": "1"},
    "volume of gas": {"%VOL": "10000", "ppm": "1", "ppb": "1/1000"},
    "mass of gas": {"µg/m³": "1/1000", "mg/m³": "1", "g/m³": "1000"},
    "humidity": {"%RH": "1"},
}
_OFFSETS = {"K": Fraction("-273.15"), "°F": Fraction(-160, 9)}
_UNITS: Mapping[str, _Unit] = {
    _same(name): _Unit(quantity, Fraction(factor), _OFFSETS.get(name, Fraction(0)))
    for quantity, names in _FACTORS.items()
    for name, factor in names.items()
}
_OF_GAS = {"lower explosive limit", "volume of gas", "mass of gas"}
_SPELT: Mapping[str, str] = {  # what people write instead
    "度": "°C", "摄氏度": "°C", "c": "°C", "华氏度": "°F", "f": "°F", "帕": "Pa", "千帕": "kPa", "兆帕": "MPa",
    "安": "A", "安培": "A", "毫安": "mA", "伏": "V", "伏特": "V", "千伏": "kV", "毫伏": "mV", "瓦": "W", "千瓦": "kW",
    "千瓦时": "kWh", "米": "m", "厘米": "cm", "毫米": "mm", "升": "L", "升/分钟": "L/min", "立方米": "m³", "公斤": "kg",
    "千克": "kg", "秒": "s", "分钟": "min", "小时": "h", "赫兹": "Hz", "欧": "Ω", "欧姆": "Ω", "百分比": "%",
    "percent": "%", "lel": "%LEL", "lel%": "%LEL",
}  # fmt: skip
_BY_CASE: dict[str, list[str]] = {}
for _names in _FACTORS.values():
    for _name in _names:
        _BY_CASE.setdefault(_same(_name).casefold(), []).append(_name)


def is_same(written: str, unit: str) -> bool:
    """Are the two the same unit, however they are typed?"""
    return _same(written) == _same(unit)


def converted(number: float, written: str, unit: str, *, is_change: bool = False) -> float | None:
    """``number`` of ``written`` in ``unit``; None where they measure different things.

    ``is_change``: a difference: 9 °F more are 5 °C more.
    """
    given, wanted = _UNITS.get(_same(written)), _UNITS.get(_same(unit))
    if given is None or wanted is None or given.quantity != wanted.quantity:
        return None
    exact = Fraction(repr(number)) * given.factor
    if not is_change:
        exact += given.offset - wanted.offset
    return float(exact / wanted.factor)


def meant(written: str, unit: str) -> str:
    """The spelling that was probably meant (瓦: W, kw: kW): the point's own unit, or one that can be converted."""
    spelt = _SPELT.get(_same(written).casefold())
    found = [spelt] if spelt else _BY_CASE.get(_same(written).casefold(), [])
    fitting = [each for each in found if is_same(each, unit) or converted(1.0, each, unit) is not None]
    if not fitting and _same(written).casefold() == _same(unit).casefold():
        return unit
    own = [each for each in fitting if is_same(each, unit)]
    return own[0] if own else fitting[0] if len(fitting) == 1 else ""


def are_of_gas(written: str, unit: str) -> bool:
    """Are both measures of gas, between which there is no fixed factor?"""
    both = [_UNITS[each].quantity for each in (_same(written), _same(unit)) if each in _UNITS]
    return len(both) == 2 and set(both) <= _OF_GAS


def like(unit: str) -> tuple[str, ...]:
    """The units that can be written for ``unit``, itself first."""
    own = _UNITS.get(_same(unit))
    others = (
        [] if own is None else [name for name in _FACTORS[own.quantity] if not is_same(name, unit) and name != "uA"]
    )
    return (unit, *others)
