"""The demo's ports: where they come from, how they are shifted, what is said when one is taken."""

from __future__ import annotations

import io
import os
import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from rich.cells import cell_len
from rich.console import Console

from simulators import control
from simulators.demo_lock import only_demo_in
from simulators.demo_site import DemoSite, Port, free_offset, prepare
from simulators.demo_text import PortsTaken, banner, cloud_line, things_to_try
from simulators.processes import holder_of, is_taken
from simulators.site import load
from simulators.spec import SimError
from tests.support_config import checked
from tests.support_sim import CASE

SAMPLE = Path(__file__).parents[1] / "config"


def test_an_offset_shifts_every_port_in_a_copy(tmp_path: Path) -> None:
    """PORT_OFFSET moves brokers, Modbus, page and cloud together, and leaves the original files alone."""
    before = (CASE / "site.yaml").read_bytes()
    demo = prepare(CASE, tmp_path, 100)
    assert {each.role: each.number for each in demo.ports} == {
        "field": 1983, "modbus": 1602, "web": 8180, "platform": 2983, "series": 8186,
    }  # fmt: skip
    copied = load(demo.config)
    assert (copied.buses["field"].port, copied.data_dir) == (1983, str(tmp_path))
    assert "8186" in (demo.config / "gateway.yaml").read_text("utf-8")
    assert (CASE / "site.yaml").read_bytes() == before
    assert load(CASE).devices.keys() == copied.devices.keys()


@pytest.mark.parametrize(("broker_kind", "marks"), [("embedded", False), ("mosquitto", True)])
def test_the_gateway_is_told_how_the_broker_repeats(tmp_path: Path, broker_kind: str, *, marks: bool) -> None:
    """The embedded broker sends again with DUP=0, so its copy says so; mosquitto keeps to the standard."""
    found = checked(prepare(SAMPLE, tmp_path, 0, broker_kind=broker_kind).config).site
    assert found is not None
    assert found.buses["field"].params.marks_repeats is marks
    assert found.data_dir == str(tmp_path)


def test_the_demo_never_overwrites_its_own_source(tmp_path: Path) -> None:
    """Naming the copy, or what holds it, as the configuration is refused before anything is removed."""
    config = prepare(SAMPLE, tmp_path, 0).config
    for source in (config, tmp_path):
        with pytest.raises(SimError, match="--config"):
            prepare(source, tmp_path, 0)
    assert (config / "site.yaml").is_file()


def test_a_second_demo_leaves_the_first_alone(tmp_path: Path) -> None:
    """Whoever starts it twice reads where the page is; the lock is free again afterwards."""
    with only_demo_in(tmp_path) as tell:
        tell("http://127.0.0.1:8780/")
        before = sorted(tmp_path.iterdir())
        with pytest.raises(SimError) as refused, only_demo_in(tmp_path):
            raise AssertionError("two demos in one directory")
        assert refused.value.zh == "演示已在运行:http://127.0.0.1:8780/"
        assert "already running: http://127.0.0.1:8780/" in refused.value.en
        assert sorted(tmp_path.iterdir()) == before
    with only_demo_in(tmp_path):
        pass


@pytest.mark.parametrize("offset", [60_000, -9_000])
def test_an_impossible_offset_is_a_sentence(tmp_path: Path, offset: int) -> None:
    """Ports end at 65535 and begin at 1."""
    with pytest.raises(SimError, match="PORT_OFFSET"):
        prepare(CASE, tmp_path, offset)


def test_no_configuration_is_a_sentence(tmp_path: Path) -> None:
    """A wrong directory sends the person to `shouwang check`."""
    with pytest.raises(SimError, match="shouwang check"):
        prepare(tmp_path / "none", tmp_path, 0)


def test_taken_ports_are_listed_with_a_way_out_that_works() -> None:
    """All taken ports at once, who holds them, and an offset at which every port is free."""
    base = next(n for n in range(20_000, 30_000) if not is_taken(n) and not is_taken(n + 100))
    with socket.create_server(("127.0.0.1", base)), socket.create_server(("127.0.0.1", base + 100)):
        ports = (Port("web", "web", base), Port("field", "field", base + 7))
        error = PortsTaken([ports[0]], DemoSite(Path(), Path(), ports, offset=500))
        offset = free_offset(ports, 500)
    assert "值班页" in error.zh
    assert f"pid {os.getpid()}" in error.zh
    assert "console page" in error.en
    assert offset is not None
    assert offset > 600
    assert f"\n  改法: 停掉占用者,或换一组端口: make demo PORT_OFFSET={offset}" in error.zh


def test_a_program_is_named_in_whole_words() -> None:
    """The holder of a port reads like a command, not like one torn off in the middle."""
    code = "import socket,time; s = socket.create_server(('127.0.0.1', 0)); print(s.getsockname()[1], flush=1); input()"
    command = [sys.executable, "-c", code, "a-long-word-of-forty-characters-and-more"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout
        assert child.stdin
        named = holder_of(int(child.stdout.readline()))
        child.stdin.write("\n")
    assert named == f"{Path(sys.executable).name} -c … (pid {child.pid})"


def shown(demo: DemoSite, code: str) -> str:
    out = io.StringIO()
    banner(Console(file=out, width=120), load(demo.config), demo, code)
    return out.getvalue()


def test_the_banner_says_what_to_try_in_commands_that_can_be_typed(tmp_path: Path) -> None:
    """Page, first-time code, and four commands that survive being copied, in both languages."""
    demo = prepare(SAMPLE, tmp_path, 0)
    text = shown(demo, "ABCD-EFGH-JKLM")
    tries = things_to_try(load(demo.config), demo)
    assert len(tries) == 4
    joined = re.sub(r" \\\n\s+", " ", text)
    assert all(each.command in joined and each.zh in text and each.en in text for each in tries)
    assert "3-2-03-0301/smoke alarm=true" in tries[1].command
    assert "http://127.0.0.1:8080/" in text
    assert "ABCD-EFGH-JKLM" in text
    assert "不替代消防系统" in text


@pytest.mark.parametrize("code", ["ABCD-EFGH-JKLM", ""])
def test_every_line_of_the_banner_fits_a_terminal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: str) -> None:
    """80 columns, wide characters counted as two, also the line about the cloud."""
    monkeypatch.chdir(tmp_path)
    text = shown(prepare(SAMPLE, control.DEMO_DIR, 500), code)
    assert max(cell_len(line) for line in text.splitlines()) <= 80
    assert ("忘了:删除 var/demo" in text) is (not code)
    assert cell_len(cloud_line({"alarms": 123, "readings": 1_234_567, "duplicates": 7})) <= 68
