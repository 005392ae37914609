"""Room: rules. Conditions on one value compiled to closures, called once per reading of each of their points.

A *level* condition says whether a value is in alarm, an *event* condition whether a change is one.
What needs more than one value (several devices, times, readings) has a judge: `gateway.rules.kinds`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from gateway.model import Condition, Point, Rule

Test = Callable[[Any, bool], bool]
"""(value, whether the condition was met) -> whether it is met."""


def _equals(condition: Condition) -> Test:
    wanted = condition.value
    return lambda value, _met: value == wanted


def _above(condition: Condition) -> Test:
    limit, clear = condition.value, condition.clear
    if clear is None or clear == limit:
        return lambda value, _met: value > limit
    return lambda value, met: value > limit or (met and value > clear)


def _below(condition: Condition) -> Test:
    limit, clear = condition.value, condition.clear
    if clear is None or clear == limit:
        return lambda value, _met: value < limit
    return lambda value, met: value < limit or (met and value < clear)


LEVELS: dict[str, Callable[[Condition], Test]] = {"equals": _equals, "above": _above, "below": _below}
EVENTS: dict[str, Callable[[Condition], Test]] = {"changed_to": _equals}

_FITS: dict[str, tuple[type, ...]] = {"bool": (bool,), "int": (int, float), "float": (int, float), "text": (str,)}
NUMBERS = ("int", "float")


def is_event(condition: Condition) -> bool:
    """Does it fire on a change (and return only by a person) rather than hold while something lasts?"""
    return condition.kind == "sequence" or (condition.kind in EVENTS and condition.count <= 1)


def compile_test(rule: Rule) -> Test:
    """The closure of the rule's condition. Raises ValueError for a condition that makes no sense."""
    test = compile_part(rule, rule.condition)
    check_times(rule)
    return test


def compile_part(rule: Rule, condition: Condition) -> Test:
    """The closure of a condition on one value. Raises ValueError where it is none."""
    make = LEVELS.get(condition.kind) or EVENTS.get(condition.kind)
    if make is None:
        msg = f"rule {rule.id}: no condition is called {condition.kind!r}"
        raise ValueError(msg)
    return make(condition)


def check_times(rule: Rule) -> None:
    """Raise ValueError where ``for`` and ``clear_for`` make no sense."""
    if is_event(rule.condition) and (rule.for_s or rule.clear_for_s):
        msg = f"rule {rule.id}: an event ({rule.condition.kind}) has no duration; remove for and clear_for"
        raise ValueError(msg)
    if min(rule.for_s, rule.clear_for_s) < 0:
        msg = f"rule {rule.id}: for and clear_for must not be negative"
        raise ValueError(msg)


def check_fits(rule: Rule, point: Point, condition: Condition | None = None) -> None:
    """Raise ValueError where the condition (the rule's, or a part of it) can never be true of the point's type."""
    condition = condition or rule.condition
    is_threshold = condition.kind in {"above", "below"}
    if type(condition.value) in _FITS[point.type] and not (is_threshold and point.type not in NUMBERS):
        return
    msg = f"rule {rule.id}: {condition.kind} {condition.value!r} cannot be true of {point.id}, which is {point.type}"
    raise ValueError(msg)
