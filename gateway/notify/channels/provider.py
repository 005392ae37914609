"""Room: notify. E-mail, SMS services and everything else that apprise, a library for notifications, can reach.

Apprise blocks, so it works in threads; and it says only yes or no. Robots, whose refusals it does not see, go to
`robots`.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, TypeVar
from urllib.parse import urlsplit

from gateway.notify.channels.base import Address, Limit, Line, Message, NeverError, NotNowError, Receipt, to_each
from gateway.notify.channels.robots import RobotCarrier, endpoint, robot_lines

_WIDTH = 4
_THREADS = 8 * _WIDTH  # eight providers can hang with all their turns and delay no other
_SUBJECT = 60  # characters
_MAIL = ("mailto", "mailtos")
_OWN_HOST = ("json", "jsons", "xml", "xmls", "form", "forms")  # of others what stands there may be a token
_CONNECT_S = 5.0
_PORTS = {"http": 80, "https": 443}
_HARMLESS = "json://localhost"  # names a service, so that all of them are loaded; nothing is sent

_T = TypeVar("_T")

logging.getLogger("apprise").setLevel(logging.CRITICAL)  # its warnings hold addresses


class ProviderCarrier:
    """What apprise can reach, in threads: at most four for one address."""

    limit = Limit(width=_WIDTH)

    def __init__(self, robots: RobotCarrier) -> None:
        self._robots = robots
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="notify")
        self._busy: Counter[str] = Counter()  # by address: threads, also those whose time is over

    def lines(self, address: Address) -> list[Line]:
        """See `Carrier.lines`. A robot has its own limit, whichever way its address is written."""
        return robot_lines(address) or [Line(address.line, self.limit)]

    async def warm(self) -> None:
        """See `Carrier.warm`. A call for help must not wait for the library to be loaded."""
        await asyncio.get_running_loop().run_in_executor(self._threads, _library)

    async def carry(self, address: Address, message: Message, reached: set[str]) -> Receipt:
        """See `Carrier.carry`."""

        async def send(text: str) -> None:
            if endpoint(text) is not None:
                await self._robots.say(text, message.text)
                return
            width = _WIDTH if message.is_urgent else _WIDTH - 1  # what hangs leaves a thread for lives
            work = partial(_notify, text, message.text)
            try:
                await self._in_thread(address.name, work, width)
            except NotNowError as error:
                if not error.is_link:
                    await self._in_thread(address.name, partial(_reach, text), width)  # refused, or nobody there?
                raise

        await to_each(address.reveal(), reached, send)
        return Receipt()

    async def check(self, address: Address) -> bool:
        """Log in at the mail server, connect to the servers of others: how far one gets without saying anything."""
        known = []
        for each in address.reveal():
            if endpoint(each) is not None:
                await self._robots.check_one(each)
                known.append(True)
            else:
                known.append(await self._in_thread(address.name, partial(_reach, each), _WIDTH))
        return all(known)

    def close(self) -> None:
        """Give up what waits for a thread."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _in_thread(self, name: str, work: Callable[[], _T], width: int) -> _T:
        if self._busy[name] >= width:
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


def _library() -> Any:
    """Apprise with all its services. Blocking: the first call takes half a second of a core, and 20 MB."""
    import apprise  # noqa: PLC0415 - what a site without it need not pay

    apprise.Apprise.instantiate(_HARMLESS)
    return apprise


def _notify(url: str, text: str) -> None:
    """Blocking. Raises when it was not accepted."""
    subject = text[:_SUBJECT] if urlsplit(url).scheme in _MAIL else ""
    form = _library().NotifyFormat.TEXT
    if not _sender(url).notify(body=text, title=subject, body_format=form):
        raise NotNowError(
            "对方没有接受:检查地址和网络", "the provider did not accept it: check its address and the network"
        )


def _sender(url: str) -> Any:
    """The service at ``url``, by itself.

    Apprise's list of services sends through one pool of few threads for the whole process: on two cores six messages
    that hang would delay everybody.
    """
    parts = urlsplit(url)
    if parts.scheme == "mailto" and parts.password and parts.hostname not in {"localhost", "127.0.0.1", "::1"}:
        raise NeverError(
            "mailto:// 会明文传口令:写 mailtos://", "mailto:// sends the password in plain text: write mailtos://"
        )
    service = _library().Apprise.instantiate(url)
    if not service:
        raise NeverError(
            "地址不是 apprise 的 URL:见 apprise 的服务列表",
            "the address is no apprise URL: see the list of services of apprise",
        )
    return service


def _reach(url: str) -> bool:
    """Blocking. Is the server there? Nothing is sent. False: which server it is cannot be told.

    Raises:
        NotNowError, NeverError: it is not, and why.
    """
    if urlsplit(url).scheme in _MAIL:
        _log_in(url)
        return True
    service = _sender(url)
    parts = urlsplit(str(getattr(service, "notify_url", "")).partition("{")[0])
    if urlsplit(url).scheme in _OWN_HOST:
        where = str(service.host), int(service.port or (443 if service.secure else 80))
    elif parts.hostname and parts.path:  # without a path the name of the server may be one of its variables
        where = parts.hostname, parts.port or _PORTS.get(parts.scheme, 443)
    else:
        return False
    try:
        socket.create_connection(where, _CONNECT_S).close()
    except OSError as error:
        name = type(error).__name__
        raise NotNowError(
            f"连不上对方的服务({name}):检查网络",
            f"its server cannot be reached ({name}): check the network",
            is_link=True,
        ) from None
    return True


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
