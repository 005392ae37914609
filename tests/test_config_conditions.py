"""Every form of condition as an installer writes it, and what the engine gets of it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.config import Checked, render
from gateway.config.calendars import never_both
from gateway.config.desk import LIFE_SAFETY
from gateway.config.expressions import names_in
from gateway.counters import Counters
from gateway.model import AlarmClass, Calendar, Condition, Rule, Scope, Site, Watched, Window
from gateway.notify.policy import NoticePolicy
from gateway.rules.engine import Engine
from tests.support_config import checked, laid_out


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    """A configuration with every form."""
    found = checked(laid_out("forms-valid", tmp_path_factory.mktemp("forms")))
    assert found.site is not None, render(found.findings)
    return found.site


def rule_of(site: Site, name: str) -> Rule:
    """The rule of that name."""
    return next(each for each in site.rules if each.id == name)


def points_of(site: Site, kind: str, *names: str) -> tuple[str, ...]:
    """The points so named (without index) of every device of a kind, device by device."""
    devices = [each for each in site.devices.values() if each.kind == kind]
    return tuple(p.id for each in devices for p in each.points if p.name.partition(".")[0] in names)


def test_conditions_on_one_point(site: Site) -> None:
    """Rates, repetitions and absences keep the rule's points and carry their window."""
    temperatures = points_of(site, "heat", "temp")
    assert rule_of(site, "heat-rate").points == temperatures
    assert rule_of(site, "heat-rate").condition == Condition("rises", 5.0, within_s=60)
    assert rule_of(site, "heat-rate").for_s == 5
    assert rule_of(site, "heat-drop").condition == Condition("falls", 5.0, within_s=60)
    assert rule_of(site, "smoke-thrice").condition == Condition("changed_to", value=True, within_s=600, count=3)
    assert rule_of(site, "heat-often").condition == Condition("above", 60.0, 55.0, within_s=3600, count=3)
    assert rule_of(site, "meter-silent").condition == Condition("absent", within_s=600)
    assert rule_of(site, "meter-silent").points == points_of(site, "water-meter", "volume")


def test_conditions_on_an_area_keep_their_points_in_parts(site: Site) -> None:
    """A group's rule has no points of its own: they are in the parts, and the scope says what is one group."""
    pair = rule_of(site, "smoke-pair")
    assert pair.points == ()
    alarms = Watched(points_of(site, "smoke", "alarm"), Condition("equals", value=True))
    assert pair.condition == Condition("devices", count=2, within_s=300, same=Scope.UNIT, parts=(alarms,))
    still = rule_of(site, "no-life").condition
    assert (still.kind, still.within_s, still.same, len(still.parts)) == ("still", 43_200, Scope.ROOM, 1)
    assert set(still.parts[0].points) == {
        *points_of(site, "door", "contact"),
        *points_of(site, "water-meter", "flow"),
        *points_of(site, "motion", "motion"),
    }
    assert rule_of(site, "confirmed-fire").condition == Condition("confirmed", same=Scope.BUILDING)


def test_a_sequence_has_its_parts_in_order(site: Site) -> None:
    """First, then, and what calls it off."""
    condition = rule_of(site, "break-in").condition
    assert (condition.kind, condition.within_s, condition.same) == ("sequence", 60, Scope.ROOM)
    assert condition.parts == (
        Watched(points_of(site, "door", "forced"), Condition("equals", value=True)),
        Watched(points_of(site, "motion", "motion"), Condition("changed_to", value=True)),
        Watched(points_of(site, "door", "authorised"), Condition("equals", value=True)),
    )


def test_an_expression_looks_at_the_points_it_names(site: Site) -> None:
    """Ten sockets with two points each: twenty points, whatever else the cabinet has."""
    welded = rule_of(site, "welded")
    assert welded.condition == Condition("expression", expression="!on && power > 20.0")
    assert sorted(welded.points) == sorted(points_of(site, "ebike-charger", "on", "power"))


def test_a_tag_chooses_devices(site: Site) -> None:
    """Only the doors with the tag are watched; without it, with `!`, the others."""
    held = rule_of(site, "accessible-held")
    assert {each.split("/")[0][:3] for each in held.points} == {"3-1"}
    assert len(held.points) == 4


def test_what_a_rule_says_beside_its_condition(site: Site) -> None:
    """Calendars, the three sentences, the time to respond, shelving, grouping, repeating."""
    rule = rule_of(site, "no-life")
    assert (rule.only, rule.unless) == ("daytime", "")
    assert (rule.cause, rule.cause_en) == ("门、水表、人体移动 12 小时没有变化", "")
    assert (rule.consequence, rule.consequence_en) == ("住户可能倒在家里", "The resident may have fallen")
    assert (rule.response, rule.response_en) == ("现在打电话给住户", "Call the resident now")
    assert (rule.respond_within_s, rule.shelvable_s, rule.tells[0].every_s) == (60, 0, 60)
    assert rule_of(site, "break-in").shelvable_s == 7200
    assert rule_of(site, "heat-rate").shelvable_s is None
    assert rule_of(site, "welded").groups == ("line", "cabinet")
    assert rule_of(site, "meter-silent").groups == ("line",)
    assert rule_of(site, "accessible-held").response == "到门口看一下"


def test_calendars_groups_and_tags_reach_the_site(site: Site) -> None:
    """What site.yaml, devices and notify.yaml say of them."""
    weekdays = frozenset(range(5))
    assert site.calendars["quiet"] == Calendar("quiet", (Window(weekdays, 1320, 420),), frozenset({"2026-10-01"}))
    assert site.calendars["always"].windows == (
        Window(weekdays, 0, 1440),
        Window(frozenset({5, 6}), 0, 1440),
    )
    assert site.devices["3-1-01-0101/door"].tags == ("accessible", "escape")
    assert site.recipients["duty"].members == ("zhang", "li")
    assert (site.recipients["duty"].group, site.recipients["zhang"].on_duty) == ("property", "daytime")


def with_rule(tmp_path: Path, when: str, **keys: str) -> Checked:
    """The homes with one more rule."""
    directory = laid_out("forms-valid", tmp_path)
    lines = ["rules:", "  - rule: r", "    title: 规则", f"    when: {when}", "    raise: {class: warning}"]
    lines += [f"    {key}: {value}" for key, value in keys.items()]
    (directory / "rules" / "more.yaml").write_text("\n".join(lines), encoding="utf-8")
    return checked(directory)


def test_without_the_tag(tmp_path: Path) -> None:
    """`!accessible` is every door but those."""
    found = with_rule(tmp_path, '{kind: door, tag: "!accessible", point: contact, is: false}')
    assert found.site is not None
    assert {each[:3] for each in rule_of(found.site, "r").points} == {"3-2"}


def test_a_tag_of_a_sequence_is_of_all_its_parts(tmp_path: Path) -> None:
    """A part may name its own tag; the others take the one beside them."""
    found = with_rule(
        tmp_path,
        "{first: {kind: door, point: forced, is: true}, then: {kind: door, point: contact, is: false, tag: escape}, "
        'within: 60s, same: building, tag: "!accessible"}',
    )
    assert found.site is not None
    first, then = rule_of(found.site, "r").condition.parts
    assert {each[:3] for each in first.points} == {"3-2"}
    assert {each[:3] for each in then.points} == {"3-1"}


@pytest.mark.parametrize(
    ("keys", "only", "codes"),
    [
        ("is: true", "", []),
        ("is: true, override: true", "    only: daytime\n", ["W601"]),
        ("changed_to: true, times: 3, within: 10m, override: true", "", ["W602"]),
    ],
)
def test_a_fire_is_told_at_its_first_sign(tmp_path: Path, keys: str, only: str, codes: list[str]) -> None:
    """A rule that counts protects nobody by itself, whatever it overrides; a calendar that is meant is said."""
    directory = laid_out("forms-valid", tmp_path)
    text = f"rules:\n  - rule: r\n    title: 规则\n    when: {{kind: heat, point: alarm, {keys}}}\n{only}"
    (directory / "rules" / "heat.yaml").write_text(f"{text}    raise: {{class: fire}}\n", encoding="utf-8")
    assert [each.code for each in checked(directory).findings] == codes


def test_sign_of_silence_may_be_a_fault_of_a_detector(tmp_path: Path) -> None:
    """A gas or fire point without readings is a fault, which may wait; only a fire alarm may not."""
    assert with_rule(tmp_path, "{kind: heat, point: alarm, absent: 30m}").site is not None


_VALUES: Mapping[str, Sequence[str]] = {
    "kind": ["door", "heat", "[door, motion]", "ebike-charger", "gateway", "nosuch"],
    "point": ["contact", "temp", "alarm", "online", "card", "power", "[contact, motion]", "nosuch"],
    "is": ["true", "5", "x"],
    "above": ["5", "60 °C", "5 W"],
    "below": ["5"],
    "changed_to": ["true", "x"],
    "rises": ["5", "-1", "true"],
    "falls": ["5 °C"],
    "absent": ["10m", "0s"],
    "still": ["12h"],
    "expr": ['"!on && power > 20.0"', '"contact"', '"1"'],
    "confirmed": ["true", "false"],
    "first": ["{kind: door, point: forced, is: true}", "{point: contact}"],
    "then": ["{kind: motion, point: motion, is: true}"],
    "unless": ["{kind: door, point: authorised, is: true}"],
    "class": ["fire", "gas"],
    "clear": ["4", "60"],
    "for": ["5s", "0s"],
    "clear_for": ["5s"],
    "times": ["3", "1"],
    "devices": ["2", "50"],
    "within": ["1m", "0s"],
    "same": ["room", "zone", "device", "site"],
    "tag": ["accessible", "shed", "garage"],
    "override": ["true"],
}
_WHENS = st.dictionaries(st.sampled_from(sorted(_VALUES)), st.integers(0, 20), min_size=1, max_size=8)


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The homes, to be written into again and again."""
    return laid_out("forms-valid", tmp_path_factory.mktemp("keys"))


@given(_WHENS)
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_keys_make_a_rule_or_an_error_at_the_rule(directory: Path, keys: dict[str, int]) -> None:
    """Whatever is written under `when`, either the rule is there and means one thing, or an error says where not."""
    flow = ", ".join(f"{key}: {_VALUES[key][n % len(_VALUES[key])]}" for key, n in keys.items())
    text = f"rules:\n  - rule: r\n    title: 规则\n    when: {{{flow}}}\n    raise: {{class: warning}}\n"
    target = directory / "rules" / "more.yaml"
    target.write_text(text, encoding="utf-8")
    found = checked(directory)
    if found.site is None:
        errors = [each for each in found.findings if each.is_error]
        assert errors
        for each in errors:
            assert (each.spot.source.name, each.spot.line) == (target.as_posix(), 4), each
            assert each.fix.zh
            assert each.fix.en
        return
    Engine(found.site, counters=Counters(), policy=NoticePolicy(found.site))  # has nothing to add
    rule = rule_of(found.site, "r")
    condition = rule.condition
    assert not (rule.points and condition.parts)
    assert (condition.same is not None) == (condition.kind in {"devices", "still", "sequence", "confirmed"})
    assert condition.within_s > 0 or condition.count == 1 or condition.kind == "devices"
    assert not (rule.for_s and condition.kind in {"changed_to", "sequence", "confirmed"})


def test_misspelt_keys_of_conditions_are_named(tmp_path: Path) -> None:
    """Every key of the new forms, two letters swapped: the right place, and nine in ten times the right key."""
    directory = laid_out("forms-valid", tmp_path)
    target = directory / "rules" / "more.yaml"
    good = target.read_text(encoding="utf-8")
    tried, missed = 0, []
    for found in re.finditer(r"(?<=[ {])([a-z_]{4,})(?=: )", good):
        key, middle = found[1], len(found[1]) // 2
        wrong = key[: middle - 1] + key[middle] + key[middle - 1] + key[middle + 1 :]
        if wrong == key:
            continue
        target.write_text(good[: found.start()] + wrong + good[found.end() :], encoding="utf-8")
        first = checked(directory).findings[0]
        assert (first.code, first.spot.line) == ("E104", good.count("\n", 0, found.start()) + 1), (wrong, first)
        tried += 1
        missed += [] if first.fix.zh.startswith(f'是不是 "{key}"') else [(wrong, first.fix.zh)]
    assert tried > 60
    assert len(missed) <= 0.1 * tried, missed


@pytest.mark.parametrize(
    ("expression", "names"),
    [
        ("!on && current > 0.1", ["on", "current"]),
        ("power>60.0||power<1e3", ["power"]),
        ("state == 'on' && true", ["state"]),
        ('text.startsWith("power") || size(card) > 0u', ["text", "card"]),
        ("a in [b, 3]\n  && c", ["a", "b", "c"]),
        ("power > 60 // not the current\n && on", ["power", "on"]),
    ],
)
def test_the_names_in_an_expression(expression: str, names: list[str]) -> None:
    """Points, and not functions, members, words, numbers or what stands in quotes."""
    assert [each.text for each in names_in(expression)] == names


@pytest.mark.parametrize(
    ("yaml", "line", "column"),
    [
        ('expr: "power > on"', 4, 46),
        ("expr: power > on", 4, 45),
        ('expr: "power > 1.0 &&\n      power > on"', 4, 39),  # folded: the text as a whole
    ],
)
def test_an_error_in_an_expression_is_shown_where_it_is(tmp_path: Path, yaml: str, line: int, column: int) -> None:
    """The caret is under the character that the checker means, quoted or not."""
    directory = laid_out("forms-valid", tmp_path)
    when = f"{{kind: ebike-charger, {yaml}}}"
    text = f"rules:\n  - rule: r\n    title: 规则\n    when: {when}\n    raise: {{class: fault}}\n"
    (directory / "rules" / "more.yaml").write_text(text, encoding="utf-8")
    (found,) = checked(directory).findings
    assert (found.code, found.spot.line, found.spot.column) == ("E614", line, column)


def test_an_error_in_a_block_of_lines_is_shown_on_its_line(tmp_path: Path) -> None:
    """An expression over several lines keeps its lines."""
    directory = laid_out("forms-valid", tmp_path)
    text = (
        "rules:\n  - rule: r\n    title: 规则\n    when:\n      kind: ebike-charger\n      expr: |\n"
        "        !on &&\n        power > on\n    raise: {class: fault}\n"
    )
    (directory / "rules" / "more.yaml").write_text(text, encoding="utf-8")
    (found,) = checked(directory).findings
    assert (found.code, found.spot.line, found.spot.column) == ("E614", 8, 15)


_WINDOWS = st.builds(
    Window,
    st.frozensets(st.integers(0, 6), min_size=1),
    st.integers(0, 47).map(lambda n: n * 30),
    st.integers(0, 48).map(lambda n: n * 30),
)
_CALENDARS = st.one_of(
    st.none(), st.builds(Calendar, st.just("c"), st.lists(_WINDOWS, min_size=1, max_size=3).map(tuple))
)


@given(_CALENDARS, _CALENDARS)
def test_calendars_leave_no_time_exactly_when_no_moment_fits(only: Calendar | None, unless: Calendar | None) -> None:
    """What the check says of two calendars is what they say of every half hour of a week."""
    monday = datetime(2026, 11, 16, tzinfo=UTC)
    zone = ZoneInfo("UTC")
    moments = [monday + timedelta(minutes=30 * n) for n in range(7 * 48)]
    fits = [
        at
        for at in moments
        if (only is None or only.covers(at, zone)) and not (unless is not None and unless.covers(at, zone))
    ]
    assert never_both(only, unless) == (not fits)


def test_classes_of_life_are_what_the_model_says() -> None:
    """The classes that may not be shelved, delayed or gathered are those of the model."""
    assert set(LIFE_SAFETY) == {each for each in AlarmClass if each.is_life_safety}
