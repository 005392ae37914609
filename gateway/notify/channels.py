"""Room: notify. Carries a notice to its channel and says what the channel said. The shell of this room.

Who is told what is `gateway.notify.policy`'s. ``console`` needs no sending: the page shows every alarm by itself.
``apprise`` is a library that reaches the robots of 企业微信, 钉钉 and 飞书, e-mail, many SMS services, webhooks.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor

import structlog

from gateway.clock import Clock
from gateway.model import Notice, NoticeResult, Recipient, Site
from gateway.secret import SecretError, SecretRef

_TIMEOUT_S = 15.0  # of one notice; 5.10.4 of GB/T 45839-2025 asks for pushes to begin within 15 s
_THREADS = 8  # at most so many providers can hang at once; the rest time out waiting, and say so

_log = structlog.get_logger(__name__)


class Channels:
    """Every way of telling people."""

    def __init__(self, site: Site, clock: Clock, *, timeout_s: float = _TIMEOUT_S) -> None:
        self._recipients = site.recipients
        self._clock = clock
        self._timeout_s = timeout_s
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="notify")
        self._failing: set[tuple[str, str]] = set()  # (recipient, channel): to log transitions only
        self._send: dict[str, Callable[[str, Notice], Awaitable[str]]] = {"console": _console, "apprise": self._apprise}

    async def send(self, notice: Notice) -> NoticeResult:
        """Carry out one notice within the time-out. Never raises; ``detail`` says why it failed and what to do."""
        problem = await self._problem(notice)
        key = notice.recipient, notice.channel
        if problem and key not in self._failing:
            self._failing.add(key)
            _log.warning("channel_failed", recipient=notice.recipient, channel=notice.channel, problem=problem)
        elif not problem and key in self._failing:
            self._failing.discard(key)
            _log.info("channel_recovered", recipient=notice.recipient, channel=notice.channel)
        return NoticeResult(notice.key, is_accepted=not problem, at=self._clock.now().utc, detail=problem)

    def close(self) -> None:
        """Give up what is waiting; what hangs in a provider's library ends with its own time-out."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _problem(self, notice: Notice) -> str:
        recipient = self._recipients.get(notice.recipient)
        send = self._send.get(notice.channel)
        if recipient is None:
            return f"nobody is called {notice.recipient}: add them to notify.yaml"
        if send is None:
            return f"there is no channel {notice.channel}: use one of {', '.join(sorted(self._send))}"
        try:
            async with asyncio.timeout(self._timeout_s):
                return await send(_address(recipient, notice.channel), notice)
        except SecretError as error:
            return str(error)
        except TimeoutError:
            return f"no answer within {self._timeout_s:g} s: check the network of the gateway and the provider"
        except Exception as error:  # noqa: BLE001 - a provider's library may raise anything; the others must go on
            return f"{notice.channel} failed with {type(error).__name__}"

    async def _apprise(self, address: str, notice: Notice) -> str:
        if not address:
            return f"recipient {notice.recipient} has no address for apprise: give it one in notify.yaml"
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, _apprise, address, notice)


async def _console(_address: str, _notice: Notice) -> str:
    return ""


def _apprise(address: str, notice: Notice) -> str:
    """Blocking. Apprise tells only yes or no; its own log has the provider's words, and passwords: not for ours."""
    import apprise  # noqa: PLC0415 - 0.2 s and 20 MB that a site without it need not pay

    sender = apprise.Apprise()
    if not all(sender.add(each) for each in address.split()):
        return f"the address of recipient {notice.recipient} is no apprise URL: see the list of services of apprise"
    if sender.notify(body=notice.text, body_format=apprise.NotifyFormat.TEXT):
        return ""
    return f"a provider of recipient {notice.recipient} did not accept it: check its address and the network"


def _address(recipient: Recipient, channel: str) -> str:
    """The address itself; ``file:``, ``env:`` and ``credential:`` are read each time, so that a new one counts."""
    text = recipient.addresses.get(channel, "")
    kind, _, name = text.partition(":")
    if kind in {"file", "env", "credential"}:
        return SecretRef(**{kind: name}).read().strip()
    return text
