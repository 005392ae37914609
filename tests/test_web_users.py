"""Both user stores keep the same promises: the one on disk, and the one that the web's tests stand on."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import pytest

from gateway.app.first_account import setup_code
from gateway.clock import ManualClock
from gateway.model import Now
from gateway.store.journal import Journal
from gateway.store.users import Users
from gateway.web.ports import UserStore
from tests.support_users import NOON, UserStoreContract
from tests.support_web import MemoryUsers


class TestMemoryUsers(UserStoreContract):
    """In memory, for tests."""

    @pytest.fixture
    def store(self) -> UserStore:
        return MemoryUsers()


class TestUsersOnDisk(UserStoreContract):
    """In the gateway's database."""

    @pytest.fixture
    def store(self, tmp_path: Path) -> Iterator[UserStore]:
        journal = Journal(str(tmp_path), [], 10_000_000)
        with ThreadPoolExecutor(1) as writer:
            clock = ManualClock(Now(NOON - timedelta(hours=1), 0.0))
            yield Users(journal.connection, writer, str(tmp_path), writer, clock)
        journal.close()


async def test_a_full_disk_under_the_first_code_ends_no_start(tmp_path: Path) -> None:
    """The code cannot be written (here a directory has its name): nobody can log in yet, alarms are heard."""
    journal = Journal(str(tmp_path), [], 10_000_000)
    (tmp_path / "setup-code.new").mkdir()
    with ThreadPoolExecutor(1) as writer:
        users = Users(journal.connection, writer, str(tmp_path), writer, ManualClock(Now(NOON, 0.0)))
        assert await setup_code(users)
        (tmp_path / "setup-code.new").rmdir()
        assert await setup_code(users) == (tmp_path / "setup-code").read_text().strip()
        users.close()
    journal.close()
