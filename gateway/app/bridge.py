"""The cloud bridge as the gateway's child process: started again when it ends, rung at each commit."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from pathlib import Path

from gateway.app.child import Child
from gateway.store.database import log_path

_MOST_UNREAD = 1024  # bytes in the pipe of a bridge that does not read: it will look by itself
_STOP_S = 5.0
_LOOK_S = 2.0
_MOST_LOG_BYTES = 64_000_000  # by which the database's log may grow while a bridge runs: half a minute of commits
_NICE = 5  # its start and its replays leave the processor to whoever decides on alarms
_DIES_FIRST = "500"  # of -1000 to 1000


def die_first() -> None:
    """In the bridge: where memory ends, the kernel takes this process and not the gateway; a raise needs no right."""
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text(_DIES_FIRST)


class BridgeEnded(Exception):  # noqa: N818 - the supervisor expects it
    """The bridge's process has ended."""


class BridgeProcess:
    """One child process. It never holds a lock the gateway needs, and the gateway never waits for it."""

    def __init__(self, config: Path, data_dir: str) -> None:
        """``data_dir``: where the gateway keeps its data now."""
        self._config = config
        self._data_dir = data_dir
        self._log = log_path(data_dir)
        self._process: Child | None = None

    async def run(self) -> None:
        """Run the bridge until it ends, or stop it when cancelled.

        Raises:
            BridgeEnded: it has ended by itself, or could not be started.
        """
        try:
            process = await Child.start(
                (sys.executable, "-m", "gateway", "bridge", "--config", str(self._config),
                 "--data-dir", self._data_dir, "--wake-from-stdin")
            )  # fmt: skip
        except OSError as error:  # no memory, no process to be had: the clouds can wait, alarms cannot
            raise BridgeEnded(f"the bridge cannot be started: {error}") from error
        with contextlib.suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, process.pid, _NICE)
        self._process = process
        try:
            code = await self._watch(process)
        finally:
            self._process = None
            await _stop(process)
        raise BridgeEnded(f"the bridge ended with code {code}")

    async def _watch(self, process: Child) -> int:
        """Its exit code. A bridge that stands still in the middle of a read is killed: until it goes on the log
        cannot begin again, and grows by 10 GB an hour at 200 commits a second.

        Raises:
            BridgeEnded: it was killed.
        """  # noqa: D205 - one paragraph
        ended = asyncio.ensure_future(process.wait())
        least = self._log_bytes()
        while not ended.done():
            await asyncio.wait([ended], timeout=_LOOK_S)
            least = min(least, self._log_bytes())
            if not ended.done() and self._log_bytes() > least + _MOST_LOG_BYTES:
                process.kill()
                await ended
                raise BridgeEnded("the bridge held up the database's log (it stood still) and was killed")
        return ended.result()

    def _log_bytes(self) -> int:
        try:
            return self._log.stat().st_size
        except OSError:
            return 0

    def ring(self) -> None:
        """There are new rows in the outbox."""
        pipe = None if self._process is None else self._process.pipe
        if pipe is not None and not pipe.is_closing() and pipe.get_write_buffer_size() < _MOST_UNREAD:
            pipe.write(b"\n")


async def _stop(process: Child) -> None:
    process.pipe.close()  # the bridge takes the end of its input for ours
    if process.is_over:
        return
    for end in (_nothing, process.terminate, process.kill):
        with contextlib.suppress(TimeoutError, ProcessLookupError):
            end()
            async with asyncio.timeout(_STOP_S / 3):  # not wait_for: that of 3.11 can swallow a cancel
                await process.wait()
            return


def _nothing() -> None:
    pass
