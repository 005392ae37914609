"""Alarms of this session that others pass: those that were refused alone, and later events of the same alarms.

Nobody may learn that an alarm has ended before learning that it began: events of one alarm stay in order. Whom to
suspect is `suspicion`; when rows are sent is `sending`.
"""

from __future__ import annotations

from cloud_bridge import encode
from cloud_bridge.suspicion import Row, Suspicion
from gateway.model import Lane, OutboxEntry

_MOST = 1_000  # rows that wait; beyond it later events go on alone: they say their version


class Held:
    """Rows that were taken from the outbox and are not on their way."""

    def __init__(self, suspicion: Suspicion) -> None:
        self._suspicion = suspicion
        self.bytes = 0  # of the rows that wait
        self._rows: dict[int, OutboxEntry] = {}  # ascending
        self._alarms: dict[int, str] = {}  # of these, and of those that are being tried; ascending

    def __contains__(self, row: Row) -> bool:
        """Does it wait here?"""
        return row.lane is Lane.ALARM and row.seq in self._rows

    def keeps(self, entry: OutboxEntry) -> bool:
        """Must this row, the next of its lane, wait? Then it is kept here."""
        if entry.lane is not Lane.ALARM:
            return False
        is_struck = self._suspicion.is_held(Row(entry.lane, entry.seq))
        if not is_struck and not self._alarms:
            return False
        alarm = _alarm_of(entry)
        if is_struck or (len(self._rows) < _MOST and alarm in self._alarms.values()):
            self._rows[entry.seq] = entry
            self.bytes += len(entry.body)
            self._alarms[entry.seq] = alarm
            return True
        return False

    def due(self, now_s: float) -> OutboxEntry | None:
        """The row that may be tried now and has waited longest for it, or None."""
        firsts: dict[str, int] = {}
        for seq, alarm in self._alarms.items():
            firsts.setdefault(alarm, seq)
        waiting = [self._rows[seq] for seq in firsts.values() if seq in self._rows]
        entry = min(waiting, key=self._due_s, default=None)
        return entry if entry is not None and self._due_s(entry) <= now_s else None

    def _due_s(self, entry: OutboxEntry) -> float:
        return self._suspicion.due_s(Row(entry.lane, entry.seq))

    def start(self, seq: int) -> None:
        """This row is on its way."""
        self.bytes -= len(self._rows.pop(seq).body)

    def finish(self, seq: int) -> None:
        """The platform has answered for this row, if it was one of these."""
        self._alarms.pop(seq, None)


def _alarm_of(entry: OutboxEntry) -> str:
    try:
        return str(encode.alarm(entry.body)["id"]).rpartition("#")[0]
    except (encode.EncodeError, KeyError, TypeError):
        return f"row {entry.seq}"  # it is put aside when its turn comes
