"""Simulators: `shouwang sim fleet`: N gateways against a cloud side, and the table on paper for a whole city."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import sys
import tempfile
from pathlib import Path
from typing import Annotated

import typer

from simulators.fleet import Behaviour, behaviour, measured
from simulators.fleet_cloud import CloudSide
from simulators.fleet_paper import paper
from simulators.fleet_run import Tally, Target, gateway_ids, play
from simulators.spec import SimError

_BEHIND = 3  # exit code: it ran, and the cloud side did not keep up


def fleet(  # noqa: PLR0917  typer's options
    gateways: Annotated[int, typer.Option("--gateways", "-n", min=1, max=5000, help="几台网关 | how many")] = 10,
    seconds: Annotated[float, typer.Option(min=1, max=86_400, help="多久 | for how long")] = 30.0,
    mqtt: Annotated[
        list[str] | None, typer.Option(help="broker,可写几个,轮流用 | host:port, several are taken in turns")
    ] = None,
    series: Annotated[str, typer.Option(help="时序库 | time-series store, host:port")] = "",
    certs: Annotated[
        Path | None, typer.Option(help="ca.pem 与每台网关证书的目录 | directory of ca.pem and a pair per gateway")
    ] = None,
    only: Annotated[str, typer.Option(help="mqtt 或 series:只走一路 | only one of the two ways")] = "",
    devices: Annotated[int | None, typer.Option(min=20, help="每台网关的设备数 | devices of one gateway")] = None,
    alarms: Annotated[float, typer.Option(min=0, help="每台每小时报警数 | alarms an hour of one gateway")] = 20.0,
    seed: Annotated[int, typer.Option(help="相同种子,相同内容 | same seed, same content")] = 1,
    lang: Annotated[str, typer.Option("--lang", envvar="SHOUWANG_LANG", help="zh | en")] = "zh",
    *,
    on_paper: Annotated[bool, typer.Option("--paper", help="只算:N 台要多少 | only calculate what N cost")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="机器可读 | for machines")] = False,
) -> None:
    """模拟 N 台网关上送云端(按实测的一台)| play N gateways, each as one was measured.

    不写 --mqtt、--series 时,在本机起动 deploy/ 里的三台 nats-server 与 VictoriaMetrics。
    Without --mqtt and --series the cluster and the store of deploy/ are started on this machine.
    """
    try:
        found = measured()
        if on_paper:
            print(paper(found, gateways, lang))
            return
        how = dataclasses.replace(behaviour(found, alarms), **({"devices": devices} if devices else {}))
        tally = _run(gateways, how, seconds, seed, mqtt or [], series, certs, only)
    except SimError as error:
        print(error.en if lang == "en" else error.zh, file=sys.stderr)
        raise typer.Exit(1) from None
    print(json.dumps(tally.as_dict(), indent=2) if as_json else said(tally, lang))
    if not tally.keeps_up():
        raise typer.Exit(_BEHIND)


def _run(  # noqa: PLR0917  one call
    gateways: int, how: Behaviour, seconds: float, seed: int,
    mqtt: list[str], series: str, certs: Path | None, only: str,
) -> Tally:  # fmt: skip
    if only not in ("", "mqtt", "series"):
        raise SimError("--only 写 mqtt 或 series", "--only is mqtt or series")
    if mqtt or series:
        target = Target([_address(each) for each in mqtt], _address(series) if series else None, certs)
        return asyncio.run(play(gateways, how, _only(target, only), seconds, seed))
    with tempfile.TemporaryDirectory(prefix="shouwang-fleet-") as directory:
        with CloudSide(Path(directory), gateway_ids(gateways)).running() as cloud:
            brokers = [("127.0.0.1", port) for port in cloud.broker.mqtt_ports]
            target = Target(brokers, ("127.0.0.1", cloud.series.port), cloud.certificates.path)
            return asyncio.run(play(gateways, how, _only(target, only), seconds, seed))


def _only(target: Target, only: str) -> Target:
    if only == "mqtt":
        return dataclasses.replace(target, series=None)
    return dataclasses.replace(target, mqtt=()) if only == "series" else target


def _address(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    if not host or not port.isdigit():
        raise SimError(f'写成 主机:端口,你写的是 "{text}"', f'write host:port; you wrote "{text}"')
    return host, int(port)


def said(tally: Tally, lang: str) -> str:
    """The tally for a person."""
    of = tally.as_dict()
    times = {name: of.get(name, "–") for name in ("puback_p50_ms", "puback_p99_ms", "post_p50_ms", "post_p99_ms")}
    if lang == "en":
        return "\n".join((
            f"{of['gateways']} gateways for {of['seconds']} s, {of.get('sessions', 0)} connected",
            f"MQTT: {of.get('messages', 0)} messages, {of.get('acked', 0)} acknowledged ({of['acked_per_s']}/s); "
            f"PUBACK p50 {times['puback_p50_ms']} ms, p99 {times['puback_p99_ms']} ms",
            f"time series: {of.get('lines', 0)} lines, {of.get('written', 0)} written ({of['written_per_s']}/s); "
            f"answer p50 {times['post_p50_ms']} ms, p99 {times['post_p99_ms']} ms",
            f"the simulator itself: {of['own_cores']} cores; errors: {of['errors'] or 'none'}",
            "the cloud side keeps up" if of["keeps_up"] else "the cloud side does NOT keep up",
        ))  # fmt: skip
    return "\n".join((
        f"{of['gateways']} 台网关,{of['seconds']} 秒,连上 {of.get('sessions', 0)} 台",
        f"MQTT:{of.get('messages', 0)} 条,已应答 {of.get('acked', 0)} 条(每秒 {of['acked_per_s']});"
        f"PUBACK 中位 {times['puback_p50_ms']} ms,p99 {times['puback_p99_ms']} ms",
        f"时序库:{of.get('lines', 0)} 行,已写入 {of.get('written', 0)} 行(每秒 {of['written_per_s']});"
        f"应答中位 {times['post_p50_ms']} ms,p99 {times['post_p99_ms']} ms",
        f"模拟器自己:{of['own_cores']} 核;错误:{of['errors'] or '无'}",
        "云端跟得上" if of["keeps_up"] else "云端跟不上",
    ))  # fmt: skip
