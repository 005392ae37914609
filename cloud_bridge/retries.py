"""Dead letters that somebody wants sent again: one at a time, beside everything else, with their old ids."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import apsw
import structlog

from cloud_bridge.ledger import Ledger
from cloud_bridge.sent import begin, failure_of
from cloud_bridge.uplink import Uplink
from gateway.model import Delivery, OutboxEntry
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
        self.is_doubtful = True
        future = begin(self._platform, (entry,))
        await asyncio.wait([future], timeout=self._platform.limits.answer_s)
        reason = self._refusal(entry, future)
        _log.info("dead letter tried again", uplink=self._uplink, letter=letter_id, refused=reason)
        await self._ledger.close_letter(letter_id, reason)
        if not reason:
            self.is_doubtful = False
            self._gone()

    def _refusal(self, entry: OutboxEntry, future: asyncio.Future[Delivery]) -> str:
        """Why it was not taken, "" where it was."""
        if not future.done():
            future.add_done_callback(failure_of)  # too late: nobody waits for it any more
            return "not answered"
        error = failure_of(future)
        if error is not None:
            self.is_doubtful = not error.is_explicit
            return str(error) or "not answered"
        delivery = future.result()
        return "" if entry.seq in delivery.accepted else delivery.rejected.get(entry.seq, "not answered")
