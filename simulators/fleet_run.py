"""Simulators: many gateways at once against a real broker and a real time-series store, and their tally.

Each gateway keeps its pace whether it is answered or not, up to its window; what could not go in time is counted. What
one gateway sends belongs to `fleet`, the sockets to `fleet_wire`.
"""

from __future__ import annotations

import asyncio
import itertools
import ssl
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from simulators.fleet import HEARTBEAT_S, Behaviour, Box
from simulators.fleet_wire import HttpLine, MqttLine, WireError

_DRAIN_S = 10.0
_CONNECT_S = 60.0
_KEPT_ROWS = 20_000  # of one gateway, without an answer: more would be its outbox
_KEEPS_UP = 0.98
_MOST_BEHIND_S = 2.0  # what was under way at the end may take so long


@dataclass(frozen=True)
class Target:
    """Where the fleet sends to: ``mqtt`` (host, port) pairs, taken in turns; ``series`` (host, port); certificates."""

    mqtt: Sequence[tuple[str, int]] = ()
    series: tuple[str, int] | None = None
    certificates: Path | None = None  # holds ca.pem and <gateway>.pem/.key; None: plaintext
    is_split: bool = False  # alarms by MQTT, telemetry to the time-series store only

    def tls(self, gateway_id: str) -> ssl.SSLContext | None:
        """By the gateway's own certificate."""
        if self.certificates is None:
            return None
        context = ssl.create_default_context(cafile=self.certificates / "ca.pem")
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.load_cert_chain(self.certificates / f"{gateway_id}.pem", self.certificates / f"{gateway_id}.key")
        return context


@dataclass
class Tally:
    """What the fleet did. Times fall into buckets of a factor of 1.25: bounded, however long it runs."""

    counts: Counter[str] = field(default_factory=Counter)
    acks: Counter[int] = field(default_factory=Counter)
    posts: Counter[int] = field(default_factory=Counter)
    errors: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0
    behind_s: float = 0.0  # from the last reading to its answer
    cpu_s: float = 0.0

    def failed(self, error: str) -> None:
        """One kind of error is kept by its beginning, a hundred kinds at most."""
        self.errors[error[:80] if len(self.errors) < 100 else "others"] += 1

    def keeps_up(self) -> bool:
        """Did everything go out in time, answered?"""
        pairs = (("messages", "acked"), ("lines", "written"))
        answered = all(self.counts[done] >= _KEEPS_UP * self.counts[due] for due, done in pairs if self.counts[due])
        in_time = answered and self.behind_s <= _MOST_BEHIND_S
        return in_time and not self.errors and self.counts["sessions"] == self.counts["gateways"]

    def as_dict(self) -> dict[str, Any]:
        """For people and tests; times in milliseconds."""
        per_s = {f"{name}_per_s": round(self.counts[name] / max(self.seconds, 0.001)) for name in ("acked", "written")}
        times = {
            f"{name}_p{round(share * 100)}_ms": round(_share(of, share) * 1000, 1)
            for name, of in (("puback", self.acks), ("post", self.posts))
            for share in (0.5, 0.99)
            if of
        }
        return {
            **self.counts, **per_s, **times, "errors": dict(self.errors.most_common(5)),
            "seconds": round(self.seconds, 1), "behind_s": round(self.behind_s, 1),
            "own_cores": round(self.cpu_s / max(self.seconds, 0.001), 2),
            "keeps_up": self.keeps_up(),
        }  # fmt: skip


def bucket(seconds: float) -> int:
    """The bucket of a time; `_share` turns it back."""
    number, edge_s = 0, 0.0001
    while edge_s < seconds and number < 60:
        number, edge_s = number + 1, edge_s * 1.25
    return number


def _share(of: Counter[int], share: float) -> float:
    left = share * sum(of.values())
    for number in sorted(of):
        left -= of[number]
        if left <= 0:
            return 0.0001 * 1.25**number
    return 0.0


class Gateway:
    """One gateway of the fleet, on its sockets."""

    def __init__(self, box: Box, target: Target, tally: Tally, number: int) -> None:
        self._box = box
        self._target = target
        self._tally = tally
        self._number = number
        self._mqtt = MqttLine(self._acked)
        self._topic = f"shouwang/{box.id}"
        self.is_ready = asyncio.Event()  # connected, or given up
        self._messages: list[bytes] = []
        self._lines: list[bytes] = []

    def _acked(self, after_s: float) -> None:
        self._tally.counts["acked"] += 1
        self._tally.acks[bucket(after_s)] += 1

    async def run(self, began: asyncio.Event, ended: asyncio.Event) -> None:
        """Connect, wait for the start, send until the end, then wait for what is not answered."""
        tls = self._target.tls(self._box.id)
        series = HttpLine(*self._target.series, tls) if self._target.series else None
        try:
            if self._target.mqtt:
                await self._connect(tls)
                self._mqtt.publish(f"{self._topic}/state", [self._box.state(is_online=True)], retain=True)
                self._tally.counts["messages"] += 1
            if series:
                await self._post(series, self._box.presence(_now_ms()))
            self._tally.counts["sessions"] += 1
            self.is_ready.set()
            await began.wait()
            await self._serve(series, ended)
        except WireError as error:
            self._tally.failed(str(error))
        finally:
            self.is_ready.set()
            await self._mqtt.close()
            if series:
                series.close()

    async def _connect(self, tls: ssl.SSLContext | None) -> None:
        """Again and again for a while, as a gateway does: a cluster that has just started refuses the first."""
        ends_s = time.perf_counter() + _CONNECT_S
        will = (f"{self._topic}/state", self._box.state(is_online=False))
        for attempt in itertools.count():
            address = self._target.mqtt[(self._number + attempt) % len(self._target.mqtt)]
            try:
                await self._mqtt.open(*address, f"shouwang-{self._box.id}", tls, will)
            except WireError:
                if time.perf_counter() > ends_s:
                    raise
                self._tally.counts["connect_retries"] += 1
                await asyncio.sleep(0.2 + self._number % 10 / 10)
            else:
                return

    async def _serve(self, series: HttpLine | None, ended: asyncio.Event) -> None:
        tick_s = 1 / self._box.how.posts_per_s
        await asyncio.sleep(tick_s * (self._number % 97) / 97)  # a fleet is not in step
        last_s = beat_s = time.perf_counter()
        posting: asyncio.Task[None] | None = None
        while not ended.is_set():
            await asyncio.sleep(tick_s)
            now_s = time.perf_counter()
            self._gather(now_s - last_s)
            last_s = now_s
            if now_s - beat_s >= HEARTBEAT_S:
                beat_s = now_s
                self._mqtt.ping()
                self._lines.append(self._box.heartbeat(_now_ms()))
                self._tally.counts["lines"] += 1
            self._send()
            if series and self._lines and (posting is None or posting.done()):
                posting = self._next_post(series)
        await self._finish(series, posting)

    def _gather(self, passed_s: float) -> None:
        now_ms = _now_ms()
        rows = self._box.readings(passed_s, now_ms)
        events = self._box.alarms(passed_s, now_ms, datetime.fromtimestamp(now_ms / 1000, UTC).isoformat())
        self._tally.counts["events"] += len(events)
        if self._target.mqtt:
            messages = [] if self._target.is_split else self._box.messages(rows, passed_s)
            self._tally.counts["messages"] += len(messages) + len(events)
            self._messages += messages
            self._mqtt.publish(f"{self._topic}/alarm", [message for message, _ in events])  # before telemetry
        if self._target.series:
            lines = [line for _, line in events] + self._box.lines(rows)
            self._tally.counts["lines"] += len(lines)
            self._lines += lines
        for kept, name in ((self._messages, "messages_left"), (self._lines, "lines_left")):
            if len(kept) > _KEPT_ROWS:
                self._tally.counts[name] += len(kept) - _KEPT_ROWS
                del kept[: len(kept) - _KEPT_ROWS]

    def _send(self) -> None:
        if not self._target.mqtt:
            return
        if self._mqtt.error is not None:
            raise WireError(f"MQTT session ended: {self._mqtt.error!r}")
        room = self._box.how.window - len(self._mqtt.unanswered)
        if room > 0 and self._messages:
            self._mqtt.publish(f"{self._topic}/telemetry", self._messages[:room])
            del self._messages[:room]

    def _next_post(self, series: HttpLine) -> asyncio.Task[None]:
        lines, self._lines = self._lines, []
        return asyncio.create_task(self._post(series, lines))

    async def _post(self, series: HttpLine, lines: list[bytes]) -> None:
        began_s = time.perf_counter()
        try:
            status = await series.write(lines)
        except WireError as error:
            self._tally.failed(str(error))
            return
        self._tally.posts[bucket(time.perf_counter() - began_s)] += 1
        self._tally.counts["posts"] += 1
        if status // 100 == 2:
            self._tally.counts["written"] += len(lines)
        else:
            self._tally.failed(f"HTTP status {status}")

    async def _finish(self, series: HttpLine | None, posting: asyncio.Task[None] | None) -> None:
        ends_s = time.perf_counter() + _DRAIN_S
        if posting is not None:
            await posting
        if series and self._lines:
            await self._next_post(series)
        while (self._messages or self._mqtt.unanswered) and time.perf_counter() < ends_s:
            self._send()
            await asyncio.sleep(0.02)
        self._tally.counts["messages_left"] += len(self._messages) + len(self._mqtt.unanswered)


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


def gateway_ids(number: int) -> list[str]:
    """``fleet-0001`` and so on."""
    return [f"fleet-{each + 1:04}" for each in range(number)]


async def play(number: int, how: Behaviour, target: Target, seconds: float, seed: int) -> Tally:
    """Play ``number`` gateways for ``seconds``, counted from when all have had their chance to connect."""
    tally = Tally()
    tally.counts["gateways"] = number
    began, ended = asyncio.Event(), asyncio.Event()
    gateways = [Gateway(Box(each, how, seed), target, tally, index) for index, each in enumerate(gateway_ids(number))]
    tasks = [asyncio.create_task(each.run(began, ended)) for each in gateways]
    await asyncio.gather(*(each.is_ready.wait() for each in gateways))
    presence = tally.counts["written"]
    began.set()
    start_s, start_cpu_s = time.perf_counter(), time.process_time()
    await asyncio.sleep(seconds)
    ended.set()
    tally.cpu_s = time.process_time() - start_cpu_s
    end_s = time.perf_counter()
    await asyncio.gather(*tasks)
    tally.seconds, tally.behind_s = time.perf_counter() - start_s, time.perf_counter() - end_s
    tally.counts["written"] -= presence
    tally.counts["presence"] = presence
    return tally
