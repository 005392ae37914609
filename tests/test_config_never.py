"""Rules that could never fire, and limits in other units: what the check says is what the engine would do."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.config.calendars import longest_open_s, never_both
from gateway.config.desk import Mould
from gateway.config.possible import verdict
from gateway.config.units import converted
from gateway.config.values import BadValueError, number_of
from gateway.model import Calendar, Value, Window
from gateway.rules.expressions import compile_expression
from tests.support_config import checked, laid_out


def mould(name: str, kind: str, low: float | None = None, high: float | None = None) -> Mould:
    """A point of a profile."""
    return Mould(name, f"/{name}", name, kind, "", None, "", low, high, is_writable=False, is_event=False, params=None)


POINTS = [mould("on", "bool"), mould("power", "float", 0, 3000), mould("floor", "int", -2, 60), mould("state", "text")]
POINTS += [mould("volts", "float", 60, 5000), mould("mode", "text")]
PLAIN = [
    *("on", "!on", "state == 'open'", "state != 'open'", "power > floor", "floor >= power", "power == volts"),
    *("volts != floor", "state == mode", "state != mode", "mode < 'm'", r"mode == 'it\'s'"),
]
COMPARISONS = st.one_of(
    st.sampled_from(PLAIN),
    st.builds(
        "{} {} {}".format,
        st.sampled_from(["power", "floor"]),
        st.sampled_from(["<", "<=", ">", ">=", "==", "!="]),
        st.sampled_from(["-2", "0", "3", "3.5", "60", "61", "3000", "1e3"]),
    ),
)
EXPRESSIONS = st.recursive(
    COMPARISONS,
    lambda parts: st.one_of(st.builds("({} && {})".format, parts, parts), st.builds("({} || {})".format, parts, parts)),
    max_leaves=4,
)
VALUES = st.fixed_dictionaries(
    {
        "on": st.booleans(),
        "power": st.floats(0, 3000) | st.sampled_from([0.0, 3.0, 3.5, 60.0, 61.0, 1000.0, 3000.0]),
        "floor": st.integers(-2, 60).map(float),
        "state": st.sampled_from(["open", "closed", ""]),
        "volts": st.floats(60, 5000) | st.sampled_from([60.0, 61.0, 1000.0, 3000.0, 5000.0]),
        "mode": st.sampled_from(["open", "closed", "it's"]),
    }
)


@given(EXPRESSIONS, st.lists(VALUES, min_size=1, max_size=20))
def test_what_is_called_impossible_is_never_true(expression: str, moments: list[dict[str, Value]]) -> None:
    """No values that the points can have make an expression true that the check refuses, or false that it warns of."""
    said = verdict(expression, POINTS, compile_expression)
    answer = compile_expression(expression, {each.base: each.type for each in POINTS})
    found = {answer(values) for values in moments}
    assert said is None or found == {said}


@pytest.mark.parametrize(
    ("expression", "said"),
    [
        ("power > 800 && power < 500", False),
        ("on && !on", False),
        ("power > 3000", False),
        ("floor > 3 && floor < 4", False),
        ("power > 3 && power < 4", None),
        ("floor > power && power > floor", False),
        ("state == 'open' && state == 'closed'", False),
        ("power >= 0", True),
        ("power > -1 || on", True),
        ("power == volts", None),
        ("floor > volts", False),
        ("state != mode", None),
        ("state < 'a' && state > 'b'", None),  # texts are not put in order
        ("state == 'it\\'s'", None),
        ("power * 2.0 > 9000", None),  # what computes is not judged
        ("power > 100 && on // never: power > 9999", None),
    ],
)
def test_contradictions_are_seen(expression: str, said: bool | None) -> None:
    """Parts that exclude each other, limits beyond the range; and nothing is said where it is not certain."""
    assert verdict(expression, POINTS, compile_expression) is said


def test_limits_in_other_units_are_those_of_the_point(tmp_path: Path) -> None:
    """140 °F and 0.5 kW mean 60 °C and 500 W to the engine, and clear is converted too."""
    site = checked(laid_out("when-unit-converted", tmp_path)).site
    assert site is not None
    (rule,) = [each for each in site.rules if each.id == "r"]
    first, then = rule.condition.parts
    assert (first.condition.value, first.condition.clear, then.condition.value) == (60.0, 50.0, 500.0)


@pytest.mark.parametrize(
    ("text", "unit", "is_change", "value"),
    [
        ("60", "°C", False, 60.0),
        ("60℃", "°C", False, 60.0),
        ("32 °F", "°C", False, 0.0),
        ("9 °F", "°C", True, 5.0),
        ("5 K", "°C", True, 5.0),
        ("0.3 MPa", "kPa", False, 300.0),
        ("3 bar", "kPa", False, 300.0),
        ("0.03 A", "mA", False, 30.0),
        ("7 kW", "W", False, 7000.0),
        ("1.2 m³/h", "L/min", False, 20.0),
        ("1.2 m3/h", "L/min", False, 20.0),
        ("80 ％", "%", False, 80.0),
        ("1e-300 kW", "W", False, 1e-297),
    ],
)
def test_units_of_one_quantity_are_converted(text: str, unit: str, is_change: bool, value: float) -> None:
    """With the unit, without it, in another of the same quantity; a change has no zero point."""
    assert number_of(text, unit, is_change=is_change) == value


@pytest.mark.parametrize(
    ("text", "unit", "fix"),
    [
        ("500 ppm", "%LEL", "随气体不同"),
        ("5 %LEL", "ppm", "随气体不同"),
        ("60 度", "°C", "写 60 °C"),
        ("60 c", "°C", "写 60 °C"),
        ("1 KW", "W", "写 1 kW"),
        ("30 毫安", "mA", "写 30 mA"),
        ("2 mw", "W", "换成 W、"),  # milli or mega: nobody knows
        ("60 W", "", "只写数字"),
        ("60 kg", "W", "换成 W、"),
        ("60 foo", "bar2", "换成 bar2"),
        ("６０", "W", "半角"),
        ("> 60", "W", "只写 60"),
        ("1,000 W", "W", "数字中间"),
        ("10-60", "W", "一条规则只比一个界限"),
        ("sixty", "W", "写数字"),
    ],
)
def test_what_is_no_number_or_another_unit_is_told_with_the_way_out(text: str, unit: str, fix: str) -> None:
    """Chinese names of units, wrong capitals, signs, separators: each says what to write instead."""
    with pytest.raises(BadValueError) as caught:
        number_of(text, unit)
    assert fix in caught.value.fix.zh
    assert caught.value.fix.en


@given(st.floats(-1e6, 1e6), st.sampled_from([("°F", "°C"), ("MPa", "kPa"), ("A", "mA"), ("m³/h", "L/min")]))
def test_there_and_back_is_the_same(number: float, units: tuple[str, str]) -> None:
    """Conversions are exact but for the last digit."""
    there = converted(number, *units)
    assert there is not None
    assert converted(there, units[1], units[0]) == pytest.approx(number, rel=1e-12, abs=1e-9)


def test_days_off_of_unless_are_time() -> None:
    """Working hours, unless it is a working day: that is what holidays are."""
    days = frozenset(range(5))
    hours = (Window(days, 8 * 60, 17 * 60),)
    assert never_both(Calendar("a", hours), Calendar("b", hours))
    assert not never_both(Calendar("a", hours), Calendar("b", hours, frozenset({"2026-10-01"})))
    assert never_both(Calendar("a", hours, frozenset({"2026-10-01"})), Calendar("b", hours, frozenset({"2026-10-01"})))


def test_the_longest_time_a_calendar_leaves() -> None:
    """Windows that touch are one; a week goes on into the next; always open has no end."""
    days = frozenset(range(7))
    night = Calendar("n", (Window(days, 22 * 60, 7 * 60),))
    assert longest_open_s(night, None) == 9 * 3600
    assert longest_open_s(None, night) == 15 * 3600
    halves = Calendar("h", (Window(days, 0, 12 * 60), Window(days, 12 * 60, 24 * 60)))
    assert longest_open_s(halves, None) is None
    weekend = Calendar("w", (Window(frozenset({5, 6}), 0, 24 * 60),))
    assert longest_open_s(weekend, None) == 48 * 3600
    assert longest_open_s(Calendar("s", (Window(frozenset({6, 0}), 0, 24 * 60),)), None) == 48 * 3600  # over Sunday
