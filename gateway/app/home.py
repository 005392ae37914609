"""Where the gateway keeps its data: the data directory, or a refuge in memory while that cannot be written (ADR 0022).

A disk that dies must not make a community deaf: a gateway that has worked starts without it, says so, and brings home
what happened meanwhile once the disk is back. A damaged database is put aside and what can be read of it goes on.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import shutil
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import apsw
import structlog

from gateway.model import Site
from gateway.store.ballast import make_room
from gateway.store.carry import bring_home, flee, has_settled_in, settle_in
from gateway.store.database import GATEWAY_FILE, StoreError, is_damage, open_gateway, put_aside
from gateway.store.mending import (
    begin_anew,
    finish,
    has_been_emptied,
    is_behind_its_readers,
    mend_database,
    newest,
)
from gateway.store.mending import settled as settled_to
from gateway.store.still import still

LOCK_FILE = "gateway.lock"
REFUGE_BYTES = 64_000_000  # of telemetry in memory: the box has 1 GB
_DEAD = frozenset({errno.EROFS, errno.ENOSPC, errno.EIO, errno.EDQUOT})
_BARRED = frozenset({errno.EACCES, errno.EPERM})
_NEW_DISK = "replace the disk, then restart"
_FIXES = {
    os.strerror(errno.ENOSPC): "free disk space, then restart",
    os.strerror(errno.EACCES): "give it to the user that the gateway runs as (chown -R), then restart",
    os.strerror(errno.EPERM): "give it to the user that the gateway runs as (chown -R), then restart",
}
_CANNOT_WRITE = (apsw.ReadOnlyError, apsw.FullError, apsw.IOError, apsw.CantOpenError)

_log = structlog.get_logger(__name__)


class CannotStart(Exception):  # noqa: N818 - a message for whoever starts it
    """The gateway cannot start; the text (Chinese, English) says what to do."""

    def __init__(self, zh: str, en: str) -> None:
        super().__init__(f"{zh}\n{en}")
        self.zh, self.en = zh, en


class Home(NamedTuple):
    """Where the data are. ``why`` is empty on the disk, else what is wrong with it."""

    directory: str
    why: str = ""
    is_mended: bool = False  # the database was found damaged
    left_rows: int = 0  # of telemetry that no cloud has, and that were not taken along


@contextlib.contextmanager
def settled(site: Site, damaged: str = "") -> Iterator[Home]:
    """Hold the data directory, and see to it that its database can be written; or a refuge.

    ``damaged``: the directory whose database was found damaged under way; it is mended first.

    Raises:
        CannotStart: another gateway holds it; it cannot be made; there is no room in memory either.
        StoreError: the database is of another program or of a newer version.
    """
    directory, uplinks = site.data_dir, [each.id for each in site.uplinks]
    with contextlib.ExitStack() as held:
        try:
            held.enter_context(_only_one(directory))
            is_mended, left_rows = _make_usable(directory, _refuge_path(site), uplinks, is_damaged=damaged == directory)
        except (OSError, StoreError) as error:
            why = _why_refuge(error, directory)
        else:
            yield Home(directory, is_mended=is_mended, left_rows=left_rows)
            return
        _log.error("data_dir_cannot_be_written", directory=directory, error=why, fix=_FIXES.get(why, _NEW_DISK))
        refuge = _refuge_path(site)
        try:
            _own(refuge)
            held.enter_context(_only_one(str(refuge)))
            is_mended = _move_in(refuge, directory, uplinks, is_damaged=damaged == str(refuge))
        except (OSError, StoreError) as error:
            reason = error.strerror if isinstance(error, OSError) else str(error.__cause__ or error)
            raise CannotStart(
                f"数据目录 {directory} 不能写({why}),内存里也没有地方:{reason}",
                f"Cannot write to {directory} ({why}), and there is no room in memory: {reason}",
            ) from error
        yield Home(str(refuge), why, is_mended=is_mended)


def _make_usable(directory: str, refuge: Path, uplinks: Sequence[str], *, is_damaged: bool) -> tuple[bool, int]:
    """Open it, mend it, bring home what is in the refuge; was it damaged, and rows of telemetry that were left."""
    left_rows = 0
    make_room(directory)
    finish(directory)
    try:
        is_damaged = is_damaged or has_been_emptied(directory)
        home = None if is_damaged else open_gateway(directory)
    except StoreError as error:
        if not is_damage(error):
            raise
        is_damaged, home = True, None
    if home is None:
        left_rows = mend_database(directory, uplinks)
        home = open_gateway(directory)
    try:
        if is_behind_its_readers(home, Path(directory)):
            begin_anew(home)
        if refuge.is_dir() and _is_ours(refuge):
            with _only_one(str(refuge)):  # a gateway may be running from it: its disk came back under way
                if (refuge / GATEWAY_FILE).exists():
                    _return_from(refuge, home, uplinks)
    finally:
        home.close()
    return is_damaged, left_rows


def _return_from(refuge: Path, home: apsw.Connection, uplinks: Sequence[str]) -> None:
    """What happened while the disk was away; a failure leaves it where it is, for the next start."""
    has_settled = settled_to(refuge, uplinks)
    try:
        with still(refuge / GATEWAY_FILE) as source:
            carried = bring_home(source, home, has_settled)
    except (StoreError, apsw.Error) as error:
        if isinstance(error, _CANNOT_WRITE):
            raise StoreError("cannot bring the records home") from error
        _log.error("refuge_not_readable", directory=str(refuge), error=str(error))
        return
    if carried is not None:
        _log.warning("brought_home", rows=dict(carried.rows), damaged=carried.damaged)
    with contextlib.suppress(OSError):
        (refuge / GATEWAY_FILE).unlink()  # first, and with it all the rest is void: a kill leaves no half
    shutil.rmtree(refuge, ignore_errors=True)


def _move_in(refuge: Path, directory: str, uplinks: Sequence[str], *, is_damaged: bool) -> bool:
    """Into the refuge, with what the gateway needs of the database on the dead disk; or on in it: was it mended?"""
    if is_damaged:
        mend_database(str(refuge), uplinks)
    if (refuge / GATEWAY_FILE).exists():
        if _is_lived_in(refuge):
            return is_damaged
        put_aside(refuge / GATEWAY_FILE)
    target = open_gateway(str(refuge))
    try:
        has_settled = settled_to(Path(directory), uplinks)
        with still(newest(directory)) as source:
            carried = flee(source, target, has_settled)
    except (StoreError, apsw.Error) as error:
        with contextlib.suppress(apsw.Error):
            settle_in(target, [])
        _log.error("nothing_carried_over", error=str(error), note="open alarms and accounts are those of a new box")
    else:
        _log.warning("runs_from_memory", directory=str(refuge), kept=dict(carried.rows), damaged=carried.damaged)
    finally:
        target.close()
    return False


def _is_lived_in(refuge: Path) -> bool:
    """Has a gateway gone on in it, or was it killed (or found damage) before all was there?

    Raises:
        StoreError: it cannot be opened now, for want of room.
    """
    try:
        db = open_gateway(str(refuge))
    except StoreError as error:
        if isinstance(error.__cause__, _CANNOT_WRITE):
            raise
        return False
    try:
        return has_settled_in(db)
    except apsw.Error:
        return False
    finally:
        db.close()


def _why_refuge(error: OSError | StoreError, directory: str) -> str:
    """Why the disk cannot be used; raises where that is the installer's mistake and no dead disk."""
    if isinstance(error, StoreError):
        if isinstance(error.__cause__, OSError):
            return _why_refuge(error.__cause__, directory)
        if isinstance(error.__cause__, _CANNOT_WRITE):
            return str(error.__cause__)
        raise error
    has_worked = (Path(directory) / GATEWAY_FILE).exists()
    if error.errno in _DEAD or (error.errno in _BARRED and has_worked):
        return str(error.strerror)
    raise CannotStart(
        f"数据目录 {directory} 不能写:{error.strerror}", f"Cannot write to {directory}: {error.strerror}"
    ) from None


def _refuge_path(site: Site) -> Path:
    """In the service's own runtime directory (systemd), else in shared memory."""
    runtime = os.environ.get("RUNTIME_DIRECTORY", "").partition(":")[0]
    return Path(runtime) / "refuge" if runtime else Path("/dev/shm") / f"shouwang-{os.getuid()}-{site.id}"  # noqa: S108 - owner and mode are checked


def _own(refuge: Path) -> None:
    """Make it, for us alone; what somebody else has laid there is not trusted."""
    with contextlib.suppress(FileExistsError):
        refuge.mkdir(mode=0o700)
    if not _is_ours(refuge):
        raise PermissionError(errno.EPERM, "belongs to somebody else", str(refuge))


def _is_ours(refuge: Path) -> bool:
    found = refuge.lstat()
    return stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid() and not found.st_mode & 0o077


@contextlib.contextmanager
def _only_one(directory: str) -> Iterator[None]:
    """Hold the directory: two gateways on one would write over each other."""
    Path(directory).mkdir(parents=True, exist_ok=True, mode=0o750)
    descriptor = _open_lock(Path(directory) / LOCK_FILE)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise CannotStart(
                f"另一个网关正在使用数据目录 {directory}。先停掉它,或换一个 data_dir。",
                f"Another gateway is using {directory}. Stop it first, or choose another data_dir.",
            ) from None
        yield
    finally:
        os.close(descriptor)


def _open_lock(path: Path) -> int:
    """Also where nothing can be written any more: somebody may hold it since before."""
    try:
        return os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    except OSError:
        with contextlib.suppress(OSError):
            return os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        raise
