"""Room: notify. The duty desk's page as a channel: it is told when a page that is open has it, and not before.

What pages show is `gateway.web`'s; here is only whether there is one. Nobody at the desk is a fault of the channel.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol

from gateway.notify.channels.base import DELIVERED, NotNowError, Receipt

CONSOLE = "console"
NOTICE_S = 10.0  # so long a notice waits for a page; one that lost us is back after a second
EMPTY_S = 60.0  # so long no page may be open: a page that is loaded anew, a shift that changes
_LOOK_EVERY_S = 2.0


class Screens(Protocol):
    """The pages."""

    async def caught_up(self) -> None:
        """Return when a page that is open has been sent everything that has been published by now."""
        ...


class Console:
    """All recipients share the pages: there is one desk."""

    def __init__(self, screens: Screens | None, *, notice_s: float = NOTICE_S, empty_s: float = EMPTY_S) -> None:
        """``screens`` None: this process has no pages, and can only say that it took the notice."""
        self._screens = screens
        self._notice_s = notice_s
        self._empty_s = empty_s

    async def carry(self) -> Receipt:
        """Wait until a page has what was published so far.

        Raises:
            NotNowError: no page is open.
        """
        if self._screens is None:
            return Receipt()
        await self._wait(self._screens, self._notice_s)
        return Receipt(DELIVERED)

    async def watch(self, say: Callable[[NotNowError | None], None]) -> None:
        """For ever: ``say`` why nobody can be reached, or None when somebody can."""
        while self._screens is not None:
            try:
                await self._wait(self._screens, self._empty_s)
            except NotNowError as error:
                say(error)
            else:
                say(None)
                await asyncio.sleep(_LOOK_EVERY_S)

    async def _wait(self, screens: Screens, limit_s: float) -> None:
        try:
            async with asyncio.timeout(limit_s):
                await screens.caught_up()
        except TimeoutError:
            raise NotNowError(
                f"{limit_s:g} 秒内没有打开的值班页:在值班台打开并登录",
                f"no console page was open for {limit_s:g} s: open one at the duty desk and log in",
                is_link=True,
            ) from None
