"""An event loop in a thread of its own, for what stands between the processes of a test: relays and proxies."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Coroutine, Iterator
from typing import Any, Self

_HANG_S = 60.0


class LoopThread(threading.Thread):
    """Runs until the end of `working`; whatever is still under way then is cancelled."""

    def __init__(self, name: str) -> None:
        super().__init__(name=name, daemon=True)
        self._loop = asyncio.new_event_loop()

    def run(self) -> None:
        """The thread."""
        self._loop.run_forever()
        self._loop.set_exception_handler(lambda *_: None)  # asyncio's streams call their own cancellation an error
        self._loop.run_until_complete(_cancel_all())
        self._loop.close()

    async def begin(self) -> None:
        """What is to be done in the loop first."""

    @contextlib.contextmanager
    def working(self) -> Iterator[Self]:
        """Run for the time of a block."""
        self.start()
        self.do(self.begin())
        try:
            yield self
        finally:
            self._loop.call_soon_threadsafe(self._loop.stop)
            self.join(10)

    def do(self, work: Coroutine[Any, Any, Any]) -> None:
        """Do it in the loop, and wait for it."""
        asyncio.run_coroutine_threadsafe(work, self._loop).result(_HANG_S)


async def _cancel_all() -> None:
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    for each in tasks:
        each.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def pass_on(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    """From one connection to another until either ends."""
    with contextlib.suppress(OSError):
        while data := await source.read(65_536):
            sink.write(data)
            await sink.drain()
    sink.close()
