"""Who may log in: as the store keeps it and the web checks it. Frozen values, no I/O."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple


class User(NamedTuple):
    """A person who may log in."""

    name: str
    role: str  # duty | supervisor | installer
    password_hash: str


class Session(NamedTuple):
    """A log-in that is on record; whoever asks compares ``expires_at``."""

    user: str
    role: str
    expires_at: datetime
