"""Room: notify. Every way of telling people: one notice goes in, one honest result comes out.

Who is told what is `gateway.notify.policy`'s. One file for each kind of carrier; what they share is in `base`.
"""

from __future__ import annotations

from gateway.notify.channels.console import Console
from gateway.notify.channels.hub import Channels

__all__ = ["Channels", "Console"]
