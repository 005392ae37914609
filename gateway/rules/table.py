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
- ``reset`` asks for two things and names every one that is missing.
- An event (a press) has no end of its own: ``close`` is followed by ``returned``, so that it can be reset.
- ``withdrawn`` says that the rule or point is gone from the configuration: nothing will report or reset it any more.
- When an alarm ends (`ENDINGS`): never while active or latched. Fire, gas, sos and security wait for ``close``.
  Warning and supervisory wait for ``take`` (RTN_UNACK stays on the list, ACK goes by itself). Fault and maintenance
  follow their source.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from gateway.model import AlarmClass, AlarmCondition, Handling, Verb

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
    NO_OUTCOME = "no_outcome"
    MISSING_ARGUMENT = "missing_argument"
    BAD_ARGUMENT = "bad_argument"
    BAD_OUTCOME = "bad_outcome"


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

    def fits(self, handling: Handling, condition: AlarmCondition, *, is_latched: bool, is_sounding: bool) -> bool:
        """Is this the line for that state?"""
        return (
            handling in self.handling
            and self.condition in {None, condition}
            and self.is_latched in {None, is_latched}
            and self.is_sounding in {None, is_sounding}
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
)

ARGUMENTS: dict[Verb, tuple[str, ...]] = {
    Verb.SILENCE: (),
    Verb.TAKE: (),
    Verb.ARRIVE: (),
    Verb.VERIFY: ("real",),
    Verb.NOTE: ("text",),
    Verb.CLOSE: ("outcome", "cause"),
    Verb.RESET: (),
}


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
    "closed": Effect(handling=tuple((each, CLOSED) for each in _IN_HAND), sound=Latch.CLEAR),
    "reset": Effect(latch=Latch.CLEAR),
    "confirmed": Effect(),  # a fire, by a second device or a person (`gateway.rules.confirm`)
}


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


def row_for(verb: Verb, handling: Handling, condition: AlarmCondition, *, is_latched: bool, is_sounding: bool) -> Row:
    """The line of `VERBS` for this state. Every state has one (a test asks for all)."""
    for row in VERBS:
        if row.verb is verb and row.fits(handling, condition, is_latched=is_latched, is_sounding=is_sounding):
            return row
    msg = f"the alarm table has no line for {verb} in {handling}, {condition}"
    raise AssertionError(msg)
