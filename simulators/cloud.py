"""Simulators: the stand-in cloud as a program: platform recorder and time-series receiver in one process.

Runs as ``python -m simulators.cloud``; GET /status of the time-series port answers for both.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
from pathlib import Path
from typing import Annotated

import typer

from simulators.recorder import Platform, Record
from simulators.spec import SimError
from simulators.timeseries import TimeSeries


async def run(mqtt_port: int, http_port: int, record: Path | None) -> None:
    """Record and receive until cancelled or told to end.

    Raises:
        PortTaken: the HTTP port is in use.
    """
    log = Record(record)
    platform = Platform(mqtt_port, log)
    series = TimeSeries(http_port, status=log.status)
    await series.start()
    platform.start()
    ended = asyncio.Event()
    for each in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(each, ended.set)
    print(f"stand-in cloud: MQTT {mqtt_port}, time series http://127.0.0.1:{series.port}", flush=True)
    with contextlib.suppress(asyncio.CancelledError):
        await ended.wait()
    await platform.stop()
    await series.stop()
    log.close()


def main(
    mqtt_port: Annotated[int, typer.Option(help="port of the platform's broker")] = 2883,
    http_port: Annotated[int, typer.Option(help="port of the time-series receiver")] = 8086,
    record: Annotated[Path | None, typer.Option(help="JSONL file of everything that arrives")] = None,
) -> None:
    """A cloud to forward to, on this machine."""
    try:
        asyncio.run(run(mqtt_port, http_port, record))
    except SimError as error:
        print(error, file=sys.stderr)
        raise SystemExit(1) from None


if __name__ == "__main__":
    typer.run(main)
