"""Configuration: what a rule does (``do:``) and whom it tells (``tell:``)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import NamedTuple

from gateway.config.channels import CHANNELS
from gateway.config.desk import Desk, Mould, Profile
from gateway.config.duties import people
from gateway.config.findings import DEFINED, Findings, Say, perhaps
from gateway.config.rule_shapes import Do, RuleItem
from gateway.config.scopes import AREAS, is_narrower
from gateway.config.shaping import Part
from gateway.config.values import BadValueError, value_of
from gateway.model import Action, Recipient, Scope, Tell

_OURS = ("console", "buzzer")  # channels of the gateway itself: they need no address


class Source(NamedTuple):
    """Where a rule's alarms come from: devices of these profiles, or areas of one kind."""

    profiles: Sequence[Profile] = ()
    area: Scope | None = None


def read_actions(desk: Desk, item: RuleItem, source: Source, part: Part) -> tuple[Action, ...]:
    """The rule's actions; wrong ones are left out and told."""
    found = []
    for index, do in enumerate(item.do or ()):
        action = _action(desk, do, source, part._replace(path=("do", index)))
        if action is not None:
            found.append(action)
    return tuple(found)


def _action(desk: Desk, do: Do, source: Source, part: Part) -> Action | None:
    kind = do.kind or ""
    if source.area is not None and not _fits_area(desk, do, source.area, part):
        return None
    meant = [p for p in desk.profiles.values() if p.kind == kind] if kind else list(source.profiles)
    if not meant:
        if kind and not desk.unread_profiles and not desk.is_partial:
            _say_no_kind(desk, kind, part)
        return None
    if not kind and do.within is not Scope.DEVICE:
        desk.findings.add(
            "E608",
            part.entry.at(*part.path, "within"),
            Say(
                "没有写 kind 就是报警的设备自己,within 只能是 device",
                "without kind it is the device itself: within can only be device",
            ),
            subject=part.subject,
            fix=Say("加上 kind,或写 within: device", "add kind, or write within: device"),
        )
        return None
    moulds = [mould for profile in meant for mould in profile.moulds if do.point in {mould.base, mould.name}]
    if not moulds:
        names = sorted({mould.base for profile in meant for mould in profile.moulds if mould.is_writable})
        who = kind or "报警的设备"
        desk.findings.add(
            "E209",
            part.entry.at(*part.path, "point"),
            Say(f'{who} 没有点 "{do.point}"', f'{kind or "the device"} has no point "{do.point}"'),
            subject=part.subject,
            fix=perhaps(do.point, names, Say("写档案里 writable: true 的点", "name a point with writable: true")),
            options=names,
        )
        return None
    action = _valued(desk, do, moulds, part)
    kinds = {profile.kind for profile in meant}
    if action is not None and "gas-valve" in kinds:
        _check_valve(desk, action, part)
    if action is not None and action.until:
        _check_until(desk, action, kinds, part)
    return action


def _fits_area(desk: Desk, do: Do, area: Scope, part: Part) -> bool:
    """The source is an area: there is no device "itself", and nothing narrower than the area is meant."""
    name = AREAS[area]
    if do.kind is None:
        key = "point"
        what = Say(
            f"报警的是{name.zh},不是一台设备:动作要写 kind", f"the alarm is of a {name.en}, not of a device: write kind"
        )
        fix = Say("加上 kind", "add kind")
    elif is_narrower(do.within, area):
        key = "within"
        what = Say(
            f"报警的是{name.zh},范围不能比它小({AREAS[do.within].zh})",
            f"the alarm is of a {name.en}: the action cannot be for less ({AREAS[do.within].en})",
        )
        fix = Say(f"写 within: {area},或更大的范围", f"write within: {area}, or a wider scope")
    else:
        return True
    desk.findings.add("E608", part.entry.at(*part.path, key), what, subject=part.subject, fix=fix)
    return False


def _valued(desk: Desk, do: Do, moulds: Sequence[Mould], part: Part) -> Action | None:
    writable = [each for each in moulds if each.is_writable]
    if not writable:
        desk.findings.add(
            "E609",
            part.entry.at(*part.path, "point"),
            Say(f'点 "{do.point}" 不能写', f'point "{do.point}" cannot be written'),
            subject=part.subject,
            fix=Say(
                "在档案里给这个点加 writable: true,或换一个点",
                "add writable: true to it in the profile, or use another point",
            ),
        )
        return None
    try:
        values = [value_of(do.value, mould.type, mould.unit) for mould in writable]
    except BadValueError as error:
        spot = part.entry.at(*part.path, "value")
        desk.findings.add(error.code, spot, error.what, subject=part.subject, fix=error.fix)
        return None
    return Action(do.kind or "", do.point, do.within, values[0], do.expires, do.safety, do.until or "")


def _check_valve(desk: Desk, action: Action, part: Part) -> None:
    """Software may close a gas valve, never open it (GB 50028-2006 (2020) 10.8.2); the engine refuses it, too."""
    if (action.point, action.value) in {("closed", True), ("open", False)}:
        return
    desk.findings.add(
        "E610",
        part.entry.at(*part.path, "value"),
        Say("软件只能关燃气阀,不能开", "software may close a gas valve and never open it"),
        subject=part.subject,
        fix=Say('写 "point: closed, value: true";开阀要有人到现场', 'write "point: closed, value: true"'),
    )


def _check_until(desk: Desk, action: Action, kinds: AbstractSet[str], part: Part) -> None:
    """What is set back by itself: only what was switched on, never a valve or a door; the engine refuses it, too."""
    if action.value is True and kinds.isdisjoint({"gas-valve", "door", "barrier"}):
        return
    desk.findings.add(
        "E611",
        part.entry.at(*part.path, "until"),
        Say(
            "until 只能用在 value: true 的动作上,燃气阀、门锁和道闸由人到现场恢复",
            "until is for actions with value: true; gas valves, doors and barriers are set back by people",
        ),
        subject=part.subject,
        fix=Say("去掉 until", "remove until"),
    )


def _say_no_kind(desk: Desk, kind: str, part: Part) -> None:
    kinds = sorted({profile.kind for profile in desk.profiles.values()})
    desk.findings.add(
        "E208",
        part.entry.at(*part.path, "kind"),
        Say(f'没有 "{kind}" 这类设备的档案', f'no profile is of kind "{kind}"'),
        subject=part.subject,
        fix=perhaps(kind, kinds, Say("改成已有的类别,或先写档案", "use a known kind, or write a profile first")),
        options=kinds,
    )


def read_tells(
    findings: Findings, item: RuleItem, recipients: Mapping[str, Recipient] | None, part: Part
) -> tuple[Tell, ...]:
    """Whom the rule tells. ``recipients`` None: notify.yaml could not be read, so names cannot be judged."""
    found = []
    for index, tell in enumerate(item.tell or ()):
        if recipients is None:
            continue
        recipient = recipients.get(tell.to)
        if recipient is None:
            findings.add(
                "E207",
                part.entry.at("tell", index, "to"),
                Say(f'联系人 "{tell.to}" 没有定义', f'recipient "{tell.to}" is not defined'),
                subject=part.subject,
                fix=_who(tell.to, recipients),
                options=recipients,
                options_label=DEFINED,
            )
            continue
        for place, channel in enumerate(tell.by):
            here = part._replace(path=("tell", index, "by", place))
            _check_channel(findings, channel, recipient, list(people(recipients, tell.to)), here)
        found.append(Tell(tell.to, tuple(tell.by), tell.after, tell.every))
    return tuple(found)


def _who(name: str, recipients: Mapping[str, Recipient]) -> Say:
    titled = [each.id for each in recipients.values() if each.title == name]
    if titled:
        return Say(f"写 {titled[0]}({name} 是它的 title)", f"write {titled[0]} ({name} is its title)")
    otherwise = Say("在 notify.yaml 的 recipients 里加上", "add it to recipients in notify.yaml")
    return perhaps(name, recipients, otherwise)


def _check_channel(
    findings: Findings, channel: str, recipient: Recipient, reached: Sequence[Recipient], part: Part
) -> None:
    if channel in _OURS:
        return
    lacking = [each for each in reached if channel not in each.addresses and not each.members]
    if channel not in CHANNELS or not any(channel in each.addresses for each in reached):
        _say_channel(findings, channel, recipient, part)
    elif lacking and channel not in recipient.addresses:
        names = ", ".join(each.id for each in lacking)
        findings.add(
            "W211",
            part.entry.at(*part.path),
            Say(
                f"{recipient.id} 的成员 {names} 没有 {channel} 的地址,这样通知不到",
                f"members {names} of {recipient.id} have no address for {channel}: it does not reach them",
            ),
            subject=part.subject,
            fix=Say("在 notify.yaml 里补上", "add it in notify.yaml"),
        )


def _say_channel(findings: Findings, channel: str, recipient: Recipient, part: Part) -> None:
    usable = [each for each in CHANNELS if each in _OURS or each in recipient.addresses]
    is_known = channel in CHANNELS
    findings.add(
        "E211",
        part.entry.at(*part.path),
        Say(
            f'联系人 "{recipient.id}" 没有 {channel} 的地址', f'recipient "{recipient.id}" has no address for {channel}'
        )
        if is_known
        else Say(f'不认识的通知方式 "{channel}"', f'unknown channel "{channel}"'),
        subject=part.subject,
        fix=Say(f"在 notify.yaml 里给 {recipient.id} 加上 {channel}", f"add {channel} to {recipient.id} in notify.yaml")
        if is_known
        else perhaps(channel, usable, Say("从可用的方式里选", "choose an allowed one")),
        options=usable,
    )
