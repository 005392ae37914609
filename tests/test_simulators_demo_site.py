"""The demo's ports: where they come from, how they are shifted, what is said when one is taken."""

from __future__ import annotations

import io
import socket
from pathlib import Path

import pytest
from rich.console import Console

from simulators.demo_site import Port, prepare
from simulators.demo_text import PortsTaken, banner, things_to_try
from simulators.site import load
from simulators.spec import SimError
from tests.support_sim import CASE, config_at

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


def test_without_need_there_is_no_copy(tmp_path: Path) -> None:
    """A configuration that fits is run as it is."""
    config = config_at(tmp_path)
    demo = prepare(config, tmp_path / "data", 0)
    assert (demo.config, demo.is_copy) == (config, False)


@pytest.mark.parametrize("offset", [60_000, -9_000])
def test_an_impossible_offset_is_a_sentence(tmp_path: Path, offset: int) -> None:
    """Ports end at 65535 and begin at 1."""
    with pytest.raises(SimError, match="PORT_OFFSET"):
        prepare(CASE, tmp_path, offset)


def test_no_configuration_is_a_sentence(tmp_path: Path) -> None:
    """A wrong directory sends the person to `shouwang check`."""
    with pytest.raises(SimError, match="shouwang check"):
        prepare(tmp_path, tmp_path, 0)


def test_taken_ports_are_listed_with_the_way_out() -> None:
    """All taken ports at once, who holds them, and what to type."""
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        error = PortsTaken([Port("web", "web", holder.getsockname()[1]), Port("field", "field", 1)])
    assert "值班页" in error.zh
    assert "pid" in error.zh
    assert "PORT_OFFSET=100" in error.zh
    assert "console page" in error.en


def test_the_banner_says_three_things_that_can_be_typed(tmp_path: Path) -> None:
    """Page, first-time code, and three commands on one unbroken line each, in both languages."""
    demo = prepare(SAMPLE, tmp_path, 0)
    site = load(demo.config)
    out = io.StringIO()
    banner(Console(file=out, width=80), site, demo, "ABCD-EFGH-JKLM")
    text = out.getvalue()
    tries = things_to_try(site, demo)
    assert len(tries) == 3
    assert all(each.command in text and each.zh in text and each.en in text for each in tries)
    assert "3-2-03-0301/smoke alarm=true" in tries[1].command
    assert "http://127.0.0.1:8080/" in text
    assert "ABCD-EFGH-JKLM" in text
    assert "不替代消防系统" in text
