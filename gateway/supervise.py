"""Supervision: one named task per driver or channel, started again with a jittered pause, transitions logged.

What a task does belongs to its room; which tasks there are belongs to `gateway.app`.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable

import structlog

from gateway.counters import Counters

_FIRST_PAUSE_S = 0.2
_LONGEST_PAUSE_S = 15.0
_STEADY_S = 30.0  # a run at least this long starts the pauses from the beginning

_log = structlog.get_logger(__name__)


async def keep_running(
    name: str,
    run: Callable[[], Awaitable[None]],
    counters: Counters,
    *,
    expected: type[Exception],
    longest_pause_s: float = _LONGEST_PAUSE_S,
) -> None:
    """Run ``run`` for ever: again after ``expected``, with growing pauses; any other exception is raised.

    The pause is drawn between half and the whole of its bound, so that many gateways do not come back at once.
    """
    loop = asyncio.get_running_loop()
    pause_s = _FIRST_PAUSE_S
    is_failing = False
    while True:
        started_s = loop.time()
        try:
            await run()
        except expected as error:
            if loop.time() - started_s > _STEADY_S:
                pause_s, is_failing = _FIRST_PAUSE_S, False
            if not is_failing:
                _log.warning("task_failed", task=name, error=str(error), note="trying again; later ones are counted")
            is_failing = True
        counters.count("task_restarts", task=name)
        await asyncio.sleep(pause_s * random.uniform(0.5, 1.0))  # noqa: S311 - jitter
        pause_s = min(pause_s * 2, longest_pause_s)
