"""Effects: carries commands to drivers and notices to channels, and reports what became of them into the inbox.

Deciding belongs to the core; how a device or channel is reached belongs to drivers and `gateway.notify`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import structlog

from gateway.clock import Clock
from gateway.counters import Counters
from gateway.model import Command, CommandOutcome, CommandResult, Input, Notice, NoticeResult, Now

_MOST_UNDER_WAY = 2_000  # ordinary commands; beyond it they fail at once, visibly
_MOST_NOTICES = 20_000  # and notices: a burst of alarms waits for its channels
_PATIENCE_S = 3.0  # at the stop, for notices under way

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
        self._notices: set[asyncio.Task[None]] = set()  # of the tasks
        self._live: dict[str, tuple[Command, asyncio.Task[None]]] = {}  # by point id: the command under way
        self._decided_s: dict[str, float] = {}  # by point id: when its latest command was decided
        self._superseded: set[str] = set()  # ids of commands that are being cancelled
        self._sharing: dict[
            str, list[Command]
        ] = {}  # by command id: earlier ones that want the same, and share its end

    def act(self, commands: Sequence[Command], decided: Now) -> None:
        """Carry out commands, each on its own: one that hangs delays no other.

        ``decided``: when. Safety commands come here before ordinary ones that were decided earlier and waited for
        their commit; those must not undo what was decided after them.
        """
        for each in commands:
            command = each.taken_in(decided)
            obstacle = self._take_place(command, decided.mono_s)
            if obstacle is not None:
                self._start(self._report_end(command, _ended(obstacle)))
                continue
            task = self._start(self._report_end(command, self._begin(command)))
            self._live[command.point_id] = command, task
            task.add_done_callback(partial(self._leave_place, command))

    def tell(self, notices: Sequence[Notice]) -> None:
        """Send notices, each on its own."""
        for notice in notices:
            task = self._start(self._say(notice))
            self._notices.add(task)
            task.add_done_callback(self._notices.discard)

    async def close(self, patience_s: float = _PATIENCE_S) -> None:
        """Stop what is under way; what has no result is taken up again at the next start.

        So notices get a moment to end: what was said and is not on record would be said twice.
        """
        for task in self._tasks - self._notices:
            task.cancel()
        if self._notices:
            await asyncio.wait(list(self._notices), timeout=patience_s)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _start(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def _take_place(self, command: Command, decided_s: float) -> CommandResult | None:
        """A point does one thing at a time, and what was decided last counts; None when ``command`` may go.

        Nothing ordinary ends a safety command, but for the end of the same alarm's own output.
        """
        if decided_s < self._decided_s.get(command.point_id, 0.0):
            return self._result(command, CommandOutcome.SUPERSEDED, "something newer was decided for this point")
        live = self._live.get(command.point_id)
        if live is not None:
            before, task = live
            is_foreign = before.because != command.because and before.value != command.value
            if before.is_safety and not command.is_safety and is_foreign:
                return self._result(command, CommandOutcome.REFUSED, "a safety command for this point is under way")
            # Not at once: a coroutine that is cancelled before its first step never cleans up.
            asyncio.get_running_loop().call_soon(task.cancel)
            self._superseded.add(before.id)
            if before.value == command.value:  # two fires, one siren: it is sent anew, and both hear what became of it
                self._sharing[command.id] = [*self._sharing.pop(before.id, ()), before]
            else:
                self._end(before, self._result(before, CommandOutcome.SUPERSEDED, f"by {command.id}"))
        self._decided_s[command.point_id] = decided_s
        return None

    def _leave_place(self, command: Command, _task: asyncio.Task[None]) -> None:
        self._superseded.discard(command.id)
        live = self._live.get(command.point_id)
        if live is not None and live[0] is command:
            del self._live[command.point_id]

    def _result(self, command: Command, outcome: CommandOutcome, detail: str = "") -> CommandResult:
        return CommandResult(command.id, outcome, self._clock.now().utc, detail=detail)

    def _begin(self, command: Command) -> Awaitable[CommandResult]:
        """Hand the command to its driver now, before any task switch."""
        writer = self._writers.get(command.point_id)
        if writer is None:
            return _ended(self._result(command, CommandOutcome.REFUSED, "no driver has this point"))
        if command.left_s(self._clock.now()) <= 0:
            return _ended(self._result(command, CommandOutcome.EXPIRED))
        if len(self._tasks) > _MOST_UNDER_WAY and not command.is_safety:
            return _ended(self._result(command, CommandOutcome.FAILED, "too much is under way"))
        try:
            return writer(command)
        except Exception as error:  # noqa: BLE001 - as in `_report_end`
            _log.exception("command_broke", command=command.id)
            return _ended(self._result(command, CommandOutcome.FAILED, type(error).__name__))

    async def _report_end(self, command: Command, end: Awaitable[CommandResult]) -> None:
        try:
            result = await end
        except Exception as error:  # noqa: BLE001 - a driver that breaks must not leave a command without an end
            _log.exception("command_broke", command=command.id)
            result = self._result(command, CommandOutcome.FAILED, type(error).__name__)
        if command.id not in self._superseded:  # then its end was reported already
            self._end(command, result)

    def _end(self, command: Command, result: CommandResult) -> None:
        for each in self._sharing.pop(command.id, ()):
            self._end(each, replace(result, command_id=each.id))
        self._counters.count("commands", outcome=result.outcome.value)
        if result.outcome is not CommandOutcome.DONE:
            _log.warning("command_not_done", command=command.id, outcome=result.outcome.value, detail=result.detail)
        self._report(result)

    async def _say(self, notice: Notice) -> None:
        if len(self._tasks) > _MOST_NOTICES:
            result = NoticeResult(notice.key, is_accepted=False, at=self._clock.now().utc, detail="too much under way")
        else:
            try:
                result = await self._send(notice)
            except Exception as error:  # noqa: BLE001 - as in `_report_end`
                _log.exception("notice_broke", notice=notice.key)
                at = self._clock.now().utc
                result = NoticeResult(notice.key, is_accepted=False, at=at, detail=type(error).__name__)
        self._counters.count("notices", channel=notice.channel, accepted=str(result.is_accepted).lower())
        if not result.is_accepted:
            _log.warning("notice_not_accepted", notice=notice.key, channel=notice.channel, detail=result.detail)
        self._report(result)


async def _ended(result: CommandResult) -> CommandResult:
    return result
