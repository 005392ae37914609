"""Configuration: ``expr:`` of a rule. Names are judged here; the language itself by the checker that is handed in."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from gateway.config.desk import Desk, Mould
from gateway.config.findings import Say, perhaps
from gateway.config.shaping import Part
from gateway.config.targets import BUILT_IN

CheckExpression = Callable[[str, Mapping[str, str]], Sequence[tuple[int, int, str]]]
"""(text, {name: type of point}) -> what is wrong: (line, column, "Chinese / English"), both from 1."""

TOKENS = re.compile(
    r"""(?P<comment>//[^\n]*)|(?P<text>[rb]*(?:"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'))"""
    r"""|(?P<number>\d[\w.]*)|(?P<name>(?<![\w.])[A-Za-z_]\w*)(?P<call>\s*\()?"""
)
_WORDS = {"true", "false", "null", "in"}
_MACROS = re.compile(r"\.\s*(?:all|exists|exists_one|map|filter)\s*\(")
_NO_INDEX = Say("写档案里的点名,不带编号", "name a point of the profile, without index")
_AND = Say("并且写 &&", "write && for and")
_OR = Say("或者写 ||", "write || for or")
_INSTEAD = {"and": _AND, "or": _OR, "not": Say("非写 !", "write ! for not")}  # what other languages have
_SLIPS = (  # looked for where names, numbers and texts are blotted out by x; one of them explains all errors
    (re.compile(r"(?<![=!<>])=(?!=)"), Say("相等写 ==,一个 = 不行", "write == for equal, not =")),
    (re.compile(r"(?<!&)&(?!&)"), _AND),
    (re.compile(r"(?<!\|)\|(?!\|)"), _OR),
    (re.compile(r"x\.x"), _NO_INDEX),
)
_STRANGE = re.compile("[\uff01-\uff5e\u2018-\u201d\u3000\u4e00-\u9fff]+")
_HALF = Say("表达式里的符号和引号一律用半角", "write signs and quotes as ASCII characters")
_SIGNS = Say(
    "大于 >、小于 <、等于 ==、不等于 !=、并且 &&、或者 ||、非 !;文字放在单引号里",
    "more >, less <, equal ==, not equal !=, and &&, or ||, not !; texts in single quotes",
)
_OPERATORS = Say(
    "对照手册里的例子:比较 > >= < <= == !=,并且 &&,或者 ||,非 !",
    "compare: > >= < <= == !=, and: &&, or: ||, not: !",
)
_UNIT_BEFORE = re.compile(r"[\d.]\s*[°º]?\s*$")


class Name(NamedTuple):
    """A name in an expression and where it stands, counted from 1."""

    text: str
    line: int
    column: int


def names_in(expression: str) -> list[Name]:
    """The names of points in ``expression``, each once: no functions, members, words or numbers."""
    found: dict[str, Name] = {}
    for token in TOKENS.finditer(expression):
        name = token["name"]
        if name and not token["call"] and name not in _WORDS and name not in found:
            before = expression[: token.start()]
            column = token.start() - (before.rfind("\n") + 1) + 1
            found[name] = Name(name, before.count("\n") + 1, column)
    return list(found.values())


def binds_names(expression: str) -> bool:
    """Does it name things of its own (``[..].exists(x, ...)``)? Then only its checker can say what is unknown."""
    return _MACROS.search(expression) is not None


def check_names(desk: Desk, expression: str, moulds: Sequence[Mould], part: Part) -> bool:
    """Does every name in it belong to a point? Unknown ones are told with the nearest."""
    if strange := _STRANGE.search(_blotted(expression)):
        _say_strange(desk, expression, strange, part)
        return False
    known = sorted({*BUILT_IN, *(mould.base for mould in moulds)})
    unknown = [each for each in names_in(expression) if each.text not in known]
    if binds_names(expression) or desk.unread_profiles or desk.is_partial:
        return True
    for name in unknown:
        spot = part.entry.inside((*part.path, "expr"), name.line, name.column, len(name.text))
        desk.findings.add(
            "E209",
            spot,
            Say(f'没有点 "{name.text}"', f'there is no point "{name.text}"'),
            subject=part.subject,
            fix=_instead(expression, name) or perhaps(name.text, known, _NO_INDEX),
            options=known,
        )
    return not unknown


def _blotted(expression: str) -> str:
    return TOKENS.sub(lambda token: "x" * len(token[0]), expression)


def _say_strange(desk: Desk, expression: str, strange: re.Match[str], part: Part) -> None:
    """Chinese outside quotes: words for signs, or signs of the wrong width."""
    before = expression[: strange.start()]
    line, column = before.count("\n") + 1, strange.start() - (before.rfind("\n") + 1) + 1
    is_word = "\u4e00" <= strange[0] <= "\u9fff"
    desk.findings.add(
        "E614",
        part.entry.inside((*part.path, "expr"), line, column),
        Say(f'表达式里不能写 "{strange[0]}"', f'"{strange[0]}" cannot stand in an expression'),
        subject=part.subject,
        fix=_SIGNS if is_word else _HALF,
    )


def _instead(expression: str, name: Name) -> Say | None:
    """What to write in place of a word of another language, or of a unit behind a number."""
    if name.text in _INSTEAD:
        return _INSTEAD[name.text]
    line = expression.split("\n")[name.line - 1]
    is_unit = _UNIT_BEFORE.search(line[: name.column - 1])
    return Say("数后面不写单位", "write the number without its unit") if is_unit else None


def check_text(desk: Desk, check: CheckExpression | None, expression: str, moulds: Sequence[Mould], part: Part) -> bool:
    """Does the expression compile? Its own errors are told at their places."""
    types = dict.fromkeys(BUILT_IN, "bool") | {mould.base: mould.type for mould in moulds}
    problems = list(check(expression, types)) if check is not None else []
    slip = next((fix for pattern, fix in _SLIPS if pattern.search(_blotted(expression))), None)
    for line, column, message in problems[:1] if slip else problems:
        zh, _, en = message.partition(" / ")
        desk.findings.add(
            "E614",
            part.entry.inside((*part.path, "expr"), line, column),
            Say(f"表达式不对:{zh}", f"the expression is wrong: {en or zh}"),
            subject=part.subject,
            fix=slip or _OPERATORS,
        )
    return not problems
