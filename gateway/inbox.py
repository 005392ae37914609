"""The inbox: everything that enters the gateway waits here for its batch. Bounded; every drop is counted.

What becomes of it is the pipeline's.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Container

from gateway.counters import Counters
from gateway.model import Arrival, DeviceStatus, Input, Reading

_LANE_ARRIVALS = 20_000  # waiting in the readings lane
_LANE_MERGED = 20_000  # points whose newest reading waits beside a full lane
_PIECE = 128  # device states of one arrival that are judged at once


class Inbox:
    """Two lanes. Requests and results are never dropped; readings are merged by point when their lane is full.

    Beside them waits a bulk: where many device states come at once (a line with thousands of devices is lost), and
    what is said of devices after that, is handed out in pieces, so that a fire does not wait for all of it. The order
    of what is said of one device stays, but its readings may go ahead.
    """

    def __init__(self, counters: Counters, arrived: Callable[[], None], keeps: Container[str] = ()) -> None:
        """``arrived`` is called for everything that enters, and must be cheap; ``keeps``: points never merged."""
        self._counters = counters
        self._keeps = keeps
        self._arrived = arrived
        self._control: deque[Input] = deque()
        self._readings: deque[Arrival] = deque()
        self._merged: dict[str, Reading] = {}
        self._bulk: deque[Arrival] = deque()

    def put(self, item: Input) -> None:
        """Add a request, a result or a tick. Their number is bounded by those who make them."""
        self._control.append(item)
        self._arrived()

    def deliver(self, arrival: Arrival) -> None:
        """Add what a driver read. Never blocks.

        An arrival with a receipt is always taken: the sender keeps it until it is acknowledged, and has a bounded
        number under way. Of any other, when the lane is full, the newest reading of a point wins; what says that a
        device came or went, and the points of ``keeps`` (alarms, presses), are taken as they are up to twice the lane.
        """
        is_awaited = arrival.receipt is not None
        if self._bulk or len(arrival.inputs) > _PIECE:
            arrival = self._set_aside(arrival)
            if not arrival.inputs and arrival.receipt is None:  # all of it is set aside
                self._arrived()
                return
        if is_awaited or (len(self._readings) < _LANE_ARRIVALS and not self._merged):
            self._readings.append(arrival)
            if self._merged:
                self._forget_older(arrival)
        else:
            self._squeeze(arrival)
        self._arrived()

    def drain(self, limit: int, *, bulk: bool = True) -> tuple[list[Input], list[Arrival]]:
        """At most ``limit`` requests and results, and arrivals of at most ``limit`` together (but at least one).

        With ``bulk`` a piece of what was set aside after them.
        """
        control = [self._control.popleft() for _ in range(min(limit, len(self._control)))]
        arrivals: list[Arrival] = []
        readings = self._readings
        room = limit
        while readings and room > 0:
            arrival = readings.popleft()
            arrivals.append(arrival)
            room -= len(arrival.inputs) or 1
        if not readings and self._merged:
            arrivals.append(Arrival(tuple(self._merged.values())))
            self._merged = {}
        if bulk and self._bulk:
            arrivals.append(self._bulk.popleft())
        return control, arrivals

    def has_any(self, *, bulk: bool) -> bool:
        """Is there anything to drain?"""
        return bool(self._control or self._readings or self._merged or (bulk and self._bulk))

    def __len__(self) -> int:
        return len(self._control) + len(self._readings) + len(self._merged) + len(self._bulk)

    def _set_aside(self, arrival: Arrival) -> Arrival:
        """Put the device states of ``arrival`` behind those that wait, where any do or it has very many; the rest.

        It is acknowledged when both have been: neither the alarm in it nor the states may still be in memory alone. Its
        digest goes with the rest: a press that comes again after a kill is not a second one, and that a device is there
        is said by its next message.
        """
        states = [each for each in arrival.inputs if isinstance(each, DeviceStatus)]
        if not states or (not self._bulk and len(states) <= _PIECE):
            return arrival
        rest = tuple(each for each in arrival.inputs if not isinstance(each, DeviceStatus))
        if len(self._bulk) >= _LANE_ARRIVALS and arrival.receipt is None:
            self._counters.count("inbox_dropped", len(states), reason="bulk_full")
            return Arrival(rest)
        receipt, digest = arrival.receipt, arrival.digest
        if rest and receipt is not None:
            receipt = _second_call(receipt)
        pieces = [Arrival(tuple(states[at : at + _PIECE])) for at in range(0, len(states), _PIECE)]
        pieces[-1] = pieces[-1]._replace(receipt=receipt, digest=b"" if rest else digest)
        self._bulk += pieces
        return Arrival(rest, receipt, digest) if rest else Arrival(())

    def _squeeze(self, arrival: Arrival) -> None:
        """Take what must not be merged, merge the rest."""
        kept = tuple(each for each in arrival.inputs if isinstance(each, DeviceStatus) or each.point_id in self._keeps)
        if kept and len(self._readings) < 2 * _LANE_ARRIVALS:
            self._readings.append(Arrival(kept))
        elif kept:
            self._counters.count("inbox_dropped", len(kept), reason="lane_full")
        for each in arrival.inputs:
            if isinstance(each, Reading) and each.point_id not in self._keeps:
                self._merge(each)

    def _merge(self, reading: Reading) -> None:
        if reading.point_id in self._merged:
            self._counters.count("inbox_merged")
        elif len(self._merged) >= _LANE_MERGED:
            self._counters.count("inbox_dropped", reason="merge_full")
            return
        self._merged[reading.point_id] = reading

    def _forget_older(self, arrival: Arrival) -> None:
        """What was merged before is older than what has just come: it must not be judged after it."""
        for each in arrival.inputs:
            if isinstance(each, Reading) and self._merged.pop(each.point_id, None) is not None:
                self._counters.count("inbox_merged")


def _second_call(then: Callable[[], None]) -> Callable[[], None]:
    """What calls ``then`` when it is called for the second time: two halves of one message, each with its receipt."""
    calls = 0

    def one_more() -> None:
        nonlocal calls
        calls += 1
        if calls == 2:
            then()

    return one_more
