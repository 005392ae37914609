"""What systemd is told of the gateway: that it is ready, that it is alive, that it ends (sd_notify(3)).

"Alive" is the event loop's turn: engine, drivers and effects all run on it. A disk that hangs is no reason to be killed
(decision 0008), so nothing here asks the journal. Without $NOTIFY_SOCKET nothing is said.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import Iterator, Mapping

import structlog

_log = structlog.get_logger(__name__)
_US_PER_S = 1_000_000
_SHARE = 3  # three signs of life within the time that systemd waits


class Watchdog:
    """Says READY, WATCHDOG and STOPPING to the service manager that started this process, if one did."""

    def __init__(self, environment: Mapping[str, str] | None = None) -> None:
        given = os.environ if environment is None else environment
        path = given.get("NOTIFY_SOCKET", "")
        self._address = "\0" + path[1:] if path.startswith("@") else path
        self.interval_s = _interval_s(given)

    def say(self, state: str) -> None:
        """One datagram, never waited for."""
        if not self._address:
            return
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as link:
                link.setblocking(False)
                link.sendto(state.encode(), self._address)
        except OSError as error:  # the manager is busy or gone: the next sign of life follows
            _log.warning("service_manager_unreachable", reason=error.strerror)

    async def run(self) -> None:
        """Ready; then a sign of life as long as the loop turns, until cancelled."""
        self.say("READY=1")
        while True:
            if self.interval_s:
                self.say("WATCHDOG=1")
            await asyncio.sleep(self.interval_s or 3600.0)


@contextlib.contextmanager
def ending() -> Iterator[None]:
    """Says STOPPING where the process ends, not where a gateway does: after a mended database another one goes on, and
    systemd kills after a while whoever has said it.
    """  # noqa: D205 - one sentence
    try:
        yield
    finally:
        Watchdog().say("STOPPING=1")


def _interval_s(given: Mapping[str, str]) -> float:
    """A third of $WATCHDOG_USEC, where it is meant for this process; 0: no watchdog."""
    of, limit = given.get("WATCHDOG_PID", ""), given.get("WATCHDOG_USEC", "")
    if not limit.isdigit() or (of and of != str(os.getpid())):
        return 0.0
    return int(limit) / _US_PER_S / _SHARE
