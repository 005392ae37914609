"""The one-time code that makes the first account: only whoever can read the data directory has it."""

from __future__ import annotations

import os
from pathlib import Path

import structlog

from gateway.store.users import Users
from gateway.web.auth import new_setup_code

SETUP_CODE_FILE = "setup-code"

_log = structlog.get_logger(__name__)


class Accounts(Users):
    """Users whose first account uses up the one-time code."""

    async def create(self, name: str, role: str, password_hash: str) -> bool:
        """See `Users.create`."""
        is_made = await super().create(name, role, password_hash)
        if is_made:
            setup_code_path(self.directory).unlink(missing_ok=True)
        return is_made


async def setup_code(users: Users) -> str:
    """The code, made where there is none; "" where there are accounts."""
    path = setup_code_path(users.directory)
    if await users.has_users():
        path.unlink(missing_ok=True)
        return ""
    if path.exists():
        return path.read_text().strip()
    code = new_setup_code()
    try:
        _write(path, code)
    except OSError as error:  # a full disk: nobody can log in before there is room, alarms are heard all the same
        _log.error("setup_code_not_written", path=str(path), error=str(error), fix="free disk space, then restart")
    return code


def _write(path: Path, code: str) -> None:
    half = path.with_suffix(".new")  # a power cut must not leave an empty code behind
    with os.fdopen(os.open(half, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(code + "\n")
        file.flush()
        os.fsync(file.fileno())
    half.replace(path)


def setup_code_path(directory: str) -> Path:
    """Where it lies."""
    return Path(directory) / SETUP_CODE_FILE
