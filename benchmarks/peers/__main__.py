"""``python -m benchmarks.peers``: the same readings through an outage of the platform, for this gateway and others.

10 s, then ``--outage-s`` with the platform's line cut, then 15 s, at ``--rate`` readings a second; with ``--kills``
also kill -9 of what forwards, twice while the line is cut and once while it sends what has waited. Then everything the
field broker acknowledged is looked for at the platform.
"""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import dataclass

from benchmarks.crash_cloud import Line
from benchmarks.harness import BenchError, Child, Lab, free_port, wait_until
from benchmarks.peers.systems import PEERS, Peer, Ports, install
from benchmarks.peers.workload import Field, Platform, disordered

READY_S = 120.0
BEFORE_S, AFTER_S = 10.0, 15.0
QUIET_S, DRAIN_S = 45.0, 240.0
KILLS = (0.25, 0.75)  # of the outage; the third 2 s after it


@dataclass(frozen=True)
class Tally:
    """What became of one run."""

    name: str
    kills: int
    sent: int
    lost: int
    twice: int
    disordered: int
    seconds: float

    def line(self) -> str:
        """For people."""
        how = f"{self.kills} kills" if self.kills else "no kill"
        return (
            f"{self.name:18} {how:8} sent {self.sent:6}  lost {self.lost:6}  twice {self.twice:6}  "
            f"out of order {self.disordered:5}  last arrival {self.seconds:5.0f} s after the line was back"
        )


class _Run:
    """One peer between its field and its platform."""

    def __init__(self, lab: Lab, peer: Peer, rate: float) -> None:
        self._lab = lab
        self._peer = peer
        self.line = Line(lab.broker("platform-broker"))
        self.line.start()
        self.line.mend()
        self._ports = Ports(free_port() if peer.is_broker else lab.broker("field-broker"), self.line.port)
        self.platform = Platform(self.line.target)
        self.platform.start()
        self._child = self._start()
        self.field = Field(self._ports.field, rate)
        self.kills = 0

    def _start(self) -> Child:
        return self._peer.start(self._lab, self._ports)

    def warm_up(self) -> int:
        """Until readings reach the platform; the first number that counts."""
        self.field.start()
        wait_until(lambda: bool(self.platform.seen), READY_S, f"{self._peer.name} forwards", 0.1)
        time.sleep(5)
        return self.field.next

    def kill(self) -> None:
        """Kill -9, and start it again at once."""
        if not self._child.is_running:
            raise BenchError(f"{self._peer.name} had ended by itself: {self._child.tail()}")
        self._child.kill()
        self._child = self._start()
        self.kills += 1

    def outage(self, outage_s: float, *, with_kills: bool) -> None:
        """The line is cut and mended; what forwards may be killed meanwhile, and just after."""
        self.line.cut()
        waited = 0.0
        for share in KILLS if with_kills else ():
            time.sleep(share * outage_s - waited)
            waited = share * outage_s
            self.kill()
        time.sleep(outage_s - waited)
        self.line.mend()
        if with_kills:
            time.sleep(2)
            self.kill()

    def drain(self, first: int) -> set[int]:
        """Wait for the rest, as long as something comes; the acknowledged numbers that count."""
        self.field.finish()
        wanted = {number for number in self.field.acknowledged if number >= first}
        until = time.perf_counter() + DRAIN_S
        while not wanted <= self.platform.seen.keys() and time.perf_counter() < until:
            if time.perf_counter() - self.platform.last_s > QUIET_S:
                break
            time.sleep(0.5)
        return wanted


def measure(peer: Peer, rate: float, outage_s: float, *, with_kills: bool) -> Tally:
    """One run."""
    with Lab() as lab:
        run = _Run(lab, peer, rate)
        first = run.warm_up()
        time.sleep(BEFORE_S)
        run.outage(outage_s, with_kills=with_kills)
        back_s = time.perf_counter()
        time.sleep(AFTER_S)
        wanted = run.drain(first)
        run.platform.finish()
        seen = run.platform.seen
        return Tally(
            name=peer.name,
            kills=run.kills,
            sent=len(wanted),
            lost=len(wanted - seen.keys()),
            twice=sum(1 for number in wanted if seen[number] > 1),
            disordered=disordered(number for number in run.platform.order if number >= first),
            seconds=run.platform.last_s - back_s,
        )


def main() -> int:
    """Command line; 1 where this gateway lost, doubled or disordered anything, or a run failed."""
    options = argparse.ArgumentParser(prog="python -m benchmarks.peers", description=__doc__)
    options.add_argument("--only", action="append", choices=list(PEERS), help="may be given several times")
    options.add_argument("--rate", type=float, default=200)
    options.add_argument("--outage-s", type=float, default=60)
    options.add_argument("--kills", action="store_true", help="only the runs with kills; without it, both")
    options.add_argument("--no-kills", action="store_true", help="only the runs without")
    options.add_argument("--install", action="store_true", help="put the peers into the cache first")
    given = options.parse_args()
    for reason in install() if given.install else ():
        print(reason, file=sys.stderr)
    is_good = True
    for with_kills in (False, True):
        if (with_kills and given.no_kills) or (given.kills and not with_kills):
            continue
        for name in given.only or PEERS:
            is_good = _report(PEERS[name], given.rate, given.outage_s, with_kills=with_kills) and is_good
    return 0 if is_good else 1


def _report(peer: Peer, rate: float, outage_s: float, *, with_kills: bool) -> bool:
    if why := peer.missing():
        print(f"{peer.name:18} skipped: {why}", flush=True)
        return True
    try:
        tally = measure(peer, rate, outage_s, with_kills=with_kills)
    except BenchError as error:
        print(f"{peer.name:18} the run failed: {error}", flush=True)
        return False
    print(tally.line(), flush=True)
    return peer.name != "shouwang" or not (tally.lost or tally.twice or tally.disordered)


if __name__ == "__main__":
    sys.exit(main())
