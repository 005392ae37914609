"""Which QoS 1 messages come a second time after a session was taken up again. Pure: no session, no clock.

A message that is sent again keeps its packet identifier (MQTT 3.1.1, 4.3.2 and 4.4) and is marked DUP. Of each
packet identifier only the newest message counts: identifiers are used again.
"""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Iterable

_WINDOW_S = 10.0  # after a session is taken up again, messages may be repeats for this long
_UNMARKED = 256  # of the newest are compared where a broker marks nothing
_REMEMBERED = 4096  # messages of the running session: more than a broker keeps in flight


def digest_of(mid: int, topic: str, payload: bytes) -> bytes:
    """Ten bytes: the packet identifier and eight of BLAKE2b over topic and payload."""
    return mid.to_bytes(2, "big") + hashlib.blake2b(topic.encode() + b"\0" + payload, digest_size=8).digest()


class Repeats:
    """What was taken before the session ended and may come again."""

    def __init__(self, *, are_marked: bool) -> None:
        """``are_marked``: the broker sets DUP and keeps packet identifiers, as the standard says."""
        self._are_marked = are_marked
        self._recent: deque[tuple[float, bytes]] = deque(maxlen=_REMEMBERED)
        self._suspects: dict[bytes, bytes] = {}  # by packet identifier; unmarked: by the digest itself
        self._until_s = 0.0

    def expect(self, digests: Iterable[bytes]) -> None:
        """These were committed before the last stop, oldest first."""
        taken = list(digests)
        for each in taken if self._are_marked else taken[-_UNMARKED:]:
            self._suspects[self._key(each)] = each

    def took(self, digest: bytes, now_s: float) -> None:
        """A message entered."""
        self._recent.append((now_s, digest))

    def session_ended(self, now_s: float) -> None:
        """What entered lately was acknowledged to nobody, perhaps."""
        self.expect(digest for at_s, digest in self._recent if now_s - at_s < _WINDOW_S)
        self._recent.clear()

    def session_began(self, now_s: float, *, is_resumed: bool) -> None:
        """A new session has nothing to send again."""
        if is_resumed:
            self._until_s = now_s + _WINDOW_S
        else:
            self._suspects.clear()

    def is_repeat(self, digest: bytes, now_s: float, *, is_marked: bool) -> bool:
        """Did exactly this message enter before the session ended?"""
        if not self._suspects:
            return False
        if now_s > self._until_s:
            self._suspects.clear()
            return False
        if self._are_marked and not is_marked:
            return False
        key = self._key(digest)
        if self._suspects.get(key, b"")[2:] != digest[2:]:
            return False
        del self._suspects[key]
        return True

    def _key(self, digest: bytes) -> bytes:
        return digest[:2] if self._are_marked else digest[2:]
