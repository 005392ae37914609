"""Dead letters that somebody wants sent again: one at a time, beside everything else, with their old ids."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import apsw
import structlog

from cloud_bridge.ledger import Ledger
from cloud_bridge.uplink import Uplink, UplinkError
from gateway.model import OutboxEntry
from gateway.store.database import StoreError

_log = structlog.get_logger(__name__)
_LOOK_S = 2.0


class Retries:
    """Works while a session is open. A letter that is refused again stays one, with its new reason."""

    def __init__(self, uplink: str, platform: Uplink, ledger: Ledger, gone: Callable[[], None]) -> None:
        """``gone`` is called when one letter less is kept."""
        self._uplink = uplink
        self._platform = platform
        self._ledger = ledger
        self._gone = gone
        self.is_open = False  # is there a session?
        self.is_doubtful = False  # was a letter tried in it that was not taken?

    def renew(self) -> None:
        """The session has ended."""
        self.is_doubtful = False

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await asyncio.sleep(_LOOK_S)
            try:
                for letter_id, entry in await self._ledger.wanted(self._uplink):
                    if not self.is_open:
                        break
                    await self._try(letter_id, entry)
            except (apsw.Error, StoreError) as error:
                _log.warning("dead letters cannot be read", uplink=self._uplink, reason=str(error))

    async def _try(self, letter_id: int, entry: OutboxEntry) -> None:
        reason = ""
        self.is_doubtful = True
        try:
            async with asyncio.timeout(self._platform.limits.answer_s):
                delivery = await self._platform.deliver((entry,))
            if entry.seq not in delivery.accepted:
                reason = delivery.rejected.get(entry.seq, "not answered")
        except (UplinkError, TimeoutError) as error:
            self.is_doubtful = not (isinstance(error, UplinkError) and error.is_explicit)
            reason = str(error) or "not answered"
        _log.info("dead letter tried again", uplink=self._uplink, letter=letter_id, refused=reason)
        await self._ledger.close_letter(letter_id, reason)
        if not reason:
            self.is_doubtful = False
            self._gone()
