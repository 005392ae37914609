"""Simulators: the brokers of the demo as lines that break: cut for a while when asked, started anew when they die.

`shouwang sim cut` leaves a file named like the line; the demo, which owns the brokers, takes it. Modbus lines belong to
the simulator itself and are cut through its control socket.
"""

from __future__ import annotations

import contextlib
import time
from collections import deque
from collections.abc import Iterator
from pathlib import Path

from simulators.broker import Broker
from simulators.demo_lock import is_held
from simulators.demo_site import Port
from simulators.processes import ChildDied
from simulators.spec import SimError

_FOLDER = "cuts"
_LONGEST_S = 600.0
_TAKEN_WITHIN_S = 10.0  # the demo looks five times a second; stopping a broker may take it some seconds
_REST_S = 2.0  # before a broker that died is started again
_MOST_DEATHS = 5  # of one broker in a minute: then it will not live
_MINUTE_S = 60.0


def expect_sane(for_s: float) -> None:
    """Raise SimError unless a line can be cut for so long."""
    if not 1.0 <= for_s <= _LONGEST_S:
        raise SimError(f"断开的时间要在 1 到 {_LONGEST_S:g} 秒之间", f"cut a line for 1 to {_LONGEST_S:g} s")


def ask_for_cut(data_dir: Path, line: str, for_s: float) -> None:
    """Ask the demo of this directory to stop the broker of ``line``; returns when it has taken the request.

    Raises:
        SimError: no demo works there, or it did not take the request.
    """
    if not is_held(data_dir):
        raise SimError(
            f"演示没有在 {data_dir} 运行:自己的 broker 请自己停",
            f"no demo runs in {data_dir}: a broker of your own is yours to stop",
        )
    wish = data_dir / _FOLDER / line
    wish.parent.mkdir(exist_ok=True)
    draft = wish.with_name(f".{line}")
    draft.write_text(f"{for_s:g}", encoding="utf-8")
    draft.replace(wish)
    ends_at = time.perf_counter() + _TAKEN_WITHIN_S
    while wish.exists():
        if time.perf_counter() > ends_at:
            wish.unlink(missing_ok=True)
            raise SimError("演示没有理会,请看它的终端", "the demo does not answer: look at its terminal")
        time.sleep(0.05)


def cuts_asked_for(data_dir: Path) -> Iterator[tuple[str, float]]:
    """Which lines are to be cut, and for how many seconds; each is told once."""
    folder = data_dir / _FOLDER
    if not folder.is_dir():
        return
    for wish in sorted(folder.iterdir()):
        if wish.name.startswith("."):
            continue
        with contextlib.suppress(OSError, ValueError):
            yield wish.name, min(float(wish.read_text(encoding="utf-8")), _LONGEST_S)
        wish.unlink(missing_ok=True)


def forget_cuts(data_dir: Path) -> None:
    """What an earlier demo was asked is nobody's wish any more."""
    for _ in cuts_asked_for(data_dir):
        pass


class DemoLine:
    """One broker of the demo. `look` often: it says what has changed, in both languages."""

    def __init__(self, port: Port, broker: Broker) -> None:
        self.port = port
        self.broker = broker
        self._back_at_s: float | None = None  # it is down, until then
        self._deaths: deque[float] = deque(maxlen=_MOST_DEATHS)

    def look(self, cut_for_s: float | None = None) -> Iterator[str]:
        """Cut it, start it again, or notice that it died.

        Raises:
            ChildDied: it dies again and again.
            SimError: it cannot be started again.
        """
        now_s = time.perf_counter()
        zh, en = self.port.title
        if cut_for_s is not None:
            self.broker.stop()
            self._back_at_s = now_s + cut_for_s
            yield f"{zh} 断开 {cut_for_s:g} 秒  {en} is cut for {cut_for_s:g} s"
        elif self._back_at_s is None:
            yield from self._look_for_death(now_s)
        elif now_s >= self._back_at_s:
            self.broker.start()
            self._back_at_s = None
            yield f"{zh} 已恢复  {en} is back"

    def _look_for_death(self, now_s: float) -> Iterator[str]:
        try:
            self.broker.check()
        except ChildDied:
            if len(self._deaths) == _MOST_DEATHS and now_s - self._deaths[0] < _MINUTE_S:
                raise
            self._deaths.append(now_s)
            self._back_at_s = now_s + _REST_S
            zh, en = self.port.title
            yield f"{zh} 的 broker 自己退出了,马上重启  the broker of {en} died: starting it again"
