"""The number of the birth (bdSeq): one more at each CONNECT, over restarts too.

A death that the platform's broker publishes late (the will of a session that hung) then never has the number of the
birth that came after it. Kept in a small file of its own; a disk that refuses or hangs costs only that certainty.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

_WRITE_S = 1.0


class BirthNumber:
    """0 to 255, then 0 again."""

    def __init__(self, data_dir: str, who: str) -> None:
        """``who`` tells edge nodes in one directory apart; ``data_dir`` "" keeps nothing."""
        name = f"sparkplug-{hashlib.sha256(who.encode()).hexdigest()[:16]}.bdseq"
        self._path = Path(data_dir, name) if data_dir else None
        self._last = self._read()
        self._writing: asyncio.Future[None] | None = None
        self._thread = ThreadPoolExecutor(1, "bdseq")

    def _read(self) -> int:
        if self._path is not None:
            with contextlib.suppress(OSError, ValueError):
                return int(self._path.read_bytes()[:8]) % 256
        return -1

    async def next(self) -> int:
        """The number of the coming session; written down first where the disk takes it within a second."""
        self._last = (self._last + 1) % 256
        if self._path is not None and (self._writing is None or self._writing.done()):
            loop = asyncio.get_running_loop()
            self._writing = loop.run_in_executor(self._thread, self._write, self._path, self._last)
            await asyncio.wait([self._writing], timeout=_WRITE_S)
        return self._last

    @staticmethod
    def _write(path: Path, number: int) -> None:
        new = path.with_suffix(".new")
        with contextlib.suppress(OSError):
            descriptor = os.open(new, os.O_CREAT | os.O_WRONLY | os.O_TRUNC | os.O_CLOEXEC, 0o600)
            try:
                os.write(descriptor, b"%d\n" % number)
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
            new.replace(path)
