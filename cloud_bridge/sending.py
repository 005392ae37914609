"""Which rows go next: alarms first, then one that had to wait, then the newest values, then telemetry from the oldest.

Under suspicion rows go one at a time. What becomes of them is `answers`.
"""

from __future__ import annotations

import asyncio

from cloud_bridge.newest import Newest
from cloud_bridge.pace import RateLimit
from cloud_bridge.traffic import Traffic
from cloud_bridge.uplink import Uplink
from gateway.model import Lane
from gateway.store.outbox import OutboxReader

POLL_S = 0.5  # finds new rows when no byte comes through the pipe
_LINGER_S = 0.1  # new telemetry gathers for so long: at 200 rows/s a twentieth of the looking
_SLICE_S = 0.01  # between slices of the newest values where nothing else rings
_TRY_S = 2.0  # so long telemetry waits for the answer to a row that was held
_MANY = 32  # at most so many rows are taken at a time from a full window


class Sending:
    """Fills the window of an open session."""

    def __init__(self, uplink: Uplink, reader: OutboxReader, traffic: Traffic, bell: asyncio.Event) -> None:
        """``bell`` is set where there is more to do at once."""
        self._uplink = uplink
        self._reader = reader
        self._traffic = traffic
        self._suspicion = traffic.suspicion
        self._bell = bell
        self._time = asyncio.get_running_loop().time
        self.newest = Newest(reader, bell)
        self.renew()

    def renew(self) -> None:
        """Another session begins."""
        self._rate = RateLimit(self._uplink.limits.rate, self._time())
        self._linger_until_s = 0.0
        self._is_lingering = False  # somebody rang while telemetry gathered

    def send(self) -> None:
        """Send what may go now."""
        now_s = self._time()
        lanes = [lane for lane in Lane if lane is not Lane.ALARM or now_s >= self._suspicion.alarms_due_s]
        if any(row.lane in lanes and row not in self._traffic.held for row in self._suspicion.suspects):
            for lane in lanes:  # alarms first
                self._send_one(lane)
        elif Lane.ALARM not in lanes or (self._send_alarms() and not self._send_held(now_s)):
            self._send_newest(now_s)
            self._send_lane(Lane.TELEMETRY, self._room(Lane.TELEMETRY))

    def _send_one(self, lane: Lane) -> None:
        """Nothing is in flight but this row; what is held or was answered before is passed over."""
        for _ in range(_MANY):
            if not self._traffic.is_empty or not self._send_lane(lane, 1):
                return
        self._bell.set()

    def _send_alarms(self) -> bool:
        """Are all alarms on their way now? Telemetry waits for that."""
        most, flight, held = self._uplink.limits.in_flight_bytes, self._traffic.flights[Lane.ALARM], self._traffic.held
        while (room := self._room(Lane.ALARM)) > 0 and flight.bytes - held.bytes < most:
            if not self._send_lane(Lane.ALARM, room):
                return True
        return False

    def _send_held(self, now_s: float) -> bool:
        """Try a row that ended a session, alone; does telemetry wait for that?"""
        traffic = self._traffic
        if traffic.tried is not None:
            return now_s < traffic.tried.at_s + _TRY_S
        entry = traffic.held.due(now_s)
        if entry is not None and traffic.is_empty:
            traffic.try_held(entry, now_s)
        return entry is not None

    def _send_newest(self, now_s: float) -> None:
        """A slice of the newest values, where history has a long way to go."""
        self.newest.look(now_s, self._traffic.flights[Lane.TELEMETRY].sent)
        if self.newest.is_waiting and self._rate.allowance(now_s, 1):
            slice_ = self.newest.next(now_s)
            self._rate.spend(1)
            self._uplink.newest(slice_.readings, slice_.seq)

    def _room(self, lane: Lane) -> int:
        """How many deliveries may start."""
        room = min(_MANY, self._uplink.limits.in_flight - len(self._traffic.sent[lane]))
        if lane is Lane.ALARM:
            return room
        now_s = self._time()
        self._is_lingering = now_s < self._linger_until_s
        if self._is_lingering:
            return 0
        return self._rate.allowance(now_s, room)

    def _send_lane(self, lane: Lane, room: int) -> int:
        """Start deliveries of the next rows; how many rows."""
        limits, flight, held = self._uplink.limits, self._traffic.flights[lane], self._traffic.held
        if lane is Lane.ALARM:
            most = limits.in_flight_bytes + held.bytes
        else:
            most = min(limits.in_flight_bytes, limits.telemetry_bytes)
        space = most - flight.bytes
        if room <= 0 or space <= 0:
            return 0
        wanted = room * limits.rows
        before = flight.sent
        entries = self._reader.take(lane, before, wanted, space)
        if self._suspicion.is_careful:
            self._suspicion.gone(lane, before, entries[0].seq if entries else 2**62)
        going = [entry for entry in flight.send(entries) if not held.keeps(entry)]
        for start in range(0, len(going), limits.rows):
            self._traffic.deliver(lane, going[start : start + limits.rows])
        if lane is Lane.TELEMETRY:
            self._rate.spend(-(-len(entries) // limits.rows))
            if len(entries) < wanted and 2 * flight.bytes < most:  # all there was
                self._linger_until_s = self._time() + _LINGER_S
        return len(entries)

    def idle_s(self) -> float:
        """How long to wait where nobody rings."""
        now_s = self._time()
        self._rate.allowance(now_s, 1)  # reckoned up to now
        rate_s = self._rate.wait_s
        wait_s = min(POLL_S, rate_s or POLL_S)
        if self._is_lingering:
            wait_s = min(wait_s, self._linger_until_s - now_s)
        if self.newest.is_waiting:
            wait_s = min(wait_s, max(_SLICE_S, rate_s))
        return max(wait_s, 0.001)
