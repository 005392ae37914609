"""Access records: every pass is written with the readings it came in, kept long enough, and holds no face."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from cloud_bridge.encode import readings
from gateway.config import check
from gateway.drivers.table import DRIVERS
from gateway.model import Lane, Now, Quality, Reading, Step
from gateway.store.journal import Batch, Journal
from gateway.store.outbox import OutboxReader
from gateway.store.passes import KEEP_S, Pass, PassReader
from tests.support_config import laid_out
from tests.support_core import now

DOOR = "1-1-01-DOOR/door"


def said(seconds: float = 0.0, door: str = DOOR, quality: Quality = Quality.GOOD, **texts: str) -> list[Reading]:
    """What one message of a door becomes: ``id`` is the credential, ``way``, ``dir``, ``result`` stand beside it."""
    at = now(seconds).utc
    names = {"id": "pass"} | {each: f"pass_{each}" for each in ("way", "dir", "result")}
    return [Reading(f"{door}/{names[each]}", text, at, at, quality) for each, text in texts.items()]


def journal(directory: Path) -> Journal:
    return Journal(str(directory), (), 10_000_000)


def commit(store: Journal, *messages: list[Reading], seconds: float = 0.0) -> None:
    store.commit(Batch([Step(now(seconds), readings=[each for message in messages for each in message])]))


def page(directory: Path, limit: int = 50, before: int | None = None, device: str | None = None) -> list[Pass]:
    reader = PassReader(str(directory))
    try:
        return reader.page(limit, before, device)
    finally:
        reader.close()


def test_a_pass_is_on_record_with_who_where_how_and_what_came_of_it(tmp_path: Path) -> None:
    """Two people in one batch at one door are two records, each with its own way and result, newest first."""
    store = journal(tmp_path)
    first = said(0, id="C1029", way="card", dir="in", result="granted")
    second = said(1, id="U0301", way="pin", dir="in", result="denied")
    commit(store, first, second, seconds=1)
    newest, oldest = page(tmp_path)
    assert newest[2:] == (now(1).utc, DOOR, "U0301", "pin", "in", "denied")
    assert oldest[2:] == (now(0).utc, DOOR, "C1029", "card", "in", "granted")
    assert newest.seq > oldest.seq


def test_passes_are_found_by_result_and_time(tmp_path: Path) -> None:
    """From an instant on, before another, and only what came of it; together with all else that is asked."""
    store = journal(tmp_path)
    for seconds in range(6):
        result = "denied" if seconds % 2 else "granted"
        commit(store, said(seconds, id=f"C{seconds}", result=result), seconds=seconds)
    reader = PassReader(str(tmp_path))
    try:
        found = reader.page(50, None, DOOR, result="denied", since=now(1).utc, until=now(5).utc)
        assert [each.credential for each in found] == ["C3", "C1"]
        assert [each.credential for each in reader.page(1, None, None, since=now(4).utc)] == ["C5"]
    finally:
        reader.close()


def test_the_same_card_again_is_another_pass(tmp_path: Path) -> None:
    """Whoever goes in, out and in again is recorded three times."""
    store = journal(tmp_path)
    for seconds in range(3):
        commit(store, said(seconds, id="C1029", way="card"), seconds=seconds)
    assert [each.credential for each in page(tmp_path)] == ["C1029"] * 3


def test_a_state_told_again_and_other_texts_are_no_pass(tmp_path: Path) -> None:
    """A retained message, a way without a credential and another device's words are nobody at the door."""
    store = journal(tmp_path)
    commit(store, said(0, quality=Quality.RETAINED, id="C1"), said(0, way="card"))
    other = Reading("0-1-01-0102/sos/action", "emergency", now().utc, now().utc)
    commit(store, [other, Reading(f"{DOOR}/contact", value=False, at=now().utc, received_at=now().utc)])
    assert page(tmp_path) == []


def test_a_door_that_says_too_much_cannot_fill_the_disk(tmp_path: Path) -> None:
    """A text as long as a picture is cut to what a card's number can be."""
    store = journal(tmp_path)
    commit(store, said(id="A" * 100_000))
    assert len(page(tmp_path)[0].credential) == 64


def test_records_are_kept_for_200_days_and_not_longer(tmp_path: Path) -> None:
    """At least 180 days are asked for; what is older than 200 goes, a bounded piece at a time."""
    store = journal(tmp_path)
    commit(store, *[said(0, id=f"C{n}") for n in range(2_500)])
    commit(store, said(20.0 * 86_400, id="C9999"), seconds=20.0 * 86_400)
    store.trim(now(180 * 86_400.0))
    assert len(page(tmp_path, limit=5_000)) == 2_501
    store.trim(now(KEEP_S + 1))
    assert len(page(tmp_path, limit=5_000)) == 501
    store.trim(now(KEEP_S + 2))
    assert [each.credential for each in page(tmp_path)] == ["C9999"]
    assert timedelta(seconds=KEEP_S) >= timedelta(days=180)


def test_a_clock_that_jumps_ahead_deletes_nothing(tmp_path: Path) -> None:
    """A clock that was just set, to 2099 perhaps, says nothing of an age until it has run evenly for hours."""
    store = journal(tmp_path)
    commit(store, said(0, id="C1"))
    jump = timedelta(days=73 * 365)
    store.trim(now(0))
    for hour in range(6):
        at = now(hour * 3600.0)
        store.trim(Now(at.utc + jump, at.mono_s))
    assert [each.credential for each in page(tmp_path)] == ["C1"]


def test_passes_of_a_box_that_started_in_1970_are_kept(tmp_path: Path) -> None:
    """No battery in its clock: who passed before it was set is on record as long as everybody, not for a second."""
    store = journal(tmp_path)
    to_1970_s = -now(0).utc.timestamp()
    commit(store, said(to_1970_s, id="C1"), said(to_1970_s + 60, id="C2"), seconds=to_1970_s + 60)
    store.trim(now(0))
    commit(store, said(0, id="C3"))
    store.trim(now(180 * 86_400.0))
    assert [each.credential for each in page(tmp_path)] == ["C3", "C2", "C1"]
    commit(store, said(KEEP_S, id="C4"), seconds=KEEP_S)
    store.trim(now(KEEP_S + 1))
    assert [each.credential for each in page(tmp_path)] == ["C4"]


def test_passes_without_a_date_do_not_stop_the_old_ones_from_going(tmp_path: Path) -> None:
    """However many were recorded while the clock stood in 1970 or in 2099: they go with what came after them."""
    store = journal(tmp_path)
    for odd_s in (-now(0).utc.timestamp(), 2e9):
        commit(store, *[said(odd_s, id=f"C{n}") for n in range(2_100)], seconds=odd_s)
    commit(store, said(0, id="OLD"))
    commit(store, said(KEEP_S, id="NEW"), seconds=KEEP_S)
    store.trim(now(0))  # the clock has run evenly since
    for n in range(4):
        store.trim(now(KEEP_S + 1 + n))
    assert [each.credential for each in page(tmp_path, limit=5_000)] == ["NEW"]


def test_pages_follow_each_other_without_gap_or_repeat(tmp_path: Path) -> None:
    """Whoever reads page after page of one door reads each of its passes once."""
    store = journal(tmp_path)
    for n in range(7):
        commit(store, said(n, door=f"{n % 2}-1-01-DOOR/door", id=f"C{n}"), seconds=n)
    read: list[str] = []
    before = None
    while found := page(tmp_path, 2, before, "0-1-01-DOOR/door"):
        read += [each.credential for each in found]
        before = found[-1].seq
    assert read == ["C6", "C4", "C2", "C0"]


PROFILE = """
profile: door-x
title: 门禁
kind: door
via: mqtt
topic: "door/{serial}/up"
points:
  contact: {from: $.contact, type: bool}
"""


@pytest.mark.parametrize(
    "point",
    [
        "face: {from: $.face, type: text}",
        "who: {from: $.face_template, type: text}",
        "score: {from: $.faceScore, type: float}",
        "shot: {from: $.snapshot, type: text}",
        "data: {from: $.feature, type: text}",
        "finger: {from: $.fingerprint, type: text}",
    ],
)
def test_a_profile_that_would_take_in_a_face_is_refused(tmp_path: Path, point: str) -> None:
    """No face image and no template ever enters: `shouwang check` says so before anything is received."""
    config = laid_out("valid", tmp_path)
    (config / "profiles" / "door-x.yaml").write_text(f"{PROFILE}  {point}\n", encoding="utf-8")
    assert "E502" in [each.code for each in check(config, DRIVERS, {}).findings]


@pytest.mark.parametrize(
    "point", ["pass: {from: $.pass.id, type: text, event: true}", "face_ok: {from: $.face_ok, type: bool}"]
)
def test_that_somebody_was_let_in_may_be_said(tmp_path: Path, point: str) -> None:
    """A credential's number, and yes or no of a recognition inside the device, are what a door may tell."""
    config = laid_out("valid", tmp_path)
    (config / "profiles" / "door-x.yaml").write_text(f"{PROFILE}  {point}\n", encoding="utf-8")
    assert "E502" not in [each.code for each in check(config, DRIVERS, {}).findings]


def test_the_number_of_a_card_goes_to_no_cloud(tmp_path: Path) -> None:
    """What waits for the clouds says that somebody passed, how, and the end of the number; the box's record has all."""
    store = journal(tmp_path)
    commit(store, said(0, id="C00010299", way="card", result="granted"), said(1, id="0301", way="pin"))
    (entry,) = OutboxReader(str(tmp_path)).take(Lane.TELEMETRY, 0)
    told = {(point_id.removeprefix(f"{DOOR}/"), value) for point_id, value, *_ in readings(entry.body)}
    assert told == {("pass", "****0299"), ("pass", "****"), ("pass_way", "card"), ("pass_way", "pin")} | {
        ("pass_result", "granted")
    }
    assert [each.credential for each in page(tmp_path)] == ["0301", "C00010299"]


def test_a_door_cannot_call_its_own_number_an_officers_name(tmp_path: Path) -> None:
    """``remote`` is the desk's own word, and what stands beside it is seen whole: a door that says it is told apart."""
    store = journal(tmp_path)
    commit(store, said(id="13912345678", way="remote", result="granted"))
    (found,) = page(tmp_path)
    assert (found.credential, found.way) == ("13912345678", "remote_door")
