"""The pump at a platform that follows a script: no row is skipped, none blamed for a bad link, none is starved."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import apsw
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from cloud_bridge import pace, retries, sending, status, suspicion
from cloud_bridge.suspicion import Row
from gateway.model import Lane
from gateway.store.dead_letters import dead_letters, want, wanted
from tests.support_bridge import Box, event, until
from tests.support_pump import DROP, NAME, RAISE, REJECT, SILENT, TAKE, Scripted, pumping

ALARM, TELEMETRY = Lane.ALARM, Lane.TELEMETRY
LINK = "the link breaks"


@pytest.fixture
def box(tmp_path: Path) -> Box:
    return Box(tmp_path)


@pytest.fixture(autouse=True)
def _hurry() -> Iterator[None]:
    """What happens after pauses is the subject. Beside the property as well, which has no fixture of a function."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pace, "_FIRST_S", 0.002)
        patch.setattr(suspicion, "_FIRST_PAUSE_S", 0.002)
        yield


@pytest.fixture
def _no_patience() -> Iterator[None]:
    """No pause grows."""
    with pytest.MonkeyPatch.context() as patch:
        for module, name in ((pace, "_CAP_S"), (pace, "_ALARM_CAP_S"), (suspicion, "_LONGEST_PAUSE_S")):
            patch.setattr(module, name, 0.02)
        patch.setattr(suspicion, "_LONGEST_LANE_PAUSE_S", 0.05)
        patch.setattr(sending, "_LINGER_S", 0.005)
        yield


def letters(box: Box) -> dict[Row, str]:
    return {Row(Lane(each.lane), each.seq): each.reason for each in dead_letters(str(box.directory), "cloud")}


@pytest.mark.usefixtures("_no_patience")
@settings(max_examples=15, deadline=None, phases=[Phase.explicit, Phase.generate])  # a failure takes long: as it is
@given(
    alarms=st.lists(st.tuples(st.integers(1, 3), st.sampled_from([TAKE, TAKE, TAKE, DROP, NAME, REJECT])), max_size=8),
    readings=st.lists(st.sampled_from([TAKE, TAKE, TAKE, TAKE, DROP, NAME, REJECT, RAISE]), max_size=8),
    faults=st.lists(st.tuples(st.integers(1, 6), st.sampled_from([LINK, SILENT, "restart"])), max_size=5),
)
async def test_whatever_happens_every_row_is_taken_or_put_aside_and_none_for_the_link(
    tmp_path_factory: pytest.TempPathFactory,
    alarms: list[tuple[int, str]],
    readings: list[str],
    faults: list[tuple[int, str]],
) -> None:
    """Invariant: after any refusals, drops, withheld answers and restarts every row has arrived or is a dead letter
    with a reason; a row that is good is put aside for no link that breaks; events of one alarm stay in order."""
    world = World(Box(tmp_path_factory.mktemp("box")), alarms, readings, faults)
    while world.restart.is_set() or not world.is_settled:
        world.restart.clear()
        async with pumping(world.box, world.uplink) as task:
            await world.live(task)

    aside = letters(world.box)
    assert all(aside.values())
    assert {*world.uplink.taken, *aside} >= set(world.nature)
    breaks = sum(fault != "restart" for _, fault in faults)
    heard = [row for row in dict.fromkeys(world.uplink.heard) if world.nature.get(row) == TAKE and row not in aside]
    bad = {row for row, kind in world.nature.items() if kind != TAKE}
    assert {row for row in aside if row.lane is ALARM or breaks < 3} <= bad
    telemetry = [row.seq for row in heard if row.lane is TELEMETRY]
    assert telemetry == sorted(telemetry)
    for number in range(1, 4):
        events = [row.seq for row in heard if world.alarm_of.get(row) == number]
        assert events == sorted(events)


class World:
    """An outbox, a platform that takes each row or does not, and a link and a bridge that break now and then."""

    def __init__(
        self, box: Box, alarms: list[tuple[int, str]], readings: list[str], faults: list[tuple[int, str]]
    ) -> None:
        self.box = box
        self.nature: dict[Row, str] = {}
        self.alarm_of: dict[Row, int] = {}
        self.restart = asyncio.Event()
        self.uplink = Scripted(self._script, answer_s=0.1)
        self.uplink.farewell = lambda row: row.seq % 2 == 0
        self._left = list(faults)
        self._since = 0  # the last fault: rows
        self._turns = 0
        versions: Counter[int] = Counter()
        for seq, (number, kind) in enumerate(alarms, 1):
            versions[number] += 1
            box.append(events=[event(number, versions[number])])
            self.nature[Row(ALARM, seq)], self.alarm_of[Row(ALARM, seq)] = kind, number
        for seq, kind in enumerate(readings, 1):
            box.readings(1, start=seq)
            self.nature[Row(TELEMETRY, seq)] = kind

    def _script(self, row: Row) -> str:
        self._since += 1
        if not self._left or self._since < self._left[0][0]:
            return self.nature.get(row, TAKE)
        self._since, (_, fault) = 0, self._left.pop(0)
        if fault == "restart":
            self.restart.set()
        return DROP if fault == LINK else SILENT

    @property
    def is_settled(self) -> bool:
        return self.box.settled("cloud") == self.box.last()

    async def live(self, task: asyncio.Task[None]) -> None:
        """Until all is settled or the bridge is restarted; meanwhile there is another alarm now and then."""
        end = asyncio.get_running_loop().time() + 30.0
        while not self.restart.is_set() and not self.is_settled:
            assert not task.done(), "the pump has ended"
            assert asyncio.get_running_loop().time() < end, f"stands still: {self.box.settled('cloud')} {self.nature}"
            await asyncio.sleep(0.01)
            self._turns += 1
            if not self._left and self._turns % 10 == 0 and self.alarm_of:
                self.box.alarms(100 + self._turns)


async def test_an_answer_with_the_farewell_counts_before_anybody_is_blamed(box: Box) -> None:
    """A row is ignored three times, others are taken; the third time its answer comes as the session is closed."""
    box.readings(6)
    uplink = Scripted(lambda row: SILENT if row.seq == 2 else TAKE, answer_s=0.2)
    uplink.farewell = lambda row: uplink.seen.count(row) == 3
    async with pumping(box, uplink) as task:
        await until(lambda: task.done() or box.settled("cloud") == box.last(), "settled")
    assert not letters(box)
    assert uplink.seen.count(Row(TELEMETRY, 2)) == 3


async def test_a_row_at_which_the_uplink_itself_fails_is_put_aside(box: Box) -> None:
    """A fault in our own code at one alarm and one row of readings costs these two, and nobody waits behind them."""
    box.alarms(1, 2, 3, 4)
    box.readings(4)
    uplink = Scripted(lambda row: RAISE if row.seq == 2 else TAKE)
    async with pumping(box, uplink) as task:
        await until(lambda: task.done() or box.settled("cloud") == box.last(), "settled")
    assert sorted(letters(box)) == [Row(ALARM, 2), Row(TELEMETRY, 2)]
    assert "a fault of the uplink's own" in letters(box)[Row(ALARM, 2)]


async def test_a_platform_that_takes_no_alarm_gets_its_telemetry(box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    """It ends the session at every alarm, and more of them wait than are remembered: readings go up all the same, no
    alarm is put aside, and one that it takes at last is not the last to be tried."""
    monkeypatch.setattr(suspicion, "_MOST_STRUCK", 20)
    box.alarms(*range(1, 41))
    box.readings(500)
    is_mended = False
    uplink = Scripted(lambda row: TAKE if row.lane is TELEMETRY or is_mended else DROP)
    async with pumping(box, uplink):
        await until(lambda: box.settled("cloud")[TELEMETRY] == 500, "telemetry", 10)
        assert not letters(box)
        is_mended = True
        await until(lambda: box.settled("cloud") == box.last(), "settled")
    assert not letters(box)


async def test_an_alarm_that_is_ignored_does_not_hold_up_another_that_waits(
    box: Box, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two alarms have ended sessions; the first is now ignored for ever, the second is tried all the same."""
    monkeypatch.setattr(sending, "_TRY_S", 0.01)
    box.alarms(1, 2)

    def script(row: Row) -> str:
        if uplink.seen.count(row) <= 2:
            return DROP
        return SILENT if row.seq == 1 else TAKE

    uplink = Scripted(script, answer_s=0.1)
    async with pumping(box, uplink):
        await until(lambda: Row(ALARM, 2) in uplink.taken, "the second alarm", 5)


async def test_a_full_disk_holds_up_no_alarm_behind_a_refused_one(box: Box) -> None:
    """The platform refuses one alarm, and the disk has no room for the dead letter: the others go up; the refused one
    is put aside when there is room again."""
    box.alarms(1)
    uplink = Scripted(lambda row: REJECT if row.seq == 2 else TAKE)
    async with pumping(box, uplink) as task:
        await until(lambda: box.settled("cloud") == box.last(), "the first")
        books = apsw.Connection(str(box.directory / "bridge.db"))
        books.execute("CREATE TRIGGER full BEFORE INSERT ON dead_letters BEGIN SELECT raise(abort, 'disk full'); END")
        box.alarms(2)
        await until(lambda: task.done() or uplink.seen.count(Row(ALARM, 2)) > 1, "refused")
        box.alarms(3, 4, 5)
        await until(lambda: task.done() or Row(ALARM, 5) in uplink.taken, "the alarms")
        assert not task.done()
        assert box.settled("cloud")[ALARM] == 1
        books.execute("DROP TRIGGER full")
        await until(lambda: box.settled("cloud") == box.last(), "settled")
    assert list(letters(box)) == [Row(ALARM, 2)]


async def test_a_letter_that_the_end_of_a_session_takes_back_is_not_the_last(
    box: Box, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An uplink that cancels what has not begun: the letter is told so, and the next wish is heard."""
    monkeypatch.setattr(retries, "_LOOK_S", 0.02)
    box.readings(2)
    is_willing = False
    uplink = Scripted(lambda row: TAKE if is_willing else REJECT if not uplink.seen.count(row) > 1 else SILENT)
    async with pumping(box, uplink):
        await until(lambda: box.settled("cloud") == box.last(), "put aside")
        first, second = dead_letters(str(box.directory), "cloud")
        assert want(str(box.directory), first.id)
        await until(lambda: len(uplink.seen) == 3, "tried")
        uplink.cancel()
        await until(lambda: not wanted(str(box.directory)), "told")
        is_willing = True
        assert want(str(box.directory), second.id)
        await until(lambda: len(letters(box)) == 1, "the second letter is taken")


async def test_a_trouble_with_the_status_is_over_when_it_is_over(box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    """The status could not be written once, and nothing else happens: it is not said for ever."""
    monkeypatch.setattr(status, "_EVERY_S", 0.02)
    monkeypatch.setattr(status, "_HEARTBEAT_S", 0.02)
    with capture_logs() as said:
        await _trouble(box, said)


async def _trouble(box: Box, said: list[Any]) -> None:
    async with pumping(box, Scripted(lambda _: TAKE)):
        await until(lambda: box.status("cloud").get("state") == "up", "up")
        books = apsw.Connection(str(box.directory / "bridge.db"))
        books.execute("CREATE TRIGGER full BEFORE INSERT ON status BEGIN SELECT raise(abort, 'disk full'); END")
        before = box.status("cloud")["at"]
        await until(lambda: any("cannot write the status" in each.get("reason", "") for each in said), "the trouble")
        books.execute("DROP TRIGGER full")
        await until(lambda: box.status("cloud")["at"] > before, "written")
        await until(lambda: box.status("cloud")["error"] == "", "the trouble is over")
