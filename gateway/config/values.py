"""Configuration: values of rules, which are text until the type of the point they are compared with is known."""

from __future__ import annotations

import math
import re
import unicodedata

from gateway.config.findings import NOTHING, Say
from gateway.config.units import are_of_gas, converted, is_same, like, meant
from gateway.model import Value

_NUMBER = re.compile(r"\s*([+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?)\s*(.*?)\s*", re.ASCII)
_SIGNED = re.compile(r"\s*[<>=]+\s*")
_GROUPED = re.compile(r"\s*[+-]?\d{1,3}(?:[ ,']\d{3})+(?!\d).*", re.ASCII)
_SPAN = re.compile(r"\s*\d[\d.]*\s*(?:[-~]|到|至)\s*\d.*", re.ASCII)
_WORDS = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}
_EITHER = Say(
    "写 true 或 false;哪一个是什么,看档案里点的 title",
    "write true or false: the title of the point says which is which",
)
_SWITCHES = {"是": "true", "真": "true", "否": "false", "假": "false", "1": "true", "0": "false"}  # 开 may be either


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


def number_of(text: str, unit: str, *, is_change: bool = False) -> float:
    """The number in ``text``, in the point's ``unit``; what is written in another of the same quantity is converted.

    ``is_change``: a difference, such as ``rises: 9 °F``.

    Raises:
        BadValueError: it is no finite number, or has a unit that cannot be converted.
    """
    found = None if _GROUPED.fullmatch(text) or _SPAN.fullmatch(text) else _NUMBER.fullmatch(text)
    number = float(found[1]) if found else math.inf
    if found is None or not math.isfinite(number):
        raise BadValueError("E603", Say(f'"{text}" 不是数', f'"{text}" is not a number'), _as_number(text))
    written = found[2]
    if not written or is_same(written, unit):
        return number
    exact = converted(number, written, unit, is_change=is_change) if unit else None
    if exact is None:
        raise _other_unit(found[1], written, unit)
    return exact


def _as_number(text: str) -> Say:
    """What to write instead of what is no number."""
    plain = unicodedata.normalize("NFKC", text)
    if _GROUPED.fullmatch(plain):
        return Say("数字中间不要空格和逗号,例如 1000", "no spaces or commas within a number, such as 1000")
    if (sign := _SIGNED.match(plain)) is not None:
        rest = plain[sign.end() :]
        return Say(f"只写 {rest},不要写大于号、小于号", f"write {rest} only, without the sign")
    if _SPAN.fullmatch(plain):
        return Say(
            "一条规则只比一个界限:上限用 above,下限用 below,各写一条规则",
            "one limit a rule: above in one rule, below in another",
        )
    if plain != text and _NUMBER.fullmatch(plain):
        return Say(f"用半角的数字和符号: {plain}", f"use half-width characters: {plain}")
    return Say("写数字,例如 10 或 60.5", "write a number, such as 10 or 60.5")


def _switch(text: str) -> bool:
    word = text.strip().lower()
    found = _WORDS.get(word)
    if found is None:
        instead = _SWITCHES.get(word)
        raise BadValueError(
            "E603",
            Say(f'"{text}" 不是开关值', f'"{text}" is not true or false'),
            Say(f"写 {instead}", f"write {instead}") if instead else _EITHER,
        )
    return found


def _other_unit(number: str, written: str, unit: str) -> BadValueError:
    if not unit:
        return BadValueError(
            "E604",
            Say(f'点没有单位,却写了 "{written}"', f'the point has no unit, but "{written}" is written'),
            Say("只写数字,或在档案里给点加上 unit", "write the number only, or add unit to the point in the profile"),
        )
    what = Say(f'单位 "{written}" 与点的单位 "{unit}" 不一致', f'unit "{written}" differs from the point\'s "{unit}"')
    spelt = meant(written, unit)
    if spelt:
        return BadValueError("E604", what, Say(f"写 {number} {spelt}", f"write {number} {spelt}"))
    if are_of_gas(written, unit):
        return BadValueError(
            "E604",
            what,
            Say(
                f"两者之间没有固定的换算,随气体不同;照探测器说明书写 {unit} 的数",
                f"there is no fixed factor, it depends on the gas: see the detector's manual for {unit}",
            ),
        )
    usable = "、".join(like(unit))
    return BadValueError(
        "E604", what, Say(f"换成 {usable} 里的一种,或不写单位", f"use one of {', '.join(like(unit))}, or no unit")
    )
