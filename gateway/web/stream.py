"""Web: one server-sent event stream to one console. Sends ready frames; what is in them is `gateway.web.live`."""

from __future__ import annotations

import asyncio
import contextlib

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from gateway.web.live import LiveView, Subscriber

RETRY = b"retry: 1000\n\n"  # a browser that lost us comes back after a second


class EventStream(Response):
    """Ends when the client goes, or at once when the subscriber is dropped, even while a send is stuck."""

    media_type = "text/event-stream"

    def __init__(self, live: LiveView, subscriber: Subscriber) -> None:
        super().__init__(headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"})
        del self.headers["content-length"]
        self._live = live
        self._subscriber = subscriber

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve until one side ends."""
        del scope
        tasks = [
            asyncio.create_task(self._pump(send), name="sse-pump"),
            asyncio.create_task(self._gone(receive), name="sse-gone"),
            asyncio.create_task(self._subscriber.closed.wait(), name="sse-closed"),
        ]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._live.unsubscribe(self._subscriber)
            for each in tasks:
                each.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        if self._subscriber.closed.is_set():
            with contextlib.suppress(TimeoutError):  # a client that does not read cannot be told
                async with asyncio.timeout(1):
                    await send({"type": "http.response.body", "body": b""})

    async def _pump(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        await send({"type": "http.response.body", "body": RETRY, "more_body": True})
        while True:
            data = await self._subscriber.frames.get()
            await send({"type": "http.response.body", "body": data, "more_body": True})
            self._live.has_sent(self._subscriber)

    async def _gone(self, receive: Receive) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
