"""Room: notify. Carries a notice to its channel and says what the channel said. The shell of this room.

Tries, turns, and what is sent as one. How a provider is spoken to is in the carriers' files, which channels are in
trouble in `trouble`. ``buzzer`` is an action of the rule.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import NamedTuple, TypeVar

import structlog

from gateway.clock import Clock
from gateway.counters import Counters
from gateway.model import DeviceStatus, Notice, NoticeResult, Site
from gateway.notify.channels.base import (
    FAILED,
    Address,
    Carrier,
    Limit,
    Message,
    NeverError,
    NotNowError,
    OvertakenError,
    Receipt,
    both,
)
from gateway.notify.channels.batch import Batch
from gateway.notify.channels.console import CONSOLE, Console
from gateway.notify.channels.gate import Gate
from gateway.notify.channels.modem import ModemCarrier
from gateway.notify.channels.provider import ProviderCarrier
from gateway.notify.channels.robots import RobotCarrier
from gateway.notify.channels.trouble import Troubles
from gateway.notify.channels.voice import VoiceCarrier, Write
from gateway.notify.channels.webhook import WebhookCarrier

_TIMEOUT_S = 15.0  # of one try; 5.10.4 of GB/T 45839-2025 asks for pushes to begin within 15 s
_TRIES = 4  # the first one, and again after 2 s, 10 s, 30 s
_FIRST_WAIT_S, _GROWTH, _LONGEST_WAIT_S = 2.0, 5.0, 30.0
_CHECK_EVERY_S = 900.0
_CHECK_TROUBLED_S = 60.0  # as long as something is wrong: when it works again is soon known
_CHECKS_AT_ONCE = 4
_MOST_GATES = 1_000

_log = structlog.get_logger(__name__)
_T = TypeVar("_T")


class _Way(NamedTuple):
    """How a message goes."""

    carrier: Carrier
    channel: str
    address: Address
    gates: list[Gate]  # whose turns it takes, in an order that is the same for all


class Channels:
    """Every way of telling people. A provider that hangs or refuses delays no other."""

    def __init__(
        self,
        site: Site,
        clock: Clock,
        *,
        counters: Counters | None = None,
        timeout_s: float = _TIMEOUT_S,
        first_wait_s: float = _FIRST_WAIT_S,
        writers: Mapping[str, Write] | None = None,
        report: Callable[[DeviceStatus], None] | None = None,
        receipt: Callable[[NoticeResult], None] | None = None,
        console: Console | None = None,
        is_wanted: Callable[[str, str], bool] | None = None,
    ) -> None:
        """``timeout_s`` of one try; before the second one ``first_wait_s``, then five times longer, at most 30 s.

        ``writers`` by point id: for voice. ``report`` hears when a channel (``channel/<recipient>.<channel>``) fails
        and when it works again; ``receipt`` what becomes known of a notice after its result. ``is_wanted``: is it
        still right to tell of this alarm for this reason? Asked before each try.
        """
        self._site = site
        self._clock = clock
        self._counters = counters or Counters()
        self._timeout_s = timeout_s
        self._first_wait_s = first_wait_s
        self._is_wanted = is_wanted or _always
        self._classes = {each.id: each.alarm_class for each in site.rules}
        self._troubles = Troubles(site.recipients, clock, report or _ignore)
        self._gates: dict[tuple[str, str], Gate] = {}  # by kind of carrier and line
        self._batches: dict[tuple[str, str, bool], Batch] = {}  # by channel, address, urgency: waiting for their turn
        self._console = console or Console(None)
        robots = RobotCarrier(clock)
        self._provider = provider = ProviderCarrier(robots)
        self._modems = ModemCarrier(clock, receipt or _ignore, self._counters)
        self._carriers: dict[str, Carrier] = {
            "apprise": provider,
            "email": provider,
            "sms": provider,
            "wecom": robots,
            "dingtalk": robots,
            "feishu": robots,
            "webhook": WebhookCarrier(site.id),
            "modem": self._modems,
            "voice": VoiceCarrier(writers or {}),
        }

    async def send(self, notice: Notice) -> NoticeResult:
        """Carry out one notice, in at most four tries. Never raises; ``detail`` says why it failed and what to do.

        What only a person can put right (no address, no such channel) is tried once.
        """
        try:
            receipt = await self._carry(notice)
        except OvertakenError as error:
            self._counters.count("notices_overtaken", channel=notice.channel)
            return self._result(notice, Receipt(FAILED, str(error)))
        except (NeverError, NotNowError) as error:
            self._troubles.fail((notice.recipient, notice.channel), error)
            return self._result(notice, Receipt(FAILED, str(error)))
        return self._result(notice, receipt)

    async def warm(self) -> None:
        """Load what the first notice would have to wait for, of those channels that somebody has. Never raises."""
        used = {id(each): each for _, _, each in self._used()}
        done = await asyncio.gather(*(each.warm() for each in used.values()), return_exceptions=True)
        for error in done:
            if isinstance(error, Exception):
                _log.warning("channel_not_ready", problem=type(error).__name__)

    async def watch(self) -> None:
        """For ever: get ready, then check the links, and whether somebody is at the desk."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._console.watch(self._say_console), name="console")
            await self.warm()
            tasks.create_task(self.check_forever(), name="links")

    async def check_forever(self, every_s: float = _CHECK_EVERY_S, troubled_s: float = _CHECK_TROUBLED_S) -> None:
        """See `check_links`, again and again; sooner while something is wrong."""
        while True:
            await self.check_links()
            await asyncio.sleep(troubled_s if self._troubles.has_any else every_s)

    async def check_links(self) -> None:
        """Can every provider be reached? Nothing is said to anybody.

        It does not prove that a message would be accepted, so it ends no trouble but that of the link.
        """
        turns = asyncio.Semaphore(_CHECKS_AT_ONCE)
        async with asyncio.TaskGroup() as tasks:
            for recipient, channel, carrier in self._used():
                tasks.create_task(self._check(recipient, channel, carrier, turns))

    def close(self) -> None:
        """Give up what is waiting; what hangs in a provider's library ends with its own time-out."""
        self._provider.close()
        self._modems.close()

    def _used(self) -> list[tuple[str, str, Carrier]]:
        """(recipient, channel, carrier) of everything that somebody has an address for."""
        return [
            (recipient.id, channel, self._carriers[channel])
            for recipient in self._site.recipients.values()
            for channel in recipient.addresses
            if channel in self._carriers
        ]

    def _say_console(self, problem: NotNowError | None) -> None:
        for recipient in self._site.recipients.values():
            key = recipient.id, CONSOLE
            if problem is not None:
                self._troubles.fail_check(key, problem)
            else:
                self._troubles.pass_check(key, is_known=True)

    async def _check(self, recipient: str, channel: str, carrier: Carrier, turns: asyncio.Semaphore) -> None:
        address = Address.of(self._site.recipients[recipient], channel)
        async with turns:
            try:
                is_known = await self._within(carrier, carrier.check(address), channel)
            except (NotNowError, NeverError) as error:
                self._counters.count("channel_checks_failed", channel=channel)
                self._troubles.fail_check((recipient, channel), error)
                return
        self._troubles.pass_check((recipient, channel), is_known=is_known)

    def _result(self, notice: Notice, receipt: Receipt) -> NoticeResult:
        at, is_accepted = self._clock.now().utc, receipt.state != FAILED
        return NoticeResult(notice.key, is_accepted, at, receipt.detail, receipt.state, is_final=receipt.is_final)

    async def _carry(self, notice: Notice) -> Receipt:
        recipient = self._site.recipients.get(notice.recipient)
        if recipient is None:
            raise NeverError(
                f"没有叫 {notice.recipient} 的联系人:在 notify.yaml 里加上",
                f"nobody is called {notice.recipient}: add them to notify.yaml",
            )
        if notice.channel == CONSOLE:
            begun_s = asyncio.get_running_loop().time()
            receipt = await self._console.carry()
            self._troubles.work((notice.recipient, CONSOLE), begun_s)
            return receipt
        carrier = self._carriers.get(notice.channel)
        if carrier is None:
            known = ", ".join(sorted([*self._carriers, CONSOLE]))
            raise NeverError(
                f"没有 {notice.channel} 这种方式", f"there is no channel {notice.channel}: use one of {known}"
            )
        rule_id = notice.alarm_id.partition(":")[0]
        message = Message(
            notice.key, notice.alarm_id, notice.reason, notice.recipient, notice.text,
            self._classes.get(rule_id), self._clock.now().utc,
        )  # fmt: skip
        address = Address.of(recipient, notice.channel)
        lines = carrier.lines(address)
        way = _Way(carrier, notice.channel, address, [self._gate(carrier, *each) for each in sorted(set(lines))])
        merges = any(each.limit.merges for each in lines)
        if merges and (not message.is_urgent or any(each.holds_urgent for each in way.gates)):
            return await self._together(way, message)
        return await self._tries(way, message)

    def _gate(self, carrier: Carrier, line: str, limit: Limit) -> Gate:
        """The turns at one line, whoever speaks there: a robot has one limit, however its address is written."""
        key = "robot" if limit.per_minute else type(carrier).__name__, line
        if key not in self._gates and len(self._gates) >= _MOST_GATES:
            self._gates = {each: gate for each, gate in self._gates.items() if not gate.is_idle}
        return self._gates.setdefault(key, Gate(limit))

    async def _together(self, way: _Way, message: Message) -> Receipt:
        """Send with others that wait for a turn at the same address: the first one carries them all."""
        key = way.channel, way.address.name, message.is_urgent
        batch = self._batches.get(key)
        if batch is not None and batch.takes(message):
            self._counters.count("notices_merged", channel=way.channel)
            begun_s = asyncio.get_running_loop().time()
            receipt = await asyncio.shield(batch.done)
            if message.key in batch.overtaken:
                raise OvertakenError
            self._troubles.work((message.recipient, way.channel), begun_s)
            return Receipt(receipt.state, both("与别的消息合并成一条", "sent as one with others"))
        batch = self._batches[key] = Batch([message])
        try:
            receipt = await self._tries(way, message, batch)
        except BaseException as error:
            batch.end(error)
            raise
        finally:
            batch.is_closed = True
            if self._batches.get(key) is batch:
                del self._batches[key]
        batch.end(receipt)
        if message.key in batch.overtaken:
            raise OvertakenError
        return receipt

    async def _tries(self, way: _Way, message: Message, batch: Batch | None = None) -> Receipt:
        reached: set[str] = set()  # of several addresses: another try is for the others only
        for attempt in range(1, _TRIES + 1):
            try:
                async with AsyncExitStack() as turns:
                    for gate in way.gates:
                        await turns.enter_async_context(gate.turn(is_urgent=message.is_urgent))
                    message = self._fresh(message, batch)
                    return await self._try(way, message, reached)
            except NotNowError as error:
                if attempt == _TRIES:
                    self._counters.count("notices_given_up", channel=way.channel)
                    error.args = (f"{error} ({_TRIES} 次 / {_TRIES} tries)",)
                    raise
            self._counters.count("notice_retries", channel=way.channel)
            await asyncio.sleep(min(self._first_wait_s * _GROWTH ** (attempt - 1), _LONGEST_WAIT_S))
        raise AssertionError("the last try neither returned nor raised")

    def _fresh(self, message: Message, batch: Batch | None) -> Message:
        """What is to be said now that it has its turn. Raises OvertakenError when nothing is."""
        if batch is not None:
            message = batch.close(self._site.language, lambda each: self._is_wanted(each.alarm_id, each.reason))
        elif not self._is_wanted(message.alarm_id, message.reason):
            raise OvertakenError
        return replace(message, at=self._clock.now().utc)

    async def _try(self, way: _Way, message: Message, reached: set[str]) -> Receipt:
        begun_s = asyncio.get_running_loop().time()
        receipt = await self._within(way.carrier, way.carrier.carry(way.address, message, reached), way.channel)
        self._troubles.work((message.recipient, way.channel), begun_s)
        return receipt

    async def _within(self, carrier: Carrier, work: Awaitable[_T], channel: str) -> _T:
        """``work`` within its time; whatever a provider's library raises becomes a reason."""
        limit_s = carrier.limit.timeout_s or self._timeout_s
        try:
            async with asyncio.timeout(limit_s):
                return await work
        except TimeoutError:
            raise NotNowError(
                f"{limit_s:g} 秒内没有回答:检查网关的网络和对方的服务",
                f"no answer within {limit_s:g} s: check the network of the gateway and the provider",
                is_link=True,
            ) from None
        except (NotNowError, NeverError):
            raise
        except Exception as error:  # noqa: BLE001 - a provider's library may raise anything; the others must go on
            name = type(error).__name__
            raise NotNowError(f"{channel} 出错:{name}", f"{channel} failed with {name}") from None


def _ignore(_what: object) -> None:
    pass


def _always(_alarm_id: str, _reason: str) -> bool:
    return True
