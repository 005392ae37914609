"""Configuration: what is written correctly and still leaves somebody unprotected. Warnings only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from gateway.config.desk import LIFE_SAFETY, Desk, Profile
from gateway.config.findings import Say
from gateway.config.rules import Rules
from gateway.config.scopes import AREAS, area_of, check_within, listed, say_unconfirmed
from gateway.config.shaping import Part
from gateway.model import Action, AlarmClass, Device, Rule, Scope


def check_coverage(desk: Desk, rules: Rules) -> None:
    """Say which alarms no rule watches, which actions reach nothing, which fires nothing confirms."""
    owners = {point.id: device for device in desk.devices.values() for point in device.points}
    _check_watched(desk, rules)
    _check_reach(desk, rules, owners)
    _check_confirmed(desk, rules, owners)


def _check_watched(desk: Desk, rules: Rules) -> None:
    by_profile: dict[str, list[Device]] = {}
    for device in desk.devices.values():
        by_profile.setdefault(device.profile, []).append(device)
    for profile in desk.profiles.values():
        devices = by_profile.get(profile.id, ())
        for base in dict.fromkeys(m.base for m in profile.moulds if m.alarm_class in LIFE_SAFETY):
            suffixes = [mould.suffix for mould in profile.moulds if mould.base == base]
            ids = [(each, {each.id + suffix for suffix in suffixes}) for each in devices]
            lacking = [each for each, points in ids if not points <= rules.prompt]
            if lacking:
                is_late = all(points <= rules.watched for _, points in ids)
                _say_unwatched(desk, profile, base, lacking if len(lacking) < len(devices) else (), is_late=is_late)


def _say_unwatched(desk: Desk, profile: Profile, base: str, some: Sequence[Device], *, is_late: bool) -> None:
    mould = next(each for each in profile.moulds if each.base == base)
    what = Say(
        f'点 "{base}" 是 {mould.alarm_class} 类,却没有规则用到它:报警不会有人知道',
        f'point "{base}" is of class {mould.alarm_class}, but no rule watches it: its alarm reaches nobody',
    )
    if is_late:
        what = Say(
            f'点 "{base}" 是 {mould.alarm_class} 类,却没有规则一有就报警(times、devices、first、only 会晚报或漏报)',
            f'point "{base}" is of class {mould.alarm_class}, but no rule raises at its first sign: '
            "rules with times, devices, first or only are late or silent",
        )
    elif some:
        what = Say(
            f'点 "{base}" 是 {mould.alarm_class} 类,{listed(some).zh}却没有规则用到它:报警不会有人知道',
            f'point "{base}" is of class {mould.alarm_class}; {listed(some).en} watched by no rule for it: '
            "its alarm reaches nobody",
        )
    desk.findings.add(
        "W602",
        profile.entry.key("points", base),
        what,
        subject=Say(f"档案 {profile.id}", f"profile {profile.id}"),
        fix=Say(
            f"在 rules/ 里写一条 when: {{kind: {profile.kind}, point: {base}, ...}}",
            f"write a rule with when: {{kind: {profile.kind}, point: {base}, ...}}",
        ),
    )


def _check_reach(desk: Desk, rules: Rules, owners: Mapping[str, Device]) -> None:
    for rule in rules.rules:
        if not any(action.kind and action.is_safety for action in rule.actions):
            continue
        sources = _sources(rules, rule, owners)
        for index, action in enumerate(rule.actions):
            if action.kind and action.is_safety:
                lacking = _lacking(desk, action, sources)
                if rule.condition.same is not None and len(lacking) < len({_named(s, action.scope) for s in sources}):
                    continue  # a rule on areas names all that one may have: not every area has each
                if lacking:
                    _say_lacking(desk, _part(rules, rule, "do", index, "kind"), action, lacking)


def _check_confirmed(desk: Desk, rules: Rules, owners: Mapping[str, Device]) -> None:
    """A fire that no second device can confirm waits for a person: say where that is."""
    confirming = [(each, each.condition.same) for each in rules.rules if each.condition.kind == "confirmed"]
    outside: Sequence[Device] = _burning(rules, owners)
    if not any(each.alarm_class is AlarmClass.FIRE and each.condition.kind != "confirmed" for each in rules.rules):
        for rule, _ in confirming:
            _say_nothing_burns(desk, _part(rules, rule, "when", "confirmed"))
        return
    for rule, same in confirming:
        assert same is not None, "confirmed names its areas"
        check_within(desk.findings, _burning(rules, owners), same, _part(rules, rule, "when"))
        outside = [each for each in outside if area_of(each, same) is None]
    if confirming and outside and not desk.findings.errors:
        rule, same = confirming[-1]
        assert same is not None, "confirmed names its areas"
        say_unconfirmed(desk.findings, outside, same, _part(rules, rule, "when"))


def _say_nothing_burns(desk: Desk, part: Part) -> None:
    desk.findings.add(
        "E612",
        part.entry.at(*part.path),
        Say(
            "没有一条规则报 fire 类的警,没有火警可以确认,这条规则永远不会报警",
            "no rule raises an alarm of class fire: there is nothing to confirm, this rule never fires",
        ),
        subject=part.subject,
        fix=Say(
            "先给探测器写规则,例如 when: {kind: smoke, point: alarm, is: true},raise: {class: fire}",
            "write the rules of the detectors first: when: {kind: smoke, point: alarm, is: true}, raise: {class: fire}",
        ),
    )


def _part(rules: Rules, rule: Rule, *path: str | int) -> Part:
    return Part(rules.entry_of(rule.id), path, Say(f"规则 {rule.id}", f"rule {rule.id}"))


def _sources(rules: Rules, rule: Rule, owners: Mapping[str, Device]) -> list[Device]:
    """The devices whose points can make the rule true."""
    if rule.condition.kind == "confirmed":
        return _burning(rules, owners)
    points = [*rule.points, *(point for part in rule.condition.parts for point in part.points)]
    return list({owner.id: owner for each in points if (owner := owners.get(each)) is not None}.values())


def _burning(rules: Rules, owners: Mapping[str, Device]) -> list[Device]:
    """The devices whose own alarms are of class fire."""
    points = [point for rule in rules.rules if rule.alarm_class is AlarmClass.FIRE for point in rule.points]
    return list({owner.id: owner for each in points if (owner := owners.get(each)) is not None}.values())


def _lacking(desk: Desk, action: Action, sources: Sequence[Device]) -> list[str]:
    """The areas with a source and nothing for the action to set."""
    fit = {p.id for p in desk.profiles.values() if any(m.base == action.point and m.is_writable for m in p.moulds)}
    reached = {area_of(d, action.scope) for d in desk.by_kind.get(action.kind, ()) if d.profile in fit}
    return sorted(
        {
            _named(each, action.scope)
            for each in sources
            if (area := area_of(each, action.scope)) is None or area not in reached
        }
    )


def _named(device: Device, scope: Scope) -> str:
    area = area_of(device, scope)
    return device.place.text if area is None else "-".join(area)


def _say_lacking(desk: Desk, part: Part, action: Action, lacking: Sequence[str]) -> None:
    area, shown = AREAS[action.scope], ", ".join(lacking[:5])
    more = f" 等 {len(lacking)} 处" if len(lacking) > 5 else ""
    desk.findings.add(
        "W603",
        part.entry.at(*part.path),
        Say(
            f"{area.zh} {shown}{more} 没有 {action.kind},联动在那里不起作用".replace("  ", " "),
            f"no {action.kind} in {area.en} {shown}{' ...' if more else ''}: the action does nothing there",
        ),
        subject=part.subject,
        fix=Say("在那里装上,或把 within 放宽一级", "install one there, or widen within"),
    )
