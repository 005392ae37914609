"""What the bridge says of its uplinks, for the screens and for `shouwang uplinks`; and that command."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from gateway.clock import SystemClock
from gateway.model import Site
from gateway.store.dead_letters import dead_letters, want
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
        "waiting": {lane: int(each["entries"]) for lane, each in backlog.items()},
        "waiting_bytes": sum(int(each["bytes"]) for each in backlog.values()),
        "oldest_waiting": min(oldest, default=None),
        "rows_per_s": float(said.get("rate", 0.0)),
        "settled": dict(said.get("settled", {})),
        "sessions": int(said.get("sessions", 0)),
        "dead_letters": int(said.get("rejected", 0)),
        "counts": dict(said.get("counts", {})),
    }


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


@app.command("list")
def list_(config: Config = Path("config"), *, as_json: AsJson = False) -> None:
    """每个云端连接的状态 / the state of each uplink."""
    found = uplinks_told(_site(config), SystemClock().now().utc)
    if as_json:
        typer.echo(json.dumps(found, ensure_ascii=False, indent=2))
        return
    for each in found:
        waiting = each["waiting"]
        typer.echo(
            f"{each['id']} ({each['type']}): {_STATES[each['state']]} {each['state']}"
            f" · 待传 waiting: 报警 {waiting.get('alarm', 0)}, 数据 {waiting.get('telemetry', 0)}"
            f" · 最早 oldest: {each['oldest_waiting'] or '-'} · {each['rows_per_s']:g} 行/s rows/s"
            f" · 拒收 dead letters: {each['dead_letters']}" + (f" · {each['error']}" if each["error"] else "")
        )


@app.command()
def letters(uplink: str, config: Config = Path("config"), *, limit: int = 100, as_json: AsJson = False) -> None:
    """被平台拒收的数据和原因 / what this platform has refused, and why."""
    found = dead_letters(_known(_site(config), uplink).data_dir, uplink, limit)
    if as_json:
        typer.echo(json.dumps([each._asdict() for each in found], ensure_ascii=False, indent=2))
        return
    for each in found:
        typer.echo(f"{each.id}  {each.lane} {each.seq}  {each.bytes} B  {each.reason}")


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
    asked = sum(want(directory, each) for each in chosen)
    typer.echo(f"已请云桥再发 {asked} 条 / the bridge was asked to send {asked} again")


def _known(site: Site, uplink: str) -> Site:
    if uplink not in {each.id for each in site.uplinks}:
        _fail(f"没有这个连接 / no such uplink: {uplink}. 有 / there are: {', '.join(each.id for each in site.uplinks)}")
    return site
