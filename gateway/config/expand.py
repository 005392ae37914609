"""Configuration: addresses 楼栋-单元-楼层-房号, and the patterns that stand for many of them. Pure text.

``3-[1-2]-[01-06]-{floor}[01-02]`` is 24 addresses, in order: the first group changes slowest. ``[a-b]`` counts with
the zeros as written, ``[a,b]`` lists, ``{building}``, ``{unit}`` and ``{floor}`` repeat that part of the address.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Sequence

from gateway.config.findings import Say
from gateway.model import Place

MOST = 100_000  # devices of one site
_PARTS = ("building", "unit", "floor", "room")
_GROUP = re.compile(r"\[([^\[\]]*)\]")
_REFERENCE = re.compile(r"\{([^{}]*)\}")
_BAD = re.compile(r"[^\w.()#&@\uff08\uff09\u00b7 -]|^\s|\s$|\s\s")
_LONGEST = 64


class PatternError(ValueError):
    """A pattern or address that cannot be used: what is wrong, and what to write."""

    def __init__(self, what: Say, fix: Say) -> None:
        super().__init__(what.en)
        self.what = what
        self.fix = fix


def expand(pattern: str, most: int = MOST) -> list[str]:
    """The addresses ``pattern`` stands for, in order.

    Raises:
        PatternError: a group that is no range, a reference to a part that comes later, or more than ``most``.
    """
    found = list(itertools.islice(_walk(_split(pattern), ()), most + 1))
    if len(found) > most:
        raise PatternError(
            Say(f"展开后超过 {most} 台设备", f"stands for more than {most} devices"),
            Say("把范围改小", "make the ranges smaller"),
        )
    return found


def first_of(pattern: str) -> str:
    """The first address ``pattern`` stands for, without the others.

    Raises:
        PatternError: as `expand`.
    """
    return next(_walk(_split(pattern), ()))


def place_of(address: str, zone: str = "") -> Place:
    """The parts of an address; every part stays text.

    Raises:
        PatternError: the address has characters that cannot be part of an id or a topic.
    """
    if not address or len(address) > _LONGEST:
        raise PatternError(
            Say(f"地址要有 1 到 {_LONGEST} 个字", f"an address has 1 to {_LONGEST} characters"),
            Say("写成 楼栋-单元-楼层-房号,例如 3-2-03-0301", "write building-unit-floor-room, such as 3-2-03-0301"),
        )
    if bad := _BAD.search(address):
        raise PatternError(
            Say(f'地址 "{address}" 不能含有 "{bad[0]}"', f'the address "{address}" must not contain "{bad[0]}"'),
            Say("写成 楼栋-单元-楼层-房号,例如 3-2-03-0301", "write building-unit-floor-room, such as 3-2-03-0301"),
        )
    building, unit, floor, room = [*address.split("-", 3), "", "", ""][:4]
    return Place(address, building, unit, floor, room, zone)


def _split(pattern: str) -> list[str]:
    """Cut at dashes outside brackets."""
    if len(pattern) > 4 * _LONGEST:
        raise PatternError(Say("太长", "too long"), Say("分成几条写", "write several entries"))
    if pattern.count("[") != pattern.count("]"):
        raise PatternError(
            Say("方括号没有配对", "brackets do not match"), Say("补上缺少的 [ 或 ]", "add the missing [ or ]")
        )
    parts, depth, start = [], 0, 0
    for i, char in enumerate(pattern):
        depth += (char == "[") - (char == "]")
        if char == "-" and depth == 0:
            parts.append(pattern[start:i])
            start = i + 1
    return [*parts, pattern[start:]]


def _walk(parts: Sequence[str], done: tuple[str, ...]) -> Iterator[str]:
    if len(done) == len(parts):
        yield "-".join(done)
        return
    known = dict(zip(_PARTS, done, strict=False))
    for choice in _choices(_REFERENCE.sub(lambda m: _referred(m[1], known), parts[len(done)])):
        yield from _walk(parts, (*done, choice))


def _referred(name: str, known: dict[str, str]) -> str:
    if name not in known:
        raise PatternError(
            Say(f"{{{name}}} 在这里不能用", f"{{{name}}} cannot be used here"),
            Say(
                "可用 {building} {unit} {floor},只能重复前面已经写出的部分",
                "use {building}, {unit}, {floor}, after the part they repeat",
            ),
        )
    return known[name]


def _choices(text: str) -> Iterator[str]:
    pieces = _GROUP.split(text)  # literal, group, literal, group, ... literal
    options = [_group(piece) if i % 2 else (piece,) for i, piece in enumerate(pieces)]
    yield from map("".join, itertools.product(*options))


def _group(text: str) -> list[str]:
    found: list[str] = []
    for item in text.split(","):
        first, dash, last = (each.strip() for each in item.partition("-"))
        if not dash and first:
            found.append(first)
            continue
        if not (first.isascii() and last.isascii() and first.isdecimal() and last.isdecimal() and len(last) < 7):
            raise _no_range(text)
        numbers = range(int(first), int(last) + 1)
        if not 0 < len(numbers) <= MOST:
            raise _no_range(text)
        found += [str(n).zfill(len(first)) for n in numbers]
    return found


def _no_range(text: str) -> PatternError:
    return PatternError(
        Say(f"[{text}] 不是范围", f"[{text}] is no range"),
        Say("写成 [01-06](从小到大)或 [01,03,05]", "write [01-06], the smaller first, or [01,03,05]"),
    )
