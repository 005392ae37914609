"""Effects: carries commands to drivers and notices to channels, and reports what became of them into the inbox.

Deciding belongs to the core; how a device or channel is reached belongs to drivers and `gateway.notify`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence

import structlog

from gateway.clock import Clock
from gateway.counters import Counters
from gateway.model import Command, CommandOutcome, CommandResult, Input, Notice, NoticeResult

_MOST_UNDER_WAY = 2000  # commands and notices; beyond it they fail at once, visibly

_log = structlog.get_logger(__name__)

Write = Callable[[Command], Awaitable[CommandResult]]
Send = Callable[[Notice], Awaitable[NoticeResult]]


class Effects:
    """What the gateway does in the world. Every command and notice ends in exactly one result."""

    def __init__(
        self,
        writers: Mapping[str, Write],
        send: Send,
        report: Callable[[Input], None],
        clock: Clock,
        counters: Counters,
    ) -> None:
        """``writers`` by point id; ``report`` puts a result into the inbox."""
        self._writers = writers
        self._send = send
        self._report = report
        self._clock = clock
        self._counters = counters
        self._tasks: set[asyncio.Task[None]] = set()

    def act(self, commands: Sequence[Command]) -> None:
        """Carry out commands, each on its own: one that hangs delays no other."""
        for command in commands:
            self._start(self._carry_out(command), command.id)

    def tell(self, notices: Sequence[Notice]) -> None:
        """Send notices, each on its own."""
        for notice in notices:
            self._start(self._say(notice), notice.key)

    async def close(self) -> None:
        """Stop what is under way; commands without a result are taken up again at the next start."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _start(self, work: Awaitable[None], name: str) -> None:
        task = asyncio.ensure_future(work)
        task.set_name(name) if isinstance(task, asyncio.Task) else None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _carry_out(self, command: Command) -> None:
        now = self._clock.now().utc
        writer = self._writers.get(command.point_id)
        if writer is None:
            result = CommandResult(command.id, CommandOutcome.REFUSED, now, detail="no driver has this point")
        elif now >= command.expires_at:
            result = CommandResult(command.id, CommandOutcome.EXPIRED, now)
        elif len(self._tasks) > _MOST_UNDER_WAY and not command.is_safety:
            result = CommandResult(command.id, CommandOutcome.FAILED, now, detail="too much is under way")
        else:
            result = await writer(command)
        self._counters.count("commands", outcome=result.outcome.value)
        if result.outcome is not CommandOutcome.DONE:
            _log.warning("command_not_done", command=command.id, outcome=result.outcome.value, detail=result.detail)
        self._report(result)

    async def _say(self, notice: Notice) -> None:
        if len(self._tasks) > _MOST_UNDER_WAY:
            result = NoticeResult(notice.key, is_accepted=False, at=self._clock.now().utc, detail="too much under way")
        else:
            result = await self._send(notice)
        self._counters.count("notices", channel=notice.channel, accepted=str(result.is_accepted).lower())
        if not result.is_accepted:
            _log.warning("notice_not_accepted", notice=notice.key, channel=notice.channel, detail=result.detail)
        self._report(result)
