"""Who is told what, in which words, and never twice."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from gateway.counters import Counters
from gateway.model import (
    SYSTEM,
    Alarm,
    AlarmClass,
    AlarmEvent,
    Handling,
    Recipient,
    Rule,
    Tell,
)
from gateway.notify.policy import MOST_REPEATS, NoticePolicy
from tests.support_policy import ALARM, POLICY, SMS, STAFF, group, people, person, say, telling
from tests.support_rules import START


def event(kind: str, **data: object) -> AlarmEvent:
    return AlarmEvent(ALARM.id, 4, kind, START, SYSTEM, data)


def told(
    policy: NoticePolicy, ringing: Rule, after_s: float = 0.0, alarm: Alarm = ALARM, hours: float = 0
) -> list[str]:
    """The recipients of this instant; START is 16:00 at the site."""
    at = START + timedelta(hours=hours)
    return [each.recipient for each in policy.notices("raised", alarm, ringing, set(), at=at, after_s=after_s)]


def instants(policy: NoticePolicy, ringing: Rule, most: int = 20) -> list[float]:
    found: list[float] = []
    due = policy.next_due(ALARM, ringing, 0.0)
    while due is not None and len(found) < most:
        found.append(due)
        due = policy.next_due(ALARM, ringing, due)
    return found


def test_each_recipient_is_told_once_by_each_channel() -> None:
    """One key per reason, person and channel; what has been said is not said again."""
    ringing = telling(Tell("duty", ("console", "apprise")), Tell("duty", ("apprise",)), Tell("grid", ("apprise",)))
    first = POLICY.notices("raised", ALARM, ringing, set(), at=START)
    assert [each.key for each in first] == [
        f"{ALARM.id}/raised/duty/console",
        f"{ALARM.id}/raised/duty/apprise",
        f"{ALARM.id}/raised/grid/apprise",
    ]
    assert not POLICY.notices("raised", ALARM, ringing, {each.key for each in first}, at=START)


def test_a_person_in_two_groups_is_told_once() -> None:
    """Zhang is of the duty desk and, with it, of the bosses: one message, not two."""
    ringing = telling(Tell("duty", ("apprise",)), Tell("bosses", ("apprise",)))
    assert told(NoticePolicy(STAFF), ringing) == ["zhang", "wang"]


@pytest.mark.parametrize(("hours", "who"), [(0, "zhang"), (6, "li"), (15.5, "zhang")])
def test_who_is_on_duty_is_told(hours: float, who: str) -> None:
    """By day Zhang is called, by night Li; the one who sleeps is left alone."""
    assert told(NoticePolicy(STAFF), telling(Tell("duty", ("apprise",))), hours=hours) == [who]


def test_a_group_that_is_off_duty_takes_its_members_with_it() -> None:
    """The night shift is off by day, all of it, whoever of it has no hours of their own."""
    shift = replace(group("shift", "property", "li"), on_duty="night")
    recipients = {**STAFF.recipients, "li": person("li"), "shift": shift, "all": group("all", "", "zhang", "shift")}
    policy = NoticePolicy(replace(STAFF, recipients=recipients))
    assert told(policy, telling(Tell("all", ("apprise",)))) == ["zhang"]
    assert told(policy, telling(Tell("all", ("apprise",))), hours=6) == ["li"]


def test_nobody_on_duty_means_everybody_and_is_counted() -> None:
    """A hole in the roster does not swallow a fire: all members are told, and the hole is counted."""
    counters = Counters()
    holed = replace(
        STAFF, recipients={**STAFF.recipients, "zhang": person("zhang", "never"), "li": person("li", "never")}
    )
    assert told(NoticePolicy(holed, counters), telling(Tell("duty", ("apprise",)))) == ["zhang", "li"]
    assert counters.total("shifts_empty", recipient="duty") == 1


def test_a_group_with_an_address_of_its_own_is_told_through_it() -> None:
    """The robot in the group chat reaches all: its members are not called one by one; the screen is the desk's."""
    with_robot = group("duty", "property", "zhang", "li", addresses=SMS)
    policy = NoticePolicy(replace(STAFF, recipients={**STAFF.recipients, "duty": with_robot}))
    assert told(policy, telling(Tell("duty", ("apprise", "console")))) == ["duty", "duty"]
    assert told(NoticePolicy(STAFF), telling(Tell("duty", ("console",)))) == ["duty"]


def test_a_channel_nobody_has_fails_visibly() -> None:
    """No member has an address for it: the notice goes to the group, where it will fail and be seen."""
    assert told(NoticePolicy(STAFF), telling(Tell("duty", ("modem",)))) == ["duty"]
    assert told(NoticePolicy(STAFF), telling(Tell("nobody", ("modem",)))) == ["nobody"]


def test_a_group_within_itself_ends() -> None:
    """Members that go round in a circle are looked at once."""
    circle = people(a=group("a", "", "b", "x"), b=group("b", "", "a"), x=person("x"))
    assert told(NoticePolicy(circle), telling(Tell("a", ("apprise",)))) == ["x"]


def test_family_is_called_one_after_another() -> None:
    """First the daughter, half a minute later the son, nobody twice; with `every` it begins again."""
    policy = NoticePolicy(STAFF)
    once = telling(Tell("family", ("apprise",), 60.0))
    assert [(each, told(policy, once, each)) for each in instants(policy, once)] == [
        (60.0, ["daughter"]),
        (90.0, ["son"]),
    ]
    again = telling(Tell("family", ("apprise",), 60.0, 20.0))
    assert [told(policy, again, each) for each in instants(policy, again, 3)] == [["daughter"], ["son"], ["daughter"]]


def test_what_repeats_is_repeated_at_its_instants_and_not_for_ever() -> None:
    """`every: 60s` after 30 s: at 30, 90, 150 s, each a reason of its own; and at last it ends."""
    policy = NoticePolicy(STAFF)
    ringing = telling(Tell("wang", ("apprise",), 30.0, 60.0), Tell("grid", ("apprise",), 90.0))
    assert instants(policy, ringing, 3) == [30.0, 90.0, 150.0]
    assert [told(policy, ringing, each) for each in (0, 30, 60, 90, 150)] == [
        [],
        ["wang"],
        [],
        ["wang", "grid"],
        ["wang"],
    ]
    assert instants(policy, ringing, 10_000)[-1] == 30.0 + MOST_REPEATS * 60.0


def test_a_call_has_its_stages_whomever_its_rule_tells() -> None:
    """60 s and 180 s of a call are looked at even if its rule tells nobody then."""
    sos = replace(ALARM, alarm_class=AlarmClass.SOS)
    assert POLICY.stages(sos, telling(Tell("grid", ("apprise",), 30.0))) == [30.0, 60.0, 180.0]
    assert POLICY.stages(ALARM, telling(Tell("grid", ("apprise",), 30.0))) == [30.0]


def test_in_a_drill_only_the_property_is_told() -> None:
    """No family and no street office is called for a drill, and the text says that it is one."""
    ringing = telling(*(Tell(each, ("apprise",)) for each in ("duty", "family", "grid", "wang", "nobody")))
    drill = replace(ALARM, marks=("drill",))
    assert told(NoticePolicy(STAFF), ringing, alarm=drill) == ["zhang"]
    assert say(telling(Tell("duty", ("apprise",))), NoticePolicy(STAFF), alarm=drill).text.startswith(
        "【演练】【火警】"
    )


@pytest.mark.parametrize(
    "quiet",
    [
        {"marks": ("walk_test",)},
        {"marks": ("commissioning",)},
        {"shelved_until_at": START},
        {"is_out_of_service": True},
        {"suppressed_by": "line", "alarm_class": AlarmClass.FAULT},
    ],
)
def test_of_what_is_muted_nobody_is_told(quiet: dict[str, object]) -> None:
    """Walk test, commissioning, shelved, out of service, a consequence of a line that is down: no message."""
    assert not told(POLICY, telling(Tell("duty", ("apprise",))), alarm=replace(ALARM, **quiet))  # type: ignore[arg-type]


def test_a_fire_is_never_hidden_behind_its_cause() -> None:
    """Whatever it may hang on: of fire, gas and calls people are told."""
    hidden = replace(ALARM, suppressed_by="line-down:line/bus/online:1")
    assert told(POLICY, telling(Tell("duty", ("apprise",))), alarm=hidden) == ["duty"]


def test_buzzer_is_a_command_and_no_message() -> None:
    """The buzzer sounds by the rule's action, with a readback: no notice pretends to have sounded it."""
    ringing = telling(Tell("duty", ("buzzer",)))
    assert not POLICY.notices("raised", ALARM, ringing, set(), at=START)
    assert not POLICY.tells(ALARM, ringing, 0.0)


def test_those_who_are_told_later_are_not_told_now() -> None:
    """The family is called after 60 s, not at the press; the duty desk reads that nobody has taken it."""
    ringing = telling(Tell("duty", ("apprise",)), Tell("family", ("apprise",), 60.0), Tell("duty", ("apprise",), 60.0))
    now = POLICY.notices("raised", ALARM, ringing, set(), at=START)
    assert [each.recipient for each in now] == ["duty"]
    later = POLICY.notices("raised", ALARM, ringing, {each.key for each in now}, at=START, after_s=60.0)
    assert [each.recipient for each in later] == ["family", "duty"]
    assert all("已 60 秒无人接警" in each.text for each in later)


@pytest.mark.parametrize(
    ("kind", "data", "is_told"),
    [
        ("raised", {}, True),
        ("reraised", {"reopens": True}, True),
        ("reraised", {"reopens": False}, False),
        ("returned", {}, False),
        ("taken", {}, False),
        ("escalated", {}, False),
    ],
)
def test_what_people_are_told_of(kind: str, data: dict[str, bool], is_told: bool) -> None:
    """A detector that flickers while people have its alarm in hand calls nobody again; a closed one does."""
    assert bool(POLICY.reason(event(kind, **data))) is is_told


# What waited, what failed --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("reason", "change", "wanted"),
    [
        ("raised", {}, True),
        ("raised", {"handling": Handling.TAKEN}, True),
        ("raised+30s", {}, True),
        ("raised+30s", {"handling": Handling.TAKEN}, False),
        ("unverified-3", {}, False),
        ("unverified-3", {"handling": Handling.TAKEN}, True),
        ("unverified-3", {"handling": Handling.HANDLING}, False),
        ("raised", {"handling": Handling.CLOSED}, False),
        ("raised", {"is_open": False}, False),
        ("raised", {"is_real": False, "handling": Handling.HANDLING}, False),
        ("raised", {"is_out_of_service": True}, False),
        ("raised", {"marks": ("walk_test",)}, False),
        ("raised", {"suppressed_by": "x"}, True),
        ("raised", {"shelved_until_at": START}, False),
    ],
)
def test_what_has_waited_is_said_only_while_it_is_true(reason: str, change: dict[str, object], wanted: bool) -> None:
    """Nobody is called to what others have in hand, what is over, or what was muted meanwhile."""
    assert POLICY.still_tells(reason, replace(ALARM, **change)) is wanted  # type: ignore[arg-type]


def lost(channel: str) -> Alarm:
    return replace(
        ALARM, id=f"channel-failed:{channel}/online:1", alarm_class=AlarmClass.FAULT, device_id=channel,
        point_id=f"{channel}/online",
    )  # fmt: skip


def test_nobody_is_told_of_a_failed_channel_by_that_channel() -> None:
    """Another way of the same person takes its place; the others are told as usual; with no other way nobody is."""
    of = people(
        duty=group("duty", "property", addresses={"console": "", "wecom": "x", "modem": "x"}),
        alone=Recipient("alone", "alone", {"wecom": "x"}),
    )
    one = replace(telling(Tell("duty", ("console", "wecom")), Tell("alone", ("wecom",))), alarm_class=AlarmClass.FAULT)

    def ways(failed: str) -> list[tuple[str, str]]:
        found = NoticePolicy(of).notices("raised", lost(failed), one, frozenset(), at=START)
        return [(each.recipient, each.channel) for each in found]

    assert ways("channel/duty.console") == [("duty", "wecom"), ("alone", "wecom")]
    assert ways("channel/duty.wecom") == [("duty", "console"), ("duty", "modem"), ("alone", "wecom")]
    assert ways("channel/alone.wecom") == [("duty", "console"), ("duty", "wecom")]


def test_a_member_of_a_family_hears_which_community_it_is() -> None:
    """Told in the place of the family, as a member of it: the words are the same."""
    of = people(
        family=group("family", "family", "son", addresses={"wecom": "x"}),
        son=Recipient("son", "son", {"modem": "x"}),
    )
    key = f"{ALARM.id}/raised/family/wecom"
    (found,) = NoticePolicy(of).instead(key, ALARM, telling(), {key}, at=START)
    assert (found.recipient, found.channel, found.key) == ("son", "modem", f"{ALARM.id}/raised/son/modem")
    assert of.title in found.text
