"""Room: rules. Which conditions need a judge, and which judge that is. One table; what each does is in its file."""

from __future__ import annotations

from gateway.model import Condition
from gateway.rules.coincidence import Coincidence
from gateway.rules.judge import Judge

JUDGES: dict[str, type[Judge]] = {
    "devices": Coincidence,
}

# Whose timers the judges' are, by the first word of the key; the second is the rule's id.
OWNERS = ("within", "times", "absent", "then")


def judge_of(condition: Condition) -> type[Judge] | None:
    """The judge of such a condition; None for a plain comparison."""
    return JUDGES.get(condition.kind)
