"""`shouwang run`: one gateway after another in a process, on the same data, until it is told to stop.

What a gateway is made of is `gateway.app.run`'s; where its data are, `gateway.app.home`'s.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import apsw
import structlog

from gateway.app.home import REFUGE_BYTES, Home, settled
from gateway.app.run import Gateway
from gateway.app.signals import until_told
from gateway.app.watchdog import ending
from gateway.clock import Clock
from gateway.model import Site
from gateway.store.database import StoreError, is_damage
from gateway.store.journal import Batch

_MOST_MENDS = 3  # of the database in one life of the process

_log = structlog.get_logger(__name__)


def run_gateway(site: Site, config: Path, clock: Clock, *, has_bridge: bool = True) -> None:
    """Run until SIGINT or SIGTERM; a database found damaged meanwhile is mended, and the gateway goes on.

    Raises:
        CannotStart: the data directory is in use, the port is taken, the database cannot be opened.
    """
    import uvloop  # noqa: PLC0415 - only this command needs it

    with ending():
        life, damaged = _Life(site, config, clock, has_bridge=has_bridge), ""
        for is_last in (*[False] * _MOST_MENDS, True):
            with settled(site, damaged) as home:
                try:
                    uvloop.run(life.run(home))
                except (apsw.Error, BaseExceptionGroup, StoreError) as error:
                    if is_last or not is_damage(error):
                        raise
                    damaged = home.directory
                else:
                    return


class _Life:
    """One gateway after another in this process, on the same data: a damaged database is mended between them."""

    def __init__(self, site: Site, config: Path, clock: Clock, *, has_bridge: bool) -> None:
        self._site, self._config, self._clock, self._has_bridge = site, config, clock, has_bridge
        self._is_mended = False
        self._left: Batch | None = None  # what the one before could not store
        self._lost_rows = 0  # of the outbox, in mending: counted once

    async def run(self, home: Home) -> None:
        """Until told to stop."""
        left, self._left = self._left, None
        self._is_mended |= home.is_mended
        self._lost_rows += home.left_rows
        notes = (*(("memory",) if home.why else ()), *(("mended",) if self._is_mended else ()))
        try:
            gateway = Gateway(
                _at(self._site, home), self._config, self._clock, left=left, notes=notes, has_bridge=self._has_bridge
            )
        except BaseException:
            self._left = left if left is not None and left.steps else None
            raise
        gateway.counters.count("outbox_lost_rows", self._lost_rows)  # stays 0 where nothing was lost
        try:
            await until_told(gateway.run())
        finally:
            self._left = gateway.pipeline.left()
        _log.info("gateway_stopped")


def _at(site: Site, home: Home) -> Site:
    """The site with its data where they can be kept."""
    if not home.why:
        return site
    return replace(site, data_dir=home.directory, retention_bytes=min(site.retention_bytes, REFUGE_BYTES))
