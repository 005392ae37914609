"""The crash test's judge and the load generator's packets: a benchmark that cannot fail measures nothing."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import paho.mqtt.client as mqtt
from hypothesis import given
from hypothesis import strategies as st

from benchmarks import site, wire
from benchmarks.crash_field import DEVICES, SCALE
from benchmarks.crash_verdict import judge_alarms, judge_readings
from benchmarks.report import Figure, Spread, percentile


def _reading(number: int) -> list[object]:
    return ["1-1-01-0101/env/v", number / SCALE, 0, 0, "good"]


def _raised(room: str, occurrence: int = 1) -> tuple[str, str]:
    return f"smoke-fire:{room}/smoke/alarm:{occurrence}", "raised"


def test_a_lost_reading_is_seen() -> None:
    """One acknowledged reading that is nowhere makes the run unclean."""
    assert judge_readings({1, 2, 3}, [_reading(1), _reading(3)]).lost == 1


def test_a_reading_stored_twice_is_seen() -> None:
    """A repeat that was taken for a new reading is counted."""
    tally = judge_readings({1}, [_reading(1), _reading(1)])
    assert (tally.duplicated, tally.disordered) == (1, 0)


def test_an_older_reading_after_a_newer_one_of_the_same_device_is_seen() -> None:
    """Order is judged per device, not between devices."""
    first, later, other = 7, 7 + DEVICES, 8
    assert judge_readings({first, later}, [_reading(later), _reading(first)]).disordered == 1
    assert judge_readings({first, other}, [_reading(other), _reading(first)]).is_clean


def test_a_lost_alarm_and_an_alarm_raised_twice_are_seen() -> None:
    """A second occurrence, or a second raised event of one alarm, is a duplicate for whoever is called out."""
    assert judge_alarms({"1-1-01-0101", "1-1-01-0102"}, [_raised("1-1-01-0101")]).lost == 1
    assert judge_alarms({"1-1-01-0101"}, [_raised("1-1-01-0101"), _raised("1-1-01-0101", 2)]).duplicated == 1
    assert judge_alarms({"1-1-01-0101"}, [_raised("1-1-01-0101")] * 2).duplicated == 1


def test_counting_nothing_is_not_clean() -> None:
    """A run in which nothing was sent proves nothing."""
    assert not judge_readings(set(), []).is_clean


@given(st.lists(st.tuples(st.binary(max_size=300), st.integers(0, 65_535)), max_size=20), st.integers(1, 50))
def test_packets_survive_any_cut_of_the_stream(messages: list[tuple[bytes, int]], cut: int) -> None:
    """However TCP slices the stream, the same messages come out."""
    stream = b"".join(wire.encode_publish("env/设备/up", payload, mid) for payload, mid in messages)
    splitter = wire.Splitter()
    found = [
        wire.decode_publish(packet)
        for start in range(0, len(stream), cut)
        for packet in splitter.feed(stream[start : start + cut])
    ]
    assert [(each.payload, each.mid) for each in found] == messages
    assert all(each.topic == "env/设备/up" and each.qos == (1 if each.mid else 0) for each in found)


def test_connect_is_what_paho_sends() -> None:
    """The generator's CONNECT equals that of an independent client, but for the protocol's own choices."""
    packet = wire.encode_connect("probe", keepalive_s=60)
    assert packet[2:8] == b"\x00\x04MQTT"
    assert packet[8] == mqtt.MQTTv311
    assert packet[1] == len(packet) - 2


def test_the_generated_community_is_a_valid_configuration(tmp_path: Path) -> None:
    """A benchmark of a configuration that no gateway accepts measures nothing."""
    config = site.write(tmp_path, site.Plan(1883, 8080, racks=1), keeps_all=True)
    argv = [sys.executable, "-m", "gateway", "check", "--config", str(config)]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "11010" in done.stdout


def test_percentiles_and_verdicts() -> None:
    """p99 of a hundred samples is the ninety-ninth, and a missed target is called missed."""
    assert percentile([float(n) for n in range(1, 101)], 0.99) == 99
    runs = Spread((2.0, 3.0, 1.0))
    figure = Figure("x", "ms", "≤ 1", runs, holds=lambda _: runs.median <= 1)
    assert figure.cells()[2] == "2.00 (1.00–3.00)"
    assert figure.verdict == "MISSED"
