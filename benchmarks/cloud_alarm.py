"""Alarm to cloud while a long backlog of telemetry is replayed: ``python -m benchmarks.cloud_alarm``.

The whole way: a device's message on the field broker, the gateway's decision and commit, the bridge, the platform's
broker, a subscriber there. One alarm at a time, each of another detector; device and subscriber are one process, so
that one clock tells both ends. Meanwhile the bridge replays telemetry rows to the same broker.
"""

from __future__ import annotations

import argparse
import select
import time

from benchmarks import cloud_box, site, systems, wire
from benchmarks.harness import BenchError, Lab, free_port, wait_until
from benchmarks.report import Figure, Report, Spread, percentile, show
from gateway.model import Lane
from gateway.store.database import BRIDGE_FILE, number, open_reader

TARGET_MS = 50.0
_EVERY_S = 0.05
_WITHIN_S = 5.0


class Ends:
    """A device at the field broker and a subscriber at the platform's."""

    def __init__(self, field: int, platform: int) -> None:
        self._field, _ = wire.connect(field, "device")
        self._cloud, _ = wire.connect(platform, "cloud")
        self._splitter = wire.Splitter()
        self._mid = 0
        self._cloud.sendall(wire.encode_subscribe(1, [(f"shouwang/{site.GATEWAY_ID}/alarm", 1)]))

    def alarm(self, at: str) -> float | None:
        """Milliseconds from the detector's message to the alarm at the platform; None when it did not come."""
        payload = site.smoke_payload(at, time.time_ns() // 1_000_000)
        self._mid = self._mid % 65_535 + 1
        began = time.perf_counter()
        self._field.sendall(wire.encode_publish(site.smoke_topic(at), payload, self._mid))
        while (left_s := began + _WITHIN_S - time.perf_counter()) > 0:
            if select.select([self._field], [], [], 0)[0]:
                self._field.recv(65_536)  # PUBACKs
            if not select.select([self._cloud], [], [], min(left_s, 0.05))[0]:
                continue
            data = self._cloud.recv(65_536)
            seen = time.perf_counter()
            if not data:
                raise BenchError("the platform's broker closed the connection")
            if any([self._is_for(packet, at) for packet in self._splitter.feed(data)]):  # noqa: C419 - each is answered
                return (seen - began) * 1000
        return None

    def _is_for(self, packet: wire.Packet, at: str) -> bool:
        if packet.kind != wire.PUBLISH:
            return False
        message = wire.decode_publish(packet)
        if message.mid:
            self._cloud.sendall(wire.encode_puback(message.mid))
        return at.encode() in message.payload


def run(rows: int = 1_000_000, alarms: int = 300) -> Report:
    """One backlog; as many alarms as fit into its replay, at most ``alarms``."""
    report = Report(f"Alarm to cloud while {rows:,} rows of telemetry are replayed")
    with Lab() as lab:
        field, platform = lab.broker("field"), lab.broker("platform")
        cloud = f"{{type: mqtt, host: 127.0.0.1, port: {platform}}}"
        config = cloud_box.configure(lab, {"cloud": cloud}, site.Plan(field, free_port(), env_buildings=2))
        data = cloud_box.fill(lab, rows, 1)
        ends = Ends(field, platform)
        systems.start_gateway(lab, config)
        wait_until(lambda: _settled(str(data)) > 0, 60, "the replay has begun", every_s=0.05)
        _wait_ready(ends)
        began, from_row = time.perf_counter(), _settled(str(data))
        found: list[float] = []
        lost = 0
        for index in range(alarms):
            took_ms = ends.alarm(site.address(index))
            to_row = _settled(str(data))
            if to_row >= rows:
                break
            lost += took_ms is None
            found += [] if took_ms is None else [took_ms]
            time.sleep(_EVERY_S)
        speed = (to_row - from_row) / (time.perf_counter() - began)
    if len(found) < 30:
        raise BenchError(f"the backlog was replayed after {len(found)} alarms: ask for more rows")
    for name, share in (("median", 0.5), ("99 of 100", 0.99), ("longest", 1.0)):
        judged = {"target": f"≤ {TARGET_MS:g}", "holds": _is_in_time} if share == 0.99 else {"target": ""}
        report.figures.append(
            Figure(f"device to cloud, {name}", "ms", ours=Spread((percentile(found, share),)), **judged)
        )
    report.figures.append(
        Figure("alarms that did not come", "", "0", Spread((float(lost),)), holds=_is_none, form=".0f")
    )
    report.notes.append(f"{len(found)} alarms, one at a time; beside it {speed:,.0f} rows/s were replayed")
    return report


def _wait_ready(ends: Ends) -> None:
    """The first alarm that arrives; rooms from the end, which are not measured."""
    for used in range(1, 60):
        if ends.alarm(site.address(site.ROOMS_PER_BUILDING - used)) is not None:
            return
    raise BenchError("no alarm arrives")


def _settled(data: str) -> int:
    """Up to which row of telemetry the platform has acknowledged."""
    try:
        books = open_reader(data, BRIDGE_FILE)
    except Exception:  # noqa: BLE001 - not made yet
        return 0
    try:
        return number(books, "SELECT seq FROM cursors WHERE lane = ?", Lane.TELEMETRY.value)
    finally:
        books.close()


def _is_in_time(figure: Figure) -> bool:
    return figure.ours is not None and figure.ours.median <= TARGET_MS


def _is_none(figure: Figure) -> bool:
    return figure.ours is not None and not any(figure.ours.runs)


def main() -> None:
    """Command line."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--rows", type=int, default=1_000_000)
    options.add_argument("--alarms", type=int, default=300)
    given = options.parse_args()
    show(run(given.rows, given.alarms))


if __name__ == "__main__":
    main()
