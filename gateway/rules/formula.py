"""Room: rules. ``expression``: what a general expression says of the present values of one device.

Points that are repeated (``on.3``) are named without their index: the expression is judged once for each index,
points that are not repeated belong to all of them. While a value is not known yet there is no answer, and what has no
answer changes nothing. Old readings that come late are no present values: they decide nothing here.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping

from gateway.model import Device, Reading, Rule, Step, Value
from gateway.rules.expressions import compile_expression, names_of
from gateway.rules.judge import Ground, Judge
from gateway.rules.linkage import base_name
from gateway.rules.points import ONLINE, RESPONDING, PointState
from gateway.rules.watch import PointWatch, Watch

_Answer = Callable[[Mapping[str, Value]], bool | None]


class Formula(Judge):
    """One rule over all devices that have the points it names. Its source is the first of them, with its index."""

    def __init__(self, rule: Rule, ground: Ground) -> None:
        super().__init__(rule, ground)
        self._names = names_of(rule.condition.expression)
        self._compiled: dict[tuple[str, ...], _Answer] = {}
        self._sockets: list[_Socket] = []
        for device_id in dict.fromkeys(self.state_of(each).point.device_id for each in rule.points):
            for states in self._bindings(ground.devices[device_id]):
                self._add(states)
        if rule.points and not self._sockets:
            raise self.fail(f"no device has all of {', '.join(self._names) or 'its points: it names none'}")

    def watches(self) -> Iterable[Watch]:
        """One for each device, or each index of it."""
        return [each.watch for each in self._sockets]

    def resume(self, step: Step) -> None:
        """What was met is met until the points say otherwise."""
        for watch in self.watches():
            self.ground.delays.set(watch, step, raw=watch.raw or watch.met)

    def _add(self, states: dict[str, PointState]) -> None:
        types = tuple(each.point.type for each in states.values())
        if types not in self._compiled:
            try:
                named = dict(zip(states, types, strict=True))
                self._compiled[types] = compile_expression(self.rule.condition.expression, named)
            except ValueError as error:
                raise self.fail(str(error)) from None
        watch = self.watch_at(_source(states), lambda _value, _met: False)
        socket = _Socket(self, watch, states, self._compiled[types])
        self._sockets.append(socket)
        for state in states.values():
            state.ears += (socket,)

    def _bindings(self, device: Device) -> Iterable[dict[str, PointState]]:
        """The states by name: once, or once for each index that all repeated names have."""
        plain: dict[str, PointState] = {}
        repeated: defaultdict[str, dict[str, PointState]] = defaultdict(dict)
        for name in (ONLINE, RESPONDING, *(each.name for each in device.points)):
            state = self.ground.points.get(f"{device.id}/{name}")
            base = base_name(name)
            if state is not None and base in self._names:
                if base == name:
                    plain[name] = state
                else:
                    repeated[base][name.rpartition(".")[2]] = state
        if any(each not in plain and each not in repeated for each in self._names) or not self._names:
            return
        if not repeated:
            yield {each: plain[each] for each in self._names}
            return
        for index in dict.fromkeys(index for states in repeated.values() for index in states):
            found = {each: repeated.get(each, {}).get(index) or plain.get(each) for each in self._names}
            states = {name: state for name, state in found.items() if state is not None}
            if len(states) == len(found):
                yield states


def _source(states: Mapping[str, PointState]) -> PointState:
    """Whose alarm it is: the first repeated point that is named (its index says which socket), else the first."""
    given = [each for each in states.values() if each.point.name not in {ONLINE, RESPONDING}] or list(states.values())
    return next((each for each in given if base_name(each.point.name) != each.point.name), given[0])


class _Socket:
    """The values that one evaluation needs."""

    __slots__ = ("_answer", "_is_judged", "_owner", "_states", "_watch")

    def __init__(self, owner: Formula, watch: PointWatch, states: dict[str, PointState], answer: _Answer) -> None:
        self._owner = owner
        self._watch = watch
        self._answer = answer
        self._is_judged = False
        self._states = [(name, each, each.point.type in {"int", "float"}) for name, each in states.items()]

    @property
    def watch(self) -> Watch:
        """The source's."""
        return self._watch

    def hear(self, _state: PointState, previous: Value | None, reading: Reading, step: Step) -> None:
        """Judge again, if a value has changed."""
        if self._is_judged and reading.value == previous:
            return
        values: dict[str, Value] = {}
        for name, state, is_number in self._states:
            if state.value is None:
                return
            values[name] = float(state.value) if is_number else state.value
        raw = self._answer(values)
        self._is_judged = raw is not None
        if raw is None:
            self._owner.ground.counters.count("expressions_unanswered", rule=self._owner.rule.id)
        else:
            reading = reading._replace(value=self._watch.value)  # the source, whichever point has spoken
            self._owner.ground.delays.set(self._watch, step, reading, raw=raw)

    def hear_late(self, _state: PointState, _reading: Reading, _step: Step) -> None:
        """No present value."""
