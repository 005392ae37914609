"""What the bridge says of its uplinks, for the screens and for `shouwang uplinks`; and that command."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from cloud_bridge.advice import advice
from gateway.clock import SystemClock
from gateway.model import Site
from gateway.store.dead_letters import DeadLetter, dead_letters, must_be_readable, want
from gateway.store.outbox import bridge_status

STATUS_AGE_S = 15.0  # a bridge that has said nothing for this long hangs
_STATES = {"up": "已连", "down": "已断", "connecting": "正在连", "stopped": "已停", "silent": "云桥没有回音"}


def uplinks_told(site: Site, now: datetime) -> Sequence[Mapping[str, Any]]:
    """By uplink of the configuration, in its order: state, backlog, the oldest row that waits, rate, dead letters."""
    said = bridge_status(site.data_dir)
    return [_told(each.id, each.type, said.get(each.id, {}), now) for each in site.uplinks]


def is_silent(said: Mapping[str, Any], now: datetime) -> bool:
    """Has the bridge said nothing for so long? What it said in the future was said before the clock was set back."""
    return abs((now - datetime.fromisoformat(said["at"])).total_seconds()) > STATUS_AGE_S


def _told(key: str, kind: str, said: Mapping[str, Any], now: datetime) -> dict[str, Any]:
    backlog = said.get("backlog", {})
    oldest = [each["oldest_at"] for each in backlog.values() if each.get("oldest_at")]
    state = str(said.get("state", "silent"))
    if "at" in said and is_silent(said, now):
        state = "silent"
    return {
        "id": key,
        "type": kind,
        "state": state,
        "since": said.get("since"),
        "error": str(said.get("error", "")),
        "advice": advice(str(said.get("error", "")))._asdict(),
        "waiting": {lane: int(each["entries"]) for lane, each in backlog.items()},
        "waiting_bytes": sum(int(each["bytes"]) for each in backlog.values()),
        "oldest_waiting": min(oldest, default=None),
        "rows_per_s": float(said.get("rate", 0.0)),
        "settled": dict(said.get("settled", {})),
        "sessions": int(said.get("sessions", 0)),
        "dead_letters": int(said.get("rejected", 0)),
        "counts": dict(said.get("counts", {})),
    }


def letter_told(letter: DeadLetter) -> dict[str, Any]:
    """One refused row, with what its reason means."""
    return {**letter._asdict(), "advice": advice(letter.reason)._asdict()}


def age_words(since: str | None, now: datetime) -> str:
    """How long ago, for a person."""
    if not since:
        return ""
    seconds = max(0, int((now - datetime.fromisoformat(since)).total_seconds()))
    for size, unit in ((86_400, "天"), (3_600, "小时"), (60, "分钟")):
        if seconds >= size:
            return f"{seconds // size} {unit}前"
    return f"{seconds} 秒前"


app = typer.Typer(help="云端连接:状态、被拒收的数据、重发 / uplinks: state, dead letters, retry.", no_args_is_help=True)
Config = Annotated[Path, typer.Option("--config", "-c", help="配置目录 / configuration directory")]
AsJson = Annotated[bool, typer.Option("--json", help="机器可读 / for machines")]


def _site(config: Path) -> Site:
    from gateway.app.loading import check_site  # noqa: PLC0415 - heavy

    site = check_site(config).site
    if site is None:
        _fail("配置有错误,先运行 shouwang check / the configuration has errors: run shouwang check")
    return site


def _fail(text: str) -> NoReturn:
    typer.echo(text, err=True)
    raise typer.Exit(1)


def _readable(site: Site) -> Site:
    try:
        must_be_readable(site.data_dir)
    except OSError as error:
        _fail_barred(site.data_dir, error)
    return site


def _fail_barred(directory: str, error: OSError) -> NoReturn:
    _fail(
        f"数据目录 {directory} 读写不了({error.strerror}):用 root 或运行网关的账号来执行"
        f" / cannot use {directory} ({error.strerror}): run this as root, or as the user that the gateway runs as"
    )


@app.command("list")
def list_(config: Config = Path("config"), *, as_json: AsJson = False) -> None:
    """每个云端连接的状态 / the state of each uplink."""
    found = uplinks_told(_readable(_site(config)), SystemClock().now().utc)
    if as_json:
        typer.echo(json.dumps(found, ensure_ascii=False, indent=2))
        return
    if not found:
        typer.echo("没有上行:在 gateway.yaml 里写 uplinks / no uplinks in gateway.yaml")
    for each in found:
        typer.echo("\n".join(_lines(each, SystemClock().now().utc)))


def _lines(each: Mapping[str, Any], now: datetime) -> list[str]:
    """One uplink on the terminal: its state; what to do where something is wrong, then the reason itself."""
    waiting, parts = each["waiting"], [f"{each['id']} ({each['type']}): {_STATES[each['state']]} {each['state']}"]
    if each["since"] and each["state"] == "down":
        parts.append(age_words(each["since"], now))
    alarms, readings = waiting.get("alarm", 0), waiting.get("telemetry", 0)
    parts.append(f"待传 waiting: 报警 {alarms}, 数据 {readings}" if alarms or readings else "没有待传 nothing waits")
    if each["oldest_waiting"] and (alarms or readings):
        at = datetime.fromisoformat(each["oldest_waiting"]).astimezone()
        parts.append(f"最早 oldest: {age_words(each['oldest_waiting'], now)} {at:%Y-%m-%d %H:%M:%S}")
    parts.append(f"{each['rows_per_s']:g} 行/s rows/s")
    if each["dead_letters"]:
        parts.append(f"拒收 dead letters: {each['dead_letters']}(shouwang uplinks letters {each['id']})")
    lines = [" · ".join(parts)]
    if each["state"] == "silent":
        lines.append("    怎么办: 云桥没有在运行。网关停着就启动网关;单独运行的话用 shouwang bridge / start the bridge")
    if each["error"]:
        lines += [f"    怎么办: {each['advice']['zh']}", f"    原文: {' '.join(each['error'].split())}"]
    return lines


@app.command()
def letters(uplink: str, config: Config = Path("config"), *, limit: int = 100, as_json: AsJson = False) -> None:
    """被平台拒收的数据和原因 / what this platform has refused, and why."""
    found = dead_letters(_known(_site(config), uplink).data_dir, uplink, limit)
    if as_json:
        typer.echo(json.dumps([letter_told(each) for each in found], ensure_ascii=False, indent=2))
        return
    if not found:
        typer.echo("没有被拒收的数据 / nothing was refused")
    for each in found:
        at = datetime.fromtimestamp(each.at_ms / 1000, UTC).astimezone()
        lane = "报警 alarm" if each.lane == "alarm" else "数据 telemetry"
        typer.echo(f"{each.id}  {lane} {each.seq}  {at:%Y-%m-%d %H:%M:%S}  {each.bytes} B")
        typer.echo(f"    {advice(each.reason).zh}\n    原文: {' '.join(each.reason.split())}")


@app.command()
def retry(
    uplink: str,
    letter: Annotated[
        list[int] | None, typer.Argument(help="编号;不写就是全部 / numbers; all where none is given")
    ] = None,
    config: Config = Path("config"),
) -> None:
    """让云桥再发一次 / have the bridge send them again."""
    directory = _known(_site(config), uplink).data_dir
    there = [each.id for each in dead_letters(directory, uplink, 1_000)]
    chosen = letter or there
    if unknown := sorted(set(chosen) - set(there)):
        _fail(f"没有这个编号 / no such letter: {', '.join(map(str, unknown))}")
    try:
        asked = sum(want(directory, each) for each in chosen)
    except OSError as error:
        _fail_barred(directory, error)
    typer.echo(f"已请云桥再发 {asked} 条 / the bridge was asked to send {asked} again")


def _known(site: Site, uplink: str) -> Site:
    if uplink not in {each.id for each in site.uplinks}:
        _fail(f"没有这个连接 / no such uplink: {uplink}. 有 / there are: {', '.join(each.id for each in site.uplinks)}")
    return _readable(site)
