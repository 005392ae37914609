"""Room: notify. Messages that wait for one turn at the same address and go out as one.

Only what is not about lives: a message of life safety always goes alone. Which ones are, the hub decides.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace

from gateway.notify.channels.base import Message, Receipt

_WHOLE = 3  # so many are told in their own words
_MOST_BYTES = 1_900  # 企业微信 takes 2,048
_MOST = 1_000


@dataclass(slots=True)
class Batch:
    """The first message that waits, and those that joined it; ``done`` is what became of them all."""

    messages: list[Message]
    done: asyncio.Future[Receipt] = field(default_factory=lambda: asyncio.get_running_loop().create_future())
    is_closed: bool = False

    def takes(self, message: Message) -> bool:
        """Add ``message``, unless the batch has left or is full."""
        if self.is_closed or len(self.messages) >= _MOST:
            return False
        self.messages.append(message)
        return True

    def close(self, language: str) -> Message:
        """Nobody joins any more: the one message to send."""
        self.is_closed = True
        texts = [each.text for each in self.messages]
        return replace(self.messages[0], text=merged(texts, language))

    def end(self, result: Receipt | BaseException) -> None:
        """Tell those who joined."""
        if len(self.messages) == 1 or isinstance(result, asyncio.CancelledError):
            self.done.cancel()
        elif isinstance(result, BaseException):
            self.done.set_exception(result)
            self.done.exception()  # it is not lost when all who joined have been cancelled
        else:
            self.done.set_result(result)


def merged(texts: list[str], language: str) -> str:
    """One text of several: the first few whole, as far as they fit, and how many more there are."""
    kept = texts[:1]
    for each in texts[1:_WHOLE]:
        if len("\n".join([*kept, each]).encode()) <= _MOST_BYTES:
            kept.append(each)
    more = len(texts) - len(kept)
    if more:
        kept.append(f"and {more} more, see the console" if language == "en" else f"另有 {more} 条,请看值班页")
    return "\n".join(kept)
