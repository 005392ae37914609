"""The commands of `shouwang`. Each imports what it needs when it runs."""

from __future__ import annotations

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
    from gateway.app.life import run_gateway  # noqa: PLC0415
    from gateway.app.logs import set_up_logs  # noqa: PLC0415
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
) -> None:
    """单独运行云桥,网关停着也能补送;平时由 run 自己启动 / run the cloud bridge alone; `run` starts its own."""
    from gateway.app.bridge_main import main as serve  # noqa: PLC0415 - `gateway.__main__` starts it without this module

    serve(["--config", str(config), "--data-dir", data_dir])


@app.command()
def version() -> None:
    """版本 / version."""
    print(f"shouwang {__version__}")


def main() -> None:
    """Run the command that was asked for."""
    asked = sys.argv[1] if len(sys.argv) > 1 else "--help"
    if asked in ("sim", "demo", "--help"):
        from simulators.cli import app as sim  # noqa: PLC0415 - heavy, and not needed on a box
        from simulators.demo import demo  # noqa: PLC0415

        app.add_typer(sim, name="sim")
        app.command()(demo)
    if asked in ("uplinks", "--help"):
        from gateway.app.uplinks import app as uplinks  # noqa: PLC0415 - not needed by the other commands

        app.add_typer(uplinks, name="uplinks")
    app()


def _load(config: Path, lang: Literal["zh", "en"], *, as_json: bool = False) -> Site:
    """The checked site; what was found is printed, and errors end the program."""
    from gateway.app.loading import told_site  # noqa: PLC0415

    site = told_site(config, lang, is_json=as_json)
    if site is None:
        raise typer.Exit(EXIT_INVALID)
    return site


def _fail(message: str) -> None:
    print(message, file=sys.stderr)
    raise typer.Exit(EXIT_INVALID)
