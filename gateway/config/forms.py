"""Configuration: the forms that ``when:`` can take, and which keys go with which. What values mean is `conditions`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet

from gateway.config.findings import Findings, Say
from gateway.config.rule_shapes import When
from gateway.config.shaping import Part

_VALUES = ("is", "above", "below", "changed_to")
_ON_POINTS = (*_VALUES, "rises", "falls", "absent", "still")
_LASTING = ("is", "above", "below", "rises", "falls", "absent", "still", "expr")
FORMS = (*_ON_POINTS, "expr", "confirmed", "first")
_GOES_WITH: Mapping[str, tuple[str, ...]] = {
    "kind": (*_ON_POINTS, "expr"),
    "point": _ON_POINTS,
    "tag": (*_ON_POINTS, "expr", "first"),
    "clear": ("above", "below"),
    "for": _LASTING,
    "clear_for": _LASTING,
    "times": _VALUES,
    "devices": _VALUES,
    "within": ("rises", "falls", "first", "times", "devices"),
    "same": ("devices", "still", "first", "confirmed"),
    "class": ("confirmed",),
    "then": ("first",),
    "unless": ("first",),
}
_NEEDS: Mapping[str, tuple[str, ...]] = {
    **dict.fromkeys(_ON_POINTS, ("point",)),
    "rises": ("point", "within"),
    "falls": ("point", "within"),
    "still": ("point", "same"),
    "times": ("within",),
    "devices": ("same",),
    "first": ("then", "within", "same"),
    "then": ("first",),
    "confirmed": ("class", "same"),
}
_SAMPLES = {
    "point": "point: alarm",
    "within": "within: 1m",
    "same": "same: zone",
    "first": "first: {kind: door, point: forced, is: true}",
    "then": "then: {kind: motion, point: motion, is: true}",
    "class": "class: fire",
}
_MOMENT = Say("changed_to 是一瞬间的事,没有 {}", "changed_to is a moment and has no {}")


def form_of(findings: Findings, when: When, part: Part) -> str | None:
    """The one form the condition has, or None with the reasons told."""
    given = _given(when)
    forms = [each for each in FORMS if each in given]
    if not forms and not given.isdisjoint({"then", "unless"}):
        _check_needs(findings, given, ["then"], part)
        return None
    if len(forms) != 1:
        _say_count(findings, forms, part)
        return None
    before = findings.errors
    heads = [each for each in ("times", "devices") if each in given]
    _check_strangers(findings, given, {forms[0], *heads}, part)
    if len(heads) == 2:
        what = Say("times 与 devices 不能一起用", "times and devices do not go together")
        _say(findings, part, "devices", what, Say("删掉其中一个", "remove one of them"))
    if "times" in heads and when.for_:
        what = Say("for 与 times 不能一起用", "for and times do not go together")
        _say(findings, part, "for", what, Say("删掉 for", "remove for"))
    _check_needs(findings, given, [forms[0], *heads], part)
    _check_lists(findings, when, forms[0], part)
    return forms[0] if findings.errors == before else None


def _given(when: When) -> frozenset[str]:
    """The keys that are written, but for durations of ``0s`` and ``override``."""
    fields = type(when).model_fields
    written = {fields[name].alias or name: getattr(when, name) for name in when.model_fields_set}
    zero = {key for key in ("for", "clear_for") if not written.get(key)}
    return frozenset(key for key, value in written.items() if value is not None and key not in {"override", *zero})


def _say_count(findings: Findings, forms: Sequence[str], part: Part) -> None:
    fix = Say("一条规则只留一个条件,其余另写一条规则", "keep one condition; write another rule for the others")
    findings.add(
        "E605",
        part.entry.key(*part.path, forms[1]) if forms else part.entry.at(*part.path),
        Say(f"{forms[0]} 和 {forms[1]} 不能写在一个条件里", f"{forms[0]} and {forms[1]} cannot be in one condition")
        if forms
        else Say("没有写条件", "there is no condition"),
        subject=part.subject,
        fix=fix if forms else Say("加上条件,例如 is: true 或 above: 60", "add one, such as is: true or above: 60"),
        options=() if forms else FORMS,
    )


def _check_strangers(findings: Findings, given: AbstractSet[str], heads: AbstractSet[str], part: Part) -> None:
    for key in sorted(given):
        fitting = _GOES_WITH.get(key)
        if fitting is None or not heads.isdisjoint(fitting):
            continue
        if key in {"for", "clear_for"} and "changed_to" in heads:
            what = Say(_MOMENT.zh.format(key), _MOMENT.en.format(key))
        else:
            what = Say(f"{key} 只能与 {'、'.join(fitting)} 一起用", f"{key} only goes with {', '.join(fitting)}")
        fix = Say(f"删掉 {key}", f"remove {key}")
        if key == "within" and heads & {"is", "above", "below", "expr"}:
            fix = Say("要求持续这么久就写 for;否则删掉 within", "for a duration write for; else remove within")
        _say(findings, part, key, what, fix)


def _check_needs(findings: Findings, given: AbstractSet[str], heads: Sequence[str], part: Part) -> None:
    for head in heads:
        for key in _NEEDS.get(head, ()):
            if key not in given:
                what = Say(f"{head} 还要写 {key}", f"{head} needs {key}")
                _say(findings, part, head, what, Say(f'加上 "{_SAMPLES[key]}"', f'add "{_SAMPLES[key]}"'))


def _check_lists(findings: Findings, when: When, form: str, part: Part) -> None:
    if form != "still" and when.point is not None and len(when.point) > 1:
        what = Say(f"{form} 只看一个点,这里写了 {len(when.point)} 个", f"{form} looks at one point")
        _say(findings, part, "point", what, Say("每个点写一条规则", "write one rule for each point"))


class UnfitError(ValueError):
    """Keys that do not go together: at which key, what is wrong, what to do."""

    def __init__(self, key: str, what: Say, fix: Say) -> None:
        super().__init__(what.en)
        self.key = key
        self.what = what
        self.fix = fix

    def say(self, findings: Findings, part: Part) -> None:
        """Tell it at its place below ``part``."""
        _say(findings, part, self.key, self.what, self.fix)


def _say(findings: Findings, part: Part, key: str, what: Say, fix: Say) -> None:
    spot = part.entry.at(*part.path, key)
    findings.add("E605", spot, what, subject=part.subject, fix=fix)
