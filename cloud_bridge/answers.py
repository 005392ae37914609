"""What the platform's answers mean for the rows: taken, put aside, or to be blamed for a session that ended.

The rule of blame is `suspicion` (ADR 0027); which rows go next is `sending`.
"""

from __future__ import annotations

import asyncio

import apsw

from cloud_bridge.ledger import Ledger
from cloud_bridge.pace import Backoff
from cloud_bridge.retries import Retries
from cloud_bridge.sent import Sent, failure_of
from cloud_bridge.status import Status
from cloud_bridge.suspicion import Row
from cloud_bridge.traffic import Traffic
from cloud_bridge.uplink import UplinkError
from gateway.model import Lane, OutboxEntry
from gateway.store.outbox import OutboxReader


class Answers:
    """Takes in what the platform says of rows, and what its silence says."""

    def __init__(
        self,
        name: str,
        traffic: Traffic,
        *,
        reader: OutboxReader,
        ledger: Ledger,
        status: Status,
        retries: Retries,
        backoff: Backoff,
    ) -> None:
        self._name = name
        self._traffic = traffic
        self._suspicion = traffic.suspicion
        self._reader = reader
        self._ledger = ledger
        self._status = status
        self._retries = retries
        self._backoff = backoff
        self._time = asyncio.get_running_loop().time
        self.renew()

    def renew(self) -> None:
        """The session has ended."""
        self._taken: set[Lane] = set()  # since a row of it was refused by name
        self._named: Row | None = None  # the row that the platform has refused by name

    async def collect(self) -> None:
        """Take in every answer there is.

        Raises:
            UplinkError: the first failure among them; the session is over.
        """
        failure: UplinkError | None = None
        while self._traffic.finished:
            sent = self._traffic.finished.popleft()
            error = failure_of(sent.future)
            if error is None:
                error = await self._take_in(sent)
            elif error.is_explicit and error.is_refusal:
                error = await self._take_refusal(sent, error)
            failure = failure or error
        if failure is not None:
            raise failure

    async def _take_in(self, sent: Sent) -> UplinkError | None:
        delivery = sent.future.result()
        for entry in sent.entries:
            reason = delivery.rejected.get(entry.seq)
            if reason is not None:
                await self._put_aside(entry, reason)
        for seq in delivery.accepted:
            self._finish(Row(sent.lane, seq), is_taken=not sent.is_own)
        for seq in delivery.rejected:
            self._finish(Row(sent.lane, seq), is_taken=False)
        self._traffic.answered(sent)
        self._status.settled[sent.lane] += len(delivery.accepted)
        self._status.touch()
        if delivery.accepted and not sent.is_own:
            self._backoff.reset()
        return UplinkError("the platform took only a part") if delivery.kept else None

    async def _take_refusal(self, sent: Sent, error: UplinkError) -> UplinkError | None:
        """The platform has named the row: where it has taken another since the last, there is nothing to find out."""
        entry, *others = sent.entries
        if others:
            return error
        if sent.lane not in self._taken:
            self._named = self._named or Row(sent.lane, entry.seq)
            return error
        self._taken.discard(sent.lane)
        await self._put_aside(entry, str(error))
        self._finish(Row(sent.lane, entry.seq), is_taken=False)
        self._traffic.answered(sent)
        self._status.touch()
        return None

    def _finish(self, row: Row, *, is_taken: bool) -> None:
        if is_taken:
            self._taken.add(row.lane)
        self._traffic.finish(row, is_taken=is_taken)

    async def learn_from(self, error: UplinkError) -> None:
        """The session has ended so: find the row that the platform refuses, and put it aside once that is proved."""
        culprit = self._culprit(error)
        if culprit is None:
            return
        for entry in self._reader.take(culprit.lane, culprit.seq - 1, 1):
            if entry.seq == culprit.seq:
                try:
                    await self._put_aside(entry, f"refused again and again: {error}")
                except UplinkError:
                    return  # it is tried again
        self._finish(culprit, is_taken=False)

    def _culprit(self, error: UplinkError) -> Row | None:
        now_s = self._time()
        if error.is_refusal:
            if self._retries.is_doubtful:  # perhaps because of a dead letter that was tried again
                return None
            is_named = self._named is not None
            suspects = self._traffic.going if self._named is None else [self._named]
            culprit = self._suspicion.refused(suspects, now_s, is_explicit=is_named)
            if self._traffic.tried is not None or self._suspicion.alarms_due_s > now_s:
                self._backoff.reset()  # alarms have pauses of their own, the others go on at once
            return culprit
        if error.is_explicit:  # it forbids everything for now, or has no room: no row is to blame
            return None
        row = self._traffic.passed_over()
        return row and self._suspicion.ignored(row, now_s)

    async def _put_aside(self, entry: OutboxEntry, reason: str) -> None:
        """The row is on disk as a dead letter before the cursor may pass it.

        Raises:
            UplinkError: it can't be written; the row stays where it is, and nothing else waits for the disk.
        """
        try:
            await self._ledger.reject(self._name, entry, reason)
        except apsw.Error as error:
            raise UplinkError(f"a refused row can't be put aside: {error}") from error
        self._status.put_aside(f"{entry.lane.value} {entry.seq}: {reason}")
