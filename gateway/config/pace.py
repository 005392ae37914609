"""Configuration: windows of rules against how often their points are asked. Only polled points have a known pace."""

from __future__ import annotations

from gateway.config.findings import Findings, Say
from gateway.config.rule_shapes import When
from gateway.config.shaping import Part
from gateway.config.targets import Target


def slowest_s(target: Target) -> tuple[float, str]:
    """The longest interval between two readings of a point, and its name; 0: the devices speak when they like."""
    meant = {id(each) for each in target.moulds}
    found = [
        (float(every), mould.base)
        for profile in target.profiles
        for mould in profile.moulds
        if id(mould) in meant
        and (every := getattr(mould.params, "poll", None) or getattr(profile.params, "poll", None)) is not None
    ]
    return max(found, default=(0.0, ""))


def check_pace(findings: Findings, when: When, target: Target, part: Part) -> None:
    """Rates, repetitions and absences that the pace of a point cannot show."""
    every_s, name = slowest_s(target)
    if not every_s:
        return
    if when.absent is not None and when.absent < 2 * every_s:
        what = Say(
            f'点 "{name}" 每 {every_s:g}s 才读一次,absent 短于两次:正常时也会报警',
            f'point "{name}" is read every {every_s:g}s: with a shorter absent than two of these it is always absent',
        )
        _say(
            findings,
            _at(part, "absent"),
            "W618",
            what,
            Say(f"写 {3 * every_s:g}s 以上", f"write {3 * every_s:g}s or more"),
        )
    within_s = when.within or 0.0
    if (when.rises is not None or when.falls is not None) and within_s < every_s:
        what = Say(
            f'点 "{name}" 每 {every_s:g}s 才读一次,within 里只有一个读数,永远不会报警',
            f'point "{name}" is read every {every_s:g}s: within holds one reading only, this rule never fires',
        )
        _say(findings, _at(part, "within"), "E618", what, _longer(2 * every_s))
    if when.times is not None:
        is_moment = all(each.is_event for each in target.moulds)
        least_s = (when.times - 1) * every_s * (1 if is_moment else 2)  # it must be seen to end before it comes again
        if within_s < least_s:
            what = Say(
                f'点 "{name}" 每 {every_s:g}s 才读一次,{within_s:g}s 里看不到 {when.times} 次,永远不会报警',
                f'point "{name}" is read every {every_s:g}s: {when.times} times cannot be seen in {within_s:g}s',
            )
            _say(findings, _at(part, "within"), "E618", what, _longer(2 * least_s))


def check_wait(findings: Findings, target: Target, within_s: float, part: Part) -> None:
    """A window shorter than a point's interval misses what it waits for, mostly."""
    every_s, name = slowest_s(target)
    if 0 < within_s < every_s:
        what = Say(
            f'点 "{name}" 每 {every_s:g}s 才读一次,within 比它短:多半会漏报',
            f'point "{name}" is read every {every_s:g}s: a shorter within misses most',
        )
        _say(findings, _at(part, "within"), "W618", what, _longer(2 * every_s))


def _longer(least_s: float) -> Say:
    return Say(f"写 within: {least_s:g}s 以上,或在档案里把 poll 改短", f"write {least_s:g}s or more, or a shorter poll")


def _at(part: Part, key: str) -> Part:
    return part._replace(path=(*part.path, key))


def _say(findings: Findings, part: Part, code: str, what: Say, fix: Say) -> None:
    findings.add(code, part.entry.at(*part.path), what, subject=part.subject, fix=fix)
