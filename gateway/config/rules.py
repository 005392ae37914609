"""Configuration: rules/*.yaml against the devices there are. What rules do at run time is in `gateway.rules`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from gateway.config.actions import Source, read_actions, read_tells
from gateway.config.desk import LATCHING, Desk
from gateway.config.duties import Calendars, check_rule
from gateway.config.expressions import CheckExpression
from gateway.config.findings import Findings, Say
from gateway.config.judging import Judged, Judging
from gateway.config.limits import BadLimitError, Limits, Own, Use, blamed, filled, moulds_in, read_uses
from gateway.config.operating import read_offers
from gateway.config.possible import Compile
from gateway.config.rule_shapes import RuleItem, Words
from gateway.config.shaping import Part, shape
from gateway.config.tree import Entry
from gateway.config.yielding import check_yielding
from gateway.model import Action, Device, Offer, Recipient, Rule, Tell


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
        self._checkers = check, compiled
        self._judging = Judging(desk, *self._checkers)
        self.limits = Limits(desk)
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
        uses = read_uses(self._findings, part)
        item = self._shaped(uses, part) if uses is not None else None
        if item is None or uses is None or not self._is_new(item.rule, part):
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
        rule = _rule(item, judged, actions, tells, offers)
        self.rules.append(replace(rule, variants=self._variants(rule, uses, judged, part)) if uses else rule)

    def _shaped(self, uses: tuple[Use, ...], part: Part) -> RuleItem | None:
        """With the limits that the rule itself gives."""
        plain = part.entry.plain
        try:
            plain = filled(plain, uses, {}, moulds_in(self._desk, plain) if uses else ())
        except BadLimitError as error:
            spot, why = part.entry.at("when", "else", error.name), error.why
            self._findings.add(why.code, spot, why.what, subject=part.subject, fix=why.fix)
            return None
        return shape(self._findings, RuleItem, plain, part)

    def _variants(self, rule: Rule, uses: tuple[Use, ...], judged: Judged, part: Part) -> tuple[Rule, ...]:
        """The rule for each model and device that has limits of its own."""
        profiles = [profile.id for target in judged.targets for profile in target.profiles]
        devices = [device for target in judged.targets for device in target.devices]
        found = (
            self._variant(rule, uses, own, group, part) for own, group in self.limits.groups(uses, devices, profiles)
        )
        return tuple([each for each in found if each is not None])

    def _variant(self, rule: Rule, uses: tuple[Use, ...], own: Own, devices: list[Device], part: Part) -> Rule | None:
        """The rule read again for devices of one model; what is wrong then is wrong with their limits."""
        profile = self._desk.profiles[devices[0].profile]
        desk = replace(self._desk, findings=Findings(), profiles={profile.id: profile}, by_kind={profile.kind: devices})
        item = judged = None
        try:
            plain = filled(part.entry.plain, uses, own.limits, moulds_in(desk, part.entry.plain))
            item = shape(desk.findings, RuleItem, plain, part)
        except BadLimitError as error:
            spot, why = part.entry.at("when", "expr"), error.why
            desk.findings.add(why.code, own.spots.get(error.name, spot), why.what, fix=why.fix)
        if item is not None:
            item = item.model_copy(update={"when": item.when.model_copy(update={"kind": [profile.kind]})})
            judged = Judging(desk, *self._checkers).read(item, part)
            check_rule(desk.findings, item, self._calendars, part)
        self._hand_on(desk.findings, uses, own, part)
        if item is None or judged is None:
            return None
        return replace(
            rule,
            title=item.title,
            text=item.raise_.text or item.title,
            points=judged.points,
            condition=judged.condition,
            for_s=item.when.for_,
            clear_for_s=item.when.clear_for,
        )

    def _hand_on(self, found: Findings, uses: tuple[Use, ...], own: Own, part: Part) -> None:
        """What was found with the limits of a model, told where these stand; but not what holds without them, too."""
        told = {(each.code, each.spot[1:]) for each in self._findings.sorted() if each.spot.source is part.entry.source}
        for each in found.sorted():
            if (each.code, each.spot[1:]) in told:
                continue
            name, other = blamed(uses, own, each.spot, part)
            fix = each.fix if each.code != "E601" else Say("删掉这个界限", "remove this limit")
            if other:
                fix = Say(f"在 limits 里同时写 {other}", f"set {other} in limits, too")
            subject = Say(f"{part.subject.zh} 用的界限 {name}", f"limit {name} of {part.subject.en}")
            spot = each.spot if each.spot in own.spots.values() else own.spots[name]
            self._findings.add(each.code, spot, each.message, subject=subject, fix=fix, options=each.options)

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
