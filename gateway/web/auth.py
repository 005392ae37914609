"""Web: who is there. Set-up of the first account, log-in, sessions, cross-site protection.

There is no default password: the first account is made with a one-time code that only somebody at the gateway can
read. Passwords are kept as argon2id, session tokens as SHA-256. Storage is the `UserStore`.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import hashlib
import hmac
import math
import secrets
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Annotated
from urllib.parse import urlsplit

import structlog
from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from fastapi import Depends, Request, Response

from gateway.clock import Clock
from gateway.model import Actor
from gateway.web.context import web_of
from gateway.web.fields import is_strong
from gateway.web.limits import FailureLimiter, network_of
from gateway.web.ports import Session, UserStore
from gateway.web.problems import Problem

log = structlog.get_logger(__name__)

COOKIE = "shouwang_session"
SESSION_S = 12 * 3600
CSRF_HEADER = "X-Shouwang"
# One address may fail for several people behind it; one name only a little; one name from everywhere a little more,
# so that a stranger cannot easily lock the duty desk out.
PER_PAIR, PER_ADDRESS, PER_NAME = 5, 20, 40
CODE_LETTERS = "23456789ABCDEFGHJKLMNPQRSTUVWXYZ"  # no 0/O, no 1/I: it is read aloud and typed


def new_setup_code() -> str:
    """A one-time code for the first account: 12 letters, 60 bits, in groups of four."""
    letters = "".join(secrets.choice(CODE_LETTERS) for _ in range(12))
    return "-".join(letters[i : i + 4] for i in range(0, 12, 4))


class Passwords:
    """argon2id with 19 MiB (OWASP's second profile), one at a time in a thread: the loop and memory stay free."""

    def __init__(self) -> None:
        _give_big_blocks_back()
        self._hasher = PasswordHasher(time_cost=2, memory_cost=19456, parallelism=1)
        self._turn = asyncio.Semaphore(1)
        self._nobody = ""

    async def hash(self, password: str) -> str:
        """The encoded hash to keep."""
        async with self._turn:
            return await asyncio.to_thread(self._hasher.hash, password)

    async def matches(self, password_hash: str | None, password: str) -> bool:
        """Is it the password? For a user who does not exist (None) it takes as long and is False."""
        self._nobody = self._nobody or await self.hash(secrets.token_hex())
        async with self._turn:
            return await asyncio.to_thread(self._verify, password_hash or self._nobody, password)

    def _verify(self, password_hash: str, password: str) -> bool:
        try:
            return self._hasher.verify(password_hash, password)
        except (VerificationError, InvalidHashError):
            return False


def _give_big_blocks_back() -> None:
    """Have glibc return blocks of 8 MiB and more when they are freed.

    It learns from the first one to keep them: 19 MiB for each thread that ever checked a password.
    """
    m_mmap_threshold = -3
    with contextlib.suppress(OSError, AttributeError):  # another C library
        ctypes.CDLL("libc.so.6").mallopt(m_mmap_threshold, 8 * 1024 * 1024)


@dataclass(slots=True)
class Auth:
    """Accounts and sessions over a `UserStore`. ``setup_code`` is good for the first account only."""

    users: UserStore
    clock: Clock
    setup_code: str = field(repr=False)  # a log of a failure may show this object
    is_https: bool
    passwords: Passwords
    limiter: FailureLimiter
    setup_turn: asyncio.Lock

    async def set_up(self, request: Request, code: str, name: str, password: str) -> str:
        """Make the first account (a supervisor) and log it in; gives the session's token."""
        address = _address(request)
        self._check_tries(("setup " + address, PER_PAIR))
        async with self.setup_turn:
            if await self.users.has_users():
                raise Problem(409, "already_set_up")
            if not self.setup_code or not hmac.compare_digest(_plain(code), _plain(self.setup_code)):
                self._failed("setup " + address)
                raise Problem(403, "wrong_code")
            if not is_strong(password):
                raise Problem(422, "weak_password")
            await self.users.create(name, "supervisor", await self.passwords.hash(password))
        log.info("first account created", user=name)
        await self.users.audit(Actor(name, "supervisor", "console"), "setup", {"address": address})
        return await self._open_session(name)

    async def log_in(self, request: Request, name: str, password: str) -> str:
        """Check the password and open a session; gives its token."""
        user = await self.check_password(request, name, password)
        await self.users.audit(user, "login", {"address": _address(request)})
        return await self._open_session(name)

    async def check_password(self, request: Request, name: str, password: str) -> Actor:
        """Who this is; raises 403, or 429 after too many failures."""
        address = _address(request)
        pair, every = f"pair {address} {name}", "name " + name
        self._check_tries((pair, PER_PAIR), (address, PER_ADDRESS), (every, PER_NAME))
        if not await self.users.has_users():
            raise Problem(409, "not_set_up")
        self._failed(pair, address, every)  # before the slow part, or many at once would all get through
        user = await self.users.find(name)
        if not await self.passwords.matches(user.password_hash if user else None, password) or user is None:
            log.warning("log-in failed", address=address)
            await self.users.audit(Actor(name, "", "console"), "login_failed", {"address": address})
            raise Problem(403, "wrong_password")
        for key in (pair, address, every):
            self.limiter.forgive(key)
        return Actor(user.name, user.role, "console")

    async def log_out(self, request: Request) -> None:
        """Forget the caller's session."""
        session = await self.session(request)
        token = token_hash(request)
        await self.users.drop_session(token)
        web_of(request).live.close(token)
        if session:
            await self.users.audit(Actor(session.user, session.role, "console"), "logout", {})

    async def session(self, request: Request) -> Session | None:
        """The caller's session if it is still good."""
        if COOKIE not in request.cookies:
            return None
        session = await self.users.session(token_hash(request))
        return session if session and session.expires_at > self.clock.now().utc else None

    def give_cookie(self, response: Response, token: str) -> None:
        """Hand the token to the browser, out of reach of any script or other site; an empty one takes it back."""
        age = SESSION_S if token else 0
        response.set_cookie(COOKIE, token, max_age=age, httponly=True, samesite="strict", secure=self.is_https)

    async def _open_session(self, name: str) -> str:
        token = secrets.token_urlsafe(32)
        expires_at = self.clock.now().utc + timedelta(seconds=SESSION_S)
        await self.users.put_session(_hash(token), name, expires_at)
        return token

    def _check_tries(self, *keys: tuple[str, int]) -> None:
        mono_s = self.clock.now().mono_s
        seconds = math.ceil(max(self.limiter.wait_s(key, limit, mono_s) for key, limit in keys))
        if seconds:
            raise Problem(429, "too_many_tries", headers={"Retry-After": str(seconds)}, seconds=seconds)

    def _failed(self, *keys: str) -> None:
        mono_s = self.clock.now().mono_s
        for key in keys:
            self.limiter.failed(key, mono_s)


async def same_site(request: Request) -> None:
    """Refuse a POST that another site's page made: it can set neither our header nor our origin."""
    origin = request.headers.get("origin")
    is_ours = origin is None or urlsplit(origin).netloc == request.headers.get("host")
    if CSRF_HEADER not in request.headers or not is_ours:
        raise Problem(403, "cross_site")


async def signed_in(request: Request) -> Session:
    """The caller's session; raises 401."""
    session = await web_of(request).auth.session(request)
    if session is None:
        raise Problem(401, "not_signed_in")
    return session


SignedIn = Annotated[Session, Depends(signed_in)]
SAME_SITE = Depends(same_site)


def token_hash(request: Request) -> str:
    """Under what name the caller's session is kept."""
    return _hash(request.cookies.get(COOKIE, ""))


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


def _plain(code: str) -> bytes:
    return code.replace("-", "").replace(" ", "").upper().encode()


def _address(request: Request) -> str:
    return network_of(request.client.host if request.client else "")
