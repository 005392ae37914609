"""Web: what every request passes first: a limit on the body, and headers that tell a browser to trust nothing else.

Plain ASGI: a wrapper that reads responses would stand in the way of the event stream.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from starlette.types import ASGIApp, Message, Receive, Scope, Send

MAX_BODY = 16_384
MAX_BODIES = {"/api/v1/alarms/bulk": 98_304}  # 200 alarms with keys of any usual length
BODY_S = 10.0  # a body that takes longer is not from an operator

_HEADERS = [
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"permissions-policy", b"camera=(), microphone=(), geolocation=()"),
]


_POLICY = "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"


class Shield:
    """ASGI middleware."""

    def __init__(self, app: ASGIApp, *, is_https: bool = False, pictures: Sequence[str] = ()) -> None:
        """``pictures``: origins from where the page may show pictures."""
        self._app = app
        policy = f"{_POLICY}; img-src 'self' {' '.join(pictures)}" if pictures else _POLICY
        self._headers = [(b"content-security-policy", policy.encode()), *_HEADERS]
        if is_https:
            self._headers.append((b"strict-transport-security", b"max-age=31536000"))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on, with a bounded body in and the headers out."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message["headers"], *self._headers]}
            await send(message)

        if scope["method"] in ("GET", "HEAD", "OPTIONS"):
            await self._app(scope, receive, guarded)
            return
        body = await _read(receive, MAX_BODIES.get(scope["path"], MAX_BODY))
        if body is None:
            await _too_large(guarded)
            return
        await self._app(scope, _replay(body, receive), guarded)


async def _read(receive: Receive, longest: int) -> bytes | None:
    """The whole body; None when it is too large or too slow."""
    body = b""
    try:
        async with asyncio.timeout(BODY_S):
            while len(body) <= longest:
                message = await receive()
                body += message.get("body", b"")
                if not message.get("more_body", False):
                    return body if len(body) <= longest else None
    except TimeoutError:
        pass
    return None


def _replay(body: bytes, receive: Receive) -> Receive:
    first = [{"type": "http.request", "body": body, "more_body": False}]

    async def replayed() -> Message:
        return first.pop() if first else await receive()

    return replayed


async def _too_large(send: Send) -> None:
    body = (
        b'{"type":"urn:shouwang:problem:too_large","title":"Content Too Large","status":413,"code":"too_large",'
        b'"detail":"\xe8\xaf\xb7\xe6\xb1\x82\xe5\x86\x85\xe5\xae\xb9\xe5\xa4\xaa\xe5\xa4\xa7\xe3\x80\x82"}'
    )
    headers = [(b"content-type", b"application/problem+json"), (b"connection", b"close")]
    await send({"type": "http.response.start", "status": 413, "headers": headers})
    await send({"type": "http.response.body", "body": body})
