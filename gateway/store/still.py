"""Reading a database where nothing may be written: a disk that has gone read-only, or a file that is damaged.

SQLite wants to lock the file, and to keep an index of its log beside it; on a read-only disk it can do neither, and
with ``immutable`` it leaves out the log, that is the newest commits. So the files are given to it as they are, by a
VFS of our own that reads and does nothing else. Nobody else may write them meanwhile.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import apsw

from gateway.store.database import StoreError

_VFS = "shouwang-still"
_SECTOR_BYTES = 4096


class _File:
    """A file that is read. The methods are those SQLite calls (sqlite3_io_methods)."""

    def __init__(self, path: str) -> None:
        self._descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)

    def xRead(self, amount: int, offset: int) -> bytes:  # noqa: N802 - SQLite's names
        try:
            return os.pread(self._descriptor, amount, offset)
        except OSError as error:  # a dying disk: these pages are lost, the others are not
            raise apsw.IOError(str(error)) from error

    def xFileSize(self) -> int:  # noqa: N802
        return os.fstat(self._descriptor).st_size

    def xClose(self) -> None:  # noqa: N802
        os.close(self._descriptor)

    def xWrite(self, _data: bytes, _offset: int) -> None:  # noqa: N802
        raise apsw.ReadOnlyError("this view only reads")

    def xTruncate(self, _size: int) -> None:  # noqa: N802
        raise apsw.ReadOnlyError("this view only reads")

    def xSync(self, _flags: int) -> None:  # noqa: N802
        return

    def xLock(self, _level: int) -> None:  # noqa: N802
        return

    def xUnlock(self, _level: int) -> None:  # noqa: N802
        return

    def xCheckReservedLock(self) -> bool:  # noqa: N802
        return False

    def xDeviceCharacteristics(self) -> int:  # noqa: N802
        return 0

    def xSectorSize(self) -> int:  # noqa: N802
        return _SECTOR_BYTES

    def xFileControl(self, _operation: int, _pointer: int) -> bool:  # noqa: N802
        return False


class _Still(apsw.VFS):
    """Opens files for reading, makes and deletes none."""

    def __init__(self) -> None:
        super().__init__(_VFS, "")

    def xOpen(self, name: Any, _flags: list[int]) -> Any:  # noqa: N802
        path = name if isinstance(name, str) else name.filename() if name is not None else ""
        if path.endswith("-wal") and not Path(path).exists():
            path = os.devnull  # closed in good order: an empty log
        try:
            return _File(path)
        except OSError as error:
            raise apsw.CantOpenError(str(error)) from error

    def xAccess(self, path: str, _flags: int) -> bool:  # noqa: N802
        return Path(path).exists()

    def xDelete(self, _path: str, _syncs: bool) -> None:  # noqa: N802, FBT001
        return


@contextmanager
def still(path: Path) -> Iterator[apsw.Connection]:
    """The database with its log, read and not touched.

    Raises:
        StoreError: there is no such file, or nothing of it can be read.
    """
    vfs = _Still()
    try:
        db = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY, vfs=_VFS)
    except apsw.Error as error:
        vfs.unregister()
        raise StoreError(f"cannot read {path}: {error}") from error
    try:
        db.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
        db.execute("PRAGMA locking_mode = EXCLUSIVE")  # the index of the log in memory, not in a file
        db.execute("PRAGMA writable_schema = ON")  # a table that is described wrongly hides no other
        yield db
    finally:
        db.close()
        vfs.unregister()
