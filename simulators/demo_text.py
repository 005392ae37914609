"""Simulators: what the demo says on the terminal, in Chinese and English. No processes, no sockets."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from rich.console import Console
from rich.rule import Rule
from rich.text import Text

from simulators import control
from simulators.demo_site import DemoSite, Port, free_offset
from simulators.processes import holder_of
from simulators.spec import SimError, SimSite

_FIRE_AT = "3-2-03-0301"
_WIDTH = 80


class Try(NamedTuple):
    """One thing to try: a command, and what it will do."""

    zh: str
    en: str
    command: str
    then_zh: str
    then_en: str


def program() -> str:
    """How this installation's `shouwang` is called from here, as short as possible."""
    script = Path(sys.executable).parent / "shouwang"
    if not script.exists():
        return f"{sys.executable} -m gateway"
    near = os.path.relpath(script)
    return near if len(near) < len(str(script)) else str(script)


def things_to_try(site: SimSite, demo: DemoSite) -> list[Try]:
    """By what the site has: an elderly button, a fire, an overloaded socket, a line that breaks."""
    tail = "" if demo.data_dir == control.DEMO_DIR else f" --config {demo.config}"
    first = {kind: next((d.id for d in site.devices.values() if d.kind == kind), "") for kind in ("sos", "smoke")}
    smoke = f"{_FIRE_AT}/smoke" if f"{_FIRE_AT}/smoke" in site.devices else first["smoke"]
    cabinet = next((d.id for d in site.devices.values() if "power.3" in d.points), "")
    found = []
    if first["sos"]:
        found.append(
            Try(
                "按一下老人的呼救按钮",
                "press an elderly resident's button",
                f"{program()} sim press {first['sos']}{tail}",
                "值班页立刻出现“求助”,值班室蜂鸣;有人接警、核实、办结才消失",
                "on the page at once, with the duty buzzer, until somebody closes it",
            )
        )
    if smoke:
        found.append(
            Try(
                f"让 {smoke.partition('/')[0]} 着火",
                f"light a fire in {smoke.partition('/')[0]}",
                f"{program()} sim set {smoke} alarm=true{tail}",
                "火警排到最前,蜂鸣叫人;同单元第二台也报警(或有人核实)才声光响、门锁释放",
                "on top of the page; a second detector, or a person, starts sirens and doors",
            )
        )
    if cabinet:
        found.append(
            Try(
                "让一个充电插座过载",
                "overload a charging socket",
                f"{program()} sim ramp {cabinet} power.3 --from 200 --to 1500 --over 10s{tail}",
                "功率升过限值即报警并切断这个插座,功率回到 0 W",
                "past its limit it alarms and cuts this socket: back to 0 W",
            )
        )
    line = next((each.name for each in demo.ports if each.role == "modbus"), "")
    if line:
        found.append(
            Try(
                "断开一条线路半分钟",
                "cut a line for half a minute",
                f"{program()} sim cut {line} --for 30s{tail}",
                "一条“线路中断”的故障,不是几十条失联;其余设备照常,恢复后自动消失",
                "one fault for the line, not one per device; it goes when the line is back",
            )
        )
    return found


def banner(console: Console, site: SimSite, demo: DemoSite, setup_code: str) -> None:
    """Where the page is, how to get in, what to try. No line is wider than 80 columns, unless one word is."""
    console.print()
    console.print(Rule(Text(f"守望 Shouwang · {site.title}", style="bold"), style="cyan"), width=_WIDTH)
    _row(console, "值班页 Console", demo.page, "bold cyan underline")
    _login(console, demo, setup_code)
    _row(console, "模拟设备 Devices", f"{len(site.devices)}", "bold")
    ports = [f"{each.title[0]} {each.number}" for each in demo.ports if each.role != "web"]
    for n in range(0, len(ports), 2):
        _row(console, "" if n else "端口 Ports", " · ".join(ports[n : n + 2]), "dim")
    _row(console, "数据与日志 Data, logs", str(demo.data_dir), "dim")
    console.print("\n  另开一个终端试试 In a second terminal, try:", style="bold", highlight=False)
    for n, each in enumerate(things_to_try(site, demo), 1):
        console.print(f"\n  {n}. {each.zh}  {each.en}", style="bold", highlight=False, soft_wrap=True)
        console.print(f"     {_folded(each.command)}", style="green", soft_wrap=True, highlight=False)
        _note(console, each.then_zh, each.then_en)
    console.print()
    _note(
        console,
        "本系统为辅助监测,不替代消防系统。Ctrl-C 结束。",
        "Supplements certified fire equipment, never replaces it. Ctrl-C ends.",
    )
    console.print(Rule(style="cyan"), width=_WIDTH)


def _login(console: Console, demo: DemoSite, setup_code: str) -> None:
    if setup_code:
        _row(console, "首次登录 First login", setup_code, "bold yellow")
        _note(
            console,
            "在页面上用这个一次性代码设置自己的密码",
            "set your own password on the page with this one-time code",
        )
    else:
        _row(console, "登录 Login", f"用上次设置的姓名和密码(忘了:删除 {demo.data_dir})", "bold")
        _note(console, "", f"with the name and password set before (forgotten: delete {demo.data_dir})")


def cloud_line(status: Mapping[str, int]) -> str:
    """What the stand-in cloud has, in at most 68 columns; repeats only where there are any."""
    repeats = f" · 重复 repeats {status['duplicates']}" if status["duplicates"] else ""
    return f"云端 cloud: 报警 alarms {status['alarms']} · 读数 readings {status['readings']}{repeats}"


def _row(console: Console, label: str, value: str, style: str) -> None:
    padding = " " * max(1, 24 - Text(label).cell_len)
    console.print(Text.assemble("  ", label, padding, (value, style)), soft_wrap=True)


def _note(console: Console, zh: str, en: str) -> None:
    for text in filter(None, (zh, en)):
        console.print(f"     {text}", style="dim", highlight=False, soft_wrap=True)


def _folded(command: str) -> str:
    """A long command over several lines, as a shell takes it when it is copied."""
    lines = [""]
    for word in re.findall(r"--\S+ [^-\s]\S*|\S+", command):  # an option stays with its value
        if lines[-1] and len(lines[-1]) + len(word) > _WIDTH - 10:
            lines.append("  ")
        lines[-1] += f" {word}" if lines[-1].strip() else word
    return " \\\n     ".join(lines)


class PortsTaken(SimError):  # noqa: N818
    """Ports the demo needs are in use; the text lists them all and says a way out that is free right now."""

    def __init__(self, taken: list[Port], demo: DemoSite) -> None:
        held = [(each, holder_of(each.number)) for each in taken]
        zh = "\n".join(f"  端口 {p.number}({p.title[0]})已被占用{f':{by}' if by else ''}" for p, by in held)
        en = "\n".join(f"  port {p.number} ({p.title[1]}) is taken{f' by {by}' if by else ''}" for p, by in held)
        offset = free_offset(demo.ports, demo.offset)
        ways = ("", "") if offset is None else _ways(offset)
        super().__init__(f"{zh}\n  改法: 停掉占用者{ways[0]}", f"{en}\n  Way out: stop that program{ways[1]}")


def _ways(offset: int) -> tuple[str, str]:
    command = f"make demo PORT_OFFSET={offset}"
    return f",或换一组端口: {command}", f", or take other ports: {command}"
