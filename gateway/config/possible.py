"""Configuration: can an expression be true at all? Tried out at every value at which one of its comparisons turns.

That is exact for comparisons of points with numbers, texts and each other; an expression that computes is not judged.
The language itself is the checker's that is handed in (`expressions`).
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence

from gateway.config.desk import Mould
from gateway.config.expressions import TOKENS, names_in
from gateway.config.reach import ignored, reach_of, words_of
from gateway.model import Value

Compile = Callable[[str, Mapping[str, str]], Callable[[Mapping[str, Value]], bool | None]]
_MOST = 5_000  # combinations that are tried; 3 µs each
_PLAIN = re.compile(r"[\sx&|!()<>=]*")  # where names, numbers and texts are x: nothing is computed
_MINUS = re.compile(r"(?<=[<>=(&|])(\s*)-(?=\s*\d)")
_NUMBER = re.compile(r"\d+(?:\.\d+)?(?:[eE]\d+)?")
_OTHER_WORDS = ("\0", "\1")  # texts that no expression names
_SIMPLE_TEXT = re.compile(r"""'[^'\\]*'|"[^"\\]*\"""")
_ORDERS_TEXT = re.compile(r"""[<>]=?\s*['"]|['"]\s*[<>]""")


def verdict(expression: str, moulds: Sequence[Mould], compiled: Compile) -> bool | None:
    """False: it is never true, whatever the points say. True: always. None: neither, or not known."""
    if not _is_plain(expression):
        return None
    types = {mould.base: mould.type for mould in moulds}
    by_name = {mould.base: mould for mould in moulds}
    names = [each.text for each in names_in(expression)]
    numbers, words = _constants(expression)
    used = [by_name.get(name) for name in names]
    if _orders_texts(expression, used):
        return None
    numbers += [end for each in used if each is not None for end in _ends(each)]  # of all: they may be compared
    domains = [_domain(each, numbers, words) for each in used]
    if any(not each for each in domains) or math.prod(map(len, domains)) > _MOST:
        return None
    answer = compiled(expression, types | {name: "bool" for name in names if name not in types})
    found = {answer(dict(zip(names, values, strict=True))) for values in itertools.product(*domains)}
    if None in found or len(found) != 1:
        return None
    return found.pop()


def _is_plain(expression: str) -> bool:
    kept = TOKENS.sub(_blotted, _MINUS.sub(r"\1 ", expression))
    return _PLAIN.fullmatch(kept) is not None


def _orders_texts(expression: str, used: Sequence[Mould | None]) -> bool:
    """Are texts put in order, rather than told apart?"""
    texts = sum(each is not None and each.type == "text" for each in used)
    return _ORDERS_TEXT.search(expression) is not None or (texts > 1 and re.search("[<>]", expression) is not None)


def _ends(mould: Mould) -> list[float]:
    reach = reach_of(mould)
    return [each for each in (reach.low, reach.high) if each is not None]


def _blotted(token: re.Match[str]) -> str:
    is_odd = (token["number"] and not _NUMBER.fullmatch(token["number"])) or (
        token["text"] and not _SIMPLE_TEXT.fullmatch(token["text"])
    )
    if token["call"] or is_odd:
        return "?"
    return " " if token["comment"] else "x"


def _constants(expression: str) -> tuple[list[float], list[str]]:
    """The numbers, with their signs, and the texts in it."""
    numbers, words = [0.0], []
    for token in TOKENS.finditer(expression):
        if token["number"]:
            value = float(token["number"])
            numbers += [value, -value] if expression[: token.start()].rstrip().endswith("-") else [value]
        elif token["text"]:
            words.append(token["text"].strip("\"'"))
    return sorted(set(numbers)), sorted(set(words))


def _domain(mould: Mould | None, numbers: Sequence[float], words: Sequence[str]) -> list[Value]:
    if mould is None or mould.type == "bool":
        return [False, True]
    if mould.type == "text":
        known = words_of(mould)
        silent = ignored(mould)
        return list(known) if known is not None else [each for each in (*words, *_OTHER_WORDS) if each not in silent]
    reach = reach_of(mould)
    around = _around(numbers, whole=mould.type == "int")
    return sorted({each for each in around if reach.spans(each)})


def _around(numbers: Iterable[float], *, whole: bool) -> Iterable[float]:
    """Each number, and two on either side of it that lie before the next."""
    ordered = sorted(set(numbers))
    gaps = [after - before for before, after in itertools.pairwise(ordered)]
    for index, number in enumerate(ordered):
        if whole:
            yield from (float(math.floor(number) + more) for more in (-2, -1, 0, 1, 2, 3))
            continue
        yield number
        for gap, sign in ((gaps[index - 1] if index else 1.0, -1), (gaps[index] if index < len(gaps) else 1.0, 1)):
            yield number + sign * gap / 3
            yield number + sign * gap / 5
