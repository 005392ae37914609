"""What the pipeline needs of a store, which writes in a thread of its own. What is written is `gateway.store`'s."""

from __future__ import annotations

from typing import Protocol

from gateway.model import Now
from gateway.store.journal import Batch
from gateway.store.outbox import Trimmed


class Writer(Protocol):
    """The store: blocking, called from one thread."""

    def commit(self, batch: Batch) -> None:
        """Write it all or raise."""
        ...

    def is_passing(self, error: BaseException) -> bool:
        """May the same batch be written later? False for what no disk will ever take."""
        ...

    def trim(self, now: Now) -> Trimmed:
        """A bounded piece of housekeeping."""
        ...
