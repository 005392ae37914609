"""Configuration: limits that rules name and profiles and devices set (alarms.md, section 6: all limits per profile).

``above: {limit: warm, else: 60 °C}`` is 60 °C, and for a device whose profile (or whose own item) says
``limits: {warm: 55 °C}`` it is 55 °C. A name is put in its place before the rule is read, so that every check of a
written limit is made for each model as well. What a rule means is `rules`; the variants that come of it are judged
like any rule by `gateway.rules`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction
from typing import Any, NamedTuple

from gateway.config.desk import Desk, Mould
from gateway.config.expressions import TOKENS, names_in
from gateway.config.findings import Findings, Say, Spot, nearest, perhaps
from gateway.config.rule_shapes import LimitRef
from gateway.config.shaping import Part, shape
from gateway.config.values import BadValueError, number_of
from gateway.model import Device

PLACES = ("above", "below", "clear", "rises", "falls", "for", "clear_for", "within", "absent")
_GROUPED = ("devices", "still", "first", "confirmed")
_MEMBER = re.compile(r"\.([A-Za-z_]\w*)")
_SHARE = re.compile(r"(?:^|[<>=(&|])\s*(?P<share>(\d+(?:\.\d+)?)\s*\*\s*)$")  # 0.05 * limit.rated_power
_IN_TEXT = re.compile(r"\{\s*([A-Za-z_]\w*)\s*\}")
_DURATION = re.compile(r"\s*(\d+(?:\.\d+)?)\s*(ms|s|m|h|d)\s*")
_BARE = re.compile(r"\s*[+-]?\d+(?:\.\d+)?", re.ASCII)
_SPELT = {"ms": "毫秒", "s": "秒", "m": "分钟", "h": "小时", "d": "天"}


class Use(NamedTuple):
    """A limit that a rule names: its key in ``when`` ("expr" for those of an expression)."""

    name: str
    default: str
    key: str


class Own(NamedTuple):
    """Limits that a device has of its own, and where they are written."""

    limits: Mapping[str, str]
    spots: Mapping[str, Spot]


def read_uses(findings: Findings, part: Part) -> tuple[Use, ...] | None:
    """The limits that a rule names; None, with the reasons told, where they are not written as they must be."""
    when = part.entry.plain.get("when") if isinstance(part.entry.plain, dict) else None
    if not isinstance(when, dict):
        return ()
    before = findings.errors
    uses = [*_of_places(findings, when, part), *_of_expression(findings, when, part)]
    grouped = next((each for each in _GROUPED if each in when), "")
    if uses and grouped:
        what = Say(
            f"{grouped} 看的是一片,不能用各型号自己的界限", f"{grouped} looks at an area: no limits of each model"
        )
        fix = Say("直接写界限", "write the limit itself")
        findings.add("E605", part.entry.at("when", uses[0].key), what, subject=part.subject, fix=fix)
    _check_words(findings, uses, part)
    return tuple(uses) if findings.errors == before else None


def filled(plain: Mapping[str, Any], uses: Sequence[Use], own: Mapping[str, str], moulds: Sequence[Mould]) -> Any:
    """The rule with limits in the place of their names: the ``own`` ones, or what stands under ``else``.

    Raises:
        BadLimitError: a limit in an expression is no number, or is measured in what none of its points is.
    """
    if not uses:
        return plain
    values = {use.name: own.get(use.name, use.default) for use in uses}
    when = {key: each for key, each in plain["when"].items() if key != "else"}
    for use in uses:
        when[use.key] = _written(when, use, own, moulds) if use.key == "expr" else own.get(use.name, use.default)
    found = {**plain, "when": when}
    if isinstance(plain.get("title"), str):
        found["title"] = _worded(plain["title"], values)
    if isinstance(raised := plain.get("raise"), dict) and isinstance(raised.get("text"), str):
        found["raise"] = {**raised, "text": _worded(raised["text"], values)}
    return found


class BadLimitError(ValueError):
    """A limit in an expression that cannot stand there."""

    def __init__(self, name: str, why: BadValueError) -> None:
        super().__init__(str(why))
        self.name = name
        self.why = why


def moulds_in(desk: Desk, plain: Mapping[str, Any], profiles: Sequence[str] | None = None) -> list[Mould]:
    """The points of numbers that the expression of a rule names: they say what its limits are measured in."""
    when = plain.get("when")
    if not isinstance(when, dict) or not isinstance(when.get("expr"), str):
        return []
    names = {each.text for each in names_in(when["expr"])}
    kinds = [when["kind"]] if isinstance(when.get("kind"), str) else when.get("kind")
    meant = [
        each for each in desk.profiles.values()
        if (kinds is None or each.kind in kinds) and (profiles is None or each.id in profiles)
    ]  # fmt: skip
    return [m for each in meant for m in each.moulds if m.base in names and m.type in {"int", "float"}]


class Limits:
    """What profiles and devices set, and which of it some rule has asked for."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._names: set[str] = set()  # that rules use
        self._used: set[tuple[str, str]] = set()  # profile and name, for which there is such a rule
        self._used_at: set[tuple[str, str]] = set()  # device and name

    def of(self, device: Device) -> Own:
        """What the device has of its own: its model's limits, and over them those of its item."""
        profile = self._desk.profiles.get(device.profile)
        theirs = profile.limits if profile is not None else {}
        mine = self._desk.limits.get(device.id, {})
        spots = {}
        if profile is not None:
            spots = {name: profile.entry.at("limits", name) for name in theirs}
        if mine:
            spots |= {name: self._desk.origins[device.id].at("limits", name) for name in mine}
        return Own({**theirs, **mine}, spots)

    def groups(
        self, uses: Sequence[Use], devices: Sequence[Device], profiles: Sequence[str]
    ) -> Iterator[tuple[Own, list[Device]]]:
        """The devices for which the rule is another, those of one model with the same limits together."""
        names = tuple(dict.fromkeys(use.name for use in uses))
        self._names.update(names)
        self._used.update((profile, name) for profile in profiles for name in names)
        found: dict[tuple[str, tuple[str | None, ...]], list[Device]] = {}
        having = {each.id for each in self._desk.profiles.values() if each.limits}
        for device in devices:
            if device.id in self._desk.limits:
                self._used_at.update((device.id, name) for name in names)
            elif device.profile not in having:
                continue
            own = self._texts(device)
            values = tuple(own.get(name) for name in names)
            if any(own.get(use.name, use.default) != use.default for use in uses):
                found.setdefault((device.profile, values), []).append(device)
        for group in found.values():
            yield self.of(group[0]), group

    def _texts(self, device: Device) -> Mapping[str, str]:
        profile = self._desk.profiles.get(device.profile)
        theirs = profile.limits if profile is not None else {}
        mine = self._desk.limits.get(device.id)
        return {**theirs, **mine} if mine else theirs

    def check_unused(self) -> None:
        """Once all rules are read: a limit that no rule asks for protects nobody."""
        for profile in self._desk.profiles.values():
            subject = Say(f"档案 {profile.id}", f"profile {profile.id}")
            for name in profile.limits:
                if (profile.id, name) not in self._used:
                    self._say_unused(name, Part(profile.entry, (), subject))
        told: set[tuple[int, str]] = set()
        for device_id, limits in self._desk.limits.items():
            entry = self._desk.origins[device_id]
            for name in limits:
                if (device_id, name) not in self._used_at and (id(entry), name) not in told:
                    told.add((id(entry), name))
                    self._say_unused(name, Part(entry, (), Say(f"设备 {device_id}", f"device {device_id}")))

    def _say_unused(self, name: str, part: Part) -> None:
        known = sorted(self._names)
        way_out = Say(
            "改成规则里 limit 用的名字,或删掉它", "use a name that stands under limit in a rule, or remove it"
        )
        self._desk.findings.add(
            "E215" if nearest(name, known) else "W215",
            part.entry.key("limits", name),
            Say(f'界限 "{name}" 没有规则用到,写了不起作用', f'no rule asks for the limit "{name}": it has no effect'),
            subject=part.subject,
            fix=perhaps(name, [each for each in known if each != name], way_out),
            options=known,
        )


def _of_places(findings: Findings, when: Mapping[str, Any], part: Part) -> Iterator[Use]:
    for key in PLACES:
        if isinstance(when.get(key), dict):
            found = shape(findings, LimitRef, when[key], part._replace(path=("when", key)))
            if found is not None:
                yield Use(found.limit, found.else_, key)


def _of_expression(findings: Findings, when: Mapping[str, Any], part: Part) -> Iterator[Use]:
    text, defaults = when.get("expr"), when.get("else")
    spots = dict(_members(text)) if isinstance(text, str) else {}
    defaults = defaults if isinstance(defaults, dict) else {}
    for name, token in spots.items():
        if isinstance(defaults.get(name), str):
            yield Use(name, defaults[name], "expr")
            continue
        spot = part.entry.inside(("when", "expr"), 1, token + 1, len(f"limit.{name}"))
        what = Say(f"limit.{name} 没有默认值", f"limit.{name} has no value of its own")
        sample = f"else: {{{name}: 1000}}"
        otherwise = Say(f'在 when 里加上 "{sample}"', f'add "{sample}" to when')
        findings.add("E216", spot, what, subject=part.subject, fix=perhaps(name, defaults, otherwise))
    for name in defaults:
        if name not in spots:
            what = Say(f'expr 里没有用到 "limit.{name}"', f'expr does not use "limit.{name}"')
            otherwise = Say(f"在 expr 里写 limit.{name},或删掉它", f"write limit.{name} in expr, or remove it")
            spot = part.entry.key("when", "else", name)
            findings.add("E216", spot, what, subject=part.subject, fix=perhaps(name, spots, otherwise))
    if "else" in when and not defaults:
        what = Say("else 里写 expr 用到的界限", "under else stand the limits that expr uses")
        fix = Say("例如 else: {rated_power: 1000 W}", "for example else: {rated_power: 1000 W}")
        findings.add("E216", part.entry.key("when", "else"), what, subject=part.subject, fix=fix)


def _members(expression: str) -> Iterator[tuple[str, int]]:
    """The names behind ``limit.`` in an expression, and where these begin."""
    for token in TOKENS.finditer(expression):
        found = _MEMBER.match(expression, token.end())
        if token["name"] == "limit" and found is not None:
            yield found[1], token.start()


def _check_words(findings: Findings, uses: Sequence[Use], part: Part) -> None:
    """``{warm}`` in a text of a rule that does not name such a limit."""
    names = list(dict.fromkeys(use.name for use in uses))
    plain = part.entry.plain
    raised = plain.get("raise") if isinstance(plain, dict) else None
    texts = {("title",): plain.get("title"), ("raise", "text"): raised.get("text") if isinstance(raised, dict) else ""}
    for path, text in texts.items():
        for name in _IN_TEXT.findall(text) if names and isinstance(text, str) else ():
            if name not in names:
                what = Say(f'when 里没有界限 "{name}"', f'there is no limit "{name}" in when')
                fix = perhaps(
                    name, names, Say("写 when 里 limit 的名字", "write a name that stands under limit in when")
                )
                findings.add("E216", part.entry.at(*path), what, subject=part.subject, fix=fix, options=names)


def _written(when: Mapping[str, Any], use: Use, own: Mapping[str, str], moulds: Sequence[Mould]) -> str:
    try:
        number = _number(own.get(use.name, use.default), moulds)
    except BadValueError as error:
        raise BadLimitError(use.name, error) from None
    text = str(when["expr"])
    for name, start in reversed(list(_members(text))):
        if name == use.name:
            text = _put(text, start, start + len("limit.") + len(name), number)
    return text.rstrip()


def _put(text: str, start: int, end: int, number: float) -> str:
    """The number in the place of a name, as wide as that where it can be: columns stay what they were.

    A share of it (0.05 * limit.rated_power) is worked out, so that it can be judged whether it is ever passed.
    """
    if (share := _SHARE.search(text[:start])) is not None:
        start = share.start("share")
        number = float(Fraction(share[2]) * Fraction(repr(number)))
    return text[:start] + repr(number).ljust(end - start) + text[end:]


def _number(text: str, moulds: Sequence[Mould]) -> float:
    """``text`` in the unit of the points that the expression names."""
    if not moulds and (bare := _BARE.match(text)) is not None:
        return float(bare[0])  # that there are no such points is told elsewhere
    found: set[float] = set()
    error: BadValueError | None = None
    for unit in dict.fromkeys(each.unit for each in moulds) or ("",):
        try:
            found.add(number_of(text, unit))
        except BadValueError as why:
            error = error or why
    if len(found) > 1:
        raise BadValueError(
            "E604",
            Say(f'"{text}" 换成各点的单位不是同一个数', f'"{text}" is not one number in the units of the points'),
            Say("档案里把这些点写成同一个单位", "give these points one unit in the profile"),
        )
    if not found:
        assert error is not None, "there is at least one unit to try"
        raise error
    return found.pop()


def _worded(text: str, values: Mapping[str, str]) -> str:
    return _IN_TEXT.sub(lambda found: _shown(values[found[1]]) if found[1] in values else found[0], text)


def _shown(text: str) -> str:
    """A limit as people read it: 8h is 8 小时."""
    duration = _DURATION.fullmatch(text)
    return f"{duration[1]} {_SPELT[duration[2]]}" if duration else text


def blamed(uses: Sequence[Use], own: Own, spot: Spot, part: Part) -> tuple[str, str]:
    """The limit of ``own`` that is at fault for what was found at ``spot`` of a rule; and one to be set, too."""
    mine = [use for use in uses if use.name in own.limits]
    here = [use for use in uses if part.entry.at("when", use.key) == spot]
    fitting = [use for use in here if use.name in own.limits] or [use for use in mine if use.key == "expr"] or mine
    return fitting[0].name, here[0].name if here and here[0] not in mine else ""
