"""Who asks: two platforms that number alike, and somebody else on this machine."""

from __future__ import annotations

import os
import socket
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cloud_bridge.ask import Request
from cloud_bridge.downlink import SOCKET_FILE, short_path
from gateway.app.cloud_requests import CloudRequests, asked_of
from gateway.model import Verb
from tests.support_core import until
from tests.support_downlink import OwnBox
from tests.test_app_downlink import COMMANDS, FIRE, SMOKE, line

_NOBODY = 65_534


def _open_to_all(directory: Path) -> None:
    directory.chmod(0o755)
    (directory / SOCKET_FILE).chmod(0o666)


async def test_two_platforms_may_number_alike(tmp_path: Path) -> None:
    """The same id of another platform is another request: it gets its own answer, not that of the first."""
    async with OwnBox(tmp_path, COMMANDS).living() as box:
        (cloud, *_) = box.site.uplinks
        both = replace(box.site, uplinks=(cloud, replace(cloud, id="other")))
        requests = CloudRequests(both, box.port, box.users.audit, box.clock, box.counters)
        await box.read(SMOKE, True)

        async def take(uplink: str) -> dict[str, Any]:
            body = {"n": 1, "uplink": uplink, "id": "1", "verb": "take", "alarm": FIRE, "version": 1, "args": {}}
            deadline_s = box.clock.now().mono_s + 10
            return await requests.answer(asked_of({**body, "user": "", "deadline_mono_s": deadline_s}))

        first, second, again = await take("cloud"), await take("other"), await take("cloud")
    assert first["is_accepted"]
    assert (second["is_accepted"], second["code"]) == (False, "stale_version")
    assert again == first


async def test_an_id_is_that_of_one_question(tmp_path: Path) -> None:
    """The same id with other words is no repeat: it is refused, and not answered with what became of the first."""
    async with OwnBox(tmp_path, COMMANDS).living() as box:
        await box.read(SMOKE, True)
        first, other, again = [
            await box.ask(Request("1", Verb.NOTE, FIRE, 1, {"text": text})) for text in ("one", "other", "one")
        ]
    assert first.is_accepted
    assert (other.is_accepted, other.code) == (False, "request_id_reused")
    assert again == first


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to be somebody else for a moment")
async def test_another_user_of_this_machine_is_not_heard(tmp_path: Path) -> None:
    """Even where the socket's mode were wrong: who connects is asked of the kernel."""
    async with OwnBox(tmp_path, COMMANDS).living() as box:
        _open_to_all(tmp_path)
        with socket.socket(socket.AF_UNIX) as stranger, short_path(str(tmp_path), SOCKET_FILE) as path:
            os.seteuid(_NOBODY)
            try:
                stranger.connect(path)
            finally:
                os.seteuid(0)
            stranger.sendall(line(1))
            await until(lambda: box.counters.total("downlink_hang_ups", reason="foreign") == 1)
        assert box.counters.total("cloud_requests") == 0
