"""The primary host: what its STATE says, and how QoS 0 is settled by it (ADR 0019)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import orjson


class HostState:
    """Is the primary host online? An older word than the last one counts for nothing (its will may come late)."""

    def __init__(self) -> None:
        self._timestamp = -1
        self.is_online = False
        self.came_online = asyncio.Event()

    def hear(self, payload: bytes) -> bool:
        """Take in a STATE message; False where it is none, or older than the last."""
        try:
            body = orjson.loads(payload)
        except orjson.JSONDecodeError:
            return False
        if not isinstance(body, dict) or not isinstance(body.get("online"), bool):
            return False
        timestamp = body.get("timestamp")
        if type(timestamp) is not int or timestamp < self._timestamp:
            return False
        self._timestamp, self.is_online = timestamp, body["online"]
        if self.is_online:
            self.came_online.set()
        else:
            self.came_online.clear()
        return True


class Barrier:
    """Proof for messages that have no receipt.

    The same subscription again after them: the broker, which takes packets in order, answers it with SUBACK when it
    has taken all that came before, and tells STATE, which it retains, once more. Both together settle: the broker had
    the messages, and the primary host its session. Of what the host then did with them QoS 0 says nothing.
    """

    def __init__(self, subscribe: Callable[[], asyncio.Future[None]]) -> None:
        self._subscribe = subscribe
        self._next: list[asyncio.Future[None]] = []
        self._asked: list[asyncio.Future[None]] = []
        self._has_suback = self._has_state = False

    def add(self) -> asyncio.Future[None]:
        """A message has just been sent; the future ends when it is proved."""
        proof: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._next.append(proof)
        if not self._asked:
            asyncio.get_running_loop().call_soon(self._ask)
        return proof

    def state(self) -> None:
        """STATE came and says online."""
        self._has_state = True
        self._look()

    def end(self, error: Exception) -> None:
        """The connection is gone."""
        proofs, self._asked, self._next = self._asked + self._next, [], []
        for proof in proofs:
            if not proof.done():
                proof.set_exception(error)
                proof.exception()  # whoever waited has made up its mind already

    def _ask(self) -> None:
        if self._asked or not self._next:
            return
        self._asked, self._next = self._next, []
        self._has_suback = self._has_state = False
        self._subscribe().add_done_callback(self._suback)

    def _suback(self, answer: asyncio.Future[None]) -> None:
        error = None if answer.cancelled() else answer.exception()
        if answer.cancelled() or error is not None:
            self.end(error if isinstance(error, Exception) else ConnectionError("the session ended"))
            return
        self._has_suback = True
        self._look()

    def _look(self) -> None:
        if not (self._asked and self._has_suback and self._has_state):
            return
        proofs, self._asked = self._asked, []
        for proof in proofs:
            if not proof.done():
                proof.set_result(None)
        self._ask()
