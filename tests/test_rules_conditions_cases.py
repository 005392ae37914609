"""Golden time scripts of the conditions: tests/cases/conditions/<name>/case.yaml, see `tests.support_conditions`.

Every script is also played with a restart, and with the wall clock set by an hour (and then a restart), before each
thing that happens in it.
"""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest

from gateway.rules.kinds import JUDGES
from tests.support_conditions import Case, Do, load, misses, play

CASES = sorted((Path(__file__).parent / "cases" / "conditions").glob("*/case.yaml"))
NAMES = [each.parent.name for each in CASES]


def moments(case: Case) -> list[float]:
    """One moment between each two things that happen, and one in the middle of what is wanted."""
    marks = sorted({each.at_s for each in case.actions} | {each.low_s - 0.5 for each in case.wants} | {case.until_s})
    return [(one + other) / 2 for one, other in pairwise(marks) if other - one > 0.01]


@pytest.mark.parametrize("path", CASES, ids=NAMES)
def test_condition_does_what_its_script_says(path: Path) -> None:
    """A condition is met when its script says so, in time, and at no other time."""
    case = load(path)
    assert misses(case, play(case)) == [], case.about


@pytest.mark.parametrize("path", CASES, ids=NAMES)
def test_restart_at_any_moment_changes_no_condition(path: Path) -> None:
    """kill -9 at any moment: windows, counts and absences go on where they were."""
    case = load(path)
    for at_s in moments(case) if case.restarts else ():
        found = play(case, [Do(at_s, "restart", "")])
        assert misses(case, found, late_s=case.late_s, values=False) == [], f"restart at {at_s:g}"


@pytest.mark.parametrize("path", CASES, ids=NAMES)
@pytest.mark.parametrize("shift_s", [3600, -3600])
def test_setting_the_clock_changes_no_condition(path: Path, shift_s: int) -> None:
    """The wall clock set by an hour neither makes nor breaks a condition, whether the gateway then restarts or not."""
    case = load(path)
    for at_s in moments(case) if case.clocks else ():  # a calendar is what the wall clock says
        found = play(case, [Do(at_s, "clock", f"{shift_s:+}")])
        assert misses(case, found) == [], f"set at {at_s:g}"
        if case.restarts:
            found = play(case, [Do(at_s, "clock", f"{shift_s:+}"), Do(at_s + 0.001, "restart", "")])
            assert misses(case, found, late_s=case.late_s, values=False) == [], f"set and restarted at {at_s:g}"


def test_every_kind_of_condition_has_a_script() -> None:
    """A kind without a golden case is not built."""
    kinds = {each.condition.kind for path in CASES for each in load(path).site.rules}
    assert set(JUDGES) <= kinds
