"""Configuration: ``first``, ``then`` and ``unless`` of one sequence against each other. The rest of it is `groups`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeGuard

from gateway.config.findings import Findings, Say
from gateway.config.shaping import Part
from gateway.model import Condition, Watched


def check_order(findings: Findings, parts: Sequence[Watched], part: Part) -> None:
    """What calls off whatever begins it, and what is said twice."""
    first, then, *hinder = parts
    if hinder and _always_with(first, hinder[0]):
        findings.add(
            "E618",
            part.entry.at(*part.path, "unless"),
            Say(
                "first 出现时 unless 总是同时成立,这条规则永远不会报警",
                "unless is true whenever first is: this rule never fires",
            ),
            subject=part.subject,
            fix=Say(
                "unless 写另一件事,例如有人授权开门", "let unless be something else, such as a door opened with leave"
            ),
        )
    elif hinder and hinder[0] == then:
        findings.add(
            "W618",
            part.entry.at(*part.path, "unless"),
            Say("unless 与 then 是同一件事,不起作用", "unless is the same as then: it does nothing"),
            subject=part.subject,
            fix=Say("删掉 unless,或写另一件事", "remove unless, or name something else"),
        )
    if first == then:
        findings.add(
            "W618",
            part.entry.at(*part.path, "then"),
            Say(
                "first 和 then 是同一件事:要它先结束、再出现一次才算",
                "first and then are the same: it must end and come again",
            ),
            subject=part.subject,
            fix=Say('要的是"几次"就写 times: 2', "for several times write times: 2"),
        )


def _always_with(one: Watched, other: Watched) -> bool:
    """Is the other true at the same point whenever the one is? A moment (changed_to) lasts not and hinders nothing."""
    if not set(one.points) <= set(other.points) or "changed_to" in {one.condition.kind, other.condition.kind}:
        return False
    return _implies(one.condition, other.condition)


def _implies(one: Condition, other: Condition) -> bool:
    here, there = one.value, other.value
    if one.kind == other.kind == "equals":
        return here == there
    if not _is_number(here) or not _is_number(there):
        return False
    if other.kind == "above":
        return here > there if one.kind == "equals" else one.kind == "above" and here >= there
    return other.kind == "below" and (here < there if one.kind == "equals" else one.kind == "below" and here <= there)


def _is_number(value: object) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool)
