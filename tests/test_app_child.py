"""Children: whatever becomes of one, the event loop of the gateway goes on."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from gateway.app.bridge import BridgeProcess
from gateway.app.child import Child

STOPPED_S = 0.8
STARTS = 10  # of a start by libuv one in ten stands still: the stop must fall between fork and exec

_STOPPER = f"""
import os, signal, sys, time
parent, seen = int(sys.argv[1]), set()
print("ready", flush=True)
while True:
    for each in os.listdir(f"/proc/{{parent}}/task"):
        try:
            children = open(f"/proc/{{parent}}/task/{{each}}/children").read().split()
        except OSError:
            continue
        for child in children:
            if child in seen or int(child) == os.getpid():
                continue
            seen.add(child)
            try:
                os.kill(int(child), signal.SIGSTOP)
                time.sleep({STOPPED_S})
                os.kill(int(child), signal.SIGCONT)
            except OSError:
                pass
"""


async def test_a_child_that_is_stopped_as_it_begins_does_not_stop_the_loop() -> None:
    """SIGSTOP at the first sight of a child, also between fork and exec: alarms go on being evaluated."""
    with subprocess.Popen(
        [sys.executable, "-c", _STOPPER, str(os.getpid())], stdout=subprocess.PIPE, start_new_session=True
    ) as stopper:
        assert stopper.stdout is not None
        stopper.stdout.readline()
        longest_s = 0.0

        async def beat() -> None:
            nonlocal longest_s
            last_s = time.perf_counter()
            while True:
                await asyncio.sleep(0.005)
                longest_s, last_s = max(longest_s, time.perf_counter() - last_s), time.perf_counter()

        beating = asyncio.create_task(beat())
        try:
            for _ in range(STARTS):
                child = await Child.start((sys.executable, "-c", "pass"))
                child.pipe.close()
                assert await child.wait() == 0
        finally:
            beating.cancel()
            stopper.kill()
    assert longest_s < STOPPED_S / 2


async def test_its_end_is_told_with_its_code() -> None:
    """The end of its input ends it; who waits gets the code."""
    child = await Child.start((sys.executable, "-c", "import sys; sys.stdin.read(); sys.exit(7)"))
    assert not child.is_over
    child.pipe.close()
    assert await child.wait() == 7
    assert child.is_over


async def test_a_program_that_is_not_there_is_an_error_of_the_caller() -> None:
    """As every other start that fails."""
    with pytest.raises(OSError, match="no-such-program"):
        await Child.start(("/no-such-program",))


async def test_a_bridge_that_does_not_read_costs_no_memory() -> None:
    """Stopped or starved it is rung at each commit all the same: a few of them stay in the pipe."""
    bridge = BridgeProcess(Path("config"), "/nowhere")
    child = await Child.start((sys.executable, "-c", "import time; time.sleep(60)"))
    bridge._process = child
    try:
        for _ in range(200_000):
            bridge.ring()
        assert 0 < child.pipe.get_write_buffer_size() < 10_000
    finally:
        child.kill()
        await child.wait()


async def test_where_no_thread_is_to_be_had_that_is_said_as_of_a_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """The supervisor of the bridge takes it for a bridge that could not be started, and not for the gateway's end."""

    def start(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")  # as CPython does

    monkeypatch.setattr(threading.Thread, "start", start)
    with pytest.raises(OSError, match="can't start new thread"):
        await Child.start((sys.executable, "-c", "pass"))
