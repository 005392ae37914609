"""Room: rules. THE alarm table: which verb is allowed in which state, and what each event does to the four parts.

Data, not code. `gateway.rules.alarm` folds by it, `gateway.rules.verbs` answers operators by it,
`gateway.rules.table_text` writes docs/alarm-table.md from it.

Decisions, and where they come from (alarms.md section 2; ISA-18.2 as in OPC 10000-9):

- ``take`` (接警) also stops the sound, as an acknowledgement does in ISA-18.2; ``silence`` (消音) stops only the sound.
- ``verifying`` (核实) is reached by ``arrive``: somebody is on the spot and looking. ``verify`` leads to ``handling``
  whatever it found, since a false alarm must be handled too (ventilate, explain, reset): the finding is ``is_real``.
  It may come straight after ``take`` (a call back, a camera) and may be given again when the finding changes.
- ``close`` needs only that somebody took the alarm; an outcome says what the verification would have said.
  A new activation of a closed alarm opens its handling again: a person's word about yesterday's smoke does not
  hold for today's.
- ``note`` is always possible, also after closing. Nothing is possible after the end: the record is complete.
- ``reset`` asks for two things and names every one that is missing. Of a confirmed fire, which follows from the fire
  alarms of its compartment, it names those (`Code.FIRES_OPEN` in place of `Code.CONDITION_ACTIVE`).
- An event (a press) has no end of its own: ``close`` is followed by ``returned``, so that it can be reset.
- ``shelve`` (搁置) is of the tag, the rule at its source: it holds over returns and new occurrences until its time.
  A shelved alarm cannot be shelved once more (OPC UA: Bad_ConditionAlreadyShelved): whoever wants longer looks at
  the true state in between. Who may, and for how long: `SHELVING`; fire, gas and sos never.
- Shelved, suppressed by its cause, out of service (with 停用: of what was open already) are flags beside the four
  parts: they move no part, so that lifting them shows the truth (ISA-18.2: orthogonal to the base machine). A point
  that is disabled raises nothing new, but no mark ever ends an alarm: it stays, silent, until it is handled as usual.
- ``unmarked`` says that what was raised in a drill, walk test or commissioning is there without it: it is for real
  now, and whoever had it in hand had it as a test. So it is new again.
- ``withdrawn`` says that the rule or point is gone from the configuration: nothing will report or reset it any more.
- ``operate`` asks that somebody has taken the alarm, so that one person speaks with the visitor and opens. Which
  points an alarm offers says its rule, who may set them their profile (`gateway.rules.operate`).
- When an alarm ends (`ENDINGS`): never while active or latched. Fire, gas, sos and security wait for ``close``.
  Warning and supervisory wait for ``take`` (RTN_UNACK stays on the list, ACK goes by itself). Fault and maintenance
  follow their source. What is suppressed by its cause waits for nothing: people answer the cause. Never life safety.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from gateway.model import Alarm, AlarmClass, AlarmCondition, Handling, Mark, Verb

NEW, TAKEN, VERIFYING, HANDLING, CLOSED = Handling
ACTIVE, RETURNED = AlarmCondition


class Code(StrEnum):
    """Why a verb is refused."""

    UNKNOWN_ALARM = "unknown_alarm"
    ALREADY_ENDED = "already_ended"
    STALE_VERSION = "stale_version"
    EXPIRED = "expired"
    ALREADY_TAKEN = "already_taken"
    ALREADY_CLOSED = "already_closed"
    ALREADY_SILENT = "already_silent"
    NOT_TAKEN = "not_taken"
    NOT_LATCHED = "not_latched"
    CONDITION_ACTIVE = "condition_active"
    FIRES_OPEN = "fires_open"
    NO_OUTCOME = "no_outcome"
    MISSING_ARGUMENT = "missing_argument"
    BAD_ARGUMENT = "bad_argument"
    BAD_OUTCOME = "bad_outcome"
    ALREADY_SHELVED = "already_shelved"
    NOT_SHELVED = "not_shelved"
    NOT_SHELVABLE = "not_shelvable"
    ROLE_NOT_ALLOWED = "role_not_allowed"
    TOO_LONG = "too_long"
    ALREADY_MARKED = "already_marked"
    NOT_MARKED = "not_marked"
    UNKNOWN_TARGET = "unknown_target"
    TOO_MANY_MARKS = "too_many_marks"
    NOT_OPERABLE = "not_operable"
    HELD = "held"
    NEVER_BY_SOFTWARE = "never_by_software"


class State(NamedTuple):
    """What the verbs look at: the four parts of an alarm and the one flag that has verbs of its own."""

    handling: Handling
    condition: AlarmCondition
    is_latched: bool
    is_sounding: bool
    is_shelved: bool


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the verbs: where every given part fits, ``event`` happens or the ``codes`` refuse. First fit wins."""

    verb: Verb
    event: str = ""
    codes: tuple[Code, ...] = ()
    handling: tuple[Handling, ...] = tuple(Handling)
    condition: AlarmCondition | None = None
    is_latched: bool | None = None
    is_sounding: bool | None = None
    is_shelved: bool | None = None

    def fits(self, state: State) -> bool:
        """Is this the line for that state?"""
        return (
            state.handling in self.handling
            and self.condition in {None, state.condition}
            and self.is_latched in {None, state.is_latched}
            and self.is_sounding in {None, state.is_sounding}
            and self.is_shelved in {None, state.is_shelved}
        )


_UNCLOSED = (NEW, TAKEN, VERIFYING, HANDLING)
_IN_HAND = (TAKEN, VERIFYING, HANDLING)

VERBS: tuple[Row, ...] = (
    Row(Verb.SILENCE, event="silenced", is_sounding=True),
    Row(Verb.SILENCE, codes=(Code.ALREADY_SILENT,), is_sounding=False),
    Row(Verb.TAKE, event="taken", handling=(NEW,)),
    Row(Verb.TAKE, codes=(Code.ALREADY_TAKEN,), handling=_IN_HAND),
    Row(Verb.TAKE, codes=(Code.ALREADY_CLOSED,), handling=(CLOSED,)),
    Row(Verb.ARRIVE, codes=(Code.NOT_TAKEN,), handling=(NEW,)),
    Row(Verb.ARRIVE, event="arrived", handling=_IN_HAND),
    Row(Verb.ARRIVE, codes=(Code.ALREADY_CLOSED,), handling=(CLOSED,)),
    Row(Verb.VERIFY, codes=(Code.NOT_TAKEN,), handling=(NEW,)),
    Row(Verb.VERIFY, event="verified", handling=_IN_HAND),
    Row(Verb.VERIFY, codes=(Code.ALREADY_CLOSED,), handling=(CLOSED,)),
    Row(Verb.NOTE, event="noted"),
    Row(Verb.CLOSE, codes=(Code.NOT_TAKEN,), handling=(NEW,)),
    Row(Verb.CLOSE, event="closed", handling=_IN_HAND),
    Row(Verb.CLOSE, codes=(Code.ALREADY_CLOSED,), handling=(CLOSED,)),
    Row(Verb.RESET, codes=(Code.NOT_LATCHED,), is_latched=False),
    Row(Verb.RESET, codes=(Code.CONDITION_ACTIVE, Code.NO_OUTCOME), condition=ACTIVE, handling=_UNCLOSED),
    Row(Verb.RESET, codes=(Code.CONDITION_ACTIVE,), condition=ACTIVE, handling=(CLOSED,)),
    Row(Verb.RESET, codes=(Code.NO_OUTCOME,), condition=RETURNED, handling=_UNCLOSED),
    Row(Verb.RESET, event="reset", condition=RETURNED, handling=(CLOSED,), is_latched=True),
    Row(Verb.SHELVE, codes=(Code.ALREADY_SHELVED,), is_shelved=True),
    Row(Verb.SHELVE, event="shelved", is_shelved=False),
    Row(Verb.UNSHELVE, event="unshelved", is_shelved=True),
    Row(Verb.UNSHELVE, codes=(Code.NOT_SHELVED,), is_shelved=False),
    Row(Verb.OPERATE, codes=(Code.NOT_TAKEN,), handling=(NEW,)),
    Row(Verb.OPERATE, event="operated", handling=_IN_HAND),
    Row(Verb.OPERATE, codes=(Code.ALREADY_CLOSED,), handling=(CLOSED,)),
)

ARGUMENTS: dict[Verb, tuple[str, ...]] = {
    Verb.SILENCE: (),
    Verb.TAKE: (),
    Verb.ARRIVE: (),
    Verb.VERIFY: ("real",),
    Verb.NOTE: ("text",),
    Verb.CLOSE: ("outcome", "cause"),
    Verb.RESET: (),
    Verb.SHELVE: ("minutes", "reason"),
    Verb.UNSHELVE: (),
    Verb.MARK: ("mark", "scope", "reason"),
    Verb.UNMARK: ("mark", "scope"),
    Verb.OPERATE: ("point", "value"),
}

_HOUR_S = 3600.0
_ANYBODY = {"duty": 8 * _HOUR_S, "supervisor": 24 * _HOUR_S}
SHELVING: dict[AlarmClass, dict[str, float]] = {  # who may shelve it, and for how many seconds at most
    AlarmClass.FIRE: {},
    AlarmClass.GAS: {},
    AlarmClass.SOS: {},
    AlarmClass.SECURITY: {"supervisor": 24 * _HOUR_S},
    AlarmClass.WARNING: _ANYBODY,
    AlarmClass.SUPERVISORY: _ANYBODY,
    AlarmClass.FAULT: _ANYBODY,
    AlarmClass.MAINTENANCE: _ANYBODY,
}


class MarkLimit(NamedTuple):
    """Who may set a mark, where, and for how many seconds at most (None: also without an end)."""

    roles: tuple[str, ...]
    scopes: tuple[str, ...]
    longest_s: float | None


_PLACES = ("room", "floor", "unit", "building", "zone")
_MASTERS = ("supervisor", "installer")
MARKING: dict[Mark, MarkLimit] = {
    # A whole site is never switched off or taken out of service: that is nobody's meaning, and everybody's danger.
    Mark.DISABLED: MarkLimit(_MASTERS, ("point", "device", *_PLACES), None),
    Mark.OUT_OF_SERVICE: MarkLimit(_MASTERS, ("point", "device", *_PLACES), 7 * 24 * _HOUR_S),
    Mark.DRILL: MarkLimit(("supervisor",), ("device", *_PLACES, "site"), 4 * _HOUR_S),
    Mark.WALK_TEST: MarkLimit(_MASTERS, ("point", "device", *_PLACES), 8 * _HOUR_S),
    Mark.COMMISSIONING: MarkLimit(_MASTERS, ("device", *_PLACES, "site"), 30 * 24 * _HOUR_S),
    Mark.AWAY: MarkLimit(("duty", "supervisor"), ("device", "room"), 90 * 24 * _HOUR_S),
}
LIFTERS = ("duty", "supervisor", "installer")  # whoever is there may have the truth shown again


class Latch(StrEnum):
    """What an event does to the latch or the sound."""

    KEEP = "keep"
    SET = "set"
    CLEAR = "clear"
    AS_RAISED = "as raised"  # the event's data say: the rule latches, the class has a sound


@dataclass(frozen=True, slots=True)
class Effect:
    """What an event does to the four parts; a part that is not named stays as it is."""

    condition: AlarmCondition | None = None
    handling: tuple[tuple[Handling, Handling], ...] = ()
    latch: Latch = Latch.KEEP
    sound: Latch = Latch.KEEP


EFFECTS: dict[str, Effect] = {
    "raised": Effect(ACTIVE, latch=Latch.AS_RAISED, sound=Latch.AS_RAISED),
    "returned": Effect(RETURNED),
    "reraised": Effect(ACTIVE, ((CLOSED, NEW),), sound=Latch.AS_RAISED),
    "withdrawn": Effect(RETURNED, latch=Latch.CLEAR),  # the sound stays: somebody must see that it is gone
    "silenced": Effect(sound=Latch.CLEAR),
    "taken": Effect(handling=((NEW, TAKEN),), sound=Latch.CLEAR),
    "arrived": Effect(handling=((TAKEN, VERIFYING),)),
    "verified": Effect(handling=((TAKEN, HANDLING), (VERIFYING, HANDLING))),
    "noted": Effect(),
    "operated": Effect(),  # somebody has set a point from it: unlocked the visitor's door
    "closed": Effect(handling=tuple((each, CLOSED) for each in _IN_HAND), sound=Latch.CLEAR),
    "reset": Effect(latch=Latch.CLEAR),
    "confirmed": Effect(),  # a fire, by a second device or a person (`gateway.rules.confirm`)
    "shelved": Effect(),
    "unshelved": Effect(),
    "suppressed": Effect(),
    "unsuppressed": Effect(),
    "out_of_service": Effect(),
    "in_service": Effect(),
    "unmarked": Effect(handling=tuple((each, NEW) for each in (*_IN_HAND, CLOSED))),
    "escalated": Effect(),
    "unverified": Effect(sound=Latch.AS_RAISED),
}

PASSING = frozenset({"escalated", "unverified"})  # time going by: no person's act is stale for it


FLAGS: dict[str, str] = {"shelved": "unshelved", "suppressed": "unsuppressed", "out_of_service": "in_service"}
"""The event that sets a flag beside the four parts, and the one that lifts it again."""


class Ending(StrEnum):
    """What an alarm that is neither active nor latched still waits for before it ends."""

    CLOSED = "closed"
    TAKEN = "taken"
    NOTHING = "nothing"


ENDINGS: dict[AlarmClass, Ending] = {
    AlarmClass.FIRE: Ending.CLOSED,
    AlarmClass.GAS: Ending.CLOSED,
    AlarmClass.SOS: Ending.CLOSED,
    AlarmClass.SECURITY: Ending.CLOSED,
    AlarmClass.WARNING: Ending.TAKEN,
    AlarmClass.SUPERVISORY: Ending.TAKEN,
    AlarmClass.FAULT: Ending.NOTHING,
    AlarmClass.MAINTENANCE: Ending.NOTHING,
}

DONE: dict[Ending, frozenset[Handling]] = {
    Ending.CLOSED: frozenset({CLOSED}),
    Ending.TAKEN: frozenset({*_IN_HAND, CLOSED}),
    Ending.NOTHING: frozenset(Handling),
}

SOUNDLESS = frozenset({AlarmClass.MAINTENANCE})  # never annunciated: goes to one work list


def state_of(alarm: Alarm) -> State:
    """What the verbs look at of ``alarm``."""
    is_shelved = alarm.shelved_until_at is not None
    return State(alarm.handling, alarm.condition, alarm.is_latched, alarm.is_sounding, is_shelved)


def row_for(verb: Verb, state: State) -> Row:
    """The line of `VERBS` for this state. Every state has one for every verb of an alarm (a test asks for all)."""
    for row in VERBS:
        if row.verb is verb and row.fits(state):
            return row
    msg = f"the alarm table has no line for {verb} in {state}"
    raise AssertionError(msg)
