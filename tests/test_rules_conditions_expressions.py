"""General expressions: what an installer writes means what he means, and what is wrong is said with its place."""

from __future__ import annotations

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.model import AlarmClass, Condition, Value
from gateway.rules.expressions import MAX_TEXT, check_expression, compile_expression, names_of
from tests.support_rules import Player, device, rule, site

TYPES = {"temp": "float", "count": "int", "on": "bool", "name": "text", "current": "float"}


@pytest.mark.parametrize(
    ("text", "values", "wanted"),
    [
        ("temp > 60", {"temp": 60.5}, True),
        ("temp > 60", {"temp": 60.0}, False),
        ("temp > 0x3c", {"temp": 60.5}, True),
        ("count == 3", {"count": 3.0}, True),
        ("count in [1, 2, 3]", {"count": 3.0}, True),
        ("!on && current > 0.1", {"on": False, "current": 0.2}, True),
        ("on ? temp >= 60 : temp > -5", {"on": True, "temp": 60.0}, True),
        ("name == '60' || name.startsWith(\"门 7\")", {"name": "门 7 号"}, True),
        ("temp > 1e1 && temp < .5e2 // 10 到 50", {"temp": 20.0}, True),
        ("temp * 2 + 1 > 4", {"temp": 2.0}, True),
    ],
)
def test_numbers_mean_what_they_say(text: str, values: dict[str, Value], wanted: bool) -> None:
    """60, 60.0 and 0x3c are one number, whether the point is a whole number or not; texts are left alone."""
    types = {name: TYPES[name] for name in values}
    assert check_expression(text, types) == []
    assert compile_expression(text, types)(values) is wanted


@pytest.mark.parametrize(
    ("text", "where", "words"),
    [
        ("temp > 60 && temo < 100", (1, 14), '没有名为 "temo" 的点'),
        ("on &&\n  count > 5 &&\n  tmp > 1", (3, 3), "tmp"),
        ("'五 5' == name && temp > 60 && on > 3", (1, 34), "不能用于 开关量、数字"),
        ("temp >", (1, 7), "写法有误"),
        ("temp = 60", (1, 6), "写法有误"),
        ("temp", (1, 1), "true or false"),
        ("", (1, 1), "写法有误"),
        ("[1, 2].all(x, x > 0)", (1, 8), "没有上限"),
        ("(" * 300 + "on" + ")" * 300, (1, 1), "嵌套太深"),
        ("on " + "&& on " * MAX_TEXT, (1, 1), "超过"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(text: str, where: tuple[int, int], words: str) -> None:
    """Line and column are those of the text as it was written, not as the library was given it."""
    line, column, said = check_expression(text, TYPES)[0]
    assert (line, column) == where
    assert words in said
    with pytest.raises(ValueError, match="line"):
        compile_expression(text, TYPES)


def test_every_unknown_name_is_found_at_once() -> None:
    """All mistakes are told together."""
    assert [each[:2] for each in check_expression("a > 1 && b < 22 && c", TYPES)] == [(1, 1), (1, 10), (1, 20)]


def test_names_are_those_of_points() -> None:
    """Functions, members, texts and comments are no points."""
    text = "!on && size(name) == 1 && name.startsWith('temp') && \"count\" != name // current\n && temp > 1"
    assert names_of(text) == ("on", "name", "temp")


@settings(max_examples=300, deadline=None)
@given(st.text(alphabet=st.sampled_from("on temp 160.5+-*/()!&|=<>'\"\\[]?:,\n中名x."), max_size=60))
def test_any_text_is_checked_without_harm(text: str) -> None:
    """Whatever somebody types: a place within it, or an expression that can be evaluated; never a crash."""
    found = check_expression(text, TYPES)
    lines = text.split("\n")
    for line, column, _ in found:
        assert 1 <= line <= len(lines)
        assert 1 <= column <= len(lines[line - 1]) + 1
    if not found:
        answer = compile_expression(text, TYPES)
        values: dict[str, Value] = {"temp": 1.0, "count": 2.0, "on": True, "name": "x", "current": 0.0}
        assert answer(values) in {True, False, None}


def test_the_longest_expression_is_evaluated_in_time() -> None:
    """No expression that is accepted can hold up the alarms of others."""
    types = {"s": "text"}
    texts = [
        "on" + " && on" * ((MAX_TEXT - 2) // 6),
        "s.matches('(a+)+$')" + " || s.matches('(a|aa)+$')" * 35,
        "1 " + "+ 1" * 25 + " > 0",
    ]
    for text in texts:
        answer = compile_expression(text, types | {"on": "bool"})
        began = time.perf_counter()
        answer({"on": True, "s": "a" * 200 + "b"})
        assert time.perf_counter() - began < 0.1


def test_an_expression_without_an_answer_changes_nothing_and_is_counted() -> None:
    """An error in the middle of evaluating neither raises nor clears; somebody can see that it happened."""
    dev = device("1-1-01-0101/c", "c", {"a": "float", "b": "float"})
    one = rule(["1-1-01-0101/c/a"], Condition("expression", expression="int(a) / int(b) == int(1)"), AlarmClass.FAULT)
    player = Player(site([dev], [one]))
    player.read(0, "1-1-01-0101/c/a", 5.0)
    player.read(1, "1-1-01-0101/c/b", 0.0)
    assert not player.journal
    assert player.counters.total("expressions_unanswered", rule="r") == 1


@pytest.mark.parametrize(
    ("text", "words"),
    [("nothing > 1", "no device has all of nothing"), ("a > true", "column 3"), ("1 > 0", "names none")],
)
def test_an_expression_that_cannot_work_is_refused_at_the_start(text: str, words: str) -> None:
    """A rule that can never fire stops the start with its name."""
    dev = device("1-1-01-0101/c", "c", {"a": "float"})
    with pytest.raises(ValueError, match=f"rule r: .*{words}"):
        Player(site([dev], [rule(["1-1-01-0101/c/a"], Condition("expression", expression=text))]))
