"""What the web asks of the running gateway, and how it is answered: `gateway.web.ports.GatewayPort`."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from datetime import datetime
from functools import partial
from typing import Any, TypeVar

import orjson

from gateway.app.uplinks import is_silent, letter_told, uplinks_told
from gateway.clock import Clock
from gateway.counters import Counters
from gateway.model import Alarm, AlarmEvent, MarkChange, Offer, OperatorRequest, Point, Reply, Site
from gateway.pipeline import Pipeline
from gateway.rules.table import MARKING
from gateway.rules.verbs import shelving
from gateway.store.dead_letters import dead_letters, want
from gateway.store.operations import OperationReader
from gateway.store.outbox import bridge_status
from gateway.store.passes import PassReader
from gateway.store.past import JournalReader
from gateway.web.ports import Health, MarkLimit, UplinkHealth

T = TypeVar("T")


class Port:
    """Reads of the past go to a thread with its own read-only connection; everything else is in memory."""

    def __init__(
        self, site: Site, pipeline: Pipeline, counters: Counters, clock: Clock, screens: Executor,
        *, offers: Callable[[Alarm], Sequence[tuple[Offer, Point]]], notes: tuple[str, ...] = (),
    ) -> None:  # fmt: skip
        """``offers``: what can be operated from an alarm, in memory; ``notes``: what people should know of the data."""
        self._notes = notes
        self._offers = offers
        self._site = site
        self._pipeline = pipeline
        self._counters = counters
        self._clock = clock
        self._reader = JournalReader(site.data_dir)
        self._passes = PassReader(site.data_dir)
        self._operations = OperationReader(site.data_dir)
        self._screens = screens
        # Of its own: a search reads 200 days of passes, from an SD card for seconds, and no 接警 may wait for it.
        self._searches = ThreadPoolExecutor(1, thread_name_prefix="passes")
        self._uplinks = {each.id: UplinkHealth(None, 0) for each in site.uplinks}

    async def submit(self, request: OperatorRequest) -> Reply:
        """Answers after the commit; a request that was answered before gets the same answer again."""
        known = await self._ask(lambda: self._reader.reply(request.id))
        return known if known is not None else await self._pipeline.submit(request)

    def health(self) -> Health:
        """From memory."""
        gauges = self._counters.gauges
        buses = {each: gauges.get(("bus_up", (("bus", each),))) for each in self._site.buses}
        return Health(
            () if self._pipeline.is_storing else ("store",),
            {each: None if up is None else up > 0 for each, up in buses.items()},
            dict(self._uplinks),
            None if (time_ok := gauges.get(("time_synchronised", ()))) is None else time_ok > 0,
            self._notes,
        )

    def site(self) -> Site:
        """The site as configured now."""
        return self._site

    async def events(self, alarm_id: str) -> Sequence[AlarmEvent]:
        """The alarm's journal, oldest first."""
        return await self._ask(lambda: self._reader.events(alarm_id))

    async def commands(self, alarm_id: str) -> Sequence[Mapping[str, Any]]:
        """What the alarm commanded and what became of it."""
        return await self._ask(lambda: self._reader.commands(alarm_id))

    async def alarm(self, alarm_id: str) -> Alarm | None:
        """The alarm, open or ended."""
        return await self._ask(lambda: self._reader.alarm(alarm_id))

    async def marks(self) -> Sequence[MarkChange]:
        """The marks that are set."""
        return await self._ask(self._reader.marks)

    def marking(self) -> Mapping[str, MarkLimit]:
        """By mark: who may set it, where, for how long."""
        return {str(mark): MarkLimit(*limit) for mark, limit in MARKING.items()}

    def shelving(self, alarm: Alarm) -> Mapping[str, float]:
        """By role: for how long it may shelve this alarm."""
        return shelving(alarm, next((each for each in self._site.rules if each.id == alarm.rule_id), None))

    async def notices(self, alarm_id: str) -> Sequence[Mapping[str, Any]]:
        """Who was told of the alarm, and how far each notice has got."""
        return await self._ask(lambda: self._reader.notices(alarm_id))

    async def calls(self, start: datetime, end: datetime) -> Mapping[str, Any]:
        """How the calls for help of this time were answered."""
        now = self._clock.now().utc
        return await self._ask(lambda: self._reader.calls(start, end, now))

    async def records(self, limit: int, before: tuple[datetime, str] | None) -> Sequence[Alarm]:
        """Ended alarms, newest first."""
        return await self._ask(lambda: self._reader.ended(limit, before))

    async def uplinks(self) -> Sequence[Mapping[str, Any]]:
        """Each cloud uplink as the bridge last told it."""
        now = self._clock.now().utc
        return await self._ask(lambda: uplinks_told(self._site, now))

    async def dead_letters(self, uplink: str, limit: int, before: int) -> Sequence[Mapping[str, Any]]:
        """Rows its platform has refused, newest first."""
        found = await self._ask(lambda: dead_letters(self._site.data_dir, uplink, limit, before))
        return [letter_told(each) for each in found]

    async def retry(self, letter_id: int) -> bool:
        """Have the bridge send this row again."""
        with contextlib.suppress(OSError):
            return await self._ask(lambda: want(self._site.data_dir, letter_id))
        return False

    def offers(self, alarm: Alarm) -> Sequence[tuple[Offer, Point]]:
        """What can be operated from this alarm."""
        return self._offers(alarm)

    async def operation(self, command_id: str) -> Mapping[str, Any] | None:
        """One operation by hand."""
        found = await self._ask(lambda: self._operations.one(command_id))
        return None if found is None else _with_name(found)

    async def operations(self, limit: int, before: tuple[int, str] | None) -> Sequence[Mapping[str, Any]]:
        """Operations by hand, newest first."""
        return [_with_name(each) for each in await self._ask(lambda: self._operations.page(limit, before))]

    async def passes(
        self,
        limit: int,
        before: int | None,
        device_id: str | None,
        credential: str | None = None,
        *,
        result: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
    ) -> Sequence[Mapping[str, Any]]:
        """Who went through which door, newest first."""
        read = partial(self._passes.page, result=result, since=since, until=until)
        ask = asyncio.get_running_loop().run_in_executor
        found = await ask(self._searches, lambda: read(limit, before, device_id, credential))
        return [each._asdict() for each in found]

    async def watch_uplinks(self, interval_s: float, seen: Callable[[Mapping[str, UplinkHealth]], None]) -> None:
        """Keep what the bridge says of itself at hand for `health`; ``seen`` gets it each time."""
        while True:
            if self._uplinks:
                said = await self._ask(lambda: bridge_status(self._site.data_dir))
                self._uplinks = {each: self._uplink(said.get(each)) for each in self._uplinks}
                seen(self._uplinks)
            await asyncio.sleep(interval_s)

    def close(self) -> None:
        """Close the connections, each when its thread has ended."""
        self._searches.shutdown(cancel_futures=True)
        self._reader.close()
        self._passes.close()
        self._operations.close()

    def _uplink(self, said: dict[str, Any] | None) -> UplinkHealth:
        if said is None:
            return UplinkHealth(None, 0)
        backlog = sum(int(each["entries"]) for each in said["backlog"].values())
        since = datetime.fromisoformat(said["since"])
        is_up = said["state"] == "up" and not is_silent(said, self._clock.now().utc)
        until = min(map(datetime.fromisoformat, said.get("certificates", {}).values()), default=None)
        return UplinkHealth(is_up, backlog, since, until)

    async def _ask(self, question: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._screens, question)


def _with_name(operation: Mapping[str, Any]) -> Mapping[str, Any]:
    """With the name of who did it instead of the stored actor."""
    return {**operation, "by": orjson.loads(operation["actor"])[0]}
