"""Simulators: expanding an installer's address pattern. Pure text; what stands at an address is in `site`."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator

_PARTS = ("building", "unit", "floor", "room")
LIMIT = 100_000
_GROUP = re.compile(r"\[([^\[\]]*)\]")
_REF = re.compile(r"\{(building|unit|floor)\}")


class AddressError(ValueError):
    """A pattern that cannot be expanded; the text says which and why."""


def expand(pattern: str) -> list[str]:
    """Addresses of ``3-[1-2]-[01-06]-{floor}[01-02]`` in order; a ``{floor}`` repeats that part.

    Raises:
        AddressError: a group that is no range, or more than 100,000 addresses.
    """
    parts = _split(pattern)
    found = list(itertools.islice(_walk(parts, []), LIMIT + 1))
    if len(found) > LIMIT:
        raise AddressError(f"{pattern}: more than {LIMIT} addresses")
    return found


def _split(pattern: str) -> list[str]:
    """Cut at dashes that are not inside brackets."""
    parts, depth, start = [], 0, 0
    for i, char in enumerate(pattern):
        depth += (char == "[") - (char == "]")
        if char == "-" and depth == 0:
            parts.append(pattern[start:i])
            start = i + 1
    return [*parts, pattern[start:]]


def _walk(parts: list[str], done: list[str]) -> Iterator[str]:
    if len(done) == len(parts):
        yield "-".join(done)
        return
    known = dict(zip(_PARTS, done, strict=False))
    text = _REF.sub(lambda m: known.get(m[1], m[0]), parts[len(done)])
    for choice in _choices(text):
        yield from _walk(parts, [*done, choice])


def _choices(text: str) -> Iterator[str]:
    pieces = _GROUP.split(text)  # literal, group, literal, group, ... literal
    options = [list(_group(piece)) if i % 2 else [piece] for i, piece in enumerate(pieces)]
    for combination in itertools.product(*options):
        yield "".join(combination)


def _group(text: str) -> Iterator[str]:
    """``01-06`` or ``1,3,5-7``; a leading zero keeps its width."""
    for item in text.split(","):
        first, dash, last = item.strip().partition("-")
        if not dash:
            yield first
            continue
        if not (first.isdecimal() and last.isdecimal() and int(first) <= int(last)):
            raise AddressError(f"[{text}] is not a range")
        if int(last) - int(first) >= LIMIT:
            raise AddressError(f"[{text}] is too long")
        yield from (str(n).zfill(len(first)) for n in range(int(first), int(last) + 1))
