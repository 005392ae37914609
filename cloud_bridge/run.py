"""The bridge's process: one named pump per uplink, until the gateway goes or the task is cancelled."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import apsw
import structlog

from cloud_bridge import certificates
from cloud_bridge.downlink import Downlink
from cloud_bridge.ledger import Ledger
from cloud_bridge.pump import Pump
from cloud_bridge.selection import Selection
from cloud_bridge.table import UPLINKS
from cloud_bridge.uplink import Context
from cloud_bridge.wake import Wake
from gateway.clock import Clock, SystemClock
from gateway.model import Lane, Site, Uplink
from gateway.store.database import GATEWAY_FILE, StoreError
from gateway.store.outbox import OutboxReader

_log = structlog.get_logger(__name__)
_LOCK_FILE = "bridge.lock"
_LOOK_S = 0.5
_LOCK_TRIES = 40  # 20 s: the bridge before this one notices the end of its pipe at once
_RESTART_S = 10.0


class _House(NamedTuple):
    """What the pumps share."""

    context: Context
    data_dir: str
    ledger: Ledger
    wake: Wake
    downlink: Downlink


class BridgeError(Exception):
    """The bridge can't run; the text says what to do."""


class _ReplacedError(Exception):
    """Another database lies where the outbox was."""


async def run_bridge(site: Site, data_dir: str, *, clock: Clock | None = None, wake_fd: int | None = None) -> None:
    """Forward the outbox in ``data_dir`` to every uplink of ``site``.

    ``wake_fd`` is a pipe: a byte means new rows, its end means that the gateway has gone, and the bridge returns.
    Without it the bridge looks twice a second and runs until cancelled.

    Raises:
        BridgeError: another bridge works on this directory.
    """
    wake = Wake()
    if wake_fd is not None:
        await wake.listen(wake_fd)
    gone = asyncio.create_task(wake.wait_gone(), name="gateway's end")
    clock = clock or SystemClock()
    context = Context(site, clock, Selection(site), data_dir=data_dir)
    house = _House(context, data_dir, Ledger(data_dir), wake, Downlink(data_dir, clock))
    work = asyncio.create_task(_forward(house), name="bridge")
    try:
        await asyncio.wait([gone, work], return_when=asyncio.FIRST_COMPLETED)
        if work.done():
            work.result()
    finally:
        for task in (gone, work):
            task.cancel()
        await asyncio.gather(gone, work, return_exceptions=True)
        house.ledger.close()
        house.downlink.close()
        wake.close()


async def _forward(house: _House) -> None:
    descriptor = _open_lock(house.data_dir)
    try:
        await _lock(descriptor, house.data_dir)
        while True:
            await _forward_outbox(house)
    finally:
        os.close(descriptor)


async def _forward_outbox(house: _House) -> None:
    """Until another database lies in its place: what is open would read the former one for ever."""
    file = Path(house.data_dir) / GATEWAY_FILE
    epoch, which = await _wait_for_outbox(house.data_dir, file)
    if await house.ledger.adopt(epoch):
        _log.warning("new outbox", epoch=epoch, note="the gateway's database was replaced: sending from its start")
    try:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(_watch(file, which), name="outbox")
            tasks.create_task(house.downlink.watch(), name="downlink")
            for uplink in house.context.site.uplinks:
                tasks.create_task(_keep(house, uplink), name=f"uplink {uplink.id}")
    except* _ReplacedError:
        _log.warning("outbox replaced", note="the gateway has mended its database, or it was exchanged")


async def _watch(file: Path, which: int) -> None:
    while True:
        await asyncio.sleep(_LOOK_S)
        if _inode(file) not in (which, 0):
            raise _ReplacedError


def _inode(file: Path) -> int:
    """Which file lies there; 0 where there is none."""
    try:
        return file.stat().st_ino
    except OSError:
        return 0


def _open_lock(data_dir: str) -> int:
    path = Path(data_dir)
    path.mkdir(parents=True, exist_ok=True, mode=0o750)
    return os.open(path / _LOCK_FILE, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)


async def _lock(descriptor: int, data_dir: str) -> None:
    """Two bridges would send everything twice, and throw each other out of the platform."""
    for _ in range(_LOCK_TRIES):
        with contextlib.suppress(BlockingIOError):
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        await asyncio.sleep(_LOOK_S)
    raise BridgeError(
        f"已有一个云桥在用 {data_dir}:停掉它(网关自己的云桥用 shouwang run --no-bridge 不启动),"
        f"或给这台网关另一个 data_dir / another bridge already works on {data_dir}: stop it, or give this gateway its"
        " own data_dir"
    )


async def _wait_for_outbox(data_dir: str, file: Path) -> tuple[str, int]:
    """Its epoch, and which file it is."""
    while True:
        which = _inode(file)
        with contextlib.suppress(StoreError, apsw.Error), _reader(data_dir) as reader:
            reader.last_seq(Lane.TELEMETRY)
            return reader.epoch, which
        await asyncio.sleep(_LOOK_S)


@contextlib.contextmanager
def _reader(data_dir: str) -> Iterator[OutboxReader]:
    reader = OutboxReader(data_dir)
    try:
        yield reader
    finally:
        reader.close()


async def _keep(house: _House, uplink: Uplink) -> None:
    """Run one uplink's pump; trouble in it must not stop the others."""
    kind = UPLINKS[uplink.type]
    params = uplink.params if isinstance(uplink.params, kind.params) else kind.params.model_validate(uplink.params)
    ask = house.downlink.ask_for(uplink.id, params.commands)
    while True:
        try:
            with _reader(house.data_dir) as reader, house.wake.bell() as bell:
                context = house.context._replace(
                    epoch=reader.epoch, selection=Selection(house.context.site, params), ask=ask
                )
                platform = kind.build(context, params)
                pump = Pump(
                    uplink.id, platform, reader=reader, ledger=house.ledger, bell=bell, clock=house.context.clock
                )
                watch = asyncio.create_task(certificates.watch(params, pump.status), name=f"certificates {uplink.id}")
                try:
                    await pump.run()
                finally:
                    watch.cancel()
        except* Exception as errors:  # noqa: BLE001 - the boundary: shown with its traceback, tried again
            _log.error("uplink stopped", uplink=uplink.id, retry_s=_RESTART_S, exc_info=errors)
        await asyncio.sleep(_RESTART_S)
