"""Lines of the demo that break: cut for a while when asked, started again when their broker dies."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
import time
from functools import partial
from pathlib import Path

import pytest

from simulators.broker import EmbeddedBroker
from simulators.demo_lines import DemoLine, ask_for_cut, cuts_asked_for, expect_sane
from simulators.demo_lock import only_demo_in
from simulators.demo_site import Port
from simulators.processes import ChildDied, accepts
from simulators.service import SimService
from simulators.spec import SimError
from tests.support_sim import until
from tests.test_simulators_modbus import asked, modbus_site


def line_of(broker: EmbeddedBroker) -> DemoLine:
    return DemoLine(Port("field", "field", broker.port), broker)


def hears(line: DemoLine, said: list[str], word: str) -> bool:
    """Look once more; was ``word`` said by now?"""
    said += line.look()
    return word in "".join(said)


async def test_a_cut_line_comes_back_by_itself(embedded_broker: EmbeddedBroker) -> None:
    """Nobody is served for the time asked for, then everybody again, and both are said once."""
    line = line_of(embedded_broker)
    (cut,) = line.look(0.3)
    assert "断开 0.3 秒" in cut
    assert not accepts(embedded_broker.port)
    assert list(line.look()) == []
    said: list[str] = []
    await until(lambda: hears(line, said, "已恢复"))
    assert len(said) == 1
    assert accepts(embedded_broker.port)
    assert list(line.look()) == []


async def test_a_broker_that_dies_is_started_again_until_it_is_hopeless(
    embedded_broker: EmbeddedBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A kill is a line fault to look at; a broker that dies six times in a minute ends the demo."""
    monkeypatch.setattr("simulators.demo_lines._REST_S", 0.0)
    line = line_of(embedded_broker)
    for _ in range(5):
        os.kill(embedded_broker.pid, signal.SIGKILL)
        said: list[str] = []
        await until(partial(hears, line, said, "已恢复"))
        assert "自己退出了" in said[0]
        assert accepts(embedded_broker.port)
    os.kill(embedded_broker.pid, signal.SIGKILL)
    await until(lambda: not embedded_broker.is_running)
    with pytest.raises(ChildDied):
        list(line.look())


def test_a_wish_is_taken_once_and_only_where_a_demo_works(tmp_path: Path) -> None:
    """A wish that nobody would take is refused at once; a demo takes it and does not find it again."""
    with pytest.raises(SimError, match="no demo runs"):
        ask_for_cut(tmp_path, "field", 30)
    with only_demo_in(tmp_path):
        asking = threading.Thread(target=ask_for_cut, args=(tmp_path, "field", 30))
        asking.start()
        found: list[tuple[str, float]] = []
        ends_at = time.perf_counter() + 5
        while not found and time.perf_counter() < ends_at:
            found = list(cuts_asked_for(tmp_path))
        asking.join(5)
        assert found == [("field", 30.0)]
        assert list(cuts_asked_for(tmp_path)) == []


@pytest.mark.parametrize("for_s", [0.0, 601.0])
def test_a_cut_has_a_sane_length(for_s: float) -> None:
    """Nobody cuts a line for ever by a slip of the finger."""
    with pytest.raises(SimError):
        expect_sane(for_s)


async def test_a_modbus_line_is_cut_and_comes_back(tmp_path: Path) -> None:
    """Its devices are gone for everybody, a second cut meanwhile is refused, and then they answer again."""
    async with asked(modbus_site(tmp_path)) as (sim, _):
        port = sim.site.buses["pile1"].port
        sim.handle({"do": "cut", "line": "pile1", "for_s": 0.3})
        await until(lambda: not accepts(port))
        with pytest.raises(SimError, match="cut already"):
            sim.handle({"do": "cut", "line": "pile1", "for_s": 1})
        await until(lambda: accepts(port))
        await until(lambda: _is_whole(sim))
        with pytest.raises(SimError, match="no Modbus line"):
            sim.handle({"do": "cut", "line": "field", "for_s": 1})
        sim.handle({"do": "cut", "line": "pile1", "for_s": 600})  # and the simulator ends all the same
        await asyncio.sleep(0)


def _is_whole(sim: SimService) -> bool:
    return sim.is_up and not sim._cuts
