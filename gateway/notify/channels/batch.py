"""Room: notify. Messages that wait for one turn at the same address and go out as one.

What is about lives and what is not never share a message; when what is about lives may wait at all, the hub decides.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from gateway.notify.channels.base import Message, OvertakenError, Receipt

_WHOLE = 3  # so many are told in their own words; of those about lives as many as fit
_MOST_BYTES = 1_900  # 企业微信 takes 2,048
_MOST = 1_000


@dataclass(slots=True)
class Batch:
    """The first message that waits, and those that joined it; ``done`` is what became of them all."""

    messages: list[Message]
    done: asyncio.Future[Receipt] = field(default_factory=lambda: asyncio.get_running_loop().create_future())
    is_closed: bool = False
    overtaken: set[str] = field(default_factory=set)  # keys of those that were not worth saying any more

    def takes(self, message: Message) -> bool:
        """Add ``message``, unless the batch has left or is full."""
        if self.is_closed or len(self.messages) >= _MOST:
            return False
        self.messages.append(message)
        return True

    def close(self, language: str, is_wanted: Callable[[Message], bool]) -> Message:
        """Nobody joins any more: the one message to send. Asked before each try.

        Raises:
            OvertakenError: none of them is still worth saying.
        """
        self.is_closed = True
        self.overtaken = {each.key for each in self.messages if not is_wanted(each)}
        kept = [each for each in self.messages if each.key not in self.overtaken]
        if not kept:
            raise OvertakenError
        whole = _MOST if kept[0].is_urgent else _WHOLE
        return replace(kept[0], text=merged([each.text for each in kept], language, whole))

    def end(self, result: Receipt | BaseException) -> None:
        """Tell those who joined."""
        if len(self.messages) == 1 or isinstance(result, asyncio.CancelledError):
            self.done.cancel()
        elif isinstance(result, BaseException):
            self.done.set_exception(result)
            self.done.exception()  # it is not lost when all who joined have been cancelled
        else:
            self.done.set_result(result)


def merged(texts: list[str], language: str, whole: int = _WHOLE) -> str:
    """One text of several: the first few whole, as far as they fit, and how many more there are."""
    kept = texts[:1]
    for each in texts[1:whole]:
        if len("\n".join([*kept, each]).encode()) > _MOST_BYTES:
            break
        kept.append(each)
    more = len(texts) - len(kept)
    if more:
        kept.append(f"and {more} more, see the console" if language == "en" else f"另有 {more} 条,请看值班页")
    return "\n".join(kept)
