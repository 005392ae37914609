"""Configuration: rules/*.yaml against the devices there are. What rules do at run time is in `gateway.rules`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from gateway.config.actions import read_actions, read_tells
from gateway.config.conditions import Conditions, Target
from gateway.config.desk import LIFE_SAFETY, ONLINE, RESPONDING, Desk, Mould, Profile
from gateway.config.findings import Say, perhaps
from gateway.config.shapes import RuleItem, When
from gateway.config.shaping import Part, shape
from gateway.config.tree import Entry
from gateway.model import Action, Condition, Recipient, Rule, Tell

_BUILT_IN = {
    name: Mould(
        name, f"/{name}", name, "bool", "", None, "", None, None, is_writable=False, is_event=False, params=None
    )
    for name in (ONLINE, RESPONDING)
}


class Rules:
    """Reads the rules one by one; names used twice are told."""

    def __init__(self, desk: Desk, recipients: Mapping[str, Recipient] | None) -> None:
        self._desk = desk
        self._findings = desk.findings
        self._conditions = Conditions(desk.findings)
        self._recipients = recipients
        self._entries: dict[str, Entry] = {}
        self.rules: list[Rule] = []
        self.watched: set[tuple[str, str]] = set()  # (profile, base name of a point)

    def read(self, entry: Entry) -> None:
        """The rules of one file."""
        for item in entry.items("rules"):
            name = item.plain.get("rule") if isinstance(item.plain, dict) else None
            subject = Say(f"规则 {name}", f"rule {name}") if isinstance(name, str) else Say("规则", "rule")
            self._read(Part(item, (), subject))

    def entry_of(self, rule: str) -> Entry:
        """Where a rule that was read stands."""
        return self._entries[rule]

    def _read(self, part: Part) -> None:
        item = shape(self._findings, RuleItem, part.entry.plain, part)
        if item is None or not self._is_new(item.rule, part):
            return
        before = self._findings.errors
        target = self._target(item.when, part)
        condition = self._conditions.read(item, target, part) if target is not None else None
        actions = read_actions(self._desk, item, target.profiles if target is not None else (), part)
        tells = read_tells(self._findings, item, self._recipients, part)
        if target is None or condition is None or self._findings.errors > before:
            return
        self.watched.update((profile.id, item.when.point) for profile in target.profiles)
        self.rules.append(_rule(item, target, condition, actions, tells))

    def _is_new(self, name: str, part: Part) -> bool:
        first = self._entries.setdefault(name, part.entry)
        if first is part.entry:
            return True
        where = first.at("rule").brief
        self._findings.add(
            "E206",
            part.entry.at("rule"),
            Say(f'规则名 "{name}" 已在 {where} 用过', f'the name "{name}" is already used in {where}'),
            subject=part.subject,
            fix=Say("换一个名字", "choose another name"),
        )
        return False

    def _target(self, when: When, part: Part) -> Target | None:
        desk = self._desk
        self._check_kinds(when, part)
        meant = [p for p in desk.profiles.values() if when.kind is None or p.kind in when.kind]
        if not meant:
            return None
        if when.point in _BUILT_IN:
            ids = tuple(_built_in(desk, when))
            return self._checked(Target(meant, [_BUILT_IN[when.point]], ids), part)
        having = [profile for profile in meant if profile.has(when.point)]
        if not having:
            self._say_no_point(when, meant, part)
            return None
        moulds = [mould for profile in having for mould in profile.moulds if mould.base == when.point]
        return self._checked(Target(having, moulds, tuple(_point_ids(desk, having, when.point))), part)

    def _check_kinds(self, when: When, part: Part) -> None:
        desk = self._desk
        if desk.is_partial or desk.unread_profiles:
            return
        kinds = {profile.kind for profile in desk.profiles.values()}
        for index, kind in enumerate(when.kind or ()):
            if kind not in kinds:
                self._findings.add(
                    "E208",
                    part.entry.at("when", "kind", index),
                    Say(f'没有 "{kind}" 这类设备的档案', f'no profile is of kind "{kind}"'),
                    subject=part.subject,
                    fix=perhaps(
                        kind, kinds, Say("改成已有的类别,或先写档案", "use a known kind, or write a profile first")
                    ),
                    options=sorted(kinds),
                )

    def _checked(self, target: Target, part: Part) -> Target:
        if not target.points and not self._findings.errors:
            self._findings.add(
                "W208",
                part.entry.at("when"),
                Say("没有设备用到这条规则", "no device is watched by this rule"),
                subject=part.subject,
                fix=Say(
                    "装了这类设备后自然生效;用不到就删掉这条规则",
                    "it takes effect once there is such a device; else delete it",
                ),
            )
        return target

    def _say_no_point(self, when: When, meant: Sequence[Profile], part: Part) -> None:
        if self._desk.unread_profiles or self._desk.is_partial:
            return
        names = [*sorted({mould.base for profile in meant for mould in profile.moulds}), ONLINE]
        who = ", ".join(when.kind or ())
        self._findings.add(
            "E209",
            part.entry.at("when", "point"),
            Say(f'{who or "哪类设备都"} 没有点 "{when.point}"', f'{who or "no device"} has no point "{when.point}"'),
            subject=part.subject,
            fix=perhaps(when.point, names, Say("写档案里定义过的点名", "name a point of a profile")),
            options=names,
        )


def _built_in(desk: Desk, when: When) -> Iterable[str]:
    kinds = when.kind or desk.by_kind
    for device in desk.devices.values():
        if device.kind in kinds and (when.point == ONLINE or any(each.is_writable for each in device.points)):
            yield f"{device.id}/{when.point}"


def _point_ids(desk: Desk, profiles: Sequence[Profile], point: str) -> Iterable[str]:
    places = {p.id: [i for i, mould in enumerate(p.moulds) if mould.base == point] for p in profiles}
    for kind in dict.fromkeys(p.kind for p in profiles):
        for device in desk.by_kind.get(kind, ()):
            for i in places.get(device.profile, ()):
                yield device.points[i].id


def _rule(
    item: RuleItem, target: Target, condition: Condition, actions: tuple[Action, ...], tells: tuple[Tell, ...]
) -> Rule:
    raised = item.raise_
    return Rule(
        id=item.rule,
        title=item.title,
        alarm_class=raised.class_,
        points=target.points,
        condition=condition,
        for_s=item.when.for_,
        clear_for_s=item.when.clear_for,
        latches=raised.latch if raised.latch is not None else raised.class_ in LIFE_SAFETY,
        text=raised.text or item.title,
        plan=tuple(item.plan or ()),
        outcomes=tuple(item.outcomes or ()),
        actions=actions,
        tells=tells,
    )
