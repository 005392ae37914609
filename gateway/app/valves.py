"""The last gate before the drivers: whatever commands it, nothing opens a gas valve from here.

Rules that could are refused when they are loaded, and requests when they are made. This gate asks nobody where a
command comes from: a rule, a person, a voice channel, the journal after a restart, a mistake elsewhere in the program.
"""

from __future__ import annotations

from collections.abc import Awaitable

import structlog

from gateway.clock import Clock
from gateway.counters import Counters
from gateway.effects import Write
from gateway.model import Command, CommandOutcome, CommandResult
from gateway.rules import may_open_gas_valve

_log = structlog.get_logger(__name__)


def never_opening(write: Write, kind: str, point: str, clock: Clock, counters: Counters) -> Write:
    """The driver's ``write`` for ``point`` of a device of this kind, without what could open a gas valve; counted."""

    def gate(command: Command) -> Awaitable[CommandResult]:
        if not may_open_gas_valve(kind, point, command.value):
            return write(command)
        counters.count("commands_forbidden", point=point)
        _log.error("would_open_a_gas_valve", command=command.id, value=command.value)
        return _refused(command, clock)

    return gate


async def _refused(command: Command, clock: Clock) -> CommandResult:
    detail = "a gas valve is opened by hand, on the spot, and never by software"
    return CommandResult(command.id, CommandOutcome.REFUSED, clock.now().utc, detail=detail)
