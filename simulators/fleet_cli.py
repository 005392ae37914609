"""Simulators: `shouwang sim fleet`: N gateways against a cloud side, and the table on paper for a whole city."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import sys
import tempfile
from collections import defaultdict
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from simulators.fleet import Behaviour, behaviour, measured
from simulators.fleet_cloud import CloudSide
from simulators.fleet_paper import paper
from simulators.fleet_run import Tally, Target, gateway_ids, play
from simulators.spec import SimError

_WAYS = ("both", "mqtt", "series", "split")
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
    ways: Annotated[
        str,
        typer.Option(
            help="both、mqtt、series,或 split:报警走 MQTT,数据走时序库 | split: alarms by MQTT, data to the store"
        ),
    ] = "both",
    devices: Annotated[int | None, typer.Option(min=20, help="每台网关的设备数 | devices of one gateway")] = None,
    alarms: Annotated[float, typer.Option(min=0, help="每台每小时报警数 | alarms an hour of one gateway")] = 20.0,
    seed: Annotated[int, typer.Option(help="相同种子,相同内容 | same seed, same content")] = 1,
    lang: Annotated[Literal["zh", "en"], typer.Option("--lang", envvar="SHOUWANG_LANG", help="zh | en")] = "zh",
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
        tally = _run(gateways, how, seconds, seed, mqtt or [], series, certs, ways)
    except SimError as error:
        print(error.en if lang == "en" else error.zh, file=sys.stderr)
        raise typer.Exit(1) from None
    print(json.dumps(tally.as_dict(), indent=2) if as_json else said(tally, lang))
    if not tally.keeps_up():
        raise typer.Exit(_BEHIND)


def _run(  # noqa: PLR0917  one call
    gateways: int, how: Behaviour, seconds: float, seed: int,
    mqtt: list[str], series: str, certs: Path | None, ways: str,
) -> Tally:  # fmt: skip
    if ways not in _WAYS:
        raise SimError(f"--ways 写 {'、'.join(_WAYS)} 之一", f"--ways is one of {', '.join(_WAYS)}")
    if mqtt or series:
        target = Target([_address(each) for each in mqtt], _address(series) if series else None, certs)
        return asyncio.run(play(gateways, how, _along(target, ways), seconds, seed))
    with (
        tempfile.TemporaryDirectory(prefix="shouwang-fleet-") as directory,
        CloudSide(Path(directory), gateway_ids(gateways)).running() as cloud,
    ):
        brokers = [("127.0.0.1", port) for port in cloud.broker.mqtt_ports]
        target = Target(brokers, ("127.0.0.1", cloud.series.port), cloud.certificates.path)
        return asyncio.run(play(gateways, how, _along(target, ways), seconds, seed))


def _along(target: Target, ways: str) -> Target:
    changes: dict[str, dict[str, Any]] = {
        "mqtt": {"series": None}, "series": {"mqtt": ()}, "split": {"is_split": True}, "both": {},
    }  # fmt: skip
    return dataclasses.replace(target, **changes[ways])


def _address(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    if not host or not port.isdigit():
        raise SimError(f'写成 主机:端口,你写的是 "{text}"', f'write host:port; you wrote "{text}"')
    return host, int(port)


_SAID = {
    "zh": """{gateways} 台网关,{seconds} 秒,连上 {sessions} 台
MQTT:{messages} 条,已应答 {acked} 条(每秒 {acked_per_s});PUBACK 中位 {puback_p50_ms} ms,p99 {puback_p99_ms} ms
时序库:{lines} 行,已写入 {written} 行(每秒 {written_per_s});应答中位 {post_p50_ms} ms,p99 {post_p99_ms} ms
模拟器自己:{own_cores} 核;错误:{errors}
{verdict}""",
    "en": """{gateways} gateways for {seconds} s, {sessions} connected
MQTT: {messages} messages, {acked} acknowledged ({acked_per_s}/s); PUBACK p50 {puback_p50_ms} ms, p99 {puback_p99_ms} ms
time series: {lines} lines, {written} written ({written_per_s}/s); answer p50 {post_p50_ms} ms, p99 {post_p99_ms} ms
the simulator itself: {own_cores} cores; errors: {errors}
{verdict}""",
}
_VERDICT = {
    "zh": ("云端跟不上", "云端跟得上"),
    "en": ("the cloud side does NOT keep up", "the cloud side keeps up"),
}


def said(tally: Tally, lang: str) -> str:
    """The tally for a person; a dash where there was nothing to count."""
    of: dict[str, Any] = defaultdict(lambda: "–", tally.as_dict())
    of["verdict"] = _VERDICT[lang][bool(of["keeps_up"])]
    of["errors"] = of["errors"] or "–"
    return _SAID[lang].format_map(of)
