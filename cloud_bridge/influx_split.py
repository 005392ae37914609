"""Finding the bad line of a refused batch by halving it. Pure but for the two calls it is given."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

_MAX_REQUESTS = 200  # then the rest of the batch waits for the next delivery
_MAX_BAD_LINES = 10  # of one row; then the whole row is put aside


class Line(NamedTuple):
    """A line and the outbox row it came from."""

    seq: int
    text: bytes


class Refused(Exception):  # noqa: N818 - an answer, not a failure
    """The server says that these lines are wrong; they will be wrong next time, too."""


@dataclass(slots=True)
class Split:
    """What became of a batch: rows with bad lines and why, and rows not yet tried to the end."""

    refused: dict[int, str] = field(default_factory=dict)
    kept: set[int] = field(default_factory=set)


def write_all(lines: Sequence[Line], post: Callable[[Sequence[bytes]], None], check: Callable[[], None]) -> Split:
    """Write every line that the server takes, in order; the good lines of a row with a bad one are written, too.

    ``check`` raises where the server refuses everything: then no line is to blame.
    """
    result = Split()
    bad: dict[int, list[str]] = {}
    stack = [lines] if lines else []
    requests = 0
    while stack:
        part = [each for each in stack.pop() if len(bad.get(each.seq, ())) < _MAX_BAD_LINES]
        if not part:
            continue
        if requests >= _MAX_REQUESTS and part[0].seq != lines[0].seq:
            result.kept = {each.seq for rest in (part, *stack) for each in rest}
            break
        requests += 1
        try:
            post([each.text for each in part])
        except Refused as error:
            if requests == 1:
                check()
            if len(part) == 1:
                bad.setdefault(part[0].seq, []).append(f"{error}; line: {part[0].text.decode()[:200]}")
            else:
                middle = len(part) // 2
                stack += [part[middle:], part[:middle]]
    result.refused = {seq: _reason(reasons) for seq, reasons in bad.items() if seq not in result.kept}
    return result


def _reason(reasons: list[str]) -> str:
    return reasons[0] if len(reasons) == 1 else f"{len(reasons)} bad lines, the first: {reasons[0]}"
