"""The command line: `shouwang`. Each command imports what it needs when it runs."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from gateway import __version__

if TYPE_CHECKING:
    from gateway.model import Site

app = typer.Typer(
    name="shouwang",
    help="守望:智慧社区边缘网关。辅助监测,不替代消防系统。\n\n"
    "A smart-community edge gateway. Supplements certified fire equipment, never replaces it.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

Config = Annotated[Path, typer.Option("--config", "-c", help="配置目录 / configuration directory")]
Lang = Annotated[Literal["zh", "en"], typer.Option(help="语言 / language")]

EXIT_INVALID = 1


@app.command()
def run(
    config: Config = Path("config"),
    lang: Lang = "zh",
    *,
    bridge: Annotated[
        bool, typer.Option(help="自己启动云桥;--no-bridge:另外单独运行 shouwang bridge / start the cloud bridge, too")
    ] = True,
) -> None:
    """运行网关 / run the gateway."""
    from gateway.app.home import CannotStart  # noqa: PLC0415
    from gateway.app.logs import set_up_logs  # noqa: PLC0415
    from gateway.app.run import run_gateway  # noqa: PLC0415
    from gateway.clock import SystemClock  # noqa: PLC0415
    from gateway.store.database import StoreError  # noqa: PLC0415

    set_up_logs()
    site = _load(config, lang)
    try:
        run_gateway(site, config, SystemClock(), has_bridge=bridge)
    except CannotStart as error:
        _fail(error.zh if lang == "zh" else error.en)
    except StoreError as error:
        _fail(f"数据库打不开:{error}" if lang == "zh" else f"The database cannot be opened: {error}")


@app.command()
def check(
    config: Config = Path("config"),
    lang: Lang = "zh",
    *,
    as_json: Annotated[bool, typer.Option("--json", help="机器可读 / for machines")] = False,
) -> None:
    """检查配置,不改变任何东西 / validate the configuration."""
    site = _load(config, lang, as_json=as_json)
    if not as_json:
        devices = [each for each in site.devices.values() if each.bus_id]  # not the gateway's own lines and channels
        points = sum(len(each.points) for each in devices)
        print(
            f"没有错误。{site.title}: {len(devices)} 台设备, {points} 个测点, {len(site.rules)} 条规则。"
            if lang == "zh"
            else f"No errors. {site.title}: {len(devices)} devices, {points} points, {len(site.rules)} rules."
        )


@app.command()
def bridge(
    config: Config = Path("config"),
    *,
    data_dir: Annotated[str, typer.Option(help="数据目录,不写就照配置 / the gateway's data directory")] = "",
    wake_from_stdin: Annotated[bool, typer.Option(hidden=True, help="the gateway rings on standard input")] = False,
) -> None:
    """单独运行云桥,网关停着也能补送;平时由 run 自己启动 / run the cloud bridge alone; `run` starts its own."""
    sys.modules.setdefault("rich", None)  # type: ignore[arg-type]  # structlog's colours: 5 MB of a small box
    from cloud_bridge.run import BridgeError, run_bridge  # noqa: PLC0415
    from gateway.app.apart import read_apart  # noqa: PLC0415
    from gateway.app.bridge import die_first  # noqa: PLC0415
    from gateway.app.logs import set_up_logs  # noqa: PLC0415
    from gateway.app.memory import give_back_memory, keep_memory_small  # noqa: PLC0415
    from gateway.app.signals import until_told  # noqa: PLC0415
    from gateway.app.slim import for_uplinks  # noqa: PLC0415

    set_up_logs()
    die_first()
    keep_memory_small()
    tells = not wake_from_stdin  # else its parent has told them
    site = read_apart(lambda: for_uplinks(_load(config, "zh", tells_warnings=tells)))
    give_back_memory()
    try:
        asyncio.run(until_told(run_bridge(site, data_dir or site.data_dir, wake_fd=0 if wake_from_stdin else None)))
    except BridgeError as error:
        _fail(str(error))


@app.command()
def version() -> None:
    """版本 / version."""
    print(f"shouwang {__version__}")


def main() -> None:
    """Entry point."""
    if len(sys.argv) > 1 and sys.argv[1] in ("sim", "demo", "--help"):
        from simulators.cli import app as sim  # noqa: PLC0415 - heavy, and not needed on a box
        from simulators.demo import demo  # noqa: PLC0415

        app.add_typer(sim, name="sim")
        app.command()(demo)
    if len(sys.argv) > 1 and sys.argv[1] in ("uplinks", "--help"):
        from gateway.app.uplinks import app as uplinks  # noqa: PLC0415 - not needed by the other commands

        app.add_typer(uplinks, name="uplinks")
    app()


def _load(config: Path, lang: Literal["zh", "en"], *, as_json: bool = False, tells_warnings: bool = True) -> Site:
    """The checked site; what was found is printed, and errors end the program."""
    from gateway.app.loading import check_site  # noqa: PLC0415
    from gateway.config import as_json as findings_as_json  # noqa: PLC0415
    from gateway.config import render  # noqa: PLC0415

    checked = check_site(config)
    if as_json:
        print(json.dumps(findings_as_json(checked.findings, lang), ensure_ascii=False, indent=2))
    elif checked.errors or (checked.findings and tells_warnings):
        print(render(checked.findings, lang, dropped=checked.dropped), file=sys.stderr, end="")
    if checked.site is None:
        raise typer.Exit(EXIT_INVALID)
    return checked.site


def _fail(message: str) -> None:
    print(message, file=sys.stderr)
    raise typer.Exit(EXIT_INVALID)


if __name__ == "__main__":
    main()
