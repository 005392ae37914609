"""Room: notify. Carries a notice to its channel and says what the channel said. The shell of this room.

Who is told what is `gateway.notify.policy`'s. ``console`` needs no sending: the page shows every alarm by itself.
``apprise`` is a library that reaches the robots of 企业微信, 钉钉 and 飞书, e-mail, many SMS services, webhooks.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor

import stamina
import structlog

from gateway.clock import Clock
from gateway.counters import Counters
from gateway.model import Notice, NoticeResult, Recipient, Site
from gateway.secret import SecretError, SecretRef

_TIMEOUT_S = 15.0  # of one try; 5.10.4 of GB/T 45839-2025 asks for pushes to begin within 15 s
_THREADS = 8  # at most so many providers can hang at once; the rest wait their turn ...
_QUEUE_S = 60.0  # ... so long, and then say so
_TRIES = 4  # the first one, and again after 2 s, 10 s, 30 s
_FIRST_WAIT_S, _GROWTH, _LONGEST_WAIT_S = 2.0, 5.0, 30.0

_log = structlog.get_logger(__name__)

_Send = Callable[[str, Notice, set[str]], Awaitable[str]]
"""(address, notice, which of several addresses have it already) -> what only a person can put right, or ""."""


class Channels:
    """Every way of telling people."""

    def __init__(
        self,
        site: Site,
        clock: Clock,
        *,
        counters: Counters | None = None,
        timeout_s: float = _TIMEOUT_S,
        first_wait_s: float = _FIRST_WAIT_S,
    ) -> None:
        """``timeout_s`` of one try; before the second one ``first_wait_s``, then five times longer, at most 30 s."""
        self._counters = counters or Counters()
        self._first_wait_s = first_wait_s
        self._recipients = site.recipients
        self._clock = clock
        self._timeout_s = timeout_s
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="notify")
        self._failing: set[tuple[str, str]] = set()  # (recipient, channel): to log transitions only
        self._send: dict[str, _Send] = {"console": _console, "apprise": self._apprise}

    async def send(self, notice: Notice) -> NoticeResult:
        """Carry out one notice, in at most four tries. Never raises; ``detail`` says why it failed and what to do.

        What only a person can put right (no address, no such channel) is tried once.
        """
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
        reached: set[str] = set()  # of several addresses: another try is for the others only
        tries = stamina.retry_context(
            on=_NotNowError,
            attempts=_TRIES,
            timeout=None,
            wait_initial=self._first_wait_s,
            wait_exp_base=_GROWTH,
            wait_max=_LONGEST_WAIT_S,
            wait_jitter=0.0,
        )
        try:
            async for attempt in tries:
                with attempt:
                    if attempt.num > 1:
                        self._counters.count("notice_retries", channel=notice.channel)
                    return await send(_address(recipient, notice.channel), notice, reached)
        except SecretError as error:
            return str(error)
        except _NotNowError as error:
            self._counters.count("notices_given_up", channel=notice.channel)
            return f"{error} ({_TRIES} tries)"
        raise AssertionError("the last try neither returned nor raised")

    async def _apprise(self, address: str, notice: Notice, reached: set[str]) -> str:
        if not address:
            return f"recipient {notice.recipient} has no address for apprise: give it one in notify.yaml"
        loop = asyncio.get_running_loop()
        begun = loop.create_future()

        def work() -> str:
            loop.call_soon_threadsafe(begun.cancel)
            return _apprise(address, notice, reached)

        answer = loop.run_in_executor(self._threads, work)
        # A notice that waits for a thread has not been tried yet: its time-out starts with the thread.
        try:
            await asyncio.wait({begun, answer}, timeout=_QUEUE_S, return_when=asyncio.FIRST_COMPLETED)
        finally:
            if not begun.done():
                answer.cancel()
        if answer.cancelled():
            raise _NotNowError(f"no thread was free within {_QUEUE_S:g} s: providers hang; check the network")
        try:
            async with asyncio.timeout(self._timeout_s):
                return await answer
        except TimeoutError:
            raise _NotNowError(
                f"no answer within {self._timeout_s:g} s: check the network of the gateway and the provider"
            ) from None
        except _NotNowError:
            raise
        except Exception as error:  # noqa: BLE001 - a provider's library may raise anything; the others must go on
            raise _NotNowError(f"{notice.channel} failed with {type(error).__name__}") from None


class _NotNowError(Exception):
    """It did not go out this time; its text says what to do. Another try may help."""


async def _console(_address: str, _notice: Notice, _reached: set[str]) -> str:
    return ""


def _apprise(address: str, notice: Notice, reached: set[str]) -> str:
    """Blocking. What is wrong with the address; "" when it was accepted; raises _NotNowError when it was not.

    Apprise tells only yes or no; its own log has the provider's words, and passwords: not for ours.
    """
    import apprise  # noqa: PLC0415 - 0.2 s and 20 MB that a site without it need not pay

    senders = {each: apprise.Apprise() for each in address.split()}
    if not all(sender.add(each) for each, sender in senders.items()):
        return f"the address of recipient {notice.recipient} is no apprise URL: see the list of services of apprise"
    for each, sender in senders.items():
        if each not in reached and sender.notify(body=notice.text, body_format=apprise.NotifyFormat.TEXT):
            reached.add(each)
    if reached.issuperset(senders):
        return ""
    raise _NotNowError(
        f"a provider of recipient {notice.recipient} did not accept it: check its address and the network"
    )


def _address(recipient: Recipient, channel: str) -> str:
    """The address itself; ``file:``, ``env:`` and ``credential:`` are read each time, so that a new one counts."""
    text = recipient.addresses.get(channel, "")
    kind, _, name = text.partition(":")
    if kind in {"file", "env", "credential"}:
        return SecretRef(**{kind: name}).read().strip()
    return text
