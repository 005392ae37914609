"""Room: notify. Carries a notice to its channel and says what the channel said. The shell of this room.

Tries, turns, what is merged, and which channels are in trouble. How a provider is spoken to is in the carriers' files.
``console`` needs no sending: the page shows every alarm by itself. ``buzzer`` is an action of the rule.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from typing import TypeVar

import structlog

from gateway.clock import Clock
from gateway.counters import Counters
from gateway.model import AlarmClass, DeviceStatus, Notice, NoticeResult, Site
from gateway.notify.channels.base import FAILED, Address, Carrier, Message, NeverError, NotNowError, Receipt, both
from gateway.notify.channels.batch import Batch
from gateway.notify.channels.gate import Gate
from gateway.notify.channels.modem import ModemCarrier
from gateway.notify.channels.provider import ProviderCarrier
from gateway.notify.channels.robots import RobotCarrier
from gateway.notify.channels.voice import VoiceCarrier, Write
from gateway.notify.channels.webhook import WebhookCarrier

_TIMEOUT_S = 15.0  # of one try; 5.10.4 of GB/T 45839-2025 asks for pushes to begin within 15 s
_TRIES = 4  # the first one, and again after 2 s, 10 s, 30 s
_FIRST_WAIT_S, _GROWTH, _LONGEST_WAIT_S = 2.0, 5.0, 30.0
_CHECK_EVERY_S = 900.0
_CHECKS_AT_ONCE = 4
_LIFE_SAFETY = frozenset({AlarmClass.FIRE, AlarmClass.GAS, AlarmClass.SOS, None})  # None: not known, so not less
_CONSOLE = "console"
_LINK, _REFUSED = "link", "refused"

_log = structlog.get_logger(__name__)
_T = TypeVar("_T")


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
    ) -> None:
        """``timeout_s`` of one try; before the second one ``first_wait_s``, then five times longer, at most 30 s.

        ``writers`` by point id: for voice. ``report`` hears when a channel (``channel/<recipient>.<channel>``) fails
        and when it works again; ``receipt`` what becomes known of a notice after its result.
        """
        self._site = site
        self._clock = clock
        self._counters = counters or Counters()
        self._timeout_s = timeout_s
        self._first_wait_s = first_wait_s
        self._report = report or _ignore
        self._classes = {each.id: each.alarm_class for each in site.rules}
        self._trouble: dict[tuple[str, str], str] = {}  # by recipient and channel: _LINK, _REFUSED, "" for none
        self._gates: dict[tuple[str, str], Gate] = {}  # by channel and line: as many as the configuration names
        self._batches: dict[tuple[str, str], Batch] = {}  # by channel and address: waiting for their turn
        robots = RobotCarrier(clock)
        provider = ProviderCarrier(robots)
        self._modems = ModemCarrier(clock, receipt or _ignore, self._counters)
        self._provider = provider
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
        except (NeverError, NotNowError) as error:
            is_link = isinstance(error, NotNowError) and error.is_link
            self._mark(notice.recipient, notice.channel, _LINK if is_link else _REFUSED, str(error))
            at = self._clock.now().utc
            return NoticeResult(notice.key, is_accepted=False, at=at, detail=str(error), state=FAILED)
        self._mark(notice.recipient, notice.channel, "")
        at = self._clock.now().utc
        return NoticeResult(notice.key, is_accepted=True, at=at, detail=receipt.detail, state=receipt.state)

    async def check_forever(self, every_s: float = _CHECK_EVERY_S) -> None:
        """See `check_links`, again and again."""
        while True:
            await self.check_links()
            await asyncio.sleep(every_s)

    async def check_links(self) -> None:
        """Can every provider be reached? Nothing is said to anybody.

        It does not prove that a message would be accepted, so it ends no trouble but that of the link.
        """
        turns = asyncio.Semaphore(_CHECKS_AT_ONCE)
        async with asyncio.TaskGroup() as tasks:
            for recipient in self._site.recipients.values():
                if _CONSOLE in recipient.addresses:
                    self._mark(recipient.id, _CONSOLE, "")
                for channel in recipient.addresses.keys() & self._carriers.keys():
                    address = Address.of(recipient, channel)
                    tasks.create_task(self._check(recipient.id, channel, address, turns))

    def close(self) -> None:
        """Give up what is waiting; what hangs in a provider's library ends with its own time-out."""
        self._provider.close()
        self._modems.close()

    async def _check(self, recipient: str, channel: str, address: Address, turns: asyncio.Semaphore) -> None:
        carrier = self._carriers[channel]
        async with turns:
            try:
                is_known = await self._within(carrier, carrier.check(address), channel)
            except (NotNowError, NeverError) as error:
                self._counters.count("channel_checks_failed", channel=channel)
                if not self._trouble.get((recipient, channel)):
                    self._mark(recipient, channel, _LINK, str(error))
                return
        if is_known and self._trouble.get((recipient, channel), _LINK) == _LINK:
            self._mark(recipient, channel, "")

    async def _carry(self, notice: Notice) -> Receipt:
        recipient = self._site.recipients.get(notice.recipient)
        if recipient is None:
            raise NeverError(
                f"没有叫 {notice.recipient} 的联系人:在 notify.yaml 里加上",
                f"nobody is called {notice.recipient}: add them to notify.yaml",
            )
        if notice.channel == _CONSOLE:
            return Receipt()
        carrier = self._carriers.get(notice.channel)
        if carrier is None:
            known = ", ".join(sorted([*self._carriers, _CONSOLE]))
            raise NeverError(
                f"没有 {notice.channel} 这种方式", f"there is no channel {notice.channel}: use one of {known}"
            )
        address = Address.of(recipient, notice.channel)
        rule_id = notice.alarm_id.partition(":")[0]
        message = Message(
            notice.key, notice.alarm_id, notice.reason, notice.recipient, notice.text,
            self._classes.get(rule_id), self._clock.now().utc,
        )  # fmt: skip
        if carrier.limit.merges and message.alarm_class not in _LIFE_SAFETY:
            return await self._together(carrier, notice.channel, address, message)
        return await self._tries(carrier, notice.channel, address, message)

    async def _together(self, carrier: Carrier, channel: str, address: Address, message: Message) -> Receipt:
        """Send with others that wait for a turn at the same address: the first one carries them all."""
        key = channel, address.name
        batch = self._batches.get(key)
        if batch is not None and batch.takes(message):
            self._counters.count("notices_merged", channel=channel)
            receipt = await asyncio.shield(batch.done)
            return receipt._replace(detail=both("与别的消息合并成一条", "sent as one with others"))
        batch = self._batches[key] = Batch([message])
        try:
            receipt = await self._tries(carrier, channel, address, message, batch)
        except BaseException as error:
            batch.end(error)
            raise
        finally:
            batch.is_closed = True
            if self._batches.get(key) is batch:
                del self._batches[key]
        batch.end(receipt)
        return receipt

    async def _tries(
        self, carrier: Carrier, channel: str, address: Address, message: Message, batch: Batch | None = None
    ) -> Receipt:
        gate = self._gates.setdefault((channel, address.line), Gate(carrier.limit))
        is_urgent = message.alarm_class in _LIFE_SAFETY
        reached: set[str] = set()  # of several addresses: another try is for the others only
        for attempt in range(1, _TRIES + 1):
            try:
                async with gate.turn(is_urgent=is_urgent):
                    if batch is not None and not batch.is_closed:
                        message = batch.close(self._site.language)
                    fresh = replace(message, at=self._clock.now().utc)
                    return await self._within(carrier, carrier.carry(address, fresh, reached), channel)
            except NotNowError as error:
                if attempt == _TRIES:
                    self._counters.count("notices_given_up", channel=channel)
                    error.args = (f"{error} ({_TRIES} 次 / {_TRIES} tries)",)
                    raise
            self._counters.count("notice_retries", channel=channel)
            await asyncio.sleep(min(self._first_wait_s * _GROWTH ** (attempt - 1), _LONGEST_WAIT_S))
        raise AssertionError("the last try neither returned nor raised")

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

    def _mark(self, recipient: str, channel: str, trouble: str, problem: str = "") -> None:
        """Log and report transitions only, and the first that is known."""
        if channel not in (*self._carriers, _CONSOLE) or recipient not in self._site.recipients:
            return
        key = recipient, channel
        before = self._trouble.get(key)
        self._trouble[key] = trouble
        if before is not None and bool(before) == bool(trouble):
            return
        if trouble:
            _log.warning("channel_failed", recipient=recipient, channel=channel, problem=problem)
        elif before:
            _log.info("channel_recovered", recipient=recipient, channel=channel)
        at = self._clock.now().utc
        self._report(DeviceStatus(f"channel/{recipient}.{channel}", not trouble, at, problem))


def _ignore(_what: object) -> None:
    pass
