"""Configuration: do people hear of what is about lives? By two kinds of channel, and by one that reaches them.

Warnings only: a site may be small. What the channels are and where their addresses stand is in `channels`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from gateway.config.desk import Desk
from gateway.config.duties import people
from gateway.config.findings import Say
from gateway.config.rules import Rules
from gateway.config.shaping import Part
from gateway.model import Recipient, Rule

_CONSOLE, _BUZZER = "console", "buzzer"
_SOUNDS = frozenset({"buzzer", "siren"})  # kinds of device that a rule's action can make sound
_OUTSIDE = frozenset({"grid", "family", "street"})  # who does not sit at the duty desk
_KINDS = {_CONSOLE: "screen", _BUZZER: "sound", "voice": "sound", "modem": "gsm"}  # all others: "internet"
_SHOWN = 5


def check_paths(desk: Desk, rules: Rules, recipients: Mapping[str, Recipient]) -> None:
    """One warning for all rules that lack a second path, one for everybody outside whom nothing reaches."""
    lacking = [each for each in rules.rules if lacks_second_path(each, recipients)]
    if lacking:
        first, names = lacking[0], _listed(each.id for each in lacking)
        desk.findings.add(
            "W621",
            _part(rules, first).entry.at("tell"),
            Say(
                f"火警、燃气、求助应有两种不同的通知途径(屏幕、声音、互联网、手机短信);不足的规则:{names}",
                "fire, gas and sos want two kinds of channel (screen, sound, internet, GSM); "
                f"rules that have fewer: {names}",
            ),
            subject=_part(rules, first).subject,
            fix=Say(
                "在 by 里加一种别的,并在 notify.yaml 里写地址;buzzer 要在 do 里有蜂鸣器或声光的动作",
                "add another to by, with its address in notify.yaml; buzzer counts where do sounds a buzzer or siren",
            ),
        )
    for name, rule in _unreached(rules.rules, recipients).items():
        desk.findings.add(
            "W622",
            _part(rules, rule).entry.at("tell", [each.to for each in rule.tells].index(name), "by"),
            Say(
                f"{recipients[name].title}({name})不在值班室,console 和 buzzer 通知不到他们",
                f"{name} does not sit at the duty desk: console and buzzer do not reach them",
            ),
            subject=_part(rules, rule).subject,
            fix=Say(
                f"在 notify.yaml 里给 {name} 写 sms、modem、wecom 等地址,并在 by 里写上",
                f"give {name} an address in notify.yaml (sms, modem, wecom, ...) and name it in by",
            ),
        )


def lacks_second_path(rule: Rule, recipients: Mapping[str, Recipient]) -> bool:
    """Does a fire, gas or sos rule tell people by fewer than two kinds of channel: screen, sound, internet, GSM?

    A channel counts where somebody can be reached by it: the group or one of its members has an address. Several
    robots are one kind: they all end when the internet does. The screen and the buzzer are in the duty room.
    A rule that names nobody adds to others that do.
    """
    if not (rule.alarm_class.is_life_safety and rule.tells):
        return False
    sounds = any(each.kind in _SOUNDS for each in rule.actions)
    kinds = set()
    for tell in rule.tells:
        group = recipients.get(tell.to)
        is_outside = group is not None and group.group in _OUTSIDE
        for channel in tell.by:
            if channel in {_CONSOLE, _BUZZER}:
                counts = not is_outside and (channel == _CONSOLE or sounds)
            else:
                counts = any(channel in each.addresses for each in people(recipients, tell.to))
            kinds |= {_KINDS.get(channel, "internet")} if counts else set()
    return len(kinds) < 2


def _unreached(rules: Iterable[Rule], recipients: Mapping[str, Recipient]) -> dict[str, Rule]:
    """Who is outside and told of something about lives, but never by a channel that gets there; the first rule."""
    told: dict[str, Rule] = {}
    reached: set[str] = set()
    for rule in rules:
        for tell in rule.tells if rule.alarm_class.is_life_safety else ():
            recipient = recipients.get(tell.to)
            if recipient is not None and recipient.group in _OUTSIDE:
                told.setdefault(tell.to, rule)
                reached |= set() if {_CONSOLE, _BUZZER}.issuperset(tell.by) else {tell.to}
    return {name: rule for name, rule in told.items() if name not in reached}


def _part(rules: Rules, rule: Rule) -> Part:
    return Part(rules.entry_of(rule.id), (), Say(f"规则 {rule.id}", f"rule {rule.id}"))


def _listed(names: Iterable[str]) -> str:
    found = list(names)
    return ", ".join(found[:_SHOWN]) + (f" … ({len(found)})" if len(found) > _SHOWN else "")
