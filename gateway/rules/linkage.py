"""Room: rules. From a rule's action to commands: which points it reaches, and the one thing no rule may do.

When commands are issued is the engine's; carrying them out and reading back is `gateway.effects`'.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import timedelta

from gateway.model import SYSTEM, Action, Command, Device, Now, Offer, Place, Point, Rule, Scope, Value
from gateway.rules.watch import Outputs

UNTIL = ("silenced", "reset")
# Closed by software, opened by hand; people and fire engines may still be on their way.
_NEVER_UNDONE = frozenset({"gas-valve", "door", "barrier"})

_Key = tuple[str, ...] | None  # None: the device lies in no such scope


def base_name(point: str) -> str:
    """``power`` of ``power.3``; a name that is not repeated stays as it is."""
    base, dot, index = point.rpartition(".")
    return base if dot and index.isdigit() else point


def may_open_gas_valve(kind: str, point: str, value: Value) -> bool:
    """Could setting ``point`` of a device of this kind open a gas valve? Software may close one, never open it.

    GB 50028-2006 (2020) 10.8.2: a shut-off valve closes by itself and is opened again by hand, on the spot.
    Whatever is not plainly closing counts as opening.
    """
    if kind != "gas-valve":
        return False
    closing = {"closed": True, "open": False}.get(base_name(point))
    return isinstance(value, str) or value != closing


class Linkage:
    """The writable points of a site, found by kind, name and place."""

    def __init__(self, devices: Iterable[Device]) -> None:
        self._devices: dict[str, Device] = {}
        self._by_kind: defaultdict[tuple[str, str], list[tuple[Device, Point]]] = defaultdict(list)
        self._by_scope: dict[tuple[str, str, Scope], dict[tuple[str, ...], list[Point]]] = {}
        for device in devices:
            self._devices[device.id] = device
            for point in device.points:
                if point.is_writable:
                    self._by_kind[device.kind, base_name(point.name)].append((device, point))

    def check(self, rule: Rule, sources: Iterable[str]) -> None:
        """Raise ValueError where an action of ``rule`` (on devices ``sources``) could open a gas valve or lock a door.

        Also makes the indexes of its scopes now, so that the first fire does not wait for them.
        """
        for action in rule.actions:
            self._in_scope(action.kind, base_name(action.point), action.scope)
            kinds = {action.kind} if action.kind else {self._devices[each].kind for each in sources}
            if any(may_open_gas_valve(kind, action.point, action.value) for kind in kinds):
                msg = (
                    f"rule {rule.id}: sets {action.point} of a gas valve to {action.value!r}. "
                    "A gas valve may be closed by software and never opened by it: use closed: true"
                )
                raise ValueError(msg)
            self._check_until(rule, action, kinds)

    def _check_until(self, rule: Rule, action: Action, kinds: Iterable[str]) -> None:
        if not action.until:
            return
        msg = ""
        if action.until not in UNTIL:
            msg = f"until: {action.until} is not known; use one of {', '.join(UNTIL)}, or leave it out"
        elif action.value is not True:
            msg = "until sets to false what the action has set to true; remove until, or set value: true"
        elif not _NEVER_UNDONE.isdisjoint(kinds):
            msg = "a gas valve, a released door and a barrier are never set back by software; remove until"
        if msg:
            raise ValueError(f"rule {rule.id}: sets {action.point} until {action.until}: {msg}")

    def outputs(self, rule: Rule, source: Point) -> Outputs:
        """What the actions of ``rule`` set when ``source`` raises; no points where a scope has none."""
        return tuple((action, self._targets(action, source)) for action in rule.actions)

    def offered(self, rule: Rule, source: Point) -> list[tuple[Offer, Point]]:
        """What can be operated from the alarms of ``rule`` at ``source``."""
        return [
            (offer, point)
            for offer in rule.offers
            for point in self._targets(
                Action(offer.kind, offer.point, offer.scope, offer.value, expires_s=0.0, is_safety=False), source
            )
        ]

    def group_outputs(self, rule: Rule, devices: Sequence[Device]) -> Outputs:
        """What the actions of ``rule`` set when a group raises: what any of its ``devices`` would reach, each once."""
        return tuple((action, self._group_targets(action, devices)) for action in rule.actions)

    def _group_targets(self, action: Action, devices: Sequence[Device]) -> list[Point]:
        wanted = base_name(action.point)
        if action.kind:
            index = self._in_scope(action.kind, wanted, action.scope)
            keys = dict.fromkeys(_key(each, action.scope) or () for each in devices)  # in the order of the devices
            found = [point for key in keys for point in index.get(key, ())]
        else:
            found = [point for each in devices for point in each.points if point.is_writable]
            found = [each for each in found if base_name(each.name) == wanted]
        return [each for each in found if action.point in {each.name, wanted}]

    def _targets(self, action: Action, source: Point) -> list[Point]:
        device = self._devices[source.device_id]
        wanted = base_name(action.point)
        if not action.kind:
            found = [each for each in device.points if each.is_writable and base_name(each.name) == wanted]
        else:
            found = self._in_scope(action.kind, wanted, action.scope).get(_key(device, action.scope) or (), [])
        if wanted != action.point:  # one of a repeated point, by its full name
            return [each for each in found if each.name == action.point]
        return _same_socket(found, source)

    def _in_scope(self, kind: str, point: str, scope: Scope) -> dict[tuple[str, ...], list[Point]]:
        index = self._by_scope.get((kind, point, scope))
        if index is None:
            index = defaultdict(list)
            for device, each in self._by_kind.get((kind, point), ()):
                key = _key(device, scope)
                if key is not None:
                    index[key].append(each)
            self._by_scope[kind, point, scope] = index
        return index


def commands(outputs: Outputs, alarm_id: str, version: int, now: Now) -> list[Command]:
    """What an event of an alarm commands. Where two actions reach one point, the first one counts."""
    found: dict[str, Command] = {}
    for action, targets in outputs:
        for target in targets:
            if target.id not in found:
                found[target.id] = Command(
                    id=f"{alarm_id}#{version}/{target.id}",
                    point_id=target.id,
                    value=action.value,
                    by=SYSTEM,
                    because=alarm_id,
                    expires_at=now.utc + timedelta(seconds=action.expires_s),
                    is_safety=action.is_safety,
                )
    return list(found.values())


def _same_socket(found: list[Point], source: Point) -> list[Point]:
    """Of the source's own device only the point with the source's number: ``power.3`` cuts ``on.3``, not all ten."""
    _, dot, index = source.name.rpartition(".")
    if not dot or not index.isdigit():
        return found
    numbered = f".{index}"
    own = {each.id for each in found if each.device_id == source.device_id}
    same = {each.id for each in found if each.id in own and each.name.endswith(numbered)}
    return [each for each in found if each.id not in own or each.id in same] if same else found


def _key(device: Device, scope: Scope) -> _Key:
    place: Place = device.place
    keys: dict[Scope, tuple[str, ...]] = {
        Scope.DEVICE: (device.id,),
        Scope.ROOM: (place.building, place.unit, place.floor, place.room),
        Scope.FLOOR: (place.building, place.unit, place.floor),
        Scope.UNIT: (place.building, place.unit),
        Scope.BUILDING: (place.building,),
        Scope.ZONE: (place.zone,),
        Scope.SITE: ("*",),
    }
    key = keys[scope]
    return key if key[-1] else None  # a device without a zone does not share it with all the others without one
