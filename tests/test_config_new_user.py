"""Acceptance: rules written by a new user from the manual work the first time, or the error says how."""

from __future__ import annotations

import pytest

from gateway.config import render
from tests.support_manual_rules import CASES, names, of_the_manual, together
from tests.support_packs import Act, Stage, Want, parse, unmet


def test_rules_written_from_the_manual_give_no_finding() -> None:
    """Thirty wishes of a property company, written with the manual alone: nothing to complain about."""
    found = together()
    assert len(names()) >= 30
    assert not found.findings, render(found.findings)


@pytest.mark.parametrize("name", names())
def test_a_rule_written_from_the_manual_does_what_its_writer_wanted(name: str) -> None:
    """Each raises when it should, where it should, and not before."""
    site = together().site
    assert site is not None, render(together().findings)
    acts, wants = parse(CASES / f"{name}.yaml")
    assert any(each.kind == "alarm" and each.count != 0 for each in wants), "something is wanted"
    assert not unmet(wants, Stage(site).play(acts, _end_s(acts, wants)))


def _end_s(acts: list[Act], wants: list[Want]) -> float:
    return max([each.to_s for each in wants] + [each.at_s for each in acts]) + 1


def test_every_rule_that_stands_in_the_manual_fires() -> None:
    """Whoever pastes a block gets the alarm that is written above it, at its time and place."""
    site = of_the_manual().site
    assert site is not None, render(of_the_manual().findings)
    acts, wants = parse(CASES / "the-manual-itself.yaml")
    wanted = {each.pattern for each in wants if each.kind == "alarm" and each.count != 0}
    assert wanted == {each.id for each in site.rules}
    assert not unmet(wants, Stage(site).play(acts, _end_s(acts, wants)))
