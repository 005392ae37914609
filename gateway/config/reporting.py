"""Configuration: report on change of single points, in profiles and of single devices.

What it does with readings is `gateway.reporting`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from gateway.config.desk import Mould
from gateway.config.findings import Findings, Say, perhaps
from gateway.config.shapes import ReportItem
from gateway.config.shaping import Part
from gateway.config.values import BadValueError, number_of
from gateway.model import Report

_NUMBERS = ("int", "float")


def read_report(findings: Findings, item: ReportItem | None, mould: Mould, part: Part) -> Report | None:
    """What is written at ``part`` for one point, in its unit; None: each reading goes up, or something is wrong."""
    if item is None or item == ReportItem():
        return None
    before = findings.errors
    if mould.is_event or mould.alarm_class is not None:
        _say_always(findings, part)
    deadband = _deadband(findings, item.deadband, mould, part)
    if item.min and item.max and item.min >= item.max:
        what = Say("min 不小于 max", "min is not less than max")
        fix = Say("例如 min: 10s, max: 10m", "for example min: 10s, max: 10m")
        findings.add("E217", part.entry.at(*part.path, "max"), what, subject=part.subject, fix=fix)
    return Report(deadband, item.min or 0.0, item.max or 0.0) if findings.errors == before else None


def with_reports(
    findings: Findings, items: Mapping[str, ReportItem], moulds: Sequence[Mould], part: Part
) -> Sequence[Mould]:
    """The points of a profile with what one device, or one batch, says of them; it takes the place of the profile's."""
    if not items:
        return moulds
    known = list(dict.fromkeys(name for each in moulds for name in (each.base, each.name)))
    for name in items:
        if name not in known:
            findings.add(
                "E209",
                part.entry.key("report", name),
                Say(f'没有点 "{name}"', f'there is no point "{name}"'),
                subject=part.subject,
                fix=perhaps(name, known, Say("写档案里的点名", "name a point of the profile")),
                options=list(dict.fromkeys(each.base for each in moulds)),
            )
    told: set[str] = set()  # a repeated point is wrong once
    made = []
    for each in moulds:
        name = each.name if each.name in items else each.base
        before = findings.errors
        if name in items and name not in told:
            here = part._replace(path=("report", name))
            each = each._replace(report=read_report(findings, items[name], each, here))  # noqa: PLW2901 - a copy
            told |= {name} if findings.errors > before else set()
        made.append(each)
    return made


def _deadband(findings: Findings, text: str | None, mould: Mould, part: Part) -> float:
    if text is None:
        return 0.0
    spot = part.entry.at(*part.path, "deadband")
    if mould.type not in _NUMBERS:
        what = Say(
            f"点是 {mould.type},不是数,没有 deadband", f"the point is {mould.type}, no number: it has no deadband"
        )
        fix = Say("删掉 deadband:变了就送", "remove deadband: each change is sent")
        findings.add("E217", spot, what, subject=part.subject, fix=fix)
        return 0.0
    try:
        number = number_of(text, mould.unit, is_change=True)
    except BadValueError as error:
        findings.add(error.code, spot, error.what, subject=part.subject, fix=error.fix)
        return 0.0
    if number < 0:
        what = Say("deadband 是负数", "the deadband is negative")
        findings.add("E217", spot, what, subject=part.subject, fix=Say("写正数", "write a positive number"))
    return number


def _say_always(findings: Findings, part: Part) -> None:
    findings.add(
        "E217",
        part.entry.at(*part.path),
        Say("报警和一瞬间的动作每一次都上送,不能写 report", "an alarm or a momentary act always goes up: no report"),
        subject=part.subject,
        fix=Say("删掉 report", "remove report"),
    )
