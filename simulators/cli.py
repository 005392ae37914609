"""Simulators: the command line, mounted as `shouwang sim ...`. In Chinese and English, `--lang` for one of them."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, TextIO

import structlog
import typer

from simulators import control
from simulators.demo_lines import ask_for_cut, expect_sane
from simulators.fleet_cli import fleet
from simulators.profiles import duration_s
from simulators.site import load
from simulators.spec import SimError

app = typer.Typer(name="sim", help="在真实套接字上模拟设备 | simulated devices on real sockets", no_args_is_help=True)
app.command()(fleet)

Config = Annotated[Path, typer.Option("--config", envvar="SHOUWANG_CONFIG", help="配置目录 | configuration directory")]
Lang = Annotated[str, typer.Option("--lang", envvar="SHOUWANG_LANG", help="zh | en,不写时两种都说 | without it: both")]
Target = Annotated[str, typer.Argument(metavar="DEVICE", help="例如 3-2-03-0301/smoke | for example 3-2-03-0301/smoke")]
_DEFAULT = Path("config")


@contextlib.contextmanager
def _spoken(lang: str) -> Iterator[None]:
    """Errors a person can act on, without a traceback, exit code 1."""
    try:
        yield
    except SimError as error:
        _say(error.zh, error.en, lang, file=sys.stderr)
        raise typer.Exit(1) from None


def _say(zh: str, en: str, lang: str, file: TextIO | None = None) -> None:
    """One language when it was asked for, else both, Chinese first."""
    print({"zh": zh, "en": en}.get(lang, f"{zh}\n{en}"), file=file, flush=True)


def _ask(config: Path, request: dict[str, Any]) -> dict[str, Any]:
    return control.ask(control.running_socket(load(config).data_dir), request)


@app.command()
def serve(
    config: Config = _DEFAULT,
    seed: Annotated[int, typer.Option(help="相同种子,相同过程 | same seed, same run")] = 1,
    pace: Annotated[float, typer.Option(help="上报周期的倍数 | multiplies every reporting period")] = 1.0,
    lang: Lang = "",
) -> None:
    """按配置模拟全部设备,直到 Ctrl-C | play every device of the site until Ctrl-C."""
    with _spoken(lang):
        asyncio.run(_serve(config, seed, pace, lang))


async def _serve(config: Path, seed: int, pace: float, lang: str) -> None:
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    from simulators.service import SimService  # noqa: PLC0415  pymodbus is heavy, and other commands need none of it

    site = load(config)
    service = SimService(site, seed=seed, pace=pace)
    server = control.ControlServer(control.socket_path(site.data_dir), service.handle)
    await server.start()
    try:
        task = asyncio.ensure_future(service.run())
        for each in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(each, task.cancel)
        zh = f"模拟 {site.title}:{len(site.devices)} 台设备,种子 {seed}。Ctrl-C 结束。"
        en = f"Playing {site.title}: {len(site.devices)} devices, seed {seed}. Ctrl-C ends."
        _say(zh, en, lang)
        with contextlib.suppress(asyncio.CancelledError):
            await task
    finally:
        await server.stop()


@app.command()
def press(device: Target, config: Config = _DEFAULT, lang: Lang = "") -> None:
    """按一下设备(按钮、测试键) | press the device's button once."""
    with _spoken(lang):
        answer = _ask(config, {"do": "press", "device": device})
        _say(f"已按下 {answer['device']}({answer['title']})", f"pressed {answer['device']}", lang)


@app.command("set")
def set_(
    device: Target,
    values: Annotated[list[str], typer.Argument(metavar="POINT=VALUE…", help="alarm=true power.3=3800 online=false")],
    config: Config = _DEFAULT,
    lang: Lang = "",
) -> None:
    """让点读到给定的值,直到再次设置 | make points read so until set again."""
    with _spoken(lang):
        pairs = [each.partition("=") for each in values]
        if bad := [name for name, equals, _ in pairs if not equals]:
            raise SimError(
                f'写成 点=值,例如 alarm=true;你写的是 "{bad[0]}"',
                f'write POINT=VALUE, for example alarm=true; you wrote "{bad[0]}"',
            )
        answer = _ask(config, {"do": "set", "device": device, "values": {name: text for name, _, text in pairs}})
        shown = ", ".join(f"{name}={str(value).lower()}" for name, value in answer["values"].items())
        print(f"{answer['device']}: {shown}")


@app.command()
def ramp(  # noqa: PLR0917  typer's options
    device: Target,
    point: Annotated[str, typer.Argument(metavar="POINT", help="例如 power.3 | for example power.3")],
    first: Annotated[float, typer.Option("--from", help="起点 | start")],
    last: Annotated[float, typer.Option("--to", help="终点 | end")],
    over: Annotated[
        str, typer.Option("--over", help="用时,例如 30s;不写单位是秒 | duration, seconds without a unit")
    ] = "30s",
    config: Config = _DEFAULT,
    lang: Lang = "",
) -> None:
    """让一个数值均匀变化 | move a number evenly."""
    with _spoken(lang):
        over_s = duration_s(over)
        asked = {"point": point, "first": first, "last": last, "over_s": over_s}
        answer = _ask(config, {"do": "ramp", "device": device, **asked})
        zh = f"{answer['device']} 的 {answer['point']} 在 {over_s:g} 秒内从 {first:g} 变到 {last:g}"
        en = f"{answer['device']}: {answer['point']} goes from {first:g} to {last:g} over {over_s:g} s"
        _say(zh, en, lang)


@app.command()
def cut(
    line: Annotated[str, typer.Argument(metavar="LINE", help="总线名,例如 field | a bus, for example field")],
    for_: Annotated[str, typer.Option("--for", help="多久,例如 30s | how long")] = "30s",
    config: Config = _DEFAULT,
    lang: Lang = "",
) -> None:
    """断开一条线路一段时间:停掉它的 broker,或 Modbus 设备都不应答 | cut a line for a while."""
    with _spoken(lang):
        site = load(config)
        for_s = duration_s(for_)
        expect_sane(for_s)
        bus = site.buses.get(line)
        if bus is None:
            known = ", ".join(site.buses)
            raise SimError(f"没有线路 {line},可用: {known}", f"no line {line}; there are: {known}")
        path = control.running_socket(site.data_dir)
        if bus.type == "mqtt":
            ask_for_cut(path.parent, line, for_s)
        else:
            control.ask(path, {"do": "cut", "line": line, "for_s": for_s})
        _say(
            f"线路 {line} 断开 {for_s:g} 秒,之后自动恢复",
            f"line {line} is cut for {for_s:g} s, then it comes back",
            lang,
        )


@app.command()
def show(device: Target, config: Config = _DEFAULT, lang: Lang = "") -> None:
    """显示一台模拟设备此刻的值 | show what a device reads now."""
    with _spoken(lang):
        answer = _ask(config, {"do": "show", "device": device})
        for name, value in {"online": answer["online"], **answer["values"]}.items():
            print(f"{answer['device']}/{name} = {value}")


@app.command("list")
def list_(
    contains: Annotated[str, typer.Argument(metavar="[TEXT]", help="只列出含此文字的 | only those containing")] = "",
    config: Config = _DEFAULT,
    lang: Lang = "",
) -> None:
    """列出模拟的设备 | list the devices played."""
    with _spoken(lang):
        for each in _ask(config, {"do": "list"})["devices"]:
            if contains in each["id"] or contains in each["title"]:
                print(f"{each['id']}\t{each['title']}\t{each['bus']}")


@app.command()
def status(config: Config = _DEFAULT, lang: Lang = "") -> None:
    """模拟器发出和收到了什么 | what the simulator sent and took."""
    with _spoken(lang):
        for name, value in _ask(config, {"do": "status"}).items():
            if name != "ok":
                print(f"{name}: {value}")


if __name__ == "__main__":
    app()
