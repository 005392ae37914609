"""A real HTTP receiver on loopback, with or without TLS: what a provider of messages does, and refuses to do."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Receiver:
    """Answers every request with ``status`` (0: never) and ``answer``. The first ``failures`` get 503."""

    status: int = 200
    failures: int = 0
    answer: bytes = b""
    headers: str = ""  # more lines of the answer's head
    pause_s: float = 0.0  # before every answer
    port: int = 0
    heads: list[str] = field(default_factory=list)
    raw: list[bytes] = field(default_factory=list)

    @property
    def bodies(self) -> list[dict[str, Any]]:
        return [json.loads(each) for each in self.raw]

    def header(self, name: str, number: int = -1) -> str:
        lines = [each.partition(":") for each in self.heads[number].split("\r\n")]
        return next(value.strip() for key, _, value in lines if key.lower() == name.lower())

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            self.heads.append(head)
            if head.startswith("POST"):
                length = int(head.lower().split("content-length:")[1].split("\r\n")[0])
                self.raw.append(await reader.readexactly(length))
            await asyncio.sleep(self.pause_s)
            status = 503 if len(self.raw) <= self.failures else self.status
            if status:
                start = f"HTTP/1.1 {status} x\r\n{self.headers}Content-Length: {len(self.answer)}\r\n"
                writer.write(f"{start}Connection: close\r\n\r\n".encode() + self.answer)
                await writer.drain()
            else:
                await reader.read()  # until the client gives up
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass  # the test is over, or the client gave up
        finally:
            writer.close()


@asynccontextmanager
async def receiver(
    status: int = 200, failures: int = 0, answer: bytes = b"", tls: ssl.SSLContext | None = None, **more: Any
) -> AsyncIterator[Receiver]:
    it = Receiver(status, failures, answer, **more)
    server = await asyncio.start_server(it.serve, "127.0.0.1", 0, ssl=tls)
    it.port = server.sockets[0].getsockname()[1]
    async with server:
        yield it
