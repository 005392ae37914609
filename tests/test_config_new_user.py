"""Acceptance: rules written by a new user from the manual work the first time, or the error says how."""

from __future__ import annotations

import pytest

from gateway.config import render
from tests.support_manual_rules import CASES, names, together
from tests.support_packs import Stage, parse, unmet


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
    end_s = max([each.to_s for each in wants] + [each.at_s for each in acts]) + 1
    assert not unmet(wants, Stage(site).play(acts, end_s))
