"""Room: notify. Short messages through a GSM modem on a serial port, for when the internet is down.

The carrier: one modem for each port, whose turn is taken under a lock, and the reports of delivery that come later.
What is said to the modem is `modem_talk`'s, the coding of messages `pdu`'s.
"""

from __future__ import annotations

import asyncio
import zlib
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from gateway.clock import Clock
from gateway.counters import Counters
from gateway.model import NoticeResult
from gateway.notify.channels.base import (
    ACCEPTED,
    DELIVERED,
    FAILED,
    Address,
    Limit,
    Line,
    Message,
    NeverError,
    Receipt,
    both,
    secret,
    to_each,
)
from gateway.notify.channels.modem_talk import ModemTalk
from gateway.notify.channels.pdu import StatusReport, is_number

_SEND_S = 120.0  # of one try: a long message has up to ten parts
_REPORTS_S = 600.0  # so long the modem is listened to after a message
_LISTEN_EVERY_S = 1.0
_MOST_AWAITED = 64
_MOST_EARLY = 16
_EARLY_S = 30.0
_TAIL = 8  # digits: the network may add or leave out the country
_BAUD = "115200"

_AWAITED = both("短信网已收下,等送达回执", "taken by the network, its report of delivery is awaited")
_UNKNOWN = both(
    "没有等到送达回执,不知道手机收没收到", "no report of delivery came: whether the phone has it is not known"
)
_UNDELIVERED = both("网络没能把短信送到手机", "the network could not deliver it to the phone")

Place = tuple[str, int]
"""The end of the number, and the network's reference of one part."""


@dataclass(slots=True)
class _Awaited:
    key: str
    missing: set[Place]
    until_s: float


class Modem:
    """One modem, and what the network still owes."""

    def __init__(self, talk: ModemTalk, clock: Clock, receipt: Callable[[NoticeResult], None]) -> None:
        self._talk = talk
        self._clock = clock
        self._receipt = receipt
        self._turn = asyncio.Lock()
        self._awaited: OrderedDict[str, _Awaited] = OrderedDict()
        self._early: OrderedDict[Place, tuple[bool, float]] = OrderedDict()  # before their message was booked; when
        self._listener: asyncio.Task[None] | None = None

    async def send(self, key: str, numbers: list[str], text: str, reached: set[str]) -> bool:
        """Send to every number that has not got it; are reports of delivery awaited?"""
        places: set[Place] = set()

        async def one(number: str) -> None:
            if not is_number(number):
                raise NeverError(
                    "电话号码不对:只写数字,可以有 +86", "the telephone number is not valid: digits, + allowed"
                )
            places.update((number[-_TAIL:], each) for each in await self._talk.send(number, text, _parts_id(key)))

        async with self._turn:
            await self._talk.get_ready()
            try:
                await to_each(numbers, reached, one)
            finally:
                self._hear()
        if places:
            self._await(key, places)
        return bool(places)

    async def check(self) -> None:
        """SIM, network: nothing is sent."""
        async with self._turn:
            await self._talk.get_ready()
            self._hear()

    def close(self) -> None:
        """Give the port back."""
        if self._listener is not None:
            self._listener.cancel()
        self._talk.close()

    def _await(self, key: str, places: set[Place]) -> None:
        loop = asyncio.get_running_loop()
        while len(self._awaited) >= _MOST_AWAITED:
            self._end(next(iter(self._awaited)), ACCEPTED, _UNKNOWN)
        self._awaited[key] = _Awaited(key, places, loop.time() + _REPORTS_S)
        if self._listener is None or self._listener.done():
            self._listener = loop.create_task(self._listen())

    async def _listen(self) -> None:
        """Look for reports while some are missing. Not at once: first comes what became of the sending."""
        loop = asyncio.get_running_loop()
        while self._awaited:
            await asyncio.sleep(_LISTEN_EVERY_S)
            async with self._turn:
                self._hear()
            for place, (is_delivered, heard_s) in list(self._early.items()):
                is_over = heard_s < loop.time() - _EARLY_S  # of an older message: references repeat
                if is_over or self._settle(place, is_delivered=is_delivered):
                    del self._early[place]
            for key in [each.key for each in self._awaited.values() if each.until_s <= loop.time()]:
                self._end(key, ACCEPTED, _UNKNOWN)

    def _hear(self) -> None:
        for report in self._talk.reports():
            self._hear_report(report)

    def _hear_report(self, report: StatusReport) -> None:
        if report.is_delivered is None:
            return
        place = report.number[-_TAIL:], report.reference
        if not self._settle(place, is_delivered=report.is_delivered):
            self._early[place] = report.is_delivered, asyncio.get_running_loop().time()
            while len(self._early) > _MOST_EARLY:
                self._early.popitem(last=False)

    def _settle(self, place: Place, *, is_delivered: bool) -> bool:
        """Was this part awaited?"""
        found = next((each for each in self._awaited.values() if place in each.missing), None)
        if found is None:
            return False
        found.missing.discard(place)
        if not is_delivered:
            self._end(found.key, FAILED, _UNDELIVERED)
        elif not found.missing:
            self._end(found.key, DELIVERED, "")
        return True

    def _end(self, key: str, state: str, detail: str) -> None:
        """The last word of a message."""
        del self._awaited[key]
        self._receipt(NoticeResult(key, state != FAILED, self._clock.now().utc, detail, state))


class ModemCarrier:
    """The modems of the site, each opened when it is first needed."""

    limit = Limit(width=1, merges=True, timeout_s=_SEND_S)

    def __init__(self, clock: Clock, receipt: Callable[[NoticeResult], None], counters: Counters) -> None:
        self._clock = clock
        self._receipt = receipt
        self._counters = counters
        self._modems: dict[str, Modem] = {}  # by port: as many as the configuration names

    def lines(self, address: Address) -> list[Line]:
        """See `Carrier.lines`. One modem does one thing at a time, for whomever."""
        return [Line(address.line, self.limit)]

    async def warm(self) -> None:
        """Nothing is loaded; the first check, at the start, opens the port."""

    async def carry(self, address: Address, message: Message, reached: set[str]) -> Receipt:
        """See `Carrier.carry`."""
        is_awaited = await self._modem(address).send(message.key, address.reveal(), message.text, reached)
        return Receipt(detail=_AWAITED, is_final=False) if is_awaited else Receipt()

    async def check(self, address: Address) -> bool:
        """See `Carrier.check`."""
        await self._modem(address).check()
        return True

    def close(self) -> None:
        """Give every port back."""
        for each in self._modems.values():
            each.close()

    def _modem(self, address: Address) -> Modem:
        port = address.options.get("port", "")
        if not port:
            raise NeverError(
                "没有写调制解调器的串口:加上 port", "the modem's serial port is missing: add port", is_setup=True
            )
        if port not in self._modems:
            pin = secret(address.options.get("pin", ""))
            talk = ModemTalk(port, int(address.options.get("baud", _BAUD)), pin, self._counters)
            self._modems[port] = Modem(talk, self._clock, self._receipt)
        return self._modems[port]


def _parts_id(key: str) -> int:
    """What binds the parts of one long message: the same at each try, so that a phone puts them together once."""
    return zlib.crc32(key.encode()) & 0xFF
