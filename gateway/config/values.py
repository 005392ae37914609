"""Configuration: values of rules, which are text until the type of the point they are compared with is known."""

from __future__ import annotations

import math
import re
import unicodedata

from gateway.config.findings import NOTHING, Say
from gateway.model import Value

_NUMBER = re.compile(r"\s*([+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?)\s*(.*?)\s*", re.ASCII)
_WORDS = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}


class BadValueError(ValueError):
    """A text that cannot be the value: code, what is wrong, what to do."""

    def __init__(self, code: str, what: Say, fix: Say = NOTHING) -> None:
        super().__init__(what.en)
        self.code = code
        self.what = what
        self.fix = fix


def value_of(text: str, kind: str, unit: str) -> Value:
    """``text`` as a value of a point of type ``kind`` with ``unit``.

    Raises:
        BadValueError: it is no such value, or has another unit.
    """
    if kind == "text":
        return text
    if kind == "bool":
        return _switch(text)
    number = number_of(text, unit)
    if kind == "float":
        return number
    if not number.is_integer():
        raise BadValueError(
            "E603",
            Say(f'点是整数,"{text}" 不是', f'the point is a whole number, "{text}" is not'),
            Say("写整数", "write a whole number"),
        )
    return int(number)


def number_of(text: str, unit: str) -> float:
    """The number in ``text``; a unit behind it must be the point's own.

    Raises:
        BadValueError: it is no finite number, or has another unit.
    """
    found = _NUMBER.fullmatch(text)
    number = float(found[1]) if found else math.inf
    if found is None or not math.isfinite(number):
        raise BadValueError(
            "E603",
            Say(f'"{text}" 不是数', f'"{text}" is not a number'),
            Say("写数字,例如 10 或 60.5", "write a number, such as 10 or 60.5"),
        )
    written = unicodedata.normalize("NFKC", found[2])  # ℃ as keyboards write it is °C
    if written and written != unicodedata.normalize("NFKC", unit):
        raise _other_unit(found[2], unit)
    return number


def _switch(text: str) -> bool:
    found = _WORDS.get(text.strip().lower())
    if found is None:
        raise BadValueError(
            "E603",
            Say(f'"{text}" 不是开关值', f'"{text}" is not true or false'),
            Say("写 true 或 false", "write true or false"),
        )
    return found


def _other_unit(written: str, unit: str) -> BadValueError:
    if not unit:
        return BadValueError(
            "E604",
            Say(f'点没有单位,却写了 "{written}"', f'the point has no unit, but "{written}" is written'),
            Say("只写数字,或在档案里给点加上 unit", "write the number only, or add unit to the point in the profile"),
        )
    return BadValueError(
        "E604",
        Say(f'单位 "{written}" 与点的单位 "{unit}" 不一致', f'unit "{written}" differs from the point\'s "{unit}"'),
        Say(f"换算成 {unit} 再写", f'convert it to "{unit}"'),
    )
