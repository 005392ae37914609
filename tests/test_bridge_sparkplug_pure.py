"""Sparkplug payloads, names and what is live: properties, without a network. The decoder is the tests' own."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud_bridge import sparkplug_payload as wire
from cloud_bridge.selection import Selection
from cloud_bridge.sparkplug_commands import of_device
from cloud_bridge.sparkplug_host import Barrier
from cloud_bridge.sparkplug_messages import Composer, Message, Row, Seen, seen
from cloud_bridge.sparkplug_params import SparkplugParams
from cloud_bridge.sparkplug_payload import Asked, PayloadError, Told
from cloud_bridge.sparkplug_roster import Roster, TooManyStraysError, topic_name
from cloud_bridge.sparkplug_session import Job, Session
from gateway.model import Quality, Value
from gateway.store import codec
from tests.support_bridge import device, event, site, until
from tests.support_sparkplug import View, command

NOW_MS = 1_772_352_000_000
POINT = "3-1-B1-CP01/ebike/power.1"
DEVICES = (
    device("3-1-B1-CP01", "ebike", [("power.1", "int"), ("temp", "float")]),
    device("3-1-B1-M1", "meter", [("energy", "float")]),
)
VALUES = st.one_of(
    st.booleans(),
    st.integers(-(2**63), 2**64),
    st.floats(allow_nan=False),
    st.text(max_size=20),
)


def composer(tmp: str = "/nowhere") -> tuple[Composer, dict[str, int]]:
    counts = {"historical": 0}
    of = site(Path(tmp), devices=DEVICES)
    return Composer(Roster(of, Selection(of)), of.id, "e1", 32_768, counts), counts


class Sender:
    """Numbers messages as the session does, and lets a view hear them."""

    def __init__(self) -> None:
        self.view = View()
        self._seq = 0

    def send(self, messages: Iterable[Message]) -> None:
        for message in messages:
            if message.verb == "NBIRTH":
                self._seq = 0
            message.payload.timestamp, message.payload.seq = NOW_MS, self._seq
            self._seq = (self._seq + 1) % 256
            level = f"/{message.device}" if message.device else ""
            self.view.hear(f"spBv1.0/g/{message.verb}/n{level}", message.payload.SerializeToString())


@given(st.lists(VALUES, max_size=30))
def test_a_value_arrives_as_it_was_however_types_change(values: list[Value]) -> None:
    """Invariant: each value of one point arrives once, in order; its type only widens, and each time with a birth.
    A whole number beyond 2**53 among fractions arrives as the nearest double."""
    made, _ = composer()
    sender = Sender()
    sender.send([made.node_birth(0, NOW_MS), *made.births(NOW_MS)])
    for at, value in enumerate(values):
        sender.send(made.rows([Row(at + 1, [Seen(POINT, value, NOW_MS + at, Quality.GOOD)], has_waited=False)], NOW_MS))
    told = sender.view.values("3-1-B1-CP01:ebike", "power/1")
    assert not sender.view.wrong
    assert len(told) == len(values)
    assert all(_same(one, other) for one, other in zip(told, values, strict=True))
    assert sender.view.verbs().count("DBIRTH") <= 2 + 3


def _same(told: Any, value: Value) -> bool:
    if isinstance(told, str):
        return told == (str(value).lower() if isinstance(value, bool) else str(value))
    if isinstance(told, float) and isinstance(value, int):
        return told == float(value)
    return bool(told == value)


ROWS = st.lists(st.tuples(st.integers(0, 2), st.integers(-5, 5), st.booleans()), max_size=25)


@given(ROWS, st.lists(st.integers(0, 25), max_size=4), st.lists(st.integers(0, 25), max_size=3))
def test_the_host_ends_with_the_newest_and_has_the_whole_history_in_order(
    rows: list[tuple[int, int, bool]], newest_after: list[int], rebirth_after: list[int]
) -> None:
    """Invariant: whatever waited, was told ahead or reborn, the live value is the last row's, and history is whole."""
    points = [POINT, "3-1-B1-CP01/ebike/temp", "3-1-B1-M1/meter/energy"]
    names = [("3-1-B1-CP01:ebike", "power/1"), ("3-1-B1-CP01:ebike", "temp"), ("3-1-B1-M1:meter", "energy")]
    made, _ = composer()
    sender = Sender()
    sender.send([made.node_birth(0, NOW_MS), *made.births(NOW_MS)])
    for at, (which, value, has_waited) in enumerate(rows):
        seq = at + 1
        if at in newest_after:  # the tail, up to three rows ahead
            ahead = {points[w]: [points[w], v, NOW_MS, NOW_MS, "good"] for w, v, _ in rows[: at + 3]}
            sender.send(made.newest([seen(raw) for raw in ahead.values()], min(at + 3, len(rows)), NOW_MS))
        sender.send(made.rows([Row(seq, [Seen(points[which], value, NOW_MS, Quality.GOOD)], has_waited)], NOW_MS))
        if at in rebirth_after:
            sender.send([made.node_birth(0, NOW_MS), *made.births(NOW_MS)])
    sender.send(made.catch_up(NOW_MS))
    assert not sender.view.wrong
    assert not made.is_behind
    for which, name in enumerate(names):
        wanted = [value for w, value, _ in rows if w == which]
        if wanted:
            assert sender.view.live[name] == wanted[-1]
        told = sender.view.values(*name)
        assert _is_within(wanted, told)


def _is_within(wanted: list[Any], told: list[Any]) -> bool:
    left = iter(told)
    return all(each in left for each in wanted)


@given(st.binary(max_size=300))
def test_no_bytes_from_a_host_do_harm(body: bytes) -> None:
    """Invariant: what comes is understood or refused with `PayloadError`, never anything else."""
    try:
        told = wire.told(body)
    except PayloadError:
        return
    assert len(told.metrics) <= 64


@given(st.one_of(st.booleans(), st.integers(-(2**63), 2**63 - 1), st.floats(allow_nan=False), st.text(max_size=50)))
def test_a_command_is_read_as_it_was_written(value: Value) -> None:
    """Invariant: name, alias, time and value of a command come back as a host of its own making wrote them."""
    told = wire.told(command(value, name="风量", alias=7, at_ms=NOW_MS))
    assert told.timestamp_ms == NOW_MS
    ((name, alias, found),) = told.metrics
    assert (name, alias, found, type(found)) == ("风量", 7, value, type(value))


@given(st.lists(st.text(st.sampled_from("ab/:%+#"), max_size=6), unique=True))
def test_names_of_devices_are_valid_levels_and_never_the_same(ids: list[str]) -> None:
    """tck-id-topic-structure-namespace-valid-device-id, -unique-device-id."""
    names = [topic_name(each) for each in ids]
    assert len(set(names)) == len(names)
    assert not any(set("/+#") & set(name) or not name for name in names)


def test_aliases_are_the_same_at_every_start() -> None:
    """They follow from the configuration alone."""
    births = [[each.payload.SerializeToString() for each in composer()[0].births(NOW_MS)] for _ in range(2)]
    assert births[0] == births[1]


def test_a_bad_value_is_null_and_says_bad() -> None:
    """tck-id-payloads-propertyset-quality-value-type and -value: a bad reading is no 0, a stale one is marked."""
    made, _ = composer()
    sender = Sender()
    sender.send([made.node_birth(0, NOW_MS), *made.births(NOW_MS)])
    born = [each for each in sender.view.of("DBIRTH")[0].payload.metrics if each.name == "power/1"]
    assert born[0].is_null
    assert born[0].properties["Quality"] == {1: 3, 3: 500}  # nothing known yet
    bad = Seen(POINT, None, NOW_MS, Quality.BAD)
    sender.send(made.rows([Row(1, [bad], has_waited=False)], NOW_MS))
    (metric,) = sender.view.of("DDATA")[0].payload.metrics
    assert metric.is_null
    assert metric.properties["Quality"] == {1: 3, 3: 0}
    assert not sender.view.wrong


def test_the_instant_is_that_of_the_observation() -> None:
    """Not that of its arrival at the gateway: first timestamps are kept, whichever clock is behind."""
    assert [seen([POINT, 1, at_ms, 2_000, "good"]).at_ms for at_ms in (1_000, 3_000)] == [1_000, 3_000]


def test_points_that_left_the_configuration_are_still_told_up_to_a_bound() -> None:
    """Rows that wait of a removed device: a birth, its data, a death. Beyond 2,000 such points a row is refused."""
    made, _ = composer()
    sender = Sender()
    sender.send([made.node_birth(0, NOW_MS), *made.births(NOW_MS)])
    gone = Seen("9-9/gone/level.2", 5, NOW_MS, Quality.GOOD)
    sender.send(made.rows([Row(1, [gone], has_waited=True)], NOW_MS))
    assert sender.view.verbs()[-3:] == ["DBIRTH", "DDATA", "DDEATH"]
    assert sender.view.values("9-9:gone", "level/2") == [5]
    many = [Seen(f"9-9/gone/p{at}", 1, NOW_MS, Quality.GOOD) for at in range(2_000)]
    with pytest.raises(TooManyStraysError):
        list(made.rows([Row(2, many, has_waited=True)], NOW_MS))
    assert not sender.view.wrong


async def test_a_row_without_room_fails_alone_and_its_neighbours_arrive() -> None:
    """Rows that are gathered into one message are not refused for one among them."""
    made, counts = composer()
    view = View()
    ends: dict[int, Any] = {}

    def publish(topic: str, payload: bytes) -> asyncio.Future[None]:
        view.hear(topic, payload)
        proof: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        asyncio.get_running_loop().call_soon(proof.set_result, None)
        return proof

    session = Session(
        made,
        publish,
        topic=lambda verb, of: f"spBv1.0/g/{verb}/n" + (f"/{of}" if of else ""),
        bd_seq=0,
        now_ms=lambda: NOW_MS,
        counts={"births": 0, "rebirths": 0, **counts},
    )
    await session.begin()
    many = [Seen(f"9-9/gone/p{at}", 1, NOW_MS, Quality.GOOD) for at in range(2_001)]
    good = [Seen(POINT, 1, NOW_MS, Quality.GOOD)]
    for seq, readings in enumerate((good, many, good), start=1):
        session.row(Row(seq, readings, False, Job(lambda error, seq=seq: ends.setdefault(seq, error))))  # type: ignore[misc]
    await until(lambda: len(ends) == 3, "all three")
    assert ends[1] is None
    assert isinstance(ends[2], TooManyStraysError)
    assert ends[3] is None
    session.end(ConnectionError())
    assert not view.wrong


async def test_newest_values_that_a_line_does_not_take_are_left_out() -> None:
    """However many of them are told while no answer comes, few wait; all are counted, and the session goes on."""
    made, counts = composer()
    proofs: list[asyncio.Future[None]] = []
    answers = False

    def publish(topic: str, payload: bytes) -> asyncio.Future[None]:  # noqa: ARG001 - names of the protocol
        proof: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if answers:
            proof.set_result(None)
        else:
            proofs.append(proof)
        return proof

    counts |= {"births": 0, "rebirths": 0, "newest_left_out": 0}
    session = Session(made, publish, topic=lambda verb, of: verb + of, bd_seq=0, now_ms=lambda: NOW_MS, counts=counts)
    session.begin()
    session.window.size = 1  # nothing more until there is an answer
    for seq in range(3_000):
        session.newest([Seen(POINT, seq, NOW_MS + seq, Quality.GOOD)], seq)
    assert counts["newest_left_out"] >= 2_900
    answers = True
    ends: list[Exception | None] = []
    session.row(Row(3_001, [Seen(POINT, 1, NOW_MS, Quality.GOOD)], False, Job(ends.append)))
    proofs[0].set_result(None)
    await until(lambda: ends == [None], "the row behind them")
    session.end(ConnectionError())


async def test_an_alarm_does_not_wait_for_the_births_of_all_devices() -> None:
    """Those of 9,000 are megabytes: behind the node's own birth an alarm goes before any of them."""
    made, counts = composer()
    verbs: list[str] = []

    def publish(topic: str, payload: bytes) -> asyncio.Future[None]:  # noqa: ARG001 - names of the protocol
        verbs.append(topic)
        return asyncio.get_running_loop().create_future()

    counts |= {"births": 0, "rebirths": 0, "newest_left_out": 0}
    session = Session(made, publish, topic=lambda verb, _: verb, bd_seq=0, now_ms=lambda: NOW_MS, counts=counts)
    session.begin()
    told = orjson.loads(codec.alarm_body(*event(1)))
    session.urgent(made.alarm(told, NOW_MS, Job(lambda _: None)))
    await until(lambda: verbs.count("DBIRTH") == len(DEVICES), "the births")
    assert verbs == ["NBIRTH", "NDATA", *["DBIRTH"] * len(DEVICES)]
    session.end(ConnectionError())


def test_the_time_that_a_command_took_is_taken_off_its_deadline() -> None:
    """Of ten seconds four have passed on its way: six are left, and of a clock that is behind not more than ten."""
    of = site(Path("/nowhere"), devices=DEVICES)
    roster = Roster(of, Selection(of))
    asked = Told(NOW_MS, (Asked("power/1", None, 7),))
    lefts = [of_device(asked, "3-1-B1-CP01:ebike", roster, age_s, 10.0)[0].expires_in_s for age_s in (4.0, 0.0, -4.0)]
    assert lefts == [6.0, 10.0, 10.0]


def test_a_command_reaches_the_device_of_its_topic_only() -> None:
    """By whatever it names the metric: an alias or a name of another device is none of this one."""
    of = site(Path("/nowhere"), devices=DEVICES)
    roster = Roster(of, Selection(of))
    charger, meter = ({each.point_id: each for each in entry.metrics.values()} for entry in roster)
    power, energy = charger[POINT], meter["3-1-B1-M1/meter/energy"]
    assert roster.asked("3-1-B1-CP01:ebike", "", power.alias) is power
    assert roster.asked("3-1-B1-CP01:ebike", "power/1", None) is power
    assert roster.asked("3-1-B1-CP01:ebike", "power/1", energy.alias) is None
    assert roster.asked("3-1-B1-CP01:ebike", "energy", None) is None
    assert roster.asked("3-1-B1-M2:meter", "energy", energy.alias) is None


async def test_a_message_of_qos_0_is_proved_by_suback_and_state_after_it_and_by_nothing_less() -> None:
    """Neither of them alone, not by those of the messages before, and never by the end of the session."""
    subacks: list[asyncio.Future[None]] = []

    def subscribe() -> asyncio.Future[None]:
        subacks.append(asyncio.get_running_loop().create_future())
        return subacks[-1]

    barrier = Barrier(subscribe)
    for is_suback_first in (True, False):
        first, asked = barrier.add(), len(subacks)
        await until(lambda asked=asked: len(subacks) > asked, "asked")  # type: ignore[misc]
        second = barrier.add()
        steps = [lambda: subacks[-1].set_result(None), barrier.state]
        for step in steps if is_suback_first else reversed(steps):
            assert not first.done()
            step()
            await asyncio.sleep(0)
            await asyncio.sleep(0)
        assert first.done()
        assert not second.done()
        barrier.end(ConnectionError())
        assert isinstance(second.exception(), ConnectionError)


def test_strict_needs_a_host_that_tells() -> None:
    """QoS 0 without a primary host has no proof of anything: refused at the configuration, E480."""
    with pytest.raises(ValueError, match="primary_host"):
        SparkplugParams(host="127.0.0.1", strict=True)
    assert SparkplugParams(host="127.0.0.1", strict=True, primary_host="scada").prefix == "spBv1.0"


PEER = os.environ.get("SHOUWANG_SPARKPLUG_PEER", "")
_PEER = """
import sys
from pysparkplug import DataType, DBirth, DData, Metric, NBirth, NCmd
node, birth, data = (bytes.fromhex(line) for line in sys.stdin)
for payload in (NBirth.decode(node), known := DBirth.decode(birth), DData.decode(data, birth=known)):
    print(payload.seq, [(m.name, m.alias, m.datatype.name, m.value, m.is_historical) for m in payload.metrics])
rebirth = Metric(timestamp=5, name="Node Control/Rebirth", datatype=DataType.BOOLEAN, value=True)
print(NCmd(timestamp=1772352000000, metrics=(rebirth,)).encode(include_dtypes=True).hex())
"""


@pytest.mark.skipif(not PEER, reason="needs pysparkplug beside us: see .ci/run")
def test_another_implementation_reads_what_we_write_and_we_read_it() -> None:
    """pysparkplug 0.6.1, with the codec generated from the published schema: births, data by alias, a rebirth asked."""
    made, _ = composer()
    node, charger = made.node_birth(4, NOW_MS), next(iter(made.births(NOW_MS)))
    (told,) = made.rows([Row(1, [Seen(POINT, -3, NOW_MS, Quality.GOOD)], has_waited=True)], NOW_MS)
    lines = []
    for seq, message in enumerate((node, charger, told)):
        message.payload.timestamp, message.payload.seq = NOW_MS, seq
        lines.append(message.payload.SerializeToString().hex())
    peer = subprocess.run(
        [sys.executable, "-c", _PEER],
        input="\n".join(lines),
        env={**os.environ, "PYTHONPATH": PEER},
        capture_output=True,
        text=True,
        check=False,
    )
    assert not peer.returncode, peer.stderr
    read = peer.stdout.splitlines()
    assert "('bdSeq', None, 'INT64', 4, False)" in read[0]
    assert "('Node Control/Rebirth', None, 'BOOLEAN', False, False)" in read[0]
    alias = 102  # two properties come before
    assert f"('power/1', {alias}, 'INT64', None, False)" in read[1]
    assert read[2] == f"2 [('power/1', {alias}, 'INT64', -3, True)]"
    asked = wire.told(bytes.fromhex(read[3]))
    assert (asked.timestamp_ms, asked.metrics[0][:1], asked.metrics[0].value) == (
        NOW_MS,
        ("Node Control/Rebirth",),
        True,
    )
