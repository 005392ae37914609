"""Room: rules. General expressions in CEL over the points of one device: checked, compiled, evaluated in bounds.

Numbers are read as an installer means them: every numeric point is a double, and so is every number that is written
(``power > 60``). Which values go in, and what follows from the answer, is `gateway.rules.formula`'s.
The library is imported when the first expression is met: most sites have few.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from itertools import accumulate, pairwise
from typing import Any

from gateway.model import Value

MAX_TEXT = 1000  # characters; evaluation takes time in proportion
_LOOPS = frozenset({"all", "exists", "exists_one", "existsOne", "map", "filter"})  # nested, they have no bound
_WORDS = frozenset({"true", "false", "null", "in"})

_TOKEN = re.compile(
    r"""(?P<comment>//[^\n]*)
    |(?P<string>[bBrR]{0,2}(?:\"{3}(?:\\.|[^\\])*?\"{3}|'{3}(?:\\.|[^\\])*?'{3}|"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'))
    |(?P<float>\d+\.\d+(?:[eE][+-]?\d+)?|\d+[eE][+-]?\d+|\.\d+(?:[eE][+-]?\d+)?)
    |(?P<int>0[xX][0-9a-fA-F]+|\d+)(?![\w.])
    |(?P<name>[A-Za-z_]\w*)
    |(?P<other>.)""",
    re.VERBOSE | re.DOTALL | re.ASCII,
)
_ERROR = re.compile(r"ERROR: <input>:(\d+):(\d+): (.*)")
_UNKNOWN = re.compile(r"undeclared reference to '(.+?)'")
_MISFIT = re.compile(r"found no matching overload for '(.+?)' applied to '\((.*)\)'")
_TYPE_WORDS = {"double": "数字", "bool": "开关量", "string": "文字", "int": "整数"}

Found = tuple[int, int, str]
"""What is wrong: line and column (both from 1), and the words for it, Chinese first."""


def check_expression(text: str, types: Mapping[str, str]) -> list[Found]:
    """What is wrong with ``text`` over points of these types (bool, int, float, text); empty when nothing is."""
    if len(text) > MAX_TEXT:
        return [(1, 1, f"表达式超过 {MAX_TEXT} 个字 / the expression is longer than {MAX_TEXT} characters")]
    if found := _loops(text):
        return found
    source, shifts = _as_doubles(text)
    try:
        kind = str(_environment(tuple(sorted(types.items()))).compile(source).return_type())
    except RuntimeError as error:
        return _explained(str(error), text, shifts)
    if kind != "BOOL":
        return [(1, 1, "结果要是真或假,例如加上 > 60 / the result must be true or false: add a comparison")]
    return []


def names_of(text: str) -> tuple[str, ...]:
    """The names of points in ``text``, each once, as they come."""
    tokens = [each for each in _TOKEN.finditer(text) if not (each["comment"] or each[0].isspace())]
    found: dict[str, None] = {}
    for number, token in enumerate(tokens):
        before = tokens[number - 1][0] if number else ""
        after = tokens[number + 1][0] if number + 1 < len(tokens) else ""
        if token["name"] and before != "." and after != "(" and token[0] not in _WORDS:
            found[token[0]] = None
    return tuple(found)


def compile_expression(text: str, types: Mapping[str, str]) -> Callable[[Mapping[str, Value]], bool | None]:
    """A function of the values by name (numbers as floats), with the answer None where there is none.

    Raises ValueError for what `check_expression` finds.
    """
    if found := check_expression(text, types):
        line, column, words = found[0]
        raise ValueError(f"{text!r}, line {line}, column {column}: {words}")
    environment = _environment(tuple(sorted(types.items())))
    compiled = environment.compile(_as_doubles(text)[0])
    evaluate, activation = compiled.eval, environment.Activation

    def answer(values: Mapping[str, Value]) -> bool | None:
        given: bool | None = evaluate(activation(values)).value()
        return given if given is True or given is False else None  # an error in the middle (a division of integers)

    return answer


@lru_cache(maxsize=256)
def _environment(types: tuple[tuple[str, str], ...]) -> Any:
    from cel_expr_python import cel  # noqa: PLC0415 - 30 ms that most starts can save

    kinds = {"bool": cel.Type.BOOL, "int": cel.Type.DOUBLE, "float": cel.Type.DOUBLE, "text": cel.Type.STRING}
    return cel.NewEnv(variables={name: kinds[kind] for name, kind in types})


def _as_doubles(text: str) -> tuple[str, list[tuple[int, int]]]:
    """``text`` with its whole numbers as doubles, and where (in the new text) how much longer it has become."""
    out, shifts, added = [], [], 0
    for token in _TOKEN.finditer(text):
        word = token[0]
        if token["int"]:
            word = f"{int(word, 16 if word[:2] in {'0x', '0X'} else 10)}.0"
            added += len(word) - len(token[0])
            shifts.append((token.start() + added, len(word) - len(token[0])))
        out.append(word)
    return "".join(out), shifts


def _explained(said: str, text: str, shifts: list[tuple[int, int]]) -> list[Found]:
    source = _as_doubles(text)[0]
    starts = [0, *accumulate(len(each) + 1 for each in source.split("\n"))]
    found = []
    for line, column, words in _ERROR.findall(said):
        at = starts[int(line) - 1] + int(column) - 1  # in the new text
        at -= sum(more for where, more in shifts if where <= at)
        before = text[: max(at, 0)]
        found.append((before.count("\n") + 1, len(before) - before.rfind("\n"), _words(words)))
    if "recursion" in said:
        return [(1, 1, "嵌套太深或太长,最多 32 层 / nested too deeply, or too long: at most 32 levels")]
    return found or [(1, 1, f"表达式有误 / wrong: {said.splitlines()[0]}")]


def _words(said: str) -> str:
    if match := _UNKNOWN.search(said):
        return f'没有名为 "{match[1]}" 的点 / there is no point "{match[1]}"'
    if match := _MISFIT.search(said):
        operator = match[1].strip("_")
        zh = "、".join(_TYPE_WORDS.get(each.strip(), each.strip()) for each in match[2].split(","))
        return f"{operator} 不能用于 {zh} / {operator} does not go with ({match[2]})"
    return f"写法有误 / {said}"


def _loops(text: str) -> list[Found]:
    tokens = [each for each in _TOKEN.finditer(text) if not each[0].isspace()]
    for one, other in pairwise(tokens):
        if one["name"] and one[0] in _LOOPS and other[0] == "(":
            before = text[: one.start()]
            where = before.count("\n") + 1, len(before) - before.rfind("\n")
            return [(*where, f"不能用 {one[0]}(): 没有上限 / {one[0]}() is not allowed: it has no bound")]
    return []
