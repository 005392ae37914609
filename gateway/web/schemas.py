"""Web: the shapes of requests and answers, for validation and for OpenAPI. The answers themselves are made in views."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from gateway.web.fields import Name, NewPassword, RequestId, Words


class Asked(BaseModel):
    """What a client sends: nothing unknown, nothing converted."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class LoginBody(Asked):
    """Name and password."""

    name: Name
    password: Annotated[str, Field(min_length=1, max_length=128)]


class SetupBody(Asked):
    """The first account, made by whoever can read the one-time code at the gateway."""

    code: Annotated[str, Field(min_length=1, max_length=40)]
    name: Name
    password: Annotated[str, Field(min_length=1, max_length=128)]  # its strength is looked at after the code


class UserBody(Asked):
    """A further account."""

    name: Name
    role: Literal["duty", "supervisor", "installer"]
    password: NewPassword


class VerbBody(Asked):
    """One act on one version of one alarm. The same ``request_id`` sent again gives the same answer."""

    version: Annotated[int, Field(ge=1, le=2**31, strict=True, description="the version the operator saw")]
    request_id: RequestId
    real: Annotated[bool | None, Field(strict=True, description="verify: is it a real alarm?")] = None
    text: Annotated[Words | None, Field(description="note: the words")] = None
    outcome: Annotated[Words | None, Field(description="close: one of the rule's outcomes")] = None
    cause: Annotated[Words | None, Field(description="close: why it happened")] = None
    minutes: Annotated[int | None, Field(ge=1, le=10_000, strict=True, description="shelve: for how long")] = None
    reason: Annotated[Words | None, Field(description="shelve: why")] = None
    point: Annotated[Words | None, Field(description="operate: the point of one of the alarm's offers")] = None
    value: Annotated[bool | float | Words | None, Field(description="operate: the value of that offer")] = None


class OperateBody(Asked):
    """Set one point that may be set by hand. The same ``request_id`` sent again gives the same answer, and no act."""

    point: Words
    value: bool | float | Words
    request_id: RequestId


class Told(BaseModel):
    """What the gateway answers."""

    model_config = ConfigDict(extra="forbid")


class AlarmOut(Told):
    """One alarm: four independent parts, and who did what when."""

    key: str = Field(description="its name in URLs: base64url of the id")
    id: str = Field(description="<rule>:<point>:<occurrence>")
    rule: str
    point: str
    device: str
    class_: Literal["fire", "gas", "sos", "security", "warning", "supervisory", "fault", "maintenance"] = Field(
        alias="class"
    )
    title: str
    place: str
    device_title: str = Field(description="of its device; empty for a group")
    version: int
    raised_at: datetime
    condition: Literal["active", "returned"]
    handling: Literal["new", "taken", "verifying", "handling", "closed"]
    is_latched: bool
    is_sounding: bool = Field(description="is it heard now? Not while it is muted")
    isa_state: Literal[
        "NORMAL", "UNACK", "ACKED", "RTN_UNACK", "LATCHED_UNACK", "LATCHED_ACK", "SHELVED", "SUPPRESSED_BY_DESIGN",
        "OUT_OF_SERVICE",
    ]  # fmt: skip
    is_muted: bool = Field(description="neither heard nor told for now: shelved, suppressed or out of service")
    shelved_until_at: datetime | None
    shelved_by: str
    suppressed_by: str = Field(description="id of the alarm that is its cause; empty for none")
    is_out_of_service: bool
    marks: list[str] = Field(description="drill, walk_test, commissioning: never in statistics")
    is_unconfirmed: bool = Field(description="known from before a restart; its point has not reported since")
    is_open: bool
    is_stale: bool = Field(description="active for more than 24 hours")
    is_chattering: bool = Field(description="raised so often that its returns wait for a quiet minute")
    is_confirmed: bool = Field(description="fire: by a second device, a call point or a person")
    is_clock_unsure: bool = Field(description="raised while the gateway's clock was not synchronised")
    value: bool | int | float | str | None
    count: int = Field(description="activations so far")
    returned_at: datetime | None
    taken_at: datetime | None
    taken_by: str
    verified_at: datetime | None
    is_real: bool | None
    arrived_at: datetime | None
    closed_at: datetime | None
    outcome: str
    cause: str
    note: str
    last_actor: str
    last_event: str
    last_at: datetime | None
    escalated_s: float = Field(description="how long nobody had taken it at its last escalation; 0: it was not")
    respond_by_at: datetime | None = Field(description="by when somebody must have taken it, as its rule says")
    text: str = Field(description="what the rule says has happened and was done")
    point_title: str
    unit: str = Field(description="of the value; empty where it has none")
    socket: int | None = Field(description="which socket of a charger")


class RuleOut(Told):
    """What to do, within what time and why, and how it may end."""

    id: str
    title: str
    response: str = Field(description="the one sentence that says what to do, in the language asked for")
    respond_within_s: float | None
    cause: str
    consequence: str = Field(description="of doing nothing")
    plan: list[str]
    outcomes: list[str]


class CommandOut(Told):
    """What an alarm commanded, and what became of it; ``outcome`` null: still under way."""

    id: str
    point: str
    device: str
    device_title: str
    place: str
    point_title: str
    unit: str
    socket: int | None
    value: bool | int | float | str | None
    outcome: Literal["done", "unconfirmed", "failed", "expired", "refused", "superseded"] | None
    readback: bool | int | float | str | None
    issued_at: datetime
    closed_at: datetime | None
    detail: str


class OfferOut(Told):
    """Something that can be operated: from an alarm (POST /alarms/{key}/operate), or by itself (POST /operate)."""

    point: str
    point_title: str
    device: str
    device_title: str
    place: str
    value: bool | int | float | str = Field(description="send exactly this")
    title: str = Field(description="the word for the button, in the language asked for; empty: point_title and value")
    may_operate: bool = Field(description="may your role? The gateway decides again when it is asked")
    pulse_s: float | None = Field(description="after so long it ends by itself; null: it stays, or the device ends it")


class OperationOut(CommandOut):
    """What somebody operated by hand, and what became of it."""

    key: str = Field(description="its name in URLs: GET /operations/{key}")
    by: str
    alarm: str = Field(description="id of the alarm it was done from; empty for none")
    expires_at: datetime = Field(description="later than this it is not carried out")


class OperationList(Told):
    """Operations, newest first; ``next`` asks for the page after this one."""

    operations: list[OperationOut]
    next: str | None


class OfferList(Told):
    """Everything that can be operated by hand."""

    points: list[OfferOut]


class OperatedOut(Told):
    """It was accepted, committed and commanded; what becomes of it is at GET /operations/{operation}."""

    request_id: str
    operation: str = Field(description="key of the operation")


class AlarmDetail(Told):
    """An alarm with its rule and its commands; ``rule`` is null when the configuration no longer has it."""

    alarm: AlarmOut
    rule: RuleOut | None
    commands: list[CommandOut]
    shelvable_minutes: int | None = Field(description="how long the caller may shelve it at most; null: not at all")
    members: list[AlarmOut] = Field(description="open alarms that are its consequences; of very many the first 500")
    member_count: int
    offers: list[OfferOut] = Field(description="what can be operated from this alarm: unlock the visitor's door")
    picture: str | None = Field(
        description="address of a picture of now, for an <img> of the page itself; null: none, or not for your role"
    )


class DeviceCounts(Told):
    """Every device is in exactly one state; unknown is not quiet."""

    total: int
    online: int
    offline: int
    unknown: int


class Counts(Told):
    """Open alarms and devices."""

    by_class: dict[str, int]
    untaken: int = Field(description="that nobody has taken; muted ones are not counted")
    unconfirmed: int
    shelved: int
    out_of_service: int
    marks: int = Field(description="that are set: see /marks")
    suppressed: int = Field(description="consequences of another open alarm: recorded, not annunciated")
    stale: int = Field(description="active for more than 24 hours")
    devices: DeviceCounts


class AlarmList(Told):
    """All open alarms in duty order, as of ``revision``."""

    revision: int
    counts: Counts
    alarms: list[AlarmOut]


class ActorOut(Told):
    """Who did it."""

    name: str
    role: str
    via: str


class EventOut(Told):
    """One line of an alarm's journal."""

    id: str
    version: int
    kind: str
    at: datetime
    actor: ActorOut
    data: dict[str, Any]


class EventList(Told):
    """An alarm's journal, oldest first."""

    events: list[EventOut]


class RecordList(Told):
    """Ended alarms, newest first; ``next`` asks for the page after this one."""

    records: list[AlarmOut]
    next: str | None


class DeviceOut(Told):
    """One device and whether it can be heard."""

    id: str
    kind: str
    title: str
    place: str
    zone: str
    bus: str
    profile: str
    state: Literal["online", "offline", "unknown"]
    since: datetime | None
    reason: str


class DeviceList(Told):
    """Devices by id; ``next`` asks for the page after this one."""

    total: int
    devices: list[DeviceOut]
    next: str | None


class UplinkOut(Told):
    """One cloud platform."""

    is_up: bool | None
    backlog: int
    since: datetime | None
    certificate_until: datetime | None


class DropOut(Told):
    """Something that was refused or lost, counted by reason."""

    name: str
    labels: dict[str, str]
    count: int


class StatusOut(Told):
    """How the gateway is."""

    gateway: str
    site: str
    version: str
    now: datetime
    revision: int
    consoles: int
    reasons: list[str] = Field(description="why it cannot do its job; empty when it can")
    notes: list[str] = Field(description="what people should know all the same: time (the clock is not synchronised)")
    counts: Counts
    buses: dict[str, bool | None]
    uplinks: dict[str, UplinkOut]
    saved: int = Field(description="readings that report on change has kept from the clouds since the start")
    drops: list[DropOut] = Field(description="bad input and every other loss, by reason")


class SessionOut(Told):
    """Who is logged in here, and what the page needs before anybody is."""

    title: str
    language: str
    timezone: str
    needs_setup: bool
    user: str | None
    role: str | None
    expires_at: datetime | None


class VerbOut(Told):
    """The act was accepted and committed; ``version`` is the alarm's version after it."""

    request_id: str
    version: int
    operation: str | None = Field(default=None, description="operate only: key of GET /operations/{key}")


class HealthOut(Told):
    """ok, or unavailable with the reasons."""

    status: Literal["ok", "unavailable"]
    reasons: list[str]
    notes: list[str] = Field(description="as in the status")


class ProblemOut(BaseModel):
    """RFC 9457; ``detail`` is a full sentence in the caller's language."""

    type: str
    title: str
    status: int
    code: str
    detail: str
