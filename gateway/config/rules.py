"""Configuration: rules/*.yaml against the devices there are. What rules do at run time is in `gateway.rules`."""

from __future__ import annotations

from collections.abc import Mapping

from gateway.config.actions import Source, read_actions, read_tells
from gateway.config.desk import LATCHING, Desk
from gateway.config.duties import Calendars, check_rule
from gateway.config.expressions import CheckExpression
from gateway.config.findings import Say
from gateway.config.judging import Judged, Judging
from gateway.config.operating import read_offers
from gateway.config.possible import Compile
from gateway.config.rule_shapes import RuleItem, Words
from gateway.config.shaping import Part, shape
from gateway.config.tree import Entry
from gateway.config.yielding import check_yielding
from gateway.model import Action, Offer, Recipient, Rule, Tell


class Rules:
    """Reads the rules one by one; names used twice are told."""

    def __init__(
        self,
        desk: Desk,
        recipients: Mapping[str, Recipient] | None,
        calendars: Calendars,
        check: CheckExpression | None,
        compiled: Compile | None,
    ) -> None:
        self._desk = desk
        self._findings = desk.findings
        desk.is_whole = not desk.findings.errors
        self._judging = Judging(desk, check, compiled)
        self._recipients = recipients
        self._calendars = calendars
        self._entries: dict[str, Entry] = {}
        self.rules: list[Rule] = []
        self.watched: set[str] = set()  # points that some rule looks at ...
        self.prompt: set[str] = set()  # ... and those whose first sign raises an alarm

    def read(self, entry: Entry) -> None:
        """The rules of one file."""
        for item in entry.items("rules"):
            name = item.plain.get("rule") if isinstance(item.plain, dict) else None
            subject = Say(f"规则 {name}", f"rule {name}") if isinstance(name, str) else Say("规则", "rule")
            self._read(Part(item, (), subject))

    def check_yielding(self) -> None:
        """Once all are read."""
        check_yielding(self._findings, {each.id: each for each in self.rules}, self._entries)

    def entry_of(self, rule: str) -> Entry:
        """Where a rule that was read stands."""
        return self._entries[rule]

    def _read(self, part: Part) -> None:
        item = shape(self._findings, RuleItem, part.entry.plain, part)
        if item is None or not self._is_new(item.rule, part):
            return
        before = self._findings.errors
        judged = self._judging.read(item, part)
        check_rule(self._findings, item, self._calendars, part)
        source = Source(judged.profiles, judged.condition.same) if judged is not None else Source()
        actions = read_actions(self._desk, item, source, part)
        offers = read_offers(self._desk, item, source, part)
        tells = read_tells(self._findings, item, self._recipients, part)
        if judged is None or self._findings.errors > before:
            return
        seen = [point for target in judged.targets for point in target.points]
        self.watched.update(seen)
        self.prompt.update(seen if judged.is_prompt else ())
        self.rules.append(_rule(item, judged, actions, tells, offers))

    def _is_new(self, name: str, part: Part) -> bool:
        first = self._entries.setdefault(name, part.entry)
        if first is part.entry:
            return True
        where = first.at("rule").brief
        self._findings.add(
            "E206",
            part.entry.at("rule"),
            Say(f'规则名 "{name}" 已在 {where} 用过', f'the name "{name}" is already used in {where}'),
            subject=part.subject,
            fix=Say("换一个名字", "choose another name"),
        )
        return False


def _rule(
    item: RuleItem, judged: Judged, actions: tuple[Action, ...], tells: tuple[Tell, ...], offers: tuple[Offer, ...]
) -> Rule:
    raised, response, nothing = item.raise_, item.response, Words(zh="")
    cause, consequence = item.cause or nothing, item.consequence or nothing
    return Rule(
        id=item.rule,
        title=item.title,
        alarm_class=raised.class_,
        points=judged.points,
        condition=judged.condition,
        for_s=item.when.for_,
        clear_for_s=item.when.clear_for,
        latches=raised.latch if raised.latch is not None else raised.class_ in LATCHING,
        text=raised.text or item.title,
        plan=tuple(item.plan or ()),
        outcomes=tuple(item.outcomes or ()),
        actions=actions,
        tells=tells,
        only=item.only or "",
        unless=item.unless or "",
        cause=cause.zh,
        cause_en=cause.en or "",
        consequence=consequence.zh,
        consequence_en=consequence.en or "",
        response=response.zh if response is not None else "",
        response_en=(response.en or "") if response is not None else "",
        respond_within_s=item.respond_within,
        shelvable_s=item.shelve,
        groups=tuple(dict.fromkeys(item.group or ())),
        offers=offers,
        yields_to=tuple(dict.fromkeys(item.yields_to or ())),
    )
