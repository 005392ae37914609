"""Room: notify. E-mail, SMS services and everything else that apprise, a library for notifications, can reach.

Apprise blocks, so it works in threads; and it says only yes or no. Robots, whose refusals it does not see, go to
`robots`.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, TypeVar
from urllib.parse import urlsplit

from gateway.notify.channels.base import Address, Limit, Message, NeverError, NotNowError, Receipt, to_each
from gateway.notify.channels.robots import RobotCarrier, endpoint

_WIDTH = 4
_THREADS = 8 * _WIDTH  # eight providers can hang with all their turns and delay no other
_SUBJECT = 60  # characters
_MAIL = ("mailto", "mailtos")

_T = TypeVar("_T")

logging.getLogger("apprise").setLevel(logging.CRITICAL)  # its warnings hold addresses


class ProviderCarrier:
    """What apprise can reach, in threads: at most four for one address."""

    limit = Limit(width=_WIDTH)

    def __init__(self, robots: RobotCarrier) -> None:
        self._robots = robots
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="notify")
        self._busy: Counter[str] = Counter()  # by address: threads, also those whose time is over

    async def carry(self, address: Address, message: Message, reached: set[str]) -> Receipt:
        """See `Carrier.carry`."""

        async def send(text: str) -> None:
            if endpoint(text) is not None:
                await self._robots.say(text, message.text)
            else:
                await self._in_thread(address.name, lambda: _notify(text, message.text))

        await to_each(address.reveal(), reached, send)
        return Receipt()

    async def check(self, address: Address) -> bool:
        """Log in at the mail server; of the others nothing is known without sending."""
        is_known = False
        for each in address.reveal():
            if urlsplit(each).scheme in _MAIL:
                await self._in_thread(address.name, partial(_log_in, each))
                is_known = True
        return is_known

    def close(self) -> None:
        """Give up what waits for a thread."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _in_thread(self, name: str, work: Callable[[], _T]) -> _T:
        if self._busy[name] >= _WIDTH:
            raise NotNowError(
                "对方的服务一直没有回答", "the provider hangs: check the network and the provider", is_link=True
            )
        loop = asyncio.get_running_loop()
        self._busy[name] += 1
        job = loop.run_in_executor(self._threads, work)
        job.add_done_callback(lambda done: self._ended(name, done))
        # Cancelled is only the waiting: the thread goes on until the library gives up, and counts until then.
        answer = asyncio.shield(job)
        answer.add_done_callback(_retrieve)
        return await answer

    def _ended(self, name: str, job: asyncio.Future[Any]) -> None:
        self._busy[name] -= 1
        _retrieve(job)


def _retrieve(done: asyncio.Future[Any]) -> None:
    """Nobody may be left who asks for it."""
    if not done.cancelled():
        done.exception()


def _notify(url: str, text: str) -> None:
    """Blocking. Raises when it was not accepted."""
    import apprise  # noqa: PLC0415 - see _sender

    subject = text[:_SUBJECT] if urlsplit(url).scheme in _MAIL else ""
    if not _sender(url).notify(body=text, title=subject, body_format=apprise.NotifyFormat.TEXT):
        raise NotNowError(
            "对方没有接受:检查地址和网络", "the provider did not accept it: check its address and the network"
        )


def _sender(url: str) -> Any:
    """The service at ``url``, by itself.

    Apprise's list of services sends through one pool of few threads for the whole process: on two cores six messages
    that hang would delay everybody.
    """
    import apprise  # noqa: PLC0415 - 0.2 s and 20 MB that a site without it need not pay

    parts = urlsplit(url)
    if parts.scheme == "mailto" and parts.password and parts.hostname not in {"localhost", "127.0.0.1", "::1"}:
        raise NeverError(
            "mailto:// 会明文传口令:写 mailtos://", "mailto:// sends the password in plain text: write mailtos://"
        )
    service = apprise.Apprise.instantiate(url)
    if not service:
        raise NeverError(
            "地址不是 apprise 的 URL:见 apprise 的服务列表",
            "the address is no apprise URL: see the list of services of apprise",
        )
    return service


def _log_in(url: str) -> None:
    """Blocking. As far as a message would get before it is handed over."""
    import smtplib  # noqa: PLC0415 - sites without e-mail do not need it

    with contextlib.suppress(ImportError):
        from apprise.plugins.email.smtp import AppriseSMTPController  # noqa: PLC0415

        mail = _sender(url)
        try:
            with AppriseSMTPController(
                host=mail.smtp_host, port=mail.port, secure_mode=mail.secure_mode, user=mail.user,
                password=mail.password, verify_certificate=mail.verify_certificate,
                socket_connect_timeout=mail.socket_connect_timeout,
            ):  # fmt: skip
                pass
        except smtplib.SMTPAuthenticationError:
            raise NotNowError(
                "邮件服务器不认用户名或口令", "the mail server refuses the user or the password", is_link=True
            ) from None
        except (OSError, smtplib.SMTPException) as error:
            name = type(error).__name__
            raise NotNowError(
                f"连不上邮件服务器({name})", f"the mail server cannot be reached ({name})", is_link=True
            ) from None
