"""No room on the disk, or none any more: no alarm is taken away, and no second gateway starts beside the first."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.app.home import CannotStart, settled
from gateway.model import Lane
from gateway.store.database import GATEWAY_FILE, epoch, open_gateway
from gateway.store.outbox import CursorStore
from gateway.store.still import still
from tests.support_bridge import site
from tests.test_gateway_refuge import Disk, runs
from tests.test_store_carry import fill, ids
from tests.test_store_mending import ALARMS, CLOUD, damaged


class Narrow(Disk):
    """A disk with so much room left; needs the right to mount."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._path = path
        if not self.is_mounted:
            pytest.skip("needs the right to mount")

    def leave(self, free: int) -> None:
        room = os.statvfs(self._path)
        with (self._path / "filler").open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, room.f_bavail * room.f_frsize - free)

    def clear(self) -> None:
        (self._path / "filler").unlink()


@pytest.fixture
def narrow(tmp_path: Path) -> Iterator[Narrow]:
    made = Narrow(tmp_path / "narrow")
    yield made
    made.end()


@pytest.mark.parametrize("free", [0, 40_000, 120_000, 160_000, 200_000])
def test_no_room_to_mend_in_takes_no_alarm_away(tmp_path: Path, refuge: Path, narrow: Narrow, free: int) -> None:
    """A damaged database on a disk with too little room for what can be read of it: the gateway goes on from memory
    with all of that; once there is room, it is at home."""
    home = tmp_path / "narrow"
    lost = damaged(home)
    narrow.leave(free)
    for is_roomy in (False, True):
        if is_roomy:
            narrow.clear()
        with settled(site(home, CLOUD), str(home)) as at:  # as it was found under way
            assert not is_roomy or at.why == ""
            db = open_gateway(at.directory)
            assert db.execute("SELECT sum(is_open) FROM alarms").fetchall() == [(ALARMS - lost,)]
            assert db.execute("SELECT count(*) FROM users").fetchall() == [(2,)]
            db.close()
    assert not refuge.exists()


def test_a_full_disk_under_a_database_that_went_back_ends_no_start(
    tmp_path: Path, refuge: Path, narrow: Narrow
) -> None:
    """It must get another epoch, and that cannot be written: from memory, with its alarms."""
    home = tmp_path / "narrow"
    fill(home, range(3))
    store = CursorStore(str(home))
    with still(home / GATEWAY_FILE) as db:
        store.adopt(epoch(db))
    store.settle("cloud", Lane.ALARM, 100)
    store.close()
    (home / "ballast").unlink()
    narrow.leave(0)
    with settled(site(home, CLOUD)) as at:
        assert at.directory == str(refuge)
        db = open_gateway(at.directory)
        assert len(ids(db)) == 3
        db.close()


def test_beside_a_gateway_whose_disk_died_no_second_one_starts(tmp_path: Path, refuge: Path) -> None:
    """Its lock is held though nothing can be written any more: the second one is turned away, and takes no copy of the
    records into memory that would later come home over newer ones."""
    disk, view = Narrow(tmp_path / "disk"), tmp_path / "view"  # the same disk, read-only: as it is after an error
    view.mkdir()
    try:
        with settled(site(tmp_path / "disk", CLOUD)) as at:
            assert at.why == ""
            assert runs("mount", "--bind", str(tmp_path / "disk"), str(view))
            assert runs("mount", "-o", "remount,bind,ro", str(view))
            with pytest.raises(CannotStart, match="Another gateway"), settled(site(view, CLOUD)):
                pass
            assert not refuge.exists()
    finally:
        runs("umount", "-l", str(view))
        disk.end()


def test_a_refuge_without_room_to_be_opened_is_not_left(narrow: Narrow, dead: Path) -> None:
    """Memory is full as well: no gateway starts, and it says so; what has happened in the refuge is there as soon as
    there is room, and not put aside for a fresh copy of the dead disk."""
    with settled(site(dead, CLOUD)) as at:
        fill(Path(at.directory), range(3, 5))
        (Path(at.directory) / "ballast").unlink(missing_ok=True)
    narrow.leave(0)
    with pytest.raises(CannotStart, match="no room in memory"), settled(site(dead, CLOUD)):
        pass
    narrow.clear()
    with settled(site(dead, CLOUD)) as at:
        db = open_gateway(at.directory)
        assert len(ids(db)) == 5
        db.close()


@pytest.fixture
def dead(tmp_path: Path, narrow: Narrow, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A data directory with three alarms that can only be read; the refuge is on a disk with little room."""
    monkeypatch.setenv("RUNTIME_DIRECTORY", str(tmp_path / "narrow"))
    assert narrow.is_mounted
    disk = Disk(tmp_path / "dead")
    fill(tmp_path / "dead", range(3))
    disk.turn("ro")
    yield tmp_path / "dead"
    disk.end()
