"""A child process that is started beside the event loop: whoever forks waits until the child has become its program.

A loop that waits so (libuv does, and a vfork stops the whole process) stands still with a child that is stopped,
starved or kept by a hanging disk between the two. Here a thread waits. What the child is for belongs to the callers.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import subprocess
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import TypeVar

_T = TypeVar("_T")

setattr(subprocess, "_USE_VFORK", False)  # noqa: B010 - the documented switch (mypy: final); a plain fork goes on at once


class Child:
    """A running process with a pipe to its standard input."""

    def __init__(self, process: subprocess.Popen[bytes], pipe: asyncio.WriteTransport) -> None:
        self._process = process
        self.pid = process.pid
        self.pipe = pipe
        try:
            self._end = _beside(process.wait)
        except OSError:
            process.kill()
            raise

    @classmethod
    async def start(cls, argv: Sequence[str]) -> Child:
        """Start a program.

        Raises:
            OSError: it could not be started.
        """
        spawned = _beside(lambda: subprocess.Popen(argv, stdin=subprocess.PIPE))  # noqa: S603 - our own program
        try:
            process = await asyncio.shield(asyncio.wrap_future(spawned))
        except asyncio.CancelledError:
            spawned.add_done_callback(_kill_unwanted)
            raise
        pipe, _ = await asyncio.get_running_loop().connect_write_pipe(asyncio.BaseProtocol, process.stdin)
        return cls(process, pipe)

    @property
    def is_over(self) -> bool:
        """Has it ended?"""
        return self._end.done()

    async def wait(self) -> int:
        """Its exit code, once it has ended."""
        return await asyncio.shield(asyncio.wrap_future(self._end))

    def terminate(self) -> None:
        """SIGTERM."""
        self._process.terminate()

    def kill(self) -> None:
        """SIGKILL."""
        self._process.kill()


def _beside(work: Callable[[], _T]) -> Future[_T]:
    """Do it in a thread that the end of this process does not wait for."""
    done: Future[_T] = Future()
    done.set_running_or_notify_cancel()

    def do() -> None:
        try:
            done.set_result(work())
        except BaseException as error:  # noqa: BLE001 - handed to whoever waits
            done.set_exception(error)

    try:
        threading.Thread(target=do, daemon=True, name="child").start()
    except RuntimeError as error:  # no thread to be had: as little as a process
        raise OSError(errno.EAGAIN, str(error)) from error
    return done


def _kill_unwanted(spawned: Future[subprocess.Popen[bytes]]) -> None:
    with contextlib.suppress(OSError):
        spawned.result().kill()
