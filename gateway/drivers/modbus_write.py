"""Room: drivers. Commands waiting for one Modbus line: what to send, what must be read back, when to give up.

A command says an absolute value, so doing it twice is harmless and doing it late is not.
Serialising them with the polls is the business of `modbus_line`.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime

from gateway.clock import Clock
from gateway.drivers.modbus_frames import Request, read_request, write_coil, write_registers
from gateway.drivers.modbus_plan import READ_FUNCTION, Block, Field
from gateway.drivers.modbus_unit import Unit
from gateway.drivers.modbus_wire import NoAnswer, Refused, TooLate
from gateway.drivers.registers import pack
from gateway.model import Command, CommandOutcome, CommandResult, Value

MAX_ATTEMPTS = 4  # the first and three retries
MAX_WAITING = 256  # ordinary commands of one line
MAX_SAFETY = 4_000  # and those for safety: all outputs that fit on one line (a fire cuts every socket of a shed)
RETRY_PAUSE_S = 0.2  # doubled each time: a relay needs a moment before its contact agrees
BUSY = 6

Ask = Callable[[Unit, Request, Command | None], Awaitable[bytes]]


class Refusal(Exception):  # noqa: N818  # not a fault of the program
    """The command can never be carried out; the text says why."""


@dataclass(slots=True, eq=False)
class Job:
    """One command on its way."""

    command: Command
    unit: Unit
    write: Request
    read: Request
    shown: Block  # decodes what is read back
    wanted: Value  # what must be read back
    result: asyncio.Future[CommandResult] = field(default_factory=lambda: asyncio.get_running_loop().create_future())
    attempts: int = 0
    not_before_s: float = 0.0
    is_sent: bool = False
    is_running: bool = False
    is_written: bool = False  # the unit has taken the value: what is left is to read it back
    readback: Value | None = None
    detail: str = ""

    def finish(self, outcome: CommandOutcome, at: datetime) -> None:
        """Say how it ended, once."""
        if not self.result.done():
            self.result.set_result(CommandResult(self.command.id, outcome, at, self.readback, self.detail))


def prepare(command: Command, unit: Unit, target: Field, shown: Field) -> Job:
    """The frames of ``command`` on ``target``, read back at ``shown``. Raises Refusal."""
    if not target.point.is_writable:
        raise Refusal(f"{command.point_id} is not writable")
    value = command.value
    if target.table == "coil":
        if not isinstance(value, bool):
            raise Refusal(f"a coil takes true or false, not {value!r}")
        write = write_coil(unit.number, target.address, is_on=value)
    elif target.table == "holding" and target.bit is None:
        write = write_registers(unit.number, target.address, _registers(target, value))
    else:
        raise Refusal(f"table {target.table} cannot be written")
    block = Block([shown])
    read = read_request(unit.number, READ_FUNCTION[block.table], block.start, block.count, block.answer_bytes)
    return Job(command, unit, write, read, block, _wanted(shown, value, block))


def _registers(target: Field, value: Value) -> bytes:
    if isinstance(value, bool | str) or not math.isfinite(value):
        raise Refusal(f"{target.point.id} takes a number, not {value!r}")
    low, high = target.point.low, target.point.high
    if (low is not None and value < low) or (high is not None and value > high):
        raise Refusal(f"{value} is outside the range of {target.point.id}")
    try:
        return pack(target.scale.raw(value, target.type), target.type, target.order)
    except OverflowError as error:
        raise Refusal(str(error)) from error


def _wanted(shown: Field, value: Value, block: Block) -> Value:
    """The value as ``shown`` would tell it: with that point's own step and precision."""
    if shown.type == "bool" or shown.bit is not None or isinstance(value, bool | str):
        return bool(value)
    wanted = block.values(_registers(shown, value))[0]
    if wanted is None:
        raise Refusal(f"{value} cannot be read back at {shown.point.id}")
    return wanted


class Writes:
    """The commands of one line, bounded; safety first, and those to silent units last."""

    def __init__(self, ask: Ask, clock: Clock) -> None:
        self._ask = ask
        self._clock = clock
        self._waiting: list[Job] = []

    def add(self, job: Job) -> bool:
        """Was there room? What is for safety does not stand behind what is not."""
        is_safety = job.command.is_safety
        limit = MAX_SAFETY if is_safety else MAX_WAITING
        if sum(each.command.is_safety is is_safety for each in self._waiting) >= limit:
            return False
        self._waiting.append(job)
        return True

    def drop(self, job: Job) -> None:
        """Nobody waits for it any more."""
        if job in self._waiting:
            self._waiting.remove(job)

    def pick(self, now_s: float, suspect_at_s: float) -> Job | None:
        """The next one whose time has come; units that missed an answer have to wait for ``suspect_at_s``."""
        ready = [each for each in self._waiting if self._ready_at_s(each, suspect_at_s) <= now_s]
        return min(ready, key=_urgency, default=None)

    def next_at_s(self, suspect_at_s: float) -> float:
        """When the next one's time comes; infinity without any."""
        return min((self._ready_at_s(each, suspect_at_s) for each in self._waiting), default=math.inf)

    async def attempt(self, job: Job, now_s: float, suspect_at_s: float) -> bool:
        """Send it, and read it back unless others wait to be sent: all doors are told before one is asked.

        Did the unit answer?
        """
        job.is_running = True
        try:
            if not job.is_written:
                job.attempts += 1
                job.not_before_s = now_s + RETRY_PAUSE_S * 2.0 ** (job.attempts - 1)
                outcome = await self._write(job)
                if job.is_written and self._is_sending_others(job, now_s, suspect_at_s):
                    job.not_before_s = now_s  # its turn is after theirs
                    return True
            if job.is_written:
                job.not_before_s = max(job.not_before_s, now_s + RETRY_PAUSE_S * 2.0 ** (job.attempts - 1))
                outcome = await self._read_back(job)
        except TooLate:
            outcome = CommandOutcome.UNCONFIRMED if job.is_sent else CommandOutcome.EXPIRED
        except NoAnswer as error:
            job.is_sent = True  # perhaps: only the answer is known to be missing
            job.detail = error.reason
            outcome = None
        finally:
            job.is_running = False
        job.is_written = False  # another attempt begins with the value
        if outcome is None and job.attempts >= MAX_ATTEMPTS:
            is_known = job.readback is not None or not job.is_sent
            outcome = CommandOutcome.FAILED if is_known else CommandOutcome.UNCONFIRMED
        if outcome is not None:
            self.drop(job)
            job.finish(outcome, self._clock.now().utc)
        return not job.unit.is_suspect

    def _is_sending_others(self, job: Job, now_s: float, suspect_at_s: float) -> bool:
        """Is there one that ought to be sent before ``job`` is read back?"""
        following = self.pick(now_s, suspect_at_s)
        return following is not None and following is not job and not following.is_written

    async def _write(self, job: Job) -> CommandOutcome | None:
        """None where it was written, or another attempt may help."""
        try:
            await self._ask(job.unit, job.write, job.command)
        except Refused as error:
            job.detail = error.reason
            return None if error.code == BUSY else CommandOutcome.FAILED
        job.is_sent = job.is_written = True
        return None

    async def _read_back(self, job: Job) -> CommandOutcome | None:
        """The outcome, or None where another attempt may help."""
        try:
            body = await self._ask(job.unit, job.read, None)
        except Refused as error:
            job.detail = f"read back: {error.reason}"
            return None if error.code == BUSY else CommandOutcome.UNCONFIRMED
        job.readback = job.shown.values(body)[0]
        job.detail = "" if job.readback == job.wanted else f"reads back {job.readback}"
        return CommandOutcome.DONE if job.readback == job.wanted else None

    @staticmethod
    def _ready_at_s(job: Job, suspect_at_s: float) -> float:
        return max(job.not_before_s, suspect_at_s) if job.unit.is_suspect else job.not_before_s


def _urgency(job: Job) -> tuple[bool, bool, bool]:
    """The least first: units that answer, what is for safety, what was not sent yet."""
    return job.unit.is_suspect, not job.command.is_safety, job.is_written
