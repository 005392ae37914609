"""What every `UserStore` keeps. Inherit `UserStoreContract` and give it a fixture ``store``."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from gateway.model import Actor
from gateway.web.ports import SESSIONS_PER_USER, Session, User, UserStore

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


class UserStoreContract:
    """The promises of `gateway.web.ports.UserStore`; the clock of a store under test stands before `NOON`."""

    async def test_nobody_is_there_at_first(self, store: UserStore) -> None:
        """A new gateway asks for the one-time code, not for a password."""
        assert not await store.has_users()
        assert await store.find("张师傅") is None

    async def test_a_user_is_found_by_exactly_this_name(self, store: UserStore) -> None:
        """Names are Chinese, and one that only looks alike is somebody else."""
        assert await store.create("张师傅", "duty", "hash")
        assert await store.has_users()
        assert await store.find("张师傅") == User("张师傅", "duty", "hash")
        assert await store.find("张师父") is None

    async def test_a_taken_name_is_refused_and_changes_nothing(self, store: UserStore) -> None:
        """A second account cannot take over the first one's password."""
        assert await store.create("李姐", "duty", "hash")
        assert not await store.create("李姐", "supervisor", "other")
        assert await store.find("李姐") == User("李姐", "duty", "hash")

    async def test_a_session_lasts_until_it_is_dropped(self, store: UserStore) -> None:
        """Logging out ends this session and no other."""
        await store.create("李姐", "duty", "hash")
        await store.put_session("a" * 64, "李姐", NOON)
        await store.put_session("b" * 64, "李姐", NOON)
        await store.drop_session("a" * 64)
        await store.drop_session("never was")
        assert await store.session("a" * 64) is None
        assert await store.session("b" * 64) == Session("李姐", "duty", NOON)

    async def test_the_newest_sessions_of_a_user_are_kept(self, store: UserStore) -> None:
        """Logging in for ever does not fill the disk, and throws nobody else out."""
        for name in ("李姐", "张师傅"):
            await store.create(name, "duty", "hash")
        await store.put_session("other", "张师傅", NOON)
        for n in range(SESSIONS_PER_USER + 3):
            await store.put_session(f"s{n}", "李姐", NOON + timedelta(minutes=n))
        assert await store.session("s2") is None
        assert await store.session("s3") is not None
        assert await store.session("other") is not None

    async def test_the_trail_takes_what_happened(self, store: UserStore) -> None:
        """Every act of an operator can be written down, also of one whose name is unknown."""
        await store.audit(Actor("谁?", "", "console"), "login_failed", {"address": "192.0.2.1"})
        await store.audit(Actor("李姐", "duty", "console"), "take", {"alarm": "a:b/c:1", "version": 3})
