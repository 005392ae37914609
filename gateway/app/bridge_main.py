"""`shouwang bridge`: the cloud bridge as a process, by the gateway or by hand; loads what it uses and no more."""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path

import apsw

from gateway.app.apart import read_apart
from gateway.app.bridge import die_first
from gateway.app.memory import give_back_memory, keep_memory_small
from gateway.app.slim import for_uplinks
from gateway.model import Site


def main(argv: Sequence[str]) -> None:
    """Run until told to stop."""
    asked = _parsed(argv)
    for each in ("rich", "greenlet"):  # structlog looks for them and needs neither: 6 MB of a small box
        sys.modules.setdefault(each, None)  # type: ignore[arg-type]
    from cloud_bridge.run import BridgeError, run_bridge  # noqa: PLC0415 - after the line above
    from gateway.app.logs import set_up_logs  # noqa: PLC0415 - as above
    from gateway.app.signals import until_told  # noqa: PLC0415 - as above
    from gateway.store.database import StoreError  # noqa: PLC0415 - as above

    set_up_logs()
    die_first()
    keep_memory_small()
    site = read_apart(lambda: _site(asked.config, tells_warnings=not asked.wake_from_stdin))
    give_back_memory()
    wake_fd, data_dir = 0 if asked.wake_from_stdin else None, asked.data_dir or site.data_dir
    try:
        asyncio.run(until_told(run_bridge(site, data_dir, wake_fd=wake_fd)))
    except BridgeError as error:
        raise SystemExit(str(error)) from None
    except (OSError, StoreError, apsw.Error) as error:
        raise SystemExit(
            f"云桥不能用数据目录 {data_dir}:{error}。要用运行网关的账号,磁盘要能写"
            f" / the bridge cannot use {data_dir}: {error}. Run it as the gateway's user, on a disk that can be written"
        ) from None


def _site(config: Path, *, tells_warnings: bool) -> Site:
    """In a process apart. Its warnings were told by the gateway where that has started us."""
    from gateway.app.loading import told_site  # noqa: PLC0415 - this process ends with all it has loaded

    site = told_site(config, "zh", tells_warnings=tells_warnings)
    if site is None:
        raise SystemExit(1)
    return for_uplinks(site)


def _parsed(argv: Sequence[str]) -> argparse.Namespace:
    """The options; `gateway.cli` describes them."""
    parser = argparse.ArgumentParser(prog="shouwang bridge", add_help=False)
    parser.add_argument("--config", "-c", type=Path, default=Path("config"))
    parser.add_argument("--data-dir", default="")
    parser.add_argument("--wake-from-stdin", action="store_true")  # the gateway rings on standard input
    return parser.parse_args(argv)
