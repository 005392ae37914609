"""Room: notify. One POST over TLS: verified certificates, no redirects, a bounded answer. Not what is said.

Its errors never repeat a URL: those of robots hold their tokens.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import logging
import socket
import ssl
import sys
import threading
from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from gateway.notify.channels.base import NeverError, NotNowError

if TYPE_CHECKING:
    import httpx

_MOST_ANSWER = 65_536  # bytes; a robot says less than 200
_TIMEOUT_S = 10.0  # of connecting, and of each read; the whole try has its own
_loading = threading.Lock()
_RETRY_STATUS = frozenset({408, 425, 429})  # and 5xx; every other refusal is for a person

logging.getLogger("httpx").setLevel(logging.WARNING)  # at INFO it logs every URL, with its token


async def warm() -> None:
    """Load the library and the list of authorities, in a thread: on a loop that is busy with alarms they take long."""
    if not _is_warm():
        await asyncio.to_thread(_load)


async def post(url: str, body: bytes, headers: Mapping[str, str]) -> bytes:
    """The answer's body, when its status is 2xx.

    Raises:
        NotNowError, NeverError: it was not accepted, and why.
    """
    await warm()
    try:
        async with _client() as client, client.stream("POST", _safe(url), content=body, headers=headers) as answer:
            _judge(answer.status_code)
            found = b""
            async for chunk in answer.aiter_bytes(4_096):
                found += chunk
                if len(found) > _MOST_ANSWER:
                    break
            return found[:_MOST_ANSWER]
    except _errors() as error:
        raise _why(error) from None


async def reach(url: str) -> None:
    """Ask the server of ``url`` for its front page: whatever it answers, the way there and its certificate are good.

    Raises:
        NotNowError, NeverError: it cannot be reached, and why.
    """
    parts = urlsplit(_safe(url))
    await warm()
    try:
        async with (
            _client() as client,
            client.stream("HEAD", f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}/"),
        ):
            pass
    except _errors() as error:
        raise _why(error) from None


def _safe(url: str) -> str:
    """``url`` without its fragment, when nobody on the way can read what goes there."""
    try:
        parts = urlsplit(url)
    except ValueError:
        parts = urlsplit("")
    if not parts.hostname or parts.scheme not in {"http", "https"}:
        raise NeverError("地址不是网址", "the address is no URL: write https://...")
    if parts.scheme == "http" and not _is_local(parts.hostname):
        raise NeverError(
            "地址必须以 https:// 开头:明文会被人看到", "the address must begin with https://: others read plain text"
        )
    return parts._replace(fragment="").geturl()


def _is_local(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _judge(status: int) -> None:
    if 200 <= status < 300:
        return
    if status >= 500 or status in _RETRY_STATUS:
        raise NotNowError(f"对方暂时不收(HTTP {status})", f"the provider did not take it now (HTTP {status})")
    if 300 <= status < 400:
        raise NeverError(
            f"对方要转到别的地址(HTTP {status}):网关不跟随,请直接写最终地址",
            f"the provider redirects (HTTP {status}), which is not followed: write the final address",
        )
    raise NeverError(f"对方拒收(HTTP {status}):检查地址", f"the provider refused it (HTTP {status}): check the address")


def _why(error: Exception) -> NotNowError | NeverError:
    import httpx  # noqa: PLC0415 - see _client

    if isinstance(error, httpx.InvalidURL | httpx.UnsupportedProtocol):
        return NeverError("地址不是网址", "the address is no URL: write https://...")
    if "CERTIFICATE" in str(error).upper():
        return NotNowError(
            "对方的证书不可信:检查网关的时间和地址",
            "its certificate is not trusted: check the gateway's clock and the address",
            is_link=True,
        )
    name = type(error).__name__
    return NotNowError(
        f"连不上({name}):检查网关的网络和地址",
        f"it cannot be reached ({name}): check the network and the address",
        is_link=True,
    )


@cache
def _context() -> ssl.SSLContext:
    return ssl.create_default_context()


def _is_warm() -> bool:
    return "httpx" in sys.modules and bool(_context.cache_info().currsize)


def _load() -> None:
    """Blocking. A name is looked up once as well: the resolver reads its own files at the first one."""
    with _loading:
        if _is_warm():
            return
        import httpx  # noqa: PLC0415 - see _client

        _context()
        with contextlib.suppress(OSError):
            socket.getaddrinfo("localhost", 443)
        httpx.Client(verify=_context()).close()


def _errors() -> tuple[type[Exception], ...]:
    import httpx  # noqa: PLC0415 - see _client

    return httpx.HTTPError, httpx.InvalidURL, OSError


def _client() -> httpx.AsyncClient:
    import httpx  # noqa: PLC0415 - 0.1 s that a site without it need not pay

    return httpx.AsyncClient(verify=_context(), timeout=_TIMEOUT_S, follow_redirects=False)
