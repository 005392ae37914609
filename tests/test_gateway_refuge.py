"""A data directory that cannot be written at the start, and a damaged database: the gateway starts, and keeps alarms.

The disk is a real one that is read-only: a file system of its own where we may mount, else a directory without
permission to write.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import apsw
import httpx
import pytest

from gateway.mqtt_link import LinkOptions, Message, MqttLink
from gateway.store.database import GATEWAY_FILE
from simulators.broker import MosquittoBroker
from simulators.processes import free_port
from tests.support_broker import need
from tests.support_core import until
from tests.support_process import GatewayProcess, Person
from tests.support_site import write_site

FIRE = b'{"alarm": true}'


class Disk:
    """The data directory's disk."""

    def __init__(self, path: Path) -> None:
        self._path = path
        path.mkdir()
        self.is_mounted = os.getuid() == 0 and runs(
            "mount", "-t", "tmpfs", "-o", "size=64m,mode=700", "none", str(path)
        )

    def turn(self, how: str) -> None:
        """``ro`` or ``rw``."""
        if self.is_mounted:
            assert runs("mount", "-o", f"remount,{how}", str(self._path))
            return
        if os.getuid() == 0:
            pytest.skip("needs the right to mount, or not to be root")
        for each in (*self._path.iterdir(), self._path):
            each.chmod({"ro": 0o500, "rw": 0o700}[how])

    def end(self) -> None:
        self.turn("rw")
        if self.is_mounted:
            runs("umount", "-l", str(self._path))


def runs(*command: str) -> bool:
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


class Rig:
    """A gateway on that disk, with its broker, its devices and a person."""

    def __init__(self, tmp_path: Path, broker: MosquittoBroker, disk: Disk) -> None:
        web = free_port()
        self.runtime = tmp_path / "run"
        self.runtime.mkdir(mode=0o700)
        self.disk = disk
        self.gateway = GatewayProcess(write_site(tmp_path, broker.port, web_port=web), web)
        self.person = Person(self.gateway)
        self.settings: list[Message] = []
        self.devices = MqttLink(LinkOptions("127.0.0.1", broker.port, "devices"), on_message=self.settings.append)

    @property
    def database(self) -> Path:
        return self.gateway.data / GATEWAY_FILE

    async def start(self) -> None:
        await asyncio.to_thread(self.gateway.start)
        await self.gateway.until_bus_up()

    async def notes(self) -> list[str]:
        """What people should know."""
        found: dict[str, Any] = (await self.person.client.get("/healthz")).json()
        return [each for each in (*found["reasons"], *found["notes"]) if each != "time"]  # that is the machine's own

    async def until_mended(self) -> None:
        """Wait until it says so; meanwhile its page is away."""
        await self.until_said(["mended"])

    async def until_said(self, notes: list[str]) -> None:
        """Wait until it says just this; its page may be away for a moment."""
        async with asyncio.timeout(20):
            while True:
                with contextlib.suppress(httpx.TransportError):
                    if await self.notes() == notes:
                        return
                await asyncio.sleep(0.02)

    async def open_alarms(self) -> dict[str, tuple[int, str]]:
        return {each["id"]: (each["version"], each["handling"]) for each in await self.person.alarms()}


@pytest.fixture
async def rig(tmp_path: Path, disk: Disk, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Rig]:
    need("mosquitto", is_there=MosquittoBroker.find() is not None)
    broker = MosquittoBroker(None, tmp_path / "mosquitto")
    broker.start()
    made = Rig(tmp_path, broker, disk)
    monkeypatch.setenv("RUNTIME_DIRECTORY", str(made.runtime))
    link = asyncio.create_task(made.devices.run())
    try:
        await until(lambda: made.devices.is_up)
        await made.devices.subscribe([("siren/+/set", 1)])
        await made.start()
        await made.person.set_up()
        yield made
    finally:
        link.cancel()
        await asyncio.gather(link, return_exceptions=True)
        made.gateway.end()
        broker.kill()


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    made = Disk(tmp_path / "data")
    yield made
    made.end()


async def test_a_disk_that_is_read_only_at_the_start_makes_nobody_deaf(rig: Rig) -> None:
    """Two fires, one taken, no more writing: killed and started again the gateway has them, knows its people, hears a
    third and sounds it, and says that it runs from memory. Killed once more it has all three. With the disk back, they
    are on it, with what was done meanwhile; nothing is left behind in memory."""
    await rig.devices.publish("smoke/SM3-2-03-0301/up", FIRE)
    await rig.devices.publish("smoke/SM3-2-03-0302/up", FIRE)
    first = (await rig.person.until_alarms(2))[0]
    assert (await rig.person.act(first, "take")).status_code == 200
    before = await rig.open_alarms()
    rig.gateway.kill()
    rig.disk.turn("ro")

    await rig.start()
    assert await rig.notes() == ["memory"]
    assert await rig.open_alarms() == before
    await rig.devices.publish("smoke/SM3-2-03-0303/up", FIRE)
    alarms = await rig.person.until_alarms(3)
    await until(lambda: "siren/S3-2-03-0303/set" in {each.topic for each in rig.settings} or len(rig.settings) >= 3)
    new = next(each for each in alarms if each["id"] not in before)
    assert (await rig.person.act(new, "take")).status_code == 200
    known = await rig.open_alarms()
    await asyncio.to_thread(rig.gateway.restart)
    assert await rig.open_alarms() == known

    rig.gateway.kill()
    rig.disk.turn("rw")
    await rig.start()
    assert await rig.notes() == []
    assert await rig.open_alarms() == known
    assert [*rig.runtime.iterdir()] == []
    db = apsw.Connection(str(rig.database), flags=apsw.SQLITE_OPEN_READONLY)
    told = {(alarm, version) for alarm, version in db.execute("SELECT alarm_id, version FROM alarm_events")}
    assert {(key, version) for key, (version, _) in known.items()} <= told
    assert db.execute("SELECT count(*) FROM audit WHERE action = 'alarm.take'").fetchall() == [(2,)]
    db.close()


async def test_a_damaged_page_is_mended_while_the_gateway_runs_and_alarms_are_kept(rig: Rig) -> None:
    """The page where the next telemetry would go is garbage: the database is put aside, everything else goes on in a
    new one without a restart of the service, and what could not be stored meanwhile is in it."""
    await rig.devices.publish("smoke/SM3-2-03-0301/up", FIRE)
    await rig.person.until_alarms(1)
    before = await rig.open_alarms()
    rig.gateway.kill()
    _ruin(rig.database, "outbox_telemetry")
    await rig.devices.publish("smoke/SM3-2-03-0302/up", FIRE)  # the broker has it: the first thing that is heard
    await asyncio.to_thread(rig.gateway.start)
    pid = rig.gateway.pid
    await rig.until_mended()
    alarms = await rig.person.until_alarms(2)
    assert rig.gateway.pid == pid
    assert before.items() <= {each["id"]: (each["version"], each["handling"]) for each in alarms}.items()
    after = await rig.open_alarms()
    await asyncio.to_thread(rig.gateway.restart)
    assert await rig.notes() == []
    assert await rig.open_alarms() == after


async def test_a_database_that_is_none_any_more_does_not_keep_the_gateway_from_starting(rig: Rig) -> None:
    """Nothing of it can be read: it lies aside as evidence, the gateway hears fires, and says what has happened."""
    rig.gateway.kill()
    rig.database.write_bytes(b"\xff" * 20_000)
    for suffix in ("-wal", "-shm"):
        rig.database.with_name(GATEWAY_FILE + suffix).unlink(missing_ok=True)
    await rig.start()
    assert await rig.notes() == ["mended"]
    assert rig.database.with_name(GATEWAY_FILE + ".broken").read_bytes() == b"\xff" * 20_000


@pytest.mark.parametrize("table", ["users", "sessions"])
async def test_damage_in_the_accounts_keeps_nobody_out(rig: Rig, table: str) -> None:
    """Where the sessions are gone everybody logs in again; where the accounts are, the code for the first one is there
    again. The alarms are all there."""
    await rig.devices.publish("smoke/SM3-2-03-0301/up", FIRE)
    await rig.person.until_alarms(1)
    before = await rig.open_alarms()
    rig.gateway.kill()
    _ruin(rig.database, table)
    await rig.start()
    assert await rig.notes() == ["mended"]
    if table == "users":
        await rig.person.set_up()
    else:
        body = {"name": "张师傅", "password": "shou-wang-2026"}
        assert (await rig.person.client.post("/api/v1/login", json=body)).status_code < 300
    assert await rig.open_alarms() == before


def _ruin(database: Path, table: str) -> None:
    """Garbage where the table begins."""
    db = apsw.Connection(str(database))
    ((page,),) = db.execute("SELECT rootpage FROM sqlite_schema WHERE name = ?", (table,)).fetchall()
    size = int(str(db.pragma("page_size")))
    db.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
    db.close()
    with database.open("r+b") as file:
        file.seek((int(str(page)) - 1) * size)
        file.write(b"\xff" * size)


async def test_a_damaged_database_on_a_full_disk_makes_nobody_deaf(rig: Rig) -> None:
    """There is no room to mend in: the gateway goes on from memory with its alarms, in the same process, and hears a
    fire; killed and started again too. With room it is mended at home, and has all of it."""
    if not rig.disk.is_mounted:
        pytest.skip("needs the right to mount")
    await rig.devices.publish("smoke/SM3-2-03-0301/up", FIRE)
    await rig.person.until_alarms(1)
    rig.gateway.kill()
    _ruin(rig.database, "outbox_telemetry")
    (rig.gateway.data / "ballast").unlink()
    room = os.statvfs(rig.gateway.data)
    filler = rig.gateway.data / "filler"
    with filler.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, room.f_bavail * room.f_frsize - 150_000)
    await rig.devices.publish("smoke/SM3-2-03-0302/up", FIRE)
    await asyncio.to_thread(rig.gateway.start)
    pid = rig.gateway.pid
    await rig.until_said(["memory"])
    await rig.person.until_alarms(2)
    assert rig.gateway.pid == pid
    await rig.gateway.until_bus_up()
    await rig.devices.publish("smoke/SM3-2-03-0303/up", FIRE)
    await rig.person.until_alarms(3)
    before = await rig.open_alarms()
    rig.gateway.kill()
    await asyncio.to_thread(rig.gateway.start)
    await rig.until_said(["memory"])
    assert await rig.open_alarms() == before
    rig.gateway.kill()
    filler.unlink()
    await asyncio.to_thread(rig.gateway.start)
    await rig.until_said(["mended"])
    assert await rig.open_alarms() == before
    assert [*rig.runtime.iterdir()] == []
