"""Configuration: what a rule says besides its condition: calendars, shelving, grouping; and who is told in a group."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from gateway.config.calendars import is_defined, longest_open_s, never_both
from gateway.config.desk import LATCHING, LIFE_SAFETY
from gateway.config.findings import DEFINED, Findings, Say, perhaps
from gateway.config.rule_shapes import RuleItem
from gateway.config.shaping import Part
from gateway.config.tree import Entry
from gateway.model import Calendar, Recipient

_RUN_ON = re.compile("[\uff0c\u3001,;\uff1b]")
Calendars = Mapping[str, Calendar | None] | None  # None: site.yaml could not be read


def check_rule(findings: Findings, item: RuleItem, calendars: Calendars, part: Part) -> None:
    """What does not go with the rule's class, and calendars that leave it no time."""
    named = {"only": item.only, "unless": item.unless}
    missing = [
        key
        for key, name in named.items()
        if name is not None and not is_defined(findings, name, calendars, part._replace(path=(key,)))
    ]
    if not missing and calendars is not None:
        only, unless = (calendars.get(each or "") for each in (item.only, item.unless))
        if (only or unless) and never_both(only, unless):
            findings.add(
                "E613",
                part.entry.at("unless"),
                Say("日历没有留下任何时间,这条规则永远不会报警", "the calendars leave no time: this rule never fires"),
                subject=part.subject,
                fix=Say("改日历,或删掉 unless", "change the calendar, or remove unless"),
            )
        elif only or unless:
            _check_delay(findings, item, longest_open_s(only, unless), part)
    for index, outcome in enumerate(item.outcomes or ()):
        if _RUN_ON.search(outcome):
            _say_run_on(findings, outcome, part._replace(path=("outcomes", index)))
    if item.raise_.class_ in LATCHING and item.raise_.latch is False:
        name = item.raise_.class_
        findings.add(
            "E616",
            part.entry.at("raise", "latch"),
            Say(f"{name} 类的报警只能由人复位", f"only a person's reset ends an alarm of class {name}"),
            subject=part.subject,
            fix=Say("删掉 latch,或写 latch: true", "remove latch, or write latch: true"),
        )
    if item.raise_.class_ in LIFE_SAFETY:
        _check_life_safety(findings, item, part)


def _say_run_on(findings: Findings, outcome: str, part: Part) -> None:
    findings.add(
        "W619",
        part.entry.at(*part.path),
        Say(f'"{outcome}" 是一个结果,不是几个', f'"{outcome}" is one outcome, not several'),
        subject=part.subject,
        fix=Say("要几个就用半角逗号分开: [已处理, 误报]", "part them by commas and spaces: [handled, false alarm]"),
    )


def _check_delay(findings: Findings, item: RuleItem, longest_s: float | None, part: Part) -> None:
    """A delay begins anew whenever the calendar opens; only stillness waits meanwhile."""
    delay_s = item.when.for_
    if longest_s is None or delay_s <= longest_s or item.when.still is not None:
        return
    findings.add(
        "E613",
        part.entry.at("when", "for"),
        Say(
            f"for 是 {delay_s / 3600:g} 小时,日历一次最多留 {longest_s / 3600:g} 小时,这条规则永远不会报警",
            f"for is {delay_s / 3600:g} h, but the calendar leaves {longest_s / 3600:g} h at a time: it never fires",
        ),
        subject=part.subject,
        fix=Say("把 for 改短,或改日历", "a shorter for, or another calendar"),
    )


def _check_life_safety(findings: Findings, item: RuleItem, part: Part) -> None:
    name = item.raise_.class_
    if item.shelve:
        findings.add(
            "E616",
            part.entry.at("shelve"),
            Say(f"{name} 类的报警不能搁置", f"alarms of class {name} are never shelved"),
            subject=part.subject,
            fix=Say("删掉 shelve,或写 shelve: never", "remove shelve, or write shelve: never"),
        )
    if item.group:
        findings.add(
            "E616",
            part.entry.at("group"),
            Say(f"{name} 类的报警不能并到别的报警里", f"alarms of class {name} are never gathered into another"),
            subject=part.subject,
            fix=Say("删掉 group", "remove group"),
        )


def check_recipients(
    findings: Findings, recipients: Mapping[str, Recipient], entry: Entry, calendars: Calendars
) -> None:
    """Members that are not there, groups that contain themselves, shifts without a calendar."""
    for name, recipient in recipients.items():
        part = Part(entry, ("recipients", name), Say(f"联系人 {name}", f"recipient {name}"))
        if recipient.on_duty:
            is_defined(findings, recipient.on_duty, calendars, part._replace(path=(*part.path, "on_duty")))
        for index, member in enumerate(recipient.members):
            _check_member(findings, recipients, name, member, part._replace(path=(*part.path, "members", index)))


def _check_member(findings: Findings, recipients: Mapping[str, Recipient], name: str, member: str, part: Part) -> None:
    if member not in recipients:
        findings.add(
            "E207",
            part.entry.at(*part.path),
            Say(f'联系人 "{member}" 没有定义', f'recipient "{member}" is not defined'),
            subject=part.subject,
            fix=perhaps(member, recipients, Say("在 recipients 里加上", "add it to recipients")),
            options=recipients,
            options_label=DEFINED,
        )
    elif name == _first_of_circle(recipients, name, member):
        findings.add(
            "E617",
            part.entry.at(*part.path),
            Say(f'"{name}" 成了自己的成员', f'"{name}" is a member of itself')
            if member == name
            else Say(f'"{member}" 的成员里又有 "{name}"', f'"{name}" is in turn a member of "{member}"'),
            subject=part.subject,
            fix=Say("从 members 里去掉它", "take it out of members"),
        )


def _first_of_circle(recipients: Mapping[str, Recipient], name: str, member: str) -> str:
    """The first in the file of those who run in a circle through both; nothing where there is no circle."""
    within = {each.id for each in people(recipients, member)}
    circle = {each for each in within if name in {p.id for p in people(recipients, each)}} if name in within else set()
    return next((each for each in recipients if each in circle), "")


def people(recipients: Mapping[str, Recipient], name: str) -> Iterator[Recipient]:
    """The recipient and all who are in it, each once."""
    seen: set[str] = set()
    waiting = [name]
    while waiting:
        here = waiting.pop()
        if here not in seen and here in recipients:
            seen.add(here)
            yield recipients[here]
            waiting += recipients[here].members
