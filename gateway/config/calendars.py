"""Configuration: the calendars of site.yaml, and who names them. Asking one about a moment is `model.calendar`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import date
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from gateway.config.findings import DEFINED, Findings, Say, perhaps
from gateway.config.hints import clock_for, date_for
from gateway.config.shapes import OneOrMore, Shape, SiteFile, custom, one_or_more
from gateway.config.shaping import Part, shape
from gateway.config.tree import Entry
from gateway.model import Calendar, Window

_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_DAY_MIN = 24 * 60
_WEEK_MIN = 7 * _DAY_MIN
_CLOCK = re.compile(r"([01]?\d|2[0-3]):([0-5]\d)|24:00", re.ASCII)
_DATE = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
_NAME_IT = Say(
    '这里写日历的名字;先在 site.yaml 里写 calendars: {night: {from: "22:00", to: "07:00"}}',
    'name a calendar here; first write calendars: {night: {from: "22:00", to: "07:00"}} in site.yaml',
)
_GROUPS: Mapping[str, frozenset[int]] = {
    "daily": frozenset(range(7)),
    "weekdays": frozenset(range(5)),
    "weekend": frozenset((5, 6)),
    **{name: frozenset((number,)) for number, name in enumerate(_DAYS)},
}


def _minute(value: object) -> object:
    if not isinstance(value, str):
        return value
    found = _CLOCK.fullmatch(value.strip())
    if not found:
        raise custom(
            "E117",
            f'"{value[:40]}" 不是时刻',
            f'"{value[:40]}" is not a time of day',
            *(
                (f'写 "{meant}"', f'write "{meant}"')
                if (meant := clock_for(value))
                else (
                    '写 "时:分",例如 "07:00",到 "24:00" 为止',
                    'write "hours:minutes", such as "07:00", up to "24:00"',
                )
            ),
        )
    return int(found[1]) * 60 + int(found[2]) if found[1] else _DAY_MIN


def _date(value: str) -> str:
    try:
        if _DATE.fullmatch(value.strip()):
            return date.fromisoformat(value.strip()).isoformat()
    except ValueError:
        pass
    raise custom(
        "E117",
        f'"{value[:40]}" 不是日期',
        f'"{value[:40]}" is not a date',
        *(
            (f'写 "{meant}"', f'write "{meant}"')
            if (meant := date_for(value))
            else ('写 "年-月-日",例如 "2026-10-01"', 'write "year-month-day", such as "2026-10-01"')
        ),
    )


Minute = Annotated[int, BeforeValidator(_minute, json_schema_input_type=str)]
Day = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun", "daily", "weekdays", "weekend"]
Days = Annotated[
    list[Day], BeforeValidator(one_or_more, json_schema_input_type=Day | list[Day]), Field(min_length=1, max_length=10)
]

Dates = Annotated[list[Annotated[str, AfterValidator(_date)]], OneOrMore, Field(max_length=400)]


def _daily() -> list[Day]:
    return ["daily"]


class WindowItem(Shape):
    """From a time to a time, on these days; over midnight where the end is not after the start."""

    days: Days = Field(default_factory=_daily)
    from_: Annotated[Minute, Field(lt=_DAY_MIN)] = Field(alias="from")
    to: Minute


class Single(WindowItem):
    """A calendar of one window."""

    off: Dates | None = None


class Several(Shape):
    """A calendar of several windows."""

    windows: Annotated[list[WindowItem], Field(min_length=1, max_length=50)]
    off: Dates | None = None


def read_calendars(findings: Findings, file: SiteFile, entry: Entry) -> dict[str, Calendar | None]:
    """The calendars of site.yaml by name; None where one is wrong: whoever names it is not."""
    return {
        name: _calendar(findings, name, raw, Part(entry, ("calendars", name), Say(f"日历 {name}", f"calendar {name}")))
        for name, raw in (file.calendars or {}).items()
    }


def _calendar(findings: Findings, name: str, raw: Any, part: Part) -> Calendar | None:
    if isinstance(raw, dict) and "windows" in raw:
        if twice := [key for key in ("days", "from", "to") if key in raw]:
            _say_twice(findings, twice[0], part)
            return None
        several = shape(findings, Several, raw, part)
        return _made(name, several.windows, several.off) if several is not None else None
    if not isinstance(raw, dict):
        findings.add(
            "E117",
            part.entry.at(*part.path),
            Say("日历要写从几点到几点", "a calendar says from when to when"),
            subject=part.subject,
            fix=Say(f'写 {name}: {{from: "22:00", to: "07:00"}}', f'write {name}: {{from: "22:00", to: "07:00"}}'),
        )
        return None
    single = shape(findings, Single, raw, part)
    return _made(name, [single], single.off) if single is not None else None


def _say_twice(findings: Findings, key: str, part: Part) -> None:
    findings.add(
        "E117",
        part.entry.key(*part.path, key),
        Say("days、from、to 与 windows 只能写一种", "write either days, from, to or windows"),
        subject=part.subject,
        fix=Say(
            "只有一段时间就删掉 windows;有几段就都写进 windows", "for several windows put all of them into windows"
        ),
    )


def _made(name: str, windows: Iterable[WindowItem], off: Iterable[str] | None) -> Calendar:
    return Calendar(name, tuple(map(_window, windows)), frozenset(off or ()))


def _window(item: WindowItem) -> Window:
    return Window(frozenset[int]().union(*(_GROUPS[each] for each in item.days)), item.from_, item.to)


def is_defined(findings: Findings, name: str, calendars: Mapping[str, Calendar | None] | None, part: Part) -> bool:
    """Is there a calendar of that name? ``calendars`` None: site.yaml could not be read, so nothing can be said."""
    if calendars is None or name in calendars:
        return True
    findings.add(
        "E212",
        part.entry.at(*part.path),
        Say(f'日历 "{name}" 没有定义', f'calendar "{name}" is not defined'),
        subject=part.subject,
        fix=_NAME_IT
        if ":" in name
        else perhaps(name, calendars, Say("在 site.yaml 的 calendars 里加上", "add it to calendars in site.yaml")),
        options=calendars,
        options_label=DEFINED,
    )
    return False


def never_both(only: Calendar | None, unless: Calendar | None) -> bool:
    """Is there no minute of a week inside ``only`` and outside ``unless``?"""
    if unless is not None and unless.off - (only.off if only is not None else frozenset()):
        return False  # on its days off there is time
    week = (1 << _WEEK_MIN) - 1
    inside = week if only is None else _minutes(only.windows)
    return not inside & ~(0 if unless is None else _minutes(unless.windows))


def longest_open_s(only: Calendar | None, unless: Calendar | None) -> float | None:
    """The longest time without a break inside ``only`` and outside ``unless``; None: it has no end, or is not known."""
    if unless is not None and unless.off:
        return None
    week = (1 << _WEEK_MIN) - 1
    bits = (week if only is None else _minutes(only.windows)) & ~(0 if unless is None else _minutes(unless.windows))
    if bits == week:
        return None
    text = f"{bits:0{_WEEK_MIN}b}" * 2  # twice, as a week goes on into the next
    return 60.0 * max(map(len, text.split("0")))


def _minutes(windows: Iterable[Window]) -> int:
    """The minutes of a week that the windows cover, as bits; what runs over Sunday's end goes on at its beginning."""
    bits = 0
    for days, start, end in windows:
        length = (end - start) if end > start else end + _DAY_MIN - start
        for day in days:
            bits |= ((1 << length) - 1) << (day * _DAY_MIN + start)
    return (bits | bits >> _WEEK_MIN) & ((1 << _WEEK_MIN) - 1)
