"""Until when the certificates of an uplink are good: ours, from its files, and the platform's, from a handshake.

Whether that is soon, and who is told, is the gateway's business: here it is only found out and left in the status.
"""

from __future__ import annotations

import asyncio
import contextlib
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from cloud_bridge.settings import Tls
from cloud_bridge.status import Status
from gateway.x509 import first_end, until

_EVERY_S = 6 * 3600.0
_AGAIN_S = 300.0  # the platform could not be asked
_HANDSHAKE_S = 15.0


class Endpoint(NamedTuple):
    """Where an uplink opens its TLS sessions, and with which files."""

    host: str
    port: int
    tls: Tls


def endpoint_of(params: Any) -> Endpoint | None:
    """Of an uplink's parameters: ``url``, or ``host`` and ``port``, with ``tls``; None where it goes in plaintext."""
    tls = getattr(params, "tls", None) or Tls()
    if url := getattr(params, "url", ""):
        parts = urlsplit(url)
        return Endpoint(parts.hostname or "", parts.port or 443, tls) if parts.scheme == "https" else None
    if getattr(params, "is_plaintext", True) or not getattr(params, "host", ""):
        return None
    return Endpoint(params.host, params.port or 8883, tls)


def ours(tls: Tls) -> datetime | None:
    """The first end among the client certificate and what stands with it in its file; None where there is none.

    Raises:
        OSError, ValueError: the file can't be read or holds no certificate.
    """
    if not tls.cert:
        return None
    return first_end(Path(tls.cert))


async def theirs(endpoint: Endpoint) -> datetime | None:
    """The end of the platform's own certificate, from a verified handshake.

    Raises:
        OSError, TimeoutError: no session.
    """
    async with asyncio.timeout(_HANDSHAKE_S):
        _, writer = await asyncio.open_connection(endpoint.host, endpoint.port, ssl=endpoint.tls.context())
        try:
            der = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
        finally:
            writer.transport.abort()
    return until(der) if der else None


async def watch(params: Any, status: Status) -> None:
    """Keep the uplink's status up to date until cancelled."""
    endpoint = endpoint_of(params)
    while endpoint is not None:
        found: dict[str, str] = {}
        with contextlib.suppress(OSError, ValueError):  # the session itself says what is wrong with the files
            mine = ours(endpoint.tls)
            found |= {"ours": mine.isoformat()} if mine else {}
        with contextlib.suppress(OSError, TimeoutError, ValueError):
            other = await theirs(endpoint)
            found |= {"theirs": other.isoformat()} if other else {}
        status.certificates = {**status.certificates, **found}
        status.touch()
        await asyncio.sleep(_EVERY_S if "theirs" in found else _AGAIN_S)
