"""Effects: carries commands to drivers and notices to channels, and reports what became of them into the inbox.

Deciding belongs to the core; how a device or channel is reached belongs to drivers and `gateway.notify`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from typing import Any

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
            self._start(self._report_end(command, self._begin(command)))

    def tell(self, notices: Sequence[Notice]) -> None:
        """Send notices, each on its own."""
        for notice in notices:
            self._start(self._say(notice))

    async def close(self) -> None:
        """Stop what is under way; commands without a result are taken up again at the next start."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _begin(self, command: Command) -> Awaitable[CommandResult]:
        """Hand the command to its driver now, before any task switch."""
        now = self._clock.now().utc
        writer = self._writers.get(command.point_id)
        if writer is None:
            return _ended(CommandResult(command.id, CommandOutcome.REFUSED, now, detail="no driver has this point"))
        if now >= command.expires_at:
            return _ended(CommandResult(command.id, CommandOutcome.EXPIRED, now))
        if len(self._tasks) > _MOST_UNDER_WAY and not command.is_safety:
            return _ended(CommandResult(command.id, CommandOutcome.FAILED, now, detail="too much is under way"))
        return writer(command)

    async def _report_end(self, command: Command, end: Awaitable[CommandResult]) -> None:
        result = await end
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


async def _ended(result: CommandResult) -> CommandResult:
    return result
