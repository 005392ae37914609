"""Room: rules. Which conditions need a judge, and which judge that is. One table; what each does is in its file."""

from __future__ import annotations

from collections.abc import Iterable

from gateway.model import Condition, Rule
from gateway.rules.absence import Absence
from gateway.rules.coincidence import Coincidence
from gateway.rules.conditions import EVENTS, LEVELS
from gateway.rules.formula import Formula
from gateway.rules.judge import Judge
from gateway.rules.sequences import Sequence
from gateway.rules.stillness import Stillness
from gateway.rules.times import Times
from gateway.rules.trends import Trend

JUDGES: dict[str, type[Judge]] = {
    "devices": Coincidence,
    "absent": Absence,
    "expression": Formula,
    "still": Stillness,
    "sequence": Sequence,
    "rises": Trend,
    "falls": Trend,
}

# Whose timers the judges' are, by the first word of the key; the second is the rule's id.
OWNERS = ("within", "times", "absent", "then")


def judge_of(condition: Condition) -> type[Judge] | None:
    """The judge of such a condition; None for a plain comparison."""
    return Times if condition.count > 1 and condition.kind in LEVELS | EVENTS else JUDGES.get(condition.kind)


def unmerged_points(rules: Iterable[Rule]) -> frozenset[str]:
    """Points of which no reading may be left out under load: where several values count, each of them does."""
    found: set[str] = set()
    for rule in rules:
        condition = rule.condition
        if judge_of(condition) is Times:
            found.update(rule.points)
        elif condition.kind in {"devices", "sequence"}:
            found.update(point for part in condition.parts for point in part.points)
    return frozenset(found)
