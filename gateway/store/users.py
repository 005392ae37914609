"""Accounts, sessions and the audit trail of the web. Passwords and tokens arrive hashed; hashing belongs to `web`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from concurrent.futures import Executor
from datetime import datetime
from typing import Any, TypeVar

import apsw

from gateway.clock import Clock
from gateway.model import Actor, Session, User
from gateway.store import codec
from gateway.store.database import GATEWAY_FILE, number, open_reader
from gateway.store.journal import write_audit

_SESSIONS_PER_USER = 16

T = TypeVar("T")


class Users:
    """Writes with the writer's connection in its thread; reads in another: a log-in never waits for a commit."""

    def __init__(self, db: apsw.Connection, writer: Executor, directory: str, screens: Executor, clock: Clock) -> None:
        self._db = db
        self._writer = writer
        self.directory = directory
        self._reader = open_reader(directory, GATEWAY_FILE)
        self._screens = screens
        self._clock = clock

    async def has_users(self) -> bool:
        """Has anybody been set up?"""
        return bool(await self._ask(lambda: number(self._reader, "SELECT count(*) FROM users")))

    async def create(self, name: str, role: str, password_hash: str) -> bool:
        """Add a user durably; False when the name is taken."""
        now_ms = codec.to_ms(self._clock.now().utc)

        def insert() -> bool:
            self._db.execute("INSERT OR IGNORE INTO users VALUES (?, ?, ?, ?)", (name, role, password_hash, now_ms))
            return bool(self._db.changes())

        return await self._do(insert)

    async def find(self, name: str) -> User | None:
        """The user of exactly this name."""
        row = await self._ask(
            lambda: self._reader.execute(
                "SELECT name, role, password_hash FROM users WHERE name = ?", (name,)
            ).fetchone()
        )
        return User(*map(str, row)) if row else None

    async def audit(self, actor: Actor, action: str, detail: Mapping[str, Any]) -> None:
        """Append one line to the audit trail; ``detail`` holds no secret."""
        now_ms = codec.to_ms(self._clock.now().utc)
        await self._do(lambda: write_audit(self._db, now_ms, actor, action, codec.dumps(dict(detail))))

    async def put_session(self, token_hash: str, user: str, expires_at: datetime) -> None:
        """Keep a session; of one user the newest `_SESSIONS_PER_USER`, of all only those that have not expired."""
        now_ms = codec.to_ms(self._clock.now().utc)

        def insert() -> None:
            with self._db:
                self._db.execute("DELETE FROM sessions WHERE expires_ms < ?", (now_ms,))
                self._db.execute(
                    "INSERT OR REPLACE INTO sessions VALUES (?, ?, ?)", (token_hash, user, codec.to_ms(expires_at))
                )
                self._db.execute(
                    "DELETE FROM sessions WHERE user = ?1 AND token_hash NOT IN"
                    " (SELECT token_hash FROM sessions WHERE user = ?1 ORDER BY expires_ms DESC LIMIT ?2)",
                    (user, _SESSIONS_PER_USER),
                )

        await self._do(insert)

    async def session(self, token_hash: str) -> Session | None:
        """The session with its user's present role; also an expired one."""
        row = await self._ask(
            lambda: self._reader.execute(
                "SELECT user, role, expires_ms FROM sessions JOIN users ON users.name = sessions.user"
                " WHERE token_hash = ?",
                (token_hash,),
            ).fetchone()
        )
        return Session(str(row[0]), str(row[1]), codec.from_ms(int(str(row[2])))) if row else None

    async def drop_session(self, token_hash: str) -> None:
        """Forget the session; harmless when there is none."""
        await self._do(lambda: self._db.execute("DELETE FROM sessions WHERE token_hash = ?", (token_hash,)))

    def close(self) -> None:
        """Close the reading connection."""
        self._reader.close()

    async def _ask(self, question: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._screens, question)

    async def _do(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._writer, work)
