"""Room: drivers. Is a Modbus unit answering, and when is a silent one asked again: a breaker, pure.

Times are seconds of whatever clock the caller uses. Who asks is `modbus_line`.
"""

from __future__ import annotations

from dataclasses import dataclass, field

OPEN_AFTER = 3  # answers missed in a row before a unit counts as lost
FIRST_PAUSE_S, LONGEST_PAUSE_S = 2.0, 30.0  # between two probes of a lost unit
LEAST_PATIENCE_S = 0.1
FULL_PATIENCE_EVERY = 4  # probes, so that a unit that became slow is found again


@dataclass(slots=True)
class Unit:
    """One unit of a line; ``device_ids`` are those that answer under it (more than one only by `shared_unit`)."""

    number: int
    device_ids: list[str] = field(default_factory=list)
    is_online: bool | None = None  # None until it has answered or been given up
    is_proven: bool = False  # it has answered since the line was last in trouble
    failures: int = 0  # in a row
    slowest_s: float = 0.0  # its slowest answer so far
    probe_at_s: float = 0.0

    @property
    def is_suspect(self) -> bool:
        """Did it miss its last answer?"""
        return self.failures > 0

    @property
    def is_open(self) -> bool:
        """Is its breaker open: is it asked by probes only?"""
        return self.failures >= OPEN_AFTER

    def answered(self, took_s: float) -> bool:
        """An answer came, good or an exception. Was it lost, or unknown, until now?"""
        self.failures = 0
        self.is_proven = True
        self.slowest_s = max(self.slowest_s, took_s)
        was_online, self.is_online = self.is_online, True
        return was_online is not True

    def failed(self, now_s: float) -> bool:
        """No usable answer came. Is it lost from now on?"""
        self.failures += 1
        self.is_proven = False
        if not self.is_open:
            return False
        self.probe_at_s = now_s + self._pause_s()
        was_online, self.is_online = self.is_online, False
        return was_online is not False

    def asked_again_s(self, suspect_at_s: float) -> float:
        """When it may be asked after missing an answer: in the suspects' share, and when its probe is due."""
        return max(suspect_at_s, self.probe_at_s) if self.is_open else suspect_at_s

    def patience_s(self, timeout_s: float) -> float:
        """How long to wait for it when it may be dead: a few times its slowest answer, now and then the full time.

        Only where a silent unit is silent at once. Behind a TCP gateway that still waits for the dead one, asking the
        next in a hurry would make the living look dead too.
        """
        if not self.slowest_s or self.failures % FULL_PATIENCE_EVERY == 0 < self.failures:
            return timeout_s
        return min(timeout_s, max(LEAST_PATIENCE_S, 4 * self.slowest_s))

    def _pause_s(self) -> float:
        doublings = min(self.failures - OPEN_AFTER, 10)
        spread = (self.number * 37 + self.failures * 11) % 41 / 100  # units lost together are not probed together
        return min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2.0**doublings) * (0.8 + spread)
