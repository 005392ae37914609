"""The outage, poison and cluster tests as they are run by hand, in their short forms: one command each, 0 lost."""

from __future__ import annotations

import asyncio
import shutil
import sys
from pathlib import Path

import pytest

from tests.support_broker import need

ROOT = Path(__file__).parent.parent
PLACES = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin"
NEEDED = {each: each for each in ("mosquitto", "nats-server", "victoria-metrics")} | {"influxd": "influxdb"}

_HANGS_S = 2400  # it gives up by itself where nothing moves; how fast that goes is no matter here

pytestmark = pytest.mark.slow


def _need(*programs: str) -> None:
    for each in programs:
        need(NEEDED[each], is_there=shutil.which(each, path=PLACES) is not None)


async def _run(module: str, *options: str) -> str:
    """What the command printed; it must end with 0."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", f"benchmarks.{module}", *options,
        cwd=ROOT, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    try:
        async with asyncio.timeout(_HANGS_S):
            said, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.terminate()
            await process.wait()
    text = said.decode()
    assert process.returncode == 0, text
    assert text.rstrip().endswith("PASSED"), text
    return text


async def test_an_outage_with_kills_of_every_process_loses_and_doubles_nothing() -> None:
    """Line reset, line stalled, broker dead; gateway, bridge and broker killed with -9: every acknowledged reading and
    alarm is at the platform, by id once, in the order of its device, with its first timestamp."""
    _need("mosquitto")
    said = await _run("outage", "--runs", "3", "--outage-s", "6", "--at-once", "3")
    assert "3 runs (0 failed themselves), 1 cut, 1 down, 1 stall" in said


async def test_an_outage_with_kills_costs_sparkplug_and_thingsboard_nothing() -> None:
    """Platforms without message ids: nothing lost, moved or out of order; births, bdSeq, sequence and history as the
    specification has them and the newest value at a real host; every device connected before anything is said of it."""
    _need("mosquitto")
    said = await _run("outage", "--uplink", "sparkplug", "thingsboard", "--runs", "1", "--outage-s", "4", "--seed", "2")
    assert "2 runs (0 failed themselves), 1 cut, 1 down" in said


async def test_poison_is_put_aside_and_shown_and_the_rest_flows() -> None:
    """Nineteen platforms at once: those that refuse one reading and one alarm, in every way there is, lose only the
    rows with these; those that are ill for a while lose nothing."""
    _need("mosquitto")
    said = await _run("poison", "--seconds", "16")
    assert said.count(" holds\n") == 19


async def test_a_cluster_that_loses_its_leader_under_load_loses_nothing() -> None:
    """Three nats-server nodes with client certificates lose the leader of the MQTT streams and the bridge's node; the
    time-series servers go and come; every reading is asked back."""
    _need(*NEEDED)
    said = await _run("cluster", "--seconds", "16", "--rate", "100")
    assert "the leader of $MQTT_msgs" in said
