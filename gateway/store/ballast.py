"""Disk space kept back for the moment the disk is full: deleting rows needs room for the log. No SQL here."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

_MOST_BYTES = 16_000_000
_LEAST_BYTES = 262_144
_SHARE = 8  # one part in so many of what is free
_NARROW_BYTES = 1_000_000  # with less the database may not open: its log and index need room
_NAME = "ballast"


class Ballast:
    """A file that can be thrown overboard."""

    def __init__(self, directory: str) -> None:
        self._path = Path(directory) / _NAME
        self.stow()

    def stow(self) -> None:
        """Make the file, where there is room for it."""
        with contextlib.suppress(OSError):
            if self._path.exists() and self._path.stat().st_size:  # of no bytes: killed as it was made
                return
            room = os.statvfs(self._path.parent)
            size = min(_MOST_BYTES, room.f_bavail * room.f_frsize // _SHARE)
            if size < _LEAST_BYTES:
                return
            descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT, 0o600)
            try:
                os.posix_fallocate(descriptor, 0, size)
            except OSError:
                self._path.unlink(missing_ok=True)
            finally:
                os.close(descriptor)

    def throw(self) -> None:
        """Give the space back to the disk."""
        with contextlib.suppress(OSError):
            self._path.unlink(missing_ok=True)


def make_room(directory: str) -> None:
    """Before the database is opened: a gateway must start on a full disk, too."""
    with contextlib.suppress(OSError):
        room = os.statvfs(directory)
        if room.f_bavail * room.f_frsize < _NARROW_BYTES:
            (Path(directory) / _NAME).unlink(missing_ok=True)
