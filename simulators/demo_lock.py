"""Simulators: one demo at a time in one data directory. Ports and child processes are elsewhere."""

from __future__ import annotations

import contextlib
import fcntl
from collections.abc import Callable, Iterator
from pathlib import Path

from simulators.spec import SimError

_NAME = "demo.lock"


class AlreadyRunning(SimError):  # noqa: N818  the state of the world, not a fault of ours
    """Another demo works in this directory; the text says where its page is, once it knows."""

    def __init__(self, page: str) -> None:
        super().__init__(f"演示已在运行:{page}", f"the demo is already running: {page}")


def is_held(data_dir: Path) -> bool:
    """Does a demo work in this directory?"""
    try:
        with (data_dir / _NAME).open("r", encoding="utf-8") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False


@contextlib.contextmanager
def only_demo_in(data_dir: Path) -> Iterator[Callable[[str], None]]:
    """Hold the directory until the end of the block, or of this process; the kernel lets go even after SIGKILL.

    Gives a function that leaves the page's address for whoever comes second.

    Raises:
        AlreadyRunning: somebody else holds it; nothing was changed.
        SimError: the directory cannot be written.
    """
    try:
        data_dir.mkdir(parents=True, exist_ok=True)
        file = (data_dir / _NAME).open("a+", encoding="utf-8")
    except OSError as error:
        raise SimError(
            f"不能写数据目录 {data_dir}({error.strerror}),换一个: --data DIR",
            f"cannot write the data directory {data_dir} ({error.strerror}): choose another by --data DIR",
        ) from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            raise AlreadyRunning(file.read(200).strip() or str(data_dir)) from None
        file.truncate(0)

        def tell(page: str) -> None:
            file.write(page)
            file.flush()

        yield tell
