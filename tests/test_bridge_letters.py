"""Refused rows: shown with their reasons, and sent again when somebody asks, by the command line or the page."""

from __future__ import annotations

import os
import shutil
from datetime import timedelta
from pathlib import Path
from typing import Any

import orjson
import pytest
from typer.testing import CliRunner

from cloud_bridge import pace, retries
from gateway.app import uplinks
from gateway.clock import SystemClock
from gateway.model import Lane, Uplink
from gateway.store.dead_letters import MOST_WANTED, dead_letters, want, wanted
from gateway.store.outbox import CursorStore, OutboxReader
from tests.support_bridge import Box, Packet, bridging, site, stand_in, until

SERVICE = 65534  # somebody who is not root


@pytest.fixture
def box(tmp_path: Path) -> Box:
    return Box(tmp_path)


@pytest.fixture(autouse=True)
def _hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pace, "_FIRST_S", 0.05)
    monkeypatch.setattr(retries, "_LOOK_S", 0.1)


def up(port: int, **more: str) -> Uplink:
    return Uplink("cloud", "mqtt", {"host": "127.0.0.1", "port": str(port), **more})


def number(packet: Packet) -> int | None:
    """The first reading's value; None for another message."""
    body = orjson.loads(packet.payload)
    return int(body["r"][0][1]) if "r" in body else None


async def test_a_refused_row_goes_when_the_platform_takes_it_at_last(box: Box, tmp_path: Path) -> None:
    """Asked for twice: refused again it stays, with its reason; taken, it has gone up under its old id."""
    box.readings(10)
    refusing = True

    def answer(packet: Packet) -> bool | int:
        return 0x99 if refusing and number(packet) == 4 else True

    async with stand_in(answer, 100) as cloud, bridging(site(tmp_path, up(cloud.port))):
        await until(lambda: box.settled("cloud") == box.last(), "settled")
        (letter,) = dead_letters(str(tmp_path), "cloud")
        assert (letter.lane, letter.seq) == ("telemetry", 5)
        assert "payload format invalid" in letter.reason
        assert want(str(tmp_path), letter.id)
        await until(lambda: not wanted(str(tmp_path)), "tried")
        assert len(dead_letters(str(tmp_path), "cloud")) == 1
        refusing = False
        assert want(str(tmp_path), letter.id)
        await until(lambda: not dead_letters(str(tmp_path), "cloud"), "taken")
        await until(lambda: box.status("cloud")["rejected"] == 0, "counted")
    ids = {orjson.loads(each.payload)["id"] for each in cloud.published if number(each) == 4}
    assert len(ids) == 1


async def test_a_wish_waits_for_the_platform_and_an_idle_one_is_forgotten(box: Box, tmp_path: Path) -> None:
    """A letter that is gone is forgotten at once; wishes are bounded, and hostile names in the folder are nothing."""
    box.readings(1)
    (tmp_path / "retry.d").mkdir()
    for name in ("..x", "9" * 30, "²", "-1"):
        (tmp_path / "retry.d" / name).touch()
    for each in range(MOST_WANTED):
        assert want(str(tmp_path), each + 1)
    assert not want(str(tmp_path), 5_000)
    async with stand_in(lambda _: True, 100) as cloud, bridging(site(tmp_path, up(cloud.port))):
        await until(lambda: not wanted(str(tmp_path)), "forgotten")


async def test_what_is_told_of_an_uplink(box: Box, tmp_path: Path) -> None:
    """State, why, what waits and since when; an uplink of which the bridge says nothing is silent, not up."""
    box.readings(7)
    (entry,) = OutboxReader(str(tmp_path)).take(Lane.TELEMETRY, 0, 1)
    CursorStore(str(tmp_path)).reject("cloud", entry, "refused before this start")
    of = site(tmp_path, up(1), Uplink("new", "mqtt", {}))
    async with bridging(site(tmp_path, up(1))):
        await until(lambda: box.status("cloud").get("state") == "down", "the status")
        now = SystemClock().now().utc
        cloud, new = uplinks.uplinks_told(of, now)
        late, back = (uplinks.uplinks_told(of, now + timedelta(seconds=by))[0]["state"] for by in (20, -3600))
    assert (late, back) == ("silent", "silent")  # also after the clock was set back, until the bridge speaks again
    assert (cloud["state"], cloud["waiting"]["telemetry"], cloud["dead_letters"]) == ("down", 7, 1)
    assert cloud["oldest_waiting"].startswith("1970-01-01")  # as the box of this test stamps its rows
    assert "127.0.0.1:1" in cloud["error"]
    assert (new["state"], new["waiting"]) == ("silent", {})


def test_the_command_line(box: Box, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`shouwang uplinks list | letters | retry`: says what is, and leaves the wish for the bridge."""
    box.readings(1)
    (entry,) = OutboxReader(str(tmp_path)).take(Lane.TELEMETRY, 0)
    CursorStore(str(tmp_path)).reject("cloud", entry, "400: no such field")
    monkeypatch.setattr(uplinks, "_site", lambda _: site(tmp_path, up(1)))

    def run(*words: str) -> Any:
        return CliRunner().invoke(uplinks.app, list(words))

    assert "400: no such field" in run("letters", "cloud").output
    assert orjson.loads(run("letters", "cloud", "--json").output)[0]["seq"] == 1
    assert "cloud (mqtt)" in run("list").output
    assert orjson.loads(run("list", "--json").output)[0]["id"] == "cloud"
    assert run("retry", "cloud", "77").exit_code == 1
    assert run("retry", "nobody").exit_code == 1
    assert not wanted(str(tmp_path))
    assert run("retry", "cloud").exit_code == 0
    assert wanted(str(tmp_path)) == [1]


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_a_wish_of_root_is_the_services(tmp_path: Path) -> None:
    """`sudo shouwang uplinks retry` on the directory of the service: its bridge can see the wish and take it away."""
    os.chown(tmp_path, SERVICE, SERVICE)
    assert want(str(tmp_path), 7)
    owners = {each.name: each.stat().st_uid for each in (tmp_path / "retry.d", tmp_path / "retry.d" / "7")}
    assert owners == {"retry.d": SERVICE, "7": SERVICE}


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_a_wish_of_root_reaches_nothing_outside(tmp_path: Path) -> None:
    """A link where the wishes are, or in the place of one, gives the service no file of root's."""
    data, outside = tmp_path / "data", tmp_path / "outside"
    (data / "retry.d").mkdir(parents=True)
    outside.mkdir()
    (outside / "secret").write_text("")
    os.chown(data, SERVICE, SERVICE)
    (data / "retry.d" / "7").symlink_to(outside / "secret")
    (data / "retry.d" / "8").hardlink_to(outside / "secret")
    assert want(str(data), 7)
    assert want(str(data), 8)
    shutil.rmtree(data / "retry.d")
    (data / "retry.d").symlink_to(outside)
    with pytest.raises(OSError, match=r"retry\.d"):
        want(str(data), 9)
    assert [each.name for each in outside.iterdir()] == ["secret"]
    assert {outside.stat().st_uid, (outside / "secret").stat().st_uid} == {0}


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_who_may_not_read_is_told_so(box: Box, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody without the right to the data is not told that nothing was refused, and what to do is."""
    box.readings(1)
    (entry,) = OutboxReader(str(tmp_path)).take(Lane.TELEMETRY, 0)
    CursorStore(str(tmp_path)).reject("cloud", entry, "400: no such field")
    monkeypatch.setattr(uplinks, "_site", lambda _: site(tmp_path, up(1)))
    os.seteuid(SERVICE)
    try:
        told = [
            CliRunner().invoke(uplinks.app, words) for words in (["letters", "cloud"], ["list"], ["retry", "cloud"])
        ]
    finally:
        os.seteuid(0)
    assert [each.exit_code for each in told] == [1, 1, 1]
    assert all("用 root 或运行网关的账号" in each.output for each in told)
