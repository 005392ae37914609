"""Configuration: the shape of rules/*.yaml. What the parts of a rule mean together is checked in `conditions`."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from gateway.config.shapes import (
    Duration,
    LimitName,
    LimitText,
    Name,
    Names,
    Shape,
    Span,
    Text,
    Title,
    WrittenDuration,
    custom,
    one_or_more,
)
from gateway.model import AlarmClass, Scope

_FULL_STOP = re.compile("[。!?;]|[.!?;](?=\\s)|\\s*\n")
_ENDS = re.compile(r"[。!?.!?\s]+$")
_MOST_SHELVED_S = 86_400.0  # no role may shelve for longer
_SOONEST_REPEAT_S = 10.0
_NEVER = {"no", "none", "false", "off", "不", "不能", "否", "不可以"}


def _one_sentence(value: str) -> str:
    if _FULL_STOP.search(_ENDS.sub("", value)):
        raise custom(
            "E615",
            "response 不止一句话",
            "response is more than one sentence",
            "只写一句现在要做什么;其余步骤写进 plan",
            "write the one thing to do now; further steps go into plan",
        )
    return value


def _two_languages(value: object) -> object:
    """A plain text is Chinese."""
    return {"zh": value} if isinstance(value, str) else value


def _shelving(value: object) -> object:
    if isinstance(value, str) and value.strip().lower() in _NEVER:
        raise custom(
            "E110", f'"{value}" 不是时长', f'"{value}" is not a duration', "不能搁置写 never", "for never write never"
        )
    return 0.0 if value == "never" else value


def _not_for_days(value: float) -> float:
    if value > _MOST_SHELVED_S:
        raise custom(
            "E110", "搁置最长 24h", "shelving ends after 24h at most", "写 24h 以内,或 never", "24h or less, or never"
        )
    return value


def _not_in_a_hurry(value: float) -> float:
    if value < _SOONEST_REPEAT_S:
        raise custom(
            "E110", "重复通知至少间隔 10s", "repeats are at least 10s apart", "写 10s 以上,例如 60s", "for example 60s"
        )
    return value


Cause = Literal["line", "cabinet", "building", "uplink"]
Sentence = Annotated[str, Field(min_length=1, max_length=80), AfterValidator(_one_sentence)]


class LimitRef(Shape):
    """A limit by its name: each profile and device can have its own."""

    limit: LimitName
    else_: LimitText = Field(alias="else")


def _as_it_is(value: object) -> object:
    """`limits` has put a text in the place of each name by now; the editor's schema still has both."""
    return value


Limited = Annotated[str, BeforeValidator(_as_it_is, json_schema_input_type=str | LimitRef)]
LimitedDuration = Annotated[Duration, BeforeValidator(_as_it_is, json_schema_input_type=WrittenDuration | LimitRef)]
LimitedSpan = Annotated[Span, BeforeValidator(_as_it_is, json_schema_input_type=WrittenDuration | LimitRef)]


class Level(Shape):
    """What a value of a point is compared with: ``first``, ``then`` and ``unless`` of a sequence."""

    kind: Names | None = None  # None: every device that has the point
    point: str
    is_: str | None = Field(default=None, alias="is")
    above: str | None = None
    below: str | None = None
    changed_to: str | None = None
    clear: str | None = None
    tag: str | None = None


class When(Shape):
    """One form of condition, and what goes with it: `forms` has the table."""

    kind: Names | None = None  # None: every device that has the point
    point: Names | None = None
    is_: str | None = Field(default=None, alias="is")
    above: Limited | None = None
    below: Limited | None = None
    changed_to: str | None = None
    rises: Limited | None = None
    falls: Limited | None = None
    absent: LimitedSpan | None = None
    still: Span | None = None
    expr: Annotated[str, Field(min_length=1, max_length=500)] | None = None
    else_: dict[LimitName, LimitText] | None = Field(default=None, alias="else")  # the limits of expr: `limits`
    confirmed: bool | None = None
    first: Level | None = None
    then: Level | None = None
    unless: Level | None = None
    class_: AlarmClass | None = Field(default=None, alias="class")
    clear: Limited | None = None
    for_: LimitedDuration = Field(default=0.0, alias="for")
    clear_for: LimitedDuration = 0.0
    times: Annotated[int, Field(ge=2, le=100)] | None = None
    devices: Annotated[int, Field(ge=2, le=1_000)] | None = None
    within: LimitedSpan | None = None
    same: Scope | None = None
    tag: str | None = None
    override: bool = False


class Raise(Shape):
    """The alarm a rule raises."""

    class_: AlarmClass = Field(alias="class")
    latch: bool | None = None
    text: Title = ""


class Do(Shape):
    """What a rule sets by itself."""

    kind: str | None = None
    point: str
    within: Scope
    value: str
    safety: bool = False
    expires: Annotated[Duration, Field(gt=0, le=3_600)] = 10.0
    until: Literal["silenced", "reset"] | None = None


class OfferTitle(Shape):
    """The word on a button."""

    zh: Annotated[str, Field(min_length=1, max_length=12)]
    en: Annotated[str, Field(min_length=1, max_length=24)] | None = None


class OfferItem(Shape):
    """What can be operated from a rule's alarms."""

    kind: str | None = None
    point: str
    within: Scope = Scope.DEVICE
    value: str
    title: Annotated[OfferTitle, BeforeValidator(_two_languages)]


class TellItem(Shape):
    """Whom a rule tells."""

    to: str
    by: Names
    after: Duration = 0.0
    every: Annotated[Duration, AfterValidator(_not_in_a_hurry)] | None = None


class Response(Shape):
    """What the duty officer does now: one imperative sentence in each language."""

    zh: Sentence
    en: Sentence | None = None


class Words(Shape):
    """A text in each language."""

    zh: Text
    en: Text | None = None


Said = Annotated[Words, BeforeValidator(_two_languages, json_schema_input_type=Text | Words)]


class RuleItem(Shape):
    """One rule."""

    rule: Name
    title: Title
    when: When
    raise_: Raise = Field(alias="raise")
    only: str | None = None
    unless: str | None = None
    cause: Said | None = None
    consequence: Said | None = None
    response: (
        Annotated[Response, BeforeValidator(_two_languages, json_schema_input_type=Sentence | Response)] | None
    ) = None
    respond_within: Span | None = None
    shelve: (
        Annotated[
            Duration,
            BeforeValidator(_shelving, json_schema_input_type=Literal["never"] | WrittenDuration),
            AfterValidator(_not_for_days),
        ]
        | None
    ) = None
    group: Annotated[list[Cause], BeforeValidator(one_or_more, json_schema_input_type=Cause | list[Cause])] | None = (
        None
    )
    yields_to: Names | None = None
    do: list[Do] | None = Field(default=None, max_length=50)
    operate: list[OfferItem] | None = Field(default=None, max_length=10)
    plan: list[Title] | None = Field(default=None, max_length=50)
    tell: list[TellItem] | None = Field(default=None, max_length=50)
    outcomes: list[Title] | None = Field(default=None, max_length=50)


class RulesFile(Shape):
    """rules/*.yaml."""

    rules: list[Any] | None = None
