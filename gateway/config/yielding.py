"""Configuration: `yields_to` of rules: lower stages under higher ones. What it does is in `gateway.rules.stages`."""

from __future__ import annotations

from collections.abc import Mapping

from gateway.config.desk import LIFE_SAFETY
from gateway.config.findings import DEFINED, Findings, Say, perhaps
from gateway.config.tree import Entry
from gateway.model import Rule


def check_yielding(findings: Findings, rules: Mapping[str, Rule], entries: Mapping[str, Entry]) -> None:
    """Rules that are not there, classes that never yield, circles. All rules have been read."""
    for rule in rules.values():
        if not rule.yields_to:
            continue
        entry = entries[rule.id]
        subject = Say(f"规则 {rule.id}", f"rule {rule.id}")
        for number, name in enumerate(rule.yields_to):
            if name not in rules:
                known = [each for each in rules if each != rule.id]
                findings.add(
                    "E214",
                    entry.at("yields_to", number),
                    Say(f'没有规则 "{name}"', f'there is no rule "{name}"'),
                    subject=subject,
                    fix=perhaps(name, known, Say("写另一条规则的名字(rule:)", "name another rule (rule:)")),
                    options=known[:20],
                    options_label=DEFINED,
                )
        wrong = _wrong(rule, rules)
        if wrong is not None:
            findings.add("E630", entry.at("yields_to"), wrong, subject=subject, fix=Say("删掉 yields_to", "remove it"))


def _wrong(rule: Rule, rules: Mapping[str, Rule]) -> Say | None:
    if rule.alarm_class in LIFE_SAFETY:
        name = rule.alarm_class
        return Say(f"{name} 类的报警不能归到别的报警名下", f"alarms of class {name} never go under another")
    if rule.groups:
        return Say("yields_to 和 group 不能一起写", "yields_to and group do not go together")
    seen, left = set[str](), list(rule.yields_to)
    while left:
        each = left.pop()
        if each == rule.id:
            return Say("绕了一圈又归到自己名下", "it yields to itself in the end")
        if each in rules and each not in seen:
            seen.add(each)
            left += rules[each].yields_to
    return None
