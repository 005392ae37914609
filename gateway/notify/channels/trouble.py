"""Room: notify. Which channels are in trouble, since when, and what ends it. How they are tried is the hub's.

A channel that failed is in trouble until something proves that it works: a message that began after the failure and
went out; for one that nobody answered also a check; for one without address or secret also a check that finds them.
A message that began earlier proves nothing, so that many at once make one report of trouble and not ten.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping
from enum import Enum

import structlog

from gateway.clock import Clock
from gateway.model import DeviceStatus, Recipient
from gateway.notify.channels.base import NeverError, NotNowError

_log = structlog.get_logger(__name__)

Key = tuple[str, str]
"""Recipient and channel."""


class Kind(Enum):
    """What is wrong."""

    LINK = "link"  # nobody was reached
    SETUP = "setup"  # no address, or its secret cannot be read
    REFUSED = "refused"


class Troubles:
    """The channels of one site. Transitions are logged and reported, and the first that is known."""

    def __init__(
        self, recipients: Mapping[str, Recipient], clock: Clock, report: Callable[[DeviceStatus], None]
    ) -> None:
        self._recipients = recipients
        self._clock = clock
        self._report = report
        self._kinds: dict[Key, Kind | None] = {}  # as many as the configuration names
        self._failed_s: dict[Key, float] = {}

    @property
    def has_any(self) -> bool:
        """Is anything wrong now?"""
        return any(self._kinds.values())

    def fail(self, key: Key, error: NotNowError | NeverError) -> None:
        """A message, or what it stands for, could not go out."""
        self._failed_s[key] = asyncio.get_running_loop().time()
        self._turn(key, _kind_of(error), str(error))

    def work(self, key: Key, begun_s: float) -> None:
        """A message that began at ``begun_s`` went out."""
        if begun_s >= self._failed_s.get(key, begun_s):
            self._turn(key, None)

    def fail_check(self, key: Key, error: NotNowError | NeverError) -> None:
        """A check says that nothing could go out now."""
        if not self._kinds.get(key):
            self._failed_s[key] = asyncio.get_running_loop().time()
            self._turn(key, Kind.SETUP if _kind_of(error) is Kind.SETUP else Kind.LINK, str(error))

    def pass_check(self, key: Key, *, is_known: bool) -> None:
        """A check found nothing wrong. ``is_known`` False: it cannot see whether anybody is there."""
        kind = self._kinds.get(key)
        ended: Collection[Kind | None] = (None, Kind.LINK, Kind.SETUP) if is_known else (Kind.SETUP,)
        if kind in ended:
            self._turn(key, None)

    def _turn(self, key: Key, kind: Kind | None, problem: str = "") -> None:
        name, channel = key
        recipient = self._recipients.get(name)
        if recipient is None or channel not in recipient.addresses:
            return
        is_first, before = key not in self._kinds, self._kinds.get(key)
        self._kinds[key] = kind
        if not is_first and bool(before) == bool(kind):
            return
        if kind:
            _log.warning("channel_failed", recipient=name, channel=channel, problem=problem)
        elif before:
            _log.info("channel_recovered", recipient=name, channel=channel)
        self._report(DeviceStatus(f"channel/{name}.{channel}", not kind, self._clock.now().utc, problem))


def _kind_of(error: NotNowError | NeverError) -> Kind:
    if isinstance(error, NotNowError):
        return Kind.LINK if error.is_link else Kind.REFUSED
    return Kind.SETUP if error.is_setup else Kind.REFUSED
