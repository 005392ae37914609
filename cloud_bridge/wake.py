"""How the bridge hears of new rows at once: the gateway writes a byte to a pipe after each commit.

The pipe is the gateway's child's standard input; its end means that the gateway has gone. Nothing is read from the
bytes: rows come from the outbox, and a slow poll finds them even if no byte ever comes.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import stat
from collections.abc import Iterator


class Wake(asyncio.Protocol):
    """Rings every pump's bell at a commit; `wait_gone` ends with the gateway."""

    def __init__(self) -> None:
        self._bells: list[asyncio.Event] = []
        self._gone = asyncio.Event()
        self._transport: asyncio.BaseTransport | None = None

    async def listen(self, descriptor: int) -> None:
        """Listen to ``descriptor`` where it is a pipe or socket; a terminal or file only leaves the poll."""
        mode = os.fstat(descriptor).st_mode
        if stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode):
            pipe = os.fdopen(descriptor, "rb", buffering=0, closefd=False)
            self._transport, _ = await asyncio.get_running_loop().connect_read_pipe(lambda: self, pipe)

    @contextlib.contextmanager
    def bell(self) -> Iterator[asyncio.Event]:
        """An event that is set at each commit."""
        event = asyncio.Event()
        self._bells.append(event)
        try:
            yield event
        finally:
            self._bells.remove(event)

    async def wait_gone(self) -> None:
        """Wait until the gateway has closed its end; for ever where there is no pipe."""
        await self._gone.wait()

    def close(self) -> None:
        """Stop listening."""
        if self._transport is not None:
            self._transport.close()

    def data_received(self, data: bytes) -> None:  # noqa: ARG002 - asyncio.Protocol; the bytes mean nothing
        """A commit."""
        for bell in self._bells:
            bell.set()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio.Protocol
        """The gateway has gone."""
        self._gone.set()
