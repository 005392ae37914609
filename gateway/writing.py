"""What the pipeline needs of a store, which writes in a thread of its own. What is written is `gateway.store`'s."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor
from typing import Protocol

import structlog

from gateway.clock import Clock
from gateway.counters import Counters
from gateway.model import Now
from gateway.store.journal import Batch
from gateway.store.trimming import Trimmed

_SOON_S = 0.02  # between two pieces of housekeeping while there is more of it

_log = structlog.get_logger(__name__)


class Writer(Protocol):
    """The store: blocking, called from one thread."""

    def commit(self, batch: Batch) -> None:
        """Write it all or raise."""
        ...

    def is_passing(self, error: BaseException) -> bool:
        """May the same batch be written later? False for what no disk will ever take."""
        ...

    def trim(self, now: Now) -> Trimmed:
        """A bounded piece of housekeeping."""
        ...


async def trim_forever(
    writer: Writer, executor: Executor, clock: Clock, counters: Counters,
    *, interval_s: float, failed: Callable[[Exception], object],
) -> None:  # fmt: skip
    """Housekeeping in the writer's thread, a bounded piece at a time; ``failed`` hears of what went wrong."""
    loop = asyncio.get_running_loop()
    is_more = False
    while True:
        await asyncio.sleep(_SOON_S if is_more else interval_s)
        is_more = False
        try:
            trimmed = await loop.run_in_executor(executor, writer.trim, clock.now())
        except Exception as error:  # noqa: BLE001 - housekeeping must not stop the gateway
            counters.count("trim_failures")
            _log.warning("trim_failed", error=str(error))
            failed(error)
        else:
            if trimmed.dropped:
                counters.count("outbox_dropped_readings", trimmed.dropped)
            if trimmed.saved:
                counters.count("readings_saved", trimmed.saved)
            is_more = trimmed.is_more
