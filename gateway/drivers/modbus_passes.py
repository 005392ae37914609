"""Room: drivers. Records in registers: points that say something once for each change of a counter. Pure, no I/O.

A door controller keeps the last card in registers and counts a register up with every pass. Read every second they
would be a pass every second; told once for each count they are a record. What a pass is belongs to the store.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from gateway.drivers.modbus_plan import Field
from gateway.model import Reading


class Let(NamedTuple):
    """What is told of one poll, and how many records went by between two polls, unseen."""

    readings: list[Reading]
    missed: int


class Gate:
    """The records of one device. The first poll after the start says where its counters stand, and nothing else."""

    def __init__(self, fields: Iterable[Field]) -> None:
        self._members: dict[str, list[str]] = {}  # id of the counting point -> of the points that it lets through
        for field in fields:
            counter = field.point.params.counter
            if counter:
                self._members.setdefault(f"{field.point.device_id}/{counter}", []).append(field.point.id)
        self._last: dict[str, int] = {}

    def __bool__(self) -> bool:
        return bool(self._members)

    def let(self, readings: Sequence[Reading]) -> Let:
        """``readings`` without records that were told before; those of one record get one instant."""
        found = {each.point_id: each for each in readings}
        shut: set[str] = set()
        opened: dict[str, Reading] = {}  # by member: the reading of its counter
        missed = 0
        for counter, members in self._members.items():
            now = found.get(counter)
            is_whole = all(each in found and found[each].value is not None for each in members)
            if now is None or type(now.value) is not int or not is_whole:
                shut.update(members)  # told when all of it can be read
                continue
            last = self._last.get(counter)
            self._last[counter] = now.value
            if last is None or now.value == last:
                shut.update(members)
                continue
            missed += max(0, now.value - last - 1)  # a counter that went back has begun anew
            opened.update(dict.fromkeys(members, now))
        return Let([_stamped(each, opened) for each in readings if _is_told(each, shut)], missed)


def _is_told(reading: Reading, shut: set[str]) -> bool:
    return reading.point_id not in shut or reading.value is None


def _stamped(reading: Reading, opened: dict[str, Reading]) -> Reading:
    counter = opened.get(reading.point_id)
    return reading if counter is None else reading._replace(at=counter.at, received_at=counter.received_at)
